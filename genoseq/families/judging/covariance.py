"""How far a set of sequences has the two-site and higher statistics of another.

The covariance of amino acid a in column i and b in column j > i is C = f_ij(a, b) - f_i(a) f_j(b), with plain frequencies
over all rows (a gap or an unknown residue counts as no amino acid). r(C2) is Pearson's correlation between the ``share``
(0.1 %) of the covariances that are largest in size in a reference and the same ones in the set. r20 (Haldane and others,
PLOS Computational Biology 14:e1006302, 2018) is the correlation of the frequencies of the 20 most frequent words over sets
of columns.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from genoseq.families.alphabet import AMINO_ACIDS

__all__ = [
    "Strongest",
    "correlation",
    "covariances",
    "covariances_plainly",
    "resampled_correlations",
    "strongest",
    "word_correlation",
]

LETTERS = len(AMINO_ACIDS)
CHUNK = 2048  # covariances taken at a time
FLAT = 1e-9  # spread below which there is nothing but rounding
SITES = 64  # columns whose covariances are made at a time


class Strongest(NamedTuple):
    """The covariances of a reference that are largest in size.

    Attributes:
        first: (K,) column times 20 plus amino acid.
        second: (K,) the same of the other column, which comes later.
        value: (K,) float64 covariances in the reference.
    """

    first: NDArray[np.int64]
    second: NDArray[np.int64]
    value: NDArray[np.float64]


def strongest(matrix: NDArray[np.uint8], *, share: float = 1e-3) -> Strongest:
    """The ``share`` of all covariances of ``matrix`` (N, L), L at least 2, that are largest in size; at least 10 of them.

    Equal ones are taken in order of their columns, so that the result depends on nothing else.
    """
    length = matrix.shape[1]
    spots = _onehot(matrix)
    mean = spots.mean(axis=0, dtype=np.float64)
    total = length * (length - 1) // 2 * LETTERS * LETTERS
    wanted = min(total, max(10, int(share * total)))
    found: list[tuple[NDArray[np.int64], NDArray[np.floating[Any]]]] = []
    for site in range(0, length, SITES):
        begin, end = site * LETTERS, min(site + SITES, length) * LETTERS
        table = spots[:, begin:end].T @ spots[:, begin:] / np.float32(len(matrix)) - np.outer(mean[begin:end], mean[begin:])
        own = np.arange(begin, end) // LETTERS
        table[own[:, None] >= np.arange(begin, length * LETTERS)[None] // LETTERS] = 0.0
        flat = np.abs(table).ravel()
        keep = np.flatnonzero(flat >= np.partition(flat, -min(wanted, flat.size))[-min(wanted, flat.size)])
        row, column = np.divmod(keep, table.shape[1])
        found.append(((row + begin) * (length * LETTERS) + column + begin, table.ravel()[keep]))
    key = np.concatenate([keys for keys, _ in found])
    value = np.concatenate([values for _, values in found])
    order = np.lexsort((key, -np.abs(value)))[:wanted]
    order = order[np.argsort(key[order])]
    first, second = np.divmod(key[order], length * LETTERS)
    return Strongest(first, second, covariances(matrix, first, second))


def covariances(matrix: NDArray[np.uint8], first: NDArray[np.int64], second: NDArray[np.int64]) -> NDArray[np.float64]:
    """(K,) covariances of ``matrix`` (N, L) at places as in :class:`Strongest`."""
    return _weighted(matrix, first, second, np.full((len(matrix), 1), 1 / len(matrix)))[:, 0]


def covariances_plainly(matrix: NDArray[np.uint8], first: NDArray[np.int64], second: NDArray[np.int64]) -> NDArray[np.float64]:
    """What :func:`covariances` gives, one after another: the reference."""
    values = []
    for one, other in zip(first, second, strict=True):
        here = matrix[:, one // LETTERS] == one % LETTERS
        there = matrix[:, other // LETTERS] == other % LETTERS
        values.append((here & there).mean() - here.mean() * there.mean())
    return np.array(values)


def correlation(matrix: NDArray[np.uint8], reference: Strongest) -> float:
    """r(C2) of ``matrix`` (N, L) against a reference; 0 if the set has no covariance at all, NaN if the reference has none."""
    return float(_pearson(covariances(matrix, reference.first, reference.second)[:, None], reference.value)[0])


def resampled_correlations(matrix: NDArray[np.uint8], reference: Strongest, counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """(B,) r(C2) of B resamples of ``matrix`` (N, L): ``counts`` (N, B) says how often each row is in each."""
    weights = (counts / counts.sum(axis=0)).astype(np.float32)  # enough for an interval
    return _pearson(_weighted(matrix, reference.first, reference.second, weights), reference.value)


def word_correlation(
    matrix: NDArray[np.uint8], reference: NDArray[np.uint8], *, size: int, sets: int = 200, words: int = 20, seed: int = 0
) -> float:
    """The mean over ``sets`` sets of ``size`` columns of the correlation between the frequencies of the reference's
    commonest ``words``.

    Sets of columns in which the reference has fewer than 3 words are passed over, and those where the set has none of them
    count as 0. NaN if there are none left, or fewer than ``size`` columns.
    """
    length = reference.shape[1]
    if size > length:
        return float("nan")
    generator = np.random.default_rng(seed)
    found: list[float] = []
    powers = np.int64(22) ** np.arange(size, dtype=np.int64)
    for _ in range(sets):
        columns = np.sort(generator.choice(length, size, replace=False))
        code, count = np.unique(reference[:, columns].astype(np.int64) @ powers, return_counts=True)
        top = np.argsort(-count, kind="stable")[:words]
        if len(top) < 3:
            continue
        code, frequency = code[top], count[top] / len(reference)
        other = matrix[:, columns].astype(np.int64) @ powers
        share = (other[:, None] == code[None]).mean(axis=0)
        if frequency.std() > 0:
            found.append(float(_pearson(share[:, None], frequency)[0]))
    return float(np.mean(found)) if found else float("nan")


def _onehot(matrix: NDArray[np.uint8]) -> NDArray[np.float32]:
    """(N, L * 20) float32."""
    spots: NDArray[np.float32] = (
        (matrix[:, :, None] == np.arange(LETTERS, dtype=np.uint8)).reshape(len(matrix), -1).astype(np.float32)
    )
    return spots


def _weighted(
    matrix: NDArray[np.uint8], first: NDArray[np.int64], second: NDArray[np.int64], weights: NDArray[np.floating[Any]]
) -> NDArray[np.float64]:
    """(K, B) covariances under B sets of row weights (N, B) that sum to 1."""
    by_column = np.ascontiguousarray(matrix.T)
    found, kind = np.empty((len(first), weights.shape[1])), weights.dtype
    spots, places = np.unique(np.concatenate([first, second]), return_inverse=True)
    at_first, at_second = places[: len(first)], places[len(first) :]
    mean = (by_column[spots // LETTERS] == (spots % LETTERS)[:, None]).astype(kind) @ weights
    for begin in range(0, len(first), CHUNK):
        piece = slice(begin, begin + CHUNK)
        here = by_column[first[piece] // LETTERS] == (first[piece] % LETTERS)[:, None]
        there = by_column[second[piece] // LETTERS] == (second[piece] % LETTERS)[:, None]
        found[piece] = (here & there).astype(kind) @ weights - mean[at_first[piece]] * mean[at_second[piece]]
    return found


def _pearson(values: NDArray[np.float64], reference: NDArray[np.float64]) -> NDArray[np.float64]:
    """(B,) correlations of the columns of ``values`` (K, B) with ``reference`` (K,)."""
    if not len(reference) or not reference.std() > FLAT:
        return np.full(values.shape[1], np.nan)
    centred = values - values.mean(axis=0)
    target = reference - reference.mean()
    size = np.sqrt((centred**2).sum(axis=0) * (target**2).sum())
    found: NDArray[np.float64] = np.divide(target @ centred, size, out=np.zeros(values.shape[1]), where=values.std(axis=0) > FLAT)
    return found
