"""Every format, its traps, and what is said of files that are no alignments."""

from __future__ import annotations

import gzip
import io
import logging
import sys
from pathlib import Path

import numpy as np
import pytest
import zstandard
from aligned_families import public_protein_file

from genoseq.errors import InputError, UsageError
from genoseq.families.alignments.files import read_alignment
from genoseq.families.alphabet import GAP, UNKNOWN


@pytest.fixture
def written(tmp_path: Path):
    """Write a file and give its path."""

    def write(content: str | bytes, name: str = "family") -> Path:
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return write


A3M = ">wt/24-28 x y\nACDEF\n>one\nA-kkDEF\n>two\nqACDE-w\n"


def test_a3m(written) -> None:
    found = read_alignment(written(A3M))
    assert found.names == ("wt/24-28", "one", "two")
    assert [found.row(i) for i in range(3)] == ["ACDEF", "A-DEF", "ACDE-"]
    assert found.sequences == ("ACDEF", "AKKDEF", "QACDEW")
    assert (found.query, found.start, found.modelled.all()) == ("ACDEF", 23, True)


@pytest.mark.parametrize("pack", [gzip.compress, zstandard.ZstdCompressor().compress], ids=["gzip", "zstd"])
def test_compressed(written, pack) -> None:
    assert read_alignment(written(pack(A3M.encode()), "x.bin")).row(1) == "A-DEF"


def test_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    class Input:
        buffer = io.BytesIO(A3M.encode())

    monkeypatch.setattr(sys, "stdin", Input())
    assert len(read_alignment("-")) == 3


@pytest.mark.parametrize(
    "text",
    [
        A3M.replace("\n", "\r\n"),
        "#A3M#\n" + A3M,
        "#5\t1\n" + A3M,
        "\n\n" + A3M.replace(">one", "\n>one"),
        A3M.replace("ACDEF\n", "AC\nDEF\n"),
        A3M.rstrip("\n"),
        "\ufeff" + A3M,
        A3M + "\0",
        A3M.replace(">two", "\0>two"),
    ],
    ids=["crlf", "hhsuite", "colabfold", "blank", "wrapped", "no end", "mark", "nul at the end", "nul between"],
)
def test_layouts_of_the_same_alignment(written, text: str) -> None:
    found = read_alignment(written(text))
    assert [found.row(i) for i in range(3)] == ["ACDEF", "A-DEF", "ACDE-"]
    assert found.sequences[2] == "QACDEW"


def test_a2m_keeps_the_query_s_lower_case_columns_and_marks_them(written) -> None:
    found = read_alignment(written(">wt\nacDE-Ff\n>x\n..DEGFk\n>y\nq.D-GFw\n"))
    assert found.query == "ACDEFF"
    assert found.row(1) == "--DEFK" and found.row(2) == "Q-D-FW"
    assert found.modelled.tolist() == [False, False, True, True, True, False]
    assert found.sequences[1] == "DEGFK"


def test_a2m_insertions_of_others_are_no_columns(written) -> None:
    found = read_alignment(written(">wt\nAC..DE\n>x\nACkkDE\n"))
    assert found.row(1) == "ACDE" and found.sequences[1] == "ACKKDE" and found.modelled.all()
    assert read_alignment(written(">wt\nAC..DE\n>x\nACkkDE\n"), query=None).length == 4


def test_a_query_with_insertions_in_a3m_has_columns_of_its_own(written) -> None:
    text = ">m\nACDEF\n>wt\nA-kkDE-w\n>x\nAGyDEF\n"
    found = read_alignment(written(text), query="wt", format="a3m")
    assert found.names == ("wt", "m", "x")
    assert found.query == found.sequences[0] == found.row(0) == "AKKDEW"
    assert found.row(2) == "A--DE-"
    assert found.modelled.tolist() == [True, False, False, True, True, False]


def test_names_of_files_decide_what_the_content_leaves_open(written) -> None:
    text = ">a\nAC-E\n>b\nACDE\n"
    assert read_alignment(written(text, "x.fa")).query is None
    for name in ("x.a2m", "x.a3m", "x.a3m.txt"):
        assert read_alignment(written(text, name)).query == "ACE"
    assert read_alignment(written(text, "x.fa"), format="a2m").row(1) == "ACE"
    packed = written(gzip.compress(text.encode()), "x.a2m.gz")
    assert read_alignment(packed).query == "ACE"


def test_fasta_without_a_query_drops_columns_of_gaps(written, caplog: pytest.LogCaptureFixture) -> None:
    path = written(">a\nA-C.\n>b\nA-CD\n>c\nAWC-\n>d\nA-C-\n")
    with caplog.at_level(logging.INFO):
        found = read_alignment(path)
    assert found.row(2) == "AC" and found.sequences[2] == "AWC" and found.query is None
    assert "dropped 2 columns of 4" in caplog.text
    assert read_alignment(path, max_gaps=0.8).length == 4
    assert read_alignment(path, max_gaps=1).length == 4
    assert read_alignment(path, query="b").row(0) == "ACD"


def test_case_says_nothing_in_fasta(written) -> None:
    found = read_alignment(written(">a\nacD-\n>b\nACdE\n"), query="a")
    assert found.query == "ACD" and found.modelled.all()


STOCKHOLM = """# STOCKHOLM 1.0
#=GF ID x
a/3-6   AC.D
#=GR a/3-6 SS HH.H
b       -CwD
#=GC SS_cons HH.H
#=GC RF      xx.x

a/3-6   E..
b       Eyy
#=GC RF      x..
//
"""


def test_stockholm_blocks_and_reference(written) -> None:
    found = read_alignment(written(STOCKHOLM))
    assert [found.row(i) for i in range(2)] == ["ACDE", "-CDE"]
    assert found.sequences == ("ACDE", "CWDEYY") and found.query is None
    found = read_alignment(written(STOCKHOLM), query="b")
    assert found.names == ("b", "a/3-6") and found.query == "CWDEYY"
    assert found.modelled.tolist() == [True, False, True, True, False, False]
    assert read_alignment(written(STOCKHOLM), query="a").start == 2
    unmarked = "".join(line for line in STOCKHOLM.splitlines(keepends=True) if "RF" not in line)
    assert read_alignment(written(unmarked), max_gaps=0.4).length == 3


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (STOCKHOLM.replace("//\n", ""), "ends without '//'"),
        (STOCKHOLM + STOCKHOLM, "more than one Stockholm alignment"),
        (STOCKHOLM.replace("b       Eyy", "b Eyy z"), "found 3 words"),
        (STOCKHOLM.replace("Eyy", "Ey"), "row 'b' has 6 columns, the first row has 7"),
        (STOCKHOLM.replace("x..\n", "x.\n"), "#=GC RF line has 6 columns"),
        (STOCKHOLM.replace("-CwD", "-C1D"), r"record 2 \(line 5\): '1' \(column 3"),
    ],
)
def test_damaged_stockholm(written, text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_alignment(written(text))


def test_a_query_by_name_with_and_without_its_range(written) -> None:
    path = written(">a\nACDE\n>P1/5-7\nA-DE\n")
    for name in ("P1", "P1/5-7"):
        found = read_alignment(path, query=name)
        assert (found.query, found.start, found.names) == ("ADE", 4, ("P1/5-7", "a"))


def test_a_range_that_does_not_fit_is_not_believed(written, caplog: pytest.LogCaptureFixture) -> None:
    assert read_alignment(written(">a/5-9\nACDE\n>b\nAcCDE\n")).start == 0
    assert "spans 5 residues, its row has 4" in caplog.text


def test_a_wild_type_is_located(written) -> None:
    row, other = "ACDEFGHIKLMN", "-CDEFGHIKLM-"
    path = written(f">x\n{other}\n>y\n{row}\n")
    found = read_alignment(path, query="MMM" + row + "PP")
    assert (found.query, found.start, found.names[0]) == ("CDEFGHIKLM", 4, "x")  # the first row fits, so it is the query
    found = read_alignment(path, query=row.lower() + "*")
    assert (found.query, found.start, found.names[0]) == ("CDEFGHIKLM", 1, "x")
    part = read_alignment(written(f">y\n{row}\n>x\n{other}\n"), query=row[1:11])
    assert (part.query, part.start, part.row(1)) == (row[1:11], 0, row[1:11])
    found = read_alignment(written(f">z\nWCDEFGHIKLMW\n>y\n{row}\n>x\n{other}\n"), query=row)
    assert found.names == ("y", "z", "x")


def test_a_fragment_is_no_query_where_the_first_row_was_meant(written) -> None:
    """A wild type that differs from the query by one residue contains many fragments of homologues."""
    wild = "ACDEFGHIKLMNPQRSTVWY"
    path = written(f">q\n{wild[:9]}W{wild[10:]}\n>fragment\n----------{wild[10:]}\n")
    with pytest.raises(InputError, match=r"not that of the alignment: the first row, 'q', differs in 1 residue \(L10W\)"):
        read_alignment(path, query=wild)


def test_the_longest_part_of_the_wild_type_is_taken(written) -> None:
    wild = "ACDEFGHIKLMNPQRSTVWY"
    path = written(f">w\nWWWWWWWWWWWW\n>a\n{wild[:6]}------\n>b\n{wild[3:15]}\n")
    found = read_alignment(path, query=wild)
    assert (found.names[0], found.start) == ("b", 3)


def test_a_repeat_is_placed_by_the_range_in_the_name(written, caplog: pytest.LogCaptureFixture) -> None:
    wild = "ACDEFGHIKLACDEFGHIKL"
    assert read_alignment(written(">a/11-20\nACDEFGHIKL\n"), query=wild).start == 10
    assert read_alignment(written(">a\nACDEFGHIKL\n"), query=wild).start == 0
    assert "more than once" in caplog.text


def test_a_wild_type_that_is_absent_is_compared(written) -> None:
    row = "ACDEFGHIKLMN"
    with pytest.raises(InputError, match=r"the wild type \(14 residues\).*the first row, 'x', differs in 1 residue \(W5D\)"):
        read_alignment(written(f">x\n{row}\n"), query="MMACWEFGHIKLMN")
    with pytest.raises(InputError, match="no part of a row, and no row is a part of it; give"):
        read_alignment(written(f">x\n{row}\n"), query="WYWYWYWYWYWYWY")
    with pytest.raises(InputError, match="no row is named 'nobody'; its names are x"):
        read_alignment(written(f">x\n{row}\n"), query="nobody")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "holds no sequences"),
        ("\n\n", "holds no sequences"),
        ("# only a comment\n", "holds no sequences"),
        ("hello\n", "is no alignment: expected '>' or '# STOCKHOLM', found 'hello'"),
        (">a\nACDE\n>\nACDE\n", r"record 2 \(line 3\): has no name"),
        (">a\nAC-E\n>b\nACD\n", r"record 2 \(line 3\): row 'b' has 3 columns, the first row has 4"),
        (">a\nAC-E\n>b\nACDwww\n", r"row 'b' has 3 match columns, the first row has 4; capitals"),
        (">a\nACDE\n\0>b\nACDwww\n", "NUL bytes divide the file"),
        (">a\nACDEFG\n>b\nACD\n", "genoseq family align SEQUENCES --to ALIGNMENT"),
        (">a\nAC1E\n>b\nACDE\n", r"record 1 \(line 2\): '1' \(column 3 of the line\) is neither"),
        (">a\nACDE\n>b\nA*DE\n", r"record 2 \(line 3\): has a stop codon \('\*'\) inside the sequence 'b' \(column 2\)"),
        (">a\n\n>b\n\n", "the first row is empty"),
        (">a\n" + "ACGT-" * 30 + "\n>b\n" + "ACGTT" * 30 + "\n", "holds nucleotides, expected proteins"),
        (">a\n---\n>b\n---\n", "every column has more than 50% gaps"),
    ],
)
def test_what_is_no_alignment(written, text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_alignment(written(text))


def test_damaged_files(written, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="truncated"):
        read_alignment(written(gzip.compress(A3M.encode() * 99)[:-12]))
    with pytest.raises(InputError, match="no such file"):
        read_alignment(tmp_path / "absent")


def test_a_query_of_gaps(written) -> None:
    with pytest.raises(InputError, match="the query 'a' has no residues"):
        read_alignment(written(">a\n---\n>b\nACD\n"), query="first")


@pytest.mark.parametrize(
    "text", [">a\nACDE*\n>b\nAC-E*\n", ">a\nACDE*\n>b\nAC-E\n", ">a\nACDE\n>b\nAC-E*\n", ">a\nACDEkk*\n>b\nAC-E\n"]
)
def test_a_stop_at_the_end_is_dropped(written, caplog: pytest.LogCaptureFixture, text: str) -> None:
    found = read_alignment(written(text), query="first")
    assert found.row(1) == "AC-E"[: found.length] + "-" * (found.length - 4)
    assert "dropped the stop codon ('*')" in caplog.text


def test_a_stop_in_a_column(written) -> None:
    found = read_alignment(written(">a\nACDE\n>b\nAC*-\n>c\nACD-\n"), query="a")
    assert found.row(1) == "AC--" and found.sequences[1] == "AC"


def test_letters_that_are_no_amino_acids(written) -> None:
    found = read_alignment(written(">a\nACDEFGH\n>b\nBZJXUO-\n"), query="first")
    assert found.matrix[1].tolist() == [UNKNOWN] * 4 + [1, 8, GAP]
    assert found.sequences[1] == "BZJXUO"


def test_comments_say_a3m_only_where_they_are_its_own(written) -> None:
    assert read_alignment(written("# made\tby hand\n>a\nAC-\n>b\nACD\n")).query is None
    assert read_alignment(written("#3,3\t1,1\n>a\nACD\n>b\nAC-\n")).query == "ACD"


def test_names_used_before_get_a_suffix(written, caplog: pytest.LogCaptureFixture) -> None:
    found = read_alignment(written(">a\nACD\n>a\nAC-\n>a_2\nACD\n>a\nACD\n"), query="first")
    assert found.names == ("a", "a_3", "a_2", "a_4")
    assert "2 names already used" in caplog.text


def test_one_sequence_is_an_alignment_with_itself_as_the_query(written) -> None:
    found = read_alignment(written(">a/3-6\nACDE\n"))
    assert (found.query, found.start, found.length) == ("ACDE", 2, 4)
    assert read_alignment(written(">a\nACDE\n"), query=None).query is None


def test_format_and_gaps_are_checked(written) -> None:
    with pytest.raises(UsageError, match="no alignment format is called 'clustal'"):
        read_alignment(written(A3M), format="clustal")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="is not in Stockholm format, expected stockholm"):
        read_alignment(written(A3M), format="stockholm")
    with pytest.raises(InputError, match="is in Stockholm format, expected a3m"):
        read_alignment(written(STOCKHOLM), format="a3m")
    with pytest.raises(UsageError, match=r"largest share of gaps is 1\.5"):
        read_alignment(written(A3M), max_gaps=1.5)


def test_memory_is_a_few_times_the_file(written) -> None:
    import tracemalloc

    rng = np.random.default_rng(1)
    letters = np.frombuffer(b"ACDEFGHIKLMNPQRSTVWY-", np.uint8)
    block = letters[rng.integers(0, 21, (500, 100))]
    rows = [row.tobytes().decode() for row in block]
    path = written("".join(f">s{i}\n{rows[i % 500]}\n" for i in range(5000)), "x.a3m")
    tracemalloc.start()
    found = read_alignment(path, query=None)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found.matrix.shape == (5000, 100)
    assert peak < 8 * path.stat().st_size


@pytest.mark.parametrize(
    ("name", "rows", "columns", "modelled", "query"),
    [
        ("msa_BLAT_ECOLX_ColabFold.a3m.gz", 4501, 286, 286, True),
        ("msa_DHFR.a2m.gz", 3629, 159, 159, True),
        ("msa_P53_HUMAN.a2m.gz", 3668, 393, 329, True),
        ("fam_DHFR_PEPM3.an.gz", 682, 164, 164, False),
        ("fam_PF00074_RNaseA.an.gz", 847, 121, 121, False),
        ("fam_PF13354_betalactamase2.fasta.gz", 5028, 200, 200, False),
        ("hmmer_Pkinase.sto", 38, 263, 263, False),
        ("hmmer_globins4.sto", 4, 149, 149, False),
    ],
)
def test_public_alignments(name: str, rows: int, columns: int, modelled: int, query: bool) -> None:
    found = read_alignment(public_protein_file(name))
    assert (len(found), found.length, int(found.modelled.sum()), found.query is not None) == (rows, columns, modelled, query)
    assert len(set(found.names)) == rows
    for number in range(0, rows, 97):
        letters = iter(found.sequences[number])
        assert all(any(one == other or other in "BZJUO" for other in letters) for one in found.row(number).replace("-", ""))


def test_public_files_that_are_no_protein_alignments() -> None:
    with pytest.raises(InputError, match="genoseq family align"):
        read_alignment(public_protein_file("hmmer_globins45.fa"))
    with pytest.raises(InputError, match="holds nucleotides"):
        read_alignment(public_protein_file("rna_RF00167.fa.gz"))
