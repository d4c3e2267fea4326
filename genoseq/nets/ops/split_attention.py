"""Attention over keys in several places: some that all sequences of a batch share, and each one's own, without copying the first.

The softmax over all is put together from the parts: each gives its mean of values and the logarithm of its sum of weights
(Milakov and Gimelshein 2018, arXiv:1805.02867). Against the shared keys the queries of the whole batch are one long list, so that
they are read once, in large matrix products. `split_attention_reference` is the equation with everything in one table.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

__all__ = ["KeyValue", "attention_part", "attention_part_reference", "split_attention", "split_attention_reference"]

TABLE = 1 << 24
"""Scores that exist at once where no fused kernel of torch gives the sums of weights."""


class KeyValue(NamedTuple):
    """Keys and values, each ``(B, H, T, d)``."""

    key: Tensor
    value: Tensor

    @property
    def length(self) -> int:
        """Number of keys."""
        return int(self.key.shape[2])

    def first(self, count: int) -> KeyValue:
        """The first ``count`` keys and values, as a view."""
        return KeyValue(self.key[:, :, :count], self.value[:, :, :count])

    def then(self, more: KeyValue) -> KeyValue:
        """These, then those of ``more``."""
        return KeyValue(torch.cat((self.key, more.key), dim=2), torch.cat((self.value, more.value), dim=2))


def split_attention(query: Tensor, shared: Sequence[KeyValue], own: KeyValue) -> Tensor:
    """Softmax attention of ``query`` over all shared keys and, causally, over its sequence's own.

    Args:
        query: ``(B, H, n, d)``; the last query stands at the last own key.
        shared: each ``(1, H, T, d)``, before all queries of all sequences.
        own: ``(B, H, t, d)``, ``t >= n``.

    Returns:
        ``(B, H, n, d)``. Where gradients are wanted it is made by `split_attention_reference`, which copies.
    """
    if torch.is_grad_enabled() and (query.requires_grad or own.key.requires_grad):
        return split_attention_reference(query, shared, own)
    mixed, weight = attention_part(query, own, causal=True)
    if not shared:
        return mixed
    batch, heads, length, width = query.shape
    listed = query.transpose(0, 1).reshape(1, heads, batch * length, width)
    for keys in shared:
        far, far_weight = attention_part(listed, keys)
        far = far.reshape(heads, batch, length, width).transpose(0, 1)
        far_weight = far_weight.reshape(heads, batch, length).transpose(0, 1)
        share = torch.sigmoid(far_weight - weight)[..., None].to(query.dtype)  # of the new part in the sum of weights
        mixed, weight = torch.lerp(mixed, far, share), torch.logaddexp(weight, far_weight)
    return mixed


def attention_part(query: Tensor, keys: KeyValue, *, causal: bool = False) -> tuple[Tensor, Tensor]:
    """Attention ``(B, H, n, d)`` over these keys alone, and the log of the sum of its weights ``(B, H, n)``, at least float32.

    Args:
        query: ``(B, H, n, d)``.
        keys: ``(B, H, t, d)``.
        causal: query ``i`` of ``n`` sees the keys up to ``t - n + i``.
    """
    fused = getattr(torch.ops.aten, "_scaled_dot_product_flash_attention_for_cpu", None)
    if fused is None or query.device.type != "cpu":
        return _part_in_blocks(query, keys, causal)
    length, total = query.shape[2], keys.length
    if not causal or length == 1:
        out, weight = fused(query, keys.key, keys.value)
    elif length == total:
        out, weight = fused(query, keys.key, keys.value, is_causal=True)
    else:
        table = torch.zeros(length, total, dtype=query.dtype).masked_fill_(~_visible(length, total, query.device), -math.inf)
        out, weight = fused(query, keys.key, keys.value, attn_mask=table[None, None])
    return out, weight


def _visible(length: int, total: int, device: torch.device) -> Tensor:
    """``(n, t)``: which keys each query sees if the last stands at the last key."""
    return torch.ones(length, total, dtype=torch.bool, device=device).tril(total - length)


def _part_in_blocks(query: Tensor, keys: KeyValue, causal: bool) -> tuple[Tensor, Tensor]:
    """`attention_part` by blocks of queries, on any device."""
    batch, heads, length, _ = query.shape
    size = max(1, TABLE // max(1, batch * heads * keys.length))
    parts = []
    for start in range(0, length, size):
        part = query[:, :, start : start + size]
        stop = keys.length - length + start + part.shape[2]
        parts.append(attention_part_reference(part, keys.first(stop) if causal else keys, causal=causal))
    outs, weights = zip(*parts, strict=True)
    return torch.cat(outs, dim=2), torch.cat(weights, dim=2)


def attention_part_reference(query: Tensor, keys: KeyValue, *, causal: bool = False) -> tuple[Tensor, Tensor]:
    """`attention_part` as the equation says it, with one table of scores in at least float32."""
    scores = (query / math.sqrt(query.shape[-1])) @ keys.key.transpose(-1, -2)
    scores = scores.to(torch.promote_types(scores.dtype, torch.float32))
    if causal:
        scores = scores.masked_fill(~_visible(query.shape[2], keys.length, query.device), -math.inf)
    weight = scores.logsumexp(dim=-1)
    return (scores - weight[..., None]).exp().to(query.dtype) @ keys.value, weight


def split_attention_reference(query: Tensor, shared: Sequence[KeyValue], own: KeyValue) -> Tensor:
    """`split_attention` with shared and own keys side by side for every sequence, and one mask."""
    length, batch = query.shape[2], query.shape[0]
    parts = [KeyValue(*(part.expand(batch, -1, -1, -1) for part in keys)) for keys in shared]
    keys = KeyValue(*(torch.cat(places, dim=2) for places in zip(*parts, own, strict=True)))
    visible = _visible(length, keys.length, query.device)
    return functional.scaled_dot_product_attention(query, keys.key, keys.value, attn_mask=visible)
