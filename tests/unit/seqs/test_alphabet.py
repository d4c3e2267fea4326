from __future__ import annotations

import numpy as np
import pytest

from genoseq.seqs.alphabet import CODES, COMPLEMENT, LETTERS, UNKNOWN, UPPER, decode, encode, reverse_complement


def test_bases_have_their_codes_and_all_else_is_unknown() -> None:
    assert encode(b"ACGTUacgtu").tolist() == [0, 1, 2, 3, 3] * 2
    others = bytes(set(range(256)) - set(b"ACGTUacgtu"))
    assert set(encode(others).tolist()) == {UNKNOWN}


def test_decode_undoes_encode() -> None:
    assert decode(encode(b"GATTACANNN")) == b"GATTACANNN"
    assert decode(encode(b"ryR")) == b"NNN"
    assert decode(np.empty(0, np.uint8)) == b""


def test_complements_agree_in_codes_and_letters() -> None:
    assert COMPLEMENT.tolist() == [3, 2, 1, 0, 4]
    assert decode(COMPLEMENT[encode(LETTERS)])[::-1] == reverse_complement(LETTERS)


def test_reverse_complement_knows_the_ambiguity_codes_and_keeps_case() -> None:
    assert reverse_complement(b"ACGTRYSWKMBDHVNacgtryswkmbdhvn") == b"nbdhvkmwsryacgtNBDHVKMWSRYACGT"
    both_ways = reverse_complement(reverse_complement(b"AcgTRyswKMbdhvN"))
    assert both_ways == b"AcgTRyswKMbdhvN"


def test_upper_case_of_allowed_letters_and_nothing_for_others() -> None:
    allowed = b"ACGTURYSWKMBDHVNX."
    assert bytes(UPPER[list(allowed)]) == allowed
    assert bytes(UPPER[list(allowed.lower())]) == allowed
    assert not UPPER[list(set(range(256)) - set(allowed + allowed.lower()))].any()


@pytest.mark.parametrize("table", [CODES, COMPLEMENT, UPPER])
def test_tables_cannot_be_changed(table: np.ndarray) -> None:
    with pytest.raises(ValueError, match="read-only"):
        table[0] = 1
