"""Rows of ids cut to length, put side by side and padded: what Hugging Face does with lists, done with arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from genoseq.errors import UsageError

__all__ = ["Column", "Piece", "Row", "Side", "cut", "join", "pad_columns", "samples_of", "stack", "to_lists", "to_tensors"]

Side = Literal["left", "right"]


@dataclass(frozen=True, slots=True)
class Piece:
    """The tokens of one text, without special tokens around it.

    Attributes:
        ids: int64 ``(T,)``.
        spans: int64 ``(T, 2)``, what each token covers of the text, 0-based half-open; None where nobody asked.
    """

    ids: NDArray[np.int64]
    spans: NDArray[np.int64] | None = None

    def __len__(self) -> int:
        return len(self.ids)

    def part(self, start: int, end: int) -> Piece:
        """Tokens ``start`` to ``end``."""
        return Piece(self.ids[start:end], None if self.spans is None else self.spans[start:end])


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a batch: a text or a pair of texts with special tokens.

    Attributes:
        ids: int64 ``(L,)``.
        special: int64 ``(L,)``, 1 at special tokens that were added.
        types: int64 ``(L,)``, 1 at the second text of a pair and the special tokens after it.
        spans: int64 ``(L, 2)`` or None; ``(0, 0)`` at special tokens that were added.
    """

    ids: NDArray[np.int64]
    special: NDArray[np.int64]
    types: NDArray[np.int64]
    spans: NDArray[np.int64] | None


@dataclass(frozen=True, slots=True)
class Column:
    """One entry of a batch: its rows ``(L, ...)`` and what stands where a row is padded."""

    rows: Sequence[NDArray[Any]]
    padding: int


def samples_of(text: Any, pair: Any, *, words: bool) -> tuple[bool, list[tuple[Any, Any]]]:
    """Whether a batch was given, and its samples, each a text (or ids) and its partner or None.

    Args:
        text: a text, ids, or a list of samples; a sample is a text, ids, or two of either.
        pair: second texts, as many as there are texts; or None.
        words: the texts are lists of words, which are put end to end.

    Raises:
        UsageError: texts and partners do not fit together.
        TypeError: no texts.
    """
    if isinstance(text, (str, bytes, bytearray, memoryview)):
        return False, [(text, pair)]
    if not isinstance(text, (list, tuple)):
        raise TypeError(f"texts are {type(text).__name__}; expected str, bytes, or a list of them")
    if words and not (text and isinstance(text[0], (list, tuple))):
        return False, [(_end_to_end(text), _end_to_end(pair))]
    if text and isinstance(text[0], (int, np.integer)):
        return False, [(text, pair)]
    if pair is not None:
        if not isinstance(pair, (list, tuple)) or len(pair) != len(text):
            raise UsageError(f"{len(text)} texts need as many in text_pair")
        samples = list(zip(text, pair, strict=True))
    else:
        samples = [(sample, None) for sample in text] if words else [_pair_of(sample) for sample in text]
    return True, [(_end_to_end(one), _end_to_end(other)) for one, other in samples] if words else samples


def _pair_of(sample: Any) -> tuple[Any, Any]:
    if isinstance(sample, (list, tuple)) and sample and not isinstance(sample[0], (int, np.integer)):
        if len(sample) > 2:
            raise UsageError(f"a sample holds {len(sample)} texts; expected one, or a pair")
        return sample[0], sample[1] if len(sample) == 2 else None
    return sample, None


def _end_to_end(words: Any) -> Any:
    return "".join(words) if isinstance(words, (list, tuple)) else words


def cut(
    first: Piece, second: Piece | None, remove: int, *, strategy: str, side: Side, stride: int = 0
) -> tuple[Piece, Piece | None, NDArray[np.int64]]:
    """Take ``remove`` tokens away; gives the pieces and the tokens cut off, with ``stride`` of those kept beside them.

    Args:
        strategy: ``only_first``, ``only_second``, or ``longest_first``, which evens the two out before it takes from both.
        side: from which end tokens are taken.

    Raises:
        UsageError: the text chosen has too few tokens.
    """
    nothing = np.zeros(0, np.int64)
    if remove <= 0:
        return first, second, nothing
    if second is not None and strategy == "longest_first":
        keep = len(first) + len(second) - remove
        if keep < 0:
            raise _too_short(len(first) + len(second), remove)
        # the shorter text stays whole as long as the other is longer; then both shrink, an odd token stays with the first
        one = min(len(first), max(keep - keep // 2, keep - len(second)))
        sizes = (one, keep - one)
        return _kept(first, sizes[0], side), _kept(second, sizes[1], side), nothing
    chosen = second if strategy == "only_second" else first
    if chosen is None:
        raise UsageError("truncation='only_second' needs a second text (text_pair)")
    if remove > len(chosen):
        raise _too_short(len(chosen), remove)
    window = min(len(chosen), remove + stride)
    overflow = chosen.ids[len(chosen) - window :] if side == "right" else chosen.ids[:window]
    kept = _kept(chosen, len(chosen) - remove, side)
    return (first, kept, overflow) if strategy == "only_second" else (kept, second, overflow)


def _kept(piece: Piece, size: int, side: Side) -> Piece:
    """The ``size`` tokens that stay when the others are taken from ``side``."""
    return piece.part(0, size) if side == "right" else piece.part(len(piece) - size, len(piece))


def _too_short(have: int, remove: int) -> UsageError:
    return UsageError(f"cannot take {remove} tokens from a text of {have}; give a larger max_length")


def join(first: Piece, second: Piece | None, *, before: NDArray[np.int64], after: NDArray[np.int64]) -> Row:
    """``before first after``, or ``before first after second after``."""
    ids: list[NDArray[np.int64]] = [before]
    special = [np.ones(len(before), np.int64)]
    types = [np.zeros(len(before), np.int64)]
    spans = [np.zeros((len(before), 2), np.int64)]
    for number, part in enumerate([first] if second is None else [first, second]):
        ids += [part.ids, after]
        special += [np.zeros(len(part), np.int64), np.ones(len(after), np.int64)]
        types.append(np.full(len(part) + len(after), number, np.int64))
        if part.spans is not None:
            spans += [part.spans, np.zeros((len(after), 2), np.int64)]
    covered = None if first.spans is None else np.concatenate(spans)
    return Row(np.concatenate(ids), np.concatenate(special), np.concatenate(types), covered)


def stack(rows: Sequence[NDArray[Any]], length: int, *, side: Side, value: int) -> NDArray[Any]:
    """One array ``(B, length, ...)`` of rows ``(L, ...)``, ``value`` beside those that are shorter.

    >>> stack([np.array([1, 2]), np.array([3])], 2, side="left", value=0).tolist()
    [[1, 2], [0, 3]]
    """
    if not rows:
        return np.zeros((0, length), np.int64)
    if len(rows) == 1 and len(rows[0]) == length:
        return rows[0][None]
    out = np.full((len(rows), length, *rows[0].shape[1:]), value, rows[0].dtype)
    for line, row in zip(out, rows, strict=True):
        if side == "right":
            line[: len(row)] = row
        else:
            line[length - len(row) :] = row
    return out


def pad_columns(
    columns: Mapping[str, Column], strategy: str, *, max_length: int | None, multiple: int | None, side: Side
) -> dict[str, Any]:
    """Each column as one array ``(B, L, ...)``; as a list of rows where these are of different lengths.

    Args:
        strategy: ``do_not_pad``, ``longest``, or ``max_length``, which leaves rows longer than that as they are.
        multiple: pad further, to a multiple of this.
    """
    lengths = [len(row) for row in next(iter(columns.values())).rows]
    length = max(lengths, default=0)
    if strategy == "max_length" and max_length is not None:
        length = max_length
    if strategy != "do_not_pad" and multiple:
        length = -(-length // multiple) * multiple
    padded: dict[str, Any] = {}
    for name, column in columns.items():
        if strategy == "do_not_pad" and len(set(lengths)) > 1:
            padded[name] = list(column.rows)
        elif any(size > length for size in lengths):
            padded[name] = [stack([row], max(length, len(row)), side=side, value=column.padding)[0] for row in column.rows]
        else:
            padded[name] = stack(column.rows, length, side=side, value=column.padding)
    return padded


def to_lists(values: Any) -> Any:
    """An array or a list of rows as nested lists, spans as tuples."""
    if not isinstance(values, np.ndarray):
        return [to_lists(row[None])[0] if isinstance(row, np.ndarray) else row for row in values]
    if values.ndim < 3:
        return values.tolist()
    return [[tuple(span) for span in row] for row in values.tolist()]


def to_tensors(content: Mapping[str, Any], kind: Any) -> dict[str, Any]:
    """Arrays as they are (``np``) or as tensors that share their memory (``pt``).

    Raises:
        UsageError: rows of different lengths, or another kind.
    """
    name = getattr(kind, "value", kind)
    for values in content.values():
        if isinstance(values, list):
            lengths = sorted(len(row) for row in values)
            raise UsageError(
                f"sequences of {lengths[0]} to {lengths[-1]} tokens do not make one array; pass padding=True, "
                "and truncation=True with max_length if some are longer than that"
            )
    if name == "np":
        return dict(content)
    if name == "pt":
        import torch

        return {key: torch.from_numpy(np.ascontiguousarray(values)) for key, values in content.items()}
    raise UsageError(f"return_tensors={name!r}; expected 'pt' or 'np'")
