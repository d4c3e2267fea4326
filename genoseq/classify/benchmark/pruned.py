"""The published nearest neighbours by compression, without the pairs that cannot be nearest."""

from __future__ import annotations

import numpy as np

from genoseq.classify.compressors import compressor_named
from genoseq.classify.ncd import NCDClassifier, ncd
from genoseq.classify.neighbours import Floats
from genoseq.classify.sequences import SequenceInputError
from genoseq.parallel import ordered_map

__all__ = ["PRUNED", "PrunedNCD"]

PRUNED = ("gzip", "brotli")
"""Compressors that kept the bound in all pairs of genes measured. bz2 undercuts it with long texts, lzma with repetitive ones,
zstd with genes, too."""
SLACK = 12
"""Bytes by which two texts compressed together may be smaller than the larger of the two alone."""


class PrunedNCD(NCDClassifier):
    """`NCDClassifier.published` for one neighbour, compressing only what may be nearest; the others are at infinite distance.

    Two texts together hold no less than the larger one, so that C(xy) >= max(C(x), C(y)), and the distance is at least
    1 - min(C(x), C(y)) / max(C(x), C(y)): a text of another size cannot be near. No compressor promises that, so :data:`SLACK`
    bytes are allowed for, and only the compressors of :data:`PRUNED` are taken, at their default levels. It is no law of these,
    either: a text of many copies of a stretch, joined after that stretch, can take gzip some tens of bytes less than alone.
    `tests/benchmarks/ncd_pruning.py` measures it on the published split, of pairs compressed and of pairs left out. Where it is
    kept, the answers are those of all pairs. Training sequences are taken by rising bounds, up to the first that is
    above the least distance so far, so there is one neighbour, on the given strand.

    Its plain reference is `NCDClassifier.published`: tests hold that both find the same nearest neighbours, ties too.

    >>> model = PrunedNCD.published("gzip").fit(["ACGGT" * 30, "TTGCA" * 30], ["one", "two"])
    >>> model.predict(["ACGGT" * 20]).tolist()
    ['one']

    `fit` raises `SequenceInputError` for another compressor, and for ``level``, ``k``, ``strands``, ``candidates`` or ``method``
    other than those of the recipe.
    """

    def _prepare(self, sequences: list[bytes]) -> None:
        if self.compressor not in PRUNED:
            raise SequenceInputError(
                f"no pair can be left out with {self.compressor!r}, only with {', '.join(PRUNED)}", remedy="choose NCDClassifier"
            )
        recipe = {"level": None, "method": "ncd", "k": 1, "strands": "forward", "candidates": None}
        for option, only in recipe.items():
            if (given := getattr(self, option)) != only:
                raise SequenceInputError(
                    f"{option} is {given!r}, and pairs can be left out only with {only!r}", remedy="choose NCDClassifier"
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
