"""Prompts: what they are drawn from, with which chance, and that nothing else matters."""

from __future__ import annotations

import logging

import numpy as np
import pytest
from tiny_poet import member, protein

from genoseq.errors import InputError, UsageError
from genoseq.families.alignments.alignment import Alignment
from genoseq.families.alignments.weights import sequence_weights
from genoseq.families.alphabet import encode
from genoseq.families.poet.prompt import Homologues, Prompt, clean_protein, draw_prompt, draw_prompts, prompt_grid


def alignment(*rows: str, query: bool = True) -> Alignment:
    plain = tuple(row.replace("-", "") for row in rows)
    matrix = np.stack([encode(row) for row in rows])
    names = tuple(f"s{number}" for number in range(len(rows)))
    return Alignment(names, matrix, plain, plain[0] if query else None, 0, np.ones(matrix.shape[1], bool))


def test_homologues_of_an_alignment() -> None:
    rows = ("ACDEF", "ACDEF", "ACD-F", "WWDEF", "WWWWW")
    found = Homologues.of(alignment(*rows))
    assert found.sequences == ("ACDEF", "ACDEF", "ACDF", "WWDEF", "WWWWW") and found.query == "ACDEF"
    np.testing.assert_array_equal(found.weights, sequence_weights(np.stack([encode(row) for row in rows])))
    np.testing.assert_allclose(found.identities, [1, 1, 1, 0.6, 0])
    aligned = Homologues.of(list(rows))  # the same rows as plain text
    np.testing.assert_array_equal(aligned.weights, found.weights)
    assert aligned.query is None


def test_homologues_of_plain_sequences() -> None:
    consensus = protein(60)
    family = [consensus, consensus[:20] + consensus[25:], member(consensus, 1, 0.5), protein(60, 9)]
    found = Homologues.of(family, query=consensus)
    assert found.weights.tolist() == [1, 1, 1, 1]
    same = np.mean([a == b for a, b in zip(consensus, family[2], strict=True)])
    assert found.identities[:2].tolist() == [1, 1] and abs(found.identities[2] - same) < 0.1 and found.identities[3] < 0.4
    weighted = Homologues.of(family, weights=[0, 0, 1, 0], query=consensus)
    assert draw_prompt(weighted, context=1000).sequences == (family[2],)
    with pytest.raises(UsageError, match="give the query"):
        draw_prompt(Homologues.of(family), context=100, identity=0.5)


def test_chances_follow_the_weights() -> None:
    family = Homologues.of(["AAA", "CCC", "DDD"], weights=[1, 2, 5])
    counts = dict.fromkeys(family.sequences, 0)
    for seed in range(2000):
        counts[draw_prompt(family, context=5, seed=seed).sequences[0]] += 1
    np.testing.assert_allclose(np.array([*counts.values()]) / 2000, np.array([1, 2, 5]) / 8, atol=0.03)


def test_what_is_drawn_depends_on_the_sequences_alone() -> None:
    family = [protein(20, seed) for seed in range(30)]
    first = draw_prompt(Homologues.of(family), context=200)
    assert first.sequences == draw_prompt(Homologues.of(family[::-1]), context=200).sequences
    assert first.sequences != draw_prompt(Homologues.of(family), context=200, seed=1).sequences
    assert len(first.sequences) == 200 // 22 and first.tokens <= 200
    rest = [sequence for sequence in family if sequence != first.sequences[3]]
    assert draw_prompt(Homologues.of(rest), context=200).sequences[:3] == first.sequences[:3]
    twins = Homologues.of(["ACD"] * 3)
    assert draw_prompt(twins, context=12).sequences == ("ACD",) * 2  # copies are drawn, too


def test_bounds_on_identity_and_length() -> None:
    family = Homologues.of(alignment("ACDEFGHIKL", "ACDEFGHIKW", "ACDEFWWWWW", "WWWWWWWWWW"))
    assert set(draw_prompt(family, context=99, identity=0.9).sequences) == {"ACDEFGHIKW", "ACDEFWWWWW", "WWWWWWWWWW"}
    assert set(draw_prompt(family, context=99, identity=0.5).sequences) == {"ACDEFWWWWW", "WWWWWWWWWW"}
    assert draw_prompt(family, context=11).sequences == ()
    long = Homologues.of(["A" * 50, "ACD"], weights=[100, 0.001])
    assert draw_prompt(long, context=20).sequences == ("ACD",)  # one that never fits is not drawn from


def test_the_grid() -> None:
    assert len(set(prompt_grid())) == 15
    few = prompt_grid(5)
    assert len({bound for _, bound in few}) == 5 and {context for context, _ in few} == {6144, 12288, 24576}
    assert prompt_grid(contexts=[50], identities=[0.5]) == [(50, 0.5)]
    for wrong in ({"count": 16}, {"count": 0}, {"contexts": [2]}, {"identities": [0.0]}, {"identities": []}):
        with pytest.raises(UsageError):
            prompt_grid(**wrong)


def test_prompts_that_nothing_is_left_for(caplog: pytest.LogCaptureFixture) -> None:
    family = Homologues.of(alignment("ACDEF", "ACDEF"))
    with caplog.at_level(logging.WARNING):
        prompts = draw_prompts(family, [(20, 1.0), (20, 0.5)])
    assert [prompt.identity for prompt in prompts] == [1.0] and "0.5: this prompt is left out" in caplog.text
    with pytest.raises(InputError, match="the shortest has 7 tokens"):
        draw_prompts(family, [(6, 1.0)])
    assert draw_prompts(family, [(20, 1.0)]) == [Prompt(("ACDEF", "ACDEF"), 20, 1.0)]


@pytest.mark.parametrize(
    ("family", "options", "message"),
    [
        ([], {}, "no sequences"),
        (["ACD", "--"], {}, "homologue 2 has no residues"),
        (["ACD", "A1D"], {}, "homologue 2: '1' at position 2"),
        (["ACD"], {"weights": [1, 2]}, "the weights are"),
        (["ACD"], {"weights": [-1]}, "the weights are"),
        (["ACD"], {"weights": [0]}, "the weights are"),
        (["ACD"], {"query": "!"}, "the query"),
    ],
)
def test_families_that_make_no_sense(family: list[str], options: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Homologues.of(family, **options)


def test_cleaning() -> None:
    assert clean_protein("ac.d-E*") == "ACDE"
    with pytest.raises(InputError, match=r"'\*' at position 2"):
        clean_protein("A*C")
