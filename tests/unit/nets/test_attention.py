"""Attention against its plain equation, whole and in pieces, beside padding, with windows and gradients."""

from __future__ import annotations

import itertools
from pathlib import Path

import parity
import pytest
import torch
from torch import Tensor

from genoseq.errors import UsageError
from genoseq.nets.layers import attention
from genoseq.nets.layers.attention import Attention, attend, attention_reference
from genoseq.nets.layers.feedforward import GatedFeedForward
from genoseq.nets.ops.alibi import alibi_slopes
from genoseq.nets.ops.rotary import rotate_reference


def normal(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def padding(side: str, length: int) -> Tensor | None:
    """Masks of three sequences, of which the first is not padded."""
    if side == "none":
        return None
    lengths = torch.tensor([length, length - 3, 2])[:, None]
    steps = torch.arange(length)[None]
    return steps >= length - lengths if side == "left" else steps < lengths


def build(**options: object) -> Attention:
    torch.manual_seed(4)
    values: dict[str, object] = {"d_model": 16, "n_heads": 4}
    return Attention(**(values | options)).eval()  # type: ignore[arg-type]


@pytest.mark.parametrize("side", ["none", "left", "right"])
@pytest.mark.parametrize("window", [None, 0, 1, 4, 100])
@pytest.mark.parametrize("alibi", [False, True])
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("kv_heads", [4, 2, 1])
def test_the_equation(side: str, window: int | None, alibi: bool, causal: bool, kv_heads: int) -> None:
    query, key, value = normal(3, 4, 23, 8, seed=1), normal(3, kv_heads, 23, 8, seed=2), normal(3, kv_heads, 23, 8, seed=3)
    mask, slopes = padding(side, 23), alibi_slopes(4) if alibi else None
    found = attend(query, key, value, causal=causal, window=window, mask=mask, slopes=slopes)
    expected = attention_reference(query, key, value, causal=causal, window=window, mask=mask, slopes=slopes)
    assert found.isfinite().all()
    real = torch.ones(3, 23, dtype=torch.bool) if mask is None else mask
    torch.testing.assert_close(found.transpose(1, 2)[real], expected.transpose(1, 2)[real], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("side", "window", "alibi"),
    [case for case in itertools.product(["none", "left"], [None, 3, 9], [False, True]) if case != ("none", None, False)],
)
@pytest.mark.parametrize("causal", [False, True])
def test_blocks_and_their_gradients(
    monkeypatch: pytest.MonkeyPatch, side: str, window: int | None, alibi: bool, causal: bool
) -> None:
    monkeypatch.setattr(attention, "TABLE", 64)  # blocks of 16 queries, checkpointed for the gradient
    mask, slopes = padding(side, 70), alibi_slopes(2) if alibi else None
    tensors = [
        normal(3, heads, 70, 4, seed=seed, dtype=torch.float64).requires_grad_() for seed, heads in ((1, 2), (2, 1), (3, 1))
    ]
    weight = normal(3, 2, 70, 4, seed=4, dtype=torch.float64)
    if mask is not None:
        weight = weight * mask[:, None, :, None]
    results = []
    for function in (attend, attention_reference):
        out = function(*tensors, causal=causal, window=window, mask=mask, slopes=slopes)
        results.append([out * (weight != 0), *torch.autograd.grad((out * weight).sum(), tensors)])
    for found, expected in zip(*results, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-8)
    with torch.no_grad():
        out = attend(*tensors, causal=causal, window=window, mask=mask, slopes=slopes)
    torch.testing.assert_close(out * (weight != 0), results[1][0], rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("gradients", [False, True])
@pytest.mark.parametrize("causal", [False, True])
def test_a_window_is_all_that_is_computed(monkeypatch: pytest.MonkeyPatch, causal: bool, gradients: bool) -> None:
    met: list[tuple[int, int]] = []
    block = attention._block

    def counted(query: Tensor, key: Tensor, *rest: object) -> Tensor:
        met.append((query.shape[2], key.shape[2]))
        return block(query, key, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(attention, "_block", counted)
    query, key, value = (normal(1, 1, 4000, 4, seed=seed).requires_grad_(gradients) for seed in (1, 2, 3))
    attend(query, key, value, causal=causal, window=100)
    assert sum(queries for queries, _ in met) == 4000
    assert sum(queries * keys for queries, keys in met) < 4000 * 100 * (2.5 if causal else 4.5)


def test_more_queries_than_keys() -> None:
    with pytest.raises(ValueError, match="among the keys"):
        attend(normal(1, 1, 3, 4), normal(1, 1, 2, 4), normal(1, 1, 2, 4), causal=True)


def test_a_sequence_of_padding_is_finite() -> None:
    mask = torch.tensor([[True, True], [False, False]])
    for causal, window in itertools.product((False, True), (None, 0)):
        tensors = [normal(2, 1, 2, 4, seed=seed) for seed in (1, 2, 3)]
        assert attend(*tensors, causal=causal, window=window, mask=mask).isfinite().all()


OPTIONS = {
    "plain": {},
    "rotary": {"rotary_dim": 4},
    "part rotary, interleaved, scaled": {"rotary_dim": 2, "rotary_interleaved": True, "rotary_linear": 4.0},
    "alibi": {"alibi": True},
    "window": {"window": 5, "rotary_dim": 4},
    "window of the query alone": {"window": 0},
    "grouped": {"n_kv_heads": 2, "rotary_dim": 4},
    "grouped window alibi": {"n_kv_heads": 1, "window": 3, "alibi": True},
}


@pytest.mark.parametrize("name", OPTIONS)
@pytest.mark.parametrize("pieces", [(1,) * 19, (7, 1, 1, 10), (1, 18), (19,), (2, 3, 5, 9)])
def test_pieces_give_what_the_whole_gives(name: str, pieces: tuple[int, ...]) -> None:
    layer, x = build(**OPTIONS[name]), normal(2, 19, 16, seed=7)
    with torch.no_grad():
        whole, none = layer(x)
        cache, parts = None, []
        for piece in x.split(list(pieces), dim=1):
            y, cache = layer(piece, cache=cache, use_cache=True)
            parts.append(y)
    assert none is None
    torch.testing.assert_close(torch.cat(parts, dim=1), whole, rtol=1e-5, atol=1e-6)
    assert cache is not None
    assert cache.length.tolist() == [19, 19]
    assert cache.key.shape[2] == (19 if layer.window is None else min(19, layer.window))


@pytest.mark.parametrize("name", OPTIONS)
@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("side", ["left", "right"])
def test_padding_changes_nothing(name: str, causal: bool, side: str) -> None:
    layer, x = build(causal=causal, **OPTIONS[name]), normal(3, 12, 16, seed=8)
    mask = padding(side, 12)
    assert mask is not None
    with torch.no_grad():
        found, _ = layer(x, mask=mask)
        assert found.isfinite().all()
        for row in range(3):
            alone, _ = layer(x[row : row + 1, mask[row]])
            torch.testing.assert_close(found[row, mask[row]], alone[0], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", OPTIONS)
def test_pieces_after_padding_on_the_left(name: str) -> None:
    layer, x, mask = build(**OPTIONS[name]), normal(3, 12, 16, seed=9), padding("left", 12)
    assert mask is not None
    with torch.no_grad():
        whole, _ = layer(x, mask=mask)
        _, cache = layer(x[:, :10], mask=mask[:, :10], use_cache=True)
        then, cache = layer(x[:, 10:11], cache=cache, use_cache=True)
        last, _ = layer(x[:, 11:], cache=cache)
    torch.testing.assert_close(torch.cat([then, last], dim=1), whole[:, 10:], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", OPTIONS)
@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("side", ["none", "left"])
def test_long_input_in_segments(monkeypatch: pytest.MonkeyPatch, name: str, causal: bool, side: str) -> None:
    layer, x, mask = build(causal=causal, **OPTIONS[name]), normal(3, 50, 16, seed=10), padding(side, 50)
    whole, _ = layer(x, mask=mask)  # with gradients: at once
    monkeypatch.setattr(attention, "segment_size", lambda _: 7)
    with torch.no_grad():
        found, cache = layer(x, mask=mask, use_cache=causal)
    real = torch.ones(3, 50, dtype=torch.bool) if mask is None else mask
    torch.testing.assert_close(found[real], whole.detach()[real], rtol=1e-5, atol=1e-5)
    assert (cache is not None) == causal


def test_the_layer_is_the_equation() -> None:
    layer, x = build(rotary_dim=4, n_kv_heads=2), normal(1, 9, 16, seed=11)
    query, key, value = layer.get_submodule("Wqkv")(x).split([16, 8, 8], dim=-1)
    query, key, value = (t.unflatten(-1, (-1, 4)).transpose(1, 2) for t in (query, key, value))
    query, key = (rotate_reference(t, torch.arange(9), 4) for t in (query, key))
    mixed = attention_reference(query, key, value, causal=True).transpose(1, 2).flatten(2)
    expected = layer.get_submodule("out_proj")(mixed)
    torch.testing.assert_close(layer(x)[0], expected, rtol=1e-5, atol=1e-5)


def test_positions_may_be_given() -> None:
    layer, x = build(rotary_dim=4), normal(1, 8, 16, seed=12)
    restart = torch.tensor([[0, 1, 2, 3, 0, 1, 2, 3]])
    assert not torch.allclose(layer(x, positions=restart)[0], layer(x)[0])
    torch.testing.assert_close(layer(x, positions=torch.arange(8))[0], layer(x)[0])


def test_three_projections_are_the_fused_one() -> None:
    fused, x = build(rotary_dim=4, n_kv_heads=2), normal(2, 6, 16, seed=13)
    apart = build(rotary_dim=4, n_kv_heads=2, projections=("query", "key", "value"), output=None)
    parts = fused.get_submodule("Wqkv").weight.split([16, 8, 8]), fused.get_submodule("Wqkv").bias.split([16, 8, 8])
    names = ("query", "key", "value")
    state = {
        f"{n}.{kind}": rows
        for kind, all_rows in zip(("weight", "bias"), parts, strict=True)
        for n, rows in zip(names, all_rows, strict=True)
    }
    apart.load_state_dict(state)
    torch.testing.assert_close(fused.get_submodule("out_proj")(apart(x)[0]), fused(x)[0])


def test_gradients_of_the_layer() -> None:
    layer = build(d_model=8, n_heads=2, rotary_dim=2, window=2).double()
    x = normal(1, 5, 8, seed=14, dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: layer(x)[0], (x,))


def test_bfloat16_is_near() -> None:
    x = normal(1, 40, 16, seed=15)
    for options in OPTIONS.values():
        layer = build(**options)
        expected = layer(x)[0]
        found = layer.to(torch.bfloat16)(x.to(torch.bfloat16))[0]
        assert found.dtype == torch.bfloat16
        torch.testing.assert_close(found.float(), expected, rtol=0.05, atol=0.03)


def test_dropout_only_in_training() -> None:
    layer, x = build(dropout=0.5), normal(1, 6, 16, seed=16)
    torch.testing.assert_close(layer(x)[0], layer(x)[0])
    layer.train()
    assert not torch.allclose(layer(x)[0], layer(x)[0])


def test_both_ways_there_is_no_cache() -> None:
    with pytest.raises(UsageError, match="both ways"):
        build(causal=False)(normal(1, 3, 16), use_cache=True)


@pytest.mark.parametrize("options", [{"n_heads": 3}, {"n_kv_heads": 3}, {"projections": ("q", "k")}])
def test_sizes_that_do_not_divide(options: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"divide|not 2"):
        build(**options)


def test_the_attention_blocks_of_h_net() -> None:
    """Two blocks of the innermost stage, by the names and numbers of the public case (its inner attention has no window)."""
    folder: Path = parity.parity_case("hnet_1stage")
    config, weights = parity.config(folder), parity.weights(folder)
    prefix, options = "backbone.main_network.main_network.layers.0.", config["attn_cfg"]
    layer = Attention(
        d_model=64,
        n_heads=options["num_heads"][1],
        rotary_dim=options["rotary_emb_dim"][1],
        window=options["window_size"][1],
        qkv_bias=False,
        out_bias=False,
    )
    mlp = GatedFeedForward(d_model=64, d_inner=config["d_intermediate"][1], names=("fc1", "fc2"), gate_first=False)
    own = {name.removeprefix(prefix): value for name, value in weights.items() if name.startswith(prefix)}
    layer.load_state_dict({name.removeprefix("mixer."): value for name, value in own.items() if name.startswith("mixer.")})
    mlp.load_state_dict({name.removeprefix("mlp."): value for name, value in own.items() if name.startswith("mlp.")})
    x = normal(2, 30, 64, seed=17)
    qkv = (x @ own["mixer.Wqkv.weight"].T).unflatten(-1, (3, 4, 16)).permute(2, 0, 3, 1, 4)
    query, key = (rotate_reference(t, torch.arange(30), 8) for t in qkv[:2])
    mixed = attention_reference(query, key, qkv[2], causal=True).transpose(1, 2).flatten(2)
    torch.testing.assert_close(layer(x)[0], mixed @ own["mixer.out_proj.weight"].T, rtol=1e-5, atol=1e-5)
    up, gate = (x @ own["mlp.fc1.weight"].T).chunk(2, dim=-1)
    torch.testing.assert_close(mlp(x), (gate.sigmoid() * gate * up) @ own["mlp.fc2.weight"].T, rtol=1e-5, atol=1e-5)
