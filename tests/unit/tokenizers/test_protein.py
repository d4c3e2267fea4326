"""Residues: ESM-2's ids as transformers has them, PoET's as its alphabet has them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from transformers import EsmTokenizer

from genoseq.errors import InputError
from genoseq.tokenizers import ESM2Tokenizer, PoETTokenizer
from genoseq.tokenizers.protein import ESM2_TOKENS

ALL = "LAGVSERTIDPKQNFYMHWCXBUZO.-"


def test_esm_has_the_published_vocabulary() -> None:
    listed = "<cls> <pad> <eos> <unk> L A G V S E R T I D P K Q N F Y M H W C X B U Z O . - <null_1> <mask>"
    assert list(ESM2_TOKENS) == listed.split()
    tokenizer = ESM2Tokenizer()
    assert (tokenizer.cls_token_id, tokenizer.pad_token_id, tokenizer.eos_token_id) == (0, 1, 2)
    assert (tokenizer.unk_token_id, tokenizer.mask_token_id, tokenizer.vocab_size) == (3, 32, 33)


def test_esm_gives_the_ids_that_transformers_gives(tmp_path: Path) -> None:
    (tmp_path / "vocab.txt").write_text("\n".join(ESM2_TOKENS))
    theirs, ours = EsmTokenizer(str(tmp_path / "vocab.txt")), ESM2Tokenizer()
    rng = np.random.default_rng(0)
    for length in (0, 1, 7, 300):
        sequence = "".join(rng.choice(list(ALL), length))
        assert ours(sequence)["input_ids"] == theirs(sequence)["input_ids"]
    for text in ("MK<mask>TW", "MaK", "MK*W", "MJK"):
        assert ours(text)["input_ids"] == theirs(text)["input_ids"]
    batch = ["MKT", "MKTWY"]
    one, other = ours(batch, padding=True), theirs(batch, padding=True)
    assert dict(one) == dict(other)


def test_esm_gives_each_unknown_character_a_token() -> None:
    assert ESM2Tokenizer().encode_array("MaaK").tolist() == [20, 3, 3, 15]
    assert ESM2Tokenizer(upper=True).encode_array("mK").tolist() == [20, 15]


def test_poet_has_the_alphabet_of_its_code() -> None:
    tokenizer = PoETTokenizer()
    assert tokenizer.encode_array("ARNDCQEGHILKMFPSTWYV-*$X").tolist() == list(range(24))
    assert tokenizer.encode_array("OUBZJ.?").tolist() == [11, 4, 23, 23, 23, 23, 23]
    assert tokenizer("MK")["input_ids"] == [21, 12, 11, 22]
    assert tokenizer.encode_array("mk").tolist() == [12, 11]
    assert PoETTokenizer(upper=False).encode_array("mk").tolist() == [23, 23]
    assert tokenizer(["MK", "M"], padding=True)["input_ids"] == [[21, 12, 11, 22], [21, 12, 22, 23]]
    assert tokenizer(["MK", "M"], padding=True)["attention_mask"] == [[1, 1, 1, 1], [1, 1, 1, 0]]
    assert tokenizer.decode([21, 12, 4, 11, 22], skip_special_tokens=True) == "MCK"


@pytest.mark.parametrize("kind", [ESM2Tokenizer, PoETTokenizer])
def test_strict(kind: type) -> None:
    tokenizer = kind(strict=True)
    assert len(tokenizer.encode_array("ACDEFGHIKLMNPQRSTVWYXBUZO-")) == 26
    for sequence, message in (("", "empty"), ("MK1T", "position 2 .* holds '1', which is not in the protein alphabet")):
        with pytest.raises(InputError, match=message):
            tokenizer(sequence)
