"""What sequences look like without any alignment: amino acids, lengths, low complexity, repeats."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from genoseq.families.alphabet import AMINO_ACIDS, GAP, encode

__all__ = ["amino_acid_counts", "divergence", "length_distance", "low_complexity", "tandem_repeat"]

WINDOW = 12  # residues
LOW = 2.2  # bits; windows with less are of low complexity (Wootton & Federhen, Methods in Enzymology 266:554, 1996)
PERIOD = 8  # residues, longest unit of a tandem repeat


def amino_acid_counts(sequences: Sequence[str]) -> NDArray[np.int64]:
    """(20,) counts of the amino acids over all sequences; unknown residues are left out.

    >>> amino_acid_counts(["ACX", "A"])[:3].tolist()
    [2, 1, 0]
    """
    codes = encode("".join(sequences))
    return np.bincount(codes, minlength=GAP)[: len(AMINO_ACIDS)].astype(np.int64)


def divergence(first: NDArray[np.int64], second: NDArray[np.int64]) -> float:
    """Jensen-Shannon divergence of two sets of counts, in bits: 0 for equal shares, 1 for shares without overlap; NaN
    without counts.

    >>> divergence(np.array([1, 1]), np.array([2, 2])), divergence(np.array([1, 0]), np.array([0, 3]))
    (0.0, 1.0)
    """
    if not first.sum() or not second.sum():
        return float("nan")
    p, q = first / first.sum(), second / second.sum()
    middle = (p + q) / 2

    def bits(share: NDArray[np.float64]) -> float:
        here = share > 0
        return float((share[here] * np.log2(share[here] / middle[here])).sum())

    return max(0.0, (bits(p) + bits(q)) / 2)


def length_distance(first: Sequence[str], second: Sequence[str]) -> float:
    """The largest difference between the cumulative distributions of the lengths (Kolmogorov-Smirnov), 0 to 1.

    >>> length_distance(["A", "AAA"], ["A", "A"])
    0.5
    """
    one, other = np.sort([len(s) for s in first]), np.sort([len(s) for s in second])
    at = np.union1d(one, other)
    return float(np.abs(np.searchsorted(one, at, "right") / len(one) - np.searchsorted(other, at, "right") / len(other)).max())


def low_complexity(sequence: str) -> float:
    """Share of the residues that lie in a window of 12 with an entropy below 2.2 bits; 0 for sequences shorter than a window.

    >>> low_complexity("A" * 20), low_complexity("ACDEFGHIKLMNPQRSTVWY")
    (1.0, 0.0)
    """
    codes = encode(sequence)
    if len(codes) < WINDOW:
        return 0.0
    present = (codes[:, None] == np.arange(len(AMINO_ACIDS) + 2)).astype(np.int64)
    total = np.concatenate([np.zeros((1, present.shape[1]), np.int64), present.cumsum(axis=0)])
    share = (total[WINDOW:] - total[:-WINDOW]) / WINDOW
    entropy = -np.where(share > 0, share * np.log2(np.where(share > 0, share, 1)), 0).sum(axis=1)
    low = np.zeros(len(codes), np.bool_)
    for start in np.flatnonzero(entropy < LOW):
        low[start : start + WINDOW] = True
    return float(low.mean())


def tandem_repeat(sequence: str) -> int:
    """Length in residues of the longest run that repeats with a period of 1 to 8 residues and holds at least three units; 0
    if none.

    >>> tandem_repeat("WACACACY"), tandem_repeat("GGGG"), tandem_repeat("ACDEF")
    (6, 4, 0)
    """
    codes = encode(sequence)
    longest = 0
    for period in range(1, min(PERIOD, len(codes) // 3) + 1):
        equal = np.concatenate([[False], codes[period:] == codes[:-period], [False]])
        edges = np.flatnonzero(np.diff(equal.astype(np.int8)))
        if edges.size:
            run = int((edges[1::2] - edges[::2]).max()) + period
            if run >= 3 * period:
                longest = max(longest, run)
    return longest
