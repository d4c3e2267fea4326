"""``genoseq segment``: where a net that chooses its own tokens puts their boundaries."""

from __future__ import annotations

import contextlib
import logging

import click

from genoseq.cli.model_options import device_options, model_options, opened_model, tokenizer_option

__all__ = ["segment"]

log = logging.getLogger("genoseq.segment")


@click.command(name="segment")
@click.argument("sequences", metavar="SEQS")
@model_options
@tokenizer_option
@click.option("-o", "--output", metavar="FILE", help="Boundaries; .bed or .txt. Default: BED to standard output.")
@click.option(
    "--output-format", type=click.Choice(["bed", "text"]),
    help="bed: a line per token; text: the letters with a bar at each boundary. Default: by the ending of -o.",
)  # fmt: skip
@click.option(
    "--stage", type=click.IntRange(min=0), default=0, show_default=True, metavar="N",
    help="Of an H-Net with several stages: whose chunks; 0 is the outermost, with the shortest.",
)  # fmt: skip
@device_options
def segment(
    sequences: str,
    model_name: str,
    tokenizer_name: str | None,
    output: str | None,
    output_format: str | None,
    stage: int,
    device: str,
    dtype: str,
    threads: int,
) -> None:
    """Cut SEQS (FASTA or FASTQ; plain, gzip, bgzip or zstd; - is standard input) where the model begins a new token.

    The model is one that has learned where: an H-Net or a MergeDNA. Each sequence goes through it by itself and whole.
    """
    from genoseq.cli.targets import check_targets, target_of
    from genoseq.infer.score_files import text_output
    from genoseq.infer.segmentation import FORMAT, VERSION, choose_form, segmentation_lines, segmenter
    from genoseq.infer.sequences import sequences_of
    from genoseq.infer.tokens import TokenReader
    from genoseq.seqs.stream import open_bytes

    output = target_of(output)
    form = choose_form(output, output_format)
    check_targets([output], [sequences])
    with contextlib.ExitStack() as stack:
        stream = stack.enter_context(open_bytes(sequences))  # first: a missing file is told at once
        opened = stack.enter_context(
            opened_model(model_name, device=device, dtype=dtype, threads=threads, tokenizer_name=tokenizer_name)
        )
        reader = TokenReader(opened.tokenizer)
        cut = segmenter(opened.model, opened.tokenizer, stage=stage)
        cut.segment(reader.letters)  # a model that chooses no tokens, or has no such stage, is told before anything is read
        metadata = opened.provenance(stage=stage, dtype=dtype).described(FORMAT, VERSION)
        file = stack.enter_context(sequences_of(stream, reader, label="segmenting"))
        out = stack.enter_context(text_output(output))
        header = f"#{metadata}\n"
        for record in file:
            if not record.sequence:
                continue
            found = cut.segment(reader.check(record, file.records))
            for line in segmentation_lines(record.name, found, form=form):
                out.write(f"{header}{line}\n")
                header = ""
            file.tell()
        out.write(header)
    if not file.records:
        log.warning("%s: no sequences", sequences)
    if file.empty:
        log.warning("%d of %d sequences are empty and left out", file.empty, file.records)
