"""Mapping quality: what it says about rivals, and whether the score of chance is what chance scores."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from banded import scored, window_of
from small_genome import letters

from genoseq.align.aligner import Aligner
from genoseq.align.index import build_index
from genoseq.align.mapq import MAX_MAPQ, chance_score, evidence_weight, phred, single_quality
from genoseq.align.presets import MARGIN
from genoseq.align.scoring import END_BONUS, MATCH, MISMATCH

LENGTH = 150
WHOLE = MATCH * LENGTH + 2 * END_BONUS
CHANCE = chance_score(3_000_000)


def quality(scores: list[int], *, chosen: int = 0, unseen: float = 0.0, length: int = LENGTH) -> int:
    return int(single_quality(np.array(scores), len(scores), chosen, length, CHANCE, unseen))


def test_a_lone_good_read_is_certain() -> None:
    assert quality([WHOLE]) == MAX_MAPQ


@pytest.mark.parametrize("ties", [2, 3, 10])
def test_ties_are_hardly_worth_anything(ties: int) -> None:
    assert quality([WHOLE] * ties) <= 3


def test_quality_grows_with_the_margin_to_the_second() -> None:
    for best in (WHOLE, WHOLE - 40, WHOLE // 2):
        values = [quality([best, best - margin]) for margin in range(best - 20)]
        assert values == sorted(values)
        assert values[0] <= 3
    assert quality([WHOLE, WHOLE // 3]) == MAX_MAPQ


def test_quality_falls_with_each_rival_and_with_what_was_not_seen() -> None:
    values = [quality([WHOLE] + rivals * [WHOLE - 2 * (MATCH + MISMATCH)]) for rivals in range(5)]
    assert values == sorted(values, reverse=True) and values[0] > values[1] > values[4]
    values = [quality([WHOLE], unseen=unseen) for unseen in (0.0, 1e-4, 1e-2, 0.5, 1.0)]
    assert values == sorted(values, reverse=True) and values[-1] <= 3


def test_a_place_that_is_not_the_best_has_little_quality() -> None:
    assert quality([WHOLE, WHOLE - 30], chosen=1) == 0


def test_a_score_near_chance_is_worth_little() -> None:
    values = [quality([score]) for score in range(CHANCE, WHOLE, 5)]
    assert values == sorted(values)
    assert values[0] <= 5


def test_phred_is_minus_ten_log_ten_within_bounds() -> None:
    assert [phred(p) for p in (2.0, 1.0, 0.5, 0.1, 0.01, 0.001, 1e-5, 1e-6, 0.0, -1.0)] == [0, 0, 3, 10, 20, 30, 50, 60, 60, 60]
    values = [phred(p) for p in np.linspace(0, 1.2, 500)]
    assert values == sorted(values, reverse=True)
    assert min(values) == 0 and max(values) == MAX_MAPQ


def test_evidence_of_a_point_falls_with_the_edit_rate() -> None:
    edits = [WHOLE - n * (MATCH + MISMATCH) for n in range(40)]
    weights = [evidence_weight(score, LENGTH) for score in edits]
    assert weights == sorted(weights, reverse=True)
    assert 0 < weights[-1] < weights[0] < 2


def test_chance_score_grows_with_the_logarithm_of_the_reference() -> None:
    scores = [chance_score(10**n) for n in range(3, 11)]
    assert scores == sorted(scores)
    assert all(0 < b - a < 10 for a, b in pairwise(scores))
    assert chance_score(0) == chance_score(1000)


def test_chance_alignments_stay_about_the_chance_score() -> None:
    """Bands side by side over both strands of a random reference: what an exhaustive search would find by chance."""
    rng = np.random.default_rng(4)
    bases, width = 20_000, 128
    reference = rng.integers(0, 4, bases, dtype=np.uint8)
    strands = (reference, (3 - reference)[::-1].copy())
    best = []
    for _ in range(20):
        read = rng.integers(0, 4, LENGTH, dtype=np.uint8)
        starts = range(-width, bases, width // 2)
        best.append(max(scored(read, window_of(s, at, LENGTH + width), width)[0] for s in strands for at in starts))
    assert chance_score(bases) - MARGIN < np.mean(best) < chance_score(bases) + MARGIN
    assert np.std(best) < MARGIN / 2


def test_random_reads_seldom_exceed_chance_and_margin(tmp_path_factory: pytest.TempPathFactory) -> None:
    rng = np.random.default_rng(6)
    folder = tmp_path_factory.mktemp("shuffled")
    (folder / "g.fa").write_text(f">shuffled\n{letters(rng, 100_000)}\n")
    aligner = Aligner(build_index(folder / "g.fa", folder / "index"))
    assert aligner._settings.least >= chance_score(100_000) + MARGIN
    hits = list(aligner.map((f"r{i}", letters(rng, LENGTH)) for i in range(1000)))
    assert sum(hit.is_mapped for hit in hits) <= 10
    assert sum(hit.mapq >= 20 for hit in hits) <= 1
