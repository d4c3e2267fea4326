from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest
from sequence_families import families
from sklearn.base import clone

from genoseq.classify.kmer import KmerCounts, KmerNeighbors, kmer_naive_bayes, kmer_svm
from genoseq.classify.sequences import SequenceInputError
from genoseq.classify.words import Words
from genoseq.seqs.alphabet import reverse_complement

X, Y = families(3, 8)
TRAIN, TRAIN_Y = X[::2], Y[::2]
TEST, TEST_Y = X[1::2], Y[1::2]
TURNED = [reverse_complement(one.encode()).decode() for one in TEST]


@pytest.mark.parametrize(
    "model",
    [
        KmerNeighbors(),
        KmerNeighbors(metric="containment"),
        KmerNeighbors(word=4, kind="translated"),
        KmerNeighbors(scaled=3),
        KmerNeighbors(k=3),
        kmer_naive_bayes(6),
        kmer_svm(6),
        kmer_svm(3, kind="translated"),
        kmer_svm(3, kind="translated", frames="all"),
    ],
    ids=str,
)
def test_families_are_told_apart(model: Any) -> None:
    fitted = clone(model).fit(TRAIN, TRAIN_Y)
    assert fitted.score(TEST, TEST_Y) == 1.0
    assert pickle.loads(pickle.dumps(fitted)).predict(TEST).tolist() == TEST_Y


def test_distances_are_jaccard_and_containment_of_word_sets() -> None:
    sets = [set(Words(9).of(one.encode()).tolist()) for one in TRAIN]
    asked = set(Words(9).of(TEST[0].encode()).tolist())
    jaccard = KmerNeighbors(word=9).fit(TRAIN, TRAIN_Y).distances(TEST[:1])[0]
    assert jaccard == pytest.approx([1 - len(asked & one) / len(asked | one) for one in sets])
    contained = KmerNeighbors(word=9, metric="containment").fit(TRAIN, TRAIN_Y).distances(TEST[:1])[0]
    assert contained == pytest.approx([1 - len(asked & one) / len(asked) for one in sets])


def test_the_strand_makes_no_difference() -> None:
    for model in (KmerNeighbors(), KmerNeighbors(word=5, kind="translated")):
        model.fit(TRAIN, TRAIN_Y)
        assert (model.distances(TURNED) == model.distances(TEST)).all()
    counts = KmerCounts(word=5, canonical=True).fit(TRAIN)
    assert (counts.transform(TURNED) != counts.transform(TEST)).nnz == 0
    plain = KmerCounts(word=5).fit(TRAIN)
    assert (plain.transform(TURNED) != plain.transform(TEST)).nnz > 0


def test_threads_and_batches_make_no_difference() -> None:
    plain = KmerNeighbors().fit(TRAIN, TRAIN_Y).distances(TEST)
    threaded = KmerNeighbors(threads=3).fit(TRAIN, TRAIN_Y)
    assert (threaded.distances(TEST) == plain).all()
    assert (np.concatenate([threaded.distances([one]) for one in TEST]) == plain).all()


def test_a_sequence_without_words_gets_the_vote_of_all() -> None:
    model = KmerNeighbors().fit([*TRAIN, TRAIN[0]], [*TRAIN_Y, "family0"])
    share = model.predict_proba(["ACGT"])[0]
    assert share == pytest.approx(np.array([5, 4, 4]) / 13)
    assert model.predict(["ACGT"]).tolist() == ["family0"]


def test_counts_are_those_of_every_place() -> None:
    counts = KmerCounts(word=3).fit(["ACGT"]).transform(["ACGACGNAC", "AC"])
    assert counts.shape == (2, 64)
    acg, cga, gac = (16 * a + 4 * b + c for a, b, c in ((0, 1, 2), (1, 2, 0), (2, 0, 1)))
    assert counts[0, acg] == 2 and counts[0, cga] == 1 and counts[0, gac] == 1
    assert counts.sum() == 4
    protein = KmerCounts(word=1, kind="protein").fit(["MKV"]).transform(["MMX*"])
    assert protein.sum() == 3 and protein.shape == (1, 21)
    first = KmerCounts(word=1, kind="translated").fit(["ATG"]).transform(["ATGATGTAA"]).toarray()[0]
    assert sorted(first[first > 0].tolist()) == [1.0, 2.0]
    every = KmerCounts(word=1, kind="translated", frames="all").fit(["ATG"]).transform(["ATGATGTAA"])
    assert every.sum() == 3 + 2 + 2 + 3 + 2 + 2


def test_a_sketch_says_its_error() -> None:
    assert KmerNeighbors(word=21, scaled=100).error(0.5, 400) == pytest.approx(0.025)
    assert KmerNeighbors(word=21).error(0.5, 400) == 0.0


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (KmerNeighbors(word=40), "k is 40, expected 1 to 31"),
        (KmerNeighbors(metric="cosine"), "expected 'jaccard' or 'containment'"),  # type: ignore[arg-type]
        (KmerNeighbors(scaled=0), "scaled is 0"),
        (KmerNeighbors(k=-1), "k is -1"),
        (KmerNeighbors(threads=0), "threads is 0"),
        (KmerCounts(word=20), "4\\^20 columns"),
        (KmerCounts(word=7, kind="protein"), "this is|columns"),
        (KmerCounts(frames="second"), "expected 'first' or 'all'"),  # type: ignore[arg-type]
        (KmerCounts(kind="codon"), "the kind of words is 'codon'"),  # type: ignore[arg-type]
    ],
    ids=str,
)
def test_options_out_of_range_are_refused(model: Any, message: str) -> None:
    with pytest.raises(SequenceInputError, match=message):
        model.fit(TRAIN, TRAIN_Y)


@pytest.mark.parametrize(
    "model", [KmerNeighbors(), KmerNeighbors(kind="protein", word=3), kmer_naive_bayes(3), kmer_svm(3)], ids=str
)
def test_bad_input_is_refused(model: Any) -> None:
    good = ["MKVLAAGIVFE" * 4, "WPYHQNDCRST" * 4] if "protein" in str(model) else TRAIN[:1] + TRAIN[-1:]
    fitted = clone(model).fit(good, ["a", "b"])
    for asked, message in (
        (["ACGTACGT" * 5, ""], "sequence 2 is empty|this is nucleotide"),
        ([], "there is no sequence"),
        (["NNN", "XXX"], "has no letter but|has the letter"),
        ("ACGT", "found one sequence"),
    ):
        with pytest.raises(SequenceInputError, match=message):
            fitted.predict(asked)
