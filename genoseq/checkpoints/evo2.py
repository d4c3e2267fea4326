"""Evo 2 (StripedHyena 2): the authors' ``.pt`` files, and weights of the net itself.

The authors' repositories hold weights without a configuration; it is known from the name of the file (see ``catalogue``), or lies
beside it as the ``.yml`` of their package.

Two orders of rows. In the authors' files, query, key and value rows of the attention alternate head by head, and their program
puts them in order when it loads them, where the configuration says ``column_split``. Weights saved from a net that is in memory
(as safetensors always are) have them in order already. Nothing in the numbers shows which it is, so it is told by what else is
in the file: the authors' files carry state of their training (``_extra_state``, ``mixer.``, or an ``unembed.weight`` that is the
embedding). ``qkv_rows`` in the configuration, ``heads`` or ``split``, decides where that is wrong.
"""

from __future__ import annotations

import logging
import re
from typing import Any

from torch import Tensor

from genoseq.checkpoints.adapter import Adapter, Found
from genoseq.checkpoints.stripedhyena import FIXED, striped_config, striped_name
from genoseq.checkpoints.tokenizers import saved_tokenizer
from genoseq.errors import InputError

__all__ = ["Evo2"]

log = logging.getLogger(__name__)

ROWS = ("heads", "split")


class Evo2(Adapter):
    """Checkpoints of arcinstitute and evo-design."""

    family = "evo2"
    title = "Evo 2"
    model_type = "evo2"
    other_keys = frozenset({"max_sequence_len", "qkv_rows"})
    fixed = FIXED
    float32 = r"\.(log_poles|residues|filter\.h)$"

    def recognises(self, found: Found) -> bool:
        """By the three kinds of filters in the configuration; without one, by filters of log poles."""
        if found.model_type == "evo2" or "StripedHyena2" in found.classes or any(n.startswith("Evo2") for n in found.classes):
            return True
        if found.model_type or found.classes:
            return False
        return "hcl_layer_idxs" in found.config or found.has(r"(^|\.)blocks\.\d+\.filter\.log_poles$") or _savanna(found)

    def own_name(self, name: str) -> str | None:
        """As in StripedHyena 1; what is left of training under ``mixer.`` is left out."""
        return None if re.search(r"(^|\.)blocks\.\d+\.mixer\.", name) else striped_name(name)

    def config_for(self, found: Found) -> Any:
        """The file's keys, or those of the published model of this name."""
        if _savanna(found):
            raise InputError(
                "is in the layout of the program that trained it (Savanna), which genoseq does not read",
                path=found.weights.path,
                remedy="take the repository of the same name without `savanna_`",
            )
        config = striped_config(self, found)
        rows = getattr(config, "qkv_rows", None)
        if rows not in (None, *ROWS):
            raise InputError(f"qkv_rows is {rows!r}: expected {' or '.join(ROWS)}", path=found.config_path or found.weights.path)
        return config

    def convert(self, name: str, tensor: Tensor, config: Any, found: Found) -> Tensor:
        """Put the rows of the attention's projection in order."""
        if re.search(r"\.Wqkv\.(weight|bias)$", name) and _alternate(config, found):
            from genoseq.nets.models.evo2 import ordered_fused_rows

            return ordered_fused_rows(tensor, config.num_attention_heads)
        return tensor

    def head_by_names(self, found: Found) -> str:
        """A language model, as StripedHyena 1."""
        return "causal_lm"

    def tokenizer(self, found: Found, config: Any) -> Any:
        """Bytes."""
        from genoseq.tokenizers.byte import EvoTokenizer

        return saved_tokenizer(found.folder) or EvoTokenizer()


def _alternate(config: Any, found: Found) -> bool:
    """Whether query, key and value rows alternate head by head in the file."""
    stated = getattr(config, "qkv_rows", None)
    if stated is not None:
        return bool(stated == "heads")
    if not getattr(config, "column_split", True) or not found.weights.pickled:
        return False
    names = (*found.weights, *found.weights.others)
    trained = any(re.search(r"\._extra_state$|(^|\.)blocks\.\d+\.mixer\.", name) for name in names)
    return trained or (bool(config.tie_embeddings) and found.has(r"(^|\.)unembed\.weight$"))


def _savanna(found: Found) -> bool:
    return found.has(r"(^|\.)sequential\.\d+\.") and found.has(r"mixer\.dense_projection")
