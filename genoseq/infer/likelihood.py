"""How probable sequences are to a language model: log-likelihoods of causal models, pseudo-log-likelihoods of masked ones.

Causal: the sum over tokens of ``log p(token | tokens before it)``. The first token has something before it only if the tokenizer
puts a special token in front of a sequence, or ``begin`` asks for one; else it is not scored. Special tokens are never scored.

Masked: the sum over tokens of ``log p(token | all other tokens)`` (Salazar et al. 2020, equation 1), the token itself being
masked. One forward pass per token is the definition; ``stride = s`` instead masks tokens ``r, r + s, r + 2 s, ...`` of a sequence
at a time, in ``s`` passes for ``r = 0 ... s - 1``, so that others are hidden too. It is the definition where ``s`` is no less
than the number of tokens.

Both in nats, over the model's whole vocabulary. A token that holds an ambiguity code (``N`` and the like) is not scored, but
stays in the context of the others.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from genoseq.errors import UsageError
from genoseq.infer.batches import BATCH_TOKENS, in_batches
from genoseq.infer.running import (
    PIECE,
    check_finite,
    evaluating,
    hidden_pieces,
    label_logprobs,
    language_model,
    padded,
    state_is_constant,
)
from genoseq.infer.tokens import TokenReader, Tokens, as_records, strands_of
from genoseq.infer.windows import Window, Windows, check_length
from genoseq.nets.base import Net
from genoseq.nets.heads import LanguageModel
from genoseq.seqs.alphabet import reverse_complement
from genoseq.seqs.record import Record

__all__ = ["STRIDE", "Row", "Score", "TokenScorer", "per_base", "score"]

STRIDE = 8
"""Every eighth token is masked at a time, 12.5 percent: about what masked language models are trained on."""

Floats = NDArray[np.float32]
Places = NDArray[np.int64]
Flags = NDArray[np.bool_]


class Score(NamedTuple):
    """How probable a sequence is.

    Attributes:
        name: the sequence's name.
        length: its letters.
        scored: letters of tokens that are scored.
        ambiguous: letters of tokens that are not, for they hold an ambiguity code.
        unscored: other letters: of a first token with nothing before it, and those for which the tokenizer has no token.
        tokens: tokens that are scored.
        log_likelihood: the sum over them, in nats.
        values: float32 ``(tokens,)``, log-likelihood of every token in nats, NaN where it is not scored.
        starts, ends: int64 ``(tokens,)``, the letters of every token, 0-based half-open.
    """

    name: str
    length: int
    scored: int
    ambiguous: int
    unscored: int
    tokens: int
    log_likelihood: float
    values: Floats
    starts: Places
    ends: Places

    @property
    def bits_per_base(self) -> float:
        """Minus the mean log-likelihood per letter, in bits; NaN if none is scored."""
        return -self.log_likelihood / math.log(2) / self.scored if self.scored else math.nan

    @property
    def perplexity(self) -> float:
        """``exp`` of minus the mean log-likelihood per token; NaN if none is scored."""
        return math.exp(min(-self.log_likelihood / self.tokens, 709.0)) if self.tokens else math.nan


class Row(NamedTuple):
    """Tokens for one pass through a net, and which of them are scored.

    Attributes:
        ids: int64 ``(L,)``, with special tokens.
        wanted: bool ``(L,)``, the tokens that are scored; in a masked model these are masked.
    """

    ids: Places
    wanted: Flags


class TokenScorer:
    """Log-likelihoods of chosen tokens, for batches of rows.

    Args:
        model: a language model, in evaluation mode.
        reader: reads sequences for it.
        device: where the model is.
        begin: put the tokenizer's token for the beginning in front.
        stride: see the module's text; None for one token at a time.

    Raises:
        UsageError: options that this model cannot have.
    """

    def __init__(
        self, model: Net, reader: TokenReader, *, device: torch.device, begin: bool = False, stride: int | None = STRIDE
    ) -> None:
        self.model: LanguageModel = language_model(model)
        self.reader = reader
        self.causal = self.model.predicts_next
        self.limit = self.model.backbone_net.config.token_limit
        self.front = reader.front
        self.back = reader.back[:0] if self.causal else reader.back
        if begin:
            if not self.causal:
                raise UsageError("a token for the beginning is for causal models; this one sees both sides")
            self.front = np.concatenate([[reader.begin_id], reader.front]).astype(np.int64)
        if stride is not None and stride < 1:
            raise UsageError(f"a stride of {stride}: give 1 or more, or exact")
        if not self.causal and reader.overlapping:
            raise UsageError(
                "the tokens of this model overlap, so that a masked one is told by its neighbours: "
                "it has no pseudo-log-likelihood"
            )
        self.stride = stride
        self._device = device
        self._mask = None if self.causal else reader.mask_id
        self._streams: bool | None = None

    def rows(self, ids: Places, wanted: Flags) -> Iterator[Row]:
        """Yield the passes that score the ``wanted`` ``(n,)`` of tokens ``(n,)``: one if causal, several if masked.

        Each scored token is wanted in exactly one of them. There is at least one, which may want nothing.
        """
        whole, asked = self.whole_row(ids, wanted)
        if self.causal:
            yield Row(whole, asked)
            return
        stride = len(ids) if self.stride is None else min(self.stride, len(ids))
        residues = (np.arange(len(whole)) - len(self.front)) % max(1, stride)
        for residue in np.unique(residues[asked]).tolist() or [0]:
            yield Row(whole, asked & (residues == residue))

    def whole_row(self, ids: Places, wanted: Flags) -> Row:
        """One pass that scores the ``wanted`` ``(n,)`` of tokens ``(n,)``; a masked model has all of them masked at once."""
        whole = np.concatenate([self.front, ids, self.back])
        asked = np.zeros(len(whole), bool)
        asked[len(self.front) : len(self.front) + len(ids)] = wanted
        if self.causal:
            asked[:1] = False  # nothing is before it
        return Row(whole, asked)

    def compute(self, batch: list[Row]) -> list[Floats]:
        """float32 ``(L,)`` of each row: the log-likelihood of wanted tokens, NaN elsewhere."""
        results = [np.full(len(row.ids), np.nan, np.float32) for row in batch]
        live = [number for number, row in enumerate(batch) if row.wanted.any()]
        if not live:
            return results
        ids, mask = padded([batch[number].ids for number in live], pad=self.reader.pad, device=self._device)
        wanted = np.zeros(tuple(ids.shape), bool)
        for place, number in enumerate(live):
            wanted[place, : len(batch[number].wanted)] = batch[number].wanted
        found = self._causal(ids, mask, wanted) if self._mask is None else self._masked(ids, mask, wanted)
        check_finite(found[wanted], "log-likelihoods")
        for place, number in enumerate(live):
            results[number] = found[place, : len(results[number])]
        return results

    def _causal(self, ids: torch.Tensor, mask: torch.Tensor | None, wanted: Flags) -> Floats:
        found = np.full(wanted.shape, np.nan, np.float32)
        if self._streams is None and ids.shape[1] > PIECE:
            self._streams = state_is_constant(self.model)
        for start, hidden in hidden_pieces(self.model, ids, mask, streams=bool(self._streams)):
            end = min(start + hidden.shape[1] + 1, ids.shape[1])
            labels = ids[:, start + 1 : end]
            values = label_logprobs(self.model, hidden[:, : labels.shape[1]], labels).cpu().numpy()
            np.copyto(found[:, start + 1 : end], values, where=wanted[:, start + 1 : end])
        return found

    def _masked(self, ids: torch.Tensor, mask: torch.Tensor | None, wanted: Flags) -> Floats:
        assert self._mask is not None  # a masked model has one
        found = np.full(wanted.shape, np.nan, np.float32)
        chosen = torch.from_numpy(wanted).to(ids.device)
        hidden = next(hidden_pieces(self.model, ids.masked_fill(chosen, self._mask), mask))[1]
        found[wanted] = label_logprobs(self.model, hidden[chosen][None], ids[chosen][None])[0].cpu().numpy()
        return found


class _Task(NamedTuple):
    """One row of a window of a sequence.

    Attributes:
        record: number of the sequence.
        reverse: whether it is of the reverse strand.
        name: of the sequence.
        text: its letters on that strand.
        window: number of the window.
        tokens: the window's tokens, placed in the sequence.
        core: bool ``(n,)``, the tokens that the window answers for.
        row: what the net gets.
    """

    record: int
    reverse: bool
    name: str
    text: str
    window: int
    tokens: Tokens
    core: Flags
    row: Row


class _Done(NamedTuple):
    task: _Task
    values: Floats


def score(
    model: Net,
    tokenizer: Any,
    sequences: Iterable[Record | str],
    *,
    stride: int | None = STRIDE,
    begin: bool = False,
    strand: str = "forward",
    window: int | None = None,
    overlap: int = 0,
    batch_tokens: int = BATCH_TOKENS,
    device: str | torch.device | None = None,
) -> Iterator[Score]:
    """Yield how probable each sequence is, in their order; see the module's text for the definitions.

    The numbers do not depend on the size of batches, on what else is in them, or on the order. While the iterator is in use the
    model is in evaluation mode on ``device``; afterwards it is as it was. Sequences without letters get a score of no letters.

    Args:
        model: a causal or masked language model.
        tokenizer: the net's tokenizer.
        sequences: records, or strings, which get the names 1, 2, ...
        stride: masked models: distance of the tokens that are masked at a time; None masks one at a time.
        begin: causal models: put the tokenizer's token for the beginning in front, so that the first token is scored.
        strand: ``forward``, ``reverse`` or ``both``: the mean over strands, token by token where these are of the same letters
            on both, else base by base; what only one strand scores counts as it is.
        window: cut sequences of more letters than this into windows; without it, one that is too long for the net is an error.
        overlap: letters that neighbouring windows share. Causal models score what is new in a window, with the overlap before
            it; masked ones score a token in the window in whose middle it is.
        batch_tokens: tokens of a batch, padding included.
        device: where to run; where the model is unless given.

    Raises:
        UsageError: a model that predicts no tokens, an option that makes no sense for it, or a sequence that is too long.
        InputError: a sequence of another alphabet, or values that are not finite.
    """
    if overlap and window is None:
        raise UsageError("--overlap needs --window")
    windows = None if window is None else Windows(window, overlap)
    if windows is not None:
        windows.check()
    reader = TokenReader(tokenizer)
    strands = strands_of(strand, reader)
    if reader.protein and len(strands) > 1:
        raise UsageError("this model reads proteins, which have one strand")
    with evaluating(model, device) as place:
        scorer = TokenScorer(model, reader, device=place, begin=begin, stride=stride)

        def compute(batch: list[_Task]) -> list[_Done]:
            values = scorer.compute([task.row for task in batch])
            return [_Done(task, found) for task, found in zip(batch, values, strict=True)]

        tasks = _tasks(scorer, as_records(sequences), windows, strands)
        done = in_batches(tasks, compute, size=lambda task: len(task.row.ids), batch_tokens=batch_tokens)
        one: Score | None = None
        for (_, reverse), group in groupby(done, key=lambda found: (found.task.record, found.task.reverse)):
            found = _scored(group, scorer)
            if reverse:
                found = _turned(found)
            if len(strands) == 2 and not reverse:
                one = found
                continue
            yield found if one is None else _mean(one, found)


def _tasks(scorer: TokenScorer, records: Iterable[Record], windows: Windows | None, strands: tuple[bool, ...]) -> Iterator[_Task]:
    """All passes over all sequences on all strands, in order."""
    reader = scorer.reader
    nothing = np.zeros(0, np.int64)
    for number, record in enumerate(records):
        if not record.sequence:
            empty = Row(np.concatenate([scorer.front, scorer.back]), np.zeros(len(scorer.front) + len(scorer.back), bool))
            for reverse in strands:
                yield _Task(number, reverse, record.name, "", 0, Tokens(nothing, nothing, nothing), np.zeros(0, bool), empty)
            continue
        forward = reader.check(record, number + 1)
        for reverse in strands:
            text = reverse_complement(forward.encode()).decode() if reverse else forward
            yield from _tasks_of(scorer, number, reverse, record.name, text, windows)


def _tasks_of(scorer: TokenScorer, number: int, reverse: bool, name: str, text: str, windows: Windows | None) -> Iterator[_Task]:
    """All passes over one sequence."""
    reader = scorer.reader
    whole = Window(0, len(text), 0, len(text))
    cut = [whole] if windows is None else windows.of_tokens(len(text), reader, causal=scorer.causal)
    for place, window in enumerate(cut):
        part = text[window.start : window.end]
        tokens = reader.read(part, name=name)
        special = len(scorer.front) + len(scorer.back)
        check_length(len(tokens), reader, scorer.limit, name, special=special, window=windows and windows.size)
        clear = reader.clear_tokens(part, tokens)
        placed = Tokens(tokens.ids, tokens.starts + window.start, tokens.ends + window.start)
        core = (placed.starts >= window.core_start) & (placed.starts < window.core_end)
        for row in scorer.rows(tokens.ids, core & clear):
            yield _Task(number, reverse, name, text, place, placed, core, row)


def _scored(group: Iterator[_Done], scorer: TokenScorer) -> Score:
    """The score of a sequence, of what its rows gave."""
    front = len(scorer.front)
    values: list[Floats] = []
    starts: list[Places] = []
    ends: list[Places] = []
    first: _Task | None = None
    for _, rows in groupby(group, key=lambda done: done.task.window):
        found: Floats | None = None
        for task, given in rows:
            first = first or task
            part = given[front : front + len(task.tokens)]
            found = part.copy() if found is None else np.where(np.isnan(found), part, found)
            last = task
        assert found is not None  # a window has at least one row
        values.append(found[last.core])
        starts.append(last.tokens.starts[last.core])
        ends.append(last.tokens.ends[last.core])
    assert first is not None  # a group has at least one row
    return _summed(first.name, first.text, np.concatenate(values), np.concatenate(starts), np.concatenate(ends), scorer.reader)


def _summed(name: str, text: str, values: Floats, starts: Places, ends: Places, reader: TokenReader) -> Score:
    known = ~np.isnan(values)
    unclear = ~reader.clear_tokens(text, Tokens(starts, starts, ends))
    sizes = ends - _own(starts, ends)
    scored, ambiguous = int(sizes[known].sum()), int(sizes[unclear & ~known].sum())
    total = float(np.sum(values[known], dtype=np.float64)) if known.any() else math.nan
    return Score(
        name, len(text), scored, ambiguous, len(text) - scored - ambiguous, int(known.sum()), total, values, starts, ends
    )  # fmt: skip


def _turned(score: Score) -> Score:
    """A score of the reverse strand, its tokens in the order and coordinates of the forward one."""
    starts, ends = score.length - score.ends[::-1], score.length - score.starts[::-1]
    return score._replace(values=score.values[::-1].copy(), starts=starts, ends=ends)


def _mean(one: Score, other: Score) -> Score:
    """The mean of both strands, of what both score; what one of them scores as it is."""
    same = np.array_equal(one.starts, other.starts) and np.array_equal(one.ends, other.ends)
    bases = np.arange(one.length)
    starts, ends = (one.starts, one.ends) if same else (bases, bases + 1)
    pair = np.stack([one.values, other.values] if same else [per_base(one), per_base(other)])
    scorers = (~np.isnan(pair)).sum(axis=0)
    known = scorers > 0
    values = np.where(known, np.nansum(pair, axis=0) / np.maximum(scorers, 1), np.nan).astype(np.float32)
    scored = int((ends - _own(starts, ends))[known].sum())
    ambiguous = min(one.ambiguous, other.ambiguous, one.length - scored)
    tokens = int(known.sum()) if same else round((one.tokens + other.tokens) / 2)
    total = float(np.sum(values[known], dtype=np.float64)) if known.any() else math.nan
    return Score(
        one.name, one.length, scored, ambiguous, one.length - scored - ambiguous, tokens, total, values, starts, ends
    )  # fmt: skip


def _own(starts: Places, ends: Places) -> Places:
    """First letter of each token that the tokens before it do not have; its end where they have all."""
    if (starts[1:] >= ends[:-1]).all() or (ends[1:] <= starts[:-1]).all():  # side by side, as read on either strand
        return starts
    own = starts.copy()
    own[1:] = np.maximum(own[1:], np.maximum.accumulate(ends)[:-1])
    return np.minimum(own, ends)


def per_base(score: Score) -> Floats:
    """float32 ``(length,)``: log-likelihood of each letter in nats, NaN where it is not scored; they add up to the sequence's.

    The value of a token is shared equally by its letters; where tokens overlap, by those that no token before has.

    >>> places = np.array([0, 2])
    >>> one = Score("r", 5, 4, 0, 1, 2, -4.0, np.array([-1, -3], np.float32), places, places + 2)
    >>> per_base(one).tolist()
    [-0.5, -0.5, -1.5, -1.5, nan]
    """
    found = np.full(score.length, np.nan, np.float32)
    own = np.minimum(_own(score.starts, score.ends), score.ends - 1)  # windows can give a token that has none: its last
    sizes = score.ends - own
    places = np.repeat(own, sizes) + np.arange(int(sizes.sum())) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    shares = np.repeat(score.values / np.maximum(sizes, 1), sizes)
    known = ~np.isnan(shares)
    found[places[known]] = 0
    np.add.at(found, places[known], shares[known])
    return found
