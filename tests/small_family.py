"""A small family with a known interaction, and alignments made of rows of letters, for tests of the models."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from genoseq.families.alignments.alignment import Alignment
from genoseq.families.alphabet import AMINO_ACIDS, GAP, encode

__all__ = ["LENGTH", "coupled_family", "family_of", "write_a3m"]

LENGTH = 12


def family_of(rows: Sequence[str], *, query: bool = True, start: int = 0, modelled: Sequence[bool] | None = None) -> Alignment:
    """An alignment of these rows; the first is the wild type, without gaps, unless ``query`` is False."""
    matrix = np.array([encode(row) for row in rows])
    names = ("wt", *(f"h{number}" for number in range(1, len(rows))))
    sequences = tuple(row.replace("-", "") for row in rows)
    chosen = np.ones(matrix.shape[1], np.bool_) if modelled is None else np.array(modelled, np.bool_)
    return Alignment(names, matrix, sequences, sequences[0] if query else None, start, chosen)


def coupled_family(rows: int = 400, *, seed: int = 0, gaps: float = 0.05) -> Alignment:
    """A family over 12 columns in which column 2 (A or K) decides column 9 (D or W), and column 5 is always C.

    The wild type has A and D. So K alone and W alone are rare, K and W together are common.
    """
    random = np.random.default_rng(seed)
    matrix = random.choice(np.arange(4, 9), (rows, LENGTH)).astype(np.uint8)
    first = random.random(rows) < 0.6
    first[0] = True
    follows = random.random(rows) < 0.95
    follows[0] = True
    code = {letter: AMINO_ACIDS.index(letter) for letter in "ACDKW"}
    matrix[:, 2] = np.where(first, code["A"], code["K"])
    matrix[:, 9] = np.where(first == follows, code["D"], code["W"])
    matrix[:, 5] = code["C"]
    holes = random.random((rows, LENGTH)) < gaps
    holes[0] = False
    matrix[holes] = GAP
    letters = np.array(list(AMINO_ACIDS + "-"))
    return family_of(["".join(row) for row in letters[matrix]])


def write_a3m(alignment: Alignment, path: Path) -> Path:
    """The alignment as a3m; the wild type is called ``wt/first-last``."""
    length = alignment.length
    names = [f"wt/{alignment.start + 1}-{alignment.start + length}", *alignment.names[1:]]
    path.write_text("".join(f">{name}\n{alignment.row(number)}\n" for number, name in enumerate(names)))
    return path
