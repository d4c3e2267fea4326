from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
from sequence_families import families, mutated, random_sequence
from sklearn.model_selection import cross_val_score

from genoseq.classify.homology import HomologyGroupKFold, homology_groups
from genoseq.classify.kmer import kmer_naive_bayes
from genoseq.classify.leakage import leakage_report
from genoseq.classify.sequences import SequenceInputError
from genoseq.seqs.alphabet import reverse_complement

DRAW = random.Random(12)


def opposite(sequence: str) -> str:
    return reverse_complement(sequence.encode()).decode()


def with_piece(piece: str) -> str:
    return random_sequence(DRAW, 500) + piece + random_sequence(DRAW, 500)


def same(sequences: list[str], **options: Any) -> bool:
    groups = homology_groups(sequences, **options)
    return len(set(groups.tolist())) == 1


def test_families_are_groups_and_strands_do_not_matter() -> None:
    sequences, labels = families(4, 5, rate=0.02)
    sequences[2], sequences[7] = opposite(sequences[2]), opposite(sequences[7])
    groups = homology_groups(sequences)
    assert groups.tolist() == [int(label[-1]) for label in labels]


def test_ten_words_join_and_nine_do_not() -> None:
    for length, joined in ((29, False), (30, True)):
        piece = random_sequence(random.Random(7), length)
        ends = [left + piece + right for left, right in (("A", "C"), ("G", "T"))]  # the piece ends where it ends
        assert same([random_sequence(DRAW, 600) + one + random_sequence(DRAW, 600) for one in ends]) is joined
    piece = random_sequence(random.Random(8), 21)
    pair = [with_piece(piece), with_piece(piece)]
    assert not same(pair) and same(pair, shared=1)


def test_a_short_sequence_needs_only_its_share() -> None:
    whole = with_piece("")
    short = whole[300:360]  # 40 words of 21
    assert same([whole, short[:31] + random_sequence(DRAW, 29)])
    broken = short[:22] + random_sequence(DRAW, 38)  # 2 or 3 of 40 words
    assert same([whole, broken]) and not same([whole, broken], share=None) and not same([whole, broken], share=0.5)


def test_repetitive_words_join_only_if_that_is_asked() -> None:
    pair = [with_piece("CAG" * 20), with_piece("CAG" * 20)]
    assert not same(pair)
    assert same(pair, complexity=None, shared=3)
    assert not same([with_piece("A" * 60), with_piece("A" * 60)])


def test_copies_are_joined_however_short_or_repetitive() -> None:
    assert homology_groups(["ACGT", "GGTT", "acgt", "AACC", "CAG" * 30, "CTG" * 30]).tolist() == [0, 1, 0, 1, 2, 2]


def test_groups_depend_neither_on_order_nor_on_threads() -> None:
    sequences, _ = families(5, 4, rate=0.1, seed=3)
    groups = homology_groups(sequences)
    order = np.random.default_rng(1).permutation(len(sequences))
    again = homology_groups([sequences[at] for at in order], threads=3)
    pairs = groups[order][:, None] == groups[order][None, :]
    assert ((again[:, None] == again[None, :]) == pairs).all()
    assert again[0] == 0 and sorted(set(again.tolist())) == list(range(again.max() + 1))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"k": 3}, "k is 3, expected 4 to 31"),
        ({"k": 32}, "k is 32"),
        ({"shared": 0}, "shared is 0"),
        ({"share": 0.0}, "share is 0.0"),
        ({"share": 1.5}, "share is 1.5"),
        ({"complexity": -1.0}, "complexity is -1.0"),
        ({"complexity": float("nan")}, "complexity is nan"),
        ({"threads": 0}, "threads is 0"),
    ],
)
def test_options_out_of_range_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(SequenceInputError, match=message):
        homology_groups(["ACGT", "ACGG"], **options)
    if "threads" not in options:
        with pytest.raises(SequenceInputError, match=message):
            HomologyGroupKFold(**options)


def labelled(count: int = 30) -> tuple[list[str], list[str]]:
    """Families of three, half of them of each label."""
    sequences, names = families(count, 3, length=200, rate=0.02, seed=9)
    return sequences, ["even" if int(name.removeprefix("family")) % 2 == 0 else "odd" for name in names]


def test_no_group_is_divided_and_every_sequence_is_tested_once() -> None:
    sequences, labels = labelled()
    groups = homology_groups(sequences)
    splitter = HomologyGroupKFold(5, seed=4)
    tested = []
    for train, test in splitter.split(sequences, labels):
        assert not set(groups[train]) & set(groups[test])
        share = np.mean(np.array(labels)[test] == "even")
        assert 0.3 < share < 0.7
        tested.extend(test.tolist())
        report = leakage_report([sequences[at] for at in train], [sequences[at] for at in test])
        assert report.share_above(0.1) == 0.0
    assert sorted(tested) == list(range(len(sequences)))
    assert splitter.get_n_splits() == 5


def test_the_seed_decides_the_folds() -> None:
    sequences, labels = labelled()
    first, again, other = (
        [test.tolist() for _, test in HomologyGroupKFold(5, seed=seed).split(sequences, labels)] for seed in (1, 1, 2)
    )
    assert first == again != other


def test_it_works_as_a_scikit_learn_splitter() -> None:
    sequences, labels = labelled()
    scores = cross_val_score(kmer_naive_bayes(4), sequences, labels, cv=HomologyGroupKFold(3))
    assert len(scores) == 3
    given = np.arange(len(labels)) // 6
    for train, test in HomologyGroupKFold(3).split(sequences, labels, given):
        assert not set(given[train]) & set(given[test])


@pytest.mark.parametrize("rare", [1, 2, 4])
def test_rare_classes_are_no_obstacle(rare: int) -> None:
    sequences, labels = labelled()
    for at in range(rare):
        labels[at * 3] = f"rare{at}"
    assert len(list(HomologyGroupKFold(5).split(sequences, labels))) == 5


def test_what_cannot_be_split_is_refused() -> None:
    sequences, labels = families(3, 4, rate=0.01)
    with pytest.raises(SequenceInputError, match="there are 3 homology groups for 5 folds"):
        list(HomologyGroupKFold(5).split(sequences, labels))
    with pytest.raises(SequenceInputError, match="needs the labels y"):
        list(HomologyGroupKFold(3).split(sequences))
    with pytest.raises(SequenceInputError, match="one class only"):
        list(HomologyGroupKFold(3).split(sequences, ["a"] * 12))
    with pytest.raises(SequenceInputError, match="12 sequences and labels"):
        list(HomologyGroupKFold(3).split(sequences, labels[:5]))
    with pytest.raises(SequenceInputError, match="n_splits is 1"):
        HomologyGroupKFold(1)


def test_leakage_by_hand() -> None:
    draw = random.Random(3)
    one, two, new = (random_sequence(draw, 200) for _ in range(3))
    half = one[:100] + new[:100]
    report = leakage_report([one, two], [one.lower(), opposite(two), half, new, "ACGT"], k=16)
    assert report.copies.tolist() == [True, False, False, False, False]
    assert report.reverse_copies.tolist() == [False, True, False, False, False]
    assert report.nearest[:2].tolist() == [1.0, 1.0]
    assert report.nearest[2] == pytest.approx(85 / 185, abs=0.02)  # a word over the seam may agree by chance
    assert report.nearest[3] == 0.0 and np.isnan(report.nearest[4])
    assert report.share_above(0.5) == pytest.approx(2 / 5)
    assert report.share_above(0.4) == pytest.approx(3 / 5)
    both = leakage_report([one, two], [one[:100] + two[:100]])
    assert both.covered[0] == pytest.approx(170 / 185, abs=0.02)
    assert both.nearest[0] == pytest.approx(85 / 185, abs=0.02)
    assert "exact copies: 20.0%" in str(report)
    assert dict(report.rows())["exact copies"] == pytest.approx(0.2)
    assert np.isnan(leakage_report(["ACGT"], ["ACGT"]).quantiles()).all()


def test_leakage_falls_with_divergence_and_does_not_depend_on_threads() -> None:
    draw = random.Random(3)
    train = [random_sequence(draw, 400) for _ in range(5)]
    shares = [leakage_report(train, [mutated(draw, one, rate) for one in train]).nearest.mean() for rate in (0.0, 0.02, 0.2)]
    assert shares[0] == 1.0 > shares[1] > 0.5 > shares[2]
    test = [mutated(draw, one, 0.02) for one in train]
    assert (leakage_report(train, test).nearest == leakage_report(train, test, threads=3).nearest).all()


def test_leakage_of_nothing_is_refused() -> None:
    for train, test, message in (
        ([], ["ACGT"], "there is no training sequence"),
        (["ACGT"], [], "there is no test sequence"),
        (["ACGT"], ["ACGT", ""], "test sequence 2 is empty"),
        (["MKVLE"], ["ACGT"], "training sequence 1 has the letter"),
    ):
        with pytest.raises(SequenceInputError, match=message):
            leakage_report(train, test)
