"""Content anchors: which k-mers of a sequence are indexed or queried, in which list, and in which orientation.

A k-mer anchors when a fixed hash of its canonical form (the smaller of itself and its reverse complement, with
A0 C1 G2 T3) falls below ``density``. Reference and read therefore choose the same positions by content alone: the offset
between them is known, and the orientation that makes the k-mer canonical gives the strand. Palindromes (even ``k``) have no
orientation and never anchor.
"""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import NDArray

from genoseq.kernels import lean_kernel

__all__ = ["MAX_K", "MIN_K", "anchor_cells", "number_of_lists", "scan_anchors"]

MIN_K = 4
MAX_K = 13


def _mix(value: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """SplitMix64's finaliser (Steele, Lea & Flood, OOPSLA 2014): a bijection of 64-bit integers that looks random."""
    z = value + np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


@functools.lru_cache(maxsize=4)
def anchor_cells(k: int, density: float) -> NDArray[np.int32]:
    """Table ``(4**k,)``: for each k-mer ``list << 1 | flip``, or -1 where it does not anchor.

    ``list`` numbers the selected canonical k-mers from 0 in ascending order; ``flip`` is 1 where the k-mer must be reverse
    complemented to read canonically. Base ``i`` of the k-mer is digit ``k - 1 - i`` in base 4.

    Raises:
        ValueError: ``k`` or ``density`` out of range.
    """
    if not MIN_K <= k <= MAX_K:
        raise ValueError(f"k is {k}; expected {MIN_K} to {MAX_K}")
    if not 0.0 < density <= 1.0:
        raise ValueError(f"density is {density}; expected more than 0 and at most 1")
    forward = np.arange(4**k, dtype=np.uint32)
    reverse = np.zeros_like(forward)
    rest = forward.copy()
    for _ in range(k):
        reverse = (reverse << np.uint32(2)) | (np.uint32(3) - (rest & np.uint32(3)))
        rest >>= np.uint32(2)
    canonical = np.minimum(forward, reverse)
    threshold = np.uint64(min(int(density * 2.0**64), 2**64 - 1))
    chosen = (_mix(canonical.astype(np.uint64)) <= threshold) & (forward != reverse)
    lists = np.cumsum(chosen & (forward == canonical), dtype=np.int64) - 1
    cells = np.where(chosen, (lists[canonical] << 1) | (forward != canonical), -1).astype(np.int32)
    cells.setflags(write=False)
    return cells


def number_of_lists(cells: NDArray[np.int32]) -> int:
    """How many lists a table of :func:`anchor_cells` names."""
    return int(cells.max(initial=-1) >> 1) + 1


@lean_kernel
def scan_anchors(codes, start, end, k, cells, positions, entries):
    """Write the anchors of ``codes[start:end]`` into ``positions`` and ``entries``; return how many there are.

    Args:
        codes: base codes ``(n,)`` uint8, 4 or more for anything but A, C, G, T.
        start, end: the stretch to scan; no k-mer crosses its ends.
        k: anchor length, bp.
        cells: table of :func:`anchor_cells`.
        positions: output int64, index into ``codes`` of the first base of each anchor; at least ``end - start`` long.
        entries: output int32, the anchor's entry of ``cells``.
    """
    mask = (1 << (2 * k)) - 1
    word = 0
    filled = 0
    found = 0
    for i in range(start, end):
        c = codes[i]
        if c > 3:
            filled = 0
            continue
        word = ((word << 2) | c) & mask
        filled += 1
        if filled >= k:
            entry = cells[word]
            if entry >= 0:
                positions[found] = i - k + 1
                entries[found] = entry
                found += 1
    return found
