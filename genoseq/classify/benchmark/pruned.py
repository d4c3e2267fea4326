"""The published nearest neighbours by compression, without the pairs that cannot be nearest."""

from __future__ import annotations

import numpy as np

from genoseq.classify.compressors import compressor_named
from genoseq.classify.ncd import NCDClassifier, ncd
from genoseq.classify.neighbours import Floats
from genoseq.classify.sequences import SequenceInputError
from genoseq.parallel import ordered_map

__all__ = ["PRUNED", "PrunedNCD"]

PRUNED = ("gzip", "bz2", "lzma", "brotli")
"""Compressors that the bound holds for; zstd chooses its tables by the size of the text, and now and then undercuts it by far."""
SLACK = 12
"""Bytes by which two texts compressed together may be smaller than the larger of the two alone."""


class PrunedNCD(NCDClassifier):
    """`NCDClassifier.published` for one neighbour, compressing only what may be nearest; the others are at infinite distance.

    Two texts together hold no less than the larger one, so that C(xy) >= max(C(x), C(y)), and the distance is at least
    1 - min(C(x), C(y)) / max(C(x), C(y)): a text of another size cannot be near. No compressor promises that, so :data:`SLACK`
    bytes are allowed for, and zstd is refused; of 1.6 million pairs of genes gzip needed at least one byte more than for the
    larger one. Training sequences are taken by rising bounds, up to the first that is above the least distance so far.
    `tests/benchmarks/ncd_pruning.py` measures both.

    Its plain reference is `NCDClassifier.published`: tests hold that both find the same nearest neighbours, ties too.

    >>> model = PrunedNCD.published("gzip").fit(["ACGGT" * 30, "TTGCA" * 30], ["one", "two"])
    >>> model.predict(["ACGGT" * 20]).tolist()
    ['one']
    """

    def _prepare(self, sequences: list[bytes]) -> None:
        if self.compressor not in PRUNED:
            raise SequenceInputError(
                f"no pair can be left out with {self.compressor!r}, only with {', '.join(PRUNED)}", remedy="choose NCDClassifier"
            )
        super()._prepare(sequences)

    def _distances(self, sequences: list[bytes]) -> Floats:
        return np.stack(list(ordered_map(self._row, sequences, threads=self.threads)))

    def _row(self, sequence: bytes) -> Floats:
        size = compressor_named(self.compressor, self.level).size
        between = self.separator.encode()
        alone = float(size(sequence))
        smaller, larger = np.minimum(self._sizes, alone), np.maximum(self._sizes, alone)
        bounds = (larger - SLACK - smaller) / larger
        distances = np.full(len(bounds), np.inf)
        least = np.inf
        for place in np.argsort(bounds, kind="stable"):
            if bounds[place] > least:
                break
            joint = np.array(size(sequence + between + self._sequences[place]), float)
            distances[place] = ncd(joint, np.array(alone), self._sizes[place])
            least = min(least, distances[place])
        return distances
