from __future__ import annotations

from pathlib import Path

import pytest

from genoseq.errors import InputError
from genoseq.evaluate.crossmap import Lift, judge_crossmap, lift_names
from genoseq.evaluate.placements import Placement
from genoseq.evaluate.truth import Place, Truth, format_name


def paf(path: Path, *rows: tuple[object, ...]) -> Path:
    path.write_text("".join("\t".join(map(str, row)) + "\n" for row in rows))
    return path


def row(name: str, start: int, end: int, strand: str, target: str, at: int, cigar: str, matches: int = 50,
        kind: str = "P") -> tuple[object, ...]:  # fmt: skip
    return name, 1000, start, end, strand, target, 5000, at, at + 100, matches, 100, 60, f"tp:A:{kind}", f"cg:Z:{cigar}"


def test_a_forward_alignment_moves_a_read_by_the_indels_before_it(tmp_path: Path) -> None:
    lift = Lift.from_paf(paf(tmp_path / "a.paf", row("q", 100, 500, "+", "t", 2000, "100M10D100=20I50X130M")))
    assert lift.lift(Place("q", 120, 180, False)) == Place("t", 2020, 2080, False)
    assert lift.lift(Place("q", 220, 280, True)) == Place("t", 2130, 2190, True)
    assert lift.lift(Place("q", 340, 400, False)) == Place("t", 2230, 2290, False)  # behind the insertion


def test_a_reverse_alignment_turns_the_strand(tmp_path: Path) -> None:
    lift = Lift.from_paf(paf(tmp_path / "a.paf", row("q", 100, 200, "-", "t", 2000, "40M5D60M")))
    # base 199 lies at 2000, base 160 at 2039, base 159 at 2045, base 100 at 2104
    assert lift.lift(Place("q", 180, 200, False)) == Place("t", 2000, 2020, True)
    assert lift.lift(Place("q", 100, 130, True)) == Place("t", 2075, 2105, False)


def test_a_read_mostly_outside_of_alignments_has_no_truth(tmp_path: Path) -> None:
    lift = Lift.from_paf(paf(tmp_path / "a.paf", row("q", 100, 200, "+", "t", 2000, "100M")))
    assert lift.lift(Place("q", 50, 150, False)) is None  # just half
    assert lift.lift(Place("q", 52, 152, False)) == Place("t", 1952, 2052, False)
    assert lift.lift(Place("other", 50, 150, False)) is None


def test_the_better_of_two_alignments_holds_and_secondary_ones_do_not_count(tmp_path: Path) -> None:
    lift = Lift.from_paf(
        paf(
            tmp_path / "a.paf",
            row("q", 100, 200, "+", "best", 10, "100M", matches=90),
            row("q", 100, 200, "+", "worse", 20, "100M", matches=80),
            row("q", 100, 200, "+", "second", 30, "100M", matches=99, kind="S"),
        )
    )
    assert lift.lift(Place("q", 100, 200, False)) == Place("best", 10, 110, False)


def test_a_large_deletion_in_the_middle_leaves_no_single_place(tmp_path: Path) -> None:
    lift = Lift.from_paf(paf(tmp_path / "a.paf", row("q", 0, 100, "+", "t", 0, "50M2000D50M")))
    assert lift.lift(Place("q", 0, 100, False)) is None


def test_paf_without_cigars_is_refused(tmp_path: Path) -> None:
    path = paf(tmp_path / "a.paf", ("q", 10, 0, 10, "+", "t", 10, 0, 10, 10, 10, 60))
    with pytest.raises(InputError, match=r"a\.paf.*line 1.*minimap2 -c"):
        Lift.from_paf(path)


def test_reads_are_judged_against_the_lifted_truth(tmp_path: Path) -> None:
    lift = Lift.from_paf(paf(tmp_path / "a.paf", row("q", 0, 500, "+", "t", 1000, "500M")))
    names = [format_name(Truth(n, (Place("q", 10 * n, 10 * n + 50, False),))) for n in range(1, 5)]
    names.append(format_name(Truth(5, (Place("q", 900, 950, False),))))
    truths = lift_names(lift, names)
    assert list(truths) == names[:4]
    placements = [
        Placement(names[0], 0, "t", False, 1010, 1010, 60, "primary", False),
        Placement(names[1], 0, "t", True, 1020, 1020, 60, "primary", False),
        Placement(names[2], 0, None, False, 0, 0, 0, "primary", False),
        Placement(names[4], 0, "t", False, 5, 5, 60, "primary", False),
    ]
    found = judge_crossmap(placements, truths, reads=5)
    judged = found.judgement
    assert (judged.reads, judged.correct, judged.wrong, judged.unmapped, judged.lost) == (4, 1, 1, 1, 1)
    assert (found.reads, found.mapped_without_truth) == (5, 1)


def test_pairs_have_no_truth_across_species(tmp_path: Path) -> None:
    pair = format_name(Truth(1, (Place("q", 0, 50, False), Place("q", 100, 150, True))))
    with pytest.raises(InputError, match="is a pair"):
        lift_names(Lift(), [pair])
