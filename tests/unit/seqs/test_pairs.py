from __future__ import annotations

import gzip
import io
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from genoseq.errors import InputError, UsageError
from genoseq.seqs.batch import strip_mate_suffixes
from genoseq.seqs.chunks import read_chunks
from genoseq.seqs.pairs import read_interleaved_chunks, read_pair_chunks
from genoseq.seqs.record import Record

Write = Callable[[str, bytes], Path]


def fastq(names: list[str], base: bytes) -> bytes:
    return b"".join(
        b"@%b c\n%b\n+\n%b\n" % (name.encode(), base * (i + 1), b"I" * (i + 1)) for i, name in enumerate(names)
    )


def test_mates_of_two_files_stand_side_by_side(write: Write) -> None:
    names = [f"r{i}" for i in range(5)]
    one = write("1.fq", fastq([f"{name}/1" for name in names], b"A"))
    two = write("2.fq.gz", gzip.compress(fastq([f"{name}/2" for name in names], b"C")))
    reader = read_pair_chunks(one, two, batch_size=4, keep_comments=True)
    batches = list(reader)
    assert [(len(batch), batch.first_record) for batch in batches] == [(4, 0), (4, 4), (2, 8)]
    assert batches[1].record(0) == Record("r2/1", "c", "AAA", "III")
    assert batches[1].record(1) == Record("r2/2", "c", "CCC", "III")
    assert [batches[2].name(i) for i in range(2)] == ["r4/1", "r4/2"]
    assert reader.records == 10
    assert reader.position == reader.size == one.stat().st_size + two.stat().st_size


def test_fasta_pairs(write: Write) -> None:
    (batch,) = read_pair_chunks(write("1.fa", b">r\nAC\n"), write("2.fa", b">r\nGT\n"))
    assert [batch.record(i) for i in range(2)] == [Record("r", "", "AC"), Record("r", "", "GT")]
    assert batch.qual.size == 0


def test_interleaved_pairs(write: Write) -> None:
    path = write("a.fq", fastq(["r1/1", "r1/2", "r2", "r2", "r3/1", "r3/2"], b"A"))
    batches = list(read_interleaved_chunks(path, batch_size=4))
    assert [[batch.name(i) for i in range(len(batch))] for batch in batches] == [
        ["r1/1", "r1/2", "r2", "r2"],
        ["r3/1", "r3/2"],
    ]


def test_empty_files_have_no_pairs(write: Write) -> None:
    assert list(read_pair_chunks(write("1.fq", b""), write("2.fq", b""))) == []
    assert list(read_interleaved_chunks(write("a.fq", b""))) == []


@pytest.mark.parametrize("batch_size", [2, 6, 4096])
@pytest.mark.parametrize(("first", "second"), [(5, 3), (3, 5), (3, 0), (0, 1)])
def test_unequal_files_are_told_with_both_names_and_the_record(
    write: Write, first: int, second: int, batch_size: int
) -> None:
    paths = (
        write("1.fq", fastq([f"r{i}" for i in range(first)], b"A")),
        write("2.fq", fastq([f"r{i}" for i in range(second)], b"C")),
    )
    short, long = paths if first < second else paths[::-1]
    count = min(first, second)
    with pytest.raises(InputError) as caught:
        list(read_pair_chunks(*paths, batch_size=batch_size))
    assert str(caught.value) == (
        f"{short}, record {count + 1}: ends after {count} records, but {long} has more: its record {count + 1}, 'r{count}', "
        "has no mate; give files whose reads were filtered together, in the same order, or map them as single reads"
    )


@pytest.mark.parametrize("batch_size", [2, 4096])
def test_mates_of_different_names_are_told(write: Write, batch_size: int) -> None:
    one, two = write("1.fq", fastq(["r1/1", "r2/1"], b"A")), write("2.fq", fastq(["r1/2", "r3/2"], b"C"))
    with pytest.raises(InputError) as caught:
        list(read_pair_chunks(one, two, batch_size=batch_size))
    assert str(caught.value).startswith(
        f"{one}, record 2: the mates are named 'r2/1' and 'r3/2' (in {two}), expected one name"
    )


@pytest.mark.parametrize(
    ("first", "second", "agree"),
    [
        ("r", "r", True), ("r/1", "r/2", True), ("r/1", "r", True), ("r/2", "r/1", True), ("r", "rr", False),
        ("r/3", "r/4", False), ("/1", "/2", False), ("r.1", "r.2", False), ("a/1", "b/2", False), ("r1", "r2", False),
    ],
)  # fmt: skip
def test_which_names_make_a_pair(write: Write, first: str, second: str, agree: bool) -> None:
    reader = read_interleaved_chunks(write("a.fa", f">{first}\nA\n>{second}\nA\n".encode()))
    if agree:
        assert len(list(reader)) == 1
    else:
        with pytest.raises(InputError, match=r"record 1: the mates are named .* is the file interleaved\?"):
            list(reader)


def test_an_odd_interleaved_file_is_told(write: Write) -> None:
    path = write("a.fq", fastq(["r1", "r1", "r2"], b"A"))
    with pytest.raises(InputError, match="record 3: the last read, 'r2', has no mate: an interleaved file holds"):
        list(read_interleaved_chunks(path, batch_size=2))


def test_fastq_with_fasta_is_told(write: Write) -> None:
    with pytest.raises(InputError, match=r"must have one format: .*1\.fq is FASTQ, .*2\.fa is FASTA"):
        list(read_pair_chunks(write("1.fq", fastq(["r"], b"A")), write("2.fa", b">r\nA\n")))


def test_one_file_given_twice_is_told(write: Write, tmp_path: Path) -> None:
    path = write("1.fq", b"")
    (tmp_path / "link.fq").symlink_to(path)
    for other in (path, tmp_path / "link.fq"):
        with pytest.raises(UsageError, match="give two files, or one interleaved file"):
            read_pair_chunks(path, other)
    with pytest.raises(UsageError, match="both files of the pair are -"):
        read_pair_chunks("-", "-")


def test_one_of_two_files_may_be_standard_input(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(fastq(["r/1"], b"A"))))
    reader = read_pair_chunks("-", write("2.fq", fastq(["r/2"], b"C")))
    (batch,) = reader
    assert batch.seq.tobytes() == b"AC"


def test_an_error_in_either_file_is_its_own(write: Write) -> None:
    good, bad = write("1.fq", fastq(["r"], b"A")), write("2.fq", b"@r\nAC\n+\nI\n")
    for paths in [(good, bad), (bad, good)]:
        with pytest.raises(InputError, match=r"2\.fq, record 1 \(line 4\): quality has 1 character,"):
            list(read_pair_chunks(*paths))


def test_a_missing_second_file_closes_the_first(write: Write, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.fq: no such file"):
        read_pair_chunks(write("1.fq", b""), tmp_path / "none.fq")


@pytest.mark.parametrize("batch_size", [0, 3])
def test_a_batch_holds_whole_pairs(write: Write, batch_size: int) -> None:
    for read in (
        lambda: read_pair_chunks("a", "b", batch_size=batch_size),
        lambda: read_interleaved_chunks("a", batch_size=batch_size),
    ):
        with pytest.raises(ValueError, match="expected an even number"):
            read()


def test_suffixes_of_mates_are_stripped(write: Write) -> None:
    names = ["a/1", "b/2", "c/3", "d", "/1", "e/1/2"]
    (batch,) = read_chunks(write("a.fq", fastq(names, b"A")))
    stripped = strip_mate_suffixes(batch)
    assert [stripped.name(i) for i in range(len(names))] == ["a", "b", "c/3", "d", "/1", "e/1"]
    assert stripped.seq is batch.seq


def test_the_sample_pairs(sample: Path) -> None:
    reader = read_pair_chunks(sample / "portiera_R1.fastq.gz", sample / "portiera_R2.fastq.gz")
    assert sum(len(batch) for batch in reader) == 3500
