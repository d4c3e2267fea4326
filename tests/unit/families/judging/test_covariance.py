"""Covariances and words against plain references."""

from __future__ import annotations

import numpy as np
import pytest

from genoseq.families.judging.covariance import (
    correlation,
    covariances,
    covariances_plainly,
    resampled_correlations,
    strongest,
    word_correlation,
)


def coupled(rows: int = 300, length: int = 70, seed: int = 0) -> np.ndarray:
    """Rows in which pairs of neighbouring columns go together, with some gaps."""
    generator = np.random.default_rng(seed)
    matrix = generator.integers(0, 6, (rows, length)).astype(np.uint8)
    same = generator.random((rows, length // 2)) < 0.7
    matrix[:, 1::2] = np.where(same, matrix[:, ::2], matrix[:, 1::2])
    matrix[generator.random(matrix.shape) < 0.05] = 20
    return matrix


def test_covariances_agree_with_the_reference() -> None:
    matrix = coupled()
    found = strongest(matrix)
    np.testing.assert_allclose(found.value, covariances_plainly(matrix, found.first, found.second), atol=1e-6)


def test_the_strongest_are_the_strongest() -> None:
    matrix = coupled(length=10)
    found = strongest(matrix, share=0.01)
    every = [(i, j) for i in range(200) for j in range(200) if i // 20 < j // 20]
    first, second = (np.array(side) for side in zip(*every, strict=True))
    plain = covariances_plainly(matrix, first, second)
    assert len(found.value) == int(0.01 * len(every))
    np.testing.assert_allclose(np.sort(np.abs(found.value)), np.sort(np.abs(plain))[-len(found.value) :], atol=1e-6)
    assert (found.first // 20 < found.second // 20).all()


def test_blocks_of_columns_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    matrix = coupled()
    whole = strongest(matrix)
    monkeypatch.setattr("genoseq.families.judging.covariance.SITES", 7)
    monkeypatch.setattr("genoseq.families.judging.covariance.CHUNK", 11)
    pieces = strongest(matrix)
    np.testing.assert_array_equal(whole.first, pieces.first)
    np.testing.assert_array_equal(whole.second, pieces.second)


def test_a_set_agrees_with_itself_and_not_with_shuffled_columns() -> None:
    matrix = coupled()
    found = strongest(matrix)
    assert correlation(matrix, found) == pytest.approx(1.0)
    assert correlation(coupled(seed=1), found) > 0.85
    assert abs(correlation(np.random.default_rng(0).permuted(matrix, axis=0), found)) < 0.2
    assert correlation(np.zeros_like(matrix), found) == 0


def test_a_resample_is_the_repeated_rows() -> None:
    matrix = coupled(rows=60)
    found = strongest(coupled())
    counts = np.random.default_rng(1).multinomial(60, np.full(60, 1 / 60), size=3).T
    expected = [correlation(np.repeat(matrix, column, axis=0), found) for column in counts.T]
    np.testing.assert_allclose(resampled_correlations(matrix, found, counts), expected, atol=1e-4)


def test_no_variation_has_no_correlation() -> None:
    flat = np.zeros((10, 4), np.uint8)
    assert np.isnan(correlation(flat, strongest(flat)))
    assert covariances(flat, np.array([0]), np.array([20]))[0] == pytest.approx(0)


def test_words() -> None:
    matrix, other = coupled(rows=1500, length=2), coupled(rows=1500, length=2, seed=1)
    shuffled = np.random.default_rng(0).permuted(matrix, axis=0)
    assert word_correlation(matrix, matrix, size=2) == pytest.approx(1.0)
    assert word_correlation(other, matrix, size=2) > 0.9
    assert word_correlation(shuffled, matrix, size=2) < 0.5
    assert np.isnan(word_correlation(matrix[:, :2], matrix[:, :2], size=3))
    assert np.isnan(word_correlation(np.zeros_like(matrix), np.zeros_like(matrix), size=2))
