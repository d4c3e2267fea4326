"""Calls with texts give what Hugging Face's own code gives for the same vocabulary, whatever the options."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import PreTrainedTokenizer
from transformers.utils import logging

from genoseq.errors import InputError, UsageError
from genoseq.tokenizers import CaduceusTokenizer, GenoseqNucleotideTokenizer, HyenaDNATokenizer
from genoseq.tokenizers.nucleotide import SPECIAL

NAMES = {
    name: f"[{name.removesuffix('_token').upper()}]"
    for name in ("cls_token", "sep_token", "pad_token", "mask_token", "unk_token")
}


class Slow(PreTrainedTokenizer):  # type: ignore[misc]
    """HyenaDNA's tokenizer by the code of transformers: lists of characters, one look-up each."""

    def __init__(self, **kwargs: Any) -> None:
        self.ids = {token: number for number, token in enumerate((*SPECIAL, *"ACGTN"))}
        super().__init__(special_tokens_pattern="cls_sep", **{**NAMES, "bos_token": "[BOS]", "eos_token": "[SEP]", **kwargs})

    @property
    def vocab_size(self) -> int:
        return len(self.ids)

    def get_vocab(self) -> dict[str, int]:
        return dict(self.ids)

    def _tokenize(self, text: str, **kwargs: Any) -> list[str]:
        return list(text)

    def _convert_token_to_id(self, token: str) -> int:
        return self.ids.get(token, self.ids["[UNK]"])

    def _convert_id_to_token(self, index: int) -> str:
        return {number: token for token, number in self.ids.items()}[index]

    def convert_tokens_to_string(self, tokens: list[str]) -> str:
        return "".join(tokens)


@pytest.fixture(scope="module", autouse=True)
def quiet() -> Iterator[None]:
    """Transformers says at each cut of a pair that it does not give back what it cut off."""
    before = logging.get_verbosity()
    logging.set_verbosity_error()
    yield
    logging.set_verbosity(before)


SLOW = Slow()
FAST = HyenaDNATokenizer(add_cls=True, model_input_names=["input_ids", "attention_mask"])
TEXTS = st.lists(st.sampled_from([*"ACGTNacR-", "[MASK]", "[PAD]", "["]), max_size=12).map("".join)
SECOND = TEXTS.map(lambda text: text or "A")  # cut from the left, an empty second text is lost in transformers


@settings(max_examples=200, deadline=None, derandomize=True)
@given(
    batch=st.one_of(TEXTS, st.lists(TEXTS, min_size=1, max_size=4), st.lists(st.tuples(TEXTS, SECOND), min_size=1, max_size=3)),
    padding=st.sampled_from([False, True, "longest", "max_length"]),
    truncation=st.sampled_from([False, True, "only_first"]),
    max_length=st.integers(4, 12),
    side=st.sampled_from(["left", "right"]),
    cut=st.sampled_from(["left", "right"]),
    multiple=st.sampled_from([None, 4]),
    special=st.booleans(),
    types=st.booleans(),
    mask=st.booleans(),
)
def test_options_give_what_transformers_gives(
    batch: Any, padding: Any, truncation: Any, max_length: int, side: str, cut: str, multiple: int | None,
    special: bool, types: bool, mask: bool
) -> None:  # fmt: skip
    if truncation and multiple:
        max_length = -(-max_length // 4) * 4
    if truncation == "only_first" and any(isinstance(sample, tuple) for sample in batch):
        truncation = True  # a first text too short to be cut is an error here, and a row that is too long there
    special = special or batch == ""  # transformers does not pad a row without any token
    options = {
        "padding": padding,
        "truncation": truncation,
        "max_length": max_length if truncation or padding == "max_length" else None,
        "padding_side": side,
        "pad_to_multiple_of": multiple,
        "add_special_tokens": special,
        "return_token_type_ids": types and special,  # without special tokens, transformers forgets the second text here
        "return_special_tokens_mask": mask,
        "verbose": False,
    }
    SLOW.truncation_side = FAST.truncation_side = cut
    assert dict(FAST(batch, **options)) == dict(SLOW(batch, **options))


@pytest.mark.parametrize("cut", ["left", "right"])
@pytest.mark.parametrize(("strategy", "stride"), [("only_first", 0), ("only_first", 2), ("only_second", 0), ("only_second", 9)])
def test_one_text_of_a_pair_is_cut_as_transformers_does(strategy: str, stride: int, cut: str) -> None:
    SLOW.truncation_side = FAST.truncation_side = cut
    options = {"truncation": strategy, "max_length": 9, "stride": stride, "return_overflowing_tokens": True}
    assert dict(FAST("ACGTAC", "GGTTC", **options)) == dict(SLOW("ACGTAC", "GGTTC", **options))


@pytest.mark.parametrize("text", ["ACGTN", "", "ACGT" * 20])
@pytest.mark.parametrize("kind", ["np", "pt"])
def test_tensors_have_the_values_of_the_lists(text: str, kind: str) -> None:
    lists, arrays = FAST([text, "A"], padding=True), FAST([text, "A"], padding=True, return_tensors=kind)
    for name, values in lists.items():
        assert arrays[name].tolist() == values
        assert str(arrays[name].dtype).endswith("int64")
    alone = FAST(text, return_tensors=kind)["input_ids"]
    assert alone.shape == (1, len(text) + 2) == FAST.encode(text, return_tensors=kind).shape
    assert FAST.encode(text) == alone[0].tolist()


def test_arrays_of_a_call_may_be_written_to() -> None:
    ids = FAST("ACGT", return_tensors="np")["input_ids"]
    ids[0, 0] = 4
    tensor = FAST("ACGT", return_tensors="pt", add_special_tokens=False)["input_ids"]
    tensor[0, 0] = 4
    assert ids[0, 0] == tensor[0, 0] == 4


def test_rows_of_different_lengths_make_no_tensor() -> None:
    with pytest.raises(UsageError, match=r"sequences of 3 to 6 tokens do not make one array; pass padding=True"):
        FAST(["A", "ACGT"], return_tensors="np")
    with pytest.raises(UsageError, match="return_tensors='mlx'; expected 'pt' or 'np'"):
        FAST("ACGT", return_tensors="mlx")


def test_bytes_and_ids_are_texts_too() -> None:
    assert FAST(b"ACGT")["input_ids"] == FAST("ACGT")["input_ids"] == FAST([7, 8, 9, 10])["input_ids"]
    assert FAST([b"AC", "G", [7, 8]])["input_ids"] == [[0, 7, 8, 1], [0, 9, 1], [0, 7, 8, 1]]
    assert FAST(["AC", "G"], is_split_into_words=True)["input_ids"] == FAST("ACG")["input_ids"]
    assert FAST([["AC", "G"], ["T"]], is_split_into_words=True)["input_ids"] == FAST(["ACG", "T"])["input_ids"]
    assert FAST([])["input_ids"] == []


@pytest.mark.parametrize("texts", [3, {"A": 1}, np.array(["A"])])
def test_other_things_are_no_texts(texts: Any) -> None:
    with pytest.raises(TypeError, match="texts are"):
        FAST(texts)
    with pytest.raises(UsageError, match="2 texts need as many"):
        FAST(["A", "C"], ["G"])
    with pytest.raises(UsageError, match="a sample holds 3 texts"):
        FAST([["A", "C", "G"]])
    with pytest.raises(TypeError, match="HyenaDNATokenizer does not take colour"):
        FAST("A", colour=1)


def test_offsets_say_which_bases_a_token_covers() -> None:
    text = "AC[MASK]GT"
    got = FAST([text, "A"], return_offsets_mapping=True, padding=True, padding_side="right")
    assert got["offset_mapping"][0] == [(0, 0), (0, 1), (1, 2), (2, 8), (8, 9), (9, 10), (0, 0)]
    assert got["offset_mapping"][1] == [(0, 0), (0, 1), (0, 0)] + [(0, 0)] * 4
    pair = FAST("AC", "G", return_offsets_mapping=True, return_tensors="np")["offset_mapping"]
    assert pair.tolist() == [[[0, 0], [0, 1], [1, 2], [0, 0], [0, 1], [0, 0]]]
    with pytest.raises(UsageError, match="offsets need text"):
        FAST([7, 8], return_offsets_mapping=True)


def test_overflow_and_length() -> None:
    SLOW.truncation_side = FAST.truncation_side = "right"
    got = FAST(["ACGTACGT", "AC"], truncation=True, max_length=6, stride=1, return_overflowing_tokens=True, return_length=True)
    assert got["input_ids"] == [[0, 7, 8, 9, 10, 1], [0, 7, 8, 1]]
    assert got["overflowing_tokens"] == [[10, 7, 8, 9, 10], []] and got["num_truncated_tokens"] == [4, 0]
    assert got["length"] == [6, 4]
    slow = SLOW("ACGTACGT", truncation=True, max_length=6, stride=1, return_overflowing_tokens=True)
    fast = FAST("ACGTACGT", truncation=True, max_length=6, stride=1, return_overflowing_tokens=True)
    assert dict(fast) == dict(slow)
    for options in (
        {"truncation": "only_second", "text_pair": "A"},
        {"truncation": True},
        {"truncation": True, "text_pair": "A"},
    ):
        with pytest.raises(UsageError, match="cannot take"):
            FAST("AC", max_length=1, **options)
    with pytest.raises(UsageError, match="needs a second text"):
        FAST("ACGTACGT", max_length=4, truncation="only_second")


def test_special_tokens_in_a_text_are_kept_whole_unless_told_not_to() -> None:
    assert FAST("A[MASK]C", add_special_tokens=False)["input_ids"] == [7, 3, 8]
    assert FAST("A[MASK]C", add_special_tokens=False, split_special_tokens=True)["input_ids"] == [7, 6, 6, 7, 6, 6, 6, 8]
    assert FAST.encode_array("A[MASK]").tolist() == [7, 6, 6, 7, 6, 6, 6]
    strict = GenoseqNucleotideTokenizer(strict=True)
    with pytest.raises(InputError, match=r"position 1 .* holds '-'.*\(in the part of the text that starts at 7\)"):
        strict("A[MASK]A-")


def test_added_tokens_are_found_and_decoded() -> None:
    tokenizer = CaduceusTokenizer()
    before = tokenizer.digest
    assert tokenizer.add_tokens(["<cell>"], special_tokens=True) == 1
    assert len(tokenizer) == 13 and tokenizer.vocab_size == 12 and tokenizer.digest != before
    ids = tokenizer("A<cell>c")["input_ids"]
    assert ids == [7, 12, 8, 1]
    assert tokenizer.decode(ids) == "A<cell>C[SEP]"
    assert tokenizer.decode(ids, skip_special_tokens=True) == "AC"
    assert tokenizer.convert_ids_to_tokens(ids) == ["A", "<cell>", "C", "[SEP]"]


def test_decoding_takes_what_models_give() -> None:
    import torch

    ids = [[7, 8, 1], [9, 4, 4]]
    for given_ids in (ids, np.array(ids), torch.tensor(ids), [np.array(row) for row in ids]):
        assert FAST.decode(given_ids) == ["AC[SEP]", "G[PAD][PAD]"]
        assert FAST.batch_decode(given_ids, skip_special_tokens=True) == ["AC", "G"]
    assert FAST.decode(7) == "A" and FAST.decode([]) == "" and FAST.decode(torch.tensor([7])) == "A"
    assert FAST.decode([7, 15]) == "A[UNK]"  # HyenaDNA's nets have 16 outputs for 12 tokens
    assert FAST.convert_tokens_to_string(["A", "[MASK]"]) == "A[MASK]"
    with pytest.raises(InputError, match=r"id 15 at position 1 is outside the vocabulary \(0 to 11\)"):
        FAST.decode_array(np.array([7, 15]))


@pytest.mark.parametrize("kind", [None, "np", "pt"])
@pytest.mark.parametrize("side", ["left", "right"])
def test_padding_afterwards_as_collators_do(kind: str | None, side: str) -> None:
    rows = [FAST("ACG", return_special_tokens_mask=True), FAST("A", return_special_tokens_mask=True)]
    slow = [SLOW("ACG", return_special_tokens_mask=True), SLOW("A", return_special_tokens_mask=True)]
    for options in ({}, {"pad_to_multiple_of": 8}, {"padding": "max_length", "max_length": 9}):
        got = FAST.pad(rows, return_tensors=kind, padding_side=side, **options)
        expected = SLOW.pad(slow, return_tensors=kind, padding_side=side, **options)
        assert set(got) == set(expected)
        for name in expected:
            assert np.asarray(got[name]).tolist() == np.asarray(expected[name]).tolist()


def test_padding_of_other_entries_is_left_to_transformers() -> None:
    import torch

    rows = [{"input_ids": [7, 8], "labels": 1}, {"input_ids": [7], "labels": 0}]
    got = FAST.pad(rows, return_tensors="np")
    assert got["labels"].tolist() == [1, 0] and got["input_ids"].tolist() == [[7, 8], [4, 7]]
    tensors = FAST.pad({"input_ids": [torch.tensor([7, 8]), torch.tensor([9])]}, return_tensors="pt")
    assert tensors["input_ids"].tolist() == [[7, 8], [4, 9]]
    arrays = FAST.pad({"input_ids": [np.array([7, 8]), np.array([9])]}, return_tensors="np")
    assert arrays["input_ids"].tolist() == [[7, 8], [4, 9]] and arrays["attention_mask"].tolist() == [[1, 1], [0, 1]]


def test_masks_of_special_tokens() -> None:
    assert FAST.get_special_tokens_mask([7, 8]) == SLOW.get_special_tokens_mask([7, 8]) == [1, 0, 0, 1]
    assert FAST.get_special_tokens_mask([7], [8]) == SLOW.get_special_tokens_mask([7], [8])
    assert FAST.get_special_tokens_mask([0, 7, 1, 4], already_has_special_tokens=True) == [1, 0, 1, 1]
    assert FAST.build_inputs_with_special_tokens([7], [8]) == SLOW.build_inputs_with_special_tokens([7], [8])
    with pytest.raises(ValueError, match="a second sequence"):
        FAST.get_special_tokens_mask([7], [8], already_has_special_tokens=True)


def test_a_long_text_is_told_of_once_and_not_cut(caplog: pytest.LogCaptureFixture) -> None:
    tokenizer = HyenaDNATokenizer(model_max_length=10)
    assert len(tokenizer("A" * 20)["input_ids"]) == 21
    assert len(tokenizer("A" * 20, truncation=True)["input_ids"]) == 10


def test_a_million_bases_take_no_lists_of_characters() -> None:
    import tracemalloc

    text = "ACGT" * 250_000
    FAST("ACGT", return_tensors="pt")
    tracemalloc.start()
    FAST(text, return_tensors="pt")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 70_000_000  # eight bytes for each id, and a few arrays of that kind; a list of tokens alone would be as much
