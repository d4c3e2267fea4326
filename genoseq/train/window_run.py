"""A training run of the window encoder: train, round, judge against the untrained table, write a folder."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from genoseq.errors import InputError, Pathlike
from genoseq.outputs import whole_folder
from genoseq.seqs.alphabet import UNKNOWN, encode
from genoseq.seqs.fastx import read_fastx
from genoseq.train.kinds import tell_replaced
from genoseq.train.window import quantise, random_table, train_table
from genoseq.train.window_data import MARGIN
from genoseq.train.window_metrics import RecallRow, score_table
from genoseq.train.window_recipe import WindowRecipe
from genoseq.train.window_report import WEIGHTS, write_report
from genoseq.train.window_trials import TrialGroup, genome_trials, synthetic_trials

__all__ = ["joined_codes", "judge_tables", "run_window_training"]

LOG = logging.getLogger(__name__)
REPORTED = ("recipe.yaml", "metrics.json", "training.png")  # beside the weights


def run_window_training(
    recipe: WindowRecipe,
    folder: Pathlike,
    *,
    genomes: Sequence[Pathlike] = (),
    report: Callable[[int, float], None] | None = None,
) -> dict[str, dict[str, list[RecallRow]]]:
    """Train by a recipe; write weights, resolved recipe, metrics and figure into ``folder``, all or nothing.

    Args:
        recipe: what to do.
        folder: is made; one written by an earlier run is replaced, unless other files lie in it.
        genomes: FASTA files to judge the table on besides the random genomes of the recipe; never trained on.
        report: called after each step with the number of steps done and the loss.

    Returns:
        Trial set -> table ("random" or "trained") -> recall.

    Raises:
        GenoseqError: a genome cannot be read or is too short, or the folder cannot be written.
    """
    with whole_folder(folder, marker=WEIGHTS, known=lambda old: REPORTED) as temporary:
        tell_replaced(folder)
        trials = {"synthetic": _synthetic(recipe)}
        for path in genomes:
            trials[_unused_name(Path(path), trials)] = _real(recipe, path)
        begun = time.monotonic()
        trained = train_table(recipe, report=report)
        seconds = time.monotonic() - begun
        LOG.info("trained %d steps in %.0f s; judging the table", recipe.steps, seconds)
        table = quantise(trained.table)
        untrained = quantise(random_table(smoothing=recipe.smoothing, seed=recipe.seed))
        results = {
            name: judge_tables({"random": untrained, "trained": table}, groups)
            for name, groups in trials.items()
        }
        write_report(temporary, recipe, table, trained.losses, results, seconds)
    return results


def judge_tables(
    tables: dict[str, NDArray[np.int8]], trials: Sequence[TrialGroup]
) -> dict[str, list[RecallRow]]:
    """Recall of several tables on the same trials."""
    return {name: score_table(table, trials) for name, table in tables.items()}


def joined_codes(path: Pathlike) -> NDArray[np.uint8]:
    """The base codes of all sequences of a FASTA file, with unknown bases between and around them."""
    gap = np.full(MARGIN, UNKNOWN, np.uint8)
    parts = [gap]
    for record in read_fastx(path):
        parts += [encode(record.sequence.encode("ascii")), gap]
    return np.concatenate(parts)


def _synthetic(recipe: WindowRecipe) -> list[TrialGroup]:
    asked = recipe.evaluation
    return synthetic_trials(
        groups=asked.groups, windows=asked.windows, queries=asked.queries, edits=asked.edits,
        genomes=recipe.genomes, ends=recipe.ends, seed=asked.seed,
    )  # fmt: skip


def _real(recipe: WindowRecipe, path: Pathlike) -> list[TrialGroup]:
    asked = recipe.evaluation
    try:
        return genome_trials(
            joined_codes(path), groups=400, queries=24, edits=asked.edits, ends=recipe.ends, seed=asked.seed
        )
    except ValueError as error:
        raise InputError(str(error), path=path) from error


def _unused_name(path: Path, taken: dict[str, list[TrialGroup]]) -> str:
    name = path.name.split(".")[0]
    number = 1
    unused = name
    while unused in taken:
        number += 1
        unused = f"{name}-{number}"
    return unused
