"""``genoseq.load``: a net and its tokenizer from a path or a name."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import torch

from genoseq.checkpoints.adapter import Adapter, Found, find_adapter
from genoseq.checkpoints.fill import Plan, different_aliases, fill, plan
from genoseq.checkpoints.source import find_checkpoint
from genoseq.errors import GenoseqError, InputError, Pathlike, UsageError
from genoseq.nets.architectures import HEADS
from genoseq.registry import suggestion

__all__ = ["Loaded", "load"]

log = logging.getLogger(__name__)

DTYPES = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
    "float64": torch.float64,
}


class Loaded(NamedTuple):
    """A net that is ready to use, and the tokenizer that belongs to it.

    Attributes:
        model: in evaluation mode; ``model(input_ids).logits`` ``(B, L, V)``.
        tokenizer: as everywhere in transformers; None for nets that take no tokens.
    """

    model: Any
    tokenizer: Any


def load(
    source: Pathlike,
    *,
    head: str | None = None,
    dtype: str | torch.dtype | None = None,
    device: str | torch.device | None = None,
    config: Mapping[str, Any] | None = None,
    revision: str | None = None,
    cache_dir: Pathlike | None = None,
    local_files_only: bool = False,
) -> Loaded:
    """Load a checkpoint of any family that genoseq knows.

    The family is found out from the configuration, or from the weights. Every parameter must be there under its own name and
    in its own shape; nothing in the files is ever run.

    Args:
        source: a folder, a file of weights, a short name (``hyenadna-small-32k``), or ``organisation/name`` on the hub.
        head: what the net is for: ``causal_lm``, ``masked_lm``, ``sequence``, ``token`` or ``backbone``. The checkpoint's own
            unless given; another one starts with new weights for the head.
        dtype: ``float32``, ``bfloat16``, ``float16`` or ``float64``; as in the file unless given. Decays and poles of state
            spaces stay in float32 in a smaller type.
        device: where the net goes; the CPU unless given.
        config: changes to the checkpoint's configuration, for example ``{"num_labels": 3}`` for a new head.
        revision: branch, tag or commit on the hub.
        cache_dir: where files from the hub are kept, instead of its own cache.
        local_files_only: fetch nothing.

    Raises:
        UsageError: no such name, head or type, or a key of ``config`` that the net does not have.
        InputError: files are missing, damaged, of an unknown net, or want to run code; the weights lack names, have others, or
            other shapes, or hold NaN; the files are not here and cannot be fetched.

    >>> import genoseq
    >>> model, tokenizer = genoseq.load("hyenadna-small-32k")  # doctest: +SKIP
    >>> model(**tokenizer("ACGT", return_tensors="pt")).logits.shape  # doctest: +SKIP
    torch.Size([1, 5, 16])
    """
    wanted_type = _dtype(dtype)
    target = _device(device)
    if head is not None and head not in HEADS:
        raise UsageError(f"unknown head {head!r}{suggestion(head, HEADS)}; there are {', '.join(HEADS)}")
    found = find_checkpoint(source, revision=revision, cache_dir=cache_dir, local_files_only=local_files_only)
    given = found
    if config:
        found = replace(found, config=_changed(found.config, config))
    if found.note:
        log.warning("%s: %s", found.name, found.note)
    adapter = find_adapter(found)
    if config:
        adapter.check_changes(config, given)
    model = _build(adapter, found, head, wanted_type, target)
    tokenizer = adapter.tokenizer(found, getattr(model, "config", None))
    _warn_of_vocabulary(model, tokenizer, found.name)
    return Loaded(model, tokenizer)


def _warn_of_vocabulary(model: Any, tokenizer: Any, name: str) -> None:
    """Log a warning where the family's tokenizer gives plain letters ids that this net has no embeddings for."""
    table = getattr(model, "get_input_embeddings", None)
    if tokenizer is None or table is None:
        return
    rows = table().weight.shape[0]
    letters = "ACDEFG" if getattr(tokenizer, "alphabet", None) == "protein" else "ACGTAC"
    largest = max(tokenizer(letters, add_special_tokens=False)["input_ids"], default=0)
    if largest >= rows:
        log.warning(
            "%s: %s gives letters ids up to %d, but the net has a vocabulary of %d: it was trained with another tokenizer",
            name, type(tokenizer).__name__, largest, rows,
        )  # fmt: skip


def _changed(config: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration with changes; names of labels that do not fit a new number of them are left out."""
    stale = set()
    if "num_labels" in changes and len(config.get("id2label") or ()) != changes["num_labels"]:
        stale = {"id2label", "label2id"}
    return {**{key: value for key, value in config.items() if key not in stale}, **changes}


def _build(adapter: Adapter, found: Found, head: str | None, dtype: torch.dtype | None, device: torch.device) -> Any:
    """The net with its weights, in evaluation mode."""
    weights = found.weights
    adapter.check_keys(found)
    settings = adapter.config_for(found)
    made_for = adapter.head(found)
    chosen = head or made_for
    net_class, make = adapter.maker(settings, chosen)
    prefix = getattr(net_class, "base_model_prefix", "")
    own = adapter.own_names(found)
    spare = frozenset(
        name for name, ours in own.items() if ours and ours.startswith(f"{prefix}.") and adapter.in_head(ours, prefix)
    )
    if chosen != made_for or chosen == "backbone":
        own = {theirs: _without_head(adapter, ours, prefix, chosen) for theirs, ours in own.items()}
    is_new = chosen not in (made_for, "backbone")

    def new_head(name: str) -> bool:
        return is_new and adapter.in_head(name, prefix)

    def planned() -> Plan:
        try:
            return plan(make, weights, own, may_lack=new_head, spare=spare, title=net_class.__name__)
        except InputError:
            raise
        except (GenoseqError, RuntimeError, TypeError, ValueError, ArithmeticError, LookupError) as error:
            reason = " ".join(str(error).split())
            path = found.config_path or weights.path
            raise InputError(f"no {net_class.__name__} can be made of this configuration: {reason}", path=path) from error

    made = planned()
    differing = different_aliases(made, weights)
    if differing and getattr(settings, "tie_word_embeddings", False):
        log.warning("%s: %s and %s differ, so they are kept apart, against its configuration", found.name, *differing[0])
        settings.tie_word_embeddings = False
        made = planned()
        differing = different_aliases(made, weights)
    if differing:
        one, other = differing[0]
        raise InputError(f"{one!r} and {other!r} are one parameter in this net, but their numbers differ", path=weights.path)
    if made.fresh:
        log.warning("%s has no weights for %s: they are new, and want training", found.name, ", ".join(made.fresh))
    net = fill(
        made,
        weights,
        convert=lambda name, tensor: adapter.convert(name, tensor, settings, found),
        dtype_of=lambda name, stored: _type_of(stored, dtype, keep=adapter.keeps_float32(name)),
        device=device,
    )
    if hasattr(settings, "dtype"):
        settings.dtype = dtype or _main_type(net)
    return net.eval()


def _without_head(adapter: Adapter, name: str | None, prefix: str, head: str) -> str | None:
    """A parameter's name in a net with another head, or without one; None for what belonged to the old head."""
    if name is None or not prefix:
        return name
    if adapter.in_head(name, prefix) and not name.startswith(f"{prefix}."):
        return None
    return name.removeprefix(f"{prefix}.") if head == "backbone" else name


def _dtype(dtype: str | torch.dtype | None) -> torch.dtype | None:
    """The type a user names."""
    if dtype is None or dtype == "auto":
        return None
    if isinstance(dtype, str):
        name = dtype.removeprefix("torch.")
        if name not in DTYPES:
            raise UsageError(f"unknown dtype {dtype!r}{suggestion(name, DTYPES)}; there are {', '.join(DTYPES)}")
        return DTYPES[name]
    if dtype not in DTYPES.values():
        raise UsageError(f"a net cannot be of type {dtype}; there are {', '.join(DTYPES)}")
    return dtype


def _device(device: str | torch.device | None) -> torch.device:
    """The device a user names.

    Raises:
        UsageError: there is no such device here.
    """
    if device is None:
        return torch.device("cpu")
    try:
        chosen = torch.device(device)
        torch.empty(0, device=chosen)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise UsageError(f"device {str(device)!r} cannot be used here: {reason}") from error
    return chosen


def _type_of(stored: torch.dtype, wanted: torch.dtype | None, *, keep: bool) -> torch.dtype:
    """The type of one parameter in the net."""
    if wanted is None or not (stored.is_floating_point or stored.is_complex):
        return stored
    if stored.is_complex:
        return torch.complex128 if wanted == torch.float64 else torch.complex64
    return torch.float32 if keep and wanted.itemsize < 4 else wanted


def _main_type(net: Any) -> torch.dtype | None:
    """The type that most of the net's numbers have."""
    counts: dict[torch.dtype, int] = {}
    for parameter in net.parameters():
        counts[parameter.dtype] = counts.get(parameter.dtype, 0) + parameter.numel()
    return max(counts, key=counts.__getitem__, default=None)
