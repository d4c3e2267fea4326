"""Sequences as bytes, tables, and refusals that say where."""

from __future__ import annotations

import re

import numpy as np
import pytest

from genoseq.errors import InputError
from genoseq.tokenizers.letters import AMBIGUOUS, check_known, code_table, known_letters, letters_of, smallest_unsigned


@pytest.mark.parametrize(
    "sequence",
    [
        "ACGN",
        b"ACGN",
        bytearray(b"ACGN"),
        memoryview(b"ACGN"),
        np.frombuffer(b"ACGN", np.uint8),
        np.array([b"A", b"C", b"G", b"N"]),
    ],
)
def test_all_kinds_of_sequences_are_the_same_bytes(sequence: object) -> None:
    assert letters_of(sequence) == b"ACGN"  # type: ignore[arg-type]


@pytest.mark.parametrize("sequence", ["ACé", "ACé".encode("latin-1"), np.array([65, 67, 233], np.uint8)])
def test_what_is_not_ascii_is_refused_with_its_place(sequence: object) -> None:
    with pytest.raises(InputError, match=r"position 2 \(counted from 0\) holds 'é' \(U\+00E9\), which is not ASCII"):
        letters_of(sequence)  # type: ignore[arg-type]


@pytest.mark.parametrize("sequence", [None, 3, ["A"], np.array(["A"]), np.zeros((2, 2), np.uint8)])
def test_other_types_are_refused(sequence: object) -> None:
    with pytest.raises(TypeError, match="a sequence"):
        letters_of(sequence)  # type: ignore[arg-type]


def test_tables_follow_their_options() -> None:
    codes = {"A": 0, "T": 1, "N": 2}
    plain = code_table(codes, unknown=9)
    assert [plain[letter] for letter in b"ATNatnUR-"] == [0, 1, 2, 9, 9, 9, 9, 9, 9]
    full = code_table(codes, unknown=9, upper=True, u_as_t=True, ambiguous=2)
    assert [full[letter] for letter in b"ATNatnUuRrXx.-*"] == [0, 1, 2, 0, 1, 2, 1, 1, 2, 2, 2, 2, 2, 9, 9]
    own = code_table({"a": 5, "A": 6, "U": 7, "T": 8}, unknown=9, upper=True, u_as_t=True)
    assert [own[letter] for letter in b"aAUuT"] == [5, 6, 7, 7, 8]  # a letter with a code of its own keeps it
    assert known_letters(plain, 9) == b"ANT"
    assert sorted(AMBIGUOUS) == sorted(b"RYSWKMBDHVNX.")


@pytest.mark.parametrize(
    ("letters", "known", "expected"),
    [
        (b"", b"ACGT", "the sequence is empty; leave it out"),
        (b"AC*GT", b"ACGT", "position 2 (counted from 0) holds '*', which is not in the DNA alphabet of this tokenizer (A C); 1 of its characters is not; mend"),
        (b"ACacGT", b"ACGT", "position 2 (counted from 0) holds 'a', which is not in the DNA alphabet of this tokenizer (A C); 2 of its 6 characters are not; lower case is not read here"),
        (b"ACGUu", b"ACG", "position 3 (counted from 0) holds 'U', which is not in the DNA alphabet of this tokenizer (A C); 2 of its 5 characters are not; it looks like RNA: pass u_as_t=True"),
        (b"MKTAYIAKQRQISFVKSHFSRQ", b"ACGT", "19 of its 22 characters are not; it looks like a protein: use a protein tokenizer"),
    ],
)  # fmt: skip
def test_refusals_say_what_and_where_and_what_to_do(letters: bytes, known: bytes, expected: str) -> None:
    with pytest.raises(InputError, match=re.escape(expected)):
        check_known(letters, known, alphabet="DNA", shown=("A", "C"))


def test_known_letters_pass() -> None:
    check_known(b"ACCA", b"AC", alphabet="DNA", shown="AC")


@pytest.mark.parametrize(("size", "dtype"), [(0, "uint8"), (1, "uint8"), (256, "uint8"), (257, "uint16"), (65537, "uint32")])
def test_the_smallest_type_that_holds_all_ids(size: int, dtype: str) -> None:
    assert smallest_unsigned(size) == np.dtype(dtype)
