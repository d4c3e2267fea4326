"""The anchored store: a FAISS ``IndexBinaryIVF`` whose inverted lists are the anchors themselves.

Coarse search costs nothing and is exact, because the list of a code is known from its anchor; FAISS holds the codes, scans
the lists and maps the file into memory. Within each list the codes lie sorted by minor cell, and a table of bounds says
where each minor cell begins, so that the mapper's kernels can scan a sixteenth of a list where that suffices.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from genoseq.errors import IndexFormatError
from genoseq.store.base import RangeResult, SearchResult, check_codes

__all__ = ["AnchorIVFStore", "ListView"]

FILE = "codes.faiss"
BOUNDS = "bounds.npy"


@dataclass(frozen=True)
class ListView:
    """The inverted lists as the mapper's kernels read them, straight from FAISS's memory map.

    Attributes:
        data: uint8 ``(24 * codes,)``: list after list, each its 16-byte codes and then its 8-byte ids.
        bounds: int64 ``(lists * minor + 1,)``: number of codes filed before each cell.
    """

    data: NDArray[np.uint8]
    bounds: NDArray[np.int64]


class AnchorIVFStore:
    """Binary codes in FAISS inverted lists, list number given by the caller."""

    def __init__(self, *, bits: int, lists: int, minor: int = 1) -> None:
        self.bits = bits
        self.lists = lists
        self.minor = minor
        self._staged: list[tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.int64]]] = []
        self._index: Any = None
        self._bounds: NDArray[np.int64] = np.zeros(lists * minor + 1, np.int64)
        self._last_cell = 0
        self._opened = False

    def __len__(self) -> int:
        return int(self._bounds[-1]) + sum(len(ids) for _, _, ids in self._staged)

    def add(self, codes: NDArray[np.uint8], cells: NDArray[np.int64], ids: NDArray[np.int64]) -> None:
        """See :class:`genoseq.store.base.CodeStore`. Codes are filed when the store is first searched or saved."""
        if self._opened or self._index is not None:
            raise ValueError("a store that was searched, saved or opened is read-only")
        check_codes(self, codes, cells, limit=self.lists * self.minor, ids=ids)
        self._staged.append((codes.copy(), cells.copy(), ids.copy()))

    def add_sorted(self, codes: NDArray[np.uint8], cells: NDArray[np.int64], ids: NDArray[np.int64]) -> None:
        """File codes at once, without a copy kept aside: for large stores, built in ascending order of cells.

        Raises:
            ValueError: the cells are not in ascending order, also across calls, or :meth:`add` was used before.
        """
        if self._opened or self._staged:
            raise ValueError("add_sorted cannot follow add, and an opened store is read-only")
        check_codes(self, codes, cells, limit=self.lists * self.minor, ids=ids)
        if not len(ids):
            return
        if np.any(cells[1:] < cells[:-1]) or cells[0] < self._last_cell:
            raise ValueError("cells are not in ascending order")
        from faiss.contrib.ivf_tools import add_preassigned

        if self._index is None:
            self._index = self._empty()
        add_preassigned(self._index, np.ascontiguousarray(codes), cells // self.minor, np.ascontiguousarray(ids))
        self._last_cell = int(cells[-1])
        counts = np.bincount(cells - cells[0])
        first = int(cells[0])
        total = int(self._bounds[-1])
        self._bounds[first + 1 : first + 1 + len(counts)] = total + np.cumsum(counts)
        self._bounds[first + 1 + len(counts) :] = total + len(ids)

    def _empty(self) -> Any:
        import faiss

        # FAISS asks for one centroid a list; ours are the list numbers, and no search ever compares with them.
        centroids = np.zeros((self.lists, self.bits // 8), np.uint8)
        centroids[:, :4] = np.arange(self.lists, dtype="<u4")[:, None].view(np.uint8)
        quantizer = faiss.IndexBinaryFlat(self.bits)
        quantizer.add(centroids)
        index = faiss.IndexBinaryIVF(quantizer, self.bits, self.lists)
        index.is_trained = True
        index.referenced_objects = [quantizer]  # type: ignore[attr-defined]
        return index

    def _filed(self) -> Any:
        """The FAISS index, with everything that was added filed by cell."""
        if self._index is not None:
            return self._index
        staged, self._staged = self._staged, []
        if staged:
            codes, cells, ids = (np.concatenate(part) for part in zip(*staged, strict=True))
            order = np.argsort(cells, kind="stable")
            self.add_sorted(codes[order], cells[order], ids[order])
        if self._index is None:
            self._index = self._empty()
        return self._index

    def search(self, codes: NDArray[np.uint8], lists: NDArray[np.int64], *, k: int) -> SearchResult:
        """See :class:`genoseq.store.base.CodeStore`."""
        from faiss.contrib.ivf_tools import search_preassigned

        check_codes(self, codes, lists, limit=self.lists, k=k)
        index = self._filed()
        if not len(codes):
            return SearchResult(np.empty((0, k), np.int32), np.empty((0, k), np.int64))
        # FAISS keeps an arbitrary code among those tied at rank k; the whole list, sorted by us, does not.
        longest = int(np.max(self._list_sizes()[lists]))
        distances, ids = search_preassigned(index, np.ascontiguousarray(codes), max(longest, k), lists[:, None].copy())
        distances = np.where(ids < 0, -1, distances).astype(np.int32)
        order = np.lexsort((ids, np.where(ids < 0, self.bits + 1, distances)))[:, :k]
        return SearchResult(np.take_along_axis(distances, order, 1), np.take_along_axis(ids, order, 1))

    def range_search(self, codes: NDArray[np.uint8], lists: NDArray[np.int64], *, radius: int) -> RangeResult:
        """See :class:`genoseq.store.base.CodeStore`."""
        from faiss.contrib.ivf_tools import range_search_preassigned

        check_codes(self, codes, lists, limit=self.lists)
        index = self._filed()
        if not len(codes):
            return RangeResult(np.zeros(1, np.int64), np.empty(0, np.int32), np.empty(0, np.int64))
        limits, distances, ids = range_search_preassigned(index, np.ascontiguousarray(codes), radius + 1, lists[:, None].copy())
        limits = limits.astype(np.int64)
        queries = np.repeat(np.arange(len(codes)), np.diff(limits))
        order = np.lexsort((ids, distances, queries))
        return RangeResult(limits, distances[order].astype(np.int32), ids[order])

    def _list_sizes(self) -> NDArray[np.int64]:
        return np.diff(self._bounds[:: self.minor])

    def save(self, folder: Path) -> None:
        """See :class:`genoseq.store.base.CodeStore`."""
        import faiss

        index = self._filed()
        try:
            faiss.write_index_binary(index, str(folder / FILE))
        except RuntimeError as error:  # so FAISS tells of a full disk
            raise OSError(f"{FILE} cannot be written: {error}") from error
        np.save(folder / BOUNDS, self._bounds)

    @classmethod
    def open(cls, folder: Path, *, bits: int, lists: int, minor: int = 1) -> Self:
        """See :class:`genoseq.store.base.CodeStore`.

        Raises:
            IndexFormatError: a file is missing, damaged, or does not fit the others.
        """
        import faiss

        store = cls.__new__(cls)
        store.bits, store.lists, store.minor, store._staged, store._opened = bits, lists, minor, [], True
        try:
            store._bounds = np.load(folder / BOUNDS, mmap_mode="r")
            store._index = faiss.read_index_binary(str(folder / FILE), faiss.IO_FLAG_MMAP)
        except (OSError, EOFError, ValueError, RuntimeError) as error:
            raise IndexFormatError(f"{folder}: the index is damaged ({error}); build it again with `genoseq index`") from error
        index = store._index
        bounds = store._bounds
        fits = bounds.shape == (lists * minor + 1,) and bounds.dtype == np.int64
        # the kernels check nothing: a bound that is out of order would have them read beyond a list
        fits = fits and bounds[0] == 0 and not (bounds[1:] < bounds[:-1]).any()
        if not fits or (index.d, index.nlist, index.ntotal) != (bits, lists, len(store)):
            raise IndexFormatError(f"{folder}: {FILE} and {BOUNDS} do not fit the manifest; build it again with `genoseq index`")
        return store

    def view(self) -> ListView:
        """The lists for the kernels, without a copy. Only of an opened store: there FAISS's lists lie one after another.

        Raises:
            ValueError: the store was not opened from disk.
            IndexFormatError: FAISS lays the lists out otherwise than this version of genoseq expects.
        """
        import faiss

        if not self._opened:
            raise ValueError("only an opened store has a view; save it and open it")
        sizes = self._list_sizes()
        filled = np.flatnonzero(sizes)
        bounds = np.ascontiguousarray(self._bounds)
        if not len(filled):
            nothing = np.empty(0, np.uint8)
            nothing.setflags(write=False)  # of one type with the map below: kernels are compiled for either
            return ListView(nothing, bounds)
        lists = self._index.invlists

        def address(pointer: Any) -> int:
            return int(faiss.rev_swig_ptr(pointer, 1).ctypes.data)

        width = self.bits // 8
        start = address(lists.get_codes(int(filled[0])))
        for number in (int(filled[0]), int(filled[len(filled) // 2]), int(filled[-1])):
            codes_at = start + (width + 8) * int(bounds[number * self.minor])
            expected = (codes_at, codes_at + width * int(sizes[number]), int(sizes[number]))
            if (address(lists.get_codes(number)), address(lists.get_ids(number)), lists.list_size(number)) != expected:
                raise IndexFormatError("this version of faiss-cpu lays inverted lists out in another way than genoseq expects")
        memory = (ctypes.c_uint8 * ((width + 8) * len(self))).from_address(start)
        data = np.ctypeslib.as_array(memory)
        data.setflags(write=False)
        return ListView(data, bounds)
