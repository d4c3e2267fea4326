"""Both mates together: insert sizes learned from the data, mate rescue, and the pair of places that explains both reads.

The insert size of two places is the length of the fragment from the outer end of one read to the outer end of the other, in bp.
Orientation ``FR`` (0) has the forward read to the left, ``RF`` (1) to the right.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from genoseq.align.mapq import evidence_weight
from genoseq.align.place import MAX_LENGTH, WIDE, insert_place, load_read, score_place
from genoseq.align.scoring import MATCH
from genoseq.kernels import lean_kernel

__all__ = ["InsertModel", "choose_pair", "insert_size", "learn_inserts", "rescue_batch", "rescue_mates", "sample_inserts"]


class InsertModel(NamedTuple):
    """Distribution of insert sizes. ``learned`` is 0 where too few pairs were seen and a wide default stands in."""

    orientation: int = 0
    mean: float = 350.0
    deviation: float = 150.0
    low: int = 1
    high: int = 1200
    learned: int = 0
    pairs: int = 0


@lean_kernel
def insert_size(orientation, start_1, strand_1, length_1, start_2, strand_2, length_2):
    """Insert size of two places on one contig, or -1 where they are not in the given orientation.

    Facing reads longer than their fragment read through into adapters, clipped where they pass each other's outer end; starts
    count clipped bases, so the fragment's ends still are where the reads begin.
    """
    if strand_1 == strand_2:
        return -1
    if (strand_1 == 0) == (orientation == 0):
        left, right_end = start_1, start_2 + length_2
        inner = start_2
    else:
        left, right_end = start_2, start_1 + length_1
        inner = start_1
    read_through = orientation == 0 and right_end > left
    if inner < left - 10 and not read_through:
        return -1
    return right_end - left


@lean_kernel
def sample_inserts(places, lengths, pairs, sizes, orientations):
    """Insert sizes of the pairs in which each mate has one clearly best place; return how many were written."""
    n = 0
    for pair in range(pairs):
        a = 2 * pair
        b = a + 1
        if places.count[a] == 0 or places.count[b] == 0 or places.contig[a, 0] != places.contig[b, 0]:
            continue
        clear = True
        for r in (a, b):
            best = places.score[r, 0]
            if places.count[r] > 1 and places.score[r, 1] > best - 12:
                clear = False
            if best < MATCH * lengths[r]:
                clear = False
        if not clear:
            continue
        for orientation in range(2):
            size = insert_size(
                orientation, places.start[a, 0], places.strand[a, 0], lengths[a],
                places.start[b, 0], places.strand[b, 0], lengths[b],
            )  # fmt: skip
            if 0 < size < 20000:
                sizes[n] = size
                orientations[n] = orientation
                n += 1
                break
    return n


def learn_inserts(sizes: NDArray[np.int64], orientations: NDArray[np.int64]) -> InsertModel:
    """Fit the model: the commoner orientation, mean and deviation of the sizes within its quartiles' reach.

    Sizes beyond two interquartile ranges of the quartiles do not count for mean and deviation, sizes within three (or four
    deviations) are proper, as in BWA. With fewer than 25 pairs the default
    model is returned, with ``learned`` 0.
    """
    if len(sizes) < 25:
        return InsertModel(pairs=len(sizes))
    orientation = int(np.count_nonzero(orientations == 1) > np.count_nonzero(orientations == 0))
    mine = sizes[orientations == orientation]
    q1, q3 = np.percentile(mine, [25, 75])
    reach = max(q3 - q1, 10.0)
    kept = mine[(mine >= q1 - 2 * reach) & (mine <= q3 + 2 * reach)]
    deviation = max(float(kept.std()), 5.0)
    mean = float(kept.mean())
    low = max(1, int(min(q1 - 3 * reach, mean - 4 * deviation)))
    high = int(max(q3 + 3 * reach, mean + 4 * deviation)) + 1
    return InsertModel(orientation, mean, deviation, low, high, 1, len(kept))


@lean_kernel
def _proper_partner(places, model, r, p, length_r, m, length_m):
    """Whether read ``m`` already has a place that pairs properly with place ``p`` of read ``r``."""
    for q in range(places.count[m]):
        if places.contig[m, q] == places.contig[r, p]:
            size = insert_size(
                model.orientation, places.start[r, p], places.strand[r, p], length_r,
                places.start[m, q], places.strand[m, q], length_m,
            )  # fmt: skip
            if model.low <= size <= model.high:
                return True
    return False


@lean_kernel
def rescue_mates(index, model, scratch, places, r, length_r, m, length_m, least, tried):
    """Look for read ``m`` (the one loaded in ``scratch``) beside the best places of its mate ``r``.

    Each place of ``r`` within 12 points of its best, four at most, whose insert-size range holds no place of ``m`` yet
    is searched with bands of 128 diagonals laid over the whole range.
    """
    for p in range(min(4, tried)):
        if p >= places.count[r] or places.score[r, p] < places.score[r, 0] - 12:
            break
        if _proper_partner(places, model, r, p, length_r, m, length_m):
            continue
        start = places.start[r, p]
        strand = 1 - places.strand[r, p]
        to_right = (places.strand[r, p] == 0) == (model.orientation == 0)
        if to_right:
            first = start + model.low - length_m
            last = start + model.high - length_m
        else:
            first = start + length_r - model.high
            last = start + length_r - model.low
        contig = places.contig[r, p]
        first = max(first, index.offsets[contig] - length_m)
        last = min(last, index.offsets[contig + 1])
        best = np.int64(0)
        best_start = np.int64(0)
        at = first + 48
        while at - 64 < last:
            score, _, _, diagonal = score_place(index, scratch, length_m, WIDE, strand, at, contig, scratch.ends)
            if score > best:
                best = score
                best_start = diagonal
            at += 96
        if best >= least:
            # Once more in the band in which the path will be traced, which may cut off an end of the path found.
            score, end, _, _ = score_place(index, scratch, length_m, WIDE, strand, best_start, contig, scratch.ends)
            if score >= least:
                insert_place(places, m, strand, best_start, contig, score, end, np.int64(2))


@lean_kernel
def choose_pair(places, model, a, length_a, b, length_b, bases, chance, out):
    """Choose a place for each mate so that scores and insert size together are most probable.

    Args:
        bases: size of the reference, bp; an improper pair may lie anywhere in it. chance: from ``chance_score``.
        out: float64 ``(5,)``: place of ``a``, place of ``b`` (-1 for none), probability that ``a``'s and that ``b``'s place is
            wrong, 1 if the pair is proper.
    """
    out[0] = -1.0 if places.count[a] == 0 else 0.0
    out[1] = -1.0 if places.count[b] == 0 else 0.0
    out[2] = 1.0
    out[3] = 1.0
    out[4] = 0.0
    na = places.count[a]
    nb = places.count[b]
    if na == 0 or nb == 0:
        return
    weight_a = evidence_weight(places.score[a, 0], length_a)
    weight_b = evidence_weight(places.score[b, 0], length_b)
    improper = np.log(1e-4 / (2.0 * bases))
    flat = np.log(1.0 / (model.deviation * 2.5066))
    best = -1e300
    proper_best = 0
    best_i = 0
    best_j = 0
    for round_ in range(2):
        total = 0.0
        mine_a = 0.0
        mine_b = 0.0
        if round_ == 1:
            # the chance candidate of each mate, beside the other mate's best
            total += np.exp(weight_a * chance + weight_b * places.score[b, 0] + improper - best)
            total += np.exp(weight_b * chance + weight_a * places.score[a, 0] + improper - best)
        for i in range(na):
            for j in range(nb):
                value = improper
                proper = 0
                if places.contig[a, i] == places.contig[b, j]:
                    size = insert_size(
                        model.orientation, places.start[a, i], places.strand[a, i], length_a,
                        places.start[b, j], places.strand[b, j], length_b,
                    )  # fmt: skip
                    if model.low <= size <= model.high:
                        z = (size - model.mean) / model.deviation
                        value = flat - 0.5 * min(z * z, 18.0)
                        proper = 1
                value += weight_a * places.score[a, i] + weight_b * places.score[b, j]
                if round_ == 0:
                    if value > best:
                        best = value
                        best_i = i
                        best_j = j
                        proper_best = proper
                elif value > best - 30.0:
                    part = np.exp(value - best)
                    total += part
                    if i == best_i:
                        mine_a += part
                    if j == best_j:
                        mine_b += part
        if round_ == 1:
            out[2] = max(0.0, 1.0 - mine_a / total)
            out[3] = max(0.0, 1.0 - mine_b / total)
    out[0] = best_i
    out[1] = best_j
    out[4] = proper_best


@lean_kernel
def rescue_batch(index, settings, model, scratch, seq, seq_offsets, lookup, places):
    """Mate rescue for all pairs of a batch, each mate beside the other's places."""
    for a in range(0, seq_offsets.shape[0] - 1, 2):
        b = a + 1
        counts = (places.count[a], places.count[b])
        for mate in range(2):
            r = b if mate == 0 else a
            m = a if mate == 0 else b
            length_r = seq_offsets[r + 1] - seq_offsets[r]
            length_m = seq_offsets[m + 1] - seq_offsets[m]
            tried = counts[1] if mate == 0 else counts[0]
            if tried == 0 or length_m > MAX_LENGTH or length_m == 0:
                continue
            needed = False
            for p in range(min(4, tried)):
                if places.score[r, p] >= places.score[r, 0] - 12:
                    needed = needed or not _proper_partner(places, model, r, p, length_r, m, length_m)
            if needed:
                load_read(seq, seq_offsets[m], seq_offsets[m + 1], lookup, scratch)
                rescue_mates(index, model, scratch, places, r, length_r, m, length_m, settings.least, tried)
