"""Each threshold drops what it says and no more; the query always stays; thinning is that of its reference."""

from __future__ import annotations

import logging

import numpy as np
import pytest

from genoseq.errors import InputError, UsageError
from genoseq.families.alignments.a3m import alignment_of_a3m
from genoseq.families.alignments.alignment import Alignment
from genoseq.families.alignments.filtering import filter_alignment, identity_to_query, thin_rows, thin_rows_plainly

QUERY = "ACDEFGHIKL"
ROWS = {
    "q": QUERY,
    "same": QUERY,
    "close": "ACDEFGHIKW",
    "far": "ACWWWWWWWW",
    "short": "ACDEF-----",
    "seven": "ACDEFGW---",
    "unknown": "ACDXXXXXXX",
    "gaps": "----------",
}


def made(rows: dict[str, str] = ROWS, query: bool = True) -> Alignment:
    return alignment_of_a3m(list(rows), list(rows.values()), query=query)


def test_defaults_and_the_log(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        kept = filter_alignment(made())
    assert kept.names == ("q", "same", "close", "far", "seven")
    assert "kept 5 of 8 rows; dropped: 2 cover less than 70% of the columns, 1 have more than 50% unknown residues" in caplog.text


@pytest.mark.parametrize(
    ("settings", "dropped"),
    [
        ({"min_coverage": 0.5}, {"gaps", "unknown"}),
        ({"min_coverage": 0.0, "max_unknown": 1.0}, {"gaps"}),
        ({"min_coverage": 0.71}, {"gaps", "unknown", "short", "seven"}),
        ({"min_identity": 0.9}, {"gaps", "unknown", "short", "far", "seven"}),
        ({"min_identity": 0.3}, {"gaps", "unknown", "short", "far"}),
        ({"max_identity": 0.95}, {"gaps", "unknown", "short", "same"}),
        ({"max_identity": 0.85}, {"gaps", "unknown", "short", "same", "close", "seven"}),
        ({"max_unknown": 0.7}, {"gaps", "short"}),
    ],
)
def test_thresholds(settings: dict[str, float], dropped: set[str]) -> None:
    assert set(ROWS) - set(filter_alignment(made(), **settings).names) == dropped


def test_only_modelled_columns_count() -> None:
    whole = made()
    modelled = np.array([True] * 5 + [False] * 5)
    masked = Alignment(whole.names, whole.matrix, whole.sequences, whole.query, 0, modelled)
    assert "short" in filter_alignment(masked).names
    assert identity_to_query(masked)[4] == 1
    with pytest.raises(InputError, match="no column to be modelled"):
        filter_alignment(Alignment(whole.names, whole.matrix, whole.sequences, whole.query, 0, np.zeros(10, np.bool_)))


def test_the_query_stays_first_when_it_is_the_shorter_one() -> None:
    kept = filter_alignment(made({"q": "ACDEFGH", "other": "ACDEFGH"}), max_identity=0.5)
    assert kept.names == ("q",)
    masked = filter_alignment(made({"q": "XXXXACD", "other": "ACDEFGH"}), max_unknown=0.1)
    assert masked.names == ("q", "other")


def test_identity_to_the_query_counts_shared_columns() -> None:
    assert identity_to_query(made()).tolist() == [1, 1, 0.9, 0.2, 1, 6 / 7, 1, 0]


def test_what_cannot_be() -> None:
    with pytest.raises(UsageError, match="needs a query"):
        filter_alignment(made(query=False), min_identity=0.3)
    with pytest.raises(UsageError, match="coverage is 70, expected 0 to 1"):
        filter_alignment(made(), min_coverage=70)
    with pytest.raises(UsageError, match="needs a query"):
        identity_to_query(made(query=False))
    with pytest.raises(InputError, match=r"no row of the alignment is left \(kept 0 of 2 rows"):
        filter_alignment(made({"a": "A---", "b": "-C--"}, query=False))


@pytest.mark.parametrize("identity", [0.0, 0.3, 0.6, 0.9])
@pytest.mark.parametrize("first", [False, True])
def test_thinning_is_that_of_the_reference(identity: float, first: bool) -> None:
    rng = np.random.default_rng(4)
    origin = rng.integers(0, 20, (4, 70))
    matrix = origin[rng.integers(0, 4, 150)].astype(np.uint8)
    changed = rng.random(matrix.shape) < rng.random((150, 1)) * 0.6
    matrix[changed] = rng.integers(0, 22, changed.sum())
    thin = thin_rows(matrix, identity, first=first)
    assert np.array_equal(thin, thin_rows_plainly(matrix, identity, first=first))
    assert 0 < len(thin) < 150
    assert not first or thin[0] == 0


def test_no_two_rows_that_stay_are_more_identical() -> None:
    rng = np.random.default_rng(4)
    matrix = np.where(rng.random((80, 50)) < 0.3, rng.integers(0, 20, (80, 50)), rng.integers(0, 20, 50)).astype(np.uint8)
    rows = matrix[thin_rows(matrix, 0.55)]
    same = (rows[:, None] == rows[None]).mean(axis=2) - np.eye(len(rows))
    assert same.max() <= 0.55
