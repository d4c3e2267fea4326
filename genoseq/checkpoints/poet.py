"""PoET: the authors' checkpoint, and weights of the net itself.

The authors' file is a Lightning checkpoint: the net's arguments under ``hyper_parameters``, ``model_spec``, ``init_args``, and
names with one prefix in front. Where it does not say, the weights do: even the number of heads, by the table of frequencies.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from typing import Any

from genoseq.checkpoints.adapter import Adapter, Found, count_layers, make_config
from genoseq.checkpoints.tokenizers import saved_tokenizer
from genoseq.checkpoints.torch_file import read_torch_file
from genoseq.errors import InputError

__all__ = ["LICENCE", "PoET"]

log = logging.getLogger(__name__)

LICENCE = (
    "the weights that PoET's authors publish are under CC BY-NC-SA 4.0: name the source, no commercial use, "
    "pass on under the same terms"
)
BLOCK = re.compile(r"^(?:[^.]+\.)?decoder\.layers\.(\d+)\.multihead_attn\.q_proj\.weight$")
NAME = re.compile(r"^(?:[^.]+\.)?((?:token_embed|decoder|norm)\..+)$")
HEADS = re.compile(r"^(?:[^.]+\.)?((?:linear|score|classifier)\.(?:weight|bias))$")


class PoET(Adapter):
    """Checkpoints of OpenProtein.AI's PoET."""

    family = "poet"
    title = "PoET"
    model_type = "poet"

    def recognises(self, found: Found) -> bool:
        """By the kind of net; without one, by the names of a decoder over a table of tokens."""
        if found.model_type or found.classes:
            return found.model_type == "poet" or any(name.startswith("PoET") for name in found.classes)
        return found.has(r"(^|\.)token_embed\.weight$") and found.has(BLOCK.pattern)

    def own_name(self, name: str) -> str | None:
        """Everything but the head under ``poet.``, whatever stands in front; tables of frequencies are left out."""
        if name.endswith("rotary_emb.inv_freq"):
            return None
        head = HEADS.match(name)
        body = NAME.match(name)
        return head[1] if head else f"poet.{body[1]}" if body else name

    def config_for(self, found: Found) -> Any:
        """The file's keys, or the checkpoint's own, completed from the weights."""
        values = dict(found.config)
        if not values:
            values = _init_args(found)
        if found.model_type != "poet":
            log.warning("%s: %s", found.name, LICENCE)
        return make_config(self.architecture.config_class, {**_by_weights(found), **values}, found)

    def tokenizer(self, found: Found, config: Any) -> Any:
        """Residues."""
        from genoseq.tokenizers.protein import PoETTokenizer

        return saved_tokenizer(found.folder) or PoETTokenizer()


def _init_args(found: Found) -> dict[str, Any]:
    """The net's arguments in the authors' checkpoint; empty if it has none."""
    if not found.weights.pickled or not found.weights.path.is_file() or found.weights.path.name.endswith(".json"):
        return {}
    content: Any = read_torch_file(found.weights.path)  # mapped: the weights are not read again
    for key in ("hyper_parameters", "model_spec", "init_args"):
        content = content.get(key) if isinstance(content, Mapping) else None
    return {str(key): value for key, value in content.items()} if isinstance(content, Mapping) else {}


def _by_weights(found: Found) -> dict[str, Any]:
    """What shapes and names show of the configuration.

    Raises:
        InputError: there is no table of tokens.
    """
    names = {re.sub(r"^.*?((?:token_embed|decoder|rotary_emb|norm)\.)", r"\1", name): name for name in found.weights}
    if "token_embed.weight" not in names:
        raise InputError("holds PoET without its table of tokens (token_embed.weight)", path=found.weights.path)
    tokens, width = found.weights.shape(names["token_embed.weight"])
    values: dict[str, Any] = {
        "n_vocab": tokens,
        "hidden_dim": width,
        "num_layers": count_layers(list(names), r"^decoder\.layers\.(\d+)\."),
        "norm": "norm.weight" in names,
    }
    inner = names.get("decoder.layers.0.linear1.weight")
    if inner is not None:
        values["ff_dim"] = found.weights.shape(inner)[0]
    table = names.get("decoder.layers.0.self_attn.rotary_emb.inv_freq")
    if table is not None:
        # one frequency for each channel of a head, each twice
        values["nhead"] = max(1, width // found.weights.shape(table)[0])
    elif not found.config and not _init_args(found).get("nhead"):
        raise InputError(
            "holds weights of PoET that do not show its number of heads",
            path=found.weights.path,
            remedy='put it beside them as config.json: {"model_type": "poet", "nhead": 16}',
        )
    return values
