"""Tasks of TAPE (Rao et al. 2019): proteins and their labels, from JSON or LMDB; nothing in a file is ever run.

JSON is a list of records (or one record a line). An LMDB holds ``num_examples`` and one pickled dict under each of the keys
``0``, ``1``, ...; pickles are read by `genoseq.families.assays.pickled`. Every record has ``primary``, the protein,
and the label of its task.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from genoseq.errors import InputError, Pathlike, UsageError
from genoseq.families.alphabet import encode
from genoseq.families.assays.pickled import PickleError, plain_data
from genoseq.outputs import refusal
from genoseq.seqs.stream import open_bytes

__all__ = ["LABELS", "TapeRecord", "read_tape"]

LABELS = ("log_fluorescence", "stability_score", "fold_label", "superfamily_label", "ss3", "ss8", "contact_map")
"""The labels of TAPE's tasks, in the order in which they are looked for."""


class TapeRecord(NamedTuple):
    """One protein.

    Attributes:
        name: ``id`` of the record; its number if it has none.
        sequence: ``primary``, upper case.
        label: a number, or an array (L,) or (L, L), float64 or whole numbers; of the field ``field``.
        field: the name of the label.
        others: what else the record holds.
    """

    name: str
    sequence: str
    label: float | np.ndarray[Any, Any]
    field: str
    others: dict[str, Any]


def read_tape(path: Pathlike, *, label: str | None = None) -> Iterator[TapeRecord]:
    """The records of a file of TAPE, one after another.

    Args:
        path: a JSON file (plain, gzip, bgzip or zstd), or an LMDB: a folder with ``data.mdb``, or such a file.
        label: the field to take; the first of :data:`LABELS` that the first record has, unless given.

    Raises:
        InputError: no such file; a record that is damaged, is no protein, has no label, or would run code. Says which.
        UsageError: an LMDB, and the package lmdb is not installed.
    """
    place = Path(path)
    is_lmdb = place.is_dir() or place.suffix in (".mdb", ".lmdb")
    source = _lmdb_records(place) if is_lmdb else _json_records(path)
    for number, record in enumerate(source, start=1):
        if not isinstance(record, dict):
            raise InputError(f"is a {type(record).__name__}, expected a dict", path=path, record=number)
        if label is None:
            label = next((name for name in LABELS if name in record), None)
            if label is None:
                raise InputError(
                    f"has none of the labels {', '.join(LABELS)}", path=path, record=number,
                    remedy=f"name one (label=) of its fields: {', '.join(map(str, record))}",
                )  # fmt: skip
        yield _checked(record, label, path, number)


def _checked(record: dict[str, Any], label: str, path: Pathlike, number: int) -> TapeRecord:
    sequence, value = record.get("primary"), record.get(label)
    if not isinstance(sequence, str) or not sequence:
        raise InputError("has no primary, which is the protein", path=path, record=number)
    try:
        encode(sequence)
    except ValueError as error:
        raise InputError(f"primary is no protein: {error}", path=path, record=number) from error
    if value is None:
        raise InputError(f"has no {label}", path=path, record=number)
    try:
        numbers = np.asarray(value)
        if numbers.dtype.kind not in "biuf":
            raise ValueError(f"of type {numbers.dtype}")
    except ValueError as error:
        raise InputError(f"{label} holds no numbers ({error})", path=path, record=number) from error
    name = record.get("id", number - 1)
    text = name.decode("utf-8", "replace") if isinstance(name, bytes) else str(np.asarray(name).reshape(-1)[0])
    others = {str(key): one for key, one in record.items() if key not in ("id", "primary", label)}
    return TapeRecord(text, sequence.upper(), float(numbers.item()) if numbers.size == 1 else numbers, label, others)


def _json_records(path: Pathlike) -> Iterator[Any]:
    with open_bytes(path) as stream:
        text = stream.read().decode("utf-8-sig", "replace")
    try:
        if text.lstrip().startswith("["):
            yield from json.loads(text)
            return
        for line in text.splitlines():
            if line.strip():
                yield json.loads(line)
    except (ValueError, RecursionError) as error:
        raise InputError(f"is no JSON: {error}", path=path) from error


def _lmdb_records(path: Path) -> Iterator[Any]:
    try:
        lmdb: Any = importlib.import_module("lmdb")
    except ImportError as error:
        raise UsageError(f"{path}: reading an LMDB needs the package lmdb: pip install lmdb (TAPE gives JSON, too)") from error
    try:
        store = lmdb.open(
            str(path), subdir=path.is_dir(), readonly=True, lock=False, readahead=False, create=False, max_readers=1
        )
    except lmdb.Error as error:
        raise InputError(f"cannot be opened as an LMDB ({error})", path=path) from error
    except OSError as error:
        raise InputError(refusal(error), path=path) from error
    with store, store.begin() as reading:

        def value(key: str, record: int | None) -> Any:
            raw = reading.get(key.encode())
            if raw is None:
                raise InputError(f"has no entry {key!r}", path=path, record=record)
            try:
                return plain_data(bytes(raw))
            except PickleError as error:
                raise InputError(f"the entry {key!r} {error}", path=path, record=record) from error

        count = value("num_examples", None)
        count = count.item() if isinstance(count, np.ndarray) and count.size == 1 else count
        if not isinstance(count, int) or count < 0:
            raise InputError(f"num_examples is {count!r}, expected a number", path=path)
        for number in range(count):
            yield value(str(number), number + 1)
