"""Likelihoods against the plain definition, whatever the batches, order, pieces and windows."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from tiny_nets import KmerTokens, LetterTokens, PieceTokens, TinyForCausalLM, TinyForMaskedLM, causal, drawn, masked

from genoseq.errors import InputError, UsageError
from genoseq.infer import likelihood, running
from genoseq.infer.likelihood import Score, per_base, score
from genoseq.infer.running import PROBE
from genoseq.infer.tokens import TokenReader
from genoseq.seqs.record import Record
from genoseq.tokenizers.codon import GenoseqCodonTokenizer

Model = TinyForCausalLM | TinyForMaskedLM
Tokenizer = LetterTokens | KmerTokens | PieceTokens
CLOSE = {"rtol": 1e-5, "atol": 2e-5}


def logprobs(model: Model, ids: list[int]) -> np.ndarray:
    """``(L, V)``, all log-probabilities of one sequence of ids, computed directly."""
    with torch.no_grad():
        found: np.ndarray = model.eval()(torch.tensor([ids])).logits[0].log_softmax(1).numpy()
    model.train()
    return found


def plain(model: Model, tokenizer: Tokenizer, text: str) -> np.ndarray:
    """The definition: each token by those before it, or masked by itself."""
    reader = TokenReader(tokenizer)
    ids = tokenizer(text)["input_ids"]
    front, back = len(reader.front), len(reader.back)
    values = []
    for place in range(front, len(ids) - back):
        if isinstance(model, TinyForCausalLM):
            values.append(logprobs(model, ids[:place])[-1, ids[place]] if place else math.nan)
        else:
            hidden = [*ids[:place], tokenizer.mask_token_id, *ids[place + 1 :]]
            values.append(logprobs(model, hidden)[place, ids[place]])
    unclear = ~reader.clear_tokens(text, reader.read(text))
    return np.where(unclear, np.nan, values)


def test_values_are_those_of_the_definition(model: Model, tokenizer: Tokenizer, records: list[Record]) -> None:
    for one, record in zip(score(model, tokenizer, records, stride=None), records, strict=True):
        expected = plain(model, tokenizer, record.sequence)
        np.testing.assert_allclose(one.values, expected, **CLOSE)
        assert one.log_likelihood == pytest.approx(np.nansum(expected), rel=1e-5)
        assert one.tokens == np.isfinite(expected).sum()
        assert (one.name, one.length) == (record.name, len(record))
        assert one.scored + one.ambiguous + one.unscored == one.length
        assert one.bits_per_base == pytest.approx(-one.log_likelihood / math.log(2) / one.scored)
        assert one.perplexity == pytest.approx(math.exp(-one.log_likelihood / one.tokens))
        np.testing.assert_allclose(np.nansum(per_base(one)), one.log_likelihood, rtol=1e-5)
        assert np.isfinite(per_base(one)).sum() == one.scored


@pytest.mark.parametrize("batch_tokens", [1, 40, 300])
def test_batches_and_order_change_nothing(model: Model, tokenizer: Tokenizer, records: list[Record], batch_tokens: int) -> None:
    together = score(model, tokenizer, records)
    other = list(score(model, tokenizer, records[::-1], batch_tokens=batch_tokens))[::-1]
    for one, two in zip(together, other, strict=True):
        np.testing.assert_allclose(one.values, two.values, **CLOSE)


@pytest.mark.parametrize("stride", [1, 3, 8])
def test_a_stride_masks_every_so_many_tokens_at_a_time(stride: int) -> None:
    net, tokenizer, text = masked(), LetterTokens(front=("[CLS]",)), drawn(20)
    ids = tokenizer(text)["input_ids"]
    expected = np.zeros(20)
    for first in range(stride):
        hidden = [3 if 1 <= i <= 20 and (i - 1) % stride == first else number for i, number in enumerate(ids)]
        values = logprobs(net, hidden)
        for place in range(first, 20, stride):
            expected[place] = values[place + 1, ids[place + 1]]
    net.tiny.calls.clear()
    found = next(score(net, tokenizer, [text], stride=stride))
    np.testing.assert_allclose(found.values, expected, **CLOSE)
    assert sum(rows for rows, _ in net.tiny.calls) == stride


def test_a_stride_as_long_as_the_sequence_is_exact() -> None:
    net, tokenizer = masked(), LetterTokens()
    exact, long, default = (next(score(net, tokenizer, ["ACGTTGCA"], stride=stride)) for stride in (None, 99, 8))
    np.testing.assert_allclose(exact.values, long.values, **CLOSE)
    np.testing.assert_allclose(exact.values, default.values, **CLOSE)


def test_the_first_token_counts_only_if_something_is_before_it() -> None:
    net, text = causal(), drawn(10)
    bare = next(score(net, LetterTokens(), [text]))
    assert (bare.scored, bare.unscored, math.isnan(bare.values[0])) == (9, 1, True)
    begun = next(score(net, LetterTokens(), [text], begin=True))
    fronted = next(score(net, LetterTokens(front=("[BOS]",)), [text]))
    assert (begun.scored, begun.unscored) == (10, 0)
    assert begun.log_likelihood == fronted.log_likelihood
    with pytest.raises(UsageError, match="for causal models; this one sees both sides"):
        next(score(masked(), LetterTokens(), [text], begin=True))


def test_ambiguity_codes_are_context_but_not_scored() -> None:
    net = causal()
    found = next(score(net, LetterTokens(), ["ACGNNTRa"]))
    assert (found.scored, found.ambiguous, found.unscored) == (4, 3, 1)
    assert np.isnan(found.values).tolist() == [True, False, False, True, True, False, True, False]
    np.testing.assert_allclose(found.values, next(score(net, LetterTokens(), ["ACGNNTNA"])).values)
    assert found.values[5] != next(score(net, LetterTokens(), ["ACGACTRA"])).values[5]
    three = next(score(causal(vocab_size=96), KmerTokens(), ["ACGTTNACG"]))
    assert (three.scored, three.ambiguous, three.tokens) == (8, 1, 4)


@pytest.mark.parametrize(("text", "ambiguous"), [("", 0), ("NNNN", 4), ("A", 0)])
def test_nothing_to_score(text: str, ambiguous: int) -> None:
    found = next(score(causal(), LetterTokens(), [text]))
    assert (found.scored, found.ambiguous, found.tokens) == (0, ambiguous, 0)
    assert math.isnan(found.log_likelihood)
    assert math.isnan(found.bits_per_base)
    assert math.isnan(found.perplexity)
    assert np.isnan(per_base(found)).all()
    among = list(score(masked(), LetterTokens(), ["ACGT", text, "GG"]))
    assert [one.tokens for one in among] == [4, 1 if text == "A" else 0, 2]


def test_overlapping_tokens_of_a_causal_model_stand_for_their_new_letter() -> None:
    net = causal(vocab_size=96)
    found = next(score(net, KmerTokens(overlapping=True, front=()), ["ACGTTNACGT"]))
    assert (found.tokens, found.scored, found.ambiguous, found.unscored) == (4, 4, 3, 3)
    assert np.isnan(per_base(found)).tolist() == [True] * 3 + [False] * 2 + [True] * 3 + [False] * 2
    fronted = next(score(net, KmerTokens(overlapping=True), ["ACGTT"]))
    assert (fronted.scored, fronted.unscored) == (5, 0)
    with pytest.raises(UsageError, match="tokens of this model overlap"):
        next(score(masked(vocab_size=96), KmerTokens(overlapping=True), ["ACGT"]))


def test_codons_of_the_reverse_strand_keep_their_letters() -> None:
    tokenizer = GenoseqCodonTokenizer(strand="-", partial="drop")
    found = next(score(causal(vocab_size=96), tokenizer, ["ACGTACGT"]))
    assert (found.tokens, found.scored, found.unscored) == (2, 6, 2)
    assert np.isnan(per_base(found)).tolist() == [True, True] + [False] * 6
    assert per_base(found)[2] == pytest.approx(found.values[1] / 3)


def test_long_sequences_go_through_a_recurrent_net_in_pieces(monkeypatch: pytest.MonkeyPatch, records: list[Record]) -> None:
    net = causal()
    whole = list(score(net, LetterTokens(), records))
    monkeypatch.setattr(running, "PIECE", 16)
    monkeypatch.setattr(likelihood, "PIECE", 16)
    net.tiny.calls.clear()
    for one, two in zip(whole, score(net, LetterTokens(), records, batch_tokens=100), strict=True):
        np.testing.assert_allclose(one.values, two.values, **CLOSE)
    assert max(length for _, length in net.tiny.calls if length != PROBE) == 16
    growing = causal(growing=True)
    growing.load_state_dict(net.state_dict())
    for one, two in zip(whole, score(growing, LetterTokens(), records), strict=True):
        np.testing.assert_allclose(one.values, two.values, **CLOSE)
    assert max(length for _, length in growing.tiny.calls if length != PROBE) == 90


def test_windows_of_a_causal_model_have_the_overlap_before_what_is_new() -> None:
    net, text = causal(), drawn(50)
    found = next(score(net, LetterTokens(), [text], window=20, overlap=5))
    parts = [plain(net, LetterTokens(), text[start : start + 20]) for start in (0, 15, 30)]
    np.testing.assert_allclose(found.values, np.concatenate([parts[0], parts[1][5:], parts[2][5:]]), **CLOSE)
    apart = next(score(net, LetterTokens(), [drawn(60)], window=20))
    assert apart.unscored == 3  # the first of each window


def test_windows_of_a_masked_model_answer_for_their_middles() -> None:
    net, text = masked(), drawn(50)
    found = next(score(net, LetterTokens(), [text], window=20, overlap=6, stride=None))
    bounds = [(0, 0, 17), (14, 17, 31), (28, 31, 39), (30, 39, 50)]
    parts = [plain(net, LetterTokens(), text[start : start + 20])[a - start : b - start] for start, a, b in bounds]
    np.testing.assert_allclose(found.values, np.concatenate(parts), **CLOSE)


def test_a_sequence_that_is_too_long_is_told_with_what_to_do() -> None:
    with pytest.raises(UsageError, match=r"has 21 tokens, this net takes at most 20: .*--window 20"):
        next(score(causal(limit=20), LetterTokens(), [Record("r", "", drawn(21))]))
    assert next(score(causal(limit=20), LetterTokens(), [drawn(20)])).scored == 19  # what is behind is not needed
    with pytest.raises(UsageError, match=r"has 21 tokens .1 of them special"):
        next(score(causal(limit=20), LetterTokens(), [drawn(20)], begin=True))


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"overlap": 3}, "--overlap needs --window"),
        ({"window": 3, "overlap": 3}, "an overlap of 3"),
        ({"stride": 0}, "a stride of 0"),
    ],
)
def test_options_that_make_no_sense(options: dict[str, int], text: str) -> None:
    with pytest.raises(UsageError, match=text):
        next(score(masked(), LetterTokens(), ["ACGT"], **options))


def test_a_masked_model_needs_a_mask() -> None:
    tokenizer = LetterTokens()
    tokenizer.mask_token = None
    with pytest.raises(UsageError, match="has no mask token"):
        next(score(masked(), tokenizer, ["ACGT"]))


def test_damaged_weights_are_told() -> None:
    net = causal()
    with torch.no_grad():
        net.lm_head.weight[3, 2] = float("nan")
    with pytest.raises(InputError, match="log-likelihoods that are not finite numbers"):
        next(score(net, LetterTokens(), ["ACGT"]))
    assert net.training


def test_a_value_of_a_token_is_shared_by_its_letters() -> None:
    places = np.array([0, 3, 5])
    one = Score("r", 6, 5, 0, 1, 2, -5.0, np.array([-3, -2, np.nan], np.float32), places, np.array([3, 5, 6]))
    assert per_base(one)[:5].tolist() == [-1] * 5
    inside = Score("r", 4, 4, 0, 0, 2, -5.0, np.array([-4, -1], np.float32), np.array([0, 1]), np.array([4, 3]))
    assert per_base(inside).sum() == -5
