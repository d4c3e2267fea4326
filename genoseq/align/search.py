"""The search for the places of a read: rounds of ever more anchors, until a better place than the best is improbable.

Round 1 queries eight well-spaced anchors, each against one minor cell of its list; round 2 more anchors likewise; round 3
all anchors against whole lists, a few at a time; round 4, for reads that have no good place by then, the same with wider
filters; round 5, for those that still have none, all k-mers of the read, and all that are one transition (A for G, C for T, or
the reverse) away from them. After each, the best clusters are aligned, and the rounds end once the chance that a place at
least as good as the best went unseen is below ``Settings.miss``: an anchor of a read with edit rate ``e`` is intact with
probability ``(1 - e)**k``, so few anchors settle a good read and many are needed for a poor one. Round 5 is for reads of another
species: about half of the differences between genomes are transitions, so that at 25 % an anchor has one as often as none.
"""

from __future__ import annotations

import numpy as np

from genoseq.align.candidates import (
    MINOR,
    cluster_hits,
    code_anchor,
    minor_cell,
    query_list,
    spread_anchors,
)  # fmt: skip
from genoseq.align.place import MAX_LENGTH, WIDE, band_width, insert_place, load_read, move_place, score_place, swap_places
from genoseq.align.scoring import END_BONUS, MATCH
from genoseq.embed.anchors import scan_anchors
from genoseq.kernels import lean_kernel, prefetch
from genoseq.seqs.genome import contig_of

__all__ = ["place_batch", "place_read"]

FAINT = 0.25
"""Once a read has a place, a cluster with less than this share of the best cluster's votes is not aligned."""
SHORT = 56
"""Reads shorter than this, bp, must score more than ``Settings.least``: a point for every two bases they lack."""
GROUP = 24
"""Anchors queried in rounds 3 and 4 before the clusters found so far are aligned."""
AHEAD = 4
"""Lists fetched ahead of the one scanned in round 5."""
ENTRY = 0xFFFFFFFF
"""The part of a probe that is a table entry."""
RIVAL, WIDENED = 12, 16
"""Points below the best place within which others are tried in the wide band, and how many places are tried at most."""
TRANSITION = 2
"""The code of a base (A 0, C 1, G 2, T 3) with this bit flipped is the base a transition makes of it."""


@lean_kernel
def _align_clusters(index, settings, scratch, length, most, hits, tried, places, r):
    """Cluster the hits and align the best clusters not tried before, ``most`` at most; return how many were tried in all."""
    width = band_width(length)
    # The end bonuses are a large part of a short read's score, and no evidence.
    least = settings.least + max(0, SHORT - length) // 2
    n = cluster_hits(
        hits, scratch.hit_key, scratch.hit_z, scratch.hit_at, settings.spread, scratch.hit_order,
        scratch.cluster_key, scratch.cluster_z, scratch.cluster_at,
    )  # fmt: skip
    done = 0
    for c in range(n):
        if done == most or tried == scratch.tried.shape[0]:
            break
        if places.count[r] > 0 and scratch.cluster_z[c] < FAINT * scratch.cluster_z[0]:
            break
        key = scratch.cluster_key[c]
        known = False
        for t in range(tried):
            if abs(scratch.tried[t] - key) <= settings.spread:
                known = True
                break
        if known:
            continue
        scratch.tried[tried] = key
        tried += 1
        done += 1
        strand = key >> 40
        start = (key & ((1 << 40) - 1)) - (1 << 20)
        contig = contig_of(index.offsets, scratch.cluster_at[c])
        score, end, gapped, _ = score_place(index, scratch, length, width, strand, start, contig, scratch.ends)
        if score >= least:
            insert_place(places, r, strand, start, contig, score, end, gapped)
    return tried


@lean_kernel
def _unseen(score, length, k, queried, whole):
    """Probability that a place scoring ``score`` was hit by none of ``queried`` minor cells and ``whole`` lists."""
    edits = (MATCH * length + 2 * END_BONUS - score) / (6.0 * length)
    keep = max(0.0, 1.0 - edits)
    seen = 1.0 if edits < 0.05 else max(0.15, 1.0 - 2.2 * (edits - 0.05))
    near = (1.0 - keep ** (k + 2) * seen) ** queried
    return near * (1.0 - keep**k * seen) ** whole


@lean_kernel
def _drop_joined(places, r, p):
    """Drop the places behind place ``p`` that the wide band around it covers: same strand, within half of its width."""
    kept = p + 1
    for q in range(p + 1, places.count[r]):
        near = abs(places.start[r, q] - places.start[r, p]) <= WIDE // 2
        if near and places.strand[r, q] == places.strand[r, p] and places.contig[r, q] == places.contig[r, p]:
            continue
        move_place(places, r, q, kept)
        kept += 1
    places.count[r] = kept


@lean_kernel
def _widen(index, scratch, length, places, r):
    """Try the wide band at the best places of a read that lost more than a few edits there: it may span a long gap.

    The rivals are tried as well as the best place, or a copy of it elsewhere would seem worse by the gap alone. Places that a
    better wide alignment joins are no longer rivals of it and are dropped.
    """
    best = places.score[r, 0]
    reach = RIVAL
    tried = 0
    while tried < min(places.count[r], WIDENED) and places.score[r, tried] >= best - reach:
        p = tried
        score, end, _, _ = score_place(
            index, scratch, length, WIDE, places.strand[r, p], places.start[r, p], places.contig[r, p], scratch.ends
        )
        gain = score - places.score[r, p]
        if gain > 0:
            _drop_joined(places, r, p)
            places.score[r, p] = score
            places.end[r, p] = end
            places.gapped[r, p] = 2
            if p == 0:
                reach += gain  # a rival may be where the other side of the gap lies
        tried += 1
    for p in range(1, tried):
        q = p
        while q > 0 and places.score[r, q - 1] < places.score[r, q]:
            swap_places(places, r, q - 1, q)
            q -= 1


@lean_kernel
def _drop_other_parts(places, r, length):
    """Drop places where another part of the read lies than at its best place: they are no rivals of it.

    Reads across a long deletion, a breakpoint or the origin of a circular genome have such places. A place's part of the read is
    judged by where it ends in the read and by its score, ``MATCH`` a base at most.
    """
    end = places.end[r, 0] - places.start[r, 0]
    size = (places.score[r, 0] - END_BONUS) // MATCH
    kept = 1
    for p in range(1, places.count[r]):
        other_end = places.end[r, p] - places.start[r, p]
        other_size = (places.score[r, p] - END_BONUS) // MATCH
        shared = min(end, other_end) - max(end - size, other_end - other_size)
        if 4 * shared < min(size, other_size) and abs(end - other_end) > length // 5:
            continue
        move_place(places, r, p, kept)
        kept += 1
    places.count[r] = kept


@lean_kernel
def _find_anchors(index, scratch, length):
    """Anchors of the read in ``scratch``, with the minor cell of each and its size (-1 where it has none); return how many."""
    k = index.k
    bounds = index.bounds
    n = scan_anchors(scratch.forward, 0, length, k, index.cells, scratch.positions, scratch.entries)
    for a in range(n):
        entry = scratch.entries[a]
        minor = minor_cell(scratch.forward, 0, length, scratch.positions[a], k, entry & 1)
        scratch.minors[a] = minor
        scratch.taken[a] = 0
        if minor >= 0:
            prefetch(bounds, np.int64(entry >> 1) * MINOR + minor)
    for a in range(n):
        minor = scratch.minors[a]
        scratch.sizes[a] = -1
        if minor >= 0:
            cell = np.int64(scratch.entries[a] >> 1) * MINOR + minor
            scratch.sizes[a] = bounds[cell + 1] - bounds[cell]
    return n


@lean_kernel
def _query_anchors(index, settings, scratch, length, chosen, stage, hits):
    """Query the ``chosen`` anchors of ``scratch.order``, in rounds 1 and 2 against one minor cell each, later whole lists.

    Returns:
        ``(hits, scanned)``: hits in ``scratch`` now, codes compared.
    """
    k = index.k
    bounds = index.bounds
    whole = stage >= 3
    radius = settings.deep_radius if stage == 4 else settings.far_radius if stage == 3 else settings.near_radius
    z_least = settings.deep_z if stage == 4 else settings.far_z if stage == 3 else settings.near_z
    scanned = 0
    for o in range(chosen):
        # Fetch the next list while this one's anchor is coded and scanned.
        for ahead in range(o + 1 if o > 0 else 0, min(o + 2, chosen)):
            a = scratch.order[ahead]
            number = np.int64(scratch.entries[a] >> 1)
            first = bounds[number * MINOR]
            at = 24 * first
            if not whole:
                at += 16 * (bounds[number * MINOR + scratch.minors[a]] - first)
            if at < index.data.shape[0]:
                prefetch(index.data, at)
        a = scratch.order[o]
        if scratch.sizes[a] == 0:
            continue
        entry = scratch.entries[a]
        number = np.int64(entry >> 1)
        first = bounds[number * MINOR]
        size = bounds[(number + 1) * MINOR] - first
        lo = np.int64(0)
        hi = size
        if not whole:
            lo = bounds[number * MINOR + scratch.minors[a]] - first
            hi = lo + scratch.sizes[a]
        norm = code_anchor(
            scratch.forward, length, scratch.positions[a], k, entry, index.rows, index.context,
            scratch.window, scratch.used, scratch.sums, scratch.words,
        )  # fmt: skip
        hits = query_list(
            index.data, first, size, lo, hi, scratch.sums, norm, scratch.words, radius, z_least,
            length, scratch.positions[a], k, entry & 1, scratch.hit_key, scratch.hit_z, scratch.hit_at, hits,
        )  # fmt: skip
        scanned += hi - lo
    return hits, scanned


@lean_kernel
def _query_whole(index, settings, scratch, length, n, stage, tried, places, r):
    """Round 3 or 4: all anchors against whole lists, the shortest list of each stretch first, in groups.

    Returns:
        ``(tried, scanned)``.
    """
    deep = stage == 4
    most = settings.deep_aligned if deep else settings.aligned
    scratch.taken[:n] = 0
    hits = 0
    whole = 0
    scanned = 0
    while True:
        chosen = spread_anchors(
            n, scratch.positions, scratch.sizes, length, GROUP, settings.far_list, scratch.order, scratch.taken
        )
        hits, more = _query_anchors(index, settings, scratch, length, chosen, stage, hits)
        whole += chosen
        scanned += more
        if not deep or chosen == 0 or scanned > settings.work:
            tried = _align_clusters(index, settings, scratch, length, most, hits, tried, places, r)
            if places.count[r] > 0:
                unseen = _unseen(places.score[r, 0], length, index.k, np.int64(0), whole)
                places.unseen[r] = min(places.unseen[r], unseen)
                if unseen < settings.miss:
                    break
        if chosen == 0 or scanned > settings.work:
            break
    return tried, scanned


@lean_kernel
def _query_probes(index, settings, scratch, length, probes, hits):
    """Query whole lists for ``probes`` of ``scratch.order``: read position ``<< 32``, and the table entry of a k-mer to look for.

    Returns:
        ``(hits, scanned)``.
    """
    k = index.k
    bounds = index.bounds
    scanned = 0
    coded = np.int64(-1)
    norm = 0.0
    for o in range(probes):
        # Fetch the bounds of a list, then the list, while those before it are scanned.
        for step in range(1, 3):
            ahead = o + step * AHEAD
            if ahead < probes:
                number = (scratch.order[ahead] & ENTRY) >> 1
                if step == 2:
                    prefetch(bounds, number * MINOR)
                elif 24 * bounds[number * MINOR] < index.data.shape[0]:
                    prefetch(index.data, 24 * bounds[number * MINOR])
        position = scratch.order[o] >> 32
        flip = scratch.order[o] & 1
        number = (scratch.order[o] & ENTRY) >> 1
        first = bounds[number * MINOR]
        size = bounds[(number + 1) * MINOR] - first
        if size == 0 or size > settings.far_list:
            continue
        if coded != position << 1 | flip:  # the anchor has no part in its code: probes of one position and flip share it
            coded = position << 1 | flip
            norm = code_anchor(
                scratch.forward, length, position, k, flip, index.rows, index.context,
                scratch.window, scratch.used, scratch.sums, scratch.words,
            )  # fmt: skip
        hits = query_list(
            index.data, first, size, np.int64(0), size, scratch.sums, norm, scratch.words,
            settings.neighbour_radius, settings.neighbour_z,
            length, position, k, flip, scratch.hit_key, scratch.hit_z, scratch.hit_at, hits,
        )  # fmt: skip
        scanned += size
    return hits, scanned


@lean_kernel
def _query_neighbours(index, settings, scratch, length, tried, places, r):
    """Round 5: all k-mers of the read, and all that are one transition away, against the whole lists of those that anchor.

    Returns:
        Codes scanned.
    """
    k = index.k
    mask = (1 << (2 * k)) - 1
    room = scratch.order.shape[0] - 2 * (k + 1)
    word = 0
    filled = 0
    probes = 0
    hits = 0
    scanned = 0
    for i in range(length):
        c = np.int64(scratch.forward[i])
        if c > 3:
            filled = 0
        else:
            word = ((word << 2) | c) & mask
            filled += 1
        if filled >= k:
            for flip in range(2):
                for v in range(k + 1):
                    # v = k flips a bit outside the mask: the k-mer itself
                    entry = np.int64(index.cells[(word ^ (TRANSITION << (2 * v))) & mask])
                    if entry >= 0 and entry & 1 == flip:
                        scratch.order[probes] = (i - k + 1) << 32 | entry
                        probes += 1
        if probes > room or i == length - 1:
            hits, more = _query_probes(index, settings, scratch, length, probes, hits)
            scanned += more
            probes = 0
            if scanned > settings.work:
                break
    _align_clusters(index, settings, scratch, length, settings.deep_aligned, hits, tried, places, r)
    return scanned


@lean_kernel
def _search(index, settings, scratch, length, places, r):
    """The rounds; return the codes scanned."""
    places.count[r] = 0
    places.unseen[r] = 1.0
    if length < index.k:
        return 0
    n = _find_anchors(index, scratch, length)
    if n == 0:
        return 0
    hits = 0
    tried = 0
    scanned = 0
    queried = 0
    for stage in range(1, 5):
        if stage <= 2:
            wanted = settings.near_anchors if stage == 1 else settings.more_anchors
            chosen = spread_anchors(
                n, scratch.positions, scratch.sizes, length, wanted, settings.near_list, scratch.order, scratch.taken
            )
            hits, more = _query_anchors(index, settings, scratch, length, chosen, stage, hits)
            queried += chosen
            most = settings.near_aligned
            tried = _align_clusters(index, settings, scratch, length, most, hits, tried, places, r)
            if places.count[r] > 0:
                places.unseen[r] = _unseen(places.score[r, 0], length, index.k, queried, np.int64(0))
        else:
            if stage == 3:
                for a in range(n):
                    number = np.int64(scratch.entries[a] >> 1)
                    scratch.sizes[a] = index.bounds[(number + 1) * MINOR] - index.bounds[number * MINOR]
            elif places.count[r] > 0 and places.score[r, 0] >= settings.least + settings.enough:
                break
            tried, more = _query_whole(index, settings, scratch, length, n, stage, tried, places, r)
        scanned += more
        if places.count[r] > 0 and places.unseen[r] < settings.miss:
            break
    if settings.neighbours and (places.count[r] == 0 or places.score[r, 0] < settings.least + settings.enough):
        scanned += _query_neighbours(index, settings, scratch, length, tried, places, r)
    return scanned


@lean_kernel
def place_read(index, settings, scratch, length, places, r):
    """Find the places of the read in ``scratch`` and write them into row ``r`` of ``places``; return the codes scanned."""
    scanned = _search(index, settings, scratch, length, places, r)
    if places.count[r] > 0 and places.score[r, 0] < MATCH * length + 2 * END_BONUS - 50:
        _widen(index, scratch, length, places, r)
        if places.count[r] > 1:
            _drop_other_parts(places, r, length)
    return scanned


@lean_kernel
def _hash_read(seq, start, end, names, name_start, name_end, seed):
    """A number that depends on a read's bases, name and the seed alone (FNV-1a)."""
    h = np.uint64(14695981039346656037) ^ np.uint64(seed)
    for i in range(start, end):
        h = (h ^ np.uint64(seq[i])) * np.uint64(1099511628211)
    for i in range(name_start, name_end):
        h = (h ^ np.uint64(names[i])) * np.uint64(1099511628211)
    return h ^ (h >> np.uint64(29))


@lean_kernel
def _draw_among_ties(places, r, number):
    """Bring one of the equally best places of a read to the front, chosen by ``number``."""
    ties = 1
    while ties < places.count[r] and places.score[r, ties] == places.score[r, 0]:
        ties += 1
    chosen = np.int64(number % np.uint64(ties))
    if chosen == 0:
        return
    swap_places(places, r, 0, chosen)


@lean_kernel
def place_batch(index, settings, scratch, seq, seq_offsets, names, name_offsets, lookup, seed, places):
    """Place every read of a batch; a read longer than MAX_LENGTH gets no place. ``seed`` and the read draw among ties."""
    for r in range(seq_offsets.shape[0] - 1):
        places.count[r] = 0
        places.unseen[r] = 1.0
        if seq_offsets[r + 1] - seq_offsets[r] > MAX_LENGTH:
            continue
        length = load_read(seq, seq_offsets[r], seq_offsets[r + 1], lookup, scratch)
        place_read(index, settings, scratch, length, places, r)
        if places.count[r] > 1 and places.score[r, 1] == places.score[r, 0]:
            number = _hash_read(seq, seq_offsets[r], seq_offsets[r + 1], names, name_offsets[r], name_offsets[r + 1], seed)
            _draw_among_ties(places, r, number)
