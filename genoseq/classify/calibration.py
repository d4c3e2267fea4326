"""From code lengths to probabilities: a small model fitted to sequences that were held out.

Code lengths alone are badly calibrated: neighbouring bases are not independent evidence, and relatives in the training set make
a class look better than its other members deserve. So the logit of a class is a weighted sum of how much shorter its code is
than the mean over classes, in each channel: per symbol, per root of the length, in all, and the root of that, which keeps
copies of training sequences from deciding what is believed of all others; plus a number of its own. The weights are shared by
all classes, and none is negative: a shorter code never speaks against a class. They are twelve or so numbers and one a class,
which some dozens of sequences can settle (McFadden's conditional logit). They are fitted by maximum likelihood with a weak pull
towards zero.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Calibration", "Novelty", "evidence", "fit_calibration", "fit_novelty", "uncalibrated"]

Floats = NDArray[np.float64]

FEATURES, TOTAL = 4, 2
PULL = 1e-3
TYPICAL = 30.0
"""Bits by which totals are divided, so that all features are of about one size."""
LONGEST_SEARCH = 500
QUANTILES = 201


def evidence(bits: Floats, symbols: NDArray[np.int64]) -> Floats:
    """Features of every class, ``(n, classes, 4 channels)``.

    Args:
        bits: code lengths, ``(n, channels, classes)``.
        symbols: symbols coded, ``(n, channels)``.
    """
    gain = bits.mean(axis=2, keepdims=True) - bits
    length = np.maximum(symbols, 1).astype(np.float64)[:, :, None]
    root = np.sign(gain) * np.sqrt(np.abs(gain) / TYPICAL)
    parts = np.stack([10 * gain / length, gain / np.sqrt(length), gain / TYPICAL, root], axis=-1)
    n, channels, classes = bits.shape
    return parts.transpose(0, 2, 1, 3).reshape(n, classes, FEATURES * channels)


@dataclass(frozen=True)
class Calibration:
    """Weights of the evidence.

    Attributes:
        slopes: ``(4 channels,)``.
        offsets: ``(classes,)``.
        rows: held-out sequences that it was fitted to; 0 if there were none.
    """

    slopes: Floats
    offsets: Floats
    rows: int

    def logits(self, bits: Floats, symbols: NDArray[np.int64]) -> Floats:
        """Logits ``(n, classes)``, in nats."""
        logits: Floats = evidence(bits, symbols) @ self.slopes + self.offsets
        return logits


def uncalibrated(channels: int, classes: int) -> Calibration:
    """Takes code lengths at their word: one bit is a factor of two."""
    slopes = np.zeros(FEATURES * channels)
    slopes[TOTAL::FEATURES] = TYPICAL * np.log(2) / channels
    return Calibration(slopes, np.zeros(classes), 0)


def fit_calibration(
    features: Floats, labels: NDArray[np.int64], *, weights: Floats | None = None, start: Calibration
) -> Calibration:
    """The most likely weights of the evidence.

    Args:
        features: ``(n, classes, f)``, see :func:`evidence`.
        labels: classes that the sequences belong to, ``(n,)``.
        weights: what each sequence counts, ``(n,)``; all alike unless given.
        start: what to return if there is nothing to learn from.
    """
    from scipy.optimize import minimize  # type: ignore[import-untyped]

    n, classes, width = features.shape
    if n == 0 or len(np.unique(labels)) < 2:
        return start
    own = np.arange(n)
    shares = np.full(n, 1 / n) if weights is None else weights / weights.sum()

    def loss(found: Floats) -> tuple[float, Floats]:
        logits = features @ found[:width] + found[width:]
        logits -= logits.max(axis=1, keepdims=True)
        p = np.exp(logits)
        totals = p.sum(axis=1, keepdims=True)
        value = -shares @ (logits[own, labels] - np.log(totals[:, 0])) + PULL * (found @ found) / 2
        p /= totals
        p[own, labels] -= 1
        p *= shares[:, None]
        slope = np.concatenate([np.einsum("nk,nkf->f", p, features), p.sum(axis=0)]) + PULL * found
        return float(value), slope

    bounds = [(0, None)] * width + [(None, None)] * classes
    best = minimize(
        loss, np.zeros(width + classes), jac=True, bounds=bounds, method="L-BFGS-B", options={"maxiter": LONGEST_SEARCH}
    ).x
    return Calibration(best[:width], best[width:], n)


@dataclass(frozen=True)
class Novelty:
    """How many bits per symbol held-out sequences of known classes take, by length.

    Attributes:
        lengths: base-2 logarithms of typical lengths, ascending, ``(b,)``.
        quantiles: bits per symbol at 201 even quantiles, for each length, ``(b, 201)``.
    """

    lengths: Floats
    quantiles: Floats

    def of(self, rates: Floats, symbols: NDArray[np.int64]) -> Floats:
        """Share of known sequences of like length that are compressed better, 0 to 1, ``(n,)``; near 1: unlike any of them.

        Args:
            rates: bits per symbol under the best class.
            symbols: lengths.
        """
        if not len(self.lengths):
            return np.full(len(rates), np.nan)
        places = np.interp(np.log2(np.maximum(symbols, 1)), self.lengths, np.arange(len(self.lengths)))
        low = np.floor(places).astype(np.int64)
        high = np.minimum(low + 1, len(self.lengths) - 1)
        share = (places - low)[:, None]
        curves = (1 - share) * self.quantiles[low] + share * self.quantiles[high]
        levels = np.linspace(0, 1, QUANTILES)
        return np.array([np.interp(rate, curve, levels) for rate, curve in zip(rates, curves, strict=True)])


LEAST_IN_BIN = 50


def fit_novelty(rates: Floats, symbols: NDArray[np.int64]) -> Novelty:
    """The distribution of held-out sequences, in bins of equal numbers by length."""
    known = symbols > 0
    rates, logs = rates[known], np.log2(symbols[known])
    order = np.argsort(logs, kind="stable")
    bins = np.array_split(order, max(1, min(8, len(order) // LEAST_IN_BIN))) if len(order) else []
    centres = np.array([logs[one].mean() for one in bins])
    levels = np.linspace(0, 1, QUANTILES)
    quantiles = np.array([np.quantile(rates[one], levels) for one in bins]).reshape(len(bins), QUANTILES)
    kept = np.flatnonzero(np.diff(centres, prepend=-np.inf) > 0)  # equal lengths give equal centres
    return Novelty(centres[kept], quantiles[kept])
