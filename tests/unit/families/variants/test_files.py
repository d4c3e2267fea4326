"""Tables, lists and FASTA of variants, and what is said of bad records."""

from __future__ import annotations

import gzip
import io
import os
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from aligned_families import public_protein_file

from genoseq.errors import InputError
from genoseq.families.variants.files import read_variants
from genoseq.families.variants.notation import Substitution, VariantsError, apply_variant, check_variants, parse_variant

PROTEINGYM = "mutant,mutated_sequence,DMS_score,DMS_score_bin\nA1P,PDE,1.5,1\nA1P:D2N,PNE,,0\nE3A,ADA,-2,\n"


@pytest.fixture
def written(tmp_path: Path):
    """Write a file and give its path."""

    def write(content: str | bytes, name: str = "assay.csv") -> Path:
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return write


def test_proteingym_substitutions(written) -> None:
    found = read_variants(written(PROTEINGYM))
    assert found.names == ("A1P", "A1P:D2N", "E3A") and len(found) == 3
    assert found.variants is not None and found.variants[1] == (Substitution(0, "A", "P"), Substitution(1, "D", "N"))
    assert found.sequences == ("PDE", "PNE", "ADA")
    assert [apply_variant("ADE", one) for one in found.variants] == list(found.sequences)
    assert np.array_equal(found.measured["DMS_score"], [1.5, np.nan, -2], equal_nan=True)
    assert list(found.measured) == ["DMS_score", "DMS_score_bin"]


def test_proteingym_indels(written) -> None:
    found = read_variants(written("mutant,DMS_score\nACDE,1\nACDDE,2\nACE,3\n"))
    assert found.variants is None and found.sequences == ("ACDE", "ACDDE", "ACE")
    assert found.measured["DMS_score"].tolist() == [1, 2, 3]
    both = read_variants(written("mutant,mutated_sequence,DMS_score\nACDE,ACDE,1\nACDDE,ACDDE,2\n"))
    assert both.sequences == ("ACDE", "ACDDE") and both.variants is None


@pytest.mark.parametrize(
    "text",
    [
        "Variant\tfitness\nA1P\t1\nD2N\t2\n",
        "variant;fitness\nA1P;1\nD2N;2\n",
        "\ufeffmutation,fitness\r\nA1P,1\r\n\r\nD2N,2\r\n",
        'hgvs_pro,fitness\n"p.Ala1Pro",1\np.Asp2Asn,2\n',
    ],
)
def test_other_tables(written, text: str) -> None:
    found = read_variants(written(text))
    assert found.variants == (parse_variant("A1P"), parse_variant("D2N"))
    assert found.measured["fitness"].tolist() == [1, 2] and found.sequences is None


def test_a_chosen_column_and_offset(written) -> None:
    path = written("mutant,other\nx,A24P\ny,D25N\n")
    found = read_variants(path, column="other", offset=23)
    assert found.variants == (parse_variant("A1P"), parse_variant("D2N")) and found.measured == {}
    with pytest.raises(InputError, match="has no column 'absent'; its columns are mutant, other"):
        read_variants(path, column="absent")


def test_a_list_without_a_header(written) -> None:
    assert read_variants(written("A1P\nA1P:D2N\n")).names == ("A1P", "A1P:D2N")


def test_fasta(written) -> None:
    found = read_variants(written(">a x\nACDE\n>b\nac\nd*\n"))
    assert (found.names, found.sequences, found.variants) == (("a", "b"), ("ACDE", "ACD"), None)


def test_stops_at_the_end_of_sequences_are_told(written, caplog: pytest.LogCaptureFixture) -> None:
    assert read_variants(written("mutated_sequence,score\nACDE*,1\nACDF,2\nACDG*,3\n")).sequences == ("ACDE", "ACDF", "ACDG")
    assert "dropped the stop codon ('*') at the end of 2 sequences" in caplog.text


def test_stops_in_any_notation_are_left_out_if_asked(written, caplog: pytest.LogCaptureFixture) -> None:
    path = written("mutant\nA1P\nA1*\nA1Ter\np.Ala1Ter\nA1P:D2Ter\n")
    assert read_variants(path, drop_stops=True).variants == (parse_variant("A1P"),)
    assert "left out 4 variants with a stop codon" in caplog.text
    with pytest.raises(InputError, match="all such by --skip-stops"):
        read_variants(path)


def test_compressed_and_standard_input(written, monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(read_variants(written(gzip.compress(PROTEINGYM.encode())))) == 3

    class Input:
        buffer = io.BytesIO(PROTEINGYM.encode())

    monkeypatch.setattr(sys, "stdin", Input())
    assert len(read_variants("-")) == 3


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("mutant,score\n", "holds a header and no variants"),
        ("name,score\nA1P,1\n", "has no column 'mutant'.*its columns are name, score"),
        ("mutant,score\nA1P,1,2\n", r"record 1 \(line 2\): has 3 fields, the header has 2"),
        ("mutant,score\nA1P,1\nA1,2\n", r"record 2 \(line 3\): 'A1' is no variant"),
        ("mutant,score\nA1P,1\n,2\n", r"record 2 \(line 3\): the variant is missing"),
        ("mutant,score\nA1P,1\nA1*,2\n", r"record 2 \(line 3\): the variant 'A1\*' has a stop codon"),
        ("mutated_sequence,score\nAC1,1\n", r"the sequence is no protein: '1' at position 3"),
        ("mutated_sequence,score\nAC-D,1\n", "it has gaps"),
        (">a\nAC1D\n", "'1'"),
    ],
)
def test_bad_files(written, text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_variants(written(text))


def test_all_bad_records_are_counted(written) -> None:
    text = "mutant\nA1P\n" + "".join(f"bad{i}!\n" for i in range(8))
    with pytest.raises(InputError, match=r"line 3\): 'bad0!' is no variant; 7 records more like this \(line 4: .*, \.\.\.\)"):
        read_variants(written(text))


def test_stops_can_be_left_out(written, caplog: pytest.LogCaptureFixture) -> None:
    path = written("mutant,score\nA1P,1\nA1*,2\np.Asp2Ter,3\nE3A,4\n")
    found = read_variants(path, drop_stops=True)
    assert found.names == ("A1P", "E3A") and found.measured["score"].tolist() == [1, 4]
    assert "left out 2 variants with a stop codon" in caplog.text
    with pytest.raises(InputError, match="no variants without a stop codon"):
        read_variants(written("mutant,score\nA1*,2\n"), drop_stops=True)


@pytest.mark.parametrize(
    ("name", "count", "columns"),
    [
        ("dms_BLAT_ECOLX_Jacquier_2013.csv", 989, ["DMS_score", "DMS_score_bin"]),
        ("dms_PABP_YEAST_Fields2013_singles.csv", 1188, ["linear", "log"]),
        ("clinvar_labels_P53_PTEN_RASH_SCN5A.csv", 405, ["ClinVar_labels"]),
    ],
)
def test_public_assays(name: str, count: int, columns: list[str]) -> None:
    found = read_variants(public_protein_file(name))
    assert len(found) == count and list(found.measured) == columns
    if found.sequences is not None and found.variants is not None:
        letters = list(found.sequences[0])
        letters[found.variants[0][0].position] = found.variants[0][0].old
        wild = "".join(letters)
        check_variants(wild, found.variants)
        assert [apply_variant(wild, one) for one in found.variants] == list(found.sequences)


def test_tables_of_genoseq_are_read_below_their_line_of_json(written) -> None:
    head = '#{"format": "genoseq.family-scores", "version": 1}\n'
    found = read_variants(written(f"{head}mutant\tscore\nA1P\t1.5\n"))
    assert found.names == ("A1P",) and found.measured["score"].tolist() == [1.5]
    assert (found.columns, found.records) == (("mutant", "score"), (("A1P", "1.5"),))
    with pytest.raises(InputError, match=r"record 2 \(line 4\): 'A1' is no variant"):
        read_variants(written(f"{head}mutant\tscore\nA1P\t1.5\nA1\t2\n"))
    with pytest.raises(InputError, match="holds no table below the line of JSON"):
        read_variants(written(head))
    trajectory = read_variants(written('#{"format": "genoseq.trajectory"}\ncall\tvariant\tmutations\n1\tA1P\t1\n'))
    assert trajectory.names == ("A1P",)


def test_other_lines_with_a_hash_are_no_comment_of_genoseq(written) -> None:
    assert read_variants(written("#mutant,score\nA1P,1\n"), column="#mutant").names == ("A1P",)
    with pytest.raises(InputError, match="has no column 'mutant'"):
        read_variants(written('#{"format": "other"}\nA1P\n'))


def test_records_stand_as_they_are_for_the_variants_that_are_kept(written) -> None:
    found = read_variants(written("id;mutant\nx; A1P \ny;A1*\nz;p.Asp2Asn\n"), drop_stops=True)
    assert (found.columns, found.records) == (("id", "mutant"), (("x", "A1P"), ("z", "p.Asp2Asn")))
    listed = read_variants(written("A1P\nD2N\n"))
    assert (listed.columns, listed.records) == (("mutant",), (("A1P",), ("D2N",)))
    named = read_variants(written(">a x\nACDE\n>b\nACDF\n"))
    assert (named.columns, named.records) == (("name",), (("a",), ("b",)))


@pytest.mark.parametrize("content", [PROTEINGYM, "A1P\nD2N\n", ">a\nACDE\n>b\nACDF\n", ">a\n" + "ACDEFGHIKL" * 20_000 + "\n"])
def test_a_pipe_is_read_once(tmp_path: Path, written, content: str) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=lambda: pipe.write_text(content))
    writer.start()
    found, by_file = read_variants(pipe), read_variants(written(content))
    writer.join(10)
    assert (found.names, found.variants, found.sequences) == (by_file.names, by_file.variants, by_file.sequences)
    assert found.records == by_file.records and len(found.records) == len(found) > 0


@pytest.mark.parametrize(
    "first", ["H24*", "H24X", "H24fs", "24Y", "c.70C", "p.His24fs", "H24", "A1P:H24fs", "NP_000537.3:p.His24*"]
)
def test_a_list_whose_first_entry_cannot_be_read_is_a_list(written, first: str) -> None:
    rest = "\nA1P\nD2N\n"
    with pytest.raises(InputError) as bare:
        read_variants(written(first + rest))
    with pytest.raises(InputError) as headed:
        read_variants(written("mutant\n" + first + rest))
    assert bare.value.message == headed.value.message and (bare.value.record, bare.value.line) == (1, 1)


def test_stops_may_begin_a_list(written) -> None:
    assert read_variants(written("H24*\nA1P\n"), drop_stops=True).names == ("A1P",)


@pytest.mark.parametrize("header", ["foo", "change", "var1x y"])
def test_other_words_are_headers(written, header: str) -> None:
    with pytest.raises(InputError, match=rf"has no column 'mutant' \(or mutation, mutations, .*its columns are {header}"):
        read_variants(written(f"{header}\nA1P\n"))
    assert read_variants(written(f"{header}\nA1P\n"), column=header).names == ("A1P",)


def test_truncated_tables_are_told(written) -> None:
    rng = np.random.default_rng(0)
    rows = "".join(f"A1P,{value}\n" for value in rng.random(20_000))
    whole = gzip.compress(("mutant,score\n" + rows).encode())
    assert len(read_variants(written(whole))) == 20_000
    with pytest.raises(InputError, match="the gzip data are truncated"):
        read_variants(written(whole[: len(whole) * 2 // 3]))


@pytest.mark.parametrize("offset", [23, 99999999999999999999999])
def test_an_offset_behind_the_variants_is_answered_by_the_likely_one(written, offset: int) -> None:
    path = written("A1P\nD2N\nE3A\nW4A\n")
    with pytest.raises(
        VariantsError, match=rf"4 of 4 variants lie before the wild type, .* {offset + 1}: A1P, D2N.*--offset 0\?"
    ):
        read_variants(path, offset=offset, wild_type="ADEW")
    with pytest.raises(InputError, match="is the offset right"):
        read_variants(path, offset=offset)
    with pytest.raises(InputError, match="is the offset right"):
        read_variants(path, offset=offset, wild_type="WWWW")


def test_an_offset_far_before_the_variants_is_answered_too() -> None:
    offset = -99999999999999999999999
    variants = [parse_variant(one, offset=offset) for one in ("A1P", "D2N", "E3A")]
    with pytest.raises(VariantsError, match=r"did you mean --offset 0\?"):
        check_variants("ADE", variants, offset=offset)
