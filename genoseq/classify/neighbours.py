"""Nearest neighbours with ties resolved honestly: a label never depends on the order of the training sequences, nor on the truth.

Distances between compressed sizes are ratios of small whole numbers, so ties are common. Two ways of treating them are
known to deceive: taking whichever tied neighbour stands first makes the score depend on how the data were shuffled, and
counting a tie as right if any of the tied labels is right turns 2-nearest-neighbour accuracy into top-2 accuracy (Jiang et al.,
Findings of ACL 2023, 6810, as found by K. Schutte, 2023). Here:

1. neighbours tied at the k-th distance share the places that are left, each by an equal part;
2. classes with equal votes: the one whose voters are nearer on average wins, then the one with more training sequences, then the
   first in sorted order.

:func:`accuracy_bounds` says how much the treatment of ties matters.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["Bounds", "accuracy_bounds", "decide", "votes"]

Floats = NDArray[np.float64]


class Votes(NamedTuple):
    """Votes of the neighbours of some sequences.

    Attributes:
        share: ``(B, C)``, the vote of each class, rows sum to 1.
        distance: ``(B, C)``, mean distance of the voters of a class; infinite for a class without any.
        nearest: ``(B,)``, distance of the nearest neighbour.
    """

    share: Floats
    distance: Floats
    nearest: Floats


def votes(distances: Floats, codes: NDArray[np.intp], classes: int, *, k: int = 1, first: bool = False) -> Votes:
    """Votes of the k nearest training sequences.

    Args:
        distances: ``(B, N)`` to the training sequences; infinite means not a candidate.
        codes: ``(N,)`` class of each training sequence, 0 to ``classes - 1``.
        classes: number of classes, C.
        k: number of neighbours; those tied at the last place share it.
        first: no sharing: of tied neighbours those that stand first vote, as ``argmin`` does. For reproducing published figures.

    >>> tied = np.array([[0.2, 0.2, 0.9]])
    >>> votes(tied, np.array([0, 1, 1]), 2).share.tolist()
    [[0.5, 0.5]]
    >>> votes(tied, np.array([0, 1, 1]), 2, first=True).share.tolist()
    [[1.0, 0.0]]
    """
    rows, count = distances.shape
    k = min(k, count)
    if first:
        chosen = np.argsort(distances, axis=1, kind="stable")[:, :k]
        weights = np.zeros((rows, count))
        np.put_along_axis(weights, chosen, 1.0, axis=1)
    else:
        last = np.partition(distances, k - 1, axis=1)[:, k - 1 : k]
        closer, tied = distances < last, distances == last
        weights = closer + tied * ((k - closer.sum(1, keepdims=True)) / tied.sum(1, keepdims=True))
    membership = np.zeros((count, classes))
    membership[np.arange(count), codes] = 1.0
    ballots = weights @ membership
    near = np.where(weights > 0, distances, 0.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.where(ballots > 0, (weights * near) @ membership / ballots, np.inf)
    return Votes(ballots / ballots.sum(1, keepdims=True), mean, distances.min(axis=1))


def decide(found: Votes, sizes: NDArray[np.intp]) -> NDArray[np.intp]:
    """Class ``(B,)`` of each row of votes; ``sizes`` ``(C,)`` counts the training sequences of each class."""
    share = np.round(found.share, 12)  # sums of equal parts in another order must still be equal
    winner = np.empty(len(share), np.intp)
    for row, (vote, distance) in enumerate(zip(share, np.round(found.distance, 12), strict=True)):
        winner[row] = np.lexsort((np.arange(len(sizes)), -sizes, distance, -vote))[0]
    return winner


class Bounds(NamedTuple):
    """Accuracy if every tie between classes went wrong, and if every one went right (for k = 2: top-2 accuracy)."""

    lowest: float
    highest: float


def accuracy_bounds(found: Votes, truth: NDArray[np.intp]) -> Bounds:
    """Between which values accuracy lies, whatever is done with classes of equal votes; ``truth`` ``(B,)``.

    >>> two = votes(np.array([[0.1, 0.2]]), np.array([0, 1]), 2, k=2)
    >>> accuracy_bounds(two, np.array([1]))
    Bounds(lowest=0.0, highest=1.0)
    """
    share = np.round(found.share, 12)
    best = share == share.max(axis=1, keepdims=True)
    right = best[np.arange(len(truth)), truth]
    alone = best.sum(axis=1) == 1
    return Bounds(float(np.mean(right & alone)), float(np.mean(right)))
