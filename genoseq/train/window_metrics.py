"""Recall of true windows at fixed false-positive rates: what a table of window codes is judged by.

Three scores, higher is better: ``hamming``, agreeing bits between the query's code and the stored one;
``sums``, the query's sums against the stored bits (``sum_d sums[d] * (+1 if bit d else -1)``); ``scaled``,
the same divided by the length of the query's vector of sums, which makes one threshold fit whole and cut
windows alike (false windows score about N(0, 1)).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from genoseq.train.window_data import window_features
from genoseq.train.window_trials import TrialGroup

__all__ = ["RATES", "SCORES", "RecallRow", "float_sums", "recall_at", "score_table"]

Score = Literal["hamming", "scaled", "sums"]
SCORES: tuple[Score, ...] = ("hamming", "scaled", "sums")
RATES = (1e-3, 1e-4, 1e-5)


class RecallRow(NamedTuple):
    """Recall of one score on one kind of query.

    Attributes:
        score: one of :data:`SCORES`.
        windows: "whole", or "cut" where reads end.
        edits: edits per base.
        recall: false-positive rate -> fraction of true windows found, 0 to 1.
    """

    score: str
    windows: str
    edits: float
    recall: dict[float, float]


def recall_at(
    true: NDArray[np.floating], false: NDArray[np.floating], rates: Sequence[float] = RATES
) -> dict[float, float]:
    """Share of ``true`` scores above the threshold that lets a share ``rate`` of ``false`` pass.

    Scores tied with the threshold pass in the proportion that meets the rate exactly (a randomised test), so
    that whole-numbered scores are comparable with continuous ones.

    >>> recall_at(np.array([3.0, 2.0, 1.0, 0.0]), np.array([2.0, 1.0, 0.0, 0.0]), rates=(0.25,))
    {0.25: 0.5}
    """
    if len(true) == 0 or len(false) == 0:
        raise ValueError(f"{len(true)} true and {len(false)} false scores; expected at least one of each")
    found = {}
    for rate in rates:
        passing = rate * len(false)
        if passing >= len(false):
            found[rate] = 1.0
            continue
        place = len(false) - 1 - int(passing)
        threshold = np.partition(false, place)[place]
        above = np.count_nonzero(false > threshold)
        tied = np.count_nonzero(false == threshold)
        share = (passing - above) / tied
        found[rate] = float(np.mean(true > threshold) + share * np.mean(true == threshold))
    return found


def float_sums(table: NDArray[np.integer | np.floating], windows: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The sums of table rows of each window, float32 ``(n, bits)``; exact for tables of small integers."""
    positions, features, bits = table.shape
    context = {4: 1, 16: 2, 64: 3}[features]
    rows = np.concatenate([table.reshape(-1, bits), np.zeros((1, bits), table.dtype)]).astype(np.float32)
    used = window_features(windows, context)
    sums = np.zeros((len(windows), bits), np.float32)
    for p in range(positions):
        sums += rows[used[:, p]]  # -1, no feature, is the row of zeros
    return sums


def score_table(
    table: NDArray[np.integer | np.floating], trials: Sequence[TrialGroup], rates: Sequence[float] = RATES
) -> list[RecallRow]:
    """Recall of a table on trials, one row per score, kind of window and edit rate."""
    stored = [_signs(float_sums(table, group.windows)) for group in trials]
    rows = []
    for kind in ("whole", "cut"):
        for edits in trials[0].whole:
            true: dict[str, list[NDArray[np.float32]]] = {score: [] for score in SCORES}
            false: dict[str, list[NDArray[np.float32]]] = {score: [] for score in SCORES}
            for group, bits in zip(trials, stored, strict=True):
                queries = group.whole[edits] if kind == "whole" else group.cut[edits]
                sums = float_sums(table, queries)
                for score, vectors in _query_vectors(sums).items():
                    scores = vectors @ bits.T
                    true[score].append(scores[np.arange(len(queries)), group.truth])
                    false[score].append(scores[group.false])
            for score in SCORES:
                recall = recall_at(np.concatenate(true[score]), np.concatenate(false[score]), rates)
                rows.append(RecallRow(score, kind, edits, recall))
    return rows


def _signs(sums: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.where(sums > 0, np.float32(1), np.float32(-1))


def _query_vectors(sums: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
    """What is multiplied with the stored signs, per score (agreeing bits: ``(bits + signs @ signs) / 2``)."""
    length = np.sqrt(np.sum(sums * sums, axis=1, keepdims=True))
    return {"hamming": _signs(sums), "scaled": sums / np.maximum(length, 1e-6), "sums": sums}
