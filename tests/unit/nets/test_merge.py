"""Token merging: contiguous words, exact means, gradients to the likeness."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from genoseq.nets.layers.merge import Merged, TokenMerge, merge_neighbours, unmerge


def bases(rows: int, length: int, width: int = 4, seed: int = 0) -> Tensor:
    return torch.randn(rows, length, width, generator=torch.Generator().manual_seed(seed))


def check_words(merged: Merged, x: Tensor, longest: int) -> None:
    """Words are stretches, in order, no longer than allowed, and each is the mean of its bases."""
    for row in range(x.shape[0]):
        steps = merged.source[row].diff()
        assert set(steps.tolist()) <= {0, 1}
        assert merged.source[row, 0] == 0
        for word in range(int(merged.mask[row].sum())):
            members = x[row][merged.source[row] == word]
            assert 1 <= len(members) == int(merged.sizes[row, word]) <= longest
            torch.testing.assert_close(merged.tokens[row, word], members.mean(dim=0))


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 40), st.integers(1, 3), st.integers(1, 6), st.integers(0, 1000))
def test_words_are_stretches_and_means(length: int, rows: int, longest: int, seed: int) -> None:
    x = bases(rows, length, seed=seed)
    merged, merge = Merged.of_bases(x), TokenMerge(d_model=4, d_group=3, longest=longest)
    for _ in range(3):
        merged = merge(merged, 0.3)
        check_words(merged, x, longest)


def test_the_most_alike_join() -> None:
    x = torch.arange(6.0).reshape(1, 6, 1)
    likeness = torch.tensor([[0.1, 0.2, 0.9, 0.3, 0.8]])  # of 0 and 1, 1 and 2, ...
    merged = merge_neighbours(Merged.of_bases(x), likeness, torch.tensor([2]), 16)
    assert merged.source.tolist() == [[0, 1, 2, 2, 3, 3]]
    assert merged.tokens[0, :, 0].tolist() == [0, 1, 2.5, 4.5]


def test_three_join_where_the_middle_is_wanted_from_both_sides() -> None:
    x = torch.arange(3.0).reshape(1, 3, 1)
    likeness = torch.tensor([[0.9, 0.8]])
    merged = merge_neighbours(Merged.of_bases(x), likeness, torch.tensor([2]), 3)
    assert merged.source.tolist() == [[0, 0, 0]]
    assert merge_neighbours(Merged.of_bases(x), likeness, torch.tensor([2]), 2).source.tolist() == [[0, 0, 1]]


def test_padding_changes_nothing() -> None:
    x, merge = bases(2, 12), TokenMerge(d_model=4, d_group=3, longest=5)
    whole = merge(merge(Merged.of_bases(x), 0.4), 0.4)
    for left in (True, False):
        pad = torch.full((2, 5, 4), 9.0)
        padded = torch.cat([pad, x] if left else [x, pad], dim=1)
        ones, zeros = torch.ones(2, 12).bool(), torch.zeros(2, 5).bool()
        mask = torch.cat([zeros, ones] if left else [ones, zeros], dim=1)
        found = merge(merge(Merged.of_bases(padded, mask), 0.4), 0.4)
        real = slice(5, None) if left else slice(0, 12)
        assert torch.equal(found.source[:, real], whole.source)
        count = whole.tokens.shape[1]
        torch.testing.assert_close(found.tokens[:, :count], whole.tokens)


def test_every_base_gets_its_words_vector_back() -> None:
    merged = merge_neighbours(Merged.of_bases(bases(1, 4)), torch.tensor([[0.5, 0.1, 0.2]]), torch.tensor([1]), 16)
    back = unmerge(merged.tokens, merged.source)
    assert torch.equal(back[0, 0], back[0, 1])
    assert back.shape == (1, 4, 4)


def test_the_likeness_gets_a_gradient_of_what_joining_changes() -> None:
    x = torch.tensor([[[1.0], [5.0], [2.0]]])
    likeness = torch.tensor([[0.3, 0.1]], requires_grad=True)
    merged = merge_neighbours(Merged.of_bases(x), likeness, torch.tensor([1]), 16)
    merged.tokens[0, 0, 0].backward()  # token 0 (1.0) joins token 1 (5.0): heavier, it pulls the mean down
    assert likeness.grad is not None
    torch.testing.assert_close(likeness.grad, torch.tensor([[-1.0, 0.0]]))  # d/dw (w 1 + 5) / (w + 1) at w = 1
