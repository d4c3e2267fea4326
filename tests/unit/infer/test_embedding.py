"""Embeddings: what they are, and that batches, order, padding, windows and pieces do not change them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tiny_nets import KmerTokens, LetterTokens, PieceTokens, TinyForCausalLM, TinyForMaskedLM, causal, drawn, masked

from genoseq.errors import InputError, UsageError
from genoseq.infer import embedding, running
from genoseq.infer.embedding import embed, iter_embeddings
from genoseq.infer.likelihood import score
from genoseq.infer.running import PROBE
from genoseq.infer.tokens import TokenReader
from genoseq.seqs.record import Record

Model = TinyForCausalLM | TinyForMaskedLM
Tokenizer = LetterTokens | KmerTokens | PieceTokens
CLOSE = {"rtol": 1e-5, "atol": 1e-5}


def states(model: Model, tokenizer: Tokenizer, text: str, layer: int | None = None) -> np.ndarray:
    """The net's states of one sequence, special tokens included, computed directly."""
    ids = torch.tensor([tokenizer(text)["input_ids"]])
    with torch.no_grad():
        out = model.eval().tiny(ids, output_hidden_states=True)
    model.train()
    hidden: np.ndarray = (out.last_hidden_state if layer is None else out.hidden_states[layer])[0].numpy()
    return hidden


@pytest.mark.parametrize("pool", ["mean", "last", "none"])
@pytest.mark.parametrize("layer", [None, 0, 1, -1])
def test_they_are_the_states_of_the_sequence_alone(
    model: Model, tokenizer: Tokenizer, records: list[Record], pool: str, layer: int | None
) -> None:
    found = list(iter_embeddings(model, tokenizer, records, pool=pool, layer=layer))
    reader = TokenReader(tokenizer)
    assert [one.name for one in found] == [record.name for record in records]
    for one, record in zip(found, records, strict=True):
        hidden = states(model, tokenizer, record.sequence, layer)
        body = hidden[len(reader.front) : len(hidden) - len(reader.back)]
        expected = {"mean": body.mean(0), "last": body[-1], "none": body}[pool]
        np.testing.assert_allclose(one.values, expected, **CLOSE)
        assert one.values.dtype == np.float32
        assert one.length == len(record.sequence)


@pytest.mark.parametrize("pool", ["mean", "last", "none"])
@pytest.mark.parametrize("batch_tokens", [1, 40, 300])
def test_batches_and_order_change_nothing(
    model: Model, tokenizer: Tokenizer, records: list[Record], pool: str, batch_tokens: int
) -> None:
    together = list(iter_embeddings(model, tokenizer, records, pool=pool))
    other = list(iter_embeddings(model, tokenizer, records[::-1], pool=pool, batch_tokens=batch_tokens))[::-1]
    for one, two in zip(together, other, strict=True):
        np.testing.assert_allclose(one.values, two.values, **CLOSE)


def test_special_tokens_count_if_asked_for() -> None:
    net, tokenizer, text = masked(), LetterTokens(front=("[CLS]",)), drawn(9)
    hidden = states(net, tokenizer, text)
    assert len(hidden) == 11
    np.testing.assert_allclose(embed(net, tokenizer, [text], special=True).values[0], hidden.mean(0), **CLOSE)
    np.testing.assert_allclose(embed(net, tokenizer, [text], special=True, pool="last").values[0], hidden[-1], **CLOSE)
    whole = embed(net, tokenizer, [text], special=True, pool="none")
    np.testing.assert_allclose(whole.values[0], hidden, **CLOSE)
    assert whole.spans is not None
    assert whole.spans[0].tolist() == [[0, 0], *([i, i + 1] for i in range(9)), [9, 9]]
    np.testing.assert_allclose(embed(net, tokenizer, [text], pool="cls").values[0], hidden[0], **CLOSE)


def test_spans_are_letters_of_the_sequence() -> None:
    found = embed(masked(vocab_size=96), KmerTokens(), ["ACGTTGCA"], pool="none", window=6, overlap=3)
    assert found.spans is not None
    assert found.spans[0].tolist() == [[0, 3], [3, 6], [6, 7], [7, 8]]


@pytest.mark.parametrize("tokenizer", ["letters", "three letters"], indirect=True)
@pytest.mark.parametrize("pool", ["mean", "last", "none"])
def test_windows_give_what_their_middles_give(model: Model, tokenizer: Tokenizer, pool: str) -> None:
    text = drawn(100)
    found = embed(model, tokenizer, [text, text[:30]], pool=pool, window=30, overlap=12)
    body = [len(TokenReader(tokenizer).front), -len(TokenReader(tokenizer).back) or None]
    step = 3 if isinstance(tokenizer, KmerTokens) else 1
    parts = []
    for start, first, last in [
        (0, 0, 24),
        (18, 24, 42),
        (36, 42, 60),
        (54, 60, 78 if step == 3 else 77),
        (72 if step == 3 else 70, 78 if step == 3 else 77, 100),
    ]:
        hidden = states(model, tokenizer, text[start : start + 30])[body[0] : body[1]]
        reader = TokenReader(tokenizer)
        starts = reader.read(text[start : start + 30]).starts + start
        parts.append(hidden[(starts >= first) & (starts < last)])
    expected = np.concatenate(parts)
    if pool == "none":
        np.testing.assert_allclose(found.values[0], expected, **CLOSE)
    else:
        np.testing.assert_allclose(found.values[0], expected.mean(0) if pool == "mean" else expected[-1], **CLOSE)
    alone = embed(model, tokenizer, [text[:30]], pool=pool)
    np.testing.assert_allclose(found.values[1], alone.values[0], **CLOSE)


def test_the_first_token_of_windows_is_averaged() -> None:
    net, tokenizer, text = masked(), LetterTokens(front=("[CLS]",)), drawn(50)
    found = embed(net, tokenizer, [text], pool="cls", window=30, overlap=10)
    expected = (states(net, tokenizer, text[:30])[0] + states(net, tokenizer, text[20:])[0]) / 2
    np.testing.assert_allclose(found.values[0], expected, **CLOSE)


@pytest.mark.parametrize("pool", ["mean", "last", "none"])
@pytest.mark.parametrize("layer", [None, 1])
def test_long_sequences_go_through_a_recurrent_net_in_pieces(
    monkeypatch: pytest.MonkeyPatch, records: list[Record], pool: str, layer: int | None
) -> None:
    net, tokenizer = causal(), LetterTokens()
    whole = list(iter_embeddings(net, tokenizer, records, pool=pool, layer=layer))
    monkeypatch.setattr(running, "PIECE", 16)
    monkeypatch.setattr(embedding, "PIECE", 16)
    net.tiny.calls.clear()
    parts = list(iter_embeddings(net, tokenizer, records, pool=pool, layer=layer, batch_tokens=100))
    assert max(length for _, length in net.tiny.calls if length != PROBE) == 16
    for one, two in zip(whole, parts, strict=True):
        np.testing.assert_allclose(one.values, two.values, **CLOSE)


def test_the_model_is_in_evaluation_mode_while_it_is_used_and_as_it_was_afterwards(records: list[Record]) -> None:
    net = causal()
    found = iter_embeddings(net, LetterTokens(), records)
    assert net.training
    next(found)
    assert not net.training
    found.close()
    assert net.training


def test_results_of_many_are_arrays(records: list[Record]) -> None:
    net = masked()
    found = embed(net, LetterTokens(), records)
    assert found.values.shape == (8, 12)  # type: ignore[union-attr]
    assert found.lengths.tolist() == [len(record) for record in records]
    assert found.spans is None
    none = embed(net, LetterTokens(), [])
    assert (none.names, none.values.shape) == ([], (0, 0))  # type: ignore[union-attr]
    assert embed(net, LetterTokens(), "ACGT").names == ["1"]


def test_a_sequence_that_is_too_long_is_told_with_what_to_do() -> None:
    tokenizer = LetterTokens(front=("[CLS]",))
    text = r"sequence 'r' has 33 tokens \(2 of them special\), this net takes at most 20: .*--window 18.*"
    with pytest.raises(UsageError, match=text):
        embed(masked(limit=20), tokenizer, [Record("r", "", drawn(31))])
    assert embed(masked(limit=20), tokenizer, [drawn(31)], window=18, overlap=4).values.shape == (1, 12)  # type: ignore[union-attr]
    with pytest.raises(UsageError, match="--window 57"):
        embed(causal(limit=20, vocab_size=96), KmerTokens(), [drawn(100)])
    text = r"windows of 25 letters are too long: one of sequence '1' has 27 tokens .*; give --window 18 or less"
    with pytest.raises(UsageError, match=text):
        embed(masked(limit=20), tokenizer, [drawn(31)], window=25)


def test_a_special_token_behind_counts_against_the_limit_only_where_it_is_seen() -> None:
    """One rule with likelihoods: a causal net is not given it, unless it is asked for."""
    tokenizer, text = LetterTokens(), drawn(31)
    assert len(LetterTokens()("A")["input_ids"]) == 2
    free, limited = embed(causal(), tokenizer, [text[:20]]).values, embed(causal(limit=20), tokenizer, [text[:20]]).values
    np.testing.assert_allclose(free, limited, rtol=1e-5, atol=1e-6)
    assert next(score(causal(limit=20), tokenizer, [text], window=20)).length == 31
    assert np.isfinite(embed(causal(limit=20), tokenizer, [text], window=20).values).all()
    with pytest.raises(UsageError, match=r"windows of 20 letters are too long.*give --window 19 or less"):
        embed(causal(limit=20), tokenizer, [text], window=20, special=True)


@pytest.mark.parametrize("none", [None, "nucleotide"])
def test_no_tokenizer_is_told_with_the_remedy(none: object) -> None:
    with pytest.raises(UsageError, match=r"the tokenizer is (None|a str).*genoseq\.tokenizers\.make\('nucleotide'\)"):
        embed(causal(), none, ["ACGT"])


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"pool": "max"}, "unknown pooling 'max': known are mean, last, cls, none"),
        ({"overlap": 3}, "--overlap needs --window"),
        ({"window": 3, "overlap": 3}, "an overlap of 3 bases"),
        ({"pool": "cls"}, "LetterTokens puts no special token in front of a sequence"),
        ({"layer": 9}, "layer 9 does not exist"),
    ],
)
def test_options_that_make_no_sense(options: dict[str, object], text: str) -> None:
    with pytest.raises(UsageError, match=text):
        embed(masked(), LetterTokens(), ["ACGT"], **options)  # type: ignore[arg-type]


def test_the_first_token_of_a_causal_net_knows_nothing() -> None:
    with pytest.raises(UsageError, match="first token of a causal net has seen nothing"):
        embed(causal(), LetterTokens(front=("[CLS]",)), ["ACGT"], pool="cls")


@pytest.mark.parametrize("strand", ["forward", "both"])
@pytest.mark.parametrize("pool", ["mean", "none"])
def test_sequences_without_letters_keep_their_place(strand: str, pool: str) -> None:
    """NaN, or no tokens, and the others are what they are without them."""
    given = [Record(name, "", text) for name, text in zip("vwxyz", ["", "ACGT", "", "", "GGATC"], strict=True)] * 2
    found = embed(causal(), LetterTokens(), given, pool=pool, strand=strand, batch_tokens=8)
    apart = embed(causal(), LetterTokens(), [record for record in given if record.sequence], pool=pool, strand=strand)
    assert (found.names, found.lengths.tolist()) == (list("vwxyz") * 2, [0, 4, 0, 0, 5] * 2)
    full = [found.values[i] for i in (1, 4, 6, 9)]
    for one, other in zip(full, apart.values, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)
    if pool == "none":
        assert [len(values) for values in found.values] == [0, 4, 0, 0, 5] * 2
        assert found.spans is not None and [len(spans) for spans in found.spans] == [0, 4, 0, 0, 5] * 2
    else:
        assert [bool(np.isnan(values).all()) for values in found.values] == [True, False, True, True, False] * 2
        assert np.isnan(embed(causal(), LetterTokens(), [""]).values).all()


def test_foreign_sequences() -> None:
    with pytest.raises(InputError, match="this model reads DNA"):
        embed(causal(), LetterTokens(), ["MKVLAAEF"])
    assert np.isfinite(embed(causal(), LetterTokens(), ["NNNN"]).values).all()


def test_damaged_weights_are_told() -> None:
    net = causal()
    with torch.no_grad():
        net.tiny.norm.weight[3] = float("nan")
    with pytest.raises(InputError, match="embeddings that are not finite numbers; its weights may be damaged"):
        embed(net, LetterTokens(), ["ACGT"])


def test_a_net_in_another_precision_gives_float32() -> None:
    for dtype, tolerance in ((torch.float64, 1e-5), (torch.bfloat16, 0.2)):
        net = masked()
        expected = embed(net, LetterTokens(), ["ACGTTGCA"]).values
        found = embed(net.to(dtype), LetterTokens(), ["ACGTTGCA"]).values
        assert found.dtype == np.float32  # type: ignore[union-attr]
        np.testing.assert_allclose(found, expected, atol=tolerance)
