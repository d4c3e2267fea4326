"""Language models and a model of a family by mean rank: by hand, whatever else is scored, and what has no score."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from small_family import coupled_family
from tiny_poet import TOKENIZER, protein, tiny_poet
from tiny_proteins import save_esm2

from genoseq.errors import UsageError
from genoseq.families.alignments.files import read_alignment
from genoseq.families.language.joined import joined_sequences, joined_variants, rank_variants
from genoseq.families.language.masked import MaskedScorer, load_masked
from genoseq.families.models.ensemble import RankScale
from genoseq.families.models.fitting import FitSettings, fit_model
from genoseq.families.models.model import FamilyModel, Focus
from genoseq.families.models.potts_fit import PottsSettings
from genoseq.families.models.site import SiteModel
from genoseq.families.poet.prompt import Prompt
from genoseq.families.poet.scoring import PoETFamily
from genoseq.families.variants.notation import Substitution, Variant, all_single_variants, apply_variant, parse_variant

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


def site_model(wild_type: str) -> SiteModel:
    """A model of every residue, with chance for logs."""
    logs = np.log(np.random.default_rng(len(wild_type)).dirichlet(np.ones(20), len(wild_type)))
    return SiteModel(Focus(wild_type, 0, np.ones(len(wild_type), np.bool_), ""), logs)


@pytest.mark.parametrize("length", [60, 999, 1000, 1998])
def test_references_are_balanced_over_positions_and_letters(length: int) -> None:
    wild = protein(length)
    chosen = [one for (one,) in rank_variants(site_model(wild), wild)]
    assert len(set(chosen)) == len(chosen) == 1000
    assert chosen == sorted(chosen)
    counts = np.bincount([one.position for one in chosen], minlength=length)
    assert set(counts.tolist()) <= {1000 // length, 1000 // length + 1, -(-1000 // length)}
    gaps = np.diff([one.position for one in chosen])
    assert gaps.max() <= -(-length // 1000)  # no stretch of the protein is left out
    letters = Counter(one.new for one in chosen)
    assert len(letters) == 20
    # 50 of each are expected, less for a letter that the wild type has often; four standard errors are 28
    assert min(letters.values()) > 22 and max(letters.values()) < 78
    assert all(one.old == wild[one.position] != one.new for one in chosen)


def test_references_are_what_the_model_of_the_family_covers(site: FamilyModel) -> None:
    assert rank_variants(site, WILD) == all_single_variants(WILD)
    domain = protein(60)
    whole = protein(1000, 1) + domain + protein(2000, 2)
    model = site_model(domain)
    chosen = rank_variants(model, whole, begin=1000)
    assert len(chosen) == 1000
    assert {one.position for (one,) in chosen} == set(range(1000, 1060))
    # the same of the protein as of its domain alone
    alone = [Substitution(position + 1000, old, new) for ((position, old, new),) in rank_variants(model, domain)]
    assert [one for (one,) in chosen] == alone


def test_ranks_of_all_members_are_within_the_domain(site: FamilyModel) -> None:
    class ByPosition:
        """Says that nothing matters but how far back in the protein it is."""

        def score_sequences(self, sequences: Sequence[str]) -> np.ndarray:
            return np.array([next((-at for at in range(len(whole)) if one[at] != whole[at]), 0) for one in sequences], np.float64)

        def score_variants(self, variants: Sequence[Variant]) -> np.ndarray:
            raise AssertionError("sequences are what is asked for")

    whole = protein(90, 3) + WILD + protein(50, 4)
    asked = [(Substitution(90 + at, WILD[at], "W" if WILD[at] != "W" else "Y"),) for at in range(len(WILD))]
    found = joined_variants(site, {"position": ByPosition()}, whole, asked, begin=90)
    alone = joined_variants(site, {"position": MovedBy(90)}, WILD, [tuple(_moved(one, -90)) for one in asked])
    np.testing.assert_allclose(found.score, alone.score)
    assert np.isfinite(found.score).all()


class MovedBy:
    """The same of the domain alone."""

    def __init__(self, begin: int) -> None:
        self.begin = begin

    def score_sequences(self, sequences: Sequence[str]) -> np.ndarray:
        places = [next((at for at in range(len(WILD)) if one[at] != WILD[at]), None) for one in sequences]
        return np.array([0 if at is None else -at - self.begin for at in places], np.float64)

    def score_variants(self, variants: Sequence[Variant]) -> np.ndarray:
        raise AssertionError("sequences are what is asked for")


def _moved(variant: Variant, by: int) -> Variant:
    return tuple(Substitution(position + by, old, new) for position, old, new in variant)


def test_what_one_model_cannot_score_is_a_reference_of_none(site: FamilyModel) -> None:
    class Blind:
        """Knows nothing of the first six residues."""

        def score_sequences(self, sequences: Sequence[str]) -> np.ndarray:
            values = np.array([sum(map(ord, one)) for one in sequences], np.float64) - sum(map(ord, WILD))
            return np.where([one[:6] != WILD[:6] for one in sequences], np.nan, values)

        score_variants = score_sequences  # not asked for

    asked = [one for one in all_single_variants(WILD) if one[0].position >= 6]
    found = joined_variants(site, {"blind": Blind()}, WILD, asked)
    own = RankScale(site.score_variants(asked))
    blind = RankScale(found.members["blind"])
    by_hand = [own(found.members["site"]) - own(np.zeros(1)), blind(found.members["blind"]) - blind(np.zeros(1))]
    np.testing.assert_allclose(found.score, np.mean(by_hand, axis=0))


def test_ranks_among_1000_of_a_real_protein(shared_data: Path) -> None:
    family = read_alignment(shared_data / "protein" / "msa_BLAT_ECOLX_ColabFold.a3m.gz", query="first")
    wild = family.query or ""
    for kind, mean, most in (("site", 0.0044, 0.0163), ("pssm", 0.0048, 0.0276), ("nearest", 0.0055, 0.0249)):
        model = fit_model(family, kind)  # type: ignore[arg-type]
        scores = model.score_variants(all_single_variants(wild))
        reference = model.score_variants(rank_variants(model, wild))
        assert (len(scores), len(reference)) == (5434, 1000)
        errors = np.abs(RankScale(reference)(scores) - RankScale(scores)(scores))
        assert errors.mean() == pytest.approx(mean, abs=2e-4)
        assert errors.max() == pytest.approx(most, abs=2e-4)


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
