"""``genoseq mutagenesis``: the effect of every single substitution in a stretch of sequence."""

from __future__ import annotations

import contextlib
import logging
import os

import click

from genoseq.cli.model_options import (
    device_options,
    model_options,
    opened_model,
    scoring_options,
    stride_of,
    tokenizer_option,
    told_stride,
)

__all__ = ["mutagenesis"]

log = logging.getLogger("genoseq.mutagenesis")


@click.command(name="mutagenesis")
@click.argument("sequence", metavar="SEQ")
@model_options
@tokenizer_option
@click.option("--region", metavar="[NAME:]START-END", help="Stretch to change, from 1. Default: all of the first record.")
@click.option("-o", "--output", metavar="FILE", help="Table of the substitutions, TSV. Default: standard output.")
@click.option("--figure", metavar="FILE", help="Also draw a heat map; .png, .pdf or .svg.")
@scoring_options
@device_options
def mutagenesis(
    sequence: str,
    model_name: str,
    tokenizer_name: str | None,
    region: str | None,
    output: str | None,
    figure: str | None,
    context: int | None,
    left: int | None,
    right: int | None,
    strand: str,
    method: str,
    stride: int | str | None,
    begin: bool,
    batch_tokens: int,
    device: str,
    dtype: str,
    threads: int,
) -> None:
    """Score all single substitutions of a stretch of SEQ (FASTA or FASTQ; - is standard input).

    The scores are those of `genoseq variants`.
    """
    from genoseq.cli.targets import check_targets, target_of
    from genoseq.infer.mutagenesis import FORMAT, VERSION, mutagenesis_rows, mutate, parse_region, pick_record
    from genoseq.infer.mutagenesis_figure import check_figure_name, draw_mutagenesis
    from genoseq.infer.score_files import table
    from genoseq.infer.sequences import sequences_of
    from genoseq.infer.tokens import TokenReader
    from genoseq.infer.variants import window_size
    from genoseq.log import Progress
    from genoseq.outputs import whole_file
    from genoseq.seqs.stream import open_bytes

    output = target_of(output)
    form = check_figure_name(figure) if figure is not None else ""
    check_targets([output, figure], [sequence])
    name, start, end = parse_region(region) if region is not None else (None, 0, None)
    with contextlib.ExitStack() as stack:
        stream = stack.enter_context(open_bytes(sequence))  # first: a missing file is told at once
        opened = stack.enter_context(
            opened_model(model_name, device=device, dtype=dtype, threads=threads, tokenizer_name=tokenizer_name)
        )
        masked_every = stride_of(stride, opened.model)
        reader = TokenReader(opened.tokenizer)
        with sequences_of(stream, reader, label="reading") as file:
            record = pick_record(file, name, path=sequence)
        bases = window_size(opened.model, opened.tokenizer, context=context, left=left, right=right, begin=begin)
        with Progress((end or len(record)) - start, unit="positions", label="changing") as progress:
            result = mutate(
                opened.model, opened.tokenizer, record, start=start, end=end, context=context, left=left, right=right,
                strand=strand, method=method, stride=masked_every, begin=begin, batch_tokens=batch_tokens,
                report=progress.update,
            )  # fmt: skip
        provenance = opened.provenance(
            sequence=os.path.basename(sequence), region=region, context=bases, left=left, right=right, strand=strand,
            method=method, stride=told_stride(masked_every, opened.model), bos=begin, dtype=dtype,
        )  # fmt: skip
        if figure is not None:
            title = f"In-silico mutagenesis of {record.name}:{start + 1:,}-{start + len(result.reference):,} by {opened.name}"
            with whole_file(figure) as temporary:
                draw_mutagenesis(result, temporary, title=title, form=form)
        columns = ("name", "position", "ref", "alt", "llr")
        with table(output, provenance.described(FORMAT, VERSION), columns) as out:
            for row in mutagenesis_rows(result):
                out.write(row)
    if not (result.effects > float("-inf")).any():
        log.warning("%s: no letter of %s can be changed: all are ambiguity codes", sequence, record.name)
