"""Fit a Potts model to an alignment: the one minimum of its penalised pseudo-likelihood, by L-BFGS.

The objective is strictly convex, so what is found depends on data and penalties, not on a seed or a learning rate. Strength of
the penalty: 0.01 for fields and 0.01 * (L - 1) * (q - 1) for couplings against the sum over sequences, as EVcouplings has it
(Hopf, T. A. et al. (2017), Nat. Biotechnol. 35:128; Hopf, T. A. et al. (2019), Bioinformatics 35:1582).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from genoseq.families.alphabet import GAP
from genoseq.families.models.potts_kernels import add_scaled, count_packed, dot
from genoseq.families.models.potts_objective import Objective, Penalties, Value
from genoseq.families.models.pssm import expected_logs
from genoseq.families.models.site import letter_counts
from genoseq.log import Progress
from genoseq.parallel import ordered_map

__all__ = ["PottsFit", "PottsSettings", "fit_potts"]

Floats = NDArray[np.float32]
CONDITIONAL = 0.1  # variance of a letter given the other sites, as a share of that in its column: about so, for scaling only
PIECE = 1 << 18  # numbers of a long vector that one thread takes at once; a constant, so that sums do not depend on threads


@dataclass(frozen=True)
class PottsSettings:
    """How to fit.

    Attributes:
        gap_state: let the gap be a 21st letter; else a site with a gap is left out, as a target and as context.
        fields_penalty: factor of the fields' squared norm.
        couplings_penalty: factor of the couplings' squared norm, times (L - 1) (q - 1).
        iterations: most steps of L-BFGS.
        tolerance: stop when a step lowers the objective by less than this share of it.
        memory: pairs of steps that L-BFGS keeps; each costs two vectors as long as the couplings.
    """

    gap_state: bool = False
    fields_penalty: float = 1.0
    couplings_penalty: float = 0.01
    iterations: int = 100
    tolerance: float = 2e-5
    memory: int = 5

    @property
    def states(self) -> int:
        """Letters of the model."""
        return 21 if self.gap_state else 20

    def penalties(self, length: int) -> Penalties:
        """The factors for ``length`` sites."""
        return Penalties(self.fields_penalty, self.couplings_penalty * max(1, length - 1) * (self.states - 1))


class PottsFit(NamedTuple):
    """Fields (L, q) of features that are not centred, packed couplings, and how the fit went."""

    fields: NDArray[np.float64]
    couplings: Floats
    objective: float
    likelihood: float
    iterations: int
    converged: bool


def fit_potts(
    matrix: NDArray[np.uint8],
    weights: NDArray[np.float64],
    *,
    settings: PottsSettings | None = None,
    device: str = "cpu",
    threads: int = 1,
    watch: Callable[[int, Value, NDArray[np.float64], Floats], None] | None = None,
) -> PottsFit:
    """Fields and couplings of the minimum.

    Args:
        matrix: (N, L) uint8 codes.
        weights: (N,) positive weights of the rows.
        device: ``cpu`` (sparse sums, compiled) or a device of torch (dense products in blocks).
        threads: on the CPU; they change no result.
        watch: called after each step with its number, the value, the centred fields and the couplings.

    Raises:
        UsageError: a device that torch does not have.
    """
    settings = settings or PottsSettings()
    length = matrix.shape[1]
    penalties = settings.penalties(length)
    prior = expected_fields(matrix, weights, settings.states)
    objective = _objective(matrix, weights, penalties, settings.states, prior, device, threads)
    fields = objective.prior.copy()
    couplings = np.zeros(count_packed(length, settings.states), np.float32)
    # Fields are scaled so that their curvature is near that of the couplings, which the penalty dominates. Given all
    # other sites a letter varies less than in its column.
    share = objective.means
    curvature = CONDITIONAL * weights.sum() * share * (1 - share) + 2 * penalties.fields
    scale = np.sqrt(2 * penalties.couplings / curvature) if length > 1 else np.ones_like(curvature)
    search = _Search(objective, scale, threads, settings.memory)
    with Progress(settings.iterations, unit="steps", label="Potts model") as progress:
        state, converged, done = search.start(fields, couplings), False, 0
        while done < settings.iterations and not converged:
            before = state.value.total
            state, moved = search.step(state)
            done += 1
            converged = not moved or before - state.value.total < settings.tolerance * abs(before)
            progress.note = f"objective {state.value.total:,.0f}"
            progress.update()
            if watch is not None:
                watch(done, state.value, state.fields, state.couplings)
    centred = state.fields
    fields = centred - _mean_part(objective.means, state.couplings, length, settings.states)
    return PottsFit(fields, state.couplings, state.value.total, state.value.likelihood, done, converged)


def expected_fields(matrix: NDArray[np.uint8], weights: NDArray[np.float64], states: int) -> NDArray[np.float64]:
    """Fields (L, q) of independent columns with pseudo-counts from BLOSUM62, mean 0: what the fit begins with and is held to."""
    logs = expected_logs(letter_counts(matrix, weights))
    if states > GAP:
        gaps = ((matrix == GAP) * weights[:, None]).sum(axis=0) + 1.0
        residues = ((matrix < GAP) * weights[:, None]).sum(axis=0) + 1.0
        logs = np.concatenate([logs, np.log(gaps / residues)[:, None]], axis=1)
    centred: NDArray[np.float64] = logs - logs.mean(axis=1, keepdims=True)
    return centred


def _objective(
    matrix: NDArray[np.uint8],
    weights: NDArray[np.float64],
    penalties: Penalties,
    states: int,
    prior: NDArray[np.float64],
    device: str,
    threads: int,
) -> Objective:
    if device == "cpu":
        return Objective(matrix, weights, penalties, states=states, prior=prior, threads=threads)
    from genoseq.families.models.potts_torch import TorchObjective

    return TorchObjective(matrix, weights, penalties, states=states, prior=prior, device=device)


def _mean_part(means: NDArray[np.float64], couplings: Floats, length: int, states: int) -> NDArray[np.float64]:
    """What the centring of features takes from the fields: (L, q) sums of mean * coupling."""
    part = np.zeros((length, states))
    at = 0
    for site in range(1, length):
        size = site * states * states
        strip = couplings[at : at + size].reshape(site, states, states).astype(np.float64)
        part[site] += np.einsum("jac,ja->c", strip, means[:site])
        part[:site] += strip @ means[site]
        at += size
    return part


class _State(NamedTuple):
    fields: NDArray[np.float64]
    couplings: Floats
    value: Value


class _Pair(NamedTuple):
    """A step and the change of the gradient over it, fields scaled."""

    step: tuple[NDArray[np.float64], Floats]
    change: tuple[NDArray[np.float64], Floats]
    curvature: float


class _Search:
    """L-BFGS with backtracking (Nocedal, J. and Wright, S. J. (2006), Numerical Optimization, algorithm 7.5)."""

    def __init__(self, objective: Objective, scale: NDArray[np.float64], threads: int, memory: int) -> None:
        self.objective, self.scale, self.threads, self.memory = objective, scale, threads, memory
        self.pairs: list[_Pair] = []

    def start(self, fields: NDArray[np.float64], couplings: Floats) -> _State:
        return _State(fields, couplings, self.objective(fields, couplings, np.empty_like(couplings)))

    def step(self, state: _State) -> tuple[_State, bool]:
        """The next state, and whether it is another."""
        slope = (state.value.fields * self.scale, state.value.couplings)
        toward = self._direction(slope)
        descent = self._dot(toward, slope)
        size = 1.0
        spare: Floats | None = None
        while size > 1e-6:
            couplings = state.couplings.copy()
            self._add(couplings, -size, toward[1])
            fields = state.fields - size * self.scale * toward[0]
            spare = np.empty_like(couplings) if spare is None else spare
            value = self.objective(fields, couplings, spare)
            if value.total <= state.value.total - 1e-4 * size * descent:
                break
            size *= 0.3
        else:
            return state, False
        toward[0][:] *= -size
        toward[1][:] *= np.float32(-size)
        change = (value.fields * self.scale - slope[0], value.couplings - slope[1])
        curvature = self._dot(toward, change)
        if curvature > 0:
            self.pairs = [*self.pairs, _Pair(toward, change, curvature)][-self.memory :]
        return _State(fields, couplings, value), True

    def _direction(self, slope: tuple[NDArray[np.float64], Floats]) -> tuple[NDArray[np.float64], Floats]:
        fields, couplings = slope[0].copy(), slope[1].copy()
        both = (fields, couplings)
        factors = []
        for pair in reversed(self.pairs):
            factor = self._dot(pair.step, both) / pair.curvature
            factors.append(factor)
            fields -= factor * pair.change[0]
            self._add(couplings, -factor, pair.change[1])
        if self.pairs:
            last = self.pairs[-1]
            size = last.curvature / self._dot(last.change, last.change)
        else:
            size = 1 / max(1e-12, float(np.sqrt(self._dot(both, both))))
        fields *= size
        couplings *= np.float32(size)
        for pair, factor in zip(self.pairs, reversed(factors), strict=True):
            rest = factor - self._dot(pair.change, both) / pair.curvature
            fields += rest * pair.step[0]
            self._add(couplings, rest, pair.step[1])
        return both

    def _dot(self, a: tuple[NDArray[np.float64], Floats], b: tuple[NDArray[np.float64], Floats]) -> float:
        pieces = ordered_map(lambda part: dot(a[1][part], b[1][part]), _pieces(len(a[1])), threads=self.threads)
        return float((a[0] * b[0]).sum()) + float(sum(pieces))

    def _add(self, y: Floats, factor: float, x: Floats) -> None:
        small = np.float32(factor)
        for _ in ordered_map(lambda part: add_scaled(y[part], small, x[part]), _pieces(len(y)), threads=self.threads):
            pass


def _pieces(size: int) -> list[slice]:
    return [slice(at, at + PIECE) for at in range(0, size, PIECE)]
