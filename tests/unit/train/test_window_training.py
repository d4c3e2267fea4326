"""Training of the window encoder: gradients, determinism, rounding, files, and that it helps."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from genoseq.embed.window import WindowEncoder
from genoseq.embed.window_reference import encode_reference
from genoseq.errors import InputError
from genoseq.recipes import load_recipe, recipe_digest
from genoseq.train.window import (
    learning_rate,
    pooled_loss,
    quantise,
    random_table,
    train_table,
    widen,
    window_loss,
)
from genoseq.train.window_data import Genomes, ReadEnds, window_pairs
from genoseq.train.window_metrics import float_sums, score_table
from genoseq.train.window_recipe import Evaluation, Objective, Optimiser, WindowRecipe
from genoseq.train.window_run import run_window_training
from genoseq.train.window_trials import synthetic_trials

TINY = WindowRecipe(
    steps=30,
    batch=64,
    threads=1,
    context=1,
    evaluation=Evaluation(groups=1, windows=100, queries=20, edits=(0.1, 0.2)),
)


def windows(n: int, seed: int = 0, missing: float = 0.0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    made = rng.integers(0, 4, (n, 64)).astype(np.uint8)
    made[rng.random((n, 64)) < missing] = 4
    return made


@pytest.mark.parametrize("context", [1, 2])
def test_widening_keeps_the_sums_of_whole_windows(context: int) -> None:
    table = random_table(context=context, seed=1).astype(np.float64)
    whole = windows(40)
    assert np.allclose(float_sums(table, whole), float_sums(widen(table), whole), atol=1e-3)


def test_the_gradient_of_the_sums_is_that_of_plain_torch() -> None:
    """With the straight-through estimator as wide as the line and no signs involved, autograd must agree."""
    pairs = window_pairs(
        12, genomes=Genomes(), edits=(0.1, 0.2), ends=ReadEnds(), rng=np.random.default_rng(0)
    )
    rows = torch.from_numpy(random_table(seed=2).reshape(-1, 128) / 10).requires_grad_()
    sharpness = torch.tensor([3.0, 3.0])
    objective = Objective(hamming=0.0, sums=1.0, width=math.inf)
    loss = window_loss(rows, sharpness, pairs, context=1, objective=objective)
    (found,) = torch.autograd.grad(loss, rows)

    def one_hot(codes: np.ndarray) -> torch.Tensor:
        return (
            torch.nn.functional.one_hot(torch.from_numpy(codes).long(), 5)[..., :4]
            .reshape(len(codes), -1)
            .float()
        )

    plain = rows.detach().clone().requires_grad_()
    query, reference = one_hot(pairs.query) @ plain, one_hot(pairs.reference) @ plain
    bits = reference + (torch.where(reference > 0, 1.0, -1.0) - reference).detach()
    scores = 3.0 * query / query.norm(dim=1, keepdim=True) @ bits.T
    expected_loss = pooled_loss(scores)
    (expected,) = torch.autograd.grad(expected_loss, plain)
    assert loss.item() == pytest.approx(expected_loss.item(), rel=1e-5)
    assert torch.allclose(found, expected, rtol=1e-3, atol=1e-6)


def test_the_pooled_loss_is_the_formula_in_its_docstring() -> None:
    scores = torch.tensor([[2.0, 0.5, -1.0], [0.0, 1.0, 0.3], [-0.2, 0.1, 3.0]], dtype=torch.float64)
    rivals = [scores[j, k].item() for j in range(3) for k in range(3) if j != k]
    level = math.log(sum(math.exp(value) for value in rivals) / 3)
    expected = sum(math.log1p(math.exp(level - scores[i, i].item())) for i in range(3)) / 3
    assert pooled_loss(scores).item() == pytest.approx(expected, rel=1e-12)


def test_the_learning_rate_rises_then_falls_to_its_final_share() -> None:
    optimiser = Optimiser(rate=1.0, final=0.1, warm_up=10)
    rates = [learning_rate(optimiser, step, 1000) for step in range(1000)]
    assert max(rates) == pytest.approx(1.0, abs=0.01)
    assert rates.index(max(rates)) == 10
    assert rates[0] < 0.1
    assert rates[-1] == pytest.approx(0.1, abs=1e-3)


def test_the_same_recipe_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        run_window_training(TINY, tmp_path / name)
    for file in ("weights.safetensors", "recipe.yaml"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()
    other = train_table(dataclasses.replace(TINY, seed=1))
    assert not np.array_equal(other.table, train_table(TINY).table)


def test_training_leaves_torch_as_it_was() -> None:
    before = torch.get_num_threads()
    state = torch.random.get_rng_state()
    train_table(dataclasses.replace(TINY, steps=2, threads=before + 1))
    assert torch.get_num_threads() == before
    assert torch.equal(state, torch.random.get_rng_state())


def test_the_folder_holds_what_a_reader_needs(tmp_path: Path) -> None:
    seen: list[int] = []
    run_window_training(TINY, tmp_path / "out", report=lambda step, loss: seen.append(step))
    assert seen == list(range(1, 31))
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "metrics.json", "recipe.yaml", "training.png", "weights.safetensors",
    ]  # fmt: skip
    encoder = WindowEncoder.load(tmp_path / "out")
    assert np.array_equal(encoder.table, quantise(train_table(TINY).table))
    resolved = load_recipe(tmp_path / "out" / "recipe.yaml", WindowRecipe)
    assert resolved == TINY
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert metrics["recipe_sha256"] == recipe_digest(TINY)
    assert set(metrics["recall"]["synthetic"]) == {"random", "trained"}
    assert (tmp_path / "out" / "training.png").read_bytes().startswith(b"\x89PNG")


def test_a_genome_too_short_to_judge_on_is_named(tmp_path: Path) -> None:
    fasta = tmp_path / "short.fa"
    fasta.write_text(">a\n" + "ACGTTGCA" * 40 + "\n")
    with pytest.raises(InputError, match=r"short\.fa.*no anchor has 80 windows"):
        run_window_training(TINY, tmp_path / "out", genomes=[fasta])
    assert not (tmp_path / "out").exists()


def test_rounding_moves_no_entry_by_more_than_half_a_unit() -> None:
    table = random_table(seed=5)
    rounded = quantise(table)
    unit = float(np.abs(table).max()) / 127
    assert rounded.dtype == np.int8
    assert np.abs(rounded).max() == 127
    assert np.abs(rounded * unit - table).max() <= unit / 2 * 1.0001
    with pytest.raises(ValueError, match="expected a positive finite number"):
        quantise(np.zeros((64, 4, 128)))


def test_rounded_codes_agree_with_those_in_float() -> None:
    """At most 1.5 % of the bits differ, and those only where the float sum is almost zero."""
    table = random_table(seed=6)
    seen = windows(300, missing=0.02)
    exact, rounded = float_sums(table, seen), float_sums(quantise(table), seen)
    differ = (exact > 0) != (rounded > 0)
    assert differ.mean() < 0.015
    assert np.abs(exact[differ]).max() < 0.1 * exact.std()


def test_training_beats_the_untrained_table_on_other_genomes() -> None:
    recipe = dataclasses.replace(TINY, steps=150, batch=128)
    trials = synthetic_trials(
        groups=4, windows=300, queries=100, edits=(0.2,), genomes=recipe.genomes, ends=recipe.ends, seed=99
    )
    recalls = []
    for table in (quantise(random_table()), quantise(train_table(recipe).table)):
        rows = score_table(table, trials, rates=(1e-3,))
        recalls.append({(row.score, row.windows): row.recall[1e-3] for row in rows if row.score != "sums"})
    for key in recalls[0]:
        assert recalls[1][key] > recalls[0][key] + 0.02, key


def test_float_sums_are_those_of_the_reference() -> None:
    rng = np.random.default_rng(7)
    for context in (1, 2):
        table = rng.integers(-127, 128, (64, 4**context, 128)).astype(np.int8)
        window = windows(1, seed=context)[0]
        anchor = np.array([0, 1, 0], np.uint8)  # ACA reads canonically; its reverse complement TGT does not
        sequence = np.concatenate([window[:32], anchor, window[32:]])
        expected = encode_reference(sequence, [32], 3, table).sums
        assert np.array_equal(float_sums(table, window[None]), expected)
        backwards = np.where(sequence < 4, 3 - sequence, 4)[::-1].astype(np.uint8)
        assert np.array_equal(encode_reference(backwards, [32], 3, table).sums, expected)
