"""Site-independent models: the log-probability of each letter in each column, and nothing between columns.

Source: the independent model of Hopf, T. A. et al. (2017), Nat. Biotechnol. 35:128.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from genoseq.families.alignments.alignment import Alignment
from genoseq.families.alignments.weights import sequence_weights
from genoseq.families.alphabet import GAP
from genoseq.families.models.model import FamilyModel, Focus, focus_of

__all__ = ["SiteModel", "fit_site", "letter_counts", "weighted_rows"]

PSEUDO_COUNT = 1.0


class SiteModel(FamilyModel):
    """Independent columns.

    Attributes:
        logs: (L, 20) log-probabilities, nats.
    """

    kind: ClassVar[str] = "site"

    def __init__(self, focus: Focus, logs: NDArray[np.float64]) -> None:
        super().__init__(focus)
        if logs.shape != (focus.length, GAP):
            raise ValueError(f"log-probabilities of shape {logs.shape}, expected {(focus.length, GAP)}")
        self.logs = logs

    def single_scores(self) -> NDArray[np.float64]:
        """(L, 20) log ratios to the wild type's letter."""
        own = self.focus.codes
        scores = self.logs - np.take_along_axis(self.logs, np.minimum(own, GAP - 1)[:, None].astype(np.intp), axis=1)
        scores[own >= GAP] = np.nan
        return scores

    def _score_sites(self, sites: NDArray[np.intp], letters: NDArray[np.intp]) -> NDArray[np.float64]:
        total: NDArray[np.float64] = self.single_scores()[sites, letters].sum(axis=1)
        return total

    def score_sequences(self, sequences: Sequence[str]) -> NDArray[np.float64]:
        """Log ratios to the wild type; residues that are not known count nothing. NaN for another length than the wild type's."""
        numbers, codes = self._aligned(sequences)
        singles = np.nan_to_num(np.pad(self.single_scores(), ((0, 0), (0, 2))))
        scores = np.full(len(sequences), np.nan)
        scores[numbers] = singles[np.arange(codes.shape[1]), codes].sum(axis=1)
        return scores

    def tensors(self) -> dict[str, NDArray[Any]]:
        """The log-probabilities."""
        return {"logs": self.logs}

    @classmethod
    def restore(cls, focus: Focus, tensors: Mapping[str, NDArray[Any]]) -> Self:
        """The model of such log-probabilities."""
        return cls(focus, np.array(tensors["logs"], np.float64))


def fit_site(
    alignment: Alignment, *, pseudo_count: float = PSEUDO_COUNT, weight_identity: float = 0.8, threads: int = 1
) -> SiteModel:
    """Frequencies of the letters in the modelled columns, rows weighted by 1 / neighbours.

    Args:
        alignment: its rows as filtered.
        pseudo_count: added to each column, spread evenly over the letters.
        weight_identity: identity from which rows are neighbours.
        threads: for the weights; they change no result.

    >>> from genoseq.families.alphabet import encode
    >>> rows = np.array([encode("AC"), encode("AD"), encode("AD")])
    >>> small = Alignment(("wt", "a", "b"), rows, ("AC", "AD", "AD"), "AC", 0, np.ones(2, bool))
    >>> fit_site(small).single_scores()[1, 2].round(3)  # C2D
    np.float64(0.0)
    """
    matrix, weights = weighted_rows(alignment, weight_identity, threads)
    counts = letter_counts(matrix, weights) + pseudo_count / GAP
    logs = np.log(counts / counts.sum(axis=1, keepdims=True))
    return SiteModel(focus_of(alignment, pseudo_count=pseudo_count, weight_identity=weight_identity, rows=len(alignment)), logs)


def weighted_rows(
    alignment: Alignment, weight_identity: float, threads: int = 1
) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """The modelled columns (N, L) of the rows that have any residue there, and the weights (N,) of those."""
    matrix = np.ascontiguousarray(alignment.matrix[:, alignment.modelled])
    weights = sequence_weights(matrix, identity=weight_identity, threads=threads)
    return matrix[weights > 0], weights[weights > 0]


def letter_counts(matrix: NDArray[np.uint8], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Weighted counts (L, 20) of the amino acids; gaps and unknown residues count nothing."""
    return np.stack([np.bincount(column, weights, 22)[:GAP] for column in matrix.T]) if matrix.shape[1] else np.zeros((0, GAP))
