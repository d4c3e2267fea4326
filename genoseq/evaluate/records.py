"""Results of single steps on disk: one JSON file each, with format and version, read back as what was written."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

import numpy as np

from genoseq.errors import InputError
from genoseq.outputs import whole_file

__all__ = ["load_record", "save_record"]

FORMAT = "genoseq.benchmark"
VERSION = "1"
R = TypeVar("R")


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        return {name: _plain(item) for name, item in value._asdict().items()}
    if isinstance(value, (tuple, list)):
        return [_plain(item) for item in value]
    if isinstance(value, np.ndarray):
        return value.tolist()
    return value


def _build(hint: Any, value: Any) -> Any:
    if get_origin(hint) is tuple:
        return tuple(_build(get_args(hint)[0], item) for item in value)
    if get_origin(hint) is np.ndarray:
        return np.asarray(value, np.int64)
    if isinstance(hint, type) and (dataclasses.is_dataclass(hint) or hasattr(hint, "_fields")):
        hints = get_type_hints(hint)
        return hint(**{name: _build(hints[name], item) for name, item in value.items()})
    return value


def save_record(path: Path, record: Any) -> None:
    """Write a dataclass (of numbers, texts, tuples of them, integer arrays and further dataclasses) as JSON."""
    content = {"format": FORMAT, "version": VERSION, "kind": type(record).__name__, "record": _plain(record)}
    with whole_file(path) as temporary:
        temporary.write_text(json.dumps(content, indent=1) + "\n")


def load_record(path: Path, kind: type[R]) -> R:
    """Read what :func:`save_record` wrote, as an instance of ``kind``.

    Raises:
        InputError: another format, version or kind.
    """
    try:
        content = json.loads(path.read_text())
        found = (content["format"], content["version"], content["kind"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"cannot be read as a benchmark record: {error}", path=path) from error
    expected = (FORMAT, VERSION, kind.__name__)
    if found != expected:
        raise InputError(
            f"is {' '.join(map(str, found))}, expected {' '.join(expected)}",
            path=path,
            remedy="run the step anew",
        )
    try:
        built: R = _build(kind, content["record"])
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"record does not fit {kind.__name__}: {error}", path=path, remedy="run the step anew"
        ) from error
    return built
