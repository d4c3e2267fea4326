"""Scores by masked language models: each method against its definition, windows, batches, and both ways to load."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_proteins import save_esm2, save_esmc, save_protgpt2

from genoseq.errors import GenoseqError, InputError, UsageError
from genoseq.families.alphabet import AMINO_ACIDS
from genoseq.families.language.masked import METHODS, MaskedModel, MaskedScorer, load_masked
from genoseq.families.variants.notation import VariantsError, parse_variant

WILD = "MKTAYIAKQRQISFVKSHFSRQ"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_esm2(tmp_path_factory.mktemp("esm2"))


@pytest.fixture(scope="module")
def model(folder: Path) -> MaskedModel:
    return load_masked(folder)


@pytest.fixture(scope="module")
def peer(folder: Path) -> torch.nn.Module:
    """The same checkpoint in transformers."""
    from transformers import EsmForMaskedLM
    from transformers.utils import logging as bars

    bars.disable_progress_bar()
    return EsmForMaskedLM.from_pretrained(folder).eval()


def predicted(peer: torch.nn.Module, model: MaskedModel, sequence: str, masked: int | None) -> np.ndarray:
    """(L, V) log-probabilities by transformers, one residue masked."""
    ids = torch.from_numpy(model.ids(sequence))[None].clone()
    if masked is not None:
        ids[0, masked + 1] = 32
    with torch.inference_mode():
        return torch.log_softmax(peer(input_ids=ids).logits[0, 1:-1].double(), dim=-1).numpy()


def test_masked_marginals_are_what_transformers_gives(model: MaskedModel, peer: torch.nn.Module) -> None:
    scores = MaskedScorer(model, WILD).single_scores()
    for at in (0, 7, len(WILD) - 1):
        letters = predicted(peer, model, WILD, at)[at, model.letters]
        np.testing.assert_allclose(scores[at], letters - letters[AMINO_ACIDS.index(WILD[at])], atol=1e-5)


def test_wild_type_marginals_are_what_transformers_gives(model: MaskedModel, peer: torch.nn.Module) -> None:
    scores = MaskedScorer(model, WILD, method="wild-type-marginal").single_scores()
    letters = predicted(peer, model, WILD, None)[:, model.letters]
    own = [AMINO_ACIDS.index(letter) for letter in WILD]
    np.testing.assert_allclose(scores, letters - letters[np.arange(len(WILD)), own][:, None], atol=1e-5)


def test_pseudo_likelihood_is_its_definition(model: MaskedModel, peer: torch.nn.Module) -> None:
    def total(sequence: str) -> float:
        ids = model.ids(sequence)[1:-1]
        return sum(predicted(peer, model, sequence, at)[at, ids[at]] for at in range(len(sequence)))

    longer = WILD[:5] + "GG" + WILD[5:]
    scorer = MaskedScorer(model, WILD, method="pseudo-likelihood")
    found = scorer.score_variants([parse_variant("K2A:T3S"), ()])
    assert found[0] == pytest.approx(total("MAS" + WILD[3:]) - total(WILD), abs=1e-4)
    assert found[1] == 0.0
    assert scorer.score_sequences([longer])[0] == pytest.approx(total(longer) - total(WILD), abs=1e-4)


@pytest.mark.parametrize("method", METHODS[:2])
def test_marginals_add_up(model: MaskedModel, method: str) -> None:
    scorer = MaskedScorer(model, WILD, method=method)  # type: ignore[arg-type]
    one, two, both = scorer.score_variants([parse_variant(text) for text in ("K2A", "Y5W", "K2A:Y5W")])
    assert both == pytest.approx(one + two)
    assert one == pytest.approx(scorer.single_scores()[1, AMINO_ACIDS.index("A")])
    sequences = [WILD, "MA" + WILD[2:4] + "W" + WILD[5:], WILD[:-1], "MX" + WILD[2:]]
    np.testing.assert_allclose(scorer.score_sequences(sequences), [0, both, np.nan, np.nan])


def test_methods_differ(model: MaskedModel) -> None:
    variants = [parse_variant("K2A:T3W")]
    found = {round(float(MaskedScorer(model, WILD, method=one).score_variants(variants)[0]), 6) for one in METHODS}
    assert len(found) == 3


@pytest.mark.parametrize("method", METHODS)
def test_batches_change_nothing(model: MaskedModel, method: str) -> None:
    variants = [parse_variant(text) for text in ("K2A", "Y5W:I6L", "Q22R")]
    small = MaskedModel(model.net, model.tokenizer, window=model.window, batch_tokens=1)
    found = [MaskedScorer(one, WILD, method=method).score_variants(variants) for one in (model, small)]  # type: ignore[arg-type]
    np.testing.assert_allclose(*found, atol=1e-5)


def test_long_proteins_are_read_in_windows(model: MaskedModel, peer: torch.nn.Module) -> None:
    short = MaskedModel(model.net, model.tokenizer, window=8)
    table = MaskedScorer(short, WILD).single_scores()
    for at, begin in ((0, 0), (3, 0), (10, 6), (21, 14)):  # in the middle of 8 where there is room
        part = WILD[begin : begin + 8]
        letters = predicted(peer, model, part, at - begin)[at - begin, model.letters]
        np.testing.assert_allclose(table[at], letters - letters[AMINO_ACIDS.index(WILD[at])], atol=1e-5)
    opened = short.open_log_probabilities(WILD)
    for at, begin in ((0, 0), (5, 0), (6, 4), (13, 8), (21, 14)):  # windows begin at 0, 4, 8, 12, 14
        expected = predicted(peer, model, WILD[begin : begin + 8], None)[at - begin]
        np.testing.assert_allclose(opened[at], expected, atol=1e-5)
    assert np.isfinite(MaskedScorer(short, WILD, method="pseudo-likelihood").score_variants([parse_variant("K2A")])).all()


def test_windows_leave_short_proteins_alone(model: MaskedModel) -> None:
    exact = MaskedModel(model.net, model.tokenizer, window=len(WILD))
    np.testing.assert_allclose(exact.open_log_probabilities(WILD), model.open_log_probabilities(WILD))


def test_embeddings_are_those_of_transformers(model: MaskedModel, peer: torch.nn.Module) -> None:
    with torch.inference_mode():
        ids = torch.from_numpy(model.ids(WILD))[None]
        expected = peer.esm(input_ids=ids).last_hidden_state[0, 1:-1].numpy()  # type: ignore[operator]
    np.testing.assert_allclose(model.residue_embeddings(WILD), expected, atol=1e-5)
    np.testing.assert_allclose(model.embeddings([WILD[:5], WILD])[1], expected.mean(axis=0), atol=1e-5)
    short = MaskedModel(model.net, model.tokenizer, window=8)
    np.testing.assert_allclose(short.residue_embeddings(WILD)[6], model.residue_embeddings(WILD[4:12])[2], atol=1e-5)


def test_residues_that_are_not_known(model: MaskedModel) -> None:
    scorer = MaskedScorer(model, "MXTA")
    assert np.isnan(scorer.single_scores()[1]).all()
    assert np.isfinite(scorer.single_scores()[[0, 2, 3]]).all()
    found = scorer.score_variants([parse_variant("X2A"), parse_variant("T3S")])
    assert np.isnan(found).tolist() == [True, False]


def test_esmc(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "genoseq"):
        model = load_masked(save_esmc(tmp_path))
    assert "licence unknown" in caplog.text
    assert (type(model.net).__name__, model.window) == ("EsmcForMaskedLM", 126)
    scorer = MaskedScorer(model, WILD)
    ids = torch.from_numpy(model.ids(WILD))[None]
    ids[0, 3] = model.mask
    with torch.inference_mode():
        letters = torch.log_softmax(model.net(input_ids=ids).logits[0, 3].double(), -1).numpy()[model.letters]
    expected = letters[AMINO_ACIDS.index("S")] - letters[AMINO_ACIDS.index("T")]
    assert scorer.score_variants([parse_variant("T3S")])[0] == pytest.approx(expected, abs=1e-6)
    assert len(model.digest()) == 64
    with torch.inference_mode():
        states = model.net.esmc(input_ids=torch.from_numpy(model.ids(WILD))[None]).last_hidden_state[0, 1:-1]
    np.testing.assert_allclose(model.embeddings([WILD])[0], states.numpy().mean(axis=0), atol=1e-5)


def test_esmc_without_weights(tmp_path: Path) -> None:
    save_esmc(tmp_path)
    from safetensors.torch import load_file, save_file

    weights = load_file(tmp_path / "model.safetensors")
    save_file({name: one for name, one in weights.items() if "lm_head" not in name}, tmp_path / "model.safetensors")
    with pytest.raises(InputError, match="holds no weights lm_head"):
        load_masked(tmp_path)


def test_the_mode_comes_back(model: MaskedModel) -> None:
    model.net.train()
    MaskedScorer(model, WILD).single_scores()
    assert model.net.training
    model.net.eval()


def test_what_cannot_be_scored(model: MaskedModel) -> None:
    with pytest.raises(UsageError, match="'perplexity' is no method"):
        MaskedScorer(model, WILD, method="perplexity")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="the wild type is no protein: '1' at position 2"):
        MaskedScorer(model, "M1")
    with pytest.raises(InputError, match="is empty"):
        MaskedScorer(model, "")
    with pytest.raises(UsageError, match="needs a marginal method"):
        MaskedScorer(model, WILD, method="pseudo-likelihood").single_scores()
    with pytest.raises(VariantsError, match="1 of 1 variant disagrees"):
        MaskedScorer(model, WILD).score_variants([parse_variant("A2K")])


def test_models_that_are_none(tmp_path: Path, folder: Path) -> None:
    with pytest.raises(GenoseqError):
        load_masked(save_protgpt2(tmp_path))
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "config.json").write_text("{")
    with pytest.raises(InputError, match=r"config\.json: cannot be read"):
        load_masked(broken)


def test_a_model_of_dna_is_refused(model: MaskedModel) -> None:
    class Bases:
        mask_token_id = 4

        def get_vocab(self) -> dict[str, int]:
            return {letter: number for number, letter in enumerate("ACGT")}

    with pytest.raises(UsageError, match="no token for D, E"):
        MaskedModel(model.net, Bases())


def test_weights_that_are_not_whole(folder: Path) -> None:
    model = load_masked(folder)
    with torch.no_grad():
        next(iter(model.net.parameters())).fill_(float("nan"))
    with pytest.raises(InputError, match="gives NaN"):
        MaskedScorer(model, WILD).single_scores()


def test_the_window_is_what_the_configuration_says(tmp_path: Path) -> None:
    assert load_masked(save_esm2(tmp_path, positions=40)).window == 36
    values = json.loads((tmp_path / "config.json").read_text())
    assert values["max_position_embeddings"] == 40
