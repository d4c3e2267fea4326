"""Peptides for a target: of the 20 amino acids, ranked, different, and the same for the same seed."""

from __future__ import annotations

import csv
import logging
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from aligned_families import public_protein_file
from tiny_proteins import save_esm2

from genoseq.errors import InputError, UsageError
from genoseq.families.alphabet import AMINO_ACIDS
from genoseq.families.language.masked import MaskedModel, load_masked
from genoseq.families.language.peptides import design_peptides, mask_log_probabilities, peptide_perplexities

TARGET = "MKTAYIAKQRQISFVKSHFSRQ"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> MaskedModel:
    return load_masked(save_esm2(tmp_path_factory.mktemp("pepmlm")))


def test_perplexity_is_its_definition(model: MaskedModel) -> None:
    peptide = "WKL"
    total = 0.0
    for at, letter in enumerate(peptide):
        ids = torch.from_numpy(model.ids(TARGET + peptide))[None].clone()
        place = 1 + len(TARGET) + at
        ids[0, place] = model.mask
        with torch.inference_mode():
            logits = model.net(input_ids=ids).logits[0, place].double()
        total += float(torch.log_softmax(logits, -1)[model.letters[AMINO_ACIDS.index(letter)]])
    found = peptide_perplexities(model, TARGET, [peptide, "A"])
    assert found[0] == pytest.approx(math.exp(-total / 3), rel=1e-5)
    assert found[1] > 1


def test_masks_stand_behind_the_target(model: MaskedModel) -> None:
    ids = torch.from_numpy(np.concatenate([model.ids(TARGET)[:-1], [model.mask] * 4, [2]]))[None]
    with torch.inference_mode():
        expected = torch.log_softmax(model.net(input_ids=ids).logits[0, -5:-1].double(), -1).numpy()
    np.testing.assert_allclose(mask_log_probabilities(model, TARGET, 4), expected, atol=1e-6)


def test_designs_are_ranked_and_of_the_likeliest_letters(model: MaskedModel) -> None:
    found = design_peptides(model, TARGET, length=6, number=8, top_k=3, seed=1)
    best = np.argsort(-mask_log_probabilities(model, TARGET, 6)[:, model.letters], axis=1)[:, :3]
    allowed = [{AMINO_ACIDS[code] for code in place} for place in best]
    assert len(found.peptides) == 8
    for one in found.peptides:
        assert all(letter in choice for letter, choice in zip(one.sequence, allowed, strict=True))
    values = [one.perplexity for one in found.peptides]
    assert values == sorted(values)
    np.testing.assert_allclose(values, peptide_perplexities(model, TARGET, [one.sequence for one in found.peptides]), rtol=1e-5)
    assert len({one.sequence for one in found.peptides}) == 8


def test_diversity_and_identity_are_what_they_say(model: MaskedModel) -> None:
    found = design_peptides(model, TARGET, length=5, number=4, seed=3)
    rows = [one.sequence for one in found.peptides]

    def same(a: str, b: str) -> float:
        return sum(x == y for x, y in zip(a, b, strict=True)) / 5

    pairs = [same(rows[i], rows[j]) for i in range(4) for j in range(i)]
    assert found.diversity == pytest.approx(1 - np.mean(pairs))
    assert math.isnan(found.peptides[0].identity)
    assert found.peptides[3].identity == pytest.approx(max(same(rows[3], one) for one in rows[:3]))


def test_the_seed_decides_and_more_begin_with_the_same(model: MaskedModel) -> None:
    few, many, other = (
        {(one.sequence, one.attempt) for one in design_peptides(model, TARGET, length=8, number=number, seed=seed).peptides}
        for number, seed in ((3, 0), (6, 0), (3, 1))
    )
    assert few < many
    assert few != other


def test_options_have_their_effect(model: MaskedModel) -> None:
    greedy = design_peptides(model, TARGET, length=4, number=1, top_k=1).peptides[0].sequence
    best = mask_log_probabilities(model, TARGET, 4)[:, model.letters].argmax(axis=1)
    assert greedy == "".join(AMINO_ACIDS[code] for code in best)
    cold = design_peptides(model, TARGET, length=4, number=1, top_k=0, temperature=1e-6).peptides[0].sequence
    assert cold == greedy
    apart = design_peptides(model, TARGET, length=10, number=5, top_k=0, max_identity=0.3)
    assert all(not one.identity > 0.3 for one in apart.peptides)


def test_too_few_different_peptides_are_a_warning(model: MaskedModel, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "genoseq"):
        found = design_peptides(model, TARGET, length=1, number=9, top_k=2)
    assert (len(found.peptides), found.attempts) == (2, 450)
    assert "2 different peptides in 450 attempts, 9 were wanted" in caplog.text


def test_what_makes_no_sense(model: MaskedModel) -> None:
    with pytest.raises(UsageError, match="length 0"):
        design_peptides(model, TARGET, length=0, number=1)
    with pytest.raises(UsageError, match="cut the target to the domain"):
        design_peptides(model, "A" * 1020, length=12, number=1)
    with pytest.raises(InputError, match="the target is no protein"):
        design_peptides(model, "M*", length=2, number=1)
    with pytest.raises(InputError, match="the peptide is empty"):
        peptide_perplexities(model, TARGET, [""])


def test_public_complexes_can_be_judged(model: MaskedModel) -> None:
    with Path(public_protein_file("peptide_binder_pepnn_test.csv")).open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if len(row["Receptor Sequence"]) < 90]
    assert len(rows) > 5
    for row in rows[:3]:
        target, peptide = row["Receptor Sequence"], row["Sequence"]
        natural = peptide_perplexities(model, target, [peptide])[0]
        designs = design_peptides(model, target, length=len(peptide), number=2).peptides
        assert natural > 1
        assert all(set(one.sequence) <= set(AMINO_ACIDS) and len(one.sequence) == len(peptide) for one in designs)
