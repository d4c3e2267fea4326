"""The mapper comparison as a configuration and a few steps that a workflow calls.

A *reference* is one of ``mixed`` (all genomes of a folder together), ``cross`` (the target species of the
cross-species comparison) and ``real`` (the genome that real reads come from). Each step reads files, does one thing,
and writes files; the workflow decides the order, and that measured steps never overlap.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from genoseq.errors import UsageError
from genoseq.evaluate.agreement import Agreement, compare
from genoseq.evaluate.crossmap import Lift, judge_crossmap, lift_names
from genoseq.evaluate.judge import judge
from genoseq.evaluate.peers import PEERS, IndexRun, MapRun, Peer, available, peer_named
from genoseq.evaluate.placements import Placement, read_placements
from genoseq.evaluate.records import load_record
from genoseq.evaluate.reference import assemble_reference, find_genomes
from genoseq.evaluate.report import Result, make_result, markdown_report, write_tsv
from genoseq.evaluate.simulate import ReadModel, write_reads
from genoseq.evaluate.truth import Truth
from genoseq.outputs import whole_file
from genoseq.recipes import build_recipe
from genoseq.seqs.fastx import read_fastx
from genoseq.seqs.genome import Genome

__all__ = [
    "Benchmark",
    "CrossSet",
    "ReadSet",
    "RealSet",
    "count_reads",
    "judge_set",
    "make_reads",
    "make_reference",
    "parse_benchmark",
    "tools_for",
    "write_agreement_table",
    "write_cross_table",
    "write_tables",
]


@dataclass(frozen=True)
class ReadSet:
    """One set of simulated reads or pairs (``reads``: how many of them; rates per base)."""

    name: str
    reads: int
    divergence: float = 0.0
    errors: float = 0.0
    length: int = 150
    paired: bool = False
    insert_mean: float = 350.0
    insert_sd: float = 50.0
    seed: int = 1

    def __post_init__(self) -> None:
        if not self.name or not all(letter.isalnum() or letter in "._-" for letter in self.name):
            raise ValueError(f"name {self.name!r} of a read set: expected letters, digits, '.', '_' and '-'")
        if self.reads < 1:
            raise ValueError(f"reads {self.reads} of set {self.name}: expected 1 or more")

    @property
    def model(self) -> ReadModel:
        """What the simulator needs to know."""
        return ReadModel(
            lengths=(self.length,),
            divergence=self.divergence,
            errors=self.errors,
            paired=self.paired,
            insert_mean=self.insert_mean,
            insert_sd=self.insert_sd,
            seed=self.seed,
        )


@dataclass(frozen=True)
class CrossSet:
    """Reads of one species mapped to another: file name patterns in the folder of genomes, and the reads."""

    source: str
    target: str
    reads: int = 50000
    errors: float = 0.002
    length: int = 150
    seed: int = 1

    @property
    def model(self) -> ReadModel:
        """What the simulator needs to know: the two genomes differ enough, only sequencing errors are added."""
        return ReadModel(lengths=(self.length,), errors=self.errors, seed=self.seed)


@dataclass(frozen=True)
class RealSet:
    """Real reads on which two tools are compared: genome (pattern), one file, or two of pairs, in ``reads_folder``."""

    genome: str
    files: tuple[str, ...]
    tools: tuple[str, str] = ("genoseq", "bwa")


@dataclass(frozen=True)
class Benchmark:
    """The whole comparison.

    Attributes:
        genomes: folder of FASTA files; ``include`` and ``exclude`` are file name patterns.
        read_sets: simulated reads on all genomes together.
        reads_folder: folder of the files of ``real``; None: that part is left out.
        output: folder for everything written.
        tools: names of peers; empty: all that are installed.
        repeats: runs of each mapping command; the one of median wall time counts.
    """

    genomes: str
    read_sets: tuple[ReadSet, ...]
    output: str = "results"
    include: tuple[str, ...] = ("*",)
    exclude: tuple[str, ...] = ()
    tools: tuple[str, ...] = ()
    threads: int = 2
    repeats: int = 1
    cross: CrossSet | None = None
    real: RealSet | None = None
    reads_folder: str | None = None

    def __post_init__(self) -> None:
        names = [read_set.name for read_set in self.read_sets]
        if not names or len(set(names)) < len(names):
            raise ValueError(f"read_sets {names}: expected one or more with different names")
        if self.threads < 1 or self.repeats < 1:
            raise ValueError(f"threads {self.threads}, repeats {self.repeats}: expected 1 or more of each")

    def read_set(self, name: str) -> ReadSet:
        """The read set called ``name``."""
        return next(read_set for read_set in self.read_sets if read_set.name == name)


def parse_benchmark(config: Mapping[str, Any]) -> Benchmark:
    """The comparison a workflow configuration describes.

    Raises:
        RecipeError: an unknown key, a missing one or a wrong value.
        UsageError: an unknown tool.
    """
    benchmark = build_recipe(dict(config), Benchmark, name="configuration")
    for name in benchmark.tools:
        peer_named(name)
    return benchmark


def tools_for(benchmark: Benchmark, *, paired: bool = False) -> list[Peer]:
    """The installed tools of the comparison; with ``paired`` only those that map pairs.

    Raises:
        UsageError: none is installed.
    """
    tools = [peer for peer in available(benchmark.tools or None) if peer.paired or not paired]
    if not tools:
        raise UsageError(f"none of the tools is installed: {', '.join(benchmark.tools) or 'looked for all known ones'}")
    return tools


def make_reference(
    benchmark: Benchmark, output: Path, table: Path | None = None, *, patterns: Sequence[str] = ()
) -> None:
    """Write one FASTA of the genomes that fit ``patterns`` (default: the configuration's), and a table of contigs."""
    genomes = find_genomes(
        Path(benchmark.genomes),
        include=patterns or benchmark.include,
        exclude=() if patterns else benchmark.exclude,
    )
    parts = assemble_reference(genomes, output)
    if table is not None:
        write_tsv(parts, table)


def make_reads(reference: Path, model: ReadModel, outputs: Sequence[Path], *, count: int) -> None:
    """Simulate ``count`` reads or pairs on a FASTA file."""
    write_reads(Genome.from_fasta(reference), model, outputs, count=count)


def count_reads(files: Sequence[Path]) -> int:
    """Records in FASTA or FASTQ files, all together."""
    return sum(1 for path in files for _ in read_fastx(path))


def judge_set(peer: Peer, read_set: ReadSet, *, index: Path, run: Path, alignments: Path) -> Result:
    """Judge one tool on one read set of the mixed reference, from its records and its output."""
    judgement = judge(read_placements(alignments), expected=read_set.reads, silent=peer.writes == "last")
    return make_result(
        peer,
        load_record(index, IndexRun),
        load_record(run, MapRun),
        judgement,
        read_set=read_set.name,
        divergence=read_set.divergence,
        errors=read_set.errors,
        length=read_set.length,
        paired=read_set.paired,
    )


def write_tables(
    benchmark: Benchmark, results: Sequence[Result], *, report: Path, results_table: Path, curves_table: Path
) -> None:
    """Write the report (Markdown), every figure of every tool and set (TSV), and the error curves (TSV)."""
    wanted = benchmark.tools or tuple(peer.name for peer in PEERS)
    used = {result.tool for result in results}
    missing = [name for name in wanted if name not in used]
    notes = [
        "Correct: the primary record is on the true contig and strand, its unclipped start at most 40 bp from the true "
        f"start. Speed and memory: median of {benchmark.repeats} runs, nothing else running, the whole command."
    ]
    if missing:
        notes.append(f"Not installed, left out: {', '.join(missing)}.")
    with whole_file(report) as temporary:
        temporary.write_text(markdown_report(results, title="Read mappers compared", notes=notes))
    write_tsv(results, results_table)
    write_tsv(
        [
            CurveRow(result.tool, result.read_set, point.quality, point.placed, point.wrong)
            for result in results
            for point in result.curve
        ],
        curves_table,
    )


@dataclass(frozen=True)
class CurveRow:
    """One point of a cumulative error curve: reads placed with quality ``quality`` or better, and wrong ones."""

    tool: str
    read_set: str
    quality: int
    placed: int
    wrong: int


@dataclass(frozen=True, kw_only=True)
class CrossRow:
    """One tool on reads of another species: reads with a truth, and where those went."""

    tool: str
    label: str
    reads: int
    with_truth: int
    correct: int
    wrong: int
    unmapped: int
    placed_q20: int | None
    wrong_q20: int | None
    mapped_without_truth: int
    reads_per_second: float


def write_cross_table(
    tools: Sequence[str],
    *,
    alignments: Sequence[Path],
    runs: Sequence[Path],
    maf: Path,
    reads: Path,
    table: Path,
) -> None:
    """Judge every tool on reads of another species, and write one row each."""
    names = [record.name for record in read_fastx(reads)]
    truths = lift_names(Lift.from_maf(maf), names)
    rows = [
        _cross_row(peer_named(tool), read_placements(found), truths, len(names), load_record(run, MapRun))
        for tool, found, run in zip(tools, alignments, runs, strict=True)
    ]
    write_tsv(rows, table)


def _cross_row(
    peer: Peer, placements: Iterable[Placement], truths: dict[str, Truth], reads: int, run: MapRun
) -> CrossRow:
    cross = judge_crossmap(placements, truths, reads=reads, silent=peer.writes == "last")
    judged = cross.judgement
    confident = judged.at_least(20) if judged.has_quality else None
    return CrossRow(
        tool=peer.name,
        label=peer.label,
        reads=cross.reads,
        with_truth=judged.reads,
        correct=judged.correct,
        wrong=judged.wrong,
        unmapped=judged.unmapped + judged.lost,
        placed_q20=None if confident is None else confident.placed,
        wrong_q20=None if confident is None else confident.wrong,
        mapped_without_truth=cross.mapped_without_truth,
        reads_per_second=run.reads_per_second,
    )


@dataclass(frozen=True, kw_only=True)
class AgreementRow(Agreement):
    """The agreement of two tools on real reads."""

    first: str
    second: str


def write_agreement_table(tools: Sequence[str], alignments: Sequence[Path], table: Path) -> None:
    """Compare what the first tool and each other one made of the same real reads."""
    rows = [
        AgreementRow(
            first=tools[0],
            second=other,
            **dataclasses.asdict(compare(read_placements(alignments[0]), read_placements(found))),
        )
        for other, found in zip(tools[1:], alignments[1:], strict=True)
    ]
    write_tsv(rows, table)
