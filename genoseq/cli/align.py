"""``genoseq align``: map reads to an index and write SAM, BAM or CRAM."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import shlex
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from genoseq.cli.options import Whole, threads_option
from genoseq.cli.targets import STDOUT, check_targets

if TYPE_CHECKING:
    from genoseq.seqs.chunks import ChunkReader
    from genoseq.seqs.pairs import PairReader

__all__ = ["align"]

log = logging.getLogger("genoseq.align")

MANY, FEW = 1000, 0.01
"""Reads from which on, and share of mapped ones below which, the reference is probably not that of the reads."""


class _Align(click.Command):
    """Knows where users of other mappers put the reference."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        try:
            return super().parse_args(ctx, args)
        except click.UsageError as error:
            if "unexpected extra argument" not in error.message:
                raise
            hint = "READS and MATES are all. The reference goes to -x: `genoseq align -x REF READS MATES`."
            raise click.UsageError(f"{error.message.rstrip('.')}: {hint}", ctx) from error


@click.command(name="align", cls=_Align)
@click.argument("reads")
@click.argument("mates", required=False)
@click.option("-x", "--index", "index_name", metavar="NAME|DIR|REF", help="Index: a registered name, a folder, or a FASTA.")
@click.option("-o", "--output", metavar="FILE", help="Output; .sam, .bam or .cram. Default: SAM to standard output.")
@click.option("-O", "--output-format", "kind", type=click.Choice(["sam", "bam", "cram"]), help="Format, if not by name.")
@click.option("-p", "--interleaved", is_flag=True, help="READS holds pairs, mates one after the other.")
@click.option("--sort", "ordered", is_flag=True, help="Sort by coordinate; BAM and CRAM are indexed too.")
@click.option("-R", "--read-group", metavar="LINE", help=r"Read group, as '@RG\tID:a\tSM:b'.")
@click.option("--max-secondary", type=Whole(0, 100), default=0, show_default=True, help="Other places to report.")
@click.option("--unmapped-out", metavar="FILE", help="Also write reads without a place (pairs: both mates) as FASTQ[.gz].")
@click.option("--preset", default="default", show_default=True, help="default, fast or sensitive.")
@click.option("--seed", type=Whole(0, 2**31 - 1), default=0, show_default=True, help="Draws among equal places.")
@click.option("--summary", metavar="FILE", help="Write counts as JSON.")
@click.option("--coverage", metavar="FILE", help="Write a figure of the depth along the reference (PNG, PDF or SVG).")
@threads_option
def align(
    reads: str,
    mates: str | None,
    index_name: str | None,
    output: str | None,
    kind: str | None,
    interleaved: bool,
    ordered: bool,
    read_group: str | None,
    max_secondary: int,
    unmapped_out: str | None,
    preset: str,
    seed: int,
    summary: str | None,
    coverage: str | None,
    threads: int,
) -> None:
    """Map READS, or pairs of READS and MATES (FASTA or FASTQ; plain, gzip, bgzip or zstd; - is standard input).

    The index is -x, else $GENOSEQ_INDEX, else the default one of `genoseq index --list`. With -x REF.fa an index is built
    once and cached.
    """
    if mates is not None and interleaved:
        raise click.UsageError("-p says that READS holds both mates, but MATES is given too")
    from genoseq.align.aligner import Aligner
    from genoseq.align.index import Index
    from genoseq.align.names import checked_names
    from genoseq.align.output import alignment_output, output_format, unmapped_output
    from genoseq.align.presets import settings_for
    from genoseq.align.registry import find_index
    from genoseq.align.sam import read_group_line
    from genoseq.align.summary import Summary
    from genoseq.align.warm import compile_kernels
    from genoseq.errors import UsageError
    from genoseq.log import Progress, counted
    from genoseq.outputs import whole_file

    settings_for(preset, chance=0)  # an unknown preset is told before the index is built
    group = read_group_line(read_group) if read_group is not None else None
    # A shell's own file behind /dev/stdout is appended to, never replaced.
    output, unmapped_out, summary = ("-" if path in STDOUT else path for path in (output, unmapped_out, summary))
    form = output_format(output, kind)
    figure_form = Path(coverage).suffix.lower().lstrip(".") if coverage else ""
    if coverage and figure_form not in ("png", "pdf", "svg"):
        raise UsageError(f"--coverage {coverage}: end the name in .png, .pdf or .svg")
    if [output or "-", unmapped_out, summary].count("-") > 1:
        raise UsageError("only one output can go to standard output, where the alignments go if -o names no file")
    targets = [path for path in (output, unmapped_out, summary, coverage) if path not in (None, "-")]
    given_index = index_name or os.environ.get("GENOSEQ_INDEX")
    inputs = [path for path in (reads, mates, given_index) if path is not None]
    check_targets(targets, inputs)
    with contextlib.ExitStack() as stack:
        reader = stack.enter_context(_reader(reads, mates, interleaved))  # first: a missing file is told at once
        with _index_progress() as report:
            folder = find_index(index_name, threads=threads, progress=report)
        check_targets(targets, [str(path) for path in folder.iterdir()])
        index = Index.open(folder)
        k, density = index.manifest["k"], index.manifest["density"]
        contigs = counted(len(index.names), "contig")
        log.debug("index %s of %s: %d bp in %s, k %d, density %g", folder, index.reference, index.bases, contigs, k, density)
        log.debug("%s, preset %s, seed %d", counted(threads, "thread"), preset, seed)
        compile_kernels()
        aligner = Aligner(
            index, threads=threads, preset=preset, secondary=max_secondary, seed=seed,
            read_group=group[1] if group else None,
        )  # fmt: skip
        began = time.monotonic()
        paired = interleaved or mates is not None
        counts = Summary(index)
        header = aligner.header(
            command=" ".join(shlex.join(["genoseq", *sys.argv[1:]]).split()),
            read_group=group[0] if group else None,
            sorted_by="coordinate" if ordered else "unsorted",
        )
        aside = stack.enter_context(unmapped_output(unmapped_out))
        sink = stack.enter_context(
            alignment_output(output, kind=form, ordered=ordered, threads=threads, longest_contig=max(index.lengths))
        )
        progress = stack.enter_context(Progress(reader.size, unit="bytes", label="mapping"))
        sink.write(header.encode(errors="replace"))
        batches = checked_names(reader, *(path for path in (reads, mates) if path is not None), paired=paired)
        for mapped in aligner.map_batches(batches, paired=paired):
            sink.write(mapped.text.data)
            counts.add(mapped.reads, mapped.records)
            if aside is not None:
                aside.write(mapped.reads, mapped.records)
            progress.note = f"{counted(counts.counts['reads'], 'read')}, {counts.counts['mapped']:,} mapped"
            progress.update(reader.position - progress.done)
    seconds = time.monotonic() - began
    if counts.counts["reads"] == 0:
        log.warning("%s: no reads", reads)
    if counts.counts["too_long_reads"]:
        from genoseq.align.place import MAX_LENGTH

        number = counts.counts["too_long_reads"]
        log.warning("%s longer than %d bp: written unmapped", counted(number, "read"), MAX_LENGTH)
    if summary is not None:
        settings = {"preset": preset, "seed": seed, "max_secondary": max_secondary, "paired": paired}
        content = counts.as_dict(inserts=aligner.inserts, seconds=seconds, settings=settings)
        text = json.dumps(content, indent=1)
        if summary == "-":
            click.echo(text)
        else:
            with whole_file(summary) as temporary:
                temporary.write_text(text + "\n")
    if coverage is not None:
        from genoseq.report.coverage import draw_coverage

        source = "standard input" if reads == "-" else Path(reads).name
        with whole_file(coverage) as temporary:
            draw_coverage(counts, temporary, reads=f"{source}{' and mates' if paired else ''}", form=figure_form)
    log.info(counts.sentence(seconds))
    if counts.counts["reads"] >= MANY and counts.counts["mapped"] < FEW * counts.counts["reads"]:
        log.warning("almost nothing maps: is %s (%s) the right genome? -x chooses another", index.reference, folder)


@contextlib.contextmanager
def _reader(reads: str, mates: str | None, interleaved: bool) -> Iterator[ChunkReader | PairReader]:
    """The reads in batches: mates side by side, under one name."""
    from genoseq.align.aligner import BATCH, BATCH_BASES
    from genoseq.seqs.chunks import ChunkReader, read_chunks
    from genoseq.seqs.pairs import read_interleaved_chunks, read_pair_chunks

    if mates is not None:
        reader: ChunkReader | PairReader = read_pair_chunks(reads, mates, batch_size=BATCH)
    elif interleaved:
        reader = read_interleaved_chunks(reads, batch_size=BATCH)
    else:
        reader = read_chunks(reads, batch_size=BATCH, max_bases=BATCH_BASES)
    with contextlib.closing(reader):
        if not isinstance(reader, ChunkReader):
            reader.check_formats()
        yield reader


@contextlib.contextmanager
def _index_progress() -> Iterator[Callable[[int, int], None]]:
    """A progress bar for an index that is built on the way; it shows nothing if none is."""
    from genoseq.log import Progress

    with Progress(None, unit="codes", label="indexing") as progress:

        def report(done: int, total: int) -> None:
            progress.total = total
            progress.update(done - progress.done)

        yield report
