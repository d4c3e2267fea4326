"""The figures of a comparison of classifiers: accuracies with intervals; confusion matrix and reliability of each run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from genoseq.classify.benchmark import DESCRIPTIONS, PUBLISHED, Result
from genoseq.report.classification import Bar, draw_accuracies, draw_confusion, draw_reliability

__all__ = ["draw_benchmark"]


def draw_benchmark(results: Sequence[Result], folder: Path) -> None:
    """Write ``accuracy.png``, and ``confusion_METHOD_SETTING.png`` and ``reliability_METHOD_SETTING.png`` of each run."""
    folder.mkdir(parents=True, exist_ok=True)
    bars = [
        Bar(f"setting {one.setting}", DESCRIPTIONS[one.method], one.accuracy, one.accuracy_low, one.accuracy_high)
        for one in results
    ]
    marks = [
        Bar("setting O", DESCRIPTIONS[one.method], share, share, share)
        for one in results
        if one.setting == "O" and (share := PUBLISHED.get(one.method)) is not None
    ]
    draw_accuracies(bars, folder / "accuracy.png", marks=marks)
    for one in results:
        title = f"{DESCRIPTIONS[one.method]}, setting {one.setting}"
        counts = np.reshape(one.confusion, (len(one.labels), len(one.labels)))
        draw_confusion(counts, one.labels, folder / f"confusion_{one.method}_{one.setting}.png", title=title)
        if one.bins:
            draw_reliability(one.bins, folder / f"reliability_{one.method}_{one.setting}.png", title=title)
