from __future__ import annotations

import pytest

from genoseq.errors import InputError
from genoseq.evaluate.agreement import compare
from genoseq.evaluate.placements import Placement


def at(
    name: str,
    start: int,
    *,
    contig: str | None = "one",
    quality: int | None = 60,
    reverse: bool = False,
    mate: int = 0,
    rank: str = "primary",
    position: int | None = None,
) -> Placement:
    leftmost = start if position is None else position
    return Placement(name, mate, contig, reverse, start, leftmost, quality, rank, False)


def test_every_way_to_agree_and_differ_is_counted() -> None:
    ours = [
        at("same", 100),
        at("near", 100),
        at("clipped", 100, position=108),
        at("far", 100),
        at("strand", 100),
        at("contig", 100),
        at("unsure", 100, quality=19),
        at("unmapped", 0, contig=None),
        at("ours", 100),
        at("same", 900, rank="supplementary"),
    ]
    theirs = [
        at("same/1", 100),
        at("near", 105),
        at("clipped", 100, position=100),
        at("far", 106),
        at("strand", 100, reverse=True),
        at("contig", 100, contig="two"),
        at("unsure", 100),
        at("unmapped", 100),
        at("theirs", 0, contig=None),
    ]
    found = compare(ours, theirs)
    assert (found.reads, found.only_first, found.only_second) == (10, 1, 1)
    assert (found.mapped_first, found.mapped_second, found.mapped_both) == (8, 8, 7)
    assert (found.confident_first, found.confident_second, found.confident_both) == (7, 8, 6)
    assert (found.agree, found.agree_position) == (3, 1)
    assert found.agreement == pytest.approx(0.5)


def test_mates_are_compared_with_their_own_kind() -> None:
    found = compare([at("r", 100), at("r", 400, mate=1)], [at("r", 400, mate=1), at("r", 100)])
    assert (found.reads, found.agree) == (2, 2)


def test_the_distance_and_the_quality_are_options() -> None:
    ours, theirs = [at("r", 100, quality=10)], [at("r", 120)]
    assert compare(ours, theirs).confident_both == 0
    assert compare(ours, theirs).agreement == 0
    assert compare(ours, theirs, confident=10).agree == 0
    assert compare(ours, theirs, confident=10, near=20).agree == 1


def test_two_primary_records_of_a_read_are_an_error() -> None:
    with pytest.raises(InputError, match="'r', mate 1, has two primary records in the second file"):
        compare([at("r", 1)], [at("r", 1), at("r", 5)])
