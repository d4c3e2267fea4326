"""Placing reads: a piece of the genome goes back to where it came from."""

from __future__ import annotations

import re

import numpy as np
import pytest
from sam_rules import reverse_complement
from small_genome import REPEAT, REPEAT_AT, letters, with_edits

from genoseq.align.aligner import KEPT, Aligner
from genoseq.align.index import Index
from genoseq.align.place import Places, band_width, insert_place
from genoseq.align.scoring import END_BONUS, MATCH
from genoseq.seqs.batch import batch_of
from genoseq.seqs.record import Record

Found = tuple[str, int, int, int]


def place(aligner: Aligner, reads: list[tuple[str, str]]) -> tuple[Places, list[list[Found]]]:
    """Places of reads, also as (contig, 0-based start in it, strand, score), best first."""
    batch = batch_of([Record(name, "", seq) for name, seq in reads], first_record=0, has_quality=False, keep_comments=False)
    places = aligner._place(batch)
    offsets = aligner.index.arrays.offsets
    rows = []
    for r in range(len(reads)):
        rows.append(
            [
                (
                    aligner.index.names[places.contig[r, p]],
                    int(places.start[r, p] - offsets[places.contig[r, p]]),
                    int(places.strand[r, p]),
                    int(places.score[r, p]),
                )
                for p in range(places.count[r])
            ]
        )
    return places, rows


def whole(sequence: str) -> int:
    return MATCH * len(sequence) + 2 * END_BONUS


@pytest.mark.parametrize("length", [30, 40, 60, 100, 150, 201, 300, 500])
def test_a_piece_of_the_genome_is_placed_where_it_was_cut(aligner: Aligner, genome: dict[str, str], length: int) -> None:
    rng = np.random.default_rng(length)
    reads, truth = [], []
    for i in range(60):
        contig = ("one", "two")[i % 2]
        start = int(rng.integers(12_000, 19_000)) if contig == "two" else int(rng.integers(10_000, 39_000))
        piece = genome[contig][start : start + length]
        strand = i // 2 % 2
        reads.append((f"r{i}", reverse_complement(piece) if strand else piece))
        truth.append((contig, start, strand, whole(piece)))
    _, found = place(aligner, reads)
    exact = sum(bool(row) and row[0] == expected for row, expected in zip(found, truth, strict=True))
    assert exact >= (60 if length >= 60 else 55)  # a short read at times holds too few anchors
    for row, expected in zip(found, truth, strict=True):
        if row and row[0] == expected and length >= 60:
            assert len(row) == 1 or row[1][3] < expected[3] - 12


@pytest.mark.parametrize("length", [60, 150])
def test_reads_at_the_ends_of_contigs_are_placed(aligner: Aligner, genome: dict[str, str], length: int) -> None:
    for name, bases in genome.items():
        for start in (0, 1, len(bases) - length - 1, len(bases) - length):
            piece = bases[start : start + length]
            for strand, sequence in enumerate((piece, reverse_complement(piece))):
                _, (row,) = place(aligner, [("r", sequence)])
                assert row[0] == (name, start, strand, whole(piece))


@pytest.mark.parametrize("overhang", [5, 20])
def test_a_read_that_leaves_its_contig_stays_in_it(aligner: Aligner, genome: dict[str, str], overhang: int) -> None:
    rng = np.random.default_rng(overhang)
    for name, bases in genome.items():
        left = letters(rng, overhang) + bases[:130]
        right = bases[-130:] + letters(rng, overhang)
        for sequence in (left, right, reverse_complement(left), reverse_complement(right)):
            (hit,) = aligner.map([("r", sequence)])
            assert hit.contig == name
            assert 0 <= hit.start < hit.end <= len(bases)
            assert abs(hit.start if sequence in (left, reverse_complement(left)) else len(bases) - hit.end) <= overhang


def test_a_read_over_two_contigs_is_placed_in_one(aligner: Aligner, genome: dict[str, str]) -> None:
    sequence = genome["one"][-100:] + genome["two"][:100]
    for read in (sequence, reverse_complement(sequence)):
        (hit,) = aligner.map([("r", read)])
        assert hit.contig in ("one", "two")
        length = len(genome[hit.contig])
        assert (hit.start, hit.end) in ((length - 100, length), (0, 100)) or hit.end - hit.start < 125
        assert hit.end <= length


@pytest.mark.parametrize("unknown", [1, 3])
def test_reads_with_unknown_bases_are_placed(aligner: Aligner, genome: dict[str, str], unknown: int) -> None:
    rng = np.random.default_rng(unknown)
    for i in range(20):
        start = 11_000 + 300 * i
        piece = list(genome["one"][start : start + 150])
        for at in rng.choice(150, unknown, replace=False):
            piece[at] = "N"
        sequence = "".join(piece)
        (hit,) = aligner.map([("r", reverse_complement(sequence) if i % 2 else sequence)])
        assert (hit.contig, hit.edits) == ("one", hit.sequence[_clip(hit.cigar, 0) : 150 - _clip(hit.cigar, -1)].count("N"))
        assert start <= hit.start <= hit.end <= start + 150
        assert hit.end - hit.start >= 130


def _clip(cigar: str, side: int) -> int:
    size, code = re.findall(r"(\d+)([MIDS])", cigar)[side]
    return int(size) if code == "S" else 0


@pytest.mark.parametrize("rate", [0.05, 0.15])
def test_reads_with_edits_go_back_too(aligner: Aligner, genome: dict[str, str], rate: float) -> None:
    rng = np.random.default_rng(int(100 * rate))
    right = 0
    for i in range(60):
        start = 10_000 + 400 * i
        sequence = with_edits(rng, genome["one"][start : start + 200], rate)
        (hit,) = aligner.map([("r", reverse_complement(sequence) if i % 2 else sequence)])
        right += hit.contig == "one" and hit.start < start + 200 and hit.end > start
    assert right >= (60 if rate < 0.1 else 57)


def test_a_read_without_an_intact_anchor_is_found_by_transitions(index: Index, genome: dict[str, str]) -> None:
    aligner = Aligner(index)
    transition = str.maketrans("ACGT", "GTAC")
    step = index.arrays.k - 1  # no k-mer of the read is without an edit, and most have just one
    reads, truth = [], []
    for i in range(40):
        start = 10_000 + 600 * i
        bases = list(genome["one"][start : start + 150])
        bases[i % step :: step] = [base.translate(transition) for base in bases[i % step :: step]]
        sequence = "".join(bases)
        reads.append((f"r{i}", reverse_complement(sequence) if i % 2 else sequence))
        truth.append(("one", start, i % 2))

    def right(mapper: Aligner) -> int:
        _, rows = place(mapper, reads)
        return sum(bool(row) and row[0][:3] == expected for row, expected in zip(rows, truth, strict=True))

    assert right(aligner) >= 38
    assert right(Aligner(index, preset="fast")) == 0


def test_copies_of_a_repeat_tie(index: Index, genome: dict[str, str]) -> None:
    aligner = Aligner(index)
    piece = genome["one"][5_000 + 300 : 5_000 + 450]
    _, (row,) = place(aligner, [("r", piece)])
    expected = {
        (contig, at + 300 if strand == 0 else at + REPEAT - 450, strand, whole(piece)) for contig, at, strand in REPEAT_AT
    }
    assert set(row[:3]) == expected
    assert len(row) <= KEPT


def test_drawing_among_ties_depends_on_bases_name_and_seed_alone(index: Index, genome: dict[str, str]) -> None:
    piece = genome["one"][5_100:5_250]
    reads = [(f"r{i}", piece) for i in range(30)]
    _, rows = place(Aligner(index), reads)
    first = [row[0] for row in rows]
    assert set(first) == set(rows[0][:3])
    assert all(set(row) == set(rows[0]) for row in rows)
    _, backwards = place(Aligner(index), reads[::-1])
    assert [row[0] for row in backwards[::-1]] == first
    for i in (0, 7, 29):
        _, (alone,) = place(Aligner(index), [reads[i]])
        assert alone[0] == first[i]
    _, other = place(Aligner(index, seed=1), reads)
    assert [row[0] for row in other] != first


def test_unrelated_reads_are_seldom_placed(aligner: Aligner) -> None:
    rng = np.random.default_rng(11)
    reads = [(f"r{i}", letters(rng, 150)) for i in range(400)]
    _, rows = place(aligner, reads)
    assert sum(bool(row) for row in rows) <= 8
    assert all(row[0][3] >= aligner._settings.least for row in rows if row)


def test_a_gap_of_half_the_band_is_spanned(aligner: Aligner, genome: dict[str, str]) -> None:
    for gap in (5, 12, 30, 50):
        start = 13_000 + 40 * gap
        sequence = genome["one"][start : start + 100] + genome["one"][start + 100 + gap : start + 200 + gap]
        (hit,) = aligner.map([("r", sequence)])
        assert (hit.start, hit.end) == (start, start + 200 + gap)
        assert f"{gap}D" in hit.cigar


def test_band_covers_half_its_width_on_either_side() -> None:
    assert [band_width(n) for n in (1, 200, 201, 4096)] == [32, 32, 64, 64]


def test_places_are_kept_in_order_and_once() -> None:
    room = 3
    columns = (np.zeros((1, room), np.int64) for _ in range(6))
    places = Places(np.zeros(1, np.int64), *columns, np.ones(1))

    def kept() -> list[tuple[int, int]]:
        return [(int(places.start[0, p]), int(places.score[0, p])) for p in range(places.count[0])]

    insert_place(places, 0, 0, 100, 0, 50, 200, 1)
    insert_place(places, 0, 0, 500, 0, 70, 600, 1)
    assert kept() == [(500, 70), (100, 50)]
    insert_place(places, 0, 0, 104, 0, 50, 200, 1)  # ends where another ends: the same alignment, no better
    assert kept() == [(500, 70), (100, 50)]
    insert_place(places, 0, 0, 104, 0, 90, 200, 1)
    assert kept() == [(104, 90), (500, 70)]
    insert_place(places, 0, 1, 104, 0, 60, 200, 1)  # the other strand is another place
    insert_place(places, 0, 0, 900, 0, 65, 990, 1)
    assert kept() == [(104, 90), (500, 70), (900, 65)]
    insert_place(places, 0, 0, 1900, 0, 10, 1990, 1)  # no room for the worst
    assert kept() == [(104, 90), (500, 70), (900, 65)]
    insert_place(places, 0, 0, 2900, 1, 99, 2990, 1)
    assert kept() == [(2900, 99), (104, 90), (500, 70)]
