"""The block of PoET: attention within each sequence of a set, then over all of the set so far, then a feed-forward layer.

Source: Truong and Bepler 2023 (arXiv:2306.06156), section 3. A set is its sequences one after another. In both tiers positions
count from the beginning of a token's own sequence, so that the order of the sequences matters to the second tier by what is
before what alone.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers.modeling_layers import GradientCheckpointingLayer

from genoseq.nets.layers.attention import Attention, attend
from genoseq.nets.layers.feedforward import segment_size
from genoseq.nets.ops.split_attention import KeyValue, split_attention
from genoseq.nets.segments import add_segments, map_segments

__all__ = ["BlockMemory", "Layout", "Past", "TieredAttention", "TieredBlock", "lay_out"]


class Layout(NamedTuple):
    """Where the sequences of a batch of sets lie.

    Attributes:
        positions: ``(B, L)`` of each token in its own sequence; 0 at padding.
        groups: tables ``(S, n)`` of places in the batch laid out flat, one row a sequence; ``B L`` where a row is shorter. All
            sequences of a table are of like length. None where each set is one sequence without padding.
        mask: ``(B, L)`` bool, False at padding; None where there is none.
    """

    positions: Tensor
    groups: tuple[Tensor, ...] | None
    mask: Tensor | None


def lay_out(starts: Tensor, mask: Tensor | None) -> Layout:
    """The layout of sets ``(B, L)`` whose sequences begin at ``starts`` and whose tokens are real at ``mask``, both bool.

    >>> lay_out(torch.tensor([[True, False, True]]), None).positions
    tensor([[0, 1, 0]])
    """
    batch, length = starts.shape
    if mask is None and bool(starts[:, 0].all()) and int(starts.sum()) == batch:
        return Layout(torch.arange(length, device=starts.device).expand(batch, -1), None, None)
    real = torch.ones_like(starts) if mask is None else mask
    flat = real.flatten().nonzero()[:, 0]  # places of the real tokens, in order
    begins = starts.flatten()[flat].nonzero()[:, 0]
    sizes = torch.diff(begins, append=torch.tensor([len(flat)], device=begins.device))
    number = torch.arange(len(flat), device=flat.device)
    positions = torch.zeros(batch * length, dtype=torch.long, device=flat.device)
    positions[flat] = number - torch.repeat_interleave(begins, sizes)
    groups = []
    classes = torch.ceil(torch.log2(sizes.float()) * 2)  # lengths within a factor of 1.4
    for kind in classes.unique():
        chosen = (classes == kind).nonzero()[:, 0]
        steps = torch.arange(int(sizes[chosen].max()), device=flat.device)
        places = flat[(begins[chosen, None] + steps).clamp(max=len(flat) - 1)]
        groups.append(places.masked_fill(steps >= sizes[chosen, None], batch * length))
    return Layout(positions.view(batch, length), tuple(groups), mask)


class Past(NamedTuple):
    """Keys and values of what a tier has seen: first, in parts, what all rows of the batch share, then each row's own."""

    shared: tuple[KeyValue, ...] = ()
    own: KeyValue | None = None

    def joined(self, new: KeyValue) -> KeyValue:
        """The own ones with new ones behind them."""
        return new if self.own is None else self.own.then(new)


class BlockMemory(NamedTuple):
    """What a block keeps of the tokens it has seen: ``within`` their last sequence, and ``across`` all of them."""

    within: Past = Past()
    across: Past = Past()


class TieredAttention(Attention):
    """Attention as PoET has it: no biases before, one after, all channels of a head turned in neighbouring pairs, or none."""

    def __init__(self, d_model: int, n_heads: int, dropout: float = 0.0, *, rotary: bool = True) -> None:
        super().__init__(
            d_model=d_model,
            n_heads=n_heads,
            rotary_dim=d_model // n_heads if rotary else 0,
            rotary_interleaved=True,
            qkv_bias=False,
            dropout=dropout,
            projections=("q_proj", "k_proj", "v_proj"),
        )

    def over_sets(self, x: Tensor, layout: Layout, *, within: bool) -> tuple[Tensor, KeyValue]:
        """Whole sets ``(B, L, D)``: each token over those before it, of its own sequence only or of the whole set."""
        size = segment_size(3 * self.d_model)
        query, key, value = self._project(x, layout.positions, x.shape[1] if torch.is_grad_enabled() else size)
        dropout = self.dropout if self.training else 0.0
        if within and layout.groups is not None:
            mixed = _by_sequence(query, key, value, layout.groups, dropout)
        else:
            mixed = attend(query, key, value, causal=True, mask=layout.mask, dropout=dropout)
        return self._out(mixed, size), KeyValue(key, value)

    def over_past(self, x: Tensor, positions: Tensor, past: Past) -> tuple[Tensor, Past]:
        """New tokens ``(B, n, D)`` of one sequence a row, over the past and over those before them."""
        query, key, value = self._project(x, positions, x.shape[1])
        own = past.joined(KeyValue(key, value))
        mixed = split_attention(query, past.shared, own)
        return self._out(mixed, x.shape[1]), Past(past.shared, own)


def _by_sequence(query: Tensor, key: Tensor, value: Tensor, groups: tuple[Tensor, ...], dropout: float) -> Tensor:
    """Causal attention within each sequence: sequences of like length side by side, shorter ones padded on the right."""
    batch, heads, length, width = query.shape
    flat = [
        functional.pad(t.transpose(1, 2).reshape(batch * length, heads, width), (0, 0, 0, 0, 0, 1)) for t in (query, key, value)
    ]
    mixed = torch.zeros_like(flat[0])
    for places in groups:
        some_query, some_key, some_value = (t[places].transpose(1, 2) for t in flat)
        found = functional.scaled_dot_product_attention(some_query, some_key, some_value, is_causal=True, dropout_p=dropout)
        mixed.index_put_((places,), found.transpose(1, 2).to(mixed.dtype))
    return mixed[:-1].view(batch, length, heads, width).transpose(1, 2)


class TieredBlock(GradientCheckpointingLayer):
    """``x + within(norm1(x))``, then ``x + across(norm2(x))``, then ``x + mlp(norm3(x))``.

    Args:
        d_model: channels.
        n_heads: of both attentions.
        d_inner: channels of the feed-forward layer.
        dropout: of each branch and of attention weights, in training.
        across_rotary: positions within sequences turn the heads of the second attention too.
    """

    def __init__(self, *, d_model: int, n_heads: int, d_inner: int, dropout: float = 0.0, across_rotary: bool = True) -> None:
        super().__init__()
        self.self_attn = TieredAttention(d_model, n_heads, dropout)
        self.multihead_attn = TieredAttention(d_model, n_heads, dropout, rotary=across_rotary)
        self.linear1 = nn.Linear(d_model, d_inner)
        self.linear2 = nn.Linear(d_inner, d_model)
        self.norm1 = nn.LayerNorm(d_model)
        self.norm2 = nn.LayerNorm(d_model)
        self.norm3 = nn.LayerNorm(d_model)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, layout: Layout) -> tuple[Tensor, KeyValue, KeyValue]:
        """Whole sets ``(B, L, D)``; also the keys and values of both tiers."""
        y, within = self.self_attn.over_sets(map_segments(self.norm1, x), layout, within=True)
        x = x + self.dropout(y)
        y, across = self.multihead_attn.over_sets(map_segments(self.norm2, x), layout, within=False)
        x = x + self.dropout(y)
        return self._feed_forward(x), within, across

    def go_on(self, x: Tensor, positions: Tensor, memory: BlockMemory) -> tuple[Tensor, BlockMemory]:
        """New tokens ``(B, n, D)`` of one sequence a row, and the memory with them."""
        y, within = self.self_attn.over_past(self.norm1(x), positions, memory.within)
        x = x + self.dropout(y)
        y, across = self.multihead_attn.over_past(self.norm2(x), positions, memory.across)
        x = x + self.dropout(y)
        return self._feed_forward(x), BlockMemory(within, across)

    def _feed_forward(self, x: Tensor) -> Tensor:
        def branch(part: Tensor) -> Tensor:
            inner = functional.gelu(self.linear1(self.norm3(part)))
            made: Tensor = self.dropout(self.linear2(self.dropout(inner)))
            return made

        return add_segments(x, branch, size=segment_size(self.linear1.out_features))
