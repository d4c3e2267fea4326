from __future__ import annotations

from pathlib import Path

import pytest

from genoseq.errors import InputError
from genoseq.evaluate.judge import CurvePoint, judge
from genoseq.evaluate.placements import Placement, read_sam
from genoseq.evaluate.truth import Place, Truth, format_name


def name(number: int, start: int = 100, *, reverse: bool = False, contig: str = "one") -> str:
    return format_name(Truth(number, (Place(contig, start, start + 100, reverse),)))


def placed(
    read: str,
    start: int = 100,
    *,
    contig: str | None = "one",
    reverse: bool = False,
    quality: int | None = 60,
    mate: int = 0,
    rank: str = "primary",
    proper: bool = False,
) -> Placement:
    return Placement(read, mate, contig, reverse, start, start, quality, rank, proper)


def test_verdicts_of_a_hand_made_sam(tmp_path: Path) -> None:
    lines = [
        "@HD\tVN:1.6",
        "@SQ\tSN:one\tLN:10000",
        "@SQ\tSN:two\tLN:10000",
        f"{name(1)}\t0\tone\t101\t60\t100M\t*\t0\t0\t*\t*",  # exact
        f"{name(2)}\t0\tone\t141\t60\t100M\t*\t0\t0\t*\t*",  # 40 bp off: still correct
        f"{name(3)}\t0\tone\t142\t30\t100M\t*\t0\t0\t*\t*",  # 41 bp off
        f"{name(4)}\t16\tone\t101\t20\t100M\t*\t0\t0\t*\t*",  # other strand
        f"{name(5)}\t0\ttwo\t101\t3\t100M\t*\t0\t0\t*\t*",  # other contig
        f"{name(6, reverse=True)}\t16\tone\t161\t50\t60S40M\t*\t0\t0\t*\t*",  # right when the clip is counted back
        f"{name(7)}\t4\t*\t0\t0\t*\t*\t0\t0\t*\t*",
        f"{name(1)}\t256\ttwo\t101\t0\t100M\t*\t0\t0\t*\t*",
        f"{name(1)}\t2048\ttwo\t101\t60\t50H50M\t*\t0\t0\t*\t*",
        f"{name(2)}\t0\ttwo\t101\t60\t100M\t*\t0\t0\t*\t*",  # a second primary
        f"{name(99)}\t0\tone\t101\t60\t100M\t*\t0\t0\t*\t*",  # never given
    ]
    path = tmp_path / "a.sam"
    path.write_text("\n".join(lines) + "\n")
    judged = judge(read_sam(path), expected=9)
    assert (judged.reads, judged.correct, judged.wrong, judged.unmapped, judged.lost) == (9, 3, 3, 1, 2)
    assert (judged.invented, judged.secondary, judged.supplementary) == (2, 1, 1)
    assert judged.curve() == [
        CurvePoint(60, 2, 0),
        CurvePoint(50, 3, 0),
        CurvePoint(30, 4, 1),
        CurvePoint(20, 5, 2),
        CurvePoint(3, 6, 3),
    ]
    assert judged.at_least(21) == CurvePoint(21, 4, 1)
    assert judged.at_least(21).error == pytest.approx(0.25)
    assert judged.share(judged.correct) == pytest.approx(1 / 3)


def test_the_tolerance_is_an_option() -> None:
    reads = [placed(name(1), 106)]
    assert judge(reads, tolerance=5).correct == 0
    assert judge(reads, tolerance=6).correct == 1


def test_without_the_number_given_nothing_is_lost() -> None:
    judged = judge([placed(name(1)), placed(name(7), contig=None)])
    assert (judged.reads, judged.correct, judged.unmapped, judged.lost) == (2, 1, 1, 0)


def test_reads_a_silent_tool_does_not_mention_are_unmapped() -> None:
    judged = judge([placed(name(1), quality=None)], expected=4, silent=True)
    assert (judged.reads, judged.correct, judged.unmapped, judged.lost) == (4, 1, 3, 0)
    assert not judged.has_quality
    assert judged.curve() == []


def test_mates_are_judged_each_and_as_pairs() -> None:
    def pair(number: int) -> str:
        return format_name(Truth(number, (Place("one", 100, 200, False), Place("one", 400, 500, True))))

    judged = judge(
        [
            placed(pair(1), 100, proper=True),
            placed(pair(1), 400, reverse=True, mate=1, proper=True),
            placed(pair(2), 100),
            placed(pair(2), 400, mate=1),  # strand of the second mate is wrong
            placed(pair(3), 100),  # its mate is lost
        ],
        expected=3,
    )
    assert (judged.reads, judged.correct, judged.wrong, judged.lost) == (6, 4, 1, 1)
    assert (judged.pairs, judged.pairs_correct, judged.pairs_proper) == (2, 1, 1)


def test_a_second_mate_of_a_single_read_is_invented() -> None:
    judged = judge([placed(name(1)), placed(name(1), mate=1)], expected=1)
    assert (judged.reads, judged.correct, judged.invented) == (1, 1, 1)


def test_a_read_without_truth_is_an_error() -> None:
    with pytest.raises(InputError, match="carries no truth"):
        judge([placed("SRR1.1")])
