"""Feed-forward layers: two or three linear maps at every position by itself, with the parameter names of the family they serve.

Gated forms (GLU): Shazeer 2020 (arXiv:2002.05202). Without gradients a long sequence goes through in segments, so that the inner
activation, several times as wide as the input, never exists whole.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional

from genoseq.nets.segments import map_segments

__all__ = ["ACTIVATIONS", "FeedForward", "GatedFeedForward", "activation", "rounded_inner_size", "segment_size"]

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "gelu": functional.gelu,
    "gelu_tanh": partial(functional.gelu, approximate="tanh"),
    "gelu_new": partial(functional.gelu, approximate="tanh"),
    "gelu_pytorch_tanh": partial(functional.gelu, approximate="tanh"),
    "silu": functional.silu,
    "swish": functional.silu,
    "relu": functional.relu,
    "sigmoid": torch.sigmoid,
    "identity": lambda x: x,
}


def activation(name: str) -> Callable[[Tensor], Tensor]:
    """The function of that name.

    Raises:
        ValueError: there is none; lists those known.
    """
    if name not in ACTIVATIONS:
        raise ValueError(f"unknown activation {name!r}: known are {', '.join(ACTIVATIONS)}")
    return ACTIVATIONS[name]


def segment_size(width: int) -> int:
    """Positions to work on at once without gradients: a few million numbers per tensor, whatever the width."""
    return max(256, min(16_384, (1 << 22) // max(width, 1)))


def rounded_inner_size(d_model: int, multiple_of: int) -> int:
    """Inner width of a gated layer with about as many parameters as a plain one of ``4 d_model``: ``8/3 d_model``, rounded up.

    >>> rounded_inner_size(4096, 16)
    10928
    """
    return -(-int(2 * d_model * 4 / 3) // multiple_of) * multiple_of


class FeedForward(nn.Module):
    """``second(act(first(x)))``.

    Args:
        d_model: channels in and out.
        d_inner: channels between the two maps.
        act: name of the activation; ``gelu`` is the exact one.
        bias: of both maps.
        dropout: after the activation, in training.
        names: of the two maps.
    """

    def __init__(
        self,
        *,
        d_model: int,
        d_inner: int,
        act: str = "gelu",
        bias: bool = True,
        dropout: float = 0.0,
        names: Sequence[str] = ("fc1", "fc2"),
    ) -> None:
        super().__init__()
        first, second = names
        self.add_module(first, nn.Linear(d_model, d_inner, bias=bias))
        self.add_module(second, nn.Linear(d_inner, d_model, bias=bias))
        self.names, self.dropout = (first, second), dropout
        self.act = activation(act)
        self.segment = segment_size(d_inner)

    def forward(self, x: Tensor) -> Tensor:
        """``(B, L, D)`` to ``(B, L, D)``."""
        return map_segments(self._one, x, size=self.segment)

    def _one(self, x: Tensor) -> Tensor:
        first, second = (self.get_submodule(name) for name in self.names)
        inner = functional.dropout(self.act(first(x)), self.dropout, self.training)
        out: Tensor = second(inner)
        return out


class GatedFeedForward(nn.Module):
    """``down(act(gate(x)) * up(x))``: SwiGLU with ``silu``, GeGLU with ``gelu``.

    Args:
        d_model: channels in and out.
        d_inner: channels of gate and up.
        act: name of the activation of the gate.
        bias: of the maps into the layer.
        out_bias: of the map out of it; as ``bias`` unless given.
        dropout: before the map out, in training.
        names: ``(gate, up, down)``, or ``(both, down)`` where one map makes gate and up side by side.
        gate_first: in a joint map, the first half is the gate (DNABERT-2, Nucleotide Transformer) or the second (H-Net).
    """

    def __init__(
        self,
        *,
        d_model: int,
        d_inner: int,
        act: str = "silu",
        bias: bool = False,
        out_bias: bool | None = None,
        dropout: float = 0.0,
        names: Sequence[str] = ("gate", "up", "down"),
        gate_first: bool = True,
    ) -> None:
        super().__init__()
        if len(names) not in (2, 3):
            raise ValueError(f"a gated layer has two or three maps, not {len(names)}")
        self.names, self.gate_first, self.dropout = tuple(names), gate_first, dropout
        width = 2 * d_inner if len(names) == 2 else d_inner
        for name in names[:-1]:
            self.add_module(name, nn.Linear(d_model, width, bias=bias))
        self.add_module(names[-1], nn.Linear(d_inner, d_model, bias=bias if out_bias is None else out_bias))
        self.act = activation(act)
        self.segment = segment_size(2 * d_inner)

    def forward(self, x: Tensor) -> Tensor:
        """``(B, L, D)`` to ``(B, L, D)``."""
        return map_segments(self._one, x, size=self.segment)

    def _one(self, x: Tensor) -> Tensor:
        *into, down = (self.get_submodule(name) for name in self.names)
        gate, up = into[0](x).chunk(2, dim=-1) if len(into) == 1 else (into[0](x), into[1](x))
        if not self.gate_first:
            gate, up = up, gate
        inner = functional.dropout(self.act(gate) * up, self.dropout, self.training)
        out: Tensor = down(inner)
        return out
