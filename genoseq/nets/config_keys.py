"""The keys that a net's configuration knows, so that a misspelt one is noticed: transformers' configurations keep any key.

A configuration that a user writes (a recipe's ``net``, the changes of `genoseq.load`) is refused with an unknown key, by
`check_config_keys`. Published files have many keys that say nothing to genoseq's nets; constructors take those, and only warn
where a key looks like a misspelt one, by `warn_of_misspelt`.
"""

from __future__ import annotations

import contextlib
import dataclasses
import difflib
import logging
from collections.abc import Collection, Iterator
from contextvars import ContextVar
from typing import Any

from genoseq.errors import UsageError
from genoseq.registry import suggestion

__all__ = ["COMMON_KEYS", "check_config_keys", "config_keys", "reading_file", "warn_of_misspelt"]

log = logging.getLogger(__name__)

COMMON_KEYS = frozenset(
    {
        "architectures", "attn_implementation", "bos_token_id", "chunk_size_feed_forward", "cls_token_id", "dtype",
        "eos_token_id", "id2label", "is_encoder_decoder", "label2id", "mask_token_id", "model_type", "name_or_path", "num_labels",
        "output_attentions", "output_hidden_states", "pad_token_id", "pool", "problem_type", "return_dict", "sep_token_id",
        "tie_word_embeddings", "torch_dtype", "transformers_version", "vocab_size",
    }
)  # fmt: skip
"""Keys of every net: those of transformers' ``PreTrainedConfig``, ids of special tokens, ``pool`` of the heads for labels."""
NEAR = 0.8
"""How like a known key (``difflib``'s ratio) another one is that is taken for a misspelt one: ``d_modl`` is 0.92."""

_reading: ContextVar[bool] = ContextVar("reading_file", default=False)


def config_keys(config_class: Any) -> tuple[str, ...]:
    """The keys of a class of configurations that are its own, without those of `COMMON_KEYS` that it does not define itself."""
    from genoseq.nets.base import NetConfig

    common = {field.name for field in dataclasses.fields(NetConfig)}
    return tuple(field.name for field in dataclasses.fields(config_class) if field.name not in common)


def check_config_keys(given: Collection[str], config_class: Any, *, where: str, others: Collection[str] = ()) -> None:
    """Refuse a key that the net would ignore.

    Args:
        given: the keys.
        config_class: of the net.
        where: what the message says they were given as.
        others: further keys that are known.

    Raises:
        UsageError: names the first unknown key, the nearest known one, and lists those of the net.
    """
    own = config_keys(config_class)
    known = (*own, *sorted(COMMON_KEYS | set(others)))
    for key in given:
        if key not in known:
            name = str(config_class.__name__).removesuffix("Config")
            raise UsageError(
                f"{where}: {name} has no key {key!r}{suggestion(str(key), known)}; its keys are {', '.join(own)}, "
                "and those common to all nets, such as num_labels"
            )


def warn_of_misspelt(given: Collection[str], config_class: Any) -> None:
    """Log a warning for each key that a configuration does not know and that is like one that it does."""
    if _reading.get():
        return
    own = config_keys(config_class)
    for key in given:
        if key not in COMMON_KEYS:
            near = difflib.get_close_matches(str(key), own, n=1, cutoff=NEAR)
            if near:
                log.warning("%s has no key %r, which changes nothing: did you mean %r?", config_class.__name__, key, near[0])


@contextlib.contextmanager
def reading_file() -> Iterator[None]:
    """Within the block keys are those of a checkpoint's file, which has its own, and there are no warnings."""
    token = _reading.set(True)
    try:
        yield
    finally:
        _reading.reset(token)
