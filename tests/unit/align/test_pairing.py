"""Insert sizes, mate rescue, and the choice of a pair."""

from __future__ import annotations

import numpy as np
import pytest
from sam_rules import reverse_complement
from small_genome import letters, with_edits

from genoseq.align.aligner import Aligner
from genoseq.align.mapq import chance_score
from genoseq.align.pairing import InsertModel, choose_pair, insert_size, learn_inserts, rescue_batch, sample_inserts
from genoseq.align.place import Places
from genoseq.align.scoring import END_BONUS, MATCH
from genoseq.seqs.alphabet import CODES
from genoseq.seqs.batch import batch_of
from genoseq.seqs.record import Record

FR, RF = 0, 1
LEARNED = InsertModel(FR, 300.0, 30.0, 180, 420, 1, 1000)
WHOLE = 100 * MATCH + 2 * END_BONUS
BASES = 5_000_000


def test_insert_size_is_from_outer_end_to_outer_end() -> None:
    assert insert_size(FR, 1000, 0, 100, 1200, 1, 100) == 300
    assert insert_size(FR, 1200, 1, 100, 1000, 0, 100) == 300
    assert insert_size(FR, 1200, 0, 100, 1000, 1, 100) == -1  # they point away from each other
    assert insert_size(RF, 1200, 0, 100, 1000, 1, 100) == 300
    assert insert_size(RF, 1000, 1, 100, 1200, 0, 100) == 300
    assert insert_size(RF, 1000, 0, 100, 1200, 1, 100) == -1
    for orientation in (FR, RF):
        for strand in (0, 1):
            assert insert_size(orientation, 1000, strand, 100, 1200, strand, 100) == -1
    assert insert_size(FR, 1000, 0, 100, 1000, 1, 100) == 100  # a fragment of one read's length
    assert insert_size(FR, 1000, 0, 100, 960, 1, 100) == 60  # adapters read through: both reads pass the other's beginning


def test_insert_size_does_not_depend_on_which_mate_is_first() -> None:
    rng = np.random.default_rng(0)
    for _ in range(300):
        one = (int(rng.integers(0, 1000)), int(rng.integers(0, 2)), int(rng.integers(30, 200)))
        other = (int(rng.integers(0, 1000)), int(rng.integers(0, 2)), int(rng.integers(30, 200)))
        for orientation in (FR, RF):
            assert insert_size(orientation, *one, *other) == insert_size(orientation, *other, *one)


@pytest.mark.parametrize("orientation", [FR, RF])
def test_learning_finds_the_distribution_among_outliers(orientation: int) -> None:
    rng = np.random.default_rng(orientation)
    sizes = rng.normal(400, 40, 2000).round().astype(np.int64)
    orientations = np.full(2000, orientation)
    sizes[:100] = rng.integers(2_000, 20_000, 100)
    orientations[100:200] = 1 - orientation
    model = learn_inserts(sizes, orientations)
    assert (model.orientation, model.learned) == (orientation, 1)
    assert abs(model.mean - 400) < 5 and abs(model.deviation - 40) < 4
    assert 1750 < model.pairs <= 1900
    assert 100 < model.low < 400 - 3 * 40 and 400 + 3 * 40 < model.high < 800


def test_learning_does_not_depend_on_the_order_of_pairs() -> None:
    sizes = np.random.default_rng(3).normal(400, 40, 500).round().astype(np.int64)
    assert learn_inserts(sizes, np.zeros(500, np.int64)) == learn_inserts(np.sort(sizes), np.zeros(500, np.int64))


@pytest.mark.parametrize("n", [0, 1, 24])
def test_few_pairs_teach_nothing(n: int) -> None:
    model = learn_inserts(np.full(n, 300), np.zeros(n, np.int64))
    assert model == InsertModel(pairs=n)
    assert model.learned == 0


def test_constant_sizes_leave_some_width() -> None:
    model = learn_inserts(np.full(25, 250), np.zeros(25, np.int64))
    assert model.learned == 1 and model.mean == 250 and model.deviation >= 5
    assert model.low < 250 < model.high


def places_of(rows: list[list[tuple[int, int, int, int]]], room: int = 6) -> Places:
    """Places from (start, strand, contig, score) of each read, best first."""
    n = len(rows)
    columns = [np.zeros((n, room), np.int64) for _ in range(6)]
    places = Places(np.array([len(row) for row in rows]), *columns, np.zeros(n))
    for r, row in enumerate(rows):
        for p, (start, strand, contig, score) in enumerate(row):
            places.start[r, p], places.strand[r, p], places.contig[r, p] = start, strand, contig
            places.score[r, p], places.end[r, p] = score, start + 100
    return places


def chosen(a: list[tuple[int, int, int, int]], b: list[tuple[int, int, int, int]], model: InsertModel = LEARNED) -> list[float]:
    out = np.empty(5)
    choose_pair(places_of([a, b]), model, 0, 100, 1, 100, BASES, chance_score(BASES), out)
    return out.tolist()


def test_a_proper_pair_beats_a_slightly_better_improper_one() -> None:
    a = [(1000, 0, 0, WHOLE)]
    b = [(900_000, 1, 0, WHOLE), (1200, 1, 0, WHOLE - 5)]
    first, second, wrong_a, wrong_b, proper = chosen(a, b)
    assert (first, second, proper) == (0, 1, 1)
    assert wrong_a < 0.01
    assert 0 < wrong_b < 0.05
    _, second, *_ = chosen(a, [(900_000, 1, 0, WHOLE), (1200, 1, 0, WHOLE - 5)], LEARNED._replace(orientation=RF))
    assert second == 0  # no proper pair in that library


def test_a_much_better_improper_pair_is_kept() -> None:
    b = [(900_000, 1, 0, WHOLE), (1200, 1, 0, WHOLE - 120)]
    first, second, _, _, proper = chosen([(1000, 0, 0, WHOLE)], b)
    assert (first, second, proper) == (0, 0, 0)


def test_the_likelier_insert_size_is_chosen_among_equals() -> None:
    b = [(1260, 1, 0, WHOLE), (1200, 1, 0, WHOLE), (1120, 1, 0, WHOLE)]
    assert chosen([(1000, 0, 0, WHOLE)], b)[1] == 1


def test_two_equal_pairs_leave_both_mates_in_doubt() -> None:
    a = [(1000, 0, 0, WHOLE), (50_000, 0, 1, WHOLE)]
    b = [(1200, 1, 0, WHOLE), (50_200, 1, 1, WHOLE)]
    _, _, wrong_a, wrong_b, proper = chosen(a, b)
    assert proper == 1
    assert wrong_a == pytest.approx(0.5, abs=0.05) and wrong_b == pytest.approx(0.5, abs=0.05)


def test_contigs_are_not_mixed_up() -> None:
    assert chosen([(1000, 0, 0, WHOLE)], [(1200, 1, 1, WHOLE)])[4] == 0


def test_a_mate_without_a_place_leaves_none() -> None:
    assert chosen([], [(1200, 1, 0, WHOLE)]) == [-1, 0, 1, 1, 0]
    assert chosen([(1200, 1, 0, WHOLE)], []) == [0, -1, 1, 1, 0]
    assert chosen([], []) == [-1, -1, 1, 1, 0]


def test_samples_are_taken_of_clear_pairs_only() -> None:
    clear, near = (1000, 0, 0, WHOLE), (5000, 0, 0, WHOLE - 3)
    mate = (1200, 1, 0, WHOLE)
    rows = [
        [clear], [mate],
        [clear, near], [mate],  # the first mate has a rival
        [clear], [],
        [clear], [(1200, 1, 1, WHOLE)],  # on another contig
        [clear], [(1200, 0, 0, WHOLE)],  # on the same strand
        [clear], [(1200, 1, 0, 150)],  # a poor alignment
        [(1200, 0, 0, WHOLE)], [(1000, 1, 0, WHOLE)],  # the other orientation
        [clear], [(90_000, 1, 0, WHOLE)],  # too far apart
    ]  # fmt: skip
    sizes, orientations = np.empty(20, np.int64), np.empty(20, np.int64)
    n = sample_inserts(places_of(rows), np.full(len(rows), 100), len(rows) // 2, sizes, orientations)
    assert list(zip(sizes[:n].tolist(), orientations[:n].tolist(), strict=True)) == [(300, FR), (300, RF)]


@pytest.mark.parametrize("orientation", [FR, RF])
@pytest.mark.parametrize("lost", [0, 1])
def test_rescue_finds_a_poor_mate_beside_its_partner(
    aligner: Aligner, genome: dict[str, str], orientation: int, lost: int
) -> None:
    rng = np.random.default_rng(orientation)
    offset = int(aligner.index.arrays.offsets[1])
    rescued = 0
    for i in range(30):
        start = 11_000 + 200 * i
        fragment = genome["two"][start : start + 300]
        mates = [fragment[:100], reverse_complement(fragment[-100:])]
        if orientation == RF:
            mates = [reverse_complement(fragment[:100]), fragment[-100:]]
        mates[lost] = with_edits(rng, mates[lost], 0.15)
        batch = batch_of([Record("r", "", m) for m in mates], first_record=0, has_quality=False, keep_comments=False)
        places = aligner._place(batch)
        places.count[lost] = 0  # as if it had not been found
        model = LEARNED._replace(orientation=orientation)
        rescue_batch(
            aligner.index.arrays, aligner._settings, model, aligner._scratch(batch), batch.seq, batch.offsets, CODES, places
        )
        assert places.count[1 - lost] == 1
        if places.count[lost]:
            assert places.contig[lost, 0] == 1
            truth = offset + (start if lost == 0 else start + 200)
            rescued += abs(int(places.start[lost, 0]) - truth) <= 20 and places.strand[lost, 0] == (lost ^ orientation)
            out = np.empty(5)
            lengths = np.diff(batch.offsets)
            choose_pair(places, model, 0, lengths[0], 1, lengths[1], BASES, chance_score(BASES), out)
            assert out[4] == 1
    assert rescued >= 28


def test_rescue_invents_no_mate(aligner: Aligner, genome: dict[str, str]) -> None:
    rng = np.random.default_rng(8)
    found = 0
    for i in range(60):
        start = 11_000 + 100 * i
        mates = [genome["two"][start : start + 100], letters(rng, 100)]
        batch = batch_of([Record("r", "", m) for m in mates], first_record=0, has_quality=False, keep_comments=False)
        places = aligner._place(batch)
        scratch = aligner._scratch(batch)
        rescue_batch(aligner.index.arrays, aligner._settings, LEARNED, scratch, batch.seq, batch.offsets, CODES, places)
        found += int(places.count[1] > 0)
    assert found <= 3


def test_rescue_stays_within_the_contig(aligner: Aligner, genome: dict[str, str]) -> None:
    for name in ("tiny", "one"):
        mates = [genome[name][-100:], reverse_complement(genome[name][-100:])]
        batch = batch_of([Record("r", "", m) for m in mates], first_record=0, has_quality=False, keep_comments=False)
        hits = list(aligner.map_batches([batch], paired=True))
        for row in hits[0].text.tobytes().decode().splitlines():
            assert row.split("\t")[2:4] == [name, str(len(genome[name]) - 99)]
