"""Small protein families with a known alignment, and public files that the project does not carry."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

__all__ = ["LETTERS", "family_rows", "public_protein_file"]

ROOT = Path(__file__).resolve().parent.parent
LETTERS = "ACDEFGHIKLMNPQRSTVWY"


def public_protein_file(name: str) -> Path:
    """A file of the shared data; skips the test where it is absent."""
    path = Path(os.environ.get("GENOSEQ_SHARED", ROOT.parent / "shared")) / "data" / "protein" / name
    if not path.exists():
        pytest.skip(f"no {name} (set GENOSEQ_SHARED to the folder that holds data/)")
    return path


def family_rows(rows: int = 12, length: int = 60, seed: int = 1) -> list[str]:
    """Rows without gaps that agree with the first in about 3 of 4 columns."""
    rng = np.random.default_rng(seed)
    origin = rng.integers(0, 20, length)
    drawn = np.where(rng.random((rows, length)) < 0.25, rng.integers(0, 20, (rows, length)), origin)
    drawn[0] = origin
    return ["".join(LETTERS[code] for code in row) for row in drawn]
