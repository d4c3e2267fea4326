"""Dynamic merge as a tokenizer: where a learned net puts the boundaries between tokens, shown and written.

H-Net decides at each position whether a chunk begins there (a routing probability above one half; Hwang et al. 2025). MergeDNA
merges neighbouring tokens and keeps a source map of which position went into which merged token (Li et al. 2025). Either is
learned with its net. Given such a net as a plain function, a :class:`Segmenter` cuts sequences into tokens, and a
:class:`Segmentation` says where they lie: as intervals, as text, or as BED. Nothing here imports torch;
``genoseq.infer.segmenter`` makes the function of a net that was loaded:

    model, tokenizer = genoseq.load("folder")
    print(genoseq.infer.segmenter(model, tokenizer).segment("ACGTACGT").render())

Coordinates are 0-based half-open, in BED files too.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genoseq.errors import Pathlike, UsageError
from genoseq.outputs import whole_file
from genoseq.tokenizers.base import SequenceEncoder
from genoseq.tokenizers.letters import AnySequence, letters_of

__all__ = ["Net", "Segmentation", "Segmenter", "from_source_map", "write_bed"]

Net = Callable[[NDArray[np.int64]], Any]
"""Ids ``(T,)`` to where tokens begin ``(T,)``: booleans; or probabilities; or both, as a pair; or a source map (integers)."""

_NAMED = 24  # a token's letters are its name in BED up to this many


@dataclass(frozen=True, eq=False)
class Segmentation:
    """A sequence cut into tokens.

    Attributes:
        length: bases of the sequence.
        starts: int64 ``(tokens,)``, first base of each token, ascending, the first 0; empty for an empty sequence.
        probabilities: float32 ``(tokens,)``, the net's probability that a token begins there; None if it gave none.
        letters: the sequence, for showing; None if it is not kept.
    """

    length: int
    starts: NDArray[np.int64]
    probabilities: NDArray[np.float32] | None = None
    letters: str | None = None

    def __post_init__(self) -> None:
        """Refuse what is no segmentation.

        Raises:
            ValueError: starts that do not begin with 0, do not ascend or lie beyond the sequence; parts of different lengths.
        """
        starts = self.starts
        fine = (
            starts.ndim == 1
            and len(starts) > 0
            and starts[0] == 0
            and bool((np.diff(starts) > 0).all())
            and starts[-1] < self.length
        )
        if not (fine or (self.length == 0 and starts.shape == (0,))):
            raise ValueError(f"token starts {starts} are no segmentation of {self.length} bases")
        if self.probabilities is not None and self.probabilities.shape != starts.shape:
            raise ValueError(f"{len(starts)} tokens have probabilities {self.probabilities.shape}")
        if self.letters is not None and len(self.letters) != self.length:
            raise ValueError(f"the sequence has {len(self.letters)} letters, the segmentation {self.length} bases")

    def __len__(self) -> int:
        """Number of tokens."""
        return len(self.starts)

    @property
    def ends(self) -> NDArray[np.int64]:
        """End of each token, int64 ``(tokens,)``."""
        return np.append(self.starts[1:], self.length)[: len(self)]

    @property
    def intervals(self) -> NDArray[np.int64]:
        """Start and end of each token, int64 ``(tokens, 2)``."""
        return np.stack([self.starts, self.ends], axis=1)

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Bases of each token, int64 ``(tokens,)``."""
        return self.ends - self.starts

    def token_of(self, positions: NDArray[np.integer[Any]] | int) -> Any:
        """The token that holds each base.

        Raises:
            ValueError: a position outside the sequence.
        """
        places = np.asarray(positions)
        if places.size and (places.min() < 0 or places.max() >= self.length):
            raise ValueError(f"positions run from {places.min()} to {places.max()}; the sequence has {self.length} bases")
        return np.searchsorted(self.starts, places, side="right") - 1

    def tokens(self, sequence: AnySequence | None = None) -> list[str]:
        """The letters of each token, of ``sequence`` or the one kept.

        Raises:
            UsageError: no sequence is kept, or one of another length is given.
        """
        letters = self.letters if sequence is None else letters_of(sequence).decode("ascii")
        if letters is None or len(letters) != self.length:
            have = "none is kept" if letters is None else f"it has {len(letters)} letters, the segmentation {self.length}"
            raise UsageError(f"tokens need the sequence that was cut: {have}")
        return [letters[start:end] for start, end in self.intervals.tolist()]

    def summary(self) -> str:
        """One line: how many tokens, and how long.

        >>> Segmentation(8, np.array([0, 3, 4])).summary()
        '3 tokens of 8 bases: mean 2.67, median 3, shortest 1, longest 4'
        """
        if not len(self):
            return "0 tokens of 0 bases"
        sizes = self.lengths
        return (
            f"{len(self):,} tokens of {self.length:,} bases: mean {sizes.mean():.2f}, median {np.median(sizes):g}, "
            f"shortest {sizes.min()}, longest {sizes.max():,}"
        )

    def render(self, *, width: int = 60, start: int = 0, end: int | None = None) -> str:
        """The sequence with a bar at each boundary, ``width`` bases a line, each line after the position of its first base.

        Args:
            width: bases in a line.
            start: first base shown.
            end: end of what is shown; None for all.

        Raises:
            UsageError: no sequence is kept, or the range lies outside it.

        >>> print(Segmentation(10, np.array([0, 3, 5]), letters="ACGTTGACCA").render(width=6))
        0  |ACG|TT|G
        6  ACCA
        """
        end = self.length if end is None else end
        if width < 1 or not 0 <= start <= end <= self.length:
            raise UsageError(f"cannot show {start} to {end} of {self.length} bases in lines of {width}")
        if self.letters is None:
            raise UsageError("the sequence that was cut is not kept; give its letters to the Segmentation")
        digits = len(f"{max(range(start, end, width), default=0):,}")
        lines = []
        for first in range(start, end, width):
            last = min(first + width, end)
            bars = self.starts[np.searchsorted(self.starts, first) : np.searchsorted(self.starts, last)].tolist()
            edges = [first, *(bar for bar in bars if bar > first), last]
            parts = [self.letters[one:other] for one, other in itertools.pairwise(edges)]
            lines.append(f"{first:>{digits},}  {'|' if bars and bars[0] == first else ''}{'|'.join(parts)}")
        return "\n".join(lines)

    def bed_lines(self, name: str, *, offset: int = 0) -> Iterator[str]:
        """BED lines with six fields: contig, start, end, name, score and strand.

        The name of a token is its letters if these are kept and few, else its length; the score is 1000 times the
        probability that it begins there, 0 where the net gave none; the strand is ``.``.

        Args:
            name: the contig.
            offset: place of the sequence in the contig.
        """
        scores = np.zeros(len(self)) if self.probabilities is None else np.clip(self.probabilities, 0, 1) * 1000
        for (start, end), score in zip(self.intervals.tolist(), np.rint(scores).astype(int).tolist(), strict=True):
            letters = self.letters[start:end] if self.letters is not None and end - start <= _NAMED else f"{end - start}bp"
            yield f"{name}\t{offset + start}\t{offset + end}\t{letters}\t{score}\t."


def from_source_map(source: NDArray[Any], *, letters: str | None = None) -> Segmentation:
    """The segmentation behind MergeDNA's source map.

    Args:
        source: ``(bases,)`` integers, the merged token of each base; or ``(tokens, bases)``, 1 (or True) where a base went into a
            token, exactly once in each column.
        letters: the sequence, to be kept.

    Raises:
        ValueError: the map is neither, or a token's bases do not lie side by side.

    >>> from_source_map(np.array([0, 0, 1, 1, 1, 2])).intervals.tolist()
    [[0, 2], [2, 5], [5, 6]]
    """
    source = np.asarray(source)
    if source.ndim == 2:
        if not bool(((source != 0).sum(axis=0) == 1).all()):
            raise ValueError("a column of the source map does not hold exactly one token")
        source = (source != 0).argmax(axis=0)
    if source.ndim != 1 or source.dtype.kind not in "iu":
        raise ValueError(f"source map is {source.dtype} {source.shape}; expected integers (bases,) or (tokens, bases)")
    starts = np.flatnonzero(np.diff(source, prepend=source[:1] - 1)) if len(source) else np.zeros(0, np.int64)
    if len(np.unique(source)) != len(starts):
        raise ValueError("the bases of a token do not lie side by side in the source map")
    return Segmentation(len(source), starts.astype(np.int64), letters=letters)


@dataclass(frozen=True)
class Segmenter:
    """A net that decides where tokens begin, with the tokenizer that makes its input.

    Attributes:
        net: ids int64 ``(T,)`` to booleans, probabilities or a source map ``(T,)``, or to a pair of booleans and probabilities.
            A token begins where the boolean is True, or the probability is above ``threshold``; the first always begins one.
        tokenizer: makes the ids; its tokens may hold several bases each.
        add_special_tokens: give the net special tokens too; what it says of them is left out.
        threshold: above which a probability is a boundary.
    """

    net: Net
    tokenizer: SequenceEncoder
    add_special_tokens: bool = False
    threshold: float = 0.5

    def segment(self, sequence: AnySequence) -> Segmentation:
        """Cut one sequence.

        Raises:
            ValueError: the net's answer is not of the form it should have.
            UsageError: tokens of the tokenizer overlap or leave bases out, so that they have no boundaries.
        """
        spans = self.tokenizer.token_spans(sequence)
        letters = letters_of(sequence).decode("ascii")
        if len(letters) == 0:
            return Segmentation(0, np.zeros(0, np.int64), letters="")
        starts = np.append(spans[:, 0], len(letters))
        if len(spans) == 0 or starts[0] != 0 or not np.array_equal(starts[1:], spans[:, 1]):
            raise UsageError(f"the tokens of {type(self.tokenizer).__name__} do not lie end to end; choose one whose tokens do")
        ids = self.tokenizer.encode_array(sequence, add_special_tokens=self.add_special_tokens).astype(np.int64)
        begins, probabilities = self._read(self.net(ids), len(ids))
        ahead = self._ahead(ids, self.tokenizer.encode_array(sequence)) if self.add_special_tokens else 0
        begins = begins[ahead : ahead + len(spans)].copy()
        begins[0] = True
        chosen = None if probabilities is None else probabilities[ahead : ahead + len(spans)][begins].astype(np.float32)
        return Segmentation(len(letters), spans[begins, 0], chosen, letters)

    def tokens(self, sequence: AnySequence) -> list[str]:
        """The letters of each token of one sequence."""
        return self.segment(sequence).tokens()

    def _ahead(self, ids: NDArray[np.int64], bare: NDArray[Any]) -> int:
        """Number of special tokens before the sequence."""
        extra = len(ids) - len(bare)
        return next(number for number in range(extra + 1) if np.array_equal(ids[number : number + len(bare)], bare))

    def _read(self, answer: Any, length: int) -> tuple[NDArray[np.bool_], NDArray[np.floating[Any]] | None]:
        """Booleans and probabilities ``(length,)`` from what the net gave."""
        parts = [np.asarray(part) for part in (answer if isinstance(answer, tuple) else (answer,))]
        shapes = ", ".join(f"{part.dtype} {part.shape}" for part in parts)
        if any(part.shape != (length,) for part in parts):
            raise ValueError(f"the net gave {shapes} for {length} ids; expected ({length},)")
        kinds = "".join(part.dtype.kind for part in parts)
        if kinds == "b":
            return parts[0], None
        if kinds == "bf":
            return parts[0], parts[1]
        if kinds == "f":
            return parts[0] > self.threshold, parts[0]
        if kinds in ("i", "u"):
            return np.diff(parts[0], prepend=parts[0][:1] - 1) != 0, None
        raise ValueError(f"the net gave {shapes}; expected booleans, probabilities, both, or a source map of integers")


def write_bed(path: Pathlike, segmentations: Iterable[tuple[str, Segmentation]], *, offset: int = 0) -> int:
    """Write the tokens of sequences, given with their names, as BED (six fields); gives the number of lines.

    The file appears whole or not at all.

    Raises:
        OutputError: it cannot be written.
    """
    count = 0
    with whole_file(path) as temporary, temporary.open("w", encoding="ascii") as out:
        for name, segmentation in segmentations:
            for line in segmentation.bed_lines(name, offset=offset):
                out.write(line + "\n")
                count += 1
    return count
