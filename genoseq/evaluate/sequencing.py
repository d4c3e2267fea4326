"""Sequencing errors as an Illumina machine makes them: a quality for each base, and substitutions to match.

The mean error probability rises along the read (five times from the first base to the last, most of it in the last
third), and each base scatters around it. A base of quality Q is wrong with probability ``10 ** (-Q / 10)`` exactly, so
that the written qualities are honest. Insertions and deletions are rare in such reads and are left out.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from genoseq.errors import UsageError

__all__ = ["MAX_QUALITY", "PERFECT_QUALITY", "QualityProfile"]

MIN_QUALITY = 2
MAX_QUALITY = 41
PERFECT_QUALITY = 40  # written when no sequencing errors are asked for
SCATTER = np.arange(-8, 5)  # deviation of one base from the mean quality of its position, in Phred units
_WEIGHT = np.exp(-0.5 * (SCATTER / 2.5) ** 2)
SCATTER_SHARE = _WEIGHT / _WEIGHT.sum()


class QualityProfile:
    """Qualities for reads of one length with a given mean error rate.

    Args:
        length: read length in bases.
        mean_error: mean error probability per base over reads, from 0.0001 to 0.2; 0 for reads without errors.
    """

    def __init__(self, *, length: int, mean_error: float) -> None:
        if mean_error and not 1e-4 <= mean_error <= 0.2:
            raise UsageError(f"sequencing error rate {mean_error}: expected 0, or 0.0001 to 0.2")
        self.mean_error = mean_error
        place = np.linspace(0.0, 1.0, length)
        self._shape = -10 * np.log10(1 + 4 * place**3)  # five times the errors at the end
        self._level = self._fit() if mean_error else float(PERFECT_QUALITY)

    def _qualities(self, level: float) -> NDArray[np.int64]:
        """Qualities, shape (length, number of scatter values)."""
        middle = np.rint(self._shape + level).astype(np.int64)
        qualities: NDArray[np.int64] = np.clip(middle[:, None] + SCATTER[None, :], MIN_QUALITY, MAX_QUALITY)
        return qualities

    def expected_error(self, level: float) -> float:
        """Exact mean error probability per base when the profile is lifted to ``level`` (Phred units)."""
        return float((10 ** (-self._qualities(level) / 10) @ SCATTER_SHARE).mean())

    def _fit(self) -> float:
        low, high = -20.0, 80.0  # worst and best levels; the error falls as the level rises
        while high - low > 1e-4:
            middle = (low + high) / 2
            if self.expected_error(middle) > self.mean_error:
                low = middle
            else:
                high = middle
        error_low, error_high = self.expected_error(low), self.expected_error(high)
        nearer_low = math.fabs(error_low - self.mean_error) < math.fabs(error_high - self.mean_error)
        return low if nearer_low else high

    def draw(self, random: np.random.Generator, reads: int) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
        """Qualities (Phred, uint8) and which bases are wrong, both of shape (reads, length)."""
        length = self._shape.size
        if not self.mean_error:
            return np.full((reads, length), PERFECT_QUALITY, np.uint8), np.zeros((reads, length), np.bool_)
        choice = np.searchsorted(np.cumsum(SCATTER_SHARE)[:-1], random.random((reads, length), np.float32))
        quality = self._qualities(self._level).astype(np.uint8)[np.arange(length)[None, :], choice]
        chance = (10.0 ** (-np.arange(MAX_QUALITY + 1) / 10)).astype(np.float32)
        wrong = random.random((reads, length), np.float32) < chance[quality]
        return quality, wrong
