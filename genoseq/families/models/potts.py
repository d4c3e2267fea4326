"""A Potts model of a family: fields and couplings, energies of sequences, scores of variants, conditionals of a site.

The probability of a sequence x is proportional to ``exp(E(x))`` with ``E(x) = sum_i h_i(x_i) + sum_{i<j} J_ij(x_i, x_j)``
(nats). A variant's score is ``E(variant) - E(wild type)`` (Hopf, T. A. et al. (2017), Nat. Biotechnol. 35:128). Couplings are
kept packed, each once: about ``4 * L**2 / 2 * q**2`` bytes, 65 MB for 286 sites of 20 letters.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from genoseq.families.alignments.alignment import Alignment
from genoseq.families.alphabet import GAP
from genoseq.families.models.model import FamilyModel, Focus, focus_of
from genoseq.families.models.potts_fit import PottsSettings, fit_potts
from genoseq.families.models.potts_kernels import count_packed, energies_of, logits_at, read_columns
from genoseq.families.models.potts_objective import unpack
from genoseq.families.models.site import weighted_rows
from genoseq.log import counted

__all__ = ["PottsModel", "fit_potts_model"]

log = logging.getLogger(__name__)

Floats = NDArray[np.float32]


class PottsModel(FamilyModel):
    """Fields and couplings.

    Attributes:
        fields: (L, q) float64, nats; q is 20, or 21 with the gap as a letter.
        couplings: packed float32, see :mod:`genoseq.families.models.potts_kernels`.
    """

    kind: ClassVar[str] = "potts"

    def __init__(self, focus: Focus, fields: NDArray[np.float64], couplings: Floats) -> None:
        super().__init__(focus)
        length, states = fields.shape
        if length != focus.length or states not in (GAP, GAP + 1) or couplings.shape != (count_packed(length, states),):
            raise ValueError(f"fields {fields.shape} and couplings {couplings.shape} do not fit {focus.length} columns")
        self.fields = fields
        self.couplings = couplings

    @property
    def states(self) -> int:
        """Letters q of the model."""
        return int(self.fields.shape[1])

    def dense_couplings(self) -> Floats:
        """(L, q, L, q) float32, symmetric, zero between a site and itself: twice the memory of the packed ones."""
        return unpack(self.couplings, self.focus.length, self.states)

    def site_couplings(self, site: int) -> Floats:
        """(L, q, q) couplings of one site: letter at the other site, letter at this one. One pass over ``L * q * q`` numbers."""
        length, states = self.fields.shape
        table = np.zeros((length * (states + 1), states), np.float32)
        read_columns(self.couplings, site, length, states, table, 0)
        return table.reshape(length, states + 1, states)[:, :states].copy()

    def conditional_logits(self, codes: NDArray[np.uint8], site: int) -> NDArray[np.float64]:
        """(n, q) logits of the letter at ``site`` given the other letters of each row; their softmax is its distribution.

        Args:
            codes: (n, L) codes; those not below q count nothing.
            site: a modelled column, from 0. What stands there in ``codes`` is not looked at.
        """
        out = np.tile(self.fields[site], (len(codes), 1))
        logits_at(self.couplings, np.ascontiguousarray(codes), site, self.states, out)
        return out

    def energies(self, codes: NDArray[np.uint8]) -> NDArray[np.float64]:
        """(n,) energies E of rows (n, L) of codes in the modelled columns; missing letters count nothing."""
        out = np.zeros(len(codes))
        energies_of(self.fields, self.couplings, np.ascontiguousarray(codes), out)
        return out

    @cached_property
    def _wild_logits(self) -> NDArray[np.float64]:
        """(L, q) conditional logits of each site in the wild type."""
        own = self.focus.codes[None]
        return np.concatenate([self.conditional_logits(own, site) for site in range(self.focus.length)])

    def single_scores(self) -> NDArray[np.float64]:
        """(L, 20) energies of all single variants minus the wild type's."""
        own = self.focus.codes
        logits = self._wild_logits
        scores = logits[:, :GAP] - np.take_along_axis(logits, np.minimum(own, GAP - 1)[:, None].astype(np.intp), axis=1)
        scores[own >= GAP] = np.nan
        return scores

    def _score_sites(self, sites: NDArray[np.intp], letters: NDArray[np.intp]) -> NDArray[np.float64]:
        total: NDArray[np.float64] = self.single_scores()[sites, letters].sum(axis=1)
        old = self.focus.codes.astype(np.intp)
        for one in range(sites.shape[1]):  # each pair of substitutions: couplings of new-new, less those the singles counted
            for other in range(one):
                i, j = sites[:, one], sites[:, other]
                a, b, a0, b0 = letters[:, one], letters[:, other], old[i], old[j]
                total += self._coupling(i, a, j, b) + self._coupling(i, a0, j, b0)
                total -= self._coupling(i, a, j, b0) + self._coupling(i, a0, j, b)
        return total

    def _coupling(
        self, i: NDArray[np.intp], a: NDArray[np.intp], j: NDArray[np.intp], b: NDArray[np.intp]
    ) -> NDArray[np.float64]:
        """J_ij(a, b), elementwise, i not j."""
        q = self.states
        swap = i < j
        high, low = np.where(swap, j, i), np.where(swap, i, j)
        of_high, of_low = np.where(swap, b, a), np.where(swap, a, b)
        found: NDArray[np.float64] = self.couplings[((high * (high - 1) // 2 + low) * q + of_low) * q + of_high].astype(
            np.float64
        )
        return found

    def score_sequences(self, sequences: Sequence[str]) -> NDArray[np.float64]:
        """Energies minus the wild type's; NaN for another length than its own. Unknown residues count nothing."""
        numbers, codes = self._aligned(sequences)
        scores = np.full(len(sequences), np.nan)
        scores[numbers] = self.energies(codes) - self.energies(self.focus.codes[None])[0]
        return scores

    def tensors(self) -> dict[str, NDArray[Any]]:
        """Fields and packed couplings."""
        return {"fields": self.fields, "couplings": self.couplings}

    @classmethod
    def restore(cls, focus: Focus, tensors: Mapping[str, NDArray[Any]]) -> Self:
        """The model of such tensors."""
        return cls(focus, np.array(tensors["fields"], np.float64), np.ascontiguousarray(tensors["couplings"], np.float32))


def fit_potts_model(
    alignment: Alignment,
    *,
    settings: PottsSettings | None = None,
    weight_identity: float = 0.8,
    device: str = "cpu",
    threads: int = 1,
) -> PottsModel:
    """Fit fields and couplings to the modelled columns, rows weighted by 1 / neighbours.

    Args:
        alignment: its rows as filtered.
        settings: letters, penalties and the end of the fit.
        weight_identity: identity from which rows are neighbours.
        device: ``cpu``, or a device of torch such as ``cuda``.
        threads: on the CPU; they change no result.
    """
    settings = settings or PottsSettings()
    matrix, weights = weighted_rows(alignment, weight_identity, threads)
    rows = counted(len(alignment), "sequence")
    log.info("Potts model: %s, worth %.1f at %.0f %% identity", rows, weights.sum(), 100 * weight_identity)
    fit = fit_potts(matrix, weights, settings=settings, device=device, threads=threads)
    focus = focus_of(
        alignment, gap_state=settings.gap_state, fields_penalty=settings.fields_penalty,
        couplings_penalty=settings.couplings_penalty, iterations=fit.iterations, converged=fit.converged,
        objective=fit.objective, weight_identity=weight_identity, rows=len(alignment), effective_rows=float(weights.sum()),
    )  # fmt: skip
    return PottsModel(focus, fit.fields, fit.couplings)
