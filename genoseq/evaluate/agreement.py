"""How far two mappers agree on real reads, where no truth is known.

Compared are the primary records of each read (each mate by itself): how many each maps, and, among the reads that both
map with confidence, how many lie on the same contig and strand with unclipped starts at most 5 bp apart.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from genoseq.errors import InputError
from genoseq.evaluate.placements import Placement

__all__ = ["CONFIDENT", "NEAR", "Agreement", "compare"]

CONFIDENT = 20  # mapping quality
NEAR = 5  # bp


@dataclass(frozen=True)
class Agreement:
    """Counts of reads (mates count one each).

    Attributes:
        reads: reads in either file.
        only_first, only_second: reads with a primary record in one file only (should be 0).
        mapped_first, mapped_second, mapped_both: reads mapped.
        confident_first, confident_second, confident_both: reads mapped with mapping quality 20 or better.
        agree: among ``confident_both``, same contig and strand, unclipped starts at most 5 bp apart.
        agree_position: among ``confident_both``, same contig and strand and the same POS.
    """

    reads: int
    only_first: int
    only_second: int
    mapped_first: int
    mapped_second: int
    mapped_both: int
    confident_first: int
    confident_second: int
    confident_both: int
    agree: int
    agree_position: int

    @property
    def agreement(self) -> float:
        """Share of the reads confident in both files that agree (0 to 1; 0 where there are none)."""
        return self.agree / self.confident_both if self.confident_both else 0.0


def _primaries(placements: Iterable[Placement], which: str) -> dict[tuple[str, int], Placement]:
    found: dict[tuple[str, int], Placement] = {}
    for placement in placements:
        if placement.rank != "primary":
            continue
        name = placement.name.removesuffix("/1").removesuffix("/2")
        if (name, placement.mate) in found:
            raise InputError(
                f"read {name!r}, mate {placement.mate + 1}, has two primary records in the {which} file",
                remedy="compare files in which each read occurs once",
            )
        found[name, placement.mate] = placement
    return found


def compare(
    first: Iterable[Placement], second: Iterable[Placement], *, confident: int = CONFIDENT, near: int = NEAR
) -> Agreement:
    """Compare the placements of the same reads by two mappers.

    Args:
        confident: mapping quality from which a placement is confident; without qualities every one is.
        near: largest distance in bp between unclipped starts that agree.

    Raises:
        InputError: a read has two primary records in one file.
    """
    left, right = _primaries(first, "first"), _primaries(second, "second")

    def mapped(placement: Placement | None) -> bool:
        return placement is not None and placement.contig is not None

    def sure(placement: Placement | None) -> bool:
        return (
            placement is not None
            and placement.contig is not None
            and (placement.quality is None or placement.quality >= confident)
        )

    agree = agree_position = mapped_both = confident_both = 0
    for key in left.keys() & right.keys():
        one, other = left[key], right[key]
        mapped_both += mapped(one) and mapped(other)
        if not (sure(one) and sure(other)):
            continue
        confident_both += 1
        if one.contig == other.contig and one.reverse == other.reverse:
            agree += abs(one.start - other.start) <= near
            agree_position += one.position == other.position
    return Agreement(
        reads=len(left.keys() | right.keys()),
        only_first=len(left.keys() - right.keys()),
        only_second=len(right.keys() - left.keys()),
        mapped_first=sum(map(mapped, left.values())),
        mapped_second=sum(map(mapped, right.values())),
        mapped_both=mapped_both,
        confident_first=sum(map(sure, left.values())),
        confident_second=sum(map(sure, right.values())),
        confident_both=confident_both,
        agree=agree,
        agree_position=agree_position,
    )
