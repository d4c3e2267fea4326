"""Lists of residues: what is read, and what is said of the rest."""

from __future__ import annotations

import pytest

from genoseq.errors import UsageError
from genoseq.families.variants.places import Place, parse_places


def test_numbers_letters_and_spans() -> None:
    assert parse_places("70, s71,72a ,D73K,8-10") == [
        Place(70, "", "", "70"), Place(71, "S", "", "s71"), Place(72, "", "A", "72a"), Place(73, "D", "K", "D73K"),
        *(Place(number, "", "", "8-10") for number in (8, 9, 10)),
    ]  # fmt: skip


@pytest.mark.parametrize("text", ["", "70,", "a", "10-8", "1-99999999", "S70-73", "70AA", "-3", "7 0", "9999999999"])
def test_what_is_no_list(text: str) -> None:
    with pytest.raises(UsageError, match=r"--fix .*: '.*' is no position: expected 70, S70, 70A or 68-73"):
        parse_places(text, "--fix")


def test_letters_are_checked() -> None:
    with pytest.raises(UsageError, match="70B: B is none of the 20"):
        parse_places("70B")
    (place,) = parse_places("S70A")
    place.check_wild_type("S")
    place.check_wild_type("")
    with pytest.raises(UsageError, match="S70A: the wild type has T at position 70, not S"):
        place.check_wild_type("T")
