"""DNABERT-2, as published on the hub: a MosaicBERT, whose configuration calls itself a plain BERT."""

from __future__ import annotations

import logging
import re
from typing import Any

from genoseq.checkpoints.adapter import Adapter, Found, make_config, norm_name
from genoseq.checkpoints.tokenizers import saved_tokenizer, tokenizer_settings
from genoseq.errors import InputError

__all__ = ["DNABert2"]

log = logging.getLogger(__name__)


class DNABert2(Adapter):
    """Checkpoints of zhihan1996, and others of the same net."""

    family = "dnabert2"
    title = "DNABERT-2"
    model_type = "dnabert2"

    def recognises(self, found: Found) -> bool:
        """By the names: fused projections and a gated feed-forward, which no plain BERT has."""
        return found.has(r"(^|\.)layer\.\d+\.attention\.self\.Wqkv\.weight$") and found.has(r"\.mlp\.gated_layers\.weight$")

    def own_name(self, name: str) -> str | None:
        """Under ``bert.``, but for the heads."""
        if name.endswith("embeddings.position_ids"):
            return None
        name = norm_name(name)
        return f"bert.{name}" if name.startswith(("embeddings.", "encoder.", "pooler.")) else name

    def config_for(self, found: Found) -> Any:
        """The file's keys."""
        if not found.config:
            raise InputError(
                "holds weights of DNABERT-2 without a configuration, which the weights alone do not show",
                path=found.weights.path,
                remedy="put its config.json beside it",
            )
        values = dict(found.config)
        if not found.has(r"^(model\.)?cls\.predictions\.decoder\.weight$"):
            values["tie_word_embeddings"] = True  # the public program ties them whatever the configuration says
        values.setdefault("tie_word_embeddings", True)
        return make_config(self.architecture.config_class, values, found)

    def in_head(self, name: str, prefix: str) -> bool:
        """The pooler is for whole sequences only."""
        return super().in_head(name, prefix) or name.startswith("bert.pooler.")

    def head_by_names(self, found: Found) -> str:
        """A language head, labels, or neither."""
        if found.has(r"^(model\.)?classifier\."):
            return "sequence" if found.has(r"(^|\.)pooler\.") else "token"
        return "masked_lm" if found.has(r"^(model\.)?cls\.") else "backbone"

    def head(self, found: Found) -> str:
        """Its configuration names the bare net even where the weights have the language head."""
        by_names = self.head_by_names(found)
        return by_names if by_names != "backbone" else super().head(found)

    def tokenizer(self, found: Found, config: Any) -> Any:
        """Byte pairs, from its ``tokenizer.json``."""
        from genoseq.tokenizers.bpe import load_bpe

        settings = tokenizer_settings(found.folder)
        if "genoseq_format" in settings or re.match(r"Genoseq", str(settings.get("tokenizer_class", ""))):
            return saved_tokenizer(found.folder)
        if found.folder is None or not (found.folder / "tokenizer.json").is_file():
            log.warning("%s: no tokenizer.json lies beside the weights, so there is no tokenizer", found.name)
            return None
        limit = settings.get("model_max_length")
        return load_bpe(found.folder, **({} if limit is None else {"model_max_length": limit}))
