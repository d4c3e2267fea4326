"""Where a mapper put each read: one stream of placements from SAM, BAM, CRAM, or LAST's TAB and MAF.

The start of a placement is *unclipped*: the leftmost aligned reference base, moved left by the read bases clipped (soft
or hard) before it. It estimates where the first base of the read, as it lies on the forward strand, would be; it may be
negative at the edge of a contig. It is 0-based, on the forward strand, for both strands.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import pysam

from genoseq.errors import InputError

__all__ = ["Placement", "best_hits", "read_last", "read_placements", "read_sam"]

SOFT_CLIP, HARD_CLIP = 4, 5


class Placement(NamedTuple):
    """One record of a mapper for one read.

    Attributes:
        name: read name.
        mate: 0 for a single or first read, 1 for a second.
        contig: None for an unmapped read; then the fields behind it have no meaning.
        reverse: the read lies on the reverse strand.
        start: unclipped start (0-based; see the module).
        position: leftmost aligned base (0-based), as SAM's POS says.
        quality: mapping quality; None where the tool gives none.
        rank: "primary", "secondary" or "supplementary".
        proper: the pair is flagged as properly paired.
    """

    name: str
    mate: int
    contig: str | None
    reverse: bool
    start: int
    position: int
    quality: int | None
    rank: str
    proper: bool


def read_sam(path: Path, *, reference: Path | None = None) -> Iterator[Placement]:
    """Every record of a SAM, BAM or CRAM file, in file order.

    Raises:
        InputError: not such a file, or truncated.
    """
    verbosity = pysam.set_verbosity(0)  # what htslib prints to stderr is raised here as an error instead
    try:
        with pysam.AlignmentFile(
            str(path), "r", check_sq=False, reference_filename=None if reference is None else str(reference)
        ) as records:
            for record in records:
                clipped = 0
                for operation, length in record.cigartuples or ():
                    if operation not in (SOFT_CLIP, HARD_CLIP):
                        break
                    clipped += length
                yield Placement(
                    name=record.query_name or "*",
                    mate=int(record.is_read2),
                    contig=None if record.is_unmapped else record.reference_name,
                    reverse=record.is_reverse,
                    start=record.reference_start - clipped,
                    position=record.reference_start,
                    quality=record.mapping_quality,
                    rank="supplementary"
                    if record.is_supplementary
                    else "secondary"
                    if record.is_secondary
                    else "primary",
                    proper=record.is_proper_pair,
                )
    except (OSError, ValueError) as error:
        raise InputError(
            f"cannot be read as SAM, BAM or CRAM: {error}",
            path=path,
            remedy="check that the mapper finished and that the file is whole",
        ) from error
    finally:
        pysam.set_verbosity(verbosity)


class _LastHit(NamedTuple):
    score: float
    contig: str
    contig_start: int
    name: str
    read_start: int
    reverse: bool

    def placement(self) -> Placement:
        mate = 1 if self.name.endswith("/2") else 0
        start = self.contig_start - self.read_start
        return Placement(self.name, mate, self.contig, self.reverse, start, self.contig_start, None, "primary", False)


def _last_hits(path: Path) -> Iterator[_LastHit]:
    score = 0.0
    contig_line: list[str] = []
    with open(path) as lines:
        for number, line in enumerate(lines, start=1):
            if line.startswith("#") or not line.strip():
                continue
            fields = line.split()
            try:
                if line[0].isdigit():  # TAB: score, then name, start, size, strand, total of the contig and of the read
                    yield _LastHit(
                        float(fields[0]),
                        fields[1],
                        int(fields[2]),
                        fields[6],
                        int(fields[7]),
                        fields[9] == "-",
                    )
                elif fields[0] == "a":
                    score = float(fields[1].removeprefix("score="))
                    contig_line = []
                elif fields[0] == "s" and not contig_line:
                    contig_line = fields
                elif fields[0] == "s":
                    yield _LastHit(
                        score,
                        contig_line[1],
                        int(contig_line[2]),
                        fields[1],
                        int(fields[2]),
                        fields[4] == "-",
                    )
                elif fields[0] not in ("q", "p", "c"):
                    raise ValueError("unknown kind of line")
            except (ValueError, IndexError) as error:
                raise InputError(f"not a line of LAST's TAB or MAF: {error}", path=path, line=number) from error


def best_hits(hits: Iterable[_LastHit]) -> dict[str, _LastHit]:
    """The hit of highest score of each read; among equals, the one reported first."""
    best: dict[str, _LastHit] = {}
    for hit in hits:
        known = best.get(hit.name)
        if known is None or hit.score > known.score:
            best[hit.name] = hit
    return best


def read_last(path: Path) -> Iterator[Placement]:
    """The best hit of each read in ``lastal -f TAB`` or MAF output. Reads without a hit do not appear; no qualities."""
    for hit in best_hits(_last_hits(path)).values():
        yield hit.placement()


def read_placements(path: Path, *, reference: Path | None = None) -> Iterator[Placement]:
    """Placements from any format known here, told apart by content; ``-`` is SAM or BAM on standard input.

    Raises:
        InputError: the file cannot be read or is of none of the formats.
    """
    if str(path) == "-":
        return read_sam(path, reference=reference)
    try:
        with open(path, "rb") as stream:
            head = stream.read(64)
    except OSError as error:
        raise InputError(f"cannot be opened: {error.strerror}", path=path) from error
    if head.startswith((b"# LAST", b"#\n# LAST", b"a score=")):
        return read_last(path)
    return read_sam(path, reference=reference)
