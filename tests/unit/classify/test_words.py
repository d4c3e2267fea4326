from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
from Bio.Seq import Seq
from sequence_families import random_sequence

from genoseq.classify import words as module
from genoseq.classify.sequences import SequenceInputError
from genoseq.classify.word_index import WordIndex
from genoseq.classify.words import Words, hashed, low_complexity, translate_frames
from genoseq.seqs.alphabet import encode, reverse_complement
from genoseq.seqs.overlap import canonical_kmers

LETTERS = "ACDEFGHIKLMNPQRSTVWY*?"


def opposite(sequence: str) -> str:
    return reverse_complement(sequence.encode()).decode()


def plain_words(sequence: str, k: int) -> set[str]:
    windows = [sequence[at : at + k] for at in range(len(sequence) - k + 1)]
    return {min(word, opposite(word)) for word in windows if set(word) <= set("ACGT")}


@pytest.mark.parametrize("k", [1, 4, 12, 31])
def test_nucleotide_words_are_canonical_and_distinct(k: int) -> None:
    draw = random.Random(k)
    sequence = random_sequence(draw, 400) + "N" + random_sequence(draw, 100)
    found = Words(k).of(sequence.encode())
    assert len(found) == len(plain_words(sequence, k))
    assert (found == Words(k).of(opposite(sequence).encode())).all()
    assert (np.diff(found.astype(object)) > 0).all()


@pytest.mark.parametrize("code", [1, 2, 4])
def test_frames_are_those_of_biopython(code: int) -> None:
    draw = random.Random(3)
    for length in (0, 1, 2, 3, 100, 101, 102):
        sequence = random_sequence(draw, length)
        frames = translate_frames(encode(sequence.encode()), genetic_code=code)
        expected = []
        for strand in (sequence, opposite(sequence)):
            for start in range(3):
                whole = strand[start : len(strand) - (len(strand) - start) % 3]
                expected.append(str(Seq(whole).translate(table=code)))
        assert ["".join(LETTERS[at] for at in frame) for frame in frames] == expected
    assert "".join(LETTERS[at] for at in translate_frames(encode(b"ATGNAA"), both=False)[0]) == "M?"


def test_translated_words_are_those_of_all_six_frames_without_stops() -> None:
    sequence = random_sequence(random.Random(5), 300)
    frames = ["".join(LETTERS[at] for at in frame) for frame in translate_frames(encode(sequence.encode()))]
    expected = {f[at : at + 4] for f in frames for at in range(len(f) - 3) if "*" not in f[at : at + 4]}
    found = Words(4, "translated").of(sequence.encode())
    assert len(found) == len(expected)
    assert (found == Words(4, "translated").of(opposite(sequence).encode())).all()
    assert Words(4, "protein").of(b"MKVLX").tolist() == Words(4, "protein").of(b"MKVL").tolist()


def test_open_runs_leave_short_stretches_out() -> None:
    sequence = random_sequence(random.Random(5), 600)
    frames = ["".join(LETTERS[at] for at in frame) for frame in translate_frames(encode(sequence.encode()))]
    long = [run for frame in frames for run in frame.split("*") if len(run) >= 25]
    expected = {run[at : at + 3] for run in long for at in range(len(run) - 2)}
    assert long and len(Words(3, "translated", open_run=25).of(sequence.encode())) == len(expected)


@pytest.mark.parametrize("kind", ["nucleotide", "translated"])
def test_long_sequences_are_taken_in_pieces_without_a_seam(kind: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    sequence = random_sequence(random.Random(9), 1000).encode()
    whole = Words(5, kind).of(sequence)
    monkeypatch.setattr(module, "PIECE", 300)  # a multiple of three: frames then agree from piece to piece
    assert (Words(5, kind).of(sequence) == whole).all()
    monkeypatch.setattr(module, "PIECE", 77)
    assert (Words(5, kind).of(sequence) == whole).all()


def test_a_sketch_keeps_its_share_and_the_same_words_everywhere() -> None:
    draw = random.Random(2)
    one, two = random_sequence(draw, 60000), random_sequence(draw, 20000)
    kept = Words(21, scaled=20).of((one + two).encode())
    assert len(kept) == pytest.approx(80000 / 20, rel=0.08)
    every = Words(21).of((one + two).encode())
    assert set(kept.tolist()) == set(every[hashed(every) < np.uint64(2**64 // 20)].tolist())
    assert set(Words(21, scaled=20).of(two.encode()).tolist()) <= set(kept.tolist())


def test_the_stated_error_of_a_sketch_is_about_right() -> None:
    off = []
    for turn in range(80):  # other words each time: the hash is fixed
        draw = random.Random(turn)
        both, left, right = (random_sequence(draw, 1500) for _ in range(3))
        one, two = Words(15).of((both + left).encode()), Words(15).of((both + right).encode())
        truth = len(np.intersect1d(one, two)) / len(one)
        sketch = Words(15, scaled=20)
        few, other = sketch.of((both + left).encode()), sketch.of((both + right).encode())
        share = len(np.intersect1d(few, other)) / len(few)
        off.append((share - truth) / sketch.error(truth, len(few)))
    assert 0.8 < float(np.std(off)) < 1.25 and abs(float(np.mean(off))) < 0.35


def test_errors_are_zero_for_whole_sets_and_unknown_for_empty_ones() -> None:
    assert Words(5).error(0.3, 10) == 0.0
    assert np.isnan(Words(5, scaled=10).error(0.3, 0))


def test_low_complexity_is_the_dust_score_of_each_word() -> None:
    def dust(word: str) -> float:
        triplets = [word[at : at + 3] for at in range(len(word) - 2)]
        counts = [triplets.count(one) for one in set(triplets)]
        return sum(c * (c - 1) / 2 for c in counts) / (len(triplets) - 1)

    for word in ("CAG" * 7, "A" * 21, random_sequence(random.Random(1), 21), "ACACACACACGTGATTACCAG"):
        assert low_complexity(canonical_kmers(encode(word.encode()), 21), 21) == pytest.approx([dust(word)])
    assert low_complexity(np.array([1, 2], np.uint64), 3).tolist() == [0.0, 0.0]


def test_index_counts_what_sets_share() -> None:
    rng = np.random.default_rng(0)
    sets = [np.unique(rng.integers(0, 50, rng.integers(0, 30)).astype(np.uint64)) for _ in range(20)]
    index = WordIndex(sets)
    for asked in sets:
        assert index.shared(asked).tolist() == [len(np.intersect1d(asked, one)) for one in sets]
        assert index.known(asked).all()
    assert len(index) == 20 and index.sizes.tolist() == [len(one) for one in sets]
    nothing = np.empty(0, np.uint64)
    assert WordIndex([nothing, nothing]).shared(np.array([3], np.uint64)).tolist() == [0, 0]
    assert index.shared(nothing).tolist() == [0] * 20


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"k": 0}, "k is 0, expected 1 to 31"),
        ({"k": 32}, "k is 32"),
        ({"k": 13, "kind": "translated"}, "k is 13, expected 1 to 12 for translated words"),
        ({"k": 2.0}, "k is 2.0"),
        ({"k": 5, "kind": "codon"}, "expected one of nucleotide, translated, protein"),
        ({"k": 5, "scaled": 0}, "scaled is 0"),
        ({"k": 5, "open_run": -1}, "open_run is -1"),
    ],
)
def test_options_out_of_range_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(SequenceInputError, match=message):
        Words(**options)
