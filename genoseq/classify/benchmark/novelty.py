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
        unknown: test sequences of a label that training does not have; they are not known, and not counted in any figure.
    """

    setting: str
    others: str
    by_novelty: float
    by_rate: float
    lost: float
    rejected: float
    unknown: int


@dataclass(frozen=True)
class LeftOutResult:
    """How well a class that training did not have is told from those it had, class by class.

    Attributes:
        setting: its name; the first fold.
        labels: the class left out, of those that can be judged.
        by_novelty, by_rate: area under the ROC curve by the novelty and the bits per symbol of the default mode.
        by_residue_rate: by the bits per residue of the translated mode.
        skipped: classes of the training set that the fold has no test sequences of, or no others: nothing to tell apart.
        unknown: test sequences of a label that training does not have; not known, and not counted in any figure.
    """

    setting: str
    labels: tuple[str, ...]
    by_novelty: tuple[float, ...]
    by_rate: tuple[float, ...]
    by_residue_rate: tuple[float, ...]
    skipped: tuple[str, ...]
    unknown: int


def measure_novelty(plan: BenchmarkPlan, setting: str) -> tuple[NoveltyResult, NoveltyResult]:
    """The default model on test sequences, on the same with their bases shuffled, and on as many of the plan's strangers.

    Raises:
        UsageError: no test sequence has a label that training has.
    """
    data = load_setting(Path(plan.data), setting, seed=plan.seed, threads=plan.threads)
    strangers = [one.sequence for one in read_fastx(find_file(Path(plan.data), plan.strangers))]
    rng = np.random.default_rng(plan.seed)
    calls: dict[str, list[Calls]] = {"tested": [], "shuffled": [], plan.strangers: []}
    unknown = 0
    for train, every in data.folds:
        test = every[np.isin(data.labels[every], data.labels[train])]
        unknown += len(every) - len(test)
        if not len(test):
            continue
        model = ContextMixtureClassifier(n_jobs=plan.threads).fit([data.sequences[at] for at in train], data.labels[train])
        asked = [data.sequences[at] for at in test]
        chosen = rng.choice(len(strangers), min(len(asked), len(strangers)), replace=False)
        calls["tested"].append(model.call(asked))
        calls["shuffled"].append(model.call(["".join(rng.permutation(list(one))) for one in asked]))
        calls[plan.strangers].append(model.call([strangers[at] for at in chosen]))
    known = calls.pop("tested")
    if not known:
        raise UsageError(f"setting {setting!r}: no test sequence has a label that training has")
    first, second = (_told(setting, others, known, new, unknown) for others, new in calls.items())
    return first, second


def _told(setting: str, others: str, known: list[Calls], new: list[Calls], unknown: int) -> NoveltyResult:
    (novelty, rate), (strange, strange_rate) = (
        [np.concatenate([getattr(one, what) for one in calls]) for what in ("novelty", "rates")] for calls in (known, new)
    )
    lost, rejected = (float((values > REJECTED).mean()) for values in (novelty, strange))
    return NoveltyResult(setting, others, _area(novelty, strange), _area(rate, strange_rate), lost, rejected, unknown)


def _area(known: NDArray[np.float64], new: NDArray[np.float64]) -> float:
    """Area under the ROC curve of telling ``new`` by a larger value; sequences without a value count as the least new."""
    truth = np.repeat([0, 1], [len(known), len(new)])
    return float(roc_auc_score(truth, np.nan_to_num(np.concatenate([known, new]), nan=0.0)))


def measure_left_out(plan: BenchmarkPlan, setting: str) -> LeftOutResult:
    """One class after another left out of the first fold's training set, and its test sequences told from the others.

    Raises:
        UsageError: fewer than three classes, or none that can be told from others.
    """
    data = load_setting(Path(plan.data), setting, seed=plan.seed, threads=plan.threads)
    train, every = data.folds[0]
    labels = np.unique(data.labels[train])
    test = every[np.isin(data.labels[every], labels)]
    asked, truth = [data.sequences[at] for at in test], data.labels[test]
    if len(labels) < 3:
        raise UsageError(f"setting {setting!r} has {len(labels)} classes: at least three are needed to leave one out")
    judged = [label for label in labels if 0 < np.count_nonzero(truth == label) < len(truth)]
    if not judged:
        raise UsageError(f"setting {setting!r}: the test sequences of its first fold are of fewer than two classes of training")
    areas = []
    for label in judged:
        part = train[data.labels[train] != label]
        known = [data.sequences[at] for at in part]
        calls = ContextMixtureClassifier(n_jobs=plan.threads).fit(known, data.labels[part]).call(asked)
        bare = ContextMixtureClassifier(mode="translated", calibration_folds=0, n_jobs=plan.threads)  # only its rates are used
        residues = bare.fit(known, data.labels[part]).call(asked).rates
        new = truth == label
        areas.append([_area(values[~new], values[new]) for values in (calls.novelty, calls.rates, residues)])
    by_novelty, by_rate, by_residue = (tuple(column) for column in np.array(areas).T.tolist())
    skipped = tuple(str(label) for label in labels if label not in judged)
    names = tuple(str(label) for label in judged)
    return LeftOutResult(setting, names, by_novelty, by_rate, by_residue, skipped, len(every) - len(test))
