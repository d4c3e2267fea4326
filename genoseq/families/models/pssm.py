"""A position-specific scoring matrix: letters of close homologues, with pseudo-counts from BLOSUM62 where they are few.

The pseudo-count of letter b in a column with frequencies f is ``beta * sum_a f(a) P(b | a)``: what BLOSUM62 expects beside the
letters that were seen, as in PSI-BLAST (Altschul, S. F. et al. (1997), Nucleic Acids Res. 25:3389), which also has beta = 10.
The weight of what was seen is the column's effective number of sequences, not the number of different letters.

Substitutions are judged by close homologues: by default the rows at least 40 % identical to the wild type. Where they are worth
fewer than ``least`` sequences, the nearest rows that are worth as many are taken instead, and the log says so.
"""

from __future__ import annotations

import logging
from functools import cache
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from genoseq.errors import UsageError
from genoseq.families.alignments.alignment import Alignment
from genoseq.families.alignments.filtering import identity_to_query
from genoseq.families.alignments.weights import effective_size, sequence_weights
from genoseq.families.alphabet import AMINO_ACIDS
from genoseq.families.models.model import focus_of
from genoseq.families.models.site import SiteModel, letter_counts, weighted_rows

__all__ = ["PSSMModel", "conditional_probabilities", "expected_logs", "fit_pssm"]

log = logging.getLogger(__name__)

MIN_IDENTITY = 0.4
LEAST = 20.0
BETA = 10.0
# Robinson, A. B. and Robinson, L. R. (1991), PNAS 88:8880, in the order of AMINO_ACIDS
BACKGROUND = (
    0.07805, 0.01925, 0.05364, 0.06295, 0.03856, 0.07377, 0.02199, 0.05142, 0.05744, 0.09019,
    0.02243, 0.04487, 0.05203, 0.04264, 0.05129, 0.07120, 0.05841, 0.06441, 0.01330, 0.03216,
)  # fmt: skip


class PSSMModel(SiteModel):
    """Independent columns of close homologues."""

    kind: ClassVar[str] = "pssm"


def fit_pssm(
    alignment: Alignment,
    *,
    min_identity: float = MIN_IDENTITY,
    least: float = LEAST,
    beta: float = BETA,
    weight_identity: float = 0.8,
    threads: int = 1,
) -> PSSMModel:
    """The matrix of the rows that are close to the wild type.

    Args:
        alignment: its rows as filtered; with a query unless ``min_identity`` is 0.
        min_identity: identity to the wild type, at least.
        least: effective number of sequences below which less identical rows are taken, too.
        beta: weight of the pseudo-counts, in sequences.
        weight_identity: identity from which rows are neighbours.
        threads: for the weights; they change no result.

    Raises:
        UsageError: ``min_identity`` without a query.
    """
    if min_identity > 0 and alignment.query is None:
        raise UsageError(
            "the PSSM takes rows close to the wild type, and the alignment has none: say which row it is, or ask for 0"
        )
    chosen, identity = _close_rows(alignment, min_identity, least, threads) if min_identity > 0 else (alignment, 0.0)
    matrix, weights = weighted_rows(chosen, weight_identity, threads)
    logs = expected_logs(letter_counts(matrix, weights), beta)
    focus = focus_of(
        alignment, min_identity=min_identity, least=least, beta=beta, weight_identity=weight_identity,
        rows=len(chosen), identity_used=identity,
    )  # fmt: skip
    return PSSMModel(focus, logs)


def expected_logs(counts: NDArray[np.float64], beta: float = BETA) -> NDArray[np.float64]:
    """Log-probabilities (L, 20) of columns with these weighted counts (L, 20), with ``beta`` pseudo-counts; see this module."""
    seen = counts.sum(axis=1, keepdims=True)
    background = np.array(BACKGROUND) / sum(BACKGROUND)
    shares = np.divide(counts, seen, out=np.broadcast_to(background, counts.shape).copy(), where=seen > 0)
    mixed = counts + beta * (shares @ conditional_probabilities())
    logs: NDArray[np.float64] = np.log(mixed / mixed.sum(axis=1, keepdims=True))
    return logs


@cache
def conditional_probabilities() -> NDArray[np.float64]:
    """(20, 20) P(b | a) behind BLOSUM62: p(b) exp(lambda S(a, b)), lambda such that the pairs' probabilities sum to 1.

    >>> bool(np.allclose(conditional_probabilities().sum(axis=1), 1))
    True
    """
    from Bio.Align import substitution_matrices

    blosum = substitution_matrices.load("BLOSUM62")
    scores = np.array([[blosum[a][b] for b in AMINO_ACIDS] for a in AMINO_ACIDS])
    background = np.array(BACKGROUND) / sum(BACKGROUND)
    pairs = np.outer(background, background)
    low, high = 0.1, 1.0  # the sum is below 1 at the one and above at the other, and grows between
    while high - low > 1e-12:
        scale = (low + high) / 2
        low, high = (scale, high) if (pairs * np.exp(scale * scores)).sum() < 1 else (low, scale)
    joint = pairs * np.exp(scale * scores)
    conditional: NDArray[np.float64] = joint / joint.sum(axis=1, keepdims=True)
    return conditional


def _close_rows(alignment: Alignment, min_identity: float, least: float, threads: int) -> tuple[Alignment, float]:
    """Rows of at least this identity, or the nearest that are worth ``least``, and the identity that was used."""
    identities = identity_to_query(alignment)
    enough = identities >= min_identity
    matrix = alignment.matrix[:, alignment.modelled]

    def worth(rows: NDArray[np.bool_]) -> float:
        return effective_size(sequence_weights(np.ascontiguousarray(matrix[rows]), threads=threads)) if rows.any() else 0.0

    found = worth(enough)
    if found >= least or enough.all():
        return alignment.subset(enough), min_identity
    for percent in range(int(np.ceil(100 * min_identity)) - 1, -1, -1):
        rows = identities >= percent / 100
        if percent == 0 or worth(rows) >= least:
            log.warning(
                "PSSM: rows of at least %.0f %% identity to the wild type are worth %.1f sequences; taking those from %d %% on",
                100 * min_identity, found, percent,
            )  # fmt: skip
            return alignment.subset(rows), percent / 100
    raise AssertionError("unreachable: all rows have an identity of at least 0")
