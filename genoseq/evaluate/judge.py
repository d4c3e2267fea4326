"""Which reads a mapper put where they came from, by mapping quality.

The judgement looks at the primary record of each read (each mate of a pair by itself). *Correct*: on the contig and
the strand the read was taken from, with its unclipped start (:mod:`genoseq.evaluate.placements`) at most 40 bp from
the true start. *Wrong*: mapped elsewhere. *Unmapped*: a record that says so. *Lost*: no primary record at all.
*Invented*: primary records beyond one per read, or of reads that were never given.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from genoseq.evaluate.placements import Placement
from genoseq.evaluate.truth import Truth, parse_name

__all__ = ["TOLERANCE", "CurvePoint", "Judgement", "judge"]

TOLERANCE = 40  # bp
UNMAPPED, CORRECT, WRONG = 1, 2, 3  # states of a read; 0 is a read not seen


class CurvePoint(NamedTuple):
    """Reads placed with mapping quality ``quality`` or better."""

    quality: int
    placed: int
    wrong: int

    @property
    def error(self) -> float:
        """Share of wrong ones among the placed (0 where none is placed)."""
        return self.wrong / self.placed if self.placed else 0.0


@dataclass(frozen=True)
class Judgement:
    """Counts over reads (mates count one each), with what the shares are of in ``reads``.

    Attributes:
        reads: reads given to the mapper; where that is not known, primary records seen.
        correct, wrong, unmapped, lost: add up to ``reads``.
        invented: primary records beyond one per read given.
        secondary, supplementary: records of these ranks (not judged).
        pairs, pairs_correct, pairs_proper: pairs with two primary records; with both mates correct; flagged proper.
        has_quality: the tool gives mapping qualities.
        correct_by_quality, wrong_by_quality: shape (256,).
    """

    reads: int
    correct: int
    wrong: int
    unmapped: int
    lost: int
    invented: int
    secondary: int = 0
    supplementary: int = 0
    pairs: int = 0
    pairs_correct: int = 0
    pairs_proper: int = 0
    has_quality: bool = True
    correct_by_quality: NDArray[np.int64] = field(default_factory=lambda: np.zeros(256, np.int64))
    wrong_by_quality: NDArray[np.int64] = field(default_factory=lambda: np.zeros(256, np.int64))

    def share(self, count: int) -> float:
        """``count`` as a share of the reads (0 to 1)."""
        return count / self.reads if self.reads else 0.0

    def at_least(self, quality: int) -> CurvePoint:
        """Placed and wrong reads of mapping quality ``quality`` or better."""
        wrong = int(self.wrong_by_quality[quality:].sum())
        return CurvePoint(quality, wrong + int(self.correct_by_quality[quality:].sum()), wrong)

    def curve(self) -> list[CurvePoint]:
        """One point per mapping quality in use, from the best down: the cumulative error curve."""
        if not self.has_quality:
            return []
        used = np.nonzero(self.correct_by_quality + self.wrong_by_quality)[0]
        return [self.at_least(int(quality)) for quality in used[::-1]]


def _is_correct(placement: Placement, truth: Truth, tolerance: int) -> bool:
    place = truth.places[placement.mate]
    return (
        placement.contig == place.contig
        and placement.reverse == place.reverse
        and abs(placement.start - place.start) <= tolerance
    )


def judge(
    placements: Iterable[Placement],
    *,
    expected: int | None = None,
    tolerance: int = TOLERANCE,
    silent: bool = False,
    truth_of: Callable[[str], Truth] = parse_name,
) -> Judgement:
    """Judge a mapper's placements of simulated reads against the truth in their names.

    Args:
        placements: every record, in any order.
        expected: number of reads or pairs given to the mapper (numbered 1 to ``expected`` in their names), to count the
            lost ones; None: not known, nothing counts as lost.
        tolerance: largest distance in bp between the unclipped and the true start.
        silent: the tool writes no record for an unmapped read (LAST): reads not seen are unmapped, not lost.
        truth_of: read name to truth; by default the truth that the name itself states.

    Raises:
        InputError: a read name carries no truth.
    """
    seen: dict[tuple[int, int], int] = {}
    correct_by_quality, wrong_by_quality = np.zeros(256, np.int64), np.zeros(256, np.int64)
    ranks = {"secondary": 0, "supplementary": 0}
    mates = 1
    invented = 0
    proper = 0
    has_quality = True
    for placement in placements:
        if placement.rank != "primary":
            ranks[placement.rank] += 1
            continue
        truth = truth_of(placement.name)
        mates = max(mates, len(truth.places))
        key = (truth.number, placement.mate)
        unknown = expected is not None and not 1 <= truth.number <= expected
        if key in seen or unknown or placement.mate >= len(truth.places):
            invented += 1
            continue
        if placement.contig is None:
            seen[key] = UNMAPPED
            continue
        is_correct = _is_correct(placement, truth, tolerance)
        seen[key] = CORRECT if is_correct else WRONG
        has_quality = has_quality and placement.quality is not None
        (correct_by_quality if is_correct else wrong_by_quality)[placement.quality or 0] += 1
        proper += placement.mate == 0 and placement.proper
    states = np.fromiter(seen.values(), np.int64, len(seen))
    correct, wrong, unmapped = (int((states == state).sum()) for state in (CORRECT, WRONG, UNMAPPED))
    reads = len(seen) if expected is None else expected * mates
    missing = reads - len(seen)
    second = {number: state for (number, mate), state in seen.items() if mate == 1}
    first = {number: state for (number, mate), state in seen.items() if mate == 0 and number in second}
    return Judgement(
        reads=reads,
        correct=correct,
        wrong=wrong,
        unmapped=unmapped + (missing if silent else 0),
        lost=0 if silent else missing,
        invented=invented,
        secondary=ranks["secondary"],
        supplementary=ranks["supplementary"],
        pairs=len(first),
        pairs_correct=sum(state == CORRECT == second[number] for number, state in first.items()),
        pairs_proper=proper,
        has_quality=has_quality,
        correct_by_quality=correct_by_quality,
        wrong_by_quality=wrong_by_quality,
    )
