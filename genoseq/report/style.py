"""How figures look: one ink, light grids, no clutter; and how they are written, whole and with the same bytes each time."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from genoseq.outputs import whole_file

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["INK", "clean_axes", "new_figure", "save_figure"]

INK = "#333333"


def new_figure(width: float, height: float) -> Figure:
    """A figure of so many inches that draws without a display."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def clean_axes(axes: Axes, *, grid: str = "y") -> None:
    """Quiet ticks and edges, a light grid behind what is drawn."""
    axes.tick_params(labelsize=8, colors=INK, length=3)
    axes.grid(axis=grid, color="#e4e4e4", linewidth=0.6)  # type: ignore[arg-type]
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    for edge in ("left", "bottom"):
        axes.spines[edge].set_color("#bbbbbb")


def save_figure(figure: Figure, path: Path) -> None:
    """Write the format that the name's ending says (PNG if none), without the time: the same figure has the same bytes."""
    form = path.suffix.lstrip(".").lower() or "png"
    undated = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}.get(form)
    with whole_file(path) as temporary:
        figure.savefig(temporary, format=form, dpi=150, metadata=undated)
