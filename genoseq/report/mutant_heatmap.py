"""A heat map of all single variants of a protein: 20 rows of letters, one column a residue, the wild type's letters marked."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from genoseq.errors import UsageError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.image import AxesImage

__all__ = ["FIGURES", "ROWS", "check_figure_name", "draw_heatmap"]

FIGURES = ("png", "pdf", "svg")
ROWS = "GAVLIMCFYWPSTNQHKRDE"
"""The letters from top to bottom: aliphatic, aromatic, proline, polar, basic, acidic, so that what is alike stands together."""
PER_ROW = 100
MOST_ROWS = 10
CLIP = 98.0  # percentile of the absolute scores at which the colours end
INK, GREY = "#333333", "#d4d4d4"


def check_figure_name(path: str, option: str = "--figure") -> str:
    """The format that the name of a figure asks for.

    Raises:
        UsageError: none of those there are.
    """
    form = Path(path).suffix.lower().lstrip(".")
    if form not in FIGURES:
        raise UsageError(f"{option} {path}: end the name in .png, .pdf or .svg")
    return form


def draw_heatmap(
    scores: NDArray[np.float64],
    wild_type: str,
    path: Path,
    *,
    letters: str,
    start: int = 0,
    title: str = "",
    unit: str = "score",
    form: str = "png",
) -> None:
    """Write the figure, broken into rows of about 100 residues.

    Args:
        scores: (n, 20) of each residue and letter; NaN is grey. The wild type's own are not looked at.
        wild_type: n letters.
        path: where to.
        letters: 20 letters in the order of the columns of ``scores``.
        start: number of the first residue in its protein, from 0.
        title: above the figure.
        unit: of the colour bar.
        form: png, pdf or svg.

    Colours are symmetric around 0, the wild type: red is worse, blue better. A dot marks the wild type's letter; below each row
    stand its letters and the mean score of each residue.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    if scores.shape != (len(wild_type), len(letters)):
        raise ValueError(f"scores of shape {scores.shape} for {len(wild_type)} residues and {len(letters)} letters")
    ordered = scores[:, [letters.index(letter) for letter in ROWS]].T.copy()
    own = np.array([ROWS.find(letter) for letter in wild_type.upper()])
    known = np.flatnonzero(own >= 0)
    ordered[own[known], known] = np.nan
    finite = np.abs(ordered[np.isfinite(ordered)])
    extreme = float(np.percentile(finite, CLIP)) if finite.size and finite.max() > 0 else 1.0
    per_row = max(PER_ROW, -(-len(wild_type) // MOST_ROWS))
    rows = max(1, -(-len(wild_type) // per_row))
    shown = min(per_row, max(1, len(wild_type)))
    figure = Figure(figsize=(1.9 + 0.115 * min(max(shown, 30), 140), 0.9 + rows * 3.05), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(2 * rows, 1, squeeze=False, gridspec_kw={"height_ratios": [20, 1.6] * rows})[:, 0]
    image = None
    for row in range(rows):
        part = slice(row * per_row, min((row + 1) * per_row, len(wild_type)))
        image = _draw_row(axes[2 * row], ordered[:, part], own[part], extreme, shown)
        _draw_means(axes[2 * row + 1], ordered[:, part], wild_type[part].upper(), extreme, shown, start + part.start)
    assert image is not None  # there is one row at least
    axes[-1].set_xlabel("residue", fontsize=8, color=INK)
    bar = figure.colorbar(image, ax=list(axes), shrink=min(1.0, 2.2 / rows), aspect=16, pad=0.01, extend="both")
    bar.set_label(f"{unit}: red worse, blue better than the wild type", fontsize=8, color=INK)
    bar.ax.tick_params(labelsize=7, colors=INK)
    bar.outline.set_visible(False)
    if title:
        figure.suptitle(title.replace("$", r"\$"), x=0.01, ha="left", fontsize=10, fontweight="bold")
    figure.savefig(path, format=form, dpi=150)


def _draw_row(axis: Axes, scores: NDArray[np.float64], own: NDArray[np.intp], extreme: float, shown: int) -> AxesImage:
    from matplotlib import colormaps

    colours = colormaps["RdBu"].with_extremes(bad=GREY)
    image = axis.imshow(scores, aspect="auto", cmap=colours, vmin=-extreme, vmax=extreme, interpolation="nearest")
    marked = np.flatnonzero(own >= 0)
    axis.scatter(marked, own[marked], s=5, color=INK, linewidths=0)
    axis.set_xlim(-0.5, shown - 0.5)
    axis.set_xticks([])
    axis.set_yticks(range(len(ROWS)), list(ROWS))
    axis.tick_params(labelsize=6.5, colors=INK, length=0)
    for side in ("top", "right", "left", "bottom"):
        axis.spines[side].set_visible(False)
    return image


def _draw_means(axis: Axes, scores: NDArray[np.float64], letters: str, extreme: float, shown: int, first: int) -> None:
    """One line of the mean of each residue, with the wild type's letters in it, and the numbers below."""
    from matplotlib import colormaps

    known = np.isfinite(scores)
    counts = known.sum(axis=0)
    means = np.divide(np.where(known, scores, 0.0).sum(axis=0), counts, out=np.full(len(counts), np.nan), where=counts > 0)
    colours = colormaps["RdBu"].with_extremes(bad=GREY)
    axis.imshow(means[None], aspect="auto", cmap=colours, vmin=-extreme, vmax=extreme, interpolation="nearest")
    size = 6.0 if shown <= PER_ROW else 6.0 * PER_ROW / shown
    for place, letter in enumerate(letters):
        dark = np.isfinite(means[place]) and abs(means[place]) > 0.6 * extreme
        axis.text(place, 0, letter, ha="center", va="center_baseline", fontsize=size, color="white" if dark else INK)
    step = next(width for width in (10, 20, 50, 100, 200, 500, 1000, 10**9) if shown / width <= 20)
    ticks = [place for place in range(len(letters)) if (first + place + 1) % step == 0 or place == 0]
    if len(ticks) > 1 and ticks[1] - ticks[0] < step / 4:  # the first number and the next would touch
        del ticks[0]
    axis.set_xlim(-0.5, shown - 0.5)
    axis.set_xticks(ticks, [f"{first + place + 1:,}" for place in ticks])
    axis.set_yticks([0], ["mean"])
    axis.tick_params(labelsize=6.5, colors=INK, length=2)
    axis.tick_params(axis="y", length=0)
    for side in ("top", "right", "left", "bottom"):
        axis.spines[side].set_visible(False)
