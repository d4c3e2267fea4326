"""In-silico mutagenesis: the effect of every single substitution in a stretch of sequence.

The effect is the log-likelihood ratio of `variants`: the same number as that variant in a VCF would get. Proteins are
scored the same way, over the 20 amino acids and on their one strand.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from genoseq.errors import InputError, UsageError
from genoseq.infer.batches import BATCH_TOKENS
from genoseq.infer.likelihood import STRIDE
from genoseq.infer.reference import Reference
from genoseq.infer.tokens import TokenReader
from genoseq.infer.variants import Variant, score_variants
from genoseq.nets.base import Net
from genoseq.seqs.record import Record

__all__ = ["FORMAT", "VERSION", "Mutagenesis", "mutagenesis_rows", "mutate", "parse_region", "pick_record"]

FORMAT = "genoseq.mutagenesis"
VERSION = 1


class Mutagenesis(NamedTuple):
    """Effects of all single substitutions.

    Attributes:
        name: the sequence's name.
        start: first position, 0-based.
        reference: the letters there.
        letters: what they are changed to, in the order of the rows of ``effects``.
        effects: float32 ``(letters, positions)``, log-likelihood ratios in nats; 0 at the reference's own letter, NaN where the
            reference is an ambiguity code.
    """

    name: str
    start: int
    reference: str
    letters: str
    effects: NDArray[np.float32]

    @property
    def importance(self) -> NDArray[np.float32]:
        """float32 ``(positions,)``: minus the mean effect of the other letters; high where the model wants the reference."""
        others = max(1, len(self.letters) - 1)
        mean: NDArray[np.float32] = -self.effects.sum(axis=0) / others
        return mean


def mutate(
    model: Net,
    tokenizer: Any,
    sequence: Record | str,
    *,
    start: int = 0,
    end: int | None = None,
    context: int | None = None,
    left: int | None = None,
    right: int | None = None,
    strand: str = "both",
    method: str = "likelihood",
    stride: int | None = STRIDE,
    begin: bool = False,
    batch_tokens: int = BATCH_TOKENS,
    device: str | torch.device | None = None,
    report: Callable[[int], None] = lambda positions: None,
) -> Mutagenesis:
    """The effects of all single substitutions of ``sequence[start:end]``.

    Args:
        model: a causal or masked language model.
        tokenizer: the net's tokenizer.
        sequence: a record, or a string.
        start, end: the stretch, 0-based half-open; the whole sequence unless given.
        context, left, right, strand, method, stride, begin, batch_tokens, device: see `variants.score_variants`.
        report: is told how many positions were done since it was last told.

    Raises:
        UsageError: a stretch outside the sequence, or options that make no sense for this model.
        InputError: an empty sequence, or one of another alphabet.
    """
    record = sequence if isinstance(sequence, Record) else Record("1", "", sequence)
    reader = TokenReader(tokenizer)
    text = reader.check(record, 1)
    end = len(text) if end is None else end
    if not 0 <= start < end <= len(text):
        raise UsageError(f"the stretch {start + 1}-{end} is not within {record.name!r}, which has {len(text):,} letters")
    letters = reader.letters
    effects = np.full((len(letters), end - start), np.nan, np.float32)

    def variants() -> Iterator[Variant]:
        for place in range(start, end):
            alts = tuple(letter for letter in letters if letter != text[place])
            yield Variant(record.name, place, text[place], alts)

    found = score_variants(
        model, tokenizer, Reference.of({record.name: text}), variants(), context=context, left=left, right=right,
        strand=strand, method=method, stride=stride, begin=begin, batch_tokens=batch_tokens, device=device,
    )  # fmt: skip
    for scored in found:
        place = scored.variant.start - start
        own = letters.find(scored.variant.ref)
        if own >= 0:
            effects[own, place] = 0
        for alt, result in zip(scored.variant.alts, scored.alts, strict=True):
            if result.llr is not None:
                effects[letters.index(alt), place] = result.llr
        report(1)
    return Mutagenesis(record.name, start, text[start:end], letters, effects)


def mutagenesis_rows(result: Mutagenesis) -> Iterator[str]:
    """Lines of a table: name, position from 1, reference letter, other letter, log-likelihood ratio.

    >>> effects = np.array([[0, -1.5], [0.25, 0]], np.float32)
    >>> [row.split() for row in mutagenesis_rows(Mutagenesis("s", 6, "AC", "AC", effects))]
    [['s', '7', 'A', 'C', '0.25'], ['s', '8', 'C', 'A', '-1.5']]
    """
    for place, reference in enumerate(result.reference):
        for row, letter in enumerate(result.letters):
            if letter != reference:
                effect = float(result.effects[row, place])
                shown = "NA" if np.isnan(effect) else f"{effect:.6g}"
                yield f"{result.name}\t{result.start + place + 1}\t{reference}\t{letter}\t{shown}\n"


def pick_record(records: Iterable[Record], name: str | None, *, path: str) -> Record:
    """The record of this name, or the first one.

    Raises:
        InputError: there is none.
    """
    names = []
    for record in records:
        if name in (None, record.name):
            return record
        names.append(record.name)
    if name is None or not names:
        raise InputError("holds no sequence", path=path)
    known = ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
    raise InputError(f"has no sequence {name!r}; it has {known}", path=path)


def parse_region(region: str) -> tuple[str | None, int, int | None]:
    """Name, start and end, 0-based half-open, of ``NAME``, ``NAME:START-END`` or ``START-END`` (from 1, both ends included).

    Raises:
        UsageError: it is none of these.

    >>> parse_region("chr1:1,001-1,100"), parse_region("5-8"), parse_region("chr1")
    (('chr1', 1000, 1100), (None, 4, 8), ('chr1', 0, None))
    """
    name, colon, places = region.rpartition(":")
    if not colon:
        name, places = ("", region) if region.replace(",", "").replace("-", "").isdecimal() else (region, "")
    if not places:
        return name or None, 0, None
    first, dash, last = places.replace(",", "").partition("-")
    if not first.isdecimal() or not (last.isdecimal() if dash else True):
        raise UsageError(f"region {region!r}: expected NAME, NAME:START-END or START-END, positions from 1")
    start = int(first) - 1
    end = int(last) if dash else start + 1
    if start < 0 or end <= start:
        raise UsageError(f"region {region!r}: positions count from 1, and the end is not before the start")
    return name or None, start, end
