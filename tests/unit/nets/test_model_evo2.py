"""Evo 2: the public numbers, streaming, padding, saving, and the public configurations."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import parity
import pytest
import torch
from torch import Tensor

from genoseq.errors import UsageError
from genoseq.nets.models.evo2 import (
    Evo2Config,
    Evo2ForCausalLM,
    Evo2ForSequenceClassification,
    Evo2ForTokenClassification,
    ordered_fused_rows,
)

CASE = "evo2_sh2_like"
SMALL: dict[str, Any] = {
    "vocab_size": 24,
    "hidden_size": 16,
    "num_layers": 5,
    "num_attention_heads": 4,
    "hcs_layer_idxs": [0, 4],
    "hcm_layer_idxs": [1],
    "hcl_layer_idxs": [2],
    "attn_layer_idxs": [3],
    "hcs_filter_groups": 4,
    "hcm_filter_groups": 4,
    "state_size": 3,
    "inner_mlp_size": 24,
    "interleave": True,
    "column_split_hyena": False,
    "evo2_style_activations": True,
}


def build(**changes: Any) -> Evo2ForCausalLM:
    torch.manual_seed(3)
    return Evo2ForCausalLM(Evo2Config(**(SMALL | changes))).eval()


def tokens(rows: int, length: int) -> Tensor:
    return torch.randint(0, 24, (rows, length), generator=torch.Generator().manual_seed(5))


def test_the_public_numbers() -> None:
    folder = parity.parity_case(CASE)
    net, given = Evo2ForCausalLM(Evo2Config(**parity.config(folder))).eval(), parity.arrays(folder)
    weights = {f"backbone.{name}": value for name, value in parity.weights(folder).items() if not name.endswith("inv_freq")}
    missing, unexpected = net.load_state_dict(weights, strict=False)
    assert missing == ["unembed.weight"]  # one with the embeddings
    assert not unexpected
    with torch.no_grad():
        parity.assert_close(net(given["inputs"]).logits, given["logits"])
        parity.assert_close(net(given["inputs_short"]).logits, given["logits_short"])
        cache = net(given["inputs"][:, :-1], use_cache=True).cache
        step = net(given["inputs"][:, -1:], cache=cache, use_cache=True)
        parity.assert_close(step.logits[:, -1], given["gen_step_logits"])
    loss = net(given["inputs"], labels=given["inputs"]).loss
    parity.assert_close(loss.detach(), given["loss"])
    loss.backward()
    found = {name: values.grad for name, values in net.named_parameters()}
    for name, gradient in parity.weights(folder, "grads.safetensors").items():
        parity.assert_close(found[f"backbone.{name}"], gradient)


@pytest.mark.parametrize("changes", [{}, {"column_split_hyena": True, "hyena_flip_x1x2": True, "evo2_style_activations": False}])
@pytest.mark.parametrize("pieces", [(7, 1, 1, 20), (1, 28), (1,) * 29])
def test_pieces_give_what_the_whole_gives(changes: dict[str, Any], pieces: tuple[int, ...]) -> None:
    net, ids = build(**changes), tokens(2, 29)
    with torch.no_grad():
        whole = net(ids).logits
        cache, parts = None, []
        for piece in ids.split(list(pieces), dim=1):
            out = net(piece, cache=cache, use_cache=True)
            cache = out.cache
            parts.append(out.logits)
    torch.testing.assert_close(torch.cat(parts, dim=1), whole, rtol=1e-4, atol=1e-5)


def plainly(net: Evo2ForCausalLM, ids: Tensor) -> Tensor:
    """Logits ``(L, V)`` of one sequence ``(L,)`` as the paper and the public recipes say it, filters written out as tables."""
    config, length = net.config, len(ids)
    state = {name.removeprefix("backbone."): value.double() for name, value in net.state_dict().items()}
    heads, width = config.num_attention_heads, config.hidden_size
    ages = torch.arange(length)[:, None] - torch.arange(length)[None, :]

    def norm(x: Tensor, name: str) -> Tensor:
        root = x.norm(dim=-1, keepdim=True) * width**-0.5
        return x / (root + config.eps) * state[f"{name}.scale"]

    def linear(x: Tensor, name: str) -> Tensor:
        bias = state.get(f"{name}.bias")
        return x @ state[f"{name}.weight"].T + (0 if bias is None else bias)

    def filtered(x: Tensor, taps: Tensor) -> Tensor:  # taps (D, K): tap k meets the input k positions back
        seen = (ages >= 0) & (ages < taps.shape[1])
        table = taps[:, ages.clamp(0, taps.shape[1] - 1)] * seen
        return torch.einsum("dts,sd->td", table, x)

    def hyena(z: Tensor, kind: str, name: str) -> Tensor:
        z = filtered(z, state[f"{name}.short_filter_weight"][:, 0].flip(-1))
        if config.short_filter_bias:
            z = z + state[f"{name}.short_filter_bias"]
        if config.interleave:
            z = torch.cat([z[:, 0::3], z[:, 1::3], z[:, 2::3]], dim=1)
        if config.column_split_hyena:
            x2, x1, v = (z.reshape(length, heads, 3, -1)[:, :, part].reshape(length, -1) for part in range(3))
        else:
            x2, x1, v = z.split(width, dim=1)
        if config.hyena_flip_x1x2:
            x1, x2 = x2, x1
        u = x1 * v
        if kind == "hcl":
            poles = state[f"{name}.log_poles"][..., 0]
            taps = (state[f"{name}.residues"][..., None] * (poles[..., None] * torch.arange(length)).exp()).sum(1)
        else:
            taps = state[f"{name}.h"][:, 0].repeat_interleave(width // len(state[f"{name}.h"]), 0)
            taps = taps if taps.shape[1] >= 128 else taps.flip(-1)
        y = filtered(u, taps)
        if f"{name}.D" in state:
            y = y + u * state[f"{name}.D"]
        return x2 * y

    def attention(x: Tensor, name: str) -> Tensor:
        few, d = heads // config.proj_groups, width // heads
        q, k, v = linear(x, f"{name}.Wqkv").split([width, few * d, few * d], dim=1)
        q, k, v = (t.reshape(length, -1, d).transpose(0, 1) for t in (q, k, v))
        scale = config.rotary_emb_scaling_factor if config.use_interpolated_rotary_pos_emb else 1.0
        angles = torch.arange(length)[:, None] / scale * config.rotary_emb_base ** (-torch.arange(0, d, 2) / d).double()
        turn = torch.exp(1j * angles)

        def turned(t: Tensor) -> Tensor:
            pairs = torch.complex(*t.chunk(2, dim=-1)) * turn
            return torch.cat([pairs.real, pairs.imag], dim=-1)

        k, v = (t.repeat_interleave(config.proj_groups, 0) for t in (turned(k), v))
        scores = (turned(q) @ k.transpose(1, 2) / d**0.5).masked_fill(ages < 0, -torch.inf)
        return linear((scores.softmax(-1) @ v).transpose(0, 1).flatten(1), f"{name}.out_proj")

    x = state["embedding_layer.weight"][ids]
    for index in range(config.num_layers):
        name = f"blocks.{index}"
        (kind,) = (kind for kind in ("attn", "hcs", "hcm", "hcl") if index in (getattr(config, f"{kind}_layer_idxs") or ()))
        h = norm(x, f"{name}.pre_norm")
        if kind == "attn":
            x = x + attention(h, f"{name}.inner_mha_cls")
        else:
            x = x + linear(hyena(linear(h, f"{name}.projections"), kind, f"{name}.filter"), f"{name}.out_filter_dense")
        h = norm(x, f"{name}.post_norm")
        gate = h @ state[f"{name}.mlp.l1.weight"].T
        if not config.evo2_style_activations or index == 0:
            gate = torch.nn.functional.gelu(gate) if config.mlp_activation == "gelu" else torch.nn.functional.silu(gate)
        x = x + (gate * (h @ state[f"{name}.mlp.l2.weight"].T)) @ state[f"{name}.mlp.l3.weight"].T
    return norm(x, "norm") @ state["unembed.weight"].T


CONFIGURATIONS: list[dict[str, Any]] = [
    {"hcs_filter_length": 5, "hcm_filter_length": 64, "hcm_filter_groups": 8},
    {"hcm_filter_length": 200, "hcm_filter_groups": 1, "state_size": 5, "eps": 1e-5, "short_filter_length": 4},
    {"num_layers": 6, "attn_layer_idxs": [0, 4], "hcl_layer_idxs": [1, 5], "hcm_layer_idxs": [2], "hcs_layer_idxs": [3]},
    {"interleave": False, "hyena_flip_x1x2": True, "evo2_style_activations": False, "mlp_activation": "silu"},
    {"column_split_hyena": True, "short_filter_bias": True, "qkv_proj_bias": True, "hyena_out_proj_bias": False},
    {"proj_groups": 2, "use_interpolated_rotary_pos_emb": True, "rotary_emb_scaling_factor": 8, "rotary_emb_base": 500},
    {"tie_embeddings": False, "mha_out_proj_bias": False, "hcs_filter_groups": 16, "num_attention_heads": 2, "num_filters": 8},
]


@pytest.mark.parametrize("changes", CONFIGURATIONS, ids=range(len(CONFIGURATIONS)))
@torch.no_grad()
def test_other_configurations_are_the_equations(changes: dict[str, Any]) -> None:
    net = build(**changes)
    for name, value in net.named_parameters():
        if "poles" not in name:
            value += 0.1 * torch.randn(value.shape, generator=torch.Generator().manual_seed(value.numel()))
    ids = tokens(2, 150)
    expected = torch.stack([plainly(net, row) for row in ids])
    assert float(expected.std()) > 0.1
    parity.assert_close(net(ids).logits.double(), expected)


def test_what_a_recipe_leaves_out_is_what_the_public_program_takes() -> None:
    config = Evo2Config(**SMALL | {"inner_mlp_size": None})
    assert (config.rotary_emb_base, config.inner_size) == (1_000_000, 64)


@pytest.mark.parametrize("side", ["left", "right"])
def test_padding_changes_nothing(side: str) -> None:
    net, ids = build(), tokens(2, 25)
    pad, ones, zeros = torch.full((2, 9), 1), torch.ones(2, 25), torch.zeros(2, 9)
    padded = torch.cat([pad, ids] if side == "left" else [ids, pad], dim=1)
    mask = torch.cat([zeros, ones] if side == "left" else [ones, zeros], dim=1)
    with torch.no_grad():
        whole, found = net(ids).logits, net(padded, attention_mask=mask).logits
    torch.testing.assert_close(found[:, 9:] if side == "left" else found[:, :25], whole, rtol=1e-5, atol=1e-5)


def test_saved_and_loaded(tmp_path: Path) -> None:
    net = build()
    net.save_pretrained(tmp_path)
    again = Evo2ForCausalLM.from_pretrained(tmp_path).eval()
    assert again.config.kinds() == ["hcs", "hcm", "hcl", "attn", "hcs"]
    with torch.no_grad():
        torch.testing.assert_close(again(tokens(1, 9)).logits, net(tokens(1, 9)).logits)


def test_only_the_first_block_has_an_activation() -> None:
    x = torch.linspace(-2, 2, 5)
    assert [torch.equal(block.mlp.act(x), x) for block in build().backbone.blocks] == [False, True, True, True, True]
    without = build(evo2_style_activations=False).backbone.blocks
    assert not any(torch.equal(block.mlp.act(x), x) for block in without)


def test_checkpointed_gradients_are_the_same() -> None:
    ids, gradients = tokens(2, 12), []
    for checkpointed in (False, True):
        net = build().train()
        if checkpointed:
            getattr(net, "activation_checkpointing_enable", net.gradient_checkpointing_enable)()  # its name in transformers 5
        net(ids, labels=ids).loss.backward()
        gradients.append({name: p.grad for name, p in net.named_parameters()})
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], gradient)


def test_other_heads() -> None:
    ids, config = tokens(2, 7), Evo2Config(**SMALL, num_labels=3)
    assert Evo2ForSequenceClassification(config)(ids).logits.shape == (2, 3)
    assert Evo2ForTokenClassification(config)(ids).logits.shape == (2, 7, 3)


def recipe(layers: int, attention: tuple[int, ...], **values: Any) -> dict[str, Any]:
    """Keys of a public recipe; the kinds of filters take turns."""
    filters = [i for i in range(layers) if i not in attention]
    return {
        "num_layers": layers,
        "attn_layer_idxs": list(attention),
        "hcs_layer_idxs": filters[0::3],
        "hcm_layer_idxs": filters[1::3],
        "hcl_layer_idxs": filters[2::3],
        "vocab_size": 512,
        "num_filters": values["hidden_size"],
        "hcl_filter_groups": values["hidden_size"],
        "hcs_filter_length": 7,
        "hcm_filter_length": 128,
        "short_filter_length": 3,
        "short_filter_bias": False,
        "state_size": 16,
        "eps": 1e-6,
        "rotary_emb_base": 10_000,
        "proj_groups": 1,
        "hyena_filter_groups": 1,
        "column_split_hyena": False,
        "column_split": True,
        "interleave": True,
        "evo2_style_activations": True,
        "model_parallel_size": 1,
        "tie_embeddings": True,
        "mha_out_proj_bias": True,
        "hyena_out_proj_bias": True,
        "hyena_flip_x1x2": False,
        "qkv_proj_bias": False,
        "use_fp8_input_projections": True,
        "final_norm": True,
        "prefill_style": "fft",
        "mlp_activation": "gelu",
        **values,
    }


SEVEN = {"hidden_size": 4096, "num_attention_heads": 32, "hcs_filter_groups": 256, "hcm_filter_groups": 256}
FORTY = {"hidden_size": 8192, "num_attention_heads": 64, "hcs_filter_groups": 512, "hcm_filter_groups": 512}
SCALED = {"use_interpolated_rotary_pos_emb": True, "rotary_emb_scaling_factor": 128, "max_seqlen": 1_048_576}
RECIPES = {
    "1b": (
        1.1e9,
        recipe(
            25,
            (3, 10, 17, 24),
            hidden_size=1920,
            num_attention_heads=15,
            hcs_filter_groups=128,
            hcm_filter_groups=128,
            inner_mlp_size=5120,
        ),
    ),
    "7b": (6.5e9, recipe(32, (3, 10, 17, 24, 31), **SEVEN, **SCALED, inner_mlp_size=11_264)),
    "40b": (
        40e9,
        recipe(50, (3, 10, 17, 24, 31, 35, 42, 49), **FORTY, **SCALED, inner_mlp_size=22_528, rotary_emb_base=1_000_000),
    ),
}


@pytest.mark.parametrize("name", RECIPES)
def test_the_public_nets(name: str) -> None:
    size, values = RECIPES[name]
    with torch.device("meta"):
        net = Evo2ForCausalLM(Evo2Config(**values))
    assert sum(p.numel() for p in net.parameters()) == pytest.approx(size, rel=0.03)
    shapes = {key: tuple(p.shape) for key, p in net.named_parameters()}
    width = values["hidden_size"]
    assert shapes["backbone.blocks.0.filter.h"] == (values["hcs_filter_groups"], 1, 7)
    assert shapes["backbone.blocks.1.filter.h"] == (values["hcm_filter_groups"], 1, 128)
    assert shapes["backbone.blocks.1.filter.D"] == (width,)
    assert shapes["backbone.blocks.2.filter.log_poles"] == (width, 16, 1)
    assert shapes["backbone.blocks.2.filter.residues"] == (width, 16)
    assert shapes["backbone.blocks.3.inner_mha_cls.out_proj.bias"] == (width,)
    assert "backbone.blocks.0.filter.D" not in shapes
    attention = net.backbone.blocks[3].inner_mha_cls
    assert attention.rotary_linear == (128 if "max_seqlen" in values else 1)
    assert attention.rotary_base == values["rotary_emb_base"]


def test_an_older_recipe_has_a_filter_per_channel() -> None:
    config = Evo2Config(**(SMALL | {"hcs_filter_groups": None, "hcm_filter_groups": None, "column_split_hyena": True}))
    assert tuple(Evo2ForCausalLM(config).backbone.blocks[1].filter.h.shape) == (16, 1, 128)


def test_rows_of_public_checkpoints() -> None:
    # two heads of one channel: query, key, value of the first, then of the second
    fused = torch.tensor([10, 20, 30, 11, 21, 31])
    assert ordered_fused_rows(fused, 2).tolist() == [10, 11, 20, 21, 30, 31]
    weight = torch.arange(12 * 5).view(12, 5)
    ordered = ordered_fused_rows(weight, 2)
    assert ordered[:, 0].div(5, rounding_mode="floor").tolist() == [0, 1, 6, 7, 2, 3, 8, 9, 4, 5, 10, 11]
    with pytest.raises(UsageError, match="5 rows"):
        ordered_fused_rows(torch.arange(5), 2)


def test_a_block_of_no_kind() -> None:
    with pytest.raises(UsageError, match="layer 4 of 5 is in none of attn_layer_idxs, hcs_layer_idxs"):
        Evo2Config(**(SMALL | {"hcs_layer_idxs": [0]}))
