"""One vector per sequence from one per position."""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor

from genoseq.errors import UsageError

__all__ = ["POOLS", "Pool", "pool"]

Pool = Literal["mean", "last", "first"]
POOLS: tuple[str, ...] = get_args(Pool)


def pool(hidden: Tensor, mask: Tensor | None, how: str) -> Tensor:
    """Pooled vectors ``(B, D)`` of hidden states ``(B, L, D)``; padded positions do not count.

    Args:
        hidden: ``(B, L, D)``.
        mask: ``(B, L)`` bool, True at positions that count; None if all do.
        how: ``mean`` over positions (summed in float32 or wider), ``last`` or ``first`` position that counts.

    Raises:
        UsageError: an unknown way to pool.
    """
    if how not in POOLS:
        raise UsageError(f"unknown pooling {how!r}: known are {', '.join(POOLS)}")
    wide = torch.promote_types(hidden.dtype, torch.float32)
    if mask is None:
        if how == "mean":
            return hidden.mean(dim=1, dtype=wide).to(hidden.dtype)
        return hidden[:, -1 if how == "last" else 0]
    if how == "mean":
        # A matrix product: the masked copy of a long sequence would be as large as the sequence.
        weights = mask.to(wide) / mask.sum(dim=1, keepdim=True).to(wide)
        return torch.einsum("bl,bld->bd", weights, hidden.to(wide)).to(hidden.dtype)
    positions = torch.arange(mask.shape[1], device=mask.device)
    if how == "last":
        at = positions.masked_fill(~mask, -1).amax(dim=1)
    else:
        at = positions.masked_fill(~mask, mask.shape[1]).amin(dim=1)
    return hidden[torch.arange(hidden.shape[0], device=hidden.device), at]
