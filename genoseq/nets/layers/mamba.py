"""The Mamba mixer: projections, a short convolution and a selective scan.

Source: Gu & Dao 2023, "Mamba" (https://arxiv.org/abs/2312.00752), section 3.4 and figure 3. Parameters are named and initialised
as in the public ``mamba_ssm``. The layout of transformers has the same names; its configuration calls ``d_state`` ``state_size``,
``d_conv`` ``conv_kernel``, ``bias`` ``use_bias``, ``conv_bias`` ``use_conv_bias``, ``dt_rank`` ``time_step_rank``, ``dt_init``
``time_step_init_scheme``, ``dt_scale`` ``time_step_scale``, ``dt_min``, ``dt_max`` and ``dt_init_floor`` ``time_step_min``,
``time_step_max`` and ``time_step_floor``.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal, NamedTuple, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from genoseq.errors import UsageError
from genoseq.nets.ops.scan import selective_scan, selective_step
from genoseq.nets.ops.shortconv import causal_convolution, next_window

__all__ = ["Mamba", "MambaCache", "fill_parameter", "initial_step_bias", "mix_in_segments", "require_silu"]

SEGMENT_VALUES = 1 << 19
"""Values per tensor of ``(B, l, d_inner)`` in a segment of a long sequence, where no gradients are asked for."""

Cache = TypeVar("Cache")
Mix = Callable[[Tensor, Tensor | None, Cache | None], tuple[Tensor, Cache]]


class MambaCache(NamedTuple):
    """What a Mamba layer remembers of a sequence.

    Attributes:
        window: the last inputs of the convolution, ``(B, d_conv - 1, d_inner)``.
        state: of the scan, ``(B, d_inner, d_state)``, float32 or wider.
    """

    window: Tensor
    state: Tensor


class Mamba(nn.Module):
    """``out_proj(scan(silu(conv(u))) silu(z))`` with ``u, z = in_proj(x)``; causal.

    Args:
        d_model: channels of input and output.
        d_state: states per channel.
        d_conv: taps of the convolution.
        expand: inner channels per outer channel.
        dt_rank: width between the inner channels and their step sizes; ``auto`` is ``ceil(d_model / 16)``.
        dt_min, dt_max: range of the step sizes before training.
        dt_init: weights of ``dt_proj`` before training, ``random`` or ``constant``.
        dt_scale: size of these.
        dt_init_floor: smallest step size before training.
        conv_bias: the convolution has a bias.
        bias: ``in_proj`` and ``out_proj`` have one.
        activation: ``silu`` or its other name ``swish``.

    Raises:
        UsageError: an option has a value that there is not.

    >>> layer = Mamba(d_model=8)
    >>> y, cache = layer(torch.zeros(1, 5, 8), use_cache=True)
    >>> next_y, cache = layer(torch.zeros(1, 1, 8), cache=cache, use_cache=True)
    >>> tuple(y.shape), tuple(next_y.shape), tuple(cache.state.shape)
    ((1, 5, 8), (1, 1, 8), (1, 16, 16))
    """

    def __init__(
        self,
        *,
        d_model: int,
        d_state: int = 16,
        d_conv: int = 4,
        expand: float = 2,
        dt_rank: int | Literal["auto"] = "auto",
        dt_min: float = 0.001,
        dt_max: float = 0.1,
        dt_init: str = "random",
        dt_scale: float = 1.0,
        dt_init_floor: float = 1e-4,
        conv_bias: bool = True,
        bias: bool = False,
        activation: str = "silu",
    ) -> None:
        super().__init__()
        if dt_init not in ("random", "constant"):
            raise UsageError(f"dt_init is {dt_init!r}; expected 'random' or 'constant'")
        require_silu(activation)
        self.d_model, self.d_state, self.d_conv = d_model, d_state, d_conv
        self.d_inner = int(expand * d_model)
        self.dt_rank = math.ceil(d_model / 16) if dt_rank == "auto" else dt_rank
        self.dt_range = (dt_min, dt_max, dt_init_floor)
        self.dt_init, self.dt_scale = dt_init, dt_scale
        self.in_proj = nn.Linear(d_model, 2 * self.d_inner, bias=bias)
        self.conv1d = nn.Conv1d(self.d_inner, self.d_inner, d_conv, groups=self.d_inner, padding=d_conv - 1, bias=conv_bias)
        self.x_proj = nn.Linear(self.d_inner, self.dt_rank + 2 * d_state, bias=False)
        self.dt_proj = nn.Linear(self.dt_rank, self.d_inner)
        self.A_log = nn.Parameter(torch.empty(self.d_inner, d_state))
        self.D = nn.Parameter(torch.empty(self.d_inner))
        self.out_proj = nn.Linear(self.d_inner, d_model, bias=bias)
        self.A_log._no_weight_decay = self.D._no_weight_decay = True  # type: ignore[attr-defined]
        self.dt_proj.bias._no_reinit = True  # type: ignore[attr-defined]
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """The public initialisation of what is this layer's own: ``A = -(1 .. N)``, ``D = 1``, steps from dt_min to dt_max."""
        fill_parameter(self.A_log, torch.arange(1, self.d_state + 1, dtype=torch.float32).log().expand(self.d_inner, -1))
        fill_parameter(self.D, torch.ones(self.d_inner))
        bound = self.dt_rank**-0.5 * self.dt_scale
        if self.dt_init == "constant":
            fill_parameter(self.dt_proj.weight, torch.full((self.d_inner, self.dt_rank), bound))
        else:
            fill_parameter(self.dt_proj.weight, torch.empty(self.d_inner, self.dt_rank).uniform_(-bound, bound))
        fill_parameter(self.dt_proj.bias, initial_step_bias(self.d_inner, *self.dt_range))

    def forward(
        self,
        x: Tensor,
        *,
        mask: Tensor | None = None,
        cache: MambaCache | None = None,
        use_cache: bool = False,
        reverse: bool = False,
    ) -> tuple[Tensor, MambaCache | None]:
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

    def _mix(self, x: Tensor, mask: Tensor | None, cache: MambaCache | None) -> tuple[Tensor, MambaCache]:
        window, state = (None, None) if cache is None else cache
        u, z = self.in_proj(x).chunk(2, dim=-1)
        # Padding enters the state through the bias of the projection and again through that of the convolution.
        padding = None if mask is None else ~mask.unsqueeze(-1)
        if padding is not None:
            u = u.masked_fill(padding, 0)
        after = next_window(u, self.d_conv, window)
        u = causal_convolution(u, self.conv1d.weight, self.conv1d.bias, activation="silu", window=window)
        if padding is not None:
            u = u.masked_fill(padding, 0)
        delta, bias, into, out = self._maps(u)
        y, state = selective_scan(
            u.transpose(1, 2),
            delta.transpose(1, 2),
            self._decay_rates(),
            into.transpose(1, 2),
            out.transpose(1, 2),
            self.D,
            z.transpose(1, 2),
            bias,
            delta_softplus=True,
            initial_state=state,
        )
        return self.out_proj(y.transpose(1, 2)), MambaCache(after, state)

    def _step(self, x: Tensor, cache: MambaCache | None) -> tuple[Tensor, MambaCache]:
        """One position ``(B, D)``, without what a sequence needs: for generation."""
        u, z = self.in_proj(x).chunk(2, dim=-1)
        if cache is None:
            wide = torch.promote_types(u.dtype, torch.float32)
            cache = MambaCache(
                u.new_zeros(len(u), self.d_conv - 1, self.d_inner),
                u.new_zeros(len(u), self.d_inner, self.d_state, dtype=wide),
            )
        seen = torch.cat((cache.window.to(u.dtype), u.unsqueeze(1)), dim=1)
        u = (seen * self.conv1d.weight[:, 0].t().to(u.dtype)).sum(1)
        u = functional.silu(u if self.conv1d.bias is None else u + self.conv1d.bias.to(u.dtype))
        delta, bias, into, out = self._maps(u)
        y, state = selective_step(u, delta, self._decay_rates(), into, out, self.D, z, bias, cache.state)
        return self.out_proj(y), MambaCache(seen[:, 1:], state)

    def _maps(self, u: Tensor) -> tuple[Tensor, Tensor | None, Tensor, Tensor]:
        """Step sizes and a bias that is still to be added to them; maps into and out of the state."""
        low, into, out = self.x_proj(u).split([self.dt_rank, self.d_state, self.d_state], dim=-1)
        if type(self.dt_proj) is nn.Linear:
            # The bias is large beside what is added to it: in half precision the sum would lose most of that.
            return functional.linear(low, self.dt_proj.weight), self.dt_proj.bias, into, out
        return self.dt_proj(low), None, into, out  # an adapter's or a quantised layer, which knows itself what to do

    def _decay_rates(self) -> Tensor:
        return -torch.exp(self.A_log.to(torch.promote_types(self.A_log.dtype, torch.float32)))


def mix_in_segments(
    mix: Mix[Cache],
    x: Tensor,
    mask: Tensor | None,
    cache: Cache | None,
    *,
    size: int,
    reverse: bool = False,
    use_cache: bool = False,
) -> tuple[Tensor, Cache]:
    """Run a mixer over a sequence, without gradients a segment after another, so that little but the result exists whole.

    Args:
        mix: ``(x, mask, cache) -> (y, cache)`` of a piece of the sequence and the cache before and after it.
        x: ``(B, L, D)``.
        mask: ``(B, L)`` or None.
        cache: before the first position.
        size: positions per segment, at least 1.
        reverse: read from right to left.
        use_cache: the caller goes on from the cache.

    Returns:
        ``y`` ``(B, L, D)`` and the cache after the last segment.

    Raises:
        UsageError: ``reverse`` with a cache.
    """
    if reverse and (cache is not None or use_cache):
        raise UsageError("a layer that reads from right to left cannot go on from a cache")
    length = x.shape[1]
    size = length if torch.is_grad_enabled() else max(1, size)
    if length <= size and not reverse:
        return mix(x, mask, cache)
    whole: Tensor | None = None
    starts = list(range(0, length, size))
    for start in reversed(starts) if reverse else starts:
        part = slice(start, min(start + size, length))
        piece, real = x[:, part], None if mask is None else mask[:, part]
        if reverse:
            piece, real = piece.flip(1), None if real is None else real.flip(1)
        y, cache = mix(piece, real, cache)
        y = y.flip(1) if reverse else y
        if len(starts) == 1:
            whole = y
            break
        if whole is None:
            whole = y.new_empty(*x.shape[:2], y.shape[2])
        whole[:, part] = y
    if whole is None or cache is None:
        raise ValueError(f"x is {tuple(x.shape)}; expected (B, L, D) with L at least 1")
    return whole, cache


def require_silu(activation: str) -> None:
    """Refuse activations other than the one that Mamba and Mamba-2 have.

    Raises:
        UsageError: it is another.
    """
    if activation not in ("silu", "swish"):
        raise UsageError(f"activation is {activation!r}; expected 'silu' (also called 'swish')")


def fill_parameter(parameter: Tensor, values: Tensor) -> None:
    """Set a parameter, unless a checkpoint has (transformers marks those that it has read)."""
    if not getattr(parameter, "_is_hf_initialized", False):
        with torch.no_grad():
            parameter.copy_(values)


def initial_step_bias(count: int, smallest: float, largest: float, floor: float) -> Tensor:
    """Biases ``(count,)`` whose softplus is spread evenly on a log scale from ``smallest`` to ``largest``, at least ``floor``."""
    steps = torch.exp(torch.rand(count) * (math.log(largest) - math.log(smallest)) + math.log(smallest)).clamp(min=floor)
    return steps + torch.log(-torch.expm1(-steps))
