"""ALiBi: attention scores fall linearly with distance, with a slope per head, instead of any embedding of positions.

Source: Press et al. 2022 (arXiv:2108.12409), section 3; the symmetric form for nets that look both ways is MosaicBERT's
(Portes et al. 2023, arXiv:2312.17482), which DNABERT-2 uses.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

__all__ = ["alibi_bias", "alibi_bias_reference", "alibi_slopes"]


def alibi_slopes(n_heads: int, *, device: torch.device | str | None = None) -> Tensor:
    """Slope of each head, ``(n_heads,)`` float32, all positive.

    For a power of two they are ``2 ** (-8 h / n_heads)`` for ``h`` = 1 to ``n_heads``. Any other number takes the slopes of the
    power of two below it, then every second slope of the power of two above it.

    Raises:
        ValueError: no heads.

    >>> alibi_slopes(4)
    tensor([0.2500, 0.0625, 0.0156, 0.0039])
    >>> alibi_slopes(6)
    tensor([0.2500, 0.0625, 0.0156, 0.0039, 0.5000, 0.1250])
    """
    if n_heads < 1:
        raise ValueError(f"ALiBi for {n_heads} heads; expected at least 1")
    below = 2 ** math.floor(math.log2(n_heads))
    exponents = [8 * (h + 1) / below for h in range(below)]
    exponents += [8 * (2 * h + 1) / (2 * below) for h in range(n_heads - below)]
    return torch.tensor([2.0**-exponent for exponent in exponents], dtype=torch.float32, device=device)


def alibi_bias(slopes: Tensor, queries: range, keys: range) -> Tensor:
    """What to add to the scores of a block of queries and keys: ``-slope * |query - key|``.

    With a causal mask on top this is the causal form too. Blocks keep the whole ``(H, L, L)`` from existing.

    Args:
        slopes: ``(H,)``.
        queries, keys: the positions of the block, step 1.

    Returns:
        ``(H, queries, keys)`` float32.

    >>> alibi_bias(torch.tensor([0.5]), range(1, 3), range(4)).tolist()
    [[[-0.5, -0.0, -0.5, -1.0], [-1.0, -0.5, -0.0, -0.5]]]
    """
    rows = torch.arange(queries.start, queries.stop, device=slopes.device, dtype=torch.float32)
    columns = torch.arange(keys.start, keys.stop, device=slopes.device, dtype=torch.float32)
    distance = (columns[None, :] - rows[:, None]).abs_().neg_()
    return slopes[:, None, None] * distance


def alibi_bias_reference(slopes: Tensor, length: int) -> Tensor:
    """The bias ``(H, L, L)`` of a whole sequence, one entry after the other."""
    bias = torch.zeros(len(slopes), length, length)
    for head, slope in enumerate(slopes.tolist()):
        for query in range(length):
            for key in range(length):
                bias[head, query, key] = -slope * abs(query - key)
    return bias
