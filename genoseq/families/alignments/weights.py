"""Weights that count a cluster of similar sequences as one: 1 / number of rows that are at least 80 % identical.

Two definitions are in use, and both are here:

- over ``"residues"``: row j is a neighbour of row i if it has the same amino acid in at least ``identity`` times the
  columns in which i has one. Gaps and unknown residues agree with nothing. A fragment has the whole sequences it is part of
  as neighbours, they need not have it. This is the weight of EVE (Frazer et al., Nature 599:91, 2021).
- over ``"columns"``: i and j are neighbours if they agree, gaps with gaps and unknown residues with unknown ones, in at
  least ``identity`` times all columns, as in plmc and CCMpred (Hopf et al., Nature Biotechnology 35:128, 2017).

Every row is its own neighbour. The fast path compares 64 columns at a time, one bit of their codes after the other.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from genoseq.errors import UsageError
from genoseq.families.alphabet import GAP, UNKNOWN
from genoseq.kernels import lean_kernel, popcount
from genoseq.parallel import ordered_map

__all__ = [
    "Over",
    "count_neighbours",
    "count_neighbours_plainly",
    "differing",
    "effective_size",
    "pack_rows",
    "sequence_weights",
]

Over = Literal["residues", "columns"]

PLANES = 5  # bits of a code
ROWS = 256  # rows of a task of one thread
EXACT = 1e-9  # .8 * 5 residues are 4, not 4.000000000000001


def sequence_weights(
    matrix: NDArray[np.uint8], *, identity: float = 0.8, over: Over = "residues", threads: int = 1
) -> NDArray[np.float64]:
    """(N,) weights, 1 / neighbours; 0 for rows without residues over ``"residues"``.

    Args:
        matrix: (N, L) codes of :mod:`genoseq.families.alphabet`; choose the columns first.
        identity: share of equal columns from which rows are neighbours, above 0 and at most 1.
        over: what the share is taken of, see this module.
        threads: threads; they do not change the result.

    Raises:
        UsageError: ``identity`` outside its range.

    >>> from genoseq.families.alphabet import encode
    >>> sequence_weights(np.array([encode("ACDEF"), encode("ACDEG"), encode("WWWWW")]))
    array([0.5, 0.5, 1. ])
    """
    neighbours = count_neighbours(matrix, identity=identity, over=over, threads=threads)
    weights: NDArray[np.float64] = np.divide(1.0, neighbours, out=np.zeros(len(neighbours)), where=neighbours > 0)
    return weights


def effective_size(weights: NDArray[np.float64]) -> float:
    """The sum of the weights, Neff: how many independent sequences the rows are worth.

    >>> effective_size(np.array([0.5, 0.5, 1.0]))
    2.0
    """
    return float(weights.sum())


def count_neighbours(
    matrix: NDArray[np.uint8], *, identity: float, over: Over = "residues", threads: int = 1
) -> NDArray[np.int64]:
    """(N,) rows that are neighbours of each row, itself included.

    Args:
        matrix: (N, L) codes.
        identity: share of equal columns.
        over: what it is taken of.
        threads: threads.

    Raises:
        UsageError: ``identity`` outside its range.
    """
    needed = _needed(matrix, identity, over)
    packed, counts = pack_rows(matrix, gaps_agree=over == "columns")
    total = len(matrix)

    def task(first: int) -> NDArray[np.int64]:
        found = np.zeros(total, np.int64)
        _count_pairs(packed, counts, needed, matrix.shape[1], first, min(first + ROWS, total), found)
        return found

    result = np.zeros(total, np.int64)
    for found in ordered_map(task, range(0, total, ROWS), threads=threads):
        result += found
    return result


def count_neighbours_plainly(matrix: NDArray[np.uint8], *, identity: float, over: Over = "residues") -> NDArray[np.int64]:
    """What :func:`count_neighbours` counts, by comparing every row with all others: the reference."""
    needed = _needed(matrix, identity, over)
    comparable = np.ones(matrix.shape, np.bool_) if over == "columns" else (matrix != GAP) & (matrix != UNKNOWN)
    result = np.zeros(len(matrix), np.int64)
    for number, row in enumerate(matrix):
        equal = ((matrix == row) & comparable[number]).sum(axis=1)
        result[number] = (equal >= needed[number]).sum() if needed[number] >= 0 else 0
    return result


def pack_rows(matrix: NDArray[np.uint8], *, gaps_agree: bool) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """The rows as bits, (N, words, 6): five of each code, and whether the column counts; and (N,) how many do.

    Args:
        matrix: (N, L) codes.
        gaps_agree: whether all columns count, or only those with one of the 20 amino acids.
    """
    total, length = matrix.shape
    words = max(1, -(-length // 64))
    packed = np.zeros((total, words, PLANES + 1), np.uint64)
    wide = np.zeros((min(total, 4096), words * 64), np.uint8)
    counts = np.zeros(total, np.int64)
    for first in range(0, total, 4096):
        rows = matrix[first : first + 4096]
        counted = np.ones(rows.shape, np.bool_) if gaps_agree else (rows != GAP) & (rows != UNKNOWN)
        counts[first : first + len(rows)] = counted.sum(axis=1)
        for plane in range(PLANES + 1):
            wide[: len(rows), :length] = (rows >> plane) & 1 if plane < PLANES else counted
            bits = np.packbits(wide[: len(rows)], axis=1, bitorder="little")
            packed[first : first + len(rows), :, plane] = bits.view("<u8")
    return packed, counts


def _needed(matrix: NDArray[np.uint8], identity: float, over: Over) -> NDArray[np.int64]:
    """(N,) equal columns a neighbour must have; -1 for rows that have no neighbours, not even themselves."""
    if not 0 < identity <= 1:
        raise UsageError(f"the identity of neighbours is {identity}, expected above 0 and at most 1")
    if over == "columns":
        counted = np.full(len(matrix), matrix.shape[1], np.int64)
    else:
        counted = ((matrix != GAP) & (matrix != UNKNOWN)).sum(axis=1)
    needed: NDArray[np.int64] = np.maximum(np.ceil(identity * counted - EXACT), 1).astype(np.int64)
    needed[counted == 0] = -1
    return needed


@lean_kernel
def differing(row, other, word):
    """Bits of the columns in which two packed rows, (words, 6) each, have other letters; see :func:`pack_rows`."""
    return (
        (row[word, 0] ^ other[word, 0])
        | (row[word, 1] ^ other[word, 1])
        | (row[word, 2] ^ other[word, 2])
        | (row[word, 3] ^ other[word, 3])
        | (row[word, 4] ^ other[word, 4])
    )


@lean_kernel
def _count_pairs(packed, counts, needed, length, first, stop, found):
    """Add to ``found`` the neighbours among the pairs (i, j) with i in [first, stop) and j >= i."""
    total, words, _ = packed.shape
    for i in range(first, stop):
        if needed[i] < 0:
            continue
        found[i] += 1
        row = packed[i]
        for j in range(i + 1, total):
            if needed[j] < 0:
                continue
            least = min(needed[i], needed[j])
            other = packed[j]
            equal = 0
            left = min(counts[i], length)
            for word in range(words):
                differ = differing(row, other, word)
                equal += np.int64(popcount(row[word, 5] & ~differ))
                left -= np.int64(popcount(row[word, 5]))
                if equal + left < least:
                    break
            if equal >= needed[i]:
                found[i] += 1
            if equal >= needed[j]:
                found[j] += 1
