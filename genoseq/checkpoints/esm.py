"""ESM nets: the Nucleotide Transformer (v1, v2) and ESM-2, as published on the hub.

Names are the net's own. Tables of positions, which files carry under several names, and the head that predicts contacts of
residues are left out. The gated feed-forward of the Nucleotide Transformer v2, which its configuration does not name, shows in
the shapes.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from genoseq.checkpoints.adapter import Adapter, Found, make_config, norm_name
from genoseq.checkpoints.tokenizers import saved_tokenizer, tokenizer_settings
from genoseq.errors import InputError

__all__ = ["Esm"]

log = logging.getLogger(__name__)

ESM2_SIZE, V1_SIZE, V2_SIZE = 33, 4105, 4107
"""Tokens of ESM-2 and of the Nucleotide Transformer."""


class Esm(Adapter):
    """Checkpoints of InstaDeepAI and facebook."""

    family = "esm"
    title = "ESM"
    model_type = "genoseq_esm"
    fixed: ClassVar[Mapping[str, Any]] = {"is_decoder": False, "add_cross_attention": False}

    def recognises(self, found: Found) -> bool:
        """By configuration; without one, by the norm after the blocks."""
        if found.model_type or found.classes:
            return found.model_type == "esm" or any(re.match(r"Esm(Model|For)", name) for name in found.classes)
        return found.has(r"(^|\.)encoder\.emb_layer_norm_after\.weight$")

    def own_name(self, name: str) -> str | None:
        """Under ``esm.``, but for the heads."""
        name = norm_name(name)
        return f"esm.{name}" if name.startswith(("embeddings.", "encoder.", "contact_head.", "pooler.")) else name

    def config_for(self, found: Found) -> Any:
        """The file's keys, and whether the feed-forward is gated."""
        if not found.config:
            raise InputError(
                "holds weights of an ESM net without a configuration, which the weights alone do not show",
                path=found.weights.path,
                remedy="put its config.json beside it",
            )
        values = dict(found.config)
        inner = next((name for name in found.weights if name.endswith("layer.0.intermediate.dense.weight")), None)
        if inner is not None and values.get("intermediate_size"):
            values["gated"] = found.weights.shape(inner)[0] == 2 * values["intermediate_size"]
            if values.get("add_bias_fnn") is None:
                values["add_bias_fnn"] = inner.removesuffix("weight") + "bias" in found.weights
        if "tie_word_embeddings" not in values:
            values["tie_word_embeddings"] = not found.has(r"^(model\.)?lm_head\.decoder\.weight$")
        if values.get("is_folding_model") and not values.get("esmfold_config"):
            values["is_folding_model"] = False
        return make_config(self.architecture.config_class, values, found)

    def head_by_names(self, found: Found) -> str:
        """A language head, labels, or neither."""
        if found.has(r"^(model\.)?classifier\.out_proj\."):
            return "sequence"
        if found.has(r"^(model\.)?classifier\."):
            return "token"
        return "masked_lm" if found.has(r"^(model\.)?lm_head\.") else "backbone"

    def tokenizer(self, found: Found, config: Any) -> Any:
        """Residues or six-mers, by the vocabulary."""
        from genoseq.tokenizers.kmer import NucleotideTransformerTokenizer
        from genoseq.tokenizers.protein import ESM2Tokenizer

        vocabulary = None if found.folder is None else found.folder / "vocab.txt"
        limit = tokenizer_settings(found.folder).get("model_max_length")
        options = {} if limit is None else {"model_max_length": limit}
        if "genoseq_format" in tokenizer_settings(found.folder):
            return saved_tokenizer(found.folder)
        if vocabulary is not None and vocabulary.is_file() and _has_kmers(vocabulary):
            return NucleotideTransformerTokenizer(vocab_file=str(vocabulary), **options)
        if config.vocab_size == ESM2_SIZE:
            return ESM2Tokenizer(**options)
        if config.vocab_size in (V1_SIZE, V2_SIZE):
            return NucleotideTransformerTokenizer(layout="v1" if config.vocab_size == V1_SIZE else "v2", **options)
        saved = saved_tokenizer(found.folder)
        if saved is None:
            log.warning("%s: a vocabulary of %s belongs to no tokenizer that genoseq knows", found.name, config.vocab_size)
        return saved


def _has_kmers(path: Path) -> bool:
    """Whether a ``vocab.txt`` holds k-mers of nucleotides."""
    try:
        return any(re.fullmatch(r"[ACGT]{2,}", line.strip()) for line in path.read_text(encoding="utf-8").splitlines())
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot be read as a vocabulary ({error})", path=path, remedy="fetch it again") from error
