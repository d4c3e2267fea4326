"""Synthetic windows: orientation, edit rates, truncation, features."""

from __future__ import annotations

import numpy as np
import pytest

from genoseq.train.window_data import (
    FLANK,
    MARGIN,
    Genomes,
    ReadEnds,
    edit_windows,
    random_surroundings,
    window_features,
    window_pairs,
)

WHOLE = ReadEnds(share=0.0)


def surroundings(n: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 4, (n, 2 * MARGIN)).astype(np.uint8)


def test_without_edits_a_window_is_its_reference() -> None:
    pairs = window_pairs(50, genomes=Genomes(), edits=(0.0, 0.0), ends=WHOLE, rng=np.random.default_rng(0))
    assert pairs.reference.shape == pairs.query.shape == (50, 2 * FLANK)
    assert np.array_equal(pairs.reference, pairs.query)
    assert pairs.reference.max() == 3


def test_equal_states_give_equal_pairs_and_others_do_not() -> None:
    def draw(seed: int) -> np.ndarray:
        rng = np.random.default_rng(seed)
        return window_pairs(20, genomes=Genomes(), edits=(0.1, 0.2), ends=ReadEnds(), rng=rng).query

    assert np.array_equal(draw(3), draw(3))
    assert not np.array_equal(draw(3), draw(4))


def test_edits_shift_each_flank_away_from_the_anchor() -> None:
    """Bases next to the anchor agree at about 1 - rate; far ones are displaced by indels and agree less."""
    around = surroundings(20_000)
    query = edit_windows(around, edits=(0.2, 0.2), ends=WHOLE, rng=np.random.default_rng(1))
    agree = (query == around[:, MARGIN - FLANK : MARGIN + FLANK]).mean(axis=0)
    assert agree[31] == pytest.approx(agree[32], abs=0.02)  # symmetric about the anchor
    assert agree[0] == pytest.approx(agree[63], abs=0.02)
    # substitutions 16 %, and one chance in four that an inserted or displaced base agrees
    assert agree[31] == pytest.approx(0.96 * 0.84 + 0.04 * 0.25 * 0.98, abs=0.02)
    assert agree[0] < agree[31] - 0.3


def test_substitutions_are_eight_of_ten_edits() -> None:
    around = np.zeros((20_000, 2 * MARGIN), np.uint8)  # all A: only substitutions and inserted bases show
    query = edit_windows(around, edits=(0.2, 0.2), ends=WHOLE, rng=np.random.default_rng(2))
    assert (query != 0).mean() == pytest.approx(0.98 * 0.16 + 0.02 * 0.75, abs=0.003)


def test_reads_cut_windows_at_one_or_both_ends() -> None:
    around = surroundings(5_000)
    ends = ReadEnds(share=1.0, read_length=50, anchor=10)
    query = edit_windows(around, edits=(0.0, 0.0), ends=ends, rng=np.random.default_rng(3))
    left = (query[:, :FLANK] < 4).sum(axis=1)
    right = (query[:, FLANK:] < 4).sum(axis=1)
    start = np.where(left < FLANK, left, 40 - right)  # 40 bases of the read are not the anchor
    assert np.array_equal(left, np.minimum(FLANK, start))
    assert np.array_equal(right, np.minimum(FLANK, 40 - start))
    assert np.bincount(start, minlength=41).min() > 60  # 5000 / 41 is 122: uniform
    seen = query < 4
    assert np.array_equal(query[seen], around[:, MARGIN - FLANK : MARGIN + FLANK][seen])
    assert not np.any(seen[:, :31] & ~seen[:, 1:32])  # what is missing is the outer part
    assert not np.any(seen[:, 33:] & ~seen[:, 32:63])


def test_genomes_have_the_composition_asked_for() -> None:
    rng = np.random.default_rng(4)
    for gc in (0.25, 0.7):
        genomes = Genomes(order=0, evenness=1e6, gc=(gc, gc))
        codes = random_surroundings(500, genomes=genomes, rng=rng)
        assert np.isin(codes, (1, 2)).mean() == pytest.approx(gc, abs=0.01)


def test_features_stay_in_their_flank_and_skip_missing_bases() -> None:
    window = np.arange(64, dtype=np.uint8)[None] % 4
    window[0, 10] = 4
    for context in (1, 2, 3):
        features = window_features(window, context)[0]
        used = np.flatnonzero(features >= 0)
        gone = {p for p in range(64) if p % 32 + context > 32} | set(range(11 - context, 11))
        assert set(range(64)) - set(used) == gone
        for p in used:
            digits = "".join(str(base) for base in window[0, p : p + context])
            assert features[p] == p * 4**context + int(digits, 4)
