"""Mamba and Mamba-2: the authors' layout (``mamba_ssm``) and that of transformers, which differ in keys and in one name."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from genoseq.checkpoints.adapter import Adapter, Found, count_layers, make_config
from genoseq.checkpoints.tokenizers import saved_tokenizer
from genoseq.errors import InputError

__all__ = ["Mamba", "from_transformers"]

SHARED = {
    "hidden_size": "d_model",
    "num_hidden_layers": "n_layer",
    "vocab_size": "vocab_size",
    "layer_norm_epsilon": "norm_epsilon",
    "residual_in_fp32": "residual_in_fp32",
    "rescale_prenorm_residual": "rescale_prenorm_residual",
    "initializer_range": "initializer_range",
    "tie_word_embeddings": "tie_word_embeddings",
    "id2label": "id2label",
    "label2id": "label2id",
    "num_labels": "num_labels",
    "problem_type": "problem_type",
    "bos_token_id": "bos_token_id",
    "eos_token_id": "eos_token_id",
    "pad_token_id": "pad_token_id",
}
"""Keys of transformers' configurations, and what ``mamba_ssm`` calls them."""

LAYER = {
    "state_size": "d_state",
    "conv_kernel": "d_conv",
    "expand": "expand",
    "use_bias": "bias",
    "use_conv_bias": "conv_bias",
    "time_step_min": "dt_min",
    "time_step_max": "dt_max",
    "time_step_floor": "dt_init_floor",
}
FIRST = {**LAYER, "time_step_rank": "dt_rank", "time_step_scale": "dt_scale", "time_step_init_scheme": "dt_init"}
SECOND = {**LAYER, "head_dim": "headdim", "n_groups": "ngroups", "chunk_size": "chunk_size", "time_step_limit": "dt_limit"}


OTHER_LAYERS = ("attn_layer_idx", "attn_cfg")


class Mamba(Adapter):
    """Checkpoints of state-spaces, and others of both generations."""

    family = "mamba"
    title = "Mamba"
    model_type = "genoseq_mamba"
    other_keys = frozenset({*SHARED, *FIRST, *SECOND, *OTHER_LAYERS, "hidden_act", "intermediate_size", "tie_embeddings"})
    float32 = r"\.(A_log|D|dt_bias|dt_proj\.bias)$"

    def recognises(self, found: Found) -> bool:
        """By configuration; without one, by the layers' decays."""
        if found.model_type or found.classes:
            known = ("MambaForCausalLM", "Mamba2ForCausalLM", "MambaLMHeadModel", "MambaModel", "Mamba2Model")
            return found.model_type in ("mamba", "mamba2") or (not found.model_type and found.classes[0] in known)
        return found.has(r"(^|\.)layers\.\d+\.mixer\.A_log$") and not found.has(r"routing_module|mamba_fwd")

    def own_name(self, name: str) -> str | None:
        """The authors' names; a bare backbone's under ``backbone.``."""
        if re.match(r"(embeddings?|layers|norm_f)\.", name):
            name = f"backbone.{name}"
        return re.sub(r"^backbone\.embeddings\.", "backbone.embedding.", name)

    def config_for(self, found: Found) -> Any:
        """The authors' keys, translated where needed, and what is missing from names and shapes."""
        given = dict(found.config)
        if "hidden_size" in given or found.model_type in ("mamba", "mamba2"):
            given = from_transformers(given, second=found.has(r"\.mixer\.dt_bias$"), found=found)
        else:
            _check_plain(given, found)
            given = {key: value for key, value in given.items() if key not in OTHER_LAYERS}
            if "tie_embeddings" in given:
                given["tie_word_embeddings"] = given.pop("tie_embeddings")
        values = {**_inferred(found), **given}
        if "tie_word_embeddings" not in given:
            values["tie_word_embeddings"] = not found.has(r"^(model\.)?lm_head\.weight$")
        layer = "Mamba2" if found.has(r"\.mixer\.dt_bias$") else "Mamba1"
        values["ssm_cfg"] = {"layer": layer, **(values.get("ssm_cfg") or {})}
        return make_config(self.architecture.config_class, values, found)

    def head_by_names(self, found: Found) -> str:
        """A language model unless the names are those of a bare backbone."""
        if found.has(r"^(model\.)?score\."):
            return "sequence"
        return "causal_lm" if found.has(r"^(model\.)?(backbone|lm_head)\.") else "backbone"

    def tokenizer(self, found: Found, config: Any) -> Any:
        """What lies beside the weights: the nets are for any alphabet."""
        return saved_tokenizer(found.folder)


def from_transformers(values: Mapping[str, Any], *, second: bool, found: Found) -> dict[str, Any]:
    """The authors' keys for those of a configuration in the layout of transformers.

    Raises:
        InputError: it asks for what these nets do not have.
    """
    act = values.get("hidden_act", "silu")
    if act not in ("silu", "swish"):
        raise InputError(f"hidden_act is {act!r}: genoseq's Mamba has silu", path=found.config_path or found.weights.path)
    own = {ours: values[theirs] for theirs, ours in SHARED.items() if theirs in values}
    layer = {ours: values[theirs] for theirs, ours in (SECOND if second else FIRST).items() if values.get(theirs) is not None}
    if "intermediate_size" in values and values.get("hidden_size"):
        layer["expand"] = values["intermediate_size"] / values["hidden_size"]
    if "expand" in layer and float(layer["expand"]).is_integer():
        layer["expand"] = int(layer["expand"])
    if second and "layer_norm_epsilon" in values:
        layer["norm_eps"] = values["layer_norm_epsilon"]
    return {
        **own,
        "ssm_cfg": {"layer": "Mamba2" if second else "Mamba1", **layer},
        "rms_norm": True,
        "pad_vocab_size_multiple": 1,
    }


def _check_plain(values: Mapping[str, Any], found: Found) -> None:
    """Refuse what the authors' class has and genoseq's has not: attention layers in between."""
    for key in OTHER_LAYERS:
        if values.get(key):
            raise InputError(
                f"{key} is {values[key]}: genoseq reads Mamba nets without attention layers",
                path=found.config_path or found.weights.path,
            )


def _inferred(found: Found) -> dict[str, Any]:
    """What names and shapes show of the configuration."""
    weights = found.weights
    words = next((name for name in weights if re.search(r"(^|\.)embeddings?\.weight$", name)), None)
    if words is None:
        return {}
    rows, width = weights.shape(words)
    first = {name.rpartition("layers.0.mixer.")[2]: weights.shape(name) for name in weights if "layers.0.mixer." in name}
    values: dict[str, Any] = {
        "vocab_size": rows,
        "pad_vocab_size_multiple": 1,
        "d_model": width,
        "n_layer": count_layers(list(weights), r"layers\.(\d+)\."),
        "rms_norm": not found.has(r"(^|\.)norm_f\.bias$"),
    }
    after = next((name for name in weights if name.endswith("layers.0.mlp.fc2.weight")), None)
    if after is not None:
        values["d_intermediate"] = weights.shape(after)[1]
    if not {"A_log", "conv1d.weight", "out_proj.weight"} <= first.keys():
        return values
    inner = first["out_proj.weight"][1]
    layer = {"d_conv": first["conv1d.weight"][-1], "expand": inner / width}
    if float(layer["expand"]).is_integer():
        layer["expand"] = inner // width
    if "dt_bias" in first:  # groups and states are not told apart by shapes: published nets have one group
        layer |= {"headdim": inner // first["A_log"][0], "ngroups": 1, "d_state": (first["conv1d.weight"][0] - inner) // 2}
    else:
        layer |= {"d_state": first["A_log"][1], "dt_rank": first["dt_proj.weight"][1]}
    values["ssm_cfg"] = layer
    return values
