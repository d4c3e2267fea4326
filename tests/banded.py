"""Reads and windows for tests of the aligner's inner loops, and the calls of those loops with fresh scratch."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from genoseq.align.extend import band_score, band_trace, fill_window, ungapped_score
from genoseq.align.scoring import OUTSIDE, PAD, READ_N

Codes = NDArray[np.uint8]
Operations = list[tuple[int, int]]


class Path(NamedTuple):
    """What ``band_trace`` found."""

    score: int
    read_start: int
    read_end: int
    window_start: int
    window_end: int
    operations: Operations


def padded(codes: Codes, filler: int) -> Codes:
    """Codes with PAD bytes on both sides."""
    margin = np.full(PAD, filler, np.uint8)
    return np.concatenate([margin, codes, margin])


def window_of(genome: Codes, start: int, length: int) -> Codes:
    """``length`` bases of a contig from ``start`` on, OUTSIDE where it has none."""
    window = np.full(length + 2 * PAD, 77, np.uint8)
    fill_window(genome, 0, len(genome), start, length, window)
    assert (window[:PAD] == OUTSIDE).all() and (window[PAD + length :] == OUTSIDE).all()
    return window[PAD : PAD + length]


def scored(read: Codes, window: Codes, width: int) -> tuple[int, int, int]:
    """Score, read end and window end by ``band_score``."""
    top, when, paths, ends = _scratch(len(read), width)
    score = band_score(padded(read[::-1], 9), len(read), padded(window, OUTSIDE), width, top, when, paths, ends)
    return int(score), int(ends[0]), int(ends[1])


def traced(read: Codes, window: Codes, width: int) -> Path:
    """The alignment by ``band_trace``."""
    top, when, paths, ends = _scratch(len(read), width)
    cigar = np.zeros(2 * len(read) + width, np.uint32)
    score = band_trace(padded(read[::-1], 9), len(read), padded(window, OUTSIDE), width, top, when, paths, ends, cigar)
    operations = unpacked(cigar[: ends[4]])
    return Path(int(score), int(ends[2]), int(ends[0]), int(ends[3]), int(ends[1]), operations)


def ungapped(read: Codes, genome: Codes, start: int) -> tuple[int, list[int]]:
    """Score and ``ends`` by ``ungapped_score``."""
    ends = np.zeros(4, np.int64)
    score = ungapped_score(read, len(read), genome, 0, len(genome), start, ends)
    return int(score), ends.tolist()


def unpacked(cigar: NDArray[np.uint32]) -> Operations:
    """(length, code) of packed operations."""
    return [(int(operation) >> 4, int(operation) & 15) for operation in cigar]


def packed(operations: Operations) -> NDArray[np.uint32]:
    """Operations as the kernels hold them."""
    return np.array([size << 4 | code for size, code in operations], np.uint32)


def read_form(codes: Codes) -> Codes:
    """Codes as a read has them: READ_N for what is no base."""
    return np.where(codes < 4, codes, READ_N).astype(np.uint8)


def _scratch(length: int, width: int) -> tuple[NDArray[np.int16], NDArray[np.int16], Codes, NDArray[np.int64]]:
    paths = np.empty((2 * length + width) * (width // 2) + 64, np.uint8)
    return np.empty(64, np.int16), np.empty(64, np.int16), paths, np.zeros(8, np.int64)
