"""``genoseq distances``: distances between all pairs of sequences or genomes."""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from genoseq.cli.options import threads_option

if TYPE_CHECKING:
    from genoseq.classify.distances import DistanceMatrix

__all__ = ["distances"]

log = logging.getLogger("genoseq.distances")

WORD_METRICS = ("mash", "ani", "jaccard", "containment")
DEFAULT_K = {"nucleotide": 21, "translated": 8}
OPEN_RUN = 50
SMALL = 1_000_000  # bases of the largest item up to which every word is kept
SCALED = {"nucleotide": 1000, "translated": 10}


@click.command(name="distances")
@click.argument("seqs", nargs=-1, required=True, metavar="SEQS...")
@click.option("-o", "--output", metavar="FILE", default="-", help="File to write. Default: standard output.")
@click.option("--format", "form", type=click.Choice(["tsv", "phylip"]), default="tsv", show_default=True, help="Format.")
@click.option(
    "--method",
    type=click.Choice([*WORD_METRICS, "ncd", "conditional"]),
    default="mash",
    show_default=True,
    help="Words in common (mash, ani, jaccard, containment) or compression (ncd, conditional).",
)
@click.option(
    "--per",
    type=click.Choice(["record", "file"]),
    help="What an item is: each record, or each file (a genome). Default: record for one file, file for several.",
)
@click.option(
    "--words",
    type=click.Choice(["nucleotide", "translated"]),
    default="nucleotide",
    show_default=True,
    help="Words of bases, or of amino acids in six frames: for genomes that share few bases.",
)
@click.option("-k", type=int, help="Length of a word. Default: 21 bases or 8 amino acids.")
@click.option(
    "--scaled",
    type=click.IntRange(min=1),
    help="Keep one word in so many. Default: all; for items above 1 Mbp 1000 (translated: 10).",
)
@click.option("--genetic-code", type=int, default=1, show_default=True, help="NCBI's number, for translated words.")
@click.option(
    "--open-run",
    type=click.IntRange(min=0),
    help="Translated words only from so many amino acids without a stop. Default: 0; 50 if an item is larger than 1 Mbp.",
)
@click.option(
    "--compressor",
    type=click.Choice(["gzip", "bz2", "lzma", "brotli", "zstd"]),
    default="lzma",
    show_default=True,
    help="For ncd; conditional is always zstd.",
)
@click.option("--level", type=int, help="Level of the compressor. Default: its own; 19 for conditional.")
@click.option("--errors", "errors_path", metavar="FILE", help="Write the standard errors from --scaled here (TSV).")
@threads_option
def distances(
    seqs: tuple[str, ...],
    output: str,
    form: str,
    method: str,
    per: str | None,
    words: str,
    k: int | None,
    scaled: int | None,
    genetic_code: int,
    open_run: int | None,
    compressor: str,
    level: int | None,
    errors_path: str | None,
    threads: int,
) -> None:
    """Write the distances between all pairs of the items in SEQS (FASTA or FASTQ; plain, gzip, bgzip or zstd; - is standard
    input).

    `genoseq tree` makes a tree of them.
    """
    by_words = method in WORD_METRICS
    _refuse_unused(by_words=by_words, method=method, words=words)
    from genoseq.classify.compressors import compressor_named
    from genoseq.classify.distances import compression_distances, conditional_distances, word_distances
    from genoseq.classify.sequences import SequenceInputError
    from genoseq.classify.words import Words
    from genoseq.outputs import check_writable

    for path in (output, errors_path):
        if path is not None and path != "-":
            check_writable(path)
    if seqs.count("-") > 1:
        raise click.UsageError("standard input (-) can be read once only")
    names, items = _items(seqs, per or ("file" if len(seqs) > 1 else "record"))
    if len(names) < 2:
        raise SequenceInputError(
            f"there is {len(names)} item: distances need at least 2",
            remedy="give several files, or --per record for the records of one",
        )
    if by_words:
        small = max(sum(map(len, item)) for item in items) <= SMALL
        if scaled is None:
            scaled = 1 if small else SCALED[words]
        if open_run is None:
            open_run = 0 if small or words == "nucleotide" else OPEN_RUN
        chosen = Words(DEFAULT_K[words] if k is None else k, words, scaled, genetic_code, open_run)  # type: ignore[arg-type]
        made = word_distances(items, names, chosen, metric=method, threads=threads)  # type: ignore[arg-type]
    elif method == "ncd":
        made = compression_distances(items, names, compressor_named(compressor, level), threads=threads)
    else:
        made = conditional_distances(items, names, level=19 if level is None else level, threads=threads)
    if errors_path is not None and made.errors is None:
        raise click.UsageError("--errors: nothing was left out, so there are none; they come with --scaled above 1")
    _write(made, output, form)
    if errors_path is not None:
        _write_errors(made, errors_path)


def _refuse_unused(*, by_words: bool, method: str, words: str) -> None:
    """An option that the method does not look at is a mistake, not a wish."""
    context = click.get_current_context()
    named = ("compressor", "level", "scaled", "words", "genetic_code", "open_run")
    spelled = {name: f"--{name.replace('_', '-')}" for name in named} | {"k": "-k", "errors_path": "--errors"}
    unused = {"compressor", "level"} if by_words else {"k", "scaled", "words", "genetic_code", "open_run", "errors_path"}
    if method == "conditional":
        unused |= {"compressor"}
    if by_words and words != "translated":
        unused |= {"genetic_code", "open_run"}
    for name in sorted(unused):
        if context.get_parameter_source(name) == click.core.ParameterSource.COMMANDLINE:
            with_words = " --words nucleotide" if by_words and name in ("genetic_code", "open_run") else ""
            raise click.UsageError(f"{spelled[name]} has no effect with --method {method}{with_words}")


def _items(paths: tuple[str, ...], per: str) -> tuple[list[str], list[list[bytes]]]:
    """Names and upper-case sequences of the items."""
    from genoseq.classify.distance_files import stem_of
    from genoseq.errors import InputError
    from genoseq.seqs.fastx import read_fastx

    names: list[str] = []
    items: list[list[bytes]] = []
    for path in paths:
        found = [(record.name, record.sequence.upper().encode()) for record in read_fastx(path)]
        if not any(sequence for _, sequence in found):
            raise InputError("holds no sequence", path=path)
        if per == "file":
            names.append("stdin" if path == "-" else stem_of(path))
            items.append([sequence for _, sequence in found if sequence])
        else:
            names.extend(name for name, _ in found)
            items.extend([sequence] for _, sequence in found)
    return names, items


def _write(made: DistanceMatrix, output: str, form: str) -> None:
    from genoseq.classify.distance_files import write_phylip, write_tsv
    from genoseq.outputs import whole_file

    write = write_phylip if form == "phylip" else write_tsv
    if output == "-":
        write(made, sys.stdout)
        return
    with whole_file(output) as temporary, open(temporary, "w", encoding="utf-8") as out:
        write(made, out)


def _write_errors(made: DistanceMatrix, path: str) -> None:
    """The standard errors as a table; NA where nothing is shared, so that none can be given."""
    import math

    from genoseq.outputs import whole_file

    assert made.errors is not None  # checked by the caller
    with whole_file(Path(path)) as temporary, open(temporary, "w", encoding="utf-8") as out:
        out.write("\t".join(["", *made.names]) + "\n")
        for name, row in zip(made.names, made.errors, strict=True):
            out.write("\t".join([name, *("NA" if math.isnan(value) else f"{value:.3g}" for value in row)]) + "\n")
