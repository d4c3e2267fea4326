"""Modal filters: chunks of matrix products against the recurrence, position by position."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from genoseq.nets.ops.fftconv import fft_convolution
from genoseq.nets.ops.modal import (
    modal_filter,
    modal_filter_reference,
    modal_scan,
    modal_scan_reference,
)

LENGTHS = [1, 3, 4, 5, 15, 16, 17, 32, 100]


def system(systems: int, modes: int, *, complex_modes: bool, largest: float = 0.99) -> tuple[Tensor, Tensor]:
    random = torch.Generator().manual_seed(systems + modes)
    radius = largest * torch.rand(systems, modes, generator=random, dtype=torch.float64) ** 0.3
    residues = torch.randn(systems, modes, generator=random, dtype=torch.float64)
    if not complex_modes:
        return radius, residues
    phase = torch.randn(systems, modes, generator=random, dtype=torch.float64)
    return torch.polar(radius, phase), torch.complex(residues, residues.flip(1))


def inputs(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(6), dtype=torch.float64)


def as_numbers(state: Tensor | None, complex_modes: bool) -> Tensor:
    assert state is not None
    return torch.complex(*state.chunk(2, dim=-1)) if complex_modes else state


@pytest.mark.parametrize("complex_modes", [True, False])
@pytest.mark.parametrize("systems", [6, 3, 1])
def test_the_recurrence(complex_modes: bool, systems: int) -> None:
    poles, residues = system(systems, 4, complex_modes=complex_modes)
    every = [p.repeat_interleave(6 // systems, dim=0) for p in (poles, residues)]
    for length in LENGTHS:
        u = inputs(2, length, 6)
        expected, state = modal_scan_reference(u, *every)
        found, last = modal_scan(u, poles, residues, chunk=16)
        torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12)
        torch.testing.assert_close(as_numbers(last, complex_modes), state, rtol=1e-10, atol=1e-12)
        again, none = modal_scan(u, poles, residues, last=False, chunk=16)
        torch.testing.assert_close(again, expected, rtol=1e-10, atol=1e-12)
        assert none is None


@pytest.mark.parametrize("complex_modes", [True, False])
@pytest.mark.parametrize("pieces", [(1,) * 50, (7,) * 7 + (1,), (49, 1), (16, 16, 18), (5, 45)])
def test_pieces_give_what_the_whole_gives(complex_modes: bool, pieces: tuple[int, ...]) -> None:
    given = system(3, 4, complex_modes=complex_modes)
    u = inputs(2, 50, 6)
    whole, last = modal_scan(u, *given, chunk=16)
    state, parts = None, []
    for piece in u.split(list(pieces), dim=1):
        y, state = modal_scan(piece, *given, state=state, chunk=16)
        parts.append(y)
    torch.testing.assert_close(torch.cat(parts, dim=1), whole, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(state, last, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("complex_modes", [True, False])
def test_the_taps(complex_modes: bool) -> None:
    poles, residues = system(5, 3, complex_modes=complex_modes)
    for length in LENGTHS:
        expected = modal_filter_reference(poles, residues, length)
        torch.testing.assert_close(modal_filter(poles, residues, length), expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("complex_modes", [True, False])
def test_the_transform_of_the_same_filter(complex_modes: bool) -> None:
    """The chunks against the other fast form, in float32: a long convolution with the taps through an FFT."""
    poles, residues = system(4, 8, complex_modes=complex_modes, largest=0.999)
    u = inputs(2, 700, 4).float()
    found, _ = modal_scan(u, poles, residues, last=False)
    taps = modal_filter(poles, residues, 700).float()
    expected = fft_convolution(u.transpose(1, 2), taps).transpose(1, 2)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_phases_after_many_steps() -> None:
    """A slow complex mode over 20,000 steps, in float32, against float64: errors of powers would show in the phase."""
    poles = torch.polar(torch.tensor([[0.9999]], dtype=torch.float64), torch.tensor([[1.234567]], dtype=torch.float64))
    residues = torch.ones(1, 1, dtype=torch.complex128)
    u = torch.zeros(1, 20_000, 1)
    u[:, 0] = 1.0
    found, _ = modal_scan(u, poles, residues, last=False)
    expected = modal_filter(poles, residues, 20_000)
    torch.testing.assert_close(found[0, :, 0].double(), expected[0], rtol=0, atol=1e-4)


def test_a_pole_at_zero_is_a_tap() -> None:
    poles, residues = torch.zeros(1, 1, dtype=torch.complex128), torch.full((1, 1), 2.0, dtype=torch.complex128)
    u = inputs(1, 20, 1)
    found, _ = modal_scan(u, poles, residues)
    torch.testing.assert_close(found, 2 * u)
    assert modal_filter(poles, residues, 3).tolist() == [[2.0, 0.0, 0.0]]


@pytest.mark.parametrize("complex_modes", [True, False])
@pytest.mark.parametrize("length", [3, 9])
def test_gradients(complex_modes: bool, length: int) -> None:
    poles, residues = system(2, 2, complex_modes=complex_modes)
    u, state = inputs(1, length, 4), inputs(1, 4, 4 if complex_modes else 2)
    given = tuple(t.clone().requires_grad_() for t in (u, poles, residues, state))

    def run(u: Tensor, poles: Tensor, residues: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        y, last = modal_scan(u, poles, residues, state=state, chunk=4)
        assert last is not None
        return y, last

    assert torch.autograd.gradcheck(run, given)


def test_gradients_of_the_taps() -> None:
    given = tuple(t.requires_grad_() for t in system(2, 2, complex_modes=True))
    assert torch.autograd.gradcheck(lambda poles, residues: modal_filter(poles, residues, 7), given)


def test_a_net_in_bfloat16_keeps_states_in_float32() -> None:
    given = system(2, 3, complex_modes=True)
    u = inputs(1, 40, 2).to(torch.bfloat16)
    y, state = modal_scan(u, *given, chunk=16)
    assert y.dtype == torch.float32
    assert state is not None
    assert state.dtype == torch.float32
    torch.testing.assert_close(y, modal_scan(u.float(), *given, chunk=16)[0])
