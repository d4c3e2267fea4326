"""Exponential moving average with a weight of its own at every position: ``y[t] = (1 - p[t]) y[t - 1] + p[t] x[t]``.

H-Net spreads the vectors of its chunks over the positions with it (Hwang et al. 2025, equation 5).
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["moving_average", "moving_average_reference"]

CHUNK = 128


def moving_average_reference(x: Tensor, p: Tensor, *, initial: Tensor | None = None) -> Tensor:
    """The average position by position; arguments and result as in `moving_average`."""
    state = torch.zeros_like(x[:, 0]) if initial is None else initial
    steps = []
    for t in range(x.shape[1]):
        weight = p[:, t, None]
        state = (1 - weight) * state + weight * x[:, t]
        steps.append(state)
    return torch.stack(steps, dim=1)


def moving_average(x: Tensor, p: Tensor, *, initial: Tensor | None = None) -> Tensor:
    """The average ``(B, L, D)``, as matrix products within chunks of positions; float32 or wider inside.

    Args:
        x: ``(B, L, D)``, at least one position.
        p: ``(B, L)``, each in ``[0, 1)``.
        initial: ``(B, D)``, the average before the first position; zero unless given.
    """
    dtype = torch.promote_types(x.dtype, torch.float32)
    state = torch.zeros_like(x[:, 0], dtype=dtype) if initial is None else initial.to(dtype)
    parts = []
    for part, weight in zip(x.split(CHUNK, dim=1), p.split(CHUNK, dim=1), strict=True):
        # Sums of logarithms reach thousands while their differences must stay exact: float64, which is cheap without channels.
        decay = torch.log1p(-weight.double()).cumsum(dim=1)
        between = (decay[:, :, None] - decay[:, None, :]).tril().exp().tril()
        mixing = (between * weight.double()[:, None, :]).to(dtype)
        y = mixing @ part.to(dtype) + decay.exp().to(dtype)[:, :, None] * state[:, None, :]
        state = y[:, -1]
        parts.append(y)
    return torch.cat(parts, dim=1).to(x.dtype)
