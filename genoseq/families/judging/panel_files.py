"""A panel as JSON and as a table of text."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from genoseq import __version__
from genoseq.families.judging.panel import Panel
from genoseq.families.models.likelihoods import HeldOutLikelihood

__all__ = ["FORMAT", "VERSION", "panel_json", "panel_table"]

FORMAT, VERSION = "genoseq.family-panel", 1
HEADS = {
    "hits": "hits", "bits": "bits/col", "nearest": "nearest", "copies": "copies", "pairwise": "pairwise", "recall": "recall",
    "coverage": "coverage", "composition": "aa JSD", "r_train": "r train", "r_held_out": "r held", "r20": "r20",
    "length": "length", "low_complexity": "low cplx", "repeats": "repeats", "duplicates": "twice",
}  # fmt: skip


def panel_json(panel: Panel, *, likelihoods: tuple[HeldOutLikelihood, ...] = (), about: Mapping[str, Any] | None = None) -> str:
    """The panel as JSON: values, intervals, the verdict, and the measures of every single sequence; not a number is null."""

    def plain(value: float) -> float | None:
        return None if math.isnan(value) else round(float(value), 6)

    content = {
        "format": FORMAT,
        "version": VERSION,
        "genoseq": __version__,
        **(about or {}),
        "passed": panel.passed and all(one.passed for one in likelihoods if one.passed is not None),
        "verdict": [
            {"measure": line.measure, "value": plain(line.value), "wanted": line.wanted, "passed": line.passed}
            for line in panel.verdict
        ],
        "held_out_nll": [
            {"model": one.model, "nats_per_residue": plain(one.value), "comparable": one.note, "passed": one.passed}
            for one in likelihoods
        ],
        "sets": [
            {
                "name": one.name,
                "sequences": one.number,
                "values": {name: plain(value) for name, value in one.values.items()},
                "intervals": {name: [plain(low), plain(high)] for name, (low, high) in one.intervals.items()},
                "each": {
                    "bits_per_column": [plain(value) for value in one.bits],
                    "e_value": [float(f"{value:.3g}") for value in one.e_value],
                    "nearest": [plain(value) for value in one.nearest],
                    "neighbour": [int(value) + 1 for value in one.neighbour],
                },
            }
            for one in panel.sets
        ],
    }
    return json.dumps(content, indent=1) + "\n"


def panel_table(panel: Panel, *, likelihoods: tuple[HeldOutLikelihood, ...] = ()) -> str:
    """The panel as lines of text: the sets, the intervals of the samples, the verdict."""
    wide = max(20, *(len(one.name) for one in panel.sets))
    lines = [" ".join(["set".ljust(wide), "    n", *(f"{HEADS[name]:>8}" for name in panel.sets[0].values)])]
    for one in panel.sets:
        lines.append(" ".join([one.name.ljust(wide), f"{one.number:5}", *(_number(value) for value in one.values.values())]))
    samples = panel.sets[0]
    if samples.intervals:
        for label, side in (("  95 % from", 0), ("  95 % to", 1)):
            ends = [_number(samples.intervals[name][side]) if name in samples.intervals else " " * 8 for name in samples.values]
            lines.append(" ".join([label.ljust(wide), " " * 5, *ends]).rstrip())
    lines.append("")
    for line in panel.verdict:
        lines.append(f"{'pass' if line.passed else 'FAIL'}  {HEADS[line.measure]:9} {_number(line.value)}  {line.wanted}")
    for like in likelihoods:
        word = "     " if like.passed is None else "pass " if like.passed else "FAIL "
        lines.append(
            f"{word} {'held NLL':9} {_number(like.value)}  nats per residue, {like.model}{f' ({like.note})' if like.note else ''}"
        )
    return "\n".join(lines) + "\n"


def _number(value: float) -> str:
    return f"{value:8.4f}" if 0 < abs(value) < 0.1 else f"{value:8.3f}"
