"""Members laid into the columns of their family; what HMMER's own program gives, where it is installed."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from aligned_families import family_rows, public_protein_file

from genoseq.errors import InputError
from genoseq.families.alignments.a3m import alignment_of_a3m
from genoseq.families.alignments.files import read_alignment
from genoseq.families.alignments.profile_alignment import align_proteins, profile_of
from genoseq.families.alignments.protein_records import Protein, read_proteins

ROWS = family_rows()
REFERENCE = alignment_of_a3m(["wt/11-70", *(f"r{i}" for i in range(1, 12))], ROWS, query=True, start=10)


def test_columns_are_those_of_the_query() -> None:
    member = ROWS[3]
    changed = "MM" + member[:20] + "WWWW" + member[20:40] + member[43:]
    found = align_proteins(REFERENCE, [Protein("same", member), Protein("changed", changed), Protein("part", member[10:50])])
    assert found.alignment.names == ("wt/11-70", "same", "changed", "part")
    assert (found.alignment.query, found.alignment.start) == (ROWS[0], 10)
    assert found.rows[:2] == (ROWS[0], member)
    assert found.rows[2] == "mm" + member[:20] + "wwww" + member[20:40] + "---" + member[43:]
    assert found.alignment.row(3) == "-" * 10 + member[10:50] + "-" * 10
    assert found.alignment.sequences[2] == changed


def test_all_rows_can_be_kept_and_names_stay_unique(caplog: pytest.LogCaptureFixture) -> None:
    found = align_proteins(REFERENCE, [Protein("r3", ROWS[3])], keep=True)
    assert len(found.alignment) == 13 and found.alignment.names[-1] == "r3_2"
    assert "1 name already used" in caplog.text
    assert np.array_equal(found.alignment.matrix[:12], REFERENCE.matrix)


def test_without_a_query_only_the_sequences_come() -> None:
    reference = alignment_of_a3m(REFERENCE.names, ROWS, query=False)
    found = align_proteins(reference, [Protein("a", ROWS[5])])
    assert found.alignment.names == ("a",) and found.alignment.query is None and found.rows == (ROWS[5],)


def test_strangers_are_named(caplog: pytest.LogCaptureFixture) -> None:
    found = align_proteins(REFERENCE, [Protein("a", ROWS[5]), Protein("odd", "MKWVTFISLLFLFSSAYSRGVFRRDAHKSEVAHRFKDLGE")])
    assert found.unlike == ("odd",)
    assert "1 sequence without likeness to the family (E-value above 0.001): odd" in caplog.text


def test_threads_and_order_change_nothing() -> None:
    proteins = [Protein(f"p{i}", row[i % 7 :]) for i, row in enumerate(family_rows(300, seed=1))]
    one = align_proteins(REFERENCE, proteins)
    assert align_proteins(REFERENCE, proteins, threads=3).rows == one.rows
    reverse = align_proteins(REFERENCE, proteins[::-1])
    assert reverse.rows[1:] == one.rows[1:][::-1]


def test_insertions_shape_the_profile() -> None:
    plain = profile_of(REFERENCE)
    rows = [ROWS[0], *(row[:30] + "wgwg" + row[30:] for row in ROWS[1:])]
    inserted = profile_of(alignment_of_a3m(REFERENCE.names, rows, query=True))
    assert plain.M == inserted.M == 60
    after = inserted.transition_probabilities[30]
    assert after[1] > 5 * plain.transition_probabilities[30][1]  # match to insertion


def test_very_long_insertions_stay_affordable() -> None:
    rows = [ROWS[0], *(row[:i] + "w" * 2000 + row[i:] for i, row in enumerate(ROWS[1:], 20))]
    assert profile_of(alignment_of_a3m(REFERENCE.names, rows, query=True)).M == 60


@pytest.mark.parametrize("columns", [55, 56, 57, 58, 59, 60, 184, 200, 504])
def test_profiles_of_any_width_leave_the_memory_whole(columns: int) -> None:
    """HMMER reads the marks of the columns up to their end, which has to be there."""
    rows = [(row * 10)[:columns] for row in ROWS]
    for _ in range(5):
        assert columns == profile_of(alignment_of_a3m(REFERENCE.names, rows, query=False)).M


def test_rows_without_residues_do_no_harm() -> None:
    rows = [*ROWS[:5], "-" * 60, "-" * 30 + "www" + "-" * 30]
    assert profile_of(alignment_of_a3m(REFERENCE.names[:7], rows, query=True)).M == 60


def test_what_cannot_be_aligned() -> None:
    with pytest.raises(InputError, match="no sequences to align"):
        align_proteins(REFERENCE, [])
    with pytest.raises(InputError, match="no residues"):
        profile_of(alignment_of_a3m(["a"], ["---"], query=False))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (">a\nAC-D\n", r"record 1 \(line 2\): '-' \(column 3 of the line\) is no amino acid; remove gaps"),
        (">a\nACD\n>b\nAC*D\n", r"record 2 \(line 4\): has a stop codon \('\*'\) inside the sequence \(residue 3\)"),
        ("@a\nACD\n+\nIII\n", "is FASTQ, expected FASTA of proteins"),
        (">a\nAC1D\n", r"'1' \(column 3"),
        ("ACD\n", "is neither FASTA nor FASTQ"),
    ],
)
def test_bad_fasta(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "x").write_text(text)
    with pytest.raises(InputError, match=message):
        list(read_proteins(tmp_path / "x"))


def test_fasta(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "x").write_text(">a x\nac\nD*\n>empty\n>b\nA*C\n")
    assert list(read_proteins(tmp_path / "x", stops_inside=True)) == [Protein("a", "ACD"), Protein("b", "AXC")]
    assert "left out 1 record without residues" in caplog.text and "stop codon" not in caplog.text
    (tmp_path / "x").write_text(">a x\nac\nD*\n>b\nAC\n")
    assert list(read_proteins(tmp_path / "x")) == [Protein("a", "ACD"), Protein("b", "AC")]
    assert "dropped the stop codon ('*') at the end of 1 record" in caplog.text


def test_as_hmmalign_aligns(tmp_path: Path) -> None:
    """The rows of HMMER's program to the same profile."""
    if shutil.which("hmmalign") is None:
        pytest.skip("hmmalign is not installed")
    reference = read_alignment(public_protein_file("hmmer_globins4.sto"))
    proteins = list(read_proteins(public_protein_file("hmmer_globins45.fa")))
    found = align_proteins(reference, proteins)
    assert len(found.rows) == 45 and not found.unlike
    with open(tmp_path / "p.hmm", "wb") as handle:
        profile_of(reference).write(handle)
    (tmp_path / "x.fa").write_text("".join(f">{i}\n{one.sequence}\n" for i, one in enumerate(proteins)))
    done = subprocess.run(
        ["hmmalign", "--outformat", "a2m", tmp_path / "p.hmm", tmp_path / "x.fa"], capture_output=True, text=True, check=True
    )
    theirs = {record.split("\n", 1)[0]: record.split("\n", 1)[1].replace("\n", "") for record in done.stdout.split(">")[1:]}
    assert [theirs[str(i)].replace(".", "") for i in range(45)] == list(found.rows)
