"""How good a classifier is, told honestly: with folds at random and with folds that no homology group is divided between.

A random split answers "how well are sequences told apart whose close relatives were in the training set?", a split by homology
"how well are those that are unlike all of it?". Both are always given, with what the training side of each gives away. The
intervals of both come from drawing homology groups anew: relatives are no independent evidence, however they were split.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.model_selection import StratifiedKFold

from genoseq.classify.estimator import ContextMixtureClassifier
from genoseq.classify.homology import HomologyGroupKFold, homology_groups
from genoseq.classify.leakage import leakage_report
from genoseq.classify.sequences import SequenceInputError

__all__ = ["SplitResult", "calibration_error", "evaluate", "reliability"]

Folds = list[tuple[NDArray[np.intp], NDArray[np.intp]]]

REPLICATES = 1000
BINS = 10
LEVEL = 0.95


class Interval(NamedTuple):
    """A figure and the ends of its 95 % interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.4f} ({self.low:.4f} to {self.high:.4f})"


class SplitResult(NamedTuple):
    """How one kind of split went; every sequence was tested once.

    Attributes:
        split: ``random`` or ``homology``.
        truth, predicted: numbers of classes, ``(n,)``.
        probabilities: ``(n, classes)``.
        groups: what is drawn together for intervals, ``(n,)``: homology groups, of proteins single sequences.
        accuracy, macro_f1: with bootstrap intervals over groups.
        calibration_error: expected calibration error, 10 bins.
        copies, reverse_copies, close: shares of the test sequences that are in training letter for letter, on the other
            strand, and with more than half of their 16-mers in one training sequence; NaN for proteins.
    """

    split: str
    truth: NDArray[np.int64]
    predicted: NDArray[np.int64]
    probabilities: NDArray[np.float64]
    groups: NDArray[np.int64]
    accuracy: Interval
    macro_f1: Interval
    calibration_error: float
    copies: float
    reverse_copies: float
    close: float


def evaluate(
    model: ContextMixtureClassifier, sequences: Sequence[str | bytes], labels: Sequence[Any], *, folds: int = 5, seed: int = 0
) -> tuple[NDArray[Any], list[SplitResult]]:
    """Classes, and the results of both kinds of split (for proteins of the random one only, with intervals over sequences).

    Args:
        model: its parameters are used; it is not changed.
        sequences: all of them.
        labels: of each.
        folds: parts that are tested in turn.
        seed: of the folds and the intervals.

    Raises:
        SequenceInputError: too few sequences or homology groups for the folds.
    """
    classes, truth = np.unique(np.asarray(labels), return_inverse=True)
    truth = truth.astype(np.int64)
    results = []
    groups, splits = _splits(model, sequences, truth, folds, seed)
    for split, parts in splits.items():
        probabilities = np.zeros((len(truth), len(classes)))
        leaks = np.zeros((len(truth), 3))
        for train, test in parts:
            fitted = clone(model).fit([sequences[i] for i in train], truth[train])
            probabilities[np.ix_(test, fitted.classes_)] = fitted.predict_proba([sequences[i] for i in test])
            leaks[test] = _leakage(model, [sequences[i] for i in train], [sequences[i] for i in test])
        predicted = probabilities.argmax(axis=1).astype(np.int64)
        accuracy, macro = _intervals(truth, predicted, groups, len(classes), seed)
        error = calibration_error(probabilities, truth)
        copies, reverse, close = leaks.mean(axis=0).tolist()
        results.append(
            SplitResult(split, truth, predicted, probabilities, groups, accuracy, macro, error, copies, reverse, close)
        )
    return classes, results


def _splits(
    model: ContextMixtureClassifier, sequences: Sequence[str | bytes], truth: NDArray[np.int64], folds: int, seed: int
) -> tuple[NDArray[np.int64], dict[str, Folds]]:
    """What is drawn together for the intervals of every split, and the folds of each kind of split by its name."""
    if len(truth) < 2 * folds:
        raise SequenceInputError(
            f"there are too few sequences ({len(truth)}) for {folds} folds: at least two for each are needed",
            remedy="choose fewer folds",
        )
    smallest = np.bincount(truth).min()
    strata = truth if smallest >= folds else np.where((np.bincount(truth) >= folds)[truth], truth, np.bincount(truth).argmax())
    places = np.arange(len(truth))
    splits = {"random": list(StratifiedKFold(folds, shuffle=True, random_state=seed).split(places, strata))}
    if model.mode == "protein":
        return places, splits
    groups = homology_groups(list(sequences), threads=model.n_jobs).astype(np.int64)
    by_group = HomologyGroupKFold(folds, seed=seed).split(sequences, truth, groups)
    splits["homology"] = [(train, test) for train, test in by_group if len(test)]
    return groups, splits


def _leakage(model: ContextMixtureClassifier, train: list[Any], test: list[Any]) -> NDArray[np.float64]:
    if model.mode == "protein":
        return np.full((len(test), 3), np.nan)
    report = leakage_report(train, test, threads=model.n_jobs)
    return np.stack([report.copies, report.reverse_copies, np.nan_to_num(report.nearest) > 0.5], axis=1).astype(float)


def reliability(probabilities: NDArray[np.float64], truth: NDArray[np.int64], *, bins: int = BINS) -> NDArray[np.float64]:
    """Of the predictions by their probability: ``(bins, 3)``, how many, mean probability, share that is right (NaN: none)."""
    sure = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == truth
    places = np.minimum((sure * bins).astype(np.int64), bins - 1)
    counts = np.bincount(places, minlength=bins)
    with np.errstate(invalid="ignore"):
        means = np.bincount(places, sure, bins) / counts
        shares = np.bincount(places, right, bins) / counts
    return np.stack([counts, means, shares], axis=1)


def calibration_error(probabilities: NDArray[np.float64], truth: NDArray[np.int64], *, bins: int = BINS) -> float:
    """Expected calibration error: mean distance between probability and share that is right, over bins of equal width.

    Guo et al., On Calibration of Modern Neural Networks, ICML 2017.

    >>> calibration_error(np.array([[0.75, 0.25]] * 4), np.array([0, 0, 0, 1]))
    0.0
    """
    table = reliability(probabilities, truth, bins=bins)
    used = table[:, 0] > 0
    return float((table[used, 0] * np.abs(table[used, 1] - table[used, 2])).sum() / len(truth))


def _intervals(
    truth: NDArray[np.int64], predicted: NDArray[np.int64], groups: NDArray[np.int64], classes: int, seed: int
) -> tuple[Interval, Interval]:
    """Accuracy and macro-F1 with intervals: groups are drawn anew, with replacement."""
    rng = np.random.default_rng(seed)
    _, numbers = np.unique(groups, return_inverse=True)
    n = int(numbers.max()) + 1

    def figures(weights: NDArray[np.float64]) -> tuple[float, float]:
        table = np.bincount(truth * classes + predicted, weights, classes * classes).reshape(classes, classes)
        hits = np.diag(table)
        sums = table.sum(axis=0) + table.sum(axis=1)
        present = table.sum(axis=1) > 0
        return hits.sum() / table.sum(), float((2 * hits[present] / sums[present]).mean())

    whole = figures(np.ones(len(truth)))
    drawn = np.array([figures(np.bincount(rng.integers(0, n, n), minlength=n)[numbers].astype(float)) for _ in range(REPLICATES)])
    tail = (1 - LEVEL) / 2
    low, high = np.quantile(drawn, [tail, 1 - tail], axis=0)
    return Interval(float(whole[0]), low[0], high[0]), Interval(whole[1], low[1], high[1])
