"""Windows cover a sequence once by their cores, are no longer than asked for, and overlap by what was asked for."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genoseq.errors import UsageError
from genoseq.infer.windows import Windows


@given(st.integers(1, 300), st.integers(1, 60), st.integers(0, 59), st.booleans(), st.integers(1, 6))
def test_cores_cover_the_sequence_once(length: int, size: int, overlap: int, causal: bool, step: int) -> None:
    size = max(size, step)
    windows = Windows(size, min(overlap, size // step * step - step)).cut(length, causal=causal, step=step)
    assert windows[0].start == windows[0].core_start == 0
    assert windows[-1].end == windows[-1].core_end == length
    for before, after in pairwise(windows):
        assert before.core_end == after.core_start
        assert before.start < after.start <= before.end
    for window in windows:
        assert window.start <= window.core_start <= window.core_end <= window.end
        assert window.end - window.start <= size
        assert window.start % step == 0
    if len(windows) > 1:
        assert all(window.end % step == 0 for window in windows[:-1])  # no token is cut


@given(st.integers(1, 200), st.integers(1, 9), st.integers(0, 30), st.integers(0, 30), st.booleans())
def test_overlapping_tokens_are_in_the_core_of_one_window_that_has_them(
    length: int, reach: int, more: int, shared: int, causal: bool
) -> None:
    overlap = reach - 1 + shared
    found: list[int] = []
    for window in Windows(overlap + 1 + more, overlap).cut(length, causal=causal, reach=reach):
        starts = range(window.start, window.end - reach + 1)  # of the tokens that the window has
        found += [start for start in starts if window.core_start <= start < window.core_end]
    assert found == list(range(length - reach + 1))


def test_neighbours_share_the_overlap_and_split_it_in_the_middle() -> None:
    windows = Windows(100, 40).cut(1000, causal=False)
    assert [(window.start, window.core_start) for window in windows[:3]] == [(0, 0), (60, 80), (120, 140)]
    assert [window.core_start for window in Windows(100, 40).cut(1000, causal=True)[:3]] == [0, 100, 160]


def test_a_short_sequence_is_one_window() -> None:
    assert Windows(10, 3).cut(10, causal=True) == [(0, 10, 0, 10)]


@pytest.mark.parametrize(
    ("size", "overlap", "text"), [(0, 0, "give at least 1"), (5, 5, "less than the window of 5"), (5, -1, "0 or more")]
)
def test_sizes_that_make_no_sense(size: int, overlap: int, text: str) -> None:
    with pytest.raises(UsageError, match=text):
        Windows(size, overlap).check()


@pytest.mark.parametrize(
    ("windows", "options", "text"),
    [
        (Windows(5), {"step": 6}, "have 6, give at least that"),
        (Windows(5, 4), {"reach": 6}, "have 6, give at least that"),
        (Windows(20, 4), {"reach": 6}, "would be lost; give at least 5"),
        (Windows(13, 8), {"step": 6}, "hold 12 bases in whole tokens, of which at least 6 must be new"),
    ],
)
def test_windows_that_would_lose_tokens(windows: Windows, options: dict[str, int], text: str) -> None:
    with pytest.raises(UsageError, match=text):
        windows.cut(50, causal=True, **options)
    assert windows.cut(windows.size, causal=True, **options) == [(0, windows.size, 0, windows.size)]
