"""How much of one set of sequences occurs in another: containment of canonical k-mers.

A test set whose 16-mers are mostly in the training set does not measure what a method does with new sequences.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from genoseq.seqs.alphabet import encode

__all__ = ["canonical_kmers", "canonical_words", "containment"]


def canonical_words(codes: NDArray[np.uint8], k: int) -> NDArray[np.uint64]:
    """Canonical k-mers of base codes, in order and with repeats: each is the smaller of a k-mer and its reverse complement.

    Words are joined from words of half the length, so the work grows with the logarithm of k.

    Args:
        codes: uint8 ``(L,)`` as `genoseq.seqs.alphabet.encode` gives them; k-mers with other letters are left out.
        k: 1 to 31.
    """
    if not 1 <= k <= 31:
        raise ValueError(f"k is {k}, expected 1 to 31")
    count = len(codes) - k + 1
    if count < 1:
        return np.empty(0, np.uint64)
    base = (codes & 3).astype(np.uint64)
    power = _Strands(base, np.uint64(3) - base, 1)
    words = power if k & 1 else None
    while 2 * power.k <= k:
        power = _joined(power, power)
        if k & power.k:
            words = power if words is None else _joined(words, power)
    assert words is not None  # k has a bit that is set
    foreign = np.append(0, np.cumsum(codes > 3))
    canonical: NDArray[np.uint64] = np.minimum(words.forward, words.reverse)[foreign[k:] == foreign[:-k]]
    return canonical


def canonical_kmers(codes: NDArray[np.uint8], k: int = 16) -> NDArray[np.uint64]:
    """Distinct :func:`canonical_words` of base codes, sorted."""
    return np.unique(canonical_words(codes, k))


class _Strands(NamedTuple):
    """The k-mer that starts at each place, and its reverse complement."""

    forward: NDArray[np.uint64]
    reverse: NDArray[np.uint64]
    k: int


def _joined(left: _Strands, right: _Strands) -> _Strands:
    """Words of ``left`` with those of ``right`` behind them."""
    count = len(right.forward) - left.k
    behind = slice(left.k, left.k + count)
    forward = (left.forward[:count] << np.uint64(2 * right.k)) | right.forward[behind]
    reverse = (right.reverse[behind] << np.uint64(2 * left.k)) | left.reverse[:count]
    return _Strands(forward, reverse, left.k + right.k)


def containment(queries: Iterable[str | bytes], references: Iterable[str | bytes], *, k: int = 16) -> float:
    """Share of the distinct canonical k-mers of ``queries`` that occur in ``references``; NaN if the queries have none.

    >>> containment(["ACGTTGCA"], ["TTTGCAACGTCC"], k=6)
    1.0
    """
    asked = _all_kmers(queries, k)
    known = _all_kmers(references, k)
    if not len(asked):
        return float("nan")
    at = np.searchsorted(known, asked)
    at[at == len(known)] = 0
    return float(np.mean(known[at] == asked)) if len(known) else 0.0


def _all_kmers(sequences: Iterable[str | bytes], k: int) -> NDArray[np.uint64]:
    parts = [canonical_kmers(encode(s.encode("ascii") if isinstance(s, str) else s), k) for s in sequences]
    return np.unique(np.concatenate(parts)) if parts else np.empty(0, np.uint64)
