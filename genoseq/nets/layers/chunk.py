"""Dynamic chunking: a net decides where one chunk of its input ends and the next begins (Hwang et al. 2025, "H-Net").

Routing finds the boundaries, `take_chunks` keeps one vector per chunk for an inner net, `spread_chunks` brings the inner net's
answer back to all positions. Parameter names are those of the public code.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import initialization as init

from genoseq.nets.ops.ema import moving_average

__all__ = ["Boundaries", "Router", "load_balancing_loss", "one_with_gradient", "spread_chunks", "take_chunks"]

LEAST = 1e-4
"""A chunk's weight in the moving average is kept this far from 0 and 1, as in the public code."""


class Boundaries(NamedTuple):
    """Where the chunks of one stage begin.

    Attributes:
        probability: ``(B, L)``, of a chunk beginning at this position.
        mask: ``(B, L)`` bool, True where one begins (never at padding).
        chosen: ``(B, L)``, probability of the choice that was made.
        counted: ``(B, L)`` bool, positions whose balance is looked at in training: all but the padding of the batch.
    """

    probability: Tensor
    mask: Tensor
    chosen: Tensor
    counted: Tensor


class Router(nn.Module):
    """A chunk begins where a position differs from the one before: the less alike their projections, the more likely."""

    def __init__(self, *, d_model: int) -> None:
        super().__init__()
        self.q_proj_layer = nn.Linear(d_model, d_model, bias=False)
        self.k_proj_layer = nn.Linear(d_model, d_model, bias=False)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Begin with the likeness of the vectors themselves."""
        init.eye_(self.q_proj_layer.weight)
        init.eye_(self.k_proj_layer.weight)

    def forward(
        self, x: Tensor, *, mask: Tensor | None = None, before: Tensor | None = None, filled: Tensor | None = None
    ) -> Boundaries:
        """Boundaries of ``(B, L, D)``.

        Args:
            x: ``(B, L, D)``.
            mask: ``(B, L)`` bool, False at padding; a chunk begins at the first real position.
            before: ``(B, D)``, the position before the first, if this is not the beginning of the sequence.
            filled: ``(B, L)`` bool, False where a row has no chunk of the stage around this one: none begins there either.
        """
        batch, length = x.shape[:2]
        q = functional.normalize(self.q_proj_layer(x[:, :-1]), dim=-1)
        k = functional.normalize(self.k_proj_layer(x), dim=-1)
        likeness = (q * k[:, 1:]).sum(dim=-1)
        probability = ((1 - likeness) / 2).clamp(0, 1)
        if before is None:
            first = probability.new_ones(batch, 1)
        else:
            alike = (functional.normalize(self.q_proj_layer(before), dim=-1) * k[:, 0]).sum(dim=-1, keepdim=True)
            first = ((1 - alike) / 2).clamp(0, 1)
        probability = torch.cat([first, probability], dim=1)
        real = torch.ones(batch, length, dtype=torch.bool, device=x.device) if mask is None else mask
        if mask is not None and before is None:
            begins = mask & (mask.cumsum(dim=1) == 1)
            probability = torch.where(begins, torch.ones_like(probability), probability)
        boundary = probability > 0.5
        chosen = torch.where(boundary, probability, 1 - probability)
        return Boundaries(probability, boundary & real if filled is None else boundary & real & filled, chosen, real)


def take_chunks(x: Tensor, boundaries: Boundaries) -> tuple[Tensor, Tensor | None]:
    """The vector at the beginning of each chunk, ``(B, M, D)``, and the mask ``(B, M)`` of real chunks (None if all are)."""
    counts = boundaries.mask.sum(dim=1)
    most = int(counts.max())
    order = _chunks_first(boundaries.mask, most)
    taken = x.gather(1, order[..., None].expand(-1, -1, x.shape[-1]))
    mask = torch.arange(most, device=x.device) < counts[:, None]
    return taken, None if bool(mask.all()) else mask


def spread_chunks(chunks: Tensor, boundaries: Boundaries, *, initial: Tensor | None = None) -> Tensor:
    """A vector for every position ``(B, L, D)`` from one per chunk ``(B, M, D)``: their moving average, by the probabilities.

    Args:
        chunks: ``(B, M, D)``; ``M`` may be 0 if there is an ``initial``.
        boundaries: of the positions.
        initial: ``(B, D)``, the average before the first position, if this is not the beginning of the sequence.
    """
    if chunks.shape[1]:
        p = boundaries.probability.float().clamp(LEAST, 1 - LEAST).gather(1, _chunks_first(boundaries.mask, chunks.shape[1]))
        averages = moving_average(chunks, p, initial=initial)
        at = boundaries.mask.cumsum(dim=1) - 1
    else:
        averages = chunks.new_zeros(chunks.shape[0], 0, chunks.shape[2])
        at = boundaries.mask.long() - 1
    if initial is not None:  # positions before the first chunk of this piece continue the last one
        averages = torch.cat([initial[:, None].to(averages.dtype), averages], dim=1)
        at = at + 1
    return averages.gather(1, at.clamp(min=0)[..., None].expand(-1, -1, chunks.shape[-1]))


def one_with_gradient(p: Tensor) -> Tensor:
    """Exactly 1, with the gradient of ``p`` (a straight-through estimator)."""
    return p - p.detach() + 1


def load_balancing_loss(boundaries: Boundaries, target: float) -> Tensor:
    """What pushes a stage to ``target`` positions per chunk; 1 where it is reached (equation 10 of the paper).

    Args:
        boundaries: of the stage; the padding of the batch does not count.
        target: positions per chunk wanted, above 1.
    """
    counted = boundaries.counted
    share = boundaries.mask[counted].float().mean()
    probability = boundaries.probability[counted].float().mean()
    return ((1 - share) * (1 - probability) + share * probability * (target - 1)) * target / (target - 1)


def _chunks_first(mask: Tensor, most: int) -> Tensor:
    """Positions ``(B, most)`` of the True entries of each row, in order, then of others."""
    return torch.argsort((~mask).to(torch.int8), dim=1, stable=True)[:, :most]
