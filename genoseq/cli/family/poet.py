"""``genoseq family poet``: score variants and draw new members with PoET, and train one from scratch."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from genoseq.cli.family.alignment_options import format_option, query_of, wild_type_option
from genoseq.cli.lazy import Entry, LazyGroup
from genoseq.cli.model_options import device_options, model_options, opened_model

if TYPE_CHECKING:
    from genoseq.families.poet.prompt import Homologues, Prompt

__all__ = ["generate", "poet", "score", "train"]

log = logging.getLogger(__name__)

COMMANDS = {
    "score": Entry("genoseq.cli.family.poet:score", "Score variants or sequences after prompts of their family."),
    "generate": Entry("genoseq.cli.family.poet:generate", "Draw new members of a family."),
    "train": Entry("genoseq.cli.family.poet:train", "Train a PoET from scratch by a recipe."),
}
SCORES = "genoseq.poet-scores"
VERSION = 1


def _prompt_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """What prompts are made of."""
    options = (
        click.option("--msa", required=True, metavar="FILE", help="The family: an alignment, or see --unaligned."),
        click.option("--unaligned", is_flag=True, help="The family is FASTA of sequences that are not aligned."),
        wild_type_option,
        format_option,
        click.option(
            "--prompts", type=click.IntRange(min=1), metavar="N",
            help="Prompts: the first N pairs of --context and --identity. Default: 1; all pairs if either is given.",
        ),
        click.option(
            "--context", "contexts", type=click.IntRange(min=3), multiple=True, metavar="N",
            help="Tokens of a prompt; may be given more than once. Default: 6144, 12288, 24576.",
        ),
        click.option(
            "--identity", "identities", type=click.FloatRange(min=0, max=1, min_open=True), multiple=True, metavar="X",
            help="Largest identity of homologues to the wild type; more than once. Default: 1, .95, .9, .7, .5.",
        ),
        click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of the random numbers."),
    )  # fmt: skip
    for option in reversed(options):
        function = option(function)
    return function


@click.group(name="poet", cls=LazyGroup, table=COMMANDS)
def poet() -> None:
    """Score variants and draw new members with PoET, a language model that reads a family before it speaks."""


@click.command(name="score")
@click.argument("wild_type_file", metavar="WILDTYPE")
@click.argument("variants_file", metavar="[VARIANTS]", required=False)
@model_options
@_prompt_options
@click.option(
    "--offset", type=int, default=0, show_default=True, metavar="N", help="Number of the residue before the wild type's first."
)
@click.option(
    "--batch-tokens", type=click.IntRange(min=1), default=4096, show_default=True, metavar="N",
    help="Tokens of variants read at a time. Changes speed and memory, not results.",
)  # fmt: skip
@click.option("-o", "--output", metavar="FILE", help="Table to write. Default: standard output.")
@device_options
def score(
    wild_type_file: str,
    variants_file: str | None,
    model_name: str,
    msa: str,
    unaligned: bool,
    wild_type: str,
    alignment_format: str | None,
    prompts: int | None,
    contexts: tuple[int, ...],
    identities: tuple[float, ...],
    seed: int,
    offset: int,
    batch_tokens: int,
    output: str | None,
    device: str,
    dtype: str,
    threads: int,
) -> None:
    """Score VARIANTS of WILDTYPE (FASTA): a table, a list, or FASTA of whole sequences; all single mutants without it.

    Scores are log-likelihood ratios to the wild type in nats, mean over the prompts and both directions: higher is fitter.
    VARIANTS may be - for standard input.
    """
    from genoseq.cli.family.standard_input import input_path
    from genoseq.cli.targets import check_targets, target_of
    from genoseq.families.alignments.protein_records import read_proteins
    from genoseq.families.poet.prompt import clean_protein
    from genoseq.families.poet.scoring import PoETFamily
    from genoseq.families.variants.files import read_variants
    from genoseq.families.variants.notation import all_single_variants, apply_variant, check_variants, format_variant
    from genoseq.infer.score_files import table
    from genoseq.log import Progress

    if [wild_type_file, variants_file, msa].count("-") > 1:
        raise click.UsageError("standard input is read once: give the other files by name")
    output = target_of(output)
    check_targets([output], [wild_type_file, variants_file, msa])
    wanted = _only_protein(list(read_proteins(wild_type_file)), wild_type_file)
    if variants_file is None:
        variants = all_single_variants(clean_protein(wanted))
        names = [format_variant(variant, offset=offset) for variant in variants]
        sequences = [apply_variant(wanted, variant) for variant in variants]
    else:
        path = input_path(variants_file)
        read = read_variants(path, offset=offset, wild_type=wanted)
        if read.variants is not None:
            check_variants(wanted, read.variants, offset=offset, path=path)
        names = list(read.names)
        if read.variants is not None:
            sequences = [apply_variant(wanted, variant) for variant in read.variants]
        else:
            sequences = list(read.sequences or ())
    homologues = _homologues(msa, unaligned, wild_type, alignment_format, wanted)
    drawn = _prompts(homologues, prompts, contexts, identities, seed)
    with contextlib.ExitStack() as stack:
        opened = stack.enter_context(opened_model(model_name, device=device, dtype=dtype, threads=threads))
        told = opened.provenance(prompts=_described(drawn), seed=seed, dtype=dtype)
        total = 2 * len(drawn) * (len(dict.fromkeys(sequences)) + (wanted not in sequences))
        progress = stack.enter_context(Progress(total, unit="sequences", label="scoring"))
        family = PoETFamily(
            opened.model, opened.tokenizer, drawn, wild_type=wanted, batch_tokens=batch_tokens, report=progress.update
        )
        found = family.log_likelihoods([wanted, *sequences])
        out = stack.enter_context(table(output, told.described(SCORES, VERSION), ("variant", "score", "log_likelihood")))
        for name, value in zip(names, found[1:].tolist(), strict=True):
            out.write(f"{name}\t{value - found[0]:.4f}\t{value:.4f}\n")


@click.command(name="generate")
@model_options
@_prompt_options
@click.option("-n", "--number", type=click.IntRange(min=1), default=1, show_default=True, help="New sequences.")
@click.option("--temperature", type=click.FloatRange(min=0), default=1.0, show_default=True, help="0: the most probable residue.")
@click.option(
    "--top-k", type=click.IntRange(min=0), default=0, show_default=True, help="Only the k most probable residues; 0: all."
)
@click.option(
    "--top-p", type=click.FloatRange(min=0, max=1, min_open=True), default=1.0, show_default=True,
    help="Only the most probable residues that have this probability together.",
)  # fmt: skip
@click.option(
    "--fixed", multiple=True, metavar="S70", help="Residue at a position, from 1; [KR]73: one of several. More than once."
)
@click.option(
    "--motif", "motifs", multiple=True, metavar="Sx(2)K",
    help="Residues that must stand in a row somewhere; Sx(2)K@70: there. More than once.",
)  # fmt: skip
@click.option("--min-length", type=click.IntRange(min=1), default=1, show_default=True, metavar="N", help="Fewest residues.")
@click.option(
    "--max-length", type=click.IntRange(min=1), metavar="N", help="Most residues. Default: 1.5 times the prompt's longest."
)
@click.option(
    "--max-repeats", type=click.FloatRange(min=0, max=1), default=1.0, show_default=True, metavar="X",
    help="Largest share of residues in repeats such as AAAAA or GSGSGS; others are drawn anew.",
)  # fmt: skip
@click.option(
    "--tries", type=click.IntRange(min=1), default=20, show_default=True, help="Draws of a sequence before it is given up."
)
@click.option(
    "--batch-size", type=click.IntRange(min=1), default=16, show_default=True, metavar="N",
    help="Sequences drawn side by side. Changes speed and memory, not results.",
)  # fmt: skip
@click.option("-o", "--output", metavar="FILE", help="FASTA to write. Default: standard output.")
@device_options
def generate(
    model_name: str,
    msa: str,
    unaligned: bool,
    wild_type: str,
    alignment_format: str | None,
    prompts: int | None,
    contexts: tuple[int, ...],
    identities: tuple[float, ...],
    seed: int,
    number: int,
    temperature: float,
    top_k: int,
    top_p: float,
    fixed: tuple[str, ...],
    motifs: tuple[str, ...],
    min_length: int,
    max_length: int | None,
    max_repeats: float,
    tries: int,
    batch_size: int,
    output: str | None,
    device: str,
    dtype: str,
    threads: int,
) -> None:
    """Draw new members of a family, after prompts of it. The same seed gives the same sequences."""
    from genoseq.cli.targets import check_targets, target_of
    from genoseq.families.poet.generation import Constraints, generate_members, parse_fixed, parse_motif
    from genoseq.infer.generation import Sampling
    from genoseq.infer.score_files import text_output
    from genoseq.log import Progress

    output = target_of(output)
    check_targets([output], [msa])
    sampling = Sampling(temperature, top_k, top_p)
    constraints = Constraints(
        fixed=_fixed([parse_fixed(text) for text in fixed]),
        motifs=tuple(map(parse_motif, motifs)),
        min_length=min_length,
        max_length=max_length,
        max_repeats=max_repeats,
        tries=tries,
    )
    homologues = _homologues(msa, unaligned, wild_type, alignment_format, None)
    drawn = _prompts(homologues, prompts, contexts, identities, seed)
    with contextlib.ExitStack() as stack:
        opened = stack.enter_context(opened_model(model_name, device=device, dtype=dtype, threads=threads))
        model = opened.provenance().model_sha256[:12]
        progress = stack.enter_context(Progress(number, unit="sequences", label="generating"))
        out = stack.enter_context(text_output(output))
        for new in generate_members(
            opened.model, opened.tokenizer, drawn, count=number, sampling=sampling, constraints=constraints, seed=seed,
            batch=batch_size, report=progress.update,
        ):  # fmt: skip
            comment = f"ended={'yes' if new.ended else 'no'} log_likelihood={new.log_likelihood:.4f} seed={seed} model={model}"
            out.write(f">generated_{new.number + 1} {comment}\n{new.sequence}\n")


@click.command(name="train")
@click.argument("recipe", type=click.Path(path_type=Path, dir_okay=False))
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), default=Path("trained"), show_default=True,
    help="Folder to make: the weights, recipe.yaml, metrics.json, training.png.",
)  # fmt: skip
@click.option("--seed", type=click.IntRange(min=0), help="Use this seed instead of the recipe's.")
@click.option(
    "--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True,
    help="Where to train; auto is a GPU if there is one.",
)  # fmt: skip
def train(recipe: Path, output: Path, seed: int | None, device: str) -> None:
    """Train a PoET by RECIPE, a YAML file with `model: poet`.

    The folder appears when all is done. The same recipe and seed give the same weights on the same machine.
    """
    from genoseq.families.poet.recipe import PoETRecipe
    from genoseq.families.poet.training import run_poet_training
    from genoseq.infer.running import choose_device
    from genoseq.log import Progress
    from genoseq.outputs import check_writable
    from genoseq.recipes import load_recipe

    resolved = load_recipe(recipe, PoETRecipe)
    if seed is not None:
        resolved = dataclasses.replace(resolved, seed=seed)
    check_writable(output)
    with Progress(resolved.steps, unit="steps", label="training") as progress:
        result = run_poet_training(
            resolved, output, base=recipe.parent, device=choose_device(device), report=lambda step, loss: progress.update()
        )
    click.echo("parameters\tvalidation_nats\twithout_family\tby_composition\tvalidation_sequences_in_training")
    click.echo(
        f"{result.parameters}\t{result.nats:.4f}\t{result.unconditional:.4f}\t{result.composition:.4f}\t{result.shared:.4f}"
    )


def _only_protein(records: list[Any], path: str) -> str:
    from genoseq.errors import InputError

    if len(records) != 1:
        raise InputError(f"holds {len(records):,} sequences, expected the wild type alone", path=path)
    sequence: str = records[0].sequence
    return sequence


def _homologues(msa: str, unaligned: bool, wild_type: str, alignment_format: str | None, query: str | None) -> Homologues:
    """The family of a file; ``query`` is the wild type where it is known."""
    from genoseq.families.poet.sets import read_homologues

    if unaligned:
        return read_homologues(msa, query=query or query_of(wild_type), unaligned=True)
    found = read_homologues(msa, query=query_of(wild_type), format=alignment_format)
    if query is not None and not _belongs(query, found):
        log.warning("%s: the wild type is neither its query nor a part of it, nor holds it: is this the family?", msa)
    if query is not None and found.query is None:
        found = dataclasses.replace(found, query=query)
    return found


def _belongs(wild_type: str, family: Homologues) -> bool:
    """Whether a protein and the query of an alignment (without one, any of its rows) are one, or one is a part of the other."""
    own = wild_type.upper()
    rows = family.sequences if family.query is None else (family.query,)
    return any(row in own or own in row for row in rows if row)


def _prompts(
    homologues: Homologues, count: int | None, contexts: tuple[int, ...], identities: tuple[float, ...], seed: int
) -> list[Prompt]:
    """The prompts that the options ask for, and a word on them."""
    from genoseq.families.poet.prompt import CONTEXTS, IDENTITIES, draw_prompts, prompt_grid

    chosen = count if count is not None or contexts or identities else 1
    grid = prompt_grid(chosen, contexts=contexts or CONTEXTS, identities=identities or IDENTITIES)
    prompts = draw_prompts(homologues, grid, seed=seed)
    for prompt in prompts:
        log.info(
            "prompt of %d tokens: %d of %d sequences, identity to the wild type up to %g",
            prompt.tokens, len(prompt.sequences), len(homologues), prompt.identity,
        )  # fmt: skip
    return prompts


def _fixed(places: list[tuple[int, str]]) -> dict[int, str]:
    """Residues by position, each given once."""
    from genoseq.errors import UsageError

    found: dict[int, str] = {}
    for place, letters in places:
        if place in found:
            raise UsageError(f"--fixed gives position {place + 1} twice: write one of several residues as [KR]{place + 1}")
        found[place] = letters
    return found


def _described(prompts: list[Prompt]) -> list[dict[str, Any]]:
    return [
        {"context": prompt.context, "identity": prompt.identity, "tokens": prompt.tokens, "sequences": len(prompt.sequences)}
        for prompt in prompts
    ]
