"""Depth of coverage along a reference, as a figure."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from genoseq.align.summary import CONFIDENT, Summary

__all__ = ["draw_coverage"]

PANELS = 6
POINTS = 800


def draw_coverage(summary: Summary, path: Path, *, title: str, format: str = "png") -> None:
    """Write a figure with one panel for each of the longest contigs: mean depth of all reads and of those with MAPQ >= 20."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    index = summary.index
    order = np.argsort(index.lengths, kind="stable")[::-1][:PANELS]
    figure = Figure(figsize=(9, 1.2 + 1.7 * len(order)), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(len(order), 1, squeeze=False)[:, 0]
    for axis, contig in zip(axes, order, strict=True):
        start, length = int(index.arrays.offsets[contig]), index.lengths[contig]
        first, last = start // summary.bin_width, (start + length - 1) // summary.bin_width + 1
        step = max(1, (last - first) // POINTS)
        edges = np.arange(first, last, step)
        # ends of the bins within the contig: the first and last bin may be shared with its neighbours
        ends = np.minimum(np.append(edges[1:], last) * summary.bin_width, start + length) - start
        starts = np.maximum(edges * summary.bin_width - start, 0)
        widths = np.maximum(ends - starts, 1)
        for bins, colour, label in (
            (summary.depth, "#b7c9d9", "all reads"),
            (summary.confident, "#1f5a8c", f"MAPQ at least {CONFIDENT}"),
        ):
            depth = np.add.reduceat(bins, edges)[: len(edges)]
            depth[-1] = bins[edges[-1] : last].sum()
            axis.fill_between(
                np.append(starts, length) / 1e3, np.append(depth / widths, depth[-1] / widths[-1]),
                step="post", color=colour, label=label, linewidth=0,
            )  # fmt: skip
        axis.set_xlim(0, length / 1e3)
        axis.set_ylim(bottom=0)
        axis.set_ylabel("depth")
        axis.set_title(f"{index.names[contig]} ({length:,} bp)", loc="left", fontsize=9)
        for side in ("top", "right"):
            axis.spines[side].set_visible(False)
    axes[-1].set_xlabel("position (kb)")
    axes[0].legend(loc="upper right", frameon=False, fontsize=8, ncols=2, bbox_to_anchor=(1, 1.22))
    figure.suptitle(title, fontsize=11)
    if len(index.names) > len(order):
        figure.supxlabel(f"the {len(order)} longest of {len(index.names)} contigs", fontsize=8)
    figure.savefig(path, format=format, dpi=150)
