"""The Hyena operator: gated long convolutions whose filters are computed from the position by a small net.

Source: Poli et al. 2023, "Hyena Hierarchy" (https://arxiv.org/abs/2302.10866), and the public code of HyenaDNA (Nguyen et al.
2023, https://arxiv.org/abs/2306.15794), whose parameter names are kept. With the projections ``x_0 .. x_{N-1}, v`` of the input,
each through a short causal filter, order ``N`` computes

    v <- h_o * (v x_{N-1-o}) + b_o (v x_{N-1-o})    for o = 0 .. N-2;    y = out_proj(v x_0)

where ``h_o *`` is the causal convolution with the o-th implicit filter (equations 2 to 7 of the paper).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genoseq.errors import UsageError
from genoseq.nets.layers.hyena_filter import HyenaFilter
from genoseq.nets.ops.fftconv import (
    ConvolutionHistory,
    channel_groups,
    continue_convolution,
    fft_convolution,
    start_convolution,
)
from genoseq.nets.ops.shortconv import causal_convolution, next_window
from genoseq.nets.segments import segments

__all__ = ["HyenaCache", "HyenaFilter", "HyenaOperator"]

# Without gradients: values per array that holds a group of channels over all positions, and per array inside a segment of them,
# which stays in a core's cache between projection and gate (four times as large is slower, and so are many small ones).
_GROUP_VALUES = 1 << 24
_TILE_VALUES = 1 << 20
# Values per array of filter taps that are made at a time.
_TAP_VALUES = 1 << 22


class HyenaCache(NamedTuple):
    """What a Hyena layer remembers of a sequence to go on with it: all of it, O(L) values per channel.

    A step costs O(512 + (t log t) / 512) per channel, see `continue_convolution`.

    Attributes:
        window: ``(B, k - 1, (order + 1) D)``, the last inputs of the short filter.
        histories: of each long convolution.
        kernels: ``(order - 1, D, K)``, filter taps made so far (more than the positions so far, so that steps do not make them);
            None where none are made yet.
    """

    window: Tensor
    histories: tuple[ConvolutionHistory, ...]
    kernels: Tensor | None

    @property
    def length(self) -> int:
        """Positions so far."""
        return self.histories[0].length


class HyenaOperator(nn.Module):
    """Mixes positions by gated long convolutions, ``(B, L, D)`` to ``(B, L, D)``; causal.

    Padding (``mask``), on either side, adds nothing to real positions: they keep the values that they have without it. Without a
    mask all positions count, as in the published nets, whose padding is not masked.

    With gradients off, a long sequence is worked through in groups of channels: little beside input and output exists whole.

    Args:
        d_model: width ``D``.
        l_max: most positions; the filters are defined up to there.
        order: number of gates, at least 2.
        filter_order, emb_dim, num_inner_mlps, activation_freq, train_freq, train_pos_emb, train_deltas, modulate, fast_decay_pct,
            slow_decay_pct, target, shift: the filters, see `HyenaFilter`.
        short_filter_order: taps of the short filter.
        short_filter_padding: how many positions back its first tap reaches; all taps but one by default, which makes it causal.
            The Hugging Face port of HyenaDNA always takes 2, so that with more than 3 taps it looks ahead.
        dropout: on the input of each long convolution.
        filter_layout: for orders above 2, how the filter's outputs are numbered: ``"order"`` puts all channels of one convolution
            together (HyenaDNA's standalone code), ``"channel"`` all convolutions of one channel (its training code).
        num_heads: only 1 (no public net has more).

    Raises:
        UsageError: settings outside these.
    """

    def __init__(
        self,
        *,
        d_model: int,
        l_max: int,
        order: int = 2,
        filter_order: int = 64,
        emb_dim: int = 5,
        num_inner_mlps: int = 2,
        activation_freq: float = 10.0,
        train_freq: bool = True,
        train_pos_emb: bool = False,
        train_deltas: bool = False,
        modulate: bool = True,
        fast_decay_pct: float = 0.3,
        slow_decay_pct: float = 1.5,
        target: float = 1e-2,
        shift: float = 0.05,
        short_filter_order: int = 3,
        short_filter_padding: int | None = None,
        dropout: float = 0.0,
        filter_layout: Literal["order", "channel"] = "order",
        num_heads: int = 1,
    ) -> None:
        super().__init__()
        if order < 2:
            raise UsageError(f"Hyena of order {order}: expected at least 2 (one gate before and one after a long convolution)")
        if num_heads != 1:
            raise UsageError(f"Hyena with {num_heads} heads: only 1 is known, no published net has more")
        if filter_layout not in ("order", "channel"):
            raise UsageError(f"filter_layout is {filter_layout!r}, expected 'order' or 'channel'")
        reach = short_filter_order - 1
        back = reach if short_filter_padding is None else short_filter_padding
        if short_filter_order < 1 or 2 * back < reach:
            raise UsageError(
                f"a short filter of {short_filter_order} taps with padding {back} gives fewer positions than it gets"
            )
        self.d_model, self.l_max, self.order, self.filter_layout = d_model, l_max, order, filter_layout
        self.short_back, self.short_ahead = back, max(0, reach - back)
        self.causal = back == reach
        width = (order + 1) * d_model
        self.in_proj = nn.Linear(d_model, width)
        self.short_filter = nn.Conv1d(width, width, short_filter_order, padding=back, groups=width)
        self.filter_fn = HyenaFilter(
            channels=(order - 1) * d_model,
            l_max=l_max,
            emb_dim=emb_dim,
            filter_order=filter_order,
            num_inner_mlps=num_inner_mlps,
            activation_freq=activation_freq,
            train_freq=train_freq,
            train_pos_emb=train_pos_emb,
            train_deltas=train_deltas,
            modulate=modulate,
            fast_decay_pct=fast_decay_pct,
            slow_decay_pct=slow_decay_pct,
            target=target,
            shift=shift,
        )
        self.dropout = nn.Dropout(dropout)
        self.out_proj = nn.Linear(d_model, d_model)

    def forward(
        self, x: Tensor, *, mask: Tensor | None = None, cache: HyenaCache | None = None, use_cache: bool = False
    ) -> tuple[Tensor, HyenaCache | None]:
        """Mix positions.

        Args:
            x: ``(B, L, D)``.
            mask: ``(B, L)`` bool, True at real positions; None if all are.
            cache: from the piece of the sequence before this one.
            use_cache: whether to return what the next piece needs.

        Returns:
            ``(B, L, D)``, and the cache if asked for.

        Raises:
            UsageError: more than ``l_max`` positions, or a cache for a layer that looks ahead.
        """
        length = x.shape[1] + (0 if cache is None else cache.length)
        if length > self.l_max:
            raise UsageError(
                f"the sequence has {length:,} positions, this Hyena layer takes at most {self.l_max:,} (its filters end there): "
                f"cut it into windows of {self.l_max:,}, or use a net for longer sequences"
            )
        if (use_cache or cache is not None) and not self.causal:
            raise UsageError(
                f"this Hyena layer's short filter does not end at the present (padding {self.short_back} for "
                f"{self.short_filter.weight.shape[-1]} taps): a sequence cannot be given in pieces"
            )
        # Weights are sliced only where the projection is what it seems: adapters and hooks are called as modules.
        plain = type(self.in_proj) is nn.Linear and not (self.in_proj._forward_hooks or self.in_proj._forward_pre_hooks)
        if cache is None and plain and not torch.is_grad_enabled():
            return self._by_groups(x, mask, use_cache)
        parts, window = self._project(x, mask, None if cache is None else cache.window)
        if cache is None and not use_cache:
            kernels = self._arrange(self.filter_fn(length))
            v, _ = self._gate(parts, lambda o, v: (fft_convolution(v, kernels[o], self._bias()[o]), None))
            y: Tensor = self.out_proj(v.transpose(1, 2))
            return y, None
        kernels = self._kernels(length, None if cache is None else cache.kernels)
        before = (start_convolution(parts[:, : self.d_model]),) * (self.order - 1) if cache is None else cache.histories
        v, after = self._gate(parts, lambda o, v: continue_convolution(v, kernels[o], self._bias()[o], before[o]))
        y = self.out_proj(v.transpose(1, 2))
        return y, HyenaCache(window, after, kernels) if use_cache else None

    def _project(self, x: Tensor, mask: Tensor | None, window: Tensor | None) -> tuple[Tensor, Tensor]:
        """The projections after the short filter ``(B, (order + 1) D, L)``, and the short filter's window for the next piece."""
        u = _real(self.in_proj(x), mask)
        taps = self.short_filter.weight.shape[-1]
        after = next_window(u, taps, window)
        if self.causal:
            u = causal_convolution(u, self.short_filter.weight, self.short_filter.bias, window=window)
        else:
            around = F.pad(u, (0, 0, self.short_back, self.short_ahead))
            u = causal_convolution(around, self.short_filter.weight, self.short_filter.bias)[:, taps - 1 :][:, : x.shape[1]]
        return _real(u, mask).transpose(1, 2), after

    def _gate(self, parts: Tensor, convolve: Callable[[int, Tensor], tuple[Tensor, Any]]) -> tuple[Tensor, tuple[Any, ...]]:
        """The recurrence of gates and convolutions over ``parts`` ``(B, (order + 1) D, L)``."""
        first, *gates, v = parts.chunk(self.order + 1, dim=1)
        results = []
        for o, gate in enumerate(reversed(gates)):
            v, result = convolve(o, self.dropout(v * gate))
            results.append(result)
        return v * first, tuple(results)

    def _rows(self, o: int, channels: slice) -> slice:
        """Which outputs of the filter belong to convolution ``o`` of the given channels."""
        if self.filter_layout == "order":
            return slice(o * self.d_model + channels.start, o * self.d_model + channels.stop)
        step = self.order - 1
        return slice(channels.start * step + o, (channels.stop - 1) * step + o + 1, step)

    def _arrange(self, of_filter: Tensor) -> Tensor:
        """Something per output of the filter ``((order - 1) D, ...)`` as ``(order - 1, D, ...)``."""
        convolutions = self.order - 1
        if self.filter_layout == "order":
            return of_filter.reshape(convolutions, self.d_model, *of_filter.shape[1:])
        return of_filter.reshape(self.d_model, convolutions, *of_filter.shape[1:]).transpose(0, 1)

    def _bias(self) -> Tensor:
        return self._arrange(self.filter_fn.bias)

    def _kernels(self, length: int, made: Tensor | None) -> Tensor:
        """Taps ``(order - 1, D, K)`` for at least ``length`` positions; more are made at a time the more there are."""
        have = 0 if made is None else made.shape[-1]
        if made is not None and have >= length:
            return made
        new = self._arrange(self.filter_fn(min(self.l_max, max(2 * have, length + 1024)), start=have))
        return new if made is None else torch.cat([made, new], dim=-1)

    def _by_groups(self, x: Tensor, mask: Tensor | None, use_cache: bool) -> tuple[Tensor, HyenaCache | None]:
        """The whole sequence without gradients, a group of channels at a time."""
        batch, length, _ = x.shape
        features = self.filter_fn.features(0, length)
        kind = self.in_proj(x[:1, :1]).dtype  # of the projections, which autocast may change
        y = x.new_empty(batch, length, self.d_model, dtype=kind)
        inputs = [x.new_empty(batch, self.d_model, length, dtype=kind) for _ in range(self.order - 1)] if use_cache else []
        groups = list(channel_groups(self.d_model, batch * length, limit=_GROUP_VALUES))
        # Written anew for every group: asking the system for as much memory again would take longer than filling it.
        room = x.new_empty(self.order, batch, groups[0].stop, length, dtype=kind)
        for channels in groups:
            *gates, v = self._project_group(x, mask, channels, room[:, :, : channels.stop - channels.start])
            for o in range(self.order - 1):
                if o:
                    v = self.dropout(v.mul_(gates[-o]))
                if use_cache:
                    inputs[o][:, channels] = v
                for part in channel_groups(v.shape[1], length, limit=_TAP_VALUES):
                    rows = self._rows(o, slice(channels.start + part.start, channels.start + part.stop))
                    taps = self.filter_fn.taps(features, 0, rows)
                    v[:, part] = fft_convolution(v[:, part], taps, self.filter_fn.bias[rows])
            y[:, :, channels] = v.mul_(gates[0]).transpose(1, 2)
        del room
        for part in segments(length):
            y[:, part] = self.out_proj(y[:, part])
        if not use_cache:
            return y, None
        last = slice(max(0, length - self.short_back), length)
        window = next_window(_real(self.in_proj(x[:, last]), None if mask is None else mask[:, last]), self.short_back + 1)
        nothing = y.new_empty(batch, self.d_model, 0)
        return y, HyenaCache(window, tuple(ConvolutionHistory(past, nothing, None) for past in inputs), None)

    def _project_group(self, x: Tensor, mask: Tensor | None, channels: slice, room: Tensor) -> Tensor:
        """Of some channels, the gates to come (``x_0 .. x_{order-2}``) and ``v x_{order-1}``, into ``room``."""
        batch, length, _ = x.shape
        width = channels.stop - channels.start
        rows = [slice(n * self.d_model + channels.start, n * self.d_model + channels.stop) for n in range(self.order + 1)]
        weight = torch.cat([self.in_proj.weight[r] for r in rows])
        bias = torch.cat([self.in_proj.bias[r] for r in rows])
        taps = torch.cat([self.short_filter.weight[r] for r in rows])
        offset = torch.cat([cast(Tensor, self.short_filter.bias)[r] for r in rows])
        for part in segments(length, max(256, _TILE_VALUES // (batch * weight.shape[0]))):
            # with the positions around the segment that the short filter sees
            left, right = part.start - self.short_back, part.stop + self.short_ahead
            seen = slice(max(0, left), min(length, right))
            u = _real(F.linear(x[:, seen], weight, bias), None if mask is None else mask[:, seen])
            if left < 0 or right > length:
                u = F.pad(u, (0, 0, max(0, -left), max(0, right - length)))
            u = causal_convolution(u, taps, offset)[:, taps.shape[-1] - 1 :][:, : part.stop - part.start]
            *gates, last, v = _real(u, None if mask is None else mask[:, part]).split(width, dim=-1)
            for whole, piece in zip(room, [*gates, self.dropout(v * last)], strict=True):
                whole[..., part] = piece.transpose(1, 2)
        return room


def _real(u: Tensor, mask: Tensor | None) -> Tensor:
    """``u`` ``(B, L, C)`` with zeros at padding."""
    return u if mask is None else u.masked_fill(~mask[..., None], 0)
