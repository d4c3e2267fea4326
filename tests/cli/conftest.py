"""Runs of the command line, small genomes with indexes, and reads whose place is known."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from runs import Done, Runner, Start, fastq, opposite

from genoseq.align.index import build_index
from genoseq.cli.main import main
from genoseq.seqs.fastx import read_fastx


def cache_with_kernels(folder: Path) -> Path:
    """A cache that holds no index, but the kernels that are compiled already."""
    kernels = Path(os.environ["GENOSEQ_CACHE"]) / "kernels"
    kernels.mkdir(parents=True, exist_ok=True)
    (folder / "kernels").symlink_to(kernels.resolve())
    return folder


@pytest.fixture(scope="session")
def passing_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where these tests cache indexes, so that they do not pile up from run to run."""
    return cache_with_kernels(tmp_path_factory.mktemp("cache"))


@pytest.fixture(autouse=True)
def own_home(passing_cache: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A registry of its own for every test, and no index chosen by the environment."""
    home = tmp_path_factory.mktemp("user")
    monkeypatch.setenv("GENOSEQ_HOME", str(home))
    monkeypatch.setenv("GENOSEQ_CACHE", str(passing_cache))
    monkeypatch.delenv("GENOSEQ_INDEX", raising=False)
    return home


@pytest.fixture
def genoseq(monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]) -> Runner:
    """Run the command in this process."""

    def run(*arguments: object) -> Done:
        given = [str(argument) for argument in arguments]
        monkeypatch.setattr(sys, "argv", ["genoseq", *given])
        capfdbinary.readouterr()
        status = main(given)
        out, err = capfdbinary.readouterr()
        return Done(status, out, err.decode())

    return run


@pytest.fixture
def process() -> Iterator[Start]:
    """Start the command as a process of its own; it does not outlive the test."""
    started: list[subprocess.Popen[bytes]] = []

    def start(*arguments: object, **options: object) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "genoseq", *map(str, arguments)]
        options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "stdin": subprocess.DEVNULL, **options}
        child: subprocess.Popen[bytes] = subprocess.Popen(command, **options)  # type: ignore[call-overload]
        started.append(child)
        return child

    yield start
    for child in started:
        child.kill()
        child.wait()
        for stream in (child.stdin, child.stdout, child.stderr):
            if stream is not None and not stream.closed:
                stream.close()


@pytest.fixture
def spawn(process: Start) -> Runner:
    """Run the command as a process of its own, to its end."""

    def run(*arguments: object, **options: object) -> Done:
        child = process(*arguments, **options)
        out, err = child.communicate(timeout=250)
        return Done(child.returncode, out or b"", (err or b"").decode())

    return run


@pytest.fixture(scope="session")
def phix(sample: Path) -> str:
    """The sequence of phiX174, upper case."""
    return next(iter(read_fastx(sample / "phix174.fa"))).sequence.upper()


@pytest.fixture(scope="session")
def index(sample: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An index of phiX174 that no test changes."""
    folder = tmp_path_factory.mktemp("indexes") / "phix.idx"
    build_index(sample / "phix174.fa", folder)
    return folder


@pytest.fixture(scope="session")
def twofold(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """FASTA of a contig with the same 600 bp at 200 and 1400, so that reads from there have two equal places."""
    draw = random.Random(5)
    unique = ["".join(draw.choices("ACGT", k=k)) for k in (200, 600, 600, 400)]
    path = tmp_path_factory.mktemp("twofold") / "twofold.fa"
    path.write_text(f">t\n{unique[0]}{unique[1]}{unique[2]}{unique[1]}{unique[3]}\n")
    return path


@pytest.fixture
def reads(tmp_path: Path, phix: str) -> Path:
    """FASTQ of 40 reads of phiX174, 150 bp, every 100 bp, every other one from the other strand."""
    path = tmp_path / "reads.fq"
    every = [(f"r{i}", phix[100 * i : 100 * i + 150]) for i in range(40)]
    path.write_text(fastq((name, opposite(seq) if i % 2 else seq) for i, (name, seq) in enumerate(every)))
    return path


@pytest.fixture
def pairs(tmp_path: Path, phix: str) -> tuple[Path, Path]:
    """Two FASTQ files of 60 pairs of phiX174: mates of 100 bp, insert sizes 290 to 309."""
    first, second = [], []
    for i in range(60):
        start = 80 * i
        end = start + 290 + i % 20
        first.append((f"p{i}/1", phix[start : start + 100]))
        second.append((f"p{i}/2", opposite(phix[end - 100 : end])))
    paths = tmp_path / "pairs_1.fq", tmp_path / "pairs_2.fq"
    for path, mates in zip(paths, (first, second), strict=True):
        path.write_text(fastq(mates))
    return paths


@pytest.fixture
def own_cache(tmp_path: Path) -> dict[str, str]:
    """An environment for processes whose cache, ``cache`` in the test's folder, holds no index."""
    cache = tmp_path / "cache"
    cache.mkdir()
    return {**os.environ, "GENOSEQ_CACHE": str(cache_with_kernels(cache))}
