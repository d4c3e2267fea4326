from __future__ import annotations

import io
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from genoseq.errors import InputError
from genoseq.seqs.chunks import read_chunks
from genoseq.seqs.fastx import read_fastx
from genoseq.seqs.record import Record

Write = Callable[[str, bytes], Path]


def fastq(count: int, *, length: int = 10) -> bytes:
    return b"".join(
        b"@r%d c%d\n%b\n+\n%b\n" % (i, i, b"ACGTN"[i % 5 :] * length, b"IJKLM"[i % 5 :] * length) for i in range(count)
    )


def test_columns_of_a_batch(write: Write) -> None:
    (batch,) = read_chunks(write("a.fq", b"@r1 one\nacGT\n+\nIJKL\n@r22\n\n+\n\n@r3\tx\nN\n+\n#\n"), keep_comments=True)
    assert batch.names.tobytes() == b"r1r22r3"
    assert batch.name_offsets.tolist() == [0, 2, 5, 7]
    assert batch.seq.tobytes() == b"ACGTN"
    assert batch.qual.tobytes() == b"IJKL#"
    assert batch.offsets.tolist() == [0, 4, 4, 5]
    assert batch.comments is not None and batch.comments.tobytes() == b"onex"
    assert batch.comment_offsets is not None and batch.comment_offsets.tolist() == [0, 3, 3, 4]
    assert (len(batch), batch.first_record, batch.has_quality) == (3, 0, True)
    for column in (batch.names, batch.seq, batch.qual, batch.comments):
        assert column.dtype == np.uint8
    for column in (batch.name_offsets, batch.offsets, batch.comment_offsets):
        assert column.dtype == np.int64
    assert batch.record(0) == Record("r1", "one", "ACGT", "IJKL")


def test_fasta_has_no_qualities_and_comments_only_when_asked_for(write: Write) -> None:
    (batch,) = read_chunks(write("a.fa", b">r1 one\nac\nGT\n>r2\n"))
    assert (batch.has_quality, batch.qual.size, batch.comments, batch.comment_offsets) == (False, 0, None, None)
    assert batch.record(0) == Record("r1", "", "ACGT")
    assert batch.record(1) == Record("r2", "", "")


@pytest.mark.parametrize("block_size", [1, 13, 1 << 20])
@pytest.mark.parametrize("blank_lines", [False, True], ids=["strict", "handed over"])
def test_batches_are_full_whatever_the_blocks(write: Write, block_size: int, blank_lines: bool) -> None:
    text = fastq(5) + b"\n" * blank_lines + fastq(18)
    reader = read_chunks(write("a.fq", text), batch_size=10, block_size=block_size)
    batches = list(reader)
    assert [len(batch) for batch in batches] == [10, 10, 3]
    assert [batch.first_record for batch in batches] == [0, 10, 20]
    assert reader.records == 23
    assert reader.position == reader.size == len(text)


@pytest.mark.parametrize("block_size", [5, 1 << 20])
@pytest.mark.parametrize("blank_lines", [False, True], ids=["strict", "handed over"])
def test_a_limit_on_bases_ends_batches_early(write: Write, block_size: int, blank_lines: bool) -> None:
    lengths = [3, 3, 10, 1, 1, 1, 20, 2]
    text = b"".join(b">r\n%b\n" % (b"A" * n) + b"\n" * blank_lines * (i == 0) for i, n in enumerate(lengths))
    text = text.replace(b"\n\n", b" \n") if blank_lines else text
    batches = read_chunks(write("a.fa", text), batch_size=4, max_bases=6, block_size=block_size)
    assert [np.diff(batch.offsets).tolist() for batch in batches] == [[3, 3], [10], [1, 1, 1, 20], [2]]


def test_batches_larger_than_the_first_table(write: Write) -> None:
    text = fastq(9000, length=1)
    assert [len(batch) for batch in read_chunks(write("a.fq", text), batch_size=10_000)] == [9000]
    assert [len(batch) for batch in read_chunks(write("a.fq", text), batch_size=5_000)] == [5000, 4000]


@pytest.mark.parametrize("text", [b"", b"\n\n"])
def test_an_empty_file_has_no_batches(write: Write, text: bytes) -> None:
    reader = read_chunks(write("a.fq", text))
    assert list(reader) == []
    assert (reader.records, reader.fastq) == (0, None)


def test_a_record_much_longer_than_a_block(write: Write) -> None:
    sequence = b"ACGTTGCA" * 40_000
    text = b">long\n" + b"\n".join(sequence[i : i + 60] for i in range(0, len(sequence), 60)) + b"\n>short\nA\n"
    (batch,) = read_chunks(write("a.fa", text), block_size=100)
    assert batch.seq.tobytes() == sequence + b"A"


def test_standard_input(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(fastq(3))))
    reader = read_chunks("-")
    assert [batch.name(2) for batch in reader] == ["r2"]
    assert reader.path == "-"
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"@a\nAC\n+\nI\n")))
    with pytest.raises(InputError, match=r"^standard input, record 1 \(line 4\)"):
        list(read_chunks("-"))


def test_the_file_is_closed_when_the_reader_is_left(write: Write) -> None:
    with read_chunks(write("a.fq", fastq(3)), batch_size=1) as reader:
        assert next(iter(reader)).name(0) == "r0"
    with pytest.raises(ValueError, match="closed"):
        list(reader)


@pytest.mark.parametrize("option", ["batch_size", "max_bases", "block_size"])
def test_sizes_below_one_are_refused(write: Write, option: str) -> None:
    with pytest.raises(ValueError, match="must be at least 1"):
        read_chunks(write("a.fq", b""), **{option: 0})


@pytest.mark.parametrize("name", ["portiera_R1.fastq.gz", "portiera.fna.gz", "phix174.fa"])
def test_the_sample_files_read_as_by_the_plain_reader(sample: Path, name: str) -> None:
    batches = read_chunks(sample / name, batch_size=1000, keep_comments=True)
    records = [batch.record(i) for batch in batches for i in range(len(batch))]
    assert records == [replace(record, sequence=record.sequence.upper()) for record in read_fastx(sample / name)]
