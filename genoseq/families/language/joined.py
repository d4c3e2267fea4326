"""Language models beside a model of a family: one score by mean rank.

A score of each model becomes its rank among single variants of the wild type (`genoseq.families.models.ensemble.RankScale`),
and the mean of the ranks, less the wild type's, is the joined score: 0 is the wild type, -0.4 is 40 percentiles lower. The model
of the family counts as one member, whatever it is made of, and each language model as another.

The ranks are among a fixed set of variants that the wild type alone decides: all single variants where there are up to ``MOST``,
else ``MOST`` that are evenly spread over them. So a variant's score never depends on what else is scored, and a language model
that reads every variant by itself has ``MOST`` more of them to read at most. A rank among 1,000 has an error of .016 at most.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from genoseq.families.models.ensemble import RankScale
from genoseq.families.models.model import FamilyModel
from genoseq.families.models.scoring import Scores, score_sequences, score_variants
from genoseq.families.variants.notation import Variant, all_single_variants, apply_variant

__all__ = ["MOST", "LanguageScorer", "joined_sequences", "joined_variants", "rank_variants"]

MOST = 1_000
"""Single variants that ranks are taken among."""

Floats = NDArray[np.float64]


class LanguageScorer(Protocol):
    """What scores sequences against a wild type in nats: :class:`~genoseq.families.language.masked.MaskedScorer`, PoET."""

    def score_variants(self, variants: Sequence[Variant]) -> Floats:
        """(n,) scores of substitutions of any order; NaN where there is none."""
        ...

    def score_sequences(self, sequences: Sequence[str]) -> Floats:
        """(n,) scores of whole sequences; NaN where there is none."""
        ...


def rank_variants(wild_type: str, *, most: int = MOST) -> list[Variant]:
    """The single variants of a wild type that ranks are taken among, by position and letter.

    >>> len(rank_variants("MKT")), len(rank_variants("MKT" * 100))
    (57, 1000)
    """
    every = all_single_variants(wild_type)
    if len(every) <= most:
        return every
    return [every[number] for number in np.linspace(0, len(every) - 1, most).astype(int).tolist()]


def joined_variants(
    model: FamilyModel, others: Mapping[str, LanguageScorer], wild_type: str, variants: Sequence[Variant], *, begin: int = 0
) -> Scores:
    """Joined scores of substitutions, and the scores of each model in nats (of an ensemble of models: of its members).

    Args:
        model: of the family.
        others: language models of this wild type, by name.
        wild_type: as given.
        variants: n; positions in the wild type from 0.
        begin: where in the wild type the model's begins, see `genoseq.families.models.scoring.place_wild_type`.

    Raises:
        UsageError: a model gives all single variants the same score, or knows none.
    """
    own = score_variants(model, variants, begin=begin)
    reference = rank_variants(wild_type)
    found = {name: one.score_variants([*variants, *reference]) for name, one in others.items()}
    return _joined(model, own, found, wild_type, reference, begin)


def joined_sequences(
    model: FamilyModel, others: Mapping[str, LanguageScorer], wild_type: str, sequences: Sequence[str], *, begin: int = 0
) -> Scores:
    """`joined_variants` of whole sequences, upper case, without gaps.

    A sequence of another length has a score where the model of the family and all others have one: an ensemble or profile, PoET,
    a masked model by pseudo-likelihood. That of the family is then on its own scale for insertions and deletions.
    """
    own = score_sequences(model, wild_type, sequences, begin=begin)
    reference = rank_variants(wild_type)
    rows = [*sequences, *(apply_variant(wild_type, one) for one in reference)]
    found = {name: one.score_sequences(rows) for name, one in others.items()}
    return _joined(model, own, found, wild_type, reference, begin)


def _joined(
    model: FamilyModel, own: Scores, found: Mapping[str, Floats], wild_type: str, reference: Sequence[Variant], begin: int
) -> Scores:
    """The mean of ranks; ``found`` are scores of the variants asked for, then of the reference."""
    count = len(own.score)
    scale = RankScale(score_variants(model, reference, begin=begin).score)
    ranks = [_rank(scale, own.score)]
    members = dict(own.members) or {model.kind: own.score}
    lost = np.zeros(count, np.bool_)
    for name, values in found.items():
        ranks.append(_rank(RankScale(values[count:]), values[:count]))
        members[name] = values[:count]
        lost |= np.isnan(values[:count])
    lost &= ~np.isnan(own.score)  # those that the model of the family has none for are counted already
    return Scores(np.mean(ranks, axis=0), members, own.outside, own.lengths + int(lost.sum()))


def _rank(scale: RankScale, scores: Floats) -> Floats:
    """Ranks less the wild type's, whose score is 0 by every model."""
    ranks: Floats = scale(scores) - scale(np.zeros(1))[0]
    return ranks
