"""Linear state spaces whose state matrix is diagonal plus low rank (S4): convolution kernel, final state, and plain recurrence.

Each channel has a state of ``N`` values, kept as ``N / 2`` complex numbers ``z`` that stand for themselves and their conjugates:

    z' = diag(a) z - p q + b u,  q = 2 Re(p^* z);    y = 2 Re(c z)

The bilinear transform with step ``dt`` makes it a recurrence ``x_t = A x_{t-1} + B u[t]``, ``y[t] = C x_t``: a convolution with
``k[l] = C A^l B``. There are two ways to the kernel:

- `cauchy_kernel`, the paper's: its transform at the roots of unity is a Cauchy matrix times a vector, and a low-rank correction
  (Woodbury). It takes ``C (I - A^L)`` in place of ``C``, which is what S4 trains.
- `DenseSystem`: on real and imaginary parts, ``A`` is a real matrix, and products of powers of it make the kernel (30 times as
  fast at length 16,384). It also goes on from a state.

`dense_recurrence` is the plain loop that both must agree with.

Source: Gu et al. 2022, "Efficiently Modeling Long Sequences with Structured State Spaces" (https://arxiv.org/abs/2111.00396),
section 3 and appendix C.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["DenseSystem", "attuned_row", "cauchy_kernel", "dense_recurrence", "dense_system", "original_row"]


class DenseSystem(NamedTuple):
    """A recurrence per channel on real and imaginary parts of its state; see `genoseq.nets.ops.statespace.System`.

    In float64 where the device has it: what is lost of ``A`` is multiplied by the length.

    Attributes:
        a: ``(H, N, N)``.
        b: ``(H, N)``.
        c: ``(C, H, N)``, one row per output of a channel.
    """

    a: Tensor
    b: Tensor
    c: Tensor

    def select(self, channels: slice) -> DenseSystem:
        """The same for some channels."""
        return DenseSystem(self.a[channels], self.b[channels], self.c[:, channels])

    def taps(self, length: int) -> Tensor:
        """The convolution kernels ``(C, H, L)``."""
        return self._series(self.b.unsqueeze(-1), length)[0]

    def response(self, state: Tensor, length: int) -> Tensor:
        """Outputs ``(B, C, H, L)`` of a state ``(B, H, N)`` without input."""
        return self._series(self.a @ state.to(self.a.dtype).permute(1, 2, 0), length)

    def after(self, u: Tensor, state: Tensor | None) -> Tensor:
        """The state ``(B, H, N)`` after the input ``(B, H, L)``, ``L`` at least 1."""
        length = u.shape[-1]
        block = min(512, 1 << (length - 1).bit_length())
        count = -(-length // block)
        columns, power = _krylov(self.a, self.b.unsqueeze(-1), block)  # A^l B: (H, N, T)
        blocks = F.pad(u, (count * block - length, 0)).unflatten(-1, (count, block)).flip(-1).to(columns.dtype)
        added = blocks @ columns.mT  # (B, H, I, N)
        x = added[:, :, 0]
        if state is not None:  # the first block is the short one
            first = length - (count - 1) * block
            x = x + torch.einsum("hmn,bhn->bhm", torch.linalg.matrix_power(self.a, first), state.to(x.dtype))
        for i in range(1, count):
            x = torch.einsum("hmn,bhn->bhm", power, x) + added[:, :, i]
        last: Tensor = x.to(u.dtype)
        return last

    def _series(self, start: Tensor, length: int) -> Tensor:
        """``C A^l s`` for ``l`` from 0 to ``length`` and ``s`` ``(H, N, K)``, ``(K, C, H, L)``.

        Each power is a product of two, of about the square root of the length; both kinds are made by doubling.
        """
        outputs, width = self.c.shape[0], start.shape[-1]
        block = 1 << max(0, (length - 1).bit_length() + 1) // 2
        right, power = _krylov(self.a, start, block)  # (H, N, T K)
        left, _ = _krylov(power.mT, self.c.permute(1, 2, 0), -(-length // block))  # (H, N, I C)
        product: Tensor = (left.mT @ right).unflatten(1, (-1, outputs)).unflatten(-1, (block, width))  # (H, I, C, T, K)
        return product.permute(4, 2, 0, 1, 3).flatten(3)[..., :length]


def dense_system(a: Tensor, p: Tensor, b: Tensor, dt: Tensor) -> tuple[Tensor, Tensor]:
    """The bilinear transform as real matrices: ``A`` ``(H, N, N)`` and ``B`` ``(H, N)``, in float64 where the device has it.

    Args:
        a: ``(H, N / 2)`` complex.
        p: ``(R, H, N / 2)`` complex.
        b: ``(H, N / 2)`` complex.
        dt: ``(H, 1)`` or ``(H, N / 2)``.
    """
    if a.device.type != "mps":
        a, p, b, dt = a.to(torch.complex128), p.to(torch.complex128), b.to(torch.complex128), dt.double()
    real, imag = torch.diag_embed(a.real), torch.diag_embed(a.imag)
    matrix = torch.cat([torch.cat([real, -imag], dim=-1), torch.cat([imag, real], dim=-1)], dim=-2)
    columns = torch.cat([p.real, p.imag], dim=-1)  # (R, H, N)
    matrix = matrix - 2 * torch.einsum("rhm,rhn->hmn", columns, columns)
    scale = torch.diag_embed((2 / dt).expand_as(a.real).repeat(1, 2))
    inputs = 2 * torch.cat([b.real, b.imag], dim=-1)
    solved = torch.linalg.solve(scale - matrix, torch.cat([scale + matrix, inputs.unsqueeze(-1)], dim=-1))
    return solved[..., :-1], solved[..., -1]


def original_row(a: Tensor, attuned: Tensor, length: int) -> Tensor:
    """Rows ``C`` ``(C, H, N)`` for a `DenseSystem` from ``c`` ``(C, H, N / 2)`` complex, which holds ``C (I - A^length)``.

    Args:
        a: ``(H, N, N)``.
        attuned: ``c``.
        length: 0 if ``c`` holds ``C`` itself.
    """
    rows = (2 * torch.cat([attuned.real, -attuned.imag], dim=-1)).to(a.dtype)
    if not length:
        return rows
    removed = torch.eye(a.shape[-1], dtype=a.dtype, device=a.device) - torch.linalg.matrix_power(a, length)
    solved: Tensor = torch.linalg.solve(removed.mT, rows.permute(1, 2, 0))
    return solved.permute(2, 0, 1)


def attuned_row(a: Tensor, rows: Tensor, length: int) -> Tensor:
    """The inverse of `original_row`: complex ``(C, H, N / 2)`` that holds ``C (I - A^length)``, from rows ``C`` ``(C, H, N)``."""
    left = rows - torch.einsum("chm,hmn->chn", rows, torch.linalg.matrix_power(a, length))
    real, imag = left.chunk(2, dim=-1)
    return torch.complex(real / 2, -imag / 2)


def dense_recurrence(system: DenseSystem, u: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """The recurrence as it stands, one position after the other: the reference.

    Args:
        system: of ``H`` channels and ``C`` outputs.
        u: ``(B, H, L)``.
        state: ``(B, H, N)``, before the sequence; None for zeros.

    Returns:
        Outputs ``(B, C, H, L)`` and the last state ``(B, H, N)``.
    """
    u = u.to(system.a.dtype)
    x = u.new_zeros(*u.shape[:2], system.b.shape[-1]) if state is None else state.to(u.dtype)
    outputs = []
    for t in range(u.shape[-1]):
        x = torch.einsum("hmn,bhn->bhm", system.a, x) + system.b * u[..., t, None]
        outputs.append(torch.einsum("chn,bhn->bch", system.c, x))
    return torch.stack(outputs, dim=-1), x


def cauchy_kernel(a: Tensor, p: Tensor, b: Tensor, c: Tensor, dt: Tensor, length: int) -> Tensor:
    """The kernel ``(C, H, L)`` through its transform; ``c`` holds ``C (I - A^L)`` in place of ``C``.

    With ``w = dt a`` and roots of unity ``r = exp(-i t)``, the transform is made of sums over the states of
    ``v / ((1 - r) - w (1 + r) / 2)``, where ``v`` is ``c`` or ``p^*`` times ``b`` or ``p``. Written with ``sin(t / 2)`` and
    ``cos(t / 2)``, each state and its conjugate together are one fraction, and no root is a pole, not even -1.

    Args:
        a: ``(H, N / 2)`` complex.
        p: ``(R, H, N / 2)`` complex.
        b: ``(H, N / 2)`` complex.
        c: ``(C, H, N / 2)`` complex.
        dt: ``(H, 1)`` or ``(H, N / 2)``.
        length: ``L``.
    """
    w = dt * a
    inputs = torch.cat([b[None], p]) * dt  # (1 + R, H, N / 2)
    reads = torch.cat([c, p.conj()])  # (C + R, H, N / 2)
    v = reads.unsqueeze(1) * inputs  # (C + R, 1 + R, H, N / 2)
    half = torch.arange(length // 2 + 1, device=a.device, dtype=w.real.dtype) * (math.pi / length)
    sin, cos = half.sin(), half.cos()
    norm, real = w.abs().square().unsqueeze(-1), w.real.unsqueeze(-1)
    poles = torch.complex(norm * cos.square() - 4 * sin.square(), -4 * real * sin * cos).reciprocal()  # (H, N / 2, F)
    weights = torch.stack([-2 * (v * w.conj()).real, 4 * v.real])  # (2, C + R, 1 + R, H, N / 2)
    sums = torch.einsum("kxyhn,hnf->kxyhf", weights.to(poles.dtype), poles)
    terms = torch.polar(torch.ones_like(half), half) * (cos * sums[0] + 1j * sin * sums[1])
    outputs = c.shape[0]
    turn = cos * torch.polar(torch.ones_like(half), -half)  # (1 + r) / 2
    plain, by_p = terms[:outputs, 0], terms[:outputs, 1:]  # (C, H, F), (C, R, H, F)
    from_b, mixed = terms[outputs:, 0], terms[outputs:, 1:]  # (R, H, F), (R, R, H, F)
    identity = torch.eye(p.shape[0], device=a.device, dtype=terms.dtype)
    system = identity + (turn * mixed).permute(2, 3, 0, 1)
    solved = torch.linalg.solve(system, from_b.permute(1, 2, 0).unsqueeze(-1)).squeeze(-1)  # (H, F, R)
    spectrum = plain - turn * torch.einsum("crhf,hfr->chf", by_p, solved)
    kernel: Tensor = torch.fft.irfft(spectrum, n=length)
    return kernel


def _krylov(matrix: Tensor, start: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """``s, A s, ..., A^{count - 1} s`` of ``s`` ``(H, N, K)`` side by side, ``(H, N, count K)``, and ``A^m``, where ``m`` is the
    least power of two from ``count`` on; by doubling.
    """
    columns, width, have, power = start, start.shape[-1], 1, matrix
    while have < count:
        columns = torch.cat([columns, power @ columns], dim=-1)
        power = power @ power
        have *= 2
    return columns[..., : count * width], power
