"""Folders that genoseq wrote: ``genoseq.json`` says what is in them and how each file must hash.

``genoseq.save`` writes ``config.json``, the weights and the tokenizer as transformers has them, and ``genoseq.json``::

    {"format": "genoseq.model", "version": 1, "genoseq": "0.1.0", "class": "HyenaDNAForCausalLM",
     "files": {"config.json": "<sha256>", "model.safetensors": "<sha256>", ...}}

Nets that have no public family (hybrids of a recipe, MergeDNA) are also read from a folder of ``save_pretrained`` without it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from genoseq.checkpoints.adapter import Adapter, Found, make_config
from genoseq.checkpoints.tokenizers import saved_tokenizer
from genoseq.errors import IndexFormatError, InputError
from genoseq.nets.architectures import ARCHITECTURES, Architecture, find_class
from genoseq.outputs import refusal

__all__ = ["FORMAT", "MARKER", "VERSION", "GenoseqFormat", "check_folder", "hash_file"]

FORMAT = "genoseq.model"
VERSION = 1
MARKER = "genoseq.json"
OWN = frozenset(name for name in ARCHITECTURES if name.startswith("genoseq_")) | {"mergedna"}
"""Values of ``model_type`` that only genoseq writes."""


class GenoseqFormat(Adapter):
    """What genoseq saved; names are the nets' own."""

    family = "genoseq"
    title = "genoseq"

    def recognises(self, found: Found) -> bool:
        """By ``genoseq.json``, or a kind of net that is genoseq's alone."""
        return _marker(found) is not None or found.model_type in OWN

    def own_name(self, name: str) -> str | None:
        """The name itself."""
        return name

    def own_names(self, found: Found) -> dict[str, str | None]:
        """The names themselves; those of a bare backbone under its name in nets with a head."""
        if self.head(found) != "backbone":
            return super().own_names(found)
        prefix = self.architecture_of(found).net_class("backbone").base_model_prefix
        return {name: f"{prefix}.{name}" for name in found.weights}

    def architecture_of(self, found: Found) -> Architecture:
        """The net that the configuration is of.

        Raises:
            InputError: genoseq has no such net.
        """
        if found.model_type not in ARCHITECTURES:
            known = ", ".join(ARCHITECTURES)
            path = found.config_path or found.weights.path
            raise InputError(f"model_type is {found.model_type!r}; genoseq has {known}", path=path)
        return ARCHITECTURES[found.model_type]

    def config_for(self, found: Found) -> Any:
        """The file's keys, once all files are what ``genoseq.json`` says."""
        marker = _marker(found)
        if marker is not None:
            check_folder(marker.parent)
        return make_config(self.architecture_of(found).config_class, found.config, found)

    def head(self, found: Found) -> str:
        """That of the class it was saved from."""
        for name in found.classes:
            known = find_class(name)
            if known is not None and known[0].model_type == found.model_type:
                return known[1]
        raise InputError(
            f"does not say what class of net was saved: architectures is {list(found.classes)}",
            path=found.config_path or found.weights.path,
        )

    def tokenizer(self, found: Found, config: Any) -> Any:
        """What was saved with it."""
        return saved_tokenizer(found.folder)


def check_folder(folder: Path) -> Mapping[str, Any]:
    """The content of ``genoseq.json``, once the folder is what it says.

    Raises:
        IndexFormatError: it is of a newer version, or a file is missing or not the one that was saved.
    """
    path = folder / MARKER
    try:
        told = json.loads(path.read_bytes())
        kind, version, files = told["format"], told["version"], dict(told["files"])
    except OSError as error:
        raise InputError(refusal(error), path=path) from error
    except (ValueError, KeyError, TypeError) as error:
        reason = f"{type(error).__name__}: {error}"
        raise IndexFormatError(f"is damaged ({reason})", path=path, remedy="save the net again") from error
    if kind != FORMAT:
        raise IndexFormatError(f"is of format {kind!r}, expected {FORMAT!r}", path=path)
    if not isinstance(version, int) or version > VERSION:
        raise IndexFormatError(
            f"is of version {version} (written by genoseq {told.get('genoseq')}); this genoseq reads up to {VERSION}",
            path=path,
            remedy="update genoseq",
        )
    for name, digest in files.items():
        file = folder / name
        if Path(name).name != name or not file.is_file():
            raise IndexFormatError(
                f"lacks the file {name} that {MARKER} lists", path=folder, remedy="copy the whole folder again"
            )
        found = hash_file(file)
        if found != digest:
            raise IndexFormatError(
                f"is not the file that was saved: its SHA-256 is {found[:12]}..., {MARKER} says {str(digest)[:12]}...",
                path=file,
                remedy=f"copy the folder again, or remove {MARKER} if the change was meant",
            )
    return dict(told)


def hash_file(path: Path) -> str:
    """SHA-256 (hex) of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _marker(found: Found) -> Path | None:
    path = None if found.folder is None else found.folder / MARKER
    return path if path is not None and path.is_file() else None
