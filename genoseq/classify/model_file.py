"""A classifier in one file: safetensors whose metadata say format, version and all that is not a number.

The file begins with eight bytes, little endian, the length of a header; the header, JSON, with type, shape and place of each
tensor; then their data (https://github.com/huggingface/safetensors). Counts are mapped into memory, not read: opening a large
model is quick, several processes share it, and what is changed in one of them (`partial_fit`) never reaches the file. Nothing
in it is ever executed. docs/formats.md describes the tensors.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import mmap
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from genoseq import __version__
from genoseq.classify.calibration import Calibration, Novelty
from genoseq.classify.context import MixtureSettings
from genoseq.classify.estimator import ContextMixtureClassifier
from genoseq.errors import GenoseqError, IndexFormatError, InputError, Pathlike
from genoseq.outputs import refusal, whole_file

__all__ = ["FORMAT", "VERSION", "load_classifier", "save_classifier"]

FORMAT, VERSION = "genoseq.classifier", 3
LONGEST_HEADER = 100_000_000
ALIGNED = 64
AGAIN = "fit the model again with `genoseq classify fit`"
DTYPES = {"U8": "u1", "I32": "<i4", "I64": "<i8", "U32": "<u4", "U64": "<u8", "F32": "<f4", "F64": "<f8"}
PARAMETERS = (
    "mode",
    "strands",
    "genetic_code",
    "calibration_folds",
    "reject_margin",
    "reject_novelty",
    "unknown",
    "random_state",
)


def save_classifier(model: ContextMixtureClassifier, path: Pathlike) -> str:
    """Write a fitted classifier; the file appears whole or not at all.

    Returns:
        SHA-256 of its numbers, which ``predict`` names in its output.

    Raises:
        OutputError: it cannot be written.
        UsageError: labels that are no text and no whole numbers.
    """
    tensors = _tensors(model)
    digest = _digest(tensors)
    content = {
        "genoseq": __version__,
        "parameters": {name: getattr(model, name) for name in PARAMETERS},
        "classes": _classes_out(model.classes_),
        "settings": {channel.name: dataclasses.asdict(channel.mixture.settings) for channel in model._fitted()},
        "sha256": digest,
    }
    metadata = {"format": FORMAT, "version": str(VERSION), "classifier": json.dumps(content, sort_keys=True)}
    with whole_file(path) as temporary, temporary.open("wb") as file:
        _write(file, metadata, tensors)
    return digest


def _write(file: IO[bytes], metadata: dict[str, str], tensors: dict[str, NDArray[Any]]) -> None:
    """The same bytes for the same content; whole cache lines first, then the widest numbers, so that all are aligned."""
    kinds = {np.dtype(kind): name for name, kind in DTYPES.items()}
    ordered = sorted(tensors.items(), key=lambda item: (item[1].nbytes % ALIGNED != 0, -item[1].itemsize, item[0]))
    header: dict[str, Any] = {"__metadata__": metadata}
    at = 0
    for name, one in ordered:
        header[name] = {"dtype": kinds[one.dtype], "shape": list(one.shape), "data_offsets": [at, at + one.nbytes]}
        at += one.nbytes
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-(len(text) + 8) % ALIGNED)
    file.write(len(text).to_bytes(8, "little") + text)
    for _, one in ordered:
        file.write(np.ascontiguousarray(one).reshape(-1).view(np.uint8).data)


def load_classifier(path: Pathlike, *, check: bool = True, n_jobs: int = 1) -> ContextMixtureClassifier:
    """The classifier of a file.

    Args:
        path: written by :func:`save_classifier`.
        check: read all of it once and compare its SHA-256; else only what is needed is ever read.
        n_jobs: threads of the classifier.

    Raises:
        IndexFormatError: the file is truncated, damaged, of another version, or no classifier.
        InputError: there is no such file.
    """
    metadata, tensors = _mapped(Path(path))
    if metadata.get("format") != FORMAT:
        raise IndexFormatError("is no classifier of genoseq", path=path, remedy=AGAIN)
    if metadata.get("version") != str(VERSION):
        found = f"has version {metadata.get('version')} of the format, this genoseq ({__version__}) reads version {VERSION}"
        raise IndexFormatError(found, path=path, remedy=AGAIN)
    try:
        content = json.loads(metadata["classifier"])
        if check and _digest(tensors) != content["sha256"]:
            raise IndexFormatError("is damaged: its SHA-256 is not what it should be", path=path, remedy=AGAIN)
        model = ContextMixtureClassifier(n_jobs=n_jobs, **content["parameters"])
        _fill(model, content, tensors)
    except GenoseqError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise IndexFormatError(f"is damaged ({type(error).__name__}: {error})", path=path, remedy=AGAIN) from error
    model.digest_ = content["sha256"]
    return model


def _tensors(model: ContextMixtureClassifier) -> dict[str, NDArray[Any]]:
    """All numbers of a fitted model, by name."""
    held = model._held_out
    tensors: dict[str, NDArray[Any]] = {
        "class_counts": model.class_counts_,
        "calibration.slopes": model.calibration_.slopes,
        "calibration.offsets": model.calibration_.offsets,
        "calibration.rows": np.array([model.calibration_.rows], np.int64),
        "novelty.lengths": model.novelty_.lengths,
        "novelty.quantiles": model.novelty_.quantiles,
        "held_out.bits": held.bits.astype(np.float32),
        "held_out.symbols": held.symbols,
        "held_out.labels": model._held_out_labels,
        "held_out.known": model._held_out_known.astype(np.uint8),
        "held_out.weights": model._held_out_weights,
    }
    for channel in model._fitted():
        tensors |= {f"{channel.name}.{name}": one for name, one in channel.tensors().items()}
    return tensors


def _fill(model: ContextMixtureClassifier, content: dict[str, Any], tensors: dict[str, NDArray[Any]]) -> None:
    """Make an empty model a fitted one."""
    settings = {
        name: MixtureSettings(tuple(one["contexts"]), tuple(one["alphas"]), one["share"])
        for name, one in content["settings"].items()
    }
    model._begin(_classes_in(content["classes"]), settings)
    for channel in model.channels_:
        channel.restore({name.partition(".")[2]: one for name, one in tensors.items() if name.startswith(f"{channel.name}.")})
    model.class_counts_ = np.array(tensors["class_counts"])
    model.calibration_ = Calibration(
        tensors["calibration.slopes"], tensors["calibration.offsets"], int(tensors["calibration.rows"][0])
    )
    model.novelty_ = Novelty(tensors["novelty.lengths"], tensors["novelty.quantiles"])
    model._held_out = model._held_out._replace(
        bits=tensors["held_out.bits"].astype(np.float64), symbols=tensors["held_out.symbols"]
    )
    model._held_out_labels = tensors["held_out.labels"]
    model._held_out_known = tensors["held_out.known"].astype(np.bool_)
    model._held_out_weights = tensors["held_out.weights"]


def _classes_out(classes: NDArray[Any]) -> dict[str, Any]:
    if classes.dtype.kind not in "UOiub":
        raise InputError(f"labels of type {classes.dtype} cannot be saved", remedy="use texts or whole numbers")
    return {"kind": classes.dtype.kind, "labels": classes.tolist()}


def _classes_in(content: dict[str, Any]) -> NDArray[Any]:
    kinds = {"U": np.str_, "O": object, "i": np.int64, "u": np.uint64, "b": np.bool_}
    return np.array(content["labels"], kinds[content["kind"]])


def _digest(tensors: dict[str, NDArray[Any]]) -> str:
    digest = hashlib.sha256()
    for name in sorted(tensors):
        one = np.ascontiguousarray(tensors[name])
        digest.update(f"{name} {one.dtype.str} {one.shape}\n".encode())
        digest.update(one.reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


def _mapped(path: Path) -> tuple[dict[str, str], dict[str, NDArray[Any]]]:
    """Metadata and tensors of a safetensors file; the tensors share its pages, and copy those that are written to."""

    def damaged(what: str) -> IndexFormatError:
        return IndexFormatError(what, path=path, remedy=AGAIN)

    try:
        with path.open("rb") as file:
            head = file.read(8)
            size = path.stat().st_size
            length = int.from_bytes(head, "little")
            if len(head) < 8 or length > LONGEST_HEADER:
                raise damaged("is no classifier of genoseq, or is cut short")
            if 8 + length > size:
                raise damaged(f"is cut short: its header should have {length:,} bytes, the whole file has {size:,}")
            header = json.loads(file.read(length))
            data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
    except OSError as error:
        raise InputError(refusal(error), path=path) from error
    except (ValueError, RecursionError) as error:
        raise damaged(f"is no classifier of genoseq, or its header is damaged ({error})") from error
    try:
        metadata = dict(header.pop("__metadata__", None) or {})
        tensors = {}
        for name, entry in header.items():
            start, end = entry["data_offsets"]
            kind = np.dtype(DTYPES[entry["dtype"]])
            count = math.prod(entry["shape"])
            if end - start != count * kind.itemsize or start < 0:
                raise damaged(f"the place of {name!r} does not fit its shape")
            if 8 + length + end > size:
                raise damaged(f"is cut short: {name!r} should end at byte {8 + length + end:,}, the file has {size:,}")
            tensors[name] = np.frombuffer(data, kind, count, 8 + length + start).reshape(entry["shape"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise damaged(f"its header is damaged ({type(error).__name__}: {error})") from error
    return metadata, tensors
