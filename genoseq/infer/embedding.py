"""Embeddings: one vector per sequence or one per token, from any layer of a net."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from genoseq.errors import UsageError
from genoseq.infer.batches import BATCH_TOKENS, in_batches
from genoseq.infer.running import PIECE, backbone_of, check_finite, evaluating, hidden_pieces, padded, state_is_constant
from genoseq.infer.tokens import TokenReader, as_records, strands_of
from genoseq.infer.windows import Window, Windows, check_length
from genoseq.nets.base import Net
from genoseq.seqs.alphabet import reverse_complement
from genoseq.seqs.record import Record

__all__ = ["POOLINGS", "Embedded", "Embeddings", "Pooling", "embed", "iter_embeddings"]

Pooling = Literal["mean", "last", "cls", "none"]
POOLINGS: tuple[str, ...] = get_args(Pooling)

Floats = NDArray[np.float32]
Places = NDArray[np.int64]


class Embedded(NamedTuple):
    """The embedding of one sequence.

    Attributes:
        name: the sequence's name.
        length: its letters.
        values: float32, ``(D,)``; without pooling ``(tokens, D)``.
        starts, ends: without pooling, int64 ``(tokens,)``: the letters that each token stands for, 0-based half-open; a special
            token stands for none. None with pooling.
    """

    name: str
    length: int
    values: Floats
    starts: Places | None = None
    ends: Places | None = None


class Embeddings(NamedTuple):
    """The embeddings of many sequences.

    Attributes:
        names: names of the sequences, in their order.
        lengths: int64 ``(n,)``, letters.
        values: float32 ``(n, D)``; without pooling a list of ``(tokens, D)``.
        spans: without pooling, a list of int64 ``(tokens, 2)``: the letters that each token stands for; None with pooling.
    """

    names: list[str]
    lengths: Places
    values: Floats | list[Floats]
    spans: list[Places] | None = None


def embed(
    model: Net,
    tokenizer: Any,
    sequences: Iterable[Record | str],
    *,
    pool: str = "mean",
    layer: int | None = None,
    special: bool = False,
    strand: str = "forward",
    window: int | None = None,
    overlap: int = 0,
    batch_tokens: int = BATCH_TOKENS,
    device: str | torch.device | None = None,
) -> Embeddings:
    """Embeddings of all sequences at once; see `iter_embeddings`, which gives one after another, for the arguments.

    >>> import genoseq
    >>> model, tokenizer = genoseq.load("hyenadna-small-32k")  # doctest: +SKIP
    >>> embed(model, tokenizer, ["ACGTACGT", "GGATCC"]).values.shape  # doctest: +SKIP
    (2, 256)
    """
    found = list(
        iter_embeddings(
            model, tokenizer, sequences, pool=pool, layer=layer, special=special, strand=strand,
            window=window, overlap=overlap, batch_tokens=batch_tokens, device=device,
        )
    )  # fmt: skip
    names = [one.name for one in found]
    lengths = np.array([one.length for one in found], np.int64)
    if pool == "none":
        spans = [np.stack([one.starts, one.ends], 1) for one in found if one.starts is not None and one.ends is not None]
        return Embeddings(names, lengths, [one.values for one in found], spans)
    width = found[0].values.shape[0] if found else 0
    return Embeddings(names, lengths, np.array([one.values for one in found], np.float32).reshape(len(found), width))


def iter_embeddings(
    model: Net,
    tokenizer: Any,
    sequences: Iterable[Record | str],
    *,
    pool: str = "mean",
    layer: int | None = None,
    special: bool = False,
    strand: str = "forward",
    window: int | None = None,
    overlap: int = 0,
    batch_tokens: int = BATCH_TOKENS,
    device: str | torch.device | None = None,
) -> Iterator[Embedded]:
    """Yield the embedding of each sequence, in their order.

    The numbers do not depend on the size of batches, on what else is in them, or on the order. While the iterator is in use the
    model is in evaluation mode on ``device``; afterwards it is as it was. A sequence without letters gets NaN, or no tokens.

    Args:
        model: a net; its head, if it has one, is not used.
        tokenizer: the net's tokenizer.
        sequences: records, or strings, which get the names 1, 2, ...
        pool: ``mean`` over tokens, the ``last`` token, the special token in front (``cls``), or ``none``: every token.
        layer: which of the net's hidden states: 0 embeddings, then one per block, negative from the end; None is the net's
            output after its final norm.
        special: special tokens count in the mean, can be the last token, and are among all tokens.
        strand: ``forward``, ``reverse`` or ``both``: the mean over strands (post-hoc conjoining). Tokens of the reverse strand
            come in the order of the forward one; channels of nets that share parameters between strands change sides.
        window: cut sequences of more letters than this into windows; without it, one that is too long for the net is an error.
        overlap: letters that neighbouring windows share. The embedding of a token is taken from the window in whose
            middle it is; ``cls`` is the mean over windows.
        batch_tokens: tokens of a batch, padding included.
        device: where to run; where the model is unless given.

    Raises:
        UsageError: an option that makes no sense for this net, or a sequence that is too long.
        InputError: a sequence of another alphabet, or values that are not finite.
    """
    if pool not in POOLINGS:
        raise UsageError(f"unknown pooling {pool!r}: known are {', '.join(POOLINGS)}")
    reader = TokenReader(tokenizer)
    if pool == "cls":
        if not len(reader.front):
            raise UsageError(
                f"{type(tokenizer).__name__} puts no special token in front of a sequence, so there is none to take: "
                "use --pool mean or last"
            )
        if model.config.causal:
            raise UsageError("the first token of a causal net has seen nothing of the sequence: use --pool mean or last")
    if overlap and window is None:
        raise UsageError("--overlap needs --window")
    windows = None if window is None else Windows(window, overlap)
    if windows is not None:
        windows.check()
    strands = strands_of(strand, reader)
    if reader.protein and len(strands) > 1:
        raise UsageError("this model reads proteins, which have one strand")
    with evaluating(model, device) as place:
        run = _Embedder(model, reader, pool=pool, layer=layer, device=place)
        empty: deque[tuple[int, str]] = deque()
        pieces = _pieces(model, reader, sequences, windows, special=special, strands=strands, empty=empty)
        parts = in_batches(pieces, run.compute, size=lambda piece: len(piece.row), batch_tokens=batch_tokens)
        one: Embedded | None = None
        width = backbone_of(model).config.hidden_size
        for (number, reverse), group in groupby(parts, key=lambda part: (part.piece.record, part.piece.reverse)):
            found = _joined(list(group), pool)
            if reverse:
                found = _turned(found, flips=model.config.shares_strands)
            if len(strands) == 2 and not reverse:
                one = found
                continue
            width = found.values.shape[-1]
            while empty and empty[0][0] < number:
                yield _nothing(empty.popleft()[1], width, pool)
            yield found if one is None else _mean(one, found)
        for _, name in empty:
            yield _nothing(name, width, pool)


class _Piece(NamedTuple):
    """A window of a sequence as the net gets it.

    Attributes:
        record: number of the sequence.
        reverse: whether it is of the reverse strand.
        name, length: of the sequence.
        row: int64 ``(L,)``, ids with special tokens.
        counts: bool ``(L,)``, the tokens that are asked for.
        starts, ends: int64 ``(L,)``, letters of each token in the sequence; none at special tokens.
    """

    record: int
    reverse: bool
    name: str
    length: int
    row: Places
    counts: NDArray[np.bool_]
    starts: Places
    ends: Places


class _Part(NamedTuple):
    """What the net gave for a piece: pooled ``(D,)`` or per token ``(tokens, D)``."""

    piece: _Piece
    values: Floats


def _pieces(
    model: Net,
    reader: TokenReader,
    sequences: Iterable[Record | str],
    windows: Windows | None,
    *,
    special: bool,
    strands: tuple[bool, ...],
    empty: deque[tuple[int, str]],
) -> Iterator[_Piece]:
    """The windows of all sequences on all strands, in order; number and name of those without letters go into ``empty``."""
    limit = backbone_of(model).config.token_limit
    # Behind a sequence, no token of a causal net sees a special one: it is left out unless it is asked for, as in likelihoods.
    behind = reader.back[:0] if model.config.causal and not special else reader.back
    front, back = len(reader.front), len(behind)

    def checked() -> Iterator[tuple[int, Record, str]]:
        for number, record in enumerate(as_records(sequences)):
            if record.sequence:
                yield number, record, reader.check(record, number + 1)
            else:
                empty.append((number, record.name))

    for (number, record, forward), reverse in ((found, reverse) for found in checked() for reverse in strands):
        text = reverse_complement(forward.encode()).decode() if reverse else forward
        whole = Window(0, len(text), 0, len(text))
        cut = [whole] if windows is None else windows.of_tokens(len(text), reader, causal=False)
        for place, window in enumerate(cut):
            tokens = reader.read(text[window.start : window.end], name=record.name)
            check_length(len(tokens), reader, limit, record.name, special=front + back, window=windows and windows.size)
            first, last = place == 0, place == len(cut) - 1
            starts = tokens.starts + window.start
            yield _Piece(
                number,
                reverse,
                record.name,
                len(text),
                np.concatenate([reader.front, tokens.ids, behind]),
                np.concatenate(
                    [
                        np.full(front, special and first),
                        (starts >= window.core_start) & (starts < window.core_end),
                        np.full(back, special and last),
                    ]
                ),
                np.concatenate([np.zeros(front, np.int64), starts, np.full(back, len(text))]),
                np.concatenate([np.zeros(front, np.int64), tokens.ends + window.start, np.full(back, len(text))]),
            )


class _Embedder:
    """Computes batches of pieces."""

    def __init__(self, model: Net, reader: TokenReader, *, pool: str, layer: int | None, device: torch.device) -> None:
        self.model, self.reader, self.pool, self.layer, self.device = model, reader, pool, layer, device
        self._streams: bool | None = None

    def compute(self, batch: list[_Piece]) -> list[_Part]:
        """The embedding of each piece."""
        if self._streams is None and any(len(piece.row) > PIECE for piece in batch):
            self._streams = state_is_constant(self.model)
        ids, mask = padded([piece.row for piece in batch], pad=self.reader.pad, device=self.device)
        states = hidden_pieces(self.model, ids, mask, layer=self.layer, streams=bool(self._streams))
        found = self._every(batch, states) if self.pool == "none" else self._pooled(batch, states)
        for values in found:
            check_finite(values, "embeddings")
        return [_Part(piece, values) for piece, values in zip(batch, found, strict=True)]

    def _every(self, batch: list[_Piece], states: Iterator[tuple[int, Tensor]]) -> list[Floats]:
        """The tokens that count, of each piece."""
        found: list[Floats] = []
        filled = [0] * len(batch)
        for start, hidden in states:
            if not found:
                found = [np.empty((int(piece.counts.sum()), hidden.shape[2]), np.float32) for piece in batch]
            for number, piece in enumerate(batch):
                counts = piece.counts[start : start + hidden.shape[1]]
                values = hidden[number, : len(counts)].float().cpu().numpy()[counts]
                found[number][filled[number] : filled[number] + len(values)] = values
                filled[number] += len(values)
        return found

    def _pooled(self, batch: list[_Piece], states: Iterator[tuple[int, Tensor]]) -> list[Floats]:
        """One vector for each piece: a weighted sum of its tokens."""
        longest = max(len(piece.row) for piece in batch)
        weights = np.zeros((len(batch), longest), np.float32)
        for number, piece in enumerate(batch):
            if self.pool == "cls":
                weights[number, 0] = 1
                continue
            at = np.flatnonzero(piece.counts)
            if self.pool == "last":
                weights[number, at[-1:]] = 1
            else:
                weights[number, at] = 1 / max(1, len(at))
        given = torch.from_numpy(weights).to(self.device)
        total: Tensor | float = 0.0
        for start, hidden in states:
            # A matrix product: a masked copy of a long sequence would be as large as the sequence.
            total = total + torch.einsum("bl,bld->bd", given[:, start : start + hidden.shape[1]], hidden.float())
        assert isinstance(total, Tensor)  # there is at least one piece
        return list(total.cpu().numpy())


def _nothing(name: str, width: int, pool: str) -> Embedded:
    """The embedding of a sequence without letters: NaN, or no tokens."""
    if pool != "none":
        return Embedded(name, 0, np.full(width, np.nan, np.float32))
    nowhere = np.zeros(0, np.int64)
    return Embedded(name, 0, np.zeros((0, width), np.float32), nowhere, nowhere)


def _joined(parts: list[_Part], pool: str) -> Embedded:
    """The embedding of a sequence, of what its windows gave."""
    first = parts[0].piece
    if pool == "none":
        starts = np.concatenate([part.piece.starts[part.piece.counts] for part in parts])
        ends = np.concatenate([part.piece.ends[part.piece.counts] for part in parts])
        values = parts[0].values if len(parts) == 1 else np.concatenate([part.values for part in parts])
        return Embedded(first.name, first.length, values, starts, ends)
    if len(parts) == 1:
        return Embedded(first.name, first.length, parts[0].values)
    if pool == "last":
        return Embedded(first.name, first.length, parts[-1].values)
    weights = np.array([part.piece.counts.sum() if pool == "mean" else 1.0 for part in parts])
    mean = np.average(np.stack([part.values for part in parts]).astype(np.float64), axis=0, weights=weights)
    return Embedded(first.name, first.length, mean.astype(np.float32))


def _turned(found: Embedded, *, flips: bool) -> Embedded:
    """An embedding of the reverse strand, its tokens in the order and coordinates of the forward one; special tokens stay."""
    values = found.values[..., ::-1] if flips else found.values
    if found.starts is None or found.ends is None:
        return found._replace(values=np.ascontiguousarray(values))
    own = np.flatnonzero(found.starts < found.ends)
    values, starts, ends = values.copy(), found.starts.copy(), found.ends.copy()
    values[own] = values[own[::-1]]
    starts[own], ends[own] = found.length - found.ends[own[::-1]], found.length - found.starts[own[::-1]]
    return found._replace(values=values, starts=starts, ends=ends)


def _mean(one: Embedded, other: Embedded) -> Embedded:
    """The mean of both strands.

    Raises:
        UsageError: their tokens are not of the same letters.
    """
    places = [
        np.stack([found.starts, found.ends]) for found in (one, other) if found.starts is not None and found.ends is not None
    ]
    if len(places) == 2 and not np.array_equal(places[0], places[1]):
        raise UsageError(
            f"the tokens of {one.name!r} are of other letters on the other strand, so that they have no mean: "
            "use --pool mean, or one strand"
        )
    mean: Floats = (one.values + other.values) / np.float32(2)
    return one._replace(values=mean)
