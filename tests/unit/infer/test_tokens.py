"""Tokens of every kind of tokenizer: the letters of each, special tokens apart, and what is no sequence for it."""

from __future__ import annotations

import numpy as np
import pytest
from tiny_nets import SPECIALS, KmerTokens, LetterTokens, PieceTokens, _Tokens, drawn

from genoseq.errors import InputError, UsageError
from genoseq.infer.tokens import AMINO_ACIDS, TokenReader, as_records
from genoseq.seqs.record import Record
from genoseq.tokenizers.bpe import train_bpe
from genoseq.tokenizers.byte import EvoTokenizer, HNetTokenizer
from genoseq.tokenizers.codon import GenoseqCodonTokenizer
from genoseq.tokenizers.kmer import GenoseqKmerTokenizer, NucleotideTransformerTokenizer
from genoseq.tokenizers.nucleotide import CaduceusTokenizer, HyenaDNATokenizer
from genoseq.tokenizers.protein import ESM2Tokenizer, PoETTokenizer


class ProteinTokens(_Tokens):
    """One token per amino acid."""

    def __init__(self) -> None:
        super().__init__([*SPECIALS, *AMINO_ACIDS, "X"], ("[CLS]",), ("[EOS]",))

    def _tokenize(self, text: str, **options: object) -> list[str]:
        return list(text)


REAL = {
    "hyenadna": (HyenaDNATokenizer, 1, 1),
    "caduceus": (CaduceusTokenizer, 1, 1),
    "evo": (EvoTokenizer, 1, 1),
    "hnet": (HNetTokenizer, 1, 1),
    "codon": (GenoseqCodonTokenizer, 3, 3),
    "nucleotide transformer": (NucleotideTransformerTokenizer, 6, 6),
    "overlapping": (lambda: GenoseqKmerTokenizer(k=4), 1, 4),
}


@pytest.mark.parametrize("name", REAL)
def test_tokens_of_real_tokenizers_stand_for_their_letters(name: str) -> None:
    make, step, longest = REAL[name]
    tokenizer = make()
    reader = TokenReader(tokenizer)
    text = drawn(61)
    tokens = reader.read(text)
    assert (reader.step, reader.longest, reader.overlapping, reader.protein) == (step, longest, name == "overlapping", False)
    assert [reader.words[number] for number in tokens.ids] == [text[a:b] for a, b in zip(tokens.starts, tokens.ends, strict=True)]
    whole = [*reader.front, *tokens.ids, *reader.back]
    assert whole == list(tokenizer(text)["input_ids"])
    singles = {word for word in reader.plain.values() if len(word) == 1}
    assert {word for word in reader.plain.values() if not set(word) <= set("ACGT")} == set()
    assert name == "overlapping" or singles == set("ACGT")


@pytest.mark.parametrize(
    ("tokenizer", "step", "from_end"),
    [
        (NucleotideTransformerTokenizer(k=7), 7, False),
        (GenoseqCodonTokenizer(frame=1), 3, False),
        (GenoseqCodonTokenizer(frame=2, strand="-"), 3, True),
    ],
)
def test_rests_at_the_ends_and_the_other_strand_leave_the_step_alone(tokenizer: object, step: int, from_end: bool) -> None:
    reader = TokenReader(tokenizer)
    assert (reader.step, reader.longest, reader.overlapping, reader.from_end) == (step, step, False, from_end)


def test_nucleotides_are_told_from_proteins() -> None:
    reader = TokenReader(ESM2Tokenizer())
    assert reader.check(Record("short", "", "GATTACA" * 4), 1) == "GATTACA" * 4
    with pytest.raises(InputError, match=r"sequence 3 .'dna'. is made of A, C, G, T, U and N only; this seems to be DNA or RNA"):
        reader.check(Record("dna", "", "gattaca" * 5), 3)


def test_a_trained_bpe_tokenizer_has_no_step() -> None:
    reader = TokenReader(train_bpe([drawn(4000)], vocab_size=40))
    tokens = reader.read("ACGTTGCAAGCTN")
    assert reader.step is None
    assert reader.longest > 1
    assert (tokens.starts[1:] == tokens.ends[:-1]).all()
    assert (tokens.starts[0], tokens.ends[-1]) == (0, 13)


@pytest.mark.parametrize("make", [ESM2Tokenizer, PoETTokenizer])
def test_protein_tokenizers_are_known_as_such(make: type) -> None:
    reader = TokenReader(make())
    assert reader.protein
    assert reader.letters == AMINO_ACIDS
    text = reader.check(Record("p", "", "mkvlaaEFX"), 1)
    assert text == "MKVLAAEFX"
    assert reader.clear(text).tolist() == [True] * 8 + [False]
    assert [reader.words[number] for number in reader.read(text).ids[:8]] == list(text[:8])
    assert set(reader.plain.values()) == set(AMINO_ACIDS)


@pytest.mark.parametrize(
    ("tokenizer", "text", "spans"),
    [
        (LetterTokens(), "ACN", [(0, 1), (1, 2), (2, 3)]),
        (KmerTokens(), "ACGTA", [(0, 3), (3, 4), (4, 5)]),
        (KmerTokens(overlapping=True), "ACGTA", [(0, 3), (1, 4), (2, 5)]),
        (PieceTokens(), "GATTACCG", [(0, 5), (5, 7), (7, 8)]),
    ],
)
def test_letters_of_tokens_without_help_of_the_tokenizer(tokenizer: _Tokens, text: str, spans: list[tuple[int, int]]) -> None:
    tokens = TokenReader(tokenizer).read(text)
    assert list(zip(tokens.starts.tolist(), tokens.ends.tolist(), strict=True)) == spans


def test_letters_of_a_fast_tokenizer_come_from_its_offsets() -> None:
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    inner = Tokenizer(
        models.BPE(vocab={"A": 0, "C": 1, "G": 2, "T": 3, "[UNK]": 4, "AC": 5}, merges=[("A", "C")], unk_token="[UNK]")
    )
    reader = TokenReader(PreTrainedTokenizerFast(tokenizer_object=inner, unk_token="[UNK]"))
    tokens = reader.read("GACT")
    assert tokens.ids.tolist() == [2, 5, 3]
    assert tokens.ends.tolist() == [1, 3, 4]
    assert reader.plain == {0: "A", 1: "C", 2: "G", 3: "T", 5: "AC"}


def test_clean_letters() -> None:
    reader = TokenReader(LetterTokens())
    assert reader.check(Record("r", "", "acguNRyx."), 1) == "ACGTNNNNN"
    tokens = reader.read("ACNT")
    assert reader.clear_tokens("ACNT", tokens).tolist() == [True, True, False, True]
    three = TokenReader(KmerTokens())
    assert three.clear_tokens("ACGTTN", three.read("ACGTTN")).tolist() == [True, True, True, False]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "sequence 7 \\('r'\\) is empty; leave empty sequences out"),
        ("ACGTE", "'E' at position 5, which is no nucleotide; this model reads DNA"),
        ("ACG-T", "'-' at position 4"),
        ("ACGÄ", "'Ä' at position 4"),
        ("MKVWAHDGRSYKM", "made of ambiguity codes \\(11 of 13 letters\\); this may be a protein"),
    ],
)
def test_what_is_no_dna(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        TokenReader(LetterTokens()).check(Record("r", "", text), 7)


def test_what_is_no_protein() -> None:
    with pytest.raises(InputError, match="'1', which stands for no amino acid"):
        TokenReader(ProteinTokens()).check(Record("p", "", "MK1"), 1)


def test_a_sequence_without_a_token_is_an_error() -> None:
    with pytest.raises(InputError, match="sequence 'r' has 2 letters, too few for a token of this model"):
        TokenReader(KmerTokens(overlapping=True)).read("AC", name="r")


def test_missing_special_tokens_are_told() -> None:
    reader = TokenReader(EvoTokenizer())
    with pytest.raises(UsageError, match="EvoTokenizer has no mask token"):
        _ = reader.mask_id
    with pytest.raises(UsageError, match="has no token for the beginning of a sequence: leave --bos out"):
        _ = reader.begin_id
    assert TokenReader(LetterTokens()).begin_id == 2
    assert TokenReader(LetterTokens()).mask_id == 3


def test_tokens_whose_letters_cannot_be_told() -> None:
    class Odd(LetterTokens):
        def _tokenize(self, text: str, **options: object) -> list[str]:
            return ["A"] * 3

    with pytest.raises(UsageError, match="cannot be told which letters the tokens of Odd stand for"):
        TokenReader(Odd()).read("ACGTACGTACGT")


def test_special_tokens_around_a_sequence() -> None:
    reader = TokenReader(LetterTokens(front=("[CLS]", "[BOS]"), back=("[SEP]",)))
    assert (reader.front.tolist(), reader.back.tolist()) == ([0, 2], [1])
    assert TokenReader(EvoTokenizer()).front.dtype == np.int64


def test_records_of_strings() -> None:
    assert [(record.name, record.sequence) for record in as_records(["AC", Record("x", "", "G")])] == [("1", "AC"), ("x", "G")]
    assert [record.sequence for record in as_records("ACGT")] == ["ACGT"]
