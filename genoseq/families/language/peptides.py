"""Peptides designed to bind a target, ranked by their pseudo-perplexity behind it (PepMLM, Chen et al. 2025).

The target and k masks behind it are one input. Each masked place gets one of the 20 amino acids, drawn from the ``top_k``
likeliest of them; other letters such as X are never drawn. A peptide's pseudo-perplexity is
``exp(-mean over its residues of log p(residue | target and all other residues))``, probabilities over the whole vocabulary: 1 is
certain, the size of the vocabulary is a guess.

Attempt number a gives the same peptide whatever the number of attempts: its random numbers come from the seed and a alone.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from genoseq.errors import InputError, UsageError
from genoseq.families.alphabet import AMINO_ACIDS, encode
from genoseq.families.language.masked import MaskedModel
from genoseq.infer.generation import Sampling, draw

__all__ = ["Designs", "Peptide", "design_peptides", "mask_log_probabilities", "peptide_perplexities"]

log = logging.getLogger(__name__)

PATIENCE = 50
"""Attempts a wanted peptide after which the search for different ones ends."""


class Peptide(NamedTuple):
    """One designed peptide.

    Attributes:
        sequence: of the 20 amino acids.
        perplexity: pseudo-perplexity behind the target.
        identity: the largest share of equal residues with any peptide ranked above it; NaN for the first.
        attempt: its number, from 0.
    """

    sequence: str
    perplexity: float
    identity: float
    attempt: int


class Designs(NamedTuple):
    """Peptides by rank, and how different they are.

    Attributes:
        peptides: the lowest pseudo-perplexity first; all different.
        diversity: 1 - the mean identity of two of them; NaN for fewer than two.
        attempts: how many were made.
    """

    peptides: list[Peptide]
    diversity: float
    attempts: int


def design_peptides(
    model: MaskedModel,
    target: str,
    *,
    length: int,
    number: int,
    top_k: int = 3,
    temperature: float = 1.0,
    max_identity: float = 1.0,
    seed: int = 0,
    report: Callable[[int], None] = lambda peptides: None,
) -> Designs:
    """Different peptides of one length for a target.

    Args:
        model: PepMLM, or another masked language model of proteins.
        target: the protein.
        length: residues of a peptide.
        number: how many; fewer, with a warning, if there are not as many different ones in 50 attempts each.
        top_k: likeliest amino acids a place is drawn from; 0: all 20.
        temperature: logits are divided by it; above 1 is more diverse.
        max_identity: an attempt with a larger share of residues in common with one before it is passed over.
        seed: of the random numbers.
        report: is told of peptides as they are scored.

    Raises:
        UsageError: numbers that make no sense, or a target and peptide longer than the model reads.
        InputError: the target is no protein.
    """
    if length < 1 or number < 1 or not 0 <= top_k <= len(AMINO_ACIDS) or temperature <= 0 or not 0 < max_identity <= 1:
        raise UsageError(
            f"length {length}, number {number}, top_k {top_k}, temperature {temperature:g}, max_identity {max_identity:g}: "
            "expected at least 1, at least 1, 0 to 20, above 0, and above 0 to 1"
        )
    logits = mask_log_probabilities(model, target, length)[:, model.letters]
    sampling = Sampling(temperature, top_k)
    chosen: list[str] = []
    numbers: list[int] = []
    rows = np.empty((0, length), np.uint8)
    attempt = 0
    while len(chosen) < number and attempt < PATIENCE * number:
        random = np.random.default_rng([seed, attempt])
        codes = np.array([draw(place, sampling, random) for place in logits], np.uint8)
        same = (rows == codes).mean(axis=1)
        if not (same > max_identity).any() and not (same == 1).any():
            rows = np.concatenate([rows, codes[None]])
            chosen.append("".join(AMINO_ACIDS[code] for code in codes))
            numbers.append(attempt)
        attempt += 1
    if len(chosen) < number:
        log.warning(
            "%d different peptides in %d attempts, %d were wanted: raise the length, top_k or the temperature",
            len(chosen), attempt, number,
        )  # fmt: skip
    values = peptide_perplexities(model, target, chosen, report=report)
    order = sorted(range(len(chosen)), key=lambda at: (values[at], chosen[at]))
    shares = np.array([(rows == row).mean(axis=1) for row in rows])
    peptides = [
        Peptide(chosen[at], float(values[at]), float(shares[at, order[:rank]].max()) if rank else float("nan"), numbers[at])
        for rank, at in enumerate(order)
    ]
    others = ~np.eye(len(rows), dtype=np.bool_)
    return Designs(peptides, float(1 - shares[others].mean()) if len(rows) > 1 else float("nan"), attempt)


def mask_log_probabilities(model: MaskedModel, target: str, length: int) -> NDArray[np.float64]:
    """(length, V) log-probabilities of the masks behind a target, from one pass."""
    ids = _behind(model, target, [model.mask] * length)
    found: NDArray[np.float64] = model.log_probabilities(ids[None])[0, 1 + len(target) : -1]
    return found


def peptide_perplexities(
    model: MaskedModel,
    target: str,
    peptides: Sequence[str],
    *,
    report: Callable[[int], None] = lambda peptides: None,
) -> NDArray[np.float64]:
    """(n,) pseudo-perplexities of peptides, of any lengths, behind a target.

    Raises:
        InputError: target or peptide is no protein or empty.
        UsageError: both together are longer than the model reads.
    """
    values = np.empty(len(peptides))
    for number, peptide in enumerate(peptides):
        _check(peptide, "the peptide")
        own = model.ids(peptide)[1:-1]
        rows = np.tile(_behind(model, target, own.tolist()), (len(peptide), 1))
        at = 1 + len(target) + np.arange(len(peptide))
        rows[np.arange(len(peptide)), at] = model.mask
        found = model.log_probabilities(rows, at)
        values[number] = np.exp(-found[np.arange(len(peptide)), own].mean())
        report(1)
    return values


def _behind(model: MaskedModel, target: str, tokens: Sequence[int]) -> NDArray[np.int64]:
    """Tokens of a target and of what is behind it, the special ones around both."""
    _check(target, "the target")
    if len(target) + len(tokens) > model.window:
        raise UsageError(
            f"the target has {len(target):,} residues and the peptide {len(tokens)}, the model reads {model.window:,} together: "
            "cut the target to the domain that is to be bound"
        )
    ids = model.ids(target)
    return np.concatenate([ids[:-1], np.array(tokens, np.int64), ids[-1:]])


def _check(sequence: str, what: str) -> None:
    try:
        encode(sequence)
    except ValueError as error:
        raise InputError(f"{what} is no protein: {error}") from error
    if not sequence:
        raise InputError(f"{what} is empty")
