"""Genetic codes against Biopython's own translation; back-translation and counts of codons."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from Bio.Data import CodonTable
from Bio.Seq import Seq

from genoseq.errors import InputError, UsageError
from genoseq.tokenizers import back_translate, codon_usage, genetic_code, genetic_codes, to_nucleotides, translate

NUMBERS = sorted(CodonTable.unambiguous_dna_by_id)
CODONS = ["".join(bases) for bases in itertools.product("ACGT", repeat=3)]
PROTEIN = "ACDEFGHIKLMNPQRSTVWY"


def test_all_codes_of_ncbi_are_there() -> None:
    assert list(genetic_codes()) == NUMBERS
    assert {1, 2, 3, 4, 5, 6, 11, 25, 33} <= set(NUMBERS)


@pytest.mark.parametrize("number", NUMBERS)
def test_each_codon_means_what_biopython_says(number: int) -> None:
    code = genetic_code(number)
    table = CodonTable.unambiguous_dna_by_id[number]
    expected = "".join(table.forward_table.get(codon, "*") for codon in CODONS)
    assert code.amino_acids == expected == translate("".join(CODONS), code=number)
    assert set(code.starts) == set(table.start_codons) and set(code.stops) == set(table.stop_codons)


@pytest.mark.parametrize("number", [1, 2, 6, 22])
def test_codons_with_iupac_codes_mean_what_biopython_says(number: int) -> None:
    """All 3,375 codons of IUPAC letters. Biopython gives up with an error, or X, where ours says J."""
    letters = "ACGTRYSWKMBDHVN"
    codons = ["".join(bases) for bases in itertools.product(letters, repeat=3)]
    ours = translate("".join(codons), code=number)
    theirs = str(Seq("".join(codons)).translate(table=number))
    different = {codon: (one, other) for codon, one, other in zip(codons, ours, theirs, strict=True) if one != other}
    assert set(different.values()) <= {("J", "X"), ("X", "J")}
    assert all(one == "J" for one, _ in different.values())


def test_translation_reads_frames_strands_rna_and_lower_case() -> None:
    sequence = "ATGGCCATTGTAATGGGCCGCTGAAAGGGTGCCCGATAG"
    assert translate(sequence) == "MAIVMGR*KGAR*" == translate(sequence.lower().replace("t", "u"))
    assert translate(sequence, to_stop=True) == "MAIVMGR"
    for frame in range(3):
        for strand, read in (("+", Seq(sequence)), ("-", Seq(sequence).reverse_complement())):
            cut = read[frame:]
            assert translate(sequence, frame=frame, strand=strand) == str(cut[: len(cut) // 3 * 3].translate())
    assert translate("") == translate("AC") == ""
    assert translate("---A--*-.ATN") == "-X" + "XX"


def test_mixtures_of_two_amino_acids_have_their_letter() -> None:
    assert translate("RAYSARMTAMTTWTARGNNAR") == "BZJJJXX"  # D or N, E or Q, I or L, any other mixture


def test_codes_are_found_by_name() -> None:
    assert genetic_code("Standard").number == 1
    assert genetic_code("bacterial").number == 11
    assert genetic_code("SGC1") is genetic_code(2) is genetic_code("2")
    with pytest.raises(UsageError, match=r"no genetic code 7; there are: 1 Standard, 2 Vertebrate Mitochondrial"):
        genetic_code(7)


def test_odd_frames_and_strands_are_refused() -> None:
    with pytest.raises(UsageError, match="frame is 3; expected 0, 1 or 2"):
        translate("ACG", frame=3)
    with pytest.raises(UsageError, match="strand is 'x'"):
        translate("ACG", strand="x")
    with pytest.raises(InputError, match="not ASCII"):
        translate("AÇG")


@pytest.mark.parametrize("number", NUMBERS)
def test_back_translation_is_undone_by_translation(number: int) -> None:
    usage = {codon: place for place, codon in enumerate(CODONS)}
    assert translate(back_translate(PROTEIN, code=number), code=number) == PROTEIN
    assert translate(back_translate(PROTEIN, code=number, rule="frequent", usage=usage), code=number) == PROTEIN
    stop = translate(back_translate("*", code=number), code=number)
    assert stop == "*" or number in (27, 28, 31)  # where every stop also codes for an amino acid
    for letter in PROTEIN:
        covered = back_translate(letter, code=number, rule="degenerate")
        assert translate(covered, code=number) in (letter, "X", "B", "Z", "J")


def test_rules_of_back_translation() -> None:
    assert back_translate("MLS*") == "ATGTTATCTTAA"
    assert back_translate("MLS*", rule="degenerate") == "ATGYTNWSNTRR"
    assert back_translate("LLK", rule="frequent", usage={"CTG": 9, "UUA": 3}) == "CTGCTGAAA"  # no counts: the first
    assert back_translate("XBZJ-UO") == "NNNRAYSARHTN---TGATAG"
    assert back_translate("mk") == "ATGAAA"
    assert back_translate("W", code=2) == "TGA" and back_translate("W", code=27) == "TGG"  # in 27, TGA is a stop too
    assert back_translate("") == ""


def test_back_translation_refuses_what_it_cannot_do() -> None:
    with pytest.raises(InputError, match=r"position 1 \(counted from 0\) holds '1', which is no residue"):
        back_translate("M1")
    with pytest.raises(UsageError, match="rule is 'best'"):
        back_translate("M", rule="best")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="give both or neither"):
        back_translate("M", rule="frequent")
    with pytest.raises(UsageError, match="give both or neither"):
        back_translate("M", usage={"ATG": 1})
    with pytest.raises(UsageError, match="'ATN', which is no codon"):
        back_translate("M", rule="frequent", usage={"ATN": 1})


def test_one_alphabet_for_dna_rna_and_protein() -> None:
    assert to_nucleotides("acgu", "rna") == "ACGT"
    assert to_nucleotides("acgTN", "dna") == "ACGTN"
    assert to_nucleotides("MF", "protein", rule="degenerate") == "ATGTTY"
    with pytest.raises(UsageError, match="kind is 'lipid'"):
        to_nucleotides("A", "lipid")  # type: ignore[arg-type]


def test_usage_counts_codons_in_frame() -> None:
    rng = np.random.default_rng(0)
    sequence = "".join(rng.choice(list("ACGT"), 3000))
    usage = codon_usage([sequence, sequence.lower() + "AC", "NNNATNATGA"])
    expected = {codon: 2 * [sequence[i : i + 3] for i in range(0, 3000, 3)].count(codon) for codon in CODONS}
    expected["ATG"] += 1
    assert usage == expected
    assert sum(codon_usage([]).values()) == 0


def test_what_is_no_dna_or_rna_is_told() -> None:
    assert to_nucleotides("acguX-*nry", "rna") == "ACGTX-*NRY"
    assert to_nucleotides("", "dna") == ""
    with pytest.raises(InputError, match=r"position 3 .* holds 'L'.*looks like a protein"):
        to_nucleotides("MKVLEF", "dna")
