"""A figure of in-silico mutagenesis: the sequence as letters as high as they matter, and a heat map of all substitutions."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from genoseq.errors import UsageError
from genoseq.infer.mutagenesis import Mutagenesis

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.image import AxesImage

__all__ = ["FIGURES", "check_figure_name", "draw_mutagenesis"]

FIGURES = ("png", "pdf", "svg")
PER_ROW = 80
"""Positions in a row of the figure, unless there would be too many rows."""
MOST_ROWS = 8
LETTERS_FIT = 160
"""Positions in a row above which letters are too narrow to read, and bars stand for them."""
COLOURS = {"A": "#2f9e44", "C": "#1c6dc9", "G": "#e8950c", "T": "#d6336c"}
OTHER, INK, GREY = "#5f6b7a", "#444444", "#d9d9d9"
CLIP = 99.5  # percentile of the effects at which the colours end


def check_figure_name(path: str, option: str = "--figure") -> str:
    """The format that the name of a figure asks for.

    Raises:
        UsageError: none of those there are.
    """
    form = Path(path).suffix.lower().lstrip(".")
    if form not in FIGURES:
        raise UsageError(f"{option} {path}: end the name in .png, .pdf or .svg")
    return form


def draw_mutagenesis(result: Mutagenesis, path: Path, *, title: str, form: str = "png") -> None:
    """Write the figure: rows of positions, in each the letters above and the substitutions below.

    The height of a letter is `Mutagenesis.importance`. Colours are symmetric around 0: red where a
    substitution is less probable than the reference, blue where it is more probable.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    count = len(result.reference)
    per_row = max(PER_ROW, -(-count // MOST_ROWS))
    rows = -(-count // per_row)
    shown = min(per_row, count)
    letters = len(result.letters)
    tall = 0.9 + 0.19 * letters
    figure = Figure(figsize=(max(5.0, 1.6 + 0.135 * min(shown, PER_ROW)), 1.1 + rows * (tall + 0.35)), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(2 * rows, 1, squeeze=False, gridspec_kw={"height_ratios": [0.9, 0.19 * letters] * rows})[:, 0]
    finite = np.abs(result.effects[np.isfinite(result.effects)])
    extreme = float(np.percentile(finite[finite > 0], CLIP)) if (finite > 0).any() else 1.0
    heights = np.nan_to_num(result.importance)
    low, high = min(0.0, float(heights.min())), max(0.0, float(heights.max()))
    margin = 0.05 * (high - low) or 1.0
    image = None
    for row in range(rows):
        part = slice(row * per_row, min((row + 1) * per_row, count))
        track, heat = axes[2 * row], axes[2 * row + 1]
        _draw_letters(track, result, part, heights, shown)
        track.set_ylim(low - margin, high + margin)
        track.set_ylabel("nats", fontsize=7, color=INK)
        image = _draw_heat(heat, result, part, extreme, shown)
    assert image is not None  # a stretch has at least one position
    axes[-1].set_xlabel(_plain(f"position in {result.name}"), fontsize=8, color=INK)
    bar = figure.colorbar(image, ax=list(axes), shrink=min(1.0, 2.2 / (rows * (tall + 0.35))), aspect=14, pad=0.01, extend="both")
    bar.set_label("log-likelihood ratio (nats)", fontsize=8, color=INK)
    bar.ax.tick_params(labelsize=7, colors=INK)
    bar.outline.set_visible(False)
    figure.suptitle(_plain(title), x=0.01, ha="left", fontsize=10, fontweight="bold")
    figure.savefig(path, format=form, dpi=150)


def _draw_letters(axis: Axes, result: Mutagenesis, part: slice, heights: np.ndarray, shown: int) -> None:
    from matplotlib.font_manager import FontProperties
    from matplotlib.patches import PathPatch
    from matplotlib.textpath import TextPath
    from matplotlib.transforms import Affine2D

    font = FontProperties(family="DejaVu Sans", weight="bold")
    axis.axhline(0, color="#bbbbbb", linewidth=0.6)
    nucleotides = len(result.letters) == len(COLOURS)
    colours = [COLOURS.get(letter, OTHER) if nucleotides else OTHER for letter in result.reference[part]]
    as_letters = shown <= LETTERS_FIT
    if not as_letters:
        axis.bar(range(len(colours)), heights[part], width=1.0, color=colours, linewidth=0)
    for place, (letter, colour) in enumerate(zip(result.reference[part], colours, strict=True)):
        height = float(heights[part.start + place])
        if not as_letters or abs(height) < 1e-12:
            continue
        shape = TextPath((0, 0), letter, size=1, prop=font)
        box = shape.get_extents()
        # A letter below zero is one that the model would rather see changed: it hangs, and is paler.
        move = (
            Affine2D()
            .translate(-box.x0, -box.y0)
            .scale(0.9 / box.width, abs(height) / box.height)
            .translate(place - 0.45, min(0.0, height))
        )
        axis.add_patch(PathPatch(move.transform_path(shape), facecolor=colour, alpha=1.0 if height > 0 else 0.35, linewidth=0))
    axis.set_xlim(-0.5, shown - 0.5)
    axis.set_xticks([])
    axis.tick_params(labelsize=6, colors=INK, length=2)
    for side in ("top", "right", "bottom"):
        axis.spines[side].set_visible(False)
    axis.spines["left"].set_color("#bbbbbb")


def _draw_heat(axis: Axes, result: Mutagenesis, part: slice, extreme: float, shown: int) -> AxesImage:
    from matplotlib import colormaps

    colours = colormaps["RdBu"].with_extremes(bad=GREY)
    effects = result.effects[:, part]
    image = axis.imshow(effects, aspect="auto", cmap=colours, vmin=-extreme, vmax=extreme, interpolation="nearest")
    own = [(result.letters.find(letter), place) for place, letter in enumerate(result.reference[part])]
    marks = [(row, place) for row, place in own if row >= 0]
    if shown <= LETTERS_FIT and marks:
        axis.scatter([place for _, place in marks], [row for row, _ in marks], s=4, color=INK, linewidths=0)
    axis.set_xlim(-0.5, shown - 0.5)
    axis.set_yticks(range(len(result.letters)), list(result.letters))
    first = result.start + part.start + 1
    step = next(size for size in (5, 10, 20, 50, 100, 200, 500, 1000, 5000, 10**9) if shown / size <= 16)
    ticks = [place for place in range(effects.shape[1]) if (first + place) % step == 0] or [0]
    axis.set_xticks(ticks, [f"{first + place:,}" for place in ticks])
    axis.tick_params(labelsize=6, colors=INK, length=2)
    for side in ("top", "right", "left", "bottom"):
        axis.spines[side].set_visible(False)
    return image


def _plain(text: str) -> str:
    """The text as matplotlib shows it unchanged; ``$`` would start a formula."""
    return text.replace("$", r"\$")
