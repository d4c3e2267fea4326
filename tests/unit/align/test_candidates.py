"""From anchors to clusters of hits: each step against plain numpy or Python."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from genoseq.align.candidates import MINOR, cluster_hits, code_anchor, minor_cell, query_list, spread_anchors
from genoseq.embed.window import WindowEncoder
from genoseq.seqs.alphabet import COMPLEMENT

ROOM = 4096


def test_minor_cell_is_the_same_on_both_strands() -> None:
    rng = np.random.default_rng(0)
    k = 5
    codes = rng.integers(0, 4, 300, dtype=np.uint8)
    codes[rng.random(300) < 0.05] = 4
    turned = COMPLEMENT[codes[::-1]]
    seen = set()
    for position in range(300 - k + 1):
        for flip in (0, 1):
            mine = minor_cell(codes, 0, 300, position, k, flip)
            assert mine == minor_cell(turned, 0, 300, 300 - k - position, k, 1 - flip)
            seen.add(int(mine))
    assert seen == set(range(-1, MINOR))


def test_minor_cell_is_made_of_the_two_bases_beside_the_anchor() -> None:
    codes = np.array([2, 0, 0, 1, 3], np.uint8)  # G [A A C] T
    assert minor_cell(codes, 0, 5, 1, 3, 0) == 4 * 2 + 3
    assert minor_cell(codes, 0, 5, 1, 3, 1) == 4 * 0 + 1  # A [G T T] C on the other strand
    for start, end in ((1, 5), (0, 4)):
        assert minor_cell(codes, start, end, 1, 3, 0) == -1
    codes[4] = 4
    assert minor_cell(codes, 0, 5, 1, 3, 0) == -1


def list_bytes(lists: list[tuple[NDArray[np.uint8], NDArray[np.int64]]]) -> NDArray[np.uint8]:
    """Lists as the store's view lays them out: codes, then ids, list after list."""
    return np.concatenate([part for codes, ids in lists for part in (codes.ravel(), ids.view(np.uint8))])


@pytest.mark.parametrize(("radius", "z_least"), [(128, -100.0), (50, 0.0), (40, 3.0), (0, -100.0)])
@pytest.mark.parametrize("flip", [0, 1])
def test_query_finds_what_numpy_finds(radius: int, z_least: float, flip: int) -> None:
    rng = np.random.default_rng(radius)
    k, length, position = 6, 90, 37
    read = rng.integers(0, 4, length, dtype=np.uint8)
    model = WindowEncoder.random()
    sums, words = np.empty(128, np.int16), np.empty(2, np.uint64)
    norm = code_anchor(
        read, length, position, k, flip, model.rows, model.context, np.empty(64, np.uint8), np.empty(64, np.int64), sums, words
    )
    assert norm == pytest.approx(np.linalg.norm(sums.astype(float)))
    mine = words.view(np.uint8)
    before = rng.integers(0, 256, (9, 16), dtype=np.uint8)
    codes = np.tile(mine, (400, 1))
    for row, changes in zip(codes, rng.integers(0, 90, 400), strict=True):
        for bit in rng.choice(128, changes, replace=False):
            row[bit // 8] ^= 1 << (bit % 8)
    codes[17] = mine
    ids = rng.integers(0, 1 << 39, 400)
    data = list_bytes([(before, np.zeros(9, np.int64)), (codes, ids)])
    key, z, at = np.empty(ROOM, np.int64), np.empty(ROOM, np.float32), np.empty(ROOM, np.int64)
    lo, hi = 3, 390
    n = query_list(
        data, 9, 400, lo, hi, sums, norm, words, radius, z_least, length, position, k, flip, key, z, at, 2
    ) - 2  # fmt: skip

    distances = np.bitwise_count(codes ^ mine).sum(axis=1)
    signs = np.unpackbits(codes, axis=1, bitorder="little").astype(float) * 2 - 1
    scores = signs @ sums.astype(float) / norm
    chosen = [c for c in range(lo, hi) if distances[c] <= radius and scores[c] >= z_least]
    assert n == len(chosen) > 0
    strands = (ids[chosen] & 1) ^ flip
    offsets = np.where(strands == 0, position, length - k - position)
    starts = (ids[chosen] >> 1) - offsets
    assert key[2 : 2 + n].tolist() == ((strands << 40) | (starts + (1 << 20))).tolist()
    assert np.allclose(z[2 : 2 + n], scores[chosen], rtol=1e-5, atol=1e-5)
    assert at[2 : 2 + n].tolist() == (ids[chosen] >> 1).tolist()


def test_query_stops_where_there_is_no_more_room() -> None:
    codes = np.zeros((50, 16), np.uint8)
    data = list_bytes([(codes, np.arange(50) << 1)])
    sums, words = np.full(128, -1, np.int16), np.zeros(2, np.uint64)
    key, z, at = np.empty(8, np.int64), np.empty(8, np.float32), np.empty(8, np.int64)
    assert query_list(data, 0, 50, 0, 50, sums, np.sqrt(128.0), words, 10, 0.0, 80, 10, 6, 0, key, z, at, 3) == 8


def test_a_window_without_bases_hits_nothing() -> None:
    data = list_bytes([(np.zeros((5, 16), np.uint8), np.arange(5) << 1)])
    key, z, at = np.empty(8, np.int64), np.empty(8, np.float32), np.empty(8, np.int64)
    sums, words = np.zeros(128, np.int16), np.zeros(2, np.uint64)
    assert query_list(data, 0, 5, 0, 5, sums, 0.0, words, 128, 0.0, 80, 10, 6, 0, key, z, at, 0) == 0


def spread(positions: list[int], sizes: list[int], length: int, segments: int, longest: int, taken: list[int]) -> tuple[list[int], list[int]]:
    order, flags = np.empty(segments, np.int64), np.array(taken, np.uint8)
    n = spread_anchors(len(positions), np.array(positions), np.array(sizes), length, segments, longest, order, flags)
    return order[:n].tolist(), flags.tolist()


def test_the_shortest_list_of_each_stretch_is_chosen() -> None:
    rng = np.random.default_rng(2)
    for _ in range(200):
        length = int(rng.integers(10, 200))
        n = int(rng.integers(0, min(60, length)))
        positions = sorted(rng.choice(length, n, replace=False).tolist())
        sizes = rng.integers(-1, 30, n).tolist()
        taken = (rng.random(n) < 0.2).astype(int).tolist()
        segments, longest = int(rng.integers(1, 12)), int(rng.integers(0, 30))
        expected = []
        for s in range(segments):
            inside = [
                a
                for a in range(n)
                if s * length // segments <= positions[a] < (s + 1) * length // segments
                and not taken[a]
                and 0 <= sizes[a] <= longest
            ]
            if inside:
                expected.append(min(inside, key=lambda a: sizes[a]))
        order, flags = spread(positions, sizes, length, segments, longest, taken)
        assert order == expected
        assert flags == [1 if a in expected else taken[a] for a in range(n)]


def plain_clusters(keys: list[int], z: list[float], at: list[int], reach: int) -> list[tuple[float, int, int]]:
    """(votes, key of the best hit, its anchor), best first."""
    groups: list[list[int]] = []
    for h in sorted(range(len(keys)), key=lambda h: keys[h]):
        if groups and keys[h] - keys[groups[-1][-1]] <= reach:
            groups[-1].append(h)
        else:
            groups.append([h])
    found = []
    for group in groups:
        best = max(group, key=lambda h: z[h])
        found.append((sum(z[h] - 2.0 for h in group), keys[best], at[best]))
    return sorted(found, key=lambda cluster: -cluster[0])


@pytest.mark.parametrize("hits", [0, 1, 5, 48, 49, 300])
@pytest.mark.parametrize("room", [4, 400])
def test_clusters_are_those_of_the_plain_way(hits: int, room: int) -> None:
    rng = np.random.default_rng(hits)
    for _ in range(20):
        keys = (rng.integers(0, 2, hits) << 40) + (1 << 20) + rng.integers(0, 40 * max(hits, 1), hits)
        z = (4 + 4 * rng.random(hits)).astype(np.float32)
        at = rng.integers(0, 10**6, hits)
        key_out, z_out, at_out = np.empty(room, np.int64), np.empty(room, np.float32), np.empty(room, np.int64)
        order = np.empty(max(hits, 1), np.int64)
        n = cluster_hits(hits, keys, z, at, 12, order, key_out, z_out, at_out)
        expected = plain_clusters(keys.tolist(), z.astype(float).tolist(), at.tolist(), 12)[:room]
        assert n == len(expected)
        assert np.allclose(z_out[:n], [votes for votes, _, _ in expected], rtol=1e-5)
        assert key_out[:n].tolist() == [key for _, key, _ in expected]
        assert at_out[:n].tolist() == [place for _, _, place in expected]
