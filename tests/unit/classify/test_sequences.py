from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from genoseq.classify.sequences import SequenceInputError, check_labels, check_sequences, check_threads
from genoseq.errors import GenoseqError


def test_text_and_bytes_become_upper_case_bytes() -> None:
    assert check_sequences(["acgu", b"NNRa"]) == [b"ACGU", b"NNRA"]
    assert check_sequences(np.array(["ac", "gt"])) == [b"AC", b"GT"]
    assert check_sequences(("MKV*", b"xk"), alphabet="protein") == [b"MKV*", b"XK"]
    assert check_sequences(["", "NNN"], empty=True) == [b"", b"NNN"]


@pytest.mark.parametrize(
    ("given", "options", "message"),
    [
        ([], {}, "there is no sequence: at least one is needed"),
        ("ACGT", {}, "found one sequence; put it into a list"),
        (None, {}, "found NoneType"),
        (np.zeros((2, 3)), {}, r"found an array of shape \(2, 3\)"),
        (["ACGT", ""], {}, "sequence 2 is empty; remove it"),
        (["NNNN", "ACGT"], {}, "sequence 1 has no letter but N"),
        (["XXX"], {"alphabet": "protein"}, "sequence 1 has no letter but X"),
        (["ACGT", 5], {}, "sequence 2 is int, expected text"),
        (["ACGT", "AC-T"], {}, "sequence 2 has the letter '-'"),
        (["ACGÄ"], {}, "not ASCII"),
        (["MKVLLFPE"], {}, "this may be protein: choose alphabet='protein'"),
        (["ACGT" * 10], {"alphabet": "protein"}, "this is nucleotide sequence: choose alphabet='nucleotide'"),
        (["ACGT"], {"alphabet": "codon"}, "expected 'nucleotide' or 'protein'"),
        (["ACGT", ""], {"what": "test sequence"}, "test sequence 2 is empty"),
    ],
)
def test_what_cannot_be_used_is_named_with_its_place(given: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(SequenceInputError, match=message) as found:
        check_sequences(given, **options)
    assert isinstance(found.value, ValueError) and isinstance(found.value, GenoseqError)


def test_a_peptide_too_short_to_tell_is_taken_for_protein() -> None:
    assert check_sequences(["GATTACA"], alphabet="protein") == [b"GATTACA"]


@pytest.mark.parametrize(
    ("labels", "count", "message"),
    [
        (["a", "a"], 2, r"one class only \(a\)"),
        (["a", "b"], 3, "3 sequences and labels of shape"),
        (["a", None], 2, "sequence 2 has no label"),
        ([1.0, float("nan")], 2, "sequence 2 has no label"),
        ([0.5, 1.0], 2, "Unknown label type: continuous"),
        ("ab", 2, "expected a list of labels, found str"),
        (7, 1, "expected a list of labels, found int"),
        ([["a"], ["b"]], 2, "labels of shape"),
    ],
)
def test_labels_that_cannot_be_used_are_refused(labels: Any, count: int, message: str) -> None:
    with pytest.raises(SequenceInputError, match=message):
        check_labels(labels, count)


def test_labels_of_any_kind_are_kept() -> None:
    assert check_labels(["b", "a"], 2).tolist() == ["b", "a"]
    assert check_labels(np.array([3, 1]), 2).tolist() == [3, 1]
    assert check_labels([True, False], 2).tolist() == [True, False]


@pytest.mark.parametrize("threads", [0, -1, 1.5, True, "2", None])
def test_threads_are_a_whole_number(threads: Any) -> None:
    with pytest.raises(SequenceInputError, match="threads is"):
        check_threads(threads)
    assert check_threads(np.int64(2)) == 2
