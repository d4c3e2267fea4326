"""Inner loops of the autoregressive model: conditional probabilities of rows, ancestors of rows, new rows.

Couplings are packed: for column j and letter a there is a run of ``(L - 1 - j) * 21`` numbers, what a in j adds to the
logits of all letters in all later columns. The runs follow each other by column, then by letter.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from genoseq.kernels import lean_kernel

__all__ = ["STATES", "ancestor_terms", "conditionals", "conditionals_plainly", "draw_row", "packed_size", "run_start"]

STATES = 21  # amino acids and the gap


def packed_size(length: int) -> int:
    """Number of packed couplings of ``length`` columns."""
    return STATES * STATES * (length * (length - 1) // 2)


@lean_kernel
def run_start(length, column, letter):
    """Where the run of a letter in a column begins."""
    before = column * (length - 1) - column * (column - 1) // 2  # later columns of the columns before
    return STATES * STATES * before + letter * (length - 1 - column) * STATES


@lean_kernel
def _copy(source, target):
    for row in range(source.shape[0]):
        for column in range(source.shape[1]):
            target[row, column] = source[row, column]


@lean_kernel
def _normalise(logits, column, power, out):
    """Log-probabilities of ``power`` times the logits of a column."""
    largest = -np.inf
    for letter in range(STATES):
        out[letter] = power * logits[column, letter]
        largest = max(largest, out[letter])
    total = 0.0
    for letter in range(STATES):
        total += math.exp(out[letter] - largest)
    shift = largest + math.log(total)
    for letter in range(STATES):
        out[letter] -= shift


@lean_kernel
def _add_run(logits, couplings, length, column, letter):
    at = run_start(length, column, letter)
    for later in range(column + 1, length):
        for state in range(STATES):
            logits[later, state] += couplings[at]
            at += 1


@lean_kernel
def conditionals(fields, couplings, row, power, logits, out):
    """Fill ``out`` (L, 21) with log p(letter | letters before) of ``row`` (L,); unknown residues say nothing about later columns.

    ``logits`` (L, 21) float32 is room to work in.
    """
    length = len(row)
    _copy(fields, logits)
    for column in range(length):
        _normalise(logits, column, power, out[column])
        if row[column] < STATES:
            _add_run(logits, couplings, length, column, row[column])


def conditionals_plainly(
    fields: NDArray[np.float32], couplings: NDArray[np.float32], row: NDArray[np.uint8], power: float
) -> NDArray[np.float64]:
    """What :func:`conditionals` fills in, from the sum of the definition: the reference."""
    length = len(row)
    out = np.zeros((length, STATES))
    for column in range(length):
        logits = fields[column].astype(np.float64)
        for before in range(column):
            if row[before] < STATES:
                at = run_start(length, before, int(row[before])) + (column - before - 1) * STATES
                logits = logits + couplings[at : at + STATES]
        out[column] = power * logits - np.log(np.exp(power * logits).sum())
    return out


@lean_kernel
def ancestor_terms(row, log_p, ancestors, pull, table, out):
    """Fill ``out`` (N,) with log p(row | ancestor) of N ancestors, given the conditionals (L, 21) of the row without any.

    With an ancestor, its letter s in a column has ``pull`` added to its logit: log p(x | s) = log p(x) + pull [x = s] -
    log(1 + (e^pull - 1) p(s)). Where the ancestor's residue is unknown nothing is added; unknown residues of the row have no
    probability to count. ``table`` (L, 21) is room to work in.
    """
    length = len(row)
    base = 0.0
    gain = math.exp(pull) - 1.0
    for column in range(length):
        if row[column] < STATES:
            base += log_p[column, row[column]]
            for letter in range(STATES):
                table[column, letter] = math.log1p(gain * math.exp(log_p[column, letter]))
    for number in range(ancestors.shape[0]):
        total = base
        for column in range(length):
            own = row[column]
            letter = ancestors[number, column]
            if own < STATES and letter < STATES:
                total -= table[column, letter]
                if own == letter:
                    total += pull
        out[number] = total


@lean_kernel
def draw_row(fields, couplings, ancestor, power, pull, forced, uniforms, logits, room, row):
    """Draw ``row`` (L,) given an ancestor, one uniform number (L,) for each column; returns the log-probability of what was
    forced.

    ``forced`` (L,): a letter that has to stand in a column, or -1. ``logits`` (L, 21) and ``room`` (21,) are room to work in.
    """
    length = len(row)
    _copy(fields, logits)
    found = 0.0
    for column in range(length):
        for letter in range(STATES):
            logits[column, letter] *= power
        if ancestor[column] < STATES:
            logits[column, ancestor[column]] += pull
        _normalise(logits, column, 1.0, room)
        if forced[column] >= 0:
            chosen = forced[column]
            found += room[chosen]
        else:
            chosen = STATES - 1
            total = 0.0
            for letter in range(STATES):
                total += math.exp(room[letter])
                if uniforms[column] < total:
                    chosen = letter
                    break
        row[column] = chosen
        _add_run(logits, couplings, length, column, chosen)
    return found
