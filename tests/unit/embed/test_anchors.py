"""Anchors: chosen by content, on both strands alike."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from genoseq.embed.anchors import (
    MAX_K,
    MIN_K,
    anchor_cells,
    number_of_lists,
    scan_anchors,
)  # fmt: skip
from genoseq.seqs.alphabet import COMPLEMENT

Codes = NDArray[np.uint8]


def anchors(codes: Codes, k: int, cells: NDArray[np.int32], start: int = 0, end: int | None = None) -> list[tuple[int, int]]:
    """(position, entry) of the anchors of ``codes[start:end]``."""
    end = len(codes) if end is None else end
    positions, entries = np.empty(len(codes) + 1, np.int64), np.empty(len(codes) + 1, np.int32)
    n = scan_anchors(codes, start, end, k, cells, positions, entries)
    return list(zip(positions[:n].tolist(), entries[:n].tolist(), strict=True))


def random_codes(seed: int, n: int = 3000) -> Codes:
    return np.random.default_rng(seed).integers(0, 4, n, dtype=np.uint8)


def digits(kmer: list[int]) -> int:
    number = 0
    for base in kmer:
        number = 4 * number + base
    return number


@pytest.mark.parametrize("k", [4, 5, 6, 7])
@pytest.mark.parametrize("density", [1.0, 0.5, 0.0625])
def test_table_is_what_its_definition_says(k: int, density: float) -> None:
    cells = anchor_cells(k, density)
    assert (cells.dtype, cells.shape) == (np.int32, (4**k,))
    expected_list = 0
    for number in range(4**k):
        kmer = [(number >> 2 * (k - 1 - i)) & 3 for i in range(k)]
        other = digits([3 - base for base in reversed(kmer)])
        entry = int(cells[number])
        if other == number:
            assert entry == -1
            continue
        assert (entry < 0) == (int(cells[other]) < 0)
        if entry < 0:
            continue
        assert entry & 1 == (number > other)
        assert entry >> 1 == int(cells[other]) >> 1
        if number < other:
            assert entry >> 1 == expected_list
            expected_list += 1
    assert number_of_lists(cells) == expected_list


@pytest.mark.parametrize("k", [5, 6, 8, 11])
def test_both_strands_have_the_same_anchors(k: int) -> None:
    codes = random_codes(k)
    codes[[100, 101, 900]] = 4
    cells = anchor_cells(k, 0.5)
    forward = anchors(codes, k, cells)
    turned = anchors(COMPLEMENT[codes[::-1]], k, cells)
    mirrored = [(len(codes) - k - position, entry ^ 1) for position, entry in reversed(turned)]
    assert forward == mirrored
    assert len(forward) > 1000


@pytest.mark.parametrize("density", [0.5, 0.25, 1 / 16])
def test_density_is_the_share_of_positions_that_anchor(density: float) -> None:
    cells = anchor_cells(9, density)
    share = len(anchors(random_codes(1, 100_000), 9, cells)) / 100_000
    assert abs(share - density) < 0.1 * density


def test_all_kmers_but_palindromes_anchor_at_density_one() -> None:
    for k in (5, 6):
        cells = anchor_cells(k, 1.0)
        palindromes = 4 ** (k // 2) if k % 2 == 0 else 0
        assert np.count_nonzero(cells < 0) == palindromes
        assert number_of_lists(cells) == (4**k - palindromes) // 2


def test_a_smaller_density_keeps_a_part_of_the_anchors() -> None:
    assert not np.any((anchor_cells(7, 0.25) >= 0) & (anchor_cells(7, 0.5) < 0))


def test_no_anchor_holds_an_n_or_leaves_the_stretch() -> None:
    k = 5
    cells = anchor_cells(k, 1.0)
    codes = random_codes(3, 400)
    codes[[50, 53, 200, 399]] = [4, 5, 4, 9]
    found = anchors(codes, k, cells, 20, 380)
    assert found
    assert all(20 <= position <= 380 - k and (codes[position : position + k] < 4).all() for position, _ in found)
    expected = [
        p for p in range(20, 380 - k + 1) if (codes[p : p + k] < 4).all() and cells[digits(codes[p : p + k].tolist())] >= 0
    ]
    assert [position for position, _ in found] == expected
    assert anchors(codes, k, cells, 50, 54) == []
    assert anchors(codes, k, cells, 10, 10) == []


def test_table_is_made_once_and_cannot_be_changed() -> None:
    cells = anchor_cells(6, 0.5)
    assert anchor_cells(6, 0.5) is cells
    with pytest.raises(ValueError, match="read-only"):
        cells[0] = 1


@pytest.mark.parametrize(
    ("k", "density", "message"),
    [(MIN_K - 1, 0.5, "k is 3"), (MAX_K + 1, 0.5, "k is 14"), (6, 0.0, "density"), (6, 1.01, "density"), (6, float("nan"), "density")],
)
def test_parameters_out_of_range_are_refused(k: int, density: float, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        anchor_cells(k, density)
