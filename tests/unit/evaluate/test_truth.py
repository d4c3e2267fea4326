from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genoseq.errors import InputError
from genoseq.evaluate.truth import Place, Truth, format_name, parse_name

contigs = st.text(st.characters(min_codepoint=33, max_codepoint=0x2FF), min_size=1, max_size=30)
places = st.builds(
    lambda contig, start, size, reverse: Place(contig, start, start + size, reverse),
    contigs,
    st.integers(0, 10**10),
    st.integers(0, 10**5),
    st.booleans(),
)


@given(st.integers(0, 10**9), places, st.booleans(), st.integers(0, 10**6))
def test_a_name_brings_the_truth_back_and_is_a_legal_sam_name(
    number: int, place: Place, paired: bool, shift: int
) -> None:
    second = place._replace(start=place.start + shift, end=place.end + shift, reverse=not place.reverse)
    truth = Truth(number, (place, second) if paired else (place,))
    name = format_name(truth)
    assert parse_name(name) == truth
    assert parse_name(name + "/2") == truth
    assert re.fullmatch(r"[!-?A-~]+", name)
    assert "/" not in name


@pytest.mark.parametrize("name", ["read1", "s1!chr!5!+", "s1!chr!x!+!9", "sx!chr!5!+!9", "s1!chr!5!*!9", ""])
def test_a_name_without_truth_is_refused_with_the_form_expected(name: str) -> None:
    with pytest.raises(InputError, match="carries no truth"):
        parse_name(name)
