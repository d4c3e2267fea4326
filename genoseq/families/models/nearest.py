"""What the nearest homologues carry: a letter is the better tolerated, the nearer to the wild type the sequences that have it.

Columns alone say how frequent a letter is; they do not say among whom. A letter that is only found far away in the tree may
need all that has changed on the way there; one that near relatives carry has been tried in almost this protein. So letter b at
site i costs

    c(i) (0.6 d(i, b) + 0.4 (log f(i, wild type) - log f(i, b)) / m)

with f the weighted frequencies, m the largest such log ratio of the protein, d(i, b) the mean distance of the three rows
nearest to the wild type that have b at i, and c(i) the conservation of the column, its relative entropy against the background
as a share of the largest one. The distance of a row is the share, by the squares of c, of the columns in which it differs from
the wild type, divided by that of the farthest row; where fewer than three rows have a letter, each missing one counts as a
tenth farther than that, so that a single sequence, which may be wrong, says less than three. Several substitutions cost what
they do one by one.

This is the idea of GEMME (Laine, E., Karami, Y. and Carbone, A. (2019), Mol. Biol. Evol. 36:2604), with its weights 0.6 and
0.4, without its tree: relative entropy stands for its evolutionary traces, three rows for one.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from genoseq.errors import UsageError
from genoseq.families.alignments.alignment import Alignment
from genoseq.families.alphabet import GAP
from genoseq.families.models.model import focus_of
from genoseq.families.models.pssm import BACKGROUND
from genoseq.families.models.site import PSEUDO_COUNT, SiteModel, letter_counts, weighted_rows

__all__ = ["NearestModel", "conservation", "fit_nearest", "letter_distances", "letter_distances_plainly"]

NEAREST = 3
BY_DISTANCE = 0.6
UNSEEN = 1.1
BLOCK = 4096


class NearestModel(SiteModel):
    """Independent columns, judged by who has which letter.

    Attributes:
        logs: (L, 20) minus what each letter costs, 0 for the wild type's; no log-probabilities, and without a unit.
    """

    kind: ClassVar[str] = "nearest"
    unit: ClassVar[str] = ""


def fit_nearest(alignment: Alignment, *, weight_identity: float = 0.8, threads: int = 1) -> NearestModel:
    """The model of an alignment's rows.

    Args:
        alignment: its rows as filtered; with a query.
        weight_identity: identity from which rows are neighbours, for the frequencies.
        threads: for the weights; they change no result.

    Raises:
        UsageError: there is no query.
    """
    if alignment.query is None:
        raise UsageError("distances are those to the wild type, and the alignment has none: say which row it is")
    focus = focus_of(alignment, weight_identity=weight_identity, nearest=NEAREST, rows=len(alignment))
    matrix, weights = weighted_rows(alignment, weight_identity, threads)
    counts = letter_counts(matrix, weights)
    traces = conservation(counts)
    own = focus.codes
    distances = letter_distances(matrix, own, traces**2)
    logs = np.log(counts + PSEUDO_COUNT / GAP)
    known = np.flatnonzero(own < GAP)
    ratios = logs[known, own[known], None] - logs[known]
    costs = np.zeros_like(logs)
    costs[known] = BY_DISTANCE * distances[known] + (1 - BY_DISTANCE) * ratios / max(ratios.max(initial=0.0), 1e-9)
    costs[known, own[known]] = 0
    return NearestModel(focus, -traces[:, None] * costs)


def conservation(counts: NDArray[np.float64]) -> NDArray[np.float64]:
    """Relative entropy of each column (L,) against the background, as a share of the largest; one pseudo-count a column.

    Args:
        counts: weighted counts of the letters, (L, 20).
    """
    background = np.array(BACKGROUND) / sum(BACKGROUND)
    shares = (counts + background) / (counts.sum(axis=1, keepdims=True) + 1)
    entropy = (shares * np.log(shares / background)).sum(axis=1)
    relative: NDArray[np.float64] = np.clip(entropy / max(entropy.max(initial=0.0), 1e-9), 0, 1)
    return relative


def letter_distances(
    matrix: NDArray[np.uint8], own: NDArray[np.uint8], column_weights: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Mean distance (L, 20) of the three rows nearest to the wild type that have a letter, as a share of the farthest row's.

    Args:
        matrix: codes (N, L).
        own: codes of the wild type (L,).
        column_weights: what a column counts (L,). A row's distance is the share of its residues, so weighted, that differ;
            a row without any is left out.
    """
    distances = _row_distances(matrix, own, column_weights)
    order = np.argsort(distances, kind="stable")[: np.count_nonzero(np.isfinite(distances))]
    ordered, sorted_distances = matrix[order], distances[order]
    found = np.empty((matrix.shape[1], GAP))
    for letter in range(GAP):
        rows, sites = np.nonzero((ordered == letter).T)[::-1]  # site by site, near rows first
        begins = np.searchsorted(sites, np.arange(matrix.shape[1]))
        nth = np.arange(len(sites)) - begins[sites]
        near = nth < NEAREST
        totals = np.bincount(sites[near], sorted_distances[rows[near]], matrix.shape[1])
        missing = NEAREST - np.bincount(sites[near], minlength=matrix.shape[1])
        found[:, letter] = (totals + UNSEEN * missing) / NEAREST
    return found


def letter_distances_plainly(
    matrix: NDArray[np.uint8], own: NDArray[np.uint8], column_weights: NDArray[np.float64]
) -> NDArray[np.float64]:
    """The same, letter by letter."""
    distances = _row_distances(matrix, own, column_weights)
    found = np.empty((matrix.shape[1], GAP))
    for site in range(matrix.shape[1]):
        for letter in range(GAP):
            near = np.sort(distances[(matrix[:, site] == letter) & np.isfinite(distances)])[:NEAREST]
            found[site, letter] = np.mean([*near, *[UNSEEN] * (NEAREST - len(near))])
    return found


def _row_distances(matrix: NDArray[np.uint8], own: NDArray[np.uint8], column_weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Weighted shares (N,) of residues that differ, divided by the largest; NaN of a row that has none to compare."""
    distances = np.full(len(matrix), np.nan)
    for begin in range(0, len(matrix), BLOCK):  # the products are of doubles
        rows = matrix[begin : begin + BLOCK]
        known = (rows < GAP) & (own < GAP)
        shared = known @ column_weights
        differing = (known & (rows != own)) @ column_weights
        distances[begin : begin + BLOCK] = np.divide(differing, shared, out=np.full(len(rows), np.nan), where=shared > 0)
    return distances / (np.nanmax(distances, initial=0.0) or 1.0)
