"""Norms over channels: against the plain equation, the vectors of the public code, and their own derivatives."""

from __future__ import annotations

import pytest
import torch
from parity import assert_close, parity_case, weights
from torch import Tensor
from torch.nn import functional

from genoseq.nets.layers import norms
from genoseq.nets.layers.norms import GatedRMSNorm, RMSNorm, ScaleNorm, gated_rms_norm, rms_norm, rms_norm_reference, scale_norm


def test_rms_norm_of_known_numbers():
    x = torch.tensor([[3.0, 4.0]])  # mean square 12.5
    expected = x / (12.5 + 1.0) ** 0.5 * torch.tensor([1.0, 2.0])
    torch.testing.assert_close(rms_norm(x, torch.tensor([1.0, 2.0]), eps=1.0), expected)


@pytest.mark.parametrize("group_size", [None, 4])
@pytest.mark.parametrize("values", [1, 40, 1 << 18])
def test_rms_norm_and_its_derivative_are_those_of_the_equation(monkeypatch, values, group_size):
    monkeypatch.setattr(norms, "PART_VALUES", values)
    torch.manual_seed(0)
    x = torch.randn(3, 5, 12, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(12, dtype=torch.float64, requires_grad=True)
    slope = torch.randn(3, 5, 12, dtype=torch.float64)
    found = rms_norm(x, weight, group_size=group_size)
    expected = rms_norm_reference(x, weight, group_size=group_size)
    torch.testing.assert_close(found, expected)
    for mine, theirs in zip(
        torch.autograd.grad(found, (x, weight), slope), torch.autograd.grad(expected, (x, weight), slope), strict=True
    ):
        torch.testing.assert_close(mine, theirs)


def test_rms_norm_without_weight_and_gradcheck():
    torch.manual_seed(0)
    x = torch.randn(4, 6, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: rms_norm(x, group_size=3), (x,))
    torch.testing.assert_close(rms_norm(x), rms_norm_reference(x))


def test_rms_norm_takes_input_that_is_not_contiguous():
    x = torch.randn(2, 8, 5).transpose(1, 2)
    torch.testing.assert_close(rms_norm(x), rms_norm_reference(x))


def test_rms_norm_keeps_its_input_and_one_number_per_row():
    kept: list[Tensor] = []
    x = torch.randn(2, 50, 16, requires_grad=True)
    with torch.autograd.graph.saved_tensors_hooks(lambda tensor: kept.append(tensor) or tensor, lambda tensor: tensor):
        rms_norm(x, torch.ones(16, requires_grad=True))
    assert sum(tensor.numel() for tensor in kept) == x.numel() + 16 + 2 * 50


def test_bfloat16_is_computed_in_float32():
    x = torch.randn(4, 64).bfloat16()
    weight = torch.rand(64).bfloat16()
    found = rms_norm(x, weight)
    assert found.dtype == torch.bfloat16
    assert torch.equal(found, rms_norm_reference(x.float(), weight.float()).bfloat16())


def test_groups_must_divide_the_channels():
    with pytest.raises(ValueError, match="10 channels cannot be divided into groups of 4"):
        rms_norm(torch.zeros(1, 10), group_size=4)


@pytest.mark.parametrize("before", [True, False])
def test_gated_norm_is_the_equation(before):
    torch.manual_seed(0)
    x, z = torch.randn(2, 3, 8, dtype=torch.float64, requires_grad=True), torch.randn(2, 3, 8, dtype=torch.float64)
    weight = torch.randn(8, dtype=torch.float64)
    if before:
        expected = rms_norm_reference(x, weight, group_size=4) * z * torch.sigmoid(z)
    else:
        expected = rms_norm_reference(x * z * torch.sigmoid(z), weight, group_size=4)
    torch.testing.assert_close(gated_rms_norm(x, z, weight, group_size=4, norm_before_gate=before), expected)
    assert torch.autograd.gradcheck(lambda x: gated_rms_norm(x, z, weight, group_size=4, norm_before_gate=before), (x,))


def test_gate_may_be_missing():
    layer = GatedRMSNorm(8, group_size=2)
    x = torch.randn(3, 8)
    torch.testing.assert_close(layer(x), rms_norm_reference(x, group_size=2))


def test_scale_norm_adds_eps_outside_the_root():
    layer = ScaleNorm(2, eps=0.5)
    with torch.no_grad():
        layer.scale.copy_(torch.tensor([1.0, 3.0]))
    x = torch.tensor([[3.0, 4.0]])  # 2-norm 5
    torch.testing.assert_close(layer(x), torch.tensor([[1.0, 3.0]]) * x / (5 / 2**0.5 + 0.5))
    half = x.bfloat16()
    assert scale_norm(half, layer.scale).dtype == torch.bfloat16


def test_layers_start_at_one_and_say_what_they_are():
    assert torch.equal(RMSNorm(4).weight, torch.ones(4))
    assert torch.equal(ScaleNorm(4).scale, torch.ones(4))
    assert repr(RMSNorm(4, eps=1e-3)) == "RMSNorm(4, eps=0.001, group_size=None)"


def test_vectors_of_the_public_code():
    case = weights(parity_case("ops"), "norms.safetensors")
    x, z, weight = case["x"], case["z"], case["weight"]
    assert_close(rms_norm(x, weight), case["rms"])
    # The file's names of the two results with a residual are exchanged: the sum, and the norm of the sum.
    assert_close(x + case["residual"], case["rms_residual"])
    assert_close(rms_norm(x + case["residual"], weight), case["rms_residual_out"])
    assert_close(gated_rms_norm(x, z, weight, norm_before_gate=True), case["gated_before"])
    assert_close(gated_rms_norm(x, z, weight), case["gated_after"])
    assert_close(gated_rms_norm(x, z, weight, group_size=8), case["gated_after_group8"])


def test_torch_agrees():
    x, weight = torch.randn(2, 9, 32), torch.rand(32)
    torch.testing.assert_close(rms_norm(x, weight, eps=1e-6), functional.rms_norm(x, (32,), weight, 1e-6))
