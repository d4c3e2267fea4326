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
