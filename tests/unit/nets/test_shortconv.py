"""Short causal convolutions: every path against the equation, in values, derivatives and pieces."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from genoseq.nets.ops import shortconv
from genoseq.nets.ops.shortconv import causal_convolution, causal_convolution_reference, next_window

LAYOUTS = pytest.mark.parametrize("last", [True, False], ids=["channels-last", "positions-last"])


def sample(length: int, width: int, *, last: bool, dtype: torch.dtype = torch.float64) -> tuple[Tensor, ...]:
    """Input, weight, bias, window, slope."""
    torch.manual_seed(length * 1000 + width)
    shape = (2, length, 6) if last else (2, 6, length)
    before = (2, width - 1, 6) if last else (2, 6, width - 1)
    return (
        torch.randn(shape, dtype=dtype),
        torch.randn(6, width, dtype=dtype),
        torch.randn(6, dtype=dtype),
        torch.randn(before, dtype=dtype),
        torch.randn(shape, dtype=dtype),
    )


def slopes(function, inputs: list[Tensor], slope: Tensor) -> tuple[Tensor, ...]:
    inputs = [tensor.clone().requires_grad_() for tensor in inputs]
    y = function(*inputs)
    return y, *torch.autograd.grad(y, inputs, slope)


def test_known_numbers():
    x = torch.tensor([[[1.0], [2.0], [3.0]]])
    y = causal_convolution(x, torch.tensor([[10.0, 1.0]]), torch.tensor([0.5]))
    assert y.flatten().tolist() == [1.5, 12.5, 23.5]


@LAYOUTS
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("width", [1, 2, 4, 7, 20, 128])
@pytest.mark.parametrize("length", [1, 2, 5, 300])
def test_values_and_derivatives_are_those_of_the_equation(monkeypatch, length, width, dtype, last):
    monkeypatch.setattr(shortconv, "PIECE_VALUES", 1)  # the backward pass in pieces as small as they get
    x, weight, bias, _, slope = sample(length, width, last=last, dtype=dtype)
    tolerance = 1e-9 if dtype == torch.float64 else 2e-4
    for activation in (None, "silu"):
        found = slopes(
            lambda *inputs, a=activation: causal_convolution(*inputs, activation=a, channels_last=last), [x, weight, bias], slope
        )
        expected = slopes(
            lambda *inputs, a=activation: causal_convolution_reference(*inputs, activation=a, channels_last=last),
            [x, weight, bias],
            slope,
        )
        for mine, theirs in zip(found, expected, strict=True):
            torch.testing.assert_close(mine, theirs, rtol=tolerance, atol=tolerance)


@LAYOUTS
@pytest.mark.parametrize("width", [1, 3, 40])
@pytest.mark.parametrize("length", [1, 2, 50])
def test_goes_on_from_a_window(length, width, last):
    *inputs, slope = sample(length, width, last=last)

    def run(convolve, x: Tensor, weight: Tensor, bias: Tensor, window: Tensor) -> Tensor:
        return convolve(x, weight, bias, activation="silu", window=window, channels_last=last)

    with torch.no_grad():
        torch.testing.assert_close(run(causal_convolution, *inputs), run(causal_convolution_reference, *inputs))
    if width > 1:  # else the window is empty
        found = slopes(lambda *inputs: run(causal_convolution, *inputs), inputs, slope)
        expected = slopes(lambda *inputs: run(causal_convolution_reference, *inputs), inputs, slope)
        for mine, theirs in zip(found, expected, strict=True):
            torch.testing.assert_close(mine, theirs)


@LAYOUTS
@pytest.mark.parametrize("sizes", [(1, 1, 1, 1, 1, 1, 1), (3, 4), (2, 1, 4), (6, 1)])
def test_pieces_give_the_whole(sizes, last):
    x, weight, bias, _, _ = sample(7, 4, last=last)
    axis = 1 if last else 2
    window, parts = None, []
    for piece in x.split(sizes, dim=axis):
        parts.append(causal_convolution(piece, weight, bias, window=window, channels_last=last))
        window = next_window(piece, 4, window, channels_last=last)
    torch.testing.assert_close(torch.cat(parts, axis), causal_convolution(x, weight, bias, channels_last=last))
    torch.testing.assert_close(window, x.narrow(axis, 4, 3))


def test_agrees_with_a_module_of_torch_and_takes_its_weight():
    torch.manual_seed(0)
    module = nn.Conv1d(8, 8, 4, groups=8, padding=3)
    x = torch.randn(2, 8, 33)
    torch.testing.assert_close(
        causal_convolution(x, module.weight, module.bias, channels_last=False), module(x)[..., :33], rtol=1e-5, atol=1e-6
    )


@LAYOUTS
def test_gradcheck(last):
    x, weight, bias, _, _ = sample(9, 3, last=last)
    inputs = [tensor.requires_grad_() for tensor in (x, weight, bias)]
    assert torch.autograd.gradcheck(lambda *i: causal_convolution(*i, activation="silu", channels_last=last), inputs)


def test_keeps_nothing_of_its_results():
    x, weight, bias, _, _ = sample(50, 4, last=True)
    kept: list[Tensor] = []
    with torch.autograd.graph.saved_tensors_hooks(lambda tensor: kept.append(tensor) or tensor, lambda tensor: tensor):
        causal_convolution(x.requires_grad_(), weight, bias, activation="silu")
    assert sum(tensor.numel() for tensor in kept) == x.numel() + weight.numel() + bias.numel()


def test_parts_of_wider_tensors():
    torch.manual_seed(0)
    wide, weight = torch.randn(2, 30, 16), torch.randn(8, 4)
    expected = causal_convolution_reference(wide[..., :8], weight)
    torch.testing.assert_close(causal_convolution(wide[..., :8], weight), expected, rtol=1e-5, atol=1e-5)


def test_bfloat16_stays_near_float32():
    torch.manual_seed(0)
    x, weight, bias = torch.randn(2, 100, 32), torch.randn(32, 4), torch.randn(32)
    found = causal_convolution(x.bfloat16(), weight, bias, activation="silu")
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found.float(), causal_convolution(x, weight, bias, activation="silu"), rtol=0.03, atol=0.05)


def test_activation_is_silu():
    x, weight, bias, _, _ = sample(5, 3, last=True)
    torch.testing.assert_close(
        causal_convolution(x, weight, bias, activation="silu"), functional.silu(causal_convolution(x, weight, bias))
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x": torch.zeros(2, 5, 3)}, r"x is \(2, 5, 3\); expected \(B, L, D\) with D = 6"),
        ({"x": torch.zeros(5, 6)}, r"x is \(5, 6\)"),
        ({"weight": torch.zeros(6, 2, 3)}, r"weight is \(6, 2, 3\); expected \(D, W\) or \(D, 1, W\)"),
        ({"activation": "gelu"}, "unknown activation 'gelu'"),
        ({"window": torch.zeros(2, 3, 6)}, r"window is \(2, 3, 6\); expected \(2, 2, 6\)"),
    ],
)
def test_refuses_what_does_not_fit(change, message):
    arguments = {"x": torch.zeros(2, 5, 6), "weight": torch.zeros(6, 3), **change}
    with pytest.raises(ValueError, match=message):
        causal_convolution(arguments.pop("x"), arguments.pop("weight"), **arguments)
