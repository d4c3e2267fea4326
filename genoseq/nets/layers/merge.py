"""Differentiable token merging: neighbours that are alike become one token, and the net learns which (MergeDNA, Li et al. 2025).

One merge is the bipartite matching of ToMe (Bolya et al. 2023) on a line: every second token may join its left or right
neighbour, the most alike first, so that tokens stay contiguous stretches of the sequence. A merged token is the mean of its
bases. The likeness gets its gradient through the weight of what joins, which is exactly 1 forwards.

Where MergeDNA as published matches within fixed blocks of 16 bases, here a token may not grow beyond so many bases, wherever it
lies: no word is cut at the edge of a block, and the number of merges goes where the sequence allows most, not equally to every
block.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["Merged", "TokenMerge", "merge_neighbours", "unmerge"]


class Merged(NamedTuple):
    """Tokens that stand for stretches of a sequence, left to right.

    Attributes:
        tokens: ``(B, M, D)``.
        sizes: ``(B, M)`` int64, bases in each token; 0 at padding.
        source: ``(B, L)`` int64, the token that each base lies in (at padded bases: 0).
        mask: ``(B, M)`` bool, True at real tokens.
    """

    tokens: Tensor
    sizes: Tensor
    source: Tensor
    mask: Tensor

    @classmethod
    def of_bases(cls, x: Tensor, mask: Tensor | None = None) -> Merged:
        """One token per base: ``(B, L, D)`` with padding on either side by ``mask`` ``(B, L)``; real tokens come first."""
        batch, length = x.shape[:2]
        if mask is None:
            positions = torch.arange(length, device=x.device).expand(batch, -1)
            ones = torch.ones(batch, length, dtype=torch.bool, device=x.device)
            return cls(x, ones.long(), positions, ones)
        order = torch.argsort((~mask).to(torch.int8), dim=1, stable=True)
        real = mask.gather(1, order)
        source = (mask.cumsum(dim=1) - 1).clamp(min=0).masked_fill(~mask, 0)
        tokens = x.gather(1, order[..., None].expand_as(x)) * real[..., None]
        return cls(tokens, real.long(), source, real)


def unmerge(tokens: Tensor, source: Tensor) -> Tensor:
    """Every base gets the vector of its token: ``(B, M, D)`` and ``source`` ``(B, L)`` to ``(B, L, D)``."""
    return tokens.gather(1, source[..., None].expand(-1, -1, tokens.shape[-1]))


def merge_neighbours(merged: Merged, likeness: Tensor, count: Tensor, longest: int) -> Merged:
    """Let the ``count`` most alike tokens at even places join a neighbour.

    Args:
        merged: the tokens.
        likeness: ``(B, M - 1)``, of token ``i`` and ``i + 1``; may carry gradients.
        count: ``(B,)`` int64, how many tokens shall join one; fewer do where fewer can.
        longest: no token gets more bases than this.
    """
    tokens, sizes, source, mask = merged
    batch, length, width = tokens.shape
    if length < 2:
        return merged
    allowed = mask[:, 1:] & mask[:, :-1] & (sizes[:, 1:] + sizes[:, :-1] <= longest)
    open_likeness = likeness.masked_fill(~allowed, -math.inf)
    nothing = likeness.new_full((batch, 1), -math.inf)
    left, right = torch.cat([nothing, open_likeness], dim=1), torch.cat([open_likeness, nothing], dim=1)
    to_left = left >= right
    best = torch.where(to_left, left, right)
    even = torch.arange(length, device=tokens.device) % 2 == 0
    best = best.masked_fill(~even, -math.inf)
    order = best.argsort(dim=1, descending=True, stable=True)
    rank = torch.empty_like(order).scatter_(1, order, torch.arange(length, device=order.device).expand_as(order))
    joins = (rank < count[:, None]) & (best > -math.inf)
    joins = joins & ~_overfull(joins, to_left, sizes, longest)

    # Where each token goes: its own place or its neighbour's, then places without tokens are closed up.
    places = torch.arange(length, device=tokens.device).expand(batch, -1)
    goes = torch.where(joins, torch.where(to_left, places - 1, places + 1), places)
    kept = mask & ~joins
    number = kept.cumsum(dim=1) - 1
    new_place = number.gather(1, goes).clamp(min=0)
    most = int(kept.sum(dim=1).max())

    weight = sizes.to(tokens.dtype)
    soft = torch.where(joins, best, torch.zeros_like(best))
    # Exactly the size, with the likeness's gradient where a token joins.
    weight = weight * torch.where(joins, torch.exp(soft - soft.detach()), torch.ones_like(soft)) * mask
    index = new_place[..., None].expand(-1, -1, width)
    total = tokens.new_zeros(batch, most, width).scatter_add(1, index, tokens * weight[..., None])
    weights = tokens.new_zeros(batch, most).scatter_add(1, new_place, weight)
    new_sizes = sizes.new_zeros(batch, most).scatter_add(1, new_place, sizes * mask)
    real = new_sizes > 0
    return Merged(total / weights.masked_fill(~real, 1)[..., None], new_sizes, new_place.gather(1, source), real)


def _overfull(joins: Tensor, to_left: Tensor, sizes: Tensor, longest: int) -> Tensor:
    """Tokens that would join one from its right while another joins it from its left and all three are too long together."""
    from_left = torch.roll(joins & ~to_left, 1, dims=1)  # at a token: its left neighbour joins it
    from_right = torch.roll(joins & to_left, -1, dims=1)
    together = torch.roll(sizes, 1, dims=1) + sizes + torch.roll(sizes, -1, dims=1)
    full = from_left & from_right & (together > longest)
    return torch.roll(full, 1, dims=1) & to_left & joins  # the right one stays


class TokenMerge(nn.Module):
    """Merge a share of the tokens, by the likeness of small learned projections.

    Args:
        d_model: channels of the tokens.
        d_group: channels of the projections that are compared.
        longest: most bases in a token.
    """

    def __init__(self, *, d_model: int, d_group: int = 64, longest: int = 16) -> None:
        super().__init__()
        self.group = nn.Linear(d_model, d_group, bias=False)
        self.longest = longest

    def forward(self, merged: Merged, share: float) -> Merged:
        """Tokens after about ``share`` of those there are have joined a neighbour (at most half can at once)."""
        projected = functional.normalize(self.group(merged.tokens), dim=-1)
        likeness = (projected[:, 1:] * projected[:, :-1]).sum(dim=-1)
        count = (merged.mask.sum(dim=1) * share).round().long()
        return merge_neighbours(merged, likeness, count, self.longest)
