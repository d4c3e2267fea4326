"""How well scores agree with measurements: Spearman, AUC, MCC, NDCG, recall of the best, and bootstrap intervals.

The definitions are those of ProteinGym (Notin et al. 2023), in which higher is fitter on both sides:

- ``spearman``: rank correlation; ties share their mean rank.
- ``auc``: the area under the ROC curve for the two bins of the measurement. ``mcc``: Matthews' correlation coefficient, scores
  called fit from their median on. The bins are the assay's own where it has them, else those of the measurement's median: fit
  from the median on, which is what ProteinGym's ``median`` bins are.
- ``ndcg``: with gains ``(y - min) / (max - min)`` of the measurements y and the discount ``1 / log2(rank + 1)``, the sum over the
  10 % of the variants that score best (rounded down, at least one), divided by the largest possible such sum. Variants
  of equal score share the mean of their gains (in ProteinGym their order decides, so that there the result depends on the order
  of the file).
- ``recall``: the share of the 10 % best measured variants that are among the 10 % best scored, both from their 90th
  percentile on. (ProteinGym's script has had ``>=`` and ``>`` here; they differ where many tie.)

These were compared with ``proteingym/performance_DMS_benchmarks.py`` of github.com/OATML-Markslab/ProteinGym at 1a99bd0.

A metric that has no value is NaN: fewer than three variants, all scores or all measurements equal, one bin empty. NaN among
the input is never passed over in silence: :func:`paired` drops such variants and counts them, and the metrics themselves refuse
them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from genoseq.errors import UsageError

__all__ = ["METRICS", "Interval", "Pairs", "auc", "interval", "mcc", "measure", "ndcg", "paired", "recall", "spearman"]

Floats = NDArray[np.float64]
Bins = NDArray[np.bool_]
TOP = 0.1
LEAST = 3


class Pairs(NamedTuple):
    """n variants with a score and a measurement.

    Attributes:
        scores: (n,) finite or infinite, never NaN.
        measured: (n,).
        fit: (n,) the upper of two bins of the measurement.
        missing: variants that were left out, for they have no score or no measurement.
    """

    scores: Floats
    measured: Floats
    fit: Bins
    missing: int

    def rows(self, numbers: NDArray[np.intp]) -> Pairs:
        """These variants, bins as they are."""
        return Pairs(self.scores[numbers], self.measured[numbers], self.fit[numbers], self.missing)


class Interval(NamedTuple):
    """A value and the ends of its interval; NaN where there is none."""

    value: float
    low: float
    high: float


def paired(scores: Floats, measured: Floats, bins: Floats | None = None) -> Pairs:
    """The variants that have a score and a measurement (and a bin, if bins are given).

    Args:
        scores: (n,), NaN where there is none.
        measured: (n,), NaN where there is none.
        bins: (n,) 0 or 1, NaN where there is none; by the median of the measurements unless given.

    Raises:
        UsageError: lengths differ, a measurement is infinite, or a bin is neither 0 nor 1.

    >>> pairs = paired(np.array([1.0, np.nan, 3.0, 4.0]), np.array([0.1, 0.2, 0.3, 0.4]))
    >>> pairs.fit.tolist(), pairs.missing
    ([False, True, True], 1)
    """
    if scores.shape != measured.shape or (bins is not None and bins.shape != scores.shape):
        raise UsageError(f"{len(scores):,} scores for {len(measured):,} measurements")
    known = ~np.isnan(scores) & ~np.isnan(measured)
    if bins is not None:
        known &= ~np.isnan(bins)
        wrong = bins[known & (bins != 0) & (bins != 1)]
        if wrong.size:
            raise UsageError(f"a bin is {wrong[0]:g}, expected 0 or 1")
    values = measured[known]
    if np.isinf(values).any():
        raise UsageError("a measurement is infinite, expected numbers, or NaN where nothing was measured")
    fit = bins[known] == 1 if bins is not None else values >= (np.median(values) if values.size else 0.0)
    return Pairs(scores[known], values, np.asarray(fit, np.bool_), int((~known).sum()))


def spearman(pairs: Pairs) -> float:
    """Spearman's rank correlation of scores and measurements."""
    _refuse_missing(pairs)
    if _says_nothing(pairs.scores) or _says_nothing(pairs.measured):
        return float("nan")
    return float(np.corrcoef(_ranks(pairs.scores), _ranks(pairs.measured))[0, 1])


def auc(pairs: Pairs) -> float:
    """The chance that a fit variant scores above an unfit one, ties half."""
    _refuse_missing(pairs)
    count = int(pairs.fit.sum())
    if len(pairs.fit) < LEAST or count in (0, len(pairs.fit)):
        return float("nan")
    ranks = _ranks(pairs.scores)
    above = ranks[pairs.fit].sum() - count * (count + 1) / 2
    return float(above / (count * (len(ranks) - count)))


def mcc(pairs: Pairs) -> float:
    """Matthews' correlation coefficient of the bins and of scores from their median on."""
    _refuse_missing(pairs)
    if _says_nothing(pairs.scores) or len(set(pairs.fit.tolist())) < 2:
        return float("nan")
    ranks = _ranks(pairs.scores)
    called = ranks >= np.median(ranks)
    if called.all():
        return float("nan")
    return float(np.corrcoef(called, pairs.fit)[0, 1])


def ndcg(pairs: Pairs) -> float:
    """Normalised discounted cumulative gain of the 10 % best scored; see the top of the module."""
    _refuse_missing(pairs)
    if len(pairs.scores) < LEAST or _says_nothing(pairs.measured):
        return float("nan")
    from sklearn.metrics import ndcg_score

    gains = (pairs.measured - pairs.measured.min()) / np.ptp(pairs.measured)
    return float(ndcg_score(gains[None], _ranks(pairs.scores)[None], k=max(1, len(gains) // 10)))


def recall(pairs: Pairs) -> float:
    """The share of the 10 % best measured variants that are among the 10 % best scored."""
    _refuse_missing(pairs)
    if len(pairs.scores) < LEAST or _says_nothing(pairs.measured):
        return float("nan")
    best = pairs.measured >= np.quantile(pairs.measured, 1 - TOP)
    ranks = _ranks(pairs.scores)
    chosen = ranks >= np.quantile(ranks, 1 - TOP)
    return float((best & chosen).sum() / best.sum())


METRICS: dict[str, Callable[[Pairs], float]] = {"spearman": spearman, "auc": auc, "mcc": mcc, "ndcg": ndcg, "recall": recall}
"""The metrics by name."""


def measure(name: str, pairs: Pairs) -> float:
    """The metric of this name.

    Raises:
        UsageError: there is no such; the message lists those there are.
    """
    if name not in METRICS:
        raise UsageError(f"{name!r} is no metric: expected one of {', '.join(METRICS)}")
    return METRICS[name](pairs)


def interval(name: str, pairs: Pairs, *, resamples: int = 200, level: float = 0.95, seed: int = 0) -> Interval:
    """A metric with the percentile interval of its bootstrap over variants.

    Resample k of n variants is decided by the seed, n and k alone, so that two scorers of one assay see the same resamples. Bins
    stay as they are. A resample without a value (one bin empty) is passed over; fewer than half left, and there is no
    interval.

    Args:
        name: of the metric.
        pairs: the variants.
        resamples: how many; 0 gives no interval.
        level: share of the resamples inside.
        seed: of the random numbers.

    >>> values = np.arange(50.0)
    >>> [round(float(one), 3) for one in interval("spearman", paired(values, values))]
    [1.0, 1.0, 1.0]
    """
    value = measure(name, pairs)
    if not resamples or np.isnan(value):
        return Interval(value, float("nan"), float("nan"))
    size = len(pairs.scores)
    random = np.random.default_rng([seed, size])
    found = np.array([measure(name, pairs.rows(random.integers(0, size, size))) for _ in range(resamples)])
    found = found[~np.isnan(found)]
    if 2 * len(found) < resamples:
        return Interval(value, float("nan"), float("nan"))
    low, high = np.quantile(found, [(1 - level) / 2, (1 + level) / 2])
    return Interval(value, float(low), float(high))


def _ranks(values: Floats) -> Floats:
    """Ranks (n,) from 1, ties their mean: infinite values, too, have one."""
    from scipy.stats import rankdata  # type: ignore[import-untyped]

    return np.asarray(rankdata(values), np.float64)


def _refuse_missing(pairs: Pairs) -> None:
    if np.isnan(pairs.scores).any() or np.isnan(pairs.measured).any():
        raise UsageError("scores or measurements hold NaN: leave them out by paired(), which counts them")


def _says_nothing(values: Floats) -> bool:
    """Too few values, or all of them equal."""
    return len(values) < LEAST or bool((values == values[0]).all())
