from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from genoseq.errors import InputError
from genoseq.evaluate.crossmap import Lift, align_genomes, judge_crossmap, lift_names
from genoseq.evaluate.placements import Placement
from genoseq.evaluate.truth import Place, Truth, format_name


def block(
    start: int,
    target: str,
    source_start: int,
    source: str,
    *,
    strand: str = "+",
    score: int = 50,
    names: tuple[str, str] = ("t", "q"),
) -> str:
    rows = ((names[0], start, "+", 5000, target), (names[1], source_start, strand, 1000, source))
    lines = [f"s {name} {at} {len(text) - text.count('-')} {way} {total} {text}" for name, at, way, total, text in rows]
    return "\n".join([f"a score={score} mismap=1e-09", *lines, "p !!!!", ""])


def maf(path: Path, *blocks: str) -> Path:
    path.write_text("# LAST version 1447\n" + "\n".join(blocks))
    return path


def bases(size: int) -> str:
    return "ACGT" * (size // 4) + "ACGT"[: size % 4]


def gap(size: int) -> str:
    return "-" * size


def test_a_forward_alignment_moves_a_read_by_the_indels_before_it(tmp_path: Path) -> None:
    target = bases(210) + gap(20) + bases(180)
    source = bases(100) + gap(10) + bases(300)
    lift = Lift.from_maf(maf(tmp_path / "a.maf", block(2000, target, 100, source)))
    assert lift.lift(Place("q", 120, 180, False)) == Place("t", 2020, 2080, False)
    assert lift.lift(Place("q", 220, 280, True)) == Place("t", 2130, 2190, True)
    assert lift.lift(Place("q", 340, 400, False)) == Place("t", 2230, 2290, False)  # behind the insertion


def test_a_reverse_alignment_turns_the_strand(tmp_path: Path) -> None:
    # MAF counts the source from its end: base 199 is 800 there and lies at 2000, base 160 at 2039, base 159 at 2045
    text = block(2000, bases(105), 800, bases(40) + gap(5) + bases(60), strand="-")
    lift = Lift.from_maf(maf(tmp_path / "a.maf", text))
    assert lift.lift(Place("q", 180, 200, False)) == Place("t", 2000, 2020, True)
    assert lift.lift(Place("q", 100, 130, True)) == Place("t", 2075, 2105, False)


def test_a_read_mostly_outside_of_alignments_has_no_truth(tmp_path: Path) -> None:
    lift = Lift.from_maf(maf(tmp_path / "a.maf", block(2000, bases(100), 100, bases(100))))
    assert lift.lift(Place("q", 50, 150, False)) is None  # just half
    assert lift.lift(Place("q", 52, 152, False)) == Place("t", 1952, 2052, False)
    assert lift.lift(Place("other", 50, 150, False)) is None


def test_the_better_of_two_alignments_holds(tmp_path: Path) -> None:
    best = block(10, bases(100), 100, bases(100), score=90, names=("best", "q"))
    worse = block(20, bases(100), 100, bases(100), score=80, names=("worse", "q"))
    assert Lift.from_maf(maf(tmp_path / "a.maf", best, worse)).lift(Place("q", 100, 200, False)) == Place(
        "best", 10, 110, False
    )


def test_a_large_deletion_in_the_middle_leaves_no_single_place(tmp_path: Path) -> None:
    source = bases(50) + gap(2000) + bases(50)
    lift = Lift.from_maf(maf(tmp_path / "a.maf", block(0, bases(2100), 0, source)))
    assert lift.lift(Place("q", 0, 100, False)) is None


@pytest.mark.parametrize(
    "text",
    [
        block(0, bases(10), 0, bases(9)),
        "a score=5\ns t 0 4 + 10 ACGT\ns q 0 4 + 10 ACGT\ns r 0 4 + 10 ACGT\n",
        "a score=5\ns t 0 4 + 10\n",
        "a score=5\ns t 8 4 + 10 ACGT\n",
        "chain 5\n",
    ],
)
def test_what_is_no_pairwise_maf_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(InputError, match=r"a\.maf.*line \d+.*not pairwise MAF"):
        Lift.from_maf(maf(tmp_path / "a.maf", text))


def test_reads_are_judged_against_the_lifted_truth(tmp_path: Path) -> None:
    lift = Lift.from_maf(maf(tmp_path / "a.maf", block(1000, bases(500), 0, bases(500))))
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


@pytest.mark.skipif(shutil.which("lastal") is None, reason="LAST is not installed")
def test_the_truth_of_reads_comes_from_an_alignment_of_the_genomes(tmp_path: Path) -> None:
    random = np.random.default_rng(3)
    source = random.choice(list("ACGT"), 20000)
    target = source.copy()
    spots = random.random(20000) < 0.1
    target[spots] = random.choice(list("ACGT"), int(spots.sum()))
    target = np.concatenate([target[:8000], target[9000:]])  # a deletion of 1,000 bases
    for name, sequence in (("q", source), ("t", target)):
        (tmp_path / f"{name}.fa").write_text(f">{name}\n{''.join(sequence)}\n")
    align_genomes(tmp_path / "q.fa", tmp_path / "t.fa", tmp_path / "a.maf", work=tmp_path)
    lift = Lift.from_maf(tmp_path / "a.maf")
    assert lift.lift(Place("q", 1000, 1150, True)) == Place("t", 1000, 1150, True)
    assert lift.lift(Place("q", 15000, 15150, False)) == Place("t", 14000, 14150, False)
    assert lift.lift(Place("q", 8400, 8550, False)) is None
