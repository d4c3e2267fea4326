"""S5: one linear state space for all channels together, with a diagonal state matrix, computed by a scan.

Sources: Smith et al. 2023, "Simplified State Space Layers for Sequence Modeling" (https://arxiv.org/abs/2208.04933), and its
PyTorch form https://github.com/i404788/s5-pytorch (``S5``, ``S5Block``), whose parameter names are kept. With diagonal ``Lambda``

    x_t = Lambda_bar x_{t-1} + B_bar u_t;    y_t = Re(C x_t) + D u_t

and, for the liquid variant (Hasani et al. 2022, https://arxiv.org/abs/2209.12951, equation 9), ``Lambda_bar + B_bar u_t`` in
place of ``Lambda_bar``.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import initialization as init

from genoseq.errors import UsageError
from genoseq.nets.ops.diagonal import linear_scan
from genoseq.nets.ops.hippo import hippo
from genoseq.nets.ops.statespace import at_least_float32
from genoseq.nets.segments import segments

__all__ = ["S5", "S5SSM", "S5Block", "S5Cache"]


class S5Cache(NamedTuple):
    """What an S5 layer remembers of a sequence: constant memory.

    Attributes:
        state: ``(B, P)`` complex.
    """

    state: Tensor


class S5SSM(nn.Module):
    """The state space of all channels (its parameters are ``seq.*`` of `S5`).

    Args:
        width: channels ``H``.
        state_width: complex states ``P``.
        block_count: blocks of the HiPPO matrix that the states start from; a divisor of ``P``.
        dt_min, dt_max: range of the initial steps.
        liquid: let inputs change the state matrix.
        degree: power of the elements of the discretised input matrix; other than 1 needs as many states as channels.
        bidir: a second scan runs backwards.
        discretization: ``"zoh"`` (zero-order hold) or ``"bilinear"``.

    Raises:
        UsageError: settings outside these.
    """

    def __init__(
        self,
        *,
        width: int,
        state_width: int,
        block_count: int = 1,
        dt_min: float = 0.001,
        dt_max: float = 0.1,
        liquid: bool = False,
        degree: int = 1,
        bidir: bool = False,
        discretization: Literal["zoh", "bilinear"] = "zoh",
    ) -> None:
        super().__init__()
        if block_count < 1 or state_width % block_count:
            raise UsageError(f"{state_width} states in {block_count} blocks: expected a divisor")
        if degree != 1 and width != state_width:
            raise UsageError(f"degree {degree} needs as many states as channels, not {state_width} and {width}")
        if discretization not in ("zoh", "bilinear"):
            raise UsageError(f"discretisation {discretization!r}: known are 'zoh' and 'bilinear'")
        self.width, self.state_width, self.block_count, self.dt_range = width, state_width, block_count, (dt_min, dt_max)
        self.liquid, self.degree, self.bidir, self.discretization = liquid, degree, bidir, discretization
        self.Lambda = nn.Parameter(torch.empty(state_width, dtype=torch.complex64))
        self.B = nn.Parameter(torch.empty(state_width, width, 2))
        self.C = nn.Parameter(torch.empty(width, state_width * (2 if bidir else 1), dtype=torch.complex64))
        self.D = nn.Parameter(torch.empty(width))
        self.log_step = nn.Parameter(torch.empty(state_width))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """States from the normal part of HiPPO-LegS, inputs and outputs random in its basis, steps log-uniform (section 3.3)."""
        if self.D.is_meta:  # nothing to fill
            return
        size, device = self.state_width // self.block_count, self.D.device
        matrix, _, p = hippo("legs", size)
        normal = matrix + p.T @ p
        imag, basis = torch.linalg.eigh(normal.to(torch.complex128) * -1j)
        start = torch.complex(normal.diagonal().mean().expand(size), imag).repeat(self.block_count)
        rotation = torch.block_diag(*[basis] * self.block_count).to(device, torch.complex64)
        inputs = _lecun((self.state_width, self.width), self.state_width, device)
        shape = (self.width, self.C.shape[1] // self.state_width, self.state_width)
        real, imaginary = (_lecun(shape, self.width * self.state_width, device) for _ in range(2))
        low, high = self.dt_range
        init.copy_(self.Lambda, start)
        init.copy_(self.B, torch.view_as_real(rotation.mH @ inputs.to(torch.complex64)))
        init.copy_(self.C, (torch.complex(real, imaginary) @ rotation).flatten(1))
        init.uniform_(self.D)
        init.uniform_(self.log_step, math.log(low), math.log(high))

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> S5SSM:
        """Complex parameters stay complex: ``.to(torch.float64)`` makes complex128 of them, half precision leaves them be."""

        def complex_too(tensor: Tensor) -> Tensor:
            if not tensor.is_complex():
                return fn(tensor)
            parts = torch.view_as_real(tensor)
            moved = fn(parts)
            halved = moved.dtype in (torch.float16, torch.bfloat16)
            return torch.view_as_complex(parts.to(moved.device) if halved else moved)

        super()._apply(complex_too, recurse)
        return self

    def discretised(self, step_scale: float | Tensor = 1.0) -> tuple[Tensor, Tensor]:
        """``Lambda_bar`` and the factor of ``B``, both ``(P,)``, or ``(B, L, P)`` for steps per position."""
        step = at_least_float32(self.log_step).exp()
        if isinstance(step_scale, Tensor):
            scale = step_scale if step_scale.dim() == 2 else step_scale.reshape(-1, 1)
            step = scale.to(step.dtype).unsqueeze(-1) * step
        else:
            step = step_scale * step
        if self.discretization == "zoh":
            bar = (self.Lambda * step).exp()
            return bar, (bar - 1) / self.Lambda
        denominator = 1 - step / 2 * self.Lambda
        return (1 + step / 2 * self.Lambda) / denominator, step / denominator

    def forward(
        self, u: Tensor, *, state: Tensor | None = None, step_scale: float | Tensor = 1.0
    ) -> tuple[Tensor, Tensor | None]:
        """``(B, L, H)`` to the same, and the state ``(B, P)`` after it (None if bidirectional)."""
        wide = at_least_float32(u)
        factors, gain = self.discretised(step_scale)
        if factors.dim() == 3:
            factors, gain = (tensor.expand(u.shape[0], u.shape[1], -1) for tensor in (factors, gain))
        inputs = torch.view_as_complex(at_least_float32(self.B)) ** self.degree  # (P, H)
        # complex matrices times real vectors, as real products
        split = torch.view_as_real(inputs).permute(0, 2, 1).flatten(0, 1).to(wide.dtype)
        b = torch.view_as_complex(F.linear(wide, split).unflatten(-1, (-1, 2))) * gain**self.degree
        factors = factors.to(b.dtype)
        x = linear_scan(factors + b if self.liquid else factors, b, state)
        after = None if self.bidir else x[:, -1]
        if self.bidir:
            back = linear_scan(factors.flip(1) if factors.dim() == 3 else factors, b.flip(1)).flip(1)
            x = torch.cat([x, back], dim=-1)
        reads = torch.view_as_real(self.C.conj().resolve_conj()).flatten(1).to(wide.dtype)
        y = F.linear(torch.view_as_real(x).flatten(2), reads) + self.D.to(wide.dtype) * wide
        return y.to(u.dtype), after


class S5(nn.Module):
    """Mixes positions and channels by one state space, ``(B, L, H)`` to ``(B, L, H)``; causal unless ``bidir``.

    With gradients off, a long sequence is worked through in segments, from state to state.

    Args:
        width: channels ``H``.
        state_width: complex states ``P``; as many as channels by default.
        settings: see `S5SSM`.
    """

    def __init__(self, *, width: int, state_width: int | None = None, **settings: object) -> None:
        super().__init__()
        self.seq = S5SSM(width=width, state_width=state_width or width, **settings)  # type: ignore[arg-type]

    def forward(
        self,
        x: Tensor,
        *,
        mask: Tensor | None = None,
        cache: S5Cache | None = None,
        use_cache: bool = False,
        step_scale: float | Tensor = 1.0,
    ) -> tuple[Tensor, S5Cache | None]:
        """Mix positions and channels.

        Args:
            x: ``(B, L, H)``.
            mask: ``(B, L)`` bool, True at real positions; None if all are.
            cache: from the piece of the sequence before this one.
            use_cache: whether to return what the next piece needs.
            step_scale: what to multiply the steps by, for another sampling rate: a number, ``(B,)``, or ``(B, L)``.

        Returns:
            ``(B, L, H)``, and the cache if asked for.

        Raises:
            UsageError: a cache for a bidirectional layer.
        """
        if self.seq.bidir and (use_cache or cache is not None):
            raise UsageError("a bidirectional S5 layer sees what is to come: a sequence cannot be given in pieces")
        state = None if cache is None else cache.state
        if torch.is_grad_enabled() or self.seq.bidir:
            y, state = self.seq(_real(x, mask), state=state, step_scale=step_scale)
        else:
            y = torch.empty_like(x)
            for part in segments(x.shape[1]):
                some = None if mask is None else mask[:, part]
                scale = step_scale[:, part] if isinstance(step_scale, Tensor) and step_scale.dim() == 2 else step_scale
                y[:, part], state = self.seq(_real(x[:, part], some), state=state, step_scale=scale)
        return y, S5Cache(state) if use_cache and state is not None else None


class S5Block(nn.Module):
    """S5 and a gated feed-forward net, each after a norm and added to it, as in the public code: ``gelu(S5(n)) + n``.

    Args:
        dim: channels.
        state_dim: complex states.
        ff_mult: width of the feed-forward net in ``dim``.
        glu: whether it is gated (GEGLU).
        ff_dropout, attn_dropout: after the feed-forward net, and after S5.
        settings: see `S5SSM`.
    """

    def __init__(
        self,
        *,
        dim: int,
        state_dim: int,
        ff_mult: float = 1.0,
        glu: bool = True,
        ff_dropout: float = 0.0,
        attn_dropout: float = 0.0,
        **settings: object,
    ) -> None:
        super().__init__()
        inner = int(dim * ff_mult)
        self.glu = glu
        self.s5 = S5(width=dim, state_width=state_dim, **settings)
        self.attn_norm = nn.LayerNorm(dim)
        self.attn_dropout = nn.Dropout(attn_dropout)
        self.ff_enc = nn.Linear(dim, inner * (2 if glu else 1), bias=False)
        self.ff_dec = nn.Linear(inner, dim, bias=False)
        self.ff_norm = nn.LayerNorm(dim)
        self.ff_dropout = nn.Dropout(ff_dropout)

    def forward(
        self, x: Tensor, *, mask: Tensor | None = None, cache: S5Cache | None = None, use_cache: bool = False
    ) -> tuple[Tensor, S5Cache | None]:
        """``(B, L, D)`` to the same, and the cache if asked for; see `S5.forward`."""
        normed = self.attn_norm(x)
        mixed, after = self.s5(normed, mask=mask, cache=cache, use_cache=use_cache)
        normed = self.ff_norm(self.attn_dropout(F.gelu(mixed) + normed))
        hidden = self.ff_enc(normed)
        if self.glu:
            hidden, gates = hidden.chunk(2, dim=-1)
            hidden = hidden * F.gelu(gates)
        y: Tensor = self.ff_dropout(self.ff_dec(hidden) + normed)
        return y, after


def _real(x: Tensor, mask: Tensor | None) -> Tensor:
    """``x`` ``(B, L, H)`` with zeros at padding."""
    return x if mask is None else x.masked_fill(~mask[..., None], 0)


def _lecun(shape: tuple[int, ...], fan_in: int, device: torch.device) -> Tensor:
    """Normal values of variance ``1 / fan_in``, cut at two standard deviations."""
    deviation = fan_in**-0.5 / 0.87962566103423978  # of the distribution before the cut
    return nn.init.trunc_normal_(torch.empty(shape, device=device), std=deviation, a=-2 * deviation, b=2 * deviation)
