"""How many pairs the pruned search for nearest neighbours by compression needs, and how safe its bound is, on the published split.

python tests/benchmarks/ncd_pruning.py DIR [--compressor gzip] [--subset N] [--pairs 20000]

DIR holds the data of setting O, see pipelines/benchmark-classify/README.md. The bound rests on C(xy) >= max(C(x), C(y)) - slack.
The least C(xy) - max(C(x), C(y)) is printed of the pairs that the search compressed and, since those are the ones that the bound
let through, of pairs drawn at random from the ones that it left out. Of a compressor that is not pruned, of pairs drawn from all.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from genoseq.classify.benchmark.pruned import PRUNED, SLACK, PrunedNCD
from genoseq.classify.compressors import COMPRESSORS, compressor_named
from genoseq.classify.settings import load_setting

BATCH = 64


def excesses(
    compressor: str, asked: list[str], known: list[str], left_out: NDArray[np.bool_], pairs: int, *, seed: int = 0
) -> NDArray[np.float64]:
    """Bytes of C(xy) - max(C(x), C(y)) of so many pairs ``(row, column)`` drawn at random from ``left_out``, or of all of them."""
    size = compressor_named(compressor).size
    places = np.flatnonzero(left_out)
    chosen = np.sort(np.random.default_rng(seed).choice(places, min(pairs, len(places)), replace=False))
    rows, columns = np.divmod(chosen, left_out.shape[1])
    alone = {place: size(asked[place].encode()) for place in np.unique(rows)}
    others = {place: size(known[place].encode()) for place in np.unique(columns)}
    return np.array(
        [
            size(f"{asked[row]} {known[column]}".encode()) - max(alone[row], others[column])
            for row, column in zip(rows, columns, strict=True)
        ],
        float,
    )


def told(what: str, found: NDArray[np.float64]) -> str:
    """A line on the differences of some pairs."""
    if not len(found):
        return f"{what}: none"
    below = int((found < -SLACK).sum())
    return f"{what}: {len(found):,}; least C(xy) - max(C(x), C(y)) {found.min():.0f} bytes, {below:,} below the slack of -{SLACK}"


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("data", type=Path)
    parser.add_argument("--compressor", choices=COMPRESSORS, default="gzip")
    parser.add_argument("--subset", type=int, help="test sequences drawn at random; all unless given")
    parser.add_argument("--pairs", type=int, default=20_000, help="pairs drawn from those left out (default: 20000)")
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    data = load_setting(given.data, "O")
    train, test = data.folds[0]
    if given.subset is not None and given.subset < len(test):
        test = np.sort(np.random.default_rng(0).choice(test, given.subset, replace=False))
    known, asked = ([data.sequences[at] for at in part] for part in (train, test))
    left_out = np.ones((len(test), len(train)), bool)
    if given.compressor not in PRUNED:
        print(f"{given.compressor}: not pruned")
        print(told("pairs drawn from all", excesses(given.compressor, asked, known, left_out, given.pairs)))
        return
    model = PrunedNCD.published(given.compressor, threads=given.threads).fit(known, data.labels[train])
    size = compressor_named(given.compressor).size
    sizes = np.array([size(one.encode()) for one in known], float)
    tied, right, found = 0, 0, []
    for start in range(0, len(test), BATCH):
        part = slice(start, start + BATCH)
        distances = model.distances(asked[part])
        alone = np.array([size(one.encode()) for one in asked[part]], float)[:, None]
        smaller, larger = np.minimum(sizes, alone), np.maximum(sizes, alone)
        used = np.isfinite(distances)
        left_out[part] = ~used
        joint = distances * larger + smaller  # the definition of the distance, solved for C(xy)
        found.append((joint - larger)[used].round())
        tied += int(((distances == distances.min(axis=1, keepdims=True)).sum(axis=1) > 1).sum())
        right += int((data.labels[train][distances.argmin(axis=1)] == data.labels[test[part]]).sum())
    print(f"{given.compressor}: {right} of {len(test)} right; {tied / len(test):.1%} with several nearest neighbours")
    compressed = np.concatenate(found)
    print(f"{len(compressed) / len(test):,.0f} of {len(train):,} training sequences compressed with a test sequence")
    print(told("pairs compressed", compressed))
    print(f"pairs left out: {int(left_out.sum()):,}")
    print(told("drawn from them", excesses(given.compressor, asked, known, left_out, given.pairs)))


if __name__ == "__main__":
    main()
