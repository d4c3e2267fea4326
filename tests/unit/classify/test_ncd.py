from __future__ import annotations

import bz2
import gzip
import importlib.util
import lzma
import pickle
import sys
from typing import Any

import numpy as np
import pytest
import zstandard
from sequence_families import families
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from genoseq.classify.compressors import compressor_named, given_text
from genoseq.classify.ncd import ClassCompressor, NCDClassifier, ncd
from genoseq.classify.sequences import SequenceInputError
from genoseq.seqs.alphabet import reverse_complement

X, Y = families(3, 6)
TRAIN, TRAIN_Y = X[::2], Y[::2]
TEST, TEST_Y = X[1::2], Y[1::2]

PLAIN = {
    "gzip": lambda data: len(gzip.compress(data)),
    "bz2": lambda data: len(bz2.compress(data)),
    "lzma": lambda data: len(lzma.compress(data)),
    "zstd": lambda data: len(zstandard.ZstdCompressor().compress(data)),
}


def published_distances(size: Any, test: list[str], train: list[str]) -> np.ndarray:
    """The published recipe, word for word and one pair after another."""
    rows = []
    for x in test:
        alone = size(x.encode())
        row = []
        for y in train:
            other, joint = size(y.encode()), size(" ".join([x, y]).encode())
            row.append((joint - min(alone, other)) / max(alone, other))
        rows.append(row)
    return np.array(rows)


@pytest.mark.parametrize("name", PLAIN)
def test_the_published_recipe_is_reproduced_to_the_last_digit(name: str) -> None:
    expected = published_distances(PLAIN[name], TEST, TRAIN)
    model = NCDClassifier.published(name).fit(TRAIN, TRAIN_Y)
    assert (model.distances(TEST) == expected).all()
    assert model.predict(TEST).tolist() == [TRAIN_Y[at] for at in expected.argmin(axis=1)]


@pytest.mark.skipif(importlib.util.find_spec("brotli") is None, reason="the package brotli is not installed")
def test_the_published_recipe_with_brotli() -> None:
    import brotli

    expected = published_distances(lambda data: len(brotli.compress(data)), TEST[:3], TRAIN)
    assert (NCDClassifier.published("brotli").fit(TRAIN, TRAIN_Y).distances(TEST[:3]) == expected).all()


def test_brotli_that_is_not_installed_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "brotli", None)
    with pytest.raises(SequenceInputError, match=r"needs the package brotli.*pip install brotli"):
        NCDClassifier(compressor="brotli").fit(TRAIN, TRAIN_Y)


@pytest.mark.parametrize(
    "model",
    [
        NCDClassifier(),
        NCDClassifier(compressor="zstd", level=19),
        NCDClassifier(compressor="zstd", method="conditional"),
        NCDClassifier(k=3),
        NCDClassifier(candidates=3),
        ClassCompressor(),
        ClassCompressor(level=19),
    ],
    ids=str,
)
def test_families_are_told_apart(model: Any) -> None:
    model = clone(model).fit(TRAIN, TRAIN_Y)
    assert model.score(TEST, TEST_Y) == 1.0
    assert pickle.loads(pickle.dumps(model)).predict(TEST).tolist() == TEST_Y


@pytest.mark.parametrize(
    "options",
    [{}, {"compressor": "zstd", "method": "conditional"}, {"compressor": "lzma"}, {"candidates": 4}, {"strands": "both"}],
    ids=str,
)
def test_distances_depend_neither_on_threads_nor_on_the_batch(options: dict[str, Any]) -> None:
    together = NCDClassifier(**options).fit(TRAIN, TRAIN_Y).distances(TEST)
    threaded = NCDClassifier(**options, threads=3).fit(TRAIN, TRAIN_Y)
    assert (threaded.distances(TEST) == together).all()
    assert (np.concatenate([threaded.distances([one]) for one in TEST]) == together).all()


def test_conditional_distance_is_what_zstd_needs_given_the_other() -> None:
    model = NCDClassifier(compressor="zstd", method="conditional").fit(TRAIN, TRAIN_Y)
    size = given_text(TRAIN[2].encode(), 3)
    alone = len(zstandard.ZstdCompressor().compress(TEST[0].encode()))
    assert model.distances(TEST[:1])[0, 2] == size(TEST[0].encode()) / alone
    # what stands in the dictionary costs next to nothing, and the stream cannot be read without it
    dictionary = zstandard.ZstdCompressionDict(TRAIN[2].encode(), dict_type=zstandard.DICT_TYPE_RAWCONTENT)
    stream = zstandard.ZstdCompressor(dict_data=dictionary).compress(TRAIN[2].encode())
    assert size(TRAIN[2].encode()) <= len(stream) + 4 < 30
    assert zstandard.ZstdDecompressor(dict_data=dictionary).decompress(stream) == TRAIN[2].encode()


def test_both_strands_find_what_lies_the_other_way() -> None:
    turned = [reverse_complement(one.encode()) for one in TEST]
    assert NCDClassifier(strands="both").fit(TRAIN, TRAIN_Y).score(turned, TEST_Y) == 1.0
    forward = NCDClassifier().fit(TRAIN, TRAIN_Y).distances(turned)
    assert (NCDClassifier(strands="both").fit(TRAIN, TRAIN_Y).distances(turned) <= forward).all()


def test_candidates_are_compressed_exactly_and_nothing_else_is() -> None:
    every = NCDClassifier().fit(TRAIN, TRAIN_Y).distances(TEST)
    some = NCDClassifier(candidates=3).fit(TRAIN, TRAIN_Y).distances(TEST)
    looked_at = np.isfinite(some)
    assert (some[looked_at] == every[looked_at]).all()
    assert looked_at.sum() < looked_at.size
    # a sequence that shares no word with anything is compared with all
    assert np.isfinite(NCDClassifier(candidates=3).fit(TRAIN, TRAIN_Y).distances(["GC" * 6])).all()


def test_ties_are_shared_and_the_published_recipe_takes_the_first() -> None:
    honest = NCDClassifier().fit([TRAIN[0], TRAIN[0], TRAIN[0]], ["b", "a", "b"])
    assert honest.predict_proba([TRAIN[0]])[0] == pytest.approx([1 / 3, 2 / 3])
    assert honest.predict([TRAIN[0]]).tolist() == ["b"]
    bounds = honest.accuracy_bounds([TRAIN[0]] * 2, ["a", "b"])
    assert bounds == (0.5, 0.5)
    even = NCDClassifier().fit([TRAIN[0], TRAIN[0]], ["b", "a"])
    assert even.accuracy_bounds([TRAIN[0], TRAIN[0]], ["a", "unknown"]) == (0.0, 0.5)
    assert NCDClassifier.published().fit([TRAIN[0], TRAIN[0]], ["b", "a"]).predict([TRAIN[0]]).tolist() == ["b"]


def test_a_class_of_one_sequence_and_labels_of_other_kinds_do() -> None:
    model = NCDClassifier().fit([*TRAIN, "GGGTTTAAACCC" * 5], [*[0] * len(TRAIN), 7])
    assert model.classes_.tolist() == [0, 7]
    assert model.predict(["GGGTTTAAACCC" * 4]).tolist() == [7]


def test_proteins_have_their_own_alphabet() -> None:
    model = NCDClassifier(alphabet="protein").fit(["MKVLAAGIVFE" * 4, "WPYHQNDCRST" * 4], ["a", "b"])
    assert model.predict(["MKVLAAGIVFE" * 3]).tolist() == ["a"]
    with pytest.raises(SequenceInputError, match="this is nucleotide sequence"):
        model.predict(["ACGT" * 20])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"compressor": "rar"}, "compressor is 'rar', expected one of gzip, bz2, lzma, brotli, zstd"),
        ({"level": 12}, "level is 12, expected a whole number from 1 to 9 for gzip"),
        ({"level": 1.5}, "level is 1.5"),
        ({"method": "best"}, "expected 'ncd' or 'conditional'"),
        ({"method": "conditional"}, "by 'gzip' is not possible"),
        ({"strands": "reverse"}, "expected 'forward' or 'both'"),
        ({"strands": "both", "alphabet": "protein"}, "proteins have no other strand"),
        ({"k": 0}, "k is 0"),
        ({"k": True}, "k is True"),
        ({"ties": "right"}, "expected 'share' or 'first'"),
        ({"candidates": 1, "k": 2}, "candidates is 1"),
        ({"threads": 0}, "threads is 0"),
        ({"alphabet": "rna"}, "alphabet is 'rna'"),
    ],
    ids=str,
)
def test_options_out_of_range_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(SequenceInputError, match=message):
        NCDClassifier(**options).fit(["MKV", "WPH"] if options.get("alphabet") == "protein" else TRAIN[:2], ["a", "b"])


@pytest.mark.parametrize("model", [NCDClassifier(), ClassCompressor()], ids=str)
@pytest.mark.parametrize(
    ("train", "labels", "message"),
    [
        (["ACGT", "CCGT"], ["a", "a"], "one class only"),
        ([], [], "there is no sequence"),
        (["ACGT", ""], ["a", "b"], "sequence 2 is empty"),
        (["ACGT", "NNN"], ["a", "b"], "sequence 2 has no letter but N"),
        (["ACGT", "MKVLE"], ["a", "b"], "this may be protein"),
        (["ACGT"], ["a", "b"], "1 sequences and labels of shape"),
    ],
)
def test_bad_training_sets_are_refused(model: Any, train: list[str], labels: list[str], message: str) -> None:
    with pytest.raises(SequenceInputError, match=message):
        clone(model).fit(train, labels)


@pytest.mark.parametrize("model", [NCDClassifier(), ClassCompressor()], ids=str)
def test_bad_questions_are_refused(model: Any) -> None:
    with pytest.raises(NotFittedError):
        clone(model).predict(["ACGT"])
    fitted = clone(model).fit(TRAIN, TRAIN_Y)
    for asked, message in ((["ACGT", ""], "sequence 2 is empty"), ([], "there is no sequence"), (["NN"], "no letter but N")):
        with pytest.raises(SequenceInputError, match=message):
            fitted.predict(asked)


def test_class_compressor_says_bytes_and_breaks_ties_by_size() -> None:
    model = ClassCompressor().fit(TRAIN, TRAIN_Y)
    scores = model.decision_function(TEST[:2])
    assert scores.shape == (2, 3)
    text = "\n".join(one for one, label in zip(TRAIN, TRAIN_Y, strict=True) if label == "family1").encode()
    assert scores[1, 1] == -given_text(text, 3)(TEST[1].encode())
    equal = ClassCompressor().fit(["ACGT", "ACGT", "ACGT"], ["a", "b", "b"])
    assert equal.predict(["TTTTT"]).tolist() == ["b"]


def test_distance_and_sizes_by_hand() -> None:
    assert ncd(np.array([150.0, 90.0]), np.array(100.0), np.array(80.0)).tolist() == [0.7, 0.1]
    assert compressor_named("gzip").level == 9
    assert compressor_named("gzip").size(b"ACGT" * 50) == len(gzip.compress(b"ACGT" * 50))
    assert compressor_named("bz2", 1).window == 100_000
    assert given_text(b"ACG")(b"ACGT") == compressor_named("zstd").size(b"ACGT")
