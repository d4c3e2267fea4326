"""Places of one read: rounds of ever more anchors, until a better place than the best found so far is improbable.

Round 1 queries eight well-spaced anchors, each against one minor cell of its list; round 2 more anchors likewise; round 3
all anchors against whole lists, a few at a time. After each, the best clusters are aligned, and the rounds end once the chance
that a place at least as good as the best went unseen is below ``Settings.miss``: an anchor of a read with edit rate ``e`` is
intact with probability ``(1 - e)**k``, so few anchors settle a good read and many are needed for a poor one.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from genoseq.align.candidates import (
    MINOR, cluster_hits, code_anchor, minor_cell, query_list, spread_anchors,
)  # fmt: skip
from genoseq.align.extend import band_score, fill_window, ungapped_score
from genoseq.align.scoring import END_BONUS, MATCH, PAD, READ_N
from genoseq.embed.anchors import scan_anchors
from genoseq.kernels import kernel, prefetch

__all__ = ["IndexArrays", "MAX_LENGTH", "Places", "Scratch", "Settings", "contig_of", "insert_place", "load_read", "WIDE", "band_width", "make_scratch", "place_batch", "place_read", "score_place"]

MAX_LENGTH = 4096
"""Longest read that is placed, bp; a longer one stays unmapped."""
MAX_HITS = 4096
MAX_CLUSTERS = 48
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
    far_radius: int = 46
    """Hamming radius in round 3, bits."""
    near_z: float = 4.0
    far_z: float = 4.0
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
    aligned: int = 16
    """Clusters aligned in each round at most."""
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


class Places(NamedTuple):
    """Places of the reads of a batch, best first: arrays ``(reads, kept)`` and how many each read has.

    ``start`` is the global position of read base 0 in the orientation of ``strand``, for the middle of the band; ``end`` the global
    position after the last aligned base; ``score`` has the end bonuses in it; ``gapped`` is 0 where no band was needed, 1 for the
    band of :func:`band_width`, 2 for the wide one. ``unseen`` ``(reads,)`` is the chance that an equal place was not seen.
    """

    count: NDArray[np.int64]
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
        np.empty(8, np.int64),
    )  # fmt: skip


@kernel
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


@kernel
def contig_of(offsets, position):
    """Number of the contig that holds a global position."""
    lo = 0
    hi = offsets.shape[0] - 1
    while hi - lo > 1:
        middle = (lo + hi) >> 1
        if offsets[middle] <= position:
            lo = middle
        else:
            hi = middle
    return lo


@kernel
def band_width(length):
    """Diagonals of the band in which a read of this length is aligned: gaps of up to half of it are found."""
    return 32 if length <= 200 else 64


@kernel
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


@kernel
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
                places.start[r, q] = places.start[r, q + 1]
                places.strand[r, q] = places.strand[r, q + 1]
                places.contig[r, q] = places.contig[r, q + 1]
                places.score[r, q] = places.score[r, q + 1]
                places.end[r, q] = places.end[r, q + 1]
                places.gapped[r, q] = places.gapped[r, q + 1]
            n -= 1
            break
    room = places.start.shape[1]
    if n == room:
        if places.score[r, n - 1] >= score:
            return
        n -= 1
    p = n
    while p > 0 and places.score[r, p - 1] < score:
        places.start[r, p] = places.start[r, p - 1]
        places.strand[r, p] = places.strand[r, p - 1]
        places.contig[r, p] = places.contig[r, p - 1]
        places.score[r, p] = places.score[r, p - 1]
        places.end[r, p] = places.end[r, p - 1]
        places.gapped[r, p] = places.gapped[r, p - 1]
        p -= 1
    places.start[r, p] = start
    places.strand[r, p] = strand
    places.contig[r, p] = contig
    places.score[r, p] = score
    places.end[r, p] = end
    places.gapped[r, p] = gapped
    places.count[r] = n + 1


@kernel
def _align_clusters(index, settings, scratch, length, width, hits, tried_key, tried, places, r):
    """Cluster the hits and align the best clusters not tried before; return how many were tried in all."""
    n = cluster_hits(
        hits, scratch.hit_key, scratch.hit_z, scratch.hit_at, settings.spread, scratch.hit_order,
        scratch.cluster_key, scratch.cluster_z, scratch.cluster_at,
    )  # fmt: skip
    done = 0
    for c in range(n):
        if done == settings.aligned or tried == tried_key.shape[0]:
            break
        key = scratch.cluster_key[c]
        known = False
        for t in range(tried):
            if abs(tried_key[t] - key) <= settings.spread:
                known = True
                break
        if known:
            continue
        tried_key[tried] = key
        tried += 1
        done += 1
        strand = key >> 40
        start = (key & ((1 << 40) - 1)) - (1 << 20)
        contig = contig_of(index.offsets, scratch.cluster_at[c])
        score, end, gapped, _ = score_place(index, scratch, length, width, strand, start, contig, scratch.ends)
        if score >= settings.least:
            insert_place(places, r, strand, start, contig, score, end, gapped)
    return tried


@kernel
def _unseen(score, length, k, queried, whole):
    """Probability that a place scoring ``score`` was hit by none of ``queried`` minor cells and ``whole`` lists."""
    edits = (MATCH * length + 2 * END_BONUS - score) / (6.0 * length)
    keep = max(0.0, 1.0 - edits)
    seen = 1.0 if edits < 0.05 else max(0.15, 1.0 - 2.2 * (edits - 0.05))
    near = (1.0 - keep ** (k + 2) * seen) ** queried
    return near * (1.0 - keep**k * seen) ** whole


@kernel
def _widen(index, scratch, length, places, r):
    """Try the wide band at the best place of a read that lost more than a few edits there: it may span a long gap.

    If that scores better, the places it joins (same strand, within 64 bp) are no longer rivals and are dropped.
    """
    strand = places.strand[r, 0]
    start = places.start[r, 0]
    contig = places.contig[r, 0]
    score, end, gapped, _ = score_place(index, scratch, length, WIDE, strand, start, contig, scratch.ends)
    if score <= places.score[r, 0]:
        return
    kept = 1
    for p in range(1, places.count[r]):
        if places.strand[r, p] == strand and places.contig[r, p] == contig and abs(places.start[r, p] - start) <= WIDE // 2:
            continue
        places.start[r, kept] = places.start[r, p]
        places.strand[r, kept] = places.strand[r, p]
        places.contig[r, kept] = places.contig[r, p]
        places.score[r, kept] = places.score[r, p]
        places.end[r, kept] = places.end[r, p]
        places.gapped[r, kept] = places.gapped[r, p]
        kept += 1
    places.count[r] = kept
    places.score[r, 0] = score
    places.end[r, 0] = end
    places.gapped[r, 0] = 2


@kernel
def place_read(index, settings, scratch, length, tried_key, places, r):
    """Find the places of the read in ``scratch`` and write them into row ``r`` of ``places``; return the codes scanned."""
    scanned = _search(index, settings, scratch, length, band_width(length), tried_key, places, r)
    if places.count[r] > 0 and places.score[r, 0] < MATCH * length + 2 * END_BONUS - 50:
        _widen(index, scratch, length, places, r)
    return scanned


@kernel
def _search(index, settings, scratch, length, width, tried_key, places, r):
    """The rounds of :func:`place_read`."""
    k = index.k
    places.count[r] = 0
    places.unseen[r] = 1.0
    if length < k:
        return 0
    n = scan_anchors(scratch.forward, 0, length, k, index.cells, scratch.positions, scratch.entries)
    if n == 0:
        return 0
    bounds = index.bounds
    for a in range(n):
        position = scratch.positions[a]
        minor = minor_cell(scratch.forward, 0, length, position, k, scratch.entries[a] & 1)
        scratch.minors[a] = minor
        scratch.taken[a] = 0
        if minor >= 0:
            cell = np.int64(scratch.entries[a] >> 1) * MINOR + minor
            prefetch(bounds, cell)
    for a in range(n):
        minor = scratch.minors[a]
        scratch.sizes[a] = -1
        if minor >= 0:
            cell = np.int64(scratch.entries[a] >> 1) * MINOR + minor
            scratch.sizes[a] = bounds[cell + 1] - bounds[cell]
    hits = 0
    tried = 0
    scanned = 0
    queried = 0
    for stage in range(2):
        wanted = settings.near_anchors if stage == 0 else settings.more_anchors
        chosen = spread_anchors(
            n, scratch.positions, scratch.sizes, length, wanted, settings.near_list, scratch.order, scratch.taken
        )
        for o in range(chosen):
            a = scratch.order[o]
            number = np.int64(scratch.entries[a] >> 1)
            first = bounds[number * MINOR]
            at = 24 * first + 16 * (bounds[number * MINOR + scratch.minors[a]] - first)
            if at < index.data.shape[0]:
                prefetch(index.data, at)
        for o in range(chosen):
            a = scratch.order[o]
            entry = scratch.entries[a]
            number = np.int64(entry >> 1)
            first = bounds[number * MINOR]
            size = bounds[(number + 1) * MINOR] - first
            lo = bounds[number * MINOR + scratch.minors[a]] - first
            hi = bounds[number * MINOR + scratch.minors[a] + 1] - first
            if lo == hi:
                continue
            norm = code_anchor(
                scratch.forward, length, scratch.positions[a], k, entry, index.rows, index.context,
                scratch.window, scratch.used, scratch.sums, scratch.words,
            )  # fmt: skip
            hits = query_list(
                index.data, first, size, lo, hi, scratch.sums, norm, scratch.words, settings.near_radius, settings.near_z,
                length, scratch.positions[a], k, entry & 1, scratch.hit_key, scratch.hit_z, scratch.hit_at, hits,
            )  # fmt: skip
            scanned += hi - lo
        queried += chosen
        tried = _align_clusters(index, settings, scratch, length, width, hits, tried_key, tried, places, r)
        if places.count[r] > 0:
            places.unseen[r] = _unseen(places.score[r, 0], length, k, queried, 0)
            if places.unseen[r] < settings.miss:
                return scanned
    # Round 3: whole lists, shortest-listed anchor of each stretch first, in groups.
    for a in range(n):
        number = np.int64(scratch.entries[a] >> 1)
        scratch.sizes[a] = bounds[(number + 1) * MINOR] - bounds[number * MINOR]
        scratch.taken[a] = 0
    hits = 0
    whole = 0
    while True:
        chosen = spread_anchors(
            n, scratch.positions, scratch.sizes, length, 24, settings.far_list, scratch.order, scratch.taken
        )
        if chosen == 0:
            break
        for o in range(chosen):
            a = scratch.order[o]
            entry = scratch.entries[a]
            number = np.int64(entry >> 1)
            first = bounds[number * MINOR]
            size = scratch.sizes[a]
            if size == 0:
                continue
            if o + 1 < chosen:
                at = 24 * bounds[np.int64(scratch.entries[scratch.order[o + 1]] >> 1) * MINOR]
                if at < index.data.shape[0]:
                    prefetch(index.data, at)
            norm = code_anchor(
                scratch.forward, length, scratch.positions[a], k, entry, index.rows, index.context,
                scratch.window, scratch.used, scratch.sums, scratch.words,
            )  # fmt: skip
            hits = query_list(
                index.data, first, size, 0, size, scratch.sums, norm, scratch.words, settings.far_radius, settings.far_z,
                length, scratch.positions[a], k, entry & 1, scratch.hit_key, scratch.hit_z, scratch.hit_at, hits,
            )  # fmt: skip
            scanned += size
        whole += chosen
        tried = _align_clusters(index, settings, scratch, length, width, hits, tried_key, tried, places, r)
        if places.count[r] > 0:
            places.unseen[r] = min(places.unseen[r], _unseen(places.score[r, 0], length, k, 0, whole))
            if places.unseen[r] < settings.miss:
                break
        if scanned > settings.work:
            break
    return scanned


@kernel
def _hash_read(seq, start, end, names, name_start, name_end, seed):
    """A number that depends on a read's bases, name and the seed alone (FNV-1a)."""
    h = np.uint64(14695981039346656037) ^ np.uint64(seed)
    for i in range(start, end):
        h = (h ^ np.uint64(seq[i])) * np.uint64(1099511628211)
    for i in range(name_start, name_end):
        h = (h ^ np.uint64(names[i])) * np.uint64(1099511628211)
    return h ^ (h >> np.uint64(29))


@kernel
def _draw_among_ties(places, r, number):
    """Bring one of the equally best places of a read to the front, chosen by ``number``."""
    ties = 1
    while ties < places.count[r] and places.score[r, ties] == places.score[r, 0]:
        ties += 1
    chosen = np.int64(number % np.uint64(ties))
    if chosen == 0:
        return
    for column in (places.start, places.strand, places.contig, places.end, places.gapped):
        kept = column[r, 0]
        column[r, 0] = column[r, chosen]
        column[r, chosen] = kept


@kernel
def place_batch(index, settings, scratch, seq, seq_offsets, names, name_offsets, lookup, seed, places):
    """Place every read of a batch; a read longer than MAX_LENGTH gets no place. Ties are drawn by ``seed`` and the read itself."""
    tried_key = np.empty(256, np.int64)
    for r in range(seq_offsets.shape[0] - 1):
        places.count[r] = 0
        places.unseen[r] = 1.0
        if seq_offsets[r + 1] - seq_offsets[r] > MAX_LENGTH:
            continue
        length = load_read(seq, seq_offsets[r], seq_offsets[r + 1], lookup, scratch)
        place_read(index, settings, scratch, length, tried_key, places, r)
        if places.count[r] > 1 and places.score[r, 1] == places.score[r, 0]:
            number = _hash_read(seq, seq_offsets[r], seq_offsets[r + 1], names, name_offsets[r], name_offsets[r + 1], seed)
            _draw_among_ties(places, r, number)
