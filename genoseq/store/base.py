"""The protocol every code store answers, and the results it gives.

A store holds binary codes, each filed under a *cell* and carrying a 64-bit id. Cells are numbered ``list * minor + m``:
the list is what a query must match exactly (for anchors, the k-mer), the minor cell a finer division of it that a query may
match (for anchors, the two bases next to the k-mer). Searching compares a query with the codes of one list.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, Self, runtime_checkable

import numpy as np
from numpy.typing import NDArray

__all__ = ["CodeStore", "RangeResult", "SearchResult", "check_codes"]


@dataclass(frozen=True)
class SearchResult:
    """Nearest codes of each query, nearest first, ties by ascending id.

    Attributes:
        distances: int32 ``(queries, k)``, Hamming distance in bits; -1 where the list held fewer than ``k`` codes.
        ids: int64 ``(queries, k)``; -1 likewise.
    """

    distances: NDArray[np.int32]
    ids: NDArray[np.int64]


@dataclass(frozen=True)
class RangeResult:
    """All codes within a radius of each query; those of query ``q`` are ``limits[q]:limits[q + 1]``, nearest first.

    Attributes:
        limits: int64 ``(queries + 1,)``.
        distances: int32 ``(hits,)``, bits.
        ids: int64 ``(hits,)``.
    """

    limits: NDArray[np.int64]
    distances: NDArray[np.int32]
    ids: NDArray[np.int64]


@runtime_checkable
class CodeStore(Protocol):
    """Binary codes filed by cell. ``len(store)`` is the number of codes; an opened store cannot be added to."""

    bits: int
    lists: int
    minor: int

    def __len__(self) -> int: ...

    def add(self, codes: NDArray[np.uint8], cells: NDArray[np.int64], ids: NDArray[np.int64]) -> None:
        """File codes uint8 ``(n, bits / 8)`` under ``cells`` int64 ``(n,)`` with ``ids`` int64 ``(n,)``."""
        ...

    def search(self, codes: NDArray[np.uint8], lists: NDArray[np.int64], *, k: int) -> SearchResult:
        """The ``k`` nearest codes of each query within its list.

        Raises:
            ValueError: ``k`` is less than 1, or the arrays do not fit the store.
        """
        ...

    def range_search(self, codes: NDArray[np.uint8], lists: NDArray[np.int64], *, radius: int) -> RangeResult:
        """All codes of each query's list at a Hamming distance of at most ``radius`` bits."""
        ...

    def save(self, folder: Path) -> None:
        """Write the store's files into an existing folder."""
        ...

    @classmethod
    def open(cls, folder: Path, *, bits: int, lists: int, minor: int) -> Self:
        """Open what :meth:`save` wrote, memory-mapped."""
        ...


def check_codes(
    store: CodeStore,
    codes: NDArray[np.uint8],
    places: NDArray[np.int64],
    *,
    limit: int,
    ids: NDArray[np.int64] | None = None,
    k: int = 1,
) -> None:
    """Refuse arrays that do not fit the store.

    Raises:
        ValueError: wrong shape or type, lengths that differ, a cell or list outside ``0 .. limit - 1``,
            or ``k`` less than 1.
    """
    if k < 1:
        raise ValueError(f"k is {k}; expected at least 1")
    if codes.dtype != np.uint8 or codes.ndim != 2 or codes.shape[1] * 8 != store.bits:
        raise ValueError(f"codes are {codes.dtype} {codes.shape}; expected uint8 (n, {store.bits // 8})")
    for name, numbers in (("cells or lists", places), ("ids", ids)):
        if numbers is not None and (numbers.dtype != np.int64 or numbers.shape != (len(codes),)):
            raise ValueError(f"{name} are {numbers.dtype} {numbers.shape}; expected int64 ({len(codes)},)")
    if len(places) and not (int(places.min()) >= 0 and int(places.max()) < limit):
        raise ValueError(f"cells or lists run from {places.min()} to {places.max()}; the store has 0 to {limit - 1}")
