"""Scores by PoET: shared prompts and beginnings change nothing, nor does what is scored beside."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from parity import assert_close, parity_case, weights
from saved_models import loaded
from tiny_poet import LETTERS, TOKENIZER, protein, tiny_poet

import genoseq
from genoseq.errors import InputError, UsageError
from genoseq.families.poet.prompt import Prompt
from genoseq.families.poet.scoring import PoETFamily, log_likelihoods, log_likelihoods_plainly, read_prompt
from genoseq.families.variants.notation import VariantsError, all_single_variants, parse_variant

WILD = protein(24, 5)
PROMPT = Prompt(tuple(protein(length, 1) for length in (20, 25, 18)))
SEQUENCES = [
    WILD,
    "W" + WILD[1:],
    WILD[:-1] + "W",
    WILD[:3] + "X" + WILD[4:],  # unknown
    WILD[:8] + WILD[11:],  # deletion
    WILD[:5] + "KKKK" + WILD[5:],  # insertion
    WILD[:20],  # cut
    WILD + "AC",  # longer
    WILD[:2] + "C" + WILD[3:15] + "D" + WILD[16:],  # two substitutions
    protein(7, 3),
    WILD,
]


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("prompt", [PROMPT, Prompt(())], ids=["prompt", "none"])
@pytest.mark.parametrize("options", [{}, {"reference": WILD}, {"reference": WILD, "batch_tokens": 30}, {"reference": WILD[:20]}])
def test_shared_beginnings_change_nothing(reverse: bool, prompt: Prompt, options: dict[str, object]) -> None:
    net = tiny_poet()
    memory = read_prompt(net, TOKENIZER, prompt, reverse=reverse)
    found = log_likelihoods(net, TOKENIZER, memory, SEQUENCES, reverse=reverse, **options)
    np.testing.assert_allclose(found, log_likelihoods_plainly(net, TOKENIZER, prompt, SEQUENCES, reverse=reverse), atol=1e-4)


def test_all_single_mutants() -> None:
    family = PoETFamily(tiny_poet(), TOKENIZER, [PROMPT, Prompt(PROMPT.sequences[:1])], wild_type=WILD)
    variants = all_single_variants(WILD)
    found = family.score_variants(variants)
    assert found.shape == (24 * 19,) and found.std() > 0.1
    alone = np.concatenate([family.score_variants([variant]) for variant in variants[::50]])
    np.testing.assert_allclose(found[::50], alone, atol=1e-4)
    chance = np.random.default_rng(0).permutation(len(variants))
    np.testing.assert_allclose(family.score_variants([variants[i] for i in chance]), found[chance], atol=1e-4)
    assert family.score_variants([(), parse_variant(f"{WILD[0]}1{WILD[0]}")]).tolist() == [0, 0]


def test_the_mean_is_over_prompts_and_directions() -> None:
    prompts = [PROMPT, Prompt(PROMPT.sequences[:1]), Prompt(())]
    told = []
    scores = PoETFamily(tiny_poet(), TOKENIZER, prompts, wild_type=WILD, report=told.append).score(SEQUENCES)
    assert scores.each.shape == (len(SEQUENCES), 3, 2) and sum(told) == 6 * (len(SEQUENCES) - 1)
    for number, prompt in enumerate(prompts):
        for direction in range(2):
            plain = log_likelihoods_plainly(tiny_poet(), TOKENIZER, prompt, SEQUENCES, reverse=bool(direction))
            np.testing.assert_allclose(scores.each[:, number, direction], plain, atol=1e-4)
    np.testing.assert_allclose(scores.mean, scores.each.mean(axis=(1, 2)))
    assert np.abs(scores.each[:, 0] - scores.each[:, 2]).max() > 0.1  # the prompt matters
    assert np.abs(scores.each[..., 0] - scores.each[..., 1]).max() > 0.1  # and so does the direction


def test_without_a_wild_type() -> None:
    family = PoETFamily(tiny_poet(), TOKENIZER, [PROMPT])
    with_one = PoETFamily(tiny_poet(), TOKENIZER, [PROMPT], wild_type=WILD)
    found = family.score_sequences(SEQUENCES)
    np.testing.assert_allclose(found - found[0], with_one.score_sequences(SEQUENCES), atol=1e-4)
    with pytest.raises(UsageError, match="give it to PoETFamily"):
        family.score_variants([()])


def test_unknown_residues_count_in_no_sum() -> None:
    short = log_likelihoods(tiny_poet(), TOKENIZER, None, ["XXX"])
    ids = torch.tensor([[21, 23, 23, 23, 22]])
    with torch.no_grad():
        stop = tiny_poet()(ids).logits[0, 3].log_softmax(0)[22]
    np.testing.assert_allclose(short, [float(stop)], atol=1e-5)


def test_the_reference_vectors() -> None:
    folder = parity_case("poet_tiny")
    model, tokenizer = genoseq.load(folder / "model.safetensors")
    given = weights(folder, "vectors.safetensors")

    def texts(ids: torch.Tensor) -> tuple[str, ...]:
        rows = "".join(tokenizer.convert_ids_to_tokens(ids.flatten().tolist()))
        return tuple(row.replace("$", "").replace("X", "") for row in rows.split("*")[1:])

    prompt, variants = Prompt(texts(given["score.prompt"])), texts(given["score.variants"])
    scores = PoETFamily(model, tokenizer, [prompt], wild_type=prompt.sequences[0]).score(variants)
    assert_close(torch.from_numpy(scores.each[:, 0, 0]), given["score.logp_forward"].double())
    assert_close(torch.from_numpy(scores.each[:, 0, 1]), given["score.logp_backward"].double())
    assert_close(torch.from_numpy(scores.mean), given["score.logp_mean"].double())


def test_a_prompt_is_read_once_and_a_beginning_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tokens that go through the net: the prompt, the wild type, and of each mutant what follows its substitution."""
    net = tiny_poet()
    read = []
    forward = type(net.poet).forward

    def counting(self: object, input_ids: torch.Tensor, **options: object) -> object:
        read.append(input_ids.numel())
        return forward(self, input_ids=input_ids, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(type(net.poet), "forward", counting)
    mutants = [WILD[:i] + letter + WILD[i + 1 :] for i in range(24) for letter in LETTERS if letter != WILD[i]]
    log_likelihoods(net, TOKENIZER, read_prompt(net, TOKENIZER, PROMPT), mutants, reference=WILD)
    least = PROMPT.tokens + 25 + 19 * sum(range(1, 25))
    assert least <= sum(read) <= 1.2 * least and len(read) < 30


def test_what_cannot_be_scored() -> None:
    family = PoETFamily(tiny_poet(), TOKENIZER, [PROMPT], wild_type=WILD)
    with pytest.raises(VariantsError, match="disagrees with the wild type"):
        family.score_variants([parse_variant("W1A" if WILD[0] != "W" else "A1W")])
    with pytest.raises(InputError, match="sequence 2 has no residues"):
        family.score_sequences(["ACD", ""])
    with pytest.raises(UsageError, match="after prompts"):
        PoETFamily(tiny_poet(), TOKENIZER, [])
    with pytest.raises(UsageError, match="is not PoET"):
        PoETFamily(*loaded("protein"), [PROMPT])


def test_the_callers_model_comes_back_as_it_was() -> None:
    net = tiny_poet()
    net.train()
    try:
        PoETFamily(net, TOKENIZER, [PROMPT]).log_likelihoods([WILD])
        assert net.training
    finally:
        net.eval()


@pytest.mark.gpu
def test_on_a_gpu() -> None:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    family = PoETFamily(tiny_poet(), TOKENIZER, [PROMPT], wild_type=WILD)
    on_gpu = PoETFamily(tiny_poet(), TOKENIZER, [PROMPT], wild_type=WILD, device="cuda")
    np.testing.assert_allclose(on_gpu.score_sequences(SEQUENCES), family.score_sequences(SEQUENCES), atol=1e-3)
