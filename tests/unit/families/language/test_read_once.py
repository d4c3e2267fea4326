"""Language models that are asked for no sequence twice."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from small_family import coupled_family
from tiny_poet import TOKENIZER, protein, tiny_poet
from tiny_proteins import save_esm2

from genoseq.families.language.joined import joined_sequences, joined_variants
from genoseq.families.language.masked import MaskedScorer, load_masked
from genoseq.families.language.read_once import ReadOnce, sequences_to_read
from genoseq.families.models.fitting import fit_model
from genoseq.families.poet.prompt import Prompt
from genoseq.families.poet.scoring import PoETFamily
from genoseq.families.variants.notation import Variant, VariantsError, all_single_variants, apply_variant, parse_variant

WILD = protein(30)
PAIR = f"{WILD[3]}4W:{WILD[7]}8C"
TURNED = f"{WILD[7]}8C:{WILD[3]}4W"


class Counting:
    """Scores by the sum of letters; keeps what each call asked for."""

    def __init__(self, wild_type: str) -> None:
        self.wild_type = wild_type
        self.calls: list[list[str]] = []

    def score_sequences(self, sequences: Sequence[str]) -> np.ndarray:
        self.calls.append(list(sequences))
        return np.array([sum(map(ord, one)) for one in sequences], np.float64) - sum(map(ord, self.wild_type))

    def score_variants(self, variants: Sequence[Variant]) -> np.ndarray:
        return self.score_sequences([apply_variant(self.wild_type, one) for one in variants])


def test_each_sequence_is_asked_for_once() -> None:
    inner = Counting(WILD)
    scorer = ReadOnce(inner, WILD, planned=[WILD, WILD + "A"])
    variants = [parse_variant(PAIR), parse_variant(TURNED), parse_variant(PAIR)]
    found = scorer.score_variants(variants)
    np.testing.assert_array_equal(found, Counting(WILD).score_variants(variants))
    pair = apply_variant(WILD, variants[0])
    assert inner.calls == [[pair, WILD, WILD + "A"]]
    np.testing.assert_array_equal(scorer.score_sequences([WILD + "A", pair, WILD]), [ord("A"), found[0], 0])
    assert len(inner.calls) == 1
    scorer.score_sequences([WILD[1:], pair])
    assert inner.calls[1:] == [[WILD[1:]]]
    assert len(scorer.score_sequences([])) == 0
    with pytest.raises(VariantsError, match="disagree"):
        scorer.score_variants([parse_variant("W1A" if WILD[0] != "W" else "A1W")])


def test_what_is_asked_for_is_counted_beforehand() -> None:
    variants = [parse_variant(PAIR), parse_variant(TURNED), ()]
    pair = apply_variant(WILD, variants[0])
    assert sequences_to_read(WILD, variants, [pair, WILD[1:]]) == [WILD, pair, WILD[1:]]


@pytest.mark.parametrize("kind", ["poet", "masked-marginal", "wild-type-marginal", "pseudo-likelihood"])
def test_scores_are_those_of_the_model(kind: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    if kind == "poet":
        model: PoETFamily | MaskedScorer = PoETFamily(tiny_poet(), TOKENIZER, [Prompt((WILD[2:], WILD[:20]))], wild_type=WILD)
    else:
        loaded = load_masked(save_esm2(tmp_path_factory.mktemp("esm") / "m"))
        model = MaskedScorer(loaded, WILD, method=kind)  # type: ignore[arg-type]
    variants = [*all_single_variants(WILD)[::60], parse_variant(PAIR), ()]
    once = ReadOnce(model, WILD).score_variants(variants)
    np.testing.assert_allclose(once, model.score_variants(variants), atol=1e-5)
    assert once[-1] == pytest.approx(0, abs=1e-6)


def test_joined_scores_ask_once_for_what_is_asked_and_ranked() -> None:
    family = coupled_family(60)
    wild = family.query or ""
    site = fit_model(family, "site")
    inner = Counting(wild)
    every = all_single_variants(wild)
    joined_variants(site, {"one": inner}, wild, every)
    assert [len(call) for call in inner.calls] == [len(every)]
    kept = ReadOnce(inner, wild)
    joined_variants(site, {"one": kept}, wild, every[:5])
    joined_sequences(site, {"one": kept}, wild, [apply_variant(wild, one) for one in every])
    assert [len(call) for call in inner.calls] == [len(every)] * 2


def test_masked_sequences_are_read_in_full_batches(tmp_path_factory: pytest.TempPathFactory) -> None:
    model = load_masked(save_esm2(tmp_path_factory.mktemp("esm") / "m"))
    passes = []
    inner = model.log_probabilities
    model.log_probabilities = lambda rows, places=None: passes.append(len(rows)) or inner(rows, places)  # type: ignore[method-assign, func-returns-value]
    scorer = MaskedScorer(model, WILD)
    sequences = [apply_variant(WILD, one) for one in all_single_variants(WILD)]
    found = scorer.score_sequences(sequences)
    assert passes == [len(WILD)]
    np.testing.assert_allclose(found, MaskedScorer(model, WILD).score_variants(all_single_variants(WILD)))
