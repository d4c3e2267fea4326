"""Neighbours counted by bits are those counted letter by letter, for both definitions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genoseq.errors import UsageError
from genoseq.families.alignments.weights import Over, count_neighbours, count_neighbours_plainly, effective_size, sequence_weights
from genoseq.families.alphabet import encode


def family(rows: int, length: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    origins = rng.integers(0, 20, (3, length))
    matrix = origins[rng.integers(0, 3, rows)]
    changed = rng.random((rows, length)) < rng.random((rows, 1)) * 0.4
    return np.where(changed, rng.integers(0, 22, (rows, length)), matrix).astype(np.uint8)


@pytest.mark.parametrize("over", ["residues", "columns"])
@pytest.mark.parametrize("length", [1, 63, 64, 65, 130])
@pytest.mark.parametrize("identity", [0.3, 0.8, 1.0])
def test_bits_and_letters_agree(over: Over, length: int, identity: float) -> None:
    matrix = family(120, length, length)
    matrix[7] = 20
    assert np.array_equal(
        count_neighbours(matrix, identity=identity, over=over), count_neighbours_plainly(matrix, identity=identity, over=over)
    )


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 10**6), st.integers(1, 30), st.integers(1, 90), st.floats(0.01, 1), st.sampled_from(["residues", "columns"])
)
def test_any_matrix(seed: int, rows: int, length: int, identity: float, over: Over) -> None:
    matrix = family(rows, length, seed)
    fast = count_neighbours(matrix, identity=identity, over=over)
    assert np.array_equal(fast, count_neighbours_plainly(matrix, identity=identity, over=over))


def test_threads_change_nothing() -> None:
    matrix = family(700, 80, 5)
    assert np.array_equal(sequence_weights(matrix), sequence_weights(matrix, threads=3))


def test_the_order_of_rows_changes_nothing() -> None:
    matrix = family(200, 80, 6)
    order = np.random.default_rng(0).permutation(200)
    assert np.array_equal(sequence_weights(matrix)[order], sequence_weights(matrix[order]))


def test_the_two_definitions() -> None:
    matrix = np.array([encode("ACDEFGHIKL"), encode("ACDE------"), encode("------HIKW"), encode("----------")])
    assert count_neighbours(matrix, identity=0.75, over="residues").tolist() == [1, 2, 2, 0]
    assert count_neighbours(matrix, identity=0.6, over="columns").tolist() == [1, 2, 2, 3]
    weights = sequence_weights(matrix, identity=0.75)
    assert weights.tolist() == [1, 0.5, 0.5, 0]
    assert effective_size(weights) == 2


def test_the_threshold_is_included_whatever_its_rounding() -> None:
    matrix = np.array([encode("ACDEF"), encode("ACDEW")])
    assert sequence_weights(matrix, identity=0.8).tolist() == [0.5, 0.5]
    assert sequence_weights(matrix, identity=0.81).tolist() == [1, 1]
    seven = np.array([encode("ACDEFGHIKL"), encode("ACDEFGHWWW")])
    assert sequence_weights(seven, identity=0.7).tolist() == [0.5, 0.5]


def test_unknown_residues_agree_only_as_letters_of_columns() -> None:
    matrix = np.array([encode("ACXX"), encode("ACXX")])
    assert count_neighbours(matrix, identity=1, over="residues").tolist() == [2, 2]
    matrix = np.array([encode("AXXX"), encode("CXXX")])
    assert count_neighbours(matrix, identity=0.5, over="residues").tolist() == [1, 1]
    assert count_neighbours(matrix, identity=0.5, over="columns").tolist() == [2, 2]


@pytest.mark.parametrize("identity", [0, -0.1, 1.01])
def test_bad_identity(identity: float) -> None:
    with pytest.raises(UsageError, match="identity of neighbours"):
        sequence_weights(family(3, 5, 0), identity=identity)
