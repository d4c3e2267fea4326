"""Rotary positions against the paper's complex product, and what they promise."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from genoseq.nets.ops.rotary import real_indices, rotary_frequencies, rotate, rotate_reference, rotation


def heads(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64).to(dtype)


@pytest.mark.parametrize("interleaved", [False, True])
@pytest.mark.parametrize(("linear", "ntk"), [(1.0, 1.0), (16.0, 1.0), (1.0, 4.0)])
@pytest.mark.parametrize("dim", [6, 8])
def test_the_complex_product(interleaved: bool, linear: float, ntk: float, dim: int) -> None:
    x = heads(2, 3, 5, 8)
    positions = torch.tensor([[0, 1, 2, 3, 4], [7, 8, 9, 0, 1]])
    tables = rotation(positions, dim, base=500.0, linear_factor=linear, ntk_factor=ntk)
    found = rotate(x, tables, interleaved=interleaved)
    expected = rotate_reference(x, positions, dim, base=500.0, linear_factor=linear, ntk_factor=ntk, interleaved=interleaved)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    assert torch.equal(found[..., dim:], x[..., dim:])


@pytest.mark.parametrize("interleaved", [False, True])
def test_products_see_only_distances(interleaved: bool) -> None:
    query, key = heads(1, 1, 1, 8), heads(1, 1, 1, 8).flip(-1)

    def product(i: int, j: int) -> float:
        a, b = (rotate(x, rotation(torch.tensor([p]), 8), interleaved=interleaved) for x, p in ((query, i), (key, j)))
        return float((a * b).sum())

    assert product(12, 5) == pytest.approx(product(107, 100), abs=1e-5)
    assert product(12, 5) != pytest.approx(product(12, 6), abs=1e-3)


def test_linear_scaling_is_interpolation() -> None:
    tables, scaled = rotation(torch.arange(4), 8), rotation(torch.arange(4) * 16, 8, linear_factor=16.0)
    torch.testing.assert_close(scaled.cos, tables.cos)
    torch.testing.assert_close(scaled.sin, tables.sin)


def test_ntk_scaling_stretches_the_slowest_pair_by_the_factor_and_leaves_the_fastest() -> None:
    plain, scaled = rotary_frequencies(16), rotary_frequencies(16, ntk_factor=8.0)
    assert float(scaled[0]) == float(plain[0]) == 1.0
    assert float(plain[-1] / scaled[-1]) == pytest.approx(8.0, rel=1e-5)


def test_tables_stay_in_float32() -> None:
    x = heads(1, 2, 3, 8, dtype=torch.bfloat16)
    tables = rotation(torch.tensor([1_000_000, 1_000_001, 1_000_002]), 8)
    assert tables.cos.dtype == torch.float32
    found = rotate(x, tables)
    assert found.dtype == torch.bfloat16
    expected = rotate(x.float(), tables)
    torch.testing.assert_close(found.float(), expected, rtol=1e-2, atol=1e-2)
    # neighbouring positions around a million are different, which tables in bfloat16 would not know
    assert (tables.cos[0, 0] - tables.cos[0, 1]).abs().max() > 0.1


def test_gradients() -> None:
    x = heads(1, 2, 3, 6, dtype=torch.float64).requires_grad_()
    tables = rotation(torch.arange(3), 4)
    for interleaved in (False, True):
        assert torch.autograd.gradcheck(lambda x, i=interleaved: rotate(x, tables, interleaved=i), (x,))


@pytest.mark.parametrize("dim", [0, -2, 3])
def test_impossible_dimensions(dim: int) -> None:
    with pytest.raises(ValueError, match="even number above 0"):
        rotary_frequencies(dim)


def test_ntk_scaling_needs_more_than_one_pair() -> None:
    with pytest.raises(ValueError, match="above 2"):
        rotary_frequencies(2, ntk_factor=2.0)


def test_heads_narrower_than_the_tables() -> None:
    with pytest.raises(ValueError, match="4 channels"):
        rotate(heads(1, 1, 2, 4), rotation(torch.arange(2), 8))


def test_positions_count_real_tokens() -> None:
    mask = torch.tensor([[0, 0, 1, 1, 1], [1, 1, 1, 0, 0]]).bool()
    assert real_indices(mask).tolist() == [[0, 0, 0, 1, 2], [0, 1, 2, 2, 2]]
    assert real_indices(mask, torch.tensor([10, 20])).tolist() == [[10, 10, 10, 11, 12], [20, 21, 22, 22, 22]]


def test_the_longest_wavelength() -> None:
    slowest = float(rotary_frequencies(64, base=10_000.0)[-1])
    assert 2 * math.pi / slowest == pytest.approx(2 * math.pi * 10_000 ** (62 / 64), rel=1e-5)
