"""Ordered parallel work with bounded look-ahead: results come in the order of the items, memory does not grow."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

__all__ = ["ordered_map"]

T = TypeVar("T")
R = TypeVar("R")


def ordered_map(function: Callable[[T], R], items: Iterable[T], *, threads: int) -> Iterator[R]:
    """Yield ``function(item)`` for each item, in order, computed by ``threads`` threads a few items ahead.

    With one thread everything happens in the caller's. ``function`` gains from threads where it releases the GIL, as
    kernels do. An exception of ``function`` or of ``items`` is raised in its place in the order.

    >>> list(ordered_map(str.upper, ["a", "b"], threads=2))
    ['A', 'B']
    """
    if threads <= 1:
        yield from map(function, items)
        return
    waiting: deque[Future[R]] = deque()
    source = iter(items)
    failure: Exception | None = None
    with ThreadPoolExecutor(threads) as pool:
        try:
            while True:
                try:
                    item = next(source)
                except StopIteration:
                    break
                except Exception as error:  # raised below, behind the results of the items before it
                    failure = error
                    break
                waiting.append(pool.submit(function, item))
                if len(waiting) > 2 * threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
            if failure is not None:
                raise failure
        finally:
            for future in waiting:
                future.cancel()
