"""Round trips, and fast encoding against plain loops, over whatever hypothesis thinks of."""

from __future__ import annotations

import functools
import re
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from genoseq import tokenizers
from genoseq.seqs.alphabet import reverse_complement
from genoseq.tokenizers import Segmentation, back_translate, from_source_map, genetic_codes, make, translate

DNA = st.text("ACGT", max_size=60)
WITH_N = st.text("ACGTACGTN", max_size=60)
ANYTHING = st.text(st.characters(max_codepoint=127), max_size=40)
PROTEIN = st.text("ACDEFGHIKLMNPQRSTVWY", max_size=40)
K = st.integers(1, 7)


@functools.cache
def made(name: str, **options: Any) -> Any:
    return make(name, **options)


@functools.cache
def trained() -> Any:
    rng = np.random.default_rng(0)
    return tokenizers.train_bpe(["".join(rng.choice(list("ACGT"), 2000, p=[0.4, 0.1, 0.2, 0.3]))], vocab_size=80)


@settings(deadline=None)
@given(ANYTHING)
def test_every_letter_becomes_what_its_family_says(text: str) -> None:
    unknown = "[UNK]"

    def genoseq(letter: str) -> str:
        letter = letter.upper().replace("U", "T")
        return letter if letter in "ACGTN" else "N" if letter in "RYSWKMBDHVX." else unknown

    def hyenadna(letter: str) -> str:
        return letter if letter in "ACGTN" else unknown

    for name, rule in (("nucleotide", genoseq), ("hyenadna", hyenadna), ("caduceus", lambda letter: hyenadna(letter.upper()))):
        tokenizer = made(name)
        expected = "".join(map(rule, text))
        assert tokenizer.decode_array(tokenizer.encode_array(text)) == expected
        assert tokenizer(text, add_special_tokens=False, split_special_tokens=True)["input_ids"] == [
            tokenizer.get_vocab()[rule(letter)] for letter in text
        ]


@settings(deadline=None)
@given(WITH_N, WITH_N)
def test_nucleotides_end_to_end_are_ids_end_to_end(one: str, other: str) -> None:
    encode = made("nucleotide").encode_array
    assert encode(one + other).tolist() == [*encode(one).tolist(), *encode(other).tolist()]


@settings(deadline=None)
@given(WITH_N, K)
def test_overlapping_kmers(sequence: str, k: int) -> None:
    tokenizer = made("kmer", k=k)
    words = [sequence[start : start + k] for start in range(len(sequence) - k + 1)]
    ids = tokenizer.encode_array(sequence)
    vocabulary = tokenizer.get_vocab()
    assert ids.tolist() == [
        vocabulary.get(word, vocabulary["[UNK]"]) if "N" not in word else vocabulary["[UNK]"] for word in words
    ]
    covered = {place for start, word in enumerate(words) if "N" not in word for place in range(start, start + k)}
    expected = "".join(letter if place in covered else "N" for place, letter in enumerate(sequence))
    assert tokenizer.decode_array(ids) == (expected if words else "")
    assert tokenizer.token_spans(sequence).tolist() == [[start, start + k] for start in range(len(words))]


@settings(deadline=None)
@given(WITH_N, K, st.sampled_from(["v1", "v2"]))
def test_kmers_side_by_side(sequence: str, k: int, layout: str) -> None:
    tokenizer = made(f"nucleotide-transformer-{layout}", k=k, strict=False)
    expected = []
    for stretch in re.findall("N|[^N]+", sequence):
        whole = len(stretch) // k * k if stretch != "N" else 0
        expected += [stretch[start : start + k] for start in range(0, whole, k)] + list(stretch[whole:])
    ids = tokenizer.encode_array(sequence)
    assert tokenizer.convert_ids_to_tokens(ids.tolist()) == expected
    assert tokenizer.decode_array(ids) == sequence
    assert [sequence[start:end] for start, end in tokenizer.token_spans(sequence).tolist()] == expected


@settings(deadline=None)
@given(DNA, st.integers(0, 2), st.sampled_from("+-"), st.sampled_from(["letters", "drop"]))
def test_codons_keep_their_frame(sequence: str, frame: int, strand: str, partial: str) -> None:
    tokenizer = made("codon", frame=frame, strand=strand, partial=partial)
    read = reverse_complement(sequence.encode()).decode() if strand == "-" else sequence
    ids = tokenizer.encode_array(sequence)
    whole = read[frame : frame + max(len(read) - frame, 0) // 3 * 3]
    assert tokenizer.decode_array(ids) == (read if partial == "letters" else whole)
    assert tokenizer.translate(ids) == translate(sequence, frame=frame, strand=strand) == translate(whole)
    back = [sequence[start:end] for start, end in tokenizer.token_spans(sequence).tolist()]
    if strand == "-":
        back = [reverse_complement(piece.encode()).decode() for piece in back]
    assert back == tokenizer.tokenize(sequence)


@settings(deadline=None)
@given(PROTEIN, st.sampled_from(sorted(genetic_codes())))
def test_proteins_come_back_from_nucleotides(protein: str, code: int) -> None:
    nucleotides = back_translate(protein, code=code)
    assert len(nucleotides) == 3 * len(protein)
    assert translate(nucleotides, code=code) == protein
    tokenizer = made("codon", code=code)
    assert tokenizer.translate(tokenizer.encode_as_codons(protein, "protein")) == protein


@settings(deadline=None)
@given(WITH_N)
def test_byte_pairs(sequence: str) -> None:
    tokenizer = trained()
    ids, spans = tokenizer.encode_array(sequence), tokenizer.token_spans(sequence)
    assert tokenizer.decode_array(ids) == sequence
    assert [sequence[start:end] for start, end in spans.tolist()] == tokenizer.convert_ids_to_tokens(ids.tolist())
    assert tokenizer.encode_array(sequence.lower().replace("t", "u")).tolist() == ids.tolist()


@settings(deadline=None)
@given(st.text(max_size=40))
def test_bytes_keep_any_text(text: str) -> None:
    text = text.encode("utf-8", "ignore").decode()  # without halves of surrogate pairs
    for tokenizer in (made("evo"), made("hnet")):
        assert tokenizer.encode_array(text).tolist() == list(text.encode())
        assert tokenizer.decode_array(tokenizer.encode_array(text)) == text
        assert tokenizer(text, add_special_tokens=False)["input_ids"] == list(text.encode())


@settings(deadline=None)
@given(st.text("LAGVSERTIDPKQNFYMHWCXBUZO.-", max_size=40))
def test_esm_keeps_its_residues(sequence: str) -> None:
    tokenizer = made("esm")
    assert tokenizer.decode_array(tokenizer.encode_array(sequence)) == sequence


@settings(deadline=None)
@given(ANYTHING)
def test_poet_takes_what_is_no_residue_for_the_mask(text: str) -> None:
    tokenizer = made("poet")
    synonyms = {"O": "K", "U": "C"}
    expected = [synonyms.get(letter, letter if letter in "ARNDCQEGHILKMFPSTWYV-*$" else "X") for letter in text.upper()]
    assert tokenizer.decode_array(tokenizer.encode_array(text)) == "".join(expected)
    assert tokenizer(text)["input_ids"] == tokenizer.encode_array(text, add_special_tokens=True).tolist()


@settings(deadline=None)
@given(st.lists(WITH_N, min_size=1, max_size=4), st.sampled_from(["nucleotide", "kmer", "codon", "esm"]), st.booleans())
def test_a_batch_is_its_members(batch: list[str], name: str, left: bool) -> None:
    tokenizer = made(name)
    got = tokenizer(batch, padding=True, padding_side="left" if left else "right", return_attention_mask=True)
    for sequence, ids, mask in zip(batch, got["input_ids"], got["attention_mask"], strict=True):
        assert [number for number, real in zip(ids, mask, strict=True) if real] == tokenizer(sequence)["input_ids"]


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(1, 9), st.integers(0, 3)), max_size=12))
def test_segmentations_and_source_maps_are_each_others_inverse(runs: list[tuple[int, int]]) -> None:
    lengths = [length for length, _ in runs]
    source = np.repeat(np.arange(len(runs)), lengths) if runs else np.zeros(0, np.int64)
    letters = "".join("ACGT"[base] * length for length, base in runs)
    cut = from_source_map(source, letters=letters)
    assert cut.lengths.tolist() == lengths and "".join(cut.tokens()) == letters
    if runs:
        np.testing.assert_array_equal(cut.token_of(np.arange(cut.length)), source)
        assert "".join(line.split()[1] for line in cut.render(width=7).splitlines()).split("|")[1:] == cut.tokens()
    again = Segmentation(cut.length, cut.starts, letters=letters)
    lines = [line.split("\t") for line in again.bed_lines("x", offset=5)]
    assert [[int(start) - 5, int(end) - 5] for _, start, end, *_ in lines] == cut.intervals.tolist()
