"""The table of the commands of ``genoseq family``."""

from __future__ import annotations

import click

from genoseq.cli.lazy import Entry, LazyGroup

__all__ = ["COMMANDS", "family"]

COMMANDS: dict[str, Entry] = {
    "fit": Entry("genoseq.cli.family.fit:fit", "Fit a model to the alignment of a family."),
    "score": Entry("genoseq.cli.family.score:score", "Score variants of a protein by a model of its family."),
    "search": Entry("genoseq.cli.family.search:search", "Search a protein file for homologues, and align them."),
    "align": Entry("genoseq.cli.family.align:align", "Align sequences to the columns of an alignment."),
    "poet": Entry("genoseq.cli.family.poet:poet", "Score, generate and train with PoET, which reads a family first."),
    "split": Entry(
        "genoseq.cli.family.split:split", "Split an alignment into a train and a held-out part that share no cluster."
    ),
    "generate": Entry("genoseq.cli.family.generate:generate", "Draw new members of a family."),
    "evaluate": Entry(
        "genoseq.cli.family.evaluate:evaluate", "Judge generated members beside natural, copied and shuffled ones."
    ),
    "benchmark": Entry("genoseq.cli.family.benchmark:benchmark", "Compare scorers on assays of variants."),
    "masked": Entry("genoseq.cli.family.masked:masked", "Score variants by a masked language model such as ESM-2."),
    "peptides": Entry("genoseq.cli.family.peptides:peptides", "Design peptides for a target (PepMLM)."),
    "prompt": Entry("genoseq.cli.family.prompt:prompt", "Generate proteins by ProtGPT2, ZymCTRL or ProLLaMA."),
    "evolve": Entry("genoseq.cli.family.evolve:evolve", "Search for better sequences, step by step, within a budget."),
}


@click.group(name="family", cls=LazyGroup, table=COMMANDS)
def family() -> None:
    """Model a protein family from its alignment: score variants, generate new members, judge them."""
