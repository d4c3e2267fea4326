"""``genoseq train``: train a model by a recipe."""

from __future__ import annotations

import dataclasses
import logging
from pathlib import Path
from typing import TYPE_CHECKING

import click

from genoseq.cli.options import Whole

if TYPE_CHECKING:
    from collections.abc import Callable

    from genoseq.log import Progress
    from genoseq.train.language_recipe import LanguageRecipe
    from genoseq.train.window_recipe import WindowRecipe

__all__ = ["train"]

log = logging.getLogger("genoseq.train")


@click.command(name="train")
@click.argument("recipe", type=click.Path(path_type=Path, dir_okay=False))
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    default=Path("trained"),
    show_default=True,
    help="Folder to make: the weights, recipe.yaml, metrics.json, training.png.",
)
@click.option("--seed", type=Whole(0), help="Use this seed instead of the recipe's.")
@click.option(
    "--evaluate",
    "genomes",
    type=click.Path(path_type=Path),
    multiple=True,
    metavar="FASTA",
    help="Window encoders: also judge the model on this genome; may be given more than once.",
)
def train(recipe: Path, output: Path, seed: int | None, genomes: tuple[Path, ...]) -> None:
    """Train a model by RECIPE, a YAML file whose key `model` says what: `window-encoder` or `language-model`.

    The folder appears when all is done. The same recipe and seed give the same weights on the same machine.
    """
    from genoseq.outputs import check_writable
    from genoseq.train.kinds import load_training_recipe
    from genoseq.train.window_recipe import WindowRecipe

    resolved = load_training_recipe(recipe)
    if seed is not None:
        resolved = dataclasses.replace(resolved, seed=seed)
    if isinstance(resolved, WindowRecipe):
        check_writable(output)
        _window_encoder(resolved, output, genomes)
        return
    if genomes:
        raise click.UsageError("--evaluate is for window encoders; a language model's recipe names its validation sequences")
    check_writable(output)
    _language_model(resolved, output, recipe.parent)


def _told(progress: Progress) -> Callable[[int, float], None]:
    """What training reports its steps to: the progress, with the loss."""

    def step_done(step: int, loss: float) -> None:
        progress.note = f"loss {loss:.4g}"
        progress.update(step - progress.done)

    return step_done


def _window_encoder(recipe: WindowRecipe, output: Path, genomes: tuple[Path, ...]) -> None:
    from genoseq.log import Progress
    from genoseq.train.window_run import run_window_training

    with Progress(recipe.steps, unit="steps", label="training") as progress:
        results = run_window_training(recipe, output, genomes=genomes, report=_told(progress))
    click.echo("trials\ttable\tscore\twindows\tedits\tfalse_positive_rate\trecall")
    for trials, tables in results.items():
        for table, rows in tables.items():
            for row in rows:
                for rate, found in row.recall.items():
                    click.echo(f"{trials}\t{table}\t{row.score}\t{row.windows}\t{row.edits:g}\t{rate:g}\t{found:.4f}")


def _language_model(recipe: LanguageRecipe, output: Path, base: Path) -> None:
    from genoseq.log import Progress
    from genoseq.train.language import run_language_training

    with Progress(recipe.steps, unit="steps", label="training") as progress:
        result = run_language_training(recipe, output, base=base, report=_told(progress))
    bits_column = "validation_bits" if recipe.objective == "causal" else "validation_bits_of_masked_tokens"
    click.echo(f"model\tparameters\t{bits_column}\tvalidation_16mers_in_training")
    click.echo(f"{recipe.architecture}\t{result.parameters}\t{result.bits:.4f}\t{result.shared:.4f}")
    if recipe.objective != "causal":  # a masked net sees both sides, a Markov model one
        return
    for order, bits in result.markov.items():
        click.echo(f"markov-{order}\t{3 * 4**order}\t{bits:.4f}\t{result.shared:.4f}")
