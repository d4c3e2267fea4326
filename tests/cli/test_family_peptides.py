"""``genoseq family peptides``, ``prompt`` and ``masked``: every option has its effect, bad input has its message."""

from __future__ import annotations

import csv
import io
import json
import sys
from pathlib import Path

import pytest
from runs import Done, Runner
from tiny_proteins import save_esm2, save_zymctrl

TARGET = "MKTAYIAKQRQISFVKSHFSRQ"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_esm2(tmp_path_factory.mktemp("esm2"))


@pytest.fixture(scope="module")
def enzymes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_zymctrl(tmp_path_factory.mktemp("zymctrl"), ends=1.0)


@pytest.fixture
def target(tmp_path: Path) -> Path:
    path = tmp_path / "target.fa"
    path.write_text(f">one\n{TARGET}\n>two\n{TARGET[::-1]}\n")
    return path


def rows_of(text: str) -> tuple[dict[str, object], list[dict[str, str]]]:
    first, rest = text.split("\n", 1)
    return json.loads(first[1:]), list(csv.DictReader(rest.splitlines(), delimiter="\t"))


def designs(done: Done) -> list[str]:
    assert done.status == 0, done.err
    return [row["peptide"] for row in rows_of(done.out.decode())[1]]


def test_peptides(genoseq: Runner, model: Path, target: Path, tmp_path: Path) -> None:
    out = tmp_path / "peptides.tsv"
    done = genoseq("family", "peptides", target, "-m", model, "--length", "7", "-n", "4", "-o", out)
    assert done.status == 0, done.err
    assert "licence unknown" in done.err
    metadata, rows = rows_of(out.read_text())
    assert (metadata["format"], metadata["seed"], metadata["top_k"]) == ("genoseq.peptides", 0, 3)
    assert [(row["target"], row["rank"]) for row in rows] == [
        (name, str(rank)) for name in ("one", "two") for rank in range(1, 5)
    ]
    assert all(len(row["peptide"]) == 7 for row in rows)
    values = [float(row["pseudo_perplexity"]) for row in rows[:4]]
    assert values == sorted(values)
    assert rows[0]["identity"] == ""


def test_options_of_peptides(genoseq: Runner, model: Path, target: Path) -> None:
    words = ("family", "peptides", target, "-m", model, "--length", "6", "-n", "3")
    plain = designs(genoseq(*words))
    assert plain == designs(genoseq(*words, "-t", "1", "--device", "cpu"))
    for more in (("--seed", "1"), ("--top-k", "0"), ("--temperature", "3"), ("--dtype", "bfloat16", "--seed", "2")):
        assert designs(genoseq(*words, *more)) != plain, more
    apart = genoseq(*words, "--max-identity", "0.2", "--top-k", "0")
    assert all(float(row["identity"]) <= 0.2 for row in rows_of(apart.out.decode())[1] if row["identity"])


def test_bad_peptides(genoseq: Runner, model: Path, target: Path, tmp_path: Path) -> None:
    empty = tmp_path / "empty.fa"
    empty.write_text("")
    done = genoseq("family", "peptides", empty, "-m", model)
    assert (done.status, done.out) == (1, b"")
    done = genoseq("family", "peptides", target, "-m", tmp_path / "absent")
    assert done.status != 0
    assert "absent" in done.err
    done = genoseq("family", "peptides", target, "-m", model, "-o", target)
    assert done.status == 2
    assert "is an input" in done.err
    done = genoseq("family", "peptides", target, "-m", model, "--length", "1010")
    assert done.status == 2
    assert "cut the target" in done.err


def proteins(done: Done) -> dict[str, str]:
    assert done.status == 0, done.err
    records = done.out.decode().split(">")[1:]
    return {one.split("\n")[0]: "".join(one.split("\n")[1:]) for one in records}


def test_prompt(genoseq: Runner, enzymes: Path, tmp_path: Path) -> None:
    words = ("family", "prompt", "1.1.1.1", "-m", enzymes, "-n", "6", "--max-tokens", "30", "--top-k", "0")
    plain = proteins(genoseq(*words))
    assert plain
    perplexities = [float(name.split("perplexity=")[1].split()[0]) for name in plain]
    assert perplexities == sorted(perplexities)
    assert proteins(genoseq(*words, "--batch-size", "1", "-t", "1", "--format", "zymctrl", "--device", "cpu")) == plain
    for more in (
        ("--seed", "1"),
        ("--temperature", "0"),
        ("--top-p", "0.2"),
        ("--repetition-penalty", "9"),
        ("--dtype", "bfloat16"),
    ):
        assert proteins(genoseq(*words, *more)) != plain, more
    assert proteins(genoseq(*words[:-1], "1")) != plain
    started = proteins(genoseq(*words, "--start", "MKT"))
    assert len(started) == 6
    assert all(one.startswith("MKT") for one in started.values())
    out = tmp_path / "out.fa"
    assert genoseq(*words, "-o", out).status == 0
    assert out.read_text().count(">") == len(plain)


def test_incomplete_proteins(genoseq: Runner, enzymes: Path) -> None:
    words = ("family", "prompt", "1.1.1.1", "-m", enzymes, "-n", "8", "--max-tokens", "2", "--top-k", "0", "--start", "M")
    done = genoseq(*words)
    found = proteins(done)
    cut = [name for name in found if "complete=0" in name]
    assert cut
    assert f"{len(cut)} of 8 proteins were not ended by the model" in done.err
    assert len(proteins(genoseq(*words, "--complete-only"))) == len(found) - len(cut)


def test_bad_prompts(genoseq: Runner, enzymes: Path, model: Path) -> None:
    done = genoseq("family", "prompt", "kinase", "-m", enzymes)
    assert (done.status, done.out) == (2, b"")
    assert "expected an EC number" in done.err
    done = genoseq("family", "prompt", "-m", model)
    assert done.status == 1
    assert "cannot be loaded as a causal language model" in done.err


def test_masked(genoseq: Runner, model: Path, tmp_path: Path) -> None:
    (tmp_path / "wt.fa").write_text(f">wt/11-32\n{TARGET}\n")
    (tmp_path / "v.csv").write_text("mutant,change,DMS_score\nK12A,T13S,1\nK12A:T13S,Q19A,2\nY15W,I16L,0\n")
    words = ("family", "masked", tmp_path / "wt.fa", tmp_path / "v.csv", "-m", model)

    def scores(*more: object) -> list[str]:
        done = genoseq(*words, *more)
        assert done.status == 0, done.err
        return [row["score"] for row in rows_of(done.out.decode())[1]]

    metadata, rows = rows_of(genoseq(*words).out.decode())
    assert (metadata["method"], metadata["offset"]) == ("masked-marginal", 10)
    assert list(rows[0]) == ["mutant", "change", "DMS_score", "score"]
    plain = scores()
    assert scores("--batch-tokens", "30", "-t", "1", "--device", "cpu") == plain
    assert scores("--method", "wild-type-marginal") != plain
    assert scores("--method", "pseudo-likelihood") != plain
    assert scores("--dtype", "bfloat16") != plain
    assert scores("--column", "change") != plain
    out = tmp_path / "all.csv"
    assert genoseq("family", "masked", tmp_path / "wt.fa", "--all-singles", "-m", model, "--offset", "0", "-o", out).status == 0
    lines = out.read_text().splitlines()
    assert lines[1] == "mutant,score"
    assert len(lines) == 2 + 19 * len(TARGET)
    assert lines[2].startswith("M1A,")
    done = genoseq(*words, "--offset", "0")
    assert done.status == 1
    assert "did you mean --offset 10" in done.err


def test_masked_indels(genoseq: Runner, model: Path, tmp_path: Path) -> None:
    (tmp_path / "wt.fa").write_text(f">wt\n{TARGET}\n")
    (tmp_path / "v.fa").write_text(f">longer\n{TARGET}GG\n>same\n{TARGET}\n")
    words = ("family", "masked", tmp_path / "wt.fa", tmp_path / "v.fa", "-m", model)
    done = genoseq(*words)
    assert done.status == 0
    assert "1 variant has of 2 no score: of another length" in done.err
    assert [row["score"] for row in rows_of(done.out.decode())[1]] == ["", "0"]
    full = genoseq(*words, "--method", "pseudo-likelihood")
    assert all(row["score"] for row in rows_of(full.out.decode())[1])


@pytest.mark.parametrize(
    "words", [("wt.fa",), ("wt.fa", "v.csv", "--all-singles"), ("wt.fa", "--all-singles", "--column", "x"), ("-", "-")]
)
def test_masked_usage(genoseq: Runner, tmp_path: Path, words: tuple[str, ...]) -> None:
    done = genoseq("family", "masked", *words, "-m", tmp_path)
    assert (done.status, done.out) == (2, b"")


def test_masked_scores_of_standard_input(genoseq: Runner, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "wt.fa").write_text(f">wt\n{TARGET}\n")
    content = f"mutant,n\n{TARGET[1]}2A,1\n{TARGET[2]}3W,2\n"
    (tmp_path / "v.csv").write_text(content)
    by_name = genoseq("family", "masked", tmp_path / "wt.fa", tmp_path / "v.csv", "-m", model)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content.encode())))
    piped = genoseq("family", "masked", tmp_path / "wt.fa", "-", "-m", model)
    assert piped.status == 0, piped.err
    assert piped.out == by_name.out
    done = genoseq("family", "masked", "-", "-", "-m", model)
    assert done.status == 2 and "standard input is read once" in done.err


@pytest.mark.parametrize("command", ["masked", "peptides", "prompt"])
def test_names_of_nothing(genoseq: Runner, target: Path, tmp_path: Path, command: str) -> None:
    (tmp_path / "wt.fa").write_text(">wt\nMKTAYIAKQR\n")
    words = {"masked": [tmp_path / "wt.fa", "--all-singles"], "peptides": [target], "prompt": []}[command]
    done = genoseq("family", command, *words, "-m", "nosuch")
    assert (done.status, done.out) == (1, b"")
    assert "nosuch: no such file or folder, and no name on the Hugging Face hub (organisation/name); give " in done.err
    assert "licence" not in done.err and "hyenadna" not in done.err.lower() and len(done.err) < 400


def test_names_that_the_hub_does_not_have(genoseq: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    from transformers import AutoTokenizer

    def missing(*arguments: object, **options: object) -> None:
        raise OSError("no/such is not a local folder and is not a valid model identifier listed on 'x'\nIf this is ...")

    monkeypatch.setattr(AutoTokenizer, "from_pretrained", missing)
    done = genoseq("family", "prompt", "-m", "no/such")
    assert (done.status, done.out) == (1, b"")
    assert "no/such: the Hugging Face hub has no such repository, or it is private; check the name and the network" in done.err
    assert "licence" not in done.err and "If this is" not in done.err
