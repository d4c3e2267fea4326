"""What every tokenizer must do, new and as opened again. A new tokenizer is one more line in ``CASES``."""

from __future__ import annotations

import copy
import dataclasses
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from genoseq import tokenizers
from genoseq.errors import InputError
from genoseq.tokenizers import SequenceEncoder

DNA = "ACGT"
PROTEIN = "LAGVSERTIDPKQNFYMHWC"


@dataclasses.dataclass(frozen=True)
class Case:
    """A tokenizer, and what its sequences look like."""

    name: str
    options: dict[str, Any] = dataclasses.field(default_factory=dict)
    alphabet: str = DNA
    ascii_only: bool = True
    round_trip: bool = True  # decoding gives the sequence: nothing is left out, and the strand is that given
    end_to_end: bool = True  # tokens lie side by side from the first letter to the last

    def __str__(self) -> str:
        options = ",".join(f"{name}={value}" for name, value in self.options.items())
        return f"{self.name}({options})"


CASES = [
    Case("nucleotide", alphabet="ACGTN"),
    Case("nucleotide", {"add_cls": True, "padding_side": "right", "strict": True}),
    Case("hyenadna", alphabet="ACGTN"),
    Case("hyenadna-original"),
    Case("caduceus"),
    Case("kmer", end_to_end=False),
    Case("kmer", {"k": 3, "strict": True}, end_to_end=False),
    Case("nucleotide-transformer-v1", alphabet="ACGTN"),
    Case("nucleotide-transformer-v2", {"k": 4, "upper": True, "strict": False}),
    Case("codon"),
    Case("codon", {"frame": 2, "strand": "-", "code": 4}, round_trip=False, end_to_end=False),
    Case("codon", {"frame": 1, "partial": "drop"}, round_trip=False, end_to_end=False),
    Case("bpe", alphabet="ACGTN"),
    Case("dnabert2", {"upper": True, "strict": True}, alphabet="ACGTN"),
    Case("evo", alphabet=DNA + "acgt|;*-", ascii_only=False),
    Case("hnet", {"add_bos": True, "add_eos": True}, ascii_only=False),
    Case("esm", alphabet=PROTEIN + "XBUZO.-"),
    Case("poet", {"strict": True}, alphabet=PROTEIN),
]


@pytest.fixture(scope="session")
def bpe_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bpe")
    rng = np.random.default_rng(0)
    tokenizers.train_bpe(["".join(rng.choice(list(DNA), 3000))], vocab_size=90).save_pretrained(folder)
    return folder


@pytest.fixture(params=CASES, ids=str)
def case(request: pytest.FixtureRequest) -> Case:
    assert isinstance(request.param, Case)
    return request.param


@pytest.fixture
def tokenizer(case: Case, bpe_folder: Path) -> Any:
    folder = {"folder": bpe_folder} if case.name in ("bpe", "dnabert2") else {}
    return tokenizers.make(case.name, **case.options, **folder)


def some(case: Case, length: int, *, seed: int = 0) -> str:
    return "".join(np.random.default_rng(seed).choice(list(case.alphabet), length))


def lengths(case: Case) -> list[int]:
    return [length for length in (1, 2, 6, 7, 50, 301) if length >= case.options.get("k", 1) or not case.options.get("strict")]


def test_it_is_an_encoder(tokenizer: Any) -> None:
    assert isinstance(tokenizer, SequenceEncoder)


def test_ids_are_small_unsigned_and_within_the_vocabulary(case: Case, tokenizer: Any) -> None:
    for length in lengths(case):
        ids = tokenizer.encode_array(some(case, length))
        assert ids.ndim == 1 and ids.dtype.kind == "u" and ids.flags.writeable
        assert np.iinfo(ids.dtype).max < 65536 * 2 and (ids < tokenizer.vocab_size).all()


def test_text_bytes_and_arrays_are_encoded_alike(case: Case, tokenizer: Any) -> None:
    sequence = some(case, 60)
    ids = tokenizer.encode_array(sequence).tolist()
    letters = sequence.encode()
    for same in (
        letters,
        bytearray(letters),
        memoryview(letters),
        np.frombuffer(letters, np.uint8),
        np.frombuffer(letters, "S1"),
    ):
        assert tokenizer.encode_array(same).tolist() == ids
    assert tokenizer(letters)["input_ids"] == tokenizer(sequence)["input_ids"]


def test_calls_and_arrays_agree(case: Case, tokenizer: Any) -> None:
    for length in lengths(case):
        sequence = some(case, length)
        assert tokenizer(sequence)["input_ids"] == tokenizer.encode_array(sequence, add_special_tokens=True).tolist()
        assert tokenizer(sequence, add_special_tokens=False)["input_ids"] == tokenizer.encode_array(sequence).tolist()
        assert tokenizer.convert_tokens_to_ids(tokenizer.tokenize(sequence)) == tokenizer.encode_array(sequence).tolist()


def test_spans_lie_within_the_sequence(case: Case, tokenizer: Any) -> None:
    for length in lengths(case):
        sequence = some(case, length)
        spans = tokenizer.token_spans(sequence)
        assert spans.dtype == np.int64 and spans.shape == (len(tokenizer.encode_array(sequence)), 2)
        assert (spans[:, 0] >= 0).all() and (spans[:, 0] < spans[:, 1]).all() and (spans[:, 1] <= length).all()
        np.testing.assert_array_equal(tokenizer.token_starts(sequence), spans[:, 0])
        if case.end_to_end:
            assert spans[0, 0] == 0 and spans[-1, 1] == length and (spans[1:, 0] == spans[:-1, 1]).all()


def test_spans_are_the_offsets_of_a_call(case: Case, tokenizer: Any) -> None:
    sequence = some(case, 40)
    got = tokenizer(sequence, return_offsets_mapping=True, return_special_tokens_mask=True)
    offsets = [offset for offset, special in zip(got["offset_mapping"], got["special_tokens_mask"], strict=True) if not special]
    assert [list(offset) for offset in offsets] == tokenizer.token_spans(sequence).tolist()


@pytest.mark.parametrize("case", [case for case in CASES if case.options.get("strand") != "-"], ids=str)
def test_each_token_is_what_its_span_holds(case: Case, tokenizer: Any) -> None:
    sequence = some(case, 61)
    ids, spans = tokenizer.encode_array(sequence), tokenizer.token_spans(sequence)
    for number, (start, end) in zip(ids.tolist(), spans.tolist(), strict=True):
        piece = tokenizer.decode_array(np.array([number]))
        assert piece == sequence[start:end] or piece in ("[UNK]", "N" * (end - start))


@pytest.mark.parametrize("case", [case for case in CASES if case.round_trip], ids=str)
def test_decoding_undoes_encoding(case: Case, tokenizer: Any) -> None:
    alphabet = dataclasses.replace(case, alphabet=DNA) if case.name == "kmer" else case
    for length in (6, 7, 50, 301):
        sequence = some(alphabet, length)
        assert tokenizer.decode_array(tokenizer.encode_array(sequence)) == sequence
        assert tokenizer.decode(tokenizer(sequence)["input_ids"], skip_special_tokens=True) == sequence


def test_ids_outside_the_vocabulary_are_refused(tokenizer: Any) -> None:
    for wrong in (-1, len(tokenizer)):
        with pytest.raises(
            InputError, match=rf"id {wrong} at position 1 is outside the vocabulary \(0 to {len(tokenizer) - 1}\)"
        ):
            tokenizer.decode_array(np.array([0, wrong]))


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("kind", [None, "np", "pt"])
def test_batches_are_padded_on_either_side(case: Case, tokenizer: Any, side: str, kind: str | None) -> None:
    sequences = [some(case, length, seed=length) for length in (30, 7, 18)]
    alone = [tokenizer(sequence)["input_ids"] for sequence in sequences]
    options = {"padding": True, "padding_side": side, "return_attention_mask": True, "return_tensors": kind}
    batch = tokenizer(sequences, **options)
    ids, mask = np.asarray(batch["input_ids"]), np.asarray(batch["attention_mask"])
    assert ids.shape == mask.shape == (3, max(map(len, alone)))
    for row, real, expected in zip(ids, mask, alone, strict=True):
        assert row[real == 1].tolist() == expected
        assert (row[real == 0] == tokenizer.pad_token_id).all()
        ends = real[: -len(expected)] if side == "left" else real[len(expected) :]
        assert not ends.any()
    turned = tokenizer(sequences[::-1], **options)
    np.testing.assert_array_equal(np.asarray(turned["input_ids"])[::-1], ids)  # companions and order change nothing


def test_collators_pad_as_calls_do(case: Case, tokenizer: Any) -> None:
    sequences = [some(case, length) for length in (9, 30)]
    features = [tokenizer(sequence, return_attention_mask=True) for sequence in sequences]
    got = tokenizer.pad(features, return_tensors="np")
    expected = tokenizer(sequences, padding=True, return_attention_mask=True, return_tensors="np")
    np.testing.assert_array_equal(got["input_ids"], expected["input_ids"])
    np.testing.assert_array_equal(got["attention_mask"], expected["attention_mask"])


def test_saved_and_opened_again_it_is_the_same(case: Case, tokenizer: Any, tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer.model_max_length = 4321
    tokenizer.save_pretrained(tmp_path / "once")
    first = AutoTokenizer.from_pretrained(tmp_path / "once")
    first.save_pretrained(tmp_path / "twice")
    second = type(tokenizer).from_pretrained(tmp_path / "twice")
    sequence = some(case, 100)
    for opened in (first, second, pickle.loads(pickle.dumps(tokenizer)), copy.deepcopy(tokenizer)):
        assert type(opened) is type(tokenizer)
        assert opened.digest == tokenizer.digest and opened.get_vocab() == tokenizer.get_vocab()
        assert opened.model_max_length == 4321 and opened.padding_side == tokenizer.padding_side
        assert opened.special_tokens_map == tokenizer.special_tokens_map
        assert opened(sequence)["input_ids"] == tokenizer(sequence)["input_ids"]
        assert list(opened(sequence)) == list(tokenizer(sequence))
        for name, value in case.options.items():
            assert getattr(opened, name) == value


def test_digests_tell_tokenizers_apart(case: Case, tokenizer: Any, bpe_folder: Path) -> None:
    digests = {}
    for other in CASES:
        folder = {"folder": bpe_folder} if other.name in ("bpe", "dnabert2") else {}
        digests[str(other)] = tokenizers.make(other.name, **other.options, **folder).digest
    assert len(set(digests.values())) == len(CASES)
    assert digests[str(case)] == tokenizer.digest and len(tokenizer.digest) == 64


def test_an_empty_sequence_is_defined_or_refused(case: Case, tokenizer: Any) -> None:
    if tokenizer.strict:
        for give in (tokenizer, tokenizer.encode_array):
            with pytest.raises(InputError, match="the sequence is empty"):
                give("")
        return
    assert tokenizer.encode_array("").shape == (0,)
    assert tokenizer.token_spans("").shape == (0, 2)
    assert tokenizer("")["input_ids"] == tokenizer.encode_array("", add_special_tokens=True).tolist()
    assert tokenizer.decode_array(np.zeros(0, np.int64)) == ""


def test_only_n_is_defined(case: Case, tokenizer: Any) -> None:
    if case.name == "kmer" and tokenizer.strict:
        with pytest.raises(InputError, match=r"position 0 .* holds 'N'"):
            tokenizer("N" * 12)
        return
    ids = tokenizer.encode_array("N" * 24)
    assert len(set(ids[2:-2].tolist())) == 1
    assert set(tokenizer.decode_array(ids).replace("[UNK]", "N")) == {"N"}


def test_what_is_not_ascii_is_refused(case: Case, tokenizer: Any) -> None:
    if not case.ascii_only:
        assert tokenizer.decode_array(tokenizer.encode_array("ACéG")) == "ACéG"
        return
    for give in (tokenizer, tokenizer.encode_array, tokenizer.token_spans):
        with pytest.raises(InputError, match=r"position 2 \(counted from 0\) holds 'é'"):
            give("ACéG")


def test_unknown_characters_are_defined_or_refused(case: Case, tokenizer: Any) -> None:
    if case.name in ("evo", "hnet"):
        assert tokenizer.encode_array("A!C").tolist() == [65, 33, 67]
        return
    if tokenizer.strict:
        for give in (tokenizer, tokenizer.encode_array):
            with pytest.raises(InputError, match=r"position 5 \(counted from 0\) holds '!'"):
                give("ACACA!CACAC")
        return
    unknown = tokenizer.unk_token_id
    assert unknown is not None and unknown in tokenizer.encode_array("ACACA!CACAC").tolist()


def test_added_tokens_survive_saving(case: Case, tokenizer: Any, tmp_path: Path) -> None:
    digest = tokenizer.digest
    tokenizer.add_tokens(["<cell>"], special_tokens=True)
    number = tokenizer.convert_tokens_to_ids("<cell>")
    assert number == tokenizer.vocab_size if tokenizer.is_fast is False else number == len(tokenizer) - 1
    assert tokenizer.digest != digest
    tokenizer.save_pretrained(tmp_path)
    opened = type(tokenizer).from_pretrained(tmp_path)
    sequence = some(dataclasses.replace(case, alphabet=case.alphabet[:4]), 12)
    for one in (tokenizer, opened):
        ids = one(f"<cell>{sequence}", add_special_tokens=False)["input_ids"]
        assert ids == [number, *tokenizer.encode_array(sequence).tolist()]
        assert one.decode(ids).startswith("<cell>")
