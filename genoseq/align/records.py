"""From places to records: the alignment is traced, gaps moved left, clips and flags set, mates told of each other.

Records are arrays, one entry a record, in output order: the reads in input order, each read's primary record first and its
secondary ones after it. Positions are 0-based within the contig; writers convert.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from genoseq.align.extend import band_trace, clip_poor_ends, fill_window, left_align, path_score, ungapped_score
from genoseq.align.mapq import phred, single_quality
from genoseq.align.pairing import choose_pair
from genoseq.align.place import WIDE, band_width, load_read
from genoseq.align.scoring import END_BONUS, OP_CLIP, OP_MATCH
from genoseq.kernels import lean_kernel

__all__ = ["Records", "finish_pairs", "finish_singles", "make_records"]

PAIRED, PROPER, UNMAPPED, MATE_UNMAPPED, REVERSE, MATE_REVERSE, FIRST, LAST, SECONDARY = (1 << b for b in range(9))
"""SAM flags (specification, 1.4)."""


SECONDARY_SHARE = 0.8
"""Least score of a secondary record, as a share of the primary one's (as in BWA-MEM and minimap2)."""


class Records(NamedTuple):
    """Alignment records of a batch. ``n`` is ``(2,)``: records, and CIGAR operations in the pool."""

    n: NDArray[np.int64]
    read: NDArray[np.int64]
    flag: NDArray[np.int64]
    contig: NDArray[np.int64]
    position: NDArray[np.int64]
    quality: NDArray[np.int64]
    cigar_at: NDArray[np.int64]
    cigar_n: NDArray[np.int64]
    edits: NDArray[np.int64]
    score: NDArray[np.int64]
    second: NDArray[np.int64]
    mate: NDArray[np.int64]
    template: NDArray[np.int64]
    end: NDArray[np.int64]
    cigar: NDArray[np.uint32]


def make_records(reads: int, bases: int, kept: int) -> Records:
    """Room for the records of ``reads`` reads with ``bases`` bases in all, at most ``kept`` records each."""
    size = reads * kept + 1  # one more: a rival is traced before it is known whether it is written
    arrays = [np.empty(size, np.int64) for _ in range(13)]
    pool = np.empty((2 * bases + 16 * reads) * (kept + 1), np.uint32)
    return Records._make([np.zeros(2, np.int64), *arrays, pool])


@lean_kernel
def _trace(index, scratch, length, places, r, p, records):
    """Append place ``p`` of read ``r`` (loaded in ``scratch``) as a record; return its number.

    Fills contig, position, end, cigar, edits and score (without end bonuses); the rest is the caller's.
    """
    strand = places.strand[r, p]
    start = places.start[r, p]
    contig = places.contig[r, p]
    lo = index.offsets[contig]
    hi = index.offsets[contig + 1]
    read = scratch.forward if strand == 0 else scratch.reverse
    at = records.n[1]
    number = records.n[0]
    records.n[0] += 1
    ends = scratch.ends
    pool = records.cigar
    if places.gapped[r, p] == 0:
        score = np.int64(ungapped_score(read, length, index.codes, lo, hi, start, ends))
        read_start = ends[0]
        read_end = ends[1]
        score -= (END_BONUS if read_start == 0 else 0) + (END_BONUS if read_end == length else 0)
        reference = start + read_start
        edits = ends[3]
        n = 0
        if read_start > 0:
            pool[at] = np.uint32(read_start << 4 | OP_CLIP)
            n += 1
        pool[at + n] = np.uint32((read_end - read_start) << 4 | OP_MATCH)
        n += 1
        reference_end = start + read_end
    else:
        width = band_width(length) if places.gapped[r, p] == 1 else WIDE
        back = scratch.forward_back if strand == 0 else scratch.reverse_back
        first = start - (width >> 1)
        window = scratch.band_window
        fill_window(index.codes, lo, hi, first, length + width, window)
        operations = pool[at + 1 :]
        band_trace(back, length, window, width, scratch.top, scratch.when, scratch.paths, ends, operations)
        left_align(read, ends[2], window, ends[3], operations, ends[4])
        edits = np.int64(clip_poor_ends(read, length, window, ends, operations))
        score = path_score(read, window, ends, operations)
        read_start = ends[2]
        read_end = ends[0]
        n = ends[4]
        reference = first + ends[3]
        reference_end = first + ends[1]
        if read_start > 0:
            pool[at] = np.uint32(read_start << 4 | OP_CLIP)
            n += 1
        else:
            for x in range(at, at + n):
                pool[x] = pool[x + 1]
    if read_end < length:
        pool[at + n] = np.uint32((length - read_end) << 4 | OP_CLIP)
        n += 1
    records.n[1] = at + n
    records.read[number] = r
    records.contig[number] = contig
    records.position[number] = reference - lo
    records.end[number] = reference_end - lo
    records.cigar_at[number] = at
    records.cigar_n[number] = n
    records.edits[number] = edits
    records.score[number] = score
    records.flag[number] = REVERSE if strand == 1 else 0
    records.quality[number] = 0
    records.second[number] = -1
    records.mate[number] = -1
    records.template[number] = 0
    return number


@lean_kernel
def _unmapped(r, records):
    """Append an unmapped record of read ``r``; return its number."""
    number = records.n[0]
    records.n[0] += 1
    records.read[number] = r
    records.flag[number] = UNMAPPED
    records.contig[number] = -1
    records.position[number] = -1
    records.end[number] = -1
    records.cigar_at[number] = records.n[1]
    records.cigar_n[number] = 0
    records.quality[number] = 0
    records.edits[number] = -1
    records.score[number] = -1
    records.second[number] = -1
    records.mate[number] = -1
    records.template[number] = 0
    return number


@lean_kernel
def _rivals(index, scratch, length, places, r, chosen, primary, secondary, records):
    """Trace the other places of a read: the best of them for XS, and up to ``secondary`` of them as records.

    A rival that turns out to be the very alignment of the primary record, or of one written before, is left out.
    """
    written = 0
    for p in range(places.count[r]):
        if p == chosen:
            continue
        if records.second[primary] >= 0 and written >= secondary:
            break
        before = records.n[0]
        pool = records.n[1]
        number = _trace(index, scratch, length, places, r, p, records)
        same = records.cigar_n[number] == 0
        for other in range(primary, before):
            if (
                records.read[other] == r
                and records.contig[other] == records.contig[number]
                and (records.position[other] == records.position[number] or records.end[other] == records.end[number])
                and (records.flag[other] & REVERSE) == (records.flag[number] & REVERSE)
            ):
                same = True
        if not same and records.second[primary] < 0:
            records.second[primary] = records.score[number]
        faint = records.score[number] < SECONDARY_SHARE * records.score[primary]
        if same or faint or written >= secondary:
            records.n[0] = before
            records.n[1] = pool
            continue
        records.flag[number] |= SECONDARY
        written += 1


@lean_kernel
def finish_singles(index, scratch, seq, seq_offsets, lookup, places, chance, secondary, records):
    """Write the records of unpaired reads; ``secondary`` is the greatest number of secondary records of a read."""
    best = np.int64(0)
    for r in range(seq_offsets.shape[0] - 1):
        if places.count[r] == 0:
            _unmapped(r, records)
            continue
        length = load_read(seq, seq_offsets[r], seq_offsets[r + 1], lookup, scratch)
        number = _trace(index, scratch, length, places, r, best, records)
        records.quality[number] = single_quality(places.score[r], places.count[r], best, length, chance, places.unseen[r])
        _rivals(index, scratch, length, places, r, best, number, secondary, records)


@lean_kernel
def finish_pairs(index, model, scratch, seq, seq_offsets, lookup, places, chance, secondary, records):
    """Write the records of pairs: reads ``2 i`` and ``2 i + 1`` are mates."""
    choice = scratch.choice
    bases = index.offsets[index.offsets.shape[0] - 1]
    for a in range(0, seq_offsets.shape[0] - 1, 2):
        b = a + 1
        length_a = seq_offsets[a + 1] - seq_offsets[a]
        length_b = seq_offsets[b + 1] - seq_offsets[b]
        choose_pair(places, model, a, length_a, b, length_b, bases, chance, choice)
        numbers_a = np.int64(-1)
        numbers_b = np.int64(-1)
        for mate in range(2):
            r = a + mate
            chosen = np.int64(choice[mate])
            if chosen < 0:
                number = _unmapped(r, records)
            else:
                length = load_read(seq, seq_offsets[r], seq_offsets[r + 1], lookup, scratch)
                number = _trace(index, scratch, length, places, r, chosen, records)
                alone = single_quality(places.score[r], places.count[r], chosen, length, chance, places.unseen[r])
                if places.count[a] > 0 and places.count[b] > 0:
                    wrong = choice[2 + mate]
                    if choice[4] > 0.5:
                        # both reads vouch for a proper pair; a place unseen by one search was sought beside the other's
                        wrong += places.unseen[a] * places.unseen[b]
                        together = phred(wrong)
                    else:
                        together = min(alone, phred(wrong + places.unseen[r]))
                    records.quality[number] = together
                else:
                    records.quality[number] = alone
            if mate == 0:
                numbers_a = number
            else:
                numbers_b = number
            records.flag[number] |= PAIRED | (FIRST if mate == 0 else LAST)
            if chosen >= 0:
                first_secondary = records.n[0]
                _rivals(index, scratch, length, places, r, chosen, number, secondary, records)
                for other in range(first_secondary, records.n[0]):
                    records.flag[other] |= PAIRED | (FIRST if mate == 0 else LAST)
        _link(records, numbers_a, numbers_b, choice[4] > 0.5)


@lean_kernel
def _link(records, a, b, proper):
    """Tell mates of each other: flags, and the signed template length (SAM specification, 1.4: leftmost to rightmost base)."""
    for x in range(2):
        mine = a if x == 0 else b
        other = b if x == 0 else a
        last = records.n[0]
        for number in range(mine, last):
            if records.read[number] != records.read[mine]:
                break
            records.mate[number] = other
            if records.flag[other] & UNMAPPED:
                records.flag[number] |= MATE_UNMAPPED
            elif records.flag[other] & REVERSE:
                records.flag[number] |= MATE_REVERSE
    if (records.flag[a] | records.flag[b]) & UNMAPPED:
        return
    if proper:
        records.flag[a] |= PROPER
        records.flag[b] |= PROPER
    if records.contig[a] == records.contig[b]:
        left = min(records.position[a], records.position[b])
        right = max(records.end[a], records.end[b])
        size = right - left
        first_is_left = records.position[a] < records.position[b] or (
            records.position[a] == records.position[b] and (records.flag[a] & REVERSE) == 0
        )
        records.template[a] = size if first_is_left else -size
        records.template[b] = -size if first_is_left else size
