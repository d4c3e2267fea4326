"""A profile HMM of a family: scores of any sequence, insertions and deletions included.

HMMER builds it (through pyhmmer) with every column of the wild type as a match state. A sequence's score is the forward
log-odds, through the whole model from begin to end, minus the wild type's. Single substitutions come from one forward and one
backward pass of the wild type. The effective number of sequences is that of clusters at 62 % (``hmmbuild --eclust``), not
HMMER's default, which thins the counts until the model finds remote homologues and blurs what single substitutions cost.

Durbin, R. et al. (1998), Biological Sequence Analysis; Eddy, S. R. (2011), PLoS Comput. Biol. 7:e1002195.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, ClassVar, Literal, Self, get_args

import numpy as np
from numpy.typing import NDArray

from genoseq.errors import InputError, UsageError
from genoseq.families.alignments.alignment import Alignment
from genoseq.families.alignments.profile_alignment import amino_alphabet, digital_alignment
from genoseq.families.alphabet import AMINO_ACIDS, GAP, decode, encode
from genoseq.families.models.model import FamilyModel, Focus, focus_of
from genoseq.families.models.profile_kernels import backward, forward

__all__ = ["EffectiveNumber", "ProfileModel", "fit_profile"]

EffectiveNumber = Literal["clust", "entropy", "exp", "none"]
SEED = 42  # of HMMER's calibration, which scores here do not use


class ProfileModel(FamilyModel):
    """Emissions and transitions of a Plan 7 model whose match states are the wild type's residues.

    Attributes:
        emissions: (M + 1, 20) probabilities of the match states, row 0 unused.
        moves: (M + 1, 7) transition probabilities MM, MI, MD, IM, II, DM, DD.
        background: (20,) frequencies that emissions are measured against; insertions emit these.
    """

    kind: ClassVar[str] = "profile"

    def __init__(
        self, focus: Focus, emissions: NDArray[np.float64], moves: NDArray[np.float64], background: NDArray[np.float64]
    ) -> None:
        super().__init__(focus)
        nodes = len(focus.modelled) + 1
        if emissions.shape != (nodes, GAP) or moves.shape != (nodes, 7) or background.shape != (GAP,):
            raise ValueError(f"emissions {emissions.shape} and transitions {moves.shape} do not fit {nodes - 1} match states")
        self.emissions, self.moves, self.background = emissions, moves, background
        self._odds = np.ones((nodes, 22))
        self._odds[:, :GAP] = emissions / background

    def log_odds(self, sequence: str) -> float:
        """Forward log-odds (nats) of a whole sequence against the background; minus infinity if no path emits it."""
        codes = encode(sequence)
        if (codes == GAP).any():
            raise InputError("the sequence has gaps, expected residues only", remedy="leave the gaps out")
        shape = (len(codes) + 1, len(self.emissions))
        return float(forward(self._odds, self.moves, codes, np.empty(shape), np.empty(shape), np.empty(shape[0])))

    @cached_property
    def _wild_log_odds(self) -> float:
        if not self.wild_type:
            raise UsageError("the model has no wild type: fit it to an alignment with a query to score variants")
        return self.log_odds(self.wild_type)

    @cached_property
    def _posteriors(self) -> NDArray[np.float64]:
        """(n, M + 1) probabilities that a residue of the wild type is emitted by each match state."""
        codes = encode(self.wild_type)
        shape = (len(codes) + 1, len(self.emissions))
        ahead, behind = np.empty(shape), np.empty(shape)
        up, down = np.empty(shape[0]), np.empty(shape[0])
        spare = np.empty(shape)
        whole = forward(self._odds, self.moves, codes, ahead, spare, up)
        backward(self._odds, self.moves, codes, behind, spare, down)
        posteriors: NDArray[np.float64] = (ahead * behind)[1:] * np.exp(up + down - whole)[1:, None]
        return posteriors

    def single_scores(self) -> NDArray[np.float64]:
        """(L, 20) log ratios of all single variants: the wild type's paths, each with the new letter where it has the old one."""
        self.focus.codes  # noqa: B018  (refuses a model without wild type)
        codes = encode(self.wild_type)
        old = self._odds[:, codes].T  # (n, M + 1)
        posteriors = self._posteriors
        weights = np.divide(posteriors, old, out=np.zeros_like(posteriors), where=old > 0)
        ratios = weights @ self._odds[:, :GAP] + np.maximum(0.0, 1 - posteriors.sum(axis=1))[:, None]
        ratios[codes >= GAP] = np.nan
        scores: NDArray[np.float64] = np.log(ratios)[self.focus.modelled]
        return scores

    def _score_sites(self, sites: NDArray[np.intp], letters: NDArray[np.intp]) -> NDArray[np.float64]:
        if sites.shape[1] == 1:
            return self.single_scores()[sites[:, 0], letters[:, 0]]
        places = np.flatnonzero(self.focus.modelled)[sites]
        rows = np.repeat(encode(self.wild_type)[None], len(sites), axis=0)
        rows[np.arange(len(sites))[:, None], places] = letters
        return self.score_sequences([decode(row) for row in rows])

    def score_sequences(self, sequences: Sequence[str]) -> NDArray[np.float64]:
        """Log-odds minus the wild type's, of sequences of any length (without a wild type: the log-odds)."""
        base = self._wild_log_odds if self.wild_type else 0.0
        return np.array([self.log_odds(one) - base for one in sequences])

    def tensors(self) -> dict[str, NDArray[Any]]:
        """Emissions, transitions and background."""
        return {"emissions": self.emissions, "moves": self.moves, "background": self.background}

    @classmethod
    def restore(cls, focus: Focus, tensors: Mapping[str, NDArray[Any]]) -> Self:
        """The model of such tensors."""
        return cls(focus, *(np.array(tensors[name], np.float64) for name in ("emissions", "moves", "background")))


def fit_profile(alignment: Alignment, *, effective_number: EffectiveNumber = "clust") -> ProfileModel:
    """Have HMMER build a model with all columns as match states.

    Args:
        alignment: its rows as filtered.
        effective_number: how HMMER counts the sequences.

    Raises:
        UsageError: an unknown ``effective_number``.
        InputError: HMMER cannot build a model.
    """
    if effective_number not in get_args(EffectiveNumber):
        raise UsageError(
            f"{effective_number!r} is no way to count sequences: expected one of {', '.join(get_args(EffectiveNumber))}"
        )
    from pyhmmer.plan7 import Background, Builder

    letters = amino_alphabet()
    if letters.symbols[:GAP] != AMINO_ACIDS:
        raise ValueError(f"pyhmmer orders the amino acids {letters.symbols[:GAP]}, expected {AMINO_ACIDS}")
    filled = np.flatnonzero((alignment.matrix != GAP).any(axis=1))
    rows = [alignment.row(number) for number in filled.tolist()]
    aligned = digital_alignment(rows, "x" * alignment.length, name="family")
    background = Background(letters)
    builder = Builder(letters, architecture="hand", effective_number=effective_number, seed=SEED)
    try:
        model: Any = builder.build_msa(aligned, background)[0]
    except (ValueError, ArithmeticError, RuntimeError) as error:
        raise InputError(f"HMMER cannot build a profile of the alignment ({error})") from error
    focus = focus_of(alignment, effective_number=effective_number, rows=len(filled), effective_rows=float(model.nseq_effective))
    return ProfileModel(
        focus,
        np.array(model.match_emissions, np.float64),
        np.array(model.transition_probabilities, np.float64),
        np.array(background.residue_frequencies, np.float64),
    )
