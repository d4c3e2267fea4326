"""Single nucleotides: what becomes of each kind of letter, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest

from genoseq.errors import InputError, UsageError
from genoseq.tokenizers import CaduceusTokenizer, GenoseqNucleotideTokenizer, HyenaDNATokenizer

A, C, G, T, N, UNK = 7, 8, 9, 10, 11, 6
LETTERS = "ACGTNacgtnUuRYX.*-@"


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (GenoseqNucleotideTokenizer, [A, C, G, T, N, A, C, G, T, N, T, T, N, N, N, N, UNK, UNK, UNK]),
        (HyenaDNATokenizer, [A, C, G, T, N] + [UNK] * 14),
        (CaduceusTokenizer, [A, C, G, T, N, A, C, G, T, N] + [UNK] * 9),
    ],
)
def test_every_kind_of_letter_is_defined(kind: type, expected: list[int]) -> None:
    assert kind().encode_array(LETTERS).tolist() == expected


def test_options_change_what_letters_become() -> None:
    tokenizer = HyenaDNATokenizer(upper=True, u_as_t=True, ambiguous="N")
    assert tokenizer.encode_array(LETTERS).tolist() == GenoseqNucleotideTokenizer().encode_array(LETTERS).tolist()
    assert GenoseqNucleotideTokenizer(ambiguous="[UNK]").encode_array("NRX").tolist() == [N, UNK, UNK]
    own = GenoseqNucleotideTokenizer(characters=("A", "C", "G", "U", "-"))
    assert own.encode_array("ACGU-TN").tolist() == [7, 8, 9, 10, 11, 6, 6]
    assert own.complement_map[7] == 10 and own.complement_map[10] == 7 and own.complement_map[11] == 11


@pytest.mark.parametrize(("cls", "sep"), [(False, False), (True, False), (False, True), (True, True)])
def test_special_tokens_are_added_as_asked(cls: bool, sep: bool) -> None:
    tokenizer = GenoseqNucleotideTokenizer(add_cls=cls, add_sep=sep)
    assert tokenizer("AC")["input_ids"] == [0] * cls + [7, 8] + [1] * sep
    assert tokenizer.num_special_tokens_to_add() == cls + sep


def test_ids_are_bytes_and_may_be_written_to() -> None:
    ids = GenoseqNucleotideTokenizer().encode_array("ACGT")
    assert ids.dtype == np.uint8
    ids[0] = 11
    assert ids.tolist() == [11, 8, 9, 10]


def test_strict_refuses_what_would_be_unknown() -> None:
    strict = GenoseqNucleotideTokenizer(strict=True)
    assert strict.encode_array("ACGTNacguRY").tolist() == GenoseqNucleotideTokenizer().encode_array("ACGTNacguRY").tolist()
    assert strict.encode_array("NNNN").tolist() == [N] * 4  # only N is a gap in an assembly, not a mistake
    for sequence, message in (
        ("", "the sequence is empty"),
        ("ACGT-A", "position 4 .* holds '-'"),
        ("MKTAYIAKQRQISFVKSHFSRQLEERLGLIEVQ", "it looks like a protein"),
    ):
        with pytest.raises(InputError, match=message):
            strict.encode_array(sequence)
        with pytest.raises(InputError, match=message):
            strict(sequence)
    with pytest.raises(InputError, match="lower case is not read here"):
        HyenaDNATokenizer(strict=True)("acgt")


def test_a_protein_is_all_unknown_where_nothing_is_strict() -> None:
    assert set(HyenaDNATokenizer().encode_array("MKLEEF").tolist()) == {UNK}


@pytest.mark.parametrize("characters", [("A", "A"), ("AC",), ("é",), ("",), ("\n",)])
def test_odd_alphabets_are_refused(characters: tuple[str, ...]) -> None:
    with pytest.raises(UsageError, match="expected single ASCII letters"):
        GenoseqNucleotideTokenizer(characters=characters)


def test_other_odd_options_are_refused() -> None:
    with pytest.raises(UsageError, match="ambiguous is 'X'"):
        GenoseqNucleotideTokenizer(ambiguous="X")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="only complements as IUPAC defines them"):
        CaduceusTokenizer(complement_map={"A": "A"})
    assert CaduceusTokenizer(complement_map={"A": "T", "N": "N"}).complement_map == CaduceusTokenizer().complement_map
