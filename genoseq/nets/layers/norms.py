"""Norms over channels: RMSNorm, its gated form in Mamba-2, and the one of StripedHyena.

Every norm computes in float32 (float64 for float64 input) and answers in the type of its input. Sources: Zhang & Sennrich 2019
(https://arxiv.org/abs/1910.07467) for RMSNorm; Dao & Gu 2024 (https://arxiv.org/abs/2405.21060), section 7.1, for the gated form.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

__all__ = ["GatedRMSNorm", "RMSNorm", "ScaleNorm", "gated_rms_norm", "rms_norm", "rms_norm_reference", "scale_norm"]

PART_VALUES = 1 << 18
"""Values per piece of rows on a CPU: what a norm computes in between then stays in the cache."""


def rms_norm_reference(x: Tensor, weight: Tensor | None = None, *, eps: float = 1e-5, group_size: int | None = None) -> Tensor:
    """``x / sqrt(mean(x^2) + eps) * weight`` as written; see `rms_norm`."""
    groups = x.unflatten(-1, (-1, group_size or x.shape[-1]))
    y: Tensor = (groups / torch.sqrt(groups.square().mean(-1, keepdim=True) + eps)).flatten(-2)
    return y if weight is None else y * weight


def rms_norm(x: Tensor, weight: Tensor | None = None, *, eps: float = 1e-5, group_size: int | None = None) -> Tensor:
    """``x`` over the root of its mean square: ``x / sqrt(mean(x^2) + eps) * weight``.

    Between forward and backward it keeps ``x`` and one number per row, no more.

    Args:
        x: ``(..., D)``.
        weight: ``(D,)``.
        eps: added to the mean square, inside the root.
        group_size: channels per mean; all ``D`` unless given.

    Returns:
        ``(..., D)``, of ``x``'s type.

    Raises:
        ValueError: ``D`` is no multiple of ``group_size``.

    >>> rms_norm(torch.tensor([2.0, -2.0, 2.0, 2.0]), eps=0.0).tolist()
    [1.0, -1.0, 1.0, 1.0]
    """
    if group_size is not None and (group_size < 1 or x.shape[-1] % group_size):
        raise ValueError(f"{x.shape[-1]} channels cannot be divided into groups of {group_size}")
    return _RMSNorm.apply(x, weight, eps, group_size or x.shape[-1])  # type: ignore[no-any-return]


class _RMSNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor | None, eps: float, size: int) -> Tensor:
        ctx.size = size
        rows = x.reshape(-1, x.shape[-1])
        y = torch.empty_like(rows)
        inverse = torch.empty(*rows.shape[:-1], rows.shape[-1] // size, dtype=_wide(x).dtype, device=x.device)
        for part in _parts(rows):
            groups = _wide(rows[part]).unflatten(-1, (-1, size))
            length = torch.linalg.vector_norm(groups, dim=-1)
            inverse[part] = length.square_().div_(size).add_(eps).rsqrt_()
            normed = (groups * inverse[part].unsqueeze(-1)).flatten(-2)
            y[part] = normed if weight is None else normed.mul_(weight)
        ctx.save_for_backward(x, weight, inverse)
        return y.view_as(x)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        # y = w n with n = x r and r = (mean(x^2) + eps)^(-1/2); hence dx = r (w dy - n mean(n w dy)).
        x, weight, inverse = ctx.saved_tensors
        size = ctx.size
        rows, slopes = x.reshape(-1, x.shape[-1]), slope.reshape(-1, x.shape[-1])
        of_x = torch.empty_like(rows)
        of_weight = torch.zeros(x.shape[-1], dtype=inverse.dtype, device=x.device)
        for part in _parts(rows):
            r = inverse[part].unsqueeze(-1)
            normed = _wide(rows[part]).unflatten(-1, (-1, size)) * r
            here = _wide(slopes[part])
            if weight is not None:
                of_weight += (here * normed.flatten(-2)).sum(0)
                here = here * weight
            groups = here.unflatten(-1, (-1, size))
            share = (groups * normed).sum(-1, keepdim=True).div_(-size)
            of_x[part] = torch.addcmul(groups, normed, share).mul_(r).flatten(-2)
        return of_x.view_as(x), None if weight is None else of_weight.to(weight.dtype), None, None


def gated_rms_norm(
    x: Tensor,
    z: Tensor | None,
    weight: Tensor,
    *,
    eps: float = 1e-5,
    group_size: int | None = None,
    norm_before_gate: bool = False,
) -> Tensor:
    """RMS norm of ``x silu(z)``, or with ``norm_before_gate`` the norm of ``x``, times ``silu(z)``.

    Args:
        x: ``(..., D)``.
        z: gate ``(..., D)``; None for none.
        weight: ``(D,)``.
        eps: as in `rms_norm`.
        group_size: as in `rms_norm`.
        norm_before_gate: the order of the two.

    Returns:
        ``(..., D)``, of ``x``'s type.
    """
    if z is None:
        return rms_norm(x, weight, eps=eps, group_size=group_size)
    gate = functional.silu(_wide(z))
    if norm_before_gate:
        return (rms_norm(_wide(x), weight, eps=eps, group_size=group_size) * gate).to(x.dtype)
    return rms_norm(_wide(x) * gate, weight, eps=eps, group_size=group_size).to(x.dtype)


def scale_norm(x: Tensor, scale: Tensor, *, eps: float = 1e-5) -> Tensor:
    """StripedHyena's norm: ``scale x / (||x||_2 D^(-1/2) + eps)``, with ``eps`` outside the root.

    Args:
        x: ``(..., D)``.
        scale: ``(D,)``.
        eps: added to the root of the mean square.
    """
    wide = _wide(x)
    length = torch.linalg.vector_norm(wide, dim=-1, keepdim=True)
    y: Tensor = scale * (wide / (length * x.shape[-1] ** -0.5 + eps))
    return y.to(x.dtype)


class RMSNorm(nn.Module):
    """`rms_norm` with a learned ``weight``.

    Args:
        width: channels.
        eps: added to the mean square, inside the root.
        group_size: channels per mean; all unless given.
    """

    def __init__(self, width: int, *, eps: float = 1e-5, group_size: int | None = None) -> None:
        super().__init__()
        self.eps = eps
        self.group_size = group_size
        self.weight = nn.Parameter(torch.empty(width))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """All weights 1."""
        nn.init.ones_(self.weight)

    def forward(self, x: Tensor) -> Tensor:
        """Normalise ``(..., D)``."""
        return rms_norm(x, self.weight, eps=self.eps, group_size=self.group_size)

    def extra_repr(self) -> str:
        """Width and options."""
        return f"{self.weight.shape[0]}, eps={self.eps}, group_size={self.group_size}"


class GatedRMSNorm(RMSNorm):
    """`gated_rms_norm` with a learned ``weight``; the norm inside Mamba-2.

    Args:
        width: channels.
        eps: added to the mean square, inside the root.
        group_size: channels per mean; all unless given.
        norm_before_gate: norm first, gate after it.
    """

    def __init__(self, width: int, *, eps: float = 1e-5, group_size: int | None = None, norm_before_gate: bool = False) -> None:
        super().__init__(width, eps=eps, group_size=group_size)
        self.norm_before_gate = norm_before_gate

    def forward(self, x: Tensor, z: Tensor | None = None) -> Tensor:
        """Normalise ``x`` ``(..., D)`` and gate it with ``z``."""
        return gated_rms_norm(x, z, self.weight, eps=self.eps, group_size=self.group_size, norm_before_gate=self.norm_before_gate)


class ScaleNorm(nn.Module):
    """`scale_norm` with a learned ``scale``: the RMSNorm of StripedHyena and Evo.

    Args:
        width: channels.
        eps: added to the root of the mean square.
    """

    def __init__(self, width: int, *, eps: float = 1e-5) -> None:
        super().__init__()
        self.eps = eps
        self.scale = nn.Parameter(torch.empty(width))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """All scales 1."""
        nn.init.ones_(self.scale)

    def forward(self, x: Tensor) -> Tensor:
        """Normalise ``(..., D)``."""
        return scale_norm(x, self.scale, eps=self.eps)


def _wide(x: Tensor) -> Tensor:
    return x.to(torch.promote_types(x.dtype, torch.float32))


def _parts(rows: Tensor) -> Iterator[slice]:
    """Slices of rows that stay in a CPU's cache; elsewhere one for all."""
    size = max(1, PART_VALUES // rows.shape[1]) if rows.device.type == "cpu" else len(rows)
    for start in range(0, len(rows), size):
        yield slice(start, start + size)
