"""A genome through its index or in memory gives the same letters."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pysam
import pytest
from tiny_nets import drawn

from genoseq.errors import InputError
from genoseq.infer import reference as module
from genoseq.infer.reference import Reference
from genoseq.infer.variants import Variant, compare_reference
from genoseq.seqs.genome import Genome

Write = Callable[[str, bytes], Path]
TEXT = f">chr1 first\n{drawn(70)}\n{drawn(30, 2).lower()}\n>chr2\nACGTRN\n"


def in_memory(path: Path, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether the whole genome is read."""
    read: list[object] = []
    whole = Genome.from_fasta
    monkeypatch.setattr(module.Genome, "from_fasta", lambda given: read.append(given) or whole(given))  # type: ignore[func-returns-value]
    with Reference.open(path) as opened:
        assert opened.names == ["chr1", "chr2"]
        assert (opened.length("chr1"), opened.length("chr2"), opened.length("chr3")) == (100, 6, None)
        assert opened.fetch("chr1", 65, 75) == (drawn(70)[65:] + drawn(30, 2)[:5])
        assert opened.fetch("chr1", -5, 2) == drawn(70)[:2]
        assert opened.fetch("chr1", 98, 200) == drawn(30, 2)[28:]
        assert opened.fetch("chr1", 50, 50) == opened.fetch("chr1", 200, 300) == ""
        assert opened.fetch("chr2", 0, 4) == "ACGT"
    return bool(read)


def test_with_and_without_an_index(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write("genome.fa", TEXT.encode())
    assert in_memory(path, monkeypatch)
    pysam.faidx(str(path))
    assert not in_memory(path, monkeypatch)
    os.utime(path, (path.stat().st_mtime + 100,) * 2)  # the index is of an older file
    assert in_memory(path, monkeypatch)


def test_compressed_files(write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain, packed = write("plain.fa", TEXT.encode()), tmp_path / "genome.fa.gz"
    pysam.tabix_compress(str(plain), str(packed))
    assert in_memory(packed, monkeypatch)
    pysam.faidx(str(packed))
    assert not in_memory(packed, monkeypatch)
    Path(f"{packed}.gzi").unlink()
    assert in_memory(packed, monkeypatch)


def test_a_damaged_index_is_told(write: Write) -> None:
    path = write("genome.fa", TEXT.encode())
    write("genome.fa.fai", b"what is this\n")
    with pytest.raises(InputError, match=r"genome.fa: cannot be read by its index .*; remove .*genome.fa.fai"):
        Reference.open(path)


def test_what_is_no_genome(write: Write) -> None:
    with pytest.raises(InputError, match="neither FASTA nor FASTQ"):
        Reference.open(write("x.fa", b"hello\n"))


@pytest.mark.parametrize("indexed", [False, True])
def test_ambiguity_codes_as_the_file_has_them(write: Write, indexed: bool) -> None:
    path = write("genome.fa", TEXT.encode())
    if indexed:
        pysam.faidx(str(path))
    with Reference.open(path) as opened:
        assert opened.exact("chr2", 0, 6) == "ACGTRN"
        assert opened.exact("chr2", 4, 99) == "RN"
        assert opened.exact("chr1", -3, 5) == opened.fetch("chr1", 0, 5)


@pytest.mark.parametrize("indexed", [False, True])
def test_ref_may_be_the_first_base_of_an_ambiguity_code(write: Write, indexed: bool) -> None:
    path = write("genome.fa", b">c\nACRTNYB\n")
    if indexed:
        pysam.faidx(str(path))
    with Reference.open(path) as opened:
        for start, ref in ((2, "A"), (2, "R"), (2, "N"), (1, "CAT"), (5, "CC"), (4, "N")):
            assert compare_reference(Variant("c", start, ref, ("G",)), opened) is None, (start, ref)
        for start, ref, found in ((2, "G", "R"), (4, "A", "N"), (5, "TC", "YB"), (0, "C", "A")):
            assert compare_reference(Variant("c", start, ref, ("G",)), opened) == (
                "ref_mismatch", f"REF is {ref}, the FASTA file has {found}",
            )  # fmt: skip
