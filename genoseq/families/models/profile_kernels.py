"""Compiled forward and backward passes of a profile HMM over one sequence, end to end through the model.

States are those of Plan 7's core: match, insert and delete at each node, from the begin state (match at node 0) to the end.
Rows are scaled to a sum of 1; the logs of the scales add up to the score.
"""

from __future__ import annotations

import math

import numpy as np

from genoseq.kernels import kernel

__all__ = ["backward", "forward"]

MM, MI, MD, IM, II, DM, DD = range(7)


@kernel
def forward(odds, moves, codes, match, insert, scales):
    """Log-odds (nats) of a sequence; fills ``match`` and ``insert`` (n + 1, M + 1) scaled, and ``scales`` (n + 1) as logs.

    Args:
        odds: (M + 1, 22) emission odds of the nodes, row 0 unused.
        moves: (M + 1, 7) transition probabilities.
        codes: (n,) letters.
    """
    last = len(odds) - 1
    rows = len(codes)
    delete = np.zeros(last + 1)
    match[:] = 0.0
    insert[:] = 0.0
    match[0, 0] = 1.0
    scales[0] = 0.0
    total = 0.0
    for k in range(1, last + 1):
        delete[k] = moves[k - 1, MD] * match[0, k - 1] + moves[k - 1, DD] * delete[k - 1]
    for i in range(1, rows + 1):
        code = codes[i - 1]
        norm = moves[0, MI] * match[i - 1, 0] + moves[0, II] * insert[i - 1, 0]
        insert[i, 0] = norm
        for k in range(1, last + 1):
            match[i, k] = odds[k, code] * (
                match[i - 1, k - 1] * moves[k - 1, MM]
                + insert[i - 1, k - 1] * moves[k - 1, IM]
                + delete[k - 1] * moves[k - 1, DM]
            )
            insert[i, k] = match[i - 1, k] * moves[k, MI] + insert[i - 1, k] * moves[k, II]
            norm += match[i, k] + insert[i, k]
        if norm <= 0.0:
            scales[i:] = -np.inf
            return -np.inf
        total += math.log(norm)
        scales[i] = total
        insert[i, 0] /= norm
        delete[0] = 0.0
        for k in range(1, last + 1):
            match[i, k] /= norm
            insert[i, k] /= norm
            delete[k] = moves[k - 1, MD] * match[i, k - 1] + moves[k - 1, DD] * delete[k - 1]
    end = match[rows, last] * moves[last, MM] + insert[rows, last] * moves[last, IM] + delete[last] * moves[last, DM]
    return total + math.log(end) if end > 0.0 else -np.inf


@kernel
def backward(odds, moves, codes, match, insert, scales):
    """The reverse of `forward`: the odds of the rest of the sequence after each state, scaled, ``scales`` as logs."""
    last = len(odds) - 1
    rows = len(codes)
    delete = np.zeros(last + 2)
    match[:] = 0.0
    insert[:] = 0.0
    match[rows, last] = moves[last, MM]
    insert[rows, last] = moves[last, IM]
    delete[last] = moves[last, DM]
    for k in range(last - 1, -1, -1):
        delete[k] = moves[k, DD] * delete[k + 1]
        match[rows, k] = moves[k, MD] * delete[k + 1]
    total = 0.0
    scales[rows] = 0.0
    for i in range(rows - 1, -1, -1):
        code = codes[i]
        norm = 0.0
        below = 0.0  # delete at node k + 1, same place in the sequence
        for k in range(last, -1, -1):
            go = odds[k + 1, code] * match[i + 1, k + 1] if k < last else 0.0
            stay = insert[i + 1, k]
            match[i, k] = moves[k, MM] * go + moves[k, MI] * stay + (moves[k, MD] * below if k < last else 0.0)
            insert[i, k] = moves[k, IM] * go + moves[k, II] * stay
            here = moves[k, DM] * go + (moves[k, DD] * below if k < last else 0.0)
            if k == last:
                here = 0.0  # letters are left, and no node to emit them
            below = here
            norm += match[i, k] + insert[i, k]
        if norm <= 0.0:
            scales[: i + 1] = -np.inf
            return
        total += math.log(norm)
        scales[i] = total
        for k in range(last + 1):
            match[i, k] /= norm
            insert[i, k] /= norm
