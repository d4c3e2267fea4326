"""Depth of coverage along a reference, as a figure."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from genoseq.align.summary import CONFIDENT, Summary
from genoseq.log import counted

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["draw_coverage", "shortened", "title_of"]

POINTS = 600
"""Steps drawn along a contig, at most about."""
LIGHT, DARK, INK = "#a9c5dd", "#1d5b92", "#444444"
LONGEST_TITLE = 76
LONGEST_NAME = 60
GAP = "..."


def draw_coverage(summary: Summary, path: Path, *, reads: str, form: str = "png") -> None:
    """Write a figure with one panel for each of the longest contigs: depth of all reads and of those with MAPQ >= 20.

    ``reads`` says what was mapped, for the title; the index says to what.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    index = summary.index
    panels = len(summary.shown)
    figure = Figure(figsize=(9, 1.0 + 1.75 * panels), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(panels, 1, squeeze=False)[:, 0]
    for axis, contig in zip(axes, summary.shown, strict=True):
        _draw_contig(axis, summary, contig)
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper right", frameon=False, fontsize=8, ncols=2)
    figure.suptitle(title_of(reads, index.reference).replace("$", r"\$"), x=0.01, ha="left", fontsize=11, fontweight="bold")
    if len(index.names) > panels:
        note = f"the {panels} longest of {counted(len(index.names), 'contig')}"
        figure.supxlabel(note, x=0.01, ha="left", fontsize=8, color=INK)
    figure.savefig(path, format=form, dpi=150)


def _draw_contig(axis: Axes, summary: Summary, contig: int) -> None:
    """One panel. A step is a whole number of bins; its depth is the bases aligned there over its length."""
    from matplotlib.ticker import MaxNLocator, StrMethodFormatter

    length = summary.index.lengths[contig]
    scale, unit = (1, "bp") if length < 10_000 else (1_000, "kb") if length < 2_000_000 else (1_000_000, "Mb")
    everything = summary.binned(contig)
    starts = np.arange(0, len(everything), max(1, -(-len(everything) // POINTS)))
    edges = np.append(starts * summary.bin_width, length)
    for bins, colour, label in (
        (everything, LIGHT, "all reads"),
        (summary.binned(contig, confident=True), DARK, f"MAPQ {CONFIDENT} or more"),
    ):
        depth = np.add.reduceat(bins, starts) / np.diff(edges)
        axis.fill_between(
            edges / scale, np.append(depth, depth[-1]), step="post", color=colour, label=label, linewidth=0
        )
    mean, covered = everything.sum() / length, np.mean(everything > 0)
    per = "positions" if summary.bin_width == 1 else f"windows of {summary.bin_width:,} bp"
    name = shortened(summary.index.names[contig], LONGEST_NAME).replace("$", r"\$")
    axis.set_title(f"{name}, {length:,} bp", loc="left", fontsize=9)
    axis.set_title(f"mean depth {_depth(mean)}; {covered:.1%} of {per} covered", loc="right", fontsize=8, color=INK)
    axis.set_xlim(0, length / scale)
    axis.set_ylim(0, max(1.0, axis.get_ylim()[1]))
    axis.yaxis.set_major_locator(MaxNLocator(nbins=4, integer=True))
    axis.yaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    axis.xaxis.set_major_formatter(StrMethodFormatter("{x:,g}"))
    axis.set_xlabel(f"position ({unit})", fontsize=8, color=INK)
    axis.set_ylabel("depth", fontsize=8, color=INK)
    axis.tick_params(labelsize=8, colors=INK, length=3)
    axis.grid(axis="y", color="#e4e4e4", linewidth=0.6)
    axis.set_axisbelow(True)
    for side in ("top", "right", "left"):
        axis.spines[side].set_visible(False)
    axis.spines["bottom"].set_color("#bbbbbb")


def _depth(mean: float) -> str:
    """A mean depth with about three digits, and no power of ten."""
    return f"{mean:,.0f}" if mean >= 100 else f"{mean:.3g}"


def title_of(reads: str, reference: str) -> str:
    """What was mapped to what, on one line: the longer name is cut first, and both stay recognisable."""
    room = LONGEST_TITLE - len(" on ")
    half = room // 2
    if len(reads) <= half:
        return f"{reads} on {shortened(reference, room - len(reads))}"
    if len(reference) <= half:
        return f"{shortened(reads, room - len(reference))} on {reference}"
    return f"{shortened(reads, half)} on {shortened(reference, half)}"


def shortened(text: str, longest: int) -> str:
    """The text, without its middle if it is longer: names of files and contigs differ at both ends.

    >>> shortened("assembly_2024_final.fna.gz", 16)
    'assemb...fna.gz'
    """
    if len(text) <= longest:
        return text
    kept = (longest - len(GAP)) // 2
    return f"{text[:kept]}{GAP}{text[-kept:]}"
