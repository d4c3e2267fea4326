"""``genoseq classify``: every option shows its effect; wrong input is told in a sentence."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
from runs import Runner

DRAW = random.Random(5)


def family(number: int, length: int = 300) -> list[str]:
    origin = DRAW.choices("ACGT", k=length)
    return ["".join(DRAW.choice("ACGT") if DRAW.random() < 0.12 else base for base in origin) for _ in range(number)]


A, B = family(14), family(14)
STRANGER = "".join(DRAW.choices("ACGT", k=300))


def fasta(path: Path, entries: list[tuple[str, str]]) -> Path:
    path.write_text("".join(f">{header}\n{sequence}\n" for header, sequence in entries))
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Training and test sequences."""
    made = tmp_path_factory.mktemp("classify")
    named = [(f"a{i}", one) for i, one in enumerate(A[:11])] + [(f"b{i}", one) for i, one in enumerate(B[:11])]
    fasta(made / "headers.fa", [(f"{name} some label={name[0]}", one) for name, one in named])
    fasta(made / "words.fa", [(f"{name} {name[0]} more words", one) for name, one in named])
    fasta(made / "plain.fa", named)
    (made / "labels.tsv").write_text("name\tlabel\n" + "".join(f"{name}\t{name[0]}\n" for name, _ in named))
    fasta(made / "a.fa", named[:11])
    fasta(made / "b.fa", named[11:])
    (made / "table.tsv").write_text("sequence\tclass\n" + "".join(f"{one}\t{name[0]}\n" for name, one in named))
    fasta(made / "test.fa", [("ta", A[12]), ("tb", B[12][:150]), ("n", "NNNN"), ("new", STRANGER)])
    return made


@pytest.fixture
def model(genoseq: Runner, folder: Path) -> Path:
    path = folder / "model"
    if not path.exists():
        assert genoseq("classify", "fit", folder / "headers.fa", "-o", path, "--mode", "nucleotide").status == 0
    return path


def table(text: str | bytes) -> tuple[dict[str, object], list[list[str]]]:
    """Metadata and rows, the names of columns first."""
    lines = (text.decode() if isinstance(text, bytes) else text).splitlines()
    return json.loads(lines[0][1:]), [line.split("\t") for line in lines[1:]]


def test_labels_in_headers_in_words_in_a_table_by_file_and_in_a_table_of_sequences_are_one(
    genoseq: Runner, folder: Path, model: Path, tmp_path: Path
) -> None:
    sources: list[tuple[object, ...]] = [
        (folder / "words.fa",),
        (folder / "plain.fa", "--labels", folder / "labels.tsv"),
        (f"a={folder / 'a.fa'}", f"b={folder / 'b.fa'}"),
        (folder / "table.tsv",),
    ]
    for number, source in enumerate(sources):
        done = genoseq("classify", "fit", *source, "-o", tmp_path / str(number), "--mode", "nucleotide", "-t", 2)
        assert done.status == 0, done.err
        assert (tmp_path / str(number)).read_bytes() == model.read_bytes()


def test_predict_writes_a_table(genoseq: Runner, folder: Path, model: Path) -> None:
    done = genoseq("classify", "predict", model, folder / "test.fa")
    metadata, rows = table(done.out)
    assert done.status == 0 and metadata["format"] == "genoseq.classes" and metadata["version"] == 1
    assert rows[0] == ["name", "length", "label", "probability", "margin_bits", "bits_per_base", "novelty"]
    assert [row[:3] for row in rows[1:4]] == [["ta", "300", "a"], ["tb", "150", "b"], ["n", "4", "unknown"]]
    assert rows[3][3:] == ["NA"] * 4
    assert float(rows[1][3]) > 0.9 and float(rows[1][4]) > 3 and float(rows[4][6]) > 0.9


def test_output_standard_input_and_threads(genoseq: Runner, folder: Path, model: Path, tmp_path: Path) -> None:
    done = genoseq("classify", "predict", model, folder / "test.fa", "-o", tmp_path / "t.tsv", "-t", 2)
    assert done.status == 0 and done.out == b""
    assert (tmp_path / "t.tsv").read_bytes() == genoseq("classify", "predict", model, folder / "test.fa", "-t", 1).out


def test_rejection(genoseq: Runner, folder: Path, model: Path) -> None:
    _, rows = table(genoseq("classify", "predict", model, folder / "test.fa", "--reject-novelty", 0.98).out)
    assert [row[2] for row in rows[1:]] == ["a", "b", "unknown", "unknown"]
    _, rows = table(genoseq("classify", "predict", model, folder / "test.fa", "--reject-margin", 1e6).out)
    assert {row[2] for row in rows[1:]} == {"unknown"}


def test_split_by_label(genoseq: Runner, folder: Path, model: Path, tmp_path: Path) -> None:
    for _ in range(2):  # a folder of its own is replaced
        assert (
            genoseq(
                "classify", "predict", model, folder / "test.fa", "--split-dir", tmp_path / "s", "--reject-novelty", 0.98
            ).status
            == 0
        )
    assert (tmp_path / "s" / "labels.tsv").read_text() == "label\tfile\trecords\na\ta.fa\t1\nb\tb.fa\t1\nunknown\tunknown.fa\t2\n"
    assert (tmp_path / "s" / "b.fa").read_text().replace("\n", "") == f">tb{B[12][:150]}"
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("x")
    done = genoseq("classify", "predict", model, folder / "test.fa", "--split-dir", tmp_path / "mine")
    assert done.status == 1 and "genoseq did not write" in done.err


def test_windows_along_contigs(genoseq: Runner, folder: Path, model: Path, tmp_path: Path) -> None:
    contigs = fasta(tmp_path / "contigs.fa", [("chimera", A[12] + B[12]), ("short", A[13][:100])])
    done = genoseq("classify", "predict", model, contigs, "--windows", 200, "--step", 150, "--figure", tmp_path / "w.png")
    _, rows = table(done.out)
    assert rows[0][:4] == ["name", "start", "end", "label"]
    assert [row[:3] for row in rows[1:]] == [
        ["chimera", "0", "200"], ["chimera", "150", "350"], ["chimera", "300", "500"], ["chimera", "400", "600"], ["short", "0", "100"],
    ]  # fmt: skip
    assert [rows[k][3] for k in (1, 3, 4, 5)] == ["a", "b", "b", "a"]
    assert (tmp_path / "w.png").read_bytes().startswith(b"\x89PNG")
    _, default = table(genoseq("classify", "predict", model, contigs, "--windows", 200).out)
    assert [row[1] for row in default[1:-1]] == ["0", "100", "200", "300", "400"]


def test_evaluate_gives_both_splits(genoseq: Runner, folder: Path, tmp_path: Path) -> None:
    groups = [
        (f"{label}{k}-{i} label={label}", one[i:] + one[:i])
        for label in "ab"
        for k in range(4)
        for one in family(1)
        for i in range(3)
    ]
    done = genoseq(
        "classify", "evaluate", fasta(tmp_path / "groups.fa", groups), "--mode", "nucleotide", "--folds", 2, "--seed", 1,
        "-o", tmp_path / "e.json", "--figure", tmp_path / "e.svg",
    )  # fmt: skip
    assert done.status == 0, done.err
    rows = [line.split("\t") for line in done.out.decode().splitlines()]
    assert [row[0] for row in rows] == ["split", "random", "homology"]
    assert [row[2] for row in rows[1:]] == ["8", "8"]  # groups
    content = json.loads((tmp_path / "e.json").read_text())
    assert content["format"] == "genoseq.classify-evaluation" and content["classes"] == ["a", "b"]
    assert sum(map(sum, content["confusion"]["random"])) == 24
    assert "<svg" in (tmp_path / "e.svg").read_text()


def test_modes_strands_and_codes_reach_the_model(genoseq: Runner, folder: Path, model: Path, tmp_path: Path) -> None:
    sizes = set()
    for name, options in {
        "t": ("--mode", "translated"), "m": ("--mode", "translated", "--genetic-code", 2),
        "f": ("--mode", "nucleotide", "--strands", "forward"), "s": ("--mode", "nucleotide", "--seed", 9),
    }.items():  # fmt: skip
        assert genoseq("classify", "fit", folder / "headers.fa", "-o", tmp_path / name, *options).status == 0
        sizes.add((tmp_path / name).read_bytes())
    assert len(sizes | {model.read_bytes()}) == 5


BAD = {
    "one class": ([("x a", A[0]), ("y a", A[1])], (), "there is one class only (a)"),
    "no label": ([("x", A[0]), ("y b", B[0])], (), "record 1: 'x' has no label in its header"),
    "empty": ([("x a", A[0]), ("y b", "")], (), "record 2: 'y' is empty"),
    "only N": ([("x a", A[0]), ("y b", "NNN")], (), "record 2: 'y' has no known letter"),
    "protein": ([("x a", A[0]), ("y b", "MKLVFEW")], (), "this may be protein"),
    "no such code": ([("x a", A[0]), ("y b", B[0])], ("--genetic-code", "99"), "no genetic code"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_training_sequences(genoseq: Runner, tmp_path: Path, case: str) -> None:
    entries, options, message = BAD[case]
    done = genoseq("classify", "fit", fasta(tmp_path / "bad.fa", entries), "-o", tmp_path / "m", *options)
    assert done.status in (1, 2) and message in done.err and "internal error" not in done.err
    assert not (tmp_path / "m").exists()


def test_bad_tables_of_labels(genoseq: Runner, folder: Path, tmp_path: Path) -> None:
    def fit(text: str, source: Path = folder / "plain.fa") -> str:
        (tmp_path / "l.tsv").write_text(text)
        return genoseq(
            "classify", "fit", source, "-o", tmp_path / "m", "--labels", tmp_path / "l.tsv", "--mode", "nucleotide"
        ).err

    good = (folder / "labels.tsv").read_text()
    assert "'a10' has no label in the table of labels" in fit(good.replace("a10\ta\n", ""))
    assert "2 names are not among the sequences (y, z)" in fit(good + "z\ta\ny\tb\n")
    assert "1 name is not among the sequences (z)" in fit(good + "z\ta\n")
    for empty in ("", "\n", "name\tlabel\n"):
        assert "the table of labels is empty" in fit(empty)
    assert "line 24: 'a0' has two labels, 'a' and 'b'" in fit(good + "a0\tb\n").replace("(line 24)", "line 24")
    assert "expected a name and a label" in fit("a0 a\n")
    twice = fasta(tmp_path / "twice.fa", [("a0", A[0]), ("a0", A[1]), ("b0", B[0])])
    assert "1 name stands twice among the sequences (a0), so a table cannot label it" in fit(good, twice)
    twice = fasta(tmp_path / "twice.fa", [("a0", A[0]), ("a0", A[1]), ("b0", B[0]), ("b0", B[1])])
    assert "2 names stand twice among the sequences (a0, b0), so a table cannot label them" in fit(good, twice)


def test_a_class_with_one_sequence_is_said(genoseq: Runner, tmp_path: Path) -> None:
    source = fasta(tmp_path / "one.fa", [("x a", A[0]), ("y a", A[1]), ("z b", B[0])])
    done = genoseq("classify", "fit", source, "-o", tmp_path / "m")
    assert done.status == 0 and "1 class has one sequence only (b): its probabilities cannot" in done.err


def test_usage(genoseq: Runner, folder: Path, model: Path, tmp_path: Path) -> None:
    for arguments, message in (
        (("predict", model, folder / "test.fa", "--step", 5), "need --windows"),
        (("predict", model, folder / "test.fa", "--windows", 50, "--split-dir", tmp_path / "s"), "contradict"),
        (("predict", model, folder / "test.fa", "--windows", 50, "--figure", "x.txt"), ".png, .pdf or .svg"),
        (("fit", f"a={folder / 'a.fa'}", "-o", tmp_path / "m", "--labels", folder / "labels.tsv"), "contradict"),
        (("fit", folder / "plain.fa"), "--output"),
    ):
        done = genoseq("classify", *arguments)
        assert done.status == 2 and message in done.err


def test_predict_refuses_protein_and_broken_models(genoseq: Runner, folder: Path, model: Path, tmp_path: Path) -> None:
    done = genoseq("classify", "predict", model, fasta(tmp_path / "p.fa", [("p", "MKLVFEWQ")]))
    assert done.status == 1 and "p.fa, record 1" in done.err and done.out == b""
    done = genoseq("classify", "predict", tmp_path / "none", folder / "test.fa")
    assert done.status == 1 and done.err.count("none:") == 1
    (tmp_path / "cut").write_bytes(model.read_bytes()[:-10])
    done = genoseq("classify", "predict", tmp_path / "cut", folder / "test.fa")
    assert done.status == 1 and "is cut short" in done.err and done.out == b""


def test_proteins(genoseq: Runner, tmp_path: Path) -> None:
    letters = "ACDEFGHIKLMNPQRSTVWY"
    entries = [
        (f"p{i} {'xy'[i % 2]}", "".join(DRAW.choices(letters, range(1, 21) if i % 2 else range(20, 0, -1), k=90)))
        for i in range(20)
    ]
    source = fasta(tmp_path / "p.fa", entries)
    assert genoseq("classify", "fit", source, "-o", tmp_path / "m", "--mode", "protein").status == 0
    done = genoseq("classify", "predict", tmp_path / "m", source, "--split-dir", tmp_path / "s")
    _, rows = table(done.out)
    assert [row[2] for row in rows[1:]].count("x") == 10
