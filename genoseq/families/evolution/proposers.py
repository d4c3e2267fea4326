"""Models of this package as proposers and scorers of :mod:`genoseq.families.evolution.extrapolate`."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from genoseq.families.alphabet import AMINO_ACIDS, GAP, encode
from genoseq.families.evolution.extrapolate import Proposer, Scorer
from genoseq.families.language.masked import MaskedModel, MaskedScorer, Method
from genoseq.families.models.ensemble import EnsembleModel
from genoseq.families.models.model import FamilyModel
from genoseq.families.models.potts import PottsModel
from genoseq.families.models.scoring import place_wild_type, score_sequences, single_variant_table

__all__ = ["family_proposer", "family_scorer", "masked_proposer", "masked_scorer"]

Floats = NDArray[np.float64]


def family_proposer(model: FamilyModel, wild_type: str) -> Proposer:
    """What a model of the family likes at each residue: given all others for a Potts model, else by its single variants.

    Of an ensemble, its Potts model speaks if it has one. Residues outside the modelled columns are never changed.

    Raises:
        InputError: the wild type is not the model's.
    """
    if isinstance(model, EnsembleModel):
        potts = next((one for one in model.members.values() if isinstance(one, PottsModel)), None)
        model = potts or next(iter(model.members.values()))
    begin = place_wild_type(wild_type, model)
    if not isinstance(model, PottsModel):
        table = single_variant_table(model, wild_type, begin=begin)
        return lambda sequence: table
    potts_model = model
    where = [
        (position + begin, site)
        for position, site in enumerate(model.focus.sites.tolist())
        if site >= 0 and 0 <= position + begin < len(wild_type)
    ]
    own = model.focus.codes

    def conditionals(sequence: str) -> Floats:
        given = encode(sequence)
        codes = own.copy()
        for position, site in where:
            codes[site] = given[position]
        logits = np.full((len(sequence), len(AMINO_ACIDS)), np.nan)
        for position, site in where:
            logits[position] = potts_model.conditional_logits(codes[None], site)[0, :GAP]
        return logits

    return conditionals


def family_scorer(model: FamilyModel, wild_type: str) -> Scorer:
    """The model's scores of whole sequences against the wild type.

    Raises:
        InputError: the wild type is not the model's.
    """
    begin = place_wild_type(wild_type, model)
    return lambda sequences: score_sequences(model, wild_type, list(sequences), begin=begin).score


def masked_proposer(model: MaskedModel) -> Proposer:
    """What a masked language model likes at each residue, nothing masked: one pass a sequence."""
    return lambda sequence: model.open_log_probabilities(sequence)[:, model.letters]


def masked_scorer(model: MaskedModel, wild_type: str, *, method: Method = "masked-marginal") -> Scorer:
    """A masked language model's scores against the wild type.

    The marginal methods add up single substitutions and so see no interactions; pseudo-likelihood does, at one pass a residue of
    every sequence.

    Raises:
        UsageError: no such method.
    """
    return MaskedScorer(model, wild_type, method=method).score_sequences
