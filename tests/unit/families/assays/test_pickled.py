"""Plain data come out of pickles of every protocol as they went in; nothing in a pickle ever runs."""

from __future__ import annotations

import codecs
import collections
import pickle
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from genoseq.families.assays import pickled
from genoseq.families.assays.pickled import PickleError, plain_data


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_plain_data_come_back(protocol: int) -> None:
    given = {
        "primary": "MKT", "id": b"7", "label": np.array([1.5, -2.0], np.float32), "map": np.eye(3, dtype=np.bool_),
        "length": np.int64(3), "nested": [1, (2.5, None), {"a": True}], "names": np.array(["one", "two"]),
        "turned": np.asfortranarray(np.arange(6).reshape(2, 3)), "big": np.array([1, 2], ">i4"),
    }  # fmt: skip
    found = plain_data(pickle.dumps(given, protocol=protocol))
    assert found.keys() == given.keys()
    for name, value in given.items():
        if isinstance(value, np.ndarray | np.generic):
            np.testing.assert_array_equal(found[name], value)
        else:
            assert found[name] == value
    assert found["big"].dtype == ">i4"


class _Runs:
    """Pickles as a call of any function."""

    def __init__(self, function: Any, *given: Any) -> None:
        self.call = function, given

    def __reduce__(self) -> Any:
        return self.call


@pytest.mark.parametrize("protocol", [0, 2, 5])
def test_nothing_runs(protocol: int, tmp_path: Path) -> None:
    proof = tmp_path / "proof"
    for bad in (
        _Runs(subprocess.check_call, ["touch", str(proof)]),
        _Runs(eval, f"open({str(proof)!r}, 'w')"),
        _Runs(open, str(proof), "w"),
        _Runs(np.save, str(proof), np.zeros(1)),
        _Runs(getattr, "text", "upper"),
        _Runs(codecs.decode, b"00", "hex"),
        collections.OrderedDict(a=1),
        np.array([_Runs(open, str(proof), "w")], dtype=object),
    ):
        with pytest.raises(PickleError):
            plain_data(pickle.dumps({"primary": "MK", "label": bad}, protocol=protocol))
    assert not list(tmp_path.iterdir())


def test_stand_ins_cannot_be_changed() -> None:
    before = dict(vars(pickled._Array))
    # GLOBAL numpy.ndarray, then BUILD with attributes
    with pytest.raises(PickleError, match="sets attributes"):
        plain_data(b"cnumpy\nndarray\n}S'x'\nI1\nsb.")
    # the same on the function that makes arrays
    with pytest.raises(PickleError, match="sets attributes"):
        plain_data(b"cnumpy.core.multiarray\n_reconstruct\n}S'__call__'\nI1\nsb.")
    assert dict(vars(pickled._Array)) == before


@pytest.mark.parametrize(
    "bad",
    [
        b"",
        b"no pickle",
        pickle.dumps({"a": 1})[:-3],
        pickle.dumps({1, 2}),
        pickle.dumps(np.array([None])),
        pickle.dumps(np.zeros(3)).replace(b"f8", b"O8"),
        b"cnumpy\nndarray\n.",
        b"I1\n" + b"]" * 100000 + b"a" * 99999 + b".",
        b"]q\x00h\x00a.",  # a list that holds itself
        b"cos\nsystem\n(S'true'\ntR.",
    ],
)
def test_damaged_or_foreign_pickles_are_errors(bad: bytes) -> None:
    with pytest.raises(PickleError):
        plain_data(bad)


def test_an_array_must_have_as_many_numbers_as_its_shape_says() -> None:
    raw = pickle.dumps(np.arange(4, dtype=np.int64), protocol=2)
    with pytest.raises(PickleError, match="with 4 numbers"):
        plain_data(raw.replace(b"K\x04\x85", b"K\x05\x85"))
