"""The heat map of single variants: formats, sizes, what it refuses, and that it does not change its input."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from genoseq.errors import UsageError
from genoseq.families.alphabet import AMINO_ACIDS
from genoseq.report.mutant_heatmap import ROWS, check_figure_name, draw_heatmap


def test_all_letters_have_a_row():
    assert sorted(ROWS) == sorted(AMINO_ACIDS)


@pytest.mark.parametrize(("form", "magic"), [("png", b"\x89PNG"), ("pdf", b"%PDF"), ("svg", b"<?xml")])
def test_formats(tmp_path: Path, form, magic):
    wild = "MKTAYIAKQR"
    scores = np.random.default_rng(0).normal(size=(10, 20))
    scores[3] = np.nan
    before = scores.copy()
    path = tmp_path / f"map.{form}"
    draw_heatmap(scores, wild, path, letters=AMINO_ACIDS, start=23, title="a $b", form=check_figure_name(str(path)))
    assert path.read_bytes().startswith(magic)
    np.testing.assert_array_equal(scores, before)
    if form == "svg":
        text = path.read_text()
        assert "<!-- 24 -->" in text and "<!-- 30 -->" in text  # residues are numbered in the protein
        assert "<!-- a $b -->" in text or r"a \$b" in text


def height(path: Path) -> int:
    return int.from_bytes(path.read_bytes()[20:24], "big")


def test_long_proteins_get_more_rows_and_stay_bounded(tmp_path: Path):
    sizes = []
    for length in (90, 250, 1500):
        path = tmp_path / f"{length}.png"
        draw_heatmap(np.zeros((length, 20)), "A" * length, path, letters=AMINO_ACIDS)
        sizes.append(height(path))
    assert sizes[0] < sizes[1] < sizes[2] < 6000


def test_names_and_shapes_are_checked(tmp_path: Path):
    with pytest.raises(UsageError, match=r"--figure map.gif: end the name in .png, .pdf or .svg"):
        check_figure_name("map.gif")
    with pytest.raises(ValueError, match="for 4 residues"):
        draw_heatmap(np.zeros((3, 20)), "ACDE", tmp_path / "x.png", letters=AMINO_ACIDS)
