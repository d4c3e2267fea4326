"""Rows written and read again are the same; insertions stand where they interrupt the least."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genoseq.errors import OutputError, UsageError
from genoseq.families.alignments.a3m import (
    OPEN,
    a3m_rows,
    alignment_of_a3m,
    place_residues,
    place_residues_plainly,
    write_alignment,
)
from genoseq.families.alignments.alignment import Alignment
from genoseq.families.alignments.files import read_alignment
from genoseq.families.alphabet import decode, encode

NAMES = ["q/11-16", "a", "b", "c"]
ROWS = ["ACDEFG", "wwA-kDEFGyy", "AC--hhFG", "--DEFGkl"]


def test_rows_come_back(tmp_path: Path) -> None:
    made = alignment_of_a3m(NAMES, ROWS, query=True, start=10)
    assert a3m_rows(made)[2] in ("AC--hhFG", "AChh--FG")
    write_alignment(made, tmp_path / "x.a3m")
    again = read_alignment(tmp_path / "x.a3m")
    assert np.array_equal(again.matrix, made.matrix)
    assert (again.names, again.sequences, again.query, again.start) == (made.names, made.sequences, "ACDEFG", 10)


def test_fasta_holds_the_columns_alone(tmp_path: Path) -> None:
    made = alignment_of_a3m(NAMES, ROWS, query=True)
    write_alignment(made, tmp_path / "x.fa", layout="fasta")
    assert (tmp_path / "x.fa").read_text().splitlines()[3] == "A-DEFG"


def test_a2m_keeps_what_is_not_modelled(tmp_path: Path) -> None:
    made = alignment_of_a3m(NAMES, ROWS, query=True)
    masked = Alignment(made.names, made.matrix, made.sequences, made.query, 0, np.array([False, False, True, True, True, True]))
    write_alignment(masked, tmp_path / "x", layout="a2m")
    again = read_alignment(tmp_path / "x")
    assert again.modelled.tolist() == masked.modelled.tolist()
    assert np.array_equal(again.matrix, made.matrix)


def test_the_start_of_the_query_is_kept_in_its_name(tmp_path: Path) -> None:
    write_alignment(alignment_of_a3m(["q", "x"], ["ACD", "A-D"], query=True, start=4), tmp_path / "x.a3m")
    assert (tmp_path / "x.a3m").read_text().startswith(">q/5-7\n")
    write_alignment(alignment_of_a3m(["q/2-4", "x"], ["ACD", "A-D"], query=True, start=4), tmp_path / "x.a3m")
    assert read_alignment(tmp_path / "x.a3m").start == 4


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 12).flatmap(
        lambda length: st.tuples(
            st.text("ACDEFGHIKLMNPQRSTVWY", min_size=length, max_size=length),
            st.lists(
                st.tuples(
                    st.text("ACDEFGW-XBU", min_size=length, max_size=length),
                    st.lists(st.text("acdw", max_size=3), min_size=length + 1, max_size=length + 1),
                ),
                max_size=6,
            ),
        )
    ),
    st.integers(0, 99),
)
def test_any_alignment_comes_back(case: tuple[str, list[tuple[str, list[str]]]], start: int) -> None:
    query, others = case
    rows = [query, *("".join(i + c for i, c in zip(inserts, (*row, ""), strict=True)) for row, inserts in others)]
    made = alignment_of_a3m([f"n{i}" for i in range(len(rows))], rows, query=True, start=start)
    with tempfile.TemporaryDirectory() as folder:
        write_alignment(made, Path(folder) / "x.a3m")
        again = read_alignment(Path(folder) / "x.a3m")
    assert np.array_equal(again.matrix, made.matrix)
    assert (again.sequences, again.query, again.start) == (made.sequences, query, start)


def test_bad_targets(tmp_path: Path) -> None:
    made = alignment_of_a3m(["q"], ["ACD"], query=True)
    with pytest.raises(UsageError, match="not 'clustal'"):
        write_alignment(made, tmp_path / "x", layout="clustal")  # type: ignore[arg-type]
    with pytest.raises(OutputError, match="does not exist"):
        write_alignment(made, tmp_path / "no" / "x")


def cost(places: np.ndarray, columns: np.ndarray) -> int:
    steps = np.where(np.diff(columns) == 1, OPEN, 1)
    return int(steps[np.diff(places) > 1].sum())


def test_places_are_as_cheap_as_the_cheapest_of_all() -> None:
    rng = np.random.default_rng(3)
    compared = 0
    for _ in range(300):
        sequence = rng.integers(0, 3, rng.integers(1, 9)).astype(np.uint8)
        kept = np.sort(rng.choice(len(sequence), rng.integers(0, len(sequence) + 1), replace=False))
        wanted = sequence[kept] if rng.random() < 0.8 else rng.integers(0, 3, len(kept)).astype(np.uint8)
        columns = np.sort(rng.choice(12, len(wanted), replace=False))
        best = place_residues_plainly(wanted, columns, sequence)
        found = place_residues(wanted, columns, sequence)
        assert (found is None) == (best is None)
        if found is not None:
            assert np.array_equal(sequence[found], wanted)
            assert cost(found, columns) == best
            compared += 1
    assert compared > 200


def test_an_insertion_is_not_torn_apart() -> None:
    columns = np.arange(6)
    places = place_residues(encode("ACDEFG"), columns, encode("ACDDEFDEFG"))
    assert places is not None and (np.diff(places) > 1).sum() == 1
    assert decode(encode("ACDDEFDEFG")[places]) == "ACDEFG"
    assert place_residues(encode("ACD"), np.arange(3), encode("AD")) is None
