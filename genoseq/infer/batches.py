"""A stream of sequences through a net in batches of like length; results come in the order of the sequences."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

__all__ = ["BATCH_TOKENS", "batches_by_length", "in_batches"]

T = TypeVar("T")
R = TypeVar("R")

BATCH_TOKENS = 16_384
"""Tokens of a batch, padding included, unless the user says otherwise; a longer sequence is a batch of its own."""
LOOK_AHEAD = 8
"""Batches' worth of tokens that are read ahead to be sorted by length."""
MOST = 4096
"""Sequences that are read ahead, at most."""


def in_batches(
    items: Iterable[T],
    compute: Callable[[list[T]], Sequence[R]],
    *,
    size: Callable[[T], int],
    batch_tokens: int = BATCH_TOKENS,
) -> Iterator[R]:
    """Yield one result per item, in the order of the items, computed in batches of items of like size.

    A bounded number of items is read ahead, sorted by size and cut into batches; memory does not grow with the stream.

    Args:
        items: what to work on, in any number.
        compute: gives one result per item of a batch.
        size: tokens of an item.
        batch_tokens: tokens of a batch, padding included; see `batches_by_length`.

    >>> list(in_batches(["aaa", "b", "cc"], lambda batch: [len(batch)] * len(batch), size=len, batch_tokens=4))
    [1, 2, 2]
    """
    source = iter(items)
    more = True
    while more:
        ahead: list[T] = []
        tokens = 0
        more = False
        for item in source:
            ahead.append(item)
            tokens += size(item)
            if tokens >= LOOK_AHEAD * batch_tokens or len(ahead) >= MOST:
                more = True
                break
        results: dict[int, R] = {}
        for numbers in batches_by_length([size(item) for item in ahead], batch_tokens):
            for number, result in zip(numbers, compute([ahead[number] for number in numbers]), strict=True):
                results[number] = result
        count = len(ahead)
        del ahead
        for number in range(count):
            yield results.pop(number)  # not kept once it is given out


def batches_by_length(lengths: Sequence[int], batch_tokens: int) -> Iterator[list[int]]:
    """Numbers of items in batches, shortest items first; a batch padded to its longest item has at most ``batch_tokens``.

    An item that is longer than that is a batch of its own.

    >>> list(batches_by_length([5, 1, 2, 9], 6))
    [[1, 2], [0], [3]]
    """
    batch: list[int] = []
    for number in sorted(range(len(lengths)), key=lambda i: (lengths[i], i)):
        if batch and (len(batch) + 1) * lengths[number] > batch_tokens:
            yield batch
            batch = []
        batch.append(number)
    if batch:
        yield batch
