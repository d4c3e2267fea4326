"""HyenaDNA: the port on the hub, and the original checkpoints with their own configuration.

Original files are Lightning's: names begin with ``model.``, and where activations were recomputed in training, mixers and
feed-forwards lie in a ``layer``. The sine's frequency is one tensor under several names, of which safetensors keeps one. Tables
of positions are as long as the longest sequence and are read, not made: the originals may have trained them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from genoseq.checkpoints.adapter import Adapter, Found, count_layers, make_config
from genoseq.checkpoints.tokenizers import saved_tokenizer, tokenizer_settings
from genoseq.errors import InputError

__all__ = ["HyenaDNA", "from_original"]

LAYER = {
    "emb_dim": "emb_dim",
    "filter_order": "filter_order",
    "l_max": "max_seq_len",
    "w": "activation_freq",
    "order": "hyena_order",
    "num_inner_mlps": "num_inner_mlps",
    "dropout": "hyena_dropout",
    "filter_dropout": "hyena_filter_dropout",
}
"""Keys of ``layer`` in original configurations, and what the port calls them.

``local_order`` is not among them: the original program reads it and always takes short filters of 3. Weights show their length.
"""


class HyenaDNA(Adapter):
    """Checkpoints of LongSafari."""

    family = "hyenadna"
    title = "HyenaDNA"
    model_type = "hyenadna"
    other_keys = frozenset({"layer", "n_classes", "use_head"})
    float32 = r"\.filter_fn\."

    def recognises(self, found: Found) -> bool:
        """By configuration; without one, by the nets that make filters."""
        if found.model_type or found.classes:
            return found.model_type == "hyenadna" or any(name.startswith("HyenaDNA") for name in found.classes)
        return found.has(r"\.filter_fn\.implicit_filter\.")

    def own_name(self, name: str) -> str | None:
        """The port's names."""
        name = re.sub(r"\.(mixer|mlp)\.layer\.", r".\1.", name)
        name = re.sub(r"^(head|decoder\.0)\.output_transform\.", "score.", name)
        return f"hyena.{name}" if name.startswith("backbone.") else name

    def config_for(self, found: Found) -> Any:
        """The port's keys, translated where the configuration is an original one; what is missing, from names and shapes."""
        given = dict(found.config)
        if isinstance(given.get("layer"), Mapping):
            given = from_original(given, found)
        values = {**_inferred(found), **given}
        if "tie_word_embeddings" not in given:
            values["tie_word_embeddings"] = False
        return make_config(self.architecture.config_class, values, found)

    def head_by_names(self, found: Found) -> str:
        """Labels, a language head, or neither."""
        if found.has(r"(^|\.)(score|output_transform)\.(weight|bias)$"):
            return "sequence"
        return "causal_lm" if found.has(r"^(model\.)?lm_head\.") else "backbone"

    def tokenizer(self, found: Found, config: Any) -> Any:
        """Single bases as they are written, with [SEP] at the end."""
        from genoseq.tokenizers.nucleotide import HyenaDNATokenizer

        saved = saved_tokenizer(found.folder)
        if saved is not None:
            return saved
        limit = tokenizer_settings(found.folder).get("model_max_length", config.max_seq_len)
        return HyenaDNATokenizer(model_max_length=limit)


def from_original(values: Mapping[str, Any], found: Found) -> dict[str, Any]:
    """The port's keys for those of an original configuration.

    Raises:
        InputError: it asks for what HyenaDNA nets do not have.
    """
    layer = values["layer"]
    path = found.config_path or found.weights.path
    if layer.get("_name_", "hyena") != "hyena":
        raise InputError(f"layer is {layer['_name_']!r}: genoseq reads HyenaDNA nets, whose layers are hyena", path=path)
    for key, value in (("modulate", True), ("bidirectional", False), ("normalized", False), ("shift", 0.05)):
        if layer.get(key, value) != value:
            raise InputError(f"layer.{key} is {layer[key]}: HyenaDNA nets have {value}", path=path)
    for key, only in (("layer_norm_epsilon", 1e-5), ("attn_layer_idx", None)):
        if values.get(key) not in (None, [], only):
            raise InputError(f"{key} is {values[key]}: HyenaDNA nets have {only or 'no attention'}", path=path)
    plain = ("d_model", "n_layer", "d_inner", "vocab_size", "embed_dropout", "pad_vocab_size_multiple", "num_labels")
    own = {key: values[key] for key in plain if key in values}
    own |= {ours: layer[theirs] for theirs, ours in LAYER.items() if theirs in layer}
    own |= {"pool": "mean", "score_bias": True}  # the original head
    if "n_classes" in values and values.get("use_head"):
        own["num_labels"] = values["n_classes"]
    return own


def _inferred(found: Found) -> dict[str, Any]:
    """What names and shapes show of the configuration."""
    weights = found.weights
    words = next((name for name in weights if name.endswith("embeddings.word_embeddings.weight")), None)
    if words is None:
        return {}
    rows, width = weights.shape(words)
    values: dict[str, Any] = {
        "vocab_size": rows,
        "d_model": width,
        "n_layer": count_layers(list(weights), r"layers\.(\d+)\."),
    }
    first = {re.sub(r"^.*layers\.0\.", "", name): weights.shape(name) for name in weights if ".layers.0." in name}
    first = {name.replace(".layer.", "."): shape for name, shape in first.items()}
    sizes = {
        "d_inner": ("mlp.fc1.weight", 0),
        "short_filter_order": ("mixer.short_filter.weight", 2),
        "max_seq_len": ("mixer.filter_fn.pos_emb.z", 1),
        "emb_dim": ("mixer.filter_fn.pos_emb.z", 2),
        "filter_order": ("mixer.filter_fn.implicit_filter.0.weight", 0),
    }
    values |= {key: first[name][axis] for key, (name, axis) in sizes.items() if name in first}
    if "mixer.in_proj.weight" in first:
        values["hyena_order"] = first["mixer.in_proj.weight"][0] // width - 1
    maps = count_layers(list(first), r"implicit_filter\.(\d+)\.weight")
    if maps:
        values["num_inner_mlps"] = (maps - 1) // 2 - 1
    label = next((name for name in weights if re.search(r"(^|\.)(score|output_transform)\.weight$", name)), None)
    if label is not None:
        values["num_labels"] = weights.shape(label)[0]
        values["score_bias"] = re.sub("weight$", "bias", label) in weights
    return values
