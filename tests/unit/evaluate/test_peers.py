from __future__ import annotations

import dataclasses
import stat
from pathlib import Path

import pytest

from genoseq.errors import UsageError
from genoseq.evaluate.measure import CommandError
from genoseq.evaluate.peers import PEERS, Peer, available, build_index, map_reads, peer_named, version_of


def script(folder: Path, name: str, text: str) -> None:
    path = folder / name
    path.write_text("#!/bin/sh\n" + text)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


TOY = Peer(
    name="toy",
    label="Toy",
    program="toy",
    version=("toy", "--version"),
    index=("toy", "index", "{reference}", "{index}/x", "{threads}"),
    single=("toy", "map", "{index}/x", "{reads}", "{threads}"),
)


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Peer:
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    script(
        folder,
        "toy",
        'case $1 in --version) echo "toy version 1.2.3-r4";; index) cp "$2" "$3";; map) cat "$3"; sleep 0.05;; esac\n',
    )
    return TOY


def test_names_are_unique_and_every_command_fills_its_places() -> None:
    assert len({peer.name for peer in PEERS}) == len(PEERS)
    assert len({peer.label for peer in PEERS}) == len(PEERS)
    values = {"reference": "ref.fa", "index": "idx", "threads": 2, "reads": "r.fq", "first": "1.fq", "second": "2.fq"}
    for peer in PEERS:
        words = [word.format(**values) for word in (*peer.index, *peer.single, *peer.paired)]
        assert not any("{" in word for word in words)
        assert "ref.fa" in words
        assert any(word.startswith("idx/") for word in words)
        assert peer_named(peer.name) is peer


def test_seeds_of_minimap2_are_the_same_in_index_and_mapping() -> None:
    peer = peer_named("minimap2-k9")
    for option in (("-k", "9"), ("-w", "3")):
        for command in (peer.index, peer.single, peer.paired):
            at = command.index(option[0])
            assert command[at : at + 2] == option


def test_an_unknown_tool_is_an_error_that_lists_the_known() -> None:
    with pytest.raises(UsageError, match="unknown tool 'bowtie'; known: genoseq, genoseq-fast"):
        peer_named("bowtie")


def test_only_installed_tools_are_available(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    script(tmp_path, "bwa", "exit 0\n")
    names = [peer.name for peer in available(["last", "bwa-k10", "bwa"])]
    assert names == ["bwa", "bwa-k10"]
    with pytest.raises(UsageError):
        available(["nonsense"])


def test_a_tool_is_indexed_and_run_with_its_cost(toy: Peer, tmp_path: Path) -> None:
    reference, reads, output = tmp_path / "ref.fa", tmp_path / "reads.fq", tmp_path / "out.sam"
    reference.write_text(">a\nACGT\n")
    reads.write_text("@r\nACGT\n+\nIIII\n")
    index = build_index(toy, reference=reference, index=tmp_path / "index", threads=3)
    assert (index.version, index.index_bytes, index.command) == ("1.2.3-r4", 8, "toy index ref.fa index/x 3")
    run = map_reads(toy, index=tmp_path / "index", reads=[reads], count=1, output=output, threads=3, repeats=3)
    assert output.read_text() == reads.read_text()
    assert len(run.walls_s) == 3
    assert run.cost.wall_s == sorted(run.walls_s)[1]
    assert run.reads_per_second == pytest.approx(1 / run.cost.wall_s)
    with pytest.raises(UsageError, match="has to be empty"):
        build_index(toy, reference=reference, index=tmp_path / "index", threads=3)
    with pytest.raises(UsageError, match="toy does not map pairs"):
        map_reads(toy, index=tmp_path / "index", reads=[reads, reads], count=2, output=output, threads=3)


def test_a_tool_that_compiles_runs_once_unmeasured_and_has_its_own_environment(toy: Peer, tmp_path: Path) -> None:
    script(tmp_path / "bin", "toy", f'echo "$TOY_HOME" >> {tmp_path}/runs\n')
    (tmp_path / "index").mkdir()
    peer = dataclasses.replace(toy, compiles=True, environment=(("TOY_HOME", "{index}/home"),))
    reads = tmp_path / "reads.fq"
    reads.write_text("")
    run = map_reads(peer, index=tmp_path / "index", reads=[reads], count=1, output=tmp_path / "o", threads=1, repeats=2)
    assert len(run.walls_s) == 2
    assert (tmp_path / "runs").read_text() == f"{tmp_path}/index/home\n" * 3


@pytest.mark.parametrize(
    ("says", "version"),
    [
        ("2.24-r1122", "2.24-r1122"),
        ("Program: bwa (alignment)\nVersion: 0.7.17-r1188\nContact: x", "0.7.17-r1188"),
        ("/usr/bin/bowtie2-align-s version 2.5.0\n64-bit", "2.5.0"),
        ("lastal 1447", "1447"),
        ("genoseq, version 0.1.0", "0.1.0"),
    ],
)
def test_versions_are_read_from_what_tools_say(toy: Peer, tmp_path: Path, says: str, version: str) -> None:
    script(tmp_path / "bin", "toy", f"cat >&2 <<'END'\n{says}\nEND\n")
    assert version_of(toy) == version


def test_a_tool_without_a_version_or_not_installed_is_an_error(toy: Peer, tmp_path: Path) -> None:
    script(tmp_path / "bin", "toy", "echo hello\n")
    with pytest.raises(CommandError, match="no version"):
        version_of(toy)
    (tmp_path / "bin" / "toy").unlink()
    with pytest.raises(CommandError, match="toy is not installed"):
        version_of(toy)
