from __future__ import annotations

import dataclasses
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from genoseq.evaluate.figures import draw_accuracy, draw_all, draw_error_curves
from genoseq.evaluate.judge import CurvePoint
from genoseq.evaluate.report import Result


@pytest.fixture
def many(make_row: Callable[..., Result]) -> list[Result]:
    return [
        make_row(tool, name, correct=correct - cost, wrong=20, divergence=divergence)
        for tool, cost in (("genoseq", 0), ("bwa", 30), ("bwa-k10", 50), ("last", 5))
        for name, divergence, correct in (("edits-1", 0.01, 950), ("edits-20", 0.2, 700))
    ]


def test_all_figures_are_drawn_for_single_reads_and_pairs(
    many: list[Result], results: list[Result], tmp_path: Path
) -> None:
    draw_all([*many, *results], tmp_path / "figures")
    found = {path.name for path in (tmp_path / "figures").iterdir()}
    assert found == {
        "accuracy.png",
        "speed.png",
        "memory.png",
        *(f"errors_{name}.png" for name in ("edits-1", "edits-20", "a", "pairs")),
    }
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in (tmp_path / "figures").iterdir())


@pytest.mark.parametrize("suffix", [".svg", ".pdf"])
def test_an_svg_holds_the_names_of_the_tools_and_no_time(many: list[Result], tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    draw_accuracy(many, path)
    assert path.stat().st_size > 5000
    assert b"<dc:date>" not in path.read_bytes()
    assert b"CreationDate" not in path.read_bytes()


def test_pairs_alone_can_be_drawn(results: list[Result], tmp_path: Path) -> None:
    draw_all(results[2:], tmp_path)
    assert (tmp_path / "speed.png").exists()


def lines_of(figure: Figure) -> dict[str, Line2D]:
    """The lines of the first panel, by label."""
    return {str(line.get_label()): line for line in figure.axes[0].get_lines()}


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """The figures that are drawn from now on."""
    figures: list[Figure] = []
    save = Figure.savefig

    def savefig(figure: Figure, *args: object, **options: object) -> None:
        figures.append(figure)
        save(figure, *args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(Figure, "savefig", savefig)
    return figures


def test_genoseq_is_drawn_above_the_others(many: list[Result], drawn: list[Figure], tmp_path: Path) -> None:
    draw_accuracy(many, tmp_path / "a.png")
    above = {label: line.get_zorder() for label, line in lines_of(drawn[0]).items()}
    assert max(above, key=lambda label: above[label]) == "genoseq align"


def test_a_tool_that_places_hardly_any_read_has_no_line_and_the_legend_says_so(
    many: list[Result], make_row: Callable[..., Result], drawn: list[Figure], tmp_path: Path
) -> None:
    few = dataclasses.replace(
        make_row("bowtie2", "edits-20", correct=100, wrong=2, divergence=0.2), curve=(CurvePoint(40, 5, 0),)
    )
    draw_error_curves([*many, few], tmp_path / "a.png", read_set="edits-20")
    lines = lines_of(drawn[0])
    assert len(lines["bowtie2 (places under 1 %)"].get_xdata()) == 0  # type: ignore[arg-type]
    assert len(lines["genoseq align"].get_xdata()) > 1  # type: ignore[arg-type]
    assert [axes.get_title("left") for axes in drawn[0].axes] == [
        "Wrong by MAPQ, 20 % edits", "Placed by error, 20 % edits",
    ]  # fmt: skip


def test_labels_of_an_axis_of_errors_do_not_run_into_each_other(many: list[Result], drawn: list[Figure], tmp_path: Path) -> None:
    for reads in (1000, 10_000, 20_000, 1_000_000):
        rows = [dataclasses.replace(row, reads=reads) for row in many]
        draw_error_curves(rows, tmp_path / "a.png", read_set="edits-20")
        figure = drawn[-1]
        boxes = [label.get_window_extent() for label in figure.axes[1].get_xticklabels() if label.get_text()]
        low, high = figure.axes[1].bbox.x0, figure.axes[1].bbox.x1
        inside = sorted((box for box in boxes if low - 20 < (box.x0 + box.x1) / 2 < high + 20), key=lambda box: box.x0)
        assert len(inside) >= 3
        assert all(left.x1 < right.x0 for left, right in pairwise(inside))
