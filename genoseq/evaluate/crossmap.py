"""Truth for reads of one species mapped to the genome of another, from an alignment of the two genomes.

Reads are simulated on the genome of species A (their names say from where) and mapped to the genome of species B. The
truth is lifted over base by base through a whole-genome alignment (PAF with CIGARs, as ``minimap2 -x asm20 -c`` writes):
each base of a read that is aligned to a base of B says where the read would start on B; where more than half of the
read's bases are aligned to one contig and strand, the median of these starts is the true start. Reads without such a
majority (sequence that B lacks, or that diverged beyond what the alignment sees) have no truth and are not judged; how
many have one is part of the result, the same for every tool.
"""

from __future__ import annotations

import re
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

OPERATION = re.compile(r"(\d+)([MIDN=X])")
SPREAD = 40  # bp: starts implied by single bases count for the majority when this near to the median


def align_genomes(source: Path, target: Path, paf: Path, *, threads: int = 1) -> None:
    """Align the genome that reads are taken from (``source``) to the one they are mapped to, with minimap2 -x asm20.

    Raises:
        CommandError: minimap2 is not installed or failed.
    """
    program = find_program("minimap2")
    if program is None:
        raise CommandError("minimap2 is not installed (looked on PATH); it makes the truth across species")
    command = [program, "-t", str(threads), "-x", "asm20", "-c", "--secondary=no", str(target), str(source)]
    run_measured(command, stdout=paf)


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
    def from_paf(cls, path: Path) -> Lift:
        """Read primary alignments; where two cover the same source base, the one with more matching bases holds.

        Raises:
            InputError: a line is not PAF or has no ``cg:Z:`` tag.
        """
        lift = cls()
        lines: list[tuple[int, int, list[str], str]] = []
        with open(path) as stream:
            for number, line in enumerate(stream, start=1):
                fields = line.rstrip("\n").split("\t")
                cigar = next((field[5:] for field in fields[12:] if field.startswith("cg:Z:")), None)
                if len(fields) < 12 or cigar is None:
                    raise InputError(
                        "not a PAF line with a cg:Z: tag",
                        path=path,
                        line=number,
                        remedy="align with minimap2 -c",
                    )
                if "tp:A:S" not in fields:
                    lines.append((int(fields[9]), number, fields, cigar))
        for _, _, fields, cigar in sorted(lines):  # the best last: it overwrites
            lift._add(fields, cigar)
        return lift

    def _add(self, fields: list[str], cigar: str) -> None:
        name, length = fields[0], int(fields[1])
        if name not in self._tracks:
            self._tracks[name] = _Track(
                np.full(length, -1, np.int32), np.zeros(length, np.int64), np.zeros(length, np.bool_)
            )
        if fields[5] not in self.targets:
            self.targets.append(fields[5])
        track, contig, reverse = self._tracks[name], self.targets.index(fields[5]), fields[4] == "-"
        source = int(fields[3]) - 1 if reverse else int(fields[2])
        step = -1 if reverse else 1
        target = int(fields[7])
        for size_text, operation in OPERATION.findall(cigar):
            size = int(size_text)
            if operation in "M=X":
                bases = source + step * np.arange(size)
                track.contig[bases] = contig
                track.position[bases] = target + np.arange(size)
                track.reverse[bases] = reverse
            if operation in "MI=X":
                source += step * size
            if operation in "MDN=X":
                target += size

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
