"""A tree beside the heat map of the distances it was made from, as a figure."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from genoseq.classify.distances import DistanceMatrix
from genoseq.classify.sequences import SequenceInputError
from genoseq.classify.trees import Node
from genoseq.outputs import whole_file

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["draw_distance_tree"]

INK, GREY = "#333333", "#777777"
LONGEST_NAME = 40
NUMBERED = 16
"""Most items whose distances are also written into the cells."""
NAMED = 120
"""Most items that are named."""


def draw_distance_tree(
    matrix: DistanceMatrix, tree: Node, path: Path, *, title: str = "", form: str | None = None, rooted: bool = True
) -> None:
    """Draw the tree from left to right with its branch lengths to scale, and the distances with the items in its order.

    Args:
        matrix: distances.
        tree: its leaves are the names of the matrix. Root it first (`genoseq.classify.trees.midpoint_rooted`): it is drawn as it
            is.
        path: file to write.
        title: above the figure; the method of the matrix unless given.
        form: ``png``, ``svg`` or ``pdf``; by the ending of ``path`` unless given.
        rooted: False if the root is only where the tree is drawn from; the axis says so.

    Raises:
        SequenceInputError: the tree has other leaves than the matrix.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    leaves = [leaf.name for leaf in tree.leaves()]
    if sorted(leaves) != sorted(matrix.names):
        raise SequenceInputError("the leaves of the tree are not the names of the matrix")
    count = len(leaves)
    side = min(9.0, max(2.2, 0.33 * count))
    longest = max(len(_short(name)) for name in leaves) if count <= NAMED else 0
    names_width = 0.35 + 0.064 * longest
    width = 3.2 + names_width + side + 1.1
    figure = Figure(figsize=(width, side + 1.2))
    FigureCanvasAgg(figure)
    height = side + 1.2
    low, high = 0.75 / height, side / height
    left = figure.add_axes((0.25 / width, low, 2.95 / width, high))
    right = figure.add_axes(((3.2 + names_width) / width, low, side / width, high))
    bar = figure.add_axes(((3.2 + names_width + side + 0.15) / width, low, 0.16 / width, high))
    size = 8.0 if count <= 40 else max(3.0, 8.0 * 40 / count)
    _draw_tree(left, tree, size, named=count <= NAMED, rooted=rooted)
    order = [matrix.names.index(name) for name in leaves]
    values = matrix.values[np.ix_(order, order)]
    image = right.imshow(values, cmap="viridis_r", vmin=0.0, vmax=max(float(values.max()), 1e-9), aspect="auto")
    right.set_yticks([])
    right.set_xticks(range(count) if count <= NAMED else [], [str(n + 1) for n in range(count)] if count <= NAMED else [])
    right.tick_params(length=0, labelsize=size, colors=GREY, pad=2)
    for edge in right.spines.values():
        edge.set_visible(False)
    if count <= NUMBERED:
        shown = values / max(float(values.max()), 1e-9)
        for row in range(count):
            for column in range(count):
                if row != column:
                    colour = "white" if shown[row, column] > 0.55 else INK
                    text = f"{values[row, column]:.2f}".removeprefix("0")
                    right.text(column, row, text, ha="center", va="center", fontsize=6.5, color=colour)
    figure.colorbar(image, cax=bar)
    bar.tick_params(labelsize=8, colors=INK)
    bar.set_ylabel("distance", fontsize=8, color=INK)
    heading = title or matrix.method
    figure.text(0.25 / width, 1 - 0.25 / height, heading, fontsize=10, fontweight="bold", color=INK, parse_math=False)
    ending = form or path.suffix.lstrip(".") or "png"
    undated = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}.get(ending)
    with whole_file(path) as temporary:
        figure.savefig(temporary, format=ending, dpi=150, metadata=undated)


def _draw_tree(axes: Axes, tree: Node, size: float, *, named: bool, rooted: bool) -> None:
    """Lines of the tree, leaf n at height n; names to the right of the axes' edge, numbered as the columns of the heat map
    are."""
    leaves = tree.leaves()
    depth = {id(tree): 0.0}
    for node in tree.walk():
        for child in node.children:
            depth[id(child)] = depth[id(node)] + max(0.0, child.length)
    place = {id(leaf): float(at) for at, leaf in enumerate(leaves)}
    far = max(depth.values()) or 1.0
    for node in reversed(list(tree.walk())):
        if node.children:
            ends = [place[id(child)] for child in node.children]
            place[id(node)] = (ends[0] + ends[-1]) / 2
            axes.plot([depth[id(node)]] * 2, [ends[0], ends[-1]], color=INK, linewidth=1.0, solid_capstyle="projecting")
            for child in node.children:
                axes.plot([depth[id(node)], depth[id(child)]], [place[id(child)]] * 2, color=INK, linewidth=1.0)
    for at, leaf in enumerate(leaves):
        here = depth[id(leaf)]
        axes.plot([here, far * 1.02], [at, at], color="#bbbbbb", linewidth=0.6, linestyle=(0, (1, 3)), zorder=0)
        if named:
            axes.annotate(
                f"{at + 1}  {_short(leaf.name)}",
                (1.0, at),
                xycoords=("axes fraction", "data"),
                xytext=(3, 0),
                textcoords="offset points",
                va="center",
                fontsize=size,
                color=INK,
                annotation_clip=False,
                parse_math=False,
            )
    axes.set_xlim(-0.004 * far, far * 1.02)
    axes.set_ylim(len(leaves) - 0.5, -0.5)
    axes.set_yticks([])
    axes.tick_params(labelsize=8, colors=INK, length=3)
    axes.locator_params(axis="x", nbins=4)
    label = "distance from the root" if rooted else "distance from the midpoint\n(the tree has no root)"
    axes.set_xlabel(label, fontsize=8, color=INK)
    for edge in ("left", "top", "right"):
        axes.spines[edge].set_visible(False)
    axes.spines["bottom"].set_color("#bbbbbb")


def _short(name: str) -> str:
    return name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 1]}…"
