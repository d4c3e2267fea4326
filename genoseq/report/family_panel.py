"""Figures about generated family members: identities, covariances, logos, a map; each beside natural sequences."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from genoseq.errors import InputError
from genoseq.families.alphabet import AMINO_ACIDS, GAP
from genoseq.families.judging.covariance import covariances, strongest
from genoseq.families.judging.panel import ANCHORS, Panel, Yardstick
from genoseq.report.style import INK, clean_axes, new_figure, save_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["draw_panel", "letter_heights", "project"]

GREY = "#9a9a9a"
COLOURS = {"samples": "#D55E00", "held out": "#0072B2", "train": "#9a9a9a"}
GROUPS = {
    "AVILMFWC": "#4d7ea8", "STNQGPHY": "#5a9e6f", "DE": "#c44e52", "KR": "#8c6bb1",
}  # fmt: skip
LOGO_COLUMNS = 60
SHOWN = 4000
"""Most points of a scatter plot."""
MAPPED = 1500
"""Most train sequences on the map."""


def letter_heights(rows: NDArray[np.uint8]) -> NDArray[np.float64]:
    """(L, 20) heights in bits of the letters of a logo: frequency times information, log2(20) less the entropy; gaps shrink
    a column.

    >>> letter_heights(np.zeros((3, 1), np.uint8))[0, 0].round(3)
    np.float64(4.322)
    """
    counts = np.stack([np.bincount(column, minlength=GAP + 2)[:GAP] for column in rows.T]).astype(float)
    present = counts.sum(axis=1, keepdims=True)
    share = counts / np.maximum(present, 1)
    entropy = -np.where(share > 0, share * np.log2(np.where(share > 0, share, 1)), 0).sum(axis=1, keepdims=True)
    found: NDArray[np.float64] = share * (np.log2(GAP) - entropy) * (present / len(rows))
    return found


def project(
    reference: NDArray[np.float32], *others: NDArray[np.float32]
) -> tuple[list[NDArray[np.float32]], NDArray[np.float64]]:
    """Vectors in the plane of the first two principal components of ``reference`` (N, D), and the (2,) shares of its variance.

    The sign of a component is chosen so that its largest entry is positive, so that the same data give the same picture.
    """
    middle = reference.mean(axis=0)
    _, sizes, axes = np.linalg.svd(reference - middle, full_matrices=False)
    plane = np.zeros((2, reference.shape[1]), np.float32)
    plane[: len(axes[:2])] = axes[:2]
    plane *= np.where(plane[np.arange(2), np.abs(plane).argmax(axis=1)] < 0, -1, 1)[:, None]
    total = float((sizes**2).sum())
    share = np.zeros(2)
    share[: len(sizes[:2])] = sizes[:2] ** 2 / total if total > 0 else 0
    return [(one - middle) @ plane.T for one in (reference, *others)], share


def draw_panel(
    panel: Panel,
    yardstick: Yardstick,
    rows: NDArray[np.uint8],
    path: Path,
    *,
    embeddings: Mapping[str, NDArray[np.float32]] | None = None,
    seed: int = 0,
    title: str = "",
) -> None:
    """Draw the figure of a panel: histogram of identities, covariances against train and held-out, map, logos.

    Args:
        panel: the panel.
        yardstick: what it was measured against.
        rows: (N, L) the samples.
        path: file to write; its ending says the format (.png, .svg or .pdf).
        embeddings: vectors of the rows named ``train``, ``held out`` and ``samples``, in this order of the rows, for the
            map; None: the residues themselves, as zeros and ones.
        seed: of the rows that are shown where there are too many.
        title: above the figure.

    Raises:
        InputError: embeddings of other sets or numbers.
    """
    figure = new_figure(11, 9.6)
    grid = figure.add_gridspec(4, 3, height_ratios=(3.2, 3.2, 1.15, 1.15))
    histogram, against_train, against_held = (figure.add_subplot(grid[0, at]) for at in range(3))
    _draw_identities(histogram, panel)
    for axes, reference, name, measure in (
        (against_train, yardstick.train.matrix, "train", "r_train"),
        (against_held, yardstick.held_out.matrix, "held-out", "r_held_out"),
    ):
        _draw_covariances(axes, rows, reference, name, panel.sets[0].values[measure])
    _draw_map(figure.add_subplot(grid[1, :2]), yardstick, rows, embeddings, seed)
    _draw_bits(figure.add_subplot(grid[1, 2]), panel)
    first = _informative(yardstick.held_out.matrix)
    for at, (matrix, name) in enumerate(((yardstick.held_out.matrix, "natural, held out"), (rows, panel.sets[0].name))):
        _draw_logo(figure.add_subplot(grid[2 + at, :]), matrix, name, first)
    verdict = (
        "every line of the verdict is met"
        if panel.passed
        else "not met: " + ", ".join(line.measure for line in panel.verdict if not line.passed)
    )
    figure.suptitle(f"{title}: {verdict}" if title else verdict, fontsize=11, x=0.01, ha="left", color=INK, parse_math=False)
    save_figure(figure, path)


def _draw_identities(axes: Axes, panel: Panel) -> None:
    edges = np.linspace(0, 1, 51)
    shown = [panel.sets[0], *(one for one in panel.sets if one.name in (ANCHORS[0], ANCHORS[3]))]
    colours = [COLOURS["samples"], COLOURS["held out"], GREY]
    for one, colour in zip(shown, colours, strict=True):
        share = np.histogram(one.nearest, edges)[0] / one.number
        axes.stairs(
            share,
            edges,
            color=colour,
            fill=colour == colours[0],
            alpha=0.45 if colour == colours[0] else 1,
            label=one.name,
            linewidth=1.3,
        )
    axes.set_xlabel("identity to the nearest train sequence", fontsize=9, color=INK)
    axes.set_ylabel("share of the set", fontsize=9, color=INK)
    lowest = min(float(one.nearest.min()) for one in shown)
    axes.set_xlim(max(0.0, lowest - 0.05), 1)
    axes.legend(fontsize=7.5, frameon=False, loc="upper right")
    clean_axes(axes)


def _draw_bits(axes: Axes, panel: Panel) -> None:
    names = [one.name for one in panel.sets]
    axes.boxplot(
        [one.bits for one in panel.sets], orientation="horizontal", widths=0.55, showfliers=False,
        medianprops={"color": COLOURS["samples"]}, boxprops={"color": INK}, whiskerprops={"color": GREY},
        capprops={"color": GREY},
    )  # fmt: skip
    axes.set_yticks(range(1, len(names) + 1), names, fontsize=8, parse_math=False)
    axes.invert_yaxis()
    axes.set_xlabel("bits per column, held-out profile", fontsize=9, color=INK)
    clean_axes(axes, grid="x")


def _draw_covariances(axes: Axes, rows: NDArray[np.uint8], reference: NDArray[np.uint8], name: str, r: float) -> None:
    found = strongest(reference)
    values = covariances(rows, found.first, found.second)
    step = max(1, len(values) // SHOWN)
    axes.axline((0, 0), slope=1, color="#cccccc", linewidth=1, zorder=0)
    axes.scatter(found.value[::step], values[::step], s=3, color=COLOURS["samples"], alpha=0.25, linewidths=0, rasterized=True)
    axes.set_xlabel(f"covariance in {name}", fontsize=9, color=INK)
    axes.set_ylabel("in the samples", fontsize=9, color=INK)
    axes.set_title(f"{len(values):,} largest, r(C2) = {r:.3f}", fontsize=9, loc="left", color=INK)
    clean_axes(axes)


def _draw_map(
    axes: Axes,
    yardstick: Yardstick,
    rows: NDArray[np.uint8],
    embeddings: Mapping[str, NDArray[np.float32]] | None,
    seed: int,
) -> None:
    sets = {"train": yardstick.train.matrix, "held out": yardstick.held_out.matrix, "samples": rows}
    if embeddings is None:
        chosen = np.random.default_rng(seed).permutation(len(sets["train"]))[:MAPPED]
        sets["train"] = sets["train"][np.sort(chosen)]
        vectors = {name: _spots(matrix) for name, matrix in sets.items()}
        what = "residues"
    else:
        for name, matrix in sets.items():
            if name not in embeddings or len(embeddings[name]) != len(matrix):
                found = len(embeddings[name]) if name in embeddings else "none"
                raise InputError(f"there are {found} embeddings of {name}, expected {len(matrix)}")
        vectors = {name: np.asarray(embeddings[name], np.float32) for name in sets}
        what = "embeddings"
    points, share = project(vectors["train"], vectors["held out"], vectors["samples"])
    for (name, place), size in zip(zip(sets, points, strict=True), (5, 7, 9), strict=True):
        axes.scatter(place[:, 0], place[:, 1], s=size, color=COLOURS[name], alpha=0.55, linewidths=0, label=name, rasterized=True)
    axes.set_xlabel(f"component 1 of the train {what} ({share[0]:.0%})", fontsize=9, color=INK)
    axes.set_ylabel(f"component 2 ({share[1]:.0%})", fontsize=9, color=INK)
    axes.legend(fontsize=8, frameon=False, markerscale=2)
    clean_axes(axes)


def _spots(rows: NDArray[np.uint8]) -> NDArray[np.float32]:
    spots: NDArray[np.float32] = (rows[:, :, None] == np.arange(GAP, dtype=np.uint8)).reshape(len(rows), -1).astype(np.float32)
    return spots


def _informative(rows: NDArray[np.uint8]) -> int:
    """First column of the stretch of a logo: the one with the most information."""
    bits = letter_heights(rows).sum(axis=1)
    wide = min(LOGO_COLUMNS, len(bits))
    total = np.concatenate([[0.0], np.cumsum(bits)])
    return int((total[wide:] - total[:-wide]).argmax())


def _draw_logo(axes: Axes, rows: NDArray[np.uint8], name: str, first: int) -> None:
    from matplotlib.patches import PathPatch
    from matplotlib.path import Path as MatplotlibPath
    from matplotlib.textpath import TextPath
    from matplotlib.transforms import Affine2D

    heights = letter_heights(rows[:, first : first + LOGO_COLUMNS])
    shapes: dict[str, Any] = {letter: TextPath((0, 0), letter, size=1) for letter in AMINO_ACIDS}
    drawn: dict[str, list[Any]] = {shade: [] for shade in GROUPS.values()}  # one patch a colour: quick to draw
    for column, tall in enumerate(heights):
        bottom = 0.0
        for code in np.argsort(tall, kind="stable"):
            if tall[code] < 0.03:
                continue
            letter = AMINO_ACIDS[code]
            box = shapes[letter].get_extents()
            fit = (
                Affine2D()
                .translate(-box.x0, -box.y0)
                .scale(0.9 / max(box.width, 0.35), tall[code] / box.height)
                .translate(column + first + 0.55 + (0.9 - 0.9 * box.width / max(box.width, 0.35)) / 2, bottom)
            )
            colour = next(shade for letters, shade in GROUPS.items() if letter in letters)
            drawn[colour].append(fit.transform_path(shapes[letter]))
            bottom += tall[code]
    for colour, paths in drawn.items():
        if paths:
            axes.add_patch(PathPatch(MatplotlibPath.make_compound_path(*paths), color=colour, linewidth=0))
    axes.set_xlim(first + 0.5, first + len(heights) + 0.5)
    axes.set_ylim(0, np.log2(GAP))
    axes.set_ylabel("bits", fontsize=8, color=INK)
    axes.set_title(
        f"{name}, columns {first + 1} to {first + len(heights)}", fontsize=8.5, loc="left", color=INK, parse_math=False, pad=3
    )
    clean_axes(axes)
    axes.grid(visible=False)
