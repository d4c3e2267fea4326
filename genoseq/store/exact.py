"""The reference store: plain numpy, every code of the list compared. Slow, obvious, and what the others are held against."""

from __future__ import annotations

from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from genoseq.errors import IndexFormatError
from genoseq.store.base import RangeResult, SearchResult, check_codes

__all__ = ["ExactStore"]


class ExactStore:
    """Codes in arrays, in the order they were added."""

    def __init__(self, *, bits: int, lists: int, minor: int = 1) -> None:
        self.bits = bits
        self.lists = lists
        self.minor = minor
        self._codes = np.empty((0, bits // 8), np.uint8)
        self._cells = np.empty(0, np.int64)
        self._ids = np.empty(0, np.int64)
        self._opened = False

    def __len__(self) -> int:
        return len(self._ids)

    def add(self, codes: NDArray[np.uint8], cells: NDArray[np.int64], ids: NDArray[np.int64]) -> None:
        """See :class:`genoseq.store.base.CodeStore`."""
        if self._opened:
            raise ValueError("an opened store is read-only")
        check_codes(self, codes, cells, limit=self.lists * self.minor, ids=ids)
        self._codes = np.concatenate([self._codes, codes])
        self._cells = np.concatenate([self._cells, cells])
        self._ids = np.concatenate([self._ids, ids])

    def _one(self, code: NDArray[np.uint8], number: int) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        chosen = np.flatnonzero(self._cells // self.minor == number)
        distances = np.bitwise_count(self._codes[chosen] ^ code).sum(axis=1, dtype=np.int32)
        ids = self._ids[chosen]
        order = np.lexsort((ids, distances))
        return distances[order], ids[order]

    def search(self, codes: NDArray[np.uint8], lists: NDArray[np.int64], *, k: int) -> SearchResult:
        """See :class:`genoseq.store.base.CodeStore`."""
        check_codes(self, codes, lists, limit=self.lists, k=k)
        distances = np.full((len(codes), k), -1, np.int32)
        ids = np.full((len(codes), k), -1, np.int64)
        for q, (code, number) in enumerate(zip(codes, lists, strict=True)):
            found, names = self._one(code, int(number))
            distances[q, : len(found)] = found[:k]
            ids[q, : len(found)] = names[:k]
        return SearchResult(distances, ids)

    def range_search(self, codes: NDArray[np.uint8], lists: NDArray[np.int64], *, radius: int) -> RangeResult:
        """See :class:`genoseq.store.base.CodeStore`."""
        check_codes(self, codes, lists, limit=self.lists)
        rows = [self._one(code, int(number)) for code, number in zip(codes, lists, strict=True)]
        kept = [(d[d <= radius], i[d <= radius]) for d, i in rows]
        limits = np.concatenate([[0], np.cumsum([len(d) for d, _ in kept])]).astype(np.int64)
        distances = np.concatenate([d for d, _ in kept] or [np.empty(0, np.int32)])
        ids = np.concatenate([i for _, i in kept] or [np.empty(0, np.int64)])
        return RangeResult(limits, distances, ids)

    def save(self, folder: Path) -> None:
        """See :class:`genoseq.store.base.CodeStore`."""
        np.save(folder / "codes.npy", self._codes)
        np.save(folder / "cells.npy", self._cells)
        np.save(folder / "ids.npy", self._ids)

    @classmethod
    def open(cls, folder: Path, *, bits: int, lists: int, minor: int = 1) -> Self:
        """See :class:`genoseq.store.base.CodeStore`.

        Raises:
            IndexFormatError: a file is missing, damaged, or does not fit the others.
        """
        store = cls(bits=bits, lists=lists, minor=minor)
        try:
            store._codes, store._cells, store._ids = (
                np.load(folder / name, mmap_mode="r") for name in ("codes.npy", "cells.npy", "ids.npy")
            )
            check_codes(store, store._codes, store._cells, limit=lists * minor, ids=store._ids)
        except (OSError, EOFError, ValueError) as error:
            raise IndexFormatError(f"the store is damaged ({error})", path=folder, remedy="build it again") from error
        store._opened = True
        return store
