from __future__ import annotations

import numpy as np
import pytest

from genoseq.classify.neighbours import accuracy_bounds, decide, votes


def test_ties_at_the_last_place_share_it_equally() -> None:
    distances = np.array([[0.1, 0.3, 0.3, 0.3, 0.9]])
    found = votes(distances, np.array([0, 1, 1, 2, 0]), 3, k=2)
    assert found.share == pytest.approx(np.array([[1 / 2, 1 / 3, 1 / 6]]))
    assert found.distance[0] == pytest.approx([0.1, 0.3, 0.3])
    assert found.nearest.tolist() == [0.1]


def test_the_first_of_equals_votes_alone_where_that_is_asked() -> None:
    distances = np.array([[0.3, 0.3, 0.1]])
    assert votes(distances, np.array([1, 0, 1]), 2, k=1, first=True).share.tolist() == [[0.0, 1.0]]
    assert votes(distances, np.array([1, 0, 1]), 2, k=2, first=True).share.tolist() == [[0.0, 1.0]]


def test_labels_do_not_depend_on_the_order_of_the_training_set() -> None:
    rng = np.random.default_rng(4)
    distances = rng.integers(0, 4, (200, 30)) / 4
    codes = rng.integers(0, 5, 30)
    sizes = np.bincount(codes, minlength=5)
    for k in (1, 2, 3, 7):
        plain = decide(votes(distances, codes, 5, k=k), sizes)
        order = rng.permutation(30)
        assert (decide(votes(distances[:, order], codes[order], 5, k=k), sizes) == plain).all()


def test_equal_votes_go_to_the_nearer_class_then_the_larger_then_the_first() -> None:
    nearer = votes(np.array([[0.2, 0.1]]), np.array([0, 1]), 2, k=2)
    assert decide(nearer, np.array([1, 1])).tolist() == [1]
    equal = votes(np.array([[0.1, 0.1, 0.5]]), np.array([0, 1, 1]), 2, k=1)
    assert decide(equal, np.array([1, 2])).tolist() == [1]
    assert decide(equal, np.array([2, 2])).tolist() == [0]


def test_two_neighbours_with_ties_counted_right_are_top_two_accuracy() -> None:
    rng = np.random.default_rng(8)
    distances = rng.random((300, 40))
    codes = rng.integers(0, 6, 40)
    truth = rng.integers(0, 6, 300)
    two = votes(distances, codes, 6, k=2)
    top_two = np.mean([label in codes[np.argsort(row)[:2]] for row, label in zip(distances, truth, strict=True)])
    bounds = accuracy_bounds(two, truth)
    mine = np.mean(decide(two, np.bincount(codes, minlength=6)) == truth)
    assert bounds.highest == pytest.approx(top_two)
    nearest = np.mean(codes[distances.argmin(1)] == truth)
    assert mine == pytest.approx(nearest)  # two that differ say no more than the nearer one
    assert bounds.lowest <= mine < bounds.highest


def test_more_neighbours_than_there_are_is_all_of_them() -> None:
    found = votes(np.array([[0.1, 0.2, 0.3]]), np.array([0, 1, 1]), 2, k=9)
    assert found.share[0] == pytest.approx([1 / 3, 2 / 3])


def test_those_that_are_no_candidates_do_not_vote() -> None:
    found = votes(np.array([[np.inf, 0.5, np.inf]]), np.array([0, 1, 0]), 2)
    assert found.share.tolist() == [[0.0, 1.0]]
    assert found.distance.tolist() == [[np.inf, 0.5]]
