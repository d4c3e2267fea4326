"""Base-level alignment of a read to one place of the reference: ungapped, then banded with affine gaps.

Coordinates: read base ``i`` (0-based, in the orientation aligned) lies on diagonal ``d`` of a window when it is opposite window
base ``i + d``. A band holds ``width`` diagonals from 0 up. Scores are those of :mod:`genoseq.align.scoring`; window bases
beyond the contig are never aligned.
"""

from __future__ import annotations

import numpy as np

from genoseq.align.lanes import score_32, score_64, score_128, trace_32, trace_64, trace_128
from genoseq.align.scoring import (
    AMBIGUOUS,
    END_BONUS,
    GAP_EXTEND,
    GAP_OPEN,
    MATCH,
    MISMATCH,
    OP_DELETE,
    OP_INSERT,
    OP_MATCH,
    OUTSIDE,
    PAD,
    STRICT_CONTRAST,
    STRICT_END_BONUS,
    STRICT_GAP_EXTEND,
    STRICT_GAP_OPEN,
    STRICT_LOST_RATE,
    STRICT_MATCH,
    STRICT_MISMATCH,
    STRICT_MOST,
    STRICT_RATE,
    STRICT_SHARE,
)  # fmt: skip
from genoseq.kernels import lean_kernel

__all__ = ["band_score", "band_trace", "clip_poor_ends", "fill_window", "left_align", "path_score", "ungapped_score"]


@lean_kernel
def fill_window(codes, contig_start, contig_end, start, length, window):
    """Copy reference ``codes[start:start + length]`` into ``window[PAD:]``, OUTSIDE beyond the contig and around it."""
    for x in range(PAD):
        window[x] = OUTSIDE
        window[PAD + length + x] = OUTSIDE
    lo = max(0, contig_start - start)
    hi = min(length, contig_end - start)
    for x in range(min(lo, length)):
        window[PAD + x] = OUTSIDE
    for x in range(lo, hi):
        window[PAD + x] = codes[start + x]
    for x in range(max(hi, 0), length):
        window[PAD + x] = OUTSIDE


@lean_kernel
def ungapped_score(read, length, codes, contig_start, contig_end, start, ends):
    """Best ungapped alignment of ``read[:length]`` laid over ``codes[start:]``.

    Args:
        read: base codes uint8, READ_N for anything but A, C, G, T.
        ends: output int64 ``(4,)``: first and last + 1 aligned read base, mismatches over the whole read, mismatches
            inside the aligned part.

    Returns:
        Score with end bonuses; 0 where nothing aligns.
    """
    lo = max(0, contig_start - start)
    hi = min(length, contig_end - start)
    ends[0] = 0
    ends[1] = 0
    ends[2] = length
    ends[3] = 0
    if hi <= lo:
        return 0
    wrong = np.int64(0)
    for i in range(lo, hi):
        wrong += np.int64(read[i] != codes[start + i])
    wrong += lo + (length - hi)
    ends[2] = wrong
    if wrong == 0:
        ends[1] = length
        return MATCH * length + 2 * END_BONUS
    best = 0
    run = END_BONUS if lo == 0 else 0
    first = lo
    errors = 0
    for i in range(lo, hi):
        if run <= 0:
            run = 0
            first = i
            errors = 0
        r = read[i]
        g = codes[start + i]
        if r == g:
            run += MATCH
        else:
            run -= AMBIGUOUS if (r > 3 or g > 3) else MISMATCH
            errors += 1
        total = run + (END_BONUS if i == length - 1 else 0)
        if total > best:
            best = total
            ends[0] = first
            ends[1] = i + 1
            ends[3] = errors
    return best


@lean_kernel
def _best_lane(top, when, lanes, length, ends):
    """The best of the lanes (the first on ties), and in ``ends`` the read and window position after its last base."""
    best = np.int64(0)
    ends[0] = 0
    ends[1] = 0
    for t in range(lanes):
        if top[t] > best:
            best = np.int64(top[t])
            a = np.int64(when[t])
            d = 2 * t + (a & 1)
            ends[0] = (a - d) >> 1
            ends[1] = (a + d) >> 1
    return best


@lean_kernel
def band_score(reverse, length, window, width, top, when, paths, ends):
    """Best banded alignment: the score, with end bonuses, and in ``ends`` the read and window position after its end.

    Args:
        reverse: the read's base codes *backwards*, uint8, with PAD bytes above 3 on both sides.
        length: bases of the read, at most 15,000 (16-bit scores).
        window: from :func:`fill_window`, ``length + width`` bases long.
        width: diagonals in the band: 32, 64 or 128.
        top, when: scratch int16 ``(64,)``; paths: not used.
        ends: output int64 ``(2,)``.

    Returns:
        0 where nothing aligns.
    """
    if width == 32:
        score_32(reverse, window, length, top, when, paths)
    elif width == 64:
        score_64(reverse, window, length, top, when, paths)
    else:
        score_128(reverse, window, length, top, when, paths)
    return _best_lane(top, when, width >> 1, length, ends)


@lean_kernel
def band_trace(reverse, length, window, width, top, when, paths, ends, cigar):
    """Like :func:`band_score`, with the path.

    Args:
        paths: scratch uint8, at least ``(2 * length + width) * width / 2`` long.
        ends: output int64 ``(5,)``: read end, window end, read start, window start, number of CIGAR operations.
        cigar: output uint32, operations ``length << 4 | code`` in reading order, without soft clips.

    Returns:
        Score with end bonuses. A gap at either end of the alignment is left out of it: what it inserted becomes part of the clip.
    """
    if width == 32:
        trace_32(reverse, window, length, top, when, paths)
    elif width == 64:
        trace_64(reverse, window, length, top, when, paths)
    else:
        trace_128(reverse, window, length, top, when, paths)
    lanes = width >> 1
    score = _best_lane(top, when, lanes, length, ends)
    ends[2] = ends[0]
    ends[3] = ends[1]
    ends[4] = 0
    if score <= 0:
        return np.int64(0)
    i = ends[0]
    j = ends[1]
    n = 0
    state = 0
    while i > 0:
        a = i + j
        cell = paths[a * lanes + ((j - i) >> 1)]
        if state == 0:
            state = np.int64(cell & 3)
        if state == 0:
            op = OP_MATCH
            i -= 1
            j -= 1
            stop = (cell & 4) != 0
        elif state == 1:
            op = OP_DELETE
            j -= 1
            stop = False
            if (cell & 8) == 0:
                state = 0
        else:
            op = OP_INSERT
            i -= 1
            stop = False
            if (cell & 16) == 0:
                state = 0
        if n > 0 and (cigar[n - 1] & 15) == op:
            cigar[n - 1] += np.uint32(16)
        else:
            cigar[n] = np.uint32(16 | op)
            n += 1
        if stop:
            break
    ends[2] = i
    ends[3] = j
    for x in range(n >> 1):
        swap = cigar[x]
        cigar[x] = cigar[n - 1 - x]
        cigar[n - 1 - x] = swap
    while n > 0 and (cigar[n - 1] & 15) != OP_MATCH:
        if (cigar[n - 1] & 15) == OP_INSERT:
            if ends[0] == length:
                score -= END_BONUS
            ends[0] -= np.int64(cigar[n - 1] >> 4)
        else:
            ends[1] -= np.int64(cigar[n - 1] >> 4)
        score += GAP_OPEN + GAP_EXTEND * np.int64(cigar[n - 1] >> 4)
        n -= 1
    while n > 0 and (cigar[0] & 15) != OP_MATCH:
        if (cigar[0] & 15) == OP_INSERT:
            if ends[2] == 0:
                score -= END_BONUS
            ends[2] += np.int64(cigar[0] >> 4)
        else:
            ends[3] += np.int64(cigar[0] >> 4)
        score += GAP_OPEN + GAP_EXTEND * np.int64(cigar[0] >> 4)
        for x in range(1, n):
            cigar[x - 1] = cigar[x]
        n -= 1
    ends[4] = n
    return score if n > 0 else np.int64(0)


@lean_kernel
def left_align(read, read_start, window, window_start, cigar, n):
    """Shift every gap as far left as it goes without changing the score (VCF's and GATK's convention); return ``n``.

    Args:
        read: base codes; window: reference codes with ``window[PAD]`` first; ``read_start`` and ``window_start`` say where the
            alignment begins in each. cigar: operations, changed in place; a gap never leaves the first match.
    """
    i = read_start
    j = window_start
    for x in range(n):
        size = np.int64(cigar[x] >> 4)
        op = cigar[x] & 15
        if op != OP_MATCH and 0 < x < n - 1 and (cigar[x - 1] & 15) == OP_MATCH and (cigar[x + 1] & 15) == OP_MATCH:
            room = np.int64(cigar[x - 1] >> 4)
            shift = 0
            if op == OP_INSERT:
                while shift < room - 1 and read[i - 1 - shift] == read[i + size - 1 - shift]:
                    shift += 1
            else:
                while shift < room - 1 and window[PAD + j - 1 - shift] == window[PAD + j + size - 1 - shift]:
                    shift += 1
            cigar[x - 1] -= np.uint32(shift << 4)
            cigar[x + 1] += np.uint32(shift << 4)
            i -= shift
            j -= shift
        if op == OP_MATCH:
            i += size
            j += size
        elif op == OP_INSERT:
            i += size
        else:
            j += size
    return n


@lean_kernel
def clip_poor_ends(read, length, window, ends, cigar):
    """Clip ends that the stricter score of :mod:`genoseq.align.scoring` would not align, if the rest is a good alignment.

    The mild score that finds divergent reads also aligns the bad tail of a good read; callers of variants do not want it. The
    part of the path with the best strict score is kept, provided it is long enough and of a low edit rate.

    Args:
        ends: as written by :func:`band_trace`; changed in place, the number of operations included.
        cigar: the operations; changed in place.

    Returns:
        Edit distance of the alignment that remains.
    """
    n = ends[4]
    i = ends[2]
    j = ends[3]
    run = np.int64(STRICT_END_BONUS if i == 0 else 0)
    run_edits = 0
    run_i = i
    run_j = j
    run_op = 0
    run_skip = np.int64(0)
    best = np.int64(0)
    best_edits = 0
    total_edits = 0
    keep_i = np.int64(0)
    keep_j = np.int64(0)
    keep_op = np.int64(0)
    keep_skip = np.int64(0)
    end_i = np.int64(0)
    end_j = np.int64(0)
    end_op = np.int64(0)
    end_size = np.int64(0)
    for x in range(n):
        size = np.int64(cigar[x] >> 4)
        op = cigar[x] & 15
        if op == OP_MATCH:
            for y in range(size):
                if run <= 0:
                    run = 0
                    run_edits = 0
                    run_i = i
                    run_j = j
                    run_op = x
                    run_skip = y
                if read[i] == window[PAD + j]:
                    run += STRICT_MATCH
                else:
                    run -= AMBIGUOUS if read[i] > 3 or window[PAD + j] > 3 else STRICT_MISMATCH
                    run_edits += 1
                    total_edits += 1
                i += 1
                j += 1
                value = run + (STRICT_END_BONUS if i == length else 0)
                if value > best:
                    best = value
                    best_edits = run_edits
                    keep_i = run_i
                    keep_j = run_j
                    keep_op = run_op
                    keep_skip = run_skip
                    end_i = i
                    end_j = j
                    end_op = x
                    end_size = y + 1
        else:
            run -= STRICT_GAP_OPEN + STRICT_GAP_EXTEND * size
            run_edits += size
            total_edits += size
            if op == OP_INSERT:
                i += size
            else:
                j += size
    kept = end_i - keep_i
    lost = ends[0] - ends[2] - kept
    good = False
    for share, rate, most in zip(STRICT_SHARE, STRICT_RATE, STRICT_MOST):  # noqa: B905 (numba knows no strict)
        good = good or (kept >= share * length and best_edits <= rate * kept and lost <= most)
    lost_edits = total_edits - best_edits
    poor = lost_edits >= STRICT_LOST_RATE * lost and lost_edits * kept >= STRICT_CONTRAST * best_edits * lost
    if lost == 0 or kept < 30 or not good or not poor:
        return total_edits
    first = keep_op
    last = end_op
    if first == last:
        cigar[0] = np.uint32((end_size - keep_skip) << 4 | OP_MATCH)
    else:
        head = np.int64(cigar[first] >> 4) - keep_skip
        for x in range(first + 1, last + 1):
            cigar[x - first] = cigar[x]
        cigar[0] = np.uint32(head << 4 | OP_MATCH)
        cigar[last - first] = np.uint32(end_size << 4 | OP_MATCH)
    ends[2] = keep_i
    ends[3] = keep_j
    ends[0] = end_i
    ends[1] = end_j
    ends[4] = last - first + 1
    return best_edits


@lean_kernel
def path_score(read, window, ends, cigar):
    """Score of an alignment without end bonuses."""
    i = ends[2]
    j = ends[3]
    score = np.int64(0)
    for x in range(ends[4]):
        size = np.int64(cigar[x] >> 4)
        op = cigar[x] & 15
        if op == OP_MATCH:
            for y in range(size):
                r = read[i + y]
                g = window[PAD + j + y]
                if r == g:
                    score += MATCH
                elif r > 3 or g > 3:
                    score -= AMBIGUOUS
                else:
                    score -= MISMATCH
            i += size
            j += size
        else:
            score -= GAP_OPEN + GAP_EXTEND * size
            if op == OP_INSERT:
                i += size
            else:
                j += size
    return score
