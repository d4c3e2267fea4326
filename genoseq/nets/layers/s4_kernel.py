"""The parameters of S4's state spaces, diagonal or diagonal plus low rank, and the discretised systems they stand for.

Source: ``SSMKernelDiag`` and ``SSMKernelDPLR`` of ``models/s4/s4.py`` in https://github.com/state-spaces/s4 (version 4), whose
parameter names and shapes are kept: ``C``, ``B``, ``A_real``, ``A_imag``, ``inv_dt``, ``P``, ``l_kernel``. Complex parameters are
real ones with a last dimension of 2.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import initialization

from genoseq.errors import UsageError
from genoseq.nets.ops.diagonal import DiagonalSystem
from genoseq.nets.ops.dplr import DenseSystem, attuned_row, cauchy_kernel, dense_system, original_row
from genoseq.nets.ops.hippo import starts
from genoseq.nets.ops.statespace import at_least_float32

__all__ = ["DiagonalKernel", "LowRankKernel", "Transform"]

Transform = Literal["none", "exp", "relu", "sigmoid", "softplus"]

# Up to this length the kernel of an attuned low-rank state space comes from its transform; beyond, powers are faster.
_CAUCHY_LENGTH = 2048


class DiagonalKernel(nn.Module):
    """State spaces with a diagonal matrix (S4D).

    Args:
        d_model: channels ``H``.
        d_state: real states per channel ``N``, even; with ``is_real``, real states themselves.
        channels: outputs per channel ``C``.
        init: where the states start: ``"legs"``, ``"legt"``, ``"fourier"``, ``"hippo"``, ``"diag"``, or ``"diag-"`` and ``lin``,
            ``inv``, ``quad``, ``real`` or ``legs`` (see `genoseq.nets.ops.hippo`).
        rank: of the low-rank part that a start may have.
        n_ssm: how many different state spaces, shared by the channels in turn; one each by default.
        dt_min, dt_max: range of the initial steps.
        dt_tie: one step per channel, else one per state.
        dt_fast: the parameters of the steps are on the scale of the inverse hyperbolic sine.
        dt_transform, real_transform, imag_transform: how steps and parts of the diagonal (without sign) are made of parameters.
        disc: discretisation, ``"zoh"`` (zero-order hold) or ``"bilinear"``.
        bandlimit: silence states faster than this fraction of the sampling rate.
        is_real: real states.

    Raises:
        UsageError: settings outside these.
    """

    def __init__(
        self,
        *,
        d_model: int,
        d_state: int = 64,
        channels: int = 1,
        init: str = "legs",
        rank: int = 1,
        n_ssm: int | None = None,
        dt_min: float = 0.001,
        dt_max: float = 0.1,
        dt_tie: bool = True,
        dt_fast: bool = False,
        dt_transform: Transform = "exp",
        real_transform: Transform = "exp",
        imag_transform: Transform = "none",
        disc: str = "zoh",
        bandlimit: float | None = None,
        is_real: bool = False,
    ) -> None:
        super().__init__()
        copies = d_model if n_ssm is None else n_ssm
        if copies < 1 or d_model % copies:
            raise UsageError(f"{d_model} channels cannot share {copies} state spaces in turn: expected a divisor")
        if d_state < 2 or (d_state % 2 and not is_real):
            raise UsageError(f"a state of {d_state} values: expected an even number, for pairs of conjugates")
        if disc not in ("zoh", "bilinear"):
            raise UsageError(f"discretisation {disc!r}: known are 'zoh' and 'bilinear'")
        for transform in (dt_transform, real_transform, imag_transform):
            if transform not in _FORWARD:
                raise UsageError(f"transform {transform!r}: known are {', '.join(_FORWARD)}")
        half = d_state if is_real else d_state // 2
        self.d_model, self.pairs, self.rank, self.start = d_model, half, rank, init
        self.dt_fast = dt_fast
        self.dt_range, self.disc, self.bandlimit, self.is_real = (dt_min, dt_max), disc, bandlimit, is_real
        self.dt_transform, self.real_transform, self.imag_transform = dt_transform, real_transform, imag_transform
        pair = () if is_real else (2,)
        self.C = nn.Parameter(torch.empty(channels, d_model, half, *pair))
        self.B = nn.Parameter(torch.empty(1, copies, half, *pair))
        self.A_real = nn.Parameter(torch.empty(copies, half))
        if not is_real:
            self.A_imag = nn.Parameter(torch.empty(copies, half))
        self.inv_dt = nn.Parameter(torch.empty(d_model, 1 if dt_tie else half))
        self._build()
        self.reset_parameters()

    def _build(self) -> None:
        """Add what a kind of kernel has besides."""

    def reset_parameters(self) -> None:
        """Steps log-uniform, outputs standard normal, matrices as the start says."""
        if self.C.is_meta:  # nothing to fill
            return
        low, high = self.dt_range
        steps = torch.empty_like(self.inv_dt).uniform_(math.log(low), math.log(high)).exp()
        start = starts(self.start, 2 * self.pairs, self.B.shape[1], rank=self.rank)
        inverse = _backward(steps, self.dt_transform)
        initialization.copy_(self.inv_dt, inverse.asinh() if self.dt_fast else inverse)
        initialization.copy_(self.A_real, _backward(-start.a.real, self.real_transform))
        initialization.normal_(self.C, std=0.5**0.5)
        if self.is_real:
            initialization.copy_(self.B, start.b.real[None])
        else:
            initialization.copy_(self.A_imag, _backward(-start.a.imag, self.imag_transform))
            initialization.copy_(self.B, torch.view_as_real(start.b)[None])

    def continuous(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Steps ``(H, 1)`` or ``(H, N / 2)``, diagonal and inputs ``(H, N / 2)`` complex, outputs ``(C, H, N / 2)`` complex."""
        inverse = at_least_float32(self.inv_dt)
        step = _forward(inverse.sinh() if self.dt_fast else inverse, self.dt_transform)
        real = -_forward(at_least_float32(self.A_real), self.real_transform)
        imag = torch.zeros_like(real) if self.is_real else -_forward(at_least_float32(self.A_imag), self.imag_transform)
        a = self._share(torch.complex(real, imag))
        c = self._complex(self.C)
        if self.bandlimit is not None:
            c = c * (step * a.imag.abs() / (2 * math.pi) < self.bandlimit / 2)
        return step, a, self._share(self._complex(self.B)[0]), c

    def system(self) -> DiagonalSystem | DenseSystem:
        """The discretised state spaces."""
        step, a, b, c = self.continuous()
        scaled = step * a
        if self.disc == "zoh":
            return DiagonalSystem(scaled, b * c * (scaled.exp() - 1) / a)
        return DiagonalSystem(((1 + scaled / 2) / (1 - scaled / 2)).log(), b * c * step / (1 - scaled / 2))

    def taps(self, length: int) -> Tensor | None:
        """The convolution kernels ``(C, H, length)`` where there is a faster way than by `system`."""
        return None

    def forward(self, length: int) -> Tensor:
        """The convolution kernels ``(C, H, length)``."""
        taps = self.taps(length)
        return (self.system().taps(length) if taps is None else taps).to(at_least_float32(self.inv_dt).dtype)

    def _complex(self, parameter: Tensor) -> Tensor:
        wide = at_least_float32(parameter)
        return torch.complex(wide, torch.zeros_like(wide)) if self.is_real else torch.view_as_complex(wide.contiguous())

    def _share(self, tensor: Tensor) -> Tensor:
        """``(..., S, N)`` for every channel, ``(..., H, N)``: channels take state spaces in turn."""
        copies = self.d_model // tensor.shape[-2]
        return tensor.repeat(*[1] * (tensor.dim() - 2), copies, 1) if copies > 1 else tensor


class LowRankKernel(DiagonalKernel):
    """State spaces with a diagonal matrix minus ``p p^*`` (S4 itself), under the bilinear transform.

    ``C`` holds ``C (I - A^l_kernel)`` once ``l_kernel`` is not 0: that is what the public code trains, after its first forward
    has changed the parameter. Here a forward changes nothing: a kernel of any length, also beyond ``l_kernel``, is worked out
    from what there is. `attune` makes the change where it is wanted; the constructor does so for ``l_max``.

    Args:
        l_max: length to attune to; None for none.
        settings: of `DiagonalKernel`; ``disc`` has no effect, ``is_real`` and ``bandlimit`` are none of them.
    """

    P: nn.Parameter
    l_kernel: Tensor

    def __init__(self, *, l_max: int | None = None, **settings: object) -> None:
        self.l_max = l_max
        super().__init__(**settings)  # type: ignore[arg-type]

    def _build(self) -> None:
        if self.is_real:
            raise UsageError("a low-rank state space is complex: leave out is_real, or take the diagonal kernel")
        if self.bandlimit is not None:  # it falls on C or on C (I - A^L), by what was done before
            raise UsageError("what bandlimit does to a low-rank state space depends on its history: take the diagonal kernel")
        self.P = nn.Parameter(torch.empty(self.rank, self.B.shape[1], self.pairs, 2))
        self.register_buffer("l_kernel", torch.tensor(0))

    def reset_parameters(self) -> None:
        """As for a diagonal kernel, and attune to ``l_max``."""
        if self.C.is_meta:
            return
        super().reset_parameters()
        start = starts(self.start, 2 * self.pairs, self.B.shape[1], rank=self.rank)
        initialization.copy_(self.P, torch.view_as_real(start.p))
        initialization.copy_(self.l_kernel, torch.tensor(0))
        loaded = getattr(self.C, "_is_hf_initialized", False)
        if self.l_max is not None and not loaded:
            self.attune(self.l_max)

    @torch.no_grad()
    def attune(self, length: int) -> None:
        """Let ``C`` hold ``C (I - A^length)``, as the public code trains it; the kernel stays what it is."""
        system = self.system()
        self.C.copy_(torch.view_as_real(attuned_row(system.a, system.c, length)))
        self.l_kernel.fill_(length)

    def system(self) -> DenseSystem:
        """The discretised state spaces, as real matrices."""
        step, a, b, c = self.continuous()
        matrix, inputs = dense_system(a, self._low_rank(), b, step)
        return DenseSystem(matrix, inputs, original_row(matrix, c, int(self.l_kernel)))

    def taps(self, length: int) -> Tensor | None:
        """The kernels through their transform, where it is fast: attuned to a short length that covers this one."""
        attuned = int(self.l_kernel)
        if not length <= attuned <= _CAUCHY_LENGTH:
            return None
        step, a, b, c = self.continuous()
        return cauchy_kernel(a, self._low_rank(), b, c, step, attuned)[..., :length]

    def _low_rank(self) -> Tensor:
        return self._share(torch.view_as_complex(at_least_float32(self.P)))


_FORWARD = {
    "none": lambda x: x,
    "exp": torch.exp,
    "relu": lambda x: F.relu(x) + 1e-4,
    "sigmoid": torch.sigmoid,
    "softplus": F.softplus,
}


def _forward(parameter: Tensor, transform: Transform) -> Tensor:
    """A positive quantity from the parameter that stands for it."""
    value: Tensor = _FORWARD[transform](parameter)
    return value


def _backward(value: Tensor, transform: Transform) -> Tensor:
    """The parameter that stands for a positive quantity (at least 1e-4)."""
    value = value.clamp(min=1e-4)
    if transform == "exp":
        return value.log()
    if transform == "sigmoid":
        return torch.logit(value)
    if transform == "softplus":
        return value.expm1().log()
    return value
