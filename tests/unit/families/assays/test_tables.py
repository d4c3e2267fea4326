"""Assays, tables of assays and clinical labels: what is read, and what an error says."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from aligned_families import public_protein_file

from genoseq.errors import InputError
from genoseq.families.assays.tables import assay_name, read_assay, read_labels, read_reference
from genoseq.families.variants.notation import check_variants

Write = Callable[[str, bytes], Path]
WILD = "MKTAYIAKQR"
SUBSTITUTIONS = (
    b"mutant,mutated_sequence,DMS_score,DMS_score_bin\nK2A,MATAYIAKQR,-1.5,0\nT3S:A4G,MKSGYIAKQR,0.5,1\nM1L,LKTAYIAKQR,,\n"
)
REFERENCE = (
    "DMS_id,DMS_filename,UniProt_ID,target_seq,coarse_selection_type,MSA_filename,MSA_start,MSA_end,weight_file_name,MSA_theta,"
    "DMS_binarization_cutoff,taxon\n"
    f"TOY_ECOLI_A_2020,toy.csv,TOY_ECOLI,{WILD},Activity,toy.a2m,2,9,toy.npy,0.2,-0.5,Prokaryote\n"
    f"BARE_HUMAN_B_2021,,,{WILD},,,,,,,,\n"
)


def test_substitutions_of_proteingym(write: Write) -> None:
    assay = read_assay(write("TOY_ECOLI_A_2020.csv", SUBSTITUTIONS))
    assert (assay.name, assay.uniprot, assay.wild_type) == ("TOY_ECOLI_A_2020", "TOY_ECOLI", WILD)
    assert assay.variants is not None
    assert assay.variants[1][1] == (3, "A", "G")
    assert assay.measured[:2].tolist() == [-1.5, 0.5]
    assert np.isnan(assay.measured[2])
    assert assay.bins is not None
    assert assay.bins[:2].tolist() == [0, 1]
    assert np.isnan(assay.bins[2])


def test_insertions_and_deletions_of_proteingym(write: Write) -> None:
    path = write("indels.csv", b"mutant,DMS_score,DMS_score_bin\nMKTAAYIAKQR,1.0,1\nMKYIAKQR,-2,0\n")
    assay = read_assay(path, wild_type=WILD.lower())
    assert assay.variants is None
    assert assay.sequences == ("MKTAAYIAKQR", "MKYIAKQR")
    assert assay.wild_type == WILD


def test_whole_sequences_are_made_of_variants(write: Write) -> None:
    assay = read_assay(write("plain.tsv", b"mutant\tscore\nK2A\t1\n"), wild_type=WILD)
    assert assay.sequences == ("MATAYIAKQR",)
    assert assay.uniprot == "plain"


def test_disagreements_are_all_reported_with_the_offset(write: Write) -> None:
    path = write("far.csv", b"mutant,score\nM101A,1\nK102A,2\nT103A,3\nY105A,4\n")
    with pytest.raises(InputError, match=r"far\.csv.*4 of 4 variants disagree.*did you mean --offset 100"):
        read_assay(path, wild_type=WILD)
    assert read_assay(path, wild_type=WILD, offset=100).sequences is not None


def test_a_sequence_that_is_not_its_variant_is_found(write: Write) -> None:
    text = SUBSTITUTIONS.replace(b"MKSGYIAKQR", b"MKSGYIAKQW")
    with pytest.raises(InputError, match=r"in 1 record of 3 .*record 2 \(T3S:A4G\)"):
        read_assay(write("wrong.csv", text))


def test_the_measurement_is_chosen_or_asked_for(write: Write) -> None:
    path = write("two.csv", b"mutant,linear,log\nK2A,0.5,-1\n")
    assert read_assay(path).measured.tolist() == [-1.0]
    assert read_assay(path, measured="linear").measured.tolist() == [0.5]
    with pytest.raises(InputError, match=r"no column 'growth' of numbers; those are linear, log"):
        read_assay(path, measured="growth")
    with pytest.raises(InputError, match="numbers are in one, two; name the column"):
        read_assay(write("odd.csv", b"mutant,one,two\nK2A,0.5,-1\n"))


def test_bins_are_0_or_1(write: Write) -> None:
    with pytest.raises(InputError, match="DMS_score_bin holds something else than 0 and 1"):
        read_assay(write("bins.csv", b"mutant,DMS_score,DMS_score_bin\nK2A,0.5,2\n"), wild_type=WILD)


def test_the_table_of_assays(write: Write) -> None:
    first, bare = read_reference(write("reference.csv", REFERENCE.encode()))
    assert (first.start, first.end, first.alignment, first.weights) == (1, 9, "toy.a2m", "toy.npy")
    assert (first.weight_distance, first.cutoff, first.others) == (0.2, -0.5, {"taxon": "Prokaryote"})
    assert (bare.file, bare.uniprot, bare.start, bare.end) == ("BARE_HUMAN_B_2021.csv", "BARE_HUMAN", 0, 10)
    assert bare.weight_distance is None
    assay = read_assay(write("x.csv", SUBSTITUTIONS), reference=first)
    assert (assay.name, assay.uniprot, assay.selection_type) == ("TOY_ECOLI_A_2020", "TOY_ECOLI", "Activity")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (",2,9,", ",0,9,", r"record 1 \(line 2\): MSA_start and MSA_end are 0 and 9, the target has residues 1 to 10"),
        (",2,9,", ",2,11,", r"MSA_start and MSA_end are 2 and 11"),
        (",2,9,", ",two,9,", r"MSA_start is 'two', expected a number"),
        ("target_seq", "sequence", r"has no column target_seq; its columns are"),
        ("BARE_HUMAN_B_2021", "TOY_ECOLI_A_2020", r"has the assay TOY_ECOLI_A_2020 twice"),
        (f"{WILD},Activity", "MK1,Activity", r"target_seq is no protein: '1' at position 3"),
        (f"{WILD},Activity", ",Activity", r"record 1 \(line 2\): has no target_seq"),
        (",Prokaryote", "", r"has 11 fields, the header has 12"),
    ],
)
def test_a_bad_table_of_assays_names_the_record(write: Write, old: str, new: str, message: str) -> None:
    path = write("reference.csv", REFERENCE.replace(old, new, 1).encode())
    with pytest.raises(InputError, match=message) as caught:
        read_reference(path)
    assert "reference.csv" in str(caught.value)


def test_empty_tables(write: Write) -> None:
    with pytest.raises(InputError, match="is empty"):
        read_reference(write("empty.csv", b""))
    with pytest.raises(InputError, match="a header and no records"):
        read_reference(write("header.csv", b"DMS_id,target_seq\n"))


def test_clinical_labels(write: Write) -> None:
    text = b"protein_name,mutations,ClinVar_labels_category,ClinVar_labels\nP,K2A,benign,0.0\nP,T3S,Pathogenic,1.0\nQ,M1L,uncertain,\n"
    found = read_labels(write("labels.csv", text))
    assert found["P"].measured.tolist() == [1, 0]
    assert np.isnan(found["Q"].measured).all()
    with pytest.raises(InputError, match=r"record 1 \(line 2\).*'K2' is no variant"):
        read_labels(write("bad.csv", text.replace(b"K2A", b"K2")))


def test_names_without_endings() -> None:
    assert assay_name("a/b.v2.CSV.gz") == "b.v2"


def test_public_assays() -> None:
    blat = read_assay(public_protein_file("dms_BLAT_ECOLX_Jacquier_2013.csv"))
    assert (len(blat), len(blat.wild_type)) == (989, 286)
    assert blat.bins is not None
    np.testing.assert_array_equal(blat.bins == 1, blat.measured >= np.median(blat.measured))  # how ProteinGym's bins came about
    pabp = read_assay(public_protein_file("dms_PABP_YEAST_Fields2013_singles.csv"))
    assert (len(pabp), pabp.wild_type) == (1188, "")
    np.testing.assert_allclose(np.log2(pabp.columns["linear"]), pabp.columns["log"], atol=1e-6)


def test_public_labels_agree_with_the_wild_type() -> None:
    from genoseq.families.alignments.files import read_alignment

    labels = read_labels(public_protein_file("clinvar_labels_P53_PTEN_RASH_SCN5A.csv"))
    assert {name: len(one) for name, one in labels.items()} == {
        "P53_HUMAN": 163, "PTEN_HUMAN": 113, "RASH_HUMAN": 24, "SCN5A_HUMAN": 105,
    }  # fmt: skip
    query = read_alignment(public_protein_file("msa_P53_HUMAN.a2m.gz"), query="first").query
    variants = labels["P53_HUMAN"].variants
    assert query is not None
    assert variants is not None
    check_variants(query, variants)
