from __future__ import annotations

import random
from pathlib import Path
from typing import Any, Self

import numpy as np
import pytest
from sequence_families import mutated, random_sequence
from sklearn.base import BaseEstimator, ClassifierMixin

from genoseq.classify.evaluation import Interval, SplitResult, evaluate
from genoseq.classify.evaluation_figures import draw_evaluation
from genoseq.classify.sequences import SequenceInputError

FAMILIES, MEMBERS = 24, 8


class ByMark(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Says class 1 of a sequence that holds the mark, so that whole families are right or wrong, in whatever fold."""

    def __init__(self, mode: str = "nucleotide", n_jobs: int = 1) -> None:
        self.mode = mode
        self.n_jobs = n_jobs

    def fit(self, X: Any, y: Any) -> Self:
        self.classes_ = np.unique(y)
        return self

    def predict_proba(self, X: Any) -> np.ndarray[Any, Any]:
        second = np.array(["GATTACAGATTACA" in one for one in X], float)
        return np.stack([1 - second, second], axis=1)


@pytest.fixture(scope="module")
def families() -> tuple[list[str], list[str]]:
    """Families of close relatives; of each class every fourth family bears the other's mark."""
    draw = random.Random(7)
    sequences, labels = [], []
    for number in range(FAMILIES):
        origin = random_sequence(draw, 250)
        label = "ab"[number % 2]
        marked = (label == "b") != (number // 2 % 4 == 0)
        for _ in range(MEMBERS):
            sequences.append(mutated(draw, origin, 0.02) + ("GATTACAGATTACA" if marked else ""))
            labels.append(label)
    return sequences, labels


def test_both_splits_have_intervals_over_homology_groups(families: tuple[list[str], list[str]]) -> None:
    sequences, labels = families
    classes, (at_random, by_homology) = evaluate(ByMark(), sequences, labels, folds=3)  # type: ignore[arg-type]
    assert classes.tolist() == ["a", "b"] and (at_random.split, by_homology.split) == ("random", "homology")
    assert at_random.groups.tolist() == by_homology.groups.tolist() == np.repeat(np.arange(FAMILIES), MEMBERS).tolist()
    # What is predicted does not depend on the training part here, so neither does the interval on the kind of split.
    assert at_random.accuracy == by_homology.accuracy and at_random.macro_f1 == by_homology.macro_f1
    assert at_random.accuracy.value == 0.75
    by_sequence, by_family = (1.96 * np.sqrt(0.75 * 0.25 / n) for n in (FAMILIES * MEMBERS, FAMILIES))
    half = (at_random.accuracy.high - at_random.accuracy.low) / 2
    assert half == pytest.approx(by_family, rel=0.15) and half > 2 * by_sequence
    assert at_random.close > 0.8 and by_homology.close == 0


def test_proteins_have_the_random_split_with_intervals_over_sequences(families: tuple[list[str], list[str]]) -> None:
    sequences, labels = families
    _, results = evaluate(ByMark(mode="protein"), sequences, labels, folds=3)  # type: ignore[arg-type]
    assert [one.split for one in results] == ["random"]
    assert len(set(results[0].groups.tolist())) == len(sequences)


def test_what_cannot_be_split_is_told_before_anything_is_trained(families: tuple[list[str], list[str]]) -> None:
    class Untrained(ByMark):
        def fit(self, X: Any, y: Any) -> Self:
            raise AssertionError("trained")

    sequences, labels = families
    with pytest.raises(SequenceInputError, match=r"there is 1 homology group for 3 folds"):
        evaluate(Untrained(), sequences[:MEMBERS], ["a", "b"] * (MEMBERS // 2), folds=3)  # type: ignore[arg-type]
    with pytest.raises(SequenceInputError, match=r"too few sequences \(8\) for 5 folds"):
        evaluate(Untrained(), sequences[:8], labels[:8], folds=5)  # type: ignore[arg-type]


def result_of(probability: float) -> SplitResult:
    """All sequences right and given this probability."""
    probabilities = np.tile([probability, 1 - probability], (50, 1))
    truth = np.zeros(50, np.int64)
    one = Interval(1.0, 1.0, 1.0)
    return SplitResult("random", truth, truth, probabilities, np.arange(50), one, one, 1 - probability, 0.0, 0.0, 0.0)


def test_bubbles_of_a_reliability_diagram_are_whole_and_their_size_is_explained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from matplotlib.figure import Figure

    drawn: list[Figure] = []
    save = Figure.savefig
    monkeypatch.setattr(Figure, "savefig", lambda figure, *a, **k: (drawn.append(figure), save(figure, *a, **k))[1])
    draw_evaluation(["one", "two"], [result_of(1.0)], tmp_path / "e.png")
    axes = drawn[0].axes[1]
    legend = axes.get_legend()
    assert legend.get_title().get_text() == "share of the sequences"
    assert [text.get_text() for text in legend.get_texts()] == ["1%", "10%", "50%"]
    (bubble,) = [one for one in axes.collections if len(one.get_offsets())]
    assert bubble.get_offsets().tolist() == [[1.0, 1.0]]
    sizes = [handle.get_sizes()[0] for handle in legend.legend_handles] + [bubble.get_sizes()[0]]  # all 50 are in that
    assert np.diff(sizes) / np.diff([0.01, 0.1, 0.5, 1.0]) == pytest.approx(np.full(3, np.diff(sizes)[-1] / 0.5))
    assert sizes[0] < sizes[-1] / 10
    radius = np.sqrt(bubble.get_sizes()[0]) / 2 * drawn[0].dpi / 72
    place = axes.transData.transform([1.0, 1.0])
    assert (place + radius <= axes.get_window_extent().max).all()
