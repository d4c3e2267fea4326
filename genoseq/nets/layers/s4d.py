"""S4D: every channel through a diagonal linear state space of its own, then a gated mixing of channels.

Source: Gu et al. 2022, "On the Parameterization and Initialization of Diagonal State Space Models"
(https://arxiv.org/abs/2206.11893), listing 1, and its public form, ``models/s4/s4d.py`` of
https://github.com/state-spaces/s4, whose parameter names are kept. (The general S4 layer has a diagonal kernel too, with more
options and other names: `genoseq.nets.layers.s4`.)
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import initialization as init

from genoseq.errors import UsageError
from genoseq.nets.ops.diagonal import DiagonalSystem
from genoseq.nets.ops.statespace import at_least_float32, state_space_convolution
from genoseq.nets.segments import segments

__all__ = ["S4D", "S4DCache", "S4DKernel"]


class S4DCache(NamedTuple):
    """What an S4D layer remembers of a sequence: constant memory.

    Attributes:
        state: ``(B, H, N / 2)`` complex.
    """

    state: Tensor


class S4DKernel(nn.Module):
    """The state spaces: ``x' = A x + u``, ``y = 2 Re(C x)``, discretised by zero-order hold with step ``dt`` per channel.

    Args:
        d_model: channels ``H``.
        d_state: real states per channel ``N``, even.
        dt_min, dt_max: range of the initial steps.

    Raises:
        UsageError: ``d_state`` is odd.
    """

    def __init__(self, *, d_model: int, d_state: int = 64, dt_min: float = 0.001, dt_max: float = 0.1) -> None:
        super().__init__()
        if d_state < 2 or d_state % 2:
            raise UsageError(f"a state of {d_state} values: expected an even number, for pairs of conjugates")
        self.dt_range = (dt_min, dt_max)
        self.C = nn.Parameter(torch.empty(d_model, d_state // 2, 2))
        self.log_dt = nn.Parameter(torch.empty(d_model))
        self.log_A_real = nn.Parameter(torch.empty(d_model, d_state // 2))
        self.A_imag = nn.Parameter(torch.empty(d_model, d_state // 2))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """S4D-Lin: decay 1/2, frequencies that are multiples of pi, steps log-uniform, outputs standard normal."""
        low, high = self.dt_range
        init.normal_(self.C, std=0.5**0.5)
        init.uniform_(self.log_dt, math.log(low), math.log(high))
        init.constant_(self.log_A_real, math.log(0.5))
        init.copy_(self.A_imag, math.pi * torch.arange(self.A_imag.shape[1], device=self.A_imag.device).expand_as(self.A_imag))

    def system(self) -> DiagonalSystem:
        """The discretised state spaces (equation 4 of the paper)."""
        real, imag, log_dt = at_least_float32(self.log_A_real), at_least_float32(self.A_imag), at_least_float32(self.log_dt)
        a = torch.complex(-real.exp(), imag)
        step = a * log_dt.exp().unsqueeze(-1)
        c = torch.view_as_complex(at_least_float32(self.C)) * (step.exp() - 1) / a
        return DiagonalSystem(step, c.unsqueeze(0))

    def forward(self, length: int) -> Tensor:
        """The convolution kernels ``(H, L)``."""
        return self.system().taps(length)[0]


class S4D(nn.Module):
    """Mixes positions by state spaces and channels by a gated linear map, ``(B, L, H)`` to ``(B, L, H)``; causal.

    Args:
        d_model: channels ``H``.
        d_state: real states per channel ``N``.
        dropout: of whole channels, after the activation.
        dt_min, dt_max: range of the initial steps.
        transposed: take and return ``(B, H, L)`` instead, as the public code does unless told otherwise.
    """

    def __init__(
        self,
        *,
        d_model: int,
        d_state: int = 64,
        dropout: float = 0.0,
        dt_min: float = 0.001,
        dt_max: float = 0.1,
        transposed: bool = False,
    ) -> None:
        super().__init__()
        self.transposed = transposed
        self.D = nn.Parameter(torch.empty(d_model))
        self.kernel = S4DKernel(d_model=d_model, d_state=d_state, dt_min=dt_min, dt_max=dt_max)
        self.dropout = nn.Dropout1d(dropout)
        self.output_linear = nn.Sequential(nn.Conv1d(d_model, 2 * d_model, 1), nn.GLU(dim=-2))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the skip weights from a standard normal distribution (the parts initialise themselves)."""
        init.normal_(self.D)

    def forward(
        self, x: Tensor, *, mask: Tensor | None = None, cache: S4DCache | None = None, use_cache: bool = False
    ) -> tuple[Tensor, S4DCache | None]:
        """Mix positions and channels.

        Args:
            x: ``(B, L, H)``, or ``(B, H, L)`` if ``transposed``.
            mask: ``(B, L)`` bool, True at real positions; None if all are.
            cache: from the piece of the sequence before this one.
            use_cache: whether to return what the next piece needs.

        Returns:
            The same shape as ``x``, and the cache if asked for.
        """
        if self.transposed:
            x = x.transpose(1, 2)
        state = None if cache is None else cache.state
        mixed, state = state_space_convolution(
            x, self.kernel.system(), self.D.unsqueeze(0), mask=mask, state=state, keep_state=use_cache
        )
        y = mixed.squeeze(2)
        if torch.is_grad_enabled() or (self.training and self.dropout.p):
            y = self._mix_channels(y)
        else:
            for part in segments(y.shape[1]):
                y[:, part] = self._mix_channels(y[:, part])
        return y.transpose(1, 2) if self.transposed else y, None if state is None else S4DCache(state)

    def _mix_channels(self, y: Tensor) -> Tensor:
        mixed: Tensor = self.output_linear(self.dropout(F.gelu(y.transpose(1, 2))))
        return mixed.transpose(1, 2)
