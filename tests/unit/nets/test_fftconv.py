"""Long convolutions agree with the sum that defines them, whole, in blocks, in pieces and both ways, gradients too."""

import pytest
import torch
from parity import assert_close, parity_case, weights
from torch import Tensor

from genoseq.nets.ops import fftconv
from genoseq.nets.ops.fftconv import (
    bidirectional_convolution,
    channel_groups,
    continue_convolution,
    direct_convolution,
    fft_convolution,
    fft_size,
    overlap_add_convolution,
    start_convolution,
)

LENGTHS = [1, 2, 3, 5, 16, 17, 97, 258, 1023]


def problem(length: int, taps: int | None = None, *, dtype: torch.dtype = torch.float64, seed: int = 0) -> tuple[Tensor, ...]:
    generator = torch.Generator().manual_seed(seed + 1000 * length)
    shapes = [(2, 3, length), (3, length if taps is None else taps), (3,)]
    u, k, skip = (torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype) for shape in shapes)
    return u, k, skip


def both_ways(u: Tensor, k: Tensor, ahead: Tensor) -> Tensor:
    y = torch.zeros_like(u)
    for t in range(u.shape[-1]):
        for s in range(u.shape[-1]):
            if 0 <= t - s < k.shape[-1]:
                y[..., t] += k[:, t - s] * u[..., s]
            if 0 <= s - t - 1 < ahead.shape[-1]:
                y[..., t] += ahead[:, s - t - 1] * u[..., s]
    return y


def gradients(y: Tensor, *inputs: Tensor) -> tuple[Tensor, ...]:
    weight = torch.linspace(-1, 2, y.numel(), dtype=y.dtype).view_as(y)
    return torch.autograd.grad((y * weight).sum(), inputs)


def test_sizes_are_the_smallest_fast_ones() -> None:
    fast = sorted({2**a * 3**b * 5**c for a in range(4, 18) for b in range(9) for c in range(7)})
    for n in [*range(17, 700), 2 * 32_770, 2 * 160_002]:
        assert fft_size(n) == next(size for size in fast if size >= n)
    assert [fft_size(n) for n in (1, 2, 3, 5, 9, 16)] == [1, 2, 4, 8, 16, 16]


def test_a_transform_of_nothing() -> None:
    with pytest.raises(ValueError, match="0 values"):
        fft_size(0)


@pytest.mark.parametrize("length", LENGTHS)
def test_equals_the_sum(length: int) -> None:
    u, k, skip = problem(length)
    torch.testing.assert_close(fft_convolution(u, k, skip), direct_convolution(u, k, skip), rtol=1e-11, atol=1e-11)
    single = [tensor.float() for tensor in (u, k, skip)]
    found = fft_convolution(*single)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.double(), direct_convolution(*single), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("taps", [1, 2, 30, 97, 250])
def test_kernels_shorter_and_longer_than_the_sequence(taps: int) -> None:
    u, k, _ = problem(97, taps)
    torch.testing.assert_close(fft_convolution(u, k), direct_convolution(u, k), rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("length", [1, 2, 3, 97, 258, 1023, 5003])
def test_public_hyena_convolution(length: int) -> None:
    arrays = weights(parity_case("ops"), "hyena_fftconv.safetensors")
    y = fft_convolution(*(arrays[f"{name}{length}"] for name in ("u", "k", "D")))
    assert_close(y, arrays[f"out{length}"])
    assert_close(y.double(), arrays[f"direct64_{length}"])


@pytest.mark.parametrize("length", [1, 2, 7, 40])
def test_gradients_are_those_of_the_sum(length: int) -> None:
    inputs = [tensor.requires_grad_() for tensor in problem(length)]
    expected = gradients(direct_convolution(*inputs), *inputs)
    for found, wanted in zip(gradients(fft_convolution(*inputs), *inputs), expected, strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("wanted", [(0,), (1,), (2,), (0, 2), (1, 2)])
def test_gradients_of_some_inputs(wanted: tuple[int, ...]) -> None:
    inputs = list(problem(12))
    for i in wanted:
        inputs[i].requires_grad_()
    leaves = [inputs[i] for i in wanted]
    expected = gradients(direct_convolution(*inputs), *leaves)
    for found, truth in zip(gradients(fft_convolution(*inputs), *leaves), expected, strict=True):
        torch.testing.assert_close(found, truth, rtol=1e-10, atol=1e-10)


def test_finite_differences() -> None:
    u, k, skip = (tensor.requires_grad_() for tensor in problem(9))
    ahead = problem(9, 5, seed=1)[1].requires_grad_()
    assert torch.autograd.gradcheck(fft_convolution, (u, k, skip))
    assert torch.autograd.gradcheck(bidirectional_convolution, (u, k, ahead, skip))


def test_working_memory_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    inputs = [tensor.requires_grad_() for tensor in problem(50)]
    y = fft_convolution(*inputs)
    expected = gradients(y, *inputs)
    monkeypatch.setattr(fftconv, "_CPU_VALUES", 1)
    z = fft_convolution(*inputs)
    torch.testing.assert_close(z, y, rtol=1e-12, atol=1e-12)
    for found, wanted in zip(gradients(z, *inputs), expected, strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-11, atol=1e-11)


def test_only_the_inputs_are_kept_for_gradients() -> None:
    inputs = [tensor.requires_grad_() for tensor in problem(200)]
    kept: list[int] = []

    def keep(tensor: Tensor) -> Tensor:
        kept.append(tensor.numel())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        fft_convolution(*inputs)
    assert sum(kept) <= sum(tensor.numel() for tensor in inputs)


def test_strides_and_half_precision() -> None:
    u, k, skip = problem(100, dtype=torch.float32)
    turned = u.transpose(1, 2).contiguous().transpose(1, 2)
    torch.testing.assert_close(fft_convolution(turned, k, skip), fft_convolution(u, k, skip))
    low = fft_convolution(u.bfloat16(), k, skip)
    assert low.dtype == torch.bfloat16
    # the only rounding is that of input and output
    exact = fft_convolution(u.bfloat16().float(), k, skip)
    torch.testing.assert_close(low, exact.bfloat16(), rtol=1e-2, atol=1e-3)


def test_outliers_do_not_spread_through_the_skip_term() -> None:
    u = torch.zeros(1, 1, 4096)
    u[..., 0] = 1e6
    y = fft_convolution(u, torch.zeros(1, 4096), torch.ones(1))
    assert torch.equal(y, u)


@pytest.mark.parametrize("taps", [1, 2, 13, 64])
@pytest.mark.parametrize("block", [1, 10, 1000])
def test_overlap_add_in_blocks(taps: int, block: int) -> None:
    u, k, skip = problem(97, taps)
    y, tail = overlap_add_convolution(u, k, skip, block=block)
    torch.testing.assert_close(y, direct_convolution(u, k, skip), rtol=1e-11, atol=1e-11)
    assert tail.shape == (2, 3, taps - 1)


def test_overlap_add_in_pieces_of_any_length() -> None:
    u, k, skip = problem(97, 20)
    tail, pieces = None, []
    for piece in u.split([1, 1, 3, 50, 1, 41], dim=-1):
        y, tail = overlap_add_convolution(piece, k, skip, block=16, tail=tail)
        pieces.append(y)
    torch.testing.assert_close(torch.cat(pieces, dim=-1), direct_convolution(u, k, skip), rtol=1e-11, atol=1e-11)


def test_overlap_add_has_gradients() -> None:
    inputs = [tensor.requires_grad_() for tensor in problem(23, 6)]
    expected = gradients(direct_convolution(*inputs), *inputs)
    for found, wanted in zip(gradients(overlap_add_convolution(*inputs, block=7)[0], *inputs), expected, strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(("length", "behind", "before"), [(1, 1, 1), (2, 2, 1), (9, 9, 9), (30, 7, 40), (31, 40, 3)])
def test_both_directions(length: int, behind: int, before: int) -> None:
    u, k, skip = problem(length, behind)
    ahead = problem(length, before, seed=1)[1]
    expected = both_ways(u, k, ahead) + u * skip[:, None]
    torch.testing.assert_close(bidirectional_convolution(u, k, ahead, skip), expected, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("spare", [0, 1, 5000])
@pytest.mark.parametrize("sizes", [[1] * 30, [20, 1, 1, 40, 3, 1, 1, 1, 25, 1], [8, 1, 8, 1, 1], [1, 100], [100]])
def test_pieces_of_a_sequence_equal_the_whole(sizes: list[int], spare: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fftconv, "_LOOKAHEAD", 8)
    length = sum(sizes)
    u, k, skip = problem(length, length + spare)
    history, pieces = start_convolution(u), []
    for piece in u.split(sizes, dim=-1):
        y, history = continue_convolution(piece, k[:, : history.length + piece.shape[-1] + spare], skip, history)
        pieces.append(y)
    assert history.length == length
    torch.testing.assert_close(torch.cat(pieces, dim=-1), direct_convolution(u, k, skip), rtol=1e-11, atol=1e-11)


def test_a_history_can_be_continued_twice() -> None:
    u, k, _ = problem(40)
    _, history = continue_convolution(u[..., :20], k, None, start_convolution(u))
    first, _ = continue_convolution(u[..., 20:25], k, None, history)
    continue_convolution(u[..., 30:35], k, None, history)
    again, _ = continue_convolution(u[..., 20:25], k, None, history)
    assert torch.equal(first, again)


def test_gradients_reach_back_through_pieces() -> None:
    inputs = [tensor.requires_grad_() for tensor in problem(30)]
    u, k, skip = inputs
    expected = gradients(direct_convolution(u, k, skip), *inputs)
    history, pieces = start_convolution(u), []
    for piece in u.split([1, 9, 1, 19], dim=-1):
        y, history = continue_convolution(piece, k, skip, history)
        pieces.append(y)
    for found, wanted in zip(gradients(torch.cat(pieces, dim=-1), *inputs), expected, strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-10, atol=1e-10)


def test_shapes_that_do_not_fit() -> None:
    u, k, _ = problem(10)
    with pytest.raises(ValueError, match="expected \\(B, D, L\\) and \\(D, K\\)"):
        fft_convolution(u, k[:2])
    with pytest.raises(ValueError, match="expected \\(B, D, L\\)"):
        fft_convolution(u[0], k)
    with pytest.raises(ValueError, match="tail is"):
        overlap_add_convolution(u, k, tail=torch.zeros(2, 3, 5))
    with pytest.raises(ValueError, match="block is 0"):
        overlap_add_convolution(u, k, block=0)
    with pytest.raises(ValueError, match="kernel of 9 positions for a sequence of 10"):
        continue_convolution(u, k[:, :9], None, start_convolution(u))


def test_groups_cover_the_channels_in_order() -> None:
    groups = list(channel_groups(7, 10, limit=25))
    assert groups == [slice(0, 2), slice(2, 4), slice(4, 6), slice(6, 7)]
    assert list(channel_groups(3, 10**9)) == [slice(0, 1), slice(1, 2), slice(2, 3)]
