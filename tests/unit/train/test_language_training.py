"""Training a language model by a recipe: what it learns, what it writes, what it refuses."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner

import genoseq
import genoseq.infer
import genoseq.tokenizers
from genoseq.cli.train import train
from genoseq.errors import InputError, OutputError, UsageError
from genoseq.recipes import RecipeError, build_recipe
from genoseq.train.language import run_language_training
from genoseq.train.language_data import Windows, bases_per_token
from genoseq.train.language_recipe import LanguageOptimiser, LanguageRecipe, LengthStage
from genoseq.train.markov import markov_bits

BLOCK = {"mixer": "mamba2", "options": {"d_state": 8, "headdim": 8}}
NET = {"d_model": 16, "blocks": [BLOCK]}


def recipe(**changes: object) -> LanguageRecipe:
    values: dict[str, object] = {
        "net": NET,
        "data": {"train": ["train.fa"], "validation": ["test.fa"], "length": 48, "windows": 5},
        "steps": 40,
        "batch": 8,
        "threads": 1,
        "optimiser": {"rate": 0.02},
    }
    return build_recipe(values | changes, LanguageRecipe)


@pytest.fixture
def repeats(write: Callable[[str, bytes], Path]) -> Path:
    """A folder with sequences in which every base follows from the three before it."""
    write("train.fa", b">a\n" + b"ACGGTTCA" * 200 + b"\n")
    return write("test.fa", b">b\n" + b"GGTTCAAC" * 40 + b"\n").parent


def test_it_learns_what_can_be_learnt_and_writes_a_net(repeats: Path, tmp_path: Path) -> None:
    result = run_language_training(recipe(data=data(both_strands=False)), tmp_path / "net", base=repeats)
    assert result.bits < 0.7 < result.markov[0]
    assert result.losses[-1] < 0.5 * result.losses[0]
    assert result.shared > 0.99
    model, tokenizer = genoseq.load(tmp_path / "net")
    logits = model(**tokenizer("ACGGTTCAACGGTTC", return_tensors="pt", add_special_tokens=False)).logits
    assert tokenizer.decode([int(logits[0, -1].argmax())]) == "A"
    told = json.loads((tmp_path / "net" / "metrics.json").read_text())
    assert told["validation_bits_per_token"] == pytest.approx(result.bits, abs=1e-4)
    assert (tmp_path / "net" / "training.png").stat().st_size > 1000


def data(**changes: object) -> dict[str, object]:
    return {"train": ["train.fa"], "validation": ["test.fa"], "length": 48, "windows": 5} | changes


def test_same_seed_same_weights(repeats: Path, tmp_path: Path) -> None:
    nets = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        before = torch.get_rng_state()
        run_language_training(recipe(seed=seed, steps=5), tmp_path / name, base=repeats)
        assert torch.equal(torch.get_rng_state(), before)
        nets.append((tmp_path / name / "model.safetensors").read_bytes())
    assert nets[0] == nets[1] != nets[2]


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_masked_tokens_and_checkpointing(repeats: Path, tmp_path: Path, precision: str) -> None:
    both = [{"mixer": "bimamba", "options": {"d_state": 4}}]
    wanted = recipe(
        net={"d_model": 16, "blocks": both}, objective="masked", masked=0.3, checkpointing=True, precision=precision, steps=60
    )
    result = run_language_training(wanted, tmp_path / "net", base=repeats)
    assert result.bits < 1.5
    assert type(genoseq.load(tmp_path / "net").model).__name__ == "HybridForMaskedLM"


def test_the_rate_rises_and_falls() -> None:
    optimiser = LanguageOptimiser(rate=1.0, warm_up=0.1, final=0.2)
    rates = [optimiser.rate_at(step, steps=100) for step in range(100)]
    assert rates[0] == 0.1 and rates[9] == 1.0 and rates[-1] == pytest.approx(0.2, abs=0.01)
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert optimiser.rate_at(0, steps=5) == 1.0  # a warm-up of half a step: never above the highest rate


def test_shorter_windows_first() -> None:
    planned = recipe(stages=[{"until": 0.25, "length": 12}, {"until": 0.5, "length": 24}])
    assert planned.stages == (LengthStage(0.25, 12), LengthStage(0.5, 24))
    assert [planned.length_at(step) for step in (0, 9, 10, 19, 20, 39)] == [12, 12, 24, 24, 48, 48]


def test_a_window_depends_on_seed_and_number_alone() -> None:
    class Plain:
        def encode_array(self, window: bytes) -> np.ndarray:
            return np.frombuffer(window, np.uint8)

    sequences = [b"ACGT" * 30, b"N" * 500, b"GATTACA" * 40]
    windows = Windows(sequences, Plain())
    first = [windows.training(20, seed=3, number=n).tolist() for n in range(40)]
    assert [windows.training(20, seed=3, number=n).tolist() for n in reversed(range(40))] == first[::-1]
    assert first != [windows.training(20, seed=4, number=n).tolist() for n in range(40)]
    assert all(len(window) == 20 and window.count(ord("N")) <= 2 for window in first)
    held_out = list(windows.validation(20, 1000))
    assert len(held_out) == 6 + 25 + 14  # as many as fit, none overlapping
    assert len(list(windows.validation(20, 7))) == 7


def test_the_command_prints_the_net_beside_markov_models(repeats: Path, tmp_path: Path) -> None:
    path = repeats / "recipe.yaml"
    path.write_text(
        "model: language-model\nsteps: 3\nbatch: 2\nthreads: 1\nnet: {d_model: 16, blocks: [{mixer: hyena, options: {l_max: 32, "
        "filter_order: 8}}]}\ndata: {train: [train.fa], validation: [test.fa], length: 32, windows: 2}\n"
    )
    result = CliRunner().invoke(train, [str(path), "-o", str(tmp_path / "net")], catch_exceptions=False)
    assert result.exit_code == 0
    rows = [line.split("\t")[0] for line in result.stdout.splitlines()]
    assert rows == ["model", "genoseq_hybrid", "markov-0", "markov-2", "markov-5", "markov-10"]
    path.write_text(path.read_text() + "objective: masked\n")
    masked = CliRunner().invoke(train, [str(path), "-o", str(tmp_path / "masked")], catch_exceptions=False)
    assert masked.exit_code == 0
    head, *rows = [line.split("\t") for line in masked.stdout.splitlines()]
    assert "validation_bits_of_masked_tokens" in head
    assert [row[0] for row in rows] == ["genoseq_hybrid"]  # no Markov model sees both sides


@pytest.mark.parametrize(
    ("changes", "kind", "text"),
    [
        ({"architecture": "transformer"}, UsageError, "there are: hyenadna"),
        ({"net": {"d_model": 16, "blocks": [{"mixer": "hiena"}]}}, UsageError, "hyena"),
        ({"net": {"d_model": 31, "blocks": [{"mixer": "mamba2", "options": {"headdim": 16}}]}}, UsageError, "^net: .*heads of 16"),
        ({"tokens": {"name": "kmers"}}, UsageError, "kmer"),
        ({"data": data(train=["gone.fa"])}, InputError, "gone.fa"),
    ],
)
def test_a_wrong_recipe_says_what_is_wrong(
    repeats: Path, tmp_path: Path, changes: dict[str, object], kind: type[Exception], text: str
) -> None:
    with pytest.raises(kind, match=text):
        run_language_training(recipe(**changes), tmp_path / "net", base=repeats)
    assert not (tmp_path / "net").exists()


def test_an_unknown_kind_of_model_lists_the_known(tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text("model: forest\n")
    with pytest.raises(RecipeError, match="window-encoder, language-model"):
        CliRunner().invoke(train, [str(path)], catch_exceptions=False)


def test_markov_models_know_both_strands() -> None:
    assert markov_bits([b"AAAAAAAA"], [b"TTTT"], 0) == pytest.approx(1.0, abs=0.1)
    assert markov_bits([b"ACGGTTCA" * 50], [b"ACGGTTCA" * 3], 3) < 1.0
    assert np.isnan(markov_bits([b"ACGT"], [b"NNNN"], 2))


def test_a_net_that_masks_itself_gets_all_bases(repeats: Path, tmp_path: Path) -> None:
    sizes = {"local_encoder": 1, "latent_encoder": 1, "latent_decoder": 1, "local_decoder": 1}
    wanted = recipe(
        architecture="mergedna", objective="masked", masked=0.02, net={"d_model": 16, "n_heads": 2, **sizes}, steps=30, batch=4
    )
    result = run_language_training(wanted, tmp_path / "net", base=repeats)
    assert np.mean(result.losses[-5:]) < 0.8 * result.losses[0]
    model, tokenizer = genoseq.load(tmp_path / "net")
    assert len(genoseq.infer.segmenter(model, tokenizer).segment("ACGGTTCAACGGTTCA")) > 3


def test_a_step_without_a_masked_token_does_no_harm(repeats: Path, tmp_path: Path) -> None:
    both = [{"mixer": "bimamba", "options": {"d_state": 4}}]
    wanted = recipe(net={"d_model": 16, "blocks": both}, objective="masked", masked=0.01, batch=1, steps=8, data=data(length=8))
    result = run_language_training(wanted, tmp_path / "net", base=repeats)
    assert 0.0 in result.losses


def test_a_causal_net_must_not_see_what_it_predicts(repeats: Path, tmp_path: Path) -> None:
    wanted = recipe(architecture="caduceus", net={"d_model": 16, "n_layer": 1}, tokens={"name": "caduceus"})
    with pytest.raises(UsageError, match="this net sees it"):
        run_language_training(wanted, tmp_path / "net", base=repeats)


@pytest.mark.parametrize(
    ("name", "options", "bases"),
    [("nucleotide", {}, 1), ("codon", {}, 3), ("codon", {"frame": 1, "strand": "-"}, 3), ("kmer", {"k": 5}, 2), ("hnet", {}, 1),
     ("nucleotide-transformer-v2", {"k": 7}, 7)],
)  # fmt: skip
def test_windows_have_as_many_tokens_as_were_asked_for(name: str, options: dict[str, object], bases: int) -> None:
    tokenizer, sequences = genoseq.tokenizers.make(name, **options), [b"ACGGTTCA" * 200]
    assert bases_per_token(tokenizer, sequences) == bases
    windows = Windows(sequences, tokenizer, bases_per_token=bases)
    assert all(len(windows.training(64, seed=1, number=number)) == 64 for number in range(20))


def test_windows_of_tokens_of_different_lengths() -> None:
    tokenizer = genoseq.tokenizers.train_bpe(["GATTACAGATTTCA" * 50], vocab_size=20)
    sequences = [b"GATTACAGATTTCA" * 100]
    windows = Windows(sequences, tokenizer, bases_per_token=bases_per_token(tokenizer, sequences))
    assert all(len(windows.training(64, seed=1, number=number)) == 64 for number in range(20))


@pytest.mark.parametrize(
    ("architecture", "net", "message"),
    [
        ("genoseq_hybrid", {"d_model": 16, "blokcs": [BLOCK]}, r"net: Hybrid has no key 'blokcs' \(did you mean 'blocks'\?\)"),
        ("caduceus", {"d_modle": 16}, r"net: Caduceus has no key 'd_modle' \(did you mean 'd_model'\?\); its keys are d_model, "),
        ("hyenadna", {"n_layers": 1}, r"net: HyenaDNA has no key 'n_layers' \(did you mean 'n_layer'\?\)"),
        ("caduceuss", {}, r"there is no 'caduceuss' \(did you mean 'caduceus'\?\)"),
    ],
)
def test_unknown_keys_of_the_net_are_refused(
    repeats: Path, tmp_path: Path, architecture: str, net: dict[str, object], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        run_language_training(recipe(architecture=architecture, net=net), tmp_path / "net", base=repeats)
    assert not (tmp_path / "net").exists()


def test_what_follows_from_tokenizer_and_length_is_filled_in(repeats: Path, tmp_path: Path) -> None:
    both = {"d_model": 16, "blocks": [{"mixer": "bimamba", "options": {"d_state": 4}}], "strands": "shared"}
    wanted = recipe(net=both, tokens={"name": "caduceus"}, objective="masked", steps=2)
    run_language_training(wanted, tmp_path / "both", base=repeats)
    model, tokenizer = genoseq.load(tmp_path / "both")
    found = {int(key): value for key, value in model.config.complement_map.items()}
    assert model.config.shares_strands and found == tokenizer.complement_map
    hyena = {"d_model": 16, "blocks": [{"mixer": "hyena"}, {"mixer": "hyena", "options": {"l_max": 99}}]}
    run_language_training(recipe(net=hyena, steps=2), tmp_path / "hyena", base=repeats)
    model, _ = genoseq.load(tmp_path / "hyena")
    assert [block["options"]["l_max"] for block in model.config.blocks] == [48, 99]
    assert model.config.token_limit == 48
    with pytest.raises(UsageError, match="'evo' does not say which token complements which"):
        run_language_training(
            recipe(net=both, tokens={"name": "evo"}, objective="masked", steps=2), tmp_path / "no", base=repeats
        )


def test_a_folder_is_said_to_be_replaced_only_where_it_is(
    repeats: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("mine")
    with caplog.at_level("WARNING", logger="genoseq"), pytest.raises(OutputError, match="did not write"):
        run_language_training(recipe(steps=1), tmp_path / "mine", base=repeats)
    assert "replace" not in caplog.text
    for _ in range(2):
        with caplog.at_level("WARNING", logger="genoseq"):
            run_language_training(recipe(steps=1), tmp_path / "net", base=repeats)
    assert [message.endswith("net is there already: what this run makes will replace it") for message in caplog.messages] == [True]
