"""``genoseq score``: how probable sequences are to a language model."""

from __future__ import annotations

import contextlib
import logging

import click

from genoseq.cli.model_options import (
    batch_tokens_option,
    begin_option,
    device_options,
    model_options,
    opened_model,
    strand_option,
    stride_of,
    stride_option,
    tokenizer_option,
    told_stride,
    window_options,
)

__all__ = ["score"]

log = logging.getLogger("genoseq.score")


@click.command(name="score")
@click.argument("sequences", metavar="SEQS")
@model_options
@tokenizer_option
@click.option("-o", "--output", metavar="FILE", help="Table of the sequences, TSV. Default: standard output.")
@click.option("--per-base", metavar="FILE", help="Also write log-likelihoods per base; .npz, .bedgraph or .bedgraph.gz.")
@stride_option
@begin_option
@strand_option("forward")
@window_options
@batch_tokens_option
@device_options
def score(
    sequences: str,
    model_name: str,
    tokenizer_name: str | None,
    output: str | None,
    per_base: str | None,
    stride: int | str | None,
    begin: bool,
    strand: str,
    window: int | None,
    overlap: int,
    batch_tokens: int,
    device: str,
    dtype: str,
    threads: int,
) -> None:
    """Score SEQS (FASTA or FASTQ; plain, gzip, bgzip or zstd; - is standard input) by a language model.

    Causal models give log-likelihoods, masked ones pseudo-log-likelihoods, in nats; also bits per base and the perplexity of a
    token. Ambiguity codes such as N are not scored.
    """
    from genoseq.cli.targets import check_targets, target_of
    from genoseq.infer.likelihood import score as score_all
    from genoseq.infer.score_files import (
        FORMAT,
        PER_BASE_FORMAT,
        VERSION,
        check_per_base_name,
        per_base_file,
        score_row,
        table,
    )
    from genoseq.infer.sequences import sequences_of
    from genoseq.infer.tokens import TokenReader
    from genoseq.seqs.stream import open_bytes

    output = target_of(output)
    if per_base is not None:
        check_per_base_name(per_base)
    check_targets([output, per_base], [sequences])
    nothing = 0
    with contextlib.ExitStack() as stack:
        stream = stack.enter_context(open_bytes(sequences))  # first: a missing file is told at once
        opened = stack.enter_context(
            opened_model(model_name, device=device, dtype=dtype, threads=threads, tokenizer_name=tokenizer_name)
        )
        masked_every = stride_of(stride, opened.model)
        reader = TokenReader(opened.tokenizer)
        provenance = opened.provenance(
            stride=told_stride(masked_every, opened.model),
            bos=begin, strand=strand, window=window, overlap=overlap, dtype=dtype,
        )  # fmt: skip
        aside = None
        if per_base is not None:
            aside = stack.enter_context(per_base_file(per_base, provenance.described(PER_BASE_FORMAT, VERSION)))
        file = stack.enter_context(sequences_of(stream, reader, label="scoring"))
        out = stack.enter_context(table(output, provenance.described(FORMAT, VERSION)))
        for scored in score_all(
            opened.model, opened.tokenizer, file, stride=masked_every, begin=begin, strand=strand,
            window=window, overlap=overlap, batch_tokens=batch_tokens,
        ):  # fmt: skip
            out.write(score_row(scored))
            if aside is not None:
                aside.add(scored)
            nothing += not scored.scored
            file.tell()
    if not file.records:
        log.warning("%s: no sequences", sequences)
    if nothing:
        log.warning("%d of %d sequences have no base that can be scored", nothing, file.records)
