"""State space duality: chunks against the equations, the vectors of the public code, and what must not matter."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from parity import assert_close, parity_case, weights
from torch import Tensor

from genoseq.nets.ops import ssd as module
from genoseq.nets.ops.scan import selective_scan_reference
from genoseq.nets.ops.ssd import ssd, ssd_reference, ssd_step

CHUNK = 8
# float64: rounding alone; float32: derivatives are sums over positions, channels and states.
TOLERANCE = {torch.float64: 1e-10, torch.float32: 2e-4}
POSITIONS = ("x", "dt", "B", "C", "z")


def sample(
    length: int, *, groups: int = 1, skip: str = "head", dtype: torch.dtype = torch.float64, batch: int = 2
) -> dict[str, Tensor]:
    """Arguments for 4 heads of 3 channels with 5 states."""
    torch.manual_seed(length)
    return {
        "x": torch.randn(batch, length, 4, 3, dtype=dtype),
        "dt": torch.randn(batch, length, 4, dtype=dtype),
        "A": -3 * torch.rand(4, dtype=dtype),
        "B": torch.randn(batch, length, groups, 5, dtype=dtype),
        "C": torch.randn(batch, length, groups, 5, dtype=dtype),
        "D": torch.randn((4,) if skip == "head" else (4, 3), dtype=dtype),
        "z": torch.randn(batch, length, 4, 3, dtype=dtype),
        "dt_bias": torch.randn(4, dtype=dtype),
        "initial_state": torch.randn(batch, 4, 3, 5, dtype=dtype),
    }


def with_slopes(function: Any, given: dict[str, Tensor], **options: Any) -> list[Tensor]:
    """Result, last state, and the derivatives of all arguments, where both results count."""
    given = {name: tensor.clone().requires_grad_() for name, tensor in given.items()}
    out, last = function(**given, dt_softplus=True, **options)
    torch.manual_seed(1)
    slopes = [torch.randn(result.shape).to(result.dtype) for result in (out, last)]
    return [out, last, *torch.autograd.grad((out, last), list(given.values()), slopes)]


def assert_same(found: list[Tensor], expected: list[Tensor], tolerance: float) -> None:
    for mine, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=tolerance, atol=tolerance)


def test_known_sum():
    # With steps of 1, the state is the sum of all inputs, each decayed by its age.
    x = torch.tensor([1.0, 2.0, 3.0]).view(1, 3, 1, 1)
    ones = torch.ones(1, 3, 1, 1)
    y, last = ssd(x, ones[..., 0], torch.tensor([-0.5]), ones, 2 * ones)
    e = torch.exp(torch.tensor(-0.5))
    expected = torch.stack([torch.tensor(1.0), 2 + e, 3 + 2 * e + e * e])
    torch.testing.assert_close(y.flatten(), 2 * expected)
    torch.testing.assert_close(last.flatten(), expected[-1:])


@pytest.mark.parametrize("block", [1, 2 * 4 * CHUNK * CHUNK * 2, 1 << 18])
@pytest.mark.parametrize("length", [1, 2, 3, CHUNK - 1, CHUNK, CHUNK + 1, 41])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_chunks_are_the_reference(monkeypatch, length, dtype, block):
    monkeypatch.setitem(module.BLOCK_VALUES, "cpu", block)
    given = sample(length, dtype=dtype)
    assert_same(with_slopes(ssd, given, chunk_size=CHUNK), with_slopes(ssd_reference, given), TOLERANCE[dtype])


@pytest.mark.parametrize("limit", [(0.0, float("inf")), (0.2, 0.6)])
@pytest.mark.parametrize("skip", ["head", "channel"])
@pytest.mark.parametrize("groups", [1, 2, 4])
def test_groups_skips_and_limits(groups, skip, limit):
    given = sample(21, groups=groups, skip=skip)
    found = with_slopes(ssd, given, chunk_size=CHUNK, dt_limit=limit)
    assert_same(found, with_slopes(ssd_reference, given, dt_limit=limit), TOLERANCE[torch.float64])


def test_bare_scan_without_what_is_optional():
    given = {name: tensor for name, tensor in sample(20).items() if name in ("x", "dt", "A", "B", "C")}
    given["dt"] = given["dt"].abs()
    for found, expected in zip(ssd(**given), ssd_reference(**given), strict=True):
        torch.testing.assert_close(found, expected)


def test_is_a_selective_scan_whose_channels_share_their_decays():
    given = sample(30, groups=2)
    x, dt, A, B, C, D, z, bias, state = given.values()
    batch, length, heads, width = x.shape

    def channels(values: Tensor) -> Tensor:
        return values.flatten(2).transpose(1, 2)

    out, last = selective_scan_reference(
        channels(x),
        dt.repeat_interleave(width, 2).transpose(1, 2),
        A.repeat_interleave(width).unsqueeze(1).expand(-1, 5),
        B.permute(0, 2, 3, 1),
        C.permute(0, 2, 3, 1),
        D.repeat_interleave(width),
        channels(z),
        bias.repeat_interleave(width),
        delta_softplus=True,
        initial_state=state.flatten(1, 2),
    )
    y, end = ssd(**given, dt_softplus=True, chunk_size=CHUNK)
    torch.testing.assert_close(channels(y), out)
    torch.testing.assert_close(end.flatten(1, 2), last)
    assert y.shape == (batch, length, heads, width)


def test_gradcheck(monkeypatch):
    monkeypatch.setitem(module.BLOCK_VALUES, "cpu", 1)
    given = sample(3, groups=2, batch=1)

    def run(*inputs: Tensor) -> tuple[Tensor, Tensor]:
        return ssd(**dict(zip(given, inputs, strict=True)), dt_softplus=True, chunk_size=2)

    assert torch.autograd.gradcheck(run, [tensor.requires_grad_() for tensor in given.values()])


@pytest.mark.parametrize("size", [1, 5, 64, None])
def test_the_chunk_changes_nothing(size):
    given = sample(70)
    expected, _ = ssd(**given, dt_softplus=True, chunk_size=CHUNK)
    torch.testing.assert_close(ssd(**given, dt_softplus=True, chunk_size=size)[0], expected)


@pytest.mark.parametrize("sizes", [(1, 1, 28), (8, 22), (7, 23), (29, 1)])
def test_pieces_give_the_whole(sizes):
    given = sample(30)
    whole, last = ssd(**given, dt_softplus=True, chunk_size=CHUNK)
    state, parts, start = given["initial_state"], [], 0
    for size in sizes:
        piece = {name: tensor[:, start : start + size] if name in POSITIONS else tensor for name, tensor in given.items()}
        part, state = ssd(**{**piece, "initial_state": state}, dt_softplus=True, chunk_size=CHUNK)
        parts.append(part)
        start += size
    torch.testing.assert_close(torch.cat(parts, 1), whole)
    torch.testing.assert_close(state, last)


def test_step_is_one_position():
    given = sample(1, groups=2)
    y, last = ssd(**given, dt_softplus=True)
    one = {name: tensor[:, 0] if name in POSITIONS else tensor for name, tensor in given.items()}
    found, state = ssd_step(**{("state" if name == "initial_state" else name): v for name, v in one.items()}, dt_softplus=True)
    torch.testing.assert_close(found, y[:, 0])
    torch.testing.assert_close(state, last)


def test_decays_between_neighbours_stay_exact_after_large_ones():
    # One step of 1e5 in a chunk: differences of float32 sums would lose what comes after it.
    given = {name: tensor.float() for name, tensor in sample(64).items()}
    given["dt"][:, 10] = 1e5
    expected, _ = ssd_reference(**{name: tensor.double() for name, tensor in given.items()}, dt_softplus=True)
    found, _ = ssd(**given, dt_softplus=True, chunk_size=64)
    torch.testing.assert_close(found[:, 11:], expected[:, 11:].float(), rtol=1e-4, atol=1e-4)


def test_bfloat16_has_float32_states():
    given = {name: tensor.float() for name, tensor in sample(100).items()}
    half = {name: tensor.bfloat16() if name in POSITIONS else tensor for name, tensor in given.items()}
    # Rounding to bfloat16 changes the input; the scan of the rounded input is the standard.
    expected = with_slopes(ssd_reference, {name: tensor.float() for name, tensor in half.items()})
    found = with_slopes(ssd, half)
    assert found[0].dtype == torch.bfloat16
    assert found[1].dtype == torch.float32
    torch.testing.assert_close(found[1], expected[1], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(found[0].float(), expected[0], rtol=0.01, atol=0.01)
    for mine, theirs in zip(found[2:], expected[2:], strict=True):
        torch.testing.assert_close(mine.float(), theirs, rtol=0.03, atol=0.05 * float(theirs.abs().max()))


def test_mixed_precision_around_it_changes_nothing():
    given = {name: tensor.float() for name, tensor in sample(50).items()}
    expected = with_slopes(ssd, given)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = with_slopes(ssd, given)
    assert_same(found, expected, 1e-6)


def test_keeps_its_arguments_and_few_states():
    torch.manual_seed(0)
    given = {
        "x": torch.randn(1, 4096, 4, 16), "dt": torch.randn(1, 4096, 4), "A": -torch.rand(4),
        "B": torch.randn(1, 4096, 1, 16), "C": torch.randn(1, 4096, 1, 16), "z": torch.randn(1, 4096, 4, 16),
    }  # fmt: skip
    given = {name: tensor.requires_grad_() for name, tensor in given.items()}
    kept: list[Tensor] = []
    with torch.autograd.graph.saved_tensors_hooks(lambda tensor: kept.append(tensor) or tensor, lambda tensor: tensor):
        ssd(**given, dt_softplus=True)
    arguments = sum(tensor.numel() for tensor in given.values())
    assert sum(tensor.numel() for tensor in kept) < arguments + 0.1 * given["x"].numel()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x": torch.zeros(2, 0, 4, 3)}, r"x is \(2, 0, 4, 3\); expected \(B, L, H, P\)"),
        ({"dt": torch.zeros(2, 4, 3)}, r"dt is \(2, 4, 3\); expected \(2, 4, 4\)"),
        ({"A": torch.zeros(4, 5)}, r"A is \(4, 5\); expected \(4,\)"),
        ({"B": torch.zeros(2, 4, 3, 5)}, "4 a multiple of G"),
        ({"C": torch.zeros(2, 4, 1, 6)}, r"C is \(2, 4, 1, 6\); expected \(2, 4, 1, 5\)"),
        ({"D": torch.zeros(3)}, r"D is \(3,\); expected \(4,\) or \(4, 3\)"),
        ({"z": torch.zeros(2, 4, 12)}, r"z is \(2, 4, 12\)"),
        ({"initial_state": torch.zeros(2, 4, 5, 3)}, r"initial_state is \(2, 4, 5, 3\); expected \(2, 4, 3, 5\)"),
    ],
)
def test_refuses_what_does_not_fit(change, message):
    with pytest.raises(ValueError, match=message):
        ssd(**{**sample(4), **change})


def test_vectors_of_the_public_code():
    case = weights(parity_case("ops"), "ssd.safetensors")
    plain = [case[name] for name in ("x", "dt", "A", "B", "C")]
    for size in (None, 32, 100):
        out, last = ssd(*plain, chunk_size=size)
        assert_close(out, case["out"])
        assert_close(last, case["final_state"])
        out, last = ssd(*plain, initial_state=case["initial_state"][:, 0], chunk_size=size)
        assert_close(out, case["out_init"])
        assert_close(last, case["final_state_init"])
        out, _ = ssd(
            case["x"], case["dt_raw"], case["A"], case["B_groups2"], case["C_groups2"],
            D=case["D"], z=case["z"], dt_bias=case["dt_bias"], dt_softplus=True, chunk_size=size,
        )  # fmt: skip
        assert_close(out, case["out_full_softplus_bias_D_z"])
