"""Iterative extrapolation: edit sequences step by step under a scorer, beyond what any step's model has seen.

Each round, every sequence of the beam gets a few edits that a proposing model likes, and the scorer judges the results; the next
beam is the best of old and new, with a least distance between its members. Small steps that each stay near what the proposer
knows add up to changes far outside of it (Padmakumar et al. 2023, iterative controlled extrapolation).

A proposer maps a sequence of length L to ``(L, 20)`` logits in nats, one row a residue; only differences within a row count, and
NaN is never proposed. A scorer maps n sequences to (n,) numbers, higher is better, NaN is refused. Random numbers come from the
seed, the round and the sequence, so the size of a batch changes nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from genoseq.errors import InputError, UsageError
from genoseq.families.alphabet import AMINO_ACIDS
from genoseq.families.variants.notation import Variant, format_variant, parse_variant

__all__ = [
    "Candidate", "Evolved", "Limits", "Proposer", "Scorer", "Search", "evolve", "proposals", "trajectory_rows",
]  # fmt: skip

Floats = NDArray[np.float64]
Proposer = Callable[[str], Floats]
Scorer = Callable[[Sequence[str]], Floats]
TRIES = 20
"""Draws for each wanted child; those that give nothing new are lost."""


@dataclass(frozen=True)
class Limits:
    """What designs have to be.

    Attributes:
        fixed: residues that stay, numbers from 0.
        max_mutations: differences to the wild type, at most; None: any number.
        letters: amino acids that an edit may put in; what the wild type has stays allowed.
        at: for single residues (numbers from 0), the letters allowed there instead of ``letters``.
    """

    fixed: frozenset[int] = frozenset()
    max_mutations: int | None = None
    letters: str = AMINO_ACIDS
    at: Mapping[int, str] = field(default_factory=dict)

    def table(self, wild_type: str) -> NDArray[np.bool_]:
        """(L, 20) what may stand where; the wild type's own letters always may.

        Raises:
            UsageError: a residue outside of the wild type, or a letter that is none of the 20.
        """
        places = [*self.fixed, *self.at]
        outside = [place for place in places if not 0 <= place < len(wild_type)]
        if outside:
            raise UsageError(f"residue {outside[0] + 1} is limited, the wild type has {len(wild_type)}")
        foreign = set("".join([self.letters, *self.at.values()])) - set(AMINO_ACIDS)
        if foreign:
            raise UsageError(f"{min(foreign)!r} is none of the 20 amino acids")
        if self.max_mutations is not None and self.max_mutations < 1:
            raise UsageError(f"at most {self.max_mutations} mutations leave nothing to design")
        table = np.zeros((len(wild_type), len(AMINO_ACIDS)), np.bool_)
        for place, own in enumerate(wild_type):
            chosen = "" if place in self.fixed else self.at.get(place, self.letters)
            table[place, [AMINO_ACIDS.index(letter) for letter in chosen]] = True
            table[place, AMINO_ACIDS.index(own)] = True
        if (table.sum(axis=1) == 1).all():
            raise UsageError("nothing may be changed: every residue is fixed or has one letter only")
        return table


@dataclass(frozen=True)
class Search:
    """How the search goes.

    Attributes:
        budget: sequences that the scorer is asked about, the wild type included.
        beam: sequences that go on.
        children: new sequences of each in a round.
        edits: changes of one step, at most; 1 to so many, each number as likely.
        temperature: of the proposer's logits; higher tries more.
        min_distance: differing residues between any two members of the beam, at least.
        elite: so many of the best stay whatever their distance.
        seed: of the random numbers.
    """

    budget: int = 500
    beam: int = 10
    children: int = 5
    edits: int = 3
    temperature: float = 1.0
    min_distance: int = 2
    elite: int = 1
    seed: int = 0

    def check(self) -> None:
        """Refuse what makes no sense.

        Raises:
            UsageError: says which.
        """
        for name, least in (("budget", 2), ("beam", 1), ("children", 1), ("edits", 1), ("min_distance", 0), ("elite", 0)):
            if getattr(self, name) < least:
                raise UsageError(f"{name.replace('_', ' ')} is {getattr(self, name)}, expected at least {least}")
        if not self.temperature > 0:
            raise UsageError(f"the temperature is {self.temperature:g}, expected a number above 0")


class Candidate(NamedTuple):
    """A sequence that was scored.

    Attributes:
        call: its number among all that were scored; the wild type is 0.
        round: in which it was made; the wild type's is 0.
        parent: call of the one it was made from; -1 for the wild type.
        sequence: its letters.
        variant: its differences to the wild type.
        score: the scorer's; NaN if refused.
        kept: whether it was in the beam after its round.
    """

    call: int
    round: int
    parent: int
    sequence: str
    variant: Variant
    score: float
    kept: bool


class Evolved(NamedTuple):
    """What a search found.

    Attributes:
        beam: the last one, best first.
        candidates: all that were scored, by call.
        rounds: how many.
        ended: why it ended: ``budget`` or ``nothing new``.
    """

    beam: list[Candidate]
    candidates: list[Candidate]
    rounds: int
    ended: str

    def best(self, number: int, *, min_distance: int = 0) -> list[Candidate]:
        """The best of all that were scored, the wild type left out, with a least distance between any two."""
        pool = [one for one in self.candidates if one.variant and not np.isnan(one.score)]
        return _select(pool, number, min_distance, 0)


def evolve(
    wild_type: str,
    proposer: Proposer,
    scorer: Scorer,
    *,
    limits: Limits | None = None,
    search: Search | None = None,
    report: Callable[[int], None] = lambda calls: None,
) -> Evolved:
    """Search for better sequences of the wild type's length.

    Args:
        wild_type: of the 20 amino acids; where the search begins.
        proposer: what says which edits are plausible.
        scorer: what says which sequences are good.
        limits: what designs have to be.
        search: how the search goes.
        report: is told of sequences as they are scored.

    Raises:
        UsageError: limits or numbers that make no sense.
        InputError: the wild type holds other letters, the scorer refuses it, or gives another number of scores.

    >>> wanted = "ACDW"
    >>> def scorer(sequences):
    ...     return np.array([sum(a == b for a, b in zip(one, wanted)) for one in sequences], float)
    >>> found = evolve("AAAA", lambda sequence: np.zeros((4, 20)), scorer, search=Search(budget=2000))
    >>> found.best(1)[0].sequence
    'ACDW'
    """
    limits, search = limits or Limits(), search or Search()
    search.check()
    wild_type = wild_type.upper()
    foreign = sorted(set(wild_type) - set(AMINO_ACIDS))
    if foreign or not wild_type:
        raise InputError(f"the wild type holds {foreign[0]!r}" if foreign else "the wild type is empty")
    allowed = limits.table(wild_type)
    first = _scored(scorer, [wild_type])[0]
    report(1)
    if np.isnan(first):
        raise InputError("the scorer gives the wild type no score", remedy="does it belong to the scorer's protein?")
    candidates = [Candidate(0, 0, -1, wild_type, (), float(first), True)]
    seen = {wild_type}
    beam = list(candidates)
    rounds, ended = 0, "budget"
    while len(candidates) < search.budget:
        rounds += 1
        made: list[tuple[int, str]] = []
        for member in beam:
            table = _logits(proposer, member.sequence)
            for child in proposals(member.sequence, wild_type, table, allowed, limits.max_mutations, search, rounds):
                if child not in seen:
                    seen.add(child)
                    made.append((member.call, child))
        made = made[: search.budget - len(candidates)]
        if not made:
            ended = "nothing new"
            rounds -= 1
            break
        scores = _scored(scorer, [child for _, child in made])
        report(len(made))
        fresh = [
            Candidate(len(candidates) + at, rounds, parent, child, _differences(wild_type, child), float(score), False)
            for at, ((parent, child), score) in enumerate(zip(made, scores.tolist(), strict=True))
        ]
        pool = beam + [one for one in fresh if not np.isnan(one.score)]
        beam = _select(pool, search.beam, search.min_distance, search.elite)
        kept = {one.call for one in beam}
        candidates += [one._replace(kept=one.call in kept) for one in fresh]
    return Evolved([candidates[one.call] for one in beam], candidates, rounds, ended)


def proposals(
    sequence: str,
    wild_type: str,
    logits: Floats,
    allowed: NDArray[np.bool_],
    max_mutations: int | None,
    search: Search,
    number: int,
) -> list[str]:
    """Different children of a sequence: at most ``search.children``.

    A child has 1 to ``search.edits`` edits. An edit is drawn from all permitted ones by
    ``softmax((logit of the new letter - logit of the present one) / temperature)``; no two edits of a child meet at one residue.
    Where the limit of mutations is reached, only edits at residues that are mutated already remain, back to the wild type among
    them.

    Args:
        sequence: the parent.
        wild_type: of the same length.
        logits: (L, 20) of the proposer.
        allowed: (L, 20) what may stand where.
        max_mutations: differences to the wild type, at most.
        search: numbers, temperature and seed.
        number: of the round.
    """
    digest = hashlib.sha256(sequence.encode()).digest()
    random = np.random.default_rng([search.seed, number, int.from_bytes(digest[:8], "little")])
    parent = np.array([AMINO_ACIDS.index(letter) for letter in sequence])
    origin = np.array([AMINO_ACIDS.index(letter) for letter in wild_type])
    gain = (logits - np.take_along_axis(logits, parent[:, None], axis=1)) / search.temperature
    permitted = allowed & ~np.isnan(gain)
    permitted[np.arange(len(parent)), parent] = False
    found: dict[str, None] = {}
    for _ in range(TRIES * search.children):
        if len(found) == search.children:
            break
        codes = parent.copy()
        free = permitted.copy()
        for _ in range(int(random.integers(1, search.edits + 1))):
            open_to = free
            if max_mutations is not None and (codes != origin).sum() >= max_mutations:
                open_to = free & (codes != origin)[:, None]
            places, letters = np.nonzero(open_to)
            if not places.size:
                break
            weights = np.exp(gain[places, letters] - gain[places, letters].max())
            at = int(np.searchsorted(np.cumsum(weights), random.random() * weights.sum(), side="right"))
            at = min(at, len(places) - 1)
            codes[places[at]] = letters[at]
            free[places[at]] = False
        child = "".join(AMINO_ACIDS[code] for code in codes)
        if child != sequence:
            found[child] = None
    return list(found)


def trajectory_rows(found: Evolved, *, offset: int = 0) -> list[tuple[str, ...]]:
    """All scored sequences as fields of a table: call, round, parent, variant, mutations, score, best so far, kept."""
    rows: list[tuple[str, ...]] = []
    best = -np.inf
    for one in found.candidates:
        best = max(best, one.score) if not np.isnan(one.score) else best
        rows.append(
            (
                str(one.call), str(one.round), "" if one.parent < 0 else str(one.parent),
                format_variant(one.variant, offset=offset), str(len(one.variant)),
                "" if np.isnan(one.score) else f"{one.score:.6g}", f"{best:.6g}", str(int(one.kept)),
            )
        )  # fmt: skip
    return rows


def _select(pool: Sequence[Candidate], size: int, min_distance: int, elite: int) -> list[Candidate]:
    """The best, those too near to a better one left out but for the elite; equal scores by sequence."""
    ordered = sorted(pool, key=lambda one: (-one.score, one.sequence))
    kept: list[Candidate] = []
    for rank, one in enumerate(ordered):
        if len(kept) == size:
            break
        if rank < elite or all(_distance(one.sequence, other.sequence) >= min_distance for other in kept):
            kept.append(one)
    return kept


def _distance(one: str, other: str) -> int:
    return sum(a != b for a, b in zip(one, other, strict=True))


def _differences(wild_type: str, sequence: str) -> Variant:
    pairs = enumerate(zip(wild_type, sequence, strict=True), start=1)
    return parse_variant(":".join(f"{old}{place}{new}" for place, (old, new) in pairs if old != new))


def _scored(scorer: Scorer, sequences: Sequence[str]) -> Floats:
    scores = np.asarray(scorer(sequences), np.float64)
    if scores.shape != (len(sequences),):
        raise InputError(f"the scorer gave scores of shape {scores.shape} for {len(sequences)} sequences")
    return scores


def _logits(proposer: Proposer, sequence: str) -> Floats:
    table = np.asarray(proposer(sequence), np.float64)
    if table.shape != (len(sequence), len(AMINO_ACIDS)):
        raise InputError(f"the proposer gave logits of shape {table.shape} for {len(sequence)} residues")
    return table
