"""Gibbs sampling of a Potts model, and its normalising constant by annealed importance sampling.

A sweep visits all columns in order and redraws each from its distribution given all others. A chain depends on its own start
and its own random numbers only, whatever runs beside it. The constant makes the likelihood of a Potts model comparable with
that of models that have an exact one (Neal, R. M. (2001), Statistics and Computing 11:125).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genoseq.errors import UsageError
from genoseq.families.models.potts import PottsModel
from genoseq.kernels import lean_kernel

__all__ = ["GibbsSampler", "log_partition", "sweep_rows", "sweep_rows_plainly"]


class GibbsSampler:
    """Rows of a Potts model, each from a chain of its own.

    Args:
        model: the model.
        sweeps: over all columns, of each chain.
        starts: (N, L) rows to begin from, one drawn for each chain; None: letters drawn by the fields alone.
    """

    def __init__(self, model: PottsModel, *, sweeps: int = 200, starts: NDArray[np.uint8] | None = None) -> None:
        if sweeps < 1:
            raise UsageError(f"a chain has {sweeps} sweeps, expected at least 1")
        if starts is not None and (starts.ndim != 2 or starts.shape[1] != model.focus.length or not len(starts)):
            raise UsageError(f"rows to begin from have shape {starts.shape}, expected rows of {model.focus.length} columns")
        self.model = model
        self.sweeps = sweeps
        self.starts = starts
        self._couplings = _by_site(model)

    def draw(
        self, attempts: Sequence[int], *, seed: int, temperature: float = 1.0, fixed: Mapping[int, int] | None = None
    ) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        """Rows (n, L) of n chains, and the numbers (n,) of the rows they began from (-1: none).

        A row depends on the model, the seed, the number of its attempt and the options, on nothing else.

        Args:
            attempts: their numbers, from 0.
            seed: of the random numbers.
            temperature: energies are divided by it.
            fixed: codes that have to stand in columns; those columns are never redrawn.
        """
        length, states = self.model.fields.shape
        generators = [np.random.default_rng([seed, attempt]) for attempt in attempts]
        rows, begun = np.empty((len(attempts), length), np.uint8), np.full(len(attempts), -1, np.int64)
        fields = self.model.fields / temperature
        for number, generator in enumerate(generators):
            rows[number] = _independent(fields, generator.random(length))
            if self.starts is not None:
                begun[number] = generator.integers(len(self.starts))
                start = self.starts[begun[number]]
                rows[number] = np.where(start < states, start, rows[number])
        free = np.ones(length, np.bool_)
        for column, code in (fixed or {}).items():
            rows[:, column] = code
            free[column] = False
        for _ in range(self.sweeps):
            uniforms = np.stack([generator.random(length) for generator in generators], axis=1)
            sweep_rows(fields, self._couplings, 1 / temperature, free, uniforms, rows, np.empty(states))
        return rows, begun


def log_partition(model: PottsModel, *, chains: int = 32, steps: int = 500, seed: int = 0) -> float:
    """log of the sum of exp(E) over all rows, in nats, by annealed importance sampling from the model without couplings.

    The mean of the exponential is right; with few steps the logarithm is too low rather than too high, which makes the
    likelihood of the Potts model look better than it is.
    """
    couplings = _by_site(model)
    length, states = model.fields.shape
    generator = np.random.default_rng(seed)
    free = np.ones(length, np.bool_)
    rows = np.stack([_independent(model.fields, generator.random(length)) for _ in range(chains)])
    known = float(np.logaddexp.reduce(model.fields, axis=1).sum())
    weights = np.zeros(chains)
    for step in range(1, steps + 1):
        paired = model.energies(rows) - model.fields[np.arange(length), rows].sum(axis=1)
        weights += paired / steps
        sweep_rows(model.fields, couplings, step / steps, free, generator.random((length, chains)), rows, np.empty(states))
    return known + float(np.logaddexp.reduce(weights)) - math.log(chains)


def sweep_rows_plainly(
    fields: NDArray[np.float64],
    couplings: NDArray[np.float32],
    factor: float,
    free: NDArray[np.bool_],
    uniforms: NDArray[np.float64],
    rows: NDArray[np.uint8],
) -> None:
    """What :func:`sweep_rows` does, row by row in numpy: the reference."""
    length = len(fields)
    others = np.arange(length)
    for number, row in enumerate(rows):
        for column in np.flatnonzero(free):
            logits = fields[column] + factor * couplings[column, others, row].sum(axis=0, dtype=np.float64)
            share = np.cumsum(np.exp(logits - logits.max()))
            row[column] = min(int(np.searchsorted(share, uniforms[column, number] * share[-1], "right")), len(share) - 1)


@lean_kernel
def sweep_rows(fields, couplings, factor, free, uniforms, rows, room):
    """Redraw all free columns of ``rows`` (n, L) in order, by ``fields`` (L, q) and ``factor`` times the couplings.

    ``couplings`` (L, L, q, q): column, other column, letter there, letter here; zero on the diagonal. ``uniforms`` (L, n);
    ``room`` (q,) to work in.
    """
    length, states = fields.shape
    for column in range(length):
        if not free[column]:
            continue
        table = couplings[column]
        for number in range(rows.shape[0]):
            for letter in range(states):
                room[letter] = 0.0
            for other in range(length):
                for letter in range(states):
                    room[letter] += table[other, rows[number, other], letter]
            largest = -np.inf
            for letter in range(states):
                room[letter] = fields[column, letter] + factor * room[letter]
                largest = max(largest, room[letter])
            total = 0.0
            for letter in range(states):
                total += math.exp(room[letter] - largest)
                room[letter] = total
            wanted = uniforms[column, number] * total
            chosen = states - 1
            for letter in range(states):
                if wanted < room[letter]:
                    chosen = letter
                    break
            rows[number, column] = chosen


def _by_site(model: PottsModel) -> NDArray[np.float32]:
    """(L, L, q, q): column, other column, letter there, letter here; what a column needs lies together."""
    return np.ascontiguousarray(model.dense_couplings().transpose(0, 2, 3, 1))


def _independent(fields: NDArray[np.float64], uniforms: Any) -> NDArray[np.uint8]:
    """A row (L,) by the fields (L, q) alone."""
    share = np.exp(fields - fields.max(axis=1, keepdims=True)).cumsum(axis=1)
    row: NDArray[np.uint8] = (share < (uniforms * share[:, -1])[:, None]).sum(axis=1).astype(np.uint8)
    return row
