"""The context mixture in plain Python, equation by equation: the slow reference of :mod:`genoseq.classify.context`."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

from genoseq.classify.context import Alphabet, MixtureSettings

__all__ = ["reference_code_lengths"]

Key = tuple[int, int, tuple[int, ...]]


def reference_code_lengths(
    training: Sequence[Sequence[int]],
    labels: Sequence[int],
    sequences: Sequence[Sequence[int]],
    *,
    alphabet: Alphabet,
    classes: int,
    settings: MixtureSettings,
) -> list[list[float]]:
    """Bits of each sequence under each class.

    Args:
        training: symbols of the training sequences; a symbol outside the alphabet ends a context.
        labels: class of each of them.
        sequences: symbols of the sequences to code.
        alphabet: says which symbols there are.
        classes: how many there are.
        settings: contexts, prior counts, share.
    """
    patterns = ["1" * one if isinstance(one, int) else one for one in settings.contexts]
    with_symbol: Counter[tuple[Key, int]] = Counter()
    behind: Counter[Key] = Counter()
    for sequence, label in zip(training, labels, strict=True):
        for i, symbol in enumerate(sequence):
            if symbol >= alphabet.symbols:
                continue
            for j, pattern in enumerate(patterns):
                context = _context(sequence, i, pattern, alphabet.symbols)
                if context is not None:
                    with_symbol[(label, j, context), symbol] += 1
                    behind[label, j, context] += 1
    return [
        [_bits(sequence, label, patterns, with_symbol, behind, alphabet.symbols, settings) for label in range(classes)]
        for sequence in sequences
    ]


def _context(sequence: Sequence[int], i: int, pattern: str, symbols: int) -> tuple[int, ...] | None:
    """The symbols that matter before place ``i``; None if not all places of the pattern hold symbols of the alphabet."""
    before = tuple(sequence[max(i - len(pattern), 0) : i])
    if len(before) < len(pattern) or any(symbol >= symbols for symbol in before):
        return None
    return tuple(symbol for symbol, mark in zip(before, pattern, strict=True) if mark == "1")


def _bits(
    sequence: Sequence[int],
    label: int,
    patterns: Sequence[str],
    with_symbol: Counter[tuple[Key, int]],
    behind: Counter[Key],
    symbols: int,
    settings: MixtureSettings,
) -> float:
    prior = 1 / len(patterns)
    weights = [prior] * len(patterns)
    bits = 0.0
    for i, symbol in enumerate(sequence):
        if symbol >= symbols:
            continue
        p = []
        for j, (pattern, alpha) in enumerate(zip(patterns, settings.alphas, strict=True)):
            context = _context(sequence, i, pattern, symbols)
            if context is None:
                p.append(1 / symbols)
            else:
                key = (label, j, context)
                p.append((with_symbol[key, symbol] + alpha) / (behind[key] + alpha * symbols))
        mixed = sum(w * one for w, one in zip(weights, p, strict=True))
        bits -= math.log2(mixed)
        weights = [(1 - settings.share) * w * one / mixed + settings.share * prior for w, one in zip(weights, p, strict=True)]
    return bits
