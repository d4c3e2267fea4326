"""Attention over torch's ``scaled_dot_product_attention``, exact at any length, in pieces and beside padding.

Long inputs never make an ``(L, L)`` table: without a mask the fused kernel of torch runs whole; otherwise blocks of queries meet
just the keys that they can see, so that a window of ``w`` costs ``O(L w)``. `attention_reference` is the equation of Vaswani et
al. 2017 (arXiv:1706.03762, equation 1), which the tests hold against every path.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from functools import partial
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from genoseq.errors import UsageError
from genoseq.nets.layers.feedforward import segment_size
from genoseq.nets.ops.alibi import alibi_bias, alibi_slopes
from genoseq.nets.ops.rotary import real_indices, rotate, rotation
from genoseq.nets.segments import map_segments, segments

__all__ = ["Attention", "AttentionCache", "attend", "attention_reference"]

# Entries of a mask or bias that may exist at once (64 MB in float32).
TABLE = 1 << 24


class AttentionCache(NamedTuple):
    """What attention keeps of the pieces of a sequence that it has seen.

    Attributes:
        key: ``(B, kv heads, T, head channels)``, turned by their positions; the last ``window`` of them where there is a window.
        value: like ``key``.
        mask: ``(B, T)`` bool, False at padding; None where none was padded.
        length: ``(B,)`` real tokens seen so far, also those outside the window.
    """

    key: Tensor
    value: Tensor
    mask: Tensor | None
    length: Tensor


def attend(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    *,
    causal: bool,
    window: int | None = None,
    mask: Tensor | None = None,
    slopes: Tensor | None = None,
    dropout: float = 0.0,
) -> Tensor:
    """Softmax attention ``softmax(q k / sqrt(d) + bias) v`` of queries over the keys that they see.

    The last query stands at the last key: query ``i`` of ``n`` is at position ``i + T - n`` of the keys.

    Args:
        query: ``(B, H, n, d)``.
        key, value: ``(B, H or a divisor of it, T, d)``; consecutive query heads share a key head.
        causal: keys after the query are not seen.
        window: keys more than so many positions away are not seen.
        mask: ``(B, T)`` bool, False at keys that nobody sees: padding. A padded query sees itself, so that nothing is NaN.
        slopes: ``(H,)`` of ALiBi.
        dropout: probability that a weight is dropped.

    Returns:
        ``(B, H, n, d)``.

    Raises:
        ValueError: more queries than keys.
    """
    n, total = query.shape[2], key.shape[2]
    before = total - n
    if before < 0:
        raise ValueError(f"attention of {n} queries over {total} keys; the queries must be among the keys")
    if window is not None and window >= total - 1:
        window = None
    if mask is not None and (mask.all() or (causal and _right_padded(mask))):
        mask = None  # what follows a real token does not reach it
    fused = partial(functional.scaled_dot_product_attention, dropout_p=dropout, enable_gqa=query.shape[1] != key.shape[1])
    if slopes is None and window is None:
        if not causal or n == 1:
            visible = None if mask is None else mask | ~mask.any(dim=1, keepdim=True)
            return fused(query, key, value, attn_mask=None if visible is None else visible[:, None, None])
        if mask is None and before == 0:
            return fused(query, key, value, is_causal=True)
    return _in_blocks(query, key, value, causal, window, mask, slopes, dropout)


def _right_padded(mask: Tensor) -> bool:
    """True if padding only follows the real tokens."""
    return not bool((mask[:, 1:] & ~mask[:, :-1]).any())


def _in_blocks(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    causal: bool,
    window: int | None,
    mask: Tensor | None,
    slopes: Tensor | None,
    dropout: float,
) -> Tensor:
    """`attend` by blocks of queries, each with a table of what it sees."""
    n, total = query.shape[2], key.shape[2]
    before = total - n
    copies = (1 if mask is None else mask.shape[0]) * (1 if slopes is None else len(slopes))
    size = max(16, TABLE // (total * copies))
    if window is not None:
        # A block sees its own positions and the window: half a window at a time wastes little and still fills the matrix product.
        size = max(16, min(max(64, window // 2), TABLE // copies // (2 * window + 64)))
    gradients = torch.is_grad_enabled() and (query.requires_grad or key.requires_grad or value.requires_grad)
    if gradients and window is not None:
        # Cutting overlapping slices from the keys would cost a whole gradient of them per block; joining split chunks does not.
        size = min(size, n)
        chunks = _Chunks(key, value, before, size)
    outputs = []
    for part in segments(n, size):
        low = 0 if window is None else max(0, before + part.start - window)
        high = before + part.stop if causal else total if window is None else min(total, before + part.stop + window)
        if gradients and window is not None:
            keys, values, low, high = chunks.between(low, high)
        elif gradients:
            keys, values, low, high = key, value, 0, total  # slices again: better to mask
        else:
            keys, values = key[:, :, low:high], value[:, :, low:high]
        rows = range(before + part.start, before + part.stop)
        arguments = (query[:, :, part], keys, values, rows, range(low, high), causal, window, mask, slopes, dropout)
        if gradients and n > size:
            outputs.append(checkpoint(_block, *arguments, use_reentrant=False))  # its table is made again for the gradient
        else:
            outputs.append(_block(*arguments))
    return outputs[0] if len(outputs) == 1 else torch.cat(outputs, dim=2)


class _Chunks:
    """Keys and values split once, so that the gradient of every overlapping range costs what the range costs."""

    def __init__(self, key: Tensor, value: Tensor, before: int, size: int) -> None:
        total = key.shape[2]
        self.edges = sorted({0, *range(before % size, total, size), total})
        lengths = [stop - start for start, stop in pairwise(self.edges)]
        self.keys, self.values = key.split(lengths, dim=2), value.split(lengths, dim=2)

    def between(self, low: int, high: int) -> tuple[Tensor, Tensor, int, int]:
        """Keys and values of the chunks that cover ``low`` to ``high``, and where those begin and end."""
        first, last = bisect_right(self.edges, low) - 1, bisect_left(self.edges, high)
        keys, values = torch.cat(self.keys[first:last], dim=2), torch.cat(self.values[first:last], dim=2)
        return keys, values, self.edges[first], self.edges[last]


def _block(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    rows: range,
    columns: range,
    causal: bool,
    window: int | None,
    mask: Tensor | None,
    slopes: Tensor | None,
    dropout: float,
) -> Tensor:
    """Attention of the queries at positions ``rows`` over the keys at positions ``columns``."""
    i = torch.arange(rows.start, rows.stop, device=query.device)[:, None]
    j = torch.arange(columns.start, columns.stop, device=query.device)[None, :]
    visible = torch.ones(1, 1, len(rows), len(columns), dtype=torch.bool, device=query.device)
    if causal:
        visible = visible & (j <= i)
    if window is not None:
        visible = visible & (j >= i - window) & (j <= i + window)
    if mask is not None:
        visible = visible & (mask[:, None, None, columns.start : columns.stop] | (i == j))
    table = visible
    if slopes is not None:
        bias = alibi_bias(slopes, rows, columns)[None]
        table = bias.masked_fill(~visible, -math.inf).to(query.dtype)
    return functional.scaled_dot_product_attention(
        query, key, value, attn_mask=table, dropout_p=dropout, enable_gqa=query.shape[1] != key.shape[1]
    )


def attention_reference(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    *,
    causal: bool,
    window: int | None = None,
    mask: Tensor | None = None,
    slopes: Tensor | None = None,
) -> Tensor:
    """`attend` as the equation says it, with every table whole; rows of padded queries may be anything finite."""
    n, total = query.shape[2], key.shape[2]
    repeats = query.shape[1] // key.shape[1]
    key, value = key.repeat_interleave(repeats, dim=1), value.repeat_interleave(repeats, dim=1)
    scores = query @ key.transpose(-1, -2) / math.sqrt(query.shape[-1])
    i, j = torch.arange(total - n, total)[:, None], torch.arange(total)[None, :]
    if slopes is not None:
        scores = scores - slopes.to(scores.dtype)[:, None, None] * (i - j).abs()
    visible = torch.ones(query.shape[0], n, total, dtype=torch.bool)
    if causal:
        visible &= j <= i
    if window is not None:
        visible &= (i - j).abs() <= window
    if mask is not None:
        visible &= mask[:, None, :] | (i == j)
    weights = scores.masked_fill(~visible[:, None], -math.inf).softmax(dim=-1)
    return weights @ value


class Attention(nn.Module):
    """Multi-head attention, causal or not, with the parameter names of the family it serves.

    Args:
        d_model: channels in and out.
        n_heads: query heads.
        n_kv_heads: key and value heads, a divisor of ``n_heads`` (grouped queries); as many as query heads unless given.
        causal: positions after the query are not seen.
        window: positions farther away than this are not seen; None or a negative number: no limit.
        rotary_dim: channels per head that turn with the position; 0 for none.
        rotary_base, rotary_interleaved, rotary_linear, rotary_ntk: see `genoseq.nets.ops.rotary`.
        alibi: ALiBi biases.
        qkv_bias, out_bias: whether the projections have biases.
        dropout: of the attention weights, in training.
        projections: the name of one fused projection, whose rows are all query heads, then all key heads, then all value heads
            (flash-attn), or the names of three.
        output: name of the projection of the result; None where the family has it elsewhere.

    Raises:
        ValueError: sizes that do not divide.
    """

    def __init__(
        self,
        *,
        d_model: int,
        n_heads: int,
        n_kv_heads: int | None = None,
        causal: bool = True,
        window: int | None = None,
        rotary_dim: int = 0,
        rotary_base: float = 10_000.0,
        rotary_interleaved: bool = False,
        rotary_linear: float = 1.0,
        rotary_ntk: float = 1.0,
        alibi: bool = False,
        qkv_bias: bool = True,
        out_bias: bool = True,
        dropout: float = 0.0,
        projections: Sequence[str] = ("Wqkv",),
        output: str | None = "out_proj",
    ) -> None:
        super().__init__()
        n_kv_heads = n_heads if n_kv_heads is None else n_kv_heads
        if d_model % n_heads or n_heads % n_kv_heads:
            raise ValueError(f"{d_model} channels, {n_heads} heads and {n_kv_heads} key heads do not divide")
        if len(projections) not in (1, 3):
            raise ValueError(f"attention has one fused projection or three, not {len(projections)}")
        self.d_model, self.n_heads, self.n_kv_heads = d_model, n_heads, n_kv_heads
        self.head_dim = d_model // n_heads
        self.causal = causal
        self.window = None if window is None or window < 0 else window
        self.rotary_dim, self.rotary_base, self.rotary_interleaved = rotary_dim, rotary_base, rotary_interleaved
        self.rotary_linear, self.rotary_ntk = rotary_linear, rotary_ntk
        self.alibi = alibi
        self.dropout = dropout
        self.projections, self.output = tuple(projections), output
        kv_width = n_kv_heads * self.head_dim
        widths = (d_model, kv_width, kv_width) if len(projections) == 3 else (d_model + 2 * kv_width,)
        for name, width in zip(projections, widths, strict=True):
            self.add_module(name, nn.Linear(d_model, width, bias=qkv_bias))
        if output is not None:
            self.add_module(output, nn.Linear(d_model, d_model, bias=out_bias))

    def forward(
        self,
        x: Tensor,
        *,
        mask: Tensor | None = None,
        cache: AttentionCache | None = None,
        use_cache: bool = False,
        positions: Tensor | None = None,
    ) -> tuple[Tensor, AttentionCache | None]:
        """Mix ``x`` ``(B, L, D)`` over positions.

        Args:
            x: channels last.
            mask: ``(B, L)`` bool, False at padding on either side; of several pieces only the first may be padded (left).
            cache: returned for the piece before this one; causal attention only.
            use_cache: return a cache.
            positions: ``(B, L)`` or ``(L,)`` for rotary tables; by default real tokens count, from where the cache ends.

        Returns:
            ``(B, L, D)`` and the cache, or None.

        Raises:
            UsageError: a cache for attention that looks both ways.
        """
        if not self.causal and (cache is not None or use_cache):
            raise UsageError("attention that looks both ways cannot go on from a cache: give it the whole sequence")
        size = segment_size(3 * self.d_model)
        if torch.is_grad_enabled() or x.shape[1] <= max(size, self.window or 0):
            return self._piece(x, mask, cache, use_cache, positions)
        if self.window is not None and self.causal:
            return self._stream(x, mask, cache, use_cache, positions, max(size, self.window))
        return self._piece(x, mask, cache, use_cache, positions, size)

    def _stream(
        self,
        x: Tensor,
        mask: Tensor | None,
        cache: AttentionCache | None,
        use_cache: bool,
        positions: Tensor | None,
        size: int,
    ) -> tuple[Tensor, AttentionCache | None]:
        """A long sequence through a window: a segment at a time, each going on from the last, for nothing else reaches it."""
        out = torch.empty_like(x)
        length = x.shape[1]
        for part in segments(length, size):
            out[:, part], cache = self._piece(
                x[:, part],
                None if mask is None else mask[:, part],
                cache,
                use_cache or part.stop < length,
                None if positions is None else positions[..., part],
            )
        return out, cache if use_cache else None

    def _piece(
        self,
        x: Tensor,
        mask: Tensor | None,
        cache: AttentionCache | None,
        use_cache: bool,
        positions: Tensor | None,
        size: int | None = None,
    ) -> tuple[Tensor, AttentionCache | None]:
        """One call's worth of attention; projections by segments of ``size`` positions if given."""
        batch, length, _ = x.shape
        seen = torch.zeros(batch, dtype=torch.long, device=x.device) if cache is None else cache.length
        if positions is None:
            positions = torch.arange(length, device=x.device)[None] if mask is None else real_indices(mask)
            positions = positions + seen[:, None] if cache is not None else positions
        query, key, value = self._project(x, positions, size or length)
        if cache is not None:
            past = cache.mask
            if past is not None or mask is not None:
                past = past if past is not None else torch.ones(batch, cache.key.shape[2], dtype=torch.bool, device=x.device)
                now = mask if mask is not None else torch.ones(batch, length, dtype=torch.bool, device=x.device)
                keys_mask: Tensor | None = torch.cat((past, now), dim=1)
            else:
                keys_mask = None
            key, value = torch.cat((cache.key, key), dim=2), torch.cat((cache.value, value), dim=2)
        else:
            keys_mask = mask
        slopes = alibi_slopes(self.n_heads, device=x.device) if self.alibi else None
        dropout = self.dropout if self.training else 0.0
        mixed = attend(query, key, value, causal=self.causal, window=self.window, mask=keys_mask, slopes=slopes, dropout=dropout)
        new = None
        if use_cache:
            kept = key.shape[2] if self.window is None else min(self.window, key.shape[2])
            real = mask.sum(dim=1) if mask is not None else length
            last = slice(key.shape[2] - kept, None)
            # Copies: a view would keep alive what has left the window.
            ends = (key, value) if kept == key.shape[2] else (key[:, :, last].clone(), value[:, :, last].clone())
            new = AttentionCache(*ends, None if keys_mask is None else keys_mask[:, last], seen + real)
        del query, key, value
        return self._out(mixed, size or length), new

    def _project(self, x: Tensor, positions: Tensor, size: int) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values ``(B, heads, L, d)``, turned by their positions."""
        length = x.shape[1]
        if length <= size:
            return self._project_part(x, positions)
        whole: list[Tensor] = []
        for part in segments(length, size):
            made = self._project_part(x[:, part], positions[..., part])
            whole = whole or [t.new_empty(*t.shape[:2], length, t.shape[3]) for t in made]
            for t, new in zip(whole, made, strict=True):
                t[:, :, part] = new
        return whole[0], whole[1], whole[2]

    def _project_part(self, x: Tensor, positions: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        heads = (self.n_heads, self.n_kv_heads, self.n_kv_heads)
        if len(self.projections) == 1:
            joined: Tensor = self.get_submodule(self.projections[0])(x)
            flat = joined.split([h * self.head_dim for h in heads], dim=-1)
        else:
            flat = tuple(self.get_submodule(name)(x) for name in self.projections)
        query, key, value = (t.unflatten(-1, (h, self.head_dim)).transpose(1, 2) for t, h in zip(flat, heads, strict=True))
        if self.rotary_dim:
            tables = rotation(
                positions, self.rotary_dim, base=self.rotary_base, linear_factor=self.rotary_linear, ntk_factor=self.rotary_ntk
            )
            query, key = (rotate(t, tables, interleaved=self.rotary_interleaved) for t in (query, key))
        return query, key, value

    def _out(self, mixed: Tensor, size: int) -> Tensor:
        """``(B, H, L, d)`` back to ``(B, L, D)``, through the output projection if there is one."""
        mixed = mixed.transpose(1, 2)
        project = nn.Identity() if self.output is None else self.get_submodule(self.output)
        return map_segments(lambda part: project(part.flatten(2)), mixed, size=size)
