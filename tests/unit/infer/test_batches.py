"""Batches by length: each item once, in order, within the budget, and no more read ahead than needed."""

from __future__ import annotations

from collections.abc import Iterator

from hypothesis import given
from hypothesis import strategies as st

from genoseq.infer.batches import LOOK_AHEAD, MOST, batches_by_length, in_batches


@given(st.lists(st.integers(0, 50), max_size=80), st.integers(1, 120))
def test_each_item_is_in_one_batch_that_fits(lengths: list[int], budget: int) -> None:
    batches = list(batches_by_length(lengths, budget))
    assert sorted(number for batch in batches for number in batch) == list(range(len(lengths)))
    for batch in batches:
        longest = max(lengths[number] for number in batch)
        assert len(batch) == 1 or longest * len(batch) <= budget


@given(st.lists(st.integers(0, 50), max_size=80), st.integers(1, 120))
def test_results_come_in_the_order_of_the_items(lengths: list[int], budget: int) -> None:
    items = list(enumerate(lengths))
    found = in_batches(items, lambda batch: [item[0] for item in batch], size=lambda item: item[1], batch_tokens=budget)
    assert list(found) == list(range(len(lengths)))


def test_what_is_read_ahead_is_bounded() -> None:
    read: list[int] = []

    def items() -> Iterator[int]:
        for number in range(10_000):
            read.append(number)
            yield 10

    results = in_batches(items(), lambda batch: batch, size=lambda item: item, batch_tokens=50)
    next(results)
    assert len(read) == LOOK_AHEAD * 50 // 10
    empty = in_batches((0 for _ in range(MOST * 3)), lambda batch: [len(batch)] * len(batch), size=int)
    assert next(empty) == MOST


def test_no_items_give_no_results() -> None:
    assert list(in_batches([], lambda batch: batch, size=len)) == []
