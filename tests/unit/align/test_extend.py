"""The aligner's inner loops against the plain reference, on cases one can follow."""

from __future__ import annotations

import numpy as np
import pytest
from banded import Codes, packed, padded, read_form, scored, traced, ungapped, unpacked, window_of

from genoseq.align.extend import clip_poor_ends, left_align, path_score
from genoseq.align.extend_reference import best_local_score, local_scores
from genoseq.align.extend_reference import path_score as plain_path_score
from genoseq.align.scoring import (
    AMBIGUOUS,
    END_BONUS,
    GAP_EXTEND,
    GAP_OPEN,
    MATCH,
    MISMATCH,
    OP_DELETE,
    OP_INSERT,
    OP_MATCH,
    OUTSIDE,
    READ_N,
)  # fmt: skip
from genoseq.seqs.alphabet import decode, encode

WIDTHS = (32, 64, 128)


def random_codes(rng: np.random.Generator, n: int) -> Codes:
    return rng.integers(0, 4, n, dtype=np.uint8)


def edited(rng: np.random.Generator, codes: Codes, rate: float) -> Codes:
    """Codes with substitutions, insertions, deletions and Ns, a third of ``rate`` each of the first three."""
    out: list[int] = []
    for base in codes.tolist():
        kind = rng.random() / max(rate, 1e-9)
        if kind < 0.3:
            out.append((base + int(rng.integers(1, 4))) % 4)
        elif kind < 0.6:
            out.extend([base, *rng.integers(0, 4, rng.integers(1, 4)).tolist()])
        elif kind < 0.9:
            continue
        elif kind < 1.0:
            out.append(READ_N)
        else:
            out.append(base)
    return np.array(out or [0], np.uint8)


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("rate", [0.0, 0.05, 0.2, 1.0])
def test_band_score_is_that_of_the_reference(width: int, rate: float) -> None:
    rng = np.random.default_rng([width, int(100 * rate)])
    for _ in range(12):
        genome = random_codes(rng, 400)
        genome[rng.random(400) < 0.01] = 4
        start = int(rng.integers(-30, 330))  # windows that leave the contig on either side, too
        read = edited(rng, read_form(genome[max(start, 0) : start + int(rng.integers(20, 90))]), rate)
        window = window_of(genome, start - int(rng.integers(0, width)), len(read) + width)
        table = local_scores(read.tolist(), window.tolist(), width=width)
        score, read_end, window_end = scored(read, window, width)
        assert score == max(0, *table.values())
        assert score == 0 or table[read_end, window_end] == score


@pytest.mark.parametrize("width", WIDTHS)
def test_whole_read_wins_both_bonuses(width: int) -> None:
    genome = random_codes(np.random.default_rng(1), 300)
    for shift in (0, 1, width // 2, width - 1):
        window = window_of(genome, 100 - shift, 50 + width)
        assert scored(genome[100:150], window, width) == (50 * MATCH + 2 * END_BONUS, 50, 50 + shift)
        assert traced(genome[100:150], window, width) == (
            50 * MATCH + 2 * END_BONUS, 0, 50, shift, shift + 50, [(50, OP_MATCH)],
        )  # fmt: skip


@pytest.mark.parametrize("width", WIDTHS)
def test_nothing_aligns_outside_the_contig(width: int) -> None:
    read = random_codes(np.random.default_rng(2), 40)
    window = np.full(40 + width, OUTSIDE, np.uint8)
    # an inserted base at the read's end wins the bonus less the gap, but makes no path
    assert scored(read, window, width)[0] == END_BONUS - GAP_OPEN - GAP_EXTEND
    path = traced(read, window, width)
    assert (path.score, path.operations) == (0, [])


@pytest.mark.parametrize("width", WIDTHS)
def test_read_over_the_contigs_edge_is_clipped_there(width: int) -> None:
    rng = np.random.default_rng(3)
    genome = random_codes(rng, 200)
    before = np.concatenate([3 - genome[:12][::-1], genome[:60]])
    path = traced(before, window_of(genome, -12 - width // 2, len(before) + width), width)
    assert path.operations[-1][1] == OP_MATCH and path.read_end == len(before)
    assert path.window_start >= 12 + width // 2  # the contig's first base lies there
    after = np.concatenate([genome[-60:], 3 - genome[-12:][::-1]])
    path = traced(after, window_of(genome, 140 - width // 2, len(after) + width), width)
    assert path.read_start == 0
    assert path.window_end <= 60 + width // 2


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize(("gap", "code"), [(g, c) for g in (1, 3, 12) for c in (OP_INSERT, OP_DELETE)])
def test_one_gap_is_found_and_priced(width: int, gap: int, code: int) -> None:
    rng = np.random.default_rng([width, gap, code])
    genome = random_codes(rng, 400)
    if code == OP_INSERT:
        foreign = (genome[150 : 150 + gap] + 2) % 4
        read = np.concatenate([genome[100:150], foreign, genome[150:200]])
    else:
        read = np.concatenate([genome[100:150], genome[150 + gap : 200 + gap]])
    path = traced(read, window_of(genome, 100 - width // 2, len(read) + width), width)
    assert path.score == 100 * MATCH + 2 * END_BONUS - GAP_OPEN - gap * GAP_EXTEND
    assert [code_ for _, code_ in path.operations] == [OP_MATCH, code, OP_MATCH]
    assert path.operations[1][0] == gap


def test_ambiguous_bases_cost_less_than_mismatches() -> None:
    genome = encode(b"ACGTACCGTTAGCATTGCAGGCTAACGTAGGCTA")
    read = genome.copy()
    read[10] = READ_N
    whole = len(read) * MATCH + 2 * END_BONUS
    assert ungapped(read, genome, 0)[0] == whole - MATCH - AMBIGUOUS
    read[10] = (genome[10] + 1) % 4
    assert ungapped(read, genome, 0)[0] == whole - MATCH - MISMATCH
    unknown = genome.copy()
    unknown[10] = 4
    read[10] = READ_N  # an unknown base of the read never equals one of the reference
    assert ungapped(read, unknown, 0)[0] == whole - MATCH - AMBIGUOUS


def test_ungapped_score_is_the_reference_on_one_diagonal() -> None:
    rng = np.random.default_rng(5)
    for _ in range(150):
        genome = random_codes(rng, 120)
        genome[rng.random(120) < 0.02] = 4
        length = int(rng.integers(1, 60))
        start = int(rng.integers(-length - 5, 125))
        read = random_codes(rng, length)
        inside = slice(max(start, 0), max(0, min(start + length, 120)))
        copied = read_form(genome[inside])
        read[inside.start - start : inside.start - start + len(copied)] = copied
        flips = rng.random(length) < rng.choice([0.0, 0.1, 0.4])
        read[flips] = rng.choice([0, 1, 2, 3, READ_N], int(flips.sum()))
        window = window_of(genome, start, length)
        score, ends = ungapped(read, genome, start)
        assert score == best_local_score(read.tolist(), window.tolist(), width=1)
        assert ends[2] == np.count_nonzero(read != window)
        if score:
            first, last = ends[:2]
            assert ends[3] == np.count_nonzero(read[first:last] != window[first:last])
            assert score == plain_path_score(
                read.tolist(), window.tolist(), first, first, [(last - first, OP_MATCH)], bonuses=True
            )


def test_left_align_brings_a_gap_to_the_left_of_its_repeat() -> None:
    reference = encode(b"TTGCAAAAAACGT")
    window = padded(reference, OUTSIDE)
    read = encode(b"TTGCAAAACGT")
    cigar = packed([(8, OP_MATCH), (2, OP_DELETE), (3, OP_MATCH)])
    assert left_align(read, 0, window, 0, cigar, 3) == 3
    assert unpacked(cigar) == [(4, OP_MATCH), (2, OP_DELETE), (7, OP_MATCH)]
    read = encode(b"TTGCAAAAAAAACGT")
    cigar = packed([(10, OP_MATCH), (2, OP_INSERT), (3, OP_MATCH)])
    left_align(read, 0, window, 0, cigar, 3)
    assert unpacked(cigar) == [(4, OP_MATCH), (2, OP_INSERT), (9, OP_MATCH)]


def test_left_align_moves_a_repeat_of_several_bases() -> None:
    reference = encode(b"GGTCACACACATT")
    read = encode(b"GGTCACACATT")
    cigar = packed([(9, OP_MATCH), (2, OP_DELETE), (2, OP_MATCH)])
    left_align(read, 0, padded(reference, OUTSIDE), 0, cigar, 3)
    assert unpacked(cigar) == [(3, OP_MATCH), (2, OP_DELETE), (8, OP_MATCH)]


def test_left_align_keeps_the_first_base_matched() -> None:
    reference = encode(b"AAAAAAAAAC")
    cigar = packed([(5, OP_MATCH), (2, OP_DELETE), (3, OP_MATCH)])
    left_align(encode(b"AAAAAAAC"), 0, padded(reference, OUTSIDE), 0, cigar, 3)
    assert unpacked(cigar) == [(1, OP_MATCH), (2, OP_DELETE), (7, OP_MATCH)]


def clipped(read: Codes, window: Codes, operations: list[tuple[int, int]], start: int = 0) -> tuple[int, list[int], list[tuple[int, int]]]:
    """Edits, ends and operations after ``clip_poor_ends`` of an alignment of the whole read."""
    ends = np.zeros(8, np.int64)
    ends[0] = len(read)
    ends[1] = start + sum(size for size, code in operations if code != OP_INSERT)
    ends[3] = start
    ends[4] = len(operations)
    cigar = packed(operations)
    edits = clip_poor_ends(read, len(read), padded(window, OUTSIDE), ends, cigar)
    return int(edits), ends[:4].tolist(), unpacked(cigar[: ends[4]])


@pytest.mark.parametrize("side", ["left", "right"])
def test_a_poor_end_of_a_good_read_is_clipped(side: str) -> None:
    rng = np.random.default_rng(8)
    window = random_codes(rng, 150)
    read = window.copy()
    poor = np.arange(0, 24, 2)  # every other base of the last 24 is wrong
    places = poor if side == "left" else 149 - poor
    read[places] = (read[places] + 1) % 4
    edits, ends, operations = clipped(read, window, [(150, OP_MATCH)])
    assert edits == 0
    if side == "left":
        assert ends[2] == ends[3] >= 22 and ends[0] == 150
    else:
        assert ends[0] == ends[1] <= 128 and ends[2] == 0
    assert operations == [(ends[0] - ends[2], OP_MATCH)]


@pytest.mark.parametrize("spacing", [0, 8, 5])
def test_a_read_that_differs_throughout_keeps_its_ends(spacing: int) -> None:
    rng = np.random.default_rng(9)
    window = random_codes(rng, 150)
    read = window.copy()
    if spacing:
        read[spacing // 2 :: spacing] = (read[spacing // 2 :: spacing] + 1) % 4
    wrong = int(np.count_nonzero(read != window))
    assert clipped(read, window, [(150, OP_MATCH)]) == (wrong, [150, 150, 0, 0], [(150, OP_MATCH)])


def test_a_gap_in_a_good_read_is_counted_and_kept() -> None:
    window = random_codes(np.random.default_rng(10), 153)
    read = np.delete(window, [70, 71, 72])
    path = [(70, OP_MATCH), (3, OP_DELETE), (80, OP_MATCH)]
    assert clipped(read, window, path) == (3, [150, 153, 0, 0], path)


def test_clipping_across_operations_keeps_the_alignment_consistent() -> None:
    rng = np.random.default_rng(11)
    seen = 0
    for _ in range(200):
        window = random_codes(rng, 170)
        read = np.delete(window, np.arange(100, 103))[:160]
        operations = [(100, OP_MATCH), (3, OP_DELETE), (60, OP_MATCH)]
        tail = int(rng.integers(0, 45))
        worse = np.arange(160 - tail, 160)[rng.random(tail) < 0.5]
        read[worse] = (read[worse] + 1) % 4
        edits, ends, kept = clipped(read, window, operations)
        seen += ends[0] < 160
        i, j, found = ends[2], ends[3], 0
        for size, code in kept:
            if code == OP_MATCH:
                found += int(np.count_nonzero(read[i : i + size] != window[j : j + size]))
            else:
                found += size
            i += size if code != OP_DELETE else 0
            j += size if code != OP_INSERT else 0
        assert (i, j, found) == (ends[0], ends[1], edits)
        assert kept[0][1] == kept[-1][1] == OP_MATCH
    assert seen > 20  # the test has met clipped reads


def test_path_score_is_that_of_the_plain_one() -> None:
    rng = np.random.default_rng(12)
    for _ in range(60):
        genome = random_codes(rng, 300)
        read = edited(rng, genome[100:170], 0.15)
        window = window_of(genome, 90, len(read) + 32)
        path = traced(read, window, 32)
        ends = np.array([path.read_end, path.window_end, path.read_start, path.window_start, len(path.operations)])
        mine = path_score(read, padded(window, OUTSIDE), ends, packed(path.operations))
        args = (read.tolist(), window.tolist(), path.read_start, path.window_start, path.operations)
        assert mine == plain_path_score(*args, bonuses=False)
        assert path.score == plain_path_score(*args, bonuses=True), decode(read)
