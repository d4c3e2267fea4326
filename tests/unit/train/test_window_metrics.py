"""Trials and recall: the threshold is right, trials hold what they say, the shipped table beats chance."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open

from genoseq.embed.window import WindowEncoder
from genoseq.embed.window_reference import oriented_window
from genoseq.recipes import load_recipe, recipe_digest
from genoseq.train.window import quantise, random_table
from genoseq.train.window_data import MARGIN, Genomes, ReadEnds
from genoseq.train.window_metrics import recall_at, score_table
from genoseq.train.window_recipe import WindowRecipe
from genoseq.train.window_run import joined_codes
from genoseq.train.window_trials import flank_distance, genome_trials, synthetic_trials

ROOT = Path(__file__).parents[3]
MODEL = ROOT / "models" / "align-window"
GENOME = ROOT / "data" / "portiera.fna.gz"  # 0.36 Mb, 26 % G+C


def test_recall_is_exact_without_ties() -> None:
    rng = np.random.default_rng(0)
    false = rng.permutation(np.arange(1000.0))
    true = np.array([999.5, 989.5, 988.5, 0.0])
    assert recall_at(true, false, rates=(0.01, 0.001)) == {0.01: 0.5, 0.001: 0.25}
    assert recall_at(true, false, rates=(1.0,)) == {1.0: 1.0}


def test_ties_pass_in_the_share_that_meets_the_rate() -> None:
    false = np.repeat([0.0, 1.0], [90, 10])
    found = recall_at(np.array([1.0, 0.0]), false, rates=(0.05, 0.1, 0.55))
    assert found == pytest.approx({0.05: 0.25, 0.1: 0.5, 0.55: 0.75})


def test_recall_needs_scores() -> None:
    with pytest.raises(ValueError, match="0 true and 1 false"):
        recall_at(np.empty(0), np.ones(1))


def test_flank_distance_is_the_edit_distance() -> None:
    def distance(first: str, second: str) -> int:
        codes = [np.frombuffer(text.encode(), np.uint8) for text in (first, second)]
        return int(flank_distance(codes[0], codes[1], np.empty(33, np.int64)))

    assert distance("ACGT", "ACGT") == 0
    assert distance("ACGT", "CGTA") == 2
    assert distance("AAAA", "TTTT") == 4
    assert distance("GATTACAG", "GTTACAGA") == 2


def test_synthetic_trials_hide_the_truth_among_others() -> None:
    trials = synthetic_trials(
        groups=2,
        windows=60,
        queries=10,
        edits=(0.0, 0.2),
        genomes=Genomes(evenness=1e6),
        ends=ReadEnds(),
        seed=1,
    )
    for group in trials:
        assert np.array_equal(group.whole[0.0], group.windows[group.truth])
        assert not np.any(group.false[np.arange(10), group.truth])
        assert group.false.sum() > 10 * 58
        changed = (group.whole[0.2] != group.windows[group.truth]).mean()
        assert 0.2 < changed < 0.6
        assert np.any(group.cut[0.2] == 4)
        assert not np.any(group.whole[0.2] == 4)


def test_genome_trials_hold_the_windows_of_one_anchor() -> None:
    rng = np.random.default_rng(2)
    codes = rng.integers(0, 4, 30_000).astype(np.uint8)
    codes[10_000:10_100] = 4
    trials = genome_trials(
        codes, groups=3, queries=5, edits=(0.1,), ends=ReadEnds(anchor=4), seed=3, windows=50, least=40
    )
    by_window = {}
    for place in range(MARGIN, 30_000 - MARGIN - 4):
        kmer = codes[place : place + 4]
        if np.any(codes[place - MARGIN : place + 4 + MARGIN] > 3) or np.array_equal(kmer, 3 - kmer[::-1]):
            continue
        turned = tuple(int(base) for base in 3 - kmer[::-1])
        canonical = min(tuple(int(base) for base in kmer), turned)
        by_window[bytes(oriented_window(codes[place - 40 : place + 44], 40, 4))] = canonical
    for group in trials:
        anchors = {by_window[window.tobytes()] for window in group.windows}
        assert len(anchors) == 1
        assert len(group.windows) == 50


def test_copies_are_no_false_windows() -> None:
    rng = np.random.default_rng(4)
    unit = rng.integers(0, 4, 6_000).astype(np.uint8)
    trials = genome_trials(
        np.concatenate([unit, unit]),
        groups=2,
        queries=4,
        edits=(0.1,),
        ends=ReadEnds(anchor=4),
        seed=5,
        least=40,
    )
    for group in trials:
        assert np.all((~group.false).sum(axis=1) == 2)  # itself and its copy


def test_the_shipped_table_is_clearly_better_than_a_random_one_on_real_sequence() -> None:
    trials = genome_trials(
        joined_codes(GENOME), groups=40, queries=12, edits=(0.1, 0.2), ends=ReadEnds(anchor=6), seed=6
    )
    shipped, untrained = (
        {
            (row.score, row.windows, row.edits): row.recall[1e-3]
            for row in score_table(table, trials, rates=(1e-3,))
        }
        for table in (WindowEncoder.shipped().table, quantise(random_table()))
    )
    assert shipped["hamming", "whole", 0.1] > 0.97
    assert shipped["scaled", "whole", 0.2] > 0.95
    for score in ("hamming", "scaled"):
        for windows in ("whole", "cut"):
            assert shipped[score, windows, 0.2] > untrained[score, windows, 0.2] + 0.05, (score, windows)


def test_the_shipped_weights_belong_to_the_shipped_recipe() -> None:
    recipe = load_recipe(MODEL / "recipe.yaml", WindowRecipe)
    with safe_open(MODEL / "weights.safetensors", framework="numpy") as opened:
        metadata = opened.metadata()
        table = opened.get_tensor("table")
    assert metadata["recipe_sha256"] == recipe_digest(recipe)
    assert metadata["context"] == str(recipe.context)
    assert table.shape == (64, 4**recipe.context, 128)
