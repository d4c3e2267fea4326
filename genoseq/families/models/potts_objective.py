"""The penalised pseudo-likelihood of a Potts model and its gradient: compiled sparse sums on a CPU, dense products on a GPU.

For rows x with weights w the negative log pseudo-likelihood is ``-sum_n w_n sum_i log P(x_ni | the other sites of x_n)`` with
logits ``c_i(a) + sum_j [J_ji(x_nj, a) - sum_b f_j(b) J_ji(b, a)]``: features are centred by the letter frequencies f, which
leaves the family of distributions as it is and makes the problem far better conditioned. To it come ``penalty_fields * |c -
c0|^2``, c0 the fields expected beforehand, and ``penalty_couplings * sum_{i<j} |J_ij|^2``. Sites without one of the ``states``
letters are left out, as a target and as context.

Besag, J. (1975), The Statistician 24:179; Ekeberg, M. et al. (2013), Phys. Rev. E 87:012707.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from genoseq.families.models.potts_kernels import (
    add_scaled,
    count_packed,
    dot,
    finish_softmax,
    read_columns,
    start_softmax,
    sum_rows,
    write_columns,
)
from genoseq.parallel import ordered_map

__all__ = ["Objective", "Penalties", "Value", "plain_objective", "unpack"]

Floats = NDArray[np.float32]
CHUNK = 4096  # rows at once: their residuals of SITES sites stay in a core's second-level cache
SITES = 4  # target sites at once: the table of their couplings stays near, too


class Penalties(NamedTuple):
    """Factors of the squared norms, in nats."""

    fields: float
    couplings: float


class Value(NamedTuple):
    """The penalised negative log pseudo-likelihood (nats), its unpenalised part, and the gradient."""

    total: float
    likelihood: float
    fields: NDArray[np.float64]
    couplings: Floats


@dataclass(frozen=True)
class _Chunk:
    """Rows as lists of table rows, and table rows as lists of rows; each site's most common state is in neither."""

    codes: NDArray[np.uint8]  # (n, L)
    weights: Floats
    row_starts: NDArray[np.int64]
    row_items: NDArray[np.int32]
    state_starts: NDArray[np.int64]
    state_items: NDArray[np.int32]


class Objective:
    """Evaluate the objective at given fields and packed couplings.

    Args:
        matrix: (N, L) uint8 codes; those not below ``states`` are missing.
        weights: (N,) positive.
        states: letters of the model, 20 or, with the gap as one, 21.
        prior: (L, states) fields that cost nothing; zeros unless given.
        threads: that share the sites; they change no result.
    """

    def __init__(
        self,
        matrix: NDArray[np.uint8],
        weights: NDArray[np.float64],
        penalties: Penalties,
        *,
        states: int,
        prior: NDArray[np.float64] | None = None,
        threads: int = 1,
    ) -> None:
        self.rows, self.length = matrix.shape
        self.states, self.penalties, self.threads = states, penalties, threads
        self.counts = _counts(matrix, weights, states)
        self.prior = np.zeros((self.length, states)) if prior is None else prior
        self.means = self.counts[:, :states] / weights.sum()
        self.base = self.counts.argmax(axis=1)
        self._prepare(matrix, weights)

    def _prepare(self, matrix: NDArray[np.uint8], weights: NDArray[np.float64]) -> None:
        """Arrange the rows for what is to come."""
        self._chunks = [
            _chunk(matrix[at : at + CHUNK], weights[at : at + CHUNK], self.base, self.states) for at in range(0, self.rows, CHUNK)
        ]
        self._lower = np.zeros(count_packed(self.length, self.states), np.float32)

    def __call__(self, fields: NDArray[np.float64], couplings: Floats, gradient: Floats) -> Value:
        """The value at ``fields`` (L, q) and packed ``couplings``; the gradient of the couplings goes to ``gradient``."""
        blocks = range(0, self.length, SITES)
        likelihood, slope = 0.0, np.empty_like(fields)
        found = ordered_map(lambda at: self._sites(at, fields, couplings, gradient), blocks, threads=self.threads)
        for at, (part, sums) in zip(blocks, found, strict=True):
            likelihood += part
            slope[at : at + SITES] = sums
        gradient += self._lower
        return penalised(likelihood, slope, fields, couplings, gradient, self.penalties, self.prior)

    def _sites(
        self, first: int, fields: NDArray[np.float64], couplings: Floats, gradient: Floats
    ) -> tuple[float, NDArray[np.float64]]:
        """Likelihood and gradient of the sites from ``first`` on."""
        states, length = self.states, self.length
        sites = min(SITES, length - first)
        wide = sites * states
        table = np.zeros((length * (states + 1), wide), np.float32)
        for k in range(sites):
            read_columns(couplings, first + k, length, states, table, k * states)
        by_site = table.reshape(length, states + 1, wide)
        common = by_site[np.arange(length), self.base]
        offset = fields[first : first + sites].reshape(-1) + common.sum(axis=0, dtype=np.float64)
        offset -= np.einsum("la,lac->c", self.means, by_site[:, :states])
        by_site -= common[:, None]
        sums = np.zeros(wide)
        slope = np.zeros_like(table)
        likelihood = 0.0
        for chunk in self._chunks:
            values = np.broadcast_to(offset.astype(np.float32), (len(chunk.codes), wide)).copy()
            sum_rows(table, chunk.row_starts, chunk.row_items, values)
            codes = chunk.codes[:, first : first + sites]
            targets = np.empty(codes.shape, np.float32)
            start_softmax(values, codes, targets, sites, states)
            np.exp(values, out=values)
            likelihood += finish_softmax(values, codes, targets, chunk.weights, sites, states, sums)
            sum_rows(values, chunk.state_starts, chunk.state_items, slope)
        by_site = slope.reshape(length, states + 1, wide)  # the most common state has what the others leave of the sum
        by_site[np.arange(length), self.base] = sums - by_site.sum(axis=1, dtype=np.float64)
        for k in range(sites):
            write_columns(slope, k * states, first + k, length, states, self.means, sums, gradient, self._lower)
        return likelihood, sums.reshape(sites, states)


def penalised(
    likelihood: float,
    slope: NDArray[np.float64],
    fields: NDArray[np.float64],
    couplings: Floats,
    gradient: Floats,
    penalties: Penalties,
    prior: NDArray[np.float64],
) -> Value:
    """Add the penalties to a likelihood and, in place, to its gradient."""
    away = fields - prior
    total = likelihood + penalties.fields * float((away**2).sum()) + penalties.couplings * dot(couplings, couplings)
    add_scaled(gradient, np.float32(2 * penalties.couplings), couplings)
    return Value(total, likelihood, slope + 2 * penalties.fields * away, gradient)


def plain_objective(
    matrix: NDArray[np.uint8], weights: NDArray[np.float64], fields: NDArray[np.float64], couplings: Floats, *, states: int
) -> tuple[float, NDArray[np.float64], NDArray[np.float64]]:
    """The equation as it stands, in float64 and dense: likelihood, gradient of fields (L, q) and of couplings (L, q, L, q).

    Both J[i, :, j, :] and its transpose J[j, :, i, :] hold the gradient of the one coupling. It needs (N, L * q) floats.
    """
    rows, length = matrix.shape
    hot = (matrix[:, :, None] == np.arange(states)).astype(np.float64)
    features = (hot - np.einsum("n,nia->ia", weights, hot) / weights.sum()).reshape(rows, -1)
    full = unpack(couplings, length, states).astype(np.float64).reshape(length * states, -1)
    logits = fields + (features @ full).reshape(rows, length, states)
    logs = logits - np.logaddexp.reduce(logits, axis=2, keepdims=True)
    likelihood = -float((weights[:, None, None] * hot * logs).sum())
    residuals = weights[:, None, None] * (np.exp(logs) * hot.sum(axis=2, keepdims=True) - hot)
    slope = features.T @ residuals.reshape(rows, -1)
    slope = (slope + slope.T).reshape(length, states, length, states)
    slope[np.arange(length), :, np.arange(length)] = 0
    return likelihood, residuals.sum(axis=0), slope


def unpack(packed: Floats, length: int, states: int) -> Floats:
    """Couplings (L, q, L, q), symmetric and zero on the diagonal of sites, of packed ones.

    >>> unpack(np.arange(4, dtype=np.float32), 2, 2)[0, :, 1].tolist()
    [[0.0, 1.0], [2.0, 3.0]]
    """
    full = np.zeros((length, states, length, states), np.float32)
    at = 0
    for site in range(1, length):
        size = site * states * states
        strip = packed[at : at + size].reshape(site, states, states)
        full[:site, :, site] = strip
        full[site, :, :site] = strip.transpose(2, 0, 1)
        at += size
    return full


def _counts(matrix: NDArray[np.uint8], weights: NDArray[np.float64], states: int) -> NDArray[np.float64]:
    """Weighted counts (L, states + 1) of the letters, the last of what is missing."""
    codes = np.minimum(matrix, states)
    return np.stack([np.bincount(column, weights, states + 1) for column in codes.T])


def _chunk(matrix: NDArray[np.uint8], weights: NDArray[np.float64], base: NDArray[np.intp], states: int) -> _Chunk:
    codes = np.minimum(matrix, states)
    rows, length = codes.shape
    rare = codes != base
    place = (np.arange(length, dtype=np.int32) * (states + 1) + codes)[rare].astype(np.int32)
    row = np.broadcast_to(np.arange(rows, dtype=np.int32)[:, None], codes.shape)[rare]
    order = np.argsort(place, kind="stable")
    count = np.bincount(place, minlength=length * (states + 1))
    return _Chunk(
        codes=np.ascontiguousarray(codes),
        weights=weights.astype(np.float32),
        row_starts=np.concatenate([[0], np.cumsum(rare.sum(axis=1))]).astype(np.int64),
        row_items=place,
        state_starts=np.concatenate([[0], np.cumsum(count)]).astype(np.int64),
        state_items=row[order],
    )
