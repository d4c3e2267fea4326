"""Effects of variants: how much more or less probable a model finds the alternative allele than the reference allele.

``LLR = LL(alternative window) - LL(reference window)``, in nats. Both windows hold the same number of bases (`alleles`), the
allele in the middle, and the same number of them is scored, so that insertions and deletions are not biased by their
length. ``LL`` is the log-likelihood or pseudo-log-likelihood of a window as in `likelihood`; with both strands, its mean
over the window and its reverse complement.

``marginal``, for masked models with a token per base and for substitutions only: the substituted bases are masked, all at once,
and ``LL`` is the sum of the log-probabilities of the allele's bases there (Meier et al. 2021, "masked marginals").
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
import torch

from genoseq.errors import UsageError
from genoseq.infer.alleles import Context, Haplotypes, haplotypes, reduced
from genoseq.infer.batches import BATCH_TOKENS, in_batches
from genoseq.infer.likelihood import STRIDE, Row, TokenScorer
from genoseq.infer.reference import Reference
from genoseq.infer.running import evaluating
from genoseq.infer.tokens import STRANDS, Strand, TokenReader, plain_nucleotides, strands_of
from genoseq.nets.base import Net
from genoseq.seqs.alphabet import reverse_complement

__all__ = [
    "CONTEXT",
    "METHODS",
    "NOTES",
    "STRANDS",
    "AltScore",
    "Method",
    "Strand",
    "Variant",
    "VariantScore",
    "compare_reference",
    "score_variants",
    "window_size",
]

Method = Literal["likelihood", "marginal"]
METHODS: tuple[str, ...] = get_args(Method)

CONTEXT = 1024
"""Bases of a window unless the user says otherwise, fewer where the net takes fewer tokens."""

NOTES = {
    "ref_mismatch": "REF is not what the FASTA file has",
    "no_contig": "the FASTA file has no such contig",
    "symbolic": "a symbolic allele such as <DEL>",
    "spanning_deletion": "the allele *",
    "breakend": "a breakend",
    "ambiguous": "an allele holds an ambiguity code such as N",
    "too_long": "an allele is longer than the window, or there is no room for a token beside ambiguity codes",
    "no_substitution": "an insertion or deletion, which marginal scores do not have",
}
"""Why an allele has no score."""


FIRST_BASE = str.maketrans("RYSWKMBDHV", "ACCAGACAAA")
"""The first base in the alphabet of each ambiguity code but N."""


class Variant(NamedTuple):
    """A variant as VCF writes it.

    Attributes:
        contig: name of the contig.
        start: first base of ``ref``, 0-based.
        ref: reference allele.
        alts: alternative alleles, in any number; symbolic ones as they are.
    """

    contig: str
    start: int
    ref: str
    alts: tuple[str, ...]


class AltScore(NamedTuple):
    """The score of one alternative allele.

    Attributes:
        llr: ``alt - ref``, nats; None if there is no score.
        ref: log-likelihood of the reference window, nats.
        alt: log-likelihood of the alternative window, nats.
        tokens: tokens that are scored in each window.
        note: why there is no score, a key of ``NOTES``; None if there is one.
    """

    llr: float | None
    ref: float | None
    alt: float | None
    tokens: int
    note: str | None


class VariantScore(NamedTuple):
    """The scores of a variant: one for each alternative allele, in their order."""

    variant: Variant
    alts: tuple[AltScore, ...]


def compare_reference(
    variant: Variant, reference: Reference, clean: Callable[[str], str] = plain_nucleotides
) -> tuple[str, str] | None:
    """What is wrong with a variant's place or reference allele: a key of ``NOTES`` and a sentence; None if all is well.

    Ambiguity codes in either are equal to each other. Where the FASTA file has one, REF may also be the first base in the
    alphabet that it stands for: so VCF wants it (specification 4.4, section 1.6.1), which knows no code but N.

    >>> compare_reference(Variant("1", 0, "A", ("C",)), Reference.of({"1": "GT"}))
    ('ref_mismatch', 'REF is A, the FASTA file has G')
    """
    length = reference.length(variant.contig)
    if length is None:
        other = variant.contig.removeprefix("chr") if variant.contig.startswith("chr") else f"chr{variant.contig}"
        hint = f" (it has {other}: bcftools annotate --rename-chrs)" if reference.length(other) is not None else ""
        return "no_contig", f"the FASTA file has no contig {variant.contig!r}{hint}"
    end = variant.start + len(variant.ref)
    if variant.start < 0 or end > length:
        return "ref_mismatch", f"the position is outside the contig of {length:,} bp"
    found = reference.fetch(variant.contig, variant.start, end)
    if clean(found) != clean(variant.ref):
        found = reference.exact(variant.contig, variant.start, end)
        if clean(found.translate(FIRST_BASE)) != clean(variant.ref):
            return "ref_mismatch", f"REF is {_short(variant.ref)}, the FASTA file has {_short(found)}"
    return None


def score_variants(
    model: Net,
    tokenizer: Any,
    reference: Reference | Mapping[str, str],
    variants: Iterable[Variant],
    *,
    context: int | None = None,
    left: int | None = None,
    right: int | None = None,
    strand: str = "both",
    method: str = "likelihood",
    stride: int | None = STRIDE,
    begin: bool = False,
    batch_tokens: int = BATCH_TOKENS,
    device: str | torch.device | None = None,
) -> Iterator[VariantScore]:
    """Yield the scores of each variant, in their order; see the module's text for the definition.

    The numbers do not depend on the size of batches, on what else is in them, or on the order. While the iterator is in use the
    model is in evaluation mode on ``device``; afterwards it is as it was.

    Args:
        model: a causal or masked language model of DNA.
        tokenizer: the net's tokenizer.
        reference: the genome, or contigs by name.
        variants: what to score.
        context: bases of a window, the variant in the middle; ``CONTEXT``, or what the net takes, unless given.
        left, right: instead of ``context``, bases before and after a single base, on the forward strand.
        strand: ``both`` averages the strands; ``forward`` or ``reverse`` takes one.
        method: ``likelihood`` or ``marginal``.
        stride: masked models: distance of the tokens that are masked at a time; None masks one at a time.
        begin: causal models: put the tokenizer's token for the beginning in front.
        batch_tokens: tokens of a batch, padding included.
        device: where to run; where the model is unless given.

    Raises:
        UsageError: options that make no sense for this model.
        InputError: values that are not finite.
    """
    if method not in METHODS:
        raise UsageError(f"unknown method {method!r}: known are {', '.join(METHODS)}")
    reader = TokenReader(tokenizer)
    strands = strands_of(strand, reader)
    genome = reference if isinstance(reference, Reference) else Reference.of(reference)
    with evaluating(model, device) as place:
        scorer = TokenScorer(model, reader, device=place, begin=begin, stride=stride)
        around = _context(scorer, context, left, right)
        if method == "marginal" and (scorer.causal or reader.step != 1 or reader.overlapping):
            raise UsageError("marginal scores are for masked models with one token per base; use the method likelihood")
        work = _Work(scorer, around, (False,) if reader.protein else strands, marginal=method == "marginal")
        tasks = (task for number, variant in enumerate(variants) for task in work.tasks(number, variant, genome))
        done = in_batches(tasks, work.compute, size=lambda task: len(task.row.ids), batch_tokens=batch_tokens)
        for _, group in groupby(done, key=lambda found: found.task.number):
            yield work.scored(list(group))


def window_size(
    model: Net,
    tokenizer: Any,
    *,
    context: int | None = None,
    left: int | None = None,
    right: int | None = None,
    begin: bool = False,
) -> int:
    """Bases of the windows that `score_variants` makes with these options, for a single base.

    Raises:
        UsageError: options that make no sense for this model.
    """
    with evaluating(model) as place:
        around = _context(TokenScorer(model, TokenReader(tokenizer), device=place, begin=begin), context, left, right)
    return around.left + 1 + around.right


def _context(scorer: TokenScorer, context: int | None, left: int | None, right: int | None) -> Context:
    """The windows that the options ask for, if the net takes them."""
    reader = scorer.reader
    step = reader.step or 1
    special = len(scorer.front) + len(scorer.back)
    most = None if scorer.limit is None else (scorer.limit - special) * (1 if reader.overlapping else step)
    if (left is None) != (right is None):
        raise UsageError("give --left and --right together")
    if left is not None and right is not None:
        if context is not None:
            raise UsageError("--context is the whole window, --left and --right are its sides: give one or the other")
        if left < 0 or right < 0:
            raise UsageError("--left and --right: give 0 or more")
    else:
        size = context if context is not None else CONTEXT if most is None else min(CONTEXT, most)
        if size < 1:
            raise UsageError("--context: give at least 1")
        left = (size - 1) // 2
        right = size - 1 - left
    found = Context(left, right, step, bare=reader.longest > 1, unknown="X" if reader.protein else "N")
    if most is not None and left + 1 + right > most:
        raise UsageError(
            f"windows of {left + 1 + right:,} bases are more than this net takes ({scorer.limit:,} tokens, "
            f"{special} of them special): give --context {most} or less"
        )
    if found.size < 1:
        raise UsageError(f"the tokens of this model have {step} bases: give a --context of {step} or more")
    return found


class _Task(NamedTuple):
    """One row of a window of a variant.

    Attributes:
        number: of the variant.
        plan: what becomes of the rows; the same for all rows of a variant.
        window: number of the window in the plan.
        row: what the net gets.
    """

    number: int
    plan: _Plan
    window: int
    row: Row


class _Plan(NamedTuple):
    """The windows of a variant, and which of them each allele needs.

    Attributes:
        variant: the variant.
        alts: for each alternative allele the windows of its reference and its own, a pair per strand; or a note.
    """

    variant: Variant
    alts: tuple[tuple[tuple[int, int], ...] | str, ...]


class _Done(NamedTuple):
    task: _Task
    total: float
    tokens: int


class _Work:
    """Makes windows of variants, computes them, and puts the results together."""

    def __init__(self, scorer: TokenScorer, context: Context, strands: Sequence[bool], *, marginal: bool) -> None:
        self._scorer, self._context, self._strands, self._marginal = scorer, context, strands, marginal

    def tasks(self, number: int, variant: Variant, reference: Reference) -> Iterator[_Task]:
        """The rows of all windows of a variant; one that wants nothing if there is nothing to score."""
        windows: dict[tuple[str, tuple[int, int]], int] = {}
        wrong = compare_reference(variant, reference, self._scorer.reader.clean)
        plan = _Plan(
            variant, tuple(wrong[0] if wrong else self._windows(variant, alt, reference, windows) for alt in variant.alts)
        )
        if not windows:
            yield _Task(number, plan, 0, Row(np.zeros(0, np.int64), np.zeros(0, bool)))
        for (text, (start, end)), place in windows.items():
            tokens = self._scorer.reader.read(text)
            wanted = self._scorer.reader.clear_tokens(text, tokens)
            if self._marginal:
                wanted &= (tokens.starts >= start) & (tokens.starts < end)
                yield _Task(number, plan, place, self._scorer.whole_row(tokens.ids, wanted))
                continue
            for row in self._scorer.rows(tokens.ids, wanted):
                yield _Task(number, plan, place, row)

    def _windows(
        self, variant: Variant, alt: str, reference: Reference, windows: dict[tuple[str, tuple[int, int]], int]
    ) -> tuple[tuple[int, int], ...] | str:
        """Numbers of the windows of one alternative allele, those that are new put into ``windows``; or a note."""
        note = allele_note(alt)
        if note is not None:
            return note
        clean = self._scorer.reader.clean
        ref, alt = clean(variant.ref), clean(alt)
        if not set(ref + alt) <= set(self._scorer.reader.letters):
            return "ambiguous"
        contig, length = variant.contig, reference.length(variant.contig)
        assert length is not None  # compared before

        def fetch(start: int, end: int) -> str:
            return clean(reference.fetch(contig, start, end))

        changed = reduced(variant.start, ref, alt, fetch, furthest=self._context.size)
        if self._marginal and len(changed.ref) != len(changed.alt):
            return "no_substitution"
        pair = haplotypes(changed, length, fetch, self._context)
        if pair is None:
            return "too_long"
        found = []
        for reverse in self._strands:
            keys = (
                _keys(pair, reverse=reverse) if self._marginal else [(text, (0, 0)) for text, _ in _keys(pair, reverse=reverse)]
            )
            first, second = (windows.setdefault(key, len(windows)) for key in keys)
            found.append((first, second))
        return tuple(found)

    def compute(self, batch: list[_Task]) -> list[_Done]:
        """The log-likelihood of each row."""
        values = self._scorer.compute([task.row for task in batch])
        return [
            _Done(task, float(np.nansum(found, dtype=np.float64)), int(task.row.wanted.sum()))
            for task, found in zip(batch, values, strict=True)
        ]

    def scored(self, group: list[_Done]) -> VariantScore:
        """The scores of a variant, of what its rows gave."""
        plan = group[0].task.plan
        totals: dict[int, float] = {}
        tokens: dict[int, int] = {}
        for task, total, count in group:
            totals[task.window] = totals.get(task.window, 0.0) + total
            tokens[task.window] = tokens.get(task.window, 0) + count
        scores = []
        for pairs in plan.alts:
            if isinstance(pairs, str):
                scores.append(AltScore(None, None, None, 0, pairs))
                continue
            ref = sum(totals[first] for first, _ in pairs) / len(pairs)
            alt = sum(totals[second] for _, second in pairs) / len(pairs)
            scores.append(AltScore(alt - ref, ref, alt, tokens[pairs[0][0]], None))
        return VariantScore(plan.variant, tuple(scores))


def _keys(pair: Haplotypes, *, reverse: bool) -> list[tuple[str, tuple[int, int]]]:
    """Letters of the reference and the alternative window on a strand, and where the alleles stand in them."""
    found = []
    for text, at, allele in ((pair.ref, pair.ref_at, pair.variant.ref), (pair.alt, pair.alt_at, pair.variant.alt)):
        if reverse:
            end = len(text) - at
            found.append((reverse_complement(text.encode()).decode(), (end - len(allele), end)))
        else:
            found.append((text, (at, at + len(allele))))
    return found


def allele_note(alt: str) -> str | None:
    """Why an alternative allele is none of bases, a key of ``NOTES``; None if it is.

    >>> [allele_note(alt) for alt in ("ACG", "<DEL>", "*", "G[chr1:5[", ".A")]
    [None, 'symbolic', 'spanning_deletion', 'breakend', 'breakend']
    """
    if alt.startswith("<"):
        return "symbolic"
    if alt == "*":
        return "spanning_deletion"
    if "[" in alt or "]" in alt or alt.startswith(".") or alt.endswith("."):
        return "breakend"
    return None


def _short(allele: str) -> str:
    return allele if len(allele) <= 20 else f"{allele[:17]}... ({len(allele)} bp)"
