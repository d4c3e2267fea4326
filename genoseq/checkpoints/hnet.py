"""H-Net: the authors' ``.pt`` files. Heads and windows leave no trace in weights, so the configuration must be there.

It is known for the published files by their names (see ``catalogue``); the authors keep it apart from the weights.
"""

from __future__ import annotations

from typing import Any

from genoseq.checkpoints.adapter import Adapter, Found, make_config
from genoseq.checkpoints.tokenizers import saved_tokenizer
from genoseq.errors import InputError

__all__ = ["HNet"]


class HNet(Adapter):
    """Checkpoints of cartesia-ai."""

    family = "hnet"
    title = "H-Net"
    model_type = "hnet"
    float32 = r"\.(A_log|D|dt_bias)$"

    def recognises(self, found: Found) -> bool:
        """By configuration; without one, by the projections that choose chunks."""
        if found.model_type or found.classes:
            return found.model_type == "hnet" or any(name.startswith("HNet") for name in found.classes)
        return "arch_layout" in found.config or found.has(r"(^|\.)routing_module\.q_proj_layer\.weight$")

    def own_name(self, name: str) -> str | None:
        """Embeddings and backbone under ``hnet.``."""
        return f"hnet.{name}" if name.startswith(("embeddings.", "backbone.")) else name

    def config_for(self, found: Found) -> Any:
        """The file's keys."""
        if not found.config:
            raise InputError(
                "holds weights of H-Net without a configuration, which the weights alone do not show",
                path=found.weights.path,
                remedy="put the .json of its model (github.com/goombalab/hnet, configs) beside it as config.json",
            )
        values = dict(found.config)
        values.setdefault("tie_embeddings", not found.has(r"^lm_head\.weight$"))
        return make_config(self.architecture.config_class, values, found)

    def head_by_names(self, found: Found) -> str:
        """A language model."""
        return "causal_lm"

    def tokenizer(self, found: Found, config: Any) -> Any:
        """Bytes."""
        from genoseq.tokenizers.byte import HNetTokenizer

        return saved_tokenizer(found.folder) or HNetTokenizer()
