"""StripedHyena 1, the net of Evo 1: blocks of gated long convolutions, with a few blocks of attention between them.

A Hyena block projects to three streams, filters each with a few taps, and gives ``x2 * (h * (x1 v) + D x1 v)``, where the long
filter ``h`` is a sum of decaying complex exponentials (Poli et al. 2023, "StripedHyena"; Massaroli et al. 2023,
arXiv:2310.18780): a recurrence, so that the cache of a block is a few numbers per channel however long the sequence. Parameter
names are the public ones. Without gradients a block works through a long sequence a segment at a time, each going on from the
state after the last.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from transformers import initialization as init
from transformers.modeling_layers import GradientCheckpointingLayer

from genoseq.nets.layers.attention import Attention, AttentionCache
from genoseq.nets.layers.feedforward import GatedFeedForward, segment_size
from genoseq.nets.layers.norms import ScaleNorm
from genoseq.nets.ops.modal import full_precision, modal_scan
from genoseq.nets.ops.shortconv import causal_convolution, next_window
from genoseq.nets.segments import add_segments, map_segments, segments

__all__ = ["FilterCache", "HyenaBlock", "ModalHyena", "StripedAttentionBlock", "gate_streams"]


class FilterCache(NamedTuple):
    """What a Hyena filter keeps of the pieces that it has seen.

    Attributes:
        window: ``(B, K - 1, 3 D)``, the last inputs of the short filter.
        state: ``(B, D, W)`` state of the modes, float32, for a filter of modes; the last gated inputs ``(B, K - 1, D)`` for one
            of explicit taps.
    """

    window: Tensor
    state: Tensor


def gate_streams(
    z: Tensor, *, n_heads: int, column_split: bool, interleave: bool = False, flip: bool = False
) -> tuple[Tensor, Tensor, Tensor]:
    """The streams ``x2``, ``x1`` and ``v``, each ``(B, L, D)``, of the filtered projections.

    Args:
        z: ``(B, L, 3 D)``.
        n_heads: heads of ``column_split``.
        column_split: the three streams alternate head by head; otherwise each is a third of the channels.
        interleave: before that, channel by channel (Evo 2).
        flip: ``x1`` and ``x2`` change places.
    """
    if interleave:
        streams = z.unflatten(-1, (-1, 3)).unbind(-1)
        if column_split:
            z = torch.cat(streams, dim=-1)
    elif not column_split:
        streams = z.chunk(3, dim=-1)
    if column_split:
        streams = tuple(stream.flatten(2) for stream in z.unflatten(-1, (n_heads, 3, -1)).unbind(-2))
    x2, x1, v = streams
    return (x1, x2, v) if flip else (x2, x1, v)


class ModalHyena(nn.Module):
    """The filter of a Hyena block: short taps, gates, and a long filter of complex modes.

    Args:
        d_model: channels.
        n_heads: heads, which only matter for how the projections are split.
        state_size: modes per filter.
        short_filter_length, short_filter_bias: of the filter of the projections.
        filter_groups: channels that share one long filter; neighbours share.
        column_split: see `gate_streams`.
    """

    def __init__(
        self,
        *,
        d_model: int,
        n_heads: int,
        state_size: int = 8,
        short_filter_length: int = 3,
        short_filter_bias: bool = True,
        filter_groups: int = 1,
        column_split: bool = True,
    ) -> None:
        super().__init__()
        if d_model % filter_groups or d_model % n_heads:
            raise ValueError(f"{d_model} channels do not divide into {filter_groups} filter groups or {n_heads} heads")
        systems = d_model // filter_groups
        self.n_heads, self.column_split = n_heads, column_split
        self.D = nn.Parameter(torch.zeros(d_model))
        self.short_filter_weight = nn.Parameter(torch.empty(3 * d_model, 1, short_filter_length))
        self.short_filter_bias = nn.Parameter(torch.empty(3 * d_model)) if short_filter_bias else None
        self.poles = nn.Parameter(torch.empty(systems, state_size, 1, 2))
        self.residues = nn.Parameter(torch.empty(systems, state_size, 1, 2))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Poles inside the unit circle: memories from a few to a few thousand positions, phases around zero."""
        init.zeros_(self.D)
        reset_short_filter(self.short_filter_weight, self.short_filter_bias)
        # On the CPU, whatever the device of the parameters: it may be one that holds no values yet.
        memory = torch.logspace(0.5, 3.5, self.poles.shape[1], device="cpu")[None, :, None]
        phase = torch.randn(self.poles.shape[:3], device="cpu") * math.pi / memory.clamp(min=4.0)
        radius = (-1.0 / memory).exp().expand_as(phase)
        init.copy_(self.poles, torch.stack((radius * phase.cos(), radius * phase.sin()), dim=-1))
        weights = torch.randn(self.residues.shape, device="cpu") / self.poles.shape[1]
        init.copy_(self.residues, weights / memory[..., None].sqrt())

    def forward(
        self, z: Tensor, *, mask: Tensor | None = None, cache: FilterCache | None = None, use_cache: bool = False
    ) -> tuple[Tensor, FilterCache | None]:
        """Projections ``(B, L, 3 D)`` to ``(B, L, D)``; see `HyenaBlock.forward` for the rest."""
        with full_precision(z.device):
            return self._filter(z, mask, cache, use_cache)

    def _filter(
        self, z: Tensor, mask: Tensor | None, cache: FilterCache | None, use_cache: bool
    ) -> tuple[Tensor, FilterCache | None]:
        streams, window = filtered(z, self.short_filter_weight, self.short_filter_bias, mask, cache)
        x2, x1, v = gate_streams(streams, n_heads=self.n_heads, column_split=self.column_split)
        u = x1 * v
        poles, residues = (torch.view_as_complex(p[:, :, 0].to(u.dtype)) for p in (self.poles, self.residues))
        y, state = modal_scan(u, poles, residues, state=None if cache is None else cache.state, last=use_cache)
        out = ((y + u * self.D) * x2).to(z.dtype)
        return out, None if state is None else FilterCache(window, state)


def filtered(
    z: Tensor, weight: Tensor, bias: Tensor | None, mask: Tensor | None, cache: FilterCache | None
) -> tuple[Tensor, Tensor]:
    """Projections through their short filter, zero at padding, in float32 or wider; and the window after them."""
    wide = z.to(torch.promote_types(z.dtype, torch.float32))
    if mask is not None:
        wide = wide * mask[..., None]
    before = None if cache is None else cache.window
    y = causal_convolution(wide, weight, bias, window=before)
    if mask is not None and bias is not None:
        y = y * mask[..., None]
    return y, next_window(wide, weight.shape[-1], before)


def reset_short_filter(weight: Tensor, bias: Tensor | None) -> None:
    """Initial values of a depthwise filter ``(C, 1, K)``, as torch gives its convolutions."""
    bound = 1 / math.sqrt(weight.shape[-1])
    init.uniform_(weight, -bound, bound)
    if bias is not None:
        init.uniform_(bias, -bound, bound)


class HyenaBlock(GradientCheckpointingLayer):
    """``h = x + out_filter_dense(filter(projections(pre_norm(x))))``, then ``h + mlp(post_norm(h))``.

    Args:
        d_model: channels.
        filter: what becomes of the projections ``(B, L, 3 D)``: `ModalHyena`, or one of StripedHyena 2.
        inner_size: inner width of the feed-forward.
        act: its activation.
        eps: of the norms.
        proj_bias, out_bias: of the projections and of ``out_filter_dense``.
    """

    def __init__(
        self,
        *,
        d_model: int,
        filter: nn.Module,  # noqa: A002 - its public name
        inner_size: int,
        act: str = "gelu",
        eps: float = 1e-6,
        proj_bias: bool = True,
        out_bias: bool = True,
    ) -> None:
        super().__init__()
        self.pre_norm, self.post_norm = ScaleNorm(d_model, eps=eps), ScaleNorm(d_model, eps=eps)
        self.filter = filter
        self.projections = nn.Linear(d_model, 3 * d_model, bias=proj_bias)
        self.out_filter_dense = nn.Linear(d_model, d_model, bias=out_bias)
        self.mlp = GatedFeedForward(d_model=d_model, d_inner=inner_size, act=act, names=("l1", "l2", "l3"))
        self.segment = segment_size(3 * d_model)

    def forward(
        self, x: Tensor, mask: Tensor | None = None, cache: FilterCache | None = None, use_cache: bool = False
    ) -> tuple[Tensor, FilterCache | None]:
        """The block's output ``(B, L, D)`` and the cache, or None.

        Args:
            x: ``(B, L, D)``.
            mask: ``(B, L)`` bool, False at padding on either side; of several pieces only the first may be padded (left).
            cache: returned for the piece before this one.
            use_cache: return a cache.
        """
        length = x.shape[1]
        if torch.is_grad_enabled() or length <= self.segment:
            return self._piece(x, mask, cache, use_cache)
        out = torch.empty_like(x)
        for part in segments(length, self.segment):
            piece_mask = None if mask is None else mask[:, part]
            out[:, part], cache = self._piece(x[:, part], piece_mask, cache, use_cache or part.stop < length)
        return out, cache

    def _piece(
        self, x: Tensor, mask: Tensor | None, cache: FilterCache | None, use_cache: bool
    ) -> tuple[Tensor, FilterCache | None]:
        mixed, after = self.filter(self.projections(self.pre_norm(x)), mask=mask, cache=cache, use_cache=use_cache)
        h = x + self.out_filter_dense(mixed)
        return add_segments(h, lambda part: self.mlp(self.post_norm(part))), after


class StripedAttentionBlock(GradientCheckpointingLayer):
    """``h = x + inner_mha_cls(pre_norm(x))``, then ``h + mlp(post_norm(h))``; causal, with rotary positions.

    Args:
        d_model: channels.
        n_heads: query heads.
        n_kv_heads: key and value heads.
        inner_size: inner width of the feed-forward.
        act: its activation.
        eps: of the norms.
        rotary_base: of the rotary positions.
        rotary_linear: positions are divided by it (``rotary_emb_scaling_factor``).
        qkv_bias, out_bias: of the projections.
    """

    def __init__(
        self,
        *,
        d_model: int,
        n_heads: int,
        n_kv_heads: int,
        inner_size: int,
        act: str = "gelu",
        eps: float = 1e-6,
        rotary_base: float = 10_000.0,
        rotary_linear: float = 1.0,
        qkv_bias: bool = True,
        out_bias: bool = True,
    ) -> None:
        super().__init__()
        self.pre_norm, self.post_norm = ScaleNorm(d_model, eps=eps), ScaleNorm(d_model, eps=eps)
        self.inner_mha_cls = Attention(
            d_model=d_model,
            n_heads=n_heads,
            n_kv_heads=n_kv_heads,
            rotary_dim=d_model // n_heads,
            rotary_base=rotary_base,
            rotary_linear=rotary_linear,
            qkv_bias=qkv_bias,
            out_bias=out_bias,
        )
        self.mlp = GatedFeedForward(d_model=d_model, d_inner=inner_size, act=act, names=("l1", "l2", "l3"))

    def forward(
        self, x: Tensor, mask: Tensor | None = None, cache: AttentionCache | None = None, use_cache: bool = False
    ) -> tuple[Tensor, Any | None]:
        """The block's output ``(B, L, D)`` and the cache, or None; arguments as in `HyenaBlock.forward`."""
        mixed, after = self.inner_mha_cls(map_segments(self.pre_norm, x), mask=mask, cache=cache, use_cache=use_cache)
        h = x + mixed if torch.is_grad_enabled() else mixed.add_(x)
        return add_segments(h, lambda part: self.mlp(self.post_norm(part))), after
