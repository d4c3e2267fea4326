"""What a training run of the window encoder leaves: weights, resolved recipe, metrics, figure."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from genoseq.recipes import dump_recipe, recipe_digest
from genoseq.train.window_metrics import RecallRow
from genoseq.train.window_recipe import WindowRecipe

__all__ = ["WEIGHTS", "draw_figure", "metrics_values", "save_weights", "write_report"]

WEIGHTS = "weights.safetensors"


def save_weights(path: Path, table: NDArray[np.int8], recipe: WindowRecipe) -> None:
    """Write a window encoder: tensor ``table`` and the metadata by which a reader knows it.

    The safetensors layout (8 bytes with the length of the header, header in JSON, data) is written here,
    because the library orders the metadata anew in each process and equal runs should give equal files.
    """
    metadata = {
        "format": "genoseq.window-encoder",
        "version": "1",
        "flank": "32",
        "context": str(recipe.context),
        "recipe_sha256": recipe_digest(recipe),
    }
    data = np.ascontiguousarray(table, np.int8).tobytes()
    entry = {"dtype": "I8", "shape": list(table.shape), "data_offsets": [0, len(data)]}
    header = json.dumps({"__metadata__": metadata, "table": entry}, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)
    path.write_bytes(len(header).to_bytes(8, "little") + header + data)


def metrics_values(
    recipe: WindowRecipe,
    losses: NDArray[np.float32],
    results: dict[str, dict[str, list[RecallRow]]],
    seconds: float,
) -> dict[str, object]:
    """The content of ``metrics.json``: plain values only.

    Args:
        recipe: what was run.
        losses: of each step.
        results: trial set ("synthetic" or the name of a genome) -> table ("random" or "trained") -> recall.
        seconds: training took.
    """
    return {
        "format": "genoseq.window-metrics",
        "version": 1,
        "recipe_sha256": recipe_digest(recipe),
        "seconds": round(seconds, 1),
        "loss": {"first": _mean(losses[:100]), "last": _mean(losses[-100:])},
        "recall": {
            trials: {name: [_row(row) for row in rows] for name, rows in tables.items()}
            for trials, tables in results.items()
        },
    }


def write_report(
    folder: Path,
    recipe: WindowRecipe,
    table: NDArray[np.int8],
    losses: NDArray[np.float32],
    results: dict[str, dict[str, list[RecallRow]]],
    seconds: float,
) -> None:
    """Write ``weights.safetensors``, ``recipe.yaml``, ``metrics.json``, ``training.png`` into a folder."""
    save_weights(folder / WEIGHTS, table, recipe)
    (folder / "recipe.yaml").write_text(dump_recipe(recipe), encoding="utf-8")
    values = metrics_values(recipe, losses, results, seconds)
    (folder / "metrics.json").write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")
    draw_figure(folder / "training.png", losses, results)


def draw_figure(
    path: Path, losses: NDArray[np.float32], results: dict[str, dict[str, list[RecallRow]]]
) -> None:
    """PNG: loss by step, and for each trial set recall by edit rate at the middle false-positive rate."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.2 * (1 + len(results)), 3.6), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(1, 1 + len(results), squeeze=False)[0]
    axes[0].plot(np.arange(1, len(losses) + 1), losses, color="0.8", linewidth=0.6)
    if len(losses) >= 50:
        width = max(1, len(losses) // 50)
        smooth = np.convolve(losses, np.full(width, 1 / width), mode="valid")
        axes[0].plot(np.arange(width, len(losses) + 1), smooth, color="tab:blue")
    axes[0].set(xlabel="step", ylabel="loss", title="training")
    colours = {"random": "tab:gray", "trained": "tab:blue"}
    for axis, (trials, tables) in zip(axes[1:], results.items(), strict=True):
        for name, rows in tables.items():
            for score, style in (("hamming", "--"), ("scaled", "-")):
                chosen = [row for row in rows if row.score == score and row.windows == "whole"]
                rate = sorted(chosen[0].recall)[len(chosen[0].recall) // 2]
                points = [100 * row.recall[rate] for row in chosen]
                axis.plot(
                    [100 * row.edits for row in chosen], points, style, marker="o", color=colours.get(name),
                    label=f"{name}, {score}",
                )  # fmt: skip
        axis.set(
            xlabel="edits per 100 bases", ylabel="true windows found, %", ylim=(0, 101),
            title=f"{trials}, false-positive rate {rate:g}",
        )  # fmt: skip
        axis.legend(fontsize=8)
    figure.savefig(path, dpi=150)


def _row(row: RecallRow) -> dict[str, object]:
    return {
        "score": row.score,
        "windows": row.windows,
        "edits": row.edits,
        "recall": {f"{rate:g}": round(value, 4) for rate, value in row.recall.items()},
    }


def _mean(values: Sequence[float] | NDArray[np.float32]) -> float | None:
    return round(float(np.mean(values)), 4) if len(values) else None
