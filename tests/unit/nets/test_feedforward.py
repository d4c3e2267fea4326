"""Feed-forward layers against their equations, with the names that public nets need."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from genoseq.nets.layers.feedforward import (
    ACTIVATIONS,
    FeedForward,
    GatedFeedForward,
    activation,
    rounded_inner_size,
    segment_size,
)


def inputs(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(3))


def test_the_plain_layer() -> None:
    layer, x = FeedForward(d_model=6, d_inner=10), inputs(2, 5, 6)
    assert sorted(dict(layer.named_parameters())) == ["fc1.bias", "fc1.weight", "fc2.bias", "fc2.weight"]
    first, second = layer.get_submodule("fc1"), layer.get_submodule("fc2")
    inner = x @ first.weight.T + first.bias
    inner = inner * 0.5 * (1 + torch.erf(inner / math.sqrt(2)))
    torch.testing.assert_close(layer(x), inner @ second.weight.T + second.bias)


@pytest.mark.parametrize(("act", "function"), [("silu", lambda g: g / (1 + (-g).exp())), ("identity", lambda g: g)])
def test_three_maps(act: str, function: object) -> None:
    layer, x = GatedFeedForward(d_model=6, d_inner=10, act=act, names=("l1", "l2", "l3")), inputs(2, 5, 6)
    assert sorted(dict(layer.named_parameters())) == ["l1.weight", "l2.weight", "l3.weight"]
    gate, up, down = (layer.get_submodule(name).weight.T for name in ("l1", "l2", "l3"))
    torch.testing.assert_close(layer(x), (function(x @ gate) * (x @ up)) @ down)  # type: ignore[operator]


@pytest.mark.parametrize("gate_first", [True, False])
def test_two_maps(gate_first: bool) -> None:
    layer = GatedFeedForward(
        d_model=6, d_inner=10, act="gelu", out_bias=True, names=("gated_layers", "wo"), gate_first=gate_first
    )
    x = inputs(2, 5, 6)
    assert sorted(dict(layer.named_parameters())) == ["gated_layers.weight", "wo.bias", "wo.weight"]
    both, down = layer.get_submodule("gated_layers"), layer.get_submodule("wo")
    gate, up = (x @ both.weight.T).split(10, dim=-1)
    if not gate_first:
        gate, up = up, gate
    torch.testing.assert_close(layer(x), (torch.nn.functional.gelu(gate) * up) @ down.weight.T + down.bias)


def test_the_two_kinds_of_gelu_differ() -> None:
    x = inputs(100)
    exact, tanh = activation("gelu")(x), activation("gelu_tanh")(x)
    torch.testing.assert_close(tanh, 0.5 * x * (1 + (math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)).tanh()))
    assert 1e-5 < (exact - tanh).abs().max() < 1e-3


def test_an_unknown_activation_lists_the_known() -> None:
    with pytest.raises(ValueError, match=r"'geluu'.*gelu, gelu_tanh"):
        activation("geluu")


def test_one_map_is_not_gated() -> None:
    with pytest.raises(ValueError, match="not 1"):
        GatedFeedForward(d_model=4, d_inner=4, names=("fc",))


@pytest.mark.parametrize("kind", [FeedForward, GatedFeedForward])
def test_segments_change_nothing(kind: type[FeedForward] | type[GatedFeedForward]) -> None:
    layer, x = kind(d_model=6, d_inner=10), inputs(2, 50, 6)
    whole = layer(x)
    widest: list[int] = []
    layer.act = lambda t: widest.append(t.shape[1]) or ACTIVATIONS["silu" if kind is GatedFeedForward else "gelu"](t)  # type: ignore[func-returns-value]
    layer.segment = 7
    with torch.no_grad():
        torch.testing.assert_close(layer(x), whole.detach())
    assert max(widest) == 7


def test_dropout_only_in_training() -> None:
    for layer in (FeedForward(d_model=6, d_inner=10, dropout=0.5), GatedFeedForward(d_model=6, d_inner=10, dropout=0.5)):
        x = inputs(1, 4, 6)
        assert not torch.allclose(layer(x), layer(x))
        layer.eval()
        torch.testing.assert_close(layer(x), layer(x))


def test_inner_sizes_of_public_nets() -> None:
    assert rounded_inner_size(4096, 16) == 10_928  # Evo 1
    assert rounded_inner_size(64, 16) == 176
    assert rounded_inner_size(48, 64) == 128


def test_segments_shrink_as_channels_grow() -> None:
    assert [segment_size(width) for width in (1, 256, 4096, 10**9)] == [16_384, 16_384, 1024, 256]
