"""Whatever the read and the window: the vector loops score as the plain recurrence, and the path is worth its score."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from banded import Codes, packed, padded, read_form, scored, traced, unpacked
from hypothesis import given, settings
from hypothesis import strategies as st

from genoseq.align.extend import left_align
from genoseq.align.extend_reference import best_local_score, path_score
from genoseq.align.scoring import OP_DELETE, OP_INSERT, OP_MATCH, OUTSIDE

Case = tuple[Codes, Codes, int]


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """A read, a window and a band; the read is often a piece of the window with edits. Few letters make many ties."""
    width = draw(st.sampled_from([32, 32, 64, 128]))
    letters = st.sampled_from(draw(st.sampled_from([[0, 1, 2, 3], [0, 1, 2, 3, 4], [0, 1], [0]])))
    core = draw(st.lists(letters, min_size=1, max_size=60))
    read = list(core)
    for _ in range(draw(st.integers(0, 5))):
        place = draw(st.integers(0, len(read)))
        kind = draw(st.sampled_from(["delete", "insert", "replace"]))
        some = draw(st.lists(letters, min_size=1, max_size=12))
        if kind == "delete":
            del read[place : place + len(some)]
        elif kind == "insert":
            read[place:place] = some
        else:
            read[place : place + len(some)] = some
    read = read or [0]
    left = draw(st.integers(0, width - 1))
    before = draw(st.lists(letters, min_size=left, max_size=left))
    window = (before + core + draw(st.lists(letters, max_size=40)))[: len(read) + width]
    first = draw(st.sampled_from([0, 0, 0, left, left + 1]))  # the contig begins here, at times within the read
    window = [OUTSIDE] * min(first, len(window)) + window[first:]
    window += [OUTSIDE] * (len(read) + width - len(window))
    return read_form(np.array(read, np.uint8)), np.array(window, np.uint8), width


@given(cases())
@settings(max_examples=120, deadline=None)
def test_band_score_is_that_of_the_plain_recurrence(case: Case) -> None:
    read, window, width = case
    assert scored(read, window, width)[0] == best_local_score(read.tolist(), window.tolist(), width=width)


@given(cases())
@settings(max_examples=400, deadline=None)
def test_the_path_is_worth_its_score_and_consumes_the_read(case: Case) -> None:
    read, window, width = case
    path = traced(read, window, width)
    score, read_end, window_end = scored(read, window, width)
    if not path.operations:
        assert path.score <= max(0, score)
        return
    codes = [code for _, code in path.operations]
    assert codes[0] == codes[-1] == OP_MATCH
    assert all(size > 0 for size, _ in path.operations)
    assert all(one != other for one, other in pairwise(codes))
    consumed = sum(size for size, code in path.operations if code in (OP_MATCH, OP_INSERT))
    spanned = sum(size for size, code in path.operations if code in (OP_MATCH, OP_DELETE))
    assert (path.read_start + consumed, path.window_start + spanned) == (path.read_end, path.window_end)
    assert 0 <= path.read_start < path.read_end <= len(read)
    assert (window[path.window_start : path.window_end] != OUTSIDE).all()
    args = (read.tolist(), window.tolist(), path.read_start, path.window_start, path.operations)
    assert path.score == path_score(*args, bonuses=True)
    assert path.score <= score
    # less only where a gap at an end of the read, worth the bonus there, was left out
    assert path.score == score or path.read_start > 0 or path.read_end < read_end
    assert path.read_end <= read_end and path.window_end <= window_end


@given(cases())
@settings(max_examples=400, deadline=None)
def test_left_align_keeps_the_score_and_leaves_no_gap_that_could_go_further(case: Case) -> None:
    read, window, width = case
    path = traced(read, window, width)
    if not path.operations:
        return
    cigar = packed(path.operations)
    n = left_align(read, path.read_start, padded(window, OUTSIDE), path.window_start, cigar, len(cigar))
    after = unpacked(cigar[:n])
    plain = [read.tolist(), window.tolist(), path.read_start, path.window_start]
    assert path_score(*plain, after, bonuses=True) == path.score
    assert [(s, c) for s, c in after if c != OP_MATCH] == [(s, c) for s, c in path.operations if c != OP_MATCH]
    assert [c for _, c in after] == [c for _, c in path.operations]
    assert all(size > 0 for size, _ in after)
    for x in range(1, n - 1):
        neighbours = after[x - 1][1] == after[x + 1][1] == OP_MATCH
        if after[x][1] == OP_MATCH or not neighbours or after[x - 1][0] < 2:
            continue
        moved = list(after)
        moved[x - 1] = (after[x - 1][0] - 1, OP_MATCH)
        moved[x + 1] = (after[x + 1][0] + 1, OP_MATCH)
        sequence, place = _gap(after, x, path.read_start, path.window_start, read, window)
        before = int((read if after[x][1] == OP_INSERT else window)[place - 1])
        # one step further left would change the gap's content by one base: only a differing base may stop it
        assert before != sequence[-1], (after, moved)


def _gap(
    operations: list[tuple[int, int]], x: int, i: int, j: int, read: Codes, window: Codes
) -> tuple[list[int], int]:
    """Bases of gap ``x`` and where it begins, in the read for an insertion, in the window for a deletion."""
    for size, code in operations[:x]:
        i += size if code != OP_DELETE else 0
        j += size if code != OP_INSERT else 0
    size, code = operations[x]
    if code == OP_INSERT:
        return read[i : i + size].tolist(), i
    return window[j : j + size].tolist(), j
