"""``genoseq variants``: effects of variants by a language model of DNA."""

from __future__ import annotations

import functools
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

__all__ = ["variants"]

log = logging.getLogger("genoseq.variants")


@click.command(name="variants")
@click.argument("reference", metavar="REF")
@click.argument("calls", metavar="VCF")
@model_options
@tokenizer_option
@click.option("-o", "--output", metavar="FILE", help="Output; .vcf.gz is compressed and indexed. Default: standard output.")
@click.option("--region", metavar="CONTIG[:START-END]", help="Only records of this region; VCF needs an index.")
@click.option("--skip-mismatch", is_flag=True, help="Write records that disagree with REF without scores, instead of failing.")
@scoring_options
@device_options
def variants(
    reference: str,
    calls: str,
    model_name: str,
    tokenizer_name: str | None,
    output: str | None,
    region: str | None,
    skip_mismatch: bool,
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
    """Score the variants of VCF (VCF or BCF; - is standard input) on the genome REF (FASTA).

    GS_LLR is the log-likelihood of a window with the alternative allele less that with the reference allele, in nats; both
    windows have the same number of bases, so that insertions and deletions are not biased by their length.
    """
    from genoseq.cli.targets import check_targets, target_of
    from genoseq.errors import UsageError
    from genoseq.infer.reference import Reference
    from genoseq.infer.variants import score_variants, window_size
    from genoseq.infer.vcf import FORMAT, VERSION, annotate, check_records, check_vcf_name, vcf_output
    from genoseq.infer.vcf_source import open_vcf
    from genoseq.log import Progress
    from genoseq.seqs.stream import open_bytes

    if reference == "-" and calls == "-":
        raise UsageError("only one of REF and VCF can come from standard input")
    output = target_of(output)
    check_vcf_name(output)
    check_targets([output], [reference, calls])
    if calls != "-":
        open_bytes(calls).close()  # a missing file is told before the genome is read
    with Reference.open(reference) as genome:
        if not skip_mismatch and os.path.isfile(calls):
            with open_vcf(calls, region=region, warn=False) as source:
                check_records(source, genome)
        with (
            open_vcf(calls, region=region) as source,
            opened_model(model_name, device=device, dtype=dtype, threads=threads, tokenizer_name=tokenizer_name) as opened,
        ):
            masked_every = stride_of(stride, opened.model)
            bases = window_size(opened.model, opened.tokenizer, context=context, left=left, right=right, begin=begin)
            provenance = opened.provenance(
                reference=os.path.basename(reference), context=bases, left=left, right=right, strand=strand, method=method,
                stride=told_stride(masked_every, opened.model), bos=begin, dtype=dtype,
            )  # fmt: skip
            score = functools.partial(
                score_variants, opened.model, opened.tokenizer, genome, context=context, left=left, right=right,
                strand=strand, method=method, stride=masked_every, begin=begin, batch_tokens=batch_tokens,
            )  # fmt: skip
            longest = max((genome.length(name) or 0 for name in genome.names), default=0)
            with (
                vcf_output(output, longest=longest) as sink,
                Progress(None, unit="records", label="scoring") as progress,
            ):
                done = annotate(
                    source, genome, score, sink, metadata=provenance.described(FORMAT, VERSION),
                    skip_mismatch=skip_mismatch, report=progress.update,
                )  # fmt: skip
    if not done.records:
        log.warning("%s: no records", calls)
    counts = dict(done.counts)
    scored = counts.pop("scored", 0)
    others = "".join(f", {count:,} {note}" for note, count in sorted(counts.items()))
    log.info("%d records: %d alleles scored%s", done.records, scored, others)
