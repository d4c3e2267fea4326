"""Input that is damaged, odd or extreme: a clear error or a correct result, no record lost or invented, no half output."""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import random
import re
import resource
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pysam
import pytest
from runs import Runner, Start, opposite, record, rights_can_be_given_up, run_without_rights, wait_until

from genoseq.align.index import Index
from genoseq.align.registry import Registry

MAX_LENGTH = 4096
REVERSE, UNMAPPED = 16, 4


def bam_bytes(tmp_path: Path) -> bytes:
    path = tmp_path / "made.bam"
    with pysam.AlignmentFile(str(path), "wb", header={"SQ": [{"SN": "a", "LN": 9}]}):
        pass
    content = path.read_bytes()
    path.unlink()
    return content


GOOD = record("a", "ACGT" * 20) + record("b", "GGTA" * 20)
PACKED = gzip.compress(GOOD.encode() * 2000)
NOISE = random.Random(3)
LONG_PACKED = gzip.compress("".join(record(f"r{i}", "".join(NOISE.choices("ACGT", k=150))) for i in range(1500)).encode())
WRONG_READS = {
    "truncated gzip": (PACKED[:-20], "the gzip data are truncated; the last complete record is "),
    "damaged gzip": (PACKED[:40] + b"\0\0\0\0" + PACKED[44:], "the gzip data are damaged"),
    "gzip damaged behind the middle": (
        LONG_PACKED[:-30_000] + b"\xff" * 20_000 + LONG_PACKED[-10_000:], "; the last complete record is ",
    ),
    "random bytes": (random.Random(2).randbytes(5000), "; give a file of sequences, or remove what stands before"),
    "HTML": (b"<!DOCTYPE html>\n<html></html>\n", "is a web page (HTML or XML), expected FASTA or FASTQ"),
    "quality too short": (record("q", "ACGT", "III").encode(), "record 1 (line 4): quality has 3 characters, sequence has 4 (the file ends here); it may be"),
    "quality too long": ((GOOD + record("q", "ACGT", "IIIII")).encode(), "has 5 characters, sequence has 4; the file is damaged at this record: copy"),
    "ends inside a record": ((GOOD + "@c\nACGT\n").encode(), "record 3 (line 10): the file ends inside this record"),
    "protein": (b">p\nMKVLAAEF\n", "record 1 (line 2): illegal character 'L'"),
    "bzip2": (b"BZh91AY&SY", "is compressed with bzip2"),
    "name too long": ((GOOD + record("n" * 255, "ACGT")).encode(), "record 3: the name 'nnnnn"),
    "name too long for one that keeps its suffix": ((GOOD + record("n" * 253 + "/1", "ACGT")).encode(), "record 3: the name 'nnnnn"),
    "name with @": (record("@a", "ACGT").encode(), "record 1: the name '@a' starts with '@'"),
    "name not ASCII": ("@caf\u00e9\nACGT\n+\nIIII\n".encode(), "record 1 (line 1): illegal character"),
}  # fmt: skip


@pytest.mark.parametrize("kind", WRONG_READS)
@pytest.mark.parametrize("ending", ["sam", "bam"])
def test_wrong_reads_name_the_file_and_leave_no_output(
    genoseq: Runner, index: Path, write: Callable[[str, bytes], Path], tmp_path: Path, kind: str, ending: str
) -> None:
    content, message = WRONG_READS[kind]
    path = write("reads.fq", content)
    outputs = ["--sort", "-o", tmp_path / f"o.{ending}", "--summary", tmp_path / "s", "--unmapped-out", tmp_path / "u"]
    done = genoseq("align", path, "-x", index, *outputs)
    assert (done.status, done.out) == (1, b"")
    assert f"genoseq: error: {path}" in done.err
    assert message in done.err
    assert os.listdir(tmp_path) == ["reads.fq"]


def test_a_bam_file_as_reads_says_how_to_convert_it(
    genoseq: Runner, index: Path, write: Callable[[str, bytes], Path], tmp_path: Path
) -> None:
    done = genoseq("align", write("reads.fq", bam_bytes(tmp_path)), "-x", index)
    assert (done.status, "is a BAM file, expected FASTA or FASTQ; convert it (samtools fastq)" in done.err) == (1, True)


@pytest.mark.parametrize("content", [b"", gzip.compress(b"")])
@pytest.mark.parametrize("ending", ["sam", "bam", "cram"])
def test_no_reads_give_a_header_a_warning_and_success(
    genoseq: Runner, index: Path, write: Callable[[str, bytes], Path], tmp_path: Path, content: bytes, ending: str
) -> None:
    path = write("reads.fq", content)
    for extra in ([], ["--sort"]):
        out = tmp_path / f"o.{ending}"
        done = genoseq("align", path, "-x", index, "-o", out, *extra)
        assert done.status == 0
        assert f"genoseq: warning: {path}: no reads" in done.err
        text = pysam.samtools.view("-h", "--no-PG", str(out))
        assert [line[:3] for line in text.splitlines()] == ["@HD", "@SQ", "@PG"]
    both = genoseq("align", path, write("mates.fq", content), "-x", index)
    assert (both.status, both.records) == (0, [])


@pytest.mark.parametrize("given", ["missing.fq", "."])
def test_reads_that_are_no_file(
    genoseq: Runner, sample: Path, reads: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: str
) -> None:
    monkeypatch.chdir(tmp_path)
    for arguments in ([given], [reads, given], [given, reads]):
        done = genoseq("align", *arguments, "-x", sample / "phix174.fa", "-o", "o.sam")
        assert done.status == 1
        assert done.err.startswith(f"genoseq: error: {given}: ")  # before any index is built
        assert os.listdir(tmp_path) == ["reads.fq"]


def test_odd_reads_are_all_written_once(
    genoseq: Runner, index: Path, phix: str, write: Callable[[str, bytes], Path], tmp_path: Path
) -> None:
    given = {
        "only_n": "N" * 150,
        "longer_than_the_reference": phix + phix[:200],
        "longest": phix[:MAX_LENGTH],
        "too_long": phix[: MAX_LENGTH + 1],
        "short": phix[100:120],
        "one": "A",
        "empty": "",
        "uracil": phix[300:450].replace("T", "U"),
        "lower": phix[500:650].lower(),
        "iupac": phix[700:770] + "RYSWKMBDHV" + phix[780:850],
        "old_marks": phix[900:960] + "X." + phix[962:1050],
        "n" * 254: phix[1100:1250],
        "twice": phix[1200:1350],
    }
    text = "".join(record(name, sequence) for name, sequence in given.items())
    path = write("odd.fq", (text + record("twice and\ta comment", phix[1300:1450])).encode())
    for ending in ("sam", "bam", "cram"):
        out = tmp_path / f"o.{ending}"
        done = genoseq("align", path, "-x", index, "-o", out)
        assert done.status == 0
        assert "2 reads longer than 4096 bp: written unmapped" in done.err
        found = [line.split("\t") for line in pysam.samtools.view(str(out)).splitlines()]
        assert [fields[0] for fields in found] == [*given, "twice"]
        by_name = {fields[0]: fields for fields in found[:-1]}
        for name in ("only_n", "longer_than_the_reference", "too_long", "one", "empty"):
            assert by_name[name][1:9] == ["4", "*", "0", "0", "*", "*", "0", "0"]
            assert by_name[name][9] == (given[name] or "*")
        places = {"longest": 1, "uracil": 301, "lower": 501, "iupac": 701, "old_marks": 901, "n" * 254: 1101, "twice": 1201}
        assert {name: int(by_name[name][3]) for name in places} == places
        assert by_name["uracil"][9] == phix[300:450]  # as every SAM, BAM and CRAM can hold it
        assert by_name["old_marks"][9][58:64] == phix[958:960] + "NN" + phix[962:964]
        assert by_name["iupac"][9] == given["iupac"]
        assert {"NM:i:0", "MD:Z:150"} <= set(by_name["uracil"])
        assert found[-1][3] == "1301"
        assert {len(fields[9]) == len(fields[10]) for fields in found} == {True}


def test_a_uracil_read_of_the_other_strand(genoseq: Runner, index: Path, phix: str, write: Callable[[str, bytes], Path]) -> None:
    rna = opposite(phix[300:400]).replace("T", "U")
    (fields,) = genoseq("align", write("r.fa", f">r\n{rna}\n".encode()), "-x", index).records
    assert (int(fields[1]) & REVERSE, fields[3], fields[9], fields[10]) == (REVERSE, "301", phix[300:400], "*")


def test_crlf_gives_what_lf_gives(genoseq: Runner, index: Path, reads: Path, write: Callable[[str, bytes], Path]) -> None:
    crlf = write("crlf.fq", reads.read_bytes().replace(b"\n", b"\r\n"))
    assert genoseq("align", crlf, "-x", index).records == genoseq("align", reads, "-x", index).records


def test_a_crlf_reference_gives_what_an_lf_one_gives(
    genoseq: Runner, sample: Path, write: Callable[[str, bytes], Path], tmp_path: Path
) -> None:
    crlf = write("crlf.fa", (sample / "phix174.fa").read_bytes().replace(b"\n", b"\r\n"))
    for source, name in ((crlf, "a"), (sample / "phix174.fa", "b")):
        assert genoseq("index", source, "-o", tmp_path / name).status == 0
    assert Index.open(tmp_path / "a").md5 == Index.open(tmp_path / "b").md5


def test_pairs_of_unequal_count(genoseq: Runner, index: Path, pairs: tuple[Path, Path], tmp_path: Path) -> None:
    lines = pairs[1].read_text().splitlines(keepends=True)
    for path, kept in ((pairs[1], lines[:-4]), (tmp_path / "none.fq", [])):
        path.write_text("".join(kept))
        done = genoseq("align", pairs[0], path, "-x", index, "-o", tmp_path / "o.bam")
        assert done.status == 1
        assert f"{path}, record {len(kept) // 4 + 1}: ends after {len(kept) // 4} records" in done.err
        assert "filtered together" in done.err
        assert not (tmp_path / "o.bam").exists()


def test_an_interleaved_file_with_a_lonely_last_read(genoseq: Runner, index: Path, write: Callable[[str, bytes], Path]) -> None:
    path = write("p.fq", (record("a/1", "ACGT") + record("a/2", "ACGT") + record("b/1", "ACGT")).encode())
    done = genoseq("align", "-p", path, "-x", index)
    assert (done.status, f"{path}, record 3: the last read, 'b/1', has no mate" in done.err) == (1, True)


def test_mates_with_different_names(genoseq: Runner, index: Path, pairs: tuple[Path, Path]) -> None:
    pairs[1].write_text(pairs[1].read_text().replace("@p7/2", "@x7/2"))
    done = genoseq("align", *pairs, "-x", index)
    assert (done.status, done.records) == (1, [])
    assert f"{pairs[0]}, record 8: the mates are named 'p7/1' and 'x7/2' (in {pairs[1]})" in done.err


def test_one_mate_file_fasta_and_one_fastq(
    genoseq: Runner, index: Path, pairs: tuple[Path, Path], write: Callable[[str, bytes], Path]
) -> None:
    lines = pairs[0].read_text().splitlines()
    fasta = write("m.fa", "".join(f">{lines[i][1:]}\n{lines[i + 1]}\n" for i in range(0, len(lines), 4)).encode())
    done = genoseq("align", fasta, pairs[1], "-x", index)
    assert done.status == 1
    assert f"the files of a pair must have one format: {fasta} is FASTA, {pairs[1]} is FASTQ" in done.err


def test_one_file_given_twice_and_standard_input_twice(genoseq: Runner, index: Path, pairs: tuple[Path, Path]) -> None:
    for path in (pairs[0], "-"):
        done = genoseq("align", path, path, "-x", index)
        assert (done.status, "both files of the pair are" in done.err) == (2, True)


def test_a_long_name_in_a_mate_file_is_found_in_that_file(
    genoseq: Runner, index: Path, write: Callable[[str, bytes], Path]
) -> None:
    long = "n" * 255
    paths = [
        write(f"m{m}.fq", (record("a", "ACGT") + record(f"{long}/{m}", "ACGT")).encode()) for m in (1, 2)
    ]  # fmt: skip
    done = genoseq("align", *paths, "-x", index)
    assert (done.status, f"{paths[0]}, record 2: the name 'nnn" in done.err) == (1, True)
    assert "has 255 characters; SAM allows 254" in done.err
    fits = [write(f"f{m}.fq", record(f"{long[:-1]}/{m}", "ACGT").encode()) for m in (1, 2)]
    assert genoseq("align", *fits, "-x", index).status == 0


# ---- references


WRONG_REFERENCES = {
    "empty": (b"", "holds no sequence; give a FASTA file with at least one contig"),
    "empty gzip": (gzip.compress(b""), "holds no sequence"),
    "duplicate names": (b">a x\nACGT\n>a y\nACGG\n", "record 2: the contig name 'a' stands twice (first in record 1)"),
    "only N": (b">n\n" + b"N" * 60 + b"\n", "holds no A, C, G or T, only unknown bases"),
    "no bases": (b">a\n>b\nACGT\n", "record 1: contig 'a' has no bases; remove it from the file"),
    "FASTQ": (GOOD.encode(), "is FASTQ, expected a genome in FASTA"),
    "not for SAM": (b">a,b\nACGT\n", "record 1: the contig name 'a,b' has a character that SAM does not allow"),
    "truncated gzip": (gzip.compress(b">a\n" + b"ACGT" * 9999)[:-9], "the gzip data are truncated"),
    "HTML": (b"<html>", "is a web page"),
}


@pytest.mark.parametrize("kind", WRONG_REFERENCES)
def test_wrong_references_leave_no_index(
    genoseq: Runner, write: Callable[[str, bytes], Path], tmp_path: Path, own_home: Path, kind: str
) -> None:
    content, message = WRONG_REFERENCES[kind]
    path = write("ref.fa", content)
    done = genoseq("index", path, "-o", tmp_path / "i")
    assert (done.status, done.out) == (1, b"")
    assert f"genoseq: error: {path}" in done.err and message in done.err
    assert os.listdir(tmp_path) == ["ref.fa"]
    assert list(own_home.iterdir()) == []


def test_a_reference_of_5_bp_works_and_no_read_maps(
    genoseq: Runner, write: Callable[[str, bytes], Path], reads: Path, tmp_path: Path
) -> None:
    assert genoseq("index", write("five.fa", b">five\nACGTA\n"), "-o", tmp_path / "i").status == 0
    done = genoseq("align", reads, "-x", tmp_path / "i")
    assert done.status == 0
    assert len(done.records) == 40
    assert {int(fields[1]) for fields in done.records} == {UNMAPPED}


def test_a_hundred_thousand_contigs(genoseq: Runner, tmp_path: Path) -> None:
    draw = random.Random(8)
    contigs = ["".join(draw.choices("ACGT", k=300)) for _ in range(100_000)]
    reference, reads = tmp_path / "many.fa", tmp_path / "many.fq"
    reference.write_text("".join(f">c{i}\n{sequence}\n" for i, sequence in enumerate(contigs)))
    chosen = [(draw.randrange(len(contigs)), draw.randrange(150)) for _ in range(100)]
    reads.write_text("".join(record(f"c{c}_{start}", contigs[c][start : start + 150]) for c, start in chosen))
    began = time.monotonic()
    assert genoseq("index", reference, "-o", tmp_path / "i").status == 0
    done = genoseq("align", reads, "-x", tmp_path / "i", "-o", tmp_path / "o.bam", "--sort", "--coverage", tmp_path / "c.png")
    assert done.status == 0
    assert time.monotonic() - began < 60
    found = {line.split("\t")[0]: line.split("\t")[2:4] for line in pysam.samtools.view(str(tmp_path / "o.bam")).splitlines()}
    assert found == {f"c{c}_{start}": [f"c{c}", str(start + 1)] for c, start in chosen}


def test_a_plasmid_written_twice_ties_everywhere(
    genoseq: Runner, phix: str, write: Callable[[str, bytes], Path], tmp_path: Path
) -> None:
    reference = write("double.fa", f">d\n{phix}{phix}\n".encode())
    reads = write("r.fq", "".join(record(f"r{i}", (phix + phix)[i : i + 150]) for i in range(0, len(phix), 40)).encode())
    records = genoseq("align", reads, "-x", reference).records
    assert len(records) == len(range(0, len(phix), 40))
    for fields in records:
        start = int(fields[0][1:])
        assert int(fields[3]) in (start + 1, start + 1 + len(phix))
        if start <= len(phix) - 150:
            assert int(fields[4]) <= 3
    assert {int(fields[1]) for fields in records} == {0}


# ---- indexes that cannot be used


@pytest.fixture
def broken(index: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "broken.idx"
    shutil.copytree(index, folder)
    return folder


def change_manifest(folder: Path, **changes: object) -> None:
    path = folder / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda f: change_manifest(f, version=2), "index of format version 2, this genoseq reads version"),
        (lambda f: change_manifest(f, encoder="0" * 64), "made with window encoder 000000000000, this genoseq has"),
        (lambda f: change_manifest(f, format="other"), "is not that of a genoseq.align-index"),
        (lambda f: (f / "manifest.json").write_text("{"), "manifest.json cannot be read"),
        (lambda f: (f / "manifest.json").write_text('{"format": "genoseq.align-index", "version": 1}'), "broken.idx"),
        (lambda f: (f / "codes.faiss").unlink(), "codes.faiss is missing"),
        (lambda f: os.truncate(f / "genome.npy", 100), "genome.npy has 100 bytes, expected"),
        (lambda f: (f / "codes.faiss").write_bytes(bytes((f / "codes.faiss").stat().st_size)), "broken.idx"),
    ],
)
def test_an_index_that_does_not_fit_is_refused(
    genoseq: Runner, broken: Path, reads: Path, tmp_path: Path, spoil: Callable[[Path], object], message: str
) -> None:
    spoil(broken)
    done = genoseq("align", reads, "-x", broken, "-o", tmp_path / "o.sam")
    assert done.status == 1
    assert message in done.err and "internal error" not in done.err
    assert "build it again with `genoseq index`" in done.err
    assert not (tmp_path / "o.sam").exists()


def test_a_folder_that_is_no_index(genoseq: Runner, reads: Path, tmp_path: Path) -> None:
    done = genoseq("align", reads, "-x", tmp_path)
    assert (done.status, f"{tmp_path}: this folder is no genoseq index; make one with" in done.err) == (1, True)


# ---- outputs that cannot be


def test_an_output_that_exists_is_replaced_only_on_success(
    genoseq: Runner, index: Path, reads: Path, write: Callable[[str, bytes], Path], tmp_path: Path
) -> None:
    out = write("o.sam", b"before\n")
    out.chmod(0o640)
    bad = write("bad.fq", reads.read_bytes() + b"@cut\nACGT\n")
    assert genoseq("align", bad, "-x", index, "-o", out).status == 1
    assert out.read_bytes() == b"before\n"
    assert genoseq("align", reads, "-x", index, "-o", out).status == 0
    assert len(out.read_text().splitlines()) == 43
    assert out.stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize("option", ["-o", "--summary", "--unmapped-out", "--coverage"])
def test_outputs_at_impossible_places(genoseq: Runner, index: Path, reads: Path, tmp_path: Path, option: str) -> None:
    name = "x.png" if option == "--coverage" else "x.sam"
    (tmp_path / name).mkdir()
    for target, message in (
        (tmp_path / name, "is a folder, expected a file to write"),
        (tmp_path / "no" / name, f"the folder {tmp_path / 'no'} does not exist"),
        (reads / name, "is not a folder"),
    ):
        done = genoseq("align", reads, "-x", index, option, target)
        assert (done.status, done.out) == (1, b"")
        assert done.err.startswith(f"genoseq: error: {target}: ") and message in done.err
    assert sorted(os.listdir(tmp_path)) == sorted(["reads.fq", name])


@pytest.mark.skipif(not Path("/sys/kernel").is_dir(), reason="no /sys")
@pytest.mark.parametrize("name", ["a.sam", "a.bam"])
@pytest.mark.parametrize("extra", [[], ["--sort"]])
def test_a_place_where_nobody_may_write_is_not_called_full(
    genoseq: Runner, index: Path, reads: Path, name: str, extra: list[str]
) -> None:
    done = genoseq("align", reads, "-x", index, "-o", f"/sys/{name}", *extra)
    assert done.status == 1
    assert done.err.startswith(f"genoseq: error: /sys/{name}: ") and "permi" in done.err
    assert "space" not in done.err and ".part" not in done.err


def test_reads_that_are_not_there_say_what_to_check(genoseq: Runner, index: Path) -> None:
    done = genoseq("align", "missing.fq", "-x", index)
    assert done.err == "genoseq: error: missing.fq: no such file or folder; check the name, and the folder you are in\n"


def test_an_output_that_is_an_input_is_refused(
    genoseq: Runner, sample: Path, pairs: tuple[Path, Path], tmp_path: Path, own_home: Path
) -> None:
    reference = tmp_path / "ref.fa"
    shutil.copy(sample / "phix174.fa", reference)
    genoseq("index", reference, "-o", tmp_path / "i")
    hard, soft = tmp_path / "hard.sam", tmp_path / "soft.sam"
    os.link(pairs[1], hard)
    soft.symlink_to(reference)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    for option, target, choice in (
        ("-o", pairs[0], reference),
        ("--unmapped-out", pairs[1], reference),
        ("--summary", pairs[0], tmp_path / "i"),
        ("-o", hard, tmp_path / "i"),
        ("-o", soft, reference),
        ("-o", reference, reference),
        ("--summary", tmp_path / "i" / "contigs.tsv", tmp_path / "i"),
    ):
        done = genoseq("align", *pairs, "-x", choice, "-O", "sam", option, target)
        assert (done.status, done.out) == (2, b"")
        assert f"{target} is an input: writing it would destroy it" in done.err
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_standard_input_that_is_the_output_is_refused(spawn: Runner, index: Path, reads: Path) -> None:
    before = reads.read_bytes()
    with open(reads, "rb") as file:
        done = spawn("align", "-", "-x", index, "-O", "sam", "-o", reads, stdin=file)
    assert (done.status, "is an input" in done.err) == (2, True)
    assert reads.read_bytes() == before


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
@pytest.mark.parametrize("form", [["-O", "sam"], ["-O", "bam"], ["-O", "bam", "--sort"], ["-O", "cram"]])
def test_a_full_device_behind_standard_output(spawn: Runner, index: Path, sample: Path, form: list[str]) -> None:
    with open("/dev/full", "wb") as full:
        done = spawn("align", sample / "portiera_R1.fastq.gz", "-x", index, *form, stdout=full)
    assert done.status == 1
    assert done.err.splitlines()[-1].endswith("no space left on the device; free some space or choose another place")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[int], Path]]:
    """Mounts a file system of so many kB; skips where that is not allowed."""
    place = tmp_path / "disk"
    place.mkdir()

    def mount(size: int) -> Path:
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}k", "tmpfs", place], capture_output=True)
        if done.returncode:
            pytest.skip("cannot mount a file system here")
        return place

    yield mount
    if os.path.ismount(place):
        subprocess.run(["umount", place], check=True)


@pytest.mark.parametrize("kind", [["o.sam"], ["o.bam"], ["o.bam", "--sort"], ["o.cram", "--sort"], ["o.sam", "--sort"]])
def test_a_full_disk_while_mapping(
    genoseq: Runner, index: Path, sample: Path, small_disk: Callable[[int], Path], kind: list[str]
) -> None:
    disk = small_disk(24)
    done = genoseq("align", sample / "portiera_R1.fastq.gz", "-x", index, "-o", disk / kind[0], *kind[1:])
    assert done.status == 1
    assert done.err.splitlines()[-1] == (
        f"genoseq: error: {disk / kind[0]}: no space left on the device; free some space or choose another place"
    )
    assert os.listdir(disk) == []


@pytest.mark.parametrize("option", ["--summary", "--unmapped-out", "--coverage"])
def test_a_full_disk_under_the_other_outputs(
    genoseq: Runner, index: Path, sample: Path, small_disk: Callable[[int], Path], tmp_path: Path, option: str
) -> None:
    disk = small_disk(8)
    (disk / "filler").write_bytes(bytes(8192 - (4096 if option == "--coverage" else 0)))
    target = disk / "x.png"
    done = genoseq("align", sample / "portiera_R1.fastq.gz", "-x", index, "-o", tmp_path / "o.sam", option, target)
    assert (done.status, f"{target}: no space left on the device" in done.err) == (1, True)
    assert os.listdir(disk) == ["filler"]


def test_a_full_disk_while_indexing(genoseq: Runner, sample: Path, small_disk: Callable[[int], Path], own_home: Path) -> None:
    for size in (16, 200, 700, 4000):
        disk = small_disk(size)
        done = genoseq("index", sample / "portiera.fna.gz", "-o", disk / "i")
        assert done.status == 1
        assert f"{disk / 'i'}: no space left on the device" in done.err
        assert os.listdir(disk) == []
        subprocess.run(["umount", disk], check=True)
    assert list(own_home.iterdir()) == []


@pytest.fixture
def public(index: Path, reads: Path, sample: Path) -> Iterator[Path]:
    """A folder that everybody can read and nobody can write, with an index, reads and a reference."""
    folder = Path(tempfile.mkdtemp())
    shutil.copytree(index, folder / "idx")
    shutil.copy(reads, folder / "reads.fq")
    shutil.copy(sample / "phix174.fa", folder / "ref.fa")
    for path in (folder, folder / "idx"):
        path.chmod(0o555)
    if not rights_can_be_given_up(folder):
        pytest.skip("root may write anywhere, and cannot give that up here")
    yield folder
    folder.chmod(0o755)
    (folder / "idx").chmod(0o755)
    shutil.rmtree(folder)


@pytest.mark.slow
def test_folders_that_may_only_be_read(public: Path) -> None:
    done = run_without_rights("align", public / "reads.fq", "-x", public / "idx", "-o", public / "o.sam", HOME="/proc/nowhere")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        f"genoseq: error: {public}/o.sam: no permission to write to {public}; change that or choose another place\n"
    )
    built = run_without_rights("index", public / "ref.fa", "-o", public / "i", HOME="/proc/nowhere")
    assert (built.returncode, f"no permission to write to {public}" in built.stderr) == (1, True)
    default = run_without_rights("index", public / "ref.fa", HOME="/proc/nowhere")
    assert (default.returncode, "give -o FOLDER, or set GENOSEQ_HOME" in default.stderr) == (1, True)
    cached = run_without_rights("align", public / "reads.fq", "-x", public / "ref.fa", HOME="/proc/nowhere")
    assert (cached.returncode, "or set GENOSEQ_CACHE to a folder that can be written" in cached.stderr) == (1, True)
    worked = run_without_rights("align", public / "reads.fq", "-x", public / "idx", HOME="/proc/nowhere")
    assert worked.returncode == 0
    assert "compiling for this machine, in every run anew" in worked.stderr
    assert len(worked.stdout.splitlines()) == 43
    assert sorted(os.listdir(public)) == ["idx", "reads.fq", "ref.fa"]


# ---- killed


def test_killed_while_indexing(process: Start, genoseq: Runner, sample: Path, tmp_path: Path, own_home: Path) -> None:
    fifo = tmp_path / "ref.fa"
    os.mkfifo(fifo)
    child = process("index", fifo, "-o", tmp_path / "i")
    with open(fifo, "w") as pipe:
        pipe.write(">a\nACGT\n")
        pipe.flush()
        wait_until(lambda: list(tmp_path.glob(".i.*")))
        child.kill()
        assert child.wait() == -signal.SIGKILL
    assert [name for name in os.listdir(tmp_path) if not name.startswith(".")] == ["ref.fa"]
    assert Registry.load() == Registry({}, None)
    assert genoseq("index", sample / "phix174.fa", "-o", tmp_path / "i").status == 0
    assert Index.open(tmp_path / "i").bases == 5386


@pytest.mark.parametrize("ending", ["sam", "bam"])
def test_killed_while_mapping(
    process: Start, genoseq: Runner, index: Path, reads: Path, tmp_path: Path, phix: str, ending: str
) -> None:
    fifo, out = tmp_path / "fifo.fq", tmp_path / f"o.{ending}"
    os.mkfifo(fifo)
    child = process("align", fifo, "-x", index, "-o", out, "--sort")
    with open(fifo, "w") as pipe:
        pipe.write(record("a", phix[:100]))
        pipe.flush()
        wait_until(lambda: list(tmp_path.glob(".*.sorting")))
        (left,) = tmp_path.glob(".*.sorting")
        assert re.fullmatch(rf"\.o\.{ending}\.{child.pid}-[0-9a-f]{{8}}\.sorting", left.name)  # as docs/formats.md says
        child.kill()
        assert child.wait() == -signal.SIGKILL
    time.sleep(1.5)  # what the encoder could still do, it has done
    assert sorted(name for name in os.listdir(tmp_path) if not name.startswith(".")) == ["fifo.fq", "reads.fq"]
    assert genoseq("align", reads, "-x", index, "-o", out).status == 0
    assert len(pysam.samtools.view(str(out)).splitlines()) == 40


def test_a_killed_run_ends_no_stream_as_if_it_were_whole(process: Start, index: Path, tmp_path: Path, phix: str) -> None:
    fifo = tmp_path / "fifo.fq"
    os.mkfifo(fifo)
    child = process("align", fifo, "-x", index, "-O", "bam")
    hold = threading.Event()

    def feed() -> None:
        with contextlib.suppress(BrokenPipeError), open(fifo, "w") as pipe:
            pipe.write("".join(record(f"a{i}", phix[i % 5000 : i % 5000 + 100]) for i in range(60_000)))
            pipe.flush()
            hold.wait(100)

    feeder = threading.Thread(target=feed)
    feeder.start()
    assert child.stdout.read(100)
    child.kill()
    rest = child.stdout.read()
    hold.set()
    feeder.join()
    end_of_bam = bytes.fromhex("1f8b08040000000000ff0600424302001b0003000000000000000000")
    assert not rest.endswith(end_of_bam)


def test_a_limit_on_file_size_is_told(process: Start, index: Path, sample: Path, tmp_path: Path) -> None:
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))

    for name in ("o.sam", "o.bam"):
        child = process("align", sample / "portiera_R1.fastq.gz", "-x", index, "-o", tmp_path / name, preexec_fn=limit)
        _, said = child.communicate(timeout=100)
        assert child.returncode == 1
        assert name in said.decode() and "internal error" not in said.decode()
        assert os.listdir(tmp_path) == []
