"""`genoseq align`: every option shows its effect, what goes where, and how the command ends."""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import pty
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pysam
import pytest
from runs import Runner, Start, fastq, opposite, wait_until

from genoseq.align import output as output_module
from genoseq.align.index import Index
from genoseq.align.presets import PRESETS
from genoseq.align.registry import Registry
from genoseq.seqs.fastx import read_fastx

GOLDEN = Path(__file__).parent / "golden"
SECONDARY = 256


def fields(path: Path) -> list[list[str]]:
    """Fields of the SAM records of a SAM, BAM or CRAM file."""
    text = pysam.samtools.view(str(path))
    return [line.split("\t") for line in text.splitlines()]


def header(path: Path) -> dict[str, Any]:
    with pysam.AlignmentFile(str(path), check_sq=False) as opened:
        return opened.header.to_dict()


def stable(record: list[str]) -> str:
    """A record without what may change when scores are tuned: MAPQ, AS, XS, MQ."""
    tags = [tag for tag in record[11:] if tag[:2] not in ("AS", "XS", "MQ")]
    return "\t".join([*record[:4], "*", *record[5:11], *tags])


def compare_with_golden(lines: list[str], name: str) -> None:
    """Hold lines against a stored file; GENOSEQ_UPDATE_GOLDEN=1 stores them instead."""
    path = GOLDEN / name
    text = "".join(f"{line}\n" for line in lines)
    if os.environ.get("GENOSEQ_UPDATE_GOLDEN"):
        path.write_text(text)
    assert text == path.read_text()


def test_single_reads_as_stored(genoseq: Runner, index: Path, tmp_path: Path, phix: str) -> None:
    made = {
        "exact": phix[500:600],
        "reverse": opposite(phix[700:800]),
        "substitution": phix[1000:1050] + swapped(phix[1050]) + phix[1051:1120],
        "deletion": phix[2000:2060] + phix[2063:2130],
        "insertion": phix[3000:3060] + "".join(map(swapped, phix[3060:3063])) + phix[3060:3130],
        "nowhere": "AC" * 40,
        "empty": "",
    }
    path = tmp_path / "made.fq"
    path.write_text("".join(f"@{name} of phiX\n{seq}\n+\n{'F' * len(seq)}\n" for name, seq in made.items()))
    done = genoseq("align", path, "-x", index)
    assert done.status == 0
    assert [line for line in done.lines if line.startswith("@")][:2] == [
        "@HD\tVN:1.6\tSO:unsorted\tGO:query", "@SQ\tSN:NC_001422.1\tLN:5386\tM5:3332ed720ac7eaa9b3655c06f6b9e196",
    ]  # fmt: skip
    compare_with_golden([stable(record) for record in done.records], "singles.sam")


def test_pairs_as_stored(genoseq: Runner, index: Path, pairs: tuple[Path, Path]) -> None:
    done = genoseq("align", *pairs, "-x", index)
    compare_with_golden([stable(record) for record in done.records[:20]], "pairs.sam")


def swapped(base: str) -> str:
    return {"A": "C", "C": "G", "G": "T", "T": "A"}[base]


def test_only_data_on_standard_output_and_the_log_on_standard_error(genoseq: Runner, index: Path, reads: Path) -> None:
    done = genoseq("align", reads, "-x", index)
    assert [line[:3] for line in done.lines[:3]] == ["@HD", "@SQ", "@PG"]
    assert [record[0] for record in done.records] == [f"r{i}" for i in range(40)]
    assert f"CL:genoseq align {reads} -x {index}" in done.lines[2]
    assert "40 reads, 40 mapped (100.00 %)" in done.err
    quiet = genoseq("-q", "align", reads, "-x", index)
    assert (quiet.err, quiet.records) == ("", done.records)


def test_reads_from_standard_input(spawn: Runner, index: Path, reads: Path) -> None:
    with open(reads, "rb") as file:
        done = spawn("align", "-", "-x", index, stdin=file)
    assert (done.status, len(done.records)) == (0, 40)


@pytest.mark.parametrize("kind", ["sam", "bam", "cram"])
@pytest.mark.parametrize("ordered", [False, True])
def test_formats_hold_the_same_records(
    genoseq: Runner, index: Path, reads: Path, tmp_path: Path, kind: str, ordered: bool
) -> None:
    plain = genoseq("align", reads, "-x", index).records
    path = tmp_path / f"out.{kind}"
    assert genoseq("align", reads, "-x", index, "-o", path, *["--sort"] * ordered).out == b""
    expected = sorted(plain, key=lambda record: int(record[3])) if ordered else plain
    assert [sorted(record) for record in fields(path)] == [sorted(record) for record in expected]
    with pysam.AlignmentFile(str(path), check_sq=False) as opened:
        assert (opened.is_bam, opened.is_cram) == (kind == "bam", kind == "cram")
    assert header(path)["HD"]["SO"] == ("coordinate" if ordered else "unsorted")
    indexes = {"sam": [], "bam": ["out.bam.bai"], "cram": ["out.cram.crai"]}[kind] if ordered else []
    assert sorted(os.listdir(tmp_path)) == sorted([f"out.{kind}", "reads.fq", *indexes])
    pysam.samtools.quickcheck(str(path))
    assert "\nSN\traw total sequences:\t40\t" in pysam.samtools.stats(str(path))
    if indexes:
        with pysam.AlignmentFile(str(path)) as opened:
            found = {record.query_name for record in opened.fetch("NC_001422.1", 1000, 1120)}
        assert found == {"r9", "r10", "r11"}


@pytest.mark.parametrize("kind", ["sam", "bam", "cram"])
@pytest.mark.parametrize("extra", [[], ["--sort"]])
def test_every_format_to_standard_output(
    genoseq: Runner, index: Path, reads: Path, tmp_path: Path, kind: str, extra: list[str]
) -> None:
    done = genoseq("align", reads, "-x", index, "-O", kind, *extra)
    assert done.status == 0
    path = tmp_path / f"got.{kind}"
    path.write_bytes(done.out)
    pysam.samtools.quickcheck(str(path))
    assert len(fields(path)) == 40
    assert header(path)["HD"]["SO"] == ("coordinate" if extra else "unsorted")
    assert sorted(os.listdir(tmp_path)) == sorted([f"got.{kind}", "reads.fq"])


def test_the_format_option_names_what_the_ending_leaves_open(genoseq: Runner, index: Path, reads: Path, tmp_path: Path) -> None:
    genoseq("align", reads, "-x", index, "-o", tmp_path / "odd.txt", "-O", "bam")
    with pysam.AlignmentFile(str(tmp_path / "odd.txt")) as opened:
        assert opened.is_bam
    contradiction = genoseq("align", reads, "-x", index, "-o", tmp_path / "odd.cram", "-O", "bam")
    assert (contradiction.status, "ends in .cram, but --output-format says bam" in contradiction.err) == (2, True)
    refused = genoseq("align", reads, "-x", index, "-o", tmp_path / "other.txt")
    assert (refused.status, "the ending names no format" in refused.err) == (2, True)
    assert genoseq("align", reads, "-x", index, "-O", "vcf").status == 2


def test_no_index_of_an_earlier_output_stays(genoseq: Runner, index: Path, reads: Path, tmp_path: Path) -> None:
    path = tmp_path / "out.bam"
    assert genoseq("align", reads, "-x", index, "-o", path, "--sort").status == 0
    (tmp_path / "out.bai").touch()
    (tmp_path / "out.csi").touch()
    (tmp_path / "out.cram.crai").touch()  # of another file
    assert genoseq("align", reads, "-x", index, "-o", path).status == 0
    assert sorted(os.listdir(tmp_path)) == ["out.bam", "out.cram.crai", "reads.fq"]
    (tmp_path / "link.bam").symlink_to("out.bam")
    (tmp_path / "out.bam.bai").touch()
    assert genoseq("align", reads, "-x", index, "-o", tmp_path / "link.bam", "--sort").status == 0
    assert sorted(os.listdir(tmp_path)) == ["link.bam", "link.bam.bai", "out.bam", "out.cram.crai", "reads.fq"]


def test_a_sort_that_does_not_fit_into_memory(
    genoseq: Runner, sample: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(output_module, "SORT_MEMORY", "1M")
    both = [sample / "portiera_R1.fastq.gz", sample / "portiera_R2.fastq.gz"]
    folder = tmp_path / "out"
    folder.mkdir()
    path = folder / "sorted.bam"
    done = genoseq("align", *both, "-x", sample / "portiera.fna.gz", "-o", path, "--sort", "-t", 2)
    assert done.status == 0
    places = [int(record[3]) for record in fields(path) if record[2] != "*"]
    assert places == sorted(places)
    assert len(fields(path)) == 3500
    assert sorted(os.listdir(folder)) == ["sorted.bam", "sorted.bam.bai"]


def test_threads_change_nothing(genoseq: Runner, sample: Path) -> None:
    both = [sample / "portiera_R1.fastq.gz", sample / "portiera_R2.fastq.gz"]
    one, three = (genoseq("align", *both, "-x", sample / "portiera.fna.gz", "-t", t).records for t in (1, 3))
    assert one == three


def test_read_group(genoseq: Runner, index: Path, reads: Path, tmp_path: Path) -> None:
    done = genoseq("align", reads, "-x", index, "-R", r"@RG\tID:lane1\tSM:phi X", "-o", tmp_path / "a.bam")
    assert done.status == 0
    assert header(tmp_path / "a.bam")["RG"] == [{"ID": "lane1", "SM": "phi X"}]
    assert all("RG:Z:lane1" in record for record in fields(tmp_path / "a.bam"))
    refused = genoseq("align", reads, "-x", index, "-R", "ID:lane1")
    assert (refused.status, "expected '@RG" in refused.err) == (2, True)


def test_index_by_name_folder_fasta_environment_and_default(
    genoseq: Runner, sample: Path, reads: Path, index: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    by_folder = genoseq("align", reads, "-x", index).records
    genoseq("index", sample / "portiera.fna.gz", "--name", "portiera")
    genoseq("index", sample / "phix174.fa", "--name", "phix")
    by_name = genoseq("align", reads, "-x", "phix").records
    assert by_name == by_folder
    assert genoseq("align", reads).records != by_folder  # the default is the first: portiera
    genoseq("index", "--default", "phix")
    assert genoseq("align", reads).records == by_folder
    monkeypatch.setenv("GENOSEQ_INDEX", "portiera")
    assert genoseq("align", reads).records != by_folder
    monkeypatch.setenv("GENOSEQ_INDEX", str(sample / "phix174.fa"))
    assert genoseq("align", reads).records == by_folder
    assert genoseq("align", reads, "-x", "portiera").records != by_folder
    monkeypatch.setenv("GENOSEQ_INDEX", "gone")
    assert "no index 'gone' (from GENOSEQ_INDEX)" in genoseq("align", reads).err
    (tmp_path / "phix").mkdir()  # a folder by chance does not hide the name
    monkeypatch.chdir(tmp_path)
    assert genoseq("align", reads, "-x", "phix").records == by_folder


def test_a_fasta_is_indexed_once_and_anew_when_it_changes(
    spawn: Runner, sample: Path, reads: Path, tmp_path: Path, own_cache: dict[str, str]
) -> None:
    reference = tmp_path / "ref.fa"
    reference.write_bytes((sample / "phix174.fa").read_bytes())
    first = spawn("align", reads, "-x", reference, env=own_cache)
    assert "building an index, kept in" in first.err
    (folder,) = (tmp_path / "cache" / "indexes").glob("[!.]*")
    second = spawn("align", reads, "-x", reference, env=own_cache)
    assert "building an index" not in second.err
    assert first.records == second.records
    (folder / "codes.faiss").write_bytes(b"cut short")
    third = spawn("align", reads, "-x", reference, env=own_cache)
    assert "codes.faiss has 9 bytes" in third.err and "building it again" in third.err
    assert third.records == first.records
    reference.write_text(reference.read_text() + ">more\n" + "ACGGT" * 30 + "\n")
    fourth = spawn("align", reads, "-x", reference, env=own_cache)
    assert "building an index" in fourth.err
    assert "\n@SQ\tSN:more" in fourth.out.decode()


def test_commands_that_need_the_same_index_at_once_build_it_once(
    process: Start, sample: Path, reads: Path, tmp_path: Path, own_cache: dict[str, str]
) -> None:
    running = [
        process("align", reads, "-x", sample / "portiera.fna.gz", "-o", tmp_path / f"{i}.sam", env=own_cache) for i in range(3)
    ]
    said = [child.communicate(timeout=250)[1].decode() for child in running]
    assert [child.returncode for child in running] == [0] * 3
    assert sum("building an index" in text for text in said) == 1


def test_no_index_says_how_to_make_one(genoseq: Runner, reads: Path) -> None:
    done = genoseq("align", reads)
    assert (done.status, done.out) == (1, b"")
    assert done.err == (
        "genoseq: error: no index was given and none is registered; make one with `genoseq index REF --name NAME`, "
        "or give `-x NAME|FOLDER|REF.fa`\n"
    )


def test_secondary_records(genoseq: Runner, twofold: Path, tmp_path: Path) -> None:
    sequence = next(iter(read_fastx(twofold))).sequence
    path = tmp_path / "r.fq"
    path.write_text(fastq([("r", sequence[300:450])]))
    (only,) = genoseq("align", path, "-x", twofold).records
    primary, other = genoseq("align", path, "-x", twofold, "--max-secondary", 5).records
    assert primary == only
    assert (int(only[1]) & SECONDARY, int(other[1]) & SECONDARY) == (0, SECONDARY)
    assert {int(primary[3]), int(other[3])} == {301, 1501}
    assert other[9:11] == ["*", "*"] and other[5] == "150M"
    assert int(primary[4]) <= 3 and int(other[4]) <= 3


def test_the_seed_decides_ties_and_nothing_else(genoseq: Runner, twofold: Path, tmp_path: Path) -> None:
    sequence = next(iter(read_fastx(twofold))).sequence
    path = tmp_path / "r.fq"
    starts = [*range(0, 100, 20), *range(200, 640, 8)]
    path.write_text(fastq((f"r{s}", sequence[s : s + 150]) for s in starts))
    runs = [genoseq("align", path, "-x", twofold, "--seed", seed).records for seed in (0, 0, 1, 2)]
    assert runs[0] == runs[1]
    moved = 0
    for same in zip(*runs[1:], strict=True):
        places = {int(record[3]) for record in same}
        tied = int(same[0][0][1:]) >= 200
        assert places <= ({int(same[0][0][1:]) + 1, int(same[0][0][1:]) + 1201} if tied else {int(same[0][0][1:]) + 1})
        moved += len(places) > 1
        assert len({tuple(record[:3] + record[4:9]) for record in same}) == 1
    assert moved > 5


def test_unmapped_reads_aside(genoseq: Runner, index: Path, tmp_path: Path, phix: str) -> None:
    path = tmp_path / "r.fq"
    lost = "@lost1 x\n" + "AC" * 40 + "\n+\n" + "F" * 80 + "\n"
    path.write_text(f"@found\n{phix[:100]}\n+\n{'F' * 100}\n{lost}")
    for name in ("u.fq", "u.fq.gz"):
        done = genoseq("align", path, "-x", index, "--unmapped-out", tmp_path / name, "-o", tmp_path / "o.sam")
        assert done.status == 0
        raw = (tmp_path / name).read_bytes()
        assert raw.startswith(b"\x1f\x8b") == name.endswith(".gz")
        text = gzip.decompress(raw) if name.endswith(".gz") else raw
        assert text.decode() == lost.replace(" x", "")
    again = genoseq("align", path, "-x", index, "--unmapped-out", tmp_path / "v.fq.gz")
    assert again.status == 0
    assert (tmp_path / "v.fq.gz").read_bytes() == (tmp_path / "u.fq.gz").read_bytes()  # no name or time inside
    streamed = genoseq("align", path, "-x", index, "--unmapped-out", "-", "-o", tmp_path / "o.sam")
    assert streamed.out.decode() == lost.replace(" x", "")
    fasta = tmp_path / "r.fa"
    fasta.write_text(f">lost\n{'AC' * 40}\n")
    genoseq("align", fasta, "-x", index, "--unmapped-out", tmp_path / "u.fa")
    assert (tmp_path / "u.fa").read_text() == fasta.read_text()


def test_unmapped_pairs_aside_with_both_mates(genoseq: Runner, index: Path, tmp_path: Path, phix: str) -> None:
    sequences = [(phix[:100], opposite(phix[200:300])), (phix[400:500], "AC" * 40), ("AG" * 40, "AC" * 40)]
    text = "".join(
        f"@p{i}/{m + 1}\n{seq}\n+\n{'F' * len(seq)}\n" for i, both in enumerate(sequences) for m, seq in enumerate(both)
    )
    path = tmp_path / "p.fq"
    path.write_text(text)
    aside = tmp_path / "u.fq"
    done = genoseq("align", "-p", path, "-x", index, "--unmapped-out", aside)
    assert [record[0] for record in done.records] == ["p0", "p0", "p1", "p1", "p2", "p2"]
    kept = list(read_fastx(aside))
    assert [record.name for record in kept] == ["p1", "p1", "p2", "p2"]
    assert [record.sequence for record in kept] == [seq for both in sequences[1:] for seq in both]
    assert genoseq("align", "-p", aside, "-x", index).status == 0


def test_interleaved_pairs_are_those_of_two_files(genoseq: Runner, index: Path, pairs: tuple[Path, Path], tmp_path: Path) -> None:
    two = genoseq("align", *pairs, "-x", index)
    mixed = tmp_path / "mixed.fq"
    first, second = (path.read_text().splitlines(keepends=True) for path in pairs)
    mixed.write_text("".join("".join(first[i : i + 4] + second[i : i + 4]) for i in range(0, len(first), 4)))
    one = genoseq("align", "-p", mixed, "-x", index)
    assert one.records == two.records
    assert [record[0] for record in two.records] == [f"p{i // 2}" for i in range(120)]
    assert all(int(record[1]) & 3 == 3 for record in two.records)
    assert "60 of 60 pairs proper" in two.err
    assert genoseq("align", "-p", *pairs, "-x", index).status == 2
    alone = genoseq("align", mixed, "-x", index).records
    assert {int(record[1]) & 1 for record in alone} == {0}


def test_summary(genoseq: Runner, index: Path, pairs: tuple[Path, Path], tmp_path: Path) -> None:
    path = tmp_path / "s.json"
    done = genoseq("align", *pairs, "-x", index, "--summary", path, "--seed", 3, "--preset", "fast")
    assert done.status == 0
    content = json.loads(path.read_text())
    assert (content["format"], content["version"], content["index"]) == ("genoseq.align-summary", 1, str(index))
    assert content["settings"] == {"preset": "fast", "seed": 3, "max_secondary": 0, "paired": True}
    counted = {key: content[key] for key in ("reads", "bases", "mapped", "unmapped", "pairs", "proper_pairs", "edits")}
    assert counted == {
        "reads": 120, "bases": 12000, "mapped": 120, "unmapped": 0, "pairs": 60, "proper_pairs": 60, "edits": 0,
    }  # fmt: skip
    assert content["mean_depth"] == pytest.approx(12000 / 5386, abs=1e-4)
    streamed = genoseq("align", *pairs, "-x", index, "--summary", "-", "-o", tmp_path / "o.sam")
    assert json.loads(streamed.out)["reads"] == 120


def test_presets(genoseq: Runner, sample: Path, tmp_path: Path) -> None:
    assert set(PRESETS) == {"default", "fast", "sensitive"}
    reads = tmp_path / "far.fq"
    simulated = genoseq("simulate", sample / "portiera.fna.gz", "-n", 300, "-d", "0.22", "-l", 100, "-o", reads)
    assert simulated.status == 0
    mapped = {}
    for preset in ("fast", "sensitive"):
        done = genoseq("align", reads, "-x", sample / "portiera.fna.gz", "--preset", preset)
        mapped[preset] = [record[2:6] for record in done.records]
    default = genoseq("align", reads, "-x", sample / "portiera.fna.gz").records
    named = genoseq("align", reads, "-x", sample / "portiera.fna.gz", "--preset", "default").records
    assert default == named
    assert mapped["fast"] != mapped["sensitive"]


def test_an_unknown_preset_lists_the_known_ones_before_any_work(genoseq: Runner, reads: Path, tmp_path: Path) -> None:
    done = genoseq("align", reads, "-x", tmp_path / "not-there", "--preset", "quick")
    assert done.status == 2
    assert done.err == "genoseq: error: no preset 'quick'; there are default, fast, sensitive\n"


@pytest.mark.parametrize(("kind", "magic"), [("png", b"\x89PNG"), ("pdf", b"%PDF"), ("svg", b"<?xml")])
def test_coverage(genoseq: Runner, index: Path, reads: Path, tmp_path: Path, kind: str, magic: bytes) -> None:
    path = tmp_path / f"depth.{kind}"
    assert genoseq("align", reads, "-x", index, "--coverage", path).status == 0
    assert path.read_bytes().startswith(magic)
    assert len(path.read_bytes()) > 5000


def test_coverage_of_no_reads_and_of_a_wrong_ending(genoseq: Runner, index: Path, tmp_path: Path) -> None:
    empty = tmp_path / "empty.fq"
    empty.write_bytes(b"")
    assert genoseq("align", empty, "-x", index, "--coverage", tmp_path / "d.PNG").status == 0
    refused = genoseq("align", empty, "-x", index, "--coverage", tmp_path / "d.jpg")
    assert (refused.status, "end the name in .png, .pdf or .svg" in refused.err) == (2, True)


@pytest.mark.parametrize(
    "arguments",
    [["-o", "a.sam", "--summary", "a.sam"], ["--summary", "-"], ["-o", "-", "--unmapped-out", "/dev/stdout"]],
)
def test_two_outputs_to_one_place(
    genoseq: Runner, index: Path, reads: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    done = genoseq("align", reads, "-x", index, *arguments)
    assert (done.status, done.out) == (2, b"")
    assert os.listdir(tmp_path) == ["reads.fq"]


def test_devices_as_output(genoseq: Runner, index: Path, reads: Path) -> None:
    for extra in ([], ["-O", "bam"], ["-O", "bam", "--sort"], ["-O", "cram", "--sort"]):
        done = genoseq("align", reads, "-x", index, "-o", "/dev/null", *extra)
        assert (done.status, done.out) == (0, b"")
    assert not list(Path("/dev").glob("null.*")) and not list(Path("/dev").glob(".null*"))
    assert len(genoseq("align", reads, "-x", index, "-o", "/dev/stdout").records) == 40


def test_standard_output_is_appended_to(spawn: Runner, index: Path, reads: Path, tmp_path: Path) -> None:
    path = tmp_path / "all.sam"
    path.write_text("what was there\n")
    for _ in range(2):
        with path.open("ab") as file:
            assert spawn("align", reads, "-x", index, "-o", "/dev/stdout", stdout=file).status == 0
    lines = path.read_text().splitlines()
    assert (lines[0], len(lines)) == ("what was there", 1 + 2 * 43)


def test_a_pipe_by_number_as_output(process: Start, index: Path, reads: Path) -> None:
    source, sink = os.pipe()
    child = process("align", reads, "-x", index, "-o", f"/dev/fd/{sink}", "-O", "sam", pass_fds=[sink])
    os.close(sink)
    with open(source, "rb") as pipe:
        assert len(pipe.read().splitlines()) == 43
    assert child.wait(timeout=60) == 0


def test_relative_paths_and_links(
    genoseq: Runner, index: Path, reads: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    os.rename(reads, "here.fq")
    (tmp_path / "real.sam").write_text("before")
    os.symlink("real.sam", "link.sam")
    os.symlink(index, "idx")
    assert genoseq("align", "here.fq", "-x", "idx", "-o", "link.sam").status == 0
    assert os.readlink("link.sam") == "real.sam"
    assert len(fields(tmp_path / "real.sam")) == 40


def test_an_index_that_was_moved(genoseq: Runner, sample: Path, reads: Path, tmp_path: Path) -> None:
    genoseq("index", sample / "phix174.fa", "-o", tmp_path / "old.idx", "--name", "phix")
    os.rename(tmp_path / "old.idx", tmp_path / "new.idx")
    done = genoseq("align", reads, "-x", "phix")
    assert done.status == 1
    assert f"{tmp_path}/old.idx: the index registered as 'phix' is no longer there; if it was moved" in done.err
    assert "genoseq index REF --name NAME" in done.err
    assert len(genoseq("align", reads, "-x", tmp_path / "new.idx").records) == 40


@contextlib.contextmanager
def many_reads(tmp_path: Path, phix: str) -> Iterator[Path]:
    path = tmp_path / "many.fq"
    with path.open("w") as file:
        for i in range(30_000):
            start = i % 5200
            file.write(f"@r{i}\n{phix[start : start + 150]}\n+\n{'I' * 150}\n")
    yield path


@pytest.mark.parametrize("form", [["-O", "sam"], ["-O", "bam"], ["-O", "bam", "--sort"], ["-o", "/dev/stdout"]])
def test_a_reader_that_leaves_early_ends_the_run_quietly(
    process: Start, index: Path, tmp_path: Path, phix: str, form: list[str]
) -> None:
    with many_reads(tmp_path, phix) as path:
        child = process("-q", "align", path, "-x", index, *form)
        assert len(child.stdout.read(100)) == 100
        child.stdout.close()
        assert child.wait(timeout=100) == 141
        assert child.stderr.read() == b""


@pytest.mark.parametrize("number", [2, 15])
@pytest.mark.parametrize("kind", ["sam", "bam"])
def test_an_interrupted_run_leaves_nothing(
    process: Start, index: Path, tmp_path: Path, phix: str, number: int, kind: str
) -> None:
    fifo = tmp_path / "reads.fq"
    os.mkfifo(fifo)
    outputs = [
        "-o", tmp_path / f"o.{kind}", "--summary", tmp_path / "s", "--unmapped-out", tmp_path / "u", "--sort",
    ]  # fmt: skip
    child = process("align", fifo, "-x", index, *outputs)
    with open(fifo, "w") as pipe:
        pipe.write(f"@a\n{phix[:100]}\n+\n{'I' * 100}\n")
        pipe.flush()
        wait_until(lambda: list(tmp_path.glob(".*.sorting")))
        child.send_signal(number)
        status = child.wait(timeout=60)
    assert status == {2: 130, 15: 143}[number]
    assert child.stderr.read().decode().splitlines()[-1] == f"genoseq: {'interrupted' if number == 2 else 'terminated'}"
    assert os.listdir(tmp_path) == ["reads.fq"]


def test_a_progress_bar_only_on_a_terminal(process: Start, spawn: Runner, index: Path, tmp_path: Path, phix: str) -> None:
    with many_reads(tmp_path, phix) as path:
        assert "\r" not in spawn("align", path, "-x", index, "-o", os.devnull).err
        ours, theirs = pty.openpty()
        child = process("align", path, "-x", index, "-o", os.devnull, stderr=theirs)
        os.close(theirs)
        shown = b""
        with contextlib.suppress(OSError):  # the terminal ends with its last user
            while block := os.read(ours, 4096):
                shown += block
        os.close(ours)
        assert child.wait(timeout=60) == 0
    assert b"\rmapping: [" in shown
    assert shown.endswith(b"reads/s\r\n")


def test_a_home_that_cannot_be_written(spawn: Runner, sample: Path, reads: Path, tmp_path: Path) -> None:
    """A file where the folders should be made: what no user, not even root, can write into."""
    blocked = tmp_path / "blocked"
    blocked.write_text("")
    environment = {**os.environ, "GENOSEQ_HOME": str(blocked / "home")}
    built = spawn("index", sample / "phix174.fa", "-o", tmp_path / "i", env=environment)
    assert built.status == 0
    assert "not registered by name" in built.err and f"-x {tmp_path / 'i'}" in built.err
    assert len(spawn("align", reads, "-x", tmp_path / "i", env=environment).records) == 40
    refused = spawn("index", sample / "phix174.fa", env=environment)
    assert (refused.status, "give -o FOLDER, or set GENOSEQ_HOME" in refused.err) == (1, True)


@pytest.mark.slow
def test_a_cache_that_cannot_be_written(spawn: Runner, sample: Path, index: Path, reads: Path, tmp_path: Path) -> None:
    blocked = tmp_path / "blocked"
    blocked.write_text("")
    environment = {**os.environ, "GENOSEQ_CACHE": str(blocked / "cache")}
    done = spawn("align", reads, "-x", index, env=environment)
    assert (done.status, len(done.records)) == (0, 40)
    assert "compiling for this machine, in every run anew" in done.err
    refused = spawn("align", reads, "-x", sample / "phix174.fa", env=environment)
    assert (refused.status, "set GENOSEQ_CACHE" in refused.err) == (1, True)


def test_no_message_where_nothing_is_compiled(genoseq: Runner, spawn: Runner, index: Path, reads: Path) -> None:
    genoseq("align", reads, "-x", index)
    assert "compiling" not in spawn("align", reads, "-x", index).err


def test_a_full_disk_under_the_cache_costs_no_run(
    genoseq: Runner, index: Path, reads: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from genoseq import kernels

    @kernels.kernel
    def double(x):  # type: ignore[no-untyped-def]
        return 2 * x

    def full(self: object, key: object, data: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("numba.core.caching.IndexDataCacheFile.save", full)
    assert double(4) == 8


def test_the_default_index_is_named_when_it_is_taken(genoseq: Runner, sample: Path, reads: Path) -> None:
    genoseq("index", sample / "phix174.fa", "--name", "phix")
    told = "genoseq: index: phix, the default (-x chooses another)\n"
    assert genoseq("align", reads).err.startswith(told)
    assert told not in genoseq("align", reads, "-x", "phix").err
    assert genoseq("-q", "align", reads).err == ""


def test_reads_of_another_genome_are_told(genoseq: Runner, sample: Path, index: Path, tmp_path: Path, reads: Path) -> None:
    done = genoseq("align", sample / "portiera_R1.fastq.gz", "-x", index)
    assert (done.status, len(done.records)) == (0, 1750)
    hint = f"almost nothing maps: is phix174.fa ({index}) the right genome? -x chooses another"
    assert done.err.splitlines()[-1] == f"genoseq: warning: {hint}"
    few = tmp_path / "few.fq"
    few.write_text(fastq((f"r{i}", "AC" * 40) for i in range(999)))
    assert "almost nothing" not in genoseq("align", few, "-x", index).err
    some = tmp_path / "some.fq"
    some.write_text(few.read_text() + "".join("\n".join(reads.read_text().splitlines()) + "\n"))
    assert "almost nothing" not in genoseq("align", some, "-x", index).err


def test_the_reference_where_bwa_wants_it_is_told(
    genoseq: Runner, sample: Path, index: Path, reads: Path, pairs: tuple[Path, Path], tmp_path: Path
) -> None:
    three = genoseq("align", sample / "phix174.fa", *pairs)
    assert (three.status, three.out) == (2, b"")
    assert "The reference goes to -x: `genoseq align -x REF READS MATES`." in three.err
    two = genoseq("align", sample / "phix174.fa", reads)  # before any index is looked for
    assert (two.status, two.out) == (1, b"")
    assert f"give it with -x (`genoseq align -x {sample / 'phix174.fa'} {reads}`)" in two.err
    fasta = tmp_path / "reads.fa"
    fasta.write_text(">r\nACGTACGT\n")
    both = genoseq("align", sample / "phix174.fa", fasta, "-x", index)
    assert (both.status, f"is {sample / 'phix174.fa'} the reference? Give that with -x" in both.err) == (1, True)


def test_reads_and_reference_the_wrong_way_round(genoseq: Runner, sample: Path, reads: Path) -> None:
    done = genoseq("align", "-x", reads, sample / "phix174.fa")
    assert (done.status, done.out) == (1, b"")
    assert "these seem to be reads: it is `genoseq index REF`, and `genoseq align -x REF READS`" in done.err


def test_details(genoseq: Runner, index: Path, pairs: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("genoseq.log.LINE_EVERY", 0.0)
    lines = genoseq("-v", "align", *pairs, "-x", index, "-t", 1).err.splitlines()
    assert lines[:2] == [
        f"genoseq: index {index} of phix174.fa: 5386 bp in 1 contig, k 6, density 0.5",
        "genoseq: 1 thread, preset default, seed 0",
    ]
    assert any(line.startswith("genoseq: inserts: ") and "learned from 60 clear pairs" in line for line in lines)
    assert any(line.startswith("genoseq: mapping: 100% of ") and line.endswith("; 120 reads, 120 mapped") for line in lines)
    monkeypatch.setattr("genoseq.log.LINE_EVERY", 100.0)
    assert len(genoseq("align", *pairs, "-x", index).err.splitlines()) == 1


@pytest.mark.parametrize("option", ["-v", "--verbose", "-q", "--debug"])
def test_an_option_behind_the_command_that_belongs_before_it(genoseq: Runner, reads: Path, option: str) -> None:
    done = genoseq("align", reads, option)
    assert done.status == 2
    assert f"it goes before the command, as in `genoseq {option} align ...`." in done.err
    assert "goes before" not in genoseq("align", reads, "--nonsense").err


@pytest.mark.parametrize(
    ("option", "value", "span"), [("--max-secondary", "abc", "from 0 to 100"), ("--max-secondary", "101", "from 0 to 100"), ("-t", "0", "of 1 or more")]
)
def test_a_number_that_is_none(genoseq: Runner, reads: Path, option: str, value: str, span: str) -> None:
    done = genoseq("align", reads, option, value)
    assert (done.status, f"{value!r} is not a whole number {span}." in done.err) == (2, True)


def test_the_command_line_in_the_header_is_one_line(genoseq: Runner, index: Path, tmp_path: Path, reads: Path) -> None:
    odd = tmp_path / "a\tb\nc.fq"
    os.rename(reads, odd)
    done = genoseq("align", odd, "-x", index)
    assert done.status == 0
    assert [line[:3] for line in done.lines if line.startswith("@")] == ["@HD", "@SQ", "@PG"]
    assert len(done.records) == 40
    assert done.lines[2].count("\t") == 4  # @PG and its four fields


def test_a_file_name_that_is_no_text(spawn: Runner, index: Path, tmp_path: Path, reads: Path) -> None:
    name = os.fsencode(tmp_path) + b"/caf\xe9.fq"
    os.rename(reads, name)
    done = spawn("align", os.fsdecode(name), "-x", index)
    assert (done.status, len(done.records)) == (0, 40)


def test_registry_is_not_touched_by_align(genoseq: Runner, index: Path, reads: Path) -> None:
    genoseq("align", reads, "-x", index)
    assert Registry.load() == Registry({}, None)
    assert Index.open(index).names == ["NC_001422.1"]
