"""Names of published files and the nets' own: pure functions of the adapters."""

from __future__ import annotations

import re

import pytest

from genoseq.checkpoints.adapter import ADAPTERS, Adapter, count_layers, head_by_class_name

NAMES = {
    "hyenadna": {
        "hyena.backbone.layers.0.mixer.in_proj.weight": "hyena.backbone.layers.0.mixer.in_proj.weight",
        "model.backbone.embeddings.word_embeddings.weight": "hyena.backbone.embeddings.word_embeddings.weight",
        "model.backbone.layers.3.mixer.layer.filter_fn.bias": "hyena.backbone.layers.3.mixer.filter_fn.bias",
        "model.backbone.layers.3.mlp.layer.fc1.weight": "hyena.backbone.layers.3.mlp.fc1.weight",
        "backbone.ln_f.bias": "hyena.backbone.ln_f.bias",
        "model.lm_head.weight": "lm_head.weight",
        "head.output_transform.bias": "score.bias",
        "decoder.0.output_transform.weight": "score.weight",
        "score.weight": "score.weight",
    },
    "caduceus": {
        "caduceus.backbone.layers.0.mixer.submodule.mamba_fwd.A_log": "caduceus.backbone.layers.0.mixer.mamba_fwd.A_log",
        "caduceus.backbone.layers.0.mixer.mamba_rev.D": "caduceus.backbone.layers.0.mixer.mamba_rev.D",
        "caduceus.backbone.layers.0.norm.submodule.weight": "caduceus.backbone.layers.0.norm.weight",
        "caduceus.backbone.norm_f.submodule.weight": "caduceus.backbone.norm_f.weight",
        "backbone.embeddings.word_embeddings.weight": "caduceus.backbone.embeddings.word_embeddings.weight",
        "model.caduceus.backbone.norm_f.weight": "caduceus.backbone.norm_f.weight",
        "lm_head.lm_head.weight": "lm_head.lm_head.weight",
        "lm_head.complement_map": "lm_head.complement_map",
        "score.weight": "score.weight",
    },
    "mamba": {
        "backbone.embedding.weight": "backbone.embedding.weight",
        "backbone.embeddings.weight": "backbone.embedding.weight",
        "embeddings.weight": "backbone.embedding.weight",
        "layers.0.mixer.A_log": "backbone.layers.0.mixer.A_log",
        "norm_f.weight": "backbone.norm_f.weight",
        "lm_head.weight": "lm_head.weight",
    },
    "stripedhyena": {
        "backbone.blocks.0.filter.poles": "backbone.blocks.0.filter.poles",
        "blocks.0.filter.poles": "backbone.blocks.0.filter.poles",
        "backbone.unembed.weight": "unembed.weight",
        "unembed.weight": "unembed.weight",
        "blocks.1.inner_mha_cls.rotary_emb.inv_freq": None,
        "backbone.blocks.0.filter.t": None,
        "norm.scale": "backbone.norm.scale",
    },
    "evo2": {
        "blocks.0.filter.h": "backbone.blocks.0.filter.h",
        "blocks.3.projections._extra_state": None,
        "blocks.3.mixer.dense._extra_state": None,
        "blocks.2.mixer.mixer.filter.t": None,
        "unembed.weight": "unembed.weight",
        "module.blocks.2.filter.log_poles": "backbone.blocks.2.filter.log_poles",
    },
    "hnet": {
        "embeddings.weight": "hnet.embeddings.weight",
        "backbone.routing_module.q_proj_layer.weight": "hnet.backbone.routing_module.q_proj_layer.weight",
        "hnet.backbone.residual_proj.bias": "hnet.backbone.residual_proj.bias",
        "lm_head.weight": "lm_head.weight",
    },
    "esm": {
        "esm.encoder.layer.0.attention.self.query.weight": "esm.encoder.layer.0.attention.self.query.weight",
        "encoder.layer.0.LayerNorm.bias": "esm.encoder.layer.0.LayerNorm.bias",
        "embeddings.word_embeddings.weight": "esm.embeddings.word_embeddings.weight",
        "lm_head.decoder.weight": "lm_head.decoder.weight",
    },
    "dnabert2": {
        "bert.encoder.layer.0.mlp.wo.bias": "bert.encoder.layer.0.mlp.wo.bias",
        "encoder.layer.0.mlp.wo.bias": "bert.encoder.layer.0.mlp.wo.bias",
        "pooler.dense.weight": "bert.pooler.dense.weight",
        "bert.embeddings.position_ids": None,
        "cls.predictions.decoder.bias": "cls.predictions.decoder.bias",
    },
}


def renamed(family: str, name: str) -> str | None:
    from genoseq.checkpoints.adapter import WRAPPINGS

    adapter: Adapter = ADAPTERS.make(family)
    return adapter.own_name(WRAPPINGS.sub("", name))


@pytest.mark.parametrize(("family", "theirs", "ours"), [(f, a, b) for f, names in NAMES.items() for a, b in names.items()])
def test_names(family: str, theirs: str, ours: str | None) -> None:
    assert renamed(family, theirs) == ours


@pytest.mark.parametrize(("family", "ours"), sorted({(f, b) for f, names in NAMES.items() for b in names.values() if b}))
def test_own_names_stay(family: str, ours: str) -> None:
    """So that what genoseq or transformers saved is read by the same adapter."""
    assert renamed(family, ours) == ours


@pytest.mark.parametrize("wrapping", ["module.", "_orig_mod.", "model.", "_orig_mod.module.", "model._orig_mod."])
def test_what_trainers_put_in_front(wrapping: str) -> None:
    assert renamed("caduceus", f"{wrapping}caduceus.backbone.norm_f.weight") == "caduceus.backbone.norm_f.weight"


@pytest.mark.parametrize(
    ("classes", "head"),
    [
        (["CaduceusForMaskedLM"], "masked_lm"),
        (["MambaLMHeadModel"], "causal_lm"),
        (["StripedHyenaModelForCausalLM"], "causal_lm"),
        (["EsmModel"], "backbone"),
        (["EsmForTokenClassification"], "token"),
        (["Something"], None),
        ([], None),
    ],
)
def test_heads_by_class(classes: list[str], head: str | None) -> None:
    assert head_by_class_name(classes) == head


def test_layers_are_counted() -> None:
    assert count_layers(["a.layers.10.x", "a.layers.9.y"], r"layers\.(\d+)\.") == 11
    assert count_layers(["nothing"], r"layers\.(\d+)\.") == 0


def test_every_family_is_complete() -> None:
    for name in ADAPTERS.names():
        adapter: Adapter = ADAPTERS.make(name)
        assert adapter.family == name and adapter.title and re.compile(adapter.float32)
