"""The published tokenizers' own answers: ids, vocabularies, padding, truncation, decoding."""

from __future__ import annotations

import json
from typing import Any

import pytest
from parity import parity_case

from genoseq import tokenizers
from genoseq.errors import InputError

CHARACTERS = {"hyenadna-original": "hyena_character_tokenizer", "caduceus": "caduceus_tokenizer"}


def reference(name: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((parity_case("tokenizers") / f"{name}.json").read_text())
    return content


@pytest.mark.parametrize("name", CHARACTERS)
def test_character_tokenizers(name: str) -> None:
    expected = reference(CHARACTERS[name])
    tokenizer = tokenizers.make(name)
    assert tokenizer.get_vocab() == expected["vocab"]
    assert tokenizer.padding_side == expected["padding_side"]
    assert len(expected["cases"]) == 8
    for case in expected["cases"]:
        assert tokenizer(case["text"])["input_ids"] == case["special"], case["text"]
        assert tokenizer(case["text"], add_special_tokens=False)["input_ids"] == case["no_special"], case["text"]
        assert tokenizer.encode_array(case["text"]).tolist() == case["no_special"]
        assert tokenizer.encode_array(case["text"], add_special_tokens=True).tolist() == case["special"]
    assert tokenizer(["ACGT", "AC"], padding=True)["input_ids"] == expected["batch_pad"]
    if "batch_pad_max" in expected:
        padded = tokenizer(["ACGT", "AC"], padding="max_length", max_length=10)
        assert padded["input_ids"] == expected["batch_pad_max"]
    assert tokenizer("ACGTACGTACGT", truncation=True, max_length=6)["input_ids"] == expected["trunc"]
    assert tokenizer.decode(tokenizer("ACGT")["input_ids"]) == expected["decode"]


def test_caduceus_gives_its_net_the_complements_and_no_mask() -> None:
    expected = reference("caduceus_tokenizer")
    tokenizer = tokenizers.make("caduceus")
    assert {str(number): other for number, other in tokenizer.complement_map.items()} == expected["complement_map"]
    assert list(tokenizer("ACGT")) == expected["keys"] == ["input_ids"]


def test_hyenadna_of_the_hub_has_the_ids_of_the_original_without_its_first() -> None:
    expected = reference("hyena_character_tokenizer")
    tokenizer = tokenizers.make("hyenadna")
    assert tokenizer.get_vocab() == expected["vocab"]
    for case in expected["cases"]:
        assert tokenizer(case["text"])["input_ids"] == case["special"][1:]


@pytest.mark.parametrize("layout", ["v1", "v2"])
def test_nucleotide_transformer(layout: str) -> None:
    expected = reference("nucleotide_transformer")[layout]
    tokenizer = tokenizers.make(f"nucleotide-transformer-{layout}")
    assert tokenizer.vocab_size == expected["vocab_size"]
    vocabulary = tokenizer.get_vocab()
    assert {token: vocabulary[token] for token in expected["ids"]} == expected["ids"]
    assert len(expected["cases"]) == 6
    for case in expected["cases"]:
        if "error" in case:
            with pytest.raises(InputError, match=r"position 0 .* holds 'a'"):
                tokenizer(case["text"])
            continue
        got = tokenizer(case["text"], padding="max_length", max_length=16)
        assert got["input_ids"] == case["ids"]
        assert tokenizer.convert_ids_to_tokens(got["input_ids"]) == case["tokens"]
        real = sum(got["attention_mask"])
        assert tokenizer.decode(got["input_ids"][1:real]) == case["text"]
