"""Dynamic chunking and the moving average behind it."""

from __future__ import annotations

import pytest
import torch

from genoseq.nets.layers.chunk import Boundaries, Router, load_balancing_loss, one_with_gradient, spread_chunks, take_chunks
from genoseq.nets.ops.ema import moving_average, moving_average_reference


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def chosen(mask: list[list[int]], probability: list[list[float]] | None = None) -> Boundaries:
    where = torch.tensor(mask, dtype=torch.bool)
    p = torch.where(where, 0.75, 0.25) if probability is None else torch.tensor(probability)
    return Boundaries(p, where, torch.where(where, p, 1 - p), torch.ones_like(where))


@pytest.mark.parametrize("length", [1, 2, 127, 128, 129, 300])
def test_moving_average_is_that_of_the_plain_loop(length: int) -> None:
    x, p = random(2, length, 5), torch.rand(2, length, generator=torch.Generator().manual_seed(1)).clamp(1e-4, 1 - 1e-4)
    initial = random(2, 5, seed=2)
    torch.testing.assert_close(moving_average(x, p), moving_average_reference(x, p), rtol=1e-5, atol=1e-5)
    expected = moving_average_reference(x, p, initial=initial)
    torch.testing.assert_close(moving_average(x, p, initial=initial), expected, rtol=1e-5, atol=1e-5)


def test_moving_average_stays_exact_where_the_weights_are_extreme() -> None:
    x = random(1, 256, 3)
    p = torch.full((1, 256), 1 - 1e-4)
    torch.testing.assert_close(moving_average(x, p), moving_average_reference(x, p), rtol=1e-5, atol=1e-6)


def test_gradients_of_the_moving_average() -> None:
    x, p = random(1, 6, 2).double().requires_grad_(), torch.rand(1, 6).double().clamp(0.1, 0.9).requires_grad_()
    initial = random(1, 2).double().requires_grad_()
    assert torch.autograd.gradcheck(lambda a, b, c: moving_average(a, b, initial=c), (x, p, initial))


def test_a_router_begins_a_chunk_where_the_direction_turns() -> None:
    x = torch.tensor([[[1.0, 0.0], [2.0, 0.0], [-1.0, 0.0], [-1.0, 0.1], [0.0, 1.0]]])
    found = Router(d_model=2)(x)
    assert found.mask.tolist() == [[True, False, True, False, False]]
    assert found.probability[0, 0] == 1
    torch.testing.assert_close(found.probability[0, 2], torch.tensor(1.0))
    torch.testing.assert_close(found.chosen[0, 1], torch.tensor(1.0))


def test_padding_begins_no_chunk_and_the_first_real_position_does() -> None:
    mask = torch.tensor([[False, False, True, True], [True, True, True, True]])
    found = Router(d_model=3)(random(2, 4, 3), mask=mask)
    assert found.mask[0, :2].tolist() == [False, False]
    assert bool(found.mask[0, 2])
    assert bool(found.mask[1, 0])


def test_a_router_goes_on_where_it_stopped() -> None:
    router, x = Router(d_model=4), random(2, 9, 4)
    with torch.no_grad():
        router.q_proj_layer.weight += 0.3 * random(4, 4, seed=1)
    whole = router(x)
    first, second = router(x[:, :4]), router(x[:, 4:], before=x[:, 3])
    torch.testing.assert_close(torch.cat([first.probability, second.probability], dim=1), whole.probability)


def test_taking_chunks_keeps_the_order() -> None:
    x = torch.arange(10.0).reshape(2, 5, 1)
    chunks, mask = take_chunks(x, chosen([[1, 0, 0, 1, 0], [1, 1, 0, 0, 1]]))
    assert mask is not None
    assert mask.tolist() == [[True, True, False], [True, True, True]]
    assert chunks[..., 0][mask].tolist() == [0, 3, 5, 6, 9]


def test_spreading_holds_each_average_until_the_next_chunk() -> None:
    boundaries = chosen([[1, 0, 1, 0]], [[1.0, 0.2, 0.75, 0.4]])
    spread = spread_chunks(torch.tensor([[[4.0], [8.0]]]), boundaries)[0, :, 0]
    first = 4 * (1 - 1e-4)
    torch.testing.assert_close(spread, torch.tensor([first, first, 6 + first / 4, 6 + first / 4]))


def test_spreading_goes_on_from_the_last_average() -> None:
    boundaries, chunks = chosen([[1, 0, 1, 0, 0, 1, 0]]), random(1, 3, 2)
    whole = spread_chunks(chunks, boundaries)
    parts, state, taken = [], None, 0
    for low, high in [(0, 2), (2, 3), (3, 5), (5, 7)]:
        own = Boundaries(*(field[:, low:high] for field in boundaries))
        count = int(own.mask.sum())
        parts.append(spread_chunks(chunks[:, taken : taken + count], own, initial=state))
        state, taken = parts[-1][:, -1], taken + count
    torch.testing.assert_close(torch.cat(parts, dim=1), whole)


def test_load_balancing_is_one_at_its_target_and_more_beside_it() -> None:
    def loss(every: int) -> float:
        where = torch.arange(1200)[None] % every == 0
        p = where.float()
        return float(load_balancing_loss(Boundaries(p, where, torch.ones_like(p), torch.ones_like(where)), 4.0))

    assert loss(4) == pytest.approx(1, abs=1e-5)
    assert loss(1) > 1.1
    # every chunk longer than wanted costs nothing by itself, but the loss falls as the share rises to the target
    assert loss(2) > loss(4)


def test_one_passes_the_gradient_on() -> None:
    p = torch.tensor([0.3, 0.9], requires_grad=True)
    one = one_with_gradient(p)
    assert torch.equal(one, torch.ones(2))
    (one * torch.tensor([2.0, 5.0])).sum().backward()
    assert p.grad.tolist() == [2.0, 5.0]
