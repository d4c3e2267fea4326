"""A place of a read: what the kernels work on, and the scoring and keeping of places.

:mod:`genoseq.align.search` finds the places, :mod:`genoseq.align.records` turns the best into records.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from genoseq.align.extend import band_score, fill_window, ungapped_score
from genoseq.align.scoring import END_BONUS, MATCH, PAD, READ_N
from genoseq.kernels import kernel, lean_kernel

__all__ = [
    "MAX_LENGTH", "WIDE", "IndexArrays", "Places", "Scratch", "Settings",
    "band_width", "insert_place", "load_read", "make_scratch", "move_place", "score_place", "swap_places",
]  # fmt: skip

MAX_LENGTH = 4096
"""Longest read that is placed, bp; a longer one stays unmapped."""
MAX_HITS = 4096
MAX_CLUSTERS = 96
WIDE = 128
"""Diagonals of the wide band."""


class IndexArrays(NamedTuple):
    """What the kernels read of an index."""

    codes: NDArray[np.uint8]
    offsets: NDArray[np.int64]
    cells: NDArray[np.int32]
    data: NDArray[np.uint8]
    bounds: NDArray[np.int64]
    rows: NDArray[np.int8]
    k: int
    context: int


class Settings(NamedTuple):
    """Numbers that steer the search; :mod:`genoseq.align.presets` has the sets users choose from."""

    near_anchors: int = 8
    """Anchors of round 1."""
    more_anchors: int = 24
    """Anchors that round 2 adds."""
    near_radius: int = 34
    """Hamming radius in rounds 1 and 2, bits."""
    far_radius: int = 48
    """Hamming radius in round 3, bits."""
    deep_radius: int = 52
    """Hamming radius in round 4, bits."""
    near_z: float = 4.0
    far_z: float = 3.5
    deep_z: float = 2.8
    """Least z-score of a hit in rounds 1 and 2, in round 3, in round 4."""
    near_list: int = 2048
    """Longest minor cell scanned in rounds 1 and 2, codes."""
    far_list: int = 16384
    """Longest list scanned in round 3, codes."""
    work: int = 400_000
    """Codes scanned for one read at most."""
    miss: float = 1e-3
    """Accepted probability that a place as good as the best was not seen."""
    spread: int = 12
    """Largest step between the starts of neighbouring hits of one cluster, bp."""
    near_aligned: int = 64
    """Clusters aligned after round 1 and after round 2 at most: reads of repeats have many good ones."""
    aligned: int = 24
    """The same after each group of anchors in round 3."""
    deep_aligned: int = 64
    """The same in rounds 4 and 5."""
    enough: int = 40
    """A place that scores so much more than ``least`` spares the read rounds 4 and 5."""
    neighbours: bool = True
    """Whether there is a round 5."""
    neighbour_radius: int = 46
    """Hamming radius in round 5, bits: less than in round 4, since it scans far more codes."""
    neighbour_z: float = 3.3
    """Least z-score of a hit in round 5."""
    least: int = 40
    """Least score, with end bonuses, of a place."""


class Scratch(NamedTuple):
    """Arrays one thread works in; made by :func:`make_scratch`."""

    forward: NDArray[np.uint8]
    reverse: NDArray[np.uint8]
    forward_back: NDArray[np.uint8]
    reverse_back: NDArray[np.uint8]
    positions: NDArray[np.int64]
    entries: NDArray[np.int32]
    sizes: NDArray[np.int64]
    minors: NDArray[np.int64]
    taken: NDArray[np.uint8]
    order: NDArray[np.int64]
    window: NDArray[np.uint8]
    band_window: NDArray[np.uint8]
    used: NDArray[np.int64]
    sums: NDArray[np.int16]
    words: NDArray[np.uint64]
    hit_key: NDArray[np.int64]
    hit_z: NDArray[np.float32]
    hit_at: NDArray[np.int64]
    hit_order: NDArray[np.int64]
    cluster_key: NDArray[np.int64]
    cluster_z: NDArray[np.float32]
    cluster_at: NDArray[np.int64]
    top: NDArray[np.int16]
    when: NDArray[np.int16]
    paths: NDArray[np.uint8]
    ends: NDArray[np.int64]
    tried: NDArray[np.int64]
    choice: NDArray[np.float64]


class Places(NamedTuple):
    """Places of the reads of a batch, best first: arrays ``(reads, kept)`` and how many each read has.

    ``start`` is the global position of read base 0 in the orientation of ``strand``, for the middle of the band; ``end`` the
    global position after the last aligned base; ``score`` has the end bonuses in it; ``gapped`` is 0 where no band was
    needed, 1 for the band of :func:`band_width`, 2 for the wide one. ``unseen`` ``(reads,)`` is the chance that an equal
    place was not seen.
    """

    count: NDArray[np.int64]  # type: ignore[assignment] # hides tuple.count, which nobody asks for
    start: NDArray[np.int64]
    strand: NDArray[np.int64]
    contig: NDArray[np.int64]
    score: NDArray[np.int64]
    end: NDArray[np.int64]
    gapped: NDArray[np.int64]
    unseen: NDArray[np.float64]


@kernel
def make_scratch(longest, width):
    """Scratch arrays for reads up to ``longest`` bp and bands up to ``width``, as a tuple in :class:`Scratch`'s order."""
    size = longest + 2 * PAD
    return (
        np.empty(size, np.uint8), np.empty(size, np.uint8), np.full(size, 9, np.uint8), np.full(size, 9, np.uint8),
        np.empty(size, np.int64), np.empty(size, np.int32), np.empty(size, np.int64), np.empty(size, np.int64),
        np.empty(size, np.uint8), np.empty(size, np.int64), np.empty(64, np.uint8), np.empty(size + width, np.uint8),
        np.empty(64, np.int64), np.empty(128, np.int16), np.empty(2, np.uint64),
        np.empty(MAX_HITS, np.int64), np.empty(MAX_HITS, np.float32), np.empty(MAX_HITS, np.int64), np.empty(MAX_HITS, np.int64),
        np.empty(MAX_CLUSTERS, np.int64), np.empty(MAX_CLUSTERS, np.float32), np.empty(MAX_CLUSTERS, np.int64),
        np.empty(64, np.int16), np.empty(64, np.int16), np.empty((2 * longest + width) * (width // 2) + 64, np.uint8),
        np.empty(8, np.int64), np.empty(512, np.int64), np.empty(5, np.float64),
    )  # fmt: skip


@lean_kernel
def load_read(seq, start, end, lookup, scratch):
    """Fill the scratch's four forms of a read from ASCII ``seq[start:end]``; return its length."""
    length = end - start
    for i in range(length):
        c = lookup[seq[start + i]]
        if c > 3:
            c = np.uint8(READ_N)
        r = np.uint8(3 - c) if c < 4 else np.uint8(READ_N)
        scratch.forward[i] = c
        scratch.reverse[length - 1 - i] = r
        scratch.forward_back[PAD + length - 1 - i] = c
        scratch.reverse_back[PAD + i] = r
    for x in range(PAD):
        scratch.forward_back[PAD + length + x] = 9
        scratch.reverse_back[PAD + length + x] = 9
    return length


@lean_kernel
def band_width(length):
    """Diagonals of the band in which a read of this length is aligned: gaps of up to half of it are found."""
    return 32 if length <= 200 else 64


@lean_kernel
def score_place(index, scratch, length, width, strand, start, contig, ends):
    """Score a read at one place: ungapped where at most one base differs, else in a band around the start.

    Returns:
        ``(score, end, gapped, diagonal)``: score with end bonuses, global position after the last aligned base, 1 if
        banded, and the start that the alignment's last diagonal implies.
    """
    lo = index.offsets[contig]
    hi = index.offsets[contig + 1]
    read = scratch.forward if strand == 0 else scratch.reverse
    if start >= lo and start + length <= hi:
        wrong = np.int64(0)
        for i in range(length):
            wrong += np.int64(read[i] != index.codes[start + i])
        if wrong == 0:
            return np.int64(MATCH * length + 2 * END_BONUS), start + length, np.int64(0), start
        if wrong == 1:
            score = ungapped_score(read, length, index.codes, lo, hi, start, ends)
            return np.int64(score), start + ends[1], np.int64(0), start
    back = scratch.forward_back if strand == 0 else scratch.reverse_back
    first = start - (width >> 1)
    fill_window(index.codes, lo, hi, first, length + width, scratch.band_window)
    score = band_score(back, length, scratch.band_window, width, scratch.top, scratch.when, scratch.paths, ends)
    return np.int64(score), first + ends[1], np.int64(1), first + ends[1] - ends[0]


@lean_kernel
def move_place(places, r, source, target):
    """Write one place of a read over another."""
    for column in (places.start, places.strand, places.contig, places.score, places.end, places.gapped):
        column[r, target] = column[r, source]


@lean_kernel
def swap_places(places, r, one, other):
    """Exchange two places of a read."""
    for column in (places.start, places.strand, places.contig, places.score, places.end, places.gapped):
        kept = column[r, one]
        column[r, one] = column[r, other]
        column[r, other] = kept


@lean_kernel
def insert_place(places, r, strand, start, contig, score, end, gapped):
    """Keep a place of read ``r`` in its order (best first), unless the same alignment is there already."""
    n = places.count[r]
    for p in range(n):
        if (
            places.strand[r, p] == strand
            and places.contig[r, p] == contig
            and (places.end[r, p] == end or places.start[r, p] == start)
        ):
            if places.score[r, p] >= score:
                return
            for q in range(p, n - 1):
                move_place(places, r, q + 1, q)
            n -= 1
            break
    room = places.start.shape[1]
    if n == room:
        if places.score[r, n - 1] >= score:
            return
        n -= 1
    p = n
    while p > 0 and places.score[r, p - 1] < score:
        move_place(places, r, p - 1, p)
        p -= 1
    places.start[r, p] = start
    places.strand[r, p] = strand
    places.contig[r, p] = contig
    places.score[r, p] = score
    places.end[r, p] = end
    places.gapped[r, p] = gapped
    places.count[r] = n + 1
