"""What a net has to beat: bits per base of Markov models, counted on the training sequences."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from genoseq.seqs.alphabet import encode

__all__ = ["markov_bits"]


def markov_bits(train: Sequence[bytes], test: Sequence[bytes], order: int, *, prior: float = 0.1) -> float:
    """Bits per base of ``test`` under a Markov model of ``train``, both strands of it.

    Args:
        train, test: sequences in ASCII; bases whose context holds another letter than ACGT are left out.
        order: bases of context, at most 12.
        prior: added to each count.
    """
    if not 0 <= order <= 12:
        raise ValueError(f"order is {order}, expected 0 to 12")
    counts = np.full((4**order, 4), prior)
    for sequence in train:
        codes = encode(sequence)
        for strand in (codes, np.where(codes < 4, 3 - codes, codes)[::-1]):
            context, base = _contexts(strand, order)
            counts += np.bincount(context * 4 + base, minlength=counts.size).reshape(counts.shape)
    bits = -np.log2(counts / counts.sum(axis=1, keepdims=True))
    total, bases = 0.0, 0
    for sequence in test:
        context, base = _contexts(encode(sequence), order)
        total += float(bits[context, base].sum())
        bases += len(base)
    return total / bases if bases else float("nan")


def _contexts(codes: NDArray[np.uint8], order: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Context number and base at each place where both hold only ACGT."""
    count = len(codes) - order
    if count < 1:
        return np.empty(0, np.int64), np.empty(0, np.int64)
    valid = np.ones(count, bool)
    context = np.zeros(count, np.int64)
    for i in range(order + 1):
        column = codes[i : i + count]
        valid &= column < 4
        if i < order:
            context = context * 4 + (column & 3)
    return context[valid], codes[order:][valid].astype(np.int64)
