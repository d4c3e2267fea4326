"""``genoseq family benchmark``: every option has its effect, bad input has its message."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from runs import Done, Runner
from small_family import coupled_family, write_a3m
from tiny_poet import TOKENIZER, tiny_poet
from tiny_proteins import save_esm2

import genoseq as package
from genoseq.families.models.fitting import fit_model
from genoseq.families.models.model_file import save_model
from genoseq.families.variants.notation import all_single_variants, format_variant

Row = dict[str, str]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    family = coupled_family(100)
    wild = family.query
    assert wild is not None
    (tmp_path / "assays").mkdir()
    random = np.random.default_rng(1)
    for name in ("TOY_ECOLI_A", "TOY_ECOLI_B"):
        lines = []
        for one in all_single_variants(wild)[::6]:
            value = random.normal()
            lines.append(f"{format_variant(one)},{value:.4f},{-value:.4f},{-2 * value + random.normal():.4f}")
        (tmp_path / "assays" / f"{name}.csv").write_text("mutant,DMS_score,turned,noise\n" + "\n".join(lines) + "\n")
    write_a3m(family, tmp_path / "family.a3m")
    (tmp_path / "wt.fa").write_text(f">wt\n{wild}\n")
    (tmp_path / "reference.csv").write_text(
        f"DMS_id,target_seq,coarse_selection_type\nTOY_ECOLI_A,{wild},Activity\nTOY_ECOLI_B,{wild},Stability\n"
    )
    save_model(fit_model(family, "site"), tmp_path / "site.model")
    return tmp_path


def table(done: Done) -> tuple[dict[str, object], list[Row]]:
    assert done.status == 0, done.err
    first, rest = done.out.decode().split("\n", 1)
    return json.loads(first[1:]), list(csv.DictReader(rest.splitlines(), delimiter="\t"))


def values(rows: list[Row], scorer: str, *, level: str = "assay", metric: str = "spearman") -> list[float]:
    return [float(row["value"]) for row in rows if (row["level"], row["scorer"], row["metric"]) == (level, scorer, metric)]


def test_a_folder_of_assays(genoseq: Runner, folder: Path) -> None:
    done = genoseq(
        "family", "benchmark", folder / "assays", "--reference", folder / "reference.csv", "--alignments", folder / "family.a3m",
        "--kind", "site", "--kind", "pssm", "--column", "-turned", "--resamples", "20",
    )  # fmt: skip
    metadata, rows = table(done)
    assert (metadata["format"], metadata["version"], metadata["resamples"]) == ("genoseq.family-benchmark", 1, 20)
    assert values(rows, "turned") == [1.0, 1.0]
    assert values(rows, "turned", level="all") == [1.0]
    assert {row["metric"] for row in rows} == {"spearman", "auc", "mcc", "ndcg", "recall"}
    assert {row["scorer"] for row in rows} == {"site", "pssm", "turned"}
    assert {row["selection_type"] for row in rows if row["level"] == "assay"} == {"Activity", "Stability"}
    whole = next(row for row in rows if row["level"] == "all")
    assert (whole["assays"], whole["proteins"], whole["types"]) == ("2", "1", "2")


def test_one_assay_and_saved_models(genoseq: Runner, folder: Path) -> None:
    esm = save_esm2(folder / "esm")
    done = genoseq(
        "family", "benchmark", folder / "assays" / "TOY_ECOLI_A.csv", "--wild-type", folder / "wt.fa", "-m", folder / "site.model",
        "-m", esm, "--method", "wild-type-marginal", "--method", "masked-marginal", "--metric", "spearman", "--resamples", "0",
    )  # fmt: skip
    metadata, rows = table(done)
    assert set(metadata["models"]) == {str(folder / "site.model"), str(esm)}  # type: ignore[call-overload]
    names = {row["scorer"] for row in rows}
    assert names == {"site.model", "esm wild-type-marginal", "esm masked-marginal"}
    assert {row["low"] for row in rows} == {""}
    fitted = genoseq(
        "family", "benchmark", folder / "assays" / "TOY_ECOLI_A.csv", "--alignments", folder / "family.a3m", "--kind", "site",
        "--metric", "spearman", "--resamples", "0",
    )  # fmt: skip
    assert values(table(fitted)[1], "site") == values(rows, "site.model")


def test_measured_seed_and_output(genoseq: Runner, folder: Path) -> None:
    assay = folder / "assays" / "TOY_ECOLI_A.csv"
    words = ("family", "benchmark", assay, "--column", "DMS_score", "--metric", "spearman", "--resamples", "50")
    rows = {}
    for name, more in (
        ("plain", ()), ("noise", ("--measured", "noise")), ("seed", ("--measured", "noise", "--seed", "1")),
    ):  # fmt: skip
        out = folder / f"{name}.tsv"
        assert genoseq(*words, *more, "-o", out).status == 0
        rows[name] = next(csv.DictReader(out.read_text().split("\n", 1)[1].splitlines(), delimiter="\t"))
    assert float(rows["plain"]["value"]) == 1.0
    assert rows["noise"]["value"] == rows["seed"]["value"]
    assert float(rows["noise"]["value"]) < -0.5
    assert rows["noise"]["low"] != rows["seed"]["low"]


def test_offset_and_device(genoseq: Runner, folder: Path) -> None:
    far = folder / "far.csv"
    wild = (folder / "wt.fa").read_text().split("\n")[1]
    far.write_text("mutant,score\n" + "".join(f"{wild[at]}{at + 101}W,{at % 5}\n" for at in range(12)))
    words = ("family", "benchmark", far, "--wild-type", folder / "wt.fa", "-m", folder / "site.model", "--resamples", "0")
    failing = genoseq(*words)
    assert failing.status == 1
    assert "did you mean --offset 100" in failing.err
    assert genoseq(*words, "--offset", "100", "--device", "cpu", "-t", "1").status == 0


def test_figure(genoseq: Runner, folder: Path) -> None:
    words = (
        "family",
        "benchmark",
        folder / "assays",
        "--column",
        "turned",
        "--column",
        "noise",
        "--resamples",
        "10",
        "-o",
        folder / "o.tsv",
    )
    figure = folder / "figure.png"
    assert genoseq(*words, "--figure", figure).status == 0
    assert figure.read_bytes().startswith(b"\x89PNG")
    assert genoseq(*words, "--figure", folder / "figure.gif").status == 2


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        ((), 2, "give --kind, --column or --model"),
        (("--column", "x"), 1, "has no column 'x' of numbers"),
        (("--column", "noise", "--method", "masked-marginal"), 2, "--method is for a masked language model"),
        (("--column", "noise", "--measured", "x"), 1, "has no column 'x' of numbers"),
        (("--kind", "site"), 1, "has no alignment"),
        (("--column", "noise", "--column", "noise"), 2, "two scorers are called noise"),
        (("--column", "noise", "--wild-type", "wt.fa"), 2, "that of one assay"),
    ],
)
def test_bad_input(genoseq: Runner, folder: Path, words: tuple[str, ...], status: int, message: str) -> None:
    given = [str(folder / word) if word == "wt.fa" else word for word in words]
    done = genoseq("family", "benchmark", folder / "assays", *given)
    assert done.status == status, done.err
    assert message in done.err
    assert done.out == b""


def test_poet_and_masked_models_join(genoseq: Runner, folder: Path) -> None:
    esm = save_esm2(folder / "esm")
    package.save(tiny_poet(), TOKENIZER, folder / "my-poet")
    base = (
        "family", "benchmark", folder / "assays" / "TOY_ECOLI_A.csv", "--alignments", folder / "family.a3m", "--metric", "spearman",
        "--resamples", "0",
    )  # fmt: skip
    members = ("-m", f"poet={folder / 'my-poet'}", "-m", f"masked={esm}")
    metadata, rows = table(genoseq(*base, "--kind", "pssm", *members, "--join"))
    assert [row["scorer"] for row in rows if row["level"] == "assay"] == ["pssm", "poet", "masked", "pssm+poet+masked"]
    assert set(metadata["models"]) == {f"poet={folder / 'my-poet'}", f"masked={esm}"}  # type: ignore[call-overload]
    _, plain = table(genoseq(*base, "--wild-type", folder / "wt.fa", "-m", esm))
    assert values(plain, "esm masked-marginal") == values(rows, "masked")
    _, alone = table(genoseq(*base, *members[:2], "--prompts", "3"))
    assert values(alone, "poet") != values(rows, "poet")
    for options, message in (
        ((*members, "--join"), "--join needs a --kind"),
        (("--kind", "pssm", "--join"), "--join needs a --kind and a model to join it"),
        (("--kind", "pssm", "--prompts", "2"), "--prompts is for a PoET"),
    ):
        done = genoseq(*base, *options)
        assert done.status == 2 and message in done.err


def test_members_are_asked_once_for_all_kinds(genoseq: Runner, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from genoseq.cli.family import language_members
    from genoseq.families.assays import benchmark
    from genoseq.families.poet import scoring

    reads: list[int] = []
    fits: list[str] = []
    read, fit = scoring.log_likelihoods, benchmark.fit_model

    def counted_read(*args: Any, **more: Any) -> Any:
        reads.append(len(args[3]))
        return read(*args, **more)

    def counted_fit(alignment: Any, kind: Any, **more: Any) -> Any:
        fits.append(kind)
        return fit(alignment, kind, **more)

    monkeypatch.setattr(language_members, "LONG", 0)
    monkeypatch.setattr(scoring, "log_likelihoods", counted_read)
    monkeypatch.setattr(benchmark, "fit_model", counted_fit)
    package.save(tiny_poet(), TOKENIZER, folder / "my-poet")
    base = (
        "family", "benchmark", folder / "assays", "--alignments", folder / "family.a3m", "--metric", "spearman",
        "--resamples", "0", "-m", f"poet={folder / 'my-poet'}",
    )  # fmt: skip
    words = ("--reference", folder / "reference.csv", "--kind", "pssm", "--kind", "site", "--kind", "nearest", "--join")
    done = genoseq(*base, *words)
    _, rows = table(done)
    assert [row["scorer"] for row in rows if row["assay"] == "TOY_ECOLI_A"] == [
        "pssm", "site", "nearest", "poet", "pssm+poet", "site+poet", "nearest+poet",
    ]  # fmt: skip
    assert fits == ["pssm", "site", "nearest"] * 2  # once for each of two assays
    assert reads == [12 * 19 + 1] * 4  # all single variants and the wild type, both ways
    assert done.err.count("poet: 229 sequences after 1 prompt will take") == 2
    reads.clear()
    done = genoseq(*base, "--reference", folder / "reference.csv")
    assert reads == [38 + 1] * 4  # without ranks, what the assay holds
    assert done.err.count("poet: 39 sequences after 1 prompt will take") == 2
    assert np.allclose(values(table(done)[1], "poet"), values(rows, "poet"), atol=2e-3)
