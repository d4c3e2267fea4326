"""DNA and RNA are told from proteins wherever sequences are read; what is too short to tell is read with a warning."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from genoseq.errors import InputError
from genoseq.families.alignments.a3m import alignment_of_a3m
from genoseq.families.alignments.files import read_alignment
from genoseq.families.alignments.homologues import search_homologues
from genoseq.families.alignments.laid_out import read_rows_like
from genoseq.families.alignments.nucleotides import LOOKED, TELLING, refuse_nucleotides
from genoseq.families.alignments.protein_records import read_proteins
from genoseq.families.variants.files import read_variants

DNA = "ACGTTGCAAC"


@pytest.fixture
def written(tmp_path: Path):
    def write(text: str) -> Path:
        path = tmp_path / "x"
        path.write_text(text)
        return path

    return write


@pytest.mark.parametrize("text", [DNA * 3, DNA.lower() * 3, "ACGU-N.A*" * 6, (DNA * 10)[:-3] + "RYS"])
def test_nucleotides_are_refused(text: str) -> None:
    with pytest.raises(InputError, match="holds nucleotides, expected proteins; translate the sequences first"):
        refuse_nucleotides([text.encode()], "x")


@pytest.mark.parametrize(
    "text",
    [
        DNA * 10 + "L",  # one letter that no nucleotide code has
        "GAGAGS" * 20,  # silk: letters of IUPAC, too many of them ambiguous
        "",
        "---",
    ],
)
def test_proteins_are_not(text: str, caplog: pytest.LogCaptureFixture) -> None:
    refuse_nucleotides([text.encode()], "x")
    assert not caplog.records


def test_what_is_too_short_to_tell_is_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "genoseq"):
        refuse_nucleotides([b"ACGT"] * (TELLING // 4), "x.fa")
    assert "x.fa: has no other letters than nucleotides have" in caplog.text and "translate it first" in caplog.text
    with pytest.raises(InputError):
        refuse_nucleotides([b"ACGT"] * (TELLING // 4 + 1), "x.fa")


def test_no_more_is_read_than_needed() -> None:
    read = 0

    def sequences() -> Iterator[bytes]:
        nonlocal read
        while True:
            read += 1
            yield DNA.encode() * 10

    with pytest.raises(InputError):
        refuse_nucleotides(sequences(), "x")
    assert read == LOOKED // 100


def test_alignments(written, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(InputError, match="holds nucleotides"):
        read_alignment(written(f">a\n{DNA}{DNA}\n>b\n{DNA}{DNA}\n"))
    with pytest.raises(InputError, match="holds nucleotides"):  # genes as they are: nothing to align before that
        read_alignment(written(f">a\n{DNA}{DNA}\n>b\n{DNA}\n"))
    assert len(read_alignment(written(">a\nACGT\n>b\nAC-T\n"))) == 2
    assert "it is read as protein" in caplog.text


@pytest.mark.parametrize("records", [1, 3, 400])
def test_unaligned_sequences(written, records: int) -> None:
    path = written("".join(f">{number}\n{DNA * 4}\n" for number in range(records)))
    for read in (lambda: next(read_proteins(path)), lambda: read_variants(path), lambda: read_rows_like(path, REFERENCE)):
        with pytest.raises(InputError, match="holds nucleotides, expected proteins"):
            read()


def test_a_table_of_sequences(written) -> None:
    with pytest.raises(InputError, match="holds nucleotides, expected proteins"):
        read_variants(written(f"mutated_sequence,score\n{DNA * 4},1\n"))


def test_a_database_of_genes(written) -> None:
    wild = "".join("ACDEFGHIKLMNPQRSTVWY"[code] for code in np.random.default_rng(0).integers(0, 20, 80))
    with pytest.raises(InputError, match="holds nucleotides, expected proteins"):
        search_homologues(wild, written(f">gene\n{DNA * 200}\n"))


REFERENCE = alignment_of_a3m(["q", "x"], ["ACDEFGHIKL", "ACDEFGHIKV"], query=True)
