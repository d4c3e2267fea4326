"""Negative log-likelihoods of held-out sequences per residue under a model and its peers, in nats; lower is better.

All are proper: the probabilities of all rows add up to 1. Rows are the columns of the alignment with the gap as a 21st
letter, for the autoregressive, the Potts and the site-independent model; the profile HMM has the same residues without gaps,
for which it sums over all ways to align them. Divided by the number of residues in both cases.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from genoseq.errors import InputError
from genoseq.families.alignments.alignment import Alignment
from genoseq.families.alignments.profile_alignment import SEED, amino_alphabet, digital_block, profile_of
from genoseq.families.alignments.protein_records import Protein
from genoseq.families.alignments.weights import sequence_weights
from genoseq.families.alphabet import AMINO_ACIDS, GAP, decode
from genoseq.families.judging.hmm_scores import null_log_likelihood
from genoseq.families.models.autoregressive_kernels import STATES

if TYPE_CHECKING:
    from genoseq.families.models.autoregressive import AutoregressiveModel
    from genoseq.families.models.potts import PottsModel

__all__ = [
    "HeldOutLikelihood",
    "compare_likelihoods",
    "per_residue",
    "potts_likelihoods",
    "profile_likelihoods",
    "site_likelihoods",
]


class HeldOutLikelihood(NamedTuple):
    """The mean of one model.

    Attributes:
        model: its name.
        value: nats per residue.
        note: what to know when comparing it.
        passed: whether a judged model is below its peers; None for a peer.
    """

    model: str
    value: float
    note: str
    passed: bool | None


def per_residue(log_likelihoods: NDArray[np.float64], rows: NDArray[np.uint8]) -> float:
    """Minus the sum of the log-likelihoods (N,) over the number of amino acids in the rows (N, L)."""
    return float(-log_likelihoods.sum() / (rows < len(AMINO_ACIDS)).sum())


def site_likelihoods(train: NDArray[np.uint8], rows: NDArray[np.uint8], *, weight_identity: float = 0.8) -> NDArray[np.float64]:
    """(N,) log-likelihoods of rows (N, L) under the columns' weighted frequencies, one pseudo-count a column."""
    weights = sequence_weights(train, identity=weight_identity)
    counts = np.stack([np.bincount(column, weights, STATES + 1)[:STATES] for column in train.T]) + 1 / STATES
    table = np.concatenate([np.log(counts / counts.sum(axis=1, keepdims=True)), np.zeros((len(counts), 1))], axis=1)
    found: NDArray[np.float64] = table[np.arange(rows.shape[1]), rows].sum(axis=1)
    return found


def profile_likelihoods(train: Alignment, rows: NDArray[np.uint8]) -> NDArray[np.float64]:
    """(N,) log-likelihoods of the residues of rows (N, L) under the profile HMM of ``train``: forward score plus null model."""
    from pyhmmer import plan7

    texts = [decode(row[row != GAP]) for row in rows]
    pipeline = plan7.Pipeline(amino_alphabet(), Z=1, F1=1.0, F2=1.0, F3=1.0, bias_filter=False, E=1e300, domE=1e300, seed=SEED)
    bits = np.zeros(len(texts))
    for hit in pipeline.search_hmm(profile_of(train), digital_block([Protein("", text) for text in texts])):
        bits[int(hit.name)] = hit.pre_score
    found: NDArray[np.float64] = bits * np.log(2) + null_log_likelihood(texts)
    return found


def potts_likelihoods(model: PottsModel, rows: NDArray[np.uint8], *, seed: int = 0) -> NDArray[np.float64]:
    """(N,) log-likelihoods of rows (N, L) under a Potts model with a gap state, its constant estimated.

    Raises:
        InputError: the model has no state for gaps.
    """
    from genoseq.families.sampling.gibbs import log_partition

    if model.states != STATES:
        raise InputError("the Potts model has no state for gaps, so its likelihood is of other data: fit it with --gap-state")
    found: NDArray[np.float64] = model.energies(rows) - log_partition(model, seed=seed)
    return found


def compare_likelihoods(
    model: AutoregressiveModel, train: Alignment, held_out: Alignment, *, potts: PottsModel | None = None
) -> tuple[HeldOutLikelihood, ...]:
    """The model beside its peers on the held-out rows; it passes if it is below all of them."""
    rows = held_out.matrix[:, train.modelled]
    own = per_residue(model.log_likelihoods(rows), rows)
    columns = np.ascontiguousarray(train.matrix[:, train.modelled])
    peers = [
        HeldOutLikelihood("site-independent", per_residue(site_likelihoods(columns, rows), rows), "", None),
        HeldOutLikelihood("profile HMM", per_residue(profile_likelihoods(train, rows), rows), "unaligned, local", None),
    ]
    if potts is not None:
        note = "constant estimated, errs low"
        peers.append(HeldOutLikelihood("Potts", per_residue(potts_likelihoods(potts, rows), rows), note, None))
    passed = all(own < peer.value for peer in peers)
    return (HeldOutLikelihood(model.kind, own, "", passed), *peers)
