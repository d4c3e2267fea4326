from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import pytest

from genoseq.errors import InputError
from genoseq.seqs.chunks import read_chunks
from genoseq.seqs.fastx import read_fastx
from genoseq.seqs.record import Record

Write = Callable[[str, bytes], Path]


def fasta(name: str, sequence: str, comment: str = "") -> Record:
    return Record(name, comment, sequence)


@pytest.mark.parametrize(
    ("text", "records"),
    [
        (b"", []),
        (b"\n\r\n\n", []),
        (b">a\nACGT\n", [fasta("a", "ACGT")]),
        (b">a\nACGT", [fasta("a", "ACGT")]),
        (b">a\nAC\nGT\n\n>b\n\nTT\n", [fasta("a", "ACGT"), fasta("b", "TT")]),
        (b">a\r\nAC\r\nGT\r\n>b\r\nTT", [fasta("a", "ACGT"), fasta("b", "TT")]),
        (b">a\n>b\nA\n>c", [fasta("a", ""), fasta("b", "A"), fasta("c", "")]),
        (b">a\nacgtuRYswkmbdhvNxX.\n", [fasta("a", "acgtuRYswkmbdhvNxX.")]),
        (b">a first one\nA\n>b\tx y\nC\n>c  two\nG\n", [
            fasta("a", "A", "first one"), fasta("b", "C", "x y"), fasta("c", "G", " two")]),
        (b">a\nACG \t\nT\n", [fasta("a", "ACGT")]),
        (b"\xef\xbb\xbf>a\nACGT\n", [fasta("a", "ACGT")]),
        (b"\n\n>a\nACGT\n", [fasta("a", "ACGT")]),
        (">a ä\nA\n".encode(), [fasta("a", "A", "ä")]),
    ],
)  # fmt: skip
def test_fasta(write: Write, text: bytes, records: list[Record]) -> None:
    assert list(read_fastx(write("a.fa", text))) == records


@pytest.mark.parametrize(
    ("text", "records"),
    [
        (b"@a\nACGT\n+\nIIII\n", [Record("a", "", "ACGT", "IIII")]),
        (b"@a\nACGT\n+\nIIII", [Record("a", "", "ACGT", "IIII")]),
        (b"@a x\r\nACGT\r\n+a x\r\nII!~\r\n", [Record("a", "x", "ACGT", "II!~")]),
        (b"@a/1 x y\nAN\n+\nI#\n@b\t1:N:0\nA\n+anything\n@\n", [
            Record("a/1", "x y", "AN", "I#"), Record("b", "1:N:0", "A", "@")]),
        (b"@a\nAC\nGT\n+\nII\nII\n@b\nA\n+\nI\n", [Record("a", "", "ACGT", "IIII"), Record("b", "", "A", "I")]),
        (b"@a\nAC\nGT\n+\nI@\n@I\n@b\nA\n+\nI\n", [Record("a", "", "ACGT", "I@@I"), Record("b", "", "A", "I")]),
        (b"@a\nACGT\n+\nII\nII\n", [Record("a", "", "ACGT", "IIII")]),
        (b"@a\nAC\nGT\n+\nIIII\n", [Record("a", "", "ACGT", "IIII")]),
        (b"@a\n\n+\n\n@b\nA\n+\nI\n", [Record("a", "", "", ""), Record("b", "", "A", "I")]),
        (b"@a\n+\n@b\nA\n+\nI\n", [Record("a", "", "", ""), Record("b", "", "A", "I")]),
        (b"@a\n\n+\n", [Record("a", "", "", "")]),
        (b"@a\nA\n+\nI\n\n\n@b\nC\n+\nI\n\n", [Record("a", "", "A", "I"), Record("b", "", "C", "I")]),
    ],
)  # fmt: skip
def test_fastq(write: Write, text: bytes, records: list[Record]) -> None:
    assert list(read_fastx(write("a.fq", text))) == records


ERRORS = [
    # not FASTA or FASTQ at all
    (b"hello\n", "record 1 (line 1): is neither FASTA nor FASTQ: expected '>' or '@', found 'hello'"),
    (b"<!DOCTYPE html>\n<html>", "is a web page (HTML or XML)"),
    (b"@HD\tVN:1.6\n@SQ\tSN:a\tLN:5\n", "is a SAM file, expected FASTA or FASTQ; convert it (samtools fastq)"),
    (b"@SQ\tSN:a\tLN:5\nr\t0\ta\n", "is a SAM file"),
    (b"BAM\x01\x00\x00", "is a BAM file"),
    (b"CRAM\x03\x00", "is a CRAM file"),
    (b"\x00\x01\x02", "holds binary data"),
    (gzip.compress(b">a\nA\n"), "is compressed twice; decompress it once"),
    # names
    (b">\nA\n", "record 1 (line 1): has no name: expected one right after '>'; name the record"),
    (b"> 64\nA\n", "record 1 (line 1): has no name: expected one right after '>'; remove the blank after it"),
    (b"@a\nA\n+\nI\n@ b\nA\n+\nI\n", "record 2 (line 5): has no name: expected one right after '@'"),
    (
        ">a\nA\n>bä\nC\n".encode(),
        "record 2 (line 3): illegal character '\\xc3' in the name 'b\\xc3\\xa4'; SAM allows only",
    ),
    # sequences
    (b">a\nAC\nA-C\n", "record 1 (line 3): illegal character '-' in the sequence (column 2); remove gaps"),
    (b">a\nAC GT\n", "illegal character ' ' in the sequence (column 3)"),
    (b">a\nMEEPQSDPSV\n", "record 1 (line 2): illegal character 'E' in the sequence (column 2); this may be protein"),
    (b">a\nAC\r>b\rGT\r", "illegal character '\\r' in the sequence (column 3); convert the line ends"),
    (b">a\nAC\n@b\nAC\n+\nII\n", "record 1 (line 3): illegal character '@' in the sequence (column 1)"),
    (b"@a\nAC*T\n+\nIIII\n", "record 1 (line 2): illegal character '*' in the sequence (column 3)"),
    # FASTQ structure
    (b"@a\nACGT\n+\nIII\n@b\nAC\n+\nII\n", "record 1 (line 4): quality has 3 characters, sequence has 4"),
    (b"@a\nA\n+\nI\n@b\nACGT\n+\nIIIII\n@c\nA\n+\nI\n", "record 2 (line 8): quality has 5 characters, sequence has 4"),
    (b"@a\nAC\nGT\n+\nII\nI\n@b\nAC\n+\nII\n", "record 1 (line 6): quality has 3 characters, sequence has 4"),
    (b"@a\n\n+\nII\n", "record 1 (line 4): quality has 2 characters, sequence has 0"),
    (b"@a\nACGT\n+\n\n@b\nAC\n+\nII\n", "record 1 (line 4): quality has 0 characters, sequence has 4"),
    (b"@a\nACGT\n+\nI I\x7f\n", "record 1 (line 4): illegal character ' ' in the quality (column 2)"),
    (
        b"@a\nAC\nIIII\n@b\nAC\n+\nII\n",
        "record 1 (line 3): illegal character 'I' in the sequence (column 1); is the '+'",
    ),
    (b"@a\nAC\n@b\nAC\n+\nII\n", "record 1 (line 3): expected a '+' line after the sequence, found the next record"),
    (b"@a\nAC\n+\nII\nb\nAC\n+\nII\n", "record 2 (line 5): expected '@' at the start of a record, found 'b'"),
    (b"@a\nAC\n+\nII\n>b\nAC\n", "record 2 (line 5): expected '@' at the start of a record, found '>b'"),
    # truncated
    (
        b"@a\nAC\n+\nII\n@b\nACGT\n+\nII",
        "record 2 (line 8): quality has 2 characters, sequence has 4 (the file ends here)",
    ),
    (
        b"@a\nAC\n+\nII\n@b\nACGT\n+\n",
        "record 2 (line 7): quality has 0 characters, sequence has 4 (the file ends here)",
    ),
    (
        b"@a\nAC\n+\nII\n@b\nACGT\n",
        "record 2 (line 6): the file ends inside this record: no '+' line; it may be truncated",
    ),
    (b"@a\nAC\n+\nII\n@b", "record 2 (line 5): the file ends inside this record"),
]


@pytest.mark.parametrize(("text", "message"), ERRORS)
@pytest.mark.parametrize("fast", [False, True], ids=["plain", "fast"])
def test_errors_name_file_record_line_and_what_was_found(write: Write, text: bytes, message: str, fast: bool) -> None:
    data = gzip.compress(text) if text.startswith(b"\x1f\x8b") else text
    path = write("reads.fq", data)
    with pytest.raises(InputError) as caught:
        list(read_chunks(path) if fast else read_fastx(path))
    assert str(caught.value).startswith(f"{path}, record ")
    assert message in str(caught.value)


def test_records_before_an_error_are_given(write: Write) -> None:
    records = read_fastx(write("a.fq", b"@a\nAC\n+\nII\n@b\nAC\n+\nI\n"))
    assert next(records).name == "a"
    with pytest.raises(InputError, match="record 2"):
        next(records)


@pytest.mark.parametrize("fast", [False, True], ids=["plain", "fast"])
def test_a_truncated_gzip_names_the_last_complete_record(write: Write, fast: bool) -> None:
    text = b"".join(b"@read%d\nACGTAC\n+\nIIIIII\n" % i for i in range(1, 5001))
    data = gzip.compress(text)
    path = write("cut.fq.gz", data[: len(data) // 2])
    with pytest.raises(InputError) as caught:
        list(read_chunks(path) if fast else read_fastx(path))
    names = [record.name for record in _until_error(path)]
    assert len(names) > 100
    last = f"the last complete record is {len(names)} ('{names[-1]}')"
    assert str(caught.value) == f"{path}: the gzip data are truncated; {last}; copy or download the file again"


def test_a_gzip_truncated_in_its_first_record_says_so(write: Write) -> None:
    path = write("cut.fq.gz", gzip.compress(b"@a\nACGTAC\n+\nIIIIII\n")[:-12])
    with pytest.raises(InputError, match="truncated; no complete record could be read before that"):
        list(read_fastx(path))


def _until_error(path: Path) -> list[Record]:
    records = []
    with pytest.raises(InputError):
        for record in read_fastx(path):
            records.append(record)
    return records


def test_the_sample_reads(sample: Path) -> None:
    records = list(read_fastx(sample / "portiera_R1.fastq.gz"))
    assert len(records) == 1750
    assert {len(record) for record in records} == {101}
    assert (records[0].name, records[0].comment) == ("SRR2838702.5", "FCD1DAFACXX:5:1101:13769:2381/1")
