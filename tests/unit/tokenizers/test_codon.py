"""Codons: frames, strands, incomplete and ambiguous ones, proteins and RNA."""

from __future__ import annotations

import numpy as np
import pytest

from genoseq.errors import InputError, UsageError
from genoseq.seqs.alphabet import reverse_complement
from genoseq.tokenizers import GenoseqCodonTokenizer, back_translate, translate


def plain(sequence: str, *, frame: int, strand: str, partial: str) -> tuple[list[str], list[list[int]]]:
    """Tokens and spans by a loop over the bases."""
    read = reverse_complement(sequence.encode()).decode() if strand == "-" else sequence
    read = read.upper().replace("U", "T")
    pieces = [(place, 1) for place in range(min(frame, len(read)))] if partial == "letters" else []
    place = min(frame, len(read))
    while place + 3 <= len(read):
        pieces.append((place, 3))
        place += 3
    if partial == "letters":
        pieces += [(rest, 1) for rest in range(place, len(read))]
    tokens, spans = [], []
    for start, size in pieces:
        token = read[start : start + size]
        if not set(token) <= set("ACGTRYSWKMBDHVNX."):
            token = "[UNK]"
        elif not set(token) <= set("ACGT"):
            token = "N" * size
        tokens.append(token)
        spans.append([start, start + size] if strand == "+" else [len(read) - start - size, len(read) - start])
    return tokens, spans


@pytest.mark.parametrize("partial", ["letters", "drop"])
@pytest.mark.parametrize("strand", ["+", "-"])
@pytest.mark.parametrize("frame", [0, 1, 2])
def test_tokens_and_spans_equal_the_plain_loop(frame: int, strand: str, partial: str) -> None:
    tokenizer = GenoseqCodonTokenizer(frame=frame, strand=strand, partial=partial)  # type: ignore[arg-type]
    rng = np.random.default_rng(frame)
    for length in [0, 1, 2, 3, 4, 5, 6, 7, 100, 101, 102]:
        for alphabet in ("ACGT", "ACGTACGTNR", "ACGTacgtuU-*"):
            sequence = "".join(rng.choice(list(alphabet), length))
            tokens, spans = plain(sequence, frame=frame, strand=strand, partial=partial)
            assert tokenizer.tokenize(sequence) == tokens, sequence
            assert tokenizer.token_spans(sequence).tolist() == spans
            assert tokenizer.encode_array(sequence).dtype == np.uint8


def test_the_vocabulary_is_as_documented() -> None:
    vocabulary = GenoseqCodonTokenizer().get_vocab()
    assert (vocabulary["AAA"], vocabulary["TTT"], vocabulary["NNN"], vocabulary["A"], vocabulary["N"]) == (5, 68, 69, 70, 74)
    assert len(vocabulary) == 75


def test_the_other_strand_decodes_to_the_reverse_complement() -> None:
    sequence = "ATGGCCATTGTAATGGG"
    tokenizer = GenoseqCodonTokenizer(strand="-", frame=1)
    assert tokenizer.decode_array(tokenizer.encode_array(sequence)) == reverse_complement(sequence.encode()).decode()


def test_strict_takes_iupac_codes_and_refuses_the_rest() -> None:
    tokenizer = GenoseqCodonTokenizer(strict=True)
    assert tokenizer.tokenize("acuRNX") == ["ACT", "NNN"]
    for sequence, message in (("ACG---", "position 3 .* '-'"), ("", "empty"), ("MKLEFPQ", "looks like a protein")):
        with pytest.raises(InputError, match=message):
            tokenizer(sequence)


def test_proteins_and_rna_become_codons() -> None:
    tokenizer = GenoseqCodonTokenizer(code=2)
    protein = "MKWFX"
    ids = tokenizer.encode_as_codons(protein, "protein")
    assert tokenizer.convert_ids_to_tokens(ids.tolist()) == ["ATA", "AAA", "TGA", "TTT", "NNN"]  # ATA is methionine in code 2
    assert tokenizer.translate(ids) == protein
    assert tokenizer.encode_as_codons("augaaa", "rna").tolist() == tokenizer.encode_as_codons("ATGAAA", "dna").tolist()
    frequent = tokenizer.encode_as_codons("K", "protein", rule="frequent", usage={"AAG": 2})
    assert tokenizer.convert_ids_to_tokens(frequent.tolist()) == ["AAG"]
    with pytest.raises(UsageError, match="a protein has no frame 1 of strand \\+"):
        GenoseqCodonTokenizer(frame=1).encode_as_codons("MK", "protein")
    with pytest.raises(InputError, match="no residue"):
        tokenizer.encode_as_codons("M1", "protein")


def test_translation_of_ids_leaves_out_what_is_no_codon() -> None:
    tokenizer = GenoseqCodonTokenizer()
    ids = tokenizer("ATGGCNTGAAC")["input_ids"]
    assert tokenizer.translate(np.array(ids)) == "MX*"
    sequence = back_translate("MKVLAAG")
    assert tokenizer.translate(tokenizer.encode_array(sequence)) == translate(sequence) == "MKVLAAG"


def test_six_frames() -> None:
    frames = GenoseqCodonTokenizer().six_frames("ATGGCCTAA")
    assert len(frames) == 6 and frames["+", 0] == "MA*" and frames["-", 0] == "LGH" and frames["+", 1] == "WP"


def test_codes_by_name_and_odd_options() -> None:
    assert GenoseqCodonTokenizer(code="Bacterial").code == 11
    for options, message in (
        ({"code": 99}, "no genetic code 99"),
        ({"frame": 3}, "frame is 3"),
        ({"strand": "?"}, "strand is '\\?'"),
        ({"partial": "keep"}, "partial is 'keep'"),
    ):
        with pytest.raises(UsageError, match=message):
            GenoseqCodonTokenizer(**options)  # type: ignore[arg-type]
