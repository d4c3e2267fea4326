"""The selective scan: both forms against the equations, the vectors of the public code, and what must not matter."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from parity import assert_close, parity_case, weights
from torch import Tensor

from genoseq.nets.ops import scan_chunks, scan_kernels
from genoseq.nets.ops.scan import selective_scan, selective_scan_reference, selective_step

FORMS = pytest.mark.parametrize("form", ["chunks", "kernel"])
NAMES = ("out", "last", "u", "delta", "A", "B", "C", "D", "z", "delta_bias", "initial_state")
# float64: rounding alone; float32: derivatives are sums over positions, states and channels.
TOLERANCE = {torch.float64: 1e-10, torch.float32: 2e-4}


def sample(
    length: int, *, batch: int = 2, channels: int = 6, states: int = 3, maps: str = "vv", dtype: torch.dtype = torch.float32
) -> dict[str, Tensor]:
    """Arguments; maps into and out of the state are ``v`` (one for all channels), ``g`` (two groups) or ``c`` (constant)."""
    torch.manual_seed(length)
    shapes = {"v": (batch, states, length), "g": (batch, 2, states, length), "c": (channels, states)}
    return {
        "u": torch.randn(batch, channels, length, dtype=dtype),
        "delta": 0.5 * torch.randn(batch, channels, length, dtype=dtype) - 1,
        "A": -3 * torch.rand(channels, states, dtype=dtype),
        "B": torch.randn(shapes[maps[0]], dtype=dtype),
        "C": torch.randn(shapes[maps[1]], dtype=dtype),
        "D": torch.randn(channels, dtype=dtype),
        "z": torch.randn(batch, channels, length, dtype=dtype),
        "delta_bias": torch.randn(channels, dtype=dtype),
        "initial_state": torch.randn(batch, channels, states, dtype=dtype),
    }


def with_slopes(function: Any, given: dict[str, Tensor], **options: Any) -> list[Tensor]:
    """Result, last state, and the derivatives of all arguments, where both results count."""
    given = {name: tensor.clone().requires_grad_() for name, tensor in given.items()}
    out, last = function(**given, delta_softplus=True, **options)
    torch.manual_seed(1)
    slopes = [torch.randn(result.shape).to(result.dtype) for result in (out, last)]
    return [out, last, *torch.autograd.grad((out, last), list(given.values()), slopes)]


def assert_same(found: list[Tensor], expected: list[Tensor], tolerance: float) -> None:
    for name, mine, theirs in zip(NAMES, found, expected, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=tolerance, atol=tolerance, msg=lambda text, name=name: f"{name}: {text}")


@FORMS
def test_known_sum(form):
    # With constant steps of 1, the state is the sum of all inputs, each decayed by its age.
    u = torch.tensor([[[1.0, 2.0, 3.0]]])
    ones = torch.ones(1, 1, 3)
    y, last = selective_scan(u, ones, torch.full((1, 1), -0.5), ones, 2 * ones, form=form)
    e = np.exp(-0.5)
    expected = [1, 2 + e, 3 + 2 * e + e * e]
    torch.testing.assert_close(y.flatten(), 2 * torch.tensor(expected, dtype=torch.float32))
    torch.testing.assert_close(last.flatten(), torch.tensor(expected[-1:], dtype=torch.float32))


@pytest.mark.parametrize("block", [1, 300, 1 << 19])
@pytest.mark.parametrize("length", [1, 2, 3, 17, 64, 65])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_chunks_are_the_reference(monkeypatch, length, dtype, block):
    monkeypatch.setitem(scan_chunks.BLOCK_VALUES, "cpu", block)
    given = sample(length, dtype=dtype)
    expected = with_slopes(selective_scan_reference, given)
    assert_same(with_slopes(selective_scan, given, form="chunks"), expected, TOLERANCE[dtype])


@pytest.mark.parametrize("maps", ["gg", "vg", "gv", "cv", "vc", "gc", "cc"])
def test_grouped_and_constant_maps(monkeypatch, maps):
    monkeypatch.setitem(scan_chunks.BLOCK_VALUES, "cpu", 300)
    given = sample(37, maps=maps)
    expected = with_slopes(selective_scan_reference, given)
    assert_same(with_slopes(selective_scan, given), expected, TOLERANCE[torch.float32])
    assert_same(with_slopes(selective_scan, given, form="chunks"), expected, TOLERANCE[torch.float32])


@pytest.mark.parametrize("length", [1, 2, 3, scan_kernels.PERIOD - 1, scan_kernels.PERIOD, scan_kernels.PERIOD + 1, 150])
def test_kernel_is_the_reference(length):
    given = sample(length)
    expected = with_slopes(selective_scan_reference, given)
    assert_same(with_slopes(selective_scan, given, form="kernel"), expected, TOLERANCE[torch.float32])


@pytest.mark.parametrize("maps", ["vv", "gg"])
def test_kernel_on_more_channels_than_it_takes_at_once(maps):
    given = sample(40, channels=2 * scan_kernels.LANES + 44, maps=maps)
    double = {name: tensor.double() for name, tensor in given.items()}
    expected = [tensor.float() for tensor in with_slopes(selective_scan_reference, double)]
    assert_same(with_slopes(selective_scan, given, form="kernel"), expected, TOLERANCE[torch.float32])


@pytest.mark.parametrize("maps", ["vv", "gg", "cv"])
def test_gradcheck(monkeypatch, maps):
    monkeypatch.setitem(scan_chunks.BLOCK_VALUES, "cpu", 40)
    given = sample(5, batch=1, channels=4, states=2, maps=maps, dtype=torch.float64)

    def run(*inputs: Tensor) -> tuple[Tensor, Tensor]:
        return selective_scan(**dict(zip(given, inputs, strict=True)), delta_softplus=True)

    assert torch.autograd.gradcheck(run, [tensor.requires_grad_() for tensor in given.values()])


@FORMS
def test_bare_scan_without_what_is_optional(form):
    given = {name: tensor for name, tensor in sample(20).items() if name in ("u", "delta", "A", "B", "C")}
    given["delta"] = given["delta"].abs()
    y, last = selective_scan(**given, form=form)
    expected, expected_last = selective_scan_reference(**given)
    torch.testing.assert_close(y, expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(last, expected_last, rtol=1e-5, atol=1e-5)


@FORMS
@pytest.mark.parametrize("sizes", [(1, 1, 1, 67), (64, 6), (33, 37)])
def test_pieces_give_the_whole(form, sizes):
    given = sample(70)
    whole, last = selective_scan(**given, delta_softplus=True, form=form)
    state, parts, start = given["initial_state"], [], 0
    for size in sizes:
        piece = {
            name: tensor[..., start : start + size] if name in ("u", "delta", "B", "C", "z") else tensor
            for name, tensor in given.items()
        }
        part, state = selective_scan(**{**piece, "initial_state": state}, delta_softplus=True, form=form)
        parts.append(part)
        start += size
    torch.testing.assert_close(torch.cat(parts, -1), whole, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(state, last, rtol=1e-5, atol=1e-5)


def test_step_is_one_position():
    given = sample(1)
    expected, expected_last = selective_scan_reference(**given, delta_softplus=True)
    u, delta, A, B, C, D, z, bias, state = given.values()
    y, last = selective_step(u[..., 0], delta[..., 0], A, B[..., 0], C[..., 0], D, z[..., 0], bias, state)
    torch.testing.assert_close(y, expected[..., 0])
    torch.testing.assert_close(last, expected_last)


@FORMS
def test_a_sequence_does_not_see_its_neighbours(form):
    given = sample(30)
    per_sequence = ("u", "delta", "B", "C", "z", "initial_state")
    both, _ = selective_scan(**given, delta_softplus=True, form=form)
    for row in range(2):
        alone = {name: tensor[row : row + 1] if name in per_sequence else tensor for name, tensor in given.items()}
        y, _ = selective_scan(**alone, delta_softplus=True, form=form)
        torch.testing.assert_close(y[0], both[row], rtol=1e-6, atol=1e-6)


def test_threads_change_no_bit(monkeypatch):
    monkeypatch.setattr(scan_kernels, "PARALLEL", 1)
    given = sample(40, channels=300)
    threads = torch.get_num_threads()
    results = []
    try:
        for number in (1, 2):
            torch.set_num_threads(number)
            with torch.no_grad():
                u, delta, A, B, C = (given[name] for name in ("u", "delta", "A", "B", "C"))
                core = (u.mT, delta.abs().mT, A, B.mT.unsqueeze(2), C.mT.unsqueeze(2))
                y, last, marks = scan_kernels.forward(*core, given["initial_state"], keep=True)
                results.append([y, last, *scan_kernels.backward(*core, marks, given["z"].mT, given["initial_state"])])
    finally:
        torch.set_num_threads(threads)
    for one, two in zip(*results, strict=True):
        assert torch.equal(one, two)


def test_the_type_of_new_tensors_does_not_matter():
    given = sample(20)
    expected = with_slopes(selective_scan, given)
    try:
        torch.set_default_dtype(torch.float64)
        with_float64 = selective_scan(**given, delta_softplus=True)
    finally:
        torch.set_default_dtype(torch.float32)
    assert torch.equal(with_float64[0], expected[0])


def test_exponential_of_the_kernel():
    points = np.linspace(-87, 88, 4001).astype(np.float32)
    found = np.array([scan_kernels.exponential(point) for point in points], np.float64)
    assert np.abs(found / np.exp(points.astype(np.float64)) - 1).max() < 1.5e-7
    assert scan_kernels.exponential(np.float32(0)) == 1
    assert scan_kernels.exponential(np.float32(-1e9)) < 1e-37
    assert np.isfinite(scan_kernels.exponential(np.float32(1e9)))


@FORMS
def test_large_steps_forget_and_nan_shows(form):
    given = sample(30)
    given["delta"][..., 10] = 1e4
    y, _ = selective_scan(**given, delta_softplus=True, form=form)
    assert torch.isfinite(y).all()
    fresh = {**given, "initial_state": torch.zeros_like(given["initial_state"])}
    torch.testing.assert_close(
        selective_scan(**fresh, delta_softplus=True, form=form)[0][..., 10:], y[..., 10:], rtol=1e-5, atol=1e-3
    )
    given["u"][0, 0, 5] = torch.nan
    y, _ = selective_scan(**given, delta_softplus=True, form=form)
    assert y[0, 0, 5].isnan()
    assert not y[1].isnan().any()


@FORMS
def test_bfloat16_has_float32_states(form):
    given = sample(200)
    half = {name: tensor.bfloat16() if name in ("u", "delta", "B", "C", "z") else tensor for name, tensor in given.items()}
    # Rounding to bfloat16 changes the input; the scan of the rounded input is the standard.
    expected = with_slopes(selective_scan_reference, {name: tensor.float() for name, tensor in half.items()})
    found = with_slopes(selective_scan, half, form=form)
    assert found[0].dtype == torch.bfloat16
    assert found[1].dtype == torch.float32
    torch.testing.assert_close(found[1], expected[1], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(found[0].float(), expected[0], rtol=0.01, atol=0.01)
    for mine, theirs in zip(found[2:], expected[2:], strict=True):
        torch.testing.assert_close(mine.float(), theirs, rtol=0.03, atol=0.05 * float(theirs.abs().max()))


def test_mixed_precision_around_it_changes_nothing():
    given = sample(50)
    expected = with_slopes(selective_scan, given, form="chunks")
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = with_slopes(selective_scan, given, form="chunks")
    assert_same(found, expected, 1e-6)


@FORMS
def test_keeps_its_arguments_and_few_states(form):
    given = {name: tensor.requires_grad_() for name, tensor in sample(4096, batch=1, channels=32, states=16).items()}
    kept: list[Tensor] = []
    with torch.autograd.graph.saved_tensors_hooks(lambda tensor: kept.append(tensor) or tensor, lambda tensor: tensor):
        selective_scan(**given, delta_softplus=True, form=form)
    arguments = sum(tensor.numel() for tensor in given.values())
    assert sum(tensor.numel() for tensor in kept) < arguments + 0.5 * given["u"].numel()


def test_second_derivatives_are_refused():
    given = sample(3, dtype=torch.float64)
    given["u"].requires_grad_()
    y, _ = selective_scan(**given)
    (slope,) = torch.autograd.grad(y.square().sum(), given["u"], create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        slope.sum().backward()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"u": torch.zeros(2, 6, 0)}, r"u is \(2, 6, 0\); expected \(B, D, L\)"),
        ({"A": torch.zeros(5, 3)}, r"A is \(5, 3\); expected \(D, N\) with D = 6"),
        ({"A": torch.zeros(6, 3, dtype=torch.complex64)}, "expected to be real"),
        ({"delta": torch.zeros(2, 6, 3)}, r"delta is \(2, 6, 3\); expected \(2, 6, 4\) as u"),
        ({"z": torch.zeros(1, 6, 4)}, r"z is \(1, 6, 4\)"),
        ({"B": torch.zeros(2, 4, 4)}, r"B is \(2, 4, 4\); expected \(B, N, L\)"),
        ({"C": torch.zeros(2, 4, 3, 4)}, "a multiple of G"),
        ({"initial_state": torch.zeros(2, 6, 4)}, r"initial_state is \(2, 6, 4\); expected \(2, 6, 3\)"),
    ],
)
def test_refuses_what_does_not_fit(change, message):
    with pytest.raises(ValueError, match=message):
        selective_scan(**{**sample(4), **change})


def test_kernel_refuses_what_it_cannot():
    with pytest.raises(ValueError, match="float32 or narrower on a CPU"):
        selective_scan(**sample(4, dtype=torch.float64), form="kernel")
    with pytest.raises(ValueError, match="depend on the position"):
        selective_scan(**sample(4, maps="cv"), form="kernel")


@FORMS
def test_vectors_of_the_public_code(form):
    case = weights(parity_case("ops"), "selective_scan.safetensors")
    names = ("u", "delta", "A", "B", "C", "D", "z", "delta_bias")
    given = {name: case[name].clone().requires_grad_() for name in names}
    out, last = selective_scan(**given, delta_softplus=True, form=form)
    assert_close(out, case["out"])
    assert_close(last, case["last_state"])
    out.backward(case["grad_out"])
    for name, tensor in given.items():
        assert_close(tensor.grad, case[f"d{name}"])


@FORMS
def test_more_vectors_of_the_public_code(form):
    case = weights(parity_case("ops"), "selective_scan.safetensors")
    plain = {name: case[name] for name in ("u", "delta", "A", "B", "C")}
    out, _ = selective_scan(**{**plain, "delta": torch.nn.functional.softplus(plain["delta"])}, form=form)
    assert_close(out, case["out_nobias_softplus_pre"])
    plain |= {"D": case["D"], "delta_bias": case["delta_bias"]}
    grouped = {**plain, "B": case["B_grouped"], "C": case["C_grouped"]}
    assert_close(selective_scan(**grouped, delta_softplus=True, form=form)[0], case["out_grouped"])
    if form == "chunks":
        constant = {**plain, "B": case["B_const"], "C": case["C_const"]}
        assert_close(selective_scan(**constant, delta_softplus=True, form=form)[0], case["out_const"])
    long = weights(parity_case("ops"), "selective_scan_long.safetensors")
    out, last = selective_scan(*(long[name] for name in ("u", "delta", "A", "B", "C")), form=form)
    assert_close(out, long["out"])
    assert_close(last, long["last_state"])
