"""``genoseq family prompt``: proteins from ProtGPT2, ZymCTRL or ProLLaMA."""

from __future__ import annotations

import logging

import click

from genoseq.cli.family.model_source import torch_threads
from genoseq.cli.model_options import device_options

__all__ = ["prompt"]

log = logging.getLogger("genoseq.family")
FORMATS = ("protgpt2", "zymctrl", "prollama")


@click.command(name="prompt")
@click.argument("text", metavar="[PROMPT]", default="")
@click.option("-m", "--model", "source", required=True, metavar="DIR|NAME", help="ProtGPT2, ZymCTRL or ProLLaMA.")
@click.option(
    "--format", "form", type=click.Choice(FORMATS), help="How the model is asked. Default: told from its name and tokens."
)
@click.option("-n", "--number", type=click.IntRange(1), default=1, show_default=True, metavar="N", help="Proteins.")
@click.option("--start", default="", metavar="RESIDUES", help="Residues to begin with.")
@click.option("--max-tokens", type=click.IntRange(1), metavar="N", help="Of a protein, at most. Default: what the model reads.")
@click.option("--temperature", type=click.FloatRange(0), metavar="T", help="0: the most probable token. Default: the authors'.")
@click.option("--top-k", type=click.IntRange(0), metavar="K", help="Only the K likeliest tokens; 0: all. Default: the authors'.")
@click.option(
    "--top-p",
    type=click.FloatRange(0, 1, min_open=True),
    metavar="P",
    help="Only the likeliest tokens that have this probability together. Default: the authors'.",
)
@click.option(
    "--repetition-penalty",
    type=click.FloatRange(0, min_open=True),
    metavar="X",
    help="Above 1 makes tokens drawn before less likely. Default: 1.2.",
)
@click.option("--complete-only", is_flag=True, help="Leave out proteins that the model did not end.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, metavar="N", help="Of the random numbers.")
@click.option(
    "--batch-size",
    type=click.IntRange(1),
    default=8,
    show_default=True,
    metavar="N",
    help="Proteins drawn side by side. Changes speed and memory, not results.",
)
@click.option("-o", "--output", metavar="FILE", help="FASTA, the lowest perplexity first. Default: standard output.")
@device_options
def prompt(
    text: str,
    source: str,
    form: str | None,
    number: int,
    start: str,
    max_tokens: int | None,
    temperature: float | None,
    top_k: int | None,
    top_p: float | None,
    repetition_penalty: float | None,
    complete_only: bool,
    seed: int,
    batch_size: int,
    output: str | None,
    device: str,
    dtype: str,
    threads: int,
) -> None:
    """Generate proteins from a PROMPT: nothing for ProtGPT2, an EC number for ZymCTRL, a superfamily for ProLLaMA."""
    from genoseq.cli.targets import check_targets, target_of
    from genoseq.families.language.prompted import generate, load_prompted
    from genoseq.infer.generation import Sampling
    from genoseq.infer.provenance import model_hash
    from genoseq.infer.running import choose_device
    from genoseq.infer.score_files import text_output
    from genoseq.log import Progress

    output = target_of(output)
    check_targets([output], [])
    with torch_threads(threads), Progress(number, unit="proteins", label="generating") as progress:
        model = load_prompted(source, form=form, device=str(choose_device(device)), dtype=dtype)
        own = model.form
        sampling = Sampling(
            own.temperature if temperature is None else temperature,
            own.top_k if top_k is None else top_k,
            own.top_p if top_p is None else top_p,
        )
        found = generate(
            model, text, number, start=start, max_tokens=max_tokens, sampling=sampling, repetition_penalty=repetition_penalty,
            seed=seed, batch=batch_size, report=progress.update,
        )  # fmt: skip
        digest = model_hash(model.net)
    incomplete = sum(not one.complete for one in found)
    if incomplete:
        log.warning("%d of %d proteins were not ended by the model%s", incomplete, number, ": left out" if complete_only else "")
    kept = sorted((one for one in found if one.complete or not complete_only), key=lambda one: (one.perplexity, one.number))
    empty = [one for one in kept if not one.sequence]
    if empty:
        log.warning("%d of %d proteins have no residues: left out", len(empty), number)
    with text_output(output) as file:
        for one in kept:
            if one.sequence:
                lines = "\n".join(one.sequence[at : at + 60] for at in range(0, len(one.sequence), 60))
                file.write(
                    f">protein_{one.number + 1} seed={seed} perplexity={one.perplexity:.4f} complete={int(one.complete)} "
                    f"tokens={one.tokens} model={digest[:12]}\n{lines}\n"
                )
