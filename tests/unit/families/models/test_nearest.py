from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from small_family import coupled_family, family_of

from genoseq.errors import UsageError
from genoseq.families.alphabet import AMINO_ACIDS
from genoseq.families.models.nearest import conservation, fit_nearest, letter_distances, letter_distances_plainly


@given(arrays(np.uint8, (9, 5), elements=st.integers(0, 21)), st.integers(0, 2**32 - 1))
def test_distances_are_those_of_the_plain_loops(matrix: np.ndarray, seed: int) -> None:
    weights = np.random.default_rng(seed).random(5)
    np.testing.assert_allclose(
        letter_distances(matrix, matrix[0], weights), letter_distances_plainly(matrix, matrix[0], weights), atol=1e-12
    )


def test_distances_by_hand() -> None:
    rows = family_of(["AAAA", "AAAC", "AACC", "ACCC", "DCCC", "A--C", "----"])
    found = letter_distances(rows.matrix, rows.matrix[0], np.array([1.0, 2.0, 3.0, 4.0]))
    a, c, d = (AMINO_ACIDS.index(letter) for letter in "ACD")
    # rows are .4, .7, .9, 1 and, of five tenths known, .8 away
    assert found[3, c] == pytest.approx((0.4 + 0.7 + 0.8) / 3)
    assert found[2, c] == pytest.approx((0.7 + 0.9 + 1) / 3)
    assert found[0, a] == pytest.approx((0 + 0.4 + 0.7) / 3)
    assert found[0, d] == pytest.approx((1 + 1.1 + 1.1) / 3)  # one row has it
    assert found[1, d] == pytest.approx(1.1)  # none


def test_a_letter_of_near_homologues_costs_less() -> None:
    near, far = "ACDEFGHIKV", "WCYEMGPIKS"
    rows = ["ACDEFGHIKL", *[near] * 3, *[far] * 3, "ACDEFGHIKT", *["ACDEFGHIKL"] * 5]
    scores = fit_nearest(family_of(rows), weight_identity=1.0).single_scores()
    v, s, t, w = (AMINO_ACIDS.index(letter) for letter in "VSTW")
    assert 0 > scores[9, v] > scores[9, s] > scores[9, w]
    assert scores[9, v] > scores[9, t] > scores[9, w]  # near, but one sequence only
    assert scores[9, AMINO_ACIDS.index("L")] == 0


def test_the_order_of_rows_does_not_matter_and_an_unknown_residue_has_no_score() -> None:
    alignment = coupled_family(80)
    order = [0, *np.random.default_rng(0).permutation(np.arange(1, 80)).tolist()]
    np.testing.assert_allclose(fit_nearest(alignment).logs, fit_nearest(alignment.subset(order)).logs, atol=1e-12)
    scores = fit_nearest(family_of(["AXC", "ADC", "ADD"])).single_scores()
    assert np.isnan(scores[1]).all()
    assert np.isfinite(scores[[0, 2]]).all()


def test_conservation_is_a_share_of_the_most_conserved_column() -> None:
    counts = np.zeros((3, 20))
    counts[0, AMINO_ACIDS.index("W")] = 50  # rare, and the only letter
    counts[1, AMINO_ACIDS.index("L")] = 50
    found = conservation(counts)
    assert found[0] == 1 > found[1] > found[2] == pytest.approx(0, abs=1e-9)


def test_no_wild_type_is_refused() -> None:
    with pytest.raises(UsageError, match="say which row it is"):
        fit_nearest(family_of(["ACD", "AC-"], query=False))
