"""Training and validation windows of a language model, drawn from FASTA files.

Each training window depends on the seed and its number alone: not on the batch it is in, nor on how many processes share the
work.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genoseq.errors import InputError
from genoseq.seqs.alphabet import reverse_complement
from genoseq.seqs.fastx import read_fastx

__all__ = ["Windows", "bases_per_token", "read_sequences"]

UNKNOWN_SHARE = 0.1
"""A training window with more letters than this that are none of ACGT is drawn again."""
TRIES = 20
PROBED = 20_000
"""Bases by which the length of tokens is judged."""


def read_sequences(paths: Sequence[Path]) -> list[bytes]:
    """The sequences of FASTA files, upper case.

    Raises:
        InputError: a file cannot be read or holds no sequence.
    """
    sequences = []
    for path in paths:
        found = [record.sequence.upper().encode("ascii") for record in read_fastx(path) if record.sequence]
        if not found:
            raise InputError("holds no sequence to learn from", path=path)
        sequences += found
    return sequences


def bases_per_token(tokenizer: Any, sequences: Sequence[bytes]) -> int:
    """Bases to draw for each token of a window, so that it is as long as was asked for.

    The length of tokens where all have the same; where they overlap 2; where lengths differ twice the mean in the longest
    sequence, more than nearly any window needs.

    Args:
        tokenizer: has ``token_spans``.
        sequences: in ASCII.
    """
    spans = tokenizer.token_spans(max(sequences, key=len)[:PROBED])
    spans = spans[np.argsort(spans[:, 0], kind="stable")]
    if len(spans) < 2:
        return 1
    sizes = np.diff(spans, axis=1)[:, 0]
    if (spans[1:, 0] < spans[:-1, 1]).any():
        return 2
    usual = int(np.median(sizes))
    if usual == sizes.max() and (sizes == usual).mean() > 0.9:
        return usual
    return math.ceil(2 * float(sizes.mean()))


class Windows:
    """Windows of sequences as token ids.

    Args:
        sequences: in ASCII.
        tokenizer: has ``encode_array`` (bytes to ids, no special tokens).
        bases_per_token: most bases that a token can cover, by which windows of bases are drawn wide enough.
        both_strands: take the reverse complement of half of the training windows.
    """

    def __init__(
        self, sequences: Sequence[bytes], tokenizer: Any, *, bases_per_token: int = 1, both_strands: bool = True
    ) -> None:
        self.sequences = list(sequences)
        self.tokenizer = tokenizer
        self.bases_per_token = bases_per_token
        self.both_strands = both_strands
        self.lengths = np.array([len(sequence) for sequence in self.sequences], np.int64)

    def training(self, length: int, *, seed: int, number: int) -> NDArray[np.int64]:
        """Window ``number``: ``length`` token ids, or fewer where the sequence it is from is shorter."""
        draw = np.random.default_rng([seed, number])
        bases = length * self.bases_per_token
        room = np.maximum(self.lengths - bases + 1, 1)
        edges = np.cumsum(room)
        for _ in range(TRIES):
            at = int(draw.integers(edges[-1]))
            index = int(np.searchsorted(edges, at, side="right"))
            start = at - int(edges[index] - room[index])
            window = self.sequences[index][start : start + bases]
            if sum(window.count(base) for base in b"ACGTU") >= (1 - UNKNOWN_SHARE) * len(window):
                break
        if self.both_strands and draw.random() < 0.5:
            window = reverse_complement(window)
        return self._ids(window)[:length]

    def validation(self, length: int, count: int) -> Iterator[NDArray[np.int64]]:
        """At most ``count`` windows spread evenly over the sequences, none of which overlap."""
        bases = length * self.bases_per_token
        places = [(i, start) for i, size in enumerate(self.lengths) for start in range(0, max(int(size) - bases, 0) + 1, bases)]
        chosen = np.unique(np.linspace(0, len(places) - 1, min(count, len(places))).round().astype(int))
        for index, start in (places[i] for i in chosen):
            yield self._ids(self.sequences[index][start : start + bases])[:length]

    def _ids(self, window: bytes) -> NDArray[np.int64]:
        return np.asarray(self.tokenizer.encode_array(window), np.int64)
