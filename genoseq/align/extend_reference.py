"""Banded affine-gap alignment in plain Python: the slow reference of :mod:`genoseq.align.lanes` and ``extend``.

The recurrence of Gotoh (J. Mol. Biol. 1982), cell by cell. Cell ``(i, j)`` stands for the first ``i`` bases of the
read and the first ``j`` of the window; the band holds the cells with ``0 <= j - i < width``. An alignment may begin at
any pair of bases, and wins ``END_BONUS`` for beginning at the read's first base and again for reaching its last; a gap
may stand at an end of the read, but begins no alignment elsewhere. A cell's pair of bases continues what came before
only if that is worth more than nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

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
)  # fmt: skip

__all__ = ["best_local_score", "local_scores", "path_score", "substitution_score"]

NOTHING = -(10**9)
FORBIDDEN = -512
"""Score of a pair with a base beyond the contig."""


def substitution_score(read_base: int, window_base: int) -> int:
    """Score of a pair of base codes.

    >>> substitution_score(2, 2) == MATCH, substitution_score(2, 1) == -MISMATCH, substitution_score(2, 4) == -AMBIGUOUS
    (True, True, True)
    """
    if window_base >= OUTSIDE:
        return FORBIDDEN
    if read_base > 3 or window_base > 3:
        return -AMBIGUOUS
    return MATCH if read_base == window_base else -MISMATCH


def local_scores(read: Sequence[int], window: Sequence[int], *, width: int) -> dict[tuple[int, int], int]:
    """Best score, with end bonuses, of the alignments that end in each cell ``(i, j)`` of the band with ``i > 0``.

    Args:
        read: base codes, ``n`` of them.
        window: base codes, OUTSIDE beyond the contig; at least ``n + width - 1`` of them.
        width: diagonals in the band.
    """
    n = len(read)
    best: dict[tuple[int, int], int] = {(0, j): END_BONUS for j in range(width)}
    deletion: dict[tuple[int, int], int] = {}
    insertion: dict[tuple[int, int], int] = {}
    opening = GAP_OPEN + GAP_EXTEND
    for i in range(1, n + 1):
        for j in range(i, i + width):
            left, above, here = (i, j - 1), (i - 1, j), (i, j)
            deletion[here] = max(best.get(left, NOTHING) - opening, deletion.get(left, NOTHING) - GAP_EXTEND)
            insertion[here] = max(best.get(above, NOTHING) - opening, insertion.get(above, NOTHING) - GAP_EXTEND)
            pair = max(best[i - 1, j - 1], 0) + substitution_score(read[i - 1], window[j - 1])
            best[here] = max(pair, deletion[here], insertion[here])
    return {(i, j): score + (END_BONUS if i == n else 0) for (i, j), score in best.items() if i > 0}


def best_local_score(read: Sequence[int], window: Sequence[int], *, width: int) -> int:
    """Score, with end bonuses, of the best alignment in the band; 0 where nothing aligns.

    >>> best_local_score([0, 1, 2, 3], [3, 0, 1, 2, 3, 3], width=3) == 4 * MATCH + 2 * END_BONUS
    True
    """
    return max(0, max(local_scores(read, window, width=width).values(), default=0))


def path_score(
    read: Sequence[int],
    window: Sequence[int],
    read_start: int,
    window_start: int,
    operations: Iterable[tuple[int, int]],
    *,
    bonuses: bool,
) -> int:
    """Score of one alignment, given as operations ``(length, code)`` without clips.

    Args:
        read_start, window_start: where it begins.
        bonuses: add END_BONUS for each end of the read that it reaches.

    >>> path_score([0, 1, 1, 2], [0, 1, 2], 0, 0, [(2, OP_MATCH), (1, OP_INSERT), (1, OP_MATCH)], bonuses=False)
    -4
    """
    i, j, score = read_start, window_start, 0
    for size, operation in operations:
        if operation == OP_MATCH:
            score += sum(substitution_score(read[i + x], window[j + x]) for x in range(size))
        else:
            score -= GAP_OPEN + size * GAP_EXTEND
        i += size if operation in (OP_MATCH, OP_INSERT) else 0
        j += size if operation in (OP_MATCH, OP_DELETE) else 0
    if bonuses:
        score += END_BONUS * ((read_start == 0) + (i == len(read)))
    return score
