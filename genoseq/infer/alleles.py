"""Windows around a variant in which both alleles are scored over the same number of bases.

A variant is first reduced to what differs (shared ends cut off) and shifted left as far as it goes (Tan, Abecasis & Kang 2015,
Bioinformatics 31:2202), so that every way of writing it gives one result. Then each allele gets a window of the same size on
its own haplotype, the allele in the middle: with ``left`` and ``right`` bases of context for a single base, a window has
``W = left + 1 + right`` bases, and an allele of ``a`` bases stands behind ``(W - a) left / (left + right)`` of them. An
insertion thus has less context and a deletion more, and neither is punished for its length.

At the end of a contig the window is shifted inwards; on a contig that is shorter than it, it shrinks for both alleles alike.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

__all__ = ["Context", "Haplotypes", "Reduced", "haplotypes", "reduced"]

Fetch = Callable[[int, int], str]
"""Upper-case letters of ``[start, end)`` of a contig."""

SHIFT = 200
"""Bases fetched at a time while a variant is shifted left."""


class Context(NamedTuple):
    """How much of the reference is around a variant.

    Attributes:
        left: bases before a single base, on the forward strand.
        right: bases after it.
        step: bases per token where that is more than one and the same for all, so that windows hold whole tokens; else 1.
        bare: windows may hold no ambiguity code at all, since tokens of several bases would be lost by one.
        unknown: the letter of ambiguity.
    """

    left: int
    right: int
    step: int = 1
    bare: bool = False
    unknown: str = "N"

    @property
    def size(self) -> int:
        """Bases of a window, a multiple of ``step``."""
        return (self.left + 1 + self.right) // self.step * self.step


class Reduced(NamedTuple):
    """What differs: ``ref`` at ``start`` (0-based) becomes ``alt``; either may be empty."""

    start: int
    ref: str
    alt: str


class Haplotypes(NamedTuple):
    """Two windows of the same size.

    Attributes:
        ref, alt: letters of the windows.
        ref_at, alt_at: where the alleles stand in them.
        variant: what differs.
    """

    ref: str
    alt: str
    ref_at: int
    alt_at: int
    variant: Reduced


def reduced(start: int, ref: str, alt: str, fetch: Fetch, *, furthest: int) -> Reduced:
    """The variant without what its alleles share, shifted left.

    Args:
        start: first base of ``ref``, 0-based.
        ref, alt: alleles, upper case.
        fetch: gives letters of the contig.
        furthest: bases to shift, at most.

    >>> contig = "GGCACACATT"
    >>> reduced(5, "ACA", "A", lambda a, b: contig[a:b], furthest=100)
    Reduced(start=2, ref='CA', alt='')
    """
    while ref and alt and ref[-1] == alt[-1]:
        ref, alt = ref[:-1], alt[:-1]
    shared = 0
    while shared < min(len(ref), len(alt)) and ref[shared] == alt[shared]:
        shared += 1
    start, ref, alt = start + shared, ref[shared:], alt[shared:]
    if not ref and not alt:
        return Reduced(start, ref, alt)
    before = ""
    while not (ref and alt) and furthest > 0 and start > 0:
        if not before:
            before = fetch(max(0, start - SHIFT), start)
        changed = ref or alt
        if before[-1] != changed[-1]:
            break
        changed = before[-1] + changed[:-1]
        ref, alt = (changed, alt) if ref else (ref, changed)
        before = before[:-1]
        start, furthest = start - 1, furthest - 1
    return Reduced(start, ref, alt)


def haplotypes(variant: Reduced, length: int, fetch: Fetch, context: Context) -> Haplotypes | None:
    """The two windows of a variant; None if an allele is longer than a window, or no token fits.

    Both hold the same number of ambiguity codes, and those at the same distance from the alleles: a window ends before one
    that the other would not have.

    Args:
        variant: what differs.
        length: bases of the contig.
        fetch: gives letters of the contig.
        context: size of the windows.
    """
    start, ref, alt = variant
    end = start + len(ref)
    reach = context.size + len(ref) + len(alt)
    low, high = max(0, start - reach), min(length, end + reach)
    around = fetch(low, high)
    if context.bare:
        left, right = around[: start - low], around[end - low :]
        low, high = start - len(left) + left.rfind(context.unknown) + 1, end + len(right.partition(context.unknown)[0])
        around = fetch(low, high)
    while True:
        before, after = around[: start - low], around[end - low :]
        size = min(context.size, high - low, high - low - len(ref) + len(alt)) // context.step * context.step
        if size < max(1, len(ref), len(alt)):
            return None
        left_ref, right_ref = _flanks(size, len(ref), len(before), len(after), context)
        left_alt, right_alt = _flanks(size, len(alt), len(before), len(after), context)
        unclear = _unclear(before[::-1], left_ref, left_alt, context.unknown)
        if unclear:
            low = start - unclear + 1
            around = around[len(before) - unclear + 1 :]
            continue
        unclear = _unclear(after, right_ref, right_alt, context.unknown)
        if unclear:
            high = end + unclear - 1
            around = around[: high - low]
            continue
        ref_window = before[len(before) - left_ref :] + ref + after[:right_ref]
        alt_window = before[len(before) - left_alt :] + alt + after[:right_alt]
        if (ref_window[0] == context.unknown) != (
            alt_window[0] == context.unknown
        ):  # one allele is empty and has nothing on its left
            high, around = end, around[: end - low]
            continue
        if (ref_window[-1] == context.unknown) != (alt_window[-1] == context.unknown):
            low, around = start, around[start - low :]
            continue
        return Haplotypes(ref_window, alt_window, left_ref, left_alt, variant)


def _flanks(size: int, allele: int, before: int, after: int, context: Context) -> tuple[int, int]:
    """Bases of a window on the left and on the right of an allele, of those that there are."""
    both = context.left + context.right
    left = min((size - allele) * context.left // both if both else 0, before)
    right = min(size - allele - left, after)
    return size - allele - right, right


def _unclear(flank: str, one: int, other: int, unknown: str) -> int:
    """Distance from the variant, from 1, of the first ambiguity code in what one flank has and the other has not; 0 if none.

    The last base of the shorter flank counts too: the first base of a window may have no score, and must not be one that
    would have none anyway in one window only.
    """
    if one == other:
        return 0
    return flank.find(unknown, max(min(one, other) - 1, 0), max(one, other)) + 1
