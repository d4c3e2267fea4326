"""Notation is read or refused in a sentence; all disagreements are told, with the offset that was meant."""

from __future__ import annotations

import logging
import pickle

import pytest

from genoseq.errors import InputError
from genoseq.families.variants.notation import (
    Substitution,
    VariantsError,
    all_single_variants,
    apply_variant,
    check_variants,
    format_variant,
    likely_offset,
    parse_variant,
)

WILD = "MSIQHFRVALIPFFAAFCLPVFAHPETLVKVKDAEDQLGARVGYIELDLNSGKILESFRPEERFPMMSTFKV"


@pytest.mark.parametrize("text", ["A1P:D2N", "D2N:A1P", "a1p,d2n", "A1P;D2N", "A1P+D2N", "A1P/D2N", "A1P D2N", " A1P:D2N ",
                                  "p.[Ala1Pro;Asp2Asn]", "p.Ala1Pro:p.Asp2Asn", "Ala1Pro:ASP2ASN", "p.(Ala1Pro;Asp2Asn)", "p.A1P:D2N",
                                  "A1Pro:Asp2N", "p.[A1P;D2N]", "NP_000537.3:p.[Ala1Pro;Asp2Asn]", "P04637:p.[A1P;D2N]",
                                  "Q9Y6K9-2:p.A1P:p.D2N", "ENSP00000269305.4:p.Ala1Pro:D2N"])  # fmt: skip
def test_notations(text: str) -> None:
    assert parse_variant(text) == (Substitution(0, "A", "P"), Substitution(1, "D", "N"))


@pytest.mark.parametrize("text", ["", "WT", "wt", "_wt", "p.=", "wild-type"])
def test_the_wild_type(text: str) -> None:
    assert parse_variant(text) == ()
    assert format_variant(()) == "WT"


def test_no_change() -> None:
    assert parse_variant("p.Ala3=") == parse_variant("A3A") == (Substitution(2, "A", "A"),)
    assert apply_variant("MMA", parse_variant("A3A")) == "MMA"


def test_offset_there_and_back() -> None:
    variant = parse_variant("A24P:D30N", offset=23)
    assert variant == (Substitution(0, "A", "P"), Substitution(6, "D", "N"))
    assert format_variant(variant, offset=23) == "A24P:D30N"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("A24", "'A24' is no variant; expected substitutions such as A24P"),
        ("24P", "is no variant"),
        ("A" + "9" * 5000 + "P", "is no variant"),
        ("hello", "is no variant"),
        ("A24*", "has a stop codon"),
        ("p.Ala24Ter", "has a stop codon"),
        ("A24Ter", "the variant 'A24Ter' has a stop codon; leave it out, or all such by --skip-stops"),
        ("*24W", "has a stop codon"),
        ("A24Abc", "'Abc' in the variant 'A24Abc' is no amino acid"),
        ("A24Xaa", "'X' in the variant 'A24Xaa' is none of the 20 amino acids"),
        ("A1:p.D2N", "'A1:p.D2N' is no variant"),  # a letter is missing, it is no accession
        ("A12345:p.D2N", "is no variant"),
        ("A24X", "'X' in the variant 'A24X' is none of the 20 amino acids"),
        ("p.Abc24Pro", "'Abc' in the variant 'p.Abc24Pro' is no amino acid"),
        ("p.Ala24del", "insertion, deletion or frameshift"),
        ("p.Ala24fs", "insertion, deletion or frameshift"),
        ("A24_G25insP", "insertion, deletion or frameshift"),
        ("A24P:A24G", "substitutes one residue more than once"),
        ("A0P", "lies before the wild type: numbers count from 1"),
        (":", "names no substitution"),
    ],
)
def test_bad_notation(text: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_variant(text)
    assert message in str(caught.value)


def test_a_number_before_the_wild_type() -> None:
    with pytest.raises(InputError, match="begins at 24; is the offset right"):
        parse_variant("A3P", offset=23)


def numbered(first: int, count: int, offset: int) -> list:
    """Substitutions of the residues from ``first`` on, numbered as if ``offset`` residues stood before."""
    return [parse_variant(f"{WILD[i]}{i + 1 + offset}{'W' if WILD[i] != 'W' else 'A'}") for i in range(first, first + count)]


def test_all_disagreements_are_told_with_the_offset(caplog: pytest.LogCaptureFixture) -> None:
    variants = numbered(0, 30, 23)
    caplog.set_level(logging.DEBUG, "genoseq")
    with pytest.raises(VariantsError) as caught:
        check_variants(WILD, variants)
    text = str(caught.value)
    wrong = caught.value.disagreements
    assert len(wrong) > 20 and f"{len(wrong)} of 30 variants disagree" in text
    assert sum(f"{one}" in text for one in wrong) == 5 and f"and {len(wrong) - 5} more, named by genoseq -v" in text
    assert [record.getMessage().removeprefix("disagrees with the wild type: ") for record in caplog.records] == wrong
    assert caught.value.offset == 23 and text.endswith("did you mean --offset 23?")
    again = [parse_variant(format_variant(one), offset=23) for one in variants]
    check_variants(WILD, again, offset=23)


def test_an_offset_to_the_left() -> None:
    part = WILD[23:]
    variants = [parse_variant(f"{part[i]}{i + 1}A", offset=0) for i in range(5, 20)]
    check_variants(part, variants)
    assert likely_offset(WILD, variants) == -23


def test_an_offset_is_found_among_some_errors_but_not_by_chance() -> None:
    variants = [*numbered(0, 30, 23), parse_variant("W24A"), parse_variant("W25A")]
    assert likely_offset(WILD, variants) == 23
    assert likely_offset(WILD, variants[:2]) is None
    assert likely_offset("AAAAAAAAAA", [parse_variant(f"A{i}W") for i in (12, 13, 14)]) is None
    assert likely_offset(WILD, [parse_variant(f"{'WYCHM'[i]}{i + 1}A") for i in range(5)]) is None
    assert likely_offset(WILD, numbered(0, 30, 0)) is None
    with pytest.raises(VariantsError, match=r"H1A \(M there\)$"):
        check_variants(WILD, [parse_variant("H1A")])


def test_numbers_beyond_the_end_and_mixed_faults() -> None:
    with pytest.raises(VariantsError, match=r"1 of 2 variants disagrees.*A1W:S900W \(M at 1, the wild type ends at 72\)"):
        check_variants(WILD, [parse_variant("A1W:S900W"), parse_variant("M1W")])


def test_huge_numbers_cost_nothing() -> None:
    with pytest.raises(VariantsError, match="ends at 72"):
        check_variants(WILD, [parse_variant(f"A{10**8 + i}W") for i in range(50)])


def test_errors_keep_their_text_through_pickling() -> None:
    with pytest.raises(VariantsError) as caught:
        check_variants(WILD, numbered(0, 30, 23), path="x.csv")
    again = pickle.loads(pickle.dumps(caught.value))
    assert str(again) == str(caught.value) and again.offset == 23 and again.disagreements == caught.value.disagreements


def test_apply() -> None:
    assert apply_variant("ADE", parse_variant("D2N:A1P")) == "PNE"
    assert apply_variant("ADE", ()) == "ADE"
    with pytest.raises(VariantsError, match="D1N"):
        apply_variant("ADE", parse_variant("D1N"))


def test_all_single_variants() -> None:
    found = all_single_variants("AUXb")
    assert len(found) == 38 and len(set(found)) == 38
    assert found[0] == (Substitution(0, "A", "C"),)
    assert all(new not in "C" for ((position, _, new),) in found if position == 1)  # U is read as C
    check_variants("AUXB", found)
    assert len(all_single_variants(WILD)) == 19 * len(WILD)
