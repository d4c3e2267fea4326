"""What genoseq must be told of a family of checkpoints: whose they are, their configuration, and their names for parameters.

A family is one file with one subclass of `Adapter`, and one line in `ADAPTERS`; packages add their own in the entry point group
``genoseq.checkpoints``. Everything else (reading, checking names and shapes, making the net) is the same for all.
"""

from __future__ import annotations

import inspect
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import UnionType
from typing import Any, ClassVar, Union, get_args, get_origin

from huggingface_hub.errors import StrictDataclassError
from torch import Tensor, nn

from genoseq.checkpoints.reader import Weights
from genoseq.errors import GenoseqError, InputError
from genoseq.nets.architectures import ARCHITECTURES, HEADS, Architecture
from genoseq.nets.config_keys import check_config_keys, reading_file
from genoseq.registry import Entry, Registry

__all__ = ["ADAPTERS", "Adapter", "Found", "count_layers", "find_adapter", "head_by_class_name", "make_config", "norm_name"]

ADAPTERS = Registry(
    "family of checkpoints",
    "genoseq.checkpoints",
    {
        "genoseq": Entry("genoseq.checkpoints.genoseq_format:GenoseqFormat", summary="folders that genoseq wrote"),
        "caduceus": Entry("genoseq.checkpoints.caduceus:Caduceus", summary="Caduceus PS and Ph, PlantCaduceus"),
        "hyenadna": Entry("genoseq.checkpoints.hyenadna:HyenaDNA", summary="HyenaDNA, hub port and original"),
        "evo2": Entry("genoseq.checkpoints.evo2:Evo2", summary="Evo 2 (StripedHyena 2)"),
        "stripedhyena": Entry("genoseq.checkpoints.stripedhyena:StripedHyena", summary="Evo (StripedHyena)"),
        "hnet": Entry("genoseq.checkpoints.hnet:HNet", summary="H-Net"),
        "dnabert2": Entry("genoseq.checkpoints.dnabert2:DNABert2", summary="DNABERT-2"),
        "esm": Entry("genoseq.checkpoints.esm:Esm", summary="Nucleotide Transformer v1 and v2, ESM-2"),
        "poet": Entry("genoseq.checkpoints.poet:PoET", summary="PoET"),
        "mamba": Entry("genoseq.checkpoints.mamba:Mamba", summary="Mamba and Mamba-2, of mamba_ssm and transformers"),
        "state_space": Entry("genoseq.checkpoints.state_space:StateSpaceLayer", summary="single S4, S4D and S5 layers"),
    },
)
"""Families in the order in which they are asked whether a checkpoint is theirs."""

WRAPPINGS = re.compile(r"^(?:_orig_mod\.|module\.|model\.)+")
"""What compilers, data parallelism and Lightning put in front of names."""

PLUMBING = frozenset(
    {
        "_commit_hash",
        "_name_or_path",
        "architectures",
        "auto_map",
        "chunk_size_feed_forward",
        "dtype",
        "is_encoder_decoder",
        "model_type",
        "name_or_path",
        "return_dict",
        "torch_dtype",
        "transformers_version",
        "use_return_dict",
        "use_return_dict_",
    }
)
"""Keys of published configurations that say how a file was written, not what the net is."""


@dataclass(frozen=True)
class Found:
    """A checkpoint that has been found, and not yet been understood.

    Attributes:
        name: what the user asked for, for messages.
        weights: its weights.
        config: its configuration as the file has it; empty if there is none.
        config_path: that file.
        folder: where its other files are (those of the tokenizer); None if there is none.
        note: what a user should know before trusting its numbers.
    """

    name: str
    weights: Weights
    config: Mapping[str, Any] = field(default_factory=dict)
    config_path: Path | None = None
    folder: Path | None = None
    note: str = ""

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes that the configuration says the weights are of."""
        named = self.config.get("architectures") or self.config.get("architecture") or ()
        return tuple(str(name) for name in named) if isinstance(named, (list, tuple)) else (str(named),)

    @property
    def model_type(self) -> str:
        """The configuration's ``model_type``; empty if it has none."""
        return str(self.config.get("model_type") or "")

    def has(self, pattern: str) -> bool:
        """Whether some name of the weights matches a regular expression anywhere."""
        return any(re.search(pattern, name) for name in self.weights)


class Adapter(ABC):
    """One family. Subclasses say what is particular to it; none of the methods reads weights but `convert`."""

    family: ClassVar[str]
    title: ClassVar[str]
    model_type: ClassVar[str] = ""
    float32: ClassVar[str] = r"$^"
    """Regular expression of parameters that stay in float32 where the net is made smaller: decays and poles."""
    fixed: ClassVar[Mapping[str, Any]] = {}
    """Keys that change the equations of the public program and that the net here has in one way only: that way."""
    other_keys: ClassVar[frozenset[str]] = frozenset()
    """Keys that it reads in files besides those of the net's configuration."""

    @property
    def architecture(self) -> Architecture:
        """The net that its checkpoints are weights of."""
        return ARCHITECTURES[self.model_type]

    def check_keys(self, found: Found) -> None:
        """Refuse a configuration that asks for what the net here does not have, which the weights would not show.

        Raises:
            InputError: names the key.
        """
        for key, only in self.fixed.items():
            given = found.config.get(key)
            if given is not None and given != only:
                way = "without it" if only is None else f"with {only!r}"
                text = f"configuration: {key} is {given!r}, which genoseq's {self.title} does not have: only nets {way} are known"
                raise InputError(text, path=found.config_path or found.weights.path)

    def check_changes(self, changes: Collection[str], found: Found) -> None:
        """Refuse changes to a configuration under names that neither the net nor the file ``found`` has.

        Raises:
            UsageError: names the key and the nearest known one.
        """
        known = {*found.config, *self.fixed, *self.other_keys, *PLUMBING}
        check_config_keys(changes, self.architecture_of(found).config_class, where="config", others=known)

    def architecture_of(self, found: Found) -> Architecture:
        """The net that a checkpoint is weights of."""
        return self.architecture

    def in_head(self, name: str, prefix: str) -> bool:
        """Whether a parameter belongs to a head, which may be new, rather than to the backbone, which is named ``prefix``."""
        return not name.startswith(f"{prefix}.")

    @abstractmethod
    def recognises(self, found: Found) -> bool:
        """Whether the checkpoint is of this family."""

    @abstractmethod
    def config_for(self, found: Found) -> Any:
        """The net's configuration, completed from the weights' names and shapes where the file does not say.

        Raises:
            InputError: something is missing that weights do not show, or contradicts them.
        """

    @abstractmethod
    def own_name(self, name: str) -> str | None:
        """The net's name for a parameter of the checkpoint, as in its nets with a head; None if the net has no use for it."""

    def own_names(self, found: Found) -> dict[str, str | None]:
        """The net's names for all of the checkpoint's, without what trainers and compilers put in front of them."""
        return {name: self.own_name(WRAPPINGS.sub("", name)) for name in (*found.weights, *found.weights.others)}

    def maker(self, config: Any, head: str) -> tuple[Any, Callable[[], nn.Module]]:
        """The net's class, and how one is made.

        Raises:
            UsageError: the net has no such head.
        """
        net_class = ARCHITECTURES[config.model_type].net_class(head)
        return net_class, lambda: net_class(config)

    def keeps_float32(self, name: str) -> bool:
        """Whether a parameter stays in float32 in a net of a smaller type."""
        return re.search(self.float32, name) is not None

    def convert(self, name: str, tensor: Tensor, config: Any, found: Found) -> Tensor:
        """The parameter with the net's own ``name``, where the checkpoint keeps its numbers otherwise than the net."""
        return tensor

    def head(self, found: Found) -> str:
        """What the checkpoint was made for, one of `HEADS`."""
        return head_by_class_name(found.classes) or self.head_by_names(found)

    def head_by_names(self, found: Found) -> str:
        """What a checkpoint was made for whose configuration does not say."""
        return next(head for head in ("causal_lm", "masked_lm") if head in self.architecture.heads)

    def tokenizer(self, found: Found, config: Any) -> Any:
        """The tokenizer that belongs to the checkpoint; None if it takes no tokens."""
        return None


def find_adapter(found: Found) -> Adapter:
    """The adapter of a checkpoint.

    Raises:
        InputError: no family knows it; the message says what was found and which families there are.
    """
    for name in ADAPTERS.names():
        adapter: Adapter = ADAPTERS.make(name)
        if adapter.recognises(found):
            return adapter
    named = ", ".join(found.classes) or found.model_type
    if named:
        kind = f" (model_type {found.model_type!r})" if found.model_type and found.classes else ""
        what = f"is for a net that genoseq does not have: {named}{kind}"
    elif found.config:
        what = f"does not say what net it is for; its keys are {', '.join(list(found.config)[:8])}"
    else:
        what = f"is of no net that genoseq knows by its names, such as {', '.join(list(found.weights)[:3])}"
    families = "; ".join(f"{ADAPTERS.entry(name).summary}" for name in ADAPTERS.names())
    raise InputError(f"{what}. genoseq reads {families}", path=found.config_path or found.weights.path)


def head_by_class_name(classes: Collection[str]) -> str | None:
    """What a class is for by the end of its name; None if that does not tell.

    >>> head_by_class_name(["EsmForMaskedLM"])
    'masked_lm'
    """
    endings = {**{ending: head for head, ending in HEADS.items()}, "LMHeadModel": "causal_lm"}
    for name in classes:
        for ending in sorted(endings, key=len, reverse=True):
            if name.endswith(ending):
                return endings[ending]
    return None


def make_config(config_class: Any, values: Mapping[str, Any], found: Found) -> Any:
    """A configuration from a file's keys, without those that only say how the file was written.

    Raises:
        InputError: a value is of the wrong type or makes no sense.
    """
    given = {key: value for key, value in values.items() if key not in PLUMBING}
    path = found.config_path or found.weights.path
    for name, hint in _own_fields(config_class).items():
        if name in given and not _is_of(given[name], hint):
            wanted = getattr(hint, "__name__", None) if get_origin(hint) is None else str(hint)
            raise InputError(f"configuration: {name} is {given[name]!r}, expected {wanted or hint}", path=path)
    try:
        with reading_file():
            return config_class(**given)
    except GenoseqError as error:
        raise InputError(f"configuration: {error}", path=path) from error
    except (StrictDataclassError, TypeError, ValueError, KeyError, AttributeError) as error:
        text = " ".join(str(error).split())
        raise InputError(f"configuration: {text}", path=path) from error


def _own_fields(config_class: Any) -> dict[str, Any]:
    """Types of the fields that a class of configurations has of its own, by name."""
    from genoseq.nets.base import NetConfig

    kinds = [kind for kind in reversed(config_class.__mro__) if issubclass(kind, NetConfig) and kind is not NetConfig]
    return {name: hint for kind in kinds for name, hint in inspect.get_annotations(kind, eval_str=True).items()}


def _is_of(value: Any, hint: Any) -> bool:
    """Whether a value of a file is of a field's type; whole numbers count as numbers with a fraction."""
    origin = get_origin(hint)
    if origin in (Union, UnionType):
        return any(_is_of(value, part) for part in get_args(hint))
    if hint is float:
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if hint is type(None):
        return value is None
    kind = {list: (list, tuple), tuple: (list, tuple), dict: Mapping}.get(origin or hint, hint)
    if origin is ClassVar or not isinstance(kind, (type, tuple)):
        return True
    return isinstance(value, kind)


def norm_name(name: str) -> str:
    """A parameter's name with the usual words for a norm's: transformers saves those of BERT's kin as ``gamma`` and ``beta``.

    >>> norm_name("layer.0.LayerNorm.gamma")
    'layer.0.LayerNorm.weight'
    """
    return re.sub(r"(?<=LayerNorm\.)(gamma|beta)$", lambda found: {"gamma": "weight", "beta": "bias"}[found[1]], name)


def count_layers(names: Collection[str], pattern: str) -> int:
    """Number of layers by the numbers that a regular expression's first group finds in names.

    >>> count_layers(["layers.0.a", "layers.1.a"], r"layers\\.(\\d+)\\.")
    2
    """
    found = [int(match[1]) for name in names if (match := re.search(pattern, name))]
    return max(found, default=-1) + 1
