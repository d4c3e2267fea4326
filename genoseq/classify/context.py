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
PLAIN_BYTES_PER_SYMBOL, FEW_SYMBOLS = 32, 1 << 16
TAG_BITS = 32
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
        n = len(self._spans)
        self.arrays: dict[str, NDArray[Any]] = {
            "dense": np.zeros(0, np.int32),
            "table": _empty_slots(n * LANES),
            "entries": np.empty(0, np.uint32),
            "rows": np.full(n, -1, np.int64),
            "firsts": np.arange(n) * LANES,
            "sizes": np.full(n, LANES),
        }
        self._laid_out = False

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
        self._laid_out = True
        return self

    def _lay_out(self, symbols: int) -> None:
        """Choose plain tables for the contexts that are few: few bytes, and not many more than there are symbols to count."""
        at = 0
        most = min(PLAIN_BYTES, PLAIN_BYTES_PER_SYMBOL * max(symbols, FEW_SYMBOLS))
        for j, weight in enumerate(self._weights):
            contexts = 1 << (self.alphabet.width * weight)
            if contexts * self._row_bytes <= most:
                self.arrays["rows"][j] = at
                at += contexts * (self.alphabet.symbols + 1)
        self.arrays["dense"] = np.zeros(at * self.lanes, np.int32)
        self._laid_out = True

    @property
    def _row_bytes(self) -> int:
        return (self.alphabet.symbols + 1) * self.lanes * 4

    @property
    def nbytes(self) -> int:
        """Bytes of all counts."""
        return sum(array.nbytes for array in self.arrays.values())

    def add(self, sequences: Flat, labels: NDArray[np.int64], *, threads: int = 1) -> None:
        """Count sequences of the classes ``labels`` (n,), beside what was counted before."""
        if not self._laid_out:
            self._lay_out(len(sequences.codes))
        arrays = self.arrays
        tables, lists, firsts, sizes = [], [], [], []
        first = listed = 0
        for filed in ordered_map(lambda j: self._filed(j, sequences, labels), range(len(self._spans)), threads=threads):
            table, entries = filed
            _shift_lists(table, listed)
            firsts.append(first)
            sizes.append(len(table))
            tables.append(table)
            lists.append(entries)
            first += len(table)
            listed += len(entries)
        arrays["table"], arrays["entries"] = _empty_slots(first), np.concatenate(lists)
        np.concatenate(tables, out=arrays["table"])
        arrays["firsts"], arrays["sizes"] = np.array(firsts, np.int64), np.array(sizes, np.int64)

    def _filed(self, j: int, sequences: Flat, labels: NDArray[np.int64]) -> tuple[NDArray[np.uint64], NDArray[np.uint32]]:
        """Slots and lists of one context with the sequences counted; both empty if its table is plain."""
        if self.arrays["rows"][j] >= 0:
            self._count_rows(j, sequences, labels, 1)
            return np.empty(0, np.uint64), np.empty(0, np.uint32)
        keys, counts = self._merged(j, sequences, labels)
        contexts, length = kernels.group_sizes(keys)
        table = _empty_slots(int(contexts / LOAD) // LANES * LANES + LANES)  # one stays empty at least: there a search ends
        entries = np.empty(length, np.uint32)
        kernels.fill_slots(keys, counts, table, 0, len(table), entries, 0)
        return table, entries

    def _count_rows(self, j: int, sequences: Flat, labels: NDArray[np.int64], by: int) -> None:
        kernels.count_rows(
            *sequences, labels, self._segments[j], self._spans[j], self.alphabet.width, self.alphabet.symbols, self.lanes,
            self.arrays["dense"], self.arrays["rows"][j], by,
        )  # fmt: skip

    def _merged(self, j: int, sequences: Flat, labels: NDArray[np.int64]) -> tuple[NDArray[np.uint64], NDArray[np.int32]]:
        """Distinct keys of a context, ascending, and their counts: those of the sequences and those there were."""
        keys = np.empty(len(sequences.codes), np.uint64)
        shape = self._segments[j], self._spans[j], self.alphabet.width, self.alphabet.symbols
        keys = keys[: kernels.context_keys(*sequences, labels, *shape, keys)]
        keys.sort()
        counts = np.empty(len(keys), np.int32)
        n = kernels.add_counts(keys, np.empty(0, np.int32), counts)
        keys, counts = keys[:n], counts[:n]
        a = self.arrays
        place = a["table"], a["firsts"][j], a["sizes"][j], a["entries"]
        before = kernels.read_slots(*place, np.empty(0, np.uint64), np.empty(0, np.int32))
        if not before:
            return keys, counts
        old_keys, old_counts = np.empty(before, np.uint64), np.empty(before, np.int32)
        kernels.read_slots(*place, old_keys, old_counts)
        keys, weights = np.concatenate([keys, old_keys]), np.concatenate([counts, old_counts])
        order = np.argsort(keys, kind="stable")
        keys, weights, counts = keys[order], weights[order], np.empty(len(keys), np.int32)
        n = kernels.add_counts(keys, weights, counts)
        return keys[:n], counts[:n]

    def change(self, sequences: Flat, labels: NDArray[np.int64], *, by: int, threads: int = 1) -> None:
        """Add ``by`` to the counts of sequences that were counted: -1 takes them out, 1 puts them back, exactly as it was."""
        a = self.arrays

        def change_one(j: int) -> None:
            if a["rows"][j] >= 0:
                self._count_rows(j, sequences, labels, by)
                return
            kernels.add_entries(
                *sequences, labels, self._segments[j], self._spans[j], self.alphabet.width, self.alphabet.symbols,
                a["table"], a["firsts"][j], a["sizes"][j], a["entries"], by,
            )  # fmt: skip

        for _ in ordered_map(change_one, range(len(self._spans)), threads=threads):
            pass

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
    weights = [one.count("1") for one in patterns]
    if max(weights) * width > TAG_BITS:
        raise ValueError(f"contexts {contexts}: at most {TAG_BITS // width} symbols of one may count")
    return np.array([len(one) for one in patterns], np.int64), segments, weights


def _empty_slots(count: int) -> NDArray[np.uint64]:
    """Slots that begin with a cache line."""
    line = 64
    room = np.full(count + line // 8, kernels.EMPTY)
    begin = -room.ctypes.data % line // 8
    return room[begin : begin + count]


def _shift_lists(table: NDArray[np.uint64], by: int) -> None:
    """Move the places of the lists of a table."""
    listed = (table != kernels.EMPTY) & ((table & np.uint64(kernels.LIST)) != 0)
    table[listed] += np.uint64(by)


def _spans(offsets: Offsets) -> list[tuple[int, int]]:
    """Sequences in runs of about ``SHARE_OF_WORK`` symbols."""
    marks = np.flatnonzero(np.diff(offsets[:-1] // SHARE_OF_WORK)) + 1
    edges = [0, *marks.tolist(), len(offsets) - 1]
    return [(a, b) for a, b in itertools.pairwise(edges) if b > a]
