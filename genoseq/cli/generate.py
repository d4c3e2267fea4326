"""``genoseq generate``: new sequences, drawn from a causal language model."""

from __future__ import annotations

import contextlib
import logging

import click

from genoseq.cli.model_options import begin_option, device_options, model_options, opened_model, tokenizer_option

__all__ = ["generate"]

log = logging.getLogger("genoseq.generate")


@click.command(name="generate")
@model_options
@tokenizer_option
@click.option("--prompt", metavar="FILE", help="FASTA or FASTQ of sequences to go on from. Default: begin from nothing.")
@click.option("-n", "--number", type=click.IntRange(min=1), default=1, show_default=True, help="Sequences, of each prompt.")
@click.option("--length", type=click.IntRange(min=1), required=True, metavar="N", help="New letters per sequence.")
@click.option("--temperature", type=click.FloatRange(min=0), default=1.0, show_default=True, help="0: the most probable token.")
@click.option(
    "--top-k", type=click.IntRange(min=0), default=0, show_default=True, help="Only the k most probable tokens; 0: all."
)
@click.option(
    "--top-p", type=click.FloatRange(min=0, max=1, min_open=True), default=1.0, show_default=True,
    help="Only the most probable tokens that have this probability together.",
)  # fmt: skip
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of the random numbers.")
@click.option(
    "--allow", type=click.Choice(["eos", "ambiguous", "special"]), multiple=True,
    help="Also draw the token for the end, letters such as N, special tokens. May be given more than once.",
)  # fmt: skip
@click.option("--keep-prompt", is_flag=True, help="Write the prompt before the new letters.")
@begin_option
@click.option(
    "--batch-size", type=click.IntRange(min=1), default=16, show_default=True, metavar="N",
    help="Sequences drawn side by side. Changes speed and memory, not results.",
)  # fmt: skip
@click.option("-o", "--output", metavar="FILE", help="FASTA to write. Default: standard output.")
@device_options
def generate(
    model_name: str,
    tokenizer_name: str | None,
    prompt: str | None,
    number: int,
    length: int,
    temperature: float,
    top_k: int,
    top_p: float,
    seed: int,
    allow: tuple[str, ...],
    keep_prompt: bool,
    begin: bool,
    batch_size: int,
    output: str | None,
    device: str,
    dtype: str,
    threads: int,
) -> None:
    """Draw new sequences from a causal language model.

    Only plain letters are drawn (A, C, G, T, or amino acids) unless --allow. The same seed gives the same sequences.
    """
    from genoseq.cli.targets import check_targets, target_of
    from genoseq.infer.generation import Sampling, fasta_of
    from genoseq.infer.generation import generate as draw
    from genoseq.infer.score_files import text_output
    from genoseq.infer.sequences import sequences_of
    from genoseq.infer.tokens import TokenReader
    from genoseq.log import Progress
    from genoseq.seqs.stream import open_bytes

    output = target_of(output)
    check_targets([output], [prompt])
    sampling = Sampling(temperature, top_k, top_p, allow)
    sampling.check()
    with contextlib.ExitStack() as stack:
        stream = stack.enter_context(open_bytes(prompt)) if prompt is not None else None
        opened = stack.enter_context(
            opened_model(model_name, device=device, dtype=dtype, threads=threads, tokenizer_name=tokenizer_name)
        )
        reader = TokenReader(opened.tokenizer)
        model_sha256 = opened.provenance().model_sha256
        prompts = None
        if stream is not None:
            prompts = stack.enter_context(sequences_of(stream, reader, label="generating"))
        progress = stack.enter_context(Progress(None, unit="tokens", label="generating")) if prompts is None else None
        out = stack.enter_context(text_output(output))
        for drawn in draw(
            opened.model, opened.tokenizer, prompts, length=length, count=number, sampling=sampling, seed=seed,
            begin=begin, batch=batch_size, report=progress.update if progress is not None else lambda tokens: None,
        ):  # fmt: skip
            out.write(fasta_of(drawn, keep_prompt=keep_prompt, seed=seed, model_sha256=model_sha256))
            if prompts is not None:
                prompts.tell()
    if prompts is not None and not prompts.records:
        log.warning("%s: no sequences to go on from", prompt)
    if prompts is not None and prompts.empty:
        log.warning("%d of %d prompts are empty and left out", prompts.empty, prompts.records)
