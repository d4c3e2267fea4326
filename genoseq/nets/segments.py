"""Position-wise functions over long sequences, a segment at a time, so that what is inside them never exists whole."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

__all__ = ["SEGMENT", "add_segments", "map_segments", "segments"]

SEGMENT = 16_384
"""Positions per segment: large enough that the overhead per segment is lost in its arithmetic, small beside a long sequence."""


def segments(length: int, size: int = SEGMENT) -> Iterator[slice]:
    """Slices that cover ``range(length)`` in order, each of at most ``size`` positions.

    >>> list(segments(5, 2))
    [slice(0, 2, None), slice(2, 4, None), slice(4, 5, None)]
    """
    for start in range(0, length, size):
        yield slice(start, min(start + size, length))


def map_segments(function: Callable[[Tensor], Tensor], x: Tensor, *, size: int = SEGMENT) -> Tensor:
    """``function(x)`` for a function that treats every position ``x[:, i]`` by itself.

    With gradients on, or on a short sequence, this is one call; otherwise one call per segment.

    Args:
        function: maps ``(B, l, D)`` to ``(B, l, E)`` for any ``l >= 1``.
        x: ``(B, L, D)``.
        size: positions per segment.
    """
    length = x.shape[1]
    if torch.is_grad_enabled() or length <= size:
        return function(x)
    first = function(x[:, :size])
    whole = first.new_empty(first.shape[0], length, *first.shape[2:])
    whole[:, :size] = first
    for part in segments(length, size):
        if part.start:
            whole[:, part] = function(x[:, part])
    return whole


def add_segments(x: Tensor, function: Callable[[Tensor], Tensor], *, size: int = SEGMENT) -> Tensor:
    """``x + function(x)`` for a position-wise function: the residual branch of a block.

    With gradients off the sum is made in place, a segment at a time: ``x`` is overwritten and returned.

    Args:
        x: ``(B, L, D)``.
        function: maps ``(B, l, D)`` to ``(B, l, D)`` for any ``l >= 1``.
        size: positions per segment.
    """
    if torch.is_grad_enabled():
        return x + function(x)
    for part in segments(x.shape[1], size):
        x[:, part] += function(x[:, part])
    return x
