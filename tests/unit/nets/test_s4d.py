"""S4D and its operations agree with the plain recurrence and with the public layer."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from parity import arrays, assert_close, config, parity_case, weights
from torch import Tensor

from genoseq.errors import UsageError
from genoseq.nets.layers.s4d import S4D, S4DKernel
from genoseq.nets.ops import statespace
from genoseq.nets.ops.diagonal import (
    diagonal_kernel,
    diagonal_recurrence,
    diagonal_state,
    linear_scan,
    linear_scan_loop,
)
from genoseq.nets.ops.fftconv import fft_convolution

LENGTHS = [1, 2, 3, 4, 5, 16, 17, 97, 300]
WIDTH = 6


def states(length: int, *, seed: int = 0) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Factors, outputs, inputs and a state of three channels with four states each."""
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape: int, dtype: torch.dtype = torch.float64) -> Tensor:
        return torch.randn(shape, dtype=dtype, generator=generator)

    log_a = torch.complex(-draw(3, 4).abs() / 5, 3 * draw(3, 4))
    c, state = draw(3, 4, dtype=torch.complex128), draw(2, 3, 4, dtype=torch.complex128)
    return log_a, c, draw(2, 3, length), state


def layer(**settings: Any) -> S4D:
    torch.manual_seed(0)
    return S4D(d_model=WIDTH, d_state=8, **settings).double()


def sequence(length: int, *, seed: int = 1) -> Tensor:
    return torch.randn(2, length, WIDTH, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def plain(net: S4D, x: Tensor) -> Tensor:
    """The layer with the recurrence in place of the convolution."""
    system = net.kernel.system()
    y, _ = diagonal_recurrence(system.log_a, system.c[0], x.transpose(1, 2))
    return net.output_linear(F.gelu(y + x.transpose(1, 2) * net.D[:, None])).transpose(1, 2)


@pytest.mark.parametrize("length", LENGTHS)
def test_kernel_and_state_equal_the_recurrence(length: int) -> None:
    log_a, c, u, state = states(length)
    y, after = diagonal_recurrence(log_a, c, u, state)
    response = diagonal_kernel(log_a, c * state * log_a.exp(), length)
    torch.testing.assert_close(fft_convolution(u, diagonal_kernel(log_a, c, length)) + response, y, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(diagonal_state(log_a, u, state), after, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(diagonal_state(log_a, u), diagonal_recurrence(log_a, c, u)[1], rtol=1e-10, atol=1e-10)


def test_kernel_and_state_have_gradients() -> None:
    log_a, c, u, state = (tensor.requires_grad_() for tensor in states(6))
    assert torch.autograd.gradcheck(lambda log_a, c: diagonal_kernel(log_a, c, 7), (log_a, c))
    assert torch.autograd.gradcheck(diagonal_state, (log_a, u, state))


def test_many_turns_keep_their_phase() -> None:
    log_a = torch.tensor([[-1e-6 + 3.0j]], dtype=torch.complex64)
    kernel = diagonal_kernel(log_a, torch.ones(1, 1, dtype=torch.complex64), 1_000_000)
    exact = 2 * (log_a.to(torch.complex128) * 999_999).exp().real
    assert abs(kernel[0, -1].double() - exact.squeeze()) < 1e-5


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("varying", [False, True])
def test_scan_equals_the_loop(length: int, varying: bool) -> None:
    generator = torch.Generator().manual_seed(length)
    shape = (2, length, 5) if varying else (5,)
    a = torch.polar(torch.rand(shape, generator=generator).double(), torch.randn(shape, generator=generator).double())
    b = torch.randn(2, length, 5, dtype=torch.complex128, generator=generator)
    state = torch.randn(2, 5, dtype=torch.complex128, generator=generator)
    before = b.clone()
    torch.testing.assert_close(linear_scan(a, b, state), linear_scan_loop(a, b, state), rtol=1e-11, atol=1e-11)
    torch.testing.assert_close(linear_scan(a, b), linear_scan_loop(a, b), rtol=1e-11, atol=1e-11)
    torch.testing.assert_close(linear_scan(a.real, b.real), linear_scan_loop(a.real, b.real), rtol=1e-11, atol=1e-11)
    assert torch.equal(b, before)


@pytest.mark.parametrize("shape", [(3,), (2, 6, 3)])
def test_scan_has_gradients(shape: tuple[int, ...]) -> None:
    generator = torch.Generator().manual_seed(0)
    a, b, state = (
        torch.randn(s, dtype=torch.complex128, generator=generator).requires_grad_() for s in (shape, (2, 6, 3), (2, 3))
    )
    assert torch.autograd.gradcheck(linear_scan, (a, b, state))


@pytest.mark.parametrize("grad", [True, False])
def test_public_layer(grad: bool) -> None:
    folder = parity_case("s4d_standalone")
    settings, given = config(folder), arrays(folder)
    net = S4D(**settings)
    net.load_state_dict(weights(folder))
    with torch.set_grad_enabled(grad):
        for kind in ("", "_short"):
            assert_close(net(given["inputs" + kind])[0], given["outputs" + kind])
        assert_close(net.kernel(160), given["kernel160"])
        net.transposed = False
        assert_close(net(given["inputs"].transpose(1, 2))[0].transpose(1, 2), given["outputs"])


def test_public_layer_gradients() -> None:
    folder = parity_case("s4d_standalone")
    given, expected = arrays(folder), weights(folder, "grads.safetensors")
    net = S4D(**config(folder))
    net.load_state_dict(weights(folder))
    net(given["inputs"])[0].square().mean().backward()
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None
        # relative to the largest: these gradients are far below the absolute tolerance
        torch.testing.assert_close(parameter.grad, expected[name], rtol=1e-4, atol=1e-4 * float(expected[name].abs().max()))


@pytest.mark.parametrize("length", [1, 2, 31, 64])
def test_equals_the_recurrence(length: int, monkeypatch: pytest.MonkeyPatch) -> None:
    net, x = layer(), sequence(length)
    expected = plain(net, x)
    torch.testing.assert_close(net(x)[0], expected, rtol=1e-9, atol=1e-10)
    before = x.clone()
    with torch.no_grad():
        torch.testing.assert_close(net(x)[0], expected, rtol=1e-9, atol=1e-10)
        monkeypatch.setattr(statespace, "_GROUP_VALUES", 2 * length)  # one channel at a time
        torch.testing.assert_close(net(x)[0], expected, rtol=1e-9, atol=1e-10)
    assert torch.equal(x, before)


def test_gradients_are_those_of_the_recurrence() -> None:
    net, x = layer(), sequence(20).requires_grad_()
    leaves = [x, *net.parameters()]
    expected = torch.autograd.grad(plain(net, x).square().sum(), leaves)
    for found, wanted in zip(torch.autograd.grad(net(x)[0].square().sum(), leaves), expected, strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("sizes", [[1] * 20, [7, 1, 1, 100, 13], [121, 1]])
@pytest.mark.parametrize("grad", [True, False])
def test_pieces_equal_the_whole(sizes: list[int], grad: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(statespace, "_GROUP_VALUES", 100)
    net, x = layer(), sequence(sum(sizes))
    cache, pieces = None, []
    with torch.set_grad_enabled(grad):
        expected, end = net(x, use_cache=True)
        for piece in x.split(sizes, dim=1):
            y, cache = net(piece, cache=cache, use_cache=True)
            pieces.append(y)
    torch.testing.assert_close(torch.cat(pieces, dim=1), expected, rtol=1e-9, atol=1e-10)
    torch.testing.assert_close(cache.state, end.state, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("grad", [True, False])
def test_padding_on_either_side_changes_nothing(grad: bool) -> None:
    net, x, padded = layer(), sequence(30), sequence(50, seed=5)
    mask = torch.zeros(2, 50, dtype=torch.bool)
    padded[0, 20:], padded[1, :30] = x[0], x[1]
    mask[0, 20:] = mask[1, :30] = True
    with torch.set_grad_enabled(grad):
        expected, y = net(x)[0], net(padded, mask=mask)[0]
    torch.testing.assert_close(y[0, 20:], expected[0], rtol=1e-9, atol=1e-10)
    torch.testing.assert_close(y[1, :30], expected[1], rtol=1e-9, atol=1e-10)
    assert y.isfinite().all()


def test_start_is_s4d_lin() -> None:
    kernel = S4DKernel(d_model=500, d_state=8, dt_min=0.01, dt_max=0.2)
    assert torch.equal(kernel.A_imag[3], torch.pi * torch.arange(4))
    assert torch.allclose(kernel.log_A_real.exp(), torch.tensor(0.5))
    assert 0.01 < kernel.log_dt.exp().min() < 0.012 and 0.17 < kernel.log_dt.exp().max() < 0.2
    assert abs(kernel.C.std() - 0.5**0.5) < 0.05


def test_half_precision_and_dropout() -> None:
    net, x = layer(dropout=0.5).float(), sequence(20).float()
    assert not torch.equal(net(x)[0], net(x)[0])
    with torch.no_grad():
        assert not torch.equal(net(x)[0], net(x)[0])
    net.eval()
    expected = net(x)[0]
    y = net.to(torch.bfloat16)(x.bfloat16())[0]
    assert y.dtype == torch.bfloat16
    torch.testing.assert_close(y.float(), expected, rtol=0.1, atol=0.1)


def test_odd_states() -> None:
    with pytest.raises(UsageError, match="state of 7 values"):
        S4D(d_model=4, d_state=7)
