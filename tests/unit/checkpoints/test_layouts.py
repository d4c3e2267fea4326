"""The layouts in which families publish their weights, made here from small nets: each gives the net it was made from.

These hold without the reference cases; those prove the nets, these the reading.
"""

from __future__ import annotations

import io
import json
import logging
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from torch import Tensor

import genoseq
from genoseq.checkpoints.reader import open_weights
from genoseq.errors import InputError
from genoseq.nets.architectures import ARCHITECTURES

Writer = Callable[..., Path]
State = dict[str, Tensor]

COMPLEMENTS = {str(i): {7: 10, 8: 9, 9: 8, 10: 7}.get(i, i) for i in range(16)}
CONFIGS: dict[str, dict[str, Any]] = {
    "hyenadna": {"d_model": 16, "n_layer": 2, "d_inner": 40, "max_seq_len": 34, "filter_order": 8, "num_inner_mlps": 2, "emb_dim": 5},
    "caduceus": {
        "d_model": 16, "n_layer": 2, "vocab_size": 12, "ssm_cfg": {"d_state": 4}, "complement_map": COMPLEMENTS, "rcps": True,
    },
    "genoseq_mamba": {"d_model": 16, "n_layer": 2, "vocab_size": 24, "ssm_cfg": {"layer": "Mamba1", "d_state": 4}},
    "stripedhyena": {
        "vocab_size": 64, "hidden_size": 16, "num_layers": 2, "attn_layer_idxs": [1], "num_attention_heads": 2, "state_size": 4,
        "inner_size_multiple_of": 16, "max_seqlen": 128,
    },
    "evo2": {
        "vocab_size": 64, "hidden_size": 16, "num_layers": 4, "attn_layer_idxs": [3], "hcs_layer_idxs": [0], "hcm_layer_idxs": [1],
        "hcl_layer_idxs": [2], "hcs_filter_groups": 4, "hcm_filter_groups": 4, "num_attention_heads": 2, "state_size": 4,
        "evo2_style_activations": True, "interleave": True, "column_split_hyena": False, "inner_mlp_size": 32,
    },
    "hnet": {
        "arch_layout": ["m1", ["T1"], "m1"], "d_model": [16, 32], "d_intermediate": [0, 64],
        "ssm_cfg": {"d_state": 8, "headdim": 8, "chunk_size": 16},
        "attn_cfg": {"num_heads": [2, 2], "rotary_emb_dim": [4, 4], "window_size": [7, -1]},
    },
    "dnabert2": {"vocab_size": 64, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32},
}  # fmt: skip


def make(model_type: str, head: str, **changes: Any) -> Any:
    """A small net with random weights, none of them 0 or 1 throughout."""
    torch.manual_seed(0)
    kind = ARCHITECTURES[model_type]
    net = kind.net_class(head)(kind.config_class(**{**CONFIGS[model_type], **changes})).eval()
    with torch.no_grad():
        for name, parameter in net.named_parameters():
            if not re.search("poles|residues|A_log", name):
                parameter += 0.1 * torch.randn_like(parameter)
    return net


def state_of(net: Any) -> State:
    return {name: tensor.detach().clone() for name, tensor in net.state_dict().items()}


def logits(net: Any) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    ids = torch.randint(7, 12, (2, 30), generator=generator)
    with torch.no_grad():
        found: Tensor = net(ids).logits
    return found


def check(place: Path, net: Any) -> Any:
    """The checkpoint at a place gives the same as the net."""
    loaded = genoseq.load(place)
    assert type(loaded.model) is type(net)
    torch.testing.assert_close(logits(loaded.model), logits(net), atol=1e-6, rtol=1e-6)
    return loaded


# HyenaDNA

ORIGINAL = {
    "d_model": 16, "n_layer": 2, "d_inner": 40, "vocab_size": 12, "resid_dropout": 0.0, "embed_dropout": 0.1, "fused_mlp": False,
    "fused_dropout_add_ln": True, "checkpoint_mixer": True, "checkpoint_mlp": True, "residual_in_fp32": True,
    "pad_vocab_size_multiple": 8, "return_hidden_state": True,
    "layer": {
        "_name_": "hyena", "emb_dim": 5, "filter_order": 8, "local_order": 3, "l_max": 34, "modulate": True, "w": 10, "lr": 6e-4,
        "wd": 0.0, "lr_pos_emb": 0.0,
    },
}  # fmt: skip


def original(net: Any, *, checkpointed: bool) -> State:
    """The names of the authors' .ckpt files."""
    state = {f"model.{name.removeprefix('hyena.')}": tensor for name, tensor in state_of(net).items()}
    if not checkpointed:
        return state
    return {re.sub(r"\.(mixer|mlp)\.", r".\1.layer.", name): tensor for name, tensor in state.items()}


@pytest.mark.parametrize("checkpointed", [True, False])
@pytest.mark.parametrize("with_config", [True, False])
def test_hyenadna_original(tmp_path: Path, checkpointed: bool, with_config: bool) -> None:
    net = make("hyenadna", "causal_lm")
    torch.save({"state_dict": original(net, checkpointed=checkpointed), "epoch": 99}, tmp_path / "weights.ckpt")
    if with_config:
        (tmp_path / "config.json").write_text(json.dumps(ORIGINAL))
    loaded = check(tmp_path, net)
    config = loaded.model.config
    assert (config.max_seq_len, config.hyena_order, config.num_inner_mlps, config.d_inner) == (34, 2, 2, 40)
    assert loaded.tokenizer.model_max_length == 34
    sine = loaded.model.hyena.backbone.layers[0].mixer.filter_fn.implicit_filter
    assert sine[1].freq is sine[3].freq is sine[5].freq


def test_hyenadna_original_without_one_of_the_shared_frequencies(tmp_path: Path) -> None:
    net = make("hyenadna", "causal_lm")
    state = original(net, checkpointed=False)
    torch.save(
        {"state_dict": {name: t for name, t in state.items() if not name.endswith("filter.1.freq")}}, tmp_path / "weights.ckpt"
    )
    check(tmp_path, net)


def test_hyenadna_original_with_frequencies_that_disagree(tmp_path: Path) -> None:
    state = original(make("hyenadna", "causal_lm"), checkpointed=False)
    state["model.backbone.layers.1.mixer.filter_fn.implicit_filter.3.freq"] += 1
    torch.save({"state_dict": state}, tmp_path / "weights.ckpt")
    with pytest.raises(
        InputError, match=r"filter\.1\.freq' and '.*filter\.3\.freq' are one parameter in this net, but their numbers"
    ):
        genoseq.load(tmp_path)


def test_hyenadna_original_head(tmp_path: Path) -> None:
    net = make("hyenadna", "sequence", pool="mean", score_bias=True, num_labels=5)
    state = {name.removeprefix("hyena.").replace("score.", "head.output_transform."): t for name, t in state_of(net).items()}
    torch.save(state, tmp_path / "net.pt")
    (tmp_path / "config.json").write_text(json.dumps({**ORIGINAL, "use_head": True, "n_classes": 5}))
    check(tmp_path, net)


@pytest.mark.parametrize("change", [{"modulate": False}, {"_name_": "mha"}, {"bidirectional": True}, {"shift": 0.1}])
def test_hyenadna_original_of_another_kind(tmp_path: Path, change: dict[str, Any]) -> None:
    torch.save({"state_dict": original(make("hyenadna", "causal_lm"), checkpointed=False)}, tmp_path / "weights.ckpt")
    (tmp_path / "config.json").write_text(json.dumps({**ORIGINAL, "layer": {**ORIGINAL["layer"], **change}}))  # type: ignore[dict-item]
    with pytest.raises(InputError, match=r"config\.json: layer"):
        genoseq.load(tmp_path)


@pytest.mark.parametrize("change", [{"layer_norm_epsilon": 1e-3}, {"attn_layer_idx": [1]}], ids=str)
def test_hyenadna_original_with_parts_of_another_net(tmp_path: Path, change: dict[str, Any]) -> None:
    torch.save({"state_dict": original(make("hyenadna", "causal_lm"), checkpointed=False)}, tmp_path / "weights.ckpt")
    (tmp_path / "config.json").write_text(json.dumps(ORIGINAL | change))
    with pytest.raises(InputError, match=f"{next(iter(change))} is .*: HyenaDNA nets have"):
        genoseq.load(tmp_path)


def test_hyenadna_original_says_a_length_of_short_filters_that_it_does_not_take(tmp_path: Path) -> None:
    net = make("hyenadna", "causal_lm")
    torch.save({"state_dict": original(net, checkpointed=False)}, tmp_path / "weights.ckpt")
    (tmp_path / "config.json").write_text(json.dumps({**ORIGINAL, "layer": {**ORIGINAL["layer"], "local_order": 7}}))  # type: ignore[dict-item]
    check(tmp_path, net)


def test_hyenadna_of_order_three_without_configuration(tmp_path: Path, write_checkpoint: Writer) -> None:
    net = make("hyenadna", "causal_lm", hyena_order=3)
    state = {name: t for name, t in state_of(net).items() if not re.search(r"filter\.[35]\.freq$", name)}
    assert check(write_checkpoint(tmp_path, state, None), net).model.config.hyena_order == 3


# Caduceus


def published(net: Any) -> State:
    """The names of the authors' files."""
    state = state_of(net)
    config = net.config
    state.pop("lm_head.lm_head.weight" if config.rcps else "lm_head.weight", None)
    if config.bidirectional and config.bidirectional_weight_tie:
        state = {name: t for name, t in state.items() if not re.search(r"mamba_rev\.(in|out)_proj\.", name)}
    if config.rcps:
        state = {name.replace(".mixer.", ".mixer.submodule."): tensor for name, tensor in state.items()}
        if not config.fused_add_norm:
            state = {re.sub(r"\.(norm|norm_f)\.", r".\1.submodule.", name): tensor for name, tensor in state.items()}
    return state


@pytest.mark.parametrize("rcps", [True, False])
@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("with_config", [True, False])
def test_caduceus(tmp_path: Path, write_checkpoint: Writer, rcps: bool, fused: bool, with_config: bool) -> None:
    net = make("caduceus", "masked_lm", rcps=rcps, fused_add_norm=fused)
    config = {**CONFIGS["caduceus"], "model_type": "caduceus", "architectures": ["CaduceusForMaskedLM"]}
    config |= {"rcps": rcps, "fused_add_norm": fused}
    loaded = check(write_checkpoint(tmp_path, published(net), config if with_config else None), net)
    assert loaded.model.config.rcps == rcps and loaded.tokenizer("acg")["input_ids"] == [7, 8, 9, 1]
    if rcps or with_config:  # without rcps the fused norm leaves no trace, and changes nothing
        assert loaded.model.config.fused_add_norm == fused


def test_caduceus_labels(tmp_path: Path, write_checkpoint: Writer) -> None:
    net = make("caduceus", "sequence", num_labels=3)
    config = {**CONFIGS["caduceus"], "model_type": "caduceus", "architectures": ["CaduceusForSequenceClassification"]}
    config |= {"id2label": {str(i): f"LABEL_{i}" for i in range(3)}}
    check(write_checkpoint(tmp_path, published(net), config), net)


def test_caduceus_with_complements_in_the_order_of_text(tmp_path: Path, write_checkpoint: Writer) -> None:
    """JSON that was sorted as text puts 10 before 2."""
    net = make("caduceus", "masked_lm")
    config = {**CONFIGS["caduceus"], "model_type": "caduceus", "architectures": ["CaduceusForMaskedLM"]}
    config["complement_map"] = {key: COMPLEMENTS[key] for key in sorted(COMPLEMENTS)}
    check(write_checkpoint(tmp_path, published(net), config), net)


def test_caduceus_language_head_of_its_own(tmp_path: Path, write_checkpoint: Writer) -> None:
    net = make("caduceus", "masked_lm", rcps=False, tie_word_embeddings=False)
    config = {**CONFIGS["caduceus"], "model_type": "caduceus", "architectures": ["CaduceusForMaskedLM"], "rcps": False}
    state = published(net) | {"lm_head.weight": net.lm_head.weight.detach()}
    assert check(write_checkpoint(tmp_path, state, config), net).model.config.tie_word_embeddings is False


# Mamba


def transformers_config(net: Any) -> dict[str, Any]:
    values = net.config
    layer = values.ssm_cfg
    shared = {
        "hidden_size": values.d_model, "num_hidden_layers": values.n_layer, "vocab_size": values.rows, "expand": 2,
        "state_size": layer["d_state"], "conv_kernel": 4, "layer_norm_epsilon": 1e-5, "hidden_act": "silu",
        "use_bias": False, "use_conv_bias": True, "residual_in_fp32": True,
    }  # fmt: skip
    if layer["layer"] == "Mamba1":
        rank = net.backbone.layers[0].mixer.dt_proj.weight.shape[1]
        return {**shared, "model_type": "mamba", "architectures": ["MambaForCausalLM"], "time_step_rank": rank}
    return {
        **shared, "model_type": "mamba2", "architectures": ["Mamba2ForCausalLM"], "head_dim": layer["headdim"], "n_groups": 1,
        "num_heads": 32 // layer["headdim"], "chunk_size": 16,
    }  # fmt: skip


LAYERS = [{"layer": "Mamba1", "d_state": 4}, {"layer": "Mamba2", "d_state": 8, "headdim": 8, "chunk_size": 16}]


@pytest.mark.parametrize("layer", LAYERS, ids=["mamba1", "mamba2"])
@pytest.mark.parametrize("layout", ["mamba_ssm", "transformers", "none"])
@pytest.mark.parametrize("tied", [True, False])
def test_mamba(tmp_path: Path, write_checkpoint: Writer, layer: dict[str, Any], layout: str, tied: bool) -> None:
    net = make("genoseq_mamba", "causal_lm", ssm_cfg=layer, tie_word_embeddings=tied)
    state = state_of(net)
    config: dict[str, Any] | None = None
    if layout == "mamba_ssm":
        config = {"d_model": 16, "n_layer": 2, "vocab_size": 24, "ssm_cfg": layer, "rms_norm": True, "fused_add_norm": True}
        config |= {"pad_vocab_size_multiple": 8, "residual_in_fp32": True, "tie_embeddings": tied, "attn_layer_idx": []}
    if layout == "transformers":
        config = {**transformers_config(net), "tie_word_embeddings": tied}
        state = {name.replace("backbone.embedding.", "backbone.embeddings."): t for name, t in state.items()}
    if tied and layout != "mamba_ssm":
        del state["lm_head.weight"]
    place = write_checkpoint(tmp_path, state, config, file="pytorch_model.bin" if layout == "mamba_ssm" else "model.safetensors")
    assert check(place, net).model.config.tie_word_embeddings == tied


@pytest.mark.parametrize("kind", ["mamba", "mamba2"])
def test_mamba_of_transformers_itself(tmp_path: Path, kind: str) -> None:
    """What transformers writes gives what transformers computes."""
    import transformers

    torch.manual_seed(0)
    shared = {"vocab_size": 24, "hidden_size": 16, "num_hidden_layers": 2, "state_size": 8, "bos_token_id": 0, "eos_token_id": 0}
    shared["pad_token_id"] = 0
    if kind == "mamba":
        theirs: Any = transformers.MambaForCausalLM(transformers.MambaConfig(**shared))
    else:
        theirs = transformers.Mamba2ForCausalLM(
            transformers.Mamba2Config(**shared, num_heads=4, head_dim=8, n_groups=2, chunk_size=16)
        )
    theirs.eval().save_pretrained(tmp_path)
    ours = genoseq.load(tmp_path).model
    torch.testing.assert_close(logits(ours), logits(theirs), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("layer", [0, 1])
@pytest.mark.parametrize("with_config", [True, False])
def test_mamba_with_feed_forward_layers(tmp_path: Path, write_checkpoint: Writer, layer: int, with_config: bool) -> None:
    net = make("genoseq_mamba", "causal_lm", ssm_cfg=LAYERS[layer], d_intermediate=100)
    state = state_of(net)
    assert state["backbone.layers.1.mlp.fc1.weight"].shape == (256, 16)
    config = {
        "d_model": 16,
        "n_layer": 2,
        "vocab_size": 24,
        "ssm_cfg": LAYERS[layer],
        "d_intermediate": 100,
        "attn_layer_idx": [],
    }
    check(write_checkpoint(tmp_path, state, config if with_config else None, file="pytorch_model.bin"), net)


@pytest.mark.parametrize("change", [{"attn_layer_idx": [1]}])
def test_mamba_with_other_layers_in_between(tmp_path: Path, write_checkpoint: Writer, change: dict[str, Any]) -> None:
    net = make("genoseq_mamba", "causal_lm")
    config = {"d_model": 16, "n_layer": 2, "vocab_size": 24, "ssm_cfg": LAYERS[0], **change}
    with pytest.raises(InputError, match=next(iter(change))):
        genoseq.load(write_checkpoint(tmp_path, state_of(net), config, file="pytorch_model.bin"))


def test_mamba_with_another_activation(tmp_path: Path, write_checkpoint: Writer) -> None:
    net = make("genoseq_mamba", "causal_lm")
    config = {**transformers_config(net), "hidden_act": "relu"}
    with pytest.raises(InputError, match="hidden_act is 'relu'"):
        genoseq.load(write_checkpoint(tmp_path, state_of(net), config, file="pytorch_model.bin"))


# Evo


@pytest.mark.parametrize("unembedding", [True, False])
def test_evo_of_the_hub(tmp_path: Path, write_checkpoint: Writer, unembedding: bool) -> None:
    net = make("stripedhyena", "causal_lm")
    state = state_of(net)
    table = state.pop("unembed.weight")
    state["backbone.blocks.1.inner_mha_cls.rotary_emb.inv_freq"] = torch.ones(4)
    if unembedding:
        state["backbone.unembed.weight"] = table
    config = {**CONFIGS["stripedhyena"], "model_type": "stripedhyena", "architectures": ["StripedHyenaModelForCausalLM"]}
    loaded = check(write_checkpoint(tmp_path, state, config), net)
    assert loaded.tokenizer("ACGT")["input_ids"] == [65, 67, 71, 84]
    assert loaded.model.unembed.weight is loaded.model.backbone.embedding_layer.weight


@pytest.mark.parametrize("family", ["stripedhyena", "evo2"])
def test_evo_with_filters_cut_short(tmp_path: Path, write_checkpoint: Writer, family: str) -> None:
    net = make(family, "causal_lm")
    state = {name.removeprefix("backbone."): tensor for name, tensor in state_of(net).items() if name != "unembed.weight"}
    place = write_checkpoint(tmp_path, state, {**CONFIGS[family], "long_fir_threshold": 32})
    with pytest.raises(InputError, match=r"long_fir_threshold is 32, .* only nets without it are known"):
        genoseq.load(place)


def test_evo_shows_itself_how_many_channels_share_a_filter(tmp_path: Path, write_checkpoint: Writer) -> None:
    net = make("stripedhyena", "causal_lm", hyena_filter_groups=4)
    state = {name.removeprefix("backbone."): tensor for name, tensor in state_of(net).items() if name != "unembed.weight"}
    check(write_checkpoint(tmp_path, state, CONFIGS["stripedhyena"]), net)


def test_evo_with_the_authors_recipe(tmp_path: Path) -> None:
    net = make("stripedhyena", "causal_lm", use_interpolated_rotary_pos_emb=True, rotary_emb_scaling_factor=16)
    state = {name.removeprefix("backbone."): tensor for name, tensor in state_of(net).items() if name != "unembed.weight"}
    torch.save(state, tmp_path / "evo.pt")
    recipe = {**CONFIGS["stripedhyena"], "use_interpolated_rotary_pos_emb": True, "rotary_emb_scaling_factor": 16}
    recipe["max_sequence_len"] = recipe.pop("max_seqlen")
    (tmp_path / "evo.yml").write_text(yaml.safe_dump(recipe))
    assert check(tmp_path / "evo.pt", net).model.config.max_seqlen == 128


@pytest.mark.parametrize("family", ["stripedhyena", "evo2", "hnet", "dnabert2"])
def test_families_whose_weights_do_not_show_the_configuration(tmp_path: Path, write_checkpoint: Writer, family: str) -> None:
    net = make(family, "masked_lm" if family == "dnabert2" else "causal_lm")
    state = {re.sub(r"^(backbone|hnet)\.(?=blocks|embed|norm)", "", name): t for name, t in state_of(net).items()}
    state.pop("unembed.weight", None)
    if family == "dnabert2":
        del state["cls.predictions.decoder.weight"]
    with pytest.raises(InputError, match=r"without a configuration, which the weights alone do not show; put (its|the)"):
        genoseq.load(write_checkpoint(tmp_path, state, None))


# Evo 2


def evo2_published(net: Any) -> dict[str, Any]:
    """The authors' files: rows of the attention by head, and what training left behind."""
    state: dict[str, Any] = {name.removeprefix("backbone."): tensor for name, tensor in state_of(net).items()}
    name = "blocks.3.inner_mha_cls.Wqkv.weight"
    heads = net.config.num_attention_heads
    state[name] = state[name].unflatten(0, (3, heads, -1)).transpose(0, 1).flatten(0, 2)
    state["unembed.weight"] = state["embedding_layer.weight"]
    for index in range(4):
        state[f"blocks.{index}.projections._extra_state"] = io.BytesIO(b"scales")
    state["blocks.3.mixer.dense._extra_state"] = io.BytesIO(b"scales")
    state["blocks.2.mixer.mixer.filter.t"] = torch.arange(3.0)
    return state


def evo2_config(**changes: Any) -> dict[str, Any]:
    return {**CONFIGS["evo2"], "column_split": True, "tie_embeddings": True, "tokenizer_type": "CharLevelTokenizer", **changes}


@pytest.mark.parametrize("ending", ["yml", "json"])
def test_evo2_of_the_authors(tmp_path: Path, ending: str) -> None:
    net = make("evo2", "causal_lm")
    torch.save(evo2_published(net), tmp_path / "evo2_tiny.pt")
    config = evo2_config()
    text = yaml.safe_dump(config) if ending == "yml" else json.dumps(config)
    (tmp_path / f"evo2_tiny.{ending}").write_text(text)
    check(tmp_path / "evo2_tiny.pt", net)


def test_evo2_of_a_net_in_memory(tmp_path: Path, write_checkpoint: Writer) -> None:
    """Rows are in order already: as safetensors, and as what torch.save makes of the bare net."""
    net = make("evo2", "causal_lm")
    state = {name.removeprefix("backbone."): tensor for name, tensor in state_of(net).items() if name != "unembed.weight"}
    check(write_checkpoint(tmp_path / "a", state, evo2_config()), net)
    check(write_checkpoint(tmp_path / "b", state, evo2_config(), file="net.pt"), net)


def test_evo2_order_of_rows_can_be_said(tmp_path: Path) -> None:
    net = make("evo2", "causal_lm")
    plain = {name: value for name, value in evo2_published(net).items() if not re.search("_extra_state|mixer|unembed", name)}
    torch.save(plain, tmp_path / "net.pt")
    (tmp_path / "net.json").write_text(json.dumps(evo2_config(qkv_rows="heads")))
    check(tmp_path / "net.pt", net)
    (tmp_path / "net.json").write_text(json.dumps(evo2_config(qkv_rows="columns")))
    with pytest.raises(InputError, match="qkv_rows is 'columns': expected heads or split"):
        genoseq.load(tmp_path / "net.pt")


def test_evo2_without_column_split(tmp_path: Path) -> None:
    """The authors' program leaves the rows alone where the recipe says so."""
    net = make("evo2", "causal_lm")
    state = evo2_published(net)
    state["blocks.3.inner_mha_cls.Wqkv.weight"] = state_of(net)["backbone.blocks.3.inner_mha_cls.Wqkv.weight"]
    torch.save(state, tmp_path / "net.pt")
    (tmp_path / "config.json").write_text(json.dumps(evo2_config(column_split=False)))
    check(tmp_path, net)


def test_evo2_saved_by_genoseq_stays_as_it_is(tmp_path: Path) -> None:
    net = make("evo2", "causal_lm")
    torch.save(evo2_published(net), tmp_path / "net.pt")
    (tmp_path / "net.json").write_text(json.dumps(evo2_config()))
    genoseq.save(*genoseq.load(tmp_path / "net.pt"), tmp_path / "saved")
    check(tmp_path / "saved", net)


def test_evo2_in_the_layout_of_its_training(tmp_path: Path, write_checkpoint: Writer) -> None:
    state = {"sequential.2.mixer.dense_projection.weight": torch.zeros(2), "sequential.0.word_embeddings.weight": torch.zeros(2)}
    with pytest.raises(InputError, match="Savanna"):
        genoseq.load(write_checkpoint(tmp_path, state, None, file="savanna.pt"))


# H-Net


def test_hnet(tmp_path: Path) -> None:
    net = make("hnet", "causal_lm")
    torch.save({name.removeprefix("hnet."): tensor for name, tensor in state_of(net).items()}, tmp_path / "hnet_tiny.pt")
    (tmp_path / "hnet_tiny.json").write_text(json.dumps({**CONFIGS["hnet"], "vocab_size": 256, "tie_embeddings": False}))
    assert type(check(tmp_path / "hnet_tiny.pt", net).tokenizer).__name__ == "HNetTokenizer"
    told = {**CONFIGS["hnet"], "ssm_cfg": {**CONFIGS["hnet"]["ssm_cfg"], "use_mem_eff_path": False}}
    (tmp_path / "hnet_tiny.json").write_text(json.dumps({**told, "tie_embeddings": False}))
    check(tmp_path / "hnet_tiny.pt", net)


# ESM


def test_esm_buffers_of_older_versions(esm: Path, esm_state: State, esm_config: dict[str, Any], write_checkpoint: Writer) -> None:
    net = genoseq.load(esm).model
    junk = {
        "esm.embeddings.position_ids": torch.arange(9)[None],
        "esm.rotary_embeddings.inv_freq": torch.ones(4),
        "esm.encoder.layer.0.attention.self.rotary_embeddings.inv_freq": torch.ones(4),
        "esm.contact_head.regression.weight": torch.ones(1, 4),
        "esm.contact_head.regression.bias": torch.ones(1),
        "esm.pooler.dense.weight": torch.ones(16, 16),
    }
    write_checkpoint(tmp := esm.parent / "old", esm_state | junk, esm_config, file="pytorch_model.bin")
    check(tmp, net)


@pytest.mark.parametrize("key", ["is_decoder", "add_cross_attention"])
def test_esm_that_is_another_net(
    esm: Path, esm_state: State, esm_config: dict[str, Any], write_checkpoint: Writer, key: str
) -> None:
    write_checkpoint(esm, esm_state, esm_config | {key: False})
    genoseq.load(esm)
    write_checkpoint(esm, esm_state, esm_config | {key: True})
    with pytest.raises(InputError, match=f"{key} is True, which genoseq's ESM does not have: only nets with False"):
        genoseq.load(esm)


def test_esm_shows_itself_whether_it_has_biases(
    esm: Path, esm_state: State, esm_config: dict[str, Any], write_checkpoint: Writer
) -> None:
    bare = {name: t for name, t in esm_state.items() if not re.search(r"layer\.\d+\.(intermediate|output)\.dense\.bias", name)}
    assert len(bare) < len(esm_state)
    write_checkpoint(esm, bare, {key: value for key, value in esm_config.items() if key != "add_bias_fnn"})
    assert genoseq.load(esm).model.config.add_bias_fnn is False


def test_nucleotide_transformer_vocabulary(esm: Path) -> None:
    from genoseq.tokenizers.kmer import NucleotideTransformerTokenizer

    NucleotideTransformerTokenizer(layout="v2").save_vocabulary(str(esm))
    tokenizer = genoseq.load(esm).tokenizer
    assert type(tokenizer) is NucleotideTransformerTokenizer and tokenizer.tokenize("ACGTACG") == ["ACGTAC", "G"]


@pytest.mark.parametrize(("size", "first"), [(4105, 4), (4107, 6)])
def test_nucleotide_transformer_layout_by_its_size(
    esm: Path, esm_state: State, esm_config: dict[str, Any], write_checkpoint: Writer, size: int, first: int
) -> None:
    esm_state["esm.embeddings.word_embeddings.weight"] = torch.randn(size, 16)
    esm_state["lm_head.bias"] = torch.zeros(size)
    write_checkpoint(esm, esm_state, {**esm_config, "vocab_size": size})
    assert genoseq.load(esm).tokenizer("AAAAAA")["input_ids"] == [3, first]


def test_esm_without_configuration(esm: Path) -> None:
    (esm / "config.json").unlink()
    with pytest.raises(InputError, match="ESM net without a configuration"):
        genoseq.load(esm)


# DNABERT-2


def test_dnabert2_that_calls_itself_bert(tmp_path: Path, write_checkpoint: Writer, caplog: pytest.LogCaptureFixture) -> None:
    net = make("dnabert2", "masked_lm")
    state = state_of(net)
    del state["cls.predictions.decoder.weight"]
    state |= {"bert.pooler.dense.weight": torch.ones(16, 16), "bert.pooler.dense.bias": torch.ones(16)}
    config = {**CONFIGS["dnabert2"], "model_type": "bert", "architectures": ["BertForMaskedLM"], "alibi_starting_size": 512}
    with caplog.at_level(logging.WARNING, logger="genoseq"):
        assert check(write_checkpoint(tmp_path, state, config, file="pytorch_model.bin"), net).tokenizer is None
    assert "no tokenizer.json lies beside the weights" in caplog.text


def test_dnabert2_ties_its_tables_whatever_it_says(tmp_path: Path, write_checkpoint: Writer) -> None:
    net = make("dnabert2", "masked_lm")
    state = state_of(net)
    del state["cls.predictions.decoder.weight"]
    config = {**CONFIGS["dnabert2"], "model_type": "bert", "architectures": ["BertForMaskedLM"], "tie_word_embeddings": False}
    check(write_checkpoint(tmp_path, state, config), net)


def test_dnabert2_labels_keep_the_pooler_or_begin_a_new_one(tmp_path: Path, write_checkpoint: Writer) -> None:
    net = make("dnabert2", "sequence")
    config = {**CONFIGS["dnabert2"], "model_type": "bert", "architectures": ["BertForSequenceClassification"]}
    check(write_checkpoint(tmp_path / "a", state_of(net), config), net)
    bare = {name: t for name, t in state_of(make("dnabert2", "masked_lm")).items() if name != "cls.predictions.decoder.weight"}
    write_checkpoint(tmp_path / "b", bare, {**config, "architectures": ["BertForMaskedLM"]})
    assert logits(genoseq.load(tmp_path / "b", head="sequence").model).shape == (2, 2)


@pytest.mark.parametrize("head", ["backbone", "token", "masked_lm"])
def test_dnabert2_pooler_is_left_out_where_it_has_no_place(tmp_path: Path, write_checkpoint: Writer, head: str) -> None:
    net = make("dnabert2", "sequence")
    config = {**CONFIGS["dnabert2"], "model_type": "bert", "architectures": ["BertForSequenceClassification"]}
    write_checkpoint(tmp_path, state_of(net), config)
    model = genoseq.load(tmp_path, head=head).model
    assert not any("pooler" in name for name in model.state_dict())


def test_dnabert2_bare(tmp_path: Path, write_checkpoint: Writer) -> None:
    """As ``AutoModel`` saves it: no prefix, and a pooler."""
    net = make("dnabert2", "sequence")
    state = {name.removeprefix("bert."): tensor for name, tensor in state_of(net).items() if name.startswith("bert.")}
    write_checkpoint(tmp_path, state, {**CONFIGS["dnabert2"], "model_type": "bert", "architectures": ["BertModel"]})
    ids = torch.randint(7, 12, (1, 9))
    with torch.no_grad():
        assert torch.equal(genoseq.load(tmp_path).model(ids).last_hidden_state, net.bert(ids).last_hidden_state)
    torch.manual_seed(0)
    model = genoseq.load(tmp_path, head="sequence").model
    assert torch.equal(model.bert.pooler.dense.weight, net.bert.pooler.dense.weight)


def test_dnabert2_tokenizer(tmp_path: Path, write_checkpoint: Writer) -> None:
    from genoseq.tokenizers.bpe import train_bpe

    net = make("dnabert2", "masked_lm")
    state = state_of(net)
    del state["cls.predictions.decoder.weight"]
    config = {**CONFIGS["dnabert2"], "model_type": "bert", "architectures": ["BertForMaskedLM"]}
    write_checkpoint(tmp_path, state, config)
    train_bpe(["ACGTACGTTT" * 10], vocab_size=20).save_pretrained(tmp_path / "t")
    (tmp_path / "tokenizer.json").write_text((tmp_path / "t" / "tokenizer.json").read_text())
    assert genoseq.load(tmp_path).tokenizer("ACGT")["input_ids"][0] == 1


def test_plain_bert_is_not_taken_for_it(tmp_path: Path, write_checkpoint: Writer) -> None:
    state = {"bert.encoder.layer.0.attention.self.query.weight": torch.zeros(2, 2)}
    with pytest.raises(InputError, match="a net that genoseq does not have: BertForMaskedLM"):
        genoseq.load(write_checkpoint(tmp_path, state, {"model_type": "bert", "architectures": ["BertForMaskedLM"]}))


# Shards


@pytest.mark.parametrize("ending", ["safetensors", "bin"])
def test_shards_of_a_published_net(tmp_path: Path, write_checkpoint: Writer, ending: str) -> None:
    net = make("stripedhyena", "causal_lm")
    state = {name: tensor for name, tensor in state_of(net).items() if name != "unembed.weight"}
    config = {**CONFIGS["stripedhyena"], "model_type": "stripedhyena", "architectures": ["StripedHyenaModelForCausalLM"]}
    names = sorted(state)
    stem = "model" if ending == "safetensors" else "pytorch_model"
    places = {}
    for number in range(3):
        file = f"{stem}-0000{number + 1}-of-00003.{ending}"
        part = {name: state[name] for name in names[number::3]}
        write_checkpoint(tmp_path, part, config, file=file)
        places |= dict.fromkeys(part, file)
    (tmp_path / f"{stem}.{ending}.index.json").write_text(json.dumps({"weight_map": places}))
    check(tmp_path, net)
    assert len(open_weights(tmp_path)) == len(state)


def test_norms_as_transformers_names_them_when_it_saves(tmp_path: Path) -> None:
    from transformers import EsmConfig, EsmForMaskedLM

    torch.manual_seed(3)
    config = EsmConfig(
        vocab_size=33, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=24, mask_token_id=32,
        pad_token_id=1, position_embedding_type="rotary",
    )  # fmt: skip
    theirs = EsmForMaskedLM(config).eval()
    with torch.no_grad():
        for name, value in theirs.named_parameters():
            if "LayerNorm" in name:
                value.add_(torch.randn(value.shape) * 0.3)
    theirs.save_pretrained(tmp_path)
    assert any(name.endswith("LayerNorm.gamma") for name in open_weights(tmp_path)), "transformers has changed its ways"
    model, _ = genoseq.load(tmp_path)
    ids = torch.randint(4, 24, (2, 9))
    with torch.no_grad():
        torch.testing.assert_close(model(ids).logits, theirs(ids).logits, rtol=1e-4, atol=1e-4)
