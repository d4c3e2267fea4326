"""Filters of StripedHyena 2 against their equations, whole and in pieces, beside padding."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor, nn

from genoseq.nets.layers.striped import HyenaBlock, gate_streams
from genoseq.nets.layers.striped2 import CascadeHyena, ExplicitHyena, ImplicitHyena

KINDS: dict[str, tuple[type[CascadeHyena], dict[str, object]]] = {
    "short": (ExplicitHyena, {"filter_length": 7, "filter_groups": 4}),
    "short per channel": (ExplicitHyena, {"filter_length": 3}),
    "between": (ExplicitHyena, {"filter_length": 20, "filter_groups": 2}),
    "medium": (ExplicitHyena, {"filter_length": 128, "filter_groups": 2}),
    "long": (ImplicitHyena, {"state_size": 3}),
}
SPLITS = list(itertools.product([False, True], repeat=3))


def normal(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def make(kind: str, **options: object) -> CascadeHyena:
    torch.manual_seed(1)
    layer_class, values = KINDS[kind]
    layer = layer_class(**({"d_model": 8, "n_heads": 2} | values | options))  # type: ignore[arg-type]
    for index, (name, parameter) in enumerate(layer.named_parameters()):
        if name != "log_poles":
            parameter.data += 0.3 * normal(*parameter.shape, seed=index)
    return layer.eval()


def block(kind: str, **options: object) -> HyenaBlock:
    layer = make(kind, **options)
    return HyenaBlock(d_model=8, filter=layer, inner_size=12, act="identity", proj_bias=False).eval()


def long_filter(layer: CascadeHyena, length: int) -> Tensor:
    """Taps ``(D, length)``, the first of which meets the newest input."""
    if isinstance(layer, ImplicitHyena):
        time = torch.arange(length)
        return (layer.residues[..., None] * (layer.log_poles * time).exp()).sum(1)
    assert isinstance(layer, ExplicitHyena)
    taps = layer.h[:, 0] if layer.h.shape[-1] >= 128 else layer.h[:, 0].flip(-1)
    taps = taps.repeat_interleave(layer.d_model // len(taps), dim=0)
    return nn.functional.pad(taps, (0, max(0, length - taps.shape[1])))[:, :length]


def reference(layer: CascadeHyena, z: Tensor) -> Tensor:
    """A filter as its equation says it, one output after the other."""
    batch, length, wide = z.shape
    width = wide // 3
    short = layer.short_filter_weight[:, 0].flip(-1)
    mixed = torch.zeros_like(z)
    for t in range(length):
        for k in range(min(short.shape[1], t + 1)):
            mixed[:, t] = mixed[:, t] + short[:, k] * z[:, t - k]
    if layer.short_filter_bias is not None:
        mixed = mixed + layer.short_filter_bias
    if layer.interleave:
        mixed = torch.cat([mixed[..., i::3] for i in range(3)], dim=-1)
    if layer.column_split:
        each = mixed.view(batch, length, layer.n_heads, 3, width // layer.n_heads)
        mixed = each.transpose(2, 3).reshape(batch, length, wide)
    x2, x1, v = mixed.split(width, dim=-1)
    if layer.flip:
        x1, x2 = x2, x1
    u = x1 * v
    h = long_filter(layer, length)
    y = torch.zeros_like(u)
    for t in range(length):
        for s in range(t + 1):
            y[:, t] = y[:, t] + h[:, t - s] * u[:, s]
    shortcut = getattr(layer, "D", None)
    return (y if shortcut is None else y + shortcut * u) * x2


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("column_split", "interleave", "flip"), SPLITS)
def test_the_equation(kind: str, column_split: bool, interleave: bool, flip: bool) -> None:
    layer = make(kind, column_split=column_split, interleave=interleave, flip=flip, short_filter_bias=flip).double()
    z = normal(2, 30, 24, seed=2, dtype=torch.float64)
    torch.testing.assert_close(layer(z)[0], reference(layer, z), rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("kind", KINDS)
def test_longer_than_the_filter(kind: str) -> None:
    layer, z = make(kind).double(), normal(1, 150, 24, seed=3, dtype=torch.float64)
    torch.testing.assert_close(layer(z)[0], reference(layer, z), rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_are_those_of_the_equation(kind: str) -> None:
    layer, z = make(kind).double(), normal(2, 9, 24, seed=4, dtype=torch.float64).requires_grad_()
    weight = normal(2, 9, 8, seed=5, dtype=torch.float64)
    wanted = [z, *layer.parameters()]
    found, expected = (torch.autograd.grad((out * weight).sum(), wanted) for out in (layer(z)[0], reference(layer, z)))
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("kind", KINDS)
def test_gradcheck(kind: str) -> None:
    layer = make(kind).double()
    z = normal(1, 5, 24, seed=6, dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(lambda z: layer(z)[0], (z,))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("pieces", [(1,) * 41, (7, 1, 1, 32), (40, 1), (2, 3, 5, 31)])
def test_pieces_give_what_the_whole_gives(kind: str, pieces: tuple[int, ...]) -> None:
    layer, x = block(kind), normal(2, 41, 8, seed=7)
    with torch.no_grad():
        whole, _ = layer(x)
        cache, parts = None, []
        for piece in x.split(list(pieces), dim=1):
            y, cache = layer(piece, cache=cache, use_cache=True)
            parts.append(y)
    torch.testing.assert_close(torch.cat(parts, dim=1), whole, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("kind", "state"), [("short", (2, 6, 8)), ("between", (2, 19, 8)), ("medium", (2, 127, 8)), ("long", (2, 8, 3))]
)
def test_the_cache_does_not_grow(kind: str, state: tuple[int, ...]) -> None:
    for length in (1, 200):
        _, cache = block(kind)(normal(2, length, 8), use_cache=True)
        assert [tuple(t.shape) for t in cache] == [(2, 2, 24), state]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("side", ["left", "right"])
def test_padding_changes_nothing(kind: str, side: str) -> None:
    layer, x, lengths = block(kind, short_filter_bias=True), normal(3, 14, 8, seed=8), [14, 9, 1]
    steps = torch.arange(14)
    mask = torch.stack([steps >= 14 - n if side == "left" else steps < n for n in lengths])
    with torch.no_grad():
        found, _ = layer(x, mask)
        for row in range(3):
            alone, _ = layer(x[row : row + 1, mask[row]])
            torch.testing.assert_close(found[row, mask[row]], alone[0], rtol=1e-5, atol=1e-5)
        _, cache = layer(x[:, :10], mask[:, :10], use_cache=True)
        then, _ = layer(x[:, 10:], mask[:, 10:], cache=cache)
    torch.testing.assert_close(then[mask[:, 10:]], found[:, 10:][mask[:, 10:]], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_segments_change_nothing(kind: str) -> None:
    layer, x = block(kind), normal(2, 60, 8, seed=9)
    whole, _ = layer(x)
    layer.segment = 7
    with torch.no_grad():
        found, _ = layer(x)
    torch.testing.assert_close(found, whole.detach(), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_bfloat16_is_near(kind: str) -> None:
    layer, x = block(kind), normal(1, 40, 8, seed=10)
    expected, _ = layer(x)
    found, _ = layer.to(torch.bfloat16)(x.to(torch.bfloat16))
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found.float(), expected, rtol=0.1, atol=0.3)


@pytest.mark.parametrize("kind", KINDS)
def test_mixed_precision_training_leaves_the_filter_in_float32(kind: str) -> None:
    layer, z = make(kind), normal(1, 40, 24, seed=16)
    expected, _ = layer(z)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found, _ = layer(z)
    assert found.dtype == torch.float32
    assert torch.equal(found, expected)


def test_names_are_the_public_ones() -> None:
    names = {kind: sorted(dict(make(kind).named_parameters())) for kind in ("short", "medium", "long")}
    assert names == {
        "short": ["h", "short_filter_weight"],
        "medium": ["D", "h", "short_filter_weight"],
        "long": ["D", "log_poles", "residues", "short_filter_weight"],
    }


def test_streams_channel_by_channel() -> None:
    z = torch.arange(12.0).view(1, 1, 12)
    plain = [s.flatten().tolist() for s in gate_streams(z, n_heads=2, column_split=False, interleave=True)]
    assert plain == [[0, 3, 6, 9], [1, 4, 7, 10], [2, 5, 8, 11]]
    flipped = [s.flatten().tolist() for s in gate_streams(z, n_heads=2, column_split=False, interleave=True, flip=True)]
    assert flipped == [plain[1], plain[0], plain[2]]


def test_new_long_filters_are_stable() -> None:
    layer = ImplicitHyena(d_model=16, n_heads=2, state_size=16)
    assert (layer.log_poles < 0).all()
    assert layer.log_poles.max() > -1e-3


def test_groups_that_do_not_divide() -> None:
    with pytest.raises(ValueError, match="3 filter groups"):
        ExplicitHyena(d_model=8, n_heads=2, filter_length=7, filter_groups=3)
