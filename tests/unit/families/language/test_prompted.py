"""Generation from prompts: the three formats, what is drawn, what ends it, and results that hang on seed and number alone."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_proteins import save_esm2, save_prollama, save_protgpt2, save_zymctrl

from genoseq.errors import InputError, UsageError
from genoseq.families.alphabet import AMINO_ACIDS
from genoseq.families.language.prompted import FORMATS, PromptedModel, clean, generate, load_prompted, perplexity
from genoseq.infer.generation import Sampling

SAVERS: dict[str, tuple[Callable[..., Path], str]] = {
    "protgpt2": (save_protgpt2, ""),
    "zymctrl": (save_zymctrl, "1.1.1.1"),
    "prollama": (save_prollama, "Ankyrin repeat-containing domain superfamily"),
}
FREE = Sampling()


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, PromptedModel]:
    return {name: load_prompted(save(tmp_path_factory.mktemp(name), ends=2.0)) for name, (save, _) in SAVERS.items()}


def test_formats_are_told_from_the_tokens(models: dict[str, PromptedModel]) -> None:
    assert {name: model.form.name for name, model in models.items()} == {name: name for name in SAVERS}


def test_what_the_models_read() -> None:
    assert FORMATS["protgpt2"].text("", "M" * 61) == f"<|endoftext|>{'M' * 60}\nM"
    assert FORMATS["zymctrl"].text("1.1.1.n2", "MK") == "1.1.1.n2<sep><start>MK"
    assert FORMATS["prollama"].text("A b", "M") == "[Generate by superfamily] Superfamily=<A b> Seq=<M"


@pytest.mark.parametrize(
    ("form", "prompt", "message"),
    [
        ("protgpt2", "1.1.1.1", "no prompt: it makes proteins of any kind"),
        ("zymctrl", "", "expected an EC number such as 1.1.1.1"),
        ("zymctrl", "8.1.1.1", "expected an EC number"),
        ("zymctrl", "1.1.1.1<sep>", "expected an EC number"),
        ("prollama", "", "expected the name of a superfamily"),
        ("prollama", "A> Seq=<", "expected the name of a superfamily"),
    ],
)
def test_prompts_are_checked(form: str, prompt: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        FORMATS[form].text(prompt)


@pytest.mark.parametrize("name", SAVERS)
def test_only_the_20_amino_acids(models: dict[str, PromptedModel], name: str) -> None:
    found = generate(models[name], SAVERS[name][1], 6, sampling=FREE, max_tokens=40, seed=1)
    assert [one.number for one in found] == list(range(6))
    assert all(set(one.sequence) <= set(AMINO_ACIDS) for one in found)
    assert any(one.complete for one in found)
    assert any(len(one.sequence) > 3 for one in found)


@pytest.mark.parametrize("name", SAVERS)
def test_batches_change_nothing_and_the_seed_does(models: dict[str, PromptedModel], name: str) -> None:
    model, prompt = models[name], SAVERS[name][1]

    def drawn(batch: int, seed: int, number: int = 5) -> list[str]:
        return [one.sequence for one in generate(model, prompt, number, sampling=FREE, max_tokens=30, batch=batch, seed=seed)]

    assert drawn(5, 2) == drawn(1, 2) == drawn(2, 2)
    assert drawn(5, 2)[:3] == drawn(5, 2, 3)
    assert drawn(5, 2) != drawn(5, 3)


@pytest.mark.parametrize("name", SAVERS)
def test_perplexity_is_that_of_the_model(models: dict[str, PromptedModel], name: str) -> None:
    model, prompt = models[name], SAVERS[name][1]
    one = next(one for one in generate(model, prompt, 20, sampling=FREE, seed=4) if one.complete and len(one.sequence) > 2)
    text = model.form.text(prompt, one.sequence)
    ids = torch.from_numpy(np.append(model.ids(text), model.end_tokens[0]))[None]
    first = len(model.ids(model.form.text(prompt)))
    with torch.inference_mode():
        logits = torch.log_softmax(model.net(input_ids=ids).logits[0, first - 1 : -1].double(), -1)
    expected = math.exp(-logits.gather(1, ids[0, first:, None]).mean().item())
    assert perplexity(model, one.sequence, prompt) == pytest.approx(expected, rel=1e-5)


def test_generated_and_judged_agree_for_single_letters(models: dict[str, PromptedModel]) -> None:
    model = PromptedModel(models["zymctrl"].net, models["zymctrl"].tokenizer, FORMATS["zymctrl"])
    model.end_tokens = model.end_tokens[:1]  # judging takes the format's own end, generating any
    found = [one for one in generate(model, "1.1.1.1", 8, sampling=FREE, seed=5) if one.complete and one.sequence]
    assert found
    for one in found:
        assert one.tokens == len(one.sequence) + 1
        assert perplexity(model, one.sequence, "1.1.1.1") == pytest.approx(one.perplexity, rel=1e-5)


def test_incomplete_proteins_are_marked(models: dict[str, PromptedModel]) -> None:
    found = generate(models["protgpt2"], "", 12, sampling=FREE, max_tokens=3, seed=1)
    assert all(one.tokens <= 3 for one in found)
    cut = [one for one in found if not one.complete]
    assert cut
    assert all(one.tokens == 3 for one in cut)


def test_a_beginning_is_kept(models: dict[str, PromptedModel]) -> None:
    for name, (_, prompt) in SAVERS.items():
        found = generate(models[name], prompt, 3, start="MKTW", sampling=FREE, max_tokens=5)
        assert all(one.sequence.startswith("MKTW") for one in found), name
    with pytest.raises(UsageError, match="'MX' is no beginning"):
        generate(models["protgpt2"], start="MX")


def test_sampling_has_its_effect(models: dict[str, PromptedModel]) -> None:
    model = models["prollama"]

    def drawn(sampling: Sampling, penalty: float = 1.0) -> list[str]:
        found = generate(model, "X", 3, sampling=sampling, repetition_penalty=penalty, max_tokens=20)
        return [one.sequence for one in found]

    greedy = drawn(Sampling(temperature=0))
    assert len(set(greedy)) == 1
    assert drawn(Sampling(top_k=1)) == greedy
    assert drawn(Sampling(top_p=1e-9)) == greedy
    assert drawn(FREE) != greedy
    assert drawn(FREE, 5.0) != drawn(FREE)


def test_the_penalty_is_that_of_keskar(models: dict[str, PromptedModel]) -> None:
    model = models["prollama"]
    plain = generate(model, "X", 1, sampling=Sampling(temperature=0), repetition_penalty=1.0, max_tokens=2)[0]
    ids = model.ids(model.form.text("X"))
    allowed = np.concatenate([model.residue_tokens, model.end_tokens])
    with torch.inference_mode():
        first = int(allowed[model.net(input_ids=torch.from_numpy(ids[None])).logits[0, -1].numpy()[allowed].argmax()])
        after = model.net(input_ids=torch.from_numpy(np.append(ids, first)[None])).logits[0, -1].numpy()
    after[first] = after[first] / 1e6 if after[first] > 0 else after[first] * 1e6
    second = int(allowed[after[allowed].argmax()])
    found = generate(model, "X", 1, sampling=Sampling(temperature=0), repetition_penalty=1e6, max_tokens=2)[0]
    wanted = "".join(model.texts[token] for token in (first, second) if token not in model.end_tokens)
    assert found.sequence == wanted
    assert plain.sequence.startswith(model.texts[first])


def test_there_must_be_room(models: dict[str, PromptedModel]) -> None:
    with pytest.raises(UsageError, match="no room for new tokens"):
        generate(models["zymctrl"], "1.1.1.1", start="A" * 125)
    with pytest.raises(UsageError, match="0 proteins"):
        generate(models["zymctrl"], "1.1.1.1", 0)
    with pytest.raises(UsageError, match="repetition penalty is 0"):
        generate(models["zymctrl"], "1.1.1.1", repetition_penalty=0)
    with pytest.raises(InputError, match="the model reads 128"):
        perplexity(models["zymctrl"], "A" * 130, "1.1.1.1")
    with pytest.raises(InputError, match="no protein of the 20"):
        perplexity(models["zymctrl"], "MX", "1.1.1.1")


def test_texts_are_cleaned() -> None:
    assert clean("MKT\nAY") == ("MKTAY", 0)
    assert clean("mkX*B>MMM") == ("MK", 3)
    assert clean("") == ("", 0)


def test_models_that_do_not_fit(tmp_path: Path, models: dict[str, PromptedModel]) -> None:
    with pytest.raises(UsageError, match="'esm' is no prompt format: expected one of protgpt2, zymctrl, prollama"):
        load_prompted(tmp_path, form="esm")
    with pytest.raises(InputError, match="cannot be loaded as a causal language model"):
        load_prompted(tmp_path)
    with pytest.raises(InputError, match="cannot be loaded as a causal language model"):
        load_prompted(save_esm2(tmp_path))

    class Bare:
        eos_token_id = None

        def __len__(self) -> int:
            return len(models["prollama"].tokenizer)

        def __getattr__(self, name: str) -> object:
            return getattr(models["prollama"].tokenizer, name)

    with pytest.raises(UsageError, match="no tokens for <end> or"):
        PromptedModel(models["prollama"].net, Bare(), FORMATS["zymctrl"])


def test_a_format_can_be_chosen(tmp_path: Path) -> None:
    assert load_prompted(save_protgpt2(tmp_path), form="protgpt2").form.line == 60
