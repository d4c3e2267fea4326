from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread

from genoseq.classify.distances import DistanceMatrix
from genoseq.classify.sequences import SequenceInputError
from genoseq.classify.trees import Node, midpoint_rooted, neighbour_joining, upgma
from genoseq.report.classification import Bar, draw_accuracies, draw_confusion, draw_reliability, reliability_bins
from genoseq.report.distance_tree import draw_distance_tree


def matrix(count: int, *, prefix: str = "item") -> DistanceMatrix:
    rng = np.random.default_rng(count)
    values = np.triu(rng.random((count, count)), 1)
    return DistanceMatrix(tuple(f"{prefix}_{at}" for at in range(count)), values + values.T, "random")


def drawn(path: Path) -> None:
    """A picture with something on it."""
    picture = imread(path)
    assert picture.shape[0] > 100 and picture.shape[1] > 100
    assert np.unique(picture[..., :3].reshape(-1, 3), axis=0).shape[0] > 5


@pytest.mark.parametrize("count", [2, 12, 125])
def test_trees_of_any_size_are_drawn(count: int, tmp_path: Path) -> None:
    made = matrix(count, prefix="a name of some length $x^2$ and more of it")
    draw_distance_tree(made, midpoint_rooted(neighbour_joining(made)), tmp_path / "nj.png")
    drawn(tmp_path / "nj.png")


def test_equal_items_are_drawn_too(tmp_path: Path) -> None:
    made = DistanceMatrix(tuple("abcd"), np.zeros((4, 4)))
    draw_distance_tree(made, upgma(made), tmp_path / "t.png")
    drawn(tmp_path / "t.png")


def test_the_same_figure_has_the_same_bytes(tmp_path: Path) -> None:
    made = matrix(4)
    for form in ("png", "pdf"):
        for name in ("one", "two"):
            draw_distance_tree(made, upgma(made), tmp_path / name, form=form, title="with a title")
        assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_a_tree_of_other_leaves_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SequenceInputError, match="leaves of the tree are not the names"):
        draw_distance_tree(matrix(2), Node(children=(Node("x"), Node("y"))), tmp_path / "t.png")
    assert not (tmp_path / "t.png").exists()


def test_confusion_matrices_are_drawn(tmp_path: Path) -> None:
    draw_confusion([[8, 2], [0, 5]], ["a", "b"], tmp_path / "c.png", title="two")
    drawn(tmp_path / "c.png")
    rng = np.random.default_rng(0)
    draw_confusion(rng.integers(0, 9, (32, 32)), [f"a long label $ {at}" for at in range(32)], tmp_path / "d.png")
    drawn(tmp_path / "d.png")
    draw_confusion(np.zeros((2, 2), int), ["a", "b"], tmp_path / "e.png")
    with pytest.raises(SequenceInputError, match="2 labels and counts of shape"):
        draw_confusion([[1]], ["a", "b"], tmp_path / "f.png")


def test_reliability_is_drawn_and_binned(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    sure = rng.random(2000)
    right = rng.random(2000) < sure
    bins = reliability_bins(sure, right)
    assert bins[:, 0].sum() == 2000 and bins[:, 1].sum() == pytest.approx(sure.sum()) and bins[:, 2].sum() == right.sum()
    assert np.abs(bins[:, 1] - bins[:, 2]).sum() / 2000 < 0.05
    assert reliability_bins([0.0, 1.0], [0, 1])[[0, 9], 0].tolist() == [1, 1]
    draw_reliability(bins, tmp_path / "r.png", title="calibrated")
    drawn(tmp_path / "r.png")
    for wrong in ([[0, 0, 0]], [[1, 2]]):
        with pytest.raises(SequenceInputError, match="expected bins"):
            draw_reliability(wrong, tmp_path / "x.png")
    with pytest.raises(SequenceInputError, match="from 0 to 1"):
        reliability_bins([1.2], [1])
    with pytest.raises(SequenceInputError, match="one verdict each"):
        reliability_bins([0.2, 0.3], [1])


def test_accuracies_are_drawn_beside_published_ones(tmp_path: Path) -> None:
    bars = [Bar(g, n, 0.9, 0.85, 0.95) for g in ("A", "O") for n in ("one", "two")]
    draw_accuracies(bars, tmp_path / "a.png", marks=[Bar("O", "one", 0.962, 0.962, 0.962)], title="t")
    drawn(tmp_path / "a.png")
