from __future__ import annotations

import gzip
import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from genoseq.errors import InputError
from genoseq.seqs.genome import Genome, contig_of

Write = Callable[[str, bytes], Path]


@pytest.fixture
def genome(write: Write) -> Genome:
    return Genome.from_fasta(write("g.fa", b">one first\nACGTN\nnRa\n>two\tx\nu\n>three\nNNNN\n"))


def test_contigs_lie_one_after_another(genome: Genome) -> None:
    assert genome.names == ["one", "two", "three"]
    assert genome.offsets.tolist() == [0, 8, 9, 13]
    assert genome.lengths.tolist() == [8, 1, 4]
    assert (len(genome), genome.size) == (3, 13)
    assert genome.codes.tolist() == [0, 1, 2, 3, 4, 4, 4, 0, 3, 4, 4, 4, 4]
    assert genome.contig_codes(1).tolist() == [3]


def test_md5_is_of_the_upper_case_letters(genome: Genome) -> None:
    assert genome.md5 == [hashlib.md5(letters).hexdigest() for letters in (b"ACGTNNRA", b"U", b"NNNN")]


def test_md5_of_phix_is_the_one_of_the_archives(sample: Path) -> None:
    genome = Genome.from_fasta(sample / "phix174.fa")
    assert genome.md5 == ["3332ed720ac7eaa9b3655c06f6b9e196"]  # M5 of NC_001422.1; the file is partly in lower case
    assert genome.size == 5386


def test_fetch_clips_to_the_contig(genome: Genome) -> None:
    assert genome.fetch("one", 0, 8) == b"ACGTNNNA"
    assert genome.fetch("one", -5, 2) == b"AC"
    assert genome.fetch("one", 7, 100) == b"A"
    assert genome.fetch("one", 5, 5) == b""
    assert genome.fetch("one", -7, -2) == b""
    with pytest.raises(InputError, match="has no contig 'four'; it has one, two, three"):
        genome.fetch("four", 0, 1)


def test_the_number_of_a_contig(genome: Genome) -> None:
    assert [genome.number(name) for name in genome.names] == [0, 1, 2]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", "holds no sequence; give a FASTA file with at least one contig"),
        (b"\n\n", "holds no sequence"),
        (b">a\nA\n>b\nC\n>a x\nG\n", "record 3: the contig name 'a' stands twice (first in record 1); names up to"),
        (b">a\nA\n>b\n>c\nA\n", "record 2: contig 'b' has no bases; remove it"),
        (b">a\nNNNN\n>b\nRY\n", "holds no A, C, G or T, only unknown bases"),
        (b"@a\nA\n+\nI\n", "is FASTQ, expected a genome in FASTA"),
        (b">a\nACGT\n>b,c\nA\n", "record 2: the contig name 'b,c' has a character that SAM does not allow"),
        (b">*a\nACGT\n", "the contig name '*a'"),
        (b">a\nMKVLE\n", "record 1 (line 2): illegal character 'L'"),
        (b"<html>", "is a web page"),
    ],
)
def test_errors_of_a_genome_name_the_file_and_the_remedy(write: Write, text: bytes, message: str) -> None:
    path = write("g.fa", text)
    with pytest.raises(InputError) as caught:
        Genome.from_fasta(path)
    assert str(caught.value).startswith(str(path))
    assert message in str(caught.value)


@pytest.mark.parametrize("name", ["HLA*01:01:01:01", "gi|9626372|ref|NC_001422.1|", "chr1_KI270706v1_random", "a=b;c"])
def test_names_that_sam_allows_are_taken(write: Write, name: str) -> None:
    assert Genome.from_fasta(write("g.fa", f">{name}\nACGT\n".encode())).names == [name]


def test_a_genome_larger_than_a_piece(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("genoseq.seqs.genome.PIECE", 16)
    contigs = [b"ACGT" * n for n in range(1, 30)]
    genome = Genome.from_fasta(write("g.fa", b"".join(b">c%d\n%b\n" % (i, c) for i, c in enumerate(contigs))))
    assert [genome.fetch(name, 0, 1000) for name in genome.names] == contigs


def test_a_hundred_thousand_contigs(write: Write) -> None:
    text = b"".join(b">contig_%d\nACGTACGTNA\n" % i for i in range(100_000))
    genome = Genome.from_fasta(write("g.fa", text))
    assert (len(genome), genome.size) == (100_000, 1_000_000)
    assert genome.number("contig_99999") == 99_999


def test_gzip_is_read(write: Write, sample: Path) -> None:
    plain = Genome.from_fasta(sample / "phix174.fa")
    packed = Genome.from_fasta(write("g.fa.gz", gzip.compress((sample / "phix174.fa").read_bytes())))
    assert (packed.names, packed.md5) == (plain.names, plain.md5)
    assert np.array_equal(packed.codes, plain.codes)


def test_contig_of_a_position() -> None:
    offsets = np.array([0, 10, 11, 50])
    assert [int(contig_of(offsets, p)) for p in (0, 9, 10, 11, 49)] == [0, 0, 1, 2, 2]
