"""S4: every channel through a linear state space of its own, diagonal or diagonal plus low rank, then a mixing of channels.

Sources: Gu et al. 2022, "Efficiently Modeling Long Sequences with Structured State Spaces" (https://arxiv.org/abs/2111.00396),
and ``S4Block`` of ``models/s4/s4.py`` in https://github.com/state-spaces/s4 (version 4), whose parameter names are kept:
``layer.D``, ``layer.kernel.*``, ``output_linear.0.*``.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from transformers import initialization as init

from genoseq.errors import UsageError
from genoseq.nets.layers.s4_kernel import DiagonalKernel, LowRankKernel
from genoseq.nets.ops.diagonal import DiagonalSystem
from genoseq.nets.ops.dplr import DenseSystem
from genoseq.nets.ops.statespace import state_space_convolution
from genoseq.nets.segments import map_segments, segments

__all__ = ["S4", "S4Cache", "S4Convolution"]

_ACTIVATIONS: dict[str, type[nn.Module]] = {
    "identity": nn.Identity,
    "id": nn.Identity,
    "linear": nn.Identity,
    "tanh": nn.Tanh,
    "relu": nn.ReLU,
    "gelu": nn.GELU,
    "elu": nn.ELU,
    "swish": nn.SiLU,
    "silu": nn.SiLU,
    "glu": nn.GLU,
    "sigmoid": nn.Sigmoid,
    "softplus": nn.Softplus,
}


class S4Cache(NamedTuple):
    """What an S4 layer remembers of a sequence: constant memory.

    Attributes:
        state: ``(B, H, N / 2)`` complex, or ``(B, H, N)`` real parts and imaginary parts with a low rank.
        system: the discretised state spaces, so that a step does not make them.
        length: positions so far.
    """

    state: Tensor
    system: DiagonalSystem | DenseSystem
    length: int


class S4Convolution(nn.Module):
    """The state spaces as convolutions, a skip term, and an activation (``FFTConv`` in the public code).

    Args:
        d_model: channels ``H``.
        l_max: most taps of the convolution; None for as many as there are positions.
        channels: outputs per channel ``C``.
        swap_channels: order the outputs by channel first.
        bidirectional: a second set of state spaces looks ahead.
        activation: after the convolution; ``"glu"`` doubles the outputs and gates half of them with the other half.
        dropout: before the activation.
        tie_dropout: drop a channel at all positions or at none.
        drop_kernel: dropout of kernel taps.
        mode: ``"dplr"`` (S4) or ``"diag"`` (S4D).
        settings: of the kernel, see `genoseq.nets.layers.s4_kernel`.
    """

    def __init__(
        self,
        *,
        d_model: int,
        l_max: int | None = None,
        channels: int = 1,
        swap_channels: bool = False,
        bidirectional: bool = False,
        activation: str | None = "gelu",
        dropout: float = 0.0,
        tie_dropout: bool = False,
        drop_kernel: float = 0.0,
        mode: Literal["dplr", "diag"] = "dplr",
        **settings: object,
    ) -> None:
        super().__init__()
        self.l_max, self.swap_channels, self.bidirectional = l_max, swap_channels, bidirectional
        self.d_output = d_model * channels
        outputs = channels * (2 if activation == "glu" else 1)
        self.D = nn.Parameter(torch.empty(outputs, d_model))
        directions = 2 if bidirectional else 1
        if mode == "dplr":
            self.kernel: DiagonalKernel = LowRankKernel(d_model=d_model, channels=outputs * directions, l_max=l_max, **settings)
        elif mode == "diag":
            self.kernel = DiagonalKernel(d_model=d_model, channels=outputs * directions, **settings)  # type: ignore[arg-type]
        else:
            raise UsageError(f"S4 of mode {mode!r}: known are 'dplr' (diagonal plus low rank) and 'diag'")
        self.activation = _activation(activation)
        self.drop = _Dropout(dropout, tied=tie_dropout)
        self.drop_kernel = nn.Dropout(drop_kernel)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the skip weights from a standard normal distribution (the kernel initialises itself)."""
        init.normal_(self.D)

    def forward(
        self, x: Tensor, *, mask: Tensor | None = None, cache: S4Cache | None = None, use_cache: bool = False
    ) -> tuple[Tensor, S4Cache | None]:
        """``(B, L, H)`` to ``(B, L, outputs H)`` before the activation, and the cache if asked for; see `S4.forward`."""
        size = x.shape[1]
        carried = use_cache or cache is not None
        length = size + (0 if cache is None else cache.length)
        if carried and self.bidirectional:
            raise UsageError("a bidirectional S4 layer sees what is to come: a sequence cannot be given in pieces")
        if carried and self.l_max is not None and length > self.l_max:
            raise UsageError(
                f"the sequence has {length:,} positions, this S4 layer's kernel ends after l_max = {self.l_max:,}, where a state "
                f"carried on does not: give the whole sequence at once, or pieces of at most {self.l_max:,} in all"
            )
        system: DiagonalSystem | DenseSystem | Tensor
        if cache is not None:
            system = cache.system
        else:
            taps = size if self.l_max is None else min(size, self.l_max)
            dropped = self.training and self.drop_kernel.p > 0
            kernel = None if carried else self.kernel(taps) if dropped else self.kernel.taps(taps)
            system = self.kernel.system() if kernel is None else self.drop_kernel(kernel)
        y, state = state_space_convolution(
            x,
            system,
            self.D,
            length=self.l_max,
            mask=mask,
            state=None if cache is None else cache.state,
            keep_state=use_cache,
        )
        y = y.transpose(2, 3).flatten(2) if self.swap_channels else y.flatten(2)
        if state is None or isinstance(system, Tensor):
            return y, None
        return y, S4Cache(state, system, length)

    def activate(self, y: Tensor) -> Tensor:
        """Dropout and activation, ``(B, L, outputs H)`` to ``(B, L, d_output)``."""
        activated: Tensor = self.activation(self.drop(y))
        return activated


class S4(nn.Module):
    """Mixes positions by state spaces and channels by a linear map, ``(B, L, H)`` to the same (``S4Block`` in the public code).

    Args:
        d_model: channels ``H``.
        mult_act: activation before the linear map.
        final_act: activation after it; ``"glu"`` gates. None for no linear map.
        dropout: before the state spaces' activation, and before the linear map.
        tie_dropout: drop a channel at all positions or at none.
        settings: of the state spaces, see `S4Convolution` and `genoseq.nets.layers.s4_kernel`.

    Raises:
        UsageError: settings outside these.
    """

    def __init__(
        self,
        *,
        d_model: int,
        mult_act: str | None = None,
        final_act: str | None = "glu",
        dropout: float = 0.0,
        tie_dropout: bool = False,
        **settings: object,
    ) -> None:
        super().__init__()
        self.layer = S4Convolution(d_model=d_model, dropout=dropout, tie_dropout=tie_dropout, **settings)  # type: ignore[arg-type]
        self.mult_activation = _activation(mult_act)
        self.drop = _Dropout(dropout, tied=tie_dropout)
        self.output_linear: nn.Module = nn.Identity()
        if final_act is not None:
            width = 2 * d_model if final_act == "glu" else d_model
            self.output_linear = nn.Sequential(nn.Linear(self.layer.d_output, width), _activation(final_act))

    def forward(
        self, x: Tensor, *, mask: Tensor | None = None, cache: S4Cache | None = None, use_cache: bool = False
    ) -> tuple[Tensor, S4Cache | None]:
        """Mix positions and channels.

        Args:
            x: ``(B, L, H)``.
            mask: ``(B, L)`` bool, True at real positions; None if all are.
            cache: from the piece of the sequence before this one.
            use_cache: whether to return what the next piece needs.

        Returns:
            ``(B, L, H)``, and the cache if asked for.

        Raises:
            UsageError: a cache for a bidirectional layer, or for more positions than the kernel has.
        """
        y, after = self.layer(x, mask=mask, cache=cache, use_cache=use_cache)
        if torch.is_grad_enabled() or self.training:
            return self._mix_channels(y), after
        if y.shape[-1] != x.shape[-1]:
            return map_segments(self._mix_channels, y), after
        for part in segments(y.shape[1]):
            y[:, part] = self._mix_channels(y[:, part])
        return y, after

    def _mix_channels(self, y: Tensor) -> Tensor:
        mixed: Tensor = self.output_linear(self.drop(self.mult_activation(self.layer.activate(y))))
        return mixed


class _Dropout(nn.Module):
    """Dropout of values ``(B, L, D)``, or of channels at all positions at once."""

    def __init__(self, p: float, *, tied: bool) -> None:
        super().__init__()
        self.drop = nn.Dropout1d(p) if tied else nn.Dropout(p)
        self.tied = tied

    def forward(self, x: Tensor) -> Tensor:
        dropped: Tensor = self.drop(x.transpose(1, 2)).transpose(1, 2) if self.tied else self.drop(x)
        return dropped


def _activation(name: str | None) -> nn.Module:
    if name is None:
        return nn.Identity()
    if name not in _ACTIVATIONS:
        raise UsageError(f"activation {name!r}: known are {', '.join(_ACTIVATIONS)}")
    return _ACTIVATIONS[name]()
