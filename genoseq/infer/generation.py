"""New sequences, drawn token by token from a causal language model.

The net goes on from its cache, so that a step costs the same however long the sequence is where the cache is a recurrent state,
and memory does not grow with it. Prompts are read in pieces. Each sequence has its own random numbers, decided by the seed and
the sequence's number alone; what is drawn beside it changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from genoseq.errors import UsageError
from genoseq.infer.running import check_finite, evaluating, language_model
from genoseq.infer.tokens import TokenReader, as_records
from genoseq.nets.base import Net
from genoseq.nets.heads import LanguageModel
from genoseq.nets.segments import segments
from genoseq.seqs.record import Record

__all__ = ["ALLOWED", "BATCH", "Generated", "Sampling", "draw", "fasta_of", "generate"]

BATCH = 16
"""Sequences drawn side by side, unless the user says otherwise."""
LINE = 60
"""Letters in a line of FASTA."""
PREFILL = 8192
"""Tokens of prompts that are read at a time, of all sequences of a batch together."""
MOST_TOKENS = 100
"""Tokens per letter that was asked for, after which a sequence that draws hardly any letters is given up."""
ALLOWED = ("eos", "ambiguous", "special")
"""What may be drawn besides the plain letters: the token that ends a sequence, letters such as N, special tokens."""


class Sampling(NamedTuple):
    """How a token is drawn from the model's probabilities of the tokens that are allowed, in the order of the attributes.

    Attributes:
        temperature: logits are divided by it; 0 takes the most probable token.
        top_k: only so many most probable tokens; 0 is all.
        top_p: only the most probable tokens that together have this probability, at least one (Holtzman et al. 2020).
        allow: what may be drawn besides plain letters, out of ``ALLOWED``.
    """

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    allow: tuple[str, ...] = ()

    def check(self) -> None:
        """Refuse what makes no sense.

        Raises:
            UsageError: says which.
        """
        if not 0 <= self.temperature < float("inf"):
            raise UsageError(f"a temperature of {self.temperature}: give 0 or more")
        if self.top_k < 0:
            raise UsageError(f"a top-k of {self.top_k}: give 0 (all) or more")
        if not 0 < self.top_p <= 1:
            raise UsageError(f"a top-p of {self.top_p}: give more than 0, and at most 1")
        unknown = set(self.allow) - set(ALLOWED)
        if unknown:
            raise UsageError(f"cannot allow {min(unknown)!r}: known are {', '.join(ALLOWED)}")


class Generated(NamedTuple):
    """A sequence that was drawn.

    Attributes:
        name: name of the prompt and number of the sequence from it, ``prompt_1``; without prompts ``generated_1``.
        prompt: the prompt, empty if there was none.
        sequence: the new letters, without the prompt.
        log_likelihood: of the new tokens by the model, whatever the sampling, in nats.
        tokens: new tokens that count in it; a first letter that was drawn at random does not.
        ended: drawn to its end (True), or stopped at the length that was asked for.
    """

    name: str
    prompt: str
    sequence: str
    log_likelihood: float
    tokens: int
    ended: bool


class _Start(NamedTuple):
    """Where a sequence begins.

    Attributes:
        number: of the sequence, from 0: decides its random numbers.
        name, prompt: see `Generated`.
        ids: int64 ``(n,)``, tokens before the first new one; may be empty.
    """

    number: int
    name: str
    prompt: str
    ids: NDArray[np.int64]


def generate(
    model: Net,
    tokenizer: Any,
    prompts: Iterable[Record | str] | None = None,
    *,
    length: int,
    count: int = 1,
    sampling: Sampling | None = None,
    seed: int = 0,
    begin: bool = False,
    batch: int = BATCH,
    device: str | torch.device | None = None,
    report: Callable[[int], None] = lambda tokens: None,
) -> Iterator[Generated]:
    """Yield new sequences, in the order of the prompts.

    The same seed gives the same sequences whatever the size of batches, as long as the net's numbers are the same; those of
    float32 can differ by rounding, so that one draw in about a million may fall on the other side of a boundary.

    Args:
        model: a causal language model whose net can go on from a cache.
        tokenizer: the net's tokenizer.
        prompts: what to go on from; None begins with the special tokens that the tokenizer puts in front of a sequence, or, if
            there are none, with a letter drawn at random. Prompts without letters are left out.
        length: new letters per sequence; tokens of several letters are cut at it.
        count: sequences per prompt.
        sampling: how tokens are drawn.
        seed: of the random numbers.
        begin: put the tokenizer's token for the beginning in front.
        batch: sequences drawn side by side.
        device: where to run; where the model is unless given.
        report: is told how many tokens were drawn since it was last told.

    Raises:
        UsageError: a model that is not causal or has no cache, options that make no sense, or more tokens than the net takes.
        InputError: a prompt of another alphabet, or values that are not finite.
    """
    sampling = sampling or Sampling()
    sampling.check()
    if length < 1 or count < 1 or batch < 1:
        raise UsageError("the length, the number of sequences and the size of a batch are 1 or more")
    reader = TokenReader(tokenizer)
    net = language_model(model, causal=True)
    if reader.overlapping:
        raise UsageError("the tokens of this model overlap: most sequences of them are no sequence of letters")
    front = np.concatenate([[reader.begin_id], reader.front]).astype(np.int64) if begin else reader.front
    with evaluating(model, device) as place:
        _check_cache(net, place)
        drawer = _Drawer(net, reader, sampling, length=length, seed=seed, device=place, report=report)
        waiting: list[_Start] = []
        for start in _starts(reader, prompts, front, count):
            waiting.append(start)
            if len(waiting) >= batch * 16:  # prompts of like length side by side
                yield from drawer.draw_all(waiting, batch)
                waiting = []
        yield from drawer.draw_all(waiting, batch)


def _starts(
    reader: TokenReader, prompts: Iterable[Record | str] | None, front: NDArray[np.int64], count: int
) -> Iterator[_Start]:
    if prompts is None:
        for number in range(count):
            yield _Start(number, f"generated_{number + 1}", "", front)
        return
    number = 0
    for place, record in enumerate(as_records(prompts), 1):
        if not record.sequence:
            continue
        text = reader.check(record, place)
        ids = np.concatenate([front, reader.read(text, name=record.name).ids])
        for copy in range(count):
            yield _Start(number, f"{record.name}_{copy + 1}", text, ids)
            number += 1


@torch.no_grad()
def _check_cache(model: LanguageModel, device: torch.device) -> None:
    """Find out before the work whether the net can go on from a cache.

    Raises:
        UsageError: it cannot.
    """
    ids = torch.zeros((1, 1), dtype=torch.int64, device=device)
    try:
        has = model(input_ids=ids, use_cache=True).cache is not None
    except UsageError as error:
        raise UsageError(f"this net cannot generate: {error}") from error
    if not has:
        raise UsageError(f"{type(model).__name__} keeps no cache, so it cannot generate")


class _Drawer:
    """Draws sequences side by side."""

    def __init__(
        self,
        model: LanguageModel,
        reader: TokenReader,
        sampling: Sampling,
        *,
        length: int,
        seed: int,
        device: torch.device,
        report: Callable[[int], None],
    ) -> None:
        self._model, self._reader, self._sampling = model, reader, sampling
        self._length, self._seed, self._device, self._report = length, seed, device, report
        words = dict(reader.words if "ambiguous" in sampling.allow else reader.plain)
        self._end = reader.tokenizer.eos_token_id if "eos" in sampling.allow else None
        if "eos" in sampling.allow and self._end is None:
            raise UsageError(f"{type(reader.tokenizer).__name__} has no token for the end of a sequence")
        special = [] if self._end is None else [int(self._end)]
        if "special" in sampling.allow:
            special += [int(number) for number in reader.tokenizer.all_special_ids if number != reader.tokenizer.eos_token_id]
        self._words = words
        self._letters = sorted(number for number, word in reader.plain.items() if len(word) == 1)
        self._allowed = torch.tensor(sorted({*words, *special}), device=device)

    def draw_all(self, starts: Sequence[_Start], batch: int) -> list[Generated]:
        """The sequences of all starts, in their order; those of like length are drawn together."""
        order = sorted(range(len(starts)), key=lambda i: (len(starts[i].ids), i))
        found: dict[int, Generated] = {}
        for first in range(0, len(order), batch):
            numbers = order[first : first + batch]
            found.update(zip(numbers, self._draw([starts[number] for number in numbers]), strict=True))
        return [found[number] for number in range(len(starts))]

    @torch.no_grad()
    def _draw(self, starts: Sequence[_Start]) -> list[Generated]:
        """Draw a batch. Sequences with a longer prompt than others still read it while those are drawn already."""
        rows = [self._row(start) for start in starts]
        self._check_length(rows)
        shared = min(len(row.ids) for row in rows)
        cache: Any = None
        logits: Tensor | None = None
        for part in segments(shared, max(1, PREFILL // len(rows))):
            ids = torch.from_numpy(np.stack([row.ids[part] for row in rows])).to(self._device)
            out = self._model(input_ids=ids, cache=cache, use_cache=True, logits_to_keep=1)
            cache, logits = out.cache, out.logits
        for row in rows:
            row.place = shared
        while not all(row.done for row in rows):
            assert logits is not None  # every row has at least one token to begin with
            column = self._next(rows, logits[:, -1])
            if all(row.done for row in rows):
                break
            ids = torch.from_numpy(column[:, None]).to(self._device)
            out = self._model(input_ids=ids, cache=cache, use_cache=True, logits_to_keep=1)
            cache, logits = out.cache, out.logits
        return [row.result() for row in rows]

    def _row(self, start: _Start) -> _Row:
        """A row at its beginning; where there is nothing to begin with, a letter of which all are equally probable."""
        chance = np.random.default_rng([self._seed, start.number])
        row = _Row(start, start.ids, chance)
        if not len(start.ids):
            token = int(chance.choice(self._letters))
            row.ids = np.array([token], np.int64)
            self._add(row, token)
        return row

    def _next(self, rows: Sequence[_Row], logits: Tensor) -> NDArray[np.int64]:
        """The next token of each row, int64 ``(B,)``: of its prompt, drawn, or any if it is done."""
        numbers = logits.to(torch.float64)
        known = numbers.log_softmax(1).index_select(1, self._allowed).cpu().numpy()
        allowed = self._allowed.cpu().numpy()
        column = np.zeros(len(rows), np.int64)
        drawn = 0
        for place, row in enumerate(rows):
            if row.place < len(row.ids):
                column[place] = row.ids[row.place]
                row.place += 1
                continue
            if row.done:
                column[place] = allowed[0]
                continue
            check_finite(known[place], "probabilities")
            choice = draw(known[place], self._sampling, row.chance)
            column[place] = allowed[choice]
            row.total += float(known[place, choice])
            row.drawn += 1
            self._add(row, int(allowed[choice]))
            drawn += 1
        self._report(drawn)
        return column

    def _add(self, row: _Row, token: int) -> None:
        """Count a token in, and stop the row at its end or at the length that was asked for."""
        if token == self._end:
            row.ended = row.done = True
            return
        row.text = (row.text + self._words.get(token, ""))[: self._length]
        row.done = len(row.text) == self._length or row.drawn >= MOST_TOKENS * self._length

    def _check_length(self, rows: Sequence[_Row]) -> None:
        limit = self._model.backbone_net.config.token_limit
        longest = max(len(row.ids) for row in rows)
        new = -(-self._length // (self._reader.step or 1))
        if limit is not None and longest + new - 1 > limit:
            raise UsageError(
                f"{longest:,} tokens of prompt and {new:,} new ones are more than this net takes ({limit:,}): "
                "give a shorter prompt or a smaller --length"
            )


@dataclass
class _Row:
    """A sequence while it is drawn.

    Attributes:
        start: how it began.
        ids: tokens to read before the first is drawn.
        chance: its random numbers.
        place: tokens of ``ids`` that were read.
        text: new letters.
        total: log-likelihood of the tokens that were drawn.
        drawn: how many these are.
        done: nothing more is to be drawn.
        ended: it drew the token for the end.
    """

    start: _Start
    ids: NDArray[np.int64]
    chance: np.random.Generator
    place: int = 0
    text: str = ""
    total: float = 0.0
    drawn: int = 0
    done: bool = False
    ended: bool = False

    def result(self) -> Generated:
        """What was drawn."""
        return Generated(self.start.name, self.start.prompt, self.text, self.total, self.drawn, self.ended)


def fasta_of(drawn: Generated, *, keep_prompt: bool, seed: int, model_sha256: str) -> str:
    """A FASTA record; the comment says how it came about.

    >>> print(fasta_of(Generated("a_1", "CC", "ACGT", -5.25, 4, False), keep_prompt=True, seed=0, model_sha256="0" * 64))
    >a_1 prompt=2 new=4 ended=no log_likelihood=-5.2500 seed=0 model=000000000000
    CCACGT
    <BLANKLINE>
    """
    letters = drawn.prompt + drawn.sequence if keep_prompt else drawn.sequence
    comment = (
        f"prompt={len(drawn.prompt)} new={len(drawn.sequence)} ended={'yes' if drawn.ended else 'no'} "
        f"log_likelihood={drawn.log_likelihood:.4f} seed={seed} model={model_sha256[:12]}"
    )
    lines = "\n".join(letters[first : first + LINE] for first in range(0, len(letters), LINE))
    return f">{drawn.name} {comment}\n{lines}\n"


def draw(logprobs: NDArray[np.float64], sampling: Sampling, chance: np.random.Generator) -> int:
    """Draw one of the tokens with these log-probabilities ``(n,)``, which need not add up to 1.

    One random number is used, whatever the options.

    >>> draw(np.log([0.1, 0.7, 0.2]), Sampling(temperature=0), np.random.default_rng(0))
    1
    """
    point = float(chance.random())
    order = np.argsort(-logprobs, kind="stable")
    if sampling.temperature == 0:
        return int(order[0])
    scaled = logprobs[order] / sampling.temperature
    shares = np.exp(scaled - scaled[0])
    if sampling.top_k:
        shares = shares[: sampling.top_k]
    sums = np.cumsum(shares)
    if sampling.top_p < 1:
        kept = int(np.searchsorted(sums, sampling.top_p * sums[-1])) + 1
        sums = sums[:kept]
    return int(order[min(np.searchsorted(sums, point * sums[-1], side="right"), len(sums) - 1)])
