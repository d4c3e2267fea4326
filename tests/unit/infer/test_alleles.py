"""Windows around variants: the same size for both alleles, the same ambiguity codes in both, whatever the variant."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genoseq.infer.alleles import Context, Reduced, haplotypes, reduced


@st.composite
def variants(draw: st.DrawFn) -> tuple[str, int, str, str]:
    """A contig, a place on it, and two alleles; the reference allele is what stands there."""
    contig = (
        draw(st.text("ACGT", min_size=1, max_size=50)) if draw(st.booleans()) else draw(st.text("ACGTN", min_size=1, max_size=50))
    )
    start = draw(st.integers(0, len(contig) - 1))
    ref = contig[start : start + draw(st.integers(1, 6))]
    return contig, start, ref, draw(st.text("ACGT", min_size=1, max_size=6))


@given(variants(), st.integers(0, 9), st.integers(0, 9), st.sampled_from([1, 1, 3]), st.booleans())
def test_both_windows_are_alike_in_all_but_the_alleles(
    given: tuple[str, int, str, str], left: int, right: int, step: int, bare: bool
) -> None:
    contig, start, ref, alt = given
    if "N" in ref:
        return
    changed = reduced(start, ref, alt, lambda a, b: contig[a:b], furthest=20)
    other = contig[:start] + alt + contig[start + len(ref) :]
    after = changed.start + len(changed.ref)
    assert contig[changed.start : after] == changed.ref
    assert contig[: changed.start] + changed.alt + contig[after:] == other  # still the same variant
    context = Context(left, right, step, bare)
    pair = haplotypes(changed, len(contig), lambda a, b: contig[a:b], context)
    if pair is None:
        return
    assert len(pair.ref) == len(pair.alt) <= context.size
    assert len(pair.ref) % step == 0
    assert pair.ref in contig
    assert pair.alt in other
    assert pair.ref[pair.ref_at :].startswith(changed.ref)
    assert pair.alt[pair.alt_at :].startswith(changed.alt)
    for part in (slice(None), slice(1, None), slice(None, -1)):  # the first may have no score, on either strand
        assert pair.ref[part].count("N") == pair.alt[part].count("N")
    assert not bare or "N" not in pair.ref + pair.alt


def contig_of(length: int = 200) -> str:
    return ("ACGTTGCATCGAAGCTTCAG" * (length // 20 + 1))[:length]


@pytest.mark.parametrize(
    ("start", "ref", "alt", "expected"),
    [
        (10, "A", "C", Reduced(10, "A", "C")),
        (10, "AAA", "ACA", Reduced(11, "A", "C")),
        (10, "AG", "CT", Reduced(10, "AG", "CT")),
        (10, "A", "A", Reduced(10, "", "")),
        (0, "G", "GG", Reduced(0, "", "G")),
    ],
)
def test_what_is_shared_does_not_count(start: int, ref: str, alt: str, expected: Reduced) -> None:
    contig = "GCTTCATGCT" + ref + "TCAGT"
    assert reduced(start, ref, alt, lambda a, b: contig[a:b], furthest=100) == expected


def test_ways_of_writing_an_indel_are_one() -> None:
    contig = "GGTCACACACATTG"

    def fetch(a: int, b: int) -> str:
        return contig[a:b]

    ways = [(2, "TCA", "T"), (3, "CAC", "C"), (4, "ACA", "A"), (8, "ACA", "A"), (9, "CA", ""), (2, "TCACA", "TCA")]
    assert {reduced(*way, fetch, furthest=100) for way in ways} == {Reduced(3, "CA", "")}
    inserted = [(2, "T", "TCA"), (10, "A", "ACA"), (6, "AC", "ACAC")]
    assert {reduced(*way, fetch, furthest=100) for way in inserted} == {Reduced(3, "", "CA")}
    assert reduced(10, "A", "ACA", fetch, furthest=2) == Reduced(8, "", "AC")


def test_a_long_repeat_is_passed() -> None:
    contig = "G" + "A" * 1000 + "C"
    assert reduced(1000, "AC", "C", lambda a, b: contig[a:b], furthest=2000) == Reduced(1, "A", "")


def test_alleles_stand_in_the_middle() -> None:
    contig = contig_of()
    context = Context(10, 10)

    def place(changed: Reduced) -> tuple[int, int, int]:
        pair = haplotypes(changed, len(contig), lambda a, b: contig[a:b], context)
        assert pair is not None
        return pair.ref_at, pair.alt_at, len(pair.ref)

    assert place(Reduced(100, contig[100], "N")) == (10, 10, 21)
    assert place(Reduced(100, contig[100:104], "")) == (8, 10, 21)
    assert place(Reduced(100, "", "ACGTAC")) == (10, 7, 21)
    lopsided = haplotypes(Reduced(100, contig[100], "T"), 200, lambda a, b: contig[a:b], Context(15, 5))
    assert lopsided is not None
    assert lopsided.ref == contig[85:106]


def test_at_the_ends_windows_move_inwards() -> None:
    contig = contig_of(60)

    def windows(changed: Reduced, length: int = 60) -> tuple[str, str]:
        pair = haplotypes(changed, length, lambda a, b: contig[:length][a:b], Context(10, 10))
        assert pair is not None
        return pair.ref, pair.alt

    assert windows(Reduced(0, "A", "C")) == (contig[:21], "C" + contig[1:21])
    assert windows(Reduced(59, contig[59], "C")) == (contig[39:], contig[39:59] + "C")
    assert windows(Reduced(58, contig[58], "")) == (contig[39:], contig[38:58] + contig[59])
    assert windows(Reduced(3, "T", "GGG"), 9) == (contig[:9], "ACGGGGTGC"[:9])  # the contig is shorter than a window


def test_what_does_not_fit() -> None:
    contig = contig_of()

    def fits(changed: Reduced, context: Context, text: str = contig) -> bool:
        return haplotypes(changed, len(text), lambda a, b: text[a:b], context) is not None

    assert fits(Reduced(100, "", "A" * 21), Context(10, 10))
    assert not fits(Reduced(100, "", "A" * 22), Context(10, 10))
    assert not fits(Reduced(0, "A", ""), Context(10, 10), "A")  # nothing would be left
    assert not fits(Reduced(3, "T", "C"), Context(10, 10, 6, bare=True), "ACNTACN")
    assert fits(Reduced(3, "T", "C"), Context(10, 10, 3, bare=True), "ACNTACN")


def test_an_unknown_base_that_only_one_window_would_have_ends_both() -> None:
    contig = contig_of(40) + "N" + contig_of(40)
    pair = haplotypes(Reduced(30, contig[30:34], ""), 81, lambda a, b: contig[a:b], Context(8, 8))
    assert pair is not None
    assert "N" not in pair.ref + pair.alt
    within = haplotypes(Reduced(36, contig[36], "C"), 81, lambda a, b: contig[a:b], Context(8, 8))
    assert within is not None
    assert (within.ref.count("N"), within.ref_at) == (1, 8)
