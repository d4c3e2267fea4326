"""A family model in one file: safetensors whose metadata say format, version, kind, wild type and settings.

All that is not a number stands as JSON under the key ``genoseq``, in one piece, so that the same model gives the same bytes.
Nothing in the file is ever executed. docs/family-scores.md describes it.
"""

from __future__ import annotations

import hashlib
import importlib
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genoseq import __version__
from genoseq.errors import IndexFormatError, InputError, Pathlike
from genoseq.families.models.model import FamilyModel, Focus
from genoseq.outputs import refusal, whole_file

__all__ = ["FORMAT", "KINDS", "VERSION", "load_model", "model_class", "model_sha256", "save_model"]

FORMAT, VERSION = "genoseq.family-model", 1
AGAIN = "fit it again with `genoseq family fit`"
KINDS = {
    "autoregressive": "genoseq.families.models.autoregressive:AutoregressiveModel",
    "ensemble": "genoseq.families.models.ensemble:EnsembleModel",
    "nearest": "genoseq.families.models.nearest:NearestModel",
    "potts": "genoseq.families.models.potts:PottsModel",
    "pssm": "genoseq.families.models.pssm:PSSMModel",
    "site": "genoseq.families.models.site:SiteModel",
    "profile": "genoseq.families.models.profile:ProfileModel",
}
"""Where the class of each kind of model is."""


def model_class(kind: str) -> type[FamilyModel]:
    """The class of a kind of model.

    Raises:
        KeyError: there is no such kind.
    """
    module, _, name = KINDS[kind].partition(":")
    found: type[FamilyModel] = getattr(importlib.import_module(module), name)
    return found


def save_model(model: FamilyModel, path: Pathlike) -> str:
    """Write a model; the file appears whole or not at all.

    Returns:
        :func:`model_sha256` of it.

    Raises:
        OutputError: it cannot be written.
    """
    from safetensors.numpy import save_file

    digest = model_sha256(model)
    focus = model.focus
    content = {
        "format": FORMAT,
        "version": VERSION,
        "genoseq": __version__,
        "kind": model.kind,
        "wild_type": focus.wild_type,
        "start": focus.start,
        "alignment_sha256": focus.alignment_sha256,
        "settings": dict(focus.settings),
        "sha256": digest,
    }
    tensors = {name: np.ascontiguousarray(one) for name, one in model.tensors().items()}
    tensors["modelled"] = focus.modelled.astype(np.uint8)
    with whole_file(path) as temporary:
        save_file(tensors, temporary, {"genoseq": json.dumps(content, sort_keys=True)})
    return digest


def load_model(path: Pathlike, *, kind: str | None = None) -> FamilyModel:
    """The model of a file.

    Args:
        path: written by :func:`save_model`.
        kind: refuse other kinds than this.

    Raises:
        IndexFormatError: the file is cut short, damaged, of another version or kind, or no model of a family.
        InputError: there is no such file.
    """
    content, tensors = _read(Path(path))
    found = content.get("kind")
    if found not in KINDS:
        raise IndexFormatError(f"holds a model of kind {found!r}, known are {', '.join(KINDS)}", path=path, remedy=AGAIN)
    if kind is not None and found != kind:
        raise IndexFormatError(f"holds a model of kind {found}, expected {kind}", path=path)
    try:
        modelled = tensors.pop("modelled").astype(np.bool_)
        focus = Focus(content["wild_type"], int(content["start"]), modelled, content["alignment_sha256"], content["settings"])
        if focus.wild_type and len(focus.wild_type) != len(modelled):
            raise ValueError(f"{len(modelled)} columns for {len(focus.wild_type)} residues")
        model = model_class(found).restore(focus, tensors)
        expected = content["sha256"]
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise IndexFormatError(f"is damaged ({type(error).__name__}: {error})", path=path, remedy=AGAIN) from error
    if model_sha256(model) != expected:
        raise IndexFormatError("is damaged: its SHA-256 is not what it should be", path=path, remedy=AGAIN)
    return model


def model_sha256(model: FamilyModel) -> str:
    """SHA-256 over kind, wild type, columns and numbers of a model."""
    focus = model.focus
    digest = hashlib.sha256(f"{model.kind} {focus.wild_type} {focus.start}\n".encode())
    for name, one in sorted({**model.tensors(), "modelled": focus.modelled.astype(np.uint8)}.items()):
        plain = np.ascontiguousarray(one)
        digest.update(f"{name} {plain.dtype.str} {plain.shape}\n".encode())
        digest.update(plain.reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


def _read(path: Path) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """What the metadata say, and the tensors."""
    from safetensors import SafetensorError, safe_open

    try:
        with path.open("rb") as probe:  # safetensors' own message names no file
            empty = not probe.read(1)
        if empty:
            raise IndexFormatError("is empty", path=path, remedy=AGAIN)
        with safe_open(path, framework="numpy") as file:
            text = (file.metadata() or {}).get("genoseq")
            content = json.loads(text) if text is not None else {}
            if not isinstance(content, dict) or content.get("format") != FORMAT:
                raise IndexFormatError("is no model of a protein family", path=path, remedy=AGAIN)
            if content.get("version") != VERSION:
                found = (
                    f"has version {content.get('version')} of the format, this genoseq ({__version__}) reads version {VERSION}"
                )
                raise IndexFormatError(found, path=path, remedy=AGAIN)
            return content, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (no mapping)
    except OSError as error:
        raise InputError(refusal(error), path=path) from error
    except (SafetensorError, ValueError, RecursionError) as error:
        raise IndexFormatError(
            f"is no model of a protein family, or is damaged or cut short ({error})", path=path, remedy=AGAIN
        ) from error
