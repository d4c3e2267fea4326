"""``genoseq embed``: embeddings of sequences."""

from __future__ import annotations

import logging

import click

from genoseq.cli.model_options import (
    batch_tokens_option,
    device_options,
    model_options,
    opened_model,
    strand_option,
    tokenizer_option,
    window_options,
)

__all__ = ["embed"]

log = logging.getLogger("genoseq.embed")


@click.command(name="embed")
@click.argument("sequences", metavar="SEQS")
@model_options
@tokenizer_option
@click.option("-o", "--output", required=True, metavar="FILE", help="Output; .npz, .parquet or .h5ad.")
@click.option(
    "--pool", type=click.Choice(["mean", "last", "cls", "none"]), default="mean", show_default=True,
    help="One vector per sequence: mean over tokens, last token, special first token; none: one per token.",
)  # fmt: skip
@click.option("--layer", type=int, metavar="N", help="0 embeddings, then the blocks; negative from the end. Default: the output.")
@click.option("--keep-special", is_flag=True, help="Special tokens count too.")
@strand_option("forward")
@window_options
@batch_tokens_option
@device_options
def embed(
    sequences: str,
    model_name: str,
    tokenizer_name: str | None,
    output: str,
    pool: str,
    layer: int | None,
    keep_special: bool,
    strand: str,
    window: int | None,
    overlap: int,
    batch_tokens: int,
    device: str,
    dtype: str,
    threads: int,
) -> None:
    """Embed SEQS (FASTA or FASTQ; plain, gzip, bgzip or zstd; - is standard input) by a model.

    Special tokens such as [CLS] and [SEP] are left out unless --keep-special.
    """
    from genoseq.cli.targets import check_targets
    from genoseq.infer.embedding import iter_embeddings
    from genoseq.infer.embedding_files import check_format, embedding_file
    from genoseq.infer.sequences import sequences_of
    from genoseq.infer.tokens import TokenReader
    from genoseq.seqs.stream import open_bytes

    check_format(output)
    check_targets([output], [sequences])
    with (
        open_bytes(sequences) as stream,  # first: a missing file is told at once
        opened_model(model_name, device=device, dtype=dtype, threads=threads, tokenizer_name=tokenizer_name) as opened,
    ):
        reader = TokenReader(opened.tokenizer)
        provenance = opened.provenance(
            pool=pool, layer=layer, keep_special=keep_special, strand=strand, window=window, overlap=overlap, dtype=dtype
        )
        with (
            sequences_of(stream, reader, label="embedding") as file,
            embedding_file(output, provenance, pooled=pool != "none") as sink,
        ):
            for embedded in iter_embeddings(
                opened.model, opened.tokenizer, file, pool=pool, layer=layer, special=keep_special, strand=strand,
                window=window, overlap=overlap, batch_tokens=batch_tokens,
            ):  # fmt: skip
                sink.add(embedded)
                file.tell()
    if not file.records:
        log.warning("%s: no sequences", sequences)
    if file.empty:
        log.warning("%d of %d sequences are empty: their embeddings are NaN, or no tokens", file.empty, file.records)
    if file.unclear:
        log.warning("%d of %d sequences hold ambiguity codes only", file.unclear, file.records)
