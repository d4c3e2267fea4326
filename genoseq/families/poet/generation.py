"""New members of a family, drawn residue by residue by PoET after a prompt of it.

The prompt is read once for all; a step reads one token of each sequence that is being drawn. Each sequence has its own random
numbers, decided by the seed, its number and the attempt, so that what is drawn beside it changes nothing. A sequence that breaks
a rule that cannot be kept while it is drawn (a motif somewhere, few repeats) is drawn anew.
"""

from __future__ import annotations

import logging
import re
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from genoseq.errors import UsageError
from genoseq.families.alphabet import AMINO_ACIDS
from genoseq.families.poet.prompt import Prompt
from genoseq.families.poet.scoring import check_poet, read_prompt
from genoseq.infer.generation import Sampling, draw
from genoseq.infer.running import check_finite, evaluating
from genoseq.nets.models.poet import START, STOP, PoETCache, PoETForCausalLM

__all__ = ["Constraints", "Drawn", "Motif", "generate_members", "parse_fixed", "parse_motif", "repeated_share"]

log = logging.getLogger(__name__)

BATCH = 16
UNIT, COPIES, RUN = 8, 3, 5
"""Repeats: a unit of up to `UNIT` residues at least `COPIES` times in a row, and at least `RUN` residues in all."""
ROOM = 1.5
"""The longest sequence allowed by default, in lengths of the prompt's longest."""


@dataclass(frozen=True)
class Motif:
    """Residues that must stand in a row.

    Attributes:
        text: as the user wrote it.
        sets: the residues allowed at each of its places.
        place: where its first residue stands, from 0; None for anywhere.
    """

    text: str
    sets: tuple[frozenset[str], ...]
    place: int | None = None

    def found_in(self, sequence: str) -> bool:
        """Whether a sequence has it, at its place if it has one."""
        size = len(self.sets)
        places = range(len(sequence) - size + 1) if self.place is None else [self.place]
        return any(
            len(sequence) >= start + size and all(sequence[start + i] in allowed for i, allowed in enumerate(self.sets))
            for start in places
        )


@dataclass(frozen=True)
class Constraints:
    """What every new sequence must keep to. Positions count from 0.

    Attributes:
        fixed: residues allowed at positions: ``{69: "S", 72: "KR"}``.
        motifs: that must be there, see `parse_motif`.
        min_length, max_length: residues; the longest is one and a half times the prompt's longest sequence unless given.
        max_repeats: largest `repeated_share`; 1 allows anything.
        tries: times that a sequence is drawn before it is given up.
    """

    fixed: Mapping[int, str] = field(default_factory=dict)
    motifs: tuple[Motif, ...] = ()
    min_length: int = 1
    max_length: int | None = None
    max_repeats: float = 1.0
    tries: int = 20

    def __post_init__(self) -> None:
        for place, letters in self.fixed.items():
            if place < 0 or not letters or set(letters) - set(AMINO_ACIDS):
                raise UsageError(f"fixed position {place} is {letters!r}: expected some of the 20 amino acids, at 0 or more")
        if self.min_length < 1 or not 0 <= self.max_repeats <= 1 or self.tries < 1:
            raise UsageError(
                f"min_length is {self.min_length}, max_repeats {self.max_repeats}, tries {self.tries}: "
                "expected at least 1, a share from 0 to 1, and at least 1"
            )
        if self.max_length is not None and self.max_length < self.shortest:
            raise UsageError(
                f"max_length is {self.max_length}, but the shortest sequence that keeps to the rest has {self.shortest} residues"
            )
        empty = [place + 1 for place, allowed in self.allowed.items() if not allowed]
        if empty:
            raise UsageError(f"fixed positions and motifs leave no residue for position {empty[0]} (counted from 1)")

    @property
    def allowed(self) -> dict[int, frozenset[str]]:
        """Residues at each position that is fixed, by itself or by a motif with a place."""
        found = {place: frozenset(letters) for place, letters in self.fixed.items()}
        for motif in self.motifs:
            for place, letters in enumerate(motif.sets, motif.place or 0):
                if motif.place is not None:
                    found[place] = found.get(place, letters) & letters
        return found

    @property
    def shortest(self) -> int:
        """Residues of the shortest sequence that has all that is fixed."""
        free = (len(motif.sets) for motif in self.motifs if motif.place is None)
        return max([self.min_length, *free, *(place + 1 for place in self.allowed)])

    def broken_by(self, sequence: str) -> str | None:
        """The rule that a sequence breaks; None if it keeps all that cannot be kept while drawing."""
        for motif in self.motifs:
            if not motif.found_in(sequence):
                return f"motif {motif.text}"
        return "repeats" if self.max_repeats < 1 and repeated_share(sequence) > self.max_repeats else None


class Drawn(NamedTuple):
    """A new sequence.

    Attributes:
        number: of the sequence, from 0.
        sequence: its residues.
        log_likelihood: of residues and stop by the net, whatever the sampling and the constraints, in nats.
        ended: the net ended it; False where the largest length did.
        prompt: number of the prompt it was drawn after.
        attempt: how many were thrown away before it.
    """

    number: int
    sequence: str
    log_likelihood: float
    ended: bool
    prompt: int
    attempt: int


def parse_motif(text: str) -> Motif:
    """A motif: letters, ``x`` for any residue, ``[ST]`` for one of several, ``x(3)`` for three; ``@70`` puts it at residue 70.

    Raises:
        UsageError: says what is wrong with it.

    >>> motif = parse_motif("Sx(2)[KR]@70")
    >>> len(motif.sets), sorted(motif.sets[3]), motif.place
    (4, ['K', 'R'], 69)
    """
    body, mark, number = text.partition("@")
    if mark and (not number.isdigit() or int(number) < 1):
        raise UsageError(f"motif {text!r}: after @ comes the number of its first residue, from 1")
    sets: list[frozenset[str]] = []
    place = 0
    plain = body.replace("-", "").upper()
    for found in re.finditer(r"(?:\[([A-Z]+)\]|([A-Z]))(?:\((\d{1,3})\))?", plain):
        if found.start() != place:
            break
        letters = AMINO_ACIDS if found[2] == "X" else found[1] or found[2]
        if set(letters) - set(AMINO_ACIDS):
            raise UsageError(f"motif {text!r}: {letters!r} are not all amino acids")
        sets += [frozenset(letters)] * int(found[3] or 1)
        place = found.end()
    if place < len(plain) or not sets:
        raise UsageError(f"motif {text!r}: expected letters, x, [ST] and x(3), such as Sx(2)[KR]")
    return Motif(text, tuple(sets), int(number) - 1 if mark else None)


def repeated_share(sequence: str) -> float:
    """Share of residues that stand in repeats: a unit of 1 to 8 residues three times or more in a row, 5 residues at least.

    >>> repeated_share("MKTAYAAAAAAIAK"), repeated_share("MKTGSGSGSW")
    (0.42857142857142855, 0.6)
    """
    codes = np.frombuffer(sequence.encode(), np.uint8)
    inside = np.zeros(len(codes), bool)
    for unit in range(1, min(UNIT, len(codes) // COPIES) + 1):
        same = np.concatenate([[False], codes[unit:] == codes[:-unit], [False]])
        edges = np.flatnonzero(np.diff(same))
        for start, end in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
            if end - start >= (COPIES - 1) * unit and end - start + unit >= RUN:
                inside[start : end + unit] = True
    return float(inside.mean()) if len(codes) else 0.0


def generate_members(
    model: Any,
    tokenizer: Any,
    prompts: Sequence[Prompt],
    *,
    count: int,
    sampling: Sampling | None = None,
    constraints: Constraints | None = None,
    seed: int = 0,
    batch: int = BATCH,
    device: str | torch.device | None = None,
    report: Callable[[int], None] = lambda drawn: None,
) -> Iterator[Drawn]:
    """Yield new sequences, in the order of their numbers; sequence ``i`` is drawn after prompt ``i`` modulo their number.

    Args:
        model: PoET, as `genoseq.load` gives it.
        tokenizer: its tokenizer.
        prompts: of the family, see `genoseq.families.poet.prompt`.
        count: new sequences. Fewer come where one breaks the constraints as often as it may be tried; a warning says so.
        sampling: temperature, top-k and top-p.
        constraints: what sequences must keep to.
        seed: of the random numbers.
        batch: sequences drawn side by side; changes speed and memory, not results beyond rounding.
        device: where to run; where the model is unless given.
        report: is told how many sequences were done since it was last told.

    Raises:
        UsageError: another net, no prompt, or values out of range.
    """
    sampling, constraints = sampling or Sampling(), constraints or Constraints()
    sampling.check()
    if sampling.allow:
        raise UsageError("new members hold the 20 amino acids and end by themselves: leave `allow` out")
    if count < 1 or batch < 1 or not prompts:
        raise UsageError(f"count {count}, batch {batch}, {len(prompts)} prompts: expected at least 1 each")
    net = check_poet(model)
    thrown: Counter[str] = Counter()
    done: dict[int, Drawn] = {}
    with evaluating(net, device):
        for number, prompt in enumerate(prompts[:count]):
            longest = constraints.max_length or max(
                constraints.shortest, int(ROOM * max((len(sequence) for sequence in prompt.sequences), default=0))
            )
            if not prompt.sequences and constraints.max_length is None:
                raise UsageError("without sequences in the prompt there is no length to go by: give max_length")
            drawer = _Drawer(net, tokenizer, sampling, constraints, longest, seed)
            for drawn in drawer.draw_all(read_prompt(net, tokenizer, prompt), range(number, count, len(prompts)), batch):
                thrown.update(drawn.broken)
                if drawn.kept:
                    done[drawn.number] = Drawn(
                        drawn.number, drawn.text, drawn.total, drawn.ended, number, sum(drawn.broken.values())
                    )
                report(1)
    if thrown:
        log.info("drawn anew: %s", ", ".join(f"{times} times for {rule}" for rule, times in thrown.most_common()))
    if len(done) < count:
        log.warning(
            "%d of %d sequences broke a rule each time (%d) and are left out: %s",
            count - len(done), count, constraints.tries, ", ".join(thrown),
        )  # fmt: skip
    for number in sorted(done):
        yield done[number]


@dataclass
class _Row:
    """A sequence while it is drawn."""

    number: int
    broken: Counter[str] = field(default_factory=Counter)
    chance: np.random.Generator = field(default_factory=np.random.default_rng)
    text: str = ""
    total: float = 0.0
    ended: bool = False
    kept: bool = False


class _Drawer:
    """Draws the sequences of one prompt, a batch at a time; those that are done leave it."""

    def __init__(
        self, net: PoETForCausalLM, tokenizer: Any, sampling: Sampling, constraints: Constraints, longest: int, seed: int
    ) -> None:
        self._net, self._sampling, self._constraints, self._longest, self._seed = net, sampling, constraints, longest, seed
        self._device = next(net.parameters()).device
        self._ids = np.asarray(tokenizer.encode_array(AMINO_ACIDS), np.int64)
        self._places = {
            place: np.array([AMINO_ACIDS.index(letter) for letter in sorted(letters)])
            for place, letters in constraints.allowed.items()
        }
        self._all = np.arange(len(AMINO_ACIDS))

    @torch.no_grad()
    def draw_all(self, prompt: PoETCache | None, numbers: range, batch: int) -> Iterator[_Row]:
        """Draw these sequences after a prompt, so many side by side; they come in the order in which they are done."""
        waiting = deque(_Row(number) for number in numbers)
        while waiting:
            rows = [waiting.popleft() for _ in range(min(batch, len(waiting)))]
            for row in rows:
                row.chance = np.random.default_rng([self._seed, row.number, sum(row.broken.values())])
                row.text, row.total, row.ended = "", 0.0, False
            ids = torch.full((len(rows), 1), START, device=self._device)
            cache: PoETCache | None = prompt
            while True:
                out = self._net(input_ids=ids, cache=cache, use_cache=True)
                cache, logits = out.cache, out.logits[:, -1]
                known = logits.double().log_softmax(-1).cpu().numpy()
                check_finite(known, "probabilities")
                tokens = [self._next(row, known[place]) for place, row in enumerate(rows)]
                going = [place for place, token in enumerate(tokens) if token != STOP]
                for row in (row for row, token in zip(rows, tokens, strict=True) if token == STOP):
                    rule = self._constraints.broken_by(row.text)
                    row.kept = rule is None
                    if rule is not None:
                        row.broken[rule] += 1
                    if row.kept or sum(row.broken.values()) >= self._constraints.tries:
                        yield row
                    else:
                        waiting.append(row)
                if not going:
                    break
                if len(going) < len(rows) and cache is not None:
                    cache = cache.rows(torch.tensor(going, device=self._device))
                rows = [rows[place] for place in going]
                ids = torch.tensor([[tokens[place]] for place in going], device=self._device)

    def _next(self, row: _Row, known: NDArray[np.float64]) -> int:
        """Draw the next token of a row out of log-probabilities (V,), and count it in."""
        place = len(row.text)
        may_stop, must_stop = place >= self._constraints.shortest, place >= self._longest
        letters = self._places.get(place, self._all)
        allowed = np.array([STOP]) if must_stop else np.concatenate([self._ids[letters], [STOP] if may_stop else []])
        allowed = allowed.astype(np.int64)
        token = int(allowed[draw(known[allowed], self._sampling, row.chance)])
        row.total += float(known[token])
        if token == STOP:
            row.ended = not must_stop
        else:
            row.text += AMINO_ACIDS[int(np.flatnonzero(self._ids == token)[0])]
        return token


def parse_fixed(text: str) -> tuple[int, str]:
    """A fixed position as users write it, ``S70`` or ``[KR]73``: its place from 0, and the residues allowed.

    Raises:
        UsageError: it is not of this form.

    >>> parse_fixed("S70"), parse_fixed("[KR]73")
    ((69, 'S'), (72, 'KR'))
    """
    found = re.fullmatch(r"(?:\[([A-Z]+)\]|([A-Z]))([1-9]\d*)", text.strip().upper())
    letters = (found[1] or found[2]) if found else ""
    if found is None or set(letters) - set(AMINO_ACIDS):
        raise UsageError(f"fixed position {text!r}: expected residues and their number from 1, such as S70 or [KR]73")
    return int(found[3]) - 1, letters
