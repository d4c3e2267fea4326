"""Tasks of TAPE from JSON and LMDB; a file never runs anything."""

from __future__ import annotations

import json
import pickle
import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from genoseq.errors import InputError, UsageError
from genoseq.families.assays.tape import read_tape

Write = Callable[[str, bytes], Path]
RECORDS = [
    {"id": "a", "primary": "MKT", "protein_length": 3, "log_fluorescence": [1.5]},
    {"primary": "mka", "log_fluorescence": [-2.0]},
]


@pytest.mark.parametrize("lines", [False, True])
def test_json(write: Write, lines: bool) -> None:
    text = "\n".join(map(json.dumps, RECORDS)) if lines else json.dumps(RECORDS)
    first, second = read_tape(write("tape.json", text.encode()))
    assert (first.name, first.sequence, first.label, first.field) == ("a", "MKT", 1.5, "log_fluorescence")
    assert first.others == {"protein_length": 3}
    assert (second.name, second.sequence, second.label) == ("1", "MKA", -2.0)


def test_labels_of_residues(write: Write) -> None:
    (found,) = read_tape(
        write("ss.json", json.dumps([{"primary": "MKT", "ss3": [0, 1, 2], "ss8": [0, 1, 7]}]).encode()), label="ss8"
    )
    assert isinstance(found.label, np.ndarray)
    assert found.label.tolist() == [0, 1, 7]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([{"primary": "MKT"}], r"record 1: has none of the labels log_fluorescence.*of its fields: primary"),
        ([RECORDS[0], {"primary": "MKT"}], "record 2: has no log_fluorescence"),
        ([RECORDS[0], {"log_fluorescence": [1]}], "record 2: has no primary"),
        ([RECORDS[0], {"primary": "M1", "log_fluorescence": [1]}], "record 2: primary is no protein: '1' at position 2"),
        ([{"primary": "MK", "log_fluorescence": ["high"]}], "record 1: log_fluorescence holds no numbers"),
        ([{"primary": "MK", "log_fluorescence": [[1], [1, 2]]}], "record 1: log_fluorescence holds no numbers"),
        (["MKT"], "record 1: is a str, expected a dict"),
    ],
)
def test_bad_records_are_named(write: Write, content: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        list(read_tape(write("bad.json", json.dumps(content).encode())))


def test_no_json(write: Write) -> None:
    with pytest.raises(InputError, match="is no JSON"):
        list(read_tape(write("bad.json", b"[{")))


class _Store(dict[bytes, bytes]):
    """As much of an LMDB as is read, for machines without the package."""

    def begin(self) -> _Store:
        return self

    def __enter__(self) -> _Store:
        return self

    def __exit__(self, *given: object) -> None:
        return None


@pytest.fixture
def stored(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Callable[[dict[str, Any]], Path]]:
    """A file whose package lmdb gives these values."""
    store = _Store()

    def open_store(path: str, **options: Any) -> _Store:
        assert options["readonly"]
        assert not options["create"]
        assert options["subdir"]
        return store

    monkeypatch.setitem(sys.modules, "lmdb", types.SimpleNamespace(open=open_store, Error=OSError))

    def filled(values: dict[str, Any]) -> Path:
        store.clear()
        store.update({key.encode(): one if isinstance(one, bytes) else pickle.dumps(one) for key, one in values.items()})
        folder = tmp_path / "tape.lmdb"
        folder.mkdir(exist_ok=True)
        return folder

    yield filled


def test_lmdb(stored: Callable[[dict[str, Any]], Path]) -> None:
    record = {"id": b"x", "primary": "MKT", "stability_score": np.array([0.25])}
    (found,) = read_tape(stored({"num_examples": 1, "0": record}))
    assert (found.name, found.label, found.field) == ("x", 0.25, "stability_score")


class _Runs:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return open, (str(self.path), "w")


def test_lmdb_never_runs_what_it_holds(stored: Callable[[dict[str, Any]], Path], tmp_path: Path) -> None:
    proof = tmp_path / "proof"
    good = {"primary": "MKT", "stability_score": [1.0]}
    folder = stored({"num_examples": 2, "0": good, "1": {"primary": _Runs(proof)}})
    with pytest.raises(InputError, match=r"record 2: the entry '1' wants to run (_io|io)\.open"):
        list(read_tape(folder))
    assert not proof.exists()


def test_a_damaged_lmdb(stored: Callable[[dict[str, Any]], Path]) -> None:
    with pytest.raises(InputError, match="has no entry 'num_examples'"):
        list(read_tape(stored({})))
    with pytest.raises(InputError, match="num_examples is 'many', expected a number"):
        list(read_tape(stored({"num_examples": "many"})))
    with pytest.raises(InputError, match="record 1: has no entry '0'"):
        list(read_tape(stored({"num_examples": 1})))
    with pytest.raises(InputError, match="record 1: the entry '0' is no pickle, or is damaged"):
        list(read_tape(stored({"num_examples": 1, "0": b"what"})))


def test_without_the_package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "lmdb", None)
    with pytest.raises(UsageError, match="pip install lmdb"):
        list(read_tape(tmp_path))


def test_a_real_lmdb(tmp_path: Path) -> None:
    lmdb = pytest.importorskip("lmdb")
    folder = tmp_path / "real.lmdb"
    with lmdb.open(str(folder)) as store, store.begin(write=True) as writing:
        writing.put(b"num_examples", pickle.dumps(2))
        for number in range(2):
            writing.put(str(number).encode(), pickle.dumps({"primary": "MKT", "fold_label": number}))
    assert [one.label for one in read_tape(folder)] == [0.0, 1.0]
    assert [one.label for one in read_tape(folder / "data.mdb")] == [0.0, 1.0]
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(InputError, match="empty"):
        list(read_tape(empty))
