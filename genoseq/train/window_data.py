"""Synthetic pairs of windows: a stretch of random genome, and the same stretch after edits, cut where a read
ends.

Windows are base codes ``(n, 64)`` uint8 (A0 C1 G2 T3, 4 = not there): columns 0 to 31 are the bases left of
the anchor, 32 to 63 those right of it. The anchor itself is left out and taken to be intact, so that edits
shift each flank outwards only.

Each batch comes from one random genome of its own: a Markov chain whose base composition and context
preferences are drawn anew. All windows of a batch then share their composition, as the windows of one genome
do, and telling them apart is as hard as it is there. No real sequence takes part.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from genoseq.kernels import kernel

__all__ = [
    "FLANK",
    "MARGIN",
    "Genomes",
    "ReadEnds",
    "WindowPairs",
    "edit_windows",
    "random_surroundings",
    "window_features",
    "window_pairs",
]

FLANK = 32
MARGIN = 48  # bases kept on each side of an anchor, so that deletions have something to draw from
SHARES = (0.8, 0.1, 0.1)  # of all edits: substitutions, insertions, deletions


@dataclass(frozen=True)
class Genomes:
    """How the random genomes are drawn.

    Attributes:
        order: bases of memory of the Markov chain.
        evenness: how close its probabilities stay to the base composition (Dirichlet concentration per base,
            about).
        gc: range of the G+C fraction.
    """

    order: int = 3
    evenness: float = 8.0
    gc: tuple[float, float] = (0.22, 0.75)

    def __post_init__(self) -> None:
        if not 0 <= self.order <= 8:
            raise ValueError(f"order is {self.order}; expected 0 to 8")
        if not self.evenness > 0:
            raise ValueError(f"evenness is {self.evenness}; expected more than 0")
        if not 0 < self.gc[0] <= self.gc[1] < 1:
            raise ValueError(f"gc is {list(self.gc)}; expected a range inside 0 to 1, lower end first")


@dataclass(frozen=True)
class ReadEnds:
    """Where reads cut windows off.

    Attributes:
        share: fraction of windows that come from a read at all; the others are whole.
        read_length: bp; the anchor lies uniformly in it.
        anchor: bases of the anchor.
    """

    share: float = 0.5
    read_length: int = 150
    anchor: int = 9

    def __post_init__(self) -> None:
        if not 0 <= self.share <= 1:
            raise ValueError(f"share is {self.share}; expected 0 to 1")
        if not 0 < self.anchor <= self.read_length:
            raise ValueError(
                f"anchor is {self.anchor}, read_length {self.read_length}; expected 0 < anchor <= read_length"
            )


class WindowPairs(NamedTuple):
    """Windows of the reference and of reads over the same places, row by row: uint8 ``(n, 64)`` each."""

    reference: NDArray[np.uint8]
    query: NDArray[np.uint8]


def window_pairs(
    n: int, *, genomes: Genomes, edits: tuple[float, float], ends: ReadEnds, rng: np.random.Generator
) -> WindowPairs:
    """``n`` pairs from one new random genome.

    Args:
        n: number of pairs.
        genomes: how the genome is drawn.
        edits: range of the edit rate, edits per base; each pair draws its own, uniformly.
        ends: how windows are cut off.
        rng: source of all randomness; equal states give equal pairs.
    """
    around = random_surroundings(n, genomes=genomes, rng=rng)
    reference = np.ascontiguousarray(around[:, MARGIN - FLANK : MARGIN + FLANK])
    return WindowPairs(reference, edit_windows(around, edits=edits, ends=ends, rng=rng))


def random_surroundings(n: int, *, genomes: Genomes, rng: np.random.Generator) -> NDArray[np.uint8]:
    """The bases around ``n`` anchors of one new random genome, uint8 ``(n, 2 * MARGIN)``, no anchors."""
    chain = _draw_chain(genomes, rng)
    around = np.empty((n, 2 * MARGIN), np.uint8)
    _grow_sequences(chain, _stream(rng), around)
    return around


def edit_windows(
    around: NDArray[np.uint8], *, edits: tuple[float, float], ends: ReadEnds, rng: np.random.Generator
) -> NDArray[np.uint8]:
    """The windows that reads with edits show, uint8 ``(n, 64)``.

    Args:
        around: ``(n, 2 * MARGIN)`` bases around each anchor, which lies between columns ``MARGIN - 1`` and
            ``MARGIN``.
        edits: range of the edit rate; edits split 8:1:1 into substitutions, insertions and deletions.
        ends: how windows are cut off.
        rng: source of all randomness.
    """
    query = np.empty((len(around), 2 * FLANK), np.uint8)
    _edit(
        around,
        edits[0],
        edits[1],
        np.array(SHARES),
        ends.share,
        ends.read_length,
        ends.anchor,
        _stream(rng),
        query,
    )
    return query


def window_features(windows: NDArray[np.uint8], context: int) -> NDArray[np.int32]:
    """Row of the table that each position looks up, int32 ``(n, 64)``; -1 where it looks up none."""
    features = np.empty(windows.shape, np.int32)
    _find_features(windows, context, features)
    return features


def _draw_chain(genomes: Genomes, rng: np.random.Generator) -> NDArray[np.float32]:
    """Cumulative probabilities of A, C and G after each context, float32 ``(4**order, 3)``."""
    gc = rng.uniform(*genomes.gc)
    composition = np.array([(1 - gc) / 2, gc / 2, gc / 2, (1 - gc) / 2])
    rows = rng.dirichlet(composition * 4 * genomes.evenness, size=4**genomes.order)
    return np.cumsum(rows, axis=1)[:, :3].astype(np.float32)


def _stream(rng: np.random.Generator) -> NDArray[np.uint64]:
    """State of a kernel's own random stream, seeded from ``rng``."""
    return np.array([rng.integers(1, 2**63)], np.uint64)


@kernel
def _uniform(stream):
    """Next number of ``stream``, uniform in [0, 1): xorshift64* (Vigna, ACM TOMS 2016)."""
    x = stream[0]
    x ^= x >> np.uint64(12)
    x ^= x << np.uint64(25)
    x ^= x >> np.uint64(27)
    stream[0] = x
    return np.float64((x * np.uint64(2685821657736338717)) >> np.uint64(11)) * (1.0 / 9007199254740992.0)


@kernel
def _grow_sequences(chain, stream, out):
    """Fill the rows of ``out`` with successive stretches of one Markov chain, warmed up before each."""
    contexts = chain.shape[0]
    state = 0
    for row in range(out.shape[0]):
        for column in range(-8, out.shape[1]):
            u = _uniform(stream)
            base = 0
            for b in range(3):
                base += u > chain[state, b]
            state = (state * 4 + base) % contexts
            if column >= 0:
                out[row, column] = base


@kernel
def _edit(around, lowest, highest, shares, cut_share, read_length, anchor, stream, out):
    """Edit each flank outwards from the anchor, then cut it where the read ends."""
    flank = out.shape[1] // 2
    margin = around.shape[1] // 2
    for row in range(out.shape[0]):
        rate = lowest + (highest - lowest) * _uniform(stream)
        substitution, insertion, deletion = rate * shares[0], rate * shares[1], rate * shares[2]
        left = flank
        right = flank
        if _uniform(stream) < cut_share:
            start = int(_uniform(stream) * (read_length - anchor + 1))
            left = min(flank, start)
            right = min(flank, read_length - anchor - start)
        for side in range(2):
            seen = left if side == 0 else right
            source = 0
            for i in range(flank):
                if _uniform(stream) < insertion:
                    base = int(_uniform(stream) * 4)
                else:
                    while _uniform(stream) < deletion:
                        source += 1
                    at = min(source, margin - 1)
                    base = int(around[row, margin - 1 - at if side == 0 else margin + at])
                    source += 1
                    if _uniform(stream) < substitution and base < 4:
                        base = (base + 1 + int(_uniform(stream) * 3)) % 4
                out[row, flank - 1 - i if side == 0 else flank + i] = base if i < seen else 4


@kernel
def _find_features(windows, context, out):
    features = 4**context
    for row in range(windows.shape[0]):
        for p in range(64):
            out[row, p] = -1
            if (p & 31) + context <= 32:
                feature = 0
                whole = True
                for c in range(context):
                    base = windows[row, p + c]
                    whole = whole and base < 4
                    feature = feature * 4 + base
                if whole:
                    out[row, p] = p * features + feature
