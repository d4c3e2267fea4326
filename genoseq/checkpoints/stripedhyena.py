"""StripedHyena 1: Evo 1 and 1.5, from the hub (names under ``backbone.``), or the bare net (names without).

Names and numbers are the net's own; the tables of rotary frequencies that files carry are left out. The configuration cannot be
read off the weights: heads and the scaling of positions leave no trace in them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from genoseq.checkpoints.adapter import Adapter, Found, make_config
from genoseq.checkpoints.tokenizers import saved_tokenizer
from genoseq.errors import InputError

__all__ = ["StripedHyena"]

FIXED: Mapping[str, Any] = {"long_fir_threshold": None}
"""Of both generations: their programs can cut long filters short, which no public net does."""
TABLES = re.compile(r"rotary_emb\.inv_freq$|\.filter\.t$|\._extra_state$")


class StripedHyena(Adapter):
    """Checkpoints of togethercomputer, evo-design and LongSafari."""

    family = "stripedhyena"
    title = "StripedHyena"
    model_type = "stripedhyena"
    other_keys = frozenset({"max_sequence_len"})
    fixed = FIXED
    float32 = r"\.(poles|residues)$"

    def recognises(self, found: Found) -> bool:
        """By configuration; without one, by filters of poles and residues."""
        if found.model_type or found.classes:
            return found.model_type == "stripedhyena" or any(name.startswith("StripedHyenaM") for name in found.classes)
        if "hcl_layer_idxs" in found.config:
            return False
        return found.has(r"(^|\.)blocks\.\d+\.filter\.poles$")

    def own_name(self, name: str) -> str | None:
        """Everything but the unembedding under ``backbone.``."""
        return striped_name(name)

    def config_for(self, found: Found) -> Any:
        """The file's keys."""
        config = striped_config(self, found)
        poles = next((name for name in found.weights if name.endswith(".filter.poles")), None)
        if poles is not None and found.config.get("hyena_filter_groups") is None:
            systems = found.weights.shape(poles)[0]
            config.hyena_filter_groups = max(1, config.hidden_size // max(1, systems))
        return config

    def head_by_names(self, found: Found) -> str:
        """A language model: the unembedding is the table of embeddings where it has no weights of its own."""
        return "causal_lm"

    def tokenizer(self, found: Found, config: Any) -> Any:
        """Bytes."""
        from genoseq.tokenizers.byte import EvoTokenizer

        return saved_tokenizer(found.folder) or EvoTokenizer()


def striped_name(name: str) -> str | None:
    """The net's name for a parameter of StripedHyena 1 or 2."""
    if TABLES.search(name):
        return None
    name = name.removeprefix("backbone.")
    return name if name.startswith(("unembed.", "score.", "classifier.")) else f"backbone.{name}"


def striped_config(adapter: Adapter, found: Found) -> Any:
    """The configuration of a StripedHyena, whose file must be there.

    Raises:
        InputError: there is none.
    """
    if not found.config:
        raise InputError(
            f"holds weights of {adapter.title} without a configuration, which the weights alone do not show",
            path=found.weights.path,
            remedy="put its config.json or .yml beside it, under the same name or as config.json",
        )
    values = dict(found.config)
    if "max_seqlen" not in values and "max_sequence_len" in values:
        values["max_seqlen"] = values["max_sequence_len"]
    values.pop("max_sequence_len", None)
    return make_config(adapter.architecture.config_class, values, found)
