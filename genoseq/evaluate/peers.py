"""The mappers that are compared, with the exact settings, and how one of them is run.

Each tool is a row of :data:`PEERS`: how to build an index in a folder of its own and how to map reads to standard
output. Commands are lists of words, never a shell line. Placeholders: ``{reference}`` FASTA, ``{index}`` the index
folder, ``{threads}``, ``{reads}`` (single reads), ``{first}`` and ``{second}`` (pairs).

Settings other than the defaults are those found to place the most reads at 20 % edits. LAST reads FASTQ without its
qualities (``-Q fastx``): with them it scores mismatches for nearly identical reads. It writes local alignments, of
which the best one of a read is taken, and gives no mapping quality.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from genoseq.errors import UsageError
from genoseq.evaluate.measure import CommandError, Cost, folder_bytes, run_measured, warm

__all__ = [
    "PEERS",
    "IndexRun",
    "MapRun",
    "Peer",
    "available",
    "build_index",
    "find_program",
    "map_reads",
    "peer_named",
]


@dataclass(frozen=True, kw_only=True)
class Peer:
    """One tool with one set of options.

    Attributes:
        name: short name for tables and file names.
        label: name for figures and reports.
        program: executable looked for on PATH; ``version``: words that make it tell its version.
        index: command that writes the index into ``{index}/``. ``single``, ``paired``: map to standard output
            (``paired`` empty: the tool does not map pairs).
        writes: "sam" or "last".
        environment: variables to set, with the same placeholders (genoseq: its list of indexes is not the user's).
        compiles: the first run on a machine compiles code that is kept; one run goes before those measured.
    """

    name: str
    label: str
    program: str
    version: tuple[str, ...]
    index: tuple[str, ...]
    single: tuple[str, ...]
    paired: tuple[str, ...] = ()
    writes: str = "sam"
    environment: tuple[tuple[str, str], ...] = ()
    compiles: bool = False

    @property
    def output_suffix(self) -> str:
        """File name suffix of what it writes."""
        return ".sam" if self.writes == "sam" else ".tab"


def _genoseq(name: str, label: str, *options: str, index_options: tuple[str, ...] = ()) -> Peer:
    run = ("genoseq", "align", "-t", "{threads}", *options, "-x", "{index}/reference")
    return Peer(
        name=name,
        label=label,
        program="genoseq",
        version=("genoseq", "--version"),
        index=("genoseq", "index", "-t", "{threads}", *index_options, "-o", "{index}/reference", "{reference}"),
        single=(*run, "{reads}"),
        paired=(*run, "{first}", "{second}"),
        environment=(("GENOSEQ_HOME", "{index}/home"),),
        compiles=True,
    )


def _minimap2(name: str, label: str, *options: str) -> Peer:
    run = ("minimap2", "-t", "{threads}", "-ax", "sr", *options, "{index}/reference.mmi")
    return Peer(
        name=name,
        label=label,
        program="minimap2",
        version=("minimap2", "--version"),
        index=(
            "minimap2",
            "-t",
            "{threads}",
            "-x",
            "sr",
            *options[:4],
            "-d",
            "{index}/reference.mmi",
            "{reference}",
        ),
        single=(*run, "{reads}"),
        paired=(*run, "{first}", "{second}"),
    )


def _bwa(name: str, label: str, *options: str) -> Peer:
    run = ("bwa", "mem", "-t", "{threads}", *options, "{index}/reference")
    return Peer(
        name=name,
        label=label,
        program="bwa",
        version=("bwa",),
        index=("bwa", "index", "-p", "{index}/reference", "{reference}"),
        single=(*run, "{reads}"),
        paired=(*run, "{first}", "{second}"),
    )


def _bowtie2(name: str, label: str, *options: str) -> Peer:
    run = ("bowtie2", "-p", "{threads}", *options, "-x", "{index}/reference")
    return Peer(
        name=name,
        label=label,
        program="bowtie2",
        version=("bowtie2", "--version"),
        index=("bowtie2-build", "--quiet", "--threads", "{threads}", "{reference}", "{index}/reference"),
        single=(*run, "-U", "{reads}"),
        paired=(*run, "-1", "{first}", "-2", "{second}"),
    )


def _last(name: str, label: str, *options: str) -> Peer:
    return Peer(
        name=name,
        label=label,
        program="lastal",
        version=("lastal", "--version"),
        index=("lastdb", "-P", "{threads}", "{index}/reference", "{reference}"),
        single=(
            "lastal",
            "-P",
            "{threads}",
            "-Q",
            "fastx",
            "-f",
            "TAB",
            *options,
            "{index}/reference",
            "{reads}",
        ),
        writes="last",
    )


DIVERGENT = ("-f", "5000", "-s", "20", "-m", "15")
PEERS: tuple[Peer, ...] = (
    _genoseq("genoseq", "genoseq align"),
    _genoseq("genoseq-fast", "genoseq align --preset fast", "--preset", "fast"),
    _genoseq("genoseq-sensitive", "genoseq align --preset sensitive", "--preset", "sensitive"),
    _genoseq("genoseq-random", "genoseq align, untrained table", index_options=("--encoder", "random")),
    _minimap2("minimap2", "minimap2 -ax sr"),
    _minimap2("minimap2-k11", "minimap2 -k 11", "-k", "11", "-w", "3", *DIVERGENT),
    _minimap2("minimap2-k9", "minimap2 -k 9", "-k", "9", "-w", "3", *DIVERGENT),
    _bwa("bwa", "bwa mem"),
    _bwa("bwa-k10", "bwa mem -k 10", "-k", "10", "-W", "20", "-T", "20"),
    _bowtie2("bowtie2", "bowtie2"),
    _bowtie2("bowtie2-vsl", "bowtie2 --very-sensitive-local", "--very-sensitive-local"),
    _last("last", "LAST"),
    _last("last-m100", "LAST -m100", "-m", "100"),
)


@dataclass(frozen=True)
class IndexRun:
    """Cost of one index: the command as run, the tool's version, its cost and the size of what it wrote."""

    tool: str
    version: str
    command: str
    threads: int
    cost: Cost
    index_bytes: int


@dataclass(frozen=True)
class MapRun:
    """Cost of mapping one set of reads; ``cost`` is the run of median wall time, ``walls_s`` are all of them."""

    tool: str
    command: str
    threads: int
    reads: int
    cost: Cost
    walls_s: tuple[float, ...]

    @property
    def reads_per_second(self) -> float:
        """Reads (mates count one each) per second of wall time, of the whole command: loading the index included."""
        return self.reads / self.cost.wall_s


def peer_named(name: str) -> Peer:
    """The row of :data:`PEERS` called ``name``.

    Raises:
        UsageError: there is none; the message lists those there are.
    """
    for peer in PEERS:
        if peer.name == name:
            return peer
    raise UsageError(f"unknown tool {name!r}; known: {', '.join(peer.name for peer in PEERS)}")


def find_program(program: str) -> str | None:
    """Full path of an executable on PATH, or beside this Python (a virtual environment that is not activated)."""
    return shutil.which(program) or shutil.which(program, path=str(Path(sys.executable).parent))


def available(names: Iterable[str] | None = None) -> list[Peer]:
    """The tools among ``names`` (default: all) whose program is installed, in the order of :data:`PEERS`."""
    wanted = {peer.name for peer in PEERS} if names is None else {peer_named(name).name for name in names}
    return [peer for peer in PEERS if peer.name in wanted and find_program(peer.program)]


def _words(template: Sequence[str], **values: object) -> list[str]:
    words = [word.format(**values) for word in template]
    program = find_program(words[0])
    if program is None:
        raise CommandError(f"{words[0]} is not installed (looked on PATH)")
    return [program, *words[1:]]


def _environment(peer: Peer, index: Path) -> dict[str, str]:
    return {name: value.format(index=index) for name, value in peer.environment}


def version_of(peer: Peer) -> str:
    """The version the installed program states, such as ``2.24-r1122``.

    Raises:
        CommandError: not installed, or its answer holds no version.
    """
    run = subprocess.run(_words(peer.version), capture_output=True, text=True, timeout=60, check=False)
    match = re.search(r"(?:[Vv]ersion:?\s+|^\w+,?\s+|^)v?(\d[\w.+-]*)", run.stdout + run.stderr, re.MULTILINE)
    if match is None:
        raise CommandError(f"no version in what {' '.join(peer.version)} prints")
    return match.group(1)


def _shown(template: Sequence[str], **values: object) -> str:
    """The command for reports: no folders."""
    return " ".join(word.format(**{key: Path(str(value)).name for key, value in values.items()}) for word in template)


def build_index(peer: Peer, *, reference: Path, index: Path, threads: int, log: Path | None = None) -> IndexRun:
    """Build the index of ``peer`` in the folder ``index`` (made, must be empty) and measure it."""
    index.mkdir(parents=True, exist_ok=True)
    if any(index.iterdir()):
        raise UsageError(f"{index}: the folder for an index has to be empty")
    warm([reference])
    values = {"reference": reference, "index": index, "threads": threads}
    cost = run_measured(_words(peer.index, **values), stderr=log, environment=_environment(peer, index))
    return IndexRun(peer.name, version_of(peer), _shown(peer.index, **values), threads, cost, folder_bytes(index))


def map_reads(
    peer: Peer,
    *,
    index: Path,
    reads: Sequence[Path],
    count: int,
    output: Path,
    threads: int,
    repeats: int = 1,
    log: Path | None = None,
) -> MapRun:
    """Map one file of single reads, or two of pairs, to ``output``, ``repeats`` times, and measure the whole command.

    Args:
        count: reads in the files (mates count one each), for the rate.

    Raises:
        UsageError: the tool does not map pairs.
        CommandError: the tool failed.
    """
    if len(reads) == 2 and not peer.paired:
        raise UsageError(f"{peer.name} does not map pairs")
    template = peer.single if len(reads) == 1 else peer.paired
    values = {"index": index, "threads": threads, "reads": reads[0], "first": reads[0], "second": reads[-1]}
    warm([index, *reads])
    command = _words(template, **values)

    def run() -> Cost:
        return run_measured(command, stdout=output, stderr=log, environment=_environment(peer, index))

    if peer.compiles:
        run()
    costs = sorted(run() for _ in range(repeats))
    return MapRun(
        tool=peer.name,
        command=_shown(template, **values),
        threads=threads,
        reads=count,
        cost=costs[(repeats - 1) // 2],
        walls_s=tuple(cost.wall_s for cost in costs),
    )
