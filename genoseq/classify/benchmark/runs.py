"""One method trained and tested in one setting: accuracy and macro-F1 with intervals, calibration, ties, errors, times."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import confusion_matrix, f1_score

from genoseq.classify.benchmark.methods import METHODS
from genoseq.classify.benchmark.plan import BenchmarkPlan
from genoseq.classify.nearest import NearestSequences
from genoseq.classify.neighbours import decide, votes
from genoseq.classify.settings import Setting, load_setting

__all__ = ["FoldResult", "Result", "Ties", "run_method", "wilson"]

BOOTSTRAPS = 1000
DRAWS = 1000
BINS = 10
Bins = tuple[tuple[float, ...], ...]


class Ties(NamedTuple):
    """Accuracy of the nearest neighbour over all orders of the training sequences, of which the first of equals wins.

    Attributes:
        lowest: if every tie between classes went wrong.
        expected: mean over the orders.
        highest: if every tie went right.
    """

    lowest: float
    expected: float
    highest: float


class FoldResult(NamedTuple):
    """One fold: test sequences, how many of them were right, and the bins of their probabilities as in `Result`."""

    tested: int
    right: int
    bins: Bins


@dataclass(frozen=True)
class Result:
    """One method in one setting. Times are processor seconds; intervals are 95 %.

    Attributes:
        method, setting: their names.
        train: training sequences (of the first fold).
        tested: test sequences that were classified.
        available: test sequences there are; more than ``tested`` for a subset.
        accuracy, accuracy_low, accuracy_high: with Wilson's interval.
        macro_f1, macro_f1_low, macro_f1_high: with a bootstrap interval.
        fit_seconds, predict_seconds: over all folds.
        labels: the classes.
        confusion: rows true, columns predicted, one row after another.
        bins: of the probability given to the predicted label, ten bins: count, summed probability, number right; empty if the
            method gives none.
        ties: of nearest neighbours: what other ways of breaking ties would give; else empty.
        folds: fold by fold.
        wrong: of each wrong answer the length of the sequence, and the places of its label and of the answer in ``labels``.
    """

    method: str
    setting: str
    train: int
    tested: int
    available: int
    accuracy: float
    accuracy_low: float
    accuracy_high: float
    macro_f1: float
    macro_f1_low: float
    macro_f1_high: float
    fit_seconds: float
    predict_seconds: float
    labels: tuple[str, ...]
    confusion: tuple[int, ...]
    bins: Bins
    ties: tuple[float, ...]
    folds: tuple[FoldResult, ...]
    wrong: tuple[tuple[int, ...], ...]

    @property
    def rate(self) -> float:
        """Sequences classified in a processor second."""
        return self.tested / max(self.predict_seconds, 1e-9)

    @property
    def calibration_error(self) -> float | None:
        """Expected calibration error over ten bins (Naeini et al., AAAI 2015); None without probabilities."""
        return binned_error(self.bins)

    @property
    def calibration_error_by_chance(self) -> float | None:
        """What calibration error exact probabilities would show in so many sequences, on average; None without probabilities."""
        return error_by_chance(self.bins)

    @property
    def largest_class(self) -> float:
        """Share of the test sequences that have the most frequent label: what always answering with it gives."""
        return float(np.reshape(self.confusion, (len(self.labels), -1)).sum(axis=1).max() / self.tested)


def binned_error(bins: Bins) -> float | None:
    """Expected calibration error of bins (count, summed probability, number right); None without bins.

    >>> binned_error(((4.0, 3.0, 3.0), (4.0, 4.0, 2.0)))
    0.25
    """
    if not bins:
        return None
    return sum(abs(total - right) for _, total, right in bins) / sum(count for count, _, _ in bins)


def error_by_chance(bins: Bins, *, seed: int = 0) -> float | None:
    """Mean calibration error if each bin's sequences were right with exactly the bin's mean probability; None without bins.

    >>> error_by_chance(((100.0, 100.0, 90.0),))
    0.0
    """
    if not bins:
        return None
    counts, sums, _ = np.array([row for row in bins if row[0]]).T
    drawn = np.random.default_rng(seed).binomial(counts.astype(int), np.minimum(sums / counts, 1.0), (DRAWS, len(counts)))
    return float(np.abs(drawn - sums).sum(axis=1).mean() / counts.sum())


def wilson(right: int, count: int, z: float = 1.959964) -> tuple[float, float]:
    """Wilson's 95 % interval of a share.

    >>> tuple(round(x, 3) for x in wilson(96, 100))
    (0.902, 0.984)
    """
    share = right / count
    middle = share + z * z / (2 * count)
    half = z * float(np.sqrt(share * (1 - share) / count + z * z / (4 * count * count)))
    scale = 1 + z * z / count
    return (middle - half) / scale, (middle + half) / scale


class _Answers(NamedTuple):
    """What a method said of the test sequences of a fold; ``sure`` and ``ties`` are None where it gives none."""

    truth: NDArray[np.str_]
    found: NDArray[Any]
    lengths: NDArray[np.int64]
    sure: NDArray[np.float64] | None
    ties: Ties | None


def run_method(plan: BenchmarkPlan, name: str, setting: str) -> Result:
    """Train and test a method in a setting."""
    chosen = plan.method(name)
    data = load_setting(Path(plan.data), setting, seed=plan.seed, threads=plan.threads)
    rng = np.random.default_rng(plan.seed)
    answers = []
    fitting = predicting = 0.0
    for fold in data.folds:
        test = fold.test
        if chosen.subset is not None and chosen.subset < len(test):
            test = np.sort(rng.choice(test, chosen.subset, replace=False))
        model = METHODS[name](plan.threads)
        begun = time.process_time()
        model.fit([data.sequences[at] for at in fold.train], data.labels[fold.train])
        fitted = time.process_time()
        asked, truth = [data.sequences[at] for at in test], data.labels[test]
        if isinstance(model, NearestSequences):
            found, ties = _nearest(model, asked, truth, data.labels[fold.train])
        else:
            found, ties = model.predict(asked), None
        predicting += time.process_time() - fitted
        fitting += fitted - begun
        sure = None
        if ties is None and hasattr(model, "predict_proba"):  # of the votes of neighbours one is everything: no probability
            columns = {label: at for at, label in enumerate(model.classes_.tolist())}
            sure = model.predict_proba(asked)[np.arange(len(test)), [columns[label] for label in found.tolist()]]
        answers.append(_Answers(truth, found, np.array([len(one) for one in asked]), sure, ties))
    return _judged(name, data, answers, seconds=(fitting, predicting), seed=plan.seed)


def _nearest(
    model: NearestSequences, asked: list[str], truth: NDArray[np.str_], known: NDArray[np.str_]
) -> tuple[NDArray[Any], Ties]:
    """What the model (with k = 1) predicts, and what other ways of breaking ties would give, from distances computed once."""
    distances = model.distances(asked)
    codes = np.searchsorted(model.classes_, known)
    found = votes(distances, codes, len(model.classes_), k=model.k, first=model.ties == "first")
    shared = votes(distances, codes, len(model.classes_), k=model.k)
    # a label that training does not have is in no column, and can never be right
    share = (shared.share * (model.classes_[None, :] == truth[:, None])).sum(axis=1).round(12)
    ties = Ties(*(float(part.mean()) for part in (share == 1, share, share > 0)))
    return model.classes_[decide(found, model.class_sizes_)], ties


def _bins(sure: NDArray[np.float64], right: NDArray[np.bool_]) -> Bins:
    at = np.minimum((sure * BINS).astype(int), BINS - 1)
    columns = [np.bincount(at, weights=w, minlength=BINS) for w in (np.ones(len(sure)), sure, right.astype(float))]
    return tuple(tuple(float(value) for value in row) for row in np.stack(columns, axis=1))


def _judged(name: str, data: Setting, answers: list[_Answers], *, seconds: tuple[float, float], seed: int) -> Result:
    labels = np.unique(data.labels)
    truth, found = (np.concatenate([one[column] for one in answers]) for column in (0, 1))
    lengths = np.concatenate([one.lengths for one in answers])
    right = truth == found
    low, high = wilson(int(right.sum()), len(right))
    codes, guesses = np.searchsorted(labels, truth), np.searchsorted(labels, found)
    f1_low, f1_high = _bootstrap_f1(codes, guesses, len(labels), seed)
    folds = []
    for one in answers:
        good = one.truth == one.found
        folds.append(FoldResult(len(good), int(good.sum()), _bins(one.sure, good) if one.sure is not None else ()))
    parts = [one.ties for one in answers if one.ties is not None]
    wrong = np.flatnonzero(~right)
    return Result(
        method=name,
        setting=data.name,
        train=len(data.folds[0].train),
        tested=len(truth),
        available=sum(len(fold.test) for fold in data.folds),
        accuracy=float(right.mean()),
        accuracy_low=low,
        accuracy_high=high,
        macro_f1=float(f1_score(truth, found, average="macro", zero_division=0.0)),
        macro_f1_low=f1_low,
        macro_f1_high=f1_high,
        fit_seconds=seconds[0],
        predict_seconds=seconds[1],
        labels=tuple(labels.tolist()),
        confusion=tuple(int(n) for n in confusion_matrix(codes, guesses, labels=np.arange(len(labels))).ravel()),
        bins=tuple(tuple(row) for row in np.sum([fold.bins for fold in folds], axis=0).tolist()) if folds[0].bins else (),
        ties=tuple(np.average(parts, axis=0, weights=[fold.tested for fold in folds]).tolist()) if parts else (),
        folds=tuple(folds),
        wrong=tuple((int(lengths[at]), int(codes[at]), int(guesses[at])) for at in wrong),
    )


def _bootstrap_f1(truth: NDArray[np.intp], found: NDArray[np.intp], classes: int, seed: int) -> tuple[float, float]:
    """95 % interval of macro-F1 over test sequences drawn again with replacement."""
    rng = np.random.default_rng(seed)
    cells = np.bincount(truth * classes + found, minlength=classes * classes)
    drawn = rng.multinomial(len(truth), cells / len(truth), size=BOOTSTRAPS).reshape(-1, classes, classes)
    right = np.einsum("bii->bi", drawn)
    total = drawn.sum(1) + drawn.sum(2)
    scores = np.where(total > 0, 2 * right / np.maximum(total, 1), np.nan)  # classes that were not drawn do not count
    low, high = np.quantile(np.nanmean(scores, axis=1), [0.025, 0.975])
    return float(low), float(high)
