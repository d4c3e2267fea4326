"""`genoseq score`: every option shows its effect, and bad input is told."""

from __future__ import annotations

import gzip
import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from runs import Done, Runner
from saved_models import LIMIT, copied, loaded, saved
from tiny_nets import drawn

from genoseq.infer import Score, per_base, score
from genoseq.seqs.fastx import read_fastx

Write = Callable[[str, bytes], Path]
Run = Callable[..., Done]
SEQUENCES = [("a", drawn(40)), ("b", "ACGNNNTT"), ("c", drawn(90, 2)), ("d", "A"), ("e", "")]
FASTA = "".join(f">{name} text\n{text}\n" for name, text in SEQUENCES).encode()


@pytest.fixture
def run(genoseq: Runner) -> Run:
    """Score with a model of some kind, on one thread."""

    def scored(*arguments: object, kind: str = "causal") -> Done:
        return genoseq("score", *arguments, "-m", saved(kind), *(() if "-t" in arguments else ("-t", 1)))

    return scored


@pytest.fixture
def sequences(write: Write) -> Path:
    """Sequences of different lengths, with unknown bases, and an empty one."""
    return write("s.fa", FASTA)


def table(text: str) -> list[dict[str, str]]:
    lines = text.splitlines()
    assert json.loads(lines[0].removeprefix("#"))["format"] == "genoseq.scores"
    columns = lines[1].split("\t")
    return [dict(zip(columns, line.split("\t"), strict=True)) for line in lines[2:]]


def same(rows: list[dict[str, str]], expected: list[Score], *, tolerance: float = 1e-3) -> None:
    assert [row["name"] for row in rows] == [one.name for one in expected]
    for row, one in zip(rows, expected, strict=True):
        for column in ("length", "scored", "ambiguous", "unscored", "tokens"):
            assert int(row[column]) == getattr(one, column)
        for column in ("log_likelihood", "bits_per_base", "perplexity"):
            value = getattr(one, column)
            assert math.isnan(value) if row[column] == "NA" else float(row[column]) == pytest.approx(value, rel=tolerance)


@pytest.mark.parametrize("kind", ["causal", "masked"])
def test_the_table_is_that_of_the_api(run: Run, sequences: Path, kind: str) -> None:
    done = run(sequences, kind=kind)
    assert done.status == 0
    rows = table(done.out.decode())
    same(rows, list(score(*loaded(kind), read_fastx(sequences))))
    assert [row["log_likelihood"] for row in rows[3:]] == (
        ["NA", "NA"] if kind == "causal" else [rows[3]["log_likelihood"], "NA"]
    )
    told = json.loads(done.lines[0].removeprefix("#"))
    assert told["options"]["stride"] == (None if kind == "causal" else 8)
    assert told["model"] == str(saved(kind))
    missing = 2 if kind == "causal" else 1
    assert f"{missing} of 5 sequences have no base that can be scored" in done.err


def test_strand(run: Run, sequences: Path) -> None:
    both = run(sequences, "--strand", "both")
    same(table(both.out.decode()), list(score(*loaded("causal"), read_fastx(sequences), strand="both")))
    assert json.loads(both.lines[0].removeprefix("#"))["options"]["strand"] == "both"
    forward, reverse = (table(run(sequences, "--strand", strand).out.decode())[0] for strand in ("forward", "reverse"))
    assert forward["log_likelihood"] != reverse["log_likelihood"] and int(forward["unscored"]) == int(reverse["unscored"]) == 1
    assert int(table(both.out.decode())[0]["unscored"]) == 0


def test_a_protein_in_codes_of_nucleotides_is_told_with_its_file(run: Run, write: Write) -> None:
    path = write("p.fa", b">q\nACGT\n>p\nMKTAYAAKRRASGVKSHSRRAAAGAAVVVMKKW\n")
    done = run(path)
    assert done.status == 1
    assert f"error: {path}: sequence 2 ('p') is made of ambiguity codes" in done.err


def test_output_is_a_file(run: Run, sequences: Path, tmp_path: Path) -> None:
    done = run(sequences, "-o", tmp_path / "t.tsv")
    assert (done.status, done.out) == (0, b"")
    assert (tmp_path / "t.tsv").read_bytes() == run(sequences).out
    assert run(sequences, "-o", "/dev/stdout").out == run(sequences).out


@pytest.mark.parametrize("name", ["p.npz", "p.bedgraph", "p.bg.gz"])
def test_per_base(run: Run, sequences: Path, tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    assert run(sequences, "--per-base", path, "-o", tmp_path / "t").status == 0
    expected = [per_base(one) for one in score(*loaded("causal"), read_fastx(sequences))]
    if name.endswith(".npz"):
        with np.load(path) as found:
            np.testing.assert_allclose(found["log_likelihoods"], np.concatenate(expected), atol=1e-5)
            assert found["offsets"].tolist() == [0, 40, 48, 138, 139, 139]
            assert json.loads(str(found["metadata"]))["format"] == "genoseq.per-base"
        return
    content = path.read_bytes()
    lines = (gzip.decompress(content) if name.endswith(".gz") else content).decode().splitlines()
    shown = [np.full(len(values), np.nan) for values in expected]
    for line in lines[1:]:
        sequence, start, end, value = line.split("\t")
        shown["abcde".index(sequence)][int(start) : int(end)] = float(value)
    for one, two in zip(shown, expected, strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-5)


def test_stride(run: Run, sequences: Path) -> None:
    for given, stride in ((2, 2), (8, 8), ("exact", None)):
        done = run(sequences, "--stride", given, kind="masked")
        same(table(done.out.decode()), list(score(*loaded("masked"), read_fastx(sequences), stride=stride)))
        assert json.loads(done.lines[0].removeprefix("#"))["options"]["stride"] == given
    assert run(sequences, "--stride", 2, kind="masked").lines[2] != run(sequences, kind="masked").lines[2]
    refused = run(sequences, "--stride", 4)
    assert (refused.status, "--stride is for masked models" in refused.err) == (2, True)
    for wrong in ("0", "x", "-1"):
        assert run(sequences, "--stride", wrong, kind="masked").status == 2


def test_bos(run: Run, sequences: Path) -> None:
    rows = table(run(sequences, "--bos").out.decode())
    assert [int(row["scored"]) for row in rows] == [40, 5, 90, 1, 0]
    same(rows, list(score(*loaded("causal"), read_fastx(sequences), begin=True)))
    assert run(sequences, "--bos", kind="masked").status == 2


def test_window_and_overlap(run: Run, sequences: Path, write: Write) -> None:
    rows = table(run(sequences, "--window", 30, "--overlap", 10).out.decode())
    same(rows, list(score(*loaded("causal"), read_fastx(sequences), window=30, overlap=10)))
    assert rows[2] != table(run(sequences, "--window", 30).out.decode())[2]
    long = write("long.fa", b">long\n" + drawn(LIMIT + 1).encode() + b"\n")
    done = run(long, kind="limited")
    assert (done.status, f"this net takes at most {LIMIT}: cut it into windows (--window {LIMIT}" in done.err) == (2, True)
    assert run(long, "--window", LIMIT, "--overlap", 50, kind="limited").status == 0
    assert run(sequences, "--overlap", 5).status == 2


def test_batch_tokens_change_nothing(run: Run, sequences: Path) -> None:
    for kind in ("causal", "masked"):
        one, many = (table(run(sequences, "--batch-tokens", size, kind=kind).out.decode()) for size in (1, 10_000))
        for a, b in zip(one, many, strict=True):
            assert a["log_likelihood"] == b["log_likelihood"] or float(a["log_likelihood"]) == pytest.approx(
                float(b["log_likelihood"]), rel=1e-5
            )


def test_dtype_device_and_threads(run: Run, sequences: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    exact, rough = (table(run(sequences, "--dtype", dtype, "--device", "cpu").out.decode()) for dtype in ("float32", "bfloat16"))
    assert exact[0]["log_likelihood"] != rough[0]["log_likelihood"]
    assert float(rough[0]["log_likelihood"]) == pytest.approx(float(exact[0]["log_likelihood"]), rel=0.05)
    if not torch.cuda.is_available():
        assert run(sequences, "--device", "cuda").status == 2
    used: list[int] = []
    monkeypatch.setattr(torch, "set_num_threads", used.append)
    assert run(sequences, "-t", 3).status == 0
    assert used[0] == 3


def test_quiet_says_nothing(genoseq: Runner, sequences: Path) -> None:
    assert genoseq("-q", "score", sequences, "-m", saved("causal"), "-t", 1).err == ""


def test_no_sequences_give_a_table_without_rows_and_a_warning(run: Run, write: Write) -> None:
    done = run(write("e.fa", b""))
    assert (done.status, table(done.out.decode()), "e.fa: no sequences" in done.err) == (0, [], True)


def test_proteins(run: Run, write: Write) -> None:
    rows = table(run(write("p.fa", b">p\nMKVLXAAEF*\n"), kind="protein").out.decode())
    assert (rows[0]["scored"], rows[0]["ambiguous"]) == ("8", "2")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b">a\nMKVLAAEF\n", "record 1 (line 2): illegal character 'L'"),
        (b">a\nMKVWAHDGRSYKM\n", "this may be a protein"),
        (gzip.compress(FASTA)[:-20], "the gzip data are truncated"),
        (b"@a\nACGT\n+\nIII\n", "quality has 3 characters, sequence has 4"),
    ],
)
def test_bad_sequences_leave_no_output(run: Run, write: Write, tmp_path: Path, content: bytes, message: str) -> None:
    done = run(write("bad", content), "-o", tmp_path / "t.tsv", "--per-base", tmp_path / "p.npz")
    assert (done.status, message in done.err) == (1, True)
    assert [found.name for found in tmp_path.iterdir()] == ["bad"]
    shown = run(tmp_path / "bad")
    assert shown.status == 1 and (shown.out == b"" or b"\na\t" in shown.out)  # no head without a row


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["missing.fa"], 1, "missing.fa: no such file"),
        (["s.fa", "-o", "s.fa"], 2, "is an input"),
        (["s.fa", "-o", "x", "--per-base", "x.npz", "-o", "x.npz"], 2, "two outputs have the same name"),
        (["s.fa", "--per-base", "p.wig"], 2, "--per-base p.wig: end the name in .npz"),
        (["s.fa", "--per-base", "no/p.npz"], 1, "does not exist"),
    ],
)
def test_wrong_usage(
    run: Run, sequences: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], status: int, message: str
) -> None:
    monkeypatch.chdir(sequences.parent)
    done = run(*arguments)
    assert (done.status, message in done.err) == (status, True)


def test_models_that_predict_no_tokens(run: Run, sequences: Path) -> None:
    done = run(sequences, kind="classifier")
    assert (done.status, "predicts no tokens: likelihoods need a causal or masked language model" in done.err) == (2, True)


def test_weights_that_are_not_numbers(genoseq: Runner, sequences: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    folder = copied("causal", tmp_path)
    weights = load_file(folder / "model.safetensors")
    next(iter(weights.values())).view(-1)[0] = math.nan
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    done = genoseq("score", sequences, "-m", folder)
    assert done.status == 1
    assert "model.safetensors" in done.err
