"""``genoseq train``: what each option changes, and how it fails."""

from __future__ import annotations

import csv
import io
import logging
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from genoseq.cli.train import train
from genoseq.errors import InputError, OutputError
from genoseq.recipes import RecipeError, load_recipe
from genoseq.train.window_recipe import WindowRecipe

GENOME = Path(__file__).parents[3] / "data" / "portiera.fna.gz"
RECIPE = """
steps: 5
batch: 32
evaluation: {groups: 1, windows: 60, queries: 10, edits: [0.1]}
"""


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.yaml"
    path.write_text(RECIPE)
    return path


def run(*arguments: object) -> Result:
    return CliRunner().invoke(train, [str(argument) for argument in arguments], catch_exceptions=False)


def test_it_prints_the_recall_table_and_writes_the_folder(recipe: Path, tmp_path: Path) -> None:
    result = run(recipe, "-o", tmp_path / "model")
    assert result.exit_code == 0
    rows = list(csv.DictReader(io.StringIO(result.stdout), delimiter="\t"))
    assert {row["table"] for row in rows} == {"random", "trained"}
    assert {row["false_positive_rate"] for row in rows} == {"0.001", "0.0001", "1e-05"}
    assert all(0 <= float(row["recall"]) <= 1 for row in rows)
    assert (tmp_path / "model" / "weights.safetensors").stat().st_size > 64 * 4 * 128
    assert "\r" not in result.stderr  # no progress bar where nobody watches


def test_the_folder_is_called_trained_unless_named(
    recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(recipe).exit_code == 0
    assert (tmp_path / "trained" / "recipe.yaml").is_file()


def test_seed_replaces_that_of_the_recipe(recipe: Path, tmp_path: Path) -> None:
    for seed in (0, 7):
        assert run(recipe, "-o", tmp_path / str(seed), "--seed", seed).exit_code == 0
        assert load_recipe(tmp_path / str(seed) / "recipe.yaml", WindowRecipe).seed == seed
    weights = [(tmp_path / name / "weights.safetensors").read_bytes() for name in ("0", "7")]
    assert weights[0] != weights[1]


def test_a_run_replaces_the_folder_of_an_earlier_one(recipe: Path, tmp_path: Path) -> None:
    for seed in (0, 7):
        assert run(recipe, "-o", tmp_path / "model", "--seed", seed).exit_code == 0
    assert load_recipe(tmp_path / "model" / "recipe.yaml", WindowRecipe).seed == 7
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model", "tiny.yaml"]


def test_evaluate_adds_trials_on_a_genome(recipe: Path, tmp_path: Path) -> None:
    result = run(recipe, "-o", tmp_path / "model", "--evaluate", GENOME)
    trials = {row["trials"] for row in csv.DictReader(io.StringIO(result.stdout), delimiter="\t")}
    assert trials == {"synthetic", "portiera"}


def test_mistakes_are_errors_of_genoseq_and_leave_nothing(recipe: Path, tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "notes.txt").write_text("mine")
    with pytest.raises(OutputError, match="holds files that genoseq did not write"):
        run(recipe, "-o", tmp_path / "kept")
    with pytest.raises(InputError, match=r"absent\.fa"):
        run(recipe, "-o", tmp_path / "model", "--evaluate", tmp_path / "absent.fa")
    recipe.write_text("stesp: 4")
    with pytest.raises(RecipeError, match="did you mean 'steps'"):
        run(recipe, "-o", tmp_path / "model")
    assert run(recipe, "--seed", -1).exit_code == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["kept", "tiny.yaml"]


def test_a_log_file_is_told_step_and_loss(
    recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("genoseq.log.LINE_EVERY", 0.0)
    monkeypatch.setattr("genoseq.log.LINE_SHARE", 0.0)
    with caplog.at_level(logging.INFO, logger="genoseq"):
        assert run(recipe, "-o", tmp_path / "model").exit_code == 0
    said = [text for text in caplog.messages if text.startswith("training: ")]
    assert [text.partition(" of ")[0] for text in said] == [f"training: {share}%" for share in (20, 40, 60, 80, 100)]
    assert all("; loss " in text for text in said)
