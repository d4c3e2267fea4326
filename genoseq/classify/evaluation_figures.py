"""Figures of an evaluation and of windows along contigs; drawn to files, nothing is shown."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from genoseq.classify.evaluation import SplitResult, reliability
from genoseq.errors import UsageError
from genoseq.outputs import whole_file

__all__ = ["FIGURE_FORMATS", "Window", "check_figure_name", "draw_evaluation", "draw_windows"]

FIGURE_FORMATS = ("png", "pdf", "svg")
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#F0E442", "#7F7F7F", "#000000")
UNKNOWN_COLOUR = "#DDDDDD"
INK = "#444444"
BUBBLES = (0.01, 0.1, 0.5)  # shares of the sequences whose bubbles the legend shows
MARGIN = 0.06  # of the axes of a reliability diagram, beyond 0 and 1
MOST_LABELS, MOST_CONTIGS = 30, 40
FONT = 8


class Window(NamedTuple):
    """What was said of one window of a contig, 0-based and half-open."""

    contig: str
    start: int
    end: int
    label: str


def check_figure_name(path: str | None) -> None:
    """Refuse a name whose format is not known.

    Raises:
        UsageError: lists those that are.
    """
    if path is not None and Path(path).suffix.lower().lstrip(".") not in FIGURE_FORMATS:
        raise UsageError(f"{path}: end the name in .png, .pdf or .svg")


def draw_evaluation(classes: Sequence[str], results: Sequence[SplitResult], path: str | Path) -> None:
    """For each split a confusion matrix, and a reliability diagram whose bubbles say how many sequences they stand for."""
    from matplotlib.figure import Figure

    size = min(4.6, 2.6 + 0.25 * len(classes))
    figure = Figure(figsize=(size + 4.2, size * len(results) + 0.2), layout="constrained")
    axes = figure.subplots(len(results), 2, squeeze=False, width_ratios=(size, 3.4))
    for (left, right), result in zip(axes, results, strict=True):
        _draw_confusion(left, classes, result)
        _draw_reliability(right, result)
    _save(figure, path)


def _draw_confusion(axes: Any, classes: Sequence[str], result: SplitResult) -> None:
    k = len(classes)
    table = np.bincount(result.truth * k + result.predicted, minlength=k * k).reshape(k, k)
    share = table / np.maximum(table.sum(axis=1, keepdims=True), 1)
    axes.imshow(share, cmap="Blues", vmin=0, vmax=1, aspect="equal")
    axes.set_title(f"{result.split} split: accuracy {result.accuracy}", fontsize=FONT + 1, loc="left")
    axes.set_xlabel("predicted", fontsize=FONT, color=INK)
    axes.set_ylabel("true", fontsize=FONT, color=INK)
    if k <= MOST_LABELS:
        axes.set_xticks(range(k), [_plain(name) for name in classes], fontsize=FONT, rotation=90 if k > 8 else 0)
        axes.set_yticks(range(k), [_plain(name) for name in classes], fontsize=FONT)
    if k <= 12:
        for i in range(k):
            for j in range(k):
                if table[i, j]:
                    colour = "white" if share[i, j] > 0.55 else INK
                    axes.text(j, i, f"{table[i, j]}", ha="center", va="center", fontsize=FONT - 1, color=colour)


def _draw_reliability(axes: Any, result: SplitResult) -> None:
    table = reliability(result.probabilities, result.truth)
    used = table[:, 0] > 0
    axes.plot([0, 1], [0, 1], color="0.7", linewidth=1)
    axes.scatter(table[used, 1], table[used, 2], s=_bubble(table[used, 0] / len(result.truth)), color=COLOURS[0], zorder=3)
    axes.plot(table[used, 1], table[used, 2], color=COLOURS[0], linewidth=1)
    for share in BUBBLES:
        axes.scatter([], [], s=_bubble(share), color=COLOURS[0], label=f"{share:.0%}")
    # Above the diagonal: below it stand the classifiers that are too sure, which are more.
    axes.legend(
        title="share of the sequences", title_fontsize=FONT - 1, fontsize=FONT - 1, labelcolor=INK,
        loc="upper left", frameon=False, labelspacing=1, borderpad=0.6,
    )  # fmt: skip
    axes.set(xlim=(-MARGIN, 1 + MARGIN), ylim=(-MARGIN, 1 + MARGIN))  # bubbles at 0 and 1 are whole
    axes.set_title(f"calibration error {result.calibration_error:.3f}", fontsize=FONT + 1, loc="left")
    axes.set_xlabel("probability given", fontsize=FONT, color=INK)
    axes.set_ylabel("share that is right", fontsize=FONT, color=INK)
    axes.tick_params(labelsize=FONT)
    axes.spines[["top", "right"]].set_visible(False)


def _bubble(share: Any) -> Any:
    """Size of a bubble, in square points, for a share of the sequences; the fewest can still be seen."""
    return 12 + 200 * share


def draw_windows(windows: Sequence[Window], path: str | Path, *, unknown: str) -> None:
    """Contigs as bars, longest first, each window in the colour of its label."""
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    contigs: dict[str, list[Window]] = {}
    for window in windows:
        contigs.setdefault(window.contig, []).append(window)
    shown = sorted(contigs, key=lambda name: (-max(one.end for one in contigs[name]), name))[:MOST_CONTIGS]
    spans: dict[str, int] = {}
    for window in windows:
        spans[window.label] = spans.get(window.label, 0) + window.end - window.start
    ranked = sorted((one for one in spans if one != unknown), key=lambda one: (-spans[one], one))
    colour = {label: COLOURS[min(i, len(COLOURS) - 1)] for i, label in enumerate(ranked)} | {unknown: UNKNOWN_COLOUR}
    figure = Figure(figsize=(9, 0.9 + 0.32 * max(len(shown), 1)), layout="constrained")
    axes = figure.subplots()
    for row, name in enumerate(shown):
        own = contigs[name]
        bars = [(one.start / 1000, (one.end - one.start) / 1000) for one in own]
        axes.broken_barh(bars, (row - 0.38, 0.76), facecolors=[colour[one.label] for one in own], linewidth=0)
    axes.set_yticks(range(len(shown)), [_plain(name) for name in shown], fontsize=FONT)
    axes.set_ylim(len(shown) - 0.5, -0.5)
    axes.set_xlim(left=0)
    axes.set_xlabel("position (kb)", fontsize=FONT, color=INK)
    axes.tick_params(labelsize=FONT)
    axes.spines[["top", "right", "left"]].set_visible(False)
    listed = [*ranked[: len(COLOURS)], *([unknown] if unknown in spans else [])]
    handles = [Patch(color=colour[label], label=f"{_plain(label)} ({_share(spans, label):.0%})") for label in listed]
    figure.legend(handles=handles, loc="outside upper left", ncols=4, fontsize=FONT, frameon=False)
    if len(contigs) > len(shown):
        figure.supxlabel(f"the {len(shown)} longest of {len(contigs):,} contigs", fontsize=FONT, color=INK)
    _save(figure, path)


def _share(spans: dict[str, int], label: str) -> float:
    return spans[label] / max(sum(spans.values()), 1)


def _plain(text: Any) -> str:
    """Short, and ``$`` would start a formula."""
    name = str(text)
    return (name if len(name) <= 24 else f"{name[:21]}...").replace("$", r"\$")


def _save(figure: Any, path: str | Path) -> None:
    suffix = Path(path).suffix.lower().lstrip(".")
    undated: dict[str, dict[str, NDArray[Any] | None]] = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}
    with whole_file(path) as temporary:
        figure.savefig(temporary, format=suffix, dpi=150, metadata=undated.get(suffix))
