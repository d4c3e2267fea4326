"""Identities and splits by connected components, against plain references."""

from __future__ import annotations

import numpy as np
import pytest

from genoseq.errors import InputError, UsageError
from genoseq.families.alignments.identity import identities, identities_plainly, nearest
from genoseq.families.alphabet import GAP, UNKNOWN, encode
from genoseq.families.judging.splits import components, components_plainly, split_family


def clustered(rows: int = 120, length: int = 70, seed: int = 0) -> np.ndarray:
    """Rows around ten centres, with gaps and unknown residues."""
    generator = np.random.default_rng(seed)
    centres = generator.integers(0, 20, (10, length))
    matrix = centres[generator.integers(0, 10, rows)].astype(np.uint8)
    changed = generator.random(matrix.shape) < generator.uniform(0, 0.4, (rows, 1))
    matrix[changed] = generator.integers(0, 22, int(changed.sum()))
    return matrix


def test_identities_agree_with_the_reference() -> None:
    matrix = clustered()
    matrix[5] = GAP
    np.testing.assert_allclose(identities(matrix, matrix[:50]), identities_plainly(matrix, matrix[:50]), atol=1e-6)


def test_unknown_residues_and_gaps_do_not_count() -> None:
    first = np.array([encode("ACDX-")])
    assert identities(first, np.array([encode("ACEX-")]))[0, 0] == pytest.approx(2 / 3)
    assert first[0, 3] == UNKNOWN
    assert identities(first, np.array([encode("---AC")]))[0, 0] == 0


def test_nearest_finds_the_first_of_the_largest() -> None:
    matrix = clustered()
    whole = identities_plainly(matrix[:20], matrix[20:])
    found = nearest(matrix[:20], matrix[20:])
    np.testing.assert_allclose(found.identity, whole.max(axis=1), atol=1e-6)
    np.testing.assert_array_equal(found.row, whole.argmax(axis=1))


@pytest.mark.parametrize("identity", [0.3, 0.5, 0.6, 0.8, 1.0])
def test_components_agree_with_the_reference(identity: float) -> None:
    matrix = clustered()
    np.testing.assert_array_equal(components(matrix, identity=identity), components_plainly(matrix, identity=identity))


def test_the_threshold_itself_links() -> None:
    rows = np.array([encode("AAAAA"), encode("AAACC"), encode("CCCCC")])
    assert components(rows, identity=0.6).tolist() == [0, 0, 1]
    assert components(rows, identity=0.61).tolist() == [0, 1, 2]


def test_chains_hang_together() -> None:
    rows = np.array([encode("AAAAA"), encode("AAAAC"), encode("AAACC"), encode("AACCC")])
    assert components(rows, identity=0.8).tolist() == [0, 0, 0, 0]


def test_no_pair_crosses_a_split() -> None:
    matrix = clustered()
    found = split_family(matrix, identity=0.6, held_out=0.2, seed=3)
    across = identities_plainly(matrix[found.held_out], matrix[found.train])
    assert across.max() < 0.6
    assert found.largest == pytest.approx(float(across.max()), abs=1e-6)
    assert found.leaks == 0
    assert not set(found.component[found.train]) & set(found.component[found.held_out])
    assert sorted([*found.train, *found.held_out]) == list(range(len(matrix)))
    assert len(found.held_out) <= 0.2 * len(matrix) * 1.05


def test_the_seed_decides_and_repeats() -> None:
    matrix = clustered()
    first, again, other = (split_family(matrix, seed=seed).held_out.tolist() for seed in (0, 0, 1))
    assert first == again != other


def test_the_kept_row_stays_in_the_train_part() -> None:
    matrix = clustered()
    for seed in range(6):
        kept = int(split_family(matrix, seed=seed).held_out[0])
        assert kept in split_family(matrix, seed=seed, keep=kept).train


def test_one_component_cannot_be_split() -> None:
    rows = np.repeat(encode("ACDEFGHIKL")[None], 20, axis=0)
    with pytest.raises(InputError, match=r"1 component, the largest of 20"):
        split_family(rows)


@pytest.mark.parametrize(("rows", "message"), [(1, "there is one sequence"), (0, "there are no sequences")])
def test_one_sequence_cannot_be_split(rows: int, message: str) -> None:
    with pytest.raises(InputError, match=f"{message}: two are needed to hold one out; search for homologues first"):
        split_family(clustered()[:rows])


@pytest.mark.parametrize("options", [{"identity": 0.0}, {"identity": 1.2}, {"held_out": 0.0}, {"held_out": 1.0}])
def test_shares_outside_their_range(options: dict[str, float]) -> None:
    with pytest.raises(UsageError):
        split_family(clustered(), **options)
