"""The panel that judges a set of generated family members, always beside natural, copied and shuffled ones.

A hit rate alone proves nothing: copies of the train sequences hit the family's profile, and so does the consensus. The panel
measures each set against two natural ones, the train sequences (what a sampler saw) and held-out ones that share no cluster
with them (see :mod:`genoseq.families.judging.splits`). Recall, coverage and covariances are taken against all held-out sequences;
for the *natural* row, which is half of them, against the other half, so that no sequence is found in itself.

Measures of a set, with 95 % intervals from resampling its sequences:

- ``hits``: share with an E-value below 1e-5 under the profile of the held-out sequences, in a search of a million sequences
- ``bits``: mean bit score under that profile, per column
- ``nearest``: median identity to the nearest train sequence; ``copies``: share for which it is above .9
- ``pairwise``: mean identity of two sequences of the set
- ``recall``: share of the held-out sequences that have a sequence of the set at an identity of .55 or more
- ``coverage``: share of the held-out sequences that have a sequence of the set at least as near as their own 5th neighbour
  among them (Naeem and others, ICML 2020)
- ``composition``: Jensen-Shannon divergence of its amino acids from those of the train sequences, in bits
- ``r_train``, ``r_held_out``: r(C2), see :mod:`genoseq.families.judging.covariance`
- ``r20``: agreement of words over 4 columns with the train sequences
- ``length``: Kolmogorov-Smirnov distance of the lengths from those of the train sequences
- ``low_complexity``: mean share of residues of low complexity; ``repeats``: share with a tandem repeat of 10 residues or more
- ``duplicates``: share of sequences that occur in the set before
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from genoseq.errors import InputError, UsageError
from genoseq.families.alignments.alignment import Alignment
from genoseq.families.alignments.identity import identities, nearest
from genoseq.families.alignments.profile_alignment import profile_of
from genoseq.families.alphabet import AMINO_ACIDS, GAP, decode
from genoseq.families.judging.composition import amino_acid_counts, divergence, length_distance, low_complexity, tandem_repeat
from genoseq.families.judging.covariance import Strongest, correlation, resampled_correlations, strongest, word_correlation
from genoseq.families.judging.hmm_scores import score_proteins
from genoseq.log import counted

__all__ = ["ANCHORS", "Limits", "Line", "Measured", "Panel", "Yardstick", "anchors", "judge", "make_panel"]

PAIRED = 4000  # train rows at most whose mean identity is taken
E_VALUE, COPY, RECALLED, NEIGHBOUR, REPEAT, WORD = 1e-5, 0.9, 0.55, 5, 10, 4
SUBSTITUTED = 0.4
LEAST = 10  # held-out sequences
ANCHORS = ("natural, held out", "copies of train", "substituted copies", "shuffled columns", "shuffled residues")


class Measured(NamedTuple):
    """A set of N sequences, measured.

    Attributes:
        name: what it is.
        number: N.
        values: measures by name.
        intervals: their 95 % intervals, where resampling gives one.
        bits: (N,) bits per column.
        e_value: (N,) under the held-out profile.
        nearest: (N,) identity to the nearest train sequence.
        neighbour: (N,) number of that sequence.
    """

    name: str
    number: int
    values: Mapping[str, float]
    intervals: Mapping[str, tuple[float, float]]
    bits: NDArray[np.float64]
    e_value: NDArray[np.float64]
    nearest: NDArray[np.float64]
    neighbour: NDArray[np.int64]


class Limits(NamedTuple):
    """What a good set of samples must meet; figures measured on beta-lactamases, on which a plain Potts model fails."""

    bits: float = 0.1
    nearest: float = 0.65
    copies: float = 0.01
    pairwise: float = 0.1
    composition: float = 0.003
    r_train: float = 0.5
    r_held_out: float = 0.235
    recall: float = 0.014


class Line(NamedTuple):
    """One line of the verdict."""

    measure: str
    value: float
    wanted: str
    passed: bool


class Panel(NamedTuple):
    """The sets beside each other, samples first, and the verdict on the samples."""

    sets: tuple[Measured, ...]
    verdict: tuple[Line, ...]

    @property
    def passed(self) -> bool:
        """Whether every line of the verdict is met."""
        return all(line.passed for line in self.verdict)


@dataclass(frozen=True, eq=False)
class Yardstick:
    """What sets are measured against.

    Attributes:
        train: the train alignment.
        held_out: the held-out alignment, in the same columns.
        natural: rows of ``held_out``, half of them, that are a set of the panel.
        others: the other half, which that set is measured against.
        seed: of the halves, the anchors and the resampling.
    """

    train: Alignment
    held_out: Alignment
    natural: NDArray[np.intp]
    others: NDArray[np.intp]
    seed: int

    @classmethod
    def of(cls, train: Alignment, held_out: Alignment, *, seed: int = 0) -> Yardstick:
        """Cut the held-out sequences in two.

        Raises:
            InputError: other columns, or too few sequences.
        """
        if train.length != held_out.length:
            raise InputError(f"the train alignment has {train.length} columns, the held-out one {held_out.length}")
        for name, alignment in (("train", train), ("held-out", held_out)):
            if len(alignment) < LEAST:
                raise InputError(
                    f"too little to measure against: {counted(len(alignment), f'{name} sequence')}, expected at least {LEAST}",
                    remedy="split the family anew, with another share to hold out",
                )
        order = np.random.default_rng(seed).permutation(len(held_out))
        half = len(held_out) // 2
        return cls(train, held_out, np.sort(order[:half]), np.sort(order[half:]), seed)


class _HeldOut(NamedTuple):
    """Held-out rows as a reference: their strongest covariances, and how near the 5th neighbour of each is."""

    rows: NDArray[np.uint8]
    strongest: Strongest
    reach: NDArray[np.float64]

    @classmethod
    def of(cls, rows: NDArray[np.uint8]) -> _HeldOut:
        own = identities(rows, rows)
        np.fill_diagonal(own, -1.0)
        return cls(rows, strongest(rows), np.sort(own, axis=1)[:, -min(NEIGHBOUR, len(rows) - 1)].astype(np.float64))


class _References(NamedTuple):
    profile: object
    train_strongest: Strongest
    train_letters: NDArray[np.int64]
    train_lengths: tuple[str, ...]
    whole: _HeldOut
    half: _HeldOut
    train_pairwise: float


def anchors(yardstick: Yardstick, number: int) -> list[tuple[str, NDArray[np.uint8], tuple[str, ...]]]:
    """The sets that stand beside the samples, ``number`` rows each (fewer where there are fewer): name, rows, sequences."""
    generator = np.random.default_rng([yardstick.seed, 1])

    def draw(total: int) -> NDArray[np.intp]:
        return np.sort(generator.choice(total, min(number, total), replace=False))

    natural = yardstick.natural[draw(len(yardstick.natural))]
    copied = yardstick.train.matrix[draw(len(yardstick.train))]
    substituted = copied.copy()
    places = (substituted < GAP) & (generator.random(substituted.shape) < SUBSTITUTED)
    substituted[places] = generator.integers(0, len(AMINO_ACIDS), int(places.sum()))
    columns = generator.permuted(copied, axis=0)
    residues = copied.copy()
    for row in residues:
        here = row != GAP
        row[here] = generator.permutation(row[here])
    sets = [yardstick.held_out.matrix[natural], copied, substituted, columns, residues]
    return [(name, rows, _ungapped(rows)) for name, rows in zip(ANCHORS, sets, strict=True)]


def make_panel(
    yardstick: Yardstick,
    rows: NDArray[np.uint8],
    sequences: Sequence[str] | None = None,
    *,
    name: str = "samples",
    limits: Limits | None = None,
    resamples: int = 100,
) -> Panel:
    """Measure samples and anchors, and judge the samples.

    Args:
        yardstick: what they are measured against.
        rows: (N, L) the samples in the columns of the train alignment, N at least 2.
        sequences: N whole sequences, with what lies between the columns; without gaps. None: the residues of ``rows``.
        name: of the samples.
        limits: of the verdict; None: those of :class:`Limits`.
        resamples: for the intervals; 0: none.

    Raises:
        InputError: fewer than two samples.
        UsageError: rows with other columns, another number of sequences, or samples with the name of an anchor.
    """
    if rows.ndim != 2 or rows.shape[1] != yardstick.train.length:
        raise UsageError(f"the samples have shape {rows.shape}, expected rows of {yardstick.train.length} columns")
    if len(rows) < 2:
        raise InputError(f"there are {len(rows)} samples, expected at least 2")
    if sequences is not None and len(sequences) != len(rows):
        raise UsageError(f"there are {len(rows)} rows and {len(sequences)} sequences")
    if name in ANCHORS:
        raise UsageError(f"samples cannot be called {name!r}: that is an anchor of the panel")
    own = _ungapped(rows) if sequences is None else tuple(sequences)
    references = _references(yardstick)
    sets = [
        _measure(yardstick, references, label, matrix, texts, resamples)
        for label, matrix, texts in [(name, rows, own), *anchors(yardstick, len(rows))]
    ]
    return Panel(tuple(sets), judge(sets[0], sets[1], references.train_pairwise, limits or Limits()))


def judge(samples: Measured, natural: Measured, pairwise: float, limits: Limits) -> tuple[Line, ...]:
    """The verdict: a line for each limit. NaN never passes.

    Args:
        pairwise: mean identity of two train sequences, whatever the number of samples.
    """
    value = samples.values
    bits = natural.values["bits"]
    checks = [
        ("bits", abs(value["bits"] - bits) <= limits.bits * bits, f"within {limits.bits:.0%} of natural ({bits:.3f})"),
        ("nearest", value["nearest"] <= limits.nearest, f"at most {limits.nearest:g}"),
        ("copies", value["copies"] < limits.copies, f"below {limits.copies:g}"),
        (
            "pairwise",
            abs(value["pairwise"] - pairwise) <= limits.pairwise,
            f"within {limits.pairwise:g} of train ({pairwise:.3f})",
        ),
        ("composition", value["composition"] <= limits.composition, f"at most {limits.composition:g}"),
        ("r_train", value["r_train"] > limits.r_train, f"above {limits.r_train:g}"),
        ("r_held_out", value["r_held_out"] > limits.r_held_out, f"above {limits.r_held_out:g}"),
        ("recall", value["recall"] > limits.recall, f"above {limits.recall:g}"),
    ]
    return tuple(Line(measure, float(value[measure]), wanted, bool(passed)) for measure, passed, wanted in checks)


def _references(yardstick: Yardstick) -> _References:
    texts = _ungapped(yardstick.train.matrix)
    held = yardstick.held_out.matrix
    return _References(
        profile_of(yardstick.held_out),
        strongest(yardstick.train.matrix),
        amino_acid_counts(texts),
        texts,
        _HeldOut.of(held),
        _HeldOut.of(held[yardstick.others]),
        _mean_identity(yardstick.train.matrix),
    )


def _mean_identity(rows: NDArray[np.uint8]) -> float:
    """Mean identity of two rows; of :data:`PAIRED` rows at equal steps where there are more."""
    chosen = rows[np.unique(np.linspace(0, len(rows) - 1, min(len(rows), PAIRED)).astype(np.intp))]
    among = identities(chosen, chosen)
    return float((among.sum(dtype=np.float64) - np.trace(among)) / max(1, len(chosen) * (len(chosen) - 1)))


def _measure(
    yardstick: Yardstick,
    references: _References,
    name: str,
    rows: NDArray[np.uint8],
    sequences: Sequence[str],
    resamples: int,
) -> Measured:
    scores = score_proteins(references.profile, sequences)  # type: ignore[arg-type]
    bits = scores.bits / rows.shape[1]
    near = nearest(rows, yardstick.train.matrix)
    among = identities(rows, rows).astype(np.float64)
    np.fill_diagonal(among, 0.0)
    held = references.half if name == ANCHORS[0] else references.whole
    to_held = identities(held.rows, rows)
    number = len(rows)
    counts = np.random.default_rng([yardstick.seed, 2]).multinomial(number, np.full(number, 1 / number), size=resamples).T
    low = np.array([low_complexity(s) for s in sequences])
    repeats = np.array([tandem_repeat(s) >= REPEAT for s in sequences])
    hit, copied = scores.e_value < E_VALUE, near.identity > COPY
    near_enough = to_held >= RECALLED - 1e-6
    covered = to_held >= held.reach[:, None] - 1e-6
    seen: set[bytes] = set()
    repeated = 0
    for row in rows:
        repeated += row.tobytes() in seen
        seen.add(row.tobytes())
    values = {
        "hits": float(hit.mean()),
        "bits": float(bits.mean()),
        "nearest": float(np.median(near.identity)),
        "copies": float(copied.mean()),
        "pairwise": float(among.sum() / (number * (number - 1))),
        "recall": float(near_enough.any(axis=1).mean()),
        "coverage": float(covered.any(axis=1).mean()),
        "composition": divergence(amino_acid_counts(sequences), references.train_letters),
        "r_train": correlation(rows, references.train_strongest),
        "r_held_out": correlation(rows, held.strongest),
        "r20": word_correlation(rows, yardstick.train.matrix, size=min(WORD, rows.shape[1]), seed=yardstick.seed),
        "length": length_distance(sequences, references.train_lengths),
        "low_complexity": float(low.mean()),
        "repeats": float(repeats.mean()),
        "duplicates": repeated / number,
    }
    if not resamples:
        return Measured(name, number, values, {}, bits, scores.e_value, near.identity, near.row)
    share = counts / number
    drawn = {
        "hits": hit @ share,
        "bits": bits @ share,
        "copies": copied @ share,
        "low_complexity": low @ share,
        "repeats": repeats @ share,
        "nearest": np.array([np.median(np.repeat(near.identity, column)) for column in counts.T]),
        "pairwise": np.einsum("nb,nm,mb->b", counts, among, counts, optimize=True)
        / np.maximum(number**2 - (counts**2).sum(axis=0), 1),
        "recall": (near_enough.astype(np.float32) @ counts > 0).mean(axis=0),
        "coverage": (covered.astype(np.float32) @ counts > 0).mean(axis=0),
        "r_train": resampled_correlations(rows, references.train_strongest, counts),
        "r_held_out": resampled_correlations(rows, held.strongest, counts),
    }
    intervals = {}
    for key, found in drawn.items():
        low_end, high_end = np.quantile(found, [0.025, 0.975]) if not np.isnan(found).any() else (np.nan, np.nan)
        intervals[key] = (float(low_end), float(high_end))
    return Measured(name, number, values, intervals, bits, scores.e_value, near.identity, near.row)


def _ungapped(rows: NDArray[np.uint8]) -> tuple[str, ...]:
    return tuple(decode(row[row != GAP]) for row in rows)
