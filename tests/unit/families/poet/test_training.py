"""PoET trained from scratch: it learns what a family has in common, and what training writes and refuses."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_poet import TOKENIZER, member, protein

import genoseq
from genoseq.errors import InputError, UsageError
from genoseq.families.poet.prompt import Prompt
from genoseq.families.poet.recipe import PoETRecipe
from genoseq.families.poet.scoring import PoETFamily
from genoseq.families.poet.sets import collate, draw_set, family_files, read_family, read_homologues
from genoseq.families.poet.training import run_poet_training
from genoseq.recipes import RecipeError, build_recipe, load_recipe

ROOT = Path(__file__).resolve().parents[4]
CONSENSUS = [protein(24, 11), protein(20, 12)]


def fasta(sequences: list[str]) -> bytes:
    return "".join(f">s{number}\n{sequence}\n" for number, sequence in enumerate(sequences)).encode()


@pytest.fixture
def families(write: Callable[[str, bytes], Path]) -> Path:
    """A folder with two families to learn from and new members of the first to judge on."""
    for number, consensus in enumerate(CONSENSUS):
        write(f"family{number}.fa", fasta([member(consensus, 100 * number + i) for i in range(40)]))
    return write("held-out.fa", fasta([member(CONSENSUS[0], 1000 + i) for i in range(8)])).parent


def recipe(**changes: object) -> PoETRecipe:
    values: dict[str, object] = {
        "net": {"hidden_dim": 32, "num_layers": 2, "nhead": 2},
        "data": {"train": ["family*.fa"], "validation": ["held-out.fa"], "context": 80, "sets": 2},
        "steps": 60,
        "batch_tokens": 640,
        "threads": 1,
        "optimiser": {"rate": 0.01},
    }
    return build_recipe(values | changes, PoETRecipe)


def test_it_learns_the_family_and_writes_a_net(families: Path, tmp_path: Path) -> None:
    told = []
    result = run_poet_training(recipe(), tmp_path / "net", base=families, report=lambda step, loss: told.append(step))
    assert told == list(range(1, 61)) and len(result.losses) == 60
    assert np.mean(result.losses[-5:]) < 0.6 * result.losses[0]
    assert result.nats < 0.8 * result.composition and result.shared == 0
    model, tokenizer = genoseq.load(tmp_path / "net")
    family = PoETFamily(model, tokenizer, [Prompt(tuple(member(CONSENSUS[0], 2000 + i) for i in range(3)))])
    members = [member(CONSENSUS[0], 3000 + i) for i in range(6)]
    shuffled = ["".join(np.random.default_rng(i).permutation(list(text))) for i, text in enumerate(members)]
    scores = family.score_sequences(members + shuffled)
    assert (scores[:6] > scores[6:] + 5).all()  # nats
    metrics = json.loads((tmp_path / "net" / "metrics.json").read_text())
    assert metrics["validation_nats_per_token"] == pytest.approx(result.nats, abs=1e-4)
    assert metrics["parameters"] == result.parameters == sum(value.numel() for value in model.parameters())
    assert (tmp_path / "net" / "training.png").stat().st_size > 1000
    assert load_recipe(tmp_path / "net" / "recipe.yaml", PoETRecipe) == recipe()


def test_same_seed_same_weights(families: Path, tmp_path: Path) -> None:
    nets = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        before = torch.get_rng_state()
        run_poet_training(recipe(seed=seed, steps=3), tmp_path / name, base=families)
        assert torch.equal(torch.get_rng_state(), before)
        nets.append((tmp_path / name / "model.safetensors").read_bytes())
    assert nets[0] == nets[1] != nets[2]


@pytest.mark.parametrize("changes", [{"precision": "bfloat16"}, {"checkpointing": True}])
def test_precision_and_checkpointing(changes: dict[str, object], families: Path, tmp_path: Path) -> None:
    plain = run_poet_training(recipe(steps=4), tmp_path / "plain", base=families)
    other = run_poet_training(recipe(steps=4, **changes), tmp_path / "other", base=families)
    assert np.allclose(plain.losses, other.losses, rtol=0.05)
    assert (plain.losses == other.losses) == ("checkpointing" in changes)


def test_sets_follow_the_weights_and_fill_the_context(write: Callable[[str, bytes], Path]) -> None:
    close, far = protein(30, 1), protein(30, 2)
    rows = [close] * 9 + [far[:-1] + "-"]
    family = read_family(write("family.fa", fasta(rows)), TOKENIZER)
    assert family.weights.tolist() == pytest.approx([1 / 9] * 9 + [1])
    first = [draw_set(family, 32, np.random.default_rng(seed)).ids for seed in range(300)]
    share = np.mean([len(ids) == 31 for ids in first])
    assert 0.4 < share < 0.6  # half of the weight is with the last row
    drawn = draw_set(family, 70, np.random.default_rng(0), reverse=True)
    assert sum(drawn.sizes) == len(drawn.ids) == 70 and drawn.ids[0] == 22 and drawn.ids[drawn.sizes[0] - 1] == 21


def test_labels(write: Callable[[str, bytes], Path]) -> None:
    family = read_family(write("family.fa", b">a\nMXK\n"), TOKENIZER)
    one = draw_set(family, 50, np.random.default_rng(0))
    batch = collate([one, one._replace(ids=np.concatenate([one.ids, one.ids]), sizes=one.sizes * 2)], 23)
    assert batch["input_ids"].tolist() == [[21, 12, 23, 11, 22] + [23] * 5, [21, 12, 23, 11, 22] * 2]
    assert batch["labels"].tolist() == [[-100, 12, -100, 11, 22] + [-100] * 5, [-100, 12, -100, 11, 22] * 2]
    assert batch["segment_sizes"].tolist() == [[5, 0], [5, 5]]


def test_aligned_and_unaligned_files(write: Callable[[str, bytes], Path]) -> None:
    aligned = write("a.a3m", b">q\nACDEF\n>r\nA-DkkEF\n")
    plain = write("b.fa", b">q\nACDEF\n>r\nADKKEF\n")
    for path in (aligned, plain):
        family = read_family(path, TOKENIZER)
        assert family.sequences == {"ACDEF", "ADKKEF"}
    wanted = {None: None, "auto": None, "first": "ACDEF", "r": "ADKKEF", "ACKEF": "ACKEF"}
    assert {name: read_homologues(plain, query=name, unaligned=True).query for name in wanted} == wanted
    with pytest.raises(InputError, match="holds no sequences"):
        read_homologues(write("empty.fasta", b""), unaligned=True)
    stockholm = write("c.sto", b"# STOCKHOLM 1.0\nq ACDEF\nr A-DEF\n//\n")
    assert read_family(stockholm, TOKENIZER).sequences == {"ACDEF", "ADEF"}
    assert family_files(["a.a3m", "*.fa", "b.fa"], aligned.parent) == [aligned, plain]
    with pytest.raises(InputError, match="no file has a name like this"):
        family_files(["*.gz"], aligned.parent)


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"net": {"hidden_dim": 30, "nhead": 4}}, UsageError, "even number of channels"),
        ({"net": {"width": 3}}, UsageError, "no setting 'width'"),
        ({"optimiser": {"rate": 1e30}, "steps": 20}, UsageError, "lower optimiser.rate"),
        ({"data": {"train": ["none.fa"], "validation": ["held-out.fa"]}}, InputError, "none.fa"),
    ],
)
def test_what_cannot_be_trained(
    changes: dict[str, object], error: type[Exception], message: str, families: Path, tmp_path: Path
) -> None:
    with pytest.raises(error, match=message):
        run_poet_training(recipe(**changes), tmp_path / "net", base=families)
    assert not (tmp_path / "net").exists()


@pytest.mark.parametrize(
    "changes",
    [
        {"steps": 0},
        {"batch_tokens": 0},
        {"data": {"train": [], "validation": ["a"]}},
        {"data": {"train": ["a"], "validation": ["a"], "context": 3}},
        {"data": {"train": ["a"], "validation": ["a"], "reverse": 2.0}},
        {"model": "other"},
    ],
)
def test_recipes_that_make_no_sense(changes: dict[str, object]) -> None:
    with pytest.raises(RecipeError):
        recipe(**changes)


def test_the_recipe_that_comes_with_genoseq() -> None:
    shipped = load_recipe(ROOT / "models" / "poet-small" / "recipe.yaml", PoETRecipe)
    assert shipped.steps > 1000 and shipped.data.context >= 2048
