"""Convolutions whose kernel is as long as the sequence, through the fast Fourier transform, in bounded memory.

The causal convolution of a sequence ``u`` with a kernel ``k`` of any length, and the skip term that Hyena and S4 add to it, is

    y[t] = sum_{j=0}^{t} k[j] u[t - j] + D u[t]

`direct_convolution` is that sum. The fast forms agree with it: `fft_convolution` (the whole sequence at once),
`overlap_add_convolution` (a block at a time, the rest of the kernel's response carried as a tail),
`bidirectional_convolution` (a second kernel looks ahead) and `continue_convolution` (piece by piece, down to one position, from
what came before).

Sequences are channels first here, ``(B, D, L)``; each channel has a kernel of its own, ``(D, K)``. Transforms are made in
float32 (float64 for float64 input), for a few channels at a time, and never kept: for gradients only ``u`` and ``k`` are saved
and the transforms are made again.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

__all__ = [
    "ConvolutionHistory",
    "bidirectional_convolution",
    "channel_groups",
    "continue_convolution",
    "direct_convolution",
    "fft_convolution",
    "fft_size",
    "overlap_add_convolution",
    "start_convolution",
]

# Values per temporary array of a transform. On a CPU what caches hold, but at least two rows: MKL takes more than twice as long
# for a row by itself. On a GPU each launch should fill the device.
_CPU_VALUES = 1 << 20
_GPU_VALUES = 1 << 27
# Positions whose future contributions `continue_convolution` works out at once when it goes position by position.
_LOOKAHEAD = 512


@functools.lru_cache(maxsize=4096)
def fft_size(n: int) -> int:
    """The smallest size of at least ``n`` whose real transform is fast: ``2^a 3^b 5^c``, a multiple of 16.

    Measured with MKL, time per value grows by a third where the size is a multiple of 4 only, and fourfold where it is odd;
    sizes with larger primes cost two to six times as much (twice 160,002, a published Hyena length, is one). cuFFT has kernels
    for the same primes.

    Raises:
        ValueError: ``n`` is not positive.

    >>> [fft_size(n) for n in (1, 3, 17, 2 * 160_002)]
    [1, 4, 32, 324000]
    """
    if n < 1:
        raise ValueError(f"a transform of {n} values")
    power = 1 << (n - 1).bit_length()
    if n <= 16:
        return power
    best = power
    fives = 16
    while fives < best:
        threes = fives
        while threes < best:
            # the smallest power of two times `threes` that reaches n
            best = min(best, threes << (-(-n // threes) - 1).bit_length())
            threes *= 3
        fives *= 5
    return best


def direct_convolution(u: Tensor, k: Tensor, skip: Tensor | None = None) -> Tensor:
    """The sum as it stands, in float64: the reference of every other form, O(L K).

    Args:
        u: ``(B, D, L)``.
        k: ``(D, K)``.
        skip: ``(D,)``, or None for no skip term.

    Returns:
        ``(B, D, L)`` float64.
    """
    wide, kernel = u.double(), k.double()
    y = torch.zeros_like(wide)
    for j in range(min(k.shape[-1], u.shape[-1])):
        y[..., j:] = y[..., j:] + kernel[:, j, None] * wide[..., : wide.shape[-1] - j]
    return y if skip is None else y + skip.double()[:, None] * wide


def fft_convolution(u: Tensor, k: Tensor, skip: Tensor | None = None) -> Tensor:
    """Causal convolution of the whole sequence: O(L log L).

    Args:
        u: ``(B, D, L)``, any floating type, any strides.
        k: ``(D, K)``; entries from ``L`` on have no effect.
        skip: ``(D,)``, or None for no skip term.

    Returns:
        ``(B, D, L)`` in the type of ``u``.

    Raises:
        ValueError: shapes that do not fit.
    """
    _check(u, k)
    return _window(u, k, skip, 0, u.shape[-1])


def bidirectional_convolution(u: Tensor, k: Tensor, ahead: Tensor, skip: Tensor | None = None) -> Tensor:
    """A causal convolution plus one that looks ahead: ``y[t] = sum_j k[j] u[t-j] + sum_j ahead[j] u[t+1+j] + D u[t]``.

    The second sum starts at the next position, as in the bidirectional S4 (Goel et al. 2022, and the public code of S4).

    Args:
        u: ``(B, D, L)``.
        k: ``(D, K)``, of the positions so far.
        ahead: ``(D, K')``, of the positions to come.
        skip: ``(D,)``, or None for no skip term.

    Returns:
        ``(B, D, L)`` in the type of ``u``.

    Raises:
        ValueError: shapes that do not fit.
    """
    _check(u, k)
    _check(u, ahead)
    length = u.shape[-1]
    ahead = ahead[:, :length]
    both = torch.cat([ahead.flip(-1), k[:, :length].to(ahead.dtype)], dim=-1)
    return _window(u, both, skip, ahead.shape[-1], ahead.shape[-1] + length, shift=0)


def overlap_add_convolution(
    u: Tensor, k: Tensor, skip: Tensor | None = None, *, block: int = 1 << 16, tail: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Causal convolution a block at a time: the response to a block reaches past its end, and is added to what follows.

    The way for kernels much shorter than the sequence, for sequences that arrive in pieces, and for work shared by machines:
    the next piece needs nothing but the tail. (With a kernel as long as the sequence each block costs a transform of that
    length; there `continue_convolution` does less.)

    Args:
        u: ``(B, D, L)``, the next piece of the sequence.
        k: ``(D, K)``.
        skip: ``(D,)``, or None for no skip term.
        block: most positions per transform (at least as many as the kernel has are taken, so that no work is wasted).
        tail: ``(B, D, K - 1)``, what earlier pieces add to this one and later ones; None at the start of a sequence.

    Returns:
        ``(B, D, L)`` in the type of ``u``, and the tail for the next piece (float32, or float64 for float64 input).

    Raises:
        ValueError: shapes that do not fit.
    """
    _check(u, k)
    if block < 1:
        raise ValueError(f"block is {block}, expected a positive number of positions")
    reach = k.shape[-1] - 1
    wide = _compute_type(u, k)
    if tail is None:
        tail = u.new_zeros(*u.shape[:2], reach, dtype=wide)
    elif tail.shape != (*u.shape[:2], reach):
        raise ValueError(f"tail is {tuple(tail.shape)}, expected {(*u.shape[:2], reach)}")
    pieces = []
    for piece in u.split(max(block, reach), dim=-1):
        length = piece.shape[-1]
        piece = piece.to(wide)
        response = _window(piece, k, None, 0, length + reach) + F.pad(tail, (0, length))
        y = response[..., :length]
        pieces.append((y if skip is None else y + piece * skip[:, None].to(wide)).to(u.dtype))
        tail = response[..., length:]
    return torch.cat(pieces, dim=-1), tail


class ConvolutionHistory(NamedTuple):
    """What a causal convolution has to remember of a sequence to go on: all of it, O(L).

    Attributes:
        past: ``(B, D, t)``, inputs up to where ``pending`` starts.
        recent: ``(B, D, r)``, inputs after that.
        pending: ``(B, D, S)``, what ``past`` adds to the ``S`` outputs that follow it; None where not worked out yet.
    """

    past: Tensor
    recent: Tensor
    pending: Tensor | None

    @property
    def length(self) -> int:
        """Positions so far."""
        return self.past.shape[-1] + self.recent.shape[-1]


def start_convolution(u: Tensor) -> ConvolutionHistory:
    """The history before the first position, for sequences like ``u`` ``(B, D, L)``."""
    nothing = u.new_empty(*u.shape[:2], 0)
    return ConvolutionHistory(nothing, nothing, None)


def continue_convolution(
    u: Tensor, k: Tensor, skip: Tensor | None, history: ConvolutionHistory
) -> tuple[Tensor, ConvolutionHistory]:
    """Causal convolution of the next piece of a sequence, of any length, with a kernel that reaches back to the start.

    A long piece is one transform. Position by position, what the past adds to the next 512 outputs is worked out in one
    transform, and each step only sums over the inputs since then: O(512 + (t log t) / 512) per channel and step instead of O(t).
    A history is never changed in place: going on twice from the same one is fine.

    Args:
        u: ``(B, D, n)``, the piece.
        k: ``(D, K)`` with ``K`` at least the number of positions so far including this piece; 512 more save work later.
        skip: ``(D,)``, or None for no skip term.
        history: of the pieces before (`start_convolution` for none).

    Returns:
        ``(B, D, n)`` in the type of ``u``, and the history for the next piece.

    Raises:
        ValueError: shapes that do not fit.
    """
    _check(u, k)
    length, before = u.shape[-1], history.length
    if k.shape[-1] < before + length:
        raise ValueError(f"a kernel of {k.shape[-1]} positions for a sequence of {before + length}")
    recent = torch.cat([history.recent, u], dim=-1)
    ahead = min(_LOOKAHEAD, k.shape[-1] - history.past.shape[-1])
    if recent.shape[-1] > ahead:
        past = torch.cat([history.past, recent], dim=-1)
        y = _window(past, k, skip, before, before + length)
        history = ConvolutionHistory(past, u[..., :0], None)
    else:
        pending = history.pending
        if pending is None or pending.shape[-1] < recent.shape[-1]:
            pending = _window(history.past, k, None, history.past.shape[-1], history.past.shape[-1] + ahead)
        start = history.recent.shape[-1]
        y = _window(recent, k, skip, start, start + length) + pending[..., start : start + length]
        history = ConvolutionHistory(history.past, recent, pending)
    return y, history


def channel_groups(channels: int, values: int, *, limit: int = 1 << 25) -> Iterator[slice]:
    """Slices of the channels such that ``values`` per channel make at most ``limit`` in a group (but at least one channel).

    >>> list(channel_groups(5, 10, limit=20))
    [slice(0, 2, None), slice(2, 4, None), slice(4, 5, None)]
    """
    size = max(1, min(channels, limit // max(values, 1)))
    for start in range(0, channels, size):
        yield slice(start, min(start + size, channels))


def _check(u: Tensor, k: Tensor) -> None:
    if u.dim() != 3 or k.dim() != 2 or u.shape[1] != k.shape[0] or k.shape[1] < 1:
        raise ValueError(f"sequence {tuple(u.shape)} and kernel {tuple(k.shape)}, expected (B, D, L) and (D, K)")


def _compute_type(u: Tensor, k: Tensor) -> torch.dtype:
    return torch.float64 if torch.float64 in (u.dtype, k.dtype) else torch.float32


def _window(u: Tensor, k: Tensor, skip: Tensor | None, start: int, stop: int, *, shift: int | None = None) -> Tensor:
    """Entries ``start`` to ``stop`` of the full convolution of ``u`` ``(B, D, L)`` with ``k`` ``(D, K)``, in the type of ``u``.

    The skip term of output ``i`` takes ``u[i + shift]``; ``shift`` is ``start`` unless given.
    """
    shift = start if shift is None else shift
    u, k = u[..., :stop], k[..., :stop]
    if not u.shape[-1]:
        return u.new_zeros(*u.shape[:2], stop - start)
    if stop - start == 1:  # one output is one sum
        wide = _compute_type(u, k)
        oldest = max(0, stop - k.shape[-1])
        weights = k[:, stop - u.shape[-1] : stop - oldest].flip(-1)
        y = (u[..., oldest:].to(wide) * weights.to(wide)).sum(dim=-1, keepdim=True)
        if skip is not None:
            y = y + u[..., shift : shift + 1].to(wide) * skip[:, None].to(wide)
        return y.to(u.dtype)
    result: Tensor = _Window.apply(u, k, skip, start, stop, shift)
    return result


def _transform_size(length: int, reach: int, start: int, stop: int) -> int:
    """Size of a cyclic transform in which nothing wraps around onto the entries ``start`` to ``stop``."""
    return fft_size(max(length, reach, stop, length + reach - 1 - start))


def _parts(u: Tensor, size: int) -> Iterator[tuple[slice, list[slice]]]:
    """Groups of channels, and for each the groups of sequences, such that a group's transforms stay within the working memory."""
    limit = max(2 * size, _GPU_VALUES if u.is_cuda else _CPU_VALUES)
    for channels in channel_groups(u.shape[1], size, limit=limit):
        width = channels.stop - channels.start
        yield channels, list(channel_groups(u.shape[0], size * width, limit=limit))


class _Window(torch.autograd.Function):
    """`_window` through transforms; keeps the inputs only."""

    @staticmethod
    def forward(ctx: Any, u: Tensor, k: Tensor, skip: Tensor | None, start: int, stop: int, shift: int) -> Tensor:
        ctx.save_for_backward(u, k, skip)
        ctx.start, ctx.shift = start, shift
        size = _transform_size(u.shape[-1], k.shape[-1], start, stop)
        wide = _compute_type(u, k)
        y = u.new_empty(*u.shape[:2], stop - start)
        for channels, batches in _parts(u, size):
            kernel = torch.fft.rfft(k[channels].to(wide), n=size)
            for rows in batches:
                part = u[rows, channels].to(wide)
                response = torch.fft.irfft(torch.fft.rfft(part, n=size).mul_(kernel), n=size)[..., start:stop]
                if skip is not None:
                    response.addcmul_(part[..., shift : shift + stop - start], skip[channels, None].to(wide))
                y[rows, channels] = response
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None, None, None, None]:
        (grad,) = grads
        u, k, skip = ctx.saved_tensors
        start, seen = ctx.start, slice(ctx.shift, ctx.shift + grad.shape[-1])
        length, reach = u.shape[-1], k.shape[-1]
        size = _transform_size(length, reach, start, start + grad.shape[-1])
        wide = _compute_type(u, k)
        wants = ctx.needs_input_grad
        grad_u = torch.empty_like(u) if wants[0] else None
        grad_k = torch.empty_like(k) if wants[1] else None
        grad_skip = torch.zeros_like(skip, dtype=wide) if skip is not None and wants[2] else None
        for channels, batches in _parts(u, size):
            kernel = torch.fft.rfft(k[channels].to(wide), n=size).conj() if wants[0] else None
            total: Tensor | None = None
            for rows in batches:
                part, sent = u[rows, channels].to(wide), grad[rows, channels].to(wide)
                if grad_skip is not None:
                    grad_skip[channels] += (part[..., seen] * sent).sum(dim=(0, 2))
                spectrum = torch.fft.rfft(F.pad(sent, (start, 0)) if start else sent, n=size)
                if wants[1]:
                    # correlation with the input, summed over the batch before the way back
                    product = (torch.fft.rfft(part, n=size).conj() * spectrum).sum(dim=0)
                    total = product if total is None else total.add_(product)
                if grad_u is not None:
                    back = torch.fft.irfft(spectrum.mul_(kernel), n=size)[..., :length]
                    if skip is not None:
                        back[..., seen].addcmul_(sent, skip[channels, None].to(wide))
                    grad_u[rows, channels] = back
            if grad_k is not None and total is not None:
                grad_k[channels] = torch.fft.irfft(total, n=size)[..., :reach]
        return grad_u, grad_k, None if grad_skip is None else grad_skip.to(skip.dtype), None, None, None
