"""What is compiled, and when: all at once and once, and a filled cache is enough."""

from __future__ import annotations

import gzip
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from runs import rights_can_be_given_up, run_without_rights

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]


def run(*arguments: object, cache: Path, home: Path) -> subprocess.CompletedProcess[str]:
    """Run the command with this cache, as a process of its own."""
    environment = {**os.environ, "GENOSEQ_CACHE": str(cache), "GENOSEQ_HOME": str(home)}
    command = [sys.executable, "-m", "genoseq", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, env=environment, stdin=subprocess.DEVNULL)


def contents(cache: Path) -> dict[str, int]:
    """Compiled code in a cache: files and when they were written. Numba writes the index of a kernel anew with each kind."""
    found = [path for path in (cache / "kernels").rglob("*") if path.suffix in (".nbi", ".nbc")]
    return {path.name: path.stat().st_mtime_ns for path in found}


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory, sample: Path) -> Path:
    """A cache after the first command of an installation."""
    folder = tmp_path_factory.mktemp("filled")
    done = run("index", sample / "phix174.fa", "-o", folder / "phix.idx", cache=folder / "cache", home=folder / "home")
    assert done.returncode == 0
    assert done.stderr.count("compiling for this machine (once for each command and version, up to a minute)\n") == 1
    assert list((folder / "cache" / "kernels").glob("*/complete"))
    return folder


@pytest.fixture
def inputs(tmp_path: Path, sample: Path) -> dict[str, list[object]]:
    """Arguments of runs that differ in all that could make another kind of array: layout, number of reads, format, pairs."""
    lines = gzip.decompress((sample / "portiera_R1.fastq.gz").read_bytes()).decode().splitlines()[:400]
    mates = gzip.decompress((sample / "portiera_R2.fastq.gz").read_bytes()).decode().splitlines()[:400]
    starts = range(0, len(lines), 4)

    def written(name: str, text: str) -> Path:
        (tmp_path / name).write_text(text)
        return tmp_path / name

    def fastq(of: list[str]) -> str:
        return "".join(f"{line}\n" for line in of)

    one, two = written("r1.fq", fastq(lines)), written("r2.fq", fastq(mates))
    mixed = fastq([line for i in starts for line in lines[i : i + 4] + mates[i : i + 4]])
    wrapped = "".join(f"{lines[i]}\n{lines[i + 1][:40]}\n{lines[i + 1][40:]}\n+\n{lines[i + 3]}\n" for i in starts)
    return {
        "gzip": [sample / "portiera_R1.fastq.gz"],
        "pairs": [one, two, "-t", 2],
        "pairs, sorted": [one, two, "-o", tmp_path / "o.bam", "--sort"],
        "interleaved": ["-p", written("mixed.fq", mixed)],
        "FASTA": [written("reads.fa", "".join(f">{lines[i][1:]}\n{lines[i + 1]}\n" for i in starts)), "-o", tmp_path / "o.cram"],
        "one read": [written("one.fq", fastq(lines[:4]))],
        "no read": [written("none.fq", "")],
        "wrapped": [written("wrapped.fq", wrapped)],
        "partly wrapped": [written("partly.fq", fastq(lines[:8]) + wrapped)],
        "CRLF": [written("crlf.fq", fastq(lines).replace("\n", "\r\n"))],
        "odd": [written("odd.fa", f">empty\n\n>n\n{'N' * 90}\n>long\n{'ACGT' * 1200}\n")],
        "all options": [
            one, two, "--max-secondary", 5, "--seed", 2, "-R", r"@RG\tID:a", "--summary", tmp_path / "s.json",
            "--coverage", tmp_path / "c.png", "--unmapped-out", tmp_path / "u.fq.gz", "--preset", "sensitive",
        ],
        "fast": [one, "--preset", "fast"],
    }  # fmt: skip


API = """
import sys, genoseq
aligner = genoseq.Aligner.open(sys.argv[1])
reads = [(f"r{i}", "ACGTTGCATGCCGATTAGCCATGCAAGCTTGACCGTTAACGG") for i in range(4)]
assert len(list(aligner.map(reads))) == len(list(aligner.map(reads[:1]))) + 3
mates = [(name, read) for name, read in reads for _ in range(2)]
assert len(list(aligner.map(mates, paired=True))) == 8
assert len(list(aligner.map(genoseq.Record(name, "", read, "I" * len(read)) for name, read in reads))) == 4
"""


def test_nothing_is_compiled_after_the_first_command(filled: Path, inputs: dict[str, list[object]], sample: Path, tmp_path: Path) -> None:
    cache, home = filled / "cache", filled / "home"
    before = contents(cache)
    assert len(before) > 100
    for kind, arguments in inputs.items():
        done = run("align", *arguments, "-x", filled / "phix.idx", cache=cache, home=home)
        assert (done.returncode, "compiling" in done.stderr, contents(cache) == before) == (0, False, True), kind
    several = tmp_path / "several.fa"
    several.write_text((sample / "phix174.fa").read_text() + ">b\n" + "ACGTTGCATT" * 30 + "\n")
    for reference in (several, sample / "portiera.fna.gz"):
        built = run("align", inputs["fast"][0], "-x", reference, cache=cache, home=home)
        assert (built.returncode, "compiling" in built.stderr, contents(cache) == before) == (0, False, True)
    again = run("index", several, "-o", tmp_path / "i", "--encoder", "random", "--density", 1, "-t", 2, cache=cache, home=home)
    assert (again.returncode, "compiling" in again.stderr, contents(cache) == before) == (0, False, True)


def test_python_uses_what_was_compiled_and_says_what_takes_long(filled: Path, sample: Path, tmp_path: Path) -> None:
    cache = filled / "cache"
    before = contents(cache)
    reference = tmp_path / "phix.fa"
    shutil.copy(sample / "phix174.fa", reference)
    for first in (True, False):
        environment = {**os.environ, "GENOSEQ_CACHE": str(cache)}
        done = subprocess.run([sys.executable, "-c", API, str(reference)], capture_output=True, text=True, env=environment)
        assert (done.returncode, done.stdout, contents(cache)) == (0, "", before)
        lines = done.stderr.splitlines()
        assert len(lines) == first
        assert all(line.startswith(f"genoseq: {reference}: building an index, kept in {cache}") for line in lines)


@pytest.fixture
def read_only(filled: Path) -> Iterator[Path]:
    """The filled cache, which nobody may write."""
    folders = [filled, filled / "cache", *(path for path in (filled / "cache").rglob("*") if path.is_dir())]
    modes = {folder: stat.S_IMODE(folder.stat().st_mode) for folder in folders}
    for folder in folders:
        folder.chmod(0o555)
    yield filled / "cache"
    for folder, mode in modes.items():
        folder.chmod(mode)


def test_a_filled_cache_is_used_though_it_may_only_be_read(read_only: Path, inputs: dict[str, list[object]]) -> None:
    if not rights_can_be_given_up(read_only):
        pytest.skip("root may write anywhere, and cannot give that up here")
    index = read_only.parent / "phix.idx"
    for kind in ("fast", "pairs"):
        done = run_without_rights("align", *inputs[kind], "-x", index, GENOSEQ_CACHE=str(read_only), HOME="/proc/nowhere")
        assert (done.returncode, "compil" in done.stderr, "warning" in done.stderr.replace("almost nothing", "")) == (0, False, False)
