"""Compiled inner loops of the Potts fit: sums of table rows, softmax residuals, packed couplings, long vectors.

Couplings between sites i > j stand in strips: strip i is (i * q, q), row ``j * q + a``, column ``b`` holds J[j, a, i, b], and
strips follow one another, so that each coupling is stored once and half of a strip's use is contiguous.
"""

from __future__ import annotations

import math

import numpy as np

from genoseq.kernels import lean_kernel

__all__ = [
    "add_scaled",
    "count_packed",
    "dot",
    "energies_of",
    "finish_softmax",
    "logits_at",
    "read_columns",
    "start_softmax",
    "sum_rows",
    "write_columns",
]


def count_packed(length: int, states: int) -> int:
    """Numbers in the packed couplings of ``length`` sites.

    >>> count_packed(3, 2)
    12
    """
    return length * (length - 1) // 2 * states * states


@lean_kernel
def sum_rows(table, starts, items, out):
    """Add to row b of ``out`` the rows ``items[starts[b]:starts[b + 1]]`` of ``table``.

    Both halves of the gradient are this: a row's logits are the sum of the coupling rows of its letters, and the gradient of a
    letter's coupling row is the sum of the residuals of the rows that have the letter. Work grows with N * L * q, not with
    N * L * q * L * q as for the dense products.
    """
    width = out.shape[1]
    for b in range(len(starts) - 1):
        k, end = starts[b], starts[b + 1]
        row = out[b]
        while k + 8 <= end:
            r0, r1, r2, r3 = table[items[k]], table[items[k + 1]], table[items[k + 2]], table[items[k + 3]]
            r4, r5, r6, r7 = table[items[k + 4]], table[items[k + 5]], table[items[k + 6]], table[items[k + 7]]
            for c in range(width):
                row[c] += ((r0[c] + r1[c]) + (r2[c] + r3[c])) + ((r4[c] + r5[c]) + (r6[c] + r7[c]))
            k += 8
        while k < end:
            r0 = table[items[k]]
            for c in range(width):
                row[c] += r0[c]
            k += 1


@lean_kernel
def start_softmax(logits, codes, targets, sites, states):
    """Subtract from the logits (n, sites * states) of each site their maximum; note those of the letters in ``targets``."""
    for n in range(logits.shape[0]):
        for k in range(sites):
            at = k * states
            most = logits[n, at]
            for a in range(1, states):
                most = max(most, logits[n, at + a])
            for a in range(states):
                logits[n, at + a] -= most
            code = codes[n, k]
            targets[n, k] = logits[n, at + code] if code < states else 0.0


@lean_kernel
def finish_softmax(values, codes, targets, weights, sites, states, fields):
    """Turn exp(logits) into weighted residuals (probability minus one-hot) in place; returns the negative log-likelihood.

    A site whose code is not below ``states`` (a gap, an unknown residue) has no likelihood and no residual. The residuals' sums
    go to ``fields`` (sites * states) float64.
    """
    total = 0.0
    for n in range(values.shape[0]):
        weight = weights[n]
        for k in range(sites):
            at, code = k * states, codes[n, k]
            if code >= states:
                for a in range(states):
                    values[n, at + a] = 0.0
                continue
            norm = values[n, at]
            for a in range(1, states):
                norm += values[n, at + a]
            total += weight * (math.log(norm) - targets[n, k])
            scale = weight / norm
            for a in range(states):
                values[n, at + a] *= scale
            values[n, at + code] -= weight
            for a in range(states):
                fields[at + a] += values[n, at + a]
    return total


@lean_kernel
def read_columns(packed, site, length, states, table, offset):
    """Copy the couplings of one site into columns ``offset:offset + states`` of ``table`` (length * (states + 1), ...).

    Row ``j * (states + 1) + a`` is letter a at site j; the last row of each site, no letter, stays as it is.
    """
    for j in range(length):
        to = j * (states + 1)
        if j < site:
            at = (site * (site - 1) // 2 * states + j * states) * states
            for a in range(states):
                for c in range(states):
                    table[to + a, offset + c] = packed[at + a * states + c]
        elif j == site:
            for a in range(states):
                for c in range(states):
                    table[to + a, offset + c] = 0.0
        else:
            at = (j * (j - 1) // 2 * states + site * states) * states
            for a in range(states):
                for c in range(states):
                    table[to + a, offset + c] = packed[at + c * states + a]


@lean_kernel
def write_columns(table, offset, site, length, states, means, fields, upper, lower):
    """The reverse of `read_columns` for a gradient: sites before ``site`` go to ``upper``, those behind it to ``lower``.

    Each place of either is written by one site only, so threads need no lock and the sum of both is the same in any order.
    Features are centred: from each entry goes mean of the letter * gradient of the field.
    """
    for j in range(length):
        of = j * (states + 1)
        if j < site:
            at = (site * (site - 1) // 2 * states + j * states) * states
            for a in range(states):
                for c in range(states):
                    upper[at + a * states + c] = table[of + a, offset + c] - means[j, a] * fields[offset + c]
        elif j > site:
            at = (j * (j - 1) // 2 * states + site * states) * states
            for a in range(states):
                for c in range(states):
                    lower[at + c * states + a] = table[of + a, offset + c] - means[j, a] * fields[offset + c]


@lean_kernel
def dot(a, b):
    """Inner product of two float32 vectors, summed as float64 in eight lanes."""
    s0 = s1 = s2 = s3 = s4 = s5 = s6 = s7 = 0.0
    whole = len(a) // 8 * 8
    for k in range(0, whole, 8):
        s0 += np.float64(a[k]) * np.float64(b[k])
        s1 += np.float64(a[k + 1]) * np.float64(b[k + 1])
        s2 += np.float64(a[k + 2]) * np.float64(b[k + 2])
        s3 += np.float64(a[k + 3]) * np.float64(b[k + 3])
        s4 += np.float64(a[k + 4]) * np.float64(b[k + 4])
        s5 += np.float64(a[k + 5]) * np.float64(b[k + 5])
        s6 += np.float64(a[k + 6]) * np.float64(b[k + 6])
        s7 += np.float64(a[k + 7]) * np.float64(b[k + 7])
    total = ((s0 + s1) + (s2 + s3)) + ((s4 + s5) + (s6 + s7))
    for k in range(whole, len(a)):
        total += np.float64(a[k]) * np.float64(b[k])
    return total


@lean_kernel
def add_scaled(y, factor, x):
    """y += factor * x, both float32."""
    for k in range(len(y)):
        y[k] += factor * x[k]


@lean_kernel
def energies_of(fields, packed, codes, out):
    """Add to ``out`` (n,) the energies of rows of codes (n, L); codes that are no letter of the model count nothing."""
    length, states = fields.shape
    for n in range(codes.shape[0]):
        row = codes[n]
        total = 0.0
        for i in range(length):
            a = int(row[i])
            if a >= states:
                continue
            total += fields[i, a]
            at = i * (i - 1) // 2 * states * states + a
            for j in range(i):
                b = int(row[j])
                if b < states:
                    total += packed[at + (j * states + b) * states]
        out[n] += total


@lean_kernel
def logits_at(packed, codes, site, states, out):
    """Add to ``out`` (n, q) what the other letters of each row say about the letter at ``site``."""
    length = codes.shape[1]
    square = states * states
    for n in range(codes.shape[0]):
        for j in range(length):
            b = int(codes[n, j])
            if j == site or b >= states:
                continue
            if j < site:
                at = site * (site - 1) // 2 * square + (j * states + b) * states
                for a in range(states):
                    out[n, a] += packed[at + a]
            else:
                at = j * (j - 1) // 2 * square + site * square + b
                for a in range(states):
                    out[n, a] += packed[at + a * states]
