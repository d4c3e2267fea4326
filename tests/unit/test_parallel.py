"""Parallel work: in order, a few items ahead, and errors where they belong."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from genoseq.parallel import ordered_map


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_results_come_in_the_order_of_the_items(threads: int) -> None:
    def slow_first(item: int) -> int:
        time.sleep(0.004 * (item % 3 == 0))
        return item * item

    assert list(ordered_map(slow_first, range(40), threads=threads)) == [n * n for n in range(40)]
    assert list(ordered_map(slow_first, [], threads=threads)) == []


@pytest.mark.parametrize("threads", [2, 3])
def test_work_is_done_a_few_items_ahead_only(threads: int) -> None:
    taken = 0

    def items() -> Iterator[int]:
        nonlocal taken
        for n in range(1000):
            taken += 1
            yield n

    results = ordered_map(lambda n: n, items(), threads=threads)
    for expected in range(50):
        assert next(results) == expected
        assert taken <= expected + 1 + 2 * threads
    results.close()
    assert taken < 100


def test_one_thread_works_in_the_callers() -> None:
    assert set(ordered_map(lambda _: threading.get_ident(), range(3), threads=1)) == {threading.get_ident()}
    assert threading.get_ident() not in set(ordered_map(lambda _: threading.get_ident(), range(3), threads=2))


@pytest.mark.parametrize("threads", [1, 2, 4])
def test_an_error_of_the_work_stands_behind_the_results_before_it(threads: int) -> None:
    def fails(n: int) -> int:
        if n == 13:
            raise KeyError("thirteen")
        return n

    seen = []
    with pytest.raises(KeyError, match="thirteen"):
        for result in ordered_map(fails, range(100), threads=threads):
            seen.append(result)
    assert seen == list(range(13))


@pytest.mark.parametrize("threads", [1, 2, 4])
@pytest.mark.parametrize("good", [0, 1, 20])
def test_an_error_of_the_items_stands_behind_the_results_before_it(threads: int, good: int) -> None:
    def items() -> Iterator[int]:
        yield from range(good)
        raise ValueError("no more")

    seen = []
    with pytest.raises(ValueError, match="no more"):
        for result in ordered_map(lambda n: n, items(), threads=threads):
            seen.append(result)
    assert seen == list(range(good))


def test_leaving_early_ends_the_threads() -> None:
    before = threading.active_count()
    results = ordered_map(lambda n: n, range(1000), threads=4)
    assert next(results) == 0
    results.close()
    assert threading.active_count() == before
