"""A family of a few clusters that hang together more or less, aligned, with gaps: for splits, samplers and panels."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from genoseq.families.alignments.alignment import Alignment
from genoseq.families.alphabet import GAP, decode

__all__ = ["clustered_family", "write_rows"]


def clustered_family(clusters: int = 24, members: int = 12, length: int = 60, *, seed: int = 0, query: bool = False) -> Alignment:
    """Clusters of rows that descend from one root: half of the columns change on the way to a cluster, a tenth inside one.

    A fifth of the columns never changes; what a column may change to are seven letters of its own.
    """
    generator = np.random.default_rng(seed)
    letters = generator.integers(0, 20, (length, 7))
    variable = generator.random(length) < 0.8

    def evolved(row: np.ndarray, share: float) -> np.ndarray:
        new = row.copy()
        here = variable & (generator.random(length) < share)
        new[here] = letters[np.flatnonzero(here), generator.integers(0, 7, int(here.sum()))]
        return new

    root = letters[:, 0]
    rows = [evolved(centre, 0.15) for centre in [evolved(root, 0.75) for _ in range(clusters)] for _ in range(members)]
    matrix = np.array(rows, np.uint8)
    matrix[generator.random(matrix.shape) < 0.02] = GAP
    if query:
        matrix[0] = root
    names = tuple(f"s{number}" for number in range(len(matrix)))
    texts = tuple(decode(row[row != GAP]) for row in matrix)
    return Alignment(names, matrix, texts, texts[0] if query else None, 0, np.ones(length, np.bool_))


def write_rows(alignment: Alignment, path: Path, *, gaps: bool = True) -> Path:
    """The rows as FASTA, with or without gaps."""
    with path.open("w", encoding="utf-8") as file:
        for number, name in enumerate(alignment.names):
            row = alignment.row(number)
            file.write(f">{name}\n{row if gaps else row.replace('-', '')}\n")
    return path
