from __future__ import annotations

import gzip
import logging
from pathlib import Path

import pytest

from genoseq.errors import InputError
from genoseq.evaluate.reference import ReferencePart, assemble_reference, find_genomes


def test_genomes_are_found_by_name_and_filtered(tmp_path: Path) -> None:
    for name in ("b.fa", "a.fna.gz", "c.fasta", "notes.txt", "d.gff.gz"):
        (tmp_path / name).write_text(">x\nA\n")
    assert [path.name for path in find_genomes(tmp_path)] == ["a.fna.gz", "b.fa", "c.fasta"]
    assert [path.name for path in find_genomes(tmp_path, include=["a*", "c*"], exclude=["c*"])] == ["a.fna.gz"]
    with pytest.raises(InputError, match="no FASTA file fits z"):
        find_genomes(tmp_path, include=["z"])
    with pytest.raises(InputError, match="is not a folder"):
        find_genomes(tmp_path / "none")


def test_contigs_get_unique_names_and_exact_copies_are_left_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "a.fa").write_text(">chr1 first\n" + "ACGTR" * 30 + "\n>chr2,x\nGGGG\n")
    (tmp_path / "b.fna.gz").write_bytes(gzip.compress(b">chr1\nTTTT\n>copy\ngggg\n"))
    with caplog.at_level(logging.WARNING, logger="genoseq"):
        parts = assemble_reference(find_genomes(tmp_path), tmp_path / "out.fa")
    assert parts == [
        ReferencePart("a|chr1", "a.fa", 150),
        ReferencePart("a|chr2_x", "a.fa", 4),
        ReferencePart("b|chr1", "b.fna.gz", 4),
    ]
    lines = (tmp_path / "out.fa").read_text().splitlines()
    assert lines[0] == ">a|chr1"
    assert "".join(lines[1:3]) == "ACGTR" * 30
    assert lines[3:] == [">a|chr2_x", "GGGG", ">b|chr1", "TTTT"]
    assert "b|copy has the same bases as a|chr2_x" in caplog.text


def test_two_contigs_of_one_name_are_an_error_and_nothing_is_written(tmp_path: Path) -> None:
    (tmp_path / "a.fa").write_text(">x,\nACGT\n>x;\nACG\n>x=\nAC\n")
    with pytest.raises(InputError, match="a second contig"):
        assemble_reference([tmp_path / "a.fa"], tmp_path / "out.fa")
    assert not (tmp_path / "out.fa").exists()
