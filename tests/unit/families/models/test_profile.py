"""The profile HMM: its forward pass against an enumeration of paths, single scores against whole passes, indels."""

from __future__ import annotations

import functools

import numpy as np
import pytest
from small_family import coupled_family, family_of

from genoseq.errors import InputError, UsageError
from genoseq.families.alphabet import encode
from genoseq.families.models.profile import fit_profile
from genoseq.families.variants.notation import apply_variant, parse_variant


@pytest.fixture(scope="module")
def model():
    return fit_profile(coupled_family(120))


def plain_log_odds(model, sequence: str) -> float:
    """Sum over all paths, by recursion from the begin state."""
    codes = encode(sequence)
    last = len(model.emissions) - 1
    odds = np.ones((last + 1, 22))
    odds[:, :20] = model.emissions / model.background
    moves = model.moves

    @functools.cache
    def rest(state: str, node: int, used: int) -> float:
        to_match, to_insert, to_delete = {"M": (0, 1, 2), "I": (3, 4, None), "D": (5, None, 6)}[state]
        if node == last:
            total = moves[node, to_match] if used == len(codes) else 0.0
        else:
            total = 0.0
            if used < len(codes):
                total += moves[node, to_match] * odds[node + 1, codes[used]] * rest("M", node + 1, used + 1)
            if to_delete is not None:
                total += moves[node, to_delete] * rest("D", node + 1, used)
        if to_insert is not None and used < len(codes):
            total += moves[node, to_insert] * rest("I", node, used + 1)
        return total

    return float(np.log(rest("M", 0, 0)))


@pytest.mark.parametrize("change", ["", "delete", "insert", "short", "unknown"])
def test_forward_sums_all_paths(model, change):
    wild = model.wild_type
    sequence = {
        "": wild,
        "delete": wild[:4] + wild[6:],
        "insert": wild[:4] + "WYW" + wild[4:],
        "short": wild[:1],
        "unknown": "X" + wild[1:],
    }[change]
    assert model.log_odds(sequence) == pytest.approx(plain_log_odds(model, sequence), rel=1e-9)


def test_single_scores_are_those_of_whole_passes(model):
    wild = model.wild_type
    variants = [parse_variant(f"{wild[position]}{position + 1}{letter}") for position in (0, 5, 11) for letter in "GWP"]
    whole = model.score_sequences([apply_variant(wild, variant) for variant in variants])
    np.testing.assert_allclose(model.score_variants(variants), whole, atol=1e-9)
    double = parse_variant(f"{wild[2]}3K:{wild[9]}10W")
    assert model.score_variants([double])[0] == pytest.approx(model.score_sequences([apply_variant(wild, double)])[0])


def test_indels_cost_and_the_wild_type_is_zero(model):
    wild = model.wild_type
    scores = model.score_sequences([wild, wild[:5] + wild[6:], wild[:6] + "GG" + wild[6:]])
    assert scores[0] == 0
    assert (scores[1:] < -1).all()
    assert scores[2] < model.score_sequences([wild[:6] + "G" + wild[6:]])[0]  # the longer insertion costs more


def test_more_sequences_say_more():
    family = coupled_family(120)
    clusters, relaxed = fit_profile(family), fit_profile(family, effective_number="entropy")
    assert clusters.focus.settings["effective_rows"] != relaxed.focus.settings["effective_rows"]
    with pytest.raises(UsageError, match="expected one of clust"):
        fit_profile(family, effective_number="many")  # type: ignore[arg-type]


def test_columns_that_are_not_modelled_and_gaps():
    model = fit_profile(family_of(["ACDEFGH", "ACDEFGH", "ACWEYGH"], modelled=[True] * 6 + [False]))
    scores = model.score_variants([parse_variant("F5Y"), parse_variant("H7K")])
    assert np.isfinite(scores[0])
    assert np.isnan(scores[1])
    with pytest.raises(InputError, match="has gaps"):
        model.log_odds("ACD-FGH")


def test_without_wild_type_scores_are_log_odds():
    model = fit_profile(family_of(["ACDEF", "ACDEW", "AC-EW"], query=False))
    assert model.score_sequences(["ACDEF"])[0] == pytest.approx(model.log_odds("ACDEF"))
    with pytest.raises(UsageError, match="no wild type"):
        model.single_scores()
