"""An autoregressive model of a family in which every sequence descends from a natural one.

Each column has the distribution ``p(x_i | x_<i, s) = softmax(power * z_i(x_<i) + pull * [letter = s_i])`` where ``z_i`` is
linear in the letters before (arDCA: Trinquier, J. et al. (2021), Nature Communications 12:5800) and s is an ancestor drawn
from the train rows by their weights, the pull one of a few values that are equally likely. The regressions carry what the
columns ask of each other, the ancestor keeps a sample inside one subfamily, and the pulls make near and far descendants. The
likelihood is exact: the sum over all ancestors and pulls of products of such terms. Sampling is exact, too, and takes one
pass over the columns.

Fixed letters: a pass cannot foresee them, so :data:`CANDIDATES` rows are drawn with the letters put in, and one is chosen by
the probability that the model gave to what was put in (sampling, importance resampling).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import replace
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from genoseq.errors import InputError
from genoseq.families.alignments.alignment import Alignment
from genoseq.families.alignments.identity import nearest
from genoseq.families.alignments.weights import effective_size, sequence_weights
from genoseq.families.alphabet import AMINO_ACIDS, GAP
from genoseq.families.models.autoregressive_fit import WEIGHT_IDENTITIES, AutoregressiveSettings, fit_regressions
from genoseq.families.models.autoregressive_kernels import STATES, ancestor_terms, conditionals, draw_row, packed_size
from genoseq.families.models.model import FamilyModel, Focus, focus_of

__all__ = ["CANDIDATES", "AutoregressiveModel", "calibrated_pulls", "fit_autoregressive"]

log = logging.getLogger(__name__)

CANDIDATES = 32
PROPORTIONS = (0.5, 1.0, 1.5, 2.0)
SCALES = (0.1, 10.0)  # of the proportions, where the calibration looks
HALVINGS, TRIALS = 8, 200


class AutoregressiveModel(FamilyModel):
    """Regressions and ancestors.

    Attributes:
        fields: (L, 21) float32, logits before any letter is known.
        couplings: packed float32, see :mod:`genoseq.families.models.autoregressive_kernels`.
        ancestors: (N, L) uint8, the train rows.
        ancestor_weights: (N,) float64 probabilities, sum 1.
        power: what the logits are multiplied by.
        pulls: (K,) float64, nats added to the ancestor's letter, one of them in each row.
    """

    kind: ClassVar[str] = "autoregressive"

    def __init__(
        self,
        focus: Focus,
        fields: NDArray[np.float32],
        couplings: NDArray[np.float32],
        ancestors: NDArray[np.uint8],
        ancestor_weights: NDArray[np.float64],
        *,
        power: float,
        pulls: NDArray[np.float64],
    ) -> None:
        super().__init__(focus)
        length = focus.length
        if fields.shape != (length, STATES) or couplings.shape != (packed_size(length),):
            raise ValueError(f"fields {fields.shape} and couplings {couplings.shape} do not fit {length} columns")
        if (
            ancestors.ndim != 2
            or ancestors.shape[1] != length
            or ancestor_weights.shape != (len(ancestors),)
            or not len(ancestors)
        ):
            raise ValueError(f"ancestors {ancestors.shape} and weights {ancestor_weights.shape} do not fit {length} columns")
        if pulls.ndim != 1 or not len(pulls):
            raise ValueError(f"pulls {pulls.shape}, expected some")
        self.fields = fields
        self.couplings = couplings
        self.ancestors = ancestors
        self.ancestor_weights = ancestor_weights
        self.power = power
        self.pulls = pulls

    def log_likelihoods(self, rows: NDArray[np.uint8]) -> NDArray[np.float64]:
        """(n,) log-probabilities in nats of rows (n, L) in the modelled columns.

        Gaps are letters like others; unknown residues count nothing.
        """
        out = np.zeros(len(rows))
        logits, log_p = np.empty((self.focus.length, STATES), np.float32), np.empty((self.focus.length, STATES))
        table = np.empty_like(log_p)
        terms = np.empty((len(self.pulls), len(self.ancestors)))
        prior = np.log(self.ancestor_weights / len(self.pulls))
        for number, row in enumerate(np.ascontiguousarray(rows)):
            conditionals(self.fields, self.couplings, row, self.power, logits, log_p)
            for pull, out_terms in zip(self.pulls, terms, strict=True):
                ancestor_terms(row, log_p, self.ancestors, pull, table, out_terms)
            joint = terms + prior
            largest = joint.max()
            out[number] = largest + np.log(np.exp(joint - largest).sum())
        return out

    def draw(
        self, attempts: Sequence[int], *, seed: int, temperature: float = 1.0, fixed: Mapping[int, int] | None = None
    ) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        """Rows (n, L) of n attempts, and the numbers (n,) of their ancestors.

        A row depends on the model, the seed, the number of its attempt and the options, on nothing else.

        Args:
            attempts: their numbers, from 0.
            seed: of the random numbers.
            temperature: all logits are divided by it.
            fixed: codes that have to stand in columns.
        """
        length = self.focus.length
        forced = np.full(length, -1, np.int64)
        for column, code in (fixed or {}).items():
            forced[column] = code
        rows, chosen = np.empty((len(attempts), length), np.uint8), np.empty(len(attempts), np.int64)
        logits, room = np.empty((length, STATES), np.float32), np.empty(STATES)
        upto = np.cumsum(self.ancestor_weights)
        candidates = CANDIDATES if fixed else 1
        drawn, fits = np.empty((candidates, length), np.uint8), np.empty(candidates)
        for number, attempt in enumerate(attempts):
            generator = np.random.default_rng([seed, attempt])
            ancestors = np.minimum(np.searchsorted(upto, generator.random(candidates) * upto[-1], "right"), len(upto) - 1)
            pulls = self.pulls[generator.integers(len(self.pulls), size=candidates)]
            uniforms = generator.random((candidates, length))
            for which in range(candidates):
                fits[which] = draw_row(
                    self.fields, self.couplings, self.ancestors[ancestors[which]], self.power / temperature,
                    pulls[which] / temperature, forced, uniforms[which], logits, room, drawn[which],
                )  # fmt: skip
            share = np.cumsum(np.exp(fits - fits.max()))
            which = min(int(np.searchsorted(share, generator.random() * share[-1], "right")), candidates - 1)
            rows[number], chosen[number] = drawn[which], ancestors[which]
        return rows, chosen

    def single_scores(self) -> NDArray[np.float64]:
        """(L, 20) log-likelihoods of all single variants minus the wild type's; NaN where its residue is not known."""
        own = self.focus.codes
        rows = np.repeat(own[None], self.focus.length * len(AMINO_ACIDS), axis=0)
        sites, letters = np.divmod(np.arange(len(rows)), len(AMINO_ACIDS))
        rows[np.arange(len(rows)), sites] = letters
        scores: NDArray[np.float64] = self.log_likelihoods(rows) - self.log_likelihoods(own[None])[0]
        scores = scores.reshape(-1, len(AMINO_ACIDS))
        scores[own >= GAP] = np.nan
        return scores

    def _score_sites(self, sites: NDArray[np.intp], letters: NDArray[np.intp]) -> NDArray[np.float64]:
        own = self.focus.codes
        rows = np.repeat(own[None], len(sites), axis=0)
        np.put_along_axis(rows, sites, letters.astype(np.uint8), axis=1)
        scores: NDArray[np.float64] = self.log_likelihoods(rows) - self.log_likelihoods(own[None])[0]
        return scores

    def score_sequences(self, sequences: Sequence[str]) -> NDArray[np.float64]:
        """Log-likelihoods minus the wild type's; NaN for another length than its own."""
        numbers, codes = self._aligned(sequences)
        scores = np.full(len(sequences), np.nan)
        if len(numbers):
            scores[numbers] = self.log_likelihoods(codes) - self.log_likelihoods(self.focus.codes[None])[0]
        return scores

    def tensors(self) -> dict[str, NDArray[Any]]:
        """Regressions, ancestors, and the numbers that join them."""
        return {
            "fields": self.fields,
            "couplings": self.couplings,
            "ancestors": self.ancestors,
            "ancestor_weights": self.ancestor_weights,
            "power": np.array([self.power]),
            "pulls": self.pulls,
        }

    @classmethod
    def restore(cls, focus: Focus, tensors: Mapping[str, NDArray[Any]]) -> Self:
        """The model of such tensors."""
        return cls(
            focus,
            np.ascontiguousarray(tensors["fields"], np.float32),
            np.ascontiguousarray(tensors["couplings"], np.float32),
            np.ascontiguousarray(tensors["ancestors"], np.uint8),
            np.array(tensors["ancestor_weights"], np.float64),
            power=float(tensors["power"][0]),
            pulls=np.array(tensors["pulls"], np.float64),
        )


def fit_autoregressive(
    alignment: Alignment,
    *,
    settings: AutoregressiveSettings | None = None,
    device: str = "cpu",
    threads: int = 1,
    report: Callable[[int], None] = lambda rows: None,
) -> AutoregressiveModel:
    """The model of the modelled columns of ``alignment``. Filter it by coverage first: rows of gaps teach gaps.

    Calls ``report`` with the number of rows after each step of the fit (``settings.passes`` times all rows).

    Raises:
        InputError: fewer than two rows with residues, or fewer than two columns.
        UsageError: settings that make no sense.
    """
    chosen = settings or AutoregressiveSettings()
    chosen.check()
    matrix = np.ascontiguousarray(alignment.matrix[:, alignment.modelled])
    chosen, weights = _weighted(matrix, chosen, threads)
    matrix, weights = matrix[weights > 0], weights[weights > 0]
    if len(matrix) < 2 or matrix.shape[1] < 2:
        raise InputError(
            f"an autoregressive model needs two rows with residues and two columns, found {len(matrix)} and {matrix.shape[1]}",
            remedy="search for homologues first (genoseq family search)" if len(matrix) < 2 else None,
        )
    fitted = fit_regressions(matrix, weights, chosen, device=device, threads=threads, report=report)
    model = AutoregressiveModel(
        focus_of(alignment),
        fitted.fields,
        fitted.couplings,
        matrix,
        weights / weights.sum(),
        power=chosen.power,
        pulls=np.array(chosen.pulls or PROPORTIONS, np.float64),
    )
    if not chosen.pulls:
        model.pulls = calibrated_pulls(model, chosen.nearest, seed=chosen.seed)
    known = {name: getattr(chosen, name) for name in chosen.__dataclass_fields__}
    model.focus = focus_of(alignment, **(known | {"pulls": model.pulls.tolist()}))
    return model


def _weighted(
    matrix: NDArray[np.uint8], settings: AutoregressiveSettings, threads: int
) -> tuple[AutoregressiveSettings, NDArray[np.float64]]:
    """Settings with the identity of the weights, and the weights (N,) of the rows (N, L)."""
    if settings.weight_identity is not None:
        return settings, sequence_weights(matrix, identity=settings.weight_identity, threads=threads)
    for identity in WEIGHT_IDENTITIES:
        weights = sequence_weights(matrix, identity=identity, threads=threads)
        if effective_size(weights) >= matrix.shape[1]:
            break
    if identity != WEIGHT_IDENTITIES[0]:
        log.info(
            "sampler: small family: rows weighted at %.0f %% identity (worth %.0f sequences) instead of %.0f %%",
            100 * identity, effective_size(weights), 100 * WEIGHT_IDENTITIES[0],
        )  # fmt: skip
    return replace(settings, weight_identity=identity), weights


def calibrated_pulls(model: AutoregressiveModel, identity: float, *, seed: int = 0) -> NDArray[np.float64]:
    """(4,) pulls in the proportions of 1 to 4 with which the median identity of samples to the nearest train row is ``identity``.

    The same bonus means less in a family of more diverse columns. Found by bisection on samples of one seed; an end of the
    search where no pull gives that identity.
    """
    trial = copy(model)
    low, high = np.log(SCALES[0]), np.log(SCALES[1])
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        trial.pulls = np.array(PROPORTIONS) * np.exp(middle)
        rows, _ = trial.draw(range(TRIALS), seed=seed)
        if np.median(nearest(rows, model.ancestors).identity) < identity:
            low = middle
        else:
            high = middle
    found: NDArray[np.float64] = np.array(PROPORTIONS) * np.exp((low + high) / 2)
    return found
