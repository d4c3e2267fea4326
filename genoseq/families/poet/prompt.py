"""Prompts of PoET: sequences of a family, drawn from its homologues for a context of so many tokens.

Homologues are drawn without replacement with probability in proportion to their weights, which are 1 / neighbours at 80 %
identity, so that a cluster of similar sequences counts as one (Truong and Bepler 2023, arXiv:2306.06156). Those more similar to
the query than a bound are left out: with less similar ones the net looks further. What is drawn depends on the seed, the context,
the bound and the sequences themselves, not on their order or names.
"""

from __future__ import annotations

import hashlib
import itertools
import logging
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from genoseq.errors import InputError, UsageError
from genoseq.families.alignments.alignment import Alignment
from genoseq.families.alignments.filtering import identity_to_query
from genoseq.families.alignments.weights import sequence_weights
from genoseq.families.alphabet import encode
from genoseq.log import counted

__all__ = [
    "CONTEXTS",
    "IDENTITIES",
    "Homologues",
    "Prompt",
    "clean_protein",
    "draw_prompt",
    "draw_prompts",
    "prompt_grid",
    "set_ids",
]

log = logging.getLogger(__name__)

CONTEXTS = (6_144, 12_288, 24_576)
IDENTITIES = (1.0, 0.95, 0.9, 0.7, 0.5)
SPECIAL = 2  # tokens around the residues of a sequence: start and stop
SLACK = 1e-9  # .9 in a file and .9 counted are the same


class Prompt(NamedTuple):
    """Sequences that PoET reads before it scores or writes.

    Attributes:
        sequences: upper case, without gaps, in the order in which they are read.
        context: most tokens that were asked for.
        identity: largest identity to the query that was asked for.
    """

    sequences: tuple[str, ...]
    context: int = 0
    identity: float = 1.0

    @property
    def tokens(self) -> int:
        """Tokens with start and stop."""
        return sum(len(sequence) + SPECIAL for sequence in self.sequences)


@dataclass(frozen=True, eq=False)
class Homologues:
    """What prompts are drawn from.

    Attributes:
        sequences: N, upper case, without gaps.
        weights: (N,) float64, not negative.
        query: the protein of interest; None where there is none.
        aligned_identities: (N,) to the query where the alignment tells it; None where sequences must be aligned for it.
    """

    sequences: tuple[str, ...]
    weights: NDArray[np.float64]
    query: str | None = None
    aligned_identities: NDArray[np.float64] | None = None

    def __len__(self) -> int:
        return len(self.sequences)

    @classmethod
    def of(
        cls,
        family: Alignment | Iterable[str],
        *,
        weights: NDArray[np.float64] | Sequence[float] | None = None,
        query: str | None = None,
    ) -> Homologues:
        """The homologues of an alignment, or of plain sequences.

        Args:
            family: the alignment, or sequences, aligned (all of one length, with ``-``) or not.
            weights: (N,) one for each sequence. By default 1 / neighbours at 80 % identity of what is aligned; all alike for
                sequences that are not.
            query: the protein of interest; that of the alignment unless given.

        Raises:
            InputError: no sequence, a letter that no protein has, or weights that do not fit.
        """
        matrix: NDArray[np.uint8] | None
        if isinstance(family, Alignment):
            matrix, sequences = family.matrix[:, family.modelled], family.sequences
        else:
            sequences = tuple(family)
            matrix = _as_matrix(sequences)
        if not sequences:
            raise InputError("the family has no sequences to make a prompt of")
        cleaned = tuple(clean_protein(sequence, f"homologue {number}") for number, sequence in enumerate(sequences, 1))
        if weights is None:
            weights = _default_weights(matrix, len(cleaned))
        chosen = np.asarray(weights, np.float64)
        if chosen.shape != (len(cleaned),) or not np.isfinite(chosen).all() or (chosen < 0).any() or not (chosen > 0).any():
            raise InputError(
                f"the weights are {chosen.shape}, the smallest {chosen.min(initial=0):g}: "
                f"expected {len(cleaned):,}, none negative, some above 0"
            )
        wanted = None if query is None else clean_protein(query, "the query")
        identities = None
        if isinstance(family, Alignment) and family.query is not None and wanted in (None, family.query):
            wanted, identities = family.query, identity_to_query(family)
        return cls(cleaned, chosen, wanted, identities)

    @cached_property
    def identities(self) -> NDArray[np.float64]:
        """(N,) identical residues / residues aligned to the query; by global alignment where no alignment tells it.

        Raises:
            UsageError: there is no query.
        """
        if self.aligned_identities is not None:
            return self.aligned_identities
        if self.query is None:
            raise UsageError("a largest identity below 1 is one to the query, and there is none: give the query (the wild type)")
        return _identities_by_alignment(self.query, self.sequences)


def clean_protein(sequence: str, name: str = "the sequence") -> str:
    """A protein in upper case without gaps, and without a stop at its end.

    Raises:
        InputError: no residues, or a letter that no protein has.

    >>> clean_protein("ac-d*")
    'ACD'
    """
    plain = sequence.upper().replace("-", "").replace(".", "").removesuffix("*")
    if not plain:
        raise InputError(f"{name} has no residues", remedy="leave it out")
    try:
        encode(plain)
    except ValueError as error:
        raise InputError(f"{name}: {error}") from error
    return plain


def prompt_grid(
    count: int | None = None, *, contexts: Sequence[int] = CONTEXTS, identities: Sequence[float] = IDENTITIES
) -> list[tuple[int, float]]:
    """The pairs of context and largest identity of ``count`` prompts (all pairs unless given).

    The first few are spread over both: contexts change from each to the next, and so do identities.

    Raises:
        UsageError: values out of range, or more prompts than there are pairs.

    >>> prompt_grid(3)
    [(6144, 1.0), (12288, 0.95), (24576, 0.9)]
    >>> len(prompt_grid())
    15
    """
    if not contexts or not identities or min(contexts) < 1 + SPECIAL or not all(0 < bound <= 1 for bound in identities):
        raise UsageError(
            f"contexts {list(contexts)}, identities {list(identities)}: expected tokens from 3, shares above 0 and at most 1"
        )
    pairs = len(contexts) * len(identities)
    wanted = pairs if count is None else count
    if not 1 <= wanted <= pairs:
        raise UsageError(f"{wanted} prompts: {len(contexts)} contexts and {len(identities)} identities make 1 to {pairs}")
    found: list[tuple[int, float]] = []
    for turn in range(len(contexts)):
        for number, bound in enumerate(identities):
            found.append((contexts[(number + turn) % len(contexts)], bound))
    return found[:wanted]


def draw_prompts(homologues: Homologues, grid: Sequence[tuple[int, float]] | None = None, *, seed: int = 0) -> list[Prompt]:
    """One prompt for each pair of context and identity that any homologue is left for.

    Args:
        homologues: what to draw from.
        grid: see `prompt_grid`; all 15 pairs unless given.
        seed: of the draws.

    Raises:
        InputError: no pair leaves a homologue.
    """
    prompts: list[Prompt] = []
    empty: list[Prompt] = []
    for context, bound in prompt_grid() if grid is None else grid:
        prompt = draw_prompt(homologues, context=context, identity=bound, seed=seed)
        (prompts if prompt.sequences else empty).append(prompt)
    if not prompts:
        shortest = min(len(sequence) for sequence in homologues.sequences) + SPECIAL
        raise InputError(
            f"no prompt can be made of {counted(len(homologues), 'homologue')}: all are longer than the contexts "
            f"(the shortest has {shortest:,} tokens) or too similar to the query",
            remedy="allow a longer context or a larger identity",
        )
    for prompt in empty:
        log.warning(
            "no homologue fits %d tokens at an identity to the query of at most %g: this prompt is left out",
            prompt.context,
            prompt.identity,
        )
    return prompts


def draw_prompt(homologues: Homologues, *, context: int, identity: float = 1.0, seed: int = 0) -> Prompt:
    """A prompt of at most ``context`` tokens; empty if no homologue fits.

    Homologues are drawn one after another until the next one does not fit. Those that never could are not drawn from.

    Args:
        homologues: what to draw from.
        context: most tokens, start and stop of each sequence included.
        identity: homologues more similar to the query are left out; 1 keeps all.
        seed: of the draws.
    """
    fits = homologues.weights > 0
    fits &= np.array([len(sequence) + SPECIAL <= context for sequence in homologues.sequences])
    if identity < 1:
        fits &= homologues.identities <= identity + SLACK
    # The smallest of exponential times with the weights as rates come first: drawing without replacement, all at once.
    times = _times(homologues.sequences, f"{seed}/{context}/{identity:g}") / np.where(fits, homologues.weights, 1)
    chosen: list[str] = []
    room = context
    for number in sorted(np.flatnonzero(fits).tolist(), key=lambda i: (times[i], homologues.sequences[i])):
        sequence = homologues.sequences[number]
        room -= len(sequence) + SPECIAL
        if room < 0:
            break
        chosen.append(sequence)
    return Prompt(tuple(chosen), context, identity)


def set_ids(tokenizer: Any, sequences: Iterable[str], *, reverse: bool = False) -> NDArray[np.int64]:
    """Ids (L,) of sequences one after another, each with start and stop; each back to front if ``reverse``.

    >>> from genoseq.tokenizers.protein import PoETTokenizer
    >>> set_ids(PoETTokenizer(), ["MK", "A"], reverse=True).tolist()
    [22, 11, 12, 21, 22, 0, 21]
    """
    parts = [np.asarray(tokenizer.encode_array(sequence, add_special_tokens=True), np.int64) for sequence in sequences]
    ordered = [part[::-1] if reverse else part for part in parts]
    return np.concatenate(ordered) if ordered else np.zeros(0, np.int64)


def _times(sequences: Sequence[str], key: str) -> NDArray[np.float64]:
    """(N,) exponential times that a sequence and its number among equal ones decide, whatever stands around it."""
    seen: Counter[str] = Counter()
    numbers = np.empty(len(sequences))
    for place, sequence in enumerate(sequences):
        digest = hashlib.blake2b(f"{key}/{seen[sequence]}/{sequence}".encode(), digest_size=8).digest()
        seen[sequence] += 1
        numbers[place] = ((int.from_bytes(digest, "little") >> 11) + 0.5) / (1 << 53)
    times: NDArray[np.float64] = -np.log(numbers)
    return times


def _as_matrix(sequences: Sequence[str]) -> NDArray[np.uint8] | None:
    """(N, L) codes of aligned sequences; None if they are not aligned."""
    lengths = {len(sequence) for sequence in sequences}
    if len(lengths) != 1 or not any("-" in sequence for sequence in sequences):
        return None
    try:
        return np.stack([encode(sequence) for sequence in sequences])
    except ValueError as error:
        raise InputError(f"the family: {error}") from error


def _default_weights(matrix: NDArray[np.uint8] | None, count: int) -> NDArray[np.float64]:
    """1 / neighbours of the rows of an alignment, all alike without one."""
    return np.ones(count) if matrix is None else sequence_weights(matrix, identity=0.8)


def _identities_by_alignment(query: str, sequences: Sequence[str]) -> NDArray[np.float64]:
    """(N,) identical residues / aligned residues in a global alignment (BLOSUM62, gaps 11 and 1, free at the ends)."""
    from Bio.Align import PairwiseAligner, substitution_matrices

    aligner = PairwiseAligner(mode="global", open_gap_score=-11, extend_gap_score=-1, end_gap_score=0)
    aligner.substitution_matrix = substitution_matrices.load("BLOSUM62")
    known = str.maketrans("UOJ", "CKX")
    wanted = query.translate(known)
    shares = []
    for sequence in sequences:
        if sequence == query:
            shares.append(1.0)
            continue
        alignment = aligner.align(wanted, sequence.translate(known))[0]
        pairs = [
            (wanted[i], alignment.query[j])
            for (start, end), (other, _) in zip(*alignment.aligned, strict=True)
            for i, j in zip(range(start, end), itertools.count(int(other)), strict=False)
        ]
        shares.append(sum(a == b for a, b in pairs) / max(1, len(pairs)))
    return np.array(shares)
