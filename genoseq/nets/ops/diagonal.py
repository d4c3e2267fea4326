"""Linear state spaces whose state matrix is diagonal: convolution kernel, final state, and scan.

Each of ``N`` complex states follows ``x_t = a x_{t-1} + b_t``. S4D and the diagonal S4 read a real output per channel,

    y[t] = 2 Re sum_n c_n x_t[n],    x_t[n] = a_n x_{t-1}[n] + u[t]

(one state of each conjugate pair is kept), which is a convolution with ``k[l] = 2 Re sum_n c_n a_n^l``: `diagonal_kernel` makes
the kernel, `diagonal_state` the state after a sequence, `diagonal_recurrence` is the plain loop that both must agree with.
`DiagonalSystem` holds them together. `linear_scan` returns all states, for S5, whose states mix channels; `linear_scan_loop` is
its plain loop.

Powers of ``a`` are products of two factors of about the square root of the length: matrix products, and no array of states
times positions. Exponents are worked out in float64 where the device has it, since phases reach many turns.

Sources: Gu et al. 2022, "On the Parameterization and Initialization of Diagonal State Space Models"
(https://arxiv.org/abs/2206.11893), equations 5 to 7; Smith et al. 2023, "Simplified State Space Layers"
(https://arxiv.org/abs/2208.04933), section 3.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

__all__ = [
    "DiagonalSystem",
    "diagonal_kernel",
    "diagonal_recurrence",
    "diagonal_state",
    "linear_scan",
    "linear_scan_loop",
]


class DiagonalSystem(NamedTuple):
    """A diagonal state space per channel, after discretisation; see `genoseq.nets.ops.statespace.System`.

    Attributes:
        log_a: ``(H, N)`` complex.
        c: ``(C, H, N)`` complex, what reads an output off the states, times what the input is multiplied by.
    """

    log_a: Tensor
    c: Tensor

    def select(self, channels: slice) -> DiagonalSystem:
        """The same for some channels."""
        return DiagonalSystem(self.log_a[channels], self.c[:, channels])

    def taps(self, length: int) -> Tensor:
        """The convolution kernels ``(C, H, L)``."""
        return diagonal_kernel(self.log_a, self.c, length)

    def response(self, state: Tensor, length: int) -> Tensor:
        """Outputs ``(B, C, H, L)`` of a state ``(B, H, N)`` without input."""
        return diagonal_kernel(self.log_a, self.c * (state * self.log_a.exp()).unsqueeze(1), length)

    def after(self, u: Tensor, state: Tensor | None) -> Tensor:
        """The state ``(B, H, N)`` after the input ``(B, H, L)``."""
        return diagonal_state(self.log_a, u, state)


def diagonal_kernel(log_a: Tensor, c: Tensor, length: int) -> Tensor:
    """``2 Re sum_n c_n a_n^l`` for ``l`` from 0 to ``length``.

    Args:
        log_a: ``(H, N)`` complex, logarithms of the states' factors.
        c: ``(..., H, N)`` complex.
        length: ``L``.

    Returns:
        ``(..., H, L)`` real.
    """
    block = _block(length)
    inner = _powers(log_a, block, 1).transpose(-1, -2)  # (H, N, T)
    outer = _powers(log_a, -(-length // block), block) * c.unsqueeze(-2)  # (..., H, I, N)
    # the real part of the product, as one product of real matrices
    left = torch.cat([outer.real, -outer.imag], dim=-1)
    right = torch.cat([inner.real, inner.imag], dim=-2)
    return 2 * (left @ right).flatten(-2)[..., :length]


def diagonal_state(log_a: Tensor, u: Tensor, state: Tensor | None = None) -> Tensor:
    """The states after a sequence, ``a^L x + sum_l a^{L-1-l} u[l]``.

    Args:
        log_a: ``(H, N)`` complex.
        u: ``(B, H, L)`` real, ``L`` at least 1.
        state: ``(B, H, N)`` complex, before the sequence; None for zeros.

    Returns:
        ``(B, H, N)`` complex.
    """
    length = u.shape[-1]
    block = _block(length)
    count = -(-length // block)
    # blocks of the sequence, counted from its end
    blocks = F.pad(u, (count * block - length, 0)).unflatten(-1, (count, block)).flip(-2, -1)
    inner = _powers(log_a, block, 1)  # (H, T, N)
    inner = torch.cat([inner.real, inner.imag], dim=-1).to(u.dtype)
    real, imag = (blocks @ inner).chunk(2, dim=-1)  # (B, H, I, N)
    outer = _powers(log_a, count, block)
    after = (torch.complex(real, imag) * outer).sum(dim=-2)
    return after if state is None else after + state * _powers(log_a, 2, length)[..., 1, :]


def diagonal_recurrence(log_a: Tensor, c: Tensor, u: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """The recurrence as it stands, one position after the other: the reference.

    Args:
        log_a, c: ``(H, N)`` complex.
        u: ``(B, H, L)`` real.
        state: ``(B, H, N)`` complex, before the sequence; None for zeros.

    Returns:
        Outputs ``(B, H, L)`` and the last state ``(B, H, N)``.
    """
    a = log_a.exp()
    x = torch.zeros(*u.shape[:2], a.shape[-1], dtype=a.dtype, device=a.device) if state is None else state
    outputs = []
    for t in range(u.shape[-1]):
        x = a * x + u[..., t, None]
        outputs.append(2 * (c * x).sum(dim=-1).real)
    return torch.stack(outputs, dim=-1), x


def linear_scan_loop(a: Tensor, b: Tensor, state: Tensor | None = None) -> Tensor:
    """``x_t = a_t x_{t-1} + b_t``, one position after the other: the reference.

    Args:
        a: ``(P,)`` or ``(B, L, P)``.
        b: ``(B, L, P)``.
        state: ``(B, P)``, before the sequence; None for zeros.

    Returns:
        ``(B, L, P)``.
    """
    x = torch.zeros_like(b[:, 0]) if state is None else state
    states = []
    for t in range(b.shape[1]):
        x = (a if a.dim() == 1 else a[:, t]) * x + b[:, t]
        states.append(x)
    return torch.stack(states, dim=1)


def linear_scan(a: Tensor, b: Tensor, state: Tensor | None = None) -> Tensor:
    """`linear_scan_loop` in blocks: the loop runs over the positions of a block, for all blocks at once, then over blocks.

    For gradients, only the factors and the states are kept.

    Args:
        a: ``(P,)`` or ``(B, L, P)``, real or complex.
        b: ``(B, L, P)`` of the same type, ``L`` at least 1.
        state: ``(B, P)``, before the sequence; None for zeros.

    Returns:
        ``(B, L, P)``.
    """
    if state is None:
        state = torch.zeros_like(b[:, 0])
    result: Tensor = _Scan.apply(a, b, state)
    return result


class _Scan(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor, state: Tensor) -> Tensor:
        x = _scan(a, b, state)
        ctx.save_for_backward(a, x, state)
        return x

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, Tensor, Tensor]:
        (grad,) = grads
        a, x, state = ctx.saved_tensors
        factors = a.conj()
        if a.dim() == 3:  # the factor that carries position t on is that of position t + 1
            factors = torch.cat([factors[:, 1:], torch.zeros_like(factors[:, :1])], dim=1).flip(1)
        grad_b = _scan(factors, grad.flip(1), torch.zeros_like(state)).flip(1)
        grad_a = None
        if ctx.needs_input_grad[0]:
            before = torch.cat([state.unsqueeze(1), x[:, :-1]], dim=1)
            grad_a = grad_b * before.conj() if a.dim() == 3 else torch.einsum("blp,blp->p", grad_b, before.conj())
        return grad_a, grad_b, grad_b[:, 0] * (a[:, 0] if a.dim() == 3 else a).conj()


def _scan(a: Tensor, b: Tensor, state: Tensor) -> Tensor:
    """States ``(B, L, P)``; nothing is recorded for gradients."""
    batch, length, width = b.shape
    block = _block(length)
    count = -(-length // block)

    def in_blocks(values: Tensor) -> Tensor:  # (B, L, P) to (T, B, I, P)
        padded = F.pad(values, (0, 0, 0, count * block - length))
        blocked: Tensor = padded.unflatten(1, (count, block)).movedim(2, 0).contiguous()
        return blocked

    x = in_blocks(b)
    if x.data_ptr() == b.data_ptr():  # written below
        x = x.clone()
    if a.dim() == 1:
        factors = a.expand(block, width)
        product = torch.cumprod(factors, dim=0)[:, None]  # (T, 1, P)
    else:
        factors = in_blocks(a)
        product = torch.cumprod(factors, dim=0)  # (T, B, I, P)
    for t in range(1, block):
        x[t].addcmul_(factors[t], x[t - 1])
    # what each block gets from those before it
    ends = x[-1]
    across = product[-1] if a.dim() == 3 else product[-1].expand(batch, width)
    carried = torch.empty_like(ends)
    for i in range(count):
        carried[:, i] = state
        state = ends[:, i] + (across[:, i] if a.dim() == 3 else across) * state
    x.addcmul_(product if a.dim() == 3 else product.unsqueeze(1), carried)
    states: Tensor = x.movedim(0, 2).flatten(1, 2)[:, :length]
    return states


def _block(length: int) -> int:
    """Block length near the square root: a power of two."""
    return 1 << max(0, (length - 1).bit_length() + 1) // 2


def _powers(log_a: Tensor, count: int, step: int) -> Tensor:
    """``a^(i step)`` for ``i`` from 0 to ``count``, ``(H, count, N)``."""
    wide = log_a if log_a.device.type == "mps" else log_a.to(torch.complex128)
    exponents = torch.arange(0, count * step, step, device=log_a.device, dtype=wide.real.dtype)
    return (exponents[:, None] * wide.unsqueeze(-2)).exp().to(log_a.dtype)
