"""Scores of a list of variants or sequences by a model, the wild type's place in it found, and what has no score counted.

A score is NaN, and counted, where a substitution lies outside the alignment or in a column that is not modelled, where the wild
type has an unknown residue there, and where a sequence differs in length and the model knows substitutions only.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from genoseq.errors import InputError
from genoseq.families.alphabet import AMINO_ACIDS, GAP, encode
from genoseq.families.models.ensemble import EnsembleModel
from genoseq.families.models.model import FamilyModel
from genoseq.families.variants.notation import Substitution, Variant
from genoseq.log import counted

__all__ = ["Scores", "place_wild_type", "score_sequences", "score_variants", "single_variant_table"]

FEW = 5
SHORT = 0.5  # of the wild type's residues

log = logging.getLogger(__name__)


class Scores(NamedTuple):
    """Scores of n variants.

    Attributes:
        score: (n,) the model's scores; NaN where it has none.
        members: for an ensemble, the scores (n,) of each member, in the ``unit`` of its model.
        outside: how many have a substitution outside the alignment, in a column that is not modelled, or of an unknown residue.
        lengths: how many have another length than the wild type and a model that cannot score them.
    """

    score: NDArray[np.float64]
    members: dict[str, NDArray[np.float64]]
    outside: int
    lengths: int


def place_wild_type(wild_type: str, model: FamilyModel) -> int:
    """Where in ``wild_type`` the model's own wild type begins; negative if it is the longer one.

    Residues that are not known on either side agree with any.

    Raises:
        InputError: neither is a part of the other.
    """
    given, own = encode(wild_type), encode(model.wild_type) if model.wild_type else model.focus.codes
    longer, shorter = (given, own) if len(given) >= len(own) else (own, given)
    places = range(len(longer) - len(shorter) + 1)
    unlike = [_unlike(longer[at : at + len(shorter)], shorter) for at in places]
    best = int(np.argmin(unlike))
    if unlike[best]:
        here = longer[best : best + len(shorter)]
        wrong = np.flatnonzero((here != shorter) & (here < GAP) & (shorter < GAP))
        first = 0 if len(given) < len(own) else best
        few = ", ".join(f"{wild_type[at + first]}{at + first + 1}" for at in wrong[:FEW].tolist())
        few += ", ..." if len(wrong) > FEW else ""
        raise InputError(
            f"the wild type is not that of the model: at best {unlike[best]:,} of {len(shorter):,} residues differ ({few})",
            remedy="take the alignment's query as the wild type, or make an alignment of this one (genoseq family search)",
        )
    return best if len(given) >= len(own) else -best


def score_variants(model: FamilyModel, variants: Sequence[Variant], *, begin: int = 0) -> Scores:
    """Scores of substitutions.

    Args:
        model: with a wild type.
        variants: positions in the wild type as given, from 0.
        begin: where in that the model's begins (:func:`place_wild_type`).
    """
    moved = [tuple(Substitution(position - begin, old, new) for position, old, new in one) for one in variants]
    members: dict[str, NDArray[np.float64]] = {}
    if isinstance(model, EnsembleModel):
        members = {name: one.score_variants(moved) for name, one in model.members.items()}
        score = model.combine(members)
    else:
        score = model.score_variants(moved)
    return Scores(score, members, int(np.isnan(score).sum()), 0)


def score_sequences(model: FamilyModel, wild_type: str, sequences: Sequence[str], *, begin: int = 0) -> Scores:
    """Scores of whole sequences: as substitutions where the length is the wild type's, else by a model of any length.

    A warning counts the scored ones that have less than half of the wild type's residues: what is left of a protein then is
    hardly one, and its score says how likely the deletion is and little else.

    Args:
        model: with a wild type.
        wild_type: as given; what of it lies beyond the model's must be the same in a sequence of another length.
        sequences: upper case, without gaps.
        begin: where in ``wild_type`` the model's begins.
    """
    same = [number for number, one in enumerate(sequences) if len(one) == len(wild_type)]
    other = [number for number, one in enumerate(sequences) if len(one) != len(wild_type)]
    own = encode(wild_type)
    plain, unknown = [], np.zeros(len(same), np.bool_)
    for at, number in enumerate(same):
        codes = encode(sequences[number])
        places = np.flatnonzero(codes != own)
        unknown[at] = bool((codes[places] >= GAP).any())
        known = places[codes[places] < GAP]
        plain.append(tuple(Substitution(int(p), wild_type[p], AMINO_ACIDS[codes[p]]) for p in known))
    found = score_variants(model, plain, begin=begin)
    score = np.full(len(sequences), np.nan)
    score[same] = np.where(unknown, np.nan, found.score)
    members = {}
    for name, values in found.members.items():
        members[name] = np.full(len(sequences), np.nan)
        members[name][same] = np.where(unknown, np.nan, values)
    if other:
        score[other] = _score_lengths(model, wild_type, [sequences[number] for number in other], begin)
        _warn_of_short(wild_type, [len(sequences[number]) for number in other if not np.isnan(score[number])])
    return Scores(score, members, int(np.isnan(score[same]).sum()), int(np.isnan(score[other]).sum()))


def single_variant_table(model: FamilyModel, wild_type: str, *, begin: int = 0) -> NDArray[np.float64]:
    """(n, 20) scores of all single variants of the wild type as given; NaN outside the modelled columns."""
    singles = model.single_scores()
    table = np.full((len(wild_type), GAP), np.nan)
    for position, site in enumerate(model.focus.sites.tolist()):
        if site >= 0 and 0 <= position + begin < len(wild_type):
            table[position + begin] = singles[site]
    return table


def _score_lengths(model: FamilyModel, wild_type: str, sequences: list[str], begin: int) -> NDArray[np.float64]:
    """Scores of sequences of other lengths: their flanks beyond the model's wild type are cut off if they are the wild type's."""
    indels = model.indels if isinstance(model, EnsembleModel) else model
    scores = np.full(len(sequences), np.nan)
    if indels is None or indels.kind != "profile" or begin < 0 or begin + len(model.wild_type) > len(wild_type):
        return scores
    head, tail = wild_type[:begin], wild_type[begin + len(model.wild_type) :]
    fits = [
        number
        for number, one in enumerate(sequences)
        if one.startswith(head) and one.endswith(tail) and len(one) > len(head) + len(tail)
    ]
    inner = [sequences[number][len(head) : len(sequences[number]) - len(tail)] for number in fits]
    scores[fits] = model.score_sequences(inner)
    return scores


def _warn_of_short(wild_type: str, lengths: list[int]) -> None:
    short = [length for length in lengths if length < SHORT * len(wild_type)]
    if short:
        span = f"{min(short):,}" if min(short) == max(short) else f"{min(short):,} to {max(short):,}"
        log.warning(
            "%s less than half of the wild type's %s residues (%s): such scores say little",
            f"{counted(len(short), 'scored sequence')} {'has' if len(short) == 1 else 'have'}", f"{len(wild_type):,}", span,
        )  # fmt: skip


def _unlike(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> int:
    return int(((a != b) & (a < GAP) & (b < GAP)).sum())
