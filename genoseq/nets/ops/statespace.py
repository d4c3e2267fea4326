"""Layers of linear state spaces: convolution over a whole sequence, and going on from the state that earlier pieces left.

A state space with one input per channel is a causal convolution, whose kernel has as many taps as the sequence has positions.
What earlier pieces add is the response to the state they left: with it, pieces of a sequence give what the whole gives.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from genoseq.nets.ops.fftconv import bidirectional_convolution, channel_groups, fft_convolution

__all__ = ["System", "at_least_float32", "state_space_convolution"]

# Values per array that holds a group of channels over all positions, without gradients.
_GROUP_VALUES = 1 << 24


class System(Protocol):
    """State spaces of ``H`` channels with ``C`` outputs each, after discretisation."""

    def select(self, channels: slice) -> System:
        """The same for some channels."""

    def taps(self, length: int) -> Tensor:
        """The convolution kernels ``(C, H, L)``."""

    def response(self, state: Tensor, length: int) -> Tensor:
        """Outputs ``(B, C, H, L)`` of a state without input."""

    def after(self, u: Tensor, state: Tensor | None) -> Tensor:
        """The state after the input ``(B, H, L)``; None stands for zeros."""


def state_space_convolution(
    x: Tensor,
    system: System | Tensor,
    skip: Tensor,
    *,
    length: int | None = None,
    mask: Tensor | None = None,
    state: Tensor | None = None,
    keep_state: bool = False,
) -> tuple[Tensor, Tensor | None]:
    """Every channel through its state space, plus a skip term. Without gradients, a group of channels at a time.

    Args:
        x: ``(B, L, H)``.
        system: of ``H`` channels, or their kernels ``(C, H, K)``. With twice as many outputs as ``skip`` has, the second half
            looks ahead, from the next position on.
        skip: ``(C, H)``.
        length: most taps of the kernels; all of the sequence if None.
        mask: ``(B, L)`` bool, True at real positions; padding counts as zeros.
        state: after the piece before this one; None at the start.
        keep_state: whether to return the state after this piece.

    Returns:
        ``(B, L, C, H)``, and the state if asked for.
    """
    size, (outputs, channels) = x.shape[1], skip.shape
    taps = size if length is None else min(size, length)
    kind = torch.float64 if torch.float64 in (x.dtype, skip.dtype) else torch.float32
    grouped = not torch.is_grad_enabled()
    groups = list(channel_groups(channels, x.shape[0] * size, limit=_GROUP_VALUES)) if grouped else [slice(0, channels)]
    y = x.new_empty(x.shape[0], size, outputs, channels) if len(groups) > 1 else None
    states: list[Tensor] = []
    for group in groups:
        u = x[:, :, group].transpose(1, 2)
        u = u.contiguous() if mask is None else u.masked_fill(~mask[:, None], 0)
        some = system[:, group] if isinstance(system, Tensor) else system.select(group)
        kernel = (some if isinstance(some, Tensor) else some.taps(taps)).to(kind)
        if kernel.shape[0] == outputs:
            parts = [fft_convolution(u, kernel[c], skip[c, group]) for c in range(outputs)]
        else:
            parts = [bidirectional_convolution(u, kernel[c], kernel[outputs + c], skip[c, group]) for c in range(outputs)]
        if not isinstance(some, Tensor):
            if state is not None:
                response = some.response(state[:, group], size).to(x.dtype)
                parts = [part + response[:, c] for c, part in enumerate(parts)]
            if keep_state:
                states.append(some.after(u.to(kind), None if state is None else state[:, group]))
        if y is None:
            y = (torch.stack(parts, dim=1) if outputs > 1 else parts[0].unsqueeze(1)).permute(0, 3, 1, 2)
        else:
            for c, part in enumerate(parts):
                y[:, :, c, group] = part.transpose(1, 2)
    assert y is not None  # there are channels
    return y, torch.cat(states, dim=1) if states else None


def at_least_float32(tensor: Tensor) -> Tensor:
    """Half precision as float32, anything else as it is: steps and phases of long sequences need the digits."""
    return tensor.float() if tensor.dtype in (torch.float16, torch.bfloat16) else tensor
