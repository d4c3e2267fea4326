"""Causal convolutions with a short filter per channel, as they stand before scans and long convolutions.

Measured with one CPU thread, 8192 positions of 256 channels in float32 (ms): torch's ``conv1d`` with groups takes 3 to 17 for 2
to 7 taps and 183 for 128; shifted copies, multiplied and added, 2 to 5 and 65 where positions are contiguous, 2 to 9 and 404
where channels are. ``conv2d`` over channels-last memory takes 2 for 2 to 7 taps and 8 for 128. So channels-last input goes to
``conv2d``, and positions-last input to shifts where taps are few, else to ``conv2d`` by way of a transposition. In the backward
pass torch's derivative of ``conv2d`` takes 55 ms at 4 taps; a second convolution and one product per tap, as below, take 15.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

__all__ = ["Activation", "causal_convolution", "causal_convolution_reference", "next_window"]

Activation = Literal["silu"] | None

SHIFTS = 16
"""Up to so many taps, positions-last input and the derivative of the taps are computed tap by tap."""
PIECE_VALUES = 1 << 17
"""Values per piece of the backward pass on a CPU."""
BAND = 64
"""Channels per piece where the derivative of many taps is one matrix product per channel."""


def causal_convolution_reference(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    *,
    activation: Activation = None,
    window: Tensor | None = None,
    channels_last: bool = True,
) -> Tensor:
    """`causal_convolution` position by position."""
    taps, width = _taps(weight), weight.shape[-1]
    x = x if channels_last else x.transpose(1, 2)
    before = x.new_zeros(x.shape[0], width - 1, x.shape[2]) if window is None else window
    if window is not None and not channels_last:
        before = window.transpose(1, 2)
    whole = torch.cat((before, x), dim=1)
    y = torch.stack([(whole[:, i : i + width] * taps.t()).sum(1) for i in range(x.shape[1])], dim=1)
    if bias is not None:
        y = y + bias
    y = y if activation is None else functional.silu(y)
    return y if channels_last else y.transpose(1, 2)


def causal_convolution(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    *,
    activation: Activation = None,
    window: Tensor | None = None,
    channels_last: bool = True,
) -> Tensor:
    """Convolve each channel with its own filter: ``y[l] = sum_k weight[W - 1 - k] x[l - k] + bias``.

    Between forward and backward it keeps ``x`` alone, also where there is an activation.

    Args:
        x: ``(B, L, D)``, or ``(B, D, L)`` with ``channels_last=False``.
        weight: ``(D, W)`` or as in ``nn.Conv1d`` ``(D, 1, W)``; the last tap multiplies the present.
        bias: ``(D,)``.
        activation: ``silu`` to apply it to the result.
        window: the ``W - 1`` inputs before ``x``, ``(B, W - 1, D)`` or ``(B, D, W - 1)``; zeros unless given. See `next_window`.
        channels_last: the layout of ``x``, ``window`` and the result.

    Returns:
        As ``x``.

    Raises:
        ValueError: shapes that do not fit.

    >>> x = torch.tensor([[[1.0], [2.0], [3.0]]])
    >>> causal_convolution(x, torch.tensor([[10.0, 1.0]])).flatten().tolist()
    [1.0, 12.0, 23.0]
    """
    taps = _taps(weight)
    channels, width = taps.shape
    if x.ndim != 3 or x.shape[2 if channels_last else 1] != channels:
        raise ValueError(f"x is {tuple(x.shape)}; expected {'(B, L, D)' if channels_last else '(B, D, L)'} with D = {channels}")
    if activation not in (None, "silu"):
        raise ValueError(f"unknown activation {activation!r}; expected 'silu' or None")
    if window is not None:
        shape = (x.shape[0], width - 1, channels) if channels_last else (x.shape[0], channels, width - 1)
        if window.shape != shape:
            raise ValueError(f"window is {tuple(window.shape)}; expected {shape}")
    if window is not None and width > 1 and torch.is_grad_enabled():
        # Rare: training that goes on from a carried window. One copy of x, and the window gets its gradient.
        axis = 1 if channels_last else 2
        whole = torch.cat((window.to(x.dtype), x), dim=axis)
        y: Tensor = _CausalConvolution.apply(whole, taps, bias, activation, None, channels_last)
        return y.narrow(axis, width - 1, x.shape[axis])
    return _CausalConvolution.apply(  # type: ignore[no-any-return]
        x, taps, bias, activation, window if width > 1 else None, channels_last
    )


def next_window(x: Tensor, width: int, window: Tensor | None = None, *, channels_last: bool = True) -> Tensor:
    """The last ``width - 1`` inputs of a piece, for the convolution of the piece that follows.

    Args:
        x: the piece, ``(B, L, D)`` or ``(B, D, L)``.
        width: taps of the filter.
        window: what came before it; zeros unless given.
        channels_last: the layout.

    Returns:
        ``(B, width - 1, D)`` or ``(B, D, width - 1)``; a copy, so that ``x`` can be freed.
    """
    axis = 1 if channels_last else 2
    missing = width - 1 - x.shape[axis]
    if missing <= 0:
        return x.narrow(axis, -missing, width - 1).clone()
    if window is None:
        shape = list(x.shape)
        shape[axis] = missing
        return torch.cat((x.new_zeros(shape), x), dim=axis)
    return torch.cat((window.narrow(axis, window.shape[axis] - missing, missing).to(x.dtype), x), dim=axis)


class _CausalConvolution(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        taps: Tensor,
        bias: Tensor | None,
        activation: Activation,
        window: Tensor | None,
        channels_last: bool,
    ) -> Tensor:
        ctx.save_for_backward(x, taps, bias)
        ctx.activation, ctx.channels_last = activation, channels_last
        if not channels_last:
            x, window = x.transpose(1, 2), None if window is None else window.transpose(1, 2)
        y = _convolve(x, taps, bias, channels_last)
        if window is not None:  # the first W - 1 results once more, with the inputs before them
            before = window.shape[1]
            head = torch.cat((window.to(x.dtype), x[:, :before]), dim=1)
            y[:, :before] = _convolve(head, taps, bias, channels_last)[:, before:]
        if activation is not None:
            functional.silu(y, inplace=True)
        return y if channels_last else y.transpose(1, 2)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor | None, ...]:
        x, taps, bias = ctx.saved_tensors
        if not ctx.channels_last:
            x, slope = x.transpose(1, 2), slope.transpose(1, 2)
        length, width = x.shape[1], taps.shape[1]
        wide = _wide(x)
        of_x = torch.empty_like(x) if ctx.needs_input_grad[0] else None
        of_taps = torch.zeros(taps.shape, dtype=wide, device=x.device)
        of_bias = torch.zeros(len(taps), dtype=wide, device=x.device)
        # Pieces that stay in a CPU's cache; each looks at the W - 1 positions before it and at those after it.
        size = max(32 * width, PIECE_VALUES // (x.shape[0] * x.shape[2])) if x.device.type == "cpu" else length
        for start in range(0, length, size):
            stop = min(start + size, length)
            before, end = max(0, start - width + 1), min(stop + width - 1, length)
            seen = x[:, before:end]
            here = slope[:, start:end].to(x.dtype)
            if ctx.activation is not None:
                # silu(y) = y s with s = sigmoid(y), so its derivative is s (1 + y (1 - s)).
                y = _convolve(seen, taps, bias, ctx.channels_last)[:, start - before :]
                s = torch.sigmoid(y)
                here = torch.addcmul(s, y * s, 1 - s).mul_(here)
            if of_x is not None:
                of_x[:, start:stop] = _convolve(here, taps, None, ctx.channels_last, ahead=True)[:, : stop - start]
            here = here[:, : stop - start]
            of_taps += _slope_of_taps(seen[:, : stop - before], here, width)
            of_bias += here.sum((0, 1), dtype=wide)
        if of_x is not None and not ctx.channels_last:
            of_x = of_x.transpose(1, 2)
        return of_x, of_taps.to(taps.dtype), None if bias is None else of_bias.to(bias.dtype), None, None, None


def _taps(weight: Tensor) -> Tensor:
    if weight.ndim == 3 and weight.shape[1] == 1:
        return weight[:, 0]
    if weight.ndim != 2:
        raise ValueError(f"weight is {tuple(weight.shape)}; expected (D, W) or (D, 1, W)")
    return weight


def _wide(x: Tensor) -> torch.dtype:
    return torch.promote_types(x.dtype, torch.float32)


def _convolve(x: Tensor, taps: Tensor, bias: Tensor | None, channels_last: bool, *, ahead: bool = False) -> Tensor:
    """The convolution of ``(B, L, D)`` from zeros; with ``ahead`` its transpose, which looks at ``x[l + k]``.

    ``channels_last`` tells what is contiguous in memory: channels, or else positions.
    """
    taps = taps.to(x.dtype)
    bias = None if bias is None else bias.to(x.dtype)
    # On a CPU the fast conv2d is oneDNN's, which has no float64; what takes its place loops over channels.
    fast = x.device.type != "cpu" or (x.dtype != torch.float64 and torch.backends.mkldnn.is_available())
    if fast and (channels_last or taps.shape[1] > SHIFTS):
        return _by_conv2d(x.contiguous(), taps, bias, ahead)
    return _by_shifts(x, taps, bias, ahead)


def _by_conv2d(x: Tensor, taps: Tensor, bias: Tensor | None, ahead: bool) -> Tensor:
    """``x`` ``(B, L, D)`` as an image of height 1, whose channels are last in memory."""
    channels, width = taps.shape
    taps = taps.flip(1) if ahead else taps
    image = x.transpose(1, 2).unsqueeze(2)
    y = functional.conv2d(image, taps[:, None, None], bias, padding=(0, width - 1), groups=channels)
    start = width - 1 if ahead else 0
    return y[:, :, 0, start : start + x.shape[1]].transpose(1, 2)


def _by_shifts(x: Tensor, taps: Tensor, bias: Tensor | None, ahead: bool) -> Tensor:
    """``x`` ``(B, L, D)``, in whatever order in memory, times one tap after another."""
    rows = taps.flip(1).t()
    y = x * rows[0] if bias is None else torch.addcmul(bias, x, rows[0])
    for k in range(1, min(len(rows), x.shape[1])):
        if ahead:
            y[:, :-k].addcmul_(x[:, k:], rows[k])
        else:
            y[:, k:].addcmul_(x[:, :-k], rows[k])
    return y


def _overwrite_start(y: Tensor, x: Tensor, taps: Tensor, bias: Tensor | None, window: Tensor, channels_last: bool) -> None:
    """Compute the first ``W - 1`` results again, with the inputs before them."""
    axis, before = (1, taps.shape[1] - 1) if channels_last else (2, taps.shape[1] - 1)
    count = min(before, x.shape[axis])
    head = torch.cat((window.to(x.dtype), x.narrow(axis, 0, count)), dim=axis)
    y.narrow(axis, 0, count).copy_(_convolve(head, taps, bias, channels_last).narrow(axis, before, count))


def _slope_of_taps(x: Tensor, slope: Tensor, width: int) -> Tensor:
    """``(D, W)``: tap ``W - 1 - k`` gets the sum of ``slope[l] x[l - k]`` over batch and positions.

    ``x`` ends where ``slope`` ends, and begins up to ``W - 1`` positions before it; further back are zeros.
    """
    batch, length, channels = slope.shape
    lead = x.shape[1] - length
    wide = _wide(x)
    if width <= SHIFTS:
        total = torch.zeros(width, channels, dtype=wide, device=x.device)
        for k in range(min(width, x.shape[1])):
            skip = max(0, k - lead)  # positions whose k-th predecessor does not exist
            seen = x[:, lead + skip - k : x.shape[1] - k]
            total[width - 1 - k] = (slope[:, skip:] * seen).sum((0, 1), dtype=wide)
        return total.t()
    # One matrix product per channel: blocks of slopes with the spans of x they see; the taps are its diagonals.
    blocks = -(-length // width)
    rest = blocks * width - length
    totals = []
    for low in range(0, channels, BAND):
        own, seen = slope[:, :, low : low + BAND].transpose(1, 2), x[:, :, low : low + BAND].transpose(1, 2)
        count = own.shape[1]
        spans = functional.pad(seen, (width - 1 - lead, rest)).unfold(-1, 2 * width - 1, width)
        left = functional.pad(own, (0, rest)).unflatten(-1, (blocks, width)).permute(1, 3, 0, 2)
        left = left.reshape(count, width, batch * blocks).to(wide)
        right = spans.permute(1, 0, 2, 3).reshape(count, batch * blocks, 2 * width - 1).to(wide)
        product = torch.bmm(left, right)  # entry (i, i + j) belongs to tap j
        totals.append(product.as_strided((count, width, width), (product.stride(0), 2 * width, 1)).sum(1))
    return torch.cat(totals)
