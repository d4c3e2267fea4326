"""New members by PoET: the chances are the net's, constraints hold, and nothing else matters."""

from __future__ import annotations

import logging
from collections import Counter

import numpy as np
import pytest
import torch
from tiny_poet import LETTERS, TOKENIZER, protein, tiny_poet

from genoseq.errors import UsageError
from genoseq.families.poet.generation import (
    Constraints,
    Drawn,
    generate_members,
    parse_fixed,
    parse_motif,
    repeated_share,
)
from genoseq.families.poet.prompt import Prompt, set_ids
from genoseq.families.poet.scoring import log_likelihoods_plainly
from genoseq.infer.generation import Sampling

PROMPTS = [Prompt(tuple(protein(length, 1) for length in (20, 25, 18))), Prompt((protein(12),))]


def drawn(count: int = 6, prompts: list[Prompt] = PROMPTS, **options: object) -> list[Drawn]:
    return list(generate_members(tiny_poet(), TOKENIZER, prompts, count=count, **options))  # type: ignore[arg-type]


def texts(members: list[Drawn]) -> list[str]:
    return [member.sequence for member in members]


def test_sequences_and_their_likelihoods() -> None:
    members = drawn(7)
    assert [member.number for member in members] == list(range(7)) and [member.prompt for member in members] == [0, 1] * 3 + [0]
    assert all(set(member.sequence) <= set(LETTERS) and member.sequence for member in members)
    for member in members:
        plain = log_likelihoods_plainly(tiny_poet(), TOKENIZER, PROMPTS[member.prompt], [member.sequence])[0]
        assert abs(member.log_likelihood - plain) < 1e-4
    assert {member.ended for member in members} == {True, False}
    assert all(member.ended or len(member.sequence) == (37, 18)[member.prompt] for member in members)


def test_a_sequence_depends_on_seed_and_number_alone() -> None:
    members = drawn(9)
    assert texts(drawn(9, batch=2)) == texts(drawn(9, batch=1)) == texts(members)
    assert texts(drawn(4)) == texts(members)[:4]
    assert texts(drawn(9, seed=1)) != texts(members)


def test_chances_are_those_of_the_net() -> None:
    ids = torch.from_numpy(np.append(set_ids(TOKENIZER, PROMPTS[1].sequences), 21))[None]
    with torch.no_grad():
        shares = tiny_poet()(ids).logits[0, -1].double().log_softmax(0).exp()
    letters = TOKENIZER.encode_array(LETTERS)
    expected = (shares[letters.astype(int)] / shares[letters.astype(int)].sum()).numpy()  # none ends before its first residue
    first = Counter(text[0] for text in texts(drawn(1500, PROMPTS[1:], batch=500, constraints=Constraints(max_length=1))))
    found = np.array([first[letter] for letter in LETTERS]) / 1500
    np.testing.assert_allclose(found, expected, atol=0.045)


def test_temperature_top_k_and_top_p() -> None:
    cold = drawn(4, PROMPTS[:1], sampling=Sampling(temperature=0))
    assert len(set(texts(cold))) == 1
    assert texts(drawn(4, PROMPTS[:1], sampling=Sampling(top_k=1), seed=5)) == texts(cold)
    assert texts(drawn(4, PROMPTS[:1], sampling=Sampling(top_p=1e-9), seed=5)) == texts(cold)
    hot = drawn(30, PROMPTS[:1], sampling=Sampling(temperature=3.0))
    assert np.mean([member.log_likelihood / len(member.sequence) for member in hot]) < np.mean(
        [member.log_likelihood / len(member.sequence) for member in drawn(30, PROMPTS[:1])]
    )


def test_constraints_hold() -> None:
    rules = Constraints(
        fixed={0: "M", 4: "KR"},
        motifs=(parse_motif("Sx(2)[KR]@10"), parse_motif("[ACDEFGHIK]x[LMNPQRSTVWY]")),
        min_length=16,
        max_length=21,
    )
    for member in drawn(8, constraints=rules):
        text = member.sequence
        assert text[0] == "M" and text[4] in "KR" and text[9] == "S" and text[12] in "KR" and 16 <= len(text) <= 21
        assert any(a in "ACDEFGHIK" and b in "LMNPQRSTVWY" for a, b in zip(text, text[2:], strict=False))
        assert member.ended == (len(text) < 21)


def test_what_breaks_a_rule_is_drawn_anew(caplog: pytest.LogCaptureFixture) -> None:
    motif = parse_motif("[ACDEFGHIKL]x[ACDEFGHIKL]W")
    rules = Constraints(motifs=(motif,), tries=200, max_length=30)
    members = drawn(5, constraints=rules)
    assert len(members) == 5 and all(motif.found_in(text) for text in texts(members)) and any(m.attempt for m in members)
    assert texts(members) == texts(drawn(5, constraints=rules, batch=2))
    assert not any(
        motif.found_in(text) for text in texts(drawn(5, constraints=Constraints(max_length=30))) if text not in texts(members)
    )
    with caplog.at_level(logging.WARNING):
        few = drawn(5, constraints=Constraints(motifs=(parse_motif("WWWWCCCC"),), tries=2, max_length=30))
    assert few == [] and "5 of 5 sequences broke a rule each time (2)" in caplog.text and "motif WWWWCCCC" in caplog.text


def test_repeats_are_filtered() -> None:
    sampling = Sampling(top_k=2)
    loose = drawn(20, sampling=sampling, constraints=Constraints(min_length=18, max_length=25))
    bound = float(np.median([repeated_share(text) for text in texts(loose)]))
    assert bound > 0
    strict = drawn(20, sampling=sampling, constraints=Constraints(min_length=18, max_length=25, max_repeats=bound, tries=50))
    assert strict and max(repeated_share(text) for text in texts(strict)) <= bound


@pytest.mark.parametrize(
    ("text", "share"),
    [
        ("", 0),
        ("ACDEFGHIKL", 0),
        ("AAAA", 0),
        ("AAAAA", 1),
        ("MAAAAAM", 5 / 7),
        ("ACACAC", 1),
        ("ACDACDACDW", 0.9),
        ("ACACDD", 0),
    ],
)
def test_repeated_share(text: str, share: float) -> None:
    assert repeated_share(text) == pytest.approx(share)


def test_one_token_a_step_goes_through_the_net(monkeypatch: pytest.MonkeyPatch) -> None:
    net = tiny_poet()
    read = []
    forward = type(net.poet).forward

    def counting(self: object, input_ids: torch.Tensor, **options: object) -> object:
        read.append(tuple(input_ids.shape))
        return forward(self, input_ids=input_ids, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(type(net.poet), "forward", counting)
    members = drawn(5, PROMPTS[:1])
    assert read[0] == (1, PROMPTS[0].tokens) and all(length == 1 for _, length in read[1:])
    assert sum(rows for rows, _ in read[1:]) == sum(len(text) + 1 for text in texts(members))


def test_motifs() -> None:
    motif = parse_motif("s-x(2)-[kr]@70")
    assert [len(letters) for letters in motif.sets] == [1, 20, 20, 2] and motif.place == 69
    assert parse_motif("AC").found_in("WWAC") and not parse_motif("AC").found_in("CA") and not parse_motif("AC@1").found_in("WAC")
    for wrong in ("", "A1", "[AC", "B", "AC@0", "AC@x", "x(2"):
        with pytest.raises(UsageError, match="motif"):
            parse_motif(wrong)
    for wrong in ("S", "70S", "S0", "B7", "[K]"):
        with pytest.raises(UsageError, match="fixed position"):
            parse_fixed(wrong)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"fixed": {3: "B"}}, "fixed position 3"),
        ({"fixed": {-1: "A"}}, "fixed position -1"),
        ({"min_length": 0}, "min_length is 0"),
        ({"max_repeats": 2.0}, "max_repeats 2.0"),
        ({"tries": 0}, "tries 0"),
        ({"min_length": 9, "max_length": 8}, "has 9 residues"),
        ({"fixed": {9: "A"}, "max_length": 8}, "has 10 residues"),
        ({"fixed": {2: "A"}, "motifs": (parse_motif("K@3"),)}, "no residue for position 3"),
    ],
)
def test_constraints_that_nothing_keeps(options: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Constraints(**options)  # type: ignore[arg-type]


def test_what_cannot_be_drawn() -> None:
    with pytest.raises(UsageError, match="leave `allow` out"):
        drawn(sampling=Sampling(allow=("special",)))
    with pytest.raises(UsageError, match="expected at least 1 each"):
        drawn(0)
    with pytest.raises(UsageError, match="give max_length"):
        drawn(prompts=[Prompt(())])
    assert len(drawn(2, [Prompt(())], constraints=Constraints(max_length=5))) == 2
