"""How much of one set of sequences occurs in another: containment of canonical k-mers.

A test set whose 16-mers are mostly in the training set does not measure what a method does with new sequences.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from genoseq.seqs.alphabet import encode

__all__ = ["canonical_kmers", "containment"]


def canonical_kmers(codes: NDArray[np.uint8], k: int = 16) -> NDArray[np.uint64]:
    """Distinct canonical k-mers of base codes, sorted: each is the smaller of a k-mer and its reverse complement.

    Args:
        codes: uint8 ``(L,)`` as `genoseq.seqs.alphabet.encode` gives them; k-mers with other letters are left out.
        k: 1 to 31.
    """
    if not 1 <= k <= 31:
        raise ValueError(f"k is {k}, expected 1 to 31")
    count = len(codes) - k + 1
    if count < 1:
        return np.empty(0, np.uint64)
    forward = np.zeros(count, np.uint64)
    reverse = np.zeros(count, np.uint64)
    valid = np.ones(count, bool)
    for i in range(k):
        column = codes[i : i + count]
        valid &= column < 4
        base = (column & 3).astype(np.uint64)
        forward = (forward << np.uint64(2)) | base
        reverse |= (np.uint64(3) - base) << np.uint64(2 * i)
    return np.unique(np.minimum(forward, reverse)[valid])


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
