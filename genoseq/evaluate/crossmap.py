"""Truth for reads of one species mapped to the genome of another, from an alignment of the two genomes.

Reads are simulated on the genome of species A (their names say from where) and mapped to the genome of species B. The
truth is lifted over base by base through a whole-genome alignment by LAST, split so that each base of A is aligned at
most once and only where another place is unlikely (mismap probability 0.001 or less): each base of a read that is
aligned to a base of B says where the read would start on B; where more than half of the read's bases are aligned to
one contig and strand, the median of these starts is the true start. Reads without such a majority (sequence that B
lacks, repeats, or what diverged beyond what the alignment sees) have no truth and are not judged; how many have one
is part of the result, the same for every tool.

The alignment is made of whole genomes, with all the context a single read lacks. It is LAST's all the same, so LAST's
own figures on these reads are the least independent ones.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from genoseq.errors import InputError
from genoseq.evaluate.judge import Judgement, judge
from genoseq.evaluate.measure import CommandError, run_measured
from genoseq.evaluate.peers import find_program
from genoseq.evaluate.placements import Placement
from genoseq.evaluate.truth import Place, Truth, parse_name

__all__ = ["CrossJudgement", "Lift", "align_genomes", "judge_crossmap", "lift_names"]

SPREAD = 40  # bp: starts implied by single bases count for the majority when this near to the median


def align_genomes(source: Path, target: Path, maf: Path, *, work: Path, threads: int = 1) -> None:
    """Align the genome that reads are taken from (``source``) to the one they are mapped to, with LAST.

    Args:
        maf: alignment to write.
        work: folder for LAST's index of ``target``; it must be there.

    Raises:
        CommandError: LAST is not installed or failed.
    """
    programs = [find_program("lastdb"), find_program("lastal")]
    if None in programs:
        raise CommandError("LAST (lastdb, lastal) is not installed; it makes the truth across species")
    lastdb, lastal = (str(program) for program in programs)
    index = str(work / "target")
    run_measured([lastdb, "-P", str(threads), index, str(target)])
    run_measured([lastal, "-P", str(threads), "--split", "--split-m=0.001", index, str(source)], stdout=maf)


@dataclass
class _Track:
    """For each base of one source contig: target contig (number, -1 none), position there, and strand."""

    contig: NDArray[np.int32]
    position: NDArray[np.int64]
    reverse: NDArray[np.bool_]


class Lift:
    """Base-by-base lift-over from a source to a target genome."""

    def __init__(self) -> None:
        self.targets: list[str] = []
        self._tracks: dict[str, _Track] = {}

    @classmethod
    def from_maf(cls, path: Path) -> Lift:
        """Read pairwise alignments (target first); where two cover the same source base, the better score holds.

        Raises:
            InputError: a line is not MAF, or an alignment is not of two sequences.
        """
        blocks: list[tuple[float, int, list[str], list[str]]] = []
        score = 0.0
        rows: list[list[str]] = []
        with open(path) as stream:
            for number, line in enumerate(stream, start=1):
                fields = line.split()
                try:
                    if not fields:
                        rows = []
                    elif fields[0] == "a":
                        score, rows = float(fields[1].removeprefix("score=")), []
                    elif fields[0] == "s":
                        _, _, start, size, strand, total, text = fields
                        if strand not in "+-" or int(start) + int(size) > int(total) or not text:
                            raise ValueError(f"place {start} {size} {strand} {total}")
                        rows.append(fields)
                        if len(rows) == 2:
                            blocks.append((score, number, rows[0], rows[1]))
                    elif fields[0] not in ("p", "q", "c") and line[0] != "#":
                        raise ValueError("unknown kind of line")
                    if len(rows) > 2 or (len(rows) == 2 and len(rows[0][6]) != len(rows[1][6])):
                        raise ValueError("expected two rows of the same length")
                except (ValueError, IndexError) as error:
                    raise InputError(f"not pairwise MAF: {error}", path=path, line=number) from error
        lift = cls()
        for _, _, target, source in sorted(blocks):  # the best last: it overwrites
            lift._add(target, source)
        return lift

    def _add(self, target: list[str], source: list[str]) -> None:
        name, length = source[1], int(source[5])
        if name not in self._tracks:
            self._tracks[name] = _Track(
                np.full(length, -1, np.int32), np.zeros(length, np.int64), np.zeros(length, np.bool_)
            )
        if target[1] not in self.targets:
            self.targets.append(target[1])
        solid = [np.frombuffer(row[6].encode(), np.uint8) != ord("-") for row in (target, source)]
        places = [int(row[2]) + np.cumsum(here) - 1 for row, here in zip((target, source), solid, strict=True)]
        both = solid[0] & solid[1]
        reverse = source[4] == "-"  # then MAF counts from the end of the source
        bases = length - 1 - places[1][both] if reverse else places[1][both]
        track = self._tracks[name]
        track.contig[bases] = self.targets.index(target[1])
        track.position[bases] = places[0][both]
        track.reverse[bases] = reverse

    def lift(self, place: Place) -> Place | None:
        """Where the read from ``place`` belongs on the target; None where no majority of its bases says so."""
        track = self._tracks.get(place.contig)
        if track is None:
            return None
        bases = np.arange(place.start, place.end)
        contig = track.contig[bases]
        key = np.where(contig < 0, -1, 2 * contig + track.reverse[bases])
        kinds, counts = np.unique(key[key >= 0], return_counts=True)
        if not counts.size or 2 * counts.max() <= bases.size:
            return None
        kind = int(kinds[counts.argmax()])
        aligned = bases[key == kind]
        reverse = bool(kind % 2)
        before = place.end - 1 - aligned if reverse else aligned - place.start
        implied = track.position[aligned] - before
        start = int(np.median(implied))
        if 2 * int((np.abs(implied - start) <= SPREAD).sum()) <= bases.size:
            return None
        return Place(self.targets[kind // 2], start, start + bases.size, place.reverse != reverse)


def lift_names(lift: Lift, names: Iterable[str]) -> dict[str, Truth]:
    """Truth on the target for each read name that has one, numbered anew from 1. Single reads only."""
    truths: dict[str, Truth] = {}
    for name in names:
        places = parse_name(name).places
        if len(places) != 1:
            raise InputError(f"read {name!r} is a pair; the truth across species is made for single reads")
        lifted = lift.lift(places[0])
        if lifted is not None:
            truths[name] = Truth(len(truths) + 1, (lifted,))
    return truths


@dataclass(frozen=True)
class CrossJudgement:
    """Reads simulated, the judgement of those with a truth, and how many of the others were mapped all the same."""

    reads: int
    judgement: Judgement
    mapped_without_truth: int


def judge_crossmap(
    placements: Iterable[Placement], truths: dict[str, Truth], *, reads: int, silent: bool = False
) -> CrossJudgement:
    """Judge placements on the target genome against lifted truths (``reads``: how many were simulated)."""
    known: list[Placement] = []
    without = 0
    for placement in placements:
        if placement.name in truths:
            known.append(placement)
        elif placement.rank == "primary" and placement.contig is not None:
            without += 1
    judged = judge(known, expected=len(truths), silent=silent, truth_of=truths.__getitem__)
    return CrossJudgement(reads, judged, without)
