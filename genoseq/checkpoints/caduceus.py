"""Caduceus: PS and Ph, with fused norms or not, as published on the hub, and PlantCaduceus.

Three layouts of names for one net. With ``rcps`` the public code wraps mixers in a ``submodule``, and norms too where
``fused_add_norm`` is false. The map of the language head is left out where it is the table of embeddings.
"""

from __future__ import annotations

import re
from typing import Any

from genoseq.checkpoints.adapter import Adapter, Found, count_layers, make_config
from genoseq.checkpoints.tokenizers import saved_tokenizer, tokenizer_settings

__all__ = ["Caduceus"]

WORDS = r"embeddings\.word_embeddings\.(embedding\.)?weight$"


class Caduceus(Adapter):
    """Checkpoints of kuleshov-group."""

    family = "caduceus"
    title = "Caduceus"
    model_type = "caduceus"
    float32 = r"\.(A_log|D|dt_proj\.bias)$"

    def recognises(self, found: Found) -> bool:
        """By configuration; without one, by Mamba layers in pairs or in wrappings."""
        if found.model_type or found.classes:
            return found.model_type == "caduceus" or any(name.startswith("Caduceus") for name in found.classes)
        return found.has(r"\.mixer\.(submodule\.)?mamba_(fwd|rev)\.")

    def own_name(self, name: str) -> str | None:
        """Without the wrappings, under ``caduceus.``."""
        name = re.sub(r"\.(mixer|norm|norm_f)\.submodule\.", r".\1.", name)
        return f"caduceus.{name}" if name.startswith("backbone.") else name

    def config_for(self, found: Found) -> Any:
        """The file's keys; what is missing, from the names and shapes."""
        values = {**_inferred(found), **found.config}
        if "tie_word_embeddings" not in found.config:
            values["tie_word_embeddings"] = bool(values["rcps"]) or not found.has(r"^(model\.)?lm_head\.weight$")
        if values["rcps"] and not values.get("complement_map"):
            name = next(name for name in found.weights if name.endswith("complement_map"))
            values["complement_map"] = dict(enumerate(found.weights.read(name).tolist()))
        return make_config(self.architecture.config_class, values, found)

    def head_by_names(self, found: Found) -> str:
        """A language head, labels, or neither."""
        if found.has(r"^(model\.)?score\."):
            return "sequence"
        language = found.has(r"^(model\.)?lm_head\.") or found.has(r"^(model\.)?caduceus\.")
        return "masked_lm" if language else "backbone"

    def tokenizer(self, found: Found, config: Any) -> Any:
        """Single bases, upper-cased, with [SEP] at the end."""
        from genoseq.tokenizers.nucleotide import CaduceusTokenizer

        saved = saved_tokenizer(found.folder)
        if saved is not None:
            return saved
        limit = tokenizer_settings(found.folder).get("model_max_length")
        return CaduceusTokenizer(**({} if limit is None else {"model_max_length": limit}))


def _inferred(found: Found) -> dict[str, Any]:
    """What names and shapes show of the configuration."""
    weights = found.weights
    words = next((name for name in weights if re.search(WORDS, name)), None)
    if words is None:
        return {"rcps": found.has(r"\.submodule\.")}
    rows, width = weights.shape(words)
    rcps = found.has(r"\.mixer\.submodule\.")
    values: dict[str, Any] = {
        "vocab_size": rows,
        "d_model": width,
        "n_layer": count_layers(list(weights), r"layers\.(\d+)\."),
        "rcps": rcps,
        "bidirectional": found.has(r"\.mamba_rev\."),
        "bidirectional_weight_tie": not found.has(r"\.mamba_rev\.in_proj\."),
        "rms_norm": not found.has(r"\.norm_f\.(submodule\.)?bias$"),
        "fused_add_norm": not found.has(r"\.norm\.submodule\."),
    }
    shapes = {
        key: weights.shape(name)
        for name in weights
        for key in ("A_log", "conv1d.weight", "dt_proj.weight")
        if re.search(rf"layers\.0\..*mamba_fwd\.{re.escape(key)}$", name)
    }
    if len(shapes) == 3:
        inner, states = shapes["A_log"]
        values["ssm_cfg"] = {
            "d_state": states,
            "d_conv": shapes["conv1d.weight"][-1],
            "expand": inner // width,
            "dt_rank": shapes["dt_proj.weight"][1],
        }
    return values
