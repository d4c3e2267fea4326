"""An alignment of a protein family: names, one row of codes each, and where its columns lie in the wild type."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from genoseq.families.alphabet import GAP, UNKNOWN, decode

__all__ = ["Alignment"]


@dataclass(frozen=True, eq=False)
class Alignment:
    """N sequences over L columns.

    With a query (the wild type, row 0) the columns are its residues, all of them and in order, whatever the file did to
    them; insertions of others are in ``sequences`` only. Without one the columns are those of the file's match states.

    Attributes:
        names: N names, the first words of the headers; unique.
        matrix: (N, L) uint8 codes of :mod:`genoseq.families.alphabet`.
        sequences: N whole sequences in upper case, without gaps, insertions included.
        query: the wild type as it stands in the file, without gaps and in upper case; None if the alignment has none.
        start: number of the query's first residue in its protein, counted from 0 (``/24-286`` in its name says 23).
        modelled: (L,) bool, columns to be modelled; False where an a2m file has the query in lower case.
    """

    names: tuple[str, ...]
    matrix: NDArray[np.uint8]
    sequences: tuple[str, ...]
    query: str | None
    start: int
    modelled: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.names)

    @property
    def length(self) -> int:
        """Number of columns."""
        return int(self.matrix.shape[1])

    @property
    def coverage(self) -> NDArray[np.float64]:
        """(N,) share of the columns in which a row has a residue."""
        share: NDArray[np.float64] = (self.matrix != GAP).mean(axis=1)
        return share

    @property
    def known(self) -> NDArray[np.bool_]:
        """(N, L) where a row has one of the 20 amino acids."""
        amino: NDArray[np.bool_] = (self.matrix != GAP) & (self.matrix != UNKNOWN)
        return amino

    def row(self, number: int) -> str:
        """Row ``number`` as letters, gaps as ``-``."""
        return decode(self.matrix[number])

    def subset(self, rows: NDArray[np.intp] | NDArray[np.bool_]) -> Alignment:
        """These rows only, in this order. The query stays known even where its row is left out."""
        numbers = np.arange(len(self))[rows]
        return Alignment(
            names=tuple(self.names[i] for i in numbers),
            matrix=self.matrix[numbers],
            sequences=tuple(self.sequences[i] for i in numbers),
            query=self.query,
            start=self.start,
            modelled=self.modelled,
        )
