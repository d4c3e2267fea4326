"""Rotary positions: queries and keys turned by angles that grow with their position, so that their products see only distances.

Source: Su et al. 2021 (arXiv:2104.09864), equation 34. Channel pair ``n`` of ``dim / 2`` turns by
``position * base ** (-2 n / dim)``. The pair is channels ``n`` and ``n + dim / 2`` (*half-split*, as in GPT-NeoX, Llama and
flash-attn by default) or ``2 n`` and ``2 n + 1`` (*interleaved*, as in GPT-J). Two ways to reach beyond the length of training:
*linear* scaling divides positions by a factor (Chen et al. 2023, arXiv:2306.15595; Evo 131k and Evo 2 do so), *NTK* scaling
raises the base by ``factor ** (dim / (dim - 2))``.

Tables are float32 whatever the dtype of the net: angles reach a million radians, where bfloat16 knows nothing of their fraction.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

__all__ = ["Rotation", "real_indices", "rotary_frequencies", "rotate", "rotate_reference", "rotation"]


class Rotation(NamedTuple):
    """Cosines and sines of the angles, each ``(B or 1, L, dim / 2)`` float32."""

    cos: Tensor
    sin: Tensor


def rotary_frequencies(
    dim: int, *, base: float = 10_000.0, ntk_factor: float = 1.0, device: torch.device | str | None = None
) -> Tensor:
    """Angle per position of each channel pair, ``(dim / 2,)`` float32.

    Args:
        dim: channels that turn; even.
        base: the longest wavelength is about ``2 pi base`` positions.
        ntk_factor: how many times longer than in training sequences may be, by a larger base; 1 changes nothing.
        device: where to make it.

    Raises:
        ValueError: ``dim`` is odd or not positive, or the factor cannot be used with it.

    >>> rotary_frequencies(4)
    tensor([1.0000, 0.0100])
    """
    if dim <= 0 or dim % 2:
        raise ValueError(f"rotary dimension is {dim}; expected an even number above 0")
    if ntk_factor != 1.0:
        if dim == 2:
            raise ValueError("NTK scaling needs a rotary dimension above 2")
        base = base * ntk_factor ** (dim / (dim - 2))
    exponents = torch.arange(0, dim, 2, dtype=torch.float32, device=device) / dim
    return 1.0 / (base**exponents)


def rotation(
    positions: Tensor, dim: int, *, base: float = 10_000.0, linear_factor: float = 1.0, ntk_factor: float = 1.0
) -> Rotation:
    """Tables for the given positions.

    Args:
        positions: ``(L,)`` or ``(B, L)``, whole numbers: wherever each token stands in its own sequence.
        dim: channels that turn; even.
        base, ntk_factor: see `rotary_frequencies`.
        linear_factor: positions are divided by it.

    Returns:
        cosines and sines ``(1 or B, L, dim / 2)``.
    """
    frequencies = rotary_frequencies(dim, base=base, ntk_factor=ntk_factor, device=positions.device)
    times = positions.to(torch.float32)
    if linear_factor != 1.0:
        times = times / linear_factor
    angles = (times if positions.dim() == 2 else times[None])[..., None] * frequencies
    return Rotation(angles.cos(), angles.sin())


def rotate(x: Tensor, tables: Rotation, *, interleaved: bool = False) -> Tensor:
    """``x`` with its first ``dim`` channels turned; the others, if any, stay.

    Args:
        x: ``(B, H, L, d)``, ``d >= dim``.
        tables: of the same ``L`` positions.
        interleaved: pairs are neighbours (GPT-J) instead of the two halves (NeoX).

    Returns:
        ``(B, H, L, d)`` of the dtype of ``x``; computed in float32 or wider.
    """
    cos, sin = tables.cos[:, None], tables.sin[:, None]
    half = cos.shape[-1]
    if x.shape[-1] < 2 * half:
        raise ValueError(f"heads have {x.shape[-1]} channels, the rotary tables turn {2 * half}")
    turning, rest = x[..., : 2 * half], x[..., 2 * half :]
    if interleaved:
        first, second = turning[..., 0::2], turning[..., 1::2]
        turned = torch.stack((first * cos - second * sin, second * cos + first * sin), dim=-1).flatten(-2)
    else:
        first, second = turning[..., :half], turning[..., half:]
        turned = torch.cat((first * cos - second * sin, second * cos + first * sin), dim=-1)
    turned = turned.to(x.dtype)
    return torch.cat((turned, rest), dim=-1) if rest.shape[-1] else turned


def rotate_reference(
    x: Tensor,
    positions: Tensor,
    dim: int,
    *,
    base: float = 10_000.0,
    linear_factor: float = 1.0,
    ntk_factor: float = 1.0,
    interleaved: bool = False,
) -> Tensor:
    """`rotate` as the paper's complex product: each pair is a complex number, multiplied by ``exp(i angle)``; float64 inside."""
    wide_base = base * ntk_factor ** (dim / (dim - 2)) if ntk_factor != 1.0 else base
    frequencies = wide_base ** (-torch.arange(0, dim, 2, dtype=torch.float64, device=x.device) / dim)
    angles = (positions if positions.dim() == 2 else positions[None]).to(torch.float64)[..., None] / linear_factor * frequencies
    turning = x[..., :dim].to(torch.float64)
    pairs = turning.unflatten(-1, (-1, 2)) if interleaved else turning.unflatten(-1, (2, -1)).transpose(-1, -2)
    numbers = torch.view_as_complex(pairs.contiguous()) * torch.exp(1j * angles)[:, None]
    parts = torch.view_as_real(numbers)
    turned = parts.flatten(-2) if interleaved else parts.transpose(-1, -2).flatten(-2)
    return torch.cat((turned.to(x.dtype), x[..., dim:]), dim=-1)


def real_indices(mask: Tensor, start: Tensor | int = 0) -> Tensor:
    """Positions ``(B, L)`` that count real tokens only, so that padding on the left moves nothing.

    Args:
        mask: ``(B, L)`` bool, True at real tokens.
        start: tokens that came before, one number or ``(B,)``.

    >>> real_indices(torch.tensor([[False, True, True], [True, True, False]]))
    tensor([[0, 0, 1],
            [0, 1, 1]])
    """
    before = start[:, None] if isinstance(start, Tensor) else start
    return (mask.long().cumsum(dim=1) - 1).clamp(min=0) + before
