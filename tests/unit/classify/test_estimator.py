"""The estimator keeps scikit-learn's contract, as far as it applies to sequences.

``check_estimator`` runs those of its checks that need no matrix; all others make X a table of numbers, which
a classifier of sequences refuses. What they check is checked here with sequences: cloning, parameters untouched by fit, errors
before fit and for bad input, `classes_` of any type of label, agreement of the predicting methods, pickling, cross-validation and
invariance to order and subsets.
"""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import cross_val_score
from sklearn.utils.estimator_checks import check_estimator

from genoseq import Record
from genoseq.classify.estimator import ContextMixtureClassifier
from genoseq.seqs.alphabet import reverse_complement

RNG = np.random.default_rng(7)


def family(number: int, length: int = 240, change: float = 0.15) -> list[str]:
    """Relatives of one random sequence."""
    origin = RNG.integers(0, 4, length)
    codes = [np.where(RNG.random(length) < change, RNG.integers(0, 4, length), origin) for _ in range(number)]
    return ["".join("ACGT"[code] for code in one) for one in codes]


X = family(14) + family(14) + family(14)
Y = ["a"] * 14 + ["b"] * 14 + ["c"] * 14
TEST = slice(0, None, 4)


@pytest.fixture(scope="module", params=["nucleotide", "translated", "combined"])
def model(request) -> ContextMixtureClassifier:
    return ContextMixtureClassifier(mode=request.param).fit(X, Y)


def test_checks_of_scikit_learn_that_apply_to_sequences():
    with pytest.warns(UserWarning, match="Can't test estimator"):
        results = check_estimator(ContextMixtureClassifier(), on_fail=None)
    failed = {one["check_name"]: str(one["exception"]) for one in results if one["status"] == "failed"}
    assert failed == {}


def test_relatives_are_recognised_on_both_strands(model):
    fresh = [X[i][40:200] for i in range(0, len(X), 3)]
    expected = [Y[i] for i in range(0, len(Y), 3)]
    assert model.predict(fresh).tolist() == expected
    assert model.predict([reverse_complement(one.encode()) for one in fresh]).tolist() == expected


def test_what_a_sequence_may_be(model):
    one = X[0]
    asked = [one, one.encode(), one.lower(), one.replace("T", "U"), Record("r", "", one)]
    p = model.predict_proba(asked)
    np.testing.assert_array_equal(p, np.tile(p[0], (5, 1)))


def test_the_methods_agree(model):
    p, bits, calls = model.predict_proba(X), model.decision_function(X), model.call(X)
    np.testing.assert_allclose(p.sum(axis=1), 1)
    assert p.shape == bits.shape == model.code_length(X).shape == (len(X), 3)
    np.testing.assert_array_equal(model.classes_[p.argmax(axis=1)], model.predict(X))
    np.testing.assert_array_equal(p.argmax(axis=1), bits.argmax(axis=1))
    np.testing.assert_allclose(calls.margins, bits.max(axis=1))
    np.testing.assert_allclose(calls.probabilities, p.max(axis=1))
    np.testing.assert_array_equal(calls.novelty, model.novelty(X))
    assert model.score(X, Y) > 0.9


def test_two_classes_have_one_column_of_decisions():
    model = ContextMixtureClassifier(mode="nucleotide").fit(X[:28], Y[:28])
    bits = model.decision_function(X[TEST])
    assert bits.shape == (len(X[TEST]),)
    np.testing.assert_array_equal(model.classes_[(bits > 0).astype(int)], model.predict(X[TEST]))


def test_results_depend_on_nothing_but_the_sequence(model):
    order = np.random.default_rng(0).permutation(len(X))
    p = model.predict_proba(X)
    np.testing.assert_array_equal(model.predict_proba([X[i] for i in order]), p[order])
    np.testing.assert_array_equal(np.concatenate([model.predict_proba([one]) for one in X[TEST]]), p[TEST])
    np.testing.assert_array_equal(clone(model).set_params(n_jobs=2).fit(X, Y).predict_proba(X), p)


def test_fit_leaves_parameters_alone_and_forgets():
    model = ContextMixtureClassifier(mode="nucleotide", random_state=3)
    before = model.get_params()
    assert model.fit(X[:28], Y[:28]) is model and model.get_params() == before
    model.fit(X, Y)
    np.testing.assert_array_equal(model.predict_proba(X), clone(model).fit(X, Y).predict_proba(X))
    assert pickle.loads(pickle.dumps(model)).predict(X[TEST]).tolist() == model.predict(X[TEST]).tolist()


@pytest.mark.parametrize("labels", [np.repeat([5, -2, 9], 14), np.repeat(["x", "longer", "y"], 14), np.repeat([True, False], 21)])
def test_labels_of_any_type(labels):
    model = ContextMixtureClassifier(mode="nucleotide").fit(X, labels)
    np.testing.assert_array_equal(model.classes_, np.unique(labels))
    assert model.predict(X).dtype == labels.dtype


def test_cross_validation_of_scikit_learn():
    assert cross_val_score(ContextMixtureClassifier(mode="nucleotide"), X, Y, cv=3).mean() > 0.9


def test_partial_fit_in_parts_counts_as_fit_does():
    whole = ContextMixtureClassifier(mode="nucleotide", calibration_folds=0).fit(X, Y)
    parts = ContextMixtureClassifier(mode="nucleotide", calibration_folds=0)
    with pytest.raises(ValueError, match="classes must be given"):
        parts.partial_fit(X[:5], Y[:5])
    parts.partial_fit(X[::2], Y[::2], classes=["a", "b", "c"]).partial_fit(X[1::2], Y[1::2])
    np.testing.assert_array_equal(whole.code_length(X), parts.code_length(X))
    np.testing.assert_array_equal(parts.class_counts_, [14, 14, 14])
    with pytest.raises(ValueError, match="not among the classes"):
        parts.partial_fit(X[:1], ["d"])
    with pytest.raises(ValueError, match="classes differ"):
        parts.partial_fit(X[:1], ["a"], classes=["a", "b"])


def test_partial_fit_calibrates_on_every_part():
    model = ContextMixtureClassifier(mode="combined").partial_fit(X[::2], Y[::2], classes=["a", "b", "c"])
    first = model.calibration_.rows
    assert 0 < first < model.partial_fit(X[1::2], Y[1::2]).calibration_.rows
    assert model.score(X, Y) > 0.9


def test_relatives_count_less_in_the_calibration():
    strangers = ["".join(RNG.choice(list("ACGT"), 240)) for _ in range(20)]
    model = ContextMixtureClassifier(mode="nucleotide").fit([*strangers, *[strangers[0]] * 3], ["a", "b"] * 10 + ["a"] * 3)
    weights, numbers = np.unique(model._held_out_weights, return_counts=True)
    # each is held out twice, at random and with its group, and scored whole and as a piece
    assert dict(zip(weights.tolist(), numbers.tolist(), strict=True)) == {0.5: 4 * 4, 1.0: 4 * 19}
    proteins = ContextMixtureClassifier(mode="protein").fit(["ACDEFGHIKLMNPQRSTVWY" * 3, "WWWLLLPPPG" * 4] * 4, ["a", "b"] * 4)
    assert set(proteins._held_out_weights) == {1.0}


def test_a_genome_is_cut_so_that_parts_of_it_can_be_held_out():
    rng = np.random.default_rng(2)
    shares = [0.35, 0.15, 0.15, 0.35], [0.2, 0.3, 0.3, 0.2]
    genomes = ["".join(rng.choice(list("ACGT"), 90_000, p=one)) + "N" * 30_000 for one in shares]
    model = ContextMixtureClassifier(mode="nucleotide").fit(genomes, ["a", "b"])
    assert model.class_counts_.tolist() == [5, 5]  # six parts, the last one of N alone
    assert model.calibration_.rows and model.measures_novelty
    stranger = "".join(rng.choice(list("ACGT"), 2000, p=[0.05, 0.45, 0.05, 0.45]))
    calls = model.call([genomes[0][:2000], stranger])
    assert calls.labels[0] == "a" and calls.novelty[1] > 0.95
    few = ContextMixtureClassifier(mode="nucleotide", calibration_folds=0).fit(genomes, ["a", "b"])
    assert not few.measures_novelty


def test_score_counts_unknown_as_wrong_whatever_the_labels():
    model = ContextMixtureClassifier(mode="nucleotide", reject_margin=1e9).fit(X, np.repeat([1, 2, 3], 14))
    assert model.score(X, np.repeat([1, 2, 3], 14)) == 0
    assert model.set_params(reject_margin=None).score([*X[:3], ""], [1, 1, 2, 1], sample_weight=[1, 1, 1, 5]) == 2 / 8
    model.set_params(reject_margin=1e9)
    assert cross_val_score(model, X, np.repeat([1, 2, 3], 14), cv=2, error_score="raise").tolist() == [0, 0]


@pytest.mark.parametrize("change", [{"reject_margin": np.nan}, {"reject_margin": -1}, {"reject_novelty": 1.5}])
def test_thresholds_are_checked(change):
    with pytest.raises(ValueError, match=next(iter(change))):
        ContextMixtureClassifier(**change).fit(X, Y)


def test_a_class_called_unknown_is_refused():
    with pytest.raises(ValueError, match="a class is called unknown, as sequences without a class are"):
        ContextMixtureClassifier(mode="nucleotide").fit(X, ["unknown", *Y[1:]])
    ContextMixtureClassifier(mode="nucleotide", unknown="?").fit(X, ["unknown", *Y[1:]])


def test_rejection():
    model = ContextMixtureClassifier(mode="nucleotide").fit(X, Y)
    stranger = ["".join(np.random.default_rng(1).choice(list("ACGT"), 240))]
    calls = model.call(stranger)
    assert calls.novelty[0] > 0.9 > model.novelty(X).mean()
    assert model.set_params(reject_novelty=0.95).predict(stranger + X[:1]).tolist() == ["unknown", "a"]
    model.set_params(reject_novelty=None, reject_margin=float(calls.margins[0]) + 0.1, unknown="none of these")
    assert model.predict(stranger).tolist() == ["none of these"]


def test_whole_number_labels_can_be_rejected_too():
    model = ContextMixtureClassifier(mode="nucleotide", unknown=-1, reject_margin=1e9).fit(X, np.repeat([1, 2, 3], 14))
    labels = model.predict(X[:3])
    assert labels.tolist() == [-1, -1, -1] and labels.dtype == model.classes_.dtype


def test_sequences_without_symbols_are_unknown(model):
    calls = model.call(["", "NNNN", X[0]])
    assert calls.labels.tolist() == ["unknown", "unknown", "a"]
    assert np.isnan(calls.novelty[:2]).all() and np.isnan(calls.rates[:2]).all() and calls.symbols.tolist()[:2] == [0, 0]


def test_forward_strand_only_tells_the_strands_apart():
    forward = X[:14]
    other = [reverse_complement(one.encode()).decode() for one in forward]
    model = ContextMixtureClassifier(mode="nucleotide", strands="forward").fit(forward + other, ["+"] * 14 + ["-"] * 14)
    assert model.score(forward + other, ["+"] * 14 + ["-"] * 14) == 1


def test_proteins():
    rng = np.random.default_rng(0)
    letters, shares = list("ACDEFGHIKLMNPQRSTVWY"), rng.dirichlet(np.ones(20), 2)
    sequences = ["".join(rng.choice(letters, 80, p=shares[k])) for k in (0, 1) for _ in range(12)]
    model = ContextMixtureClassifier(mode="protein").fit(sequences, ["a"] * 12 + ["b"] * 12)
    assert model.score(sequences, ["a"] * 12 + ["b"] * 12) > 0.9
    with pytest.raises(ValueError, match="nucleotide"):
        model.predict(["ACGT" * 20])


BAD = [
    (X[:14], Y[:14], "one class only"),
    ([*X, ""], [*Y, "a"], "sequence 43 is empty"),
    ([*X, "NNN"], [*Y, "a"], "no letter but N"),
    ([*X, "MKLVWEF"], [*Y, "a"], "protein"),
    (X, Y[:-1], "42 sequences"),
    ([], [], "at least one"),
    ("ACGT", ["a"], "found one sequence"),
    ([1, 2], ["a", "b"], "expected text"),
    (X, [None, *Y[1:]], "no label"),
]


@pytest.mark.parametrize(("sequences", "labels", "message"), BAD, ids=[one[2] for one in BAD])
def test_bad_input_says_what_is_wrong(sequences, labels, message):
    with pytest.raises(ValueError, match=message):
        ContextMixtureClassifier().fit(sequences, labels)


@pytest.mark.parametrize(
    "parameters",
    [{"mode": "rna"}, {"strands": "reverse"}, {"calibration_folds": 1}, {"n_jobs": 0}],
    ids=lambda one: next(iter(one)),
)
def test_bad_parameters_are_told_in_fit(parameters):
    with pytest.raises(ValueError, match=next(iter(parameters)) if "n_jobs" not in parameters else "threads"):
        ContextMixtureClassifier(**parameters).fit(X, Y)


def test_before_fit():
    for method in ("predict", "predict_proba", "decision_function", "call", "code_length", "novelty"):
        with pytest.raises(NotFittedError):
            getattr(ContextMixtureClassifier(), method)(X)


def test_a_class_of_one_sequence_is_learned():
    model = ContextMixtureClassifier(mode="nucleotide").fit([*X, "AC" * 100], [*Y, "alone"])
    assert model.predict(["AC" * 60]).tolist() == ["alone"]


def test_very_few_sequences_are_learned_without_calibration(caplog):
    model = ContextMixtureClassifier(mode="nucleotide").fit([X[0], X[20]], ["a", "b"])
    assert model.predict([X[1], X[21]]).tolist() == ["a", "b"]
    assert "not calibrated" in caplog.text


def test_an_unknown_channel_lists_those_there_are(model):
    with pytest.raises(ValueError, match="this model has"):
        model.code_length(X[:1], channel="protein")
