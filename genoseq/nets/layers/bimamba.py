"""Mamba in both directions: a scan along the sequence and one against it, joined (Schiff et al. 2024, section 3.1)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from genoseq.errors import UsageError
from genoseq.nets.layers.mamba import Mamba, MambaCache

__all__ = ["BiMamba"]

STRATEGIES = ("add", "ew_multiply")


class BiMamba(nn.Module):
    """Two Mamba mixers, the second over the reversed sequence; their projections may be one and the same.

    Parameter names are those of the public Caduceus code (``mamba_fwd``, ``mamba_rev``).

    Args:
        d_model: channels.
        bidirectional: False leaves the forward mixer alone (and allows a cache).
        strategy: ``add`` the two directions, or ``ew_multiply`` them.
        tie: share ``in_proj`` and ``out_proj`` between the directions, where most parameters are.
        mamba: further arguments of `Mamba`.
    """

    def __init__(
        self, *, d_model: int, bidirectional: bool = True, strategy: str | None = "add", tie: bool = True, **mamba: Any
    ) -> None:
        super().__init__()
        strategy = strategy or "add"
        if strategy not in STRATEGIES:
            raise UsageError(f"unknown way to join the directions {strategy!r}: known are {', '.join(STRATEGIES)}")
        self.strategy = strategy
        self.tied = bidirectional and tie
        self.mamba_fwd = Mamba(d_model=d_model, **mamba)
        self.mamba_rev: Mamba | None = None
        if bidirectional:
            self.mamba_rev = Mamba(d_model=d_model, **mamba)
            if tie:
                self._tied_weights_keys = {}
                for name in ("in_proj", "out_proj"):
                    mine, theirs = getattr(self.mamba_rev, name), getattr(self.mamba_fwd, name)
                    mine.weight = theirs.weight
                    mine.bias = theirs.bias
                    for kind in ("weight", "bias"):
                        if getattr(theirs, kind) is not None:
                            self._tied_weights_keys[f"mamba_rev.{name}.{kind}"] = f"mamba_fwd.{name}.{kind}"

    def forward(
        self, x: Tensor, *, mask: Tensor | None = None, cache: MambaCache | None = None, use_cache: bool = False
    ) -> tuple[Tensor, MambaCache | None]:
        """Mix ``(B, L, D)`` along the sequence.

        Raises:
            UsageError: a cache is asked for, but the net also reads backwards.
        """
        if self.mamba_rev is None:
            alone: tuple[Tensor, MambaCache | None] = self.mamba_fwd(x, mask=mask, cache=cache, use_cache=use_cache)
            return alone
        if cache is not None or use_cache:
            raise UsageError("this net reads the sequence in both directions: it cannot go on from a cache")
        y, _ = self.mamba_fwd(x, mask=mask)
        back, _ = self.mamba_rev(x, mask=mask, reverse=True)
        if torch.is_grad_enabled():
            return (y + back if self.strategy == "add" else y * back), None
        return (y.add_(back) if self.strategy == "add" else y.mul_(back)), None
