"""Figures of a benchmark on assays: bars with intervals for a few assays, dots for many; and the course of a search."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from genoseq.families.assays.benchmark import Result
    from genoseq.families.evolution.extrapolate import Evolved

__all__ = ["draw_benchmark", "draw_trajectory"]

INK, GREY, PALE = "#333333", "#8a8a8a", "#e3e3e3"
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7a5195", "#4d4d4d")
FEW = 8
"""Assays up to which they are bars."""
MANY = 40
"""Assays up to which each has its intervals."""
MEAN = "mean over types"


def draw_benchmark(results: Sequence[Result], metric: str, path: Path, *, form: str = "png", title: str = "") -> None:
    """One metric of all scorers, a row an assay and one for the mean, with 95 % intervals.

    Args:
        results: of :func:`genoseq.families.assays.benchmark.benchmark`.
        metric: which of its metrics.
        path: where to.
        form: png, pdf or svg.
        title: above the figure.

    Assays are ordered by the mean of the scorers. Up to eight are bars; more are dots; of more than 40, all scorers stand
    on one line and only the means have intervals.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows = {(one.assay, one.scorer): one for one in results if one.level == "assay" and one.metric == metric}
    scorers = list(dict.fromkeys(name for _, name in rows))
    assays = list(dict.fromkeys(name for name, _ in rows))
    values = {name: [rows[name, one].value for one in scorers if not np.isnan(rows[name, one].value)] for name in assays}
    assays.sort(key=lambda name: -float(np.mean(values[name])) if values[name] else np.inf)
    if len(assays) > 1:
        rows |= {(MEAN, one.scorer): one for one in results if one.level == "all" and one.metric == metric}
        assays.append(MEAN)
    bars, dense = len(assays) <= FEW + 1, len(assays) > MANY + 1
    step = 0.15 if dense else max(0.17 * len(scorers) + 0.16, 0.4) if bars else max(0.3, 0.09 * len(scorers) + 0.1)
    figure = Figure(figsize=(7.4, 1.3 + step * len(assays)), layout="constrained")
    FigureCanvasAgg(figure)
    axis = figure.subplots()
    width = 0.8 / len(scorers)
    for number, scorer in enumerate(scorers):
        colour = COLOURS[number % len(COLOURS)]
        shown = [(place, rows[name, scorer]) for place, name in enumerate(assays) if (name, scorer) in rows]
        shown = [(place, one) for place, one in shown if not np.isnan(one.value)]
        heights = np.array([place for place, _ in shown]) + (0 if dense else (number - (len(scorers) - 1) / 2) * width)
        middle = np.array([one.value for _, one in shown])
        if bars:
            axis.barh(heights, middle, 0.9 * width, color=colour, label=scorer)
        else:
            axis.scatter(middle, heights, s=14, color=colour, label=scorer, zorder=3)
        for height, (_, one) in zip(heights, shown, strict=True):
            if not np.isnan(one.low) and (not dense or one.level == "all"):
                axis.plot([one.low, one.high], [height, height], color=INK if bars else colour, linewidth=1.1, zorder=4)
    axis.set_yticks(range(len(assays)), [name.replace("$", r"\$") for name in assays], fontsize=5.5 if dense else 7.5)
    axis.set_ylim(len(assays) - 0.5, -0.5)
    if assays[-1] == MEAN:
        axis.axhline(len(assays) - 1.5, color=GREY, linewidth=0.8)
        axis.get_yticklabels()[-1].set_fontweight("bold")
    axis.axvline(0.5 if metric == "auc" else 0.0, color=INK, linewidth=0.8)
    if metric == "auc":
        axis.set_xlim(left=min(0.45, *(one.value for one in rows.values() if not np.isnan(one.value))))
    axis.set_xlabel(f"{metric} (95 % interval)", fontsize=8, color=INK)
    _plain(axis)
    figure.legend(
        loc="outside lower center",
        ncols=-(-len(scorers) // -(-len(scorers) // 5)),
        fontsize=7.5,
        frameon=False,
        handlelength=1.2,
        columnspacing=1.4,
    )
    if title:
        figure.suptitle(title.replace("$", r"\$"), x=0.01, ha="left", fontsize=10, fontweight="bold")
    figure.savefig(path, format=form, dpi=150)


def draw_trajectory(found: Evolved, path: Path, *, form: str = "png", title: str = "", unit: str = "score") -> None:
    """Scores of all sequences of a search in the order of scoring, coloured by mutations; the best so far as a line.

    Args:
        found: of :func:`genoseq.families.evolution.extrapolate.evolve`.
        path: where to.
        form: png, pdf or svg.
        title: above the figure.
        unit: of the scores.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    scored = [one for one in found.candidates if not np.isnan(one.score)]
    calls = np.array([one.call for one in scored])
    scores = np.array([one.score for one in scored])
    mutations = np.array([len(one.variant) for one in scored])
    figure = Figure(figsize=(7.4, 4.0), layout="constrained")
    FigureCanvasAgg(figure)
    axis = figure.subplots()
    axis.axhline(scores[0], color=GREY, linewidth=0.8, linestyle="--", label="wild type")
    dots = axis.scatter(calls, scores, c=mutations, cmap="viridis", s=9, linewidths=0)
    axis.plot(calls, np.maximum.accumulate(scores), color="#D55E00", linewidth=1.4, label="best so far")
    axis.set_xlabel("sequences scored", fontsize=8, color=INK)
    axis.set_ylabel(unit, fontsize=8, color=INK)
    bar = figure.colorbar(dots, ax=axis, pad=0.01)
    bar.set_label("mutations", fontsize=8, color=INK)
    bar.ax.tick_params(labelsize=7, colors=INK)
    bar.locator = MaxNLocator(integer=True)
    bar.outline.set_visible(False)
    _plain(axis, grid="y")
    axis.legend(fontsize=7.5, frameon=False, loc="lower right")
    if title:
        figure.suptitle(title.replace("$", r"\$"), x=0.01, ha="left", fontsize=10, fontweight="bold")
    figure.savefig(path, format=form, dpi=150)


def _plain(axis: Axes, grid: str = "x") -> None:
    axis.tick_params(labelsize=7.5, colors=INK, length=2)
    axis.set_axisbelow(True)
    axis.grid(axis=grid, color=PALE, linewidth=0.7)  # type: ignore[arg-type]
    for side in ("top", "right", "left"):
        axis.spines[side].set_visible(False)
