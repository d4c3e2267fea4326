"""Whether the context mixture knows what is new: shuffled sequences, sequences of another organism, a class it never saw."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from genoseq.classify.benchmark.plan import BenchmarkPlan
from genoseq.classify.estimator import Calls, ContextMixtureClassifier
from genoseq.classify.settings import find_file, load_setting
from genoseq.errors import UsageError
from genoseq.seqs.fastx import read_fastx

__all__ = ["LeftOutResult", "NoveltyResult", "measure_left_out", "measure_novelty"]

REJECTED = 0.99
"""Sequences of more novelty than this count as rejected."""


@dataclass(frozen=True)
class NoveltyResult:
    """How well the test sequences of a setting (all folds together) are told from others.

    Attributes:
        setting: its name.
        others: ``shuffled``, or the name of the file of strangers.
        by_novelty, by_rate: area under the ROC curve, of the novelty and of the bits per symbol alone; 0.5 is chance.
        lost, rejected: share of the test sequences, and of the others, with novelty above 0.99.
    """

    setting: str
    others: str
    by_novelty: float
    by_rate: float
    lost: float
    rejected: float


@dataclass(frozen=True)
class LeftOutResult:
    """How well a class that training did not have is told from those it had, class by class.

    Attributes:
        setting: its name; the first fold.
        labels: the class left out.
        by_novelty, by_rate: area under the ROC curve by the novelty and the bits per symbol of the default mode.
        by_residue_rate: by the bits per residue of the translated mode.
    """

    setting: str
    labels: tuple[str, ...]
    by_novelty: tuple[float, ...]
    by_rate: tuple[float, ...]
    by_residue_rate: tuple[float, ...]


def measure_novelty(plan: BenchmarkPlan, setting: str) -> tuple[NoveltyResult, NoveltyResult]:
    """The default model on test sequences, on the same with their bases shuffled, and on as many of the plan's strangers."""
    data = load_setting(Path(plan.data), setting, seed=plan.seed, threads=plan.threads)
    strangers = [one.sequence for one in read_fastx(find_file(Path(plan.data), plan.strangers))]
    rng = np.random.default_rng(plan.seed)
    calls: dict[str, list[Calls]] = {"tested": [], "shuffled": [], plan.strangers: []}
    for train, test in data.folds:
        model = ContextMixtureClassifier(n_jobs=plan.threads).fit([data.sequences[at] for at in train], data.labels[train])
        asked = [data.sequences[at] for at in test]
        chosen = rng.choice(len(strangers), min(len(asked), len(strangers)), replace=False)
        calls["tested"].append(model.call(asked))
        calls["shuffled"].append(model.call(["".join(rng.permutation(list(one))) for one in asked]))
        calls[plan.strangers].append(model.call([strangers[at] for at in chosen]))
    known = calls.pop("tested")
    first, second = (_told(setting, others, known, new) for others, new in calls.items())
    return first, second


def _told(setting: str, others: str, known: list[Calls], new: list[Calls]) -> NoveltyResult:
    (novelty, rate), (strange, strange_rate) = (
        [np.concatenate([getattr(one, what) for one in calls]) for what in ("novelty", "rates")] for calls in (known, new)
    )
    lost, rejected = (float((values > REJECTED).mean()) for values in (novelty, strange))
    return NoveltyResult(setting, others, _area(novelty, strange), _area(rate, strange_rate), lost, rejected)


def _area(known: NDArray[np.float64], new: NDArray[np.float64]) -> float:
    """Area under the ROC curve of telling ``new`` by a larger value; sequences without a value count as the least new."""
    truth = np.repeat([0, 1], [len(known), len(new)])
    return float(roc_auc_score(truth, np.nan_to_num(np.concatenate([known, new]), nan=0.0)))


def measure_left_out(plan: BenchmarkPlan, setting: str) -> LeftOutResult:
    """One class after another left out of the first fold's training set, and its test sequences told from the others.

    Raises:
        UsageError: fewer than three classes.
    """
    data = load_setting(Path(plan.data), setting, seed=plan.seed, threads=plan.threads)
    train, test = data.folds[0]
    asked, truth = [data.sequences[at] for at in test], data.labels[test]
    labels = np.unique(data.labels[train])
    if len(labels) < 3:
        raise UsageError(f"setting {setting!r} has {len(labels)} classes: at least three are needed to leave one out")
    areas = []
    for label in labels:
        part = train[data.labels[train] != label]
        known = [data.sequences[at] for at in part]
        calls = ContextMixtureClassifier(n_jobs=plan.threads).fit(known, data.labels[part]).call(asked)
        bare = ContextMixtureClassifier(mode="translated", calibration_folds=0, n_jobs=plan.threads)  # only its rates are used
        residues = bare.fit(known, data.labels[part]).call(asked).rates
        new = truth == label
        areas.append([_area(values[~new], values[new]) for values in (calls.novelty, calls.rates, residues)])
    by_novelty, by_rate, by_residue = (tuple(column) for column in np.array(areas).T.tolist())
    return LeftOutResult(setting, tuple(labels.tolist()), by_novelty, by_rate, by_residue)
