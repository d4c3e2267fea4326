from __future__ import annotations

import numpy as np

from genoseq.classify.calibration import evidence, fit_calibration, fit_novelty, uncalibrated
from genoseq.classify.evaluation import calibration_error, reliability


def overconfident(n: int, classes: int, *, times: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Code lengths that make differences `times` too large, symbols, and labels drawn from the right probabilities."""
    rng = np.random.default_rng(0)
    right = rng.normal(0, 2, (n, classes))
    p = np.exp2(-right) / np.exp2(-right).sum(axis=1, keepdims=True)
    labels = (p.cumsum(axis=1) > rng.random((n, 1))).argmax(axis=1)
    return (times * right + 500)[:, None, :], np.full((n, 1), 300), labels


def probabilities(logits: np.ndarray) -> np.ndarray:
    p = np.exp(logits - logits.max(axis=1, keepdims=True))
    return p / p.sum(axis=1, keepdims=True)


def test_probabilities_become_right():
    bits, symbols, labels = overconfident(6000, 4, times=5)
    start = uncalibrated(1, 4)
    fitted = fit_calibration(evidence(bits[:3000], symbols[:3000]), labels[:3000], start=start)
    test = slice(3000, None)
    before = calibration_error(probabilities(start.logits(bits[test], symbols[test])), labels[test])
    after = calibration_error(probabilities(fitted.logits(bits[test], symbols[test])), labels[test])
    assert before > 0.15 and after < 0.03
    assert fitted.rows == 3000


def test_a_sequence_of_weight_two_counts_as_two():
    bits, symbols, labels = overconfident(300, 3, times=3)
    features, start = evidence(bits, symbols), uncalibrated(1, 3)
    weights = np.where(np.arange(300) < 100, 2.0, 1.0)
    twice = np.concatenate([np.arange(100), np.arange(300)])
    weighted = fit_calibration(features, labels, weights=weights, start=start)
    repeated = fit_calibration(features[twice], labels[twice], start=start)
    np.testing.assert_allclose(weighted.slopes, repeated.slopes, atol=1e-3)
    assert np.abs(weighted.slopes - fit_calibration(features, labels, start=start).slopes).max() > 0.01


def test_without_calibration_a_bit_is_a_factor_of_two():
    p = probabilities(uncalibrated(1, 2).logits(np.array([[[10.0, 13.0]]]), np.array([[20]])))
    np.testing.assert_allclose(p, [[8 / 9, 1 / 9]])


def test_one_class_or_nothing_leaves_the_start():
    start = uncalibrated(1, 2)
    assert fit_calibration(np.zeros((0, 2, 4)), np.zeros(0, np.int64), start=start) is start
    assert fit_calibration(np.zeros((4, 2, 4)), np.zeros(4, np.int64), start=start) is start


def test_novelty_rises_with_bits_and_knows_lengths():
    rng = np.random.default_rng(0)
    symbols = np.repeat([100, 1000], 500)
    rates = np.where(symbols == 100, 1.9, 1.0) + rng.normal(0, 0.05, 1000)
    novelty = fit_novelty(rates, symbols)
    found = novelty.of(np.array([0.5, 1.0, 1.5, 1.5, 2.3]), np.array([1000, 1000, 1000, 100, 100]))
    assert found[0] == 0 and abs(found[1] - 0.5) < 0.1 and found[2] == 1 and found[3] == 0 and found[4] == 1


def test_novelty_without_anything_held_out_is_not_known():
    assert np.isnan(fit_novelty(np.empty(0), np.empty(0, np.int64)).of(np.array([1.0]), np.array([10]))).all()


def test_reliability_counts_every_prediction():
    p = np.array([[1.0, 0.0], [0.55, 0.45], [0.4, 0.6]])
    table = reliability(p, np.array([0, 1, 1]))
    assert table[:, 0].sum() == 3 and table[9].tolist() == [1, 1, 1] and table[5, 2] == 0
