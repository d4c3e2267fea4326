"""Bytes: every one its own id, both vocabularies."""

from __future__ import annotations

import numpy as np
import pytest

from genoseq.errors import InputError
from genoseq.tokenizers import EvoTokenizer, HNetTokenizer

TEXT = "ACGTNacgtUu*-RY|d__Bacteria;~ é\u4e2d"


def test_evo_is_raw_bytes_with_nothing_added() -> None:
    tokenizer = EvoTokenizer()
    assert (tokenizer.vocab_size, len(tokenizer), tokenizer.eos_token_id, tokenizer.pad_token_id) == (512, 512, 0, 1)
    assert tokenizer(TEXT)["input_ids"] == list(TEXT.encode())
    assert tokenizer.decode(tokenizer(TEXT)["input_ids"]) == TEXT
    assert [tokenizer("A")["input_ids"], tokenizer("CGT")["input_ids"]] == [[65], [67, 71, 84]]
    assert tokenizer(["ACG", "A"], padding=True)["input_ids"] == [[65, 67, 71], [65, 1, 1]]
    assert tokenizer("A\0\1")["input_ids"] == [65, 0, 1]


def test_hnet_has_its_start_and_end() -> None:
    tokenizer = HNetTokenizer(add_bos=True, add_eos=True)
    assert (tokenizer.vocab_size, tokenizer.bos_token_id, tokenizer.eos_token_id) == (256, 254, 255)
    assert tokenizer("AC")["input_ids"] == [254, 65, 67, 255]
    assert HNetTokenizer()("AC")["input_ids"] == [65, 67]
    assert tokenizer.decode(tokenizer(TEXT)["input_ids"], skip_special_tokens=True) == TEXT
    assert tokenizer(["AC", "A"], padding=True, return_tensors="np")["attention_mask"].tolist() == [[1, 1, 1, 1], [1, 1, 1, 0]]


def test_names_of_tokens_in_a_text_are_text() -> None:
    for tokenizer in (EvoTokenizer(), HNetTokenizer()):
        assert tokenizer("<0xFE>")["input_ids"] == list(b"<0xFE>")


def test_ids_that_stand_for_no_byte_have_a_name() -> None:
    assert EvoTokenizer().decode([65, 511, 67]) == "A<0x1FF>C"
    assert EvoTokenizer().decode_array(np.array([200])) == "\ufffd"


def test_upper_and_strict() -> None:
    assert EvoTokenizer(upper=True).encode_array("acgtN").tolist() == list(b"ACGTN")
    strict = EvoTokenizer(strict=True)
    assert strict.encode_array("|d__;ACGT").tolist() == list(b"|d__;ACGT")
    for text, message in (("", "empty"), ("AC\nG", "position 2 .* holds '\\\\n'"), ("ACé", "position 2")):
        with pytest.raises(InputError, match=message):
            strict(text)


def test_bytes_need_not_be_text_but_text_must_be_characters() -> None:
    assert EvoTokenizer().encode_array(b"\xff\x00").tolist() == [255, 0]
    with pytest.raises(InputError, match=r"position 1 .* half of a surrogate pair"):
        EvoTokenizer().encode_array("A\ud800")
