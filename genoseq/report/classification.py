"""Figures about a classifier: confusion matrix, reliability of its probabilities, accuracies of several beside each other."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from genoseq.classify.sequences import SequenceInputError
from genoseq.report.style import INK, clean_axes, new_figure, save_figure

if TYPE_CHECKING:
    pass

__all__ = ["Bar", "draw_accuracies", "draw_confusion", "draw_reliability", "reliability_bins"]

GREY, BLUE, ORANGE = "#777777", "#0072B2", "#D55E00"
LONGEST_LABEL = 28
NUMBERED = 30
"""Most classes whose counts are written into the cells."""
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")


class Bar(NamedTuple):
    """A share with its interval, for :func:`draw_accuracies`."""

    group: str
    name: str
    value: float
    low: float
    high: float


def draw_confusion(counts: ArrayLike, labels: Sequence[str], path: Path, *, title: str = "") -> None:
    """Draw a confusion matrix: shares of each true class as colour, counts as numbers.

    Args:
        counts: ``(C, C)``, rows true, columns predicted.
        labels: C names.
        path: file to write; its ending says the format.
        title: above the figure.

    Raises:
        SequenceInputError: not one row and one column for each label.
    """
    table = np.asarray(counts)
    if table.shape != (len(labels), len(labels)):
        raise SequenceInputError(f"there are {len(labels)} labels and counts of shape {table.shape}")
    share = table / np.maximum(1, table.sum(axis=1, keepdims=True))
    side = min(9.0, max(2.6, 0.42 * len(labels)))
    names = [_short(label) for label in labels]
    margin = 0.55 + 0.07 * max(len(name) for name in names)
    figure = new_figure(side + margin + 1.2, side + margin + 0.6)
    axes = figure.subplots()
    image = axes.imshow(share, cmap="Blues", vmin=0.0, vmax=1.0)
    upright = max(len(name) for name in names) > 4
    axes.set_xticks(range(len(labels)), names, rotation=90 if upright else 0, parse_math=False)
    axes.set_yticks(range(len(labels)), names, parse_math=False)
    axes.tick_params(length=0, labelsize=8, colors=INK)
    axes.set_xlabel("predicted", fontsize=9, color=INK)
    axes.set_ylabel("true", fontsize=9, color=INK)
    if len(labels) <= NUMBERED:
        for row, column in zip(*np.nonzero(table), strict=True):
            colour = "white" if share[row, column] > 0.55 else INK
            axes.text(column, row, f"{table[row, column]:,}", ha="center", va="center", fontsize=7, color=colour)
    for edge in axes.spines.values():
        edge.set_visible(False)
    bar = figure.colorbar(image, ax=axes, shrink=0.8)
    bar.ax.tick_params(labelsize=8, colors=INK)
    bar.set_label("share of the true class", fontsize=8, color=INK)
    right = float(np.trace(table)) / max(1, int(table.sum()))
    note = f"accuracy {right:.3f}, {int(table.sum()):,} sequences"
    axes.set_title(f"{title}\n{note}" if title else note, fontsize=9, loc="left", color=INK, parse_math=False)
    save_figure(figure, path)


def reliability_bins(probability: ArrayLike, right: ArrayLike, *, bins: int = 10) -> NDArray[np.float64]:
    """Counts, summed probabilities and numbers right, ``(bins, 3)``, in bins of equal width of the probability.

    Args:
        probability: ``(N,)``, that of the predicted label, 0 to 1.
        right: ``(N,)``, whether the prediction is right.
        bins: number of bins.

    Raises:
        SequenceInputError: other shapes, or values that are no probabilities.

    >>> reliability_bins([0.95, 0.85, 0.9], [True, False, True], bins=2).round(2).tolist()
    [[0.0, 0.0, 0.0], [3.0, 2.7, 2.0]]
    """
    sure, good = np.asarray(probability, float), np.asarray(right, float)
    if sure.ndim != 1 or sure.shape != good.shape or not len(sure):
        raise SequenceInputError(f"expected one probability and one verdict each, found shapes {sure.shape} and {good.shape}")
    if not ((sure >= 0) & (sure <= 1)).all():
        raise SequenceInputError("probabilities must be from 0 to 1")
    at = np.minimum((sure * bins).astype(int), bins - 1)
    return np.stack([np.bincount(at, weights=w, minlength=bins) for w in (np.ones(len(sure)), sure, good)], axis=1)


def draw_reliability(bins: ArrayLike, path: Path, *, title: str = "") -> None:
    """Draw how often predictions of a given probability are right, with 95 % intervals, and how many there are.

    Args:
        bins: as :func:`reliability_bins` gives them.
        path: file to write; its ending says the format.
        title: above the figure.
    """
    from genoseq.classify.benchmark import wilson

    table = np.asarray(bins, float)
    if table.ndim != 2 or table.shape[1] != 3 or not table[:, 0].any():
        raise SequenceInputError(f"expected bins of count, probability and right, found shape {table.shape}")
    used = table[table[:, 0] > 0]
    count, mean, share = used[:, 0], used[:, 1] / used[:, 0], used[:, 2] / used[:, 0]
    error = float(np.abs(used[:, 1] - used[:, 2]).sum() / count.sum())
    figure = new_figure(3.8, 4.6)
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3.2, 1))
    above.plot([0, 1], [0, 1], color="#bbbbbb", linewidth=1, zorder=0)
    ends = np.array([wilson(round(right), round(n)) for right, n in zip(used[:, 2], count, strict=True)])
    above.errorbar(
        mean, share, yerr=np.abs(ends.T - share), fmt="o-", color=BLUE, markersize=4, linewidth=1.2, elinewidth=0.8, capsize=2
    )
    above.set_ylim(-0.02, 1.02)
    above.set_ylabel("share right", fontsize=9, color=INK)
    note = f"calibration error {error:.3f}, {int(count.sum()):,} sequences"
    above.set_title(f"{title}\n{note}" if title else note, fontsize=9, loc="left", color=INK, parse_math=False)
    width = 1 / len(table)
    below.bar((np.arange(len(table)) + 0.5) * width, table[:, 0], width=0.9 * width, color="#a9c5dd")
    below.set_xlim(0, 1)
    below.set_xlabel("probability given to the predicted label", fontsize=9, color=INK)
    below.set_ylabel("sequences", fontsize=9, color=INK)
    below.locator_params(axis="y", nbins=3)
    for axes in (above, below):
        clean_axes(axes)
    save_figure(figure, path)


def draw_accuracies(bars: Sequence[Bar], path: Path, *, marks: Sequence[Bar] = (), title: str = "") -> None:
    """Draw shares with their intervals as points, one panel for each group and one line for each name.

    Args:
        bars: the shares.
        path: file to write; its ending says the format.
        marks: shares to compare with (published figures), drawn as crosses.
        title: above the figure.
    """
    groups = list(dict.fromkeys(bar.group for bar in bars))
    names = list(dict.fromkeys(bar.name for bar in bars))
    figure = new_figure(2.4 + 1.75 * len(groups), 1.1 + 0.27 * len(names))
    panels = figure.subplots(1, len(groups), sharey=True, squeeze=False)[0]
    for at, (axes, group) in enumerate(zip(panels, groups, strict=True)):
        for bar in (bar for bar in bars if bar.group == group):
            y = names.index(bar.name)
            axes.plot([bar.low, bar.high], [y, y], color=COLOURS[at % len(COLOURS)], linewidth=1.4)
            axes.plot([bar.value], [y], "o", color=COLOURS[at % len(COLOURS)], markersize=4)
        for mark in (mark for mark in marks if mark.group == group):
            axes.plot([mark.value], [names.index(mark.name)], "x", color=INK, markersize=6)
        axes.set_title(group, fontsize=9, loc="left", color=INK, parse_math=False)
        axes.set_ylim(len(names) - 0.5, -0.5)
        lowest = min(bar.low for bar in bars if bar.group == group)
        axes.set_xlim(max(0.0, lowest - 0.03), 1.004 if lowest > 0.7 else None)
        axes.locator_params(axis="x", nbins=4)
        clean_axes(axes, grid="x")
        axes.tick_params(axis="y", length=0)
    panels[0].set_yticks(range(len(names)), names, parse_math=False)
    figure.supxlabel("accuracy, 95 % interval" + ("; x: published" if marks else ""), fontsize=8, color=INK)
    if title:
        figure.suptitle(title, fontsize=10, x=0.01, ha="left", color=INK, parse_math=False)
    save_figure(figure, path)


def _short(label: str) -> str:
    return label if len(label) <= LONGEST_LABEL else f"{label[: LONGEST_LABEL - 1]}…"
