"""Which sequences share words with a query, and how many: an inverted index over a set of sequences."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from genoseq.classify.words import Hashes

__all__ = ["WordIndex"]

Counts = NDArray[np.int64]


class WordIndex:
    """Lists, for each word, of the sequences that hold it. Reading it is safe from several threads.

    Args:
        sets: the distinct words of each sequence, as `genoseq.classify.words.Words.of` gives them.

    Attributes:
        sizes: ``(N,)``, distinct words of each sequence.

    >>> index = WordIndex([np.array([1, 2, 3], np.uint64), np.array([3, 4], np.uint64)])
    >>> index.shared(np.array([3, 4, 9], np.uint64)).tolist()
    [1, 2]
    """

    def __init__(self, sets: Sequence[Hashes]) -> None:
        self.sizes: Counts = np.array([len(one) for one in sets], np.int64)
        everything = np.concatenate(sets) if len(sets) else np.empty(0, np.uint64)
        owners = np.repeat(np.arange(len(sets), dtype=np.int32), self.sizes)
        order = np.argsort(everything, kind="stable")
        sorted_words = everything[order]
        starts = np.flatnonzero(np.diff(sorted_words, prepend=~sorted_words[:1])) if len(sorted_words) else order[:0]
        self._words = sorted_words[starts]
        self._starts = np.append(starts, len(sorted_words)).astype(np.int64)
        self._owners = owners[order]

    def __len__(self) -> int:
        """Number of sequences."""
        return len(self.sizes)

    def known(self, words: Hashes) -> NDArray[np.bool_]:
        """``(n,)``: whether each word occurs in any of the sequences."""
        if not len(self._words):
            return np.zeros(len(words), bool)
        at = np.minimum(np.searchsorted(self._words, words), len(self._words) - 1)
        found: NDArray[np.bool_] = self._words[at] == words
        return found

    def shared(self, words: Hashes) -> Counts:
        """``(N,)``: how many of the distinct ``words`` each sequence holds."""
        hits = words[self.known(words)]
        if not len(hits):
            return np.zeros(len(self.sizes), np.int64)
        at = np.searchsorted(self._words, hits)
        begin, length = self._starts[at], self._starts[at + 1] - self._starts[at]
        ends = np.cumsum(length)
        places = np.arange(ends[-1]) + np.repeat(begin - (ends - length), length)
        return np.bincount(self._owners[places], minlength=len(self.sizes)).astype(np.int64)
