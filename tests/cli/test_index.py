"""`genoseq index`: every option shows its effect, and what is registered can be used by name."""

from __future__ import annotations

import gzip
import json
import os
import random
import shutil
import subprocess
from pathlib import Path

import pytest
from runs import Runner, Start, wait_until

from genoseq.align.index import Index
from genoseq.align.registry import Registry


def test_a_reference_is_registered_by_its_file_name_and_the_first_is_the_default(
    genoseq: Runner, sample: Path, own_home: Path
) -> None:
    done = genoseq("index", sample / "phix174.fa")
    assert done.status == 0
    name, folder, bases, contigs, *_ = done.out.decode().split("\t")
    assert (name, folder, bases, contigs) == ("phix174", str(own_home / "indexes" / "phix174"), "5386 bp", "1 contig")
    assert Index.open(folder).names == ["NC_001422.1"]
    assert genoseq("index", sample / "phix174.fa", "--name", "second").status == 0
    assert Registry.load() == Registry({"phix174": folder, "second": str(own_home / "indexes" / "second")}, default="phix174")


def test_output_names_the_folder(genoseq: Runner, sample: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert genoseq("index", sample / "phix174.fa", "-o", "here.idx").status == 0
    assert Index.open("here.idx").bases == 5386
    assert Registry.load().paths == {"phix174": str(tmp_path / "here.idx")}  # good from any folder
    assert os.listdir(tmp_path) == ["here.idx"]


@pytest.mark.parametrize("name", ["..", "a/b", "", "-x", ".hidden", "a b"])
def test_a_name_that_is_no_plain_word_is_refused(genoseq: Runner, sample: Path, own_home: Path, name: str) -> None:
    done = genoseq("index", sample / "phix174.fa", f"--name={name}")
    assert done.status == 2
    assert "use letters, digits" in done.err
    assert list(own_home.iterdir()) == []


@pytest.mark.parametrize(
    ("file", "name"), [("my genome.fna.gz", "my_genome"), (".fa", "reference"), ("a.b.fasta", "a.b"), ("x.txt", "x.txt")]
)
def test_names_come_from_file_names(genoseq: Runner, tmp_path: Path, phix: str, file: str, name: str) -> None:
    content = f">p\n{phix}\n".encode()
    (tmp_path / file).write_bytes(gzip.compress(content) if file.endswith(".gz") else content)
    assert genoseq("index", tmp_path / file).status == 0
    assert list(Registry.load().paths) == [name]


def test_k_and_density_reach_the_index(genoseq: Runner, sample: Path, tmp_path: Path) -> None:
    codes = {}
    for density in ("0.25", "1"):
        folder = tmp_path / f"d{density}"
        done = genoseq("index", sample / "phix174.fa", "-o", folder, "--k", 8, "--density", density)
        assert done.status == 0
        assert f"\tk 8\tdensity {density}\t" in done.out.decode()
        codes[density] = Index.open(folder).manifest["codes"]
        assert Index.open(folder).manifest["k"] == 8
    assert codes["0.25"] < codes["1"] / 2


@pytest.mark.parametrize(("option", "value"), [("--k", "99"), ("--density", "0"), ("--density", "1.5"), ("-t", "0")])
def test_values_out_of_range_are_usage_errors(genoseq: Runner, sample: Path, tmp_path: Path, option: str, value: str) -> None:
    done = genoseq("index", sample / "phix174.fa", "-o", tmp_path / "i", option, value)
    assert (done.status, os.listdir(tmp_path)) == (2, [])
    assert value.rstrip("0").rstrip(".") in done.err


def test_threads_change_nothing_in_the_index(genoseq: Runner, sample: Path, tmp_path: Path) -> None:
    for threads in (1, 3):
        assert genoseq("index", sample / "portiera.fna.gz", "-o", tmp_path / f"t{threads}", "-t", threads).status == 0
    one, three = ({p.name: p.read_bytes() for p in (tmp_path / f"t{n}").iterdir()} for n in (1, 3))
    assert one == three


def test_standard_input(spawn: Runner, sample: Path, tmp_path: Path) -> None:
    with open(sample / "portiera.fna.gz", "rb") as file:
        done = spawn("index", "-", "-o", tmp_path / "port.idx", stdin=file)
    assert done.status == 0
    assert done.out.startswith(b"port.idx\t")
    assert Index.open(tmp_path / "port.idx").bases == 358242
    refused = spawn("index", "-", stdin=subprocess.DEVNULL)
    assert (refused.status, "--name" in refused.err) == (2, True)


def test_list_shows_state_and_default_changes_the_mark(genoseq: Runner, sample: Path, own_home: Path) -> None:
    assert genoseq("index", "--list").lines == ["name\tdefault\tbases\tcontigs\tstate\tfolder"]
    for name in ("a", "b"):
        genoseq("index", sample / "phix174.fa", "--name", name)
    home = own_home / "indexes"
    assert genoseq("index", "--list").lines[1:] == [
        f"a\t*\t5386\t1\tready\t{home}/a", f"b\t\t5386\t1\tready\t{home}/b",
    ]  # fmt: skip
    changed = genoseq("index", "--default", "b")
    assert (changed.status, changed.out) == (0, b"")
    (home / "a" / "genome.npy").unlink()
    first, second = genoseq("index", "--list").lines[1:]
    assert first.startswith("a\t\t\t\tunusable: ") and "genome.npy is missing" in first
    assert second.startswith("b\t*\t5386")


def test_an_unknown_default_lists_the_names(genoseq: Runner, sample: Path) -> None:
    genoseq("index", sample / "phix174.fa")
    done = genoseq("index", "--default", "phix")
    assert done.status == 1
    assert done.err == "genoseq: error: no index is registered as 'phix'; registered: phix174\n"


@pytest.mark.parametrize("arguments", [[], ["--list", "ref.fa"], ["--default", "a", "ref.fa"], ["--remove", "a", "ref.fa"]])
def test_wrong_usage(genoseq: Runner, arguments: list[str]) -> None:
    done = genoseq("index", *arguments)
    assert (done.status, done.out) == (2, b"")


def test_the_log_goes_to_standard_error_and_quiet_silences_it(genoseq: Runner, sample: Path) -> None:
    said = genoseq("index", sample / "phix174.fa")
    assert "5386 bp in 1 contig;" in said.err
    assert len(said.lines) == 1
    assert genoseq("-q", "index", sample / "phix174.fa").err == ""


def test_a_name_taken_over_by_another_genome_is_told(genoseq: Runner, sample: Path, tmp_path: Path) -> None:
    for folder, source in (("one", "phix174.fa"), ("two", "phix174.fa"), ("three", "portiera.fna.gz")):
        done = genoseq("index", sample / source, "--name", "ref", "-o", tmp_path / folder)
        assert done.status == 0
        assert ("meant another genome before" in done.err) == (folder == "three")


def test_a_name_that_moves_to_another_folder_is_told(genoseq: Runner, sample: Path, tmp_path: Path) -> None:
    for folder, told in (("one", False), ("one", False), ("two", True)):
        done = genoseq("index", sample / "phix174.fa", "-o", tmp_path / folder)
        assert (done.status, "the name phix174 meant" in done.err) == (0, told)
    assert f"the name phix174 meant {tmp_path / 'one'} before and now means {tmp_path / 'two'}; --name gives" in done.err


def test_the_index_of_another_genome_that_is_replaced_is_told(genoseq: Runner, sample: Path, tmp_path: Path, own_home: Path) -> None:
    genoseq("index", sample / "phix174.fa", "--name", "ref")
    genoseq("index", sample / "phix174.fa", "--name", "ref", "-o", tmp_path / "elsewhere")
    folder = own_home / "indexes" / "ref"
    done = genoseq("index", sample / "portiera.fna.gz", "--name", "ref")  # the name is elsewhere, the folder is not
    assert f"{folder}: held the index of another genome (phix174.fa), which is replaced\n" in done.err
    assert f"the name ref meant another genome before (phix174.fa, in {tmp_path / 'elsewhere'})" in done.err
    again = genoseq("index", sample / "phix174.fa", "--name", "new", "-o", folder)
    assert "held the index of another genome (portiera.fna.gz), which is replaced; ref now means phix174.fa, too" in again.err
    assert "warning" not in genoseq("index", sample / "phix174.fa", "--name", "new", "-o", folder).err


def test_what_is_registered_and_what_the_default_is_are_told(
    genoseq: Runner, sample: Path, tmp_path: Path, own_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def last_line(name: str) -> str:
        return genoseq("index", sample / "phix174.fa", "--name", name).err.splitlines()[-1]

    assert last_line("a") == f"genoseq: registered as a in {own_home}, the default"
    monkeypatch.delenv("GENOSEQ_HOME")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert last_line("a") == "genoseq: registered as a, the default"
    assert last_line("b") == "genoseq: registered as b; the default is still a: `genoseq index --default b` changes that"
    assert genoseq("index", "--default", "b").err == "genoseq: the default is b\n"
    assert last_line("b") == "genoseq: registered as b, the default"


def test_a_default_whose_folder_is_gone_is_replaced_and_told(genoseq: Runner, sample: Path, tmp_path: Path, reads: Path) -> None:
    genoseq("index", sample / "phix174.fa", "--name", "old", "-o", tmp_path / "i")
    shutil.rmtree(tmp_path / "i")
    lost = genoseq("align", reads)
    assert (lost.status, "the index registered as 'old' (the default) is no longer there" in lost.err) == (1, True)
    done = genoseq("index", sample / "phix174.fa", "--name", "new")
    assert ", the default from now on: the index of old is no longer there" in done.err
    assert len(genoseq("align", reads).records) == 40


def test_remove_forgets_an_index_and_deletes_it_unless_it_lies_elsewhere(
    genoseq: Runner, sample: Path, tmp_path: Path, own_home: Path
) -> None:
    for name, *extra in (("a",), ("b", "-o", tmp_path / "i")):
        assert genoseq("index", sample / "phix174.fa", "--name", name, *extra).status == 0
    kept = genoseq("index", "--remove", "b")
    assert (kept.status, kept.out) == (0, b"")
    assert kept.err == f"genoseq: b is no longer registered; its folder {tmp_path / 'i'} stays\n"
    assert Index.open(tmp_path / "i").bases == 5386
    genoseq("index", sample / "phix174.fa", "--name", "c")
    deleted = genoseq("index", "--remove", "a", "--list")
    assert [line.split("\t")[:2] for line in deleted.lines[1:]] == [["c", ""]]
    assert deleted.err.splitlines() == [
        f"genoseq: a is no longer registered; {own_home / 'indexes' / 'a'} is deleted",
        "genoseq: it was the default; choose another with `genoseq index --default NAME`: c",
    ]
    assert os.listdir(own_home / "indexes") == ["c"]
    unknown = genoseq("index", "--remove", "a")
    assert (unknown.status, unknown.err) == (1, "genoseq: error: no index is registered as 'a'; registered: c\n")


def test_a_reference_that_looks_like_reads_is_told(genoseq: Runner, tmp_path: Path) -> None:
    draw = random.Random(6)
    for number, length, told in ((1000, 100, True), (999, 100, False), (1000, 1000, False)):
        contigs = ("".join(draw.choices("ACGT", k=length)) for _ in range(number))
        (tmp_path / "r.fa").write_text("".join(f">r{i}\n{sequence}\n" for i, sequence in enumerate(contigs)))
        done = genoseq("index", tmp_path / "r.fa", "-o", tmp_path / f"i{number}.{length}")
        assert (done.status, "is this a genome, or a file of reads?" in done.err) == (0, told)


def test_an_index_is_replaced_only_by_a_whole_one_and_nothing_else_in_its_folder_is_lost(
    genoseq: Runner, sample: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "i"
    assert genoseq("index", sample / "phix174.fa", "-o", folder).status == 0
    (tmp_path / "bad.fa").write_text(">a\nACGT\n>a\nACGT\n")
    assert genoseq("index", tmp_path / "bad.fa", "-o", folder).status == 1
    assert Index.open(folder).bases == 5386
    assert genoseq("index", sample / "portiera.fna.gz", "-o", folder).status == 0
    assert Index.open(folder).bases == 358242
    reference = folder / "genome.fa"
    reference.write_bytes((sample / "phix174.fa").read_bytes())
    done = genoseq("index", reference, "-o", folder)
    assert done.status == 1
    assert "'genome.fa' beside the index" in done.err
    assert reference.exists() and Index.open(folder).bases == 358242


@pytest.mark.parametrize("content", ['{"name": "a web app"}', "not even JSON", "[]"])
def test_a_folder_with_a_manifest_of_another_kind_is_not_replaced(
    genoseq: Runner, sample: Path, tmp_path: Path, content: str
) -> None:
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "manifest.json").write_text(content)
    done = genoseq("index", sample / "phix174.fa", "-o", tmp_path / "app")
    assert (done.status, "not that of an index" in done.err) == (1, True)
    assert (tmp_path / "app" / "manifest.json").read_text() == content


def test_indexes_built_at_once_are_all_registered(process: Start, sample) -> None:
    running = [process("index", sample / "phix174.fa", "--name", f"n{i}", "-t", 1) for i in range(4)]
    assert [child.wait(timeout=250) for child in running] == [0] * 4
    registry = Registry.load()
    assert sorted(registry.paths) == ["n0", "n1", "n2", "n3"]
    assert registry.default in registry.paths


def test_a_damaged_registry_is_told_and_stands_in_the_way_of_nothing_else(
    genoseq: Runner, sample: Path, tmp_path: Path, own_home: Path, reads: Path
) -> None:
    (own_home / "indexes.json").write_text("{")
    listed = genoseq("index", "--list")
    assert (listed.status, "delete it and register anew" in listed.err) == (1, True)
    assert genoseq("index", sample / "phix174.fa").status == 1
    assert not (own_home / "indexes").exists()
    built = genoseq("index", sample / "phix174.fa", "-o", tmp_path / "i")
    assert (built.status, "not registered by name" in built.err) == (0, True)
    assert genoseq("align", reads, "-x", tmp_path / "i").status == 0
    assert (own_home / "indexes.json").read_text() == "{"


def test_an_interrupted_run_leaves_nothing(process: Start, tmp_path, own_home) -> None:
    fifo = tmp_path / "ref.fa"
    os.mkfifo(fifo)
    child = process("index", fifo, "-o", tmp_path / "i")
    with open(fifo, "w") as pipe:  # opens when the command reads
        pipe.write(">a\nACGT\n")
        pipe.flush()
        wait_until(lambda: list(tmp_path.glob(".i.*.part")))
        child.send_signal(2)
        assert child.wait(timeout=60) == 130
    assert os.listdir(tmp_path) == ["ref.fa"]
    assert list(own_home.iterdir()) == []


def test_the_manifest_names_the_reference(genoseq: Runner, sample: Path, tmp_path: Path) -> None:
    genoseq("index", sample / "phix174.fa", "-o", tmp_path / "i")
    assert json.loads((tmp_path / "i" / "manifest.json").read_text())["reference"] == "phix174.fa"
    assert Index.open(tmp_path / "i").reference == "phix174.fa"


def test_another_encoder_goes_with_the_index(genoseq: Runner, sample: Path, tmp_path: Path, reads: Path) -> None:
    folder = tmp_path / "random.idx"
    assert genoseq("index", sample / "phix174.fa", "-o", folder, "--encoder", "random").status == 0
    shipped = tmp_path / "shipped.idx"
    assert genoseq("index", sample / "phix174.fa", "-o", shipped).status == 0
    digests = {path: json.loads((path / "manifest.json").read_text())["encoder"] for path in (folder, shipped)}
    assert digests[folder] != digests[shipped]
    assert len(genoseq("align", reads, "-x", folder).records) == 40
    refused = genoseq("index", sample / "phix174.fa", "-o", tmp_path / "x", "--encoder", tmp_path / "none")
    assert (refused.status, f"{tmp_path / 'none'}" in refused.err) == (1, True)
    assert not (tmp_path / "x").exists()
