"""StripedHyena 2, the net of Evo 2: Hyena blocks with short, medium and long filters in turn, and a few blocks of attention.

As in StripedHyena 1, a block gives ``x2 * (h * (x1 v) [+ D x1 v])`` of three filtered projections. ``h`` is explicit in the short
(``hcs``, 7 taps) and medium (``hcm``, 128 taps) blocks, where a group of channels shares it, and a sum of real decaying
exponentials in the long ones (``hcl``). Source: Ku et al. 2025, "Systems and Algorithms for Convolutional Multi-Hybrid Language
Models at Scale" (arXiv:2503.01868); Brixi et al. 2025 (Evo 2). Parameter names are the public ones.

Two details are the public code's: a filter of at least 128 taps runs forwards (tap ``k`` meets the input ``k`` positions back)
and has a ``D`` term; a shorter one runs backwards (its last tap meets the newest input) and has none.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from transformers import initialization as init

from genoseq.nets.layers.striped import FilterCache, filtered, gate_streams, reset_short_filter
from genoseq.nets.ops.modal import full_precision, modal_scan
from genoseq.nets.ops.shortconv import causal_convolution, next_window

__all__ = ["CascadeHyena", "ExplicitHyena", "ImplicitHyena"]

MEDIUM = 128
"""Taps from which on a filter is a medium one."""


class CascadeHyena(nn.Module):
    """What the three kinds of filter share: the short filter of the projections, the split into streams, the gates.

    Args:
        d_model: channels.
        n_heads: heads, which only matter for ``column_split``.
        short_filter_length, short_filter_bias: of the filter of the projections.
        column_split, interleave, flip: see `genoseq.nets.layers.striped.gate_streams`.
    """

    short_filter_bias: nn.Parameter | None

    def __init__(
        self,
        *,
        d_model: int,
        n_heads: int,
        short_filter_length: int = 3,
        short_filter_bias: bool = False,
        column_split: bool = False,
        interleave: bool = True,
        flip: bool = False,
    ) -> None:
        super().__init__()
        self.d_model, self.n_heads = d_model, n_heads
        self.column_split, self.interleave, self.flip = column_split, interleave, flip
        self.short_filter_weight = nn.Parameter(torch.empty(3 * d_model, 1, short_filter_length))
        self.short_filter_bias = nn.Parameter(torch.empty(3 * d_model)) if short_filter_bias else None

    def reset_parameters(self) -> None:
        """Initial values of the short filter; the kinds add theirs."""
        reset_short_filter(self.short_filter_weight, self.short_filter_bias)

    def forward(
        self, z: Tensor, *, mask: Tensor | None = None, cache: FilterCache | None = None, use_cache: bool = False
    ) -> tuple[Tensor, FilterCache | None]:
        """Projections ``(B, L, 3 D)`` to ``(B, L, D)``; see `genoseq.nets.layers.striped.HyenaBlock.forward` for the rest."""
        with full_precision(z.device):
            return self._filter(z, mask, cache, use_cache)

    def _filter(
        self, z: Tensor, mask: Tensor | None, cache: FilterCache | None, use_cache: bool
    ) -> tuple[Tensor, FilterCache | None]:
        streams, window = filtered(z, self.short_filter_weight, self.short_filter_bias, mask, cache)
        x2, x1, v = gate_streams(
            streams, n_heads=self.n_heads, column_split=self.column_split, interleave=self.interleave, flip=self.flip
        )
        y, state = self.convolve(x1 * v, None if cache is None else cache.state, use_cache)
        return (y * x2).to(z.dtype), None if state is None else FilterCache(window, state)

    def convolve(self, u: Tensor, state: Tensor | None, use_cache: bool) -> tuple[Tensor, Tensor | None]:
        """``h * u + D u`` ``(B, L, D)`` for gated inputs, and the state after them if wanted."""
        raise NotImplementedError


class ExplicitHyena(CascadeHyena):
    """Short and medium filters: taps that channels share in groups (``hcs``, ``hcm``).

    Args:
        filter_length: taps.
        filter_groups: filters; each serves consecutive channels.
        options: see `CascadeHyena`.
    """

    def __init__(self, *, d_model: int, filter_length: int, filter_groups: int | None = None, **options: int | bool) -> None:
        super().__init__(d_model=d_model, **options)  # type: ignore[arg-type]
        groups = d_model if filter_groups is None else filter_groups
        if d_model % groups:
            raise ValueError(f"{d_model} channels do not divide into {groups} filter groups")
        self.h = nn.Parameter(torch.empty(groups, 1, filter_length))
        self.D = nn.Parameter(torch.zeros(d_model)) if filter_length >= MEDIUM else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Taps as torch gives its convolutions; no shortcut."""
        super().reset_parameters()
        bound = 1 / math.sqrt(self.h.shape[-1])
        init.uniform_(self.h, -bound, bound)
        if self.D is not None:
            init.zeros_(self.D)

    def convolve(self, u: Tensor, state: Tensor | None, use_cache: bool) -> tuple[Tensor, Tensor | None]:
        """`CascadeHyena.convolve`; the state is the last ``filter_length - 1`` gated inputs."""
        taps = self.h[:, 0].to(u.dtype)
        if self.D is not None:
            taps = taps.flip(-1)  # now the last tap meets the newest input, in both kinds
        taps = taps.repeat_interleave(self.d_model // taps.shape[0], dim=0)
        if u.shape[1] == 1 and state is not None:
            y = (torch.cat((state.to(u.dtype), u), dim=1) * taps.t()).sum(dim=1, keepdim=True)
        else:
            y = causal_convolution(u, taps, window=state)
        if self.D is not None:
            y = y + u * self.D
        return y, next_window(u, taps.shape[1], state) if use_cache else None


class ImplicitHyena(CascadeHyena):
    """Long filters: sums of real exponentials ``residues * exp(log_poles t)`` (``hcl``).

    Args:
        state_size: exponentials per filter.
        options: see `CascadeHyena`.
    """

    def __init__(self, *, d_model: int, state_size: int = 16, **options: int | bool) -> None:
        super().__init__(d_model=d_model, **options)  # type: ignore[arg-type]
        self.log_poles = nn.Parameter(torch.empty(d_model, state_size, 1))
        self.residues = nn.Parameter(torch.empty(d_model, state_size))
        self.D = nn.Parameter(torch.zeros(d_model))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Memories from a few to a few thousand positions, different between channels."""
        super().reset_parameters()
        count = self.residues.shape[1]
        # On the CPU, whatever the device of the parameters: it may be one that holds no values yet.
        jitter, weights = torch.rand(self.d_model, count, device="cpu"), torch.randn(self.d_model, count, device="cpu")
        memory = 10 ** (torch.linspace(0.5, 3.5, count, device="cpu") + 0.2 * jitter)
        init.copy_(self.log_poles, (-1.0 / memory)[..., None])
        init.copy_(self.residues, weights / memory.sqrt() / count)
        init.zeros_(self.D)

    def convolve(self, u: Tensor, state: Tensor | None, use_cache: bool) -> tuple[Tensor, Tensor | None]:
        """`CascadeHyena.convolve`; the state ``(B, D, N)`` is that of the exponentials."""
        logarithms = self.log_poles[..., 0]
        poles = (logarithms if logarithms.device.type == "mps" else logarithms.double()).exp()
        y, after = modal_scan(u, poles, self.residues, state=state, last=use_cache)
        return y + u * self.D, after
