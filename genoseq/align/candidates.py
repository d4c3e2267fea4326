"""From a read to the places it may come from: anchors are queried, near codes vote for diagonals, votes are clustered.

A stored code holds ``id = position << 1 | flip`` (global position of its anchor's first base, and whether the anchor reads
canonically on the reverse strand). A hit of a read anchor gives a strand (the two flips differ or not) and a *start*: the global
position at which the read's first base, in the orientation that matches the reference's forward strand, would lie.

Two filters in a row decide what is a hit: the Hamming distance of stored and query code, cheap and coarse, then the
asymmetric score, in which the query keeps the magnitudes behind its bits: ``z = sum(q * s) / |q|`` with the stored bits as
``s = +-1``, about normal with unit variance for unrelated windows.
"""

from __future__ import annotations

import numpy as np

from genoseq.embed.window import sign_bits, sum_window
from genoseq.kernels import lean_kernel, load_word, popcount

__all__ = ["MINOR", "code_anchor", "cluster_hits", "minor_cell", "query_list", "spread_anchors"]

MINOR = 16
"""Minor cells of a list: the two bases next to the anchor."""


@lean_kernel
def minor_cell(codes, start, end, position, k, flip):
    """Minor cell of an anchor: ``4 * left + right`` of the two bases beside it, oriented; -1 where either is missing."""
    if position - 1 < start or position + k >= end:
        return -1
    before = codes[position - 1]
    after = codes[position + k]
    if before > 3 or after > 3:
        return -1
    if flip == 0:
        return np.int64(before) * 4 + np.int64(after)
    return (3 - np.int64(after)) * 4 + (3 - np.int64(before))


@lean_kernel
def code_anchor(read, length, position, k, entry, rows, context, window, used, sums, words):
    """Code one anchor of a read: ``sums`` int16 ``(128,)``, bits in ``words`` uint64 ``(2,)``; return the norm of ``sums``."""
    sum_window(read, 0, length, position, k, entry & 1, rows, context, window, used, sums)
    words[0] = sign_bits(sums, 0)
    words[1] = sign_bits(sums, 1)
    square = np.int64(0)
    for d in range(128):
        square += np.int64(sums[d]) * np.int64(sums[d])
    return np.sqrt(np.float64(square))


@lean_kernel
def _asymmetric(sums, low, high):
    """Sum of ``sums[d]`` with the sign of bit ``d`` of the stored code."""
    total = np.int64(0)
    for d in range(64):
        total += np.int64(sums[d]) * (2 * np.int64((low >> np.uint64(d)) & np.uint64(1)) - 1)
    for d in range(64):
        total += np.int64(sums[64 + d]) * (2 * np.int64((high >> np.uint64(d)) & np.uint64(1)) - 1)
    return total


@lean_kernel
def query_list(
    data, first, size, lo, hi, sums, norm, words, radius, z_least, length, position, k, flip, hit_key, hit_z, hit_at, hits
):  # fmt: skip
    """Scan codes ``lo`` to ``hi - 1`` of one inverted list; append the hits; return how many hits there are then.

    Args:
        data: bytes of all lists; first: number of codes in the lists before; size: codes in this one.
        sums, norm, words: the query, from :func:`code_anchor`.
        radius: largest Hamming distance; z_least: smallest asymmetric z-score.
        position, flip: of the read's anchor; length: of the read.
        hit_key: output int64, ``strand << 40 | start + 2**20``; hit_z: float32; hit_at: int64 position of the stored anchor.
        hits: how many are there already; the arrays' length bounds them.
    """
    codes_at = 24 * first
    ids_at = codes_at + 16 * size
    low = words[0]
    high = words[1]
    most = np.uint64(radius)
    room = hit_key.shape[0]
    for c in range(lo, hi):
        at = codes_at + 16 * c
        a = load_word(data, at)
        b = load_word(data, at + 8)
        if popcount(a ^ low) + popcount(b ^ high) <= most:
            z = _asymmetric(sums, a, b) / norm
            if z >= z_least and hits < room:
                name = np.int64(load_word(data, ids_at + 8 * c))
                at_reference = name >> 1
                strand = (name & 1) ^ flip
                offset = position if strand == 0 else length - k - position
                hit_key[hits] = (strand << 40) | (at_reference - offset + (1 << 20))
                hit_z[hits] = z
                hit_at[hits] = at_reference
                hits += 1
    return hits


@lean_kernel
def spread_anchors(n, positions, sizes, length, segments, longest, order, taken):
    """Choose the anchor with the shortest list in each of ``segments`` equal stretches of the read.

    Anchors already ``taken`` (uint8 flags), and those whose list is longer than ``longest`` or negative, are passed over. Writes
    the chosen into ``order``, marks them and returns how many there are.
    """
    found = 0
    a = 0
    for s in range(segments):
        stop = (s + 1) * length // segments
        best = -1
        while a < n and positions[a] < stop:
            if taken[a] == 0 and 0 <= sizes[a] <= longest and (best < 0 or sizes[a] < sizes[best]):
                best = a
            a += 1
        if best >= 0:
            order[found] = best
            taken[best] = 1
            found += 1
    return found


@lean_kernel
def _sort_by_key(n, key, order):
    """Write into ``order`` the numbers 0 to ``n - 1`` by ascending key, equal keys by number (Shell's sort, Ciura's gaps)."""
    for h in range(n):
        order[h] = h
    for gap in (1750, 701, 301, 132, 57, 23, 10, 4, 1):
        for h in range(gap, n):
            x = order[h]
            y = h - gap
            while y >= 0 and (key[order[y]] > key[x] or (key[order[y]] == key[x] and order[y] > x)):
                order[y + gap] = order[y]
                y -= gap
            order[y + gap] = x


@lean_kernel
def cluster_hits(hits, hit_key, hit_z, hit_at, spread, order, cluster_key, cluster_z, cluster_at):
    """Gather hits of one strand whose starts lie within ``spread`` bp of the next into clusters; return how many.

    Args:
        order: scratch int64.
        cluster_key: output, the key of the cluster's best hit; cluster_z: the sum of ``z - 2`` over its hits;
            cluster_at: position of the best hit's anchor. Best cluster first; the arrays' length bounds how many are kept.
    """
    _sort_by_key(hits, hit_key, order)
    room = cluster_key.shape[0]
    kept = 0
    h = 0
    while h < hits:
        best = order[h]
        total = hit_z[best] - 2.0
        last = hit_key[best]
        h += 1
        while h < hits and hit_key[order[h]] - last <= spread:
            x = order[h]
            total += hit_z[x] - 2.0
            last = hit_key[x]
            if hit_z[x] > hit_z[best]:
                best = x
            h += 1
        y = kept
        if kept == room:
            if total <= cluster_z[room - 1]:
                continue
            y = room - 1
        else:
            kept += 1
        while y > 0 and cluster_z[y - 1] < total:
            cluster_z[y] = cluster_z[y - 1]
            cluster_key[y] = cluster_key[y - 1]
            cluster_at[y] = cluster_at[y - 1]
            y -= 1
        cluster_z[y] = total
        cluster_key[y] = hit_key[best]
        cluster_at[y] = hit_at[best]
    return kept
