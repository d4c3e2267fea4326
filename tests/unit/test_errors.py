from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from genoseq.errors import GenoseqError, IndexFormatError, InputError, OutputError, UsageError


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({}, "odd"),
        ({"path": "a.fq"}, "a.fq: odd"),
        ({"path": Path("x/a.fq"), "record": 3, "line": 12}, "x/a.fq, record 3 (line 12): odd"),
        ({"path": "-", "record": 1}, "standard input, record 1: odd"),
        ({"line": 4}, "line 4: odd"),
        ({"path": "a.fq", "line": 4, "remedy": "do this"}, "a.fq (line 4): odd; do this"),
    ],
)
def test_an_input_error_says_where_what_and_what_to_do(fields: dict, text: str) -> None:
    assert str(InputError("odd", **fields)) == text


@pytest.mark.parametrize("kind", [InputError, IndexFormatError])
def test_an_input_error_survives_pickling(kind: type[InputError]) -> None:
    error = kind("odd", path="a.fq", record=2, line=5, remedy="mend it")
    copy = pickle.loads(pickle.dumps(error))
    assert (type(copy), str(copy), vars(copy)) == (kind, str(error), vars(error))


def test_exit_codes() -> None:
    codes = [kind.exit_code for kind in (GenoseqError, InputError, IndexFormatError, OutputError, UsageError)]
    assert codes == [1, 1, 1, 1, 2]
