"""``genoseq train``: train a model by a recipe."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import click

from genoseq.cli.options import Whole

__all__ = ["train"]


@click.command(name="train")
@click.argument("recipe", type=click.Path(path_type=Path, dir_okay=False))
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    default=Path("trained"),
    show_default=True,
    help="Folder to make: weights.safetensors, recipe.yaml, metrics.json, training.png.",
)
@click.option("--seed", type=Whole(0), help="Use this seed instead of the recipe's.")
@click.option(
    "--evaluate",
    "genomes",
    type=click.Path(path_type=Path),
    multiple=True,
    metavar="FASTA",
    help="Also judge the model on this genome; may be given more than once.",
)
def train(recipe: Path, output: Path, seed: int | None, genomes: tuple[Path, ...]) -> None:
    """Train a model by RECIPE, a YAML file.

    The folder appears when all is done. The same recipe and seed give the same weights on the same machine.
    """
    from genoseq.log import Progress
    from genoseq.outputs import check_writable
    from genoseq.recipes import load_recipe
    from genoseq.train.window_recipe import WindowRecipe
    from genoseq.train.window_run import run_window_training

    resolved = load_recipe(recipe, WindowRecipe)
    if seed is not None:
        resolved = dataclasses.replace(resolved, seed=seed)
    check_writable(output)
    with Progress(resolved.steps, unit="steps", label="training") as progress:
        results = run_window_training(
            resolved, output, genomes=genomes, report=lambda step, loss: progress.update()
        )
    click.echo("trials\ttable\tscore\twindows\tedits\tfalse_positive_rate\trecall")
    for trials, tables in results.items():
        for table, rows in tables.items():
            for row in rows:
                for rate, found in row.recall.items():
                    click.echo(
                        f"{trials}\t{table}\t{row.score}\t{row.windows}\t{row.edits:g}\t{rate:g}\t{found:.4f}"
                    )
