"""One alignment record as a plain object."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pysam

__all__ = ["Alignment"]


@dataclass(frozen=True, slots=True, repr=False)
class Alignment:
    """One SAM record. Coordinates are 0-based and half-open.

    Attributes:
        name: of the read.
        flag: SAM flags.
        contig: reference name, or None if unmapped and without a mapped mate.
        start, end: aligned stretch of the contig; -1 if unmapped.
        mapq: mapping quality, 0 to 60.
        cigar: ``*`` if unmapped.
        mate_contig, mate_start: of the mate, or None and -1.
        template_length: signed, bp; 0 where it is not defined.
        sequence, quality: as written, that is reverse complemented for the reverse strand; ``*`` where left out.
        tags: the optional fields, by tag.
        sam: the whole line.
    """

    name: str
    flag: int
    contig: str | None
    start: int
    end: int
    mapq: int
    cigar: str
    mate_contig: str | None
    mate_start: int
    template_length: int
    sequence: str
    quality: str
    tags: dict[str, int | str]
    sam: str

    def __repr__(self) -> str:
        """What one looks for, on one line; the rest is in the attributes."""
        place = f"{self.contig}:{self.start}-{self.end} {self.strand} mapq={self.mapq} {self.cigar}"
        secondary = " secondary" if self.is_secondary else ""
        return f"<Alignment {self.name} {place if self.is_mapped else 'unmapped'}{secondary}>"

    @classmethod
    def from_sam(cls, line: str) -> Alignment:
        """Read a SAM line."""
        name, flag, contig, position, mapq, cigar, next_contig, next_position, length, seq, qual, *rest = line.split("\t")
        tags: dict[str, int | str] = {}
        for text in rest:
            tag, kind, value = text.split(":", 2)
            tags[tag] = int(value) if kind == "i" else value
        mapped = cigar != "*"
        start = int(position) - 1
        here = None if contig == "*" else contig
        return cls(
            name=name,
            flag=int(flag),
            contig=here,
            start=start if mapped else -1,
            end=start + _reference_span(cigar) if mapped else -1,
            mapq=int(mapq),
            cigar=cigar,
            mate_contig=here if next_contig == "=" else None if next_contig == "*" else next_contig,
            mate_start=int(next_position) - 1,
            template_length=int(length),
            sequence=seq,
            quality=qual,
            tags=tags,
            sam=line,
        )

    @property
    def is_mapped(self) -> bool:
        """Whether the read has a place."""
        return not self.flag & 4

    @property
    def strand(self) -> str:
        """``+`` or ``-``."""
        return "-" if self.flag & 16 else "+"

    @property
    def is_secondary(self) -> bool:
        """Whether this is another place of a read whose primary record came before."""
        return bool(self.flag & 256)

    @property
    def is_proper_pair(self) -> bool:
        """Whether both mates lie as the library lets expect."""
        return bool(self.flag & 2)

    @property
    def edits(self) -> int | None:
        """Edit distance to the reference over the aligned part (NM)."""
        value = self.tags.get("NM")
        return value if isinstance(value, int) else None

    @property
    def score(self) -> int | None:
        """Alignment score (AS)."""
        value = self.tags.get("AS")
        return value if isinstance(value, int) else None

    def to_pysam(self, header: pysam.AlignmentHeader) -> pysam.AlignedSegment:
        """The record for pysam; the header is that of :meth:`genoseq.Aligner.pysam_header`."""
        import pysam

        return pysam.AlignedSegment.fromstring(self.sam, header)


def _reference_span(cigar: str) -> int:
    """Reference bases that a CIGAR covers.

    >>> _reference_span("3S10M2D5M1I4M")
    21
    """
    span = size = 0
    for character in cigar:
        if character.isdigit():
            size = size * 10 + int(character)
        else:
            span += size if character in "MDN=X" else 0
            size = 0
    return span
