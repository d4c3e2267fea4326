"""Trials for window codes: windows of reads, the true window of each, and the false ones that share its
anchor.

A trial set is a list of groups. In synthetic groups all windows come from one random genome; in groups from a
real genome all windows share one anchor k-mer, which is what a lookup in the index returns. Either way the
anchor carries no information.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from genoseq.kernels import kernel
from genoseq.train.window_data import FLANK, MARGIN, Genomes, ReadEnds, edit_windows, random_surroundings

__all__ = ["TrialGroup", "flank_distance", "genome_trials", "synthetic_trials"]

WHOLE = ReadEnds(share=0.0)
REPEAT = (
    26  # edits between two windows (64 bp) up to which they count as copies; random ones are 38 +- 2.6 apart
)
HALF_REPEAT = 9  # the same for one flank (32 bp); random ones are 19 +- 1.8 apart


class TrialGroup(NamedTuple):
    """Windows that are searched, and queries with their true window.

    Attributes:
        windows: uint8 ``(m, 64)``.
        truth: row of ``windows`` that each query comes from, int64 ``(q,)``.
        false: bool ``(q, m)``, the windows that are a wrong answer to a query (neither the true one nor a
            copy of it).
        whole: edit rate -> queries with both flanks whole, uint8 ``(q, 64)``.
        cut: edit rate -> the same queries as reads show them, cut where the read ends.
    """

    windows: NDArray[np.uint8]
    truth: NDArray[np.int64]
    false: NDArray[np.bool_]
    whole: dict[float, NDArray[np.uint8]]
    cut: dict[float, NDArray[np.uint8]]


def synthetic_trials(
    *,
    groups: int,
    windows: int,
    queries: int,
    edits: tuple[float, ...],
    genomes: Genomes,
    ends: ReadEnds,
    seed: int,
) -> list[TrialGroup]:
    """``groups`` random genomes with ``windows`` windows and ``queries`` queries each."""
    rng = np.random.default_rng(seed)
    made = []
    for _ in range(groups):
        around = random_surroundings(windows, genomes=genomes, rng=rng)
        truth = np.arange(min(queries, windows))
        made.append(_group(around, truth, edits, ends, rng))
    return made


def genome_trials(
    codes: NDArray[np.uint8],
    *,
    groups: int,
    queries: int,
    edits: tuple[float, ...],
    ends: ReadEnds,
    seed: int,
    windows: int = 3000,
    least: int = 80,
) -> list[TrialGroup]:
    """Trials from a real genome: each group is one anchor k-mer, drawn in proportion to how often it occurs.

    Args:
        codes: base codes of the genome; contigs joined by at least ``MARGIN`` codes of 4.
        groups: anchor k-mers.
        queries: queries per anchor.
        edits: edit rates.
        ends: how reads cut windows; also sets the anchor's length.
        seed: of all choices.
        windows: at most so many windows per anchor, drawn at random from longer lists.
        least: anchors with fewer windows than that are left out.

    Raises:
        ValueError: the genome is too short: no anchor has ``least`` windows.
    """
    rng = np.random.default_rng(seed)
    k = ends.anchor
    lists, turned, places = _anchor_lists(codes, k)
    starts = np.flatnonzero(np.diff(lists, prepend=-1))
    counts = np.diff(np.append(starts, len(lists)))
    enough = np.flatnonzero(counts >= max(least, queries))
    if len(enough) == 0:
        raise ValueError(
            f"no anchor has {max(least, queries)} windows in {len(codes):,} bp; use a longer genome"
        )
    chosen = rng.choice(
        enough, size=min(groups, len(enough)), replace=False, p=counts[enough] / counts[enough].sum()
    )
    made = []
    for anchor in chosen:
        rows = starts[anchor] + rng.permutation(counts[anchor])[:windows]
        spans = places[rows][:, None] + np.arange(-MARGIN, k + MARGIN)
        around = codes[spans]
        flip = turned[rows]
        around[flip] = 3 - around[flip][:, ::-1]
        around = np.ascontiguousarray(np.delete(around, slice(MARGIN, MARGIN + k), axis=1))
        made.append(_group(around, np.arange(queries), edits, ends, rng))
    return made


def _group(
    around: NDArray[np.uint8],
    truth: NDArray[np.int64],
    edits: tuple[float, ...],
    ends: ReadEnds,
    rng: np.random.Generator,
) -> TrialGroup:
    windows = np.ascontiguousarray(around[:, MARGIN - FLANK : MARGIN + FLANK])
    whole = {rate: edit_windows(around[truth], edits=(rate, rate), ends=WHOLE, rng=rng) for rate in edits}
    always = ReadEnds(share=1.0, read_length=ends.read_length, anchor=ends.anchor)
    cut = {rate: edit_windows(around[truth], edits=(rate, rate), ends=always, rng=rng) for rate in edits}
    false = np.ones((len(truth), len(windows)), np.bool_)
    _exclude_copies(windows, truth, REPEAT, HALF_REPEAT, false)
    return TrialGroup(windows, truth, false, whole, cut)


def _anchor_lists(
    codes: NDArray[np.uint8], k: int
) -> tuple[NDArray[np.int64], NDArray[np.bool_], NDArray[np.int64]]:
    """Canonical k-mer, whether it is turned, and position, of places with whole surroundings, by k-mer."""
    n = len(codes) - k + 1
    if n <= 2 * MARGIN:
        return np.empty(0, np.int64), np.empty(0, np.bool_), np.empty(0, np.int64)
    forward = np.zeros(n, np.int64)
    reverse = np.zeros(n, np.int64)
    for j in range(k):
        base = codes[j : j + n].astype(np.int64)
        forward = forward * 4 + base
        reverse += (3 - base) * 4**j
    missing = np.concatenate([[0], np.cumsum(codes > 3)])
    places = np.arange(MARGIN, n - MARGIN)
    places = places[missing[places + k + MARGIN] == missing[places - MARGIN]]
    places = places[forward[places] != reverse[places]]
    lists = np.minimum(forward, reverse)[places]
    order = np.argsort(lists, kind="stable")
    places = places[order]
    return lists[order], reverse[places] < forward[places], places


@kernel
def flank_distance(first, second, row):
    """Edit distance of two stretches of equal length up to 32 bp; ``row`` is scratch, int64 ``(33,)``."""
    length = first.shape[0]
    for j in range(length + 1):
        row[j] = j
    for i in range(length):
        diagonal = row[0]
        row[0] = i + 1
        for j in range(length):
            best = min(diagonal + (first[i] != second[j]), min(row[j], row[j + 1]) + 1)
            diagonal = row[j + 1]
            row[j + 1] = best
    return row[length]


@kernel
def _exclude_copies(windows, truth, repeat, half_repeat, false):
    """Clear ``false`` where a window is (nearly) the query's own: copies are no wrong answer."""
    row = np.empty(33, np.int64)
    for q in range(truth.shape[0]):
        own = windows[truth[q]]
        for w in range(windows.shape[0]):
            left = flank_distance(own[:32], windows[w, :32], row)
            right = flank_distance(own[32:], windows[w, 32:], row)
            if left + right <= repeat or left <= half_repeat or right <= half_repeat:
                false[q, w] = False
