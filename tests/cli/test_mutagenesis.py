"""`genoseq mutagenesis`: every option shows its effect, and bad input is told."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from matplotlib.image import imread
from runs import Done, Runner
from saved_models import LIMIT, loaded, saved
from tiny_nets import drawn

from genoseq.infer import Mutagenesis, mutate
from genoseq.seqs.record import Record

Write = Callable[[str, bytes], Path]
Run = Callable[..., Done]
FIRST, SECOND = Record("chr1", "", drawn(80)), Record("chr2", "", drawn(60, 2)[:30] + "N" + drawn(60, 2)[31:])


@pytest.fixture
def sequence(write: Write) -> Path:
    """Two records."""
    return write("s.fa", "".join(f">{record.name} text\n{record.sequence}\n" for record in (FIRST, SECOND)).encode())


@pytest.fixture
def run(genoseq: Runner) -> Run:
    """Change with small windows and one thread."""

    def changed(*arguments: object, kind: str = "causal") -> Done:
        given = [str(argument) for argument in arguments]
        extra = [] if "--context" in given or "--left" in given else ["--context", "21"]
        return genoseq("mutagenesis", *given, "-m", saved(kind), *extra, *([] if "-t" in given else ["-t", "1"]))

    return changed


def rows(text: str) -> list[list[str]]:
    lines = text.splitlines()
    assert json.loads(lines[0].removeprefix("#"))["format"] == "genoseq.mutagenesis"
    assert lines[1].split("\t") == ["name", "position", "ref", "alt", "llr"]
    return [line.split("\t") for line in lines[2:]]


def same(text: str, expected: Mutagenesis) -> None:
    found = rows(text)
    letters = len(expected.letters)
    known = [letter in expected.letters for letter in expected.reference]
    assert len(found) == sum(letters - 1 if one else letters for one in known)
    for name, position, ref, alt, llr in found:
        place = int(position) - 1 - expected.start
        assert (name, ref) == (expected.name, expected.reference[place])
        value = expected.effects[expected.letters.index(alt), place]
        assert np.isnan(value) if llr == "NA" else float(llr) == pytest.approx(float(value), rel=1e-4, abs=1e-4)


def wanted(record: Record = FIRST, kind: str = "causal", **options: Any) -> Mutagenesis:
    options = {"start": 9, "end": 14, **({} if "left" in options else {"context": 21}), **options}
    return mutate(*loaded(kind), record, **options)


def test_region_and_output(run: Run, sequence: Path, tmp_path: Path) -> None:
    for region in ("chr1:10-14", "10-14"):
        same(run(sequence, "--region", region).out.decode(), wanted())
    second = run(sequence, "--region", "chr2:29-32").out.decode()
    same(second, wanted(SECOND, start=28, end=32))
    assert [row[4] for row in rows(second) if row[2] == "N"] == ["NA"] * 4
    assert len(rows(run(sequence, "--region", "chr2").out.decode())) == 59 * 3 + 4
    assert len(rows(run(sequence).out.decode())) == 80 * 3
    assert run(sequence, "--region", "10-14", "-o", tmp_path / "t.tsv").out == b""
    same((tmp_path / "t.tsv").read_text(), wanted())


@pytest.mark.parametrize(("kind", "told"), [("causal", 1024), ("limited", LIMIT)])
def test_the_header_says_how_long_windows_were(genoseq: Runner, sequence: Path, kind: str, told: int) -> None:
    done = genoseq("mutagenesis", sequence, "-m", saved(kind), "--region", "10-11", "-t", 1)
    assert json.loads(done.out.decode().splitlines()[0].removeprefix("#"))["options"]["context"] == told


@pytest.mark.parametrize("quiet", [False, True])
def test_a_log_file_is_told_how_far_it_is(run: Run, sequence: Path, monkeypatch: pytest.MonkeyPatch, quiet: bool) -> None:
    monkeypatch.setattr("genoseq.log.LINE_EVERY", 100.0 if quiet else 0.0)
    monkeypatch.setattr("genoseq.log.LINE_SHARE", 0.0)
    said = [line for line in run(sequence, "--region", "10-14").err.splitlines() if "changing: " in line]
    assert bool(said) is not quiet
    assert quiet or "changing: 100% of 5 positions" in said[-1]


def test_figure(run: Run, sequence: Path, tmp_path: Path) -> None:
    for ending in ("png", "pdf", "svg"):
        assert run(sequence, "--region", "10-30", "--figure", tmp_path / f"f.{ending}").status == 0
    assert imread(tmp_path / "f.png").shape[2] == 4
    done = run(sequence, "--figure", tmp_path / "f.bmp")
    assert (done.status, "--figure" in done.err) == (2, True)


@pytest.mark.parametrize(
    ("arguments", "options"),
    [
        (["--context", "11"], {"context": 11}),
        (["--left", "9", "--right", "3"], {"left": 9, "right": 3}),
        (["--strand", "reverse"], {"strand": "reverse"}),
        (["--bos"], {"begin": True}),
        (["--batch-tokens", "1"], {}),
    ],
)
def test_options_of_the_scores(run: Run, sequence: Path, arguments: list[str], options: dict[str, Any]) -> None:
    text = run(sequence, "--region", "10-14", *arguments).out.decode()
    same(text, wanted(**options))
    assert not options or rows(text) != rows(run(sequence, "--region", "10-14").out.decode())


@pytest.mark.parametrize(
    ("arguments", "options"),
    [
        (["--method", "marginal"], {"method": "marginal"}),
        (["--stride", "2"], {"stride": 2}),
        (["--stride", "exact"], {"stride": None}),
    ],
)
def test_options_of_masked_models(run: Run, sequence: Path, arguments: list[str], options: dict[str, Any]) -> None:
    same(run(sequence, "--region", "10-14", *arguments, kind="masked").out.decode(), wanted(kind="masked", **options))
    assert run(sequence, "--region", "10-14", *arguments).status == 2  # a causal model


def test_dtype_device_and_threads(run: Run, sequence: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    exact, rough = (
        rows(run(sequence, "--region", "10-14", "--dtype", dtype, "--device", "cpu").out.decode())
        for dtype in ("float32", "bfloat16")
    )
    assert exact != rough
    if not torch.cuda.is_available():
        assert run(sequence, "--device", "cuda").status == 2
    used: list[int] = []
    monkeypatch.setattr(torch, "set_num_threads", used.append)
    assert run(sequence, "--region", "10-14", "-t", 3).status == 0
    assert used[0] == 3


def test_standard_input_and_proteins(run: Run, sequence: Path, write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(sequence.read_bytes())))
    same(run("-", "--region", "10-14").out.decode(), wanted())
    protein = rows(run(write("p.fa", b">p\nMKVLAAEF\n"), "--region", "3-4", "--method", "marginal", kind="protein").out.decode())
    assert len(protein) == 38
    assert {row[2] for row in protein} == {"V", "L"}


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["missing.fa"], 1, "missing.fa: no such file"),
        (["s.fa", "--region", "chr9:1-5"], 1, "has no sequence 'chr9'; it has chr1, chr2"),
        (["s.fa", "--region", "chr1:70-90"], 2, "the stretch 70-90 is not within 'chr1', which has 80 letters"),
        (["s.fa", "--region", "9-3"], 2, "the end is not before the start"),
        (["s.fa", "-o", "s.fa"], 2, "is an input"),
        (["s.fa", "-o", "x.png", "--figure", "x.png"], 2, "two outputs have the same name"),
        (["s.fa", "--context", "0"], 2, "--context"),
    ],
)
def test_wrong_usage(
    run: Run, sequence: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], status: int, message: str
) -> None:
    monkeypatch.chdir(sequence.parent)
    done = run(*arguments)
    assert (done.status, message in done.err) == (status, True), done.err
    assert [path.name for path in sequence.parent.iterdir()] == ["s.fa"]


@pytest.mark.parametrize(
    ("content", "status", "message"),
    [(b"", 1, "holds no sequence"), (b">a\n\n", 1, "is empty"), (b">a\nMKVLAAEF\n", 1, "illegal character 'L'")],
)
def test_bad_sequences(run: Run, write: Write, content: bytes, status: int, message: str) -> None:
    done = run(write("bad.fa", content))
    assert (done.status, message in done.err) == (status, True)


def test_models_that_cannot(run: Run, sequence: Path) -> None:
    assert "predicts no tokens" in run(sequence, kind="classifier").err
    assert f"give --context {LIMIT} or less" in run(sequence, "--context", LIMIT + 1, kind="limited").err


def test_quiet_says_nothing(genoseq: Runner, sequence: Path) -> None:
    done = genoseq("-q", "mutagenesis", sequence, "-m", saved("causal"), "--region", "1-2", "--context", 9, "-t", 1)
    assert (done.status, done.err) == (0, "")


def test_a_stretch_of_ambiguity_codes_only_is_told(run: Run, write: Write) -> None:
    done = run(write("n.fa", b">n\nNNNNN\n"))
    assert done.status == 0
    assert "no letter of n can be changed: all are ambiguity codes" in done.err
    assert all(line.endswith("\tNA") for line in done.lines[2:])
