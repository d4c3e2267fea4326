"""Byte-pair encoding: training, what is learned from, DNABERT-2's file."""

from __future__ import annotations

import itertools
import json
import tracemalloc
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers

from genoseq.errors import InputError, UsageError
from genoseq.seqs.fastx import read_fastx
from genoseq.tokenizers import GenoseqBpeTokenizer, load_bpe, make, train_bpe
from genoseq.tokenizers.bpe import _draw, _pieces


@pytest.fixture(scope="module")
def sequences() -> list[str]:
    rng = np.random.default_rng(0)
    return ["".join(rng.choice(list("ACGT"), 4000, p=[0.35, 0.15, 0.2, 0.3])) for _ in range(3)]


@pytest.fixture(scope="module")
def trained(sequences: list[str]) -> GenoseqBpeTokenizer:
    return train_bpe(sequences, vocab_size=120)


def test_special_tokens_have_the_ids_of_dnabert2(trained: GenoseqBpeTokenizer) -> None:
    vocabulary = trained.get_vocab()
    ordered = sorted(vocabulary, key=lambda token: vocabulary[token])
    assert ordered[:10] == ["[UNK]", "[CLS]", "[SEP]", "[PAD]", "[MASK]", "A", "C", "G", "N", "T"]
    assert len(ordered) == trained.vocab_size == 120
    assert not any("N" in token for token in ordered[10:])
    ids = trained("ACGT")["input_ids"]
    assert ids[0] == trained.cls_token_id == 1 and ids[-1] == trained.sep_token_id == 2


def merged(sequence: str, ranks: dict[tuple[str, str], int]) -> list[str]:
    """BPE by its definition: the merge of lowest rank, leftmost first, until none applies."""
    tokens = list(sequence)
    while True:
        known = [(ranks[pair], place) for place, pair in enumerate(itertools.pairwise(tokens)) if pair in ranks]
        if not known:
            return tokens
        _, place = min(known)
        tokens[place : place + 2] = [tokens[place] + tokens[place + 1]]


def test_encoding_is_bpe_by_its_definition(trained: GenoseqBpeTokenizer, sequences: list[str], tmp_path: Path) -> None:
    trained.save_pretrained(tmp_path)
    merges = json.loads((tmp_path / "tokenizer.json").read_text())["model"]["merges"]
    ranks = {(one, other): rank for rank, (one, other) in enumerate(merges)}
    text = sequences[0][:700]
    assert trained.tokenize(text) == merged(text, ranks)
    spans = trained.token_spans(text)
    assert [text[start:end] for start, end in spans.tolist()] == merged(text, ranks)


def test_the_first_merge_is_the_commonest_pair(sequences: list[str], trained: GenoseqBpeTokenizer) -> None:
    pairs = Counter(piece[place : place + 2] for piece in _pieces(sequences, 128) for place in range(len(piece) - 1))
    best = {pair.decode() for pair, count in pairs.items() if count == max(pairs.values())}
    assert trained.convert_ids_to_tokens(10) in best or trained.convert_ids_to_tokens(10) in {"AA", "TT"}


def test_letters_are_read_as_documented(trained: GenoseqBpeTokenizer) -> None:
    assert trained.decode_array(trained.encode_array("acguACGU")) == "ACGTACGT"
    assert trained.tokenize("NN") == ["N", "N"]
    assert trained.convert_ids_to_tokens(trained.encode_array("RY*").tolist()) == ["[UNK]"] * 3
    assert trained.tokenize("ac[MASK]gt") == [*trained.tokenize("AC"), "[MASK]", *trained.tokenize("GT")]


def test_training_is_reproducible(sequences: list[str], trained: GenoseqBpeTokenizer) -> None:
    assert train_bpe(iter(sequences), vocab_size=120).digest == trained.digest
    few = {seed: train_bpe(sequences, vocab_size=60, max_bases=2048, seed=seed).digest for seed in (0, 1)}
    assert few[0] != few[1]
    assert train_bpe(sequences, vocab_size=60, max_bases=2048, seed=1).digest == few[1]


def test_options_of_training_are_felt(sequences: list[str], trained: GenoseqBpeTokenizer) -> None:
    assert max(map(len, train_bpe(["ACGT" * 400], vocab_size=40, max_token_length=6).get_vocab().keys() - {"[MASK]"})) <= 6
    unlimited = train_bpe(["ACGT" * 400], vocab_size=40, max_token_length=None).get_vocab()
    assert max(map(len, unlimited)) > 16
    assert train_bpe(sequences, vocab_size=4000, min_frequency=50).vocab_size < 1000
    assert train_bpe(sequences, vocab_size=60, piece=2).vocab_size <= 26  # no token spans two pieces
    assert train_bpe(sequences, vocab_size=30, model_max_length=77).model_max_length == 77


def test_pieces_are_cut_at_everything_that_is_no_base() -> None:
    assert list(_pieces(["ACGTNacguRA", b"GATTACA"], 4)) == [b"ACGT", b"ACGT", b"GATT", b"ACA"]
    assert list(_pieces(["ACGTA", "NNN", "A"], 4)) == [b"ACGT"]


def test_a_draw_is_fair_and_keeps_the_order() -> None:
    items = [bytes([number]) for number in range(50)]
    assert _draw(items[:7], count=10, seed=0) == items[:7]
    assert _draw(items, count=50, seed=0) == items
    counts = Counter[bytes]()
    for seed in range(2000):
        drawn = _draw(iter(items), count=10, seed=seed)
        assert drawn == sorted(drawn) and len(set(drawn)) == 10
        counts.update(drawn)
    # each item is drawn with chance 1/5: 400 of 2,000, standard deviation 18
    assert min(counts.values()) > 310 and max(counts.values()) < 490


def test_memory_does_not_grow_with_the_genome() -> None:
    chromosome = "ACGTTGCA" * 12_500

    def peak(copies: int) -> int:
        tracemalloc.start()
        _draw(_pieces((chromosome for _ in range(copies)), 100), count=100, seed=0)
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    assert peak(20) < 1.5 * peak(2)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"vocab_size": 9}, "vocab_size is 9; expected at least 10"),
        ({"piece": 1}, "piece is 1"),
        ({"max_bases": 100}, "max_bases is 100; expected at least 128"),
        ({"min_frequency": 0}, "min_frequency is 0"),
        ({"max_token_length": 1}, "max_token_length is 1"),
    ],
)
def test_odd_numbers_are_refused(options: dict[str, int], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        train_bpe(["ACGT"], **options)  # type: ignore[arg-type]


def test_nothing_to_learn_from_is_refused() -> None:
    for nothing in ([], ["NNNN"], [""]):
        with pytest.raises(InputError, match="hold no A, C, G or T"):
            train_bpe(nothing)
    with pytest.raises(InputError, match=r"position 1 .* not ASCII"):
        train_bpe(["Aé"])


def test_strict(sequences: list[str]) -> None:
    tokenizer = train_bpe(sequences[:1], vocab_size=20, strict=True)
    assert tokenizer("ACGTNacgu")["input_ids"][0] == 1
    for text, message in (("", "empty"), ("ACR", "position 2 .* 'R'"), ("AC[MASK]AR", r"position 1 .* 'R'.*starts at 8\)")):
        with pytest.raises(InputError, match=message):
            tokenizer(text)
    with pytest.raises(InputError, match="outside the vocabulary"):
        tokenizer.decode_array(np.array([5, 99999]))


def like_dnabert2(folder: Path) -> Path:
    """A tokenizer.json of DNABERT-2's form: its special tokens, Whitespace, a template; no upper case, no N."""
    tokenizer = Tokenizer(models.BPE(unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    special = ["[UNK]", "[CLS]", "[SEP]", "[PAD]", "[MASK]"]
    trainer = trainers.BpeTrainer(vocab_size=30, special_tokens=special, show_progress=False)
    tokenizer.train_from_iterator(["GATTACATTAGA", "TTAGACCAGATT"], trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
    )
    folder.mkdir()
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


def test_a_folder_like_dnabert2s_is_read_as_it_is(tmp_path: Path) -> None:
    folder = like_dnabert2(tmp_path / "dnabert2")
    theirs = Tokenizer.from_file(str(folder / "tokenizer.json"))
    for ours in (load_bpe(folder), make("dnabert2", folder=folder), load_bpe(folder / "tokenizer.json")):
        for text in ("GATTACA", "GATNTA", "gatTA", "", "GAT TACA"):
            assert ours(text)["input_ids"] == theirs.encode(text).ids
            assert ours.encode_array(text).tolist() == theirs.encode(text, add_special_tokens=False).ids
        assert ours.tokenize("GANa")[-2:] == ["[UNK]", "[UNK]"]
        assert ours.pad_token_id == 3 and ours.mask_token_id == 4
    assert make("dnabert2", folder=folder, upper=True).tokenize("gattaca") == load_bpe(folder).tokenize("GATTACA")
    assert GenoseqBpeTokenizer.from_pretrained(folder).encode_array("GATTACA").tolist() == theirs.encode("GATTACA").ids[1:-1]


def test_what_is_no_bpe_tokenizer_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"tokenizer\.json: no such file; give a folder"):
        load_bpe(tmp_path)
    (tmp_path / "tokenizer.json").write_text("{")
    with pytest.raises(InputError, match="cannot be read as a tokenizer"):
        load_bpe(tmp_path)
    Tokenizer(models.WordLevel({"A": 0}, unk_token="A")).save(str(tmp_path / "tokenizer.json"))
    with pytest.raises(InputError, match="holds a WordLevel model, expected BPE"):
        load_bpe(tmp_path)
    with pytest.raises(UsageError, match="tokenizer 'bpe' needs folder"):
        make("bpe")


def test_a_real_genome_comes_back(sample: Path) -> None:
    genome = next(iter(read_fastx(sample / "phix174.fa"))).sequence.upper()
    tokenizer = train_bpe([genome], vocab_size=200)
    assert tokenizer.decode_array(tokenizer.encode_array(genome)) == genome
    assert 2 < len(genome) / len(tokenizer.encode_array(genome)) < 6
