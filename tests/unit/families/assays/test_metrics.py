"""Each metric against a case worked out by hand, intervals that repeat, and NaN that is never passed over in silence."""

from __future__ import annotations

import math

import numpy as np
import pytest

from genoseq.errors import UsageError
from genoseq.families.assays.metrics import METRICS, interval, measure, paired

# scores rank the measurements 1 2 3 4 5 as 2 1 3 5 4
SCORES = np.array([20.0, 10.0, 30.0, 50.0, 40.0])
MEASURED = np.array([1.0, 2.0, 3.0, 4.0, 5.0])


def test_spearman_by_hand() -> None:
    # 1 - 6 sum d^2 / (n (n^2 - 1)) with d = 1, 1, 0, 1, 1: 1 - 24 / 120
    assert measure("spearman", paired(SCORES, MEASURED)) == pytest.approx(0.8)


def test_spearman_ties_share_their_rank() -> None:
    from scipy.stats import spearmanr

    scores = np.array([1.0, 1.0, 2.0, 3.0, 3.0, 0.0])
    measured = np.array([0.3, 0.1, 0.1, 2.0, 5.0, 0.1])
    assert measure("spearman", paired(scores, measured)) == pytest.approx(spearmanr(scores, measured).statistic)


def test_auc_by_hand() -> None:
    # median 3: fit are 3, 4, 5 with scores 30, 50, 40; every one of them lies above both unfit ones
    assert measure("auc", paired(SCORES, MEASURED)) == 1.0
    # bins as given: fit are 1 and 5 with scores 20 and 40; pairs won: 20 > 10; 40 > 10, 30: 3 of 6
    assert measure("auc", paired(SCORES, MEASURED, np.array([1.0, 0, 0, 0, 1]))) == pytest.approx(0.5)


def test_auc_ties_count_half() -> None:
    assert measure("auc", paired(np.zeros(4), np.arange(4.0))) == 0.5


def test_auc_is_that_of_scikit_learn() -> None:
    from sklearn.metrics import matthews_corrcoef, roc_auc_score

    random = np.random.default_rng(1)
    pairs = paired(random.integers(0, 9, 80).astype(float), random.normal(size=80))
    assert measure("auc", pairs) == pytest.approx(roc_auc_score(pairs.fit, pairs.scores))
    assert measure("mcc", pairs) == pytest.approx(matthews_corrcoef(pairs.fit, pairs.scores >= np.median(pairs.scores)))


def test_mcc_by_hand() -> None:
    # called fit: 30, 50, 40 (median 30); bins: fit 1 0 1 1 0 -> TP 2, FP 1, FN 1, TN 1
    found = measure("mcc", paired(SCORES, MEASURED, np.array([1.0, 0, 1, 1, 0])))
    assert found == pytest.approx((2 * 1 - 1 * 1) / math.sqrt(3 * 3 * 2 * 2))


def test_ndcg_by_hand() -> None:
    # 20 variants, so the 2 best scored count: gains 0 to 1 in steps of 1/19
    measured = np.arange(20.0)
    scores = measured.copy()
    scores[[19, 18, 10]] = [30.0, 5.5, 40.0]  # the best scored is 10, then 19
    expected = (10 / 19 + (19 / 19) / math.log2(3)) / (1 + (18 / 19) / math.log2(3))
    assert measure("ndcg", paired(scores, measured)) == pytest.approx(expected)


def test_ndcg_counts_a_tenth_rounded_down_of_gains_from_0_to_1() -> None:
    # 29 variants: 2 count. Measurements from 100 on give the same as from 0 on: the least is no gain
    random = np.random.default_rng(4)
    measured, scores = random.normal(size=29), random.normal(size=29)
    gains = (measured - measured.min()) / (measured.max() - measured.min())
    first, second = gains[np.argsort(-scores)[:2]]
    best, next_best = np.sort(gains)[::-1][:2]
    by_hand = (first + second / math.log2(3)) / (best + next_best / math.log2(3))
    assert measure("ndcg", paired(scores, measured)) == pytest.approx(by_hand)
    assert measure("ndcg", paired(scores, 3 * measured + 100)) == pytest.approx(by_hand)


def test_recall_counts_all_that_tie() -> None:
    # 10 variants, 4 tie at the 90th percentile: all 4 are best; of the scores one is, and it is among them
    measured = np.array([0.0, 1, 2, 3, 4, 5, 9, 9, 9, 9])
    assert measure("recall", paired(np.arange(10.0), measured)) == 0.25


def test_mcc_calls_the_median_fit() -> None:
    # the median of 1 2 2 3 is 2: three are called fit, of which two are; the unfit one is called unfit
    pairs = paired(np.array([1.0, 2, 2, 3]), np.zeros(4) + np.arange(4), np.array([0.0, 0, 1, 1]))
    assert measure("mcc", pairs) == pytest.approx((2 * 1 - 1 * 0) / math.sqrt(3 * 2 * 2 * 1))


def test_ndcg_does_not_depend_on_the_order_of_ties() -> None:
    measured = np.arange(30.0)
    scores = np.repeat([1.0, 2.0, 3.0], 10)
    turned = paired(scores[::-1], measured[::-1])
    assert measure("ndcg", paired(scores, measured)) == pytest.approx(measure("ndcg", turned))


def test_recall_by_hand() -> None:
    # 20 variants: from the 90th percentile on are the 2 best; one of them is among the 2 best scored
    measured = np.arange(20.0)
    scores = measured.copy()
    scores[18] = -1.0
    assert measure("recall", paired(scores, measured)) == 0.5


def test_median_bins_are_those_of_proteingym() -> None:
    pairs = paired(np.arange(4.0), np.array([0.0, 1.0, 1.0, 2.0]))
    assert pairs.fit.tolist() == [False, True, True, True]


def test_what_is_missing_is_counted() -> None:
    pairs = paired(np.array([1.0, np.nan, 3.0, 4.0]), np.array([1.0, 2.0, np.nan, 4.0]), np.array([0, 1, 1, np.nan]))
    assert (pairs.scores.tolist(), pairs.missing) == ([1.0], 3)


@pytest.mark.parametrize("name", METRICS)
def test_metrics_refuse_nan(name: str) -> None:
    pairs = paired(SCORES, MEASURED)._replace(scores=np.array([1.0, np.nan, 2.0, 3.0, 4.0]))
    with pytest.raises(UsageError, match="NaN"):
        measure(name, pairs)


@pytest.mark.parametrize("name", METRICS)
def test_nothing_to_measure_is_nan(name: str) -> None:
    assert math.isnan(measure(name, paired(np.arange(5.0), np.ones(5))))
    assert math.isnan(measure(name, paired(np.arange(2.0), np.arange(2.0))))


@pytest.mark.parametrize("name", METRICS)
def test_infinite_scores_are_ranks(name: str) -> None:
    low = SCORES.copy()
    low[1] = -np.inf
    assert measure(name, paired(low, MEASURED)) == pytest.approx(measure(name, paired(SCORES, MEASURED)))


@pytest.mark.parametrize("name", METRICS)
def test_intervals_repeat_and_hold_the_value(name: str) -> None:
    random = np.random.default_rng(0)
    measured = random.normal(size=150)
    pairs = paired(measured + random.normal(size=150), measured)
    found = interval(name, pairs, resamples=60, seed=3)
    assert found == interval(name, pairs, resamples=60, seed=3)
    assert found[1:] != interval(name, pairs, resamples=60, seed=4)[1:]
    assert found.low < found.high
    assert found.low - 0.05 <= found.value <= found.high + 0.05


def test_the_interval_of_a_correlation_is_about_as_wide_as_theory_says() -> None:
    random = np.random.default_rng(5)
    measured = random.normal(size=400)
    found = interval("spearman", paired(measured + random.normal(size=400), measured), resamples=300)
    width = 2 * 1.96 * math.sqrt((1 + found.value**2 / 2) / 400) * (1 - found.value**2)
    assert found.high - found.low == pytest.approx(width, rel=0.3)


def test_no_resamples_no_interval() -> None:
    found = interval("spearman", paired(SCORES, MEASURED), resamples=0)
    assert found.value == pytest.approx(0.8)
    assert math.isnan(found.low)


def test_unknown_names_and_bad_bins() -> None:
    with pytest.raises(UsageError, match="spearman, auc, mcc, ndcg, recall"):
        measure("pearson", paired(SCORES, MEASURED))
    with pytest.raises(UsageError, match="a bin is 2"):
        paired(SCORES, MEASURED, np.array([0.0, 1, 2, 0, 1]))
    with pytest.raises(UsageError, match="a measurement is infinite"):
        paired(SCORES, np.array([0.0, 1, np.inf, 0, 1]))
    with pytest.raises(UsageError, match="5 scores for 4"):
        paired(SCORES, MEASURED[:4])
