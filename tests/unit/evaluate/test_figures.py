from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from genoseq.evaluate.figures import draw_accuracy, draw_all
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
