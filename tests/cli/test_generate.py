"""`genoseq generate`: every option shows its effect, and bad input is told."""

from __future__ import annotations

import io
import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from runs import Done, Runner
from saved_models import LIMIT, loaded, saved
from tiny_nets import drawn

from genoseq.infer import Sampling, generate
from genoseq.seqs.fastx import read_fastx

Write = Callable[[str, bytes], Path]
Run = Callable[..., Done]


@pytest.fixture
def run(genoseq: Runner) -> Run:
    """Generate with a model of some kind, on one thread."""

    def drawn_from(*arguments: object, kind: str = "causal") -> Done:
        given = [str(argument) for argument in arguments]
        extra = [] if "--length" in given else ["--length", "30"]
        return genoseq("generate", *given, "-m", saved(kind), *extra, *([] if "-t" in given else ["-t", "1"]))

    return drawn_from


@pytest.fixture
def prompts(write: Write) -> Path:
    """Prompts of different lengths."""
    return write("p.fa", "".join(f">p{i} text\n{drawn(n, i)}\n" for i, n in enumerate((9, 30, 2))).encode())


def records(done: Done) -> dict[str, str]:
    """Sequences by name."""
    assert done.status == 0, done.err
    found: dict[str, str] = {}
    for line in done.lines:
        if line.startswith(">"):
            name = line[1:].split()[0]
            found[name] = ""
        else:
            found[name] += line
    return found


def test_prompts_and_number(run: Run, prompts: Path) -> None:
    found = records(run("--prompt", prompts, "-n", 2))
    expected = list(generate(*loaded("causal"), read_fastx(prompts), length=30, count=2))
    assert found == {one.name: one.sequence for one in expected}
    assert list(found) == ["p0_1", "p0_2", "p1_1", "p1_2", "p2_1", "p2_2"]
    header = run("--prompt", prompts).lines[0]
    assert re.fullmatch(r">p0_1 prompt=9 new=30 ended=no log_likelihood=-\d+\.\d{4} seed=0 model=[0-9a-f]{12}", header)


def test_from_nothing_and_bos(run: Run) -> None:
    found = records(run("-n", 5))
    assert list(found) == [f"generated_{i}" for i in range(1, 6)]
    assert {len(text) for text in found.values()} == {30}
    assert set("".join(found.values())) == set("ACGT")
    begun = records(run("-n", 5, "--bos"))
    assert begun == {one.name: one.sequence for one in generate(*loaded("causal"), length=30, count=5, begin=True)}
    assert begun != found


def test_length(run: Run) -> None:
    assert {len(text) for text in records(run("--length", 7)).values()} == {7}
    assert run("--length", 0).status == 2


def test_keep_prompt(run: Run, prompts: Path) -> None:
    bare, whole = records(run("--prompt", prompts)), records(run("--prompt", prompts, "--keep-prompt"))
    texts = {f"{record.name}_1": record.sequence for record in read_fastx(prompts)}
    assert whole == {name: texts[name] + text for name, text in bare.items()}


def test_seed_and_batch_size(run: Run, prompts: Path) -> None:
    one = run("--prompt", prompts, "-n", 3)
    assert run("--prompt", prompts, "-n", 3).out == one.out
    assert records(run("--prompt", prompts, "-n", 3, "--batch-size", 1)) == records(one)
    assert records(run("--prompt", prompts, "-n", 3, "--seed", 1)) != records(one)


@pytest.mark.parametrize(
    ("arguments", "sampling"),
    [
        (["--temperature", "0.5"], Sampling(temperature=0.5)),
        (["--temperature", "0"], Sampling(temperature=0)),
        (["--top-k", "2"], Sampling(top_k=2)),
        (["--top-p", "0.5"], Sampling(top_p=0.5)),
        (["--allow", "ambiguous", "--allow", "special"], Sampling(allow=("ambiguous", "special"))),
    ],
)
def test_sampling(run: Run, prompts: Path, arguments: list[str], sampling: Sampling) -> None:
    found = records(run("--prompt", prompts, *arguments))
    expected = generate(*loaded("causal"), read_fastx(prompts), length=30, sampling=sampling)
    assert found == {one.name: one.sequence for one in expected}
    assert found != records(run("--prompt", prompts))


def test_the_end_of_a_sequence(run: Run) -> None:
    done = run("--length", 300, "-n", 20, "--allow", "eos")
    assert min(len(text) for text in records(done).values()) < 300
    assert any("ended=yes" in line for line in done.lines)


def test_output_and_standard_input(run: Run, prompts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = run("--prompt", prompts).out
    assert run("--prompt", prompts, "-o", tmp_path / "o.fa").out == b""
    assert (tmp_path / "o.fa").read_bytes() == expected
    assert [len(record) for record in read_fastx(tmp_path / "o.fa")] == [30, 30, 30]
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(prompts.read_bytes())))
    assert run("--prompt", "-").out == expected


def test_dtype_device_and_threads(run: Run, prompts: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    exact, rough = (run("--prompt", prompts, "--dtype", dtype, "--device", "cpu") for dtype in ("float32", "bfloat16"))
    assert exact.status == rough.status == 0
    assert exact.out != rough.out
    if not torch.cuda.is_available():
        assert run("--device", "cuda").status == 2
    used: list[int] = []
    monkeypatch.setattr(torch, "set_num_threads", used.append)
    assert run("-t", 3).status == 0
    assert used[0] == 3


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["--prompt", "missing.fa"], 1, "missing.fa: no such file"),
        (["--prompt", "p.fa", "-o", "p.fa"], 2, "is an input"),
        (["--temperature", "-1"], 2, "--temperature"),
        (["--top-p", "0"], 2, "--top-p"),
        (["--allow", "x"], 2, "'x' is not one of"),
        (["-n", "0"], 2, "--number"),
    ],
)
def test_wrong_usage(
    run: Run, prompts: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], status: int, message: str
) -> None:
    monkeypatch.chdir(prompts.parent)
    done = run(*arguments)
    assert (done.status, message in done.err) == (status, True), done.err


@pytest.mark.parametrize(
    ("content", "message"),
    [(b">a\nMKVLAAEF\n", "illegal character 'L'"), (b"x", "is neither FASTA nor FASTQ")],
)
def test_bad_prompts(run: Run, write: Write, tmp_path: Path, content: bytes, message: str) -> None:
    done = run("--prompt", write("bad.fa", content), "-o", tmp_path / "o.fa")
    assert (done.status, message in done.err) == (1, True)
    assert not (tmp_path / "o.fa").exists()


def test_empty_prompts_are_left_out_and_told(run: Run, write: Write, tmp_path: Path) -> None:
    done = run("--prompt", write("some.fa", b">a\n\n>b\nACGT\n"), "-o", tmp_path / "o.fa")
    assert (done.status, "1 of 2 prompts are empty and left out" in done.err) == (0, True)
    assert [line[:4] for line in (tmp_path / "o.fa").read_text().splitlines() if line[0] == ">"] == [">b_1"]


def test_models_that_cannot_generate(run: Run) -> None:
    for kind, message in {
        "masked": "sees both sides of a position: generating needs a causal language model",
        "classifier": "predicts no tokens",
    }.items():
        done = run(kind=kind)
        assert (done.status, message in done.err) == (2, True)
    too_long = run("--length", LIMIT + 1, kind="limited")
    assert (too_long.status, f"are more than this net takes ({LIMIT})" in too_long.err) == (2, True)


def test_a_net_with_long_convolutions(run: Run, prompts: Path) -> None:
    found = records(run("--prompt", prompts, kind="limited"))
    expected = generate(*loaded("limited"), read_fastx(prompts), length=30, batch=1)
    assert found == {one.name: one.sequence for one in expected}


def test_quiet_says_nothing(genoseq: Runner) -> None:
    done = genoseq("-q", "generate", "-m", saved("causal"), "--length", 5, "-t", 1)
    assert (done.status, done.err) == (0, "")


def test_a_file_without_prompts_is_told(run: Run, write: Write) -> None:
    done = run("--prompt", write("none.fa", b""))
    assert (done.status, done.out) == (0, b"")
    assert "none.fa: no sequences to go on from" in done.err
