"""Figures of a mapper comparison: accuracy against divergence, error against mapping quality, speed, memory.

Each function draws to one file (the suffix says the format: .png, .svg, .pdf) and returns nothing. Colours are of
Okabe and Ito, tell the tools apart without colour vision, and mean the same tool in every figure: one colour per
program, line style and marker per setting.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from genoseq.evaluate.report import Result
from genoseq.outputs import whole_file

__all__ = ["draw_accuracy", "draw_all", "draw_error_curves", "draw_memory", "draw_speed"]

COLOURS = {
    "genoseq": "#D55E00",
    "minimap2": "#0072B2",
    "bwa": "#009E73",
    "bowtie2": "#CC79A7",
    "last": "#000000",
}
OTHER = "#7F7F7F"
HARDLY = 0.01
"""Share of reads placed below which a curve would be invisible."""
CLEAR_ABOVE, CLEAR_BESIDE = 3, 8
"""Least ratio of a tick to the one for no error, so that their labels stand apart: one above, one beside the other."""
MOST_TICKS = 5
"""Ticks on an axis of errors at most, besides the one for no error."""
STYLES = (("-", "o"), ("--", "s"), (":", "^"), ("-.", "D"))
FONT = 8


class _Style(NamedTuple):
    colour: str
    line: str
    marker: str
    width: float
    above: float
    """Order of drawing: genoseq's lines last, so that those of others that run along them do not hide them."""


def _styles(results: Sequence[Result]) -> dict[str, _Style]:
    """Style of each tool, in the order of the results."""
    used: dict[str, int] = {}
    styles: dict[str, _Style] = {}
    for tool in dict.fromkeys(result.tool for result in results):
        family = tool.split("-")[0]
        rank = used.get(family, 0)
        used[family] = rank + 1
        line, marker = STYLES[rank % len(STYLES)]
        own = family == "genoseq"
        styles[tool] = _Style(COLOURS.get(family, OTHER), line, marker, 2.0 if own else 1.2, (4.0 if own else 3.0) - 0.1 * rank)
    return styles


@contextmanager
def _figure(path: Path, width: float, height: float) -> Iterator[Figure]:
    figure = Figure(figsize=(width, height), layout="constrained")
    yield figure
    with whole_file(path) as temporary:
        figure.savefig(temporary, format=path.suffix.lstrip("."), dpi=200, metadata=_undated(path.suffix))


def _undated(suffix: str) -> dict[str, None] | None:
    """Metadata that keep the time out of the file, so that the same results give the same bytes."""
    return {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}.get(suffix)


def _clean(axes: Axes, *, title: str, x: str, y: str, grid: str = "both") -> None:
    axes.set_title(title, fontsize=FONT + 1, loc="left")
    axes.set_xlabel(x, fontsize=FONT)
    axes.set_ylabel(y, fontsize=FONT)
    axes.tick_params(labelsize=FONT)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(True, axis=grid, color="0.9", linewidth=0.6)  # type: ignore[arg-type]
    axes.set_axisbelow(True)


def _legend(figure: Figure, axes: Axes) -> None:
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside right center", frameon=False, fontsize=FONT, handlelength=2.8)


def _described(results: Sequence[Result], read_set: str) -> str:
    """What the reads of a set are, for a title; its name if they are several things."""
    kinds = {(100 * row.divergence, row.paired) for row in results if row.read_set == read_set}
    if len(kinds) != 1:
        return read_set
    ((edits, paired),) = kinds
    return f"{'pairs, ' if paired else ''}{edits:.3g} % edits"


def draw_accuracy(results: Sequence[Result], path: Path) -> None:
    """Correct and wrong reads (%) against divergence (%), single reads."""
    single = [result for result in results if not result.paired]
    with _figure(path, 7.6, 3.2) as figure:
        left, right = figure.subplots(1, 2)
        for tool, style in _styles(results).items():
            rows = sorted((r for r in single if r.tool == tool), key=lambda r: r.divergence)
            if not rows:
                continue
            x = [100 * row.divergence for row in rows]
            for axes, counts in ((left, [row.correct for row in rows]), (right, [row.wrong for row in rows])):
                axes.plot(
                    x,
                    [100 * count / row.reads for count, row in zip(counts, rows, strict=True)],
                    color=style.colour,
                    linestyle=style.line,
                    marker=style.marker,
                    markersize=3.5,
                    linewidth=style.width,
                    zorder=style.above,
                    label=rows[0].label,
                )
        _clean(left, title="Correct", x="edits, % of bases", y="reads, %")
        _clean(right, title="Wrong", x="edits, % of bases", y="reads, %")
        left.set_ylim(0, 101)
        right.set_yscale("symlog", linthresh=1)  # most tools lie at some percent; one may send half of the reads astray
        right.set_ylim(0, 101)
        right.yaxis.set_major_locator(FixedLocator([0, 1, 2, 5, 10, 20, 50, 100]))
        right.yaxis.set_minor_locator(NullLocator())
        right.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:g}"))
        for axes in (left, right):
            axes.set_xlim(left=0)
            axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        _legend(figure, left)


def draw_error_curves(results: Sequence[Result], path: Path, *, read_set: str) -> None:
    """Cumulative error of one read set: against the lowest mapping quality accepted, and reads placed against error.

    A point without a wrong read stands at the lower edge, half of one read in all reads. A tool that places hardly any has no
    line, and the legend says so.
    """
    rows = [result for result in results if result.read_set == read_set and result.curve]
    with _figure(path, 7.6, 3.2) as figure:
        left, right = figure.subplots(1, 2)
        floor = min((0.5 / row.reads for row in rows), default=1e-6)
        styles = _styles(results)
        for row in rows:
            style = styles[row.tool]
            if row.curve[-1].placed < HARDLY * row.reads:
                left.plot([], [], color=style.colour, label=f"{row.label} (places under {100 * HARDLY:g} %)")
                continue
            error = [max(point.error, floor) for point in row.curve]
            quality = [point.quality for point in row.curve]
            placed = [100 * point.placed / row.reads for point in row.curve]
            look = {
                "color": style.colour,
                "linestyle": style.line,
                "linewidth": style.width,
                "zorder": style.above,
                "label": row.label,
            }
            left.step(quality[::-1], error[::-1], where="pre", **look)
            right.plot(error, placed, marker=style.marker, markersize=2.2, **look)
        of = _described(rows, read_set)
        _clean(left, title=f"Wrong by MAPQ, {of}", x="MAPQ at least", y="share of wrong reads")
        _clean(right, title=f"Placed by error, {of}", x="share of wrong reads", y="reads placed, %")
        left.set_yscale("log")
        right.set_xscale("log")
        for axis, apart in ((left.yaxis, CLEAR_ABOVE), (right.xaxis, CLEAR_BESIDE)):
            decades = [10.0**power for power in range(-7, 1) if 10.0**power > apart * floor]
            every = -(-len(decades) // MOST_TICKS)
            axis.set_major_locator(FixedLocator([floor, *decades[::-1][::every]]))
            axis.set_minor_locator(NullLocator())
            axis.set_major_formatter(
                FuncFormatter(lambda share, _: "none" if share < 1.5 * floor else f"{100 * share:g} %")
            )
        worst = max((point.error for row in rows for point in row.curve), default=0.0)
        highest = min(1.0, 10.0 ** math.ceil(math.log10(max(worst, 2 * floor))))
        left.set_ylim(floor * 0.7, highest)
        right.set_xlim(floor * 0.7, highest)
        left.set_xlim(left=0)
        right.set_ylim(0, 101)
        _legend(figure, left)


def _bars(axes: Axes, tools: Sequence[str], values: dict[str, float], styles: dict[str, _Style]) -> None:
    """Horizontal bars with their numbers, first tool on top; tools without a value get none."""
    for place, tool in enumerate(tools):
        if tool in values:
            axes.barh(place, values[tool], color=styles[tool].colour, height=0.7)
            axes.annotate(
                _number(values[tool], 0),
                (values[tool], place),
                xytext=(3, 0),
                textcoords="offset points",
                va="center",
                fontsize=FONT - 1,
            )
    axes.set_ylim(len(tools) - 0.5, -0.5)


def _number(value: float, _: object) -> str:
    """A number for a bar or an axis: whole from 10 up, two digits below."""
    return f"{value:,.0f}" if value >= 10 else f"{value:.2g}"


def _name_bars(axes: Axes, results: Sequence[Result], tools: Sequence[str]) -> None:
    labels = {result.tool: result.label for result in results}
    axes.set_yticks(range(len(tools)), [labels[tool] for tool in tools])


def draw_speed(results: Sequence[Result], path: Path, *, read_sets: Sequence[str]) -> None:
    """Reads per second (log scale), one panel per read set."""
    styles = _styles(results)
    tools = list(styles)
    with _figure(path, 2.6 + 2.4 * len(read_sets), 1.0 + 0.26 * len(tools)) as figure:
        panels = figure.subplots(1, len(read_sets), sharey=True, squeeze=False)[0]
        _name_bars(panels[0], results, tools)
        shown = [result.reads_per_second for result in results if result.read_set in read_sets]
        lowest = 10.0 ** math.floor(math.log10(min(shown)))
        highest = max(shown) * 4  # room for the number beside the longest bar
        for axes, read_set in zip(panels, read_sets, strict=True):
            rates = {result.tool: result.reads_per_second for result in results if result.read_set == read_set}
            _bars(axes, tools, rates, styles)
            axes.set_xscale("log")
            axes.set_xlim(lowest, highest)
            axes.xaxis.set_major_formatter(FuncFormatter(_number))
            axes.xaxis.set_minor_locator(NullLocator())
            _clean(axes, title=_described(results, read_set), x=f"reads/s, {results[0].threads} threads", y="", grid="x")
            axes.tick_params(axis="y", length=0)


def draw_memory(results: Sequence[Result], path: Path, *, read_set: str) -> None:
    """Peak memory while mapping one read set, and size of the index, in MB."""
    styles = _styles(results)
    tools = list(styles)
    rows = {result.tool: result for result in results if result.read_set == read_set}
    panels = (
        ("Peak memory while mapping", {tool: row.peak_bytes / 1e6 for tool, row in rows.items()}),
        ("Index on disk", {tool: row.index_bytes / 1e6 for tool, row in rows.items()}),
    )
    with _figure(path, 7.4, 1.0 + 0.26 * len(tools)) as figure:
        both = figure.subplots(1, 2, sharey=True)
        _name_bars(both[0], results, tools)
        for axes, (title, values) in zip(both, panels, strict=True):
            _bars(axes, tools, values, styles)
            axes.set_xlim(0, max(values.values()) * 1.2)
            axes.xaxis.set_major_locator(MaxNLocator(5))
            axes.xaxis.set_major_formatter(FuncFormatter(_number))
            _clean(axes, title=title, x="MB", y="", grid="x")
            axes.tick_params(axis="y", length=0)


def draw_all(results: Sequence[Result], folder: Path) -> None:
    """Draw all figures of the comparison into ``folder`` as PNG."""
    folder.mkdir(parents=True, exist_ok=True)
    single = sorted({(result.divergence, result.read_set) for result in results if not result.paired}) or sorted(
        {(result.divergence, result.read_set) for result in results}
    )
    ends = list(dict.fromkeys((single[0][1], single[-1][1])))
    draw_accuracy(results, folder / "accuracy.png")
    draw_speed(results, folder / "speed.png", read_sets=ends)
    draw_memory(results, folder / "memory.png", read_set=ends[0])
    for read_set in dict.fromkeys(result.read_set for result in results if result.curve):
        draw_error_curves(results, folder / f"errors_{read_set}.png", read_set=read_set)
