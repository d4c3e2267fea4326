"""The Mamba-2 mixer: one projection, a short convolution, heads of states with one decay each, and a gated norm.

Source: Dao & Gu 2024, "Transformers are SSMs" (https://arxiv.org/abs/2405.21060), section 7.1 and figure 6. Parameters are named
and initialised as in the public ``mamba_ssm``. The layout of transformers has the same names; its configuration calls ``d_state``
``state_size``, ``d_conv`` ``conv_kernel``, ``headdim`` ``head_dim``, ``ngroups`` ``n_groups``, ``bias`` ``use_bias``,
``conv_bias`` ``use_conv_bias``, ``dt_min``, ``dt_max``, ``dt_init_floor`` and ``dt_limit`` ``time_step_min``, ``time_step_max``,
``time_step_floor`` and ``time_step_limit``, and ``norm_eps`` ``layer_norm_epsilon``.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from genoseq.errors import UsageError
from genoseq.nets.layers.mamba import fill_parameter, initial_step_bias, mix_in_segments, require_silu
from genoseq.nets.layers.norms import GatedRMSNorm
from genoseq.nets.ops.shortconv import causal_convolution, next_window
from genoseq.nets.ops.ssd import ssd, ssd_step

__all__ = ["Mamba2", "Mamba2Cache"]

SEGMENT_VALUES = 1 << 19
"""Values per tensor of ``(B, l, d_inner)`` in a segment of a long sequence, where no gradients are asked for."""


class Mamba2Cache(NamedTuple):
    """What a Mamba-2 layer remembers of a sequence.

    Attributes:
        window: the last inputs of the convolution, ``(B, d_conv - 1, d_ssm + 2 ngroups d_state)``.
        state: of the scan, ``(B, H, headdim, d_state)``, float32 or wider.
    """

    window: Tensor
    state: Tensor


class Mamba2(nn.Module):
    """``out_proj(norm(ssd(silu(conv(x))), z))`` with ``z, x, B, C, dt = in_proj(input)``; causal.

    Args:
        d_model: channels of input and output.
        d_state: states per channel.
        d_conv: taps of the convolution.
        conv_init: bound of the convolution's weights before training; torch's own unless given.
        expand: inner channels per outer channel.
        headdim: channels per head.
        d_ssm: inner channels that are scanned, all unless given; the others are a gated feed-forward beside the scan.
        ngroups: maps into and out of the state, each shared by ``H / ngroups`` heads.
        A_init_range: range of the decay rates before training.
        D_has_hdim: the skip has a weight per channel instead of per head.
        rmsnorm: gate by a norm; else by ``silu(z)`` alone.
        norm_before_gate: norm first, gate after it.
        norm_eps: of the norm.
        dt_min, dt_max: range of the step sizes before training.
        dt_init_floor: smallest step size before training.
        dt_limit: smallest and largest step size ever.
        bias: ``in_proj`` and ``out_proj`` have one.
        conv_bias: the convolution has one.
        chunk_size: positions per chunk of the scan on a GPU (a CPU has its own best); changes no result but for rounding.
        activation: ``silu`` or its other name ``swish``.

    Raises:
        UsageError: options that do not fit each other, or a value that there is not.

    >>> layer = Mamba2(d_model=8, headdim=4, d_state=3)
    >>> y, cache = layer(torch.zeros(1, 5, 8), use_cache=True)
    >>> tuple(y.shape), tuple(cache.state.shape)
    ((1, 5, 8), (1, 4, 4, 3))
    """

    def __init__(
        self,
        *,
        d_model: int,
        d_state: int = 128,
        d_conv: int = 4,
        conv_init: float | None = None,
        expand: float = 2,
        headdim: int = 64,
        d_ssm: int | None = None,
        ngroups: int = 1,
        A_init_range: tuple[float, float] = (1, 16),
        D_has_hdim: bool = False,
        rmsnorm: bool = True,
        norm_before_gate: bool = False,
        norm_eps: float = 1e-5,
        dt_min: float = 0.001,
        dt_max: float = 0.1,
        dt_init_floor: float = 1e-4,
        dt_limit: tuple[float, float] = (0.0, float("inf")),
        bias: bool = False,
        conv_bias: bool = True,
        chunk_size: int | None = 256,
        activation: str = "silu",
    ) -> None:
        super().__init__()
        require_silu(activation)
        self.d_model, self.d_state, self.d_conv = d_model, d_state, d_conv
        self.d_inner = int(expand * d_model)
        self.d_ssm = self.d_inner if d_ssm is None else d_ssm
        self.headdim, self.ngroups = headdim, ngroups
        if self.d_ssm > self.d_inner or self.d_ssm % headdim:
            raise UsageError(
                f"{self.d_ssm} channels to scan, of {self.d_inner} inner channels, cannot be divided into heads of {headdim}"
            )
        self.nheads = self.d_ssm // headdim
        if self.nheads % ngroups:
            raise UsageError(f"{self.nheads} heads cannot be divided into {ngroups} groups")
        if not 0 < A_init_range[0] <= A_init_range[1]:
            raise UsageError(f"A_init_range is {A_init_range}; expected two positive numbers, the smaller first")
        self.conv_init, self.A_init_range = conv_init, A_init_range
        self.dt_range = (dt_min, dt_max, dt_init_floor)
        self.dt_limit = (float(dt_limit[0]), float(dt_limit[1]))
        self.chunk_size = chunk_size
        self.d_conv_channels = self.d_ssm + 2 * ngroups * d_state
        self.in_proj = nn.Linear(d_model, 2 * self.d_inner + 2 * ngroups * d_state + self.nheads, bias=bias)
        self.conv1d = nn.Conv1d(
            self.d_conv_channels, self.d_conv_channels, d_conv, groups=self.d_conv_channels, padding=d_conv - 1, bias=conv_bias
        )
        self.dt_bias = nn.Parameter(torch.empty(self.nheads))
        self.A_log = nn.Parameter(torch.empty(self.nheads))
        self.D = nn.Parameter(torch.empty(self.d_ssm if D_has_hdim else self.nheads))
        for parameter in (self.dt_bias, self.A_log, self.D):
            parameter._no_weight_decay = True  # type: ignore[attr-defined]
        self.norm: GatedRMSNorm | None = None
        if rmsnorm:
            self.norm = GatedRMSNorm(
                self.d_ssm, eps=norm_eps, group_size=self.d_ssm // ngroups, norm_before_gate=norm_before_gate
            )
        self.out_proj = nn.Linear(self.d_inner, d_model, bias=bias)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """The public initialisation of what is this layer's own."""
        if self.conv_init is not None:
            fill_parameter(self.conv1d.weight, torch.empty(self.conv1d.weight.shape).uniform_(-self.conv_init, self.conv_init))
        fill_parameter(self.dt_bias, initial_step_bias(self.nheads, *self.dt_range))
        fill_parameter(self.A_log, torch.empty(self.nheads).uniform_(*self.A_init_range).log())
        fill_parameter(self.D, torch.ones(self.D.shape))

    def forward(
        self,
        x: Tensor,
        *,
        mask: Tensor | None = None,
        cache: Mamba2Cache | None = None,
        use_cache: bool = False,
        reverse: bool = False,
    ) -> tuple[Tensor, Mamba2Cache | None]:
        """Mix ``(B, L, D)`` along the sequence.

        Args:
            x: ``(B, L, D)``.
            mask: ``(B, L)``, True at real positions. These get what they would get without the others.
            cache: of the piece of the sequence before this one.
            use_cache: also return the cache for the piece after this one.
            reverse: read from right to left, for nets that look both ways; without a cache.

        Returns:
            ``(B, L, D)``, and the cache or None.
        """
        if x.shape[1] == 1 and mask is None and not reverse:
            y, after = self._step(x[:, 0], cache)
            return y.unsqueeze(1), after if use_cache else None
        size = SEGMENT_VALUES // (x.shape[0] * self.d_inner)
        y, after = mix_in_segments(self._mix, x, mask, cache, size=size, reverse=reverse, use_cache=use_cache)
        return y, after if use_cache else None

    def _mix(self, x: Tensor, mask: Tensor | None, cache: Mamba2Cache | None) -> tuple[Tensor, Mamba2Cache]:
        window, state = (None, None) if cache is None else cache
        beside, z, mixed, dt = self._project(x)
        # Padding enters the state through the bias of the projection and again through that of the convolution.
        padding = None if mask is None else ~mask.unsqueeze(-1)
        if padding is not None:
            mixed = mixed.masked_fill(padding, 0)
        after = next_window(mixed, self.d_conv, window)
        mixed = causal_convolution(mixed, self.conv1d.weight, self.conv1d.bias, activation="silu", window=window)
        if padding is not None:
            mixed = mixed.masked_fill(padding, 0)
        u, into, out = self._heads(mixed)
        y, state = ssd(
            u,
            dt,
            self._decay_rates(),
            into,
            out,
            D=self._skip(),
            z=z.unflatten(-1, (self.nheads, -1)) if self.norm is None else None,
            dt_bias=self.dt_bias,
            dt_softplus=True,
            dt_limit=self.dt_limit,
            initial_state=state,
            chunk_size=None if x.device.type == "cpu" else self.chunk_size,
        )
        return self._finish(y.flatten(-2), z, beside), Mamba2Cache(after, state)

    def _step(self, x: Tensor, cache: Mamba2Cache | None) -> tuple[Tensor, Mamba2Cache]:
        """One position ``(B, D)``, without what a sequence needs: for generation."""
        beside, z, mixed, dt = self._project(x)
        if cache is None:
            wide = torch.promote_types(x.dtype, torch.float32)
            cache = Mamba2Cache(
                mixed.new_zeros(len(x), self.d_conv - 1, self.d_conv_channels),
                mixed.new_zeros(len(x), self.nheads, self.headdim, self.d_state, dtype=wide),
            )
        seen = torch.cat((cache.window.to(mixed.dtype), mixed.unsqueeze(1)), dim=1)
        mixed = (seen * self.conv1d.weight[:, 0].t().to(mixed.dtype)).sum(1)
        mixed = functional.silu(mixed if self.conv1d.bias is None else mixed + self.conv1d.bias.to(mixed.dtype))
        u, into, out = self._heads(mixed)
        y, state = ssd_step(
            u,
            dt,
            self._decay_rates(),
            into,
            out,
            state=cache.state,
            D=self._skip(),
            z=z.unflatten(-1, (self.nheads, -1)) if self.norm is None else None,
            dt_bias=self.dt_bias,
            dt_softplus=True,
            dt_limit=self.dt_limit,
        )
        return self._finish(y.flatten(-2), z, beside), Mamba2Cache(seen[:, 1:], state)

    def _project(self, x: Tensor) -> tuple[Tensor | None, Tensor, Tensor, Tensor]:
        """What is not scanned, the gate, the input of the convolution, step sizes."""
        rest = self.d_inner - self.d_ssm
        gate, free, z, mixed, dt = self.in_proj(x).split([rest, rest, self.d_ssm, self.d_conv_channels, self.nheads], dim=-1)
        return functional.silu(gate) * free if rest else None, z, mixed, dt

    def _heads(self, mixed: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Input ``(..., H, P)`` and maps ``(..., G, N)`` of the scan."""
        maps = self.ngroups * self.d_state
        u, into, out = mixed.split([self.d_ssm, maps, maps], dim=-1)
        return (
            u.unflatten(-1, (self.nheads, -1)),
            into.unflatten(-1, (self.ngroups, -1)),
            out.unflatten(-1, (self.ngroups, -1)),
        )

    def _finish(self, y: Tensor, z: Tensor, beside: Tensor | None) -> Tensor:
        if self.norm is not None:
            y = self.norm(y, z)
        if beside is not None:
            y = torch.cat((beside, y), dim=-1)
        out: Tensor = self.out_proj(y)
        return out

    def _decay_rates(self) -> Tensor:
        return -torch.exp(self.A_log.to(torch.promote_types(self.A_log.dtype, torch.float32)))

    def _skip(self) -> Tensor:
        return self.D.view(self.nheads, -1) if self.D.shape[0] != self.nheads else self.D
