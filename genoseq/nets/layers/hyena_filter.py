"""The implicit filters of Hyena: taps of long convolutions as a function of their position.

Source: Poli et al. 2023, "Hyena Hierarchy" (https://arxiv.org/abs/2302.10866), section 3.3 and appendix D; parameter names are
those of the public code of HyenaDNA (https://github.com/HazyResearch/hyena-dna). With ``z(t)`` made of time and waves,

    h_c(t) = (exp(-|delta_c| t) + shift) net(z(t))_c
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeGuard

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import initialization as init

from genoseq.errors import UsageError
from genoseq.nets.ops.statespace import at_least_float32
from genoseq.nets.segments import segments

__all__ = ["FilterPositions", "FilterWindow", "HyenaFilter", "Sin"]


class Sin(nn.Module):
    """``sin(freq x)`` with one frequency per feature; one instance is shared by all layers of a filter.

    Args:
        width: features.
        frequency: initial value of all frequencies.
        trained: whether the frequencies are a parameter; otherwise they are not in the state dict, as in the public code.
    """

    freq: Tensor

    def __init__(self, *, width: int, frequency: float, trained: bool) -> None:
        super().__init__()
        self.frequency = frequency
        if trained:
            self.freq = nn.Parameter(torch.empty(1, width))
        else:
            self.register_buffer("freq", torch.empty(1, width), persistent=False)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Set all frequencies to the initial one."""
        init.constant_(self.freq, self.frequency)

    def forward(self, x: Tensor) -> Tensor:
        """``(..., width)`` to the same shape."""
        return torch.sin(at_least_float32(self.freq) * x)


class FilterPositions(nn.Module):
    """What a filter knows of each position: ``z`` ``(1, l_max, emb_dim)``, and time ``t`` ``(1, l_max, 1)`` from 0 to 1.

    Args:
        l_max: positions.
        emb_dim: odd, at least 3: time, and a cosine and a sine of each of ``(emb_dim - 1) / 2`` frequencies.
        trained: whether ``z`` is a parameter.
    """

    z: Tensor
    t: Tensor

    def __init__(self, *, l_max: int, emb_dim: int, trained: bool) -> None:
        super().__init__()
        self.l_max, self.bands = l_max, (emb_dim - 1) // 2
        z = torch.empty(1, l_max, emb_dim)
        if trained:
            self.z = nn.Parameter(z)
        else:
            self.register_buffer("z", z)
        self.register_buffer("t", torch.empty(1, l_max, 1))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Set ``t`` from 0 to 1 and ``z`` to ``t`` and the waves of whole periods over ``l_max``."""
        z, t = self._values()
        init.copy_(self.t, t)
        init.copy_(self.z, z)

    def _values(self) -> tuple[Tensor, Tensor]:
        like: dict[str, Any] = {"dtype": torch.float32, "device": self.t.device}
        t = torch.linspace(0, 1, self.l_max, **like)[None, :, None]
        angle = 2 * math.pi * torch.linspace(0, self.l_max - 1, self.l_max, **like)[None, :, None] / self.l_max
        phase = -torch.linspace(1e-4, self.bands - 1, self.bands, **like) * angle
        return torch.cat([t, phase.cos(), phase.sin()], dim=-1), t

    def forward(self, start: int, stop: int) -> tuple[Tensor, Tensor]:
        """``z`` ``(l, emb_dim)`` and ``t`` ``(l,)`` of positions ``start`` to ``stop``, at least float32.

        What was loaded in half precision, where neighbours far from the start are the same, is made anew unless it was trained.
        """
        z, t = self.z, self.t
        if t.dtype in (torch.float16, torch.bfloat16):
            exact, t = self._values()
            z = z.float() if isinstance(z, nn.Parameter) else exact
        return z[0, start:stop], t[0, start:stop, 0]


class FilterWindow(nn.Module):
    """Exponential decay that a filter is multiplied by: ``exp(-|delta| t) + shift``, with one ``delta`` per channel.

    Args:
        channels: channels.
        fast, slow: fractions of ``l_max`` after which the fastest and the slowest channel have fallen to ``target``.
        target: see above.
        shift: what remains of every tap.
        trained: whether the decays are a parameter.
    """

    deltas: Tensor

    def __init__(self, *, channels: int, fast: float, slow: float, target: float, shift: float, trained: bool) -> None:
        super().__init__()
        self.shift = shift
        self.range = (math.log(target) / slow, math.log(target) / fast)
        deltas = torch.empty(1, 1, channels)
        if trained:
            self.deltas = nn.Parameter(deltas)
        else:
            self.register_buffer("deltas", deltas)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Spread the decays evenly between the slowest and the fastest."""
        init.copy_(self.deltas, torch.linspace(*self.range, self.deltas.shape[-1], device=self.deltas.device)[None, None])

    def forward(self, taps: Tensor, t: Tensor, rows: slice) -> Tensor:
        """Taps ``(C, l)`` of the channels ``rows`` at times ``t`` ``(l,)``, weighted."""
        decay = torch.exp(-t * at_least_float32(self.deltas[0, 0, rows, None]).abs())
        return taps * (decay + self.shift) if torch.is_grad_enabled() else taps.mul_(decay.add_(self.shift))


class HyenaFilter(nn.Module):
    """Long filters as a function of the position: a small net with sine activations, times a decay.

    All of it stays in float32 when a net is cast to half precision, which cannot tell neighbours in a long sequence apart.

    Args:
        channels: filters, each with ``l_max`` taps and one skip weight (``bias``).
        l_max: taps.
        emb_dim: features of a position.
        filter_order: width of the net.
        num_inner_mlps: its hidden layers after the first.
        activation_freq: initial frequency of the sines (``w`` in the original's configuration).
        train_freq, train_pos_emb, train_deltas: whether frequencies, positions and decays are parameters.
        modulate: whether there is a decay.
        fast_decay_pct, slow_decay_pct, target, shift: the decay, see `FilterWindow`.

    Raises:
        UsageError: ``emb_dim`` is not odd or less than 3.
    """

    def __init__(
        self,
        *,
        channels: int,
        l_max: int,
        emb_dim: int = 5,
        filter_order: int = 64,
        num_inner_mlps: int = 2,
        activation_freq: float = 10.0,
        train_freq: bool = True,
        train_pos_emb: bool = False,
        train_deltas: bool = False,
        modulate: bool = True,
        fast_decay_pct: float = 0.3,
        slow_decay_pct: float = 1.5,
        target: float = 1e-2,
        shift: float = 0.05,
    ) -> None:
        super().__init__()
        if emb_dim < 3 or emb_dim % 2 == 0:
            raise UsageError(
                f"emb_dim is {emb_dim}, expected an odd number of at least 3 (time, then a cosine and a sine per frequency)"
            )
        self.channels, self.l_max, self.modulate = channels, l_max, modulate
        self.bias = nn.Parameter(torch.empty(channels))
        self.pos_emb = FilterPositions(l_max=l_max, emb_dim=emb_dim, trained=train_pos_emb)
        sine = Sin(width=filter_order, frequency=activation_freq, trained=train_freq)
        layers: list[nn.Module] = [nn.Linear(emb_dim, filter_order), sine]
        for _ in range(num_inner_mlps):
            layers += [nn.Linear(filter_order, filter_order), sine]
        self.width = filter_order
        self.implicit_filter = nn.Sequential(*layers, nn.Linear(filter_order, channels, bias=False))
        if train_freq:  # one sine for all layers: for savers, which keep one name of it
            copies = range(3, 2 * num_inner_mlps + 2, 2)
            self._tied_weights_keys = {f"implicit_filter.{i}.freq": "implicit_filter.1.freq" for i in copies}
        self.modulation = FilterWindow(
            channels=channels, fast=fast_decay_pct, slow=slow_decay_pct, target=target, shift=shift, trained=train_deltas
        )
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the skip weights from a standard normal distribution (the parts initialise themselves)."""
        init.normal_(self.bias)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> HyenaFilter:
        def precise(tensor: Tensor) -> Tensor:
            moved = fn(tensor)
            half = moved.dtype in (torch.float16, torch.bfloat16)
            return tensor.to(moved.device) if half and tensor.dtype == torch.float32 else moved

        super()._apply(precise, recurse)
        return self

    def features(self, start: int, stop: int) -> Tensor:
        """The net's last hidden layer ``(l, filter_order)`` at positions ``start`` to ``stop``."""
        z: Tensor = self.pos_emb(start, stop)[0]
        with torch.autocast(z.device.type, enabled=False):
            if torch.is_grad_enabled():
                return self._hidden(z)
            whole = z.new_empty(stop - start, self.width)
            for part in segments(stop - start):
                whole[part] = self._hidden(z[part])
            return whole

    def _hidden(self, x: Tensor) -> Tensor:
        for layer in list(self.implicit_filter)[:-1]:
            if _is_linear(layer):
                x = F.linear(x, at_least_float32(layer.weight), at_least_float32(layer.bias))
                continue
            x = layer(x)
        return x

    def taps(self, features: Tensor, start: int, rows: slice) -> Tensor:
        """The taps ``(C, l)`` of the channels ``rows`` from ``features`` ``(l, filter_order)`` of positions from ``start`` on."""
        last = self.implicit_filter[-1]
        with torch.autocast(features.device.type, enabled=False):
            taps = at_least_float32(last.weight[rows]) @ features.T if _is_linear(last) else last(features).T[rows]
            if not self.modulate:
                return taps
            _, t = self.pos_emb(start, start + features.shape[0])
            weighted: Tensor = self.modulation(taps, t, rows)
            return weighted

    def forward(self, length: int, *, start: int = 0) -> Tensor:
        """Taps ``start`` to ``length`` of all filters, ``(channels, length - start)``."""
        return self.taps(self.features(start, length), start, slice(None))


def _is_linear(layer: nn.Module) -> TypeGuard[nn.Linear]:
    """Whether it is a linear layer and not an adapter around one, whose weight is not all there is to it."""
    return type(layer) is nn.Linear
