"""Identities of aligned rows: equal residues per column in which both rows have one of the 20 amino acids.

Gaps and unknown residues neither agree nor differ; rows that share no column have identity 0. The fast path compares 64
columns at a time, one bit of their codes after the other.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from genoseq.families.alignments.weights import differing, pack_rows
from genoseq.families.alphabet import GAP
from genoseq.kernels import lean_kernel, popcount

__all__ = ["Nearest", "identities", "identities_plainly", "nearest"]


class Nearest(NamedTuple):
    """The nearest of other rows, for each of N rows.

    Attributes:
        identity: (N,) float64, the largest identity.
        row: (N,) number of the other row; the first one where several are equally near.
    """

    identity: NDArray[np.float64]
    row: NDArray[np.int64]


def identities(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> NDArray[np.float32]:
    """(N, M) identities of all rows of ``first`` (N, L) with all rows of ``second`` (M, L).

    >>> from genoseq.families.alphabet import encode
    >>> identities(np.array([encode("ACD-")]), np.array([encode("ACEF"), encode("---F")])).round(2).tolist()
    [[0.6700000166893005, 0.0]]
    """
    found = np.zeros((len(first), len(second)), np.float32)
    _fill(_packed(first), _packed(second), found)
    return found


def identities_plainly(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> NDArray[np.float32]:
    """What :func:`identities` gives, by comparing every row with all others: the reference."""
    found = np.zeros((len(first), len(second)), np.float32)
    for number, row in enumerate(first):
        both = (second < GAP) & (row < GAP)
        shared = both.sum(axis=1)
        found[number] = ((second == row) & both).sum(axis=1) / np.maximum(shared, 1)
    return found


def nearest(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> Nearest:
    """For each row of ``first`` (N, L) the row of ``second`` (M, L), M at least 1, that has the largest identity with it."""
    best, row = np.full(len(first), -1.0), np.zeros(len(first), np.int64)
    _search(_packed(first), _packed(second), best, row)
    return Nearest(best, row)


def _packed(matrix: NDArray[np.uint8]) -> NDArray[np.uint64]:
    return pack_rows(np.ascontiguousarray(matrix), gaps_agree=False)[0]


@lean_kernel
def pair_identity(row, other):
    """Identity of two packed rows, (words, 6) each."""
    equal = np.uint64(0)
    shared = np.uint64(0)
    for word in range(row.shape[0]):
        differ = differing(row, other, word)
        both = row[word, 5] & other[word, 5]
        shared += popcount(both)
        equal += popcount(both & ~differ)
    return float(equal) / float(shared) if shared > 0 else 0.0


@lean_kernel
def _fill(first, second, found):
    for i in range(first.shape[0]):
        for j in range(second.shape[0]):
            found[i, j] = pair_identity(first[i], second[j])


@lean_kernel
def _search(first, second, best, row):
    for i in range(first.shape[0]):
        for j in range(second.shape[0]):
            found = pair_identity(first[i], second[j])
            if found > best[i]:
                best[i] = found
                row[i] = j
