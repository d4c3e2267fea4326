"""Window codes in plain Python: the slow reference that the compiled encoder is held against.

The definition, word for word. An anchor is a k-mer; it is read in its canonical orientation, the numerically
smaller of itself and its reverse complement under A0 C1 G2 T3. Positions 0 to 31 of its window are the 32
bases to its left (31 is adjacent), 32 to 63 the 32 bases to its right (32 is adjacent). The feature of
position ``p`` is the ``context``-mer that starts there and stays in the same flank, first base most
significant; a context-mer that would leave the flank, lies beyond the sequence, or holds anything but A, C, G
and T counts nothing. The table rows of all features are summed; bit ``d`` of the code is set where sum ``d``
is positive, and is bit ``d % 8`` of byte ``d // 8``.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["ReferenceCodes", "encode_reference", "oriented_window"]

FLANK = 32
MISSING = 4


class ReferenceCodes(NamedTuple):
    """Codes, uint8 ``(n, 16)``, and the sums they are the signs of, int16 ``(n, 128)``."""

    codes: NDArray[np.uint8]
    sums: NDArray[np.int16]


def oriented_window(codes: NDArray[np.uint8], anchor: int, k: int) -> list[int]:
    """The 64 bases around the k-mer at ``anchor``, in the orientation in which that k-mer is canonical.

    Args:
        codes: base codes of one sequence, ``(length,)``; 4 and above is no base.
        anchor: 0-based position of the k-mer's first base.
        k: its length in bp.

    Raises:
        ValueError: the k-mer leaves the sequence, holds no base somewhere, or is its own reverse complement.

    >>> window = oriented_window(np.array([0, 0, 3, 2, 1]), 2, 2)  # A A [T G] C: canonical is CA, so turned
    >>> window[31], window[32], window[33], window[34]
    (2, 3, 3, 4)
    """
    sequence = [int(base) if base < 4 else MISSING for base in codes]
    if not 0 <= anchor <= len(sequence) - k:
        raise ValueError(f"anchor {anchor} of {k} bp leaves a sequence of {len(sequence)} bp")
    kmer = sequence[anchor : anchor + k]
    turned = [3 - base for base in reversed(kmer)]
    if MISSING in kmer or kmer == turned:
        raise ValueError(
            f"the k-mer at {anchor} has no orientation: it holds an N or is its own reverse complement"
        )
    if turned < kmer:
        sequence = [3 - base if base < 4 else MISSING for base in reversed(sequence)]
        anchor = len(sequence) - k - anchor
    places = [*range(anchor - FLANK, anchor), *range(anchor + k, anchor + k + FLANK)]
    return [sequence[place] if 0 <= place < len(sequence) else MISSING for place in places]


def encode_reference(
    codes: NDArray[np.uint8], anchors: Iterable[int], k: int, table: NDArray[np.int8]
) -> ReferenceCodes:
    """Codes and sums of the windows around ``anchors``.

    Args:
        codes: base codes of one sequence, ``(length,)``.
        anchors: 0-based positions of the anchors' first bases.
        k: length of an anchor in bp.
        table: int8 ``(64, 4**context, 128)``.

    Raises:
        ValueError: an anchor has no window (see :func:`oriented_window`).
    """
    positions, features, bits = table.shape
    context = {4: 1, 16: 2, 64: 3}[features]
    all_codes, all_sums = [], []
    for anchor in anchors:
        window = oriented_window(codes, int(anchor), k)
        sums = [0] * bits
        for p in range(positions):
            end_of_flank = FLANK if p < FLANK else 2 * FLANK
            mer = window[p : p + context]
            if p + context > end_of_flank or MISSING in mer:
                continue
            feature = 0
            for base in mer:
                feature = 4 * feature + base
            for d in range(bits):
                sums[d] += int(table[p, feature, d])
        code = [0] * (bits // 8)
        for d in range(bits):
            if sums[d] > 0:
                code[d // 8] |= 1 << (d % 8)
        all_codes.append(code)
        all_sums.append(sums)
    return ReferenceCodes(
        np.array(all_codes, np.uint8).reshape(-1, bits // 8), np.array(all_sums, np.int16).reshape(-1, bits)
    )
