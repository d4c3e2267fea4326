"""Finite-context models of several orders for every class, mixed adaptively: code lengths of sequences in bits.

A class gives a symbol ``s`` behind a context ``x`` of order ``k`` the probability ``(n(x, s) + a) / (n(x) + a S)``, where ``n``
counts the training sequences of the class, ``a`` is a prior count and ``S`` the number of symbols. Behind a context that it
never saw that is ``1 / S``. The orders are mixed with weights that follow their success along the sequence, by Bayes' rule
with a fixed share dealt out anew at each symbol:

    m = sum_j w_j p_j        bits += -log2 m        w_j <- (1 - share) w_j p_j / m + share prior_j

so that the mixture costs at most about ``log2(orders / share)`` bits more for each change of the order that is best.

Finite-context mixtures: Pratas, Hosseini and Pinho (GeCo). Fixed share: Herbster and Warmuth, Machine Learning 32:151 (1998).
:mod:`genoseq.classify.context_reference` is the same in plain Python.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from genoseq.classify import context_kernels as kernels
from genoseq.classify.lanes import LANES
from genoseq.parallel import ordered_map

__all__ = ["AMINO_ACIDS", "NUCLEOTIDES", "Alphabet", "CodeLengths", "ContextMixture", "Flat", "MixtureSettings"]

Codes = NDArray[np.uint8]
Offsets = NDArray[np.int64]

LOAD = 0.7
"""Share of the slots of a hash table that are taken."""
PLAIN_BYTES = 1 << 26
"""An order is a plain table if that takes at most so many bytes, and a hash table otherwise."""
SHARE_OF_WORK = 1 << 16
"""Symbols that one thread takes at a time, about."""


class Alphabet(NamedTuple):
    """Symbols of a sequence: how many there are, and the bits that one takes in a context."""

    name: str
    symbols: int
    width: int


NUCLEOTIDES = Alphabet("nucleotide", 4, 2)
AMINO_ACIDS = Alphabet("amino-acid", 21, 5)


class Flat(NamedTuple):
    """``n`` sequences in one array: sequence ``i`` is ``codes[offsets[i] : offsets[i + 1]]``.

    Attributes:
        codes: uint8.
        offsets: int64 (n + 1,), from 0.
    """

    codes: Codes
    offsets: Offsets

    @classmethod
    def of(cls, sequences: Sequence[Codes]) -> Flat:
        """The sequences one after another."""
        offsets = np.zeros(len(sequences) + 1, np.int64)
        np.cumsum([len(sequence) for sequence in sequences], out=offsets[1:])
        return cls(np.concatenate([np.empty(0, np.uint8), *sequences]), offsets)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def part(self, begin: int, end: int) -> Flat:
        """Sequences ``begin`` to ``end``."""
        offsets = self.offsets[begin : end + 1]
        return Flat(self.codes[offsets[0] : offsets[-1]], offsets - offsets[0])

    def take(self, chosen: NDArray[np.int64]) -> Flat:
        """The chosen sequences, in that order."""
        return Flat.of([self.codes[self.offsets[i] : self.offsets[i + 1]] for i in chosen])


class CodeLengths(NamedTuple):
    """What sequences cost.

    Attributes:
        bits: float64 (n, classes).
        symbols: int64 (n,), how many symbols were coded: those of the alphabet.
    """

    bits: NDArray[np.float64]
    symbols: NDArray[np.int64]


@dataclass(frozen=True)
class MixtureSettings:
    """Shape of a mixture.

    Attributes:
        contexts: each the number of symbols it reaches back, or a pattern of 1 and 0 in reading order, where the last
            character is the symbol just before the one that is coded and a 0 is a symbol that does not matter.
        alphas: prior count of each context.
        share: part of the weights that is dealt out anew after each symbol.
    """

    contexts: tuple[int | str, ...]
    alphas: tuple[float, ...]
    share: float


class ContextMixture:
    """Counts of all classes, and the code lengths that follow from them.

    Args:
        alphabet: of the sequences.
        classes: how many there are.
        settings: orders, prior counts, share.

    Attributes:
        arrays: what is saved: ``dense`` int32, ``table`` uint64 and ``entries`` uint32, all flat (see
            :mod:`genoseq.classify.context_kernels`), and int64 ``rows``, ``firsts`` and ``sizes``, one number an order.
    """

    def __init__(self, alphabet: Alphabet, classes: int, settings: MixtureSettings) -> None:
        self.alphabet, self.classes, self.settings = alphabet, classes, settings
        self.lanes = -(-classes // LANES) * LANES
        self._spans, self._segments, self._weights = _shapes(settings.contexts, alphabet.width)
        rows = np.full(len(self._spans), -1, np.int64)
        at = 0
        for j, weight in enumerate(self._weights):
            contexts = 1 << (alphabet.width * weight)
            if contexts * self._row_bytes <= PLAIN_BYTES:
                rows[j] = at
                at += contexts * (alphabet.symbols + 1)
        nothing = np.zeros(len(rows), np.int64)
        self.arrays: dict[str, NDArray[Any]] = {
            "dense": np.zeros(at * self.lanes, np.int32),
            "table": np.empty(0, np.uint64),
            "entries": np.empty(0, np.uint32),
            "rows": rows,
            "firsts": nothing,
            "sizes": nothing,
        }

    @classmethod
    def of_arrays(
        cls, alphabet: Alphabet, classes: int, settings: MixtureSettings, arrays: Mapping[str, NDArray[Any]]
    ) -> ContextMixture:
        """A mixture from what was saved; the arrays are used as they are."""
        self = cls.__new__(cls)
        self.alphabet, self.classes, self.settings = alphabet, classes, settings
        self.lanes = -(-classes // LANES) * LANES
        self._spans, self._segments, self._weights = _shapes(settings.contexts, alphabet.width)
        self.arrays = dict(arrays)
        return self

    @property
    def _row_bytes(self) -> int:
        return (self.alphabet.symbols + 1) * self.lanes * 4

    @property
    def nbytes(self) -> int:
        """Bytes of all counts."""
        return sum(array.nbytes for array in self.arrays.values())

    def add(self, sequences: Flat, labels: NDArray[np.int64]) -> None:
        """Count sequences of the classes ``labels`` (n,), beside what was counted before."""
        arrays, width, symbols = self.arrays, self.alphabet.width, self.alphabet.symbols
        tables, lists, firsts, sizes = [], [], [], []
        first = listed = 0
        for j, shape in enumerate(zip(self._segments, self._spans, strict=True)):
            if arrays["rows"][j] >= 0:
                kernels.count_rows(*sequences, labels, *shape, width, symbols, self.lanes, arrays["dense"], arrays["rows"][j], 1)
                firsts.append(0)
                sizes.append(0)
                continue
            keys, counts = self._merged(j, sequences, labels)
            contexts, length = kernels.group_sizes(keys)
            slots = int(contexts / LOAD) + 2  # one at least stays empty: there a search ends
            table = np.full(slots, kernels.EMPTY)
            entries = np.empty(length, np.uint32)
            # places of lists count from the start of the joint array
            kernels.fill_slots(keys, counts, table, 0, slots, entries, 0)
            _shift_lists(table, listed)
            firsts.append(first)
            sizes.append(slots)
            tables.append(table)
            lists.append(entries)
            first += slots
            listed += length
        arrays["table"] = np.concatenate([np.empty(0, np.uint64), *tables])
        arrays["entries"] = np.concatenate([np.empty(0, np.uint32), *lists])
        arrays["firsts"], arrays["sizes"] = np.array(firsts, np.int64), np.array(sizes, np.int64)

    def _merged(self, j: int, sequences: Flat, labels: NDArray[np.int64]) -> tuple[NDArray[np.uint64], NDArray[np.int32]]:
        """Distinct keys of an order, ascending, and their counts: those of the sequences and those there were."""
        width, symbols = self.alphabet.width, self.alphabet.symbols
        shape = self._segments[j], self._spans[j]
        keys = np.empty(len(sequences.codes), np.uint64)
        keys = keys[: kernels.context_keys(*sequences, labels, *shape, width, symbols, keys)]
        keys.sort()
        counts = np.empty(len(keys), np.int32)
        n = kernels.add_counts(keys, np.empty(0, np.int32), counts)
        keys, counts = keys[:n], counts[:n]
        return keys, counts

    def change(self, sequences: Flat, labels: NDArray[np.int64], *, by: int) -> None:
        """Add ``by`` to the counts of sequences that were counted: -1 takes them out, 1 puts them back, exactly as it was."""
        arrays, width, symbols = self.arrays, self.alphabet.width, self.alphabet.symbols
        for j, shape in enumerate(zip(self._segments, self._spans, strict=True)):
            if arrays["rows"][j] >= 0:
                kernels.count_rows(*sequences, labels, *shape, width, symbols, self.lanes, arrays["dense"], arrays["rows"][j], by)
            else:
                kernels.add_entries(
                    *sequences, labels, *shape, width, symbols,
                    arrays["table"], arrays["firsts"][j], arrays["sizes"][j], arrays["entries"], by,
                )  # fmt: skip

    def code_lengths(self, sequences: Flat, *, threads: int = 1) -> CodeLengths:
        """What each sequence costs under each class. Threads change nothing but the time."""
        bits = np.empty((len(sequences), self.classes))
        symbols = np.empty(len(sequences), np.int64)
        alphas = np.array(self.settings.alphas, np.float32)
        priors = np.full(len(alphas), 1 / len(alphas), np.float32)
        a = self.arrays

        def score(span: tuple[int, int]) -> None:
            begin, end = span
            kernels.code_lengths(
                *sequences.part(begin, end), self._segments, self._spans, self.alphabet.width, self.alphabet.symbols, self.lanes,
                a["rows"], a["dense"], a["firsts"], a["sizes"], a["table"], a["entries"],
                alphas, priors, self.settings.share, bits[begin:end], symbols[begin:end],
            )  # fmt: skip

        for _ in ordered_map(score, _spans(sequences.offsets), threads=threads):
            pass
        return CodeLengths(bits, symbols)


def _shapes(contexts: tuple[int | str, ...], width: int) -> tuple[NDArray[np.int64], NDArray[np.int64], list[int]]:
    """How many symbols each context reaches back, its segments (see :func:`context_kernels.packed`), how many symbols count."""
    patterns = ["1" * one if isinstance(one, int) else one for one in contexts]
    symbol = (1 << width) - 1
    found: list[list[tuple[int, int]]] = []
    for pattern in patterns:
        parts: list[tuple[int, int]] = []  # from the last symbol back
        skipped = 0
        for place, mark in enumerate(reversed(pattern)):
            if mark == "0":
                skipped += 1
                continue
            bits, shift = symbol << (width * place), width * skipped
            if parts and parts[-1][1] == shift:
                parts[-1] = parts[-1][0] | bits, shift
            else:
                parts.append((bits, shift))
        found.append(parts or [(0, 0)])
    segments = np.zeros((len(patterns), max(map(len, found)), 2), np.int64)
    for j, parts in enumerate(found):
        segments[j, : len(parts)] = parts
    return np.array([len(one) for one in patterns], np.int64), segments, [one.count("1") for one in patterns]


def _shift_lists(table: NDArray[np.uint64], by: int) -> None:
    """Move the places of the lists of a table."""
    listed = (table != kernels.EMPTY) & ((table & np.uint64(kernels.LIST)) != 0)
    table[listed] += np.uint64(by)


def _spans(offsets: Offsets) -> list[tuple[int, int]]:
    """Sequences in runs of about ``SHARE_OF_WORK`` symbols."""
    marks = np.flatnonzero(np.diff(offsets[:-1] // SHARE_OF_WORK)) + 1
    edges = [0, *marks.tolist(), len(offsets) - 1]
    return [(a, b) for a, b in itertools.pairwise(edges) if b > a]
