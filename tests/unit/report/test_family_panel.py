"""The figure of a panel, and what it is drawn from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from clustered_family import clustered_family

from genoseq.errors import InputError
from genoseq.families.alphabet import GAP
from genoseq.families.judging.panel import Panel, Yardstick, make_panel
from genoseq.families.judging.splits import split_family
from genoseq.report.family_panel import draw_panel, letter_heights, project


@pytest.fixture(scope="module")
def judged() -> tuple[Panel, Yardstick, np.ndarray]:
    whole = clustered_family(members=6)
    split = split_family(whole.matrix, identity=0.6)
    yardstick = Yardstick.of(whole.subset(split.train), whole.subset(split.held_out))
    rows = yardstick.train.matrix[:20]
    return make_panel(yardstick, rows, resamples=0), yardstick, rows


def test_heights_of_letters() -> None:
    rows = np.array([[0, 0, GAP], [0, 1, GAP], [0, 0, 5], [0, 1, 5]], np.uint8)
    heights = letter_heights(rows)
    assert heights.shape == (3, 20)
    assert heights[0, 0] == pytest.approx(np.log2(20))
    assert heights[1, 0] == heights[1, 1] == pytest.approx((np.log2(20) - 1) / 2)
    assert heights[2, 5] == pytest.approx(np.log2(20) / 2)
    assert letter_heights(np.full((4, 1), GAP, np.uint8)).sum() == 0


def test_the_plane_of_most_variance() -> None:
    generator = np.random.default_rng(0)
    vectors = (generator.normal(size=(200, 5)) * [9, 3, 0.1, 0.1, 0.1]).astype(np.float32)
    (points, others), share = project(vectors, vectors[:7])
    assert share[0] > 0.8 and share.sum() > 0.99
    assert abs(np.corrcoef(points[:, 0], vectors[:, 0])[0, 1]) > 0.99
    np.testing.assert_allclose(others, points[:7], atol=1e-5)
    flat, share = project(np.ones((4, 3), np.float32))
    assert not flat[0].any() and not share.any()


@pytest.fixture(scope="module")
def plain(judged: tuple[Panel, Yardstick, np.ndarray], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("figure") / "plain.png"
    draw_panel(*judged, path, title="a $family$")
    return path


def test_the_same_panel_gives_the_same_figure(judged: tuple[Panel, Yardstick, np.ndarray], plain: Path, tmp_path: Path) -> None:
    draw_panel(*judged, tmp_path / "again.png", title="a $family$")
    assert (tmp_path / "again.png").read_bytes() == plain.read_bytes()


def test_embeddings_change_the_map_and_must_fit(judged: tuple[Panel, Yardstick, np.ndarray], plain: Path, tmp_path: Path) -> None:
    _, yardstick, rows = judged
    sizes = {"train": len(yardstick.train), "held out": len(yardstick.held_out), "samples": len(rows)}
    vectors = {name: np.random.default_rng(0).normal(size=(number, 6)).astype(np.float32) for name, number in sizes.items()}
    draw_panel(*judged, tmp_path / "own.png", title="a $family$", embeddings=vectors)
    assert (tmp_path / "own.png").read_bytes() != plain.read_bytes()
    with pytest.raises(InputError, match="expected 20"):
        draw_panel(*judged, tmp_path / "bad.png", embeddings={**vectors, "samples": vectors["samples"][:3]})
    with pytest.raises(InputError, match="none embeddings of train"):
        draw_panel(*judged, tmp_path / "bad.png", embeddings={})
    assert not (tmp_path / "bad.png").exists()
