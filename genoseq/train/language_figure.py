"""The figure of a language model's training: its loss by step, beside what Markov models reach."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from genoseq.train.language_recipe import LanguageRecipe

if TYPE_CHECKING:
    from genoseq.train.language import LanguageResult

__all__ = ["draw_training"]


def draw_training(path: Path, recipe: LanguageRecipe, result: LanguageResult) -> None:
    """Draw bits per token of training by step, of validation at the end, and of Markov models if they compare."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    bits = np.array(result.losses) / math.log(2)
    window = max(1, len(bits) // 50)
    smooth = np.convolve(bits, np.ones(window) / window, mode="valid")
    axes.plot(np.arange(len(smooth)) + window, smooth, color="#1f6f8b", label="training")
    axes.plot([len(bits)], [result.bits], "o", color="#c2452d", label=f"validation {result.bits:.3f}")
    if recipe.objective == "causal":  # a masked net sees both sides: its bits are of another kind
        best = min(result.markov, key=lambda order: result.markov[order])
        for order, value in result.markov.items():
            label = f"Markov, order {order} (the best): {value:.3f}" if order == best else None
            axes.axhline(value, color="0.3" if order == best else "0.75", linewidth=0.8, linestyle=":", label=label)
    axes.set_xlabel("step")
    axes.set_ylabel("bits per token" if recipe.objective == "causal" else "bits per masked token")
    axes.set_title(f"{recipe.architecture}, {result.parameters:,} parameters", fontsize=10)
    axes.legend(frameon=False, fontsize=8)
    figure.savefig(path, dpi=130)
