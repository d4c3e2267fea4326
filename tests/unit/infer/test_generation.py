"""New sequences: what is drawn and from what, the same for a seed whatever the batches, and no more than is allowed."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch
from tiny_nets import KmerTokens, LetterTokens, TinyForCausalLM, causal, drawn, masked

from genoseq.errors import InputError, UsageError
from genoseq.infer import generation
from genoseq.infer.generation import Generated, Sampling, draw, fasta_of, generate
from genoseq.infer.likelihood import score
from genoseq.seqs.record import Record
from genoseq.tokenizers.kmer import GenoseqKmerTokenizer

PROMPTS = [Record(f"p{i}", "", drawn(n, seed=i)) for i, n in enumerate((4, 30, 1, 12, 12, 7))]
SETTINGS = {"length": 15, "count": 2, "seed": 5}


def texts(model: TinyForCausalLM, **options: object) -> list[str]:
    given = {"length": 20, **options}
    return [one.sequence for one in generate(model, LetterTokens(), **given)]  # type: ignore[arg-type]


@pytest.mark.parametrize("batch", [1, 3, 16])
@pytest.mark.parametrize("growing", [False, True])
def test_a_seed_gives_the_same_whatever_the_batch(batch: int, growing: bool) -> None:
    net = causal(growing=growing)
    expected = list(generate(causal(), LetterTokens(), PROMPTS, **SETTINGS))
    found = list(generate(net, LetterTokens(), PROMPTS, batch=batch, **SETTINGS))
    assert [one.name for one in found] == [f"p{i}_{copy}" for i in range(6) for copy in (1, 2)]
    assert [one[:3] for one in found] == [one[:3] for one in expected]
    assert [one.log_likelihood for one in found] == pytest.approx([one.log_likelihood for one in expected], abs=1e-4)
    assert net.training


def test_sequences_differ_by_seed_and_number() -> None:
    net = causal()
    assert len({*texts(net, count=5), *texts(net, count=5, seed=1)}) == 10
    assert texts(net, count=5)[:2] == texts(net, count=2)
    long = list(generate(net, LetterTokens(), ["ACGT"] * 40, length=3, batch=2))  # more than are sorted at a time
    assert [one.name for one in long] == [f"{i}_1" for i in range(1, 41)]
    assert len({one.sequence for one in long}) > 5


@pytest.mark.parametrize("prompt", ["ACGTTGCA", "A"])
def test_the_most_probable_tokens_are_those_of_the_net(prompt: str) -> None:
    net = causal().eval()
    text = prompt
    with torch.no_grad():
        for _ in range(12):
            logits = net(torch.tensor([[*LetterTokens()(text, add_special_tokens=False)["input_ids"]]])).logits[0, -1]
            text += "ACGT"[int(logits[7:11].argmax())]
    for sampling in (Sampling(temperature=0), Sampling(top_k=1), Sampling(top_p=1e-9)):
        found = next(generate(net, LetterTokens(), [prompt], length=12, sampling=sampling))
        assert found.prompt + found.sequence == text


def test_the_log_likelihood_is_that_of_the_model() -> None:
    net = causal()
    for sampling in (Sampling(), Sampling(temperature=2.0, top_k=3)):
        found = next(generate(net, LetterTokens(), ["ACGTA"], length=30, sampling=sampling))
        whole, prompt = score(net, LetterTokens(), ["ACGTA" + found.sequence, "ACGTA"])
        assert found.log_likelihood == pytest.approx(whole.log_likelihood - prompt.log_likelihood, rel=1e-5)
        assert (found.tokens, len(found.sequence), found.ended) == (30, 30, False)


def test_only_plain_letters_unless_others_are_allowed() -> None:
    net = causal()
    assert set("".join(texts(net, length=300))) <= set("ACGT")
    with torch.no_grad():
        net.lm_head.weight.zero_()  # all tokens are equally probable
    allowed = texts(net, length=300, sampling=Sampling(allow=("ambiguous",)))[0]
    assert set(allowed) == set("ACGTN")
    special = next(generate(net, LetterTokens(), length=200, sampling=Sampling(allow=("special",))))
    assert special.tokens > 250  # special tokens are drawn, and not written
    assert len(special.sequence) == 200
    assert not special.ended


def test_a_sequence_ends_where_the_model_ends_it() -> None:
    net = causal()
    with torch.no_grad():
        net.lm_head.weight.zero_()
    found = list(generate(net, LetterTokens(), ["ACGT"], length=100, count=20, sampling=Sampling(allow=("eos",))))
    assert all(one.ended and len(one.sequence) < 100 and one.tokens == len(one.sequence) + 1 for one in found)
    assert len({len(one.sequence) for one in found}) > 3
    tokenizer = LetterTokens()
    tokenizer.eos_token = None
    with pytest.raises(UsageError, match="has no token for the end of a sequence"):
        next(generate(net, tokenizer, ["A"], length=3, sampling=Sampling(allow=("eos",))))


def test_a_model_that_draws_no_letters_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    net = causal()
    monkeypatch.setattr(net, "head_logits", lambda hidden: torch.eye(16)[1].expand(*hidden.shape[:2], 16) * 99)  # always [SEP]
    found = next(generate(net, LetterTokens(), ["A"], length=1, sampling=Sampling(allow=("special",))))
    assert (found.sequence, found.tokens) == ("", generation.MOST_TOKENS)


def test_beginning_from_nothing() -> None:
    net = causal()
    bare = list(generate(net, LetterTokens(), length=10, count=40))
    assert [one.name for one in bare][:2] == ["generated_1", "generated_2"]
    assert {one.tokens for one in bare} == {9}  # the first letter is any
    assert {one.sequence[0] for one in bare} == set("ACGT")
    fronted = list(generate(net, LetterTokens(front=("[BOS]",)), length=10, count=3))
    begun = list(generate(net, LetterTokens(), length=10, count=3, begin=True))
    assert fronted == begun
    assert {one.tokens for one in fronted} == {10}
    assert texts(net, length=1, count=2) != []


def test_long_prompts_are_read_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    net = causal()
    expected = list(generate(net, LetterTokens(), [drawn(50)], length=5))
    monkeypatch.setattr(generation, "PREFILL", 16)
    net.tiny.calls.clear()
    found = list(generate(net, LetterTokens(), [drawn(50)], length=5))
    assert found[0].sequence == expected[0].sequence
    assert net.tiny.calls == [(1, 1), (1, 16), (1, 16), (1, 16), (1, 2), *[(1, 1)] * 4]


def test_a_step_sees_one_token_and_the_state(monkeypatch: pytest.MonkeyPatch) -> None:
    net = causal()
    sizes: list[int] = []
    forward = net.tiny.forward

    def watched(**given: object) -> object:
        out = forward(**given)
        sizes.append(sum(part.state.numel() for part in out.cache))
        return out

    monkeypatch.setattr(net.tiny, "forward", watched)
    list(generate(net, LetterTokens(), ["ACGT"], length=30))
    assert set(sizes) == {24}


def test_tokens_of_several_letters_are_cut_at_the_length() -> None:
    found = list(generate(causal(vocab_size=96), KmerTokens(), ["ACGTA"], length=10, count=3))
    assert {len(one.sequence) for one in found} == {10}
    assert all(4 <= one.tokens <= 10 for one in found)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"length": 0}, "are 1 or more"),
        ({"batch": 0}, "are 1 or more"),
        ({"sampling": Sampling(temperature=-1)}, "a temperature of -1"),
        ({"sampling": Sampling(top_k=-1)}, "a top-k of -1"),
        ({"sampling": Sampling(top_p=0)}, "a top-p of 0"),
        ({"sampling": Sampling(allow=("x",))}, "cannot allow 'x': known are eos, ambiguous, special"),
    ],
)
def test_options_that_make_no_sense(options: dict[str, object], text: str) -> None:
    with pytest.raises(UsageError, match=text):
        texts(causal(), **options)


def test_models_that_cannot_generate() -> None:
    with pytest.raises(UsageError, match="sees both sides of a position: generating needs a causal language model"):
        texts(masked())  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="tokens of this model overlap"):
        next(generate(causal(vocab_size=96), GenoseqKmerTokenizer(k=3), length=4))
    net = causal()
    net.config.both_sides, reads_left = False, net.tiny.forward

    def without(**given: object) -> object:
        out = reads_left(**given)
        out.cache = None
        return out

    net.tiny.forward = without  # type: ignore[assignment]
    with pytest.raises(UsageError, match="TinyForCausalLM keeps no cache, so it cannot generate"):
        texts(net)

    def refuse(**given: object) -> object:
        raise UsageError("no cache here")

    net.tiny.forward = refuse  # type: ignore[assignment]
    with pytest.raises(UsageError, match="this net cannot generate: no cache here"):
        texts(net)


def test_more_tokens_than_the_net_takes() -> None:
    net = causal(limit=20)
    assert len(next(generate(net, LetterTokens(), [drawn(15)], length=6)).sequence) == 6
    with pytest.raises(UsageError, match=r"15 tokens of prompt and 7 new ones are more than this net takes \(20\)"):
        next(generate(net, LetterTokens(), [drawn(15)], length=7))


def test_prompts_that_are_none() -> None:
    prompts = [Record("e", "", ""), Record("a", "", "ACG"), Record("f", "", "")]
    assert [drawn.name for drawn in generate(causal(), LetterTokens(), prompts, length=3)] == ["a_1"]


def test_damaged_weights_are_told() -> None:
    net = causal()
    with torch.no_grad():
        net.lm_head.weight[8, 2] = float("nan")
    with pytest.raises(InputError, match="probabilities that are not finite numbers"):
        texts(net)


def test_draws_have_the_right_shares() -> None:
    logprobs = np.log([0.1, 0.5, 0.05, 0.35])
    chance = np.random.default_rng(1)

    def shares(sampling: Sampling) -> list[float]:
        counts = Counter(draw(logprobs, sampling, chance) for _ in range(20_000))
        return [counts[token] / 20_000 for token in range(4)]

    assert shares(Sampling()) == pytest.approx([0.1, 0.5, 0.05, 0.35], abs=0.015)
    squares = np.array([0.1, 0.5, 0.05, 0.35]) ** 2
    assert shares(Sampling(temperature=0.5)) == pytest.approx(list(squares / squares.sum()), abs=0.015)
    assert shares(Sampling(top_k=2)) == pytest.approx([0, 0.5 / 0.85, 0, 0.35 / 0.85], abs=0.015)
    assert shares(Sampling(top_p=0.9)) == pytest.approx([0.1 / 0.95, 0.5 / 0.95, 0, 0.35 / 0.95], abs=0.015)
    assert shares(Sampling(top_p=0.4)) == [0, 1, 0, 0]
    assert draw(np.log([0.5, 0.5]), Sampling(temperature=0), chance) == 0


def test_fasta() -> None:
    text = fasta_of(Generated("p_1", "AC", "G" * 70, -1.5, 70, True), keep_prompt=False, seed=3, model_sha256="abcdef" * 9)
    assert text == f">p_1 prompt=2 new=70 ended=yes log_likelihood=-1.5000 seed=3 model=abcdefabcdef\n{'G' * 60}\n{'G' * 10}\n"
