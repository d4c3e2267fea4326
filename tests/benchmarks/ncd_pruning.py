"""How many pairs the pruned search for nearest neighbours by compression needs, and how safe its bound is, on the published split.

python tests/benchmarks/ncd_pruning.py DIR [--compressor gzip] [--subset N]

DIR holds the data of setting O, see pipelines/benchmark-classify/README.md. The bound rests on C(xy) >= max(C(x), C(y)); the smallest
difference found is printed, in bytes, beside the slack that is allowed for.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from genoseq.classify.benchmark.pruned import PRUNED, SLACK, PrunedNCD
from genoseq.classify.compressors import compressor_named
from genoseq.classify.settings import load_setting

BATCH = 64


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("data", type=Path)
    parser.add_argument("--compressor", choices=PRUNED, default="gzip")
    parser.add_argument("--subset", type=int, help="test sequences drawn at random; all unless given")
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    data = load_setting(given.data, "O")
    train, test = data.folds[0]
    if given.subset is not None and given.subset < len(test):
        test = np.sort(np.random.default_rng(0).choice(test, given.subset, replace=False))
    model = PrunedNCD.published(given.compressor, threads=given.threads)
    model.fit([data.sequences[at] for at in train], data.labels[train])
    size = compressor_named(given.compressor).size
    known = np.array([size(data.sequences[at].encode()) for at in train], float)
    pairs, tied, right, least = 0, 0, 0, np.inf
    for start in range(0, len(test), BATCH):
        batch = test[start : start + BATCH]
        distances = model.distances([data.sequences[at] for at in batch])
        alone = np.array([size(data.sequences[at].encode()) for at in batch], float)[:, None]
        used = np.isfinite(distances)
        joint = distances * np.maximum(known, alone) + np.minimum(
            known, alone
        )  # the definition of the distance, solved for C(xy)
        least = min(least, float((joint - np.maximum(known, alone))[used].min()))
        pairs += int(used.sum())
        tied += int(((distances == distances.min(axis=1, keepdims=True)).sum(axis=1) > 1).sum())
        right += int((data.labels[train][distances.argmin(axis=1)] == data.labels[batch]).sum())
    print(f"{given.compressor}: {right} of {len(test)} right; {tied / len(test):.1%} with several nearest neighbours")
    print(f"{pairs:,} pairs compressed, {pairs / len(test):,.0f} of {len(train):,} training sequences a test sequence")
    print(f"smallest C(xy) - max(C(x), C(y)): {least:.0f} bytes; allowed for: -{SLACK}")


if __name__ == "__main__":
    main()
