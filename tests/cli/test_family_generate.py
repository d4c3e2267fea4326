"""``genoseq family split``, ``generate`` and ``evaluate``, one after another, and what each option does."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from clustered_family import clustered_family, write_rows

from genoseq.cli.family.evaluate import evaluate
from genoseq.cli.family.fit import fit
from genoseq.cli.family.generate import generate
from genoseq.cli.family.split import split
from genoseq.errors import GenoseqError
from genoseq.families.alignments.a3m import write_alignment
from genoseq.families.models.model_file import load_model

FEW = ["--passes", "2", "-t", "1"]


def run(command: object, *arguments: object, exit_code: int = 0) -> Result:
    result = CliRunner().invoke(command, [str(one) for one in arguments])  # type: ignore[arg-type]
    if exit_code == 0 and result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == exit_code or isinstance(result.exception, GenoseqError), result.output
    return result


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A split family, a fitted model, and samples of it."""
    place = tmp_path_factory.mktemp("family")
    write_alignment(clustered_family(query=True), place / "family.a3m")
    run(split, place / "family.a3m", "-o", place / "parts")
    run(
        generate, place / "parts" / "train.a3m", "-n", 30, "-o", place / "samples.fa",
        "--save-model", place / "model.safetensors", "-t", 1, "--passes", 5,
    )  # fmt: skip
    return place


def records(text: str) -> list[tuple[str, str]]:
    return [(one.split("\n")[0], "".join(one.split("\n")[1:])) for one in text.split(">")[1:]]


def test_a_fitted_model_scores_and_draws(folder: Path, tmp_path: Path) -> None:
    model, bare = tmp_path / "model", tmp_path / "bare"
    run(fit, folder / "family.a3m", "-o", model, "-t", 1)
    shown = run(generate, model, "-n", 3).stdout
    assert len(records(shown)) == 3 and shown == run(generate, model, "-n", 3).stdout
    run(fit, folder / "family.a3m", "-o", bare, "-t", 1, "--no-sampler")
    assert bare.stat().st_size < model.stat().st_size
    assert np.array_equal(load_model(model).single_scores(), load_model(bare).single_scores(), equal_nan=True)
    with pytest.raises(GenoseqError, match=r"holds no sampler: .*score --save-model.*genoseq family fit ALIGNMENT -o FILE"):
        run(generate, bare, "-n", 3)
    with pytest.raises(GenoseqError, match="only an ensemble has"):
        run(fit, folder / "family.a3m", "-o", tmp_path / "x", "--kind", "potts", "--sampler")


def test_split(folder: Path, tmp_path: Path) -> None:
    content = json.loads((folder / "parts" / "split.json").read_text())
    assert content["train"] + content["held_out"] == content["sequences"] == 288
    assert content["leaks"] == 0 and content["largest_cross_identity"] < 0.6
    assert (folder / "parts" / "train.a3m").read_text().startswith(">s0\n")
    shown = run(split, folder / "family.a3m", "-o", tmp_path / "a").stdout
    assert f"train\t{content['train']}\n" in shown and "leaks\t0\n" in shown
    values = {}
    for name, options in {
        "seed": ["--seed", 1], "identity": ["--identity", 0.7], "share": ["--held-out", 0.4], "coverage": ["--min-coverage", 1],
        "none": ["--wild-type", "none"], "format": ["--alignment-format", "a3m"],
    }.items():  # fmt: skip
        run(split, folder / "family.a3m", "-o", tmp_path / name, *options)
        values[name] = json.loads((tmp_path / name / "split.json").read_text())
    held = (tmp_path / "a" / "held_out.a3m").read_text()
    assert (tmp_path / "seed" / "held_out.a3m").read_text() != held
    assert values["identity"]["components"] > content["components"]
    assert values["share"]["held_out"] > content["held_out"]
    assert values["coverage"]["sequences"] < content["sequences"]
    assert (tmp_path / "format" / "held_out.a3m").read_text() == held
    assert values["none"]["columns"] == 60


def test_the_same_seed_gives_the_same_samples_and_the_model_file_too(folder: Path) -> None:
    text = (folder / "samples.fa").read_text()
    again = run(generate, folder / "model.safetensors", "-n", 30).stdout
    assert again == text
    found = records(text)
    assert len(found) == 30 and len({letters for _, letters in found}) == 30
    assert found[0][0].startswith("sample_1 seed=0 attempt=0 temperature=1 identity=0.")
    assert run(generate, folder / "model.safetensors", "-n", 30, "--seed", 1).stdout != text


def test_options_of_the_samples(folder: Path) -> None:
    model = folder / "model.safetensors"

    def letters(*options: object) -> list[str]:
        return [one for _, one in records(run(generate, model, "-n", 12, *options).stdout)]

    def identities(*options: object) -> list[float]:
        heads = [head for head, _ in records(run(generate, model, "-n", 12, *options).stdout)]
        return [float(head.split("identity=")[1].split()[0]) for head in heads]

    assert {len(one) for one in letters("--aligned")} == {60}
    assert all(one[4] == "W" and one[9] == "K" for one in letters("--aligned", "--fix", "5W,10K"))
    own = letters("--aligned", "--fix", "7")
    assert len({one[6] for one in own}) == 1
    assert len({one[6:9] for one in letters("--aligned", "--fix", "7-9")}) == 1 < len({one[6:9] for one in own})
    assert max(identities("--max-identity", 0.6)) <= 0.6 < max(identities())
    assert min(identities("--min-identity", 0.6)) >= 0.6 > min(identities())
    assert {len(one) for one in letters("--min-length", 58, "--max-length", 59)} <= {58, 59}
    assert letters("--temperature", 0.3) != letters()


def test_options_of_the_fit(folder: Path, tmp_path: Path) -> None:
    train = folder / "parts" / "train.a3m"
    plain = run(generate, train, "-n", 3, *FEW).stdout
    for options in (
        ["--weight-identity", 0.9], ["--penalty", 1], ["--power", 0.5], ["--pulls", "3"], ["--nearest", 0.8], ["--passes", 3],
        ["--min-coverage", 1], ["--wild-type", "none", "--alignment-format", "fasta"],
    ):  # fmt: skip
        assert run(generate, train, "-n", 3, *FEW, *options).stdout != plain, options
    run(generate, train, "-n", 3, *FEW, "--save-model", tmp_path / "m.safetensors", "--device", "cpu")
    assert run(generate, tmp_path / "m.safetensors", "-n", 3).stdout == plain


def test_a_potts_model(folder: Path, tmp_path: Path) -> None:
    from genoseq.families.alignments.files import read_alignment
    from genoseq.families.models.model_file import save_model
    from genoseq.families.models.potts import fit_potts_model
    from genoseq.families.models.potts_fit import PottsSettings

    train = folder / "parts" / "train.a3m"
    model = tmp_path / "potts.safetensors"
    save_model(fit_potts_model(read_alignment(train), settings=PottsSettings(gap_state=True, iterations=5)), model)
    free = run(generate, model, "-n", 3, "--sweeps", 2).stdout
    assert "identity=" not in free
    begun = run(generate, model, "-n", 3, "--sweeps", 2, "--train", train).stdout
    assert "identity=0." in begun and begun != free
    assert run(generate, model, "-n", 3, "--sweeps", 3).stdout != free
    assert "name them by --train" in run(generate, model, "--max-identity", 0.5, exit_code=2).output
    shown = run(
        evaluate, folder / "samples.fa", "--train", train, "--held-out", folder / "parts" / "held_out.a3m",
        "--model", folder / "model.safetensors", "--potts", model, "--resamples", 0,
    ).stdout  # fmt: skip
    assert "nats per residue, Potts" in shown
    assert (
        "has no effect without --model"
        in run(evaluate, folder / "samples.fa", "--train", train, "--held-out", train, "--potts", model, exit_code=2).output
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["model", "--penalty", "1"], "--penalty has no effect on a model of kind autoregressive"),
        (["model", "--sweeps", "3", "--passes", "1"], "--passes, --sweeps have no effect"),
        (["train", "--sweeps", "3"], "--sweeps has no effect on an alignment"),
        (["model", "--fix", "99"], "no position 99"),
        (["model", "--min-length", "61"], "61 residues or more are wanted, the model has 60 columns"),
        (["train", "--min-length", "61", "--passes", "1000000"], "61 residues or more are wanted"),
        (["train", "--fix", "99", "--passes", "1000000"], "no position 99"),
        (["train", "--pulls", "a"], "expected numbers"),
        (["train", "--pulls", "-1"], "cannot be"),
        (["train", "--pulls", "1", "--nearest", "0.5"], "--nearest has no effect with --pulls"),
        (["model", "--min-identity", "0.8", "--max-identity", "0.5"], "expected a span"),
        (["model", "--temperature", "0"], "temperature"),
    ],
)
def test_usage(folder: Path, arguments: list[str], message: str) -> None:
    place = {"model": folder / "model.safetensors", "train": folder / "parts" / "train.a3m"}[arguments[0]]
    result = run(generate, place, *arguments[1:], exit_code=2)
    assert message in result.output + str(result.exception)


def test_evaluate(folder: Path, tmp_path: Path) -> None:
    parts = folder / "parts"
    common = ["--train", parts / "train.a3m", "--held-out", parts / "held_out.a3m", "--resamples", 10]
    shown = run(
        evaluate, folder / "samples.fa", *common, "--model", folder / "model.safetensors", "-o", tmp_path / "panel.json",
        "--figure", tmp_path / "panel.png", "--title", "small", "-t", 1,
    ).stdout  # fmt: skip
    for word in ("natural, held out", "copies of train", "95 % from", "held NLL", "bits/col"):
        assert word in shown
    content = json.loads((tmp_path / "panel.json").read_text())
    assert content["sets"][0]["sequences"] == 30 and len(content["held_out_nll"]) == 3
    assert (tmp_path / "panel.png").read_bytes().startswith(b"\x89PNG")
    other = run(evaluate, folder / "samples.fa", *common[:-1], 0, "--seed", 3, "--wild-type", "auto").stdout
    assert "95 % from" not in other and other.splitlines()[1].split()[1:4] == shown.splitlines()[1].split()[1:4]
    assert other != shown


def test_few_samples_are_told(folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    parts = folder / "parts"
    letters = records((folder / "samples.fa").read_text())
    (tmp_path / "many.fa").write_text(
        "".join(f">s{copy}_{i}\n{one}\n" for copy in range(7) for i, (_, one) in enumerate(letters))
    )
    for path, told in ((folder / "samples.fa", True), (tmp_path / "many.fa", False)):
        caplog.clear()
        with caplog.at_level("WARNING", "genoseq"):
            run(evaluate, path, "--train", parts / "train.a3m", "--held-out", parts / "held_out.a3m", "--resamples", 0)
        assert ("30 samples; the limits of the verdict were measured with 400" in caplog.text) is told


def test_a_split_is_replaced_but_not_what_lies_beside_it(folder: Path, tmp_path: Path) -> None:
    run(split, folder / "family.a3m", "-o", tmp_path / "parts")
    run(split, folder / "family.a3m", "-o", tmp_path / "parts", "--seed", 1)
    assert json.loads((tmp_path / "parts" / "split.json").read_text())["seed"] == 1
    (tmp_path / "parts" / "model.safetensors").write_text("dear")
    with pytest.raises(GenoseqError, match=r"parts: holds 'model\.safetensors' beside what genoseq wrote"):
        run(split, folder / "family.a3m", "-o", tmp_path / "parts")
    assert (tmp_path / "parts" / "model.safetensors").read_text() == "dear"


def test_copies_fail(folder: Path, tmp_path: Path) -> None:
    parts = folder / "parts"
    shown = run(
        evaluate, parts / "train.a3m", "--train", parts / "train.a3m", "--held-out", parts / "held_out.a3m",
        "--resamples", 0, "--alignment-format", "a3m", "-o", tmp_path / "panel.json",
    ).stdout  # fmt: skip
    assert "FAIL  copies" in shown and "FAIL  nearest" in shown
    assert json.loads((tmp_path / "panel.json").read_text())["passed"] is False


def test_evaluate_usage(folder: Path, tmp_path: Path) -> None:
    samples, train = folder / "samples.fa", folder / "parts" / "train.a3m"
    common = ["--train", train, "--held-out", train]
    for options, message in (
        (["--title", "x"], "--title has no effect"),
        (["--figure", "x.txt"], "ends in .png"),
        (["--model", samples], "is no model"),
    ):
        result = run(evaluate, samples, *common, *options, exit_code=2)
        assert message in result.output + str(result.exception)
    assert "only one of" in run(evaluate, "-", "--train", "-", "--held-out", train, exit_code=2).output
    write_rows(clustered_family(length=50), tmp_path / "other.fa")
    assert "the family 60" in str(run(evaluate, tmp_path / "other.fa", *common, exit_code=1).exception)
