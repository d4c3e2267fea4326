"""k-mers against plain loops over the sequence, and vocabularies from files."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest

from genoseq.errors import InputError, UsageError
from genoseq.tokenizers import GenoseqKmerTokenizer, NucleotideTransformerTokenizer


def overlapping(sequence: str, k: int) -> list[str]:
    """DNABERT's words, each looked up in its vocabulary."""
    words = [sequence[start : start + k] for start in range(len(sequence) - k + 1)]
    return [word if set(word) <= set("ACGT") else "[UNK]" for word in words]


def side_by_side(sequence: str, k: int) -> list[str]:
    """The Nucleotide Transformer's words: cut at every N, k-mers from the left of each stretch, then letters."""
    tokens: list[str] = []
    for number, stretch in enumerate(sequence.split("N")):
        tokens += ["N"] if number else []
        whole = len(stretch) // k * k
        tokens += [stretch[start : start + k] for start in range(0, whole, k)] + list(stretch[whole:])
    return tokens


def random_sequence(rng: np.random.Generator, length: int, alphabet: str) -> str:
    return "".join(rng.choice(list(alphabet), length))


@pytest.mark.parametrize("k", range(1, 9))
def test_overlapping_equals_the_plain_loop(k: int) -> None:
    tokenizer = GenoseqKmerTokenizer(k=k)
    rng = np.random.default_rng(k)
    for length, alphabet in itertools.product([0, 1, k - 1, k, k + 1, 50, 301], ["ACGT", "ACGTACGTACGTN"]):
        sequence = random_sequence(rng, length, alphabet)
        assert tokenizer.convert_ids_to_tokens(tokenizer.encode_array(sequence).tolist()) == overlapping(sequence, k)
    assert tokenizer.get_vocab()["A" * k] == 5 and tokenizer.get_vocab()["G" * k] == 4 + 4**k


def test_overlapping_has_the_vocabulary_of_dnabert() -> None:
    """As in the vocab.txt of its repository for k = 3: 69 lines, these the first and the last."""
    tokenizer = GenoseqKmerTokenizer(k=3)
    tokens = tokenizer.convert_ids_to_tokens(list(range(tokenizer.vocab_size)))
    assert " ".join(tokens[:14]) == "[PAD] [UNK] [CLS] [SEP] [MASK] AAA AAT AAC AAG ATA ATT ATC ATG ACA"
    assert " ".join(tokens[-5:]) == "GCG GGA GGT GGC GGG" and len(tokens) == 69


def test_overlapping_is_the_same_across_the_blocks_in_which_it_is_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizer = GenoseqKmerTokenizer(k=6)
    sequence = random_sequence(np.random.default_rng(0), 500, "ACGTACGTACGTACGTN")
    whole = tokenizer.encode_array(sequence)
    for block in (1, 7, 64):
        monkeypatch.setattr("genoseq.tokenizers.kmer._BLOCK", block)
        np.testing.assert_array_equal(tokenizer.encode_array(sequence), whole)


def test_overlapping_reads_lower_case_and_u_unless_told_not_to() -> None:
    assert GenoseqKmerTokenizer(k=3).tokenize("acguRA") == ["ACG", "CGT", "[UNK]", "[UNK]"]
    assert GenoseqKmerTokenizer(k=3, upper=False, u_as_t=False).tokenize("acgACGU") == ["[UNK]"] * 3 + ["ACG", "[UNK]"]


def test_overlapping_decodes_to_what_its_kmers_cover() -> None:
    tokenizer = GenoseqKmerTokenizer(k=3)
    ids = tokenizer.encode_array
    assert tokenizer.decode_array(ids("ACGTNACGT")) == "ACGTNACGT"
    assert tokenizer.decode_array(ids("ACNGT")) == "NNNNN"  # no whole k-mer is known
    assert tokenizer.decode_array(ids("ACGNNNACG")) == "ACGNNNACG"
    masked = ids("ACGTAC").copy()
    masked[1] = tokenizer.mask_token_id
    assert tokenizer.decode_array(masked) == "ACGTAC"  # its neighbours cover the bases of a masked k-mer
    masked[:] = tokenizer.mask_token_id
    assert tokenizer.decode_array(masked) == "NNNNNN"
    assert tokenizer.decode(tokenizer("ACGT", "GGG")["input_ids"]) == "[CLS]ACGT[SEP]GGG[SEP]"


def test_overlapping_strict() -> None:
    tokenizer = GenoseqKmerTokenizer(k=4, strict=True)
    assert len(tokenizer.encode_array("acgu")) == 1
    with pytest.raises(InputError, match="has 3 letters, fewer than k = 4"):
        tokenizer.encode_array("ACG")
    with pytest.raises(InputError, match=r"position 2 .* holds 'N'"):
        tokenizer.encode_array("ACNGT")
    with pytest.raises(InputError, match="empty"):
        tokenizer.encode_array("")
    assert GenoseqKmerTokenizer(k=4)("ACG")["input_ids"] == [2, 3]


@pytest.mark.parametrize("k", [0, 11, -1])
def test_k_out_of_range(k: int) -> None:
    for kind in (GenoseqKmerTokenizer, NucleotideTransformerTokenizer):
        with pytest.raises(UsageError, match=f"k is {k}; expected 1 to 10"):
            kind(k=k)


@pytest.mark.parametrize("layout", ["v1", "v2"])
@pytest.mark.parametrize("k", [1, 2, 3, 6])
def test_side_by_side_equals_the_plain_loop(layout: str, k: int) -> None:
    tokenizer = NucleotideTransformerTokenizer(layout=layout, k=k, strict=False)  # type: ignore[arg-type]
    rng = np.random.default_rng(k)
    for length, alphabet in itertools.product([0, 1, 5, 6, 7, 12, 200], ["ACGT", "ACGTACGTACGTN", "ACGTNN", "N"]):
        sequence = random_sequence(rng, length, alphabet)
        expected = side_by_side(sequence, k)
        assert tokenizer.convert_ids_to_tokens(tokenizer.encode_array(sequence).tolist()) == expected
        spans = tokenizer.token_spans(sequence)
        assert [sequence[start:end] for start, end in spans.tolist()] == expected
        assert tokenizer.decode_array(tokenizer.encode_array(sequence)) == sequence


def test_side_by_side_without_strict_takes_unknown_characters_as_it_takes_n() -> None:
    tokenizer = NucleotideTransformerTokenizer(strict=False)
    assert tokenizer.tokenize("ACGTACRACGTACac") == ["ACGTAC", "<unk>", "ACGTAC", "<unk>", "<unk>"]
    assert tokenizer.token_spans("ACGTACRAC").tolist() == [[0, 6], [6, 7], [7, 8], [8, 9]]
    soft = NucleotideTransformerTokenizer(upper=True, u_as_t=True)
    assert soft.tokenize("acguacnA") == ["ACGTAC", "N", "A"]


def test_side_by_side_strict_is_the_default() -> None:
    tokenizer = NucleotideTransformerTokenizer()
    for sequence, message in (("ACGU", "position 3 .* 'U'"), ("", "empty"), ("ACG ", "position 3 .* ' '")):
        with pytest.raises(InputError, match=message):
            tokenizer(sequence)
    with pytest.raises(UsageError, match="layout is 'v3'"):
        NucleotideTransformerTokenizer(layout="v3")  # type: ignore[arg-type]


def test_a_vocabulary_file_decides_the_ids(tmp_path: Path) -> None:
    tokens = ["<unk>", "<pad>", "<mask>", "<cls>", *map("".join, itertools.product("ATCG", repeat=3)), *"ATCGN"]
    (tmp_path / "vocab.txt").write_text("\n".join(tokens))  # as on the hub for version 1: no <eos>, no <bos>
    tokenizer = NucleotideTransformerTokenizer.from_pretrained(tmp_path, layout="v2")
    assert tokenizer.vocab_size == len(tokens) == 73 and tokenizer.k == 3 and tokenizer.eos_token is None
    assert tokenizer("AAATN")["input_ids"] == [3, 4, 69, 72]
    tokenizer.save_pretrained(tmp_path / "again")
    again = NucleotideTransformerTokenizer.from_pretrained(tmp_path / "again")
    assert again.get_vocab() == tokenizer.get_vocab() and again.digest == tokenizer.digest


@pytest.mark.parametrize(
    "tokens",
    [["<unk>"], ["<unk>", "<pad>", "<mask>", "<cls>", "AA", "AT", *"ATCGN"], ["<pad>", "<mask>", "<cls>", *"ATCGN"], [*"ATCG"]],
)
def test_other_vocabulary_files_are_refused(tmp_path: Path, tokens: list[str]) -> None:
    path = tmp_path / "vocab.txt"
    path.write_text("\n".join(tokens))
    with pytest.raises(InputError, match=rf"vocab.txt: holds {len(tokens)} tokens that are no vocabulary of the Nucleotide"):
        NucleotideTransformerTokenizer(vocab_file=str(path))
    with pytest.raises(InputError, match="cannot be read as a vocabulary"):
        NucleotideTransformerTokenizer(vocab_file=str(tmp_path / "none.txt"))
