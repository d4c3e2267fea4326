"""New members of a family from any model that can draw rows, kept only if they are what was asked for.

Attempts are numbered; what attempt k gives depends on the model, the seed and k alone. The samples are the first attempts
that pass, in order, so more samples begin with the same ones, and the size of a batch changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from genoseq.errors import InputError, UsageError
from genoseq.families.alignments.identity import nearest
from genoseq.families.alphabet import AMINO_ACIDS, GAP
from genoseq.families.models.model import Focus
from genoseq.families.variants.places import parse_places

__all__ = ["RowSampler", "Samples", "Wanted", "fixed_columns", "sample_family"]

BATCH = 64
PATIENCE = 200  # attempts a sample before it is given up


class RowSampler(Protocol):
    """What draws rows.

    :class:`~genoseq.families.models.autoregressive.AutoregressiveModel` and
    :class:`~genoseq.families.sampling.gibbs.GibbsSampler` do.
    """

    def draw(
        self, attempts: Sequence[int], *, seed: int, temperature: float = 1.0, fixed: Mapping[int, int] | None = None
    ) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        """Rows (n, L) of these attempts, and the train rows (n,) they come from, -1 for none."""
        ...


class Wanted(NamedTuple):
    """What samples have to be.

    Attributes:
        max_identity: largest identity to the nearest train row.
        min_identity: smallest identity to it.
        min_length: residues, at least.
        max_length: residues, at most; None: any number.
    """

    max_identity: float = 0.9
    min_identity: float = 0.0
    min_length: int = 1
    max_length: int | None = None

    def check(self, columns: int | None = None) -> None:
        """Refuse what nothing can meet, of samples with so many columns.

        Raises:
            UsageError: says why.
        """
        if not 0 <= self.min_identity <= self.max_identity <= 1:
            raise UsageError(
                f"identities from {self.min_identity:g} to {self.max_identity:g} are wanted, expected a span in 0 to 1"
            )
        if self.max_length is not None and self.max_length < self.min_length:
            raise UsageError(f"lengths from {self.min_length} to {self.max_length} are wanted: there are none")
        if columns is not None and self.min_length > columns:
            raise UsageError(f"{self.min_length} residues or more are wanted, the model has {columns} columns")


class Samples(NamedTuple):
    """n samples.

    Attributes:
        rows: (n, L) codes in the modelled columns.
        attempt: (n,) numbers of their attempts.
        origin: (n,) the train rows they come from, -1 for none.
        identity: (n,) to the nearest train row.
        neighbour: (n,) number of that row.
        attempts: how many were made.
    """

    rows: NDArray[np.uint8]
    attempt: NDArray[np.int64]
    origin: NDArray[np.int64]
    identity: NDArray[np.float64]
    neighbour: NDArray[np.int64]
    attempts: int


def sample_family(
    sampler: RowSampler,
    number: int,
    *,
    train: NDArray[np.uint8] | None,
    wanted: Wanted | None = None,
    temperature: float = 1.0,
    fixed: Mapping[int, int] | None = None,
    seed: int = 0,
    report: Callable[[int], None] = lambda samples: None,
) -> Samples:
    """Draw ``number`` samples, all different.

    Args:
        sampler: the model.
        number: samples.
        train: (N, L) the rows that samples must not be copies of; None: there are none, and identities are NaN.
        wanted: None: what :class:`Wanted` says.
        temperature: above 0; below 1 more probable samples, above 1 more diverse ones.
        fixed: codes by column.
        seed: of the random numbers.
        report: called with the number of new samples after each batch.

    Raises:
        UsageError: options that make no sense.
        InputError: hardly any attempt gives what is wanted.
    """
    wishes = wanted or Wanted()
    wishes.check(train.shape[1] if train is not None else None)
    if not temperature > 0:
        raise UsageError(f"the temperature is {temperature}, expected above 0")
    if train is None and (wishes.min_identity > 0):
        raise UsageError("a smallest identity needs the train sequences")
    rows: list[NDArray[np.uint8]] = []
    kept: list[tuple[int, int, float, int]] = []
    seen: set[bytes] = set()
    done = 0
    while len(rows) < number:
        if done >= PATIENCE * (number + 1):
            raise InputError(
                f"{len(rows)} of {done} attempts gave what is wanted, expected {number}",
                remedy="allow more identities or lengths, fix fewer positions, or change the temperature",
            )
        attempts = range(done, done + BATCH)
        drawn, origin = sampler.draw(attempts, seed=seed, temperature=temperature, fixed=fixed)
        near = nearest(drawn, train) if train is not None else None
        before = len(rows)
        for at, attempt in enumerate(attempts):
            done = attempt + 1
            row = drawn[at]
            length = int((row != GAP).sum())
            identity = float(near.identity[at]) if near is not None else float("nan")
            if not wishes.min_length <= length <= (wishes.max_length or length):
                continue
            if identity > wishes.max_identity or identity < wishes.min_identity:
                continue
            letters = row[row != GAP].tobytes()  # what only differs in its gaps is the same protein
            if letters in seen:
                continue
            seen.add(letters)
            rows.append(row.copy())
            kept.append((attempt, int(origin[at]), identity, int(near.row[at]) if near is not None else -1))
            if len(rows) == number:
                break
        report(len(rows) - before)
    table = np.array(kept, dtype=[("attempt", "i8"), ("origin", "i8"), ("identity", "f8"), ("neighbour", "i8")])
    return Samples(np.array(rows), table["attempt"], table["origin"], table["identity"], table["neighbour"], done)


def fixed_columns(text: str, focus: Focus) -> dict[int, int]:
    """Codes by modelled column of positions such as ``70,73``, ``68-73`` (the wild type's letters) or ``70A,73K``.

    Positions count from 1 in the protein of the wild type; without a wild type, in the columns of the alignment, and need a
    letter.

    Raises:
        UsageError: no such position, no such letter, or one position twice.
    """
    found: dict[int, int] = {}
    for one in parse_places(text):
        place = one.number - 1 - focus.start
        if not 0 <= place < len(focus.modelled):
            first, last = focus.start + 1, focus.start + len(focus.modelled)
            raise UsageError(f"there is no position {one.number} to fix: the model has {first} to {last}")
        column = int(focus.sites[place])
        if column < 0:
            raise UsageError(f"position {one.number} is not modelled, so it cannot be fixed")
        own = focus.wild_type[place] if focus.wild_type else ""
        one.check_wild_type(own)
        letter = one.new or one.old or own
        if not letter:
            raise UsageError(
                f"position {one.number}: the model has no wild type, so say which letter to fix, such as {one.number}A"
            )
        if letter not in AMINO_ACIDS:
            raise UsageError(f"{one.text}: {letter} is none of the 20 amino acids")
        if column in found:
            raise UsageError(f"position {one.number} is fixed twice")
        found[column] = AMINO_ACIDS.index(letter)
    return found
