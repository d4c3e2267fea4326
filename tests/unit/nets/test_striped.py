"""Blocks of StripedHyena 1 against their equations, whole and in pieces, beside padding."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from genoseq.nets.layers.striped import (
    FilterCache,
    HyenaBlock,
    ModalHyena,
    StripedAttentionBlock,
    gate_streams,
)
from genoseq.nets.ops.modal import modal_filter_reference

OPTIONS: dict[str, dict[str, object]] = {
    "Evo 1": {"column_split": True},
    "thirds": {"column_split": False},
    "shared filters": {"filter_groups": 4},
    "no bias, four taps": {"short_filter_bias": False, "short_filter_length": 4},
    "one tap": {"short_filter_length": 1},
}


def normal(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def shaken(module: nn.Module) -> nn.Module:
    """All of a module's parameters changed a little, so that none is zero or one; poles stay inside the unit circle."""
    for index, (name, parameter) in enumerate(module.named_parameters()):
        if not name.endswith("poles"):
            parameter.data += 0.3 * normal(*parameter.shape, seed=index)
    return module.eval()


def build(**options: object) -> HyenaBlock:
    torch.manual_seed(1)
    values: dict[str, object] = {"d_model": 8, "n_heads": 2, "state_size": 3}
    block = shaken(HyenaBlock(d_model=8, filter=ModalHyena(**(values | options)), inner_size=12))  # type: ignore[arg-type]
    assert isinstance(block, HyenaBlock)
    return block


def attention_block(**options: object) -> StripedAttentionBlock:
    torch.manual_seed(2)
    block = shaken(StripedAttentionBlock(d_model=8, n_heads=4, n_kv_heads=2, inner_size=12, **options))  # type: ignore[arg-type]
    assert isinstance(block, StripedAttentionBlock)
    return block


def filter_reference(filter: ModalHyena, z: Tensor) -> Tensor:  # noqa: A002
    """The filter of a block as its equation says it, one output after the other."""
    batch, length, wide = z.shape
    width = wide // 3
    taps = filter.short_filter_weight[:, 0]
    bias = 0.0 if filter.short_filter_bias is None else filter.short_filter_bias
    mixed = torch.zeros_like(z)
    for t in range(length):
        for k in range(taps.shape[1]):
            if t - k >= 0:
                mixed[:, t] = mixed[:, t] + taps[:, taps.shape[1] - 1 - k] * z[:, t - k]
    mixed = mixed + bias
    if filter.column_split:
        by_head = mixed.view(batch, length, filter.n_heads, 3, width // filter.n_heads)
        x2, x1, v = (by_head[:, :, :, i].reshape(batch, length, width) for i in range(3))
    else:
        x2, x1, v = mixed[..., :width], mixed[..., width : 2 * width], mixed[..., 2 * width :]
    u = x1 * v
    poles, residues = (torch.view_as_complex(p[:, :, 0]) for p in (filter.poles, filter.residues))
    h = modal_filter_reference(poles, residues, length).repeat_interleave(width // len(poles), dim=0)
    y = torch.zeros_like(u)
    for t in range(length):
        for s in range(t + 1):
            y[:, t] = y[:, t] + h[:, t - s] * u[:, s]
    return (y + filter.D * u) * x2


def block_reference(block: HyenaBlock, x: Tensor) -> Tensor:
    def norm(x: Tensor, scale: Tensor) -> Tensor:
        return scale * x / (x.square().sum(-1, keepdim=True).sqrt() / x.shape[-1] ** 0.5 + 1e-6)

    assert isinstance(block.filter, ModalHyena)
    z = norm(x, block.pre_norm.scale) @ block.projections.weight.T + block.projections.bias
    h = filter_reference(block.filter, z) @ block.out_filter_dense.weight.T + block.out_filter_dense.bias + x
    gate, up, down = (block.mlp.get_submodule(name).weight.T for name in ("l1", "l2", "l3"))
    n = norm(h, block.post_norm.scale)
    return h + (nn.functional.gelu(n @ gate) * (n @ up)) @ down


@pytest.mark.parametrize("name", OPTIONS)
@pytest.mark.parametrize("length", [1, 4, 33])
def test_the_equation(name: str, length: int) -> None:
    block, x = build(**OPTIONS[name]).double(), normal(2, length, 8, seed=3, dtype=torch.float64)
    found, cache = block(x)
    assert cache is None
    torch.testing.assert_close(found, block_reference(block, x), rtol=1e-8, atol=1e-8)


def test_gradients_are_those_of_the_equation() -> None:
    block, x = build().double(), normal(2, 9, 8, seed=3, dtype=torch.float64).requires_grad_()
    weight = normal(2, 9, 8, seed=4, dtype=torch.float64)
    wanted = [x, *block.parameters()]
    found, expected = (torch.autograd.grad((out * weight).sum(), wanted) for out in (block(x)[0], block_reference(block, x)))
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-8, atol=1e-8)


def test_gradcheck() -> None:
    torch.manual_seed(5)
    layer = shaken(ModalHyena(d_model=2, n_heads=1, state_size=2)).double()
    z = normal(1, 6, 6, seed=5, dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(lambda z: layer(z)[0], (z,))


@pytest.mark.parametrize("name", OPTIONS)
@pytest.mark.parametrize("pieces", [(1,) * 21, (7, 1, 1, 12), (1, 20), (2, 3, 5, 11)])
def test_pieces_give_what_the_whole_gives(name: str, pieces: tuple[int, ...]) -> None:
    block, x = build(**OPTIONS[name]), normal(2, 21, 8, seed=6)
    with torch.no_grad():
        whole, _ = block(x)
        cache, parts = None, []
        for piece in x.split(list(pieces), dim=1):
            y, cache = block(piece, cache=cache, use_cache=True)
            parts.append(y)
    torch.testing.assert_close(torch.cat(parts, dim=1), whole, rtol=1e-5, atol=1e-5)


def test_the_cache_does_not_grow() -> None:
    block, sizes = build(), []
    for length in (1, 50):
        _, cache = block(normal(2, length, 8), use_cache=True)
        assert isinstance(cache, FilterCache)
        sizes.append([tuple(t.shape) for t in cache])
    assert sizes[0] == sizes[1] == [(2, 2, 24), (2, 8, 6)]


def test_a_cache_may_be_used_twice() -> None:
    block = build()
    with torch.no_grad():
        _, cache = block(normal(1, 9, 8, seed=7), use_cache=True)
        first, second = (block(normal(1, 4, 8, seed=8), cache=cache)[0] for _ in range(2))
    assert torch.equal(first, second)


@pytest.mark.parametrize("kind", [*OPTIONS, "attention"])
@pytest.mark.parametrize("side", ["left", "right"])
def test_padding_changes_nothing(kind: str, side: str) -> None:
    block = attention_block() if kind == "attention" else build(**OPTIONS[kind])
    x, lengths = normal(3, 14, 8, seed=9), [14, 9, 1]
    steps = torch.arange(14)
    mask = torch.stack([steps >= 14 - n if side == "left" else steps < n for n in lengths])
    with torch.no_grad():
        found, _ = block(x, mask)
        for row in range(3):
            alone, _ = block(x[row : row + 1, mask[row]])
            torch.testing.assert_close(found[row, mask[row]], alone[0], rtol=1e-5, atol=1e-5)
    assert found.isfinite().all()


@pytest.mark.parametrize("kind", [*OPTIONS, "attention"])
def test_pieces_after_padding_on_the_left(kind: str) -> None:
    block = attention_block() if kind == "attention" else build(**OPTIONS[kind])
    x, mask = normal(2, 12, 8, seed=10), torch.ones(2, 12, dtype=torch.bool)
    mask[1, :4] = False
    with torch.no_grad():
        whole, _ = block(x, mask)
        _, cache = block(x[:, :7], mask[:, :7], use_cache=True)
        then, cache = block(x[:, 7:8], cache=cache, use_cache=True)
        last, _ = block(x[:, 8:], cache=cache)
    torch.testing.assert_close(torch.cat([then, last], dim=1), whole[:, 7:], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("use_cache", [False, True])
def test_segments_change_nothing_and_leave_the_input_alone(use_cache: bool) -> None:
    block, x = build(), normal(2, 30, 8, seed=11)
    mask = torch.ones(2, 30, dtype=torch.bool)
    mask[0, :11] = False
    whole, expected = block(x, mask, use_cache=use_cache)
    before = x.clone()
    block.segment = 7
    with torch.no_grad():
        found, cache = block(x, mask, use_cache=use_cache)
    torch.testing.assert_close(found[mask], whole.detach()[mask], rtol=1e-5, atol=1e-5)
    assert torch.equal(x, before)
    if not use_cache:
        assert cache is None
        return
    for a, b in zip(cache, expected, strict=True):
        torch.testing.assert_close(a, b.detach(), rtol=1e-5, atol=1e-5)


def test_bfloat16_is_near() -> None:
    block, x = build(), normal(1, 40, 8, seed=12)
    expected, _ = block(x)
    found, cache = block.to(torch.bfloat16)(x.to(torch.bfloat16), use_cache=True)
    assert found.dtype == torch.bfloat16
    assert cache.state.dtype == torch.float32
    torch.testing.assert_close(found.float(), expected, rtol=0.1, atol=0.3)


def test_mixed_precision_training_leaves_the_filter_in_float32() -> None:
    layer, z = build().filter, normal(1, 40, 24, seed=16)
    expected, _ = layer(z)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found, _ = layer(z)
    assert found.dtype == torch.float32
    assert torch.equal(found, expected)


def test_streams() -> None:
    z = torch.arange(12.0).view(1, 1, 12)
    thirds = [s.flatten().tolist() for s in gate_streams(z, n_heads=2, column_split=False)]
    assert thirds == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11]]
    heads = [s.flatten().tolist() for s in gate_streams(z, n_heads=2, column_split=True)]
    assert heads == [[0, 1, 6, 7], [2, 3, 8, 9], [4, 5, 10, 11]]


def test_new_filters_are_stable_and_remember() -> None:
    torch.manual_seed(0)
    layer = ModalHyena(d_model=16, n_heads=4, state_size=8)
    radius = torch.view_as_complex(layer.poles.detach()[:, :, 0]).abs()
    assert radius.max() < 1
    assert radius.max() > 0.999
    assert radius.min() < 0.8


def test_channels_that_do_not_divide() -> None:
    with pytest.raises(ValueError, match="do not divide"):
        ModalHyena(d_model=8, n_heads=2, filter_groups=3)
