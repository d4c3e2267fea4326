"""Language models beside a model of a family: one score by mean rank.

A score of each model becomes its rank among single variants of the wild type (`genoseq.families.models.ensemble.RankScale`),
and the mean of the ranks, less the wild type's, is the joined score: 0 is the wild type, -0.4 is 40 percentiles lower. The model
of the family counts as one member, whatever it is made of, and each language model as another.

The ranks are among a fixed set of variants, the same for all members, that the wild type and the columns of the family's model
alone decide: all single variants that this model scores where there are up to ``MOST``, else ``MOST`` of them, spread evenly over
the residues, with letters drawn by chance. So a variant's score never depends on what else is scored, and a language model that
reads every variant by itself has ``MOST`` more of them to read at most.

What a rank among 1,000 loses against one among all was measured on TEM-1 beta-lactamase, 5,434 single variants: for the kinds
site, pssm and nearest they differ by .004, .005 and .006 on the average, by .016, .028 and .025 at most. These are no bounds:
another constant for the letters gave .031. ``test_ranks_among_1000_of_a_real_protein`` measures it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from genoseq.families.alphabet import AMINO_ACIDS
from genoseq.families.language.read_once import LanguageScorer, ReadOnce
from genoseq.families.models.ensemble import RankScale
from genoseq.families.models.model import FamilyModel
from genoseq.families.models.scoring import Scores, score_sequences, score_variants, single_variant_table
from genoseq.families.variants.notation import Variant, all_single_variants, apply_variant

__all__ = ["MOST", "joined_sequences", "joined_variants", "rank_variants"]

MOST = 1_000
"""Single variants that ranks are taken among."""
SEED = 0
"""Of the letters that are drawn: a constant, so that ranks are the same in every run."""

Floats = NDArray[np.float64]


def rank_variants(model: FamilyModel, wild_type: str, *, begin: int = 0, most: int = MOST) -> list[Variant]:
    """The single variants of a wild type that ranks are taken among, by position and letter.

    All that the model of the family scores, or ``most`` of them: as many of each residue as of any other, give or take one, and
    of each residue's letters some by chance. A fixed step over the list of all would meet the 19 letters of a residue in step,
    and take few letters only where the step is near a multiple of 19.

    Args:
        model: of the family.
        wild_type: as given.
        begin: where in it the model's begins, see `genoseq.families.models.scoring.place_wild_type`.
        most: how many at most.
    """
    table = single_variant_table(model, wild_type, begin=begin)
    every = [one for one in all_single_variants(wild_type) if np.isfinite(table[one[0].position, AMINO_ACIDS.index(one[0].new)])]
    if len(every) <= most:
        return every
    chance = np.random.default_rng(SEED)
    mixed: list[Variant] = []
    for _, group in groupby(every, key=lambda one: one[0].position):
        letters = list(group)
        mixed += [letters[at] for at in chance.permutation(len(letters)).tolist()]
    return sorted(mixed[at] for at in np.linspace(0, len(mixed) - 1, most).astype(int).tolist())


def joined_variants(
    model: FamilyModel, others: Mapping[str, LanguageScorer], wild_type: str, variants: Sequence[Variant], *, begin: int = 0
) -> Scores:
    """Joined scores of substitutions, and the scores of each model in its unit (of an ensemble of models: of its members).

    Args:
        model: of the family.
        others: language models of this wild type, by name; each is asked once for a sequence, whatever it is wanted for. A
            :class:`~genoseq.families.language.read_once.ReadOnce` keeps that up from call to call.
        wild_type: as given.
        variants: n; positions in the wild type from 0.
        begin: where in the wild type the model's begins, see `genoseq.families.models.scoring.place_wild_type`.

    Raises:
        UsageError: a model gives all single variants the same score, or knows none.
    """
    own = score_variants(model, variants, begin=begin)
    reference = rank_variants(model, wild_type, begin=begin)
    rows = [*variants, *reference]
    found = {name: _once(one, wild_type).score_variants(rows) for name, one in others.items()}
    return _joined(model, own, found, reference, begin)


def joined_sequences(
    model: FamilyModel, others: Mapping[str, LanguageScorer], wild_type: str, sequences: Sequence[str], *, begin: int = 0
) -> Scores:
    """`joined_variants` of whole sequences, upper case, without gaps.

    A sequence of another length has a score where the model of the family and all others have one: an ensemble or profile, PoET,
    a masked model by pseudo-likelihood. That of the family is then on its own scale for insertions and deletions.
    """
    own = score_sequences(model, wild_type, sequences, begin=begin)
    reference = rank_variants(model, wild_type, begin=begin)
    rows = [*sequences, *(apply_variant(wild_type, one) for one in reference)]
    found = {name: _once(one, wild_type).score_sequences(rows) for name, one in others.items()}
    return _joined(model, own, found, reference, begin)


def _once(scorer: LanguageScorer, wild_type: str) -> ReadOnce:
    return scorer if isinstance(scorer, ReadOnce) else ReadOnce(scorer, wild_type)


def _joined(model: FamilyModel, own: Scores, found: Mapping[str, Floats], reference: Sequence[Variant], begin: int) -> Scores:
    """The mean of ranks; ``found`` are scores of the variants asked for, then of the reference."""
    count = len(own.score)
    family = score_variants(model, reference, begin=begin).score
    # what one model cannot score (an unusual residue of the wild type) is no reference of any
    common = np.isfinite([family, *(values[count:] for values in found.values())]).all(axis=0)
    ranks = [_rank(RankScale(family[common]), own.score)]
    members = dict(own.members) or {model.kind: own.score}
    lost = np.zeros(count, np.bool_)
    for name, values in found.items():
        ranks.append(_rank(RankScale(values[count:][common]), values[:count]))
        members[name] = values[:count]
        lost |= np.isnan(values[:count])
    lost &= ~np.isnan(own.score)  # those that the model of the family has none for are counted already
    return Scores(np.mean(ranks, axis=0), members, own.outside, own.lengths + int(lost.sum()))


def _rank(scale: RankScale, scores: Floats) -> Floats:
    """Ranks less the wild type's, whose score is 0 by every model."""
    ranks: Floats = scale(scores) - scale(np.zeros(1))[0]
    return ranks
