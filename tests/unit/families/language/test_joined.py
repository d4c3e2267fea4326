"""Language models and a model of a family by mean rank: by hand, whatever else is scored, and what has no score."""

from __future__ import annotations

import numpy as np
import pytest
from small_family import coupled_family
from tiny_poet import TOKENIZER, tiny_poet
from tiny_proteins import save_esm2

from genoseq.errors import UsageError
from genoseq.families.language.joined import joined_sequences, joined_variants, rank_variants
from genoseq.families.language.masked import MaskedScorer, load_masked
from genoseq.families.models.fitting import FitSettings, fit_model
from genoseq.families.models.model import FamilyModel
from genoseq.families.models.potts_fit import PottsSettings
from genoseq.families.poet.prompt import Prompt
from genoseq.families.poet.scoring import PoETFamily
from genoseq.families.variants.notation import all_single_variants, apply_variant, parse_variant

FAMILY = coupled_family(150)
WILD = FAMILY.query or ""


@pytest.fixture(scope="module")
def site() -> FamilyModel:
    return fit_model(FAMILY, "site")


@pytest.fixture(scope="module")
def poet() -> PoETFamily:
    return PoETFamily(tiny_poet(), TOKENIZER, [Prompt(FAMILY.sequences[1:6])], wild_type=WILD)


@pytest.fixture(scope="module")
def masked(tmp_path_factory: pytest.TempPathFactory) -> MaskedScorer:
    return MaskedScorer(load_masked(save_esm2(tmp_path_factory.mktemp("esm") / "m")), WILD)


def ranks(values: np.ndarray) -> np.ndarray:
    """Shares of the values below each, ties half."""
    from scipy.stats import rankdata

    return (rankdata(values) - 1) / (len(values) - 1)


def test_the_mean_of_ranks_by_hand(site: FamilyModel, poet: PoETFamily, masked: MaskedScorer) -> None:
    variants = all_single_variants(WILD)
    found = joined_variants(site, {"poet": poet, "masked": masked}, WILD, variants)
    assert list(found.members) == ["site", "poet", "masked"]
    np.testing.assert_allclose(found.members["poet"], poet.score_variants(variants), atol=1e-5)
    np.testing.assert_allclose(found.members["masked"], masked.score_variants(variants))
    by_hand = np.mean([ranks(values) for values in found.members.values()], axis=0)
    inner = np.all([(ranks(values) > 0.02) & (ranks(values) < 0.98) for values in found.members.values()], axis=0)
    difference = (found.score - by_hand)[inner]  # the wild type's own mean rank, the same for all
    assert inner.sum() > 150
    assert np.ptp(difference) < 0.02
    assert (found.outside, found.lengths) == (0, 0)


def test_a_score_does_not_depend_on_the_others(site: FamilyModel, poet: PoETFamily) -> None:
    variants = [parse_variant(f"{WILD[3]}4W"), parse_variant(f"{WILD[3]}4W:{WILD[7]}8C"), ()]
    together = joined_variants(site, {"poet": poet}, WILD, variants).score
    alone = [joined_variants(site, {"poet": poet}, WILD, [one]).score[0] for one in variants]
    np.testing.assert_allclose(together, alone, atol=1e-6)
    assert together[2] == pytest.approx(0, abs=1e-6)
    sequences = [apply_variant(WILD, one) for one in variants]
    np.testing.assert_allclose(joined_sequences(site, {"poet": poet}, WILD, sequences).score, together, atol=1e-6)


def test_the_set_of_the_ranks_is_spread_over_the_protein() -> None:
    chosen = rank_variants("MKTAYIAKQR" * 30)
    assert len(chosen) == 1000
    assert {one.position for (one,) in chosen} == set(range(300))
    assert rank_variants(WILD) == all_single_variants(WILD)


def test_insertions_need_models_that_know_them(poet: PoETFamily, masked: MaskedScorer) -> None:
    ensemble = fit_model(FAMILY, "ensemble", settings=FitSettings(potts=PottsSettings(iterations=3)))
    sequences = [WILD[:5] + "GG" + WILD[5:], WILD]
    found = joined_sequences(ensemble, {"poet": poet}, WILD, sequences)
    assert np.isfinite(found.score).all()
    assert found.lengths == 0
    found = joined_sequences(ensemble, {"poet": poet, "masked": masked}, WILD, sequences)
    assert np.isnan(found.score).tolist() == [True, False]
    assert found.lengths == 1


def test_outside_the_alignment_there_is_no_score(site: FamilyModel) -> None:
    longer = "MK" + WILD
    scorer = PoETFamily(tiny_poet(), TOKENIZER, [Prompt(FAMILY.sequences[1:4])], wild_type=longer)
    found = joined_variants(site, {"poet": scorer}, longer, [parse_variant("M1A"), parse_variant(f"{WILD[0]}3W")], begin=2)
    assert np.isnan(found.score).tolist() == [True, False]
    assert (found.outside, found.lengths) == (1, 0)


def test_a_model_that_says_nothing_is_refused(site: FamilyModel) -> None:
    class Flat:
        def score_variants(self, variants: object) -> np.ndarray:
            return np.zeros(len(variants))  # type: ignore[arg-type]

        score_sequences = score_variants

    with pytest.raises(UsageError, match="at least two different scores"):
        joined_variants(site, {"flat": Flat()}, WILD, [()])
