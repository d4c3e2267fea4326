"""What every code store must do, new and as opened from disk. A new store is one more line in ``STORES``."""

from __future__ import annotations

import dataclasses
import shutil
import tempfile
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from genoseq.errors import IndexFormatError
from genoseq.store import AnchorIVFStore, CodeStore, ExactStore

STORES = (ExactStore, AnchorIVFStore)
BITS = 128
LISTS = 7
MINOR = 4
EMPTY_LIST = 5

Build = Callable[["Filed"], CodeStore]


@dataclasses.dataclass(frozen=True)
class Filed:
    """Codes, cells and ids that were added."""

    codes: NDArray[np.uint8]
    cells: NDArray[np.int64]
    ids: NDArray[np.int64]


def some_codes(n: int = 300, *, seed: int = 0, bits: int = BITS) -> Filed:
    """Random codes near a few centres, so that distances tie; one list stays empty; ids are in no order."""
    rng = np.random.default_rng(seed)
    centres = rng.integers(0, 256, (3, bits // 8), dtype=np.uint8)
    codes = centres[rng.integers(0, 3, n)]
    for row in codes:
        for bit in rng.integers(0, bits, rng.integers(0, 4)):
            row[bit // 8] ^= 1 << (bit % 8)
    cells = rng.integers(0, LISTS * MINOR, n)
    cells[cells // MINOR == EMPTY_LIST] = 0
    return Filed(codes, cells.astype(np.int64), rng.permutation(n).astype(np.int64) * 3 + (1 << 40))


def filled(kind: type[CodeStore], filed: Filed, *, bits: int = BITS) -> CodeStore:
    store = kind(bits=bits, lists=LISTS, minor=MINOR)  # type: ignore[call-arg]
    half = len(filed.ids) // 2
    store.add(filed.codes[:half], filed.cells[:half], filed.ids[:half])
    store.add(filed.codes[half:], filed.cells[half:], filed.ids[half:])
    return store


@pytest.fixture(params=[(kind, opened) for kind in STORES for opened in (False, True)], ids=lambda p: f"{p[0].__name__}-{'opened' if p[1] else 'new'}")
def build(request: pytest.FixtureRequest, tmp_path: Path) -> Build:
    """Makes a store of the kind, as it was filled or as it was saved and opened."""
    kind, opened = request.param

    def make(filed: Filed) -> CodeStore:
        store = filled(kind, filed, bits=8 * filed.codes.shape[1])
        if not opened:
            return store
        store.save(tmp_path)
        return kind.open(tmp_path, bits=8 * filed.codes.shape[1], lists=LISTS, minor=MINOR)

    return make


@pytest.fixture(params=STORES, ids=lambda kind: kind.__name__)
def kind(request: pytest.FixtureRequest) -> type[CodeStore]:
    return request.param


def brute(filed: Filed, code: NDArray[np.uint8], number: int) -> list[tuple[int, int]]:
    """(distance, id) of all codes of a list, nearest first, by counting bits in Python."""
    found = []
    for mine, cell, name in zip(filed.codes, filed.cells, filed.ids, strict=True):
        if cell // MINOR == number:
            distance = sum((int(a) ^ int(b)).bit_count() for a, b in zip(mine, code, strict=True))
            found.append((distance, int(name)))
    return sorted(found)


def queries(filed: Filed) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    rng = np.random.default_rng(9)
    codes = np.concatenate([filed.codes[:10], rng.integers(0, 256, (6, filed.codes.shape[1]), dtype=np.uint8)])
    lists = np.concatenate([filed.cells[:10] // MINOR, [0, 1, 2, 3, 4, EMPTY_LIST]])
    return codes, lists.astype(np.int64)


def test_it_answers_the_protocol(build: Build) -> None:
    filed = some_codes()
    store = build(filed)
    assert isinstance(store, CodeStore)
    assert (store.bits, store.lists, store.minor, len(store)) == (BITS, LISTS, MINOR, len(filed.ids))


@pytest.mark.parametrize("bits", [64, 128, 256])
@pytest.mark.parametrize("k", [1, 5, 1000])
def test_search_equals_brute_force(build: Build, k: int, bits: int) -> None:
    filed = some_codes(bits=bits)
    codes, lists = queries(filed)
    found = build(filed).search(codes, lists, k=k)
    assert (found.distances.dtype, found.ids.dtype) == (np.int32, np.int64)
    assert found.distances.shape == found.ids.shape == (len(codes), k)
    for q, (code, number) in enumerate(zip(codes, lists, strict=True)):
        expected = brute(filed, code, int(number))[:k]
        missing = k - len(expected)
        assert found.distances[q].tolist() == [d for d, _ in expected] + [-1] * missing
        assert found.ids[q].tolist() == [name for _, name in expected] + [-1] * missing


@pytest.mark.parametrize("radius", [0, 3, 60, BITS])
def test_range_search_equals_brute_force(build: Build, radius: int) -> None:
    filed = some_codes()
    codes, lists = queries(filed)
    found = build(filed).range_search(codes, lists, radius=radius)
    assert (found.limits.dtype, found.distances.dtype, found.ids.dtype) == (np.int64, np.int32, np.int64)
    assert found.limits[0] == 0 and found.limits[-1] == len(found.ids) == len(found.distances)
    for q, (code, number) in enumerate(zip(codes, lists, strict=True)):
        expected = [hit for hit in brute(filed, code, int(number)) if hit[0] <= radius]
        mine = slice(found.limits[q], found.limits[q + 1])
        assert list(zip(found.distances[mine].tolist(), found.ids[mine].tolist(), strict=True)) == expected


@given(data=st.data())
@settings(max_examples=40, deadline=None)
def test_all_stores_agree_on_any_content(data: st.DataObject) -> None:
    n = data.draw(st.integers(0, 30))
    byte = st.sampled_from([0, 1, 3, 255])  # few values: many ties
    row = st.lists(byte, min_size=8, max_size=8)
    codes = np.array(data.draw(st.lists(row, min_size=n, max_size=n)), np.uint8).reshape(n, 8)
    cells = np.array(data.draw(st.lists(st.integers(0, LISTS * MINOR - 1), min_size=n, max_size=n)), np.int64)
    ids = np.array(data.draw(st.lists(st.integers(0, 2**62), min_size=n, max_size=n, unique=True)), np.int64)
    asked = np.array(data.draw(st.lists(row, min_size=1, max_size=4)), np.uint8).reshape(-1, 8)
    lists = np.array([data.draw(st.integers(0, LISTS - 1)) for _ in asked], np.int64)
    k = data.draw(st.integers(1, 8))
    radius = data.draw(st.integers(0, 64))
    answers = []
    with tempfile.TemporaryDirectory() as folder:
        for kind in STORES:
            store = filled(kind, Filed(codes, cells, ids), bits=64)
            place = Path(folder) / kind.__name__
            place.mkdir()
            store.save(place)
            for each in (store, kind.open(place, bits=64, lists=LISTS, minor=MINOR)):
                nearest = each.search(asked, lists, k=k)
                within = each.range_search(asked, lists, radius=radius)
                answers.append(
                    (len(each), *(part.tolist() for part in (nearest.distances, nearest.ids, within.limits, within.distances, within.ids)))
                )
    assert all(answer == answers[0] for answer in answers[1:])


def test_an_empty_store_finds_nothing(build: Build) -> None:
    filed = some_codes(0)
    store = build(filed)
    assert len(store) == 0
    codes, lists = np.zeros((2, BITS // 8), np.uint8), np.array([0, 3], np.int64)
    assert store.search(codes, lists, k=2).ids.tolist() == [[-1, -1], [-1, -1]]
    assert store.range_search(codes, lists, radius=BITS).limits.tolist() == [0, 0, 0]


def test_no_queries_give_no_results(build: Build) -> None:
    store = build(some_codes())
    codes, lists = np.zeros((0, BITS // 8), np.uint8), np.zeros(0, np.int64)
    assert store.search(codes, lists, k=3).ids.shape == (0, 3)
    assert store.range_search(codes, lists, radius=9).limits.tolist() == [0]


def test_searching_twice_gives_the_same(build: Build) -> None:
    filed = some_codes()
    store, (codes, lists) = build(filed), queries(filed)
    one, other = store.search(codes, lists, k=4), store.search(codes, lists, k=4)
    assert (one.ids == other.ids).all() and (one.distances == other.distances).all()


def test_a_query_does_not_depend_on_its_companions(build: Build) -> None:
    filed = some_codes()
    store, (codes, lists) = build(filed), queries(filed)
    together = store.search(codes, lists, k=6)
    for q in range(len(codes)):
        alone = store.search(codes[q : q + 1], lists[q : q + 1], k=6)
        assert alone.ids[0].tolist() == together.ids[q].tolist()


@pytest.mark.parametrize(
    ("codes", "cells", "ids"),
    [
        (np.zeros((2, 15), np.uint8), np.zeros(2, np.int64), np.zeros(2, np.int64)),
        (np.zeros((2, 16), np.int8), np.zeros(2, np.int64), np.zeros(2, np.int64)),
        (np.zeros(16, np.uint8), np.zeros(1, np.int64), np.zeros(1, np.int64)),
        (np.zeros((2, 16), np.uint8), np.zeros(3, np.int64), np.zeros(2, np.int64)),
        (np.zeros((2, 16), np.uint8), np.zeros(2, np.int64), np.zeros(1, np.int64)),
        (np.zeros((2, 16), np.uint8), np.zeros(2, np.float64), np.zeros(2, np.int64)),
        (np.zeros((2, 16), np.uint8), np.zeros(2, np.int64), np.zeros(2, np.int32)),
        (np.zeros((1, 16), np.uint8), np.array([-1]), np.zeros(1, np.int64)),
        (np.zeros((1, 16), np.uint8), np.array([LISTS * MINOR]), np.zeros(1, np.int64)),
    ],
)
def test_what_does_not_fit_is_refused(
    kind: type[CodeStore], codes: NDArray[np.uint8], cells: NDArray[np.int64], ids: NDArray[np.int64]
) -> None:
    store = filled(kind, some_codes())
    before = len(store)
    with pytest.raises(ValueError, match=r"expected|the store has"):
        store.add(codes, cells, ids)
    assert len(store) == before


@pytest.mark.parametrize("lists", [np.array([LISTS]), np.array([-1]), np.array([0, 0]), np.array([0.0])])
def test_queries_that_do_not_fit_are_refused(build: Build, lists: NDArray[np.int64]) -> None:
    store = build(some_codes())
    code = np.zeros((1, BITS // 8), np.uint8)
    with pytest.raises(ValueError, match=r"expected|the store has"):
        store.search(code, lists, k=1)
    with pytest.raises(ValueError, match=r"expected|the store has"):
        store.range_search(code, lists, radius=1)
    with pytest.raises(ValueError, match="expected"):
        store.search(code[:, :8], np.zeros(1, np.int64), k=1)


@pytest.mark.parametrize("k", [0, -1])
def test_k_below_one_is_refused(build: Build, k: int) -> None:
    with pytest.raises(ValueError, match=f"k is {k}"):
        build(some_codes()).search(np.zeros((1, BITS // 8), np.uint8), np.zeros(1, np.int64), k=k)


def test_an_opened_store_is_read_only(kind: type[CodeStore], tmp_path: Path) -> None:
    filed = some_codes()
    filled(kind, filed).save(tmp_path)
    store = kind.open(tmp_path, bits=BITS, lists=LISTS, minor=MINOR)
    with pytest.raises(ValueError, match="read-only"):
        store.add(filed.codes, filed.cells, filed.ids)
    assert len(store) == len(filed.ids)


def test_a_store_keeps_what_was_added_not_the_callers_arrays(kind: type[CodeStore]) -> None:
    filed = some_codes()
    given = Filed(filed.codes.copy(), filed.cells.copy(), filed.ids.copy())
    store = filled(kind, given)
    given.codes[:] = 0
    given.ids[:] = 0
    codes, lists = queries(filed)
    expected = filled(kind, filed).search(codes, lists, k=5)
    assert (store.search(codes, lists, k=5).ids == expected.ids).all()


def test_damaged_files_are_refused(kind: type[CodeStore], tmp_path: Path) -> None:
    whole = tmp_path / "whole"
    whole.mkdir()
    filled(kind, some_codes()).save(whole)
    kind.open(whole, bits=BITS, lists=LISTS, minor=MINOR)
    names = sorted(path.name for path in whole.iterdir())
    for name in names:
        size = (whole / name).stat().st_size
        for damage in ("missing", "empty", "short", "half", "noise"):
            folder = tmp_path / f"{name}.{damage}"
            shutil.copytree(whole, folder)
            if damage == "missing":
                (folder / name).unlink()
            elif damage == "noise":
                (folder / name).write_bytes(np.random.default_rng(0).bytes(size))
            else:
                kept = {"empty": 0, "short": size - 1, "half": size // 2}[damage]
                (folder / name).write_bytes((whole / name).read_bytes()[:kept])
            with pytest.raises(IndexFormatError, match="build it again"):
                kind.open(folder, bits=BITS, lists=LISTS, minor=MINOR)


@pytest.mark.parametrize("wrong", [{"bits": 64}, {"lists": LISTS - 1}, {"minor": MINOR - 1}])
def test_files_that_do_not_fit_the_manifest_are_refused(kind: type[CodeStore], tmp_path: Path, wrong: dict[str, int]) -> None:
    filed = some_codes()
    filed.cells[0] = LISTS * MINOR - 1
    filled(kind, filed).save(tmp_path)
    with pytest.raises(IndexFormatError, match="build it again"):
        kind.open(tmp_path, **{"bits": BITS, "lists": LISTS, "minor": MINOR, **wrong})


# What only the anchored store has: filing in order, and the view that the mapper's kernels read.


def sorted_by_cell(filed: Filed) -> Filed:
    order = np.argsort(filed.cells, kind="stable")
    return Filed(filed.codes[order], filed.cells[order], filed.ids[order])


@pytest.mark.parametrize("cuts", [[], [0, 100], [1, 2, 150, 150, 299]])
def test_add_sorted_files_as_add_does(tmp_path: Path, cuts: list[int]) -> None:
    filed = sorted_by_cell(some_codes())
    store = AnchorIVFStore(bits=BITS, lists=LISTS, minor=MINOR)
    edges = [0, *cuts, len(filed.ids)]
    for first, last in pairwise(edges):
        store.add_sorted(filed.codes[first:last], filed.cells[first:last], filed.ids[first:last])
        assert len(store) == last
    codes, lists = queries(filed)
    expected = filled(ExactStore, filed).search(codes, lists, k=9)
    assert (store.search(codes, lists, k=9).ids == expected.ids).all()
    one, other = tmp_path / "one", tmp_path / "other"
    one.mkdir()
    other.mkdir()
    store.save(one)
    filled(AnchorIVFStore, filed).save(other)
    for path in one.iterdir():
        assert path.read_bytes() == (other / path.name).read_bytes()


def test_add_sorted_refuses_disorder(tmp_path: Path) -> None:
    filed = sorted_by_cell(some_codes())
    store = AnchorIVFStore(bits=BITS, lists=LISTS, minor=MINOR)
    with pytest.raises(ValueError, match="ascending"):
        store.add_sorted(filed.codes[::-1].copy(), filed.cells[::-1].copy(), filed.ids)
    store.add_sorted(filed.codes[100:], filed.cells[100:], filed.ids[100:])
    with pytest.raises(ValueError, match="ascending"):
        store.add_sorted(filed.codes[:100], filed.cells[:100], filed.ids[:100])
    assert len(store) == len(filed.ids) - 100
    mixed = filled(AnchorIVFStore, filed)
    with pytest.raises(ValueError, match="cannot follow"):
        mixed.add_sorted(filed.codes, filed.cells, filed.ids)
    with pytest.raises(ValueError, match="read-only"):
        store.add(filed.codes, filed.cells, filed.ids)


def test_view_holds_what_range_search_says(tmp_path: Path) -> None:
    filed = some_codes()
    filled(AnchorIVFStore, filed).save(tmp_path)
    store = AnchorIVFStore.open(tmp_path, bits=BITS, lists=LISTS, minor=MINOR)
    view = store.view()
    assert view.bounds.shape == (LISTS * MINOR + 1,) and view.bounds[-1] == len(filed.ids)
    assert view.data.shape == (24 * len(filed.ids),) and not view.data.flags.writeable
    seen = []
    for number in range(LISTS):
        first, last = int(view.bounds[number * MINOR]), int(view.bounds[(number + 1) * MINOR])
        size = last - first
        raw = view.data[24 * first : 24 * last]
        codes = raw[: 16 * size].reshape(size, 16)
        ids = raw[16 * size :].copy().view("<i8")
        for c in range(size):
            cell = int(np.searchsorted(view.bounds, first + c, side="right")) - 1
            seen.append((codes[c].tobytes(), cell, int(ids[c])))
        if size:
            found = store.range_search(codes[:1].copy(), np.array([number]), radius=BITS)
            assert sorted(found.ids.tolist()) == sorted(ids.tolist())
    assert sorted(seen) == sorted((c.tobytes(), int(cell), int(i)) for c, cell, i in zip(filed.codes, filed.cells, filed.ids, strict=True))


def test_view_needs_an_opened_store_and_may_be_empty(tmp_path: Path) -> None:
    store = AnchorIVFStore(bits=BITS, lists=LISTS, minor=MINOR)
    with pytest.raises(ValueError, match="opened"):
        store.view()
    store.save(tmp_path)
    view = AnchorIVFStore.open(tmp_path, bits=BITS, lists=LISTS, minor=MINOR).view()
    assert len(view.data) == 0 and not view.bounds.any()
