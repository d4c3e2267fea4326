"""What all models of a family have in common: the columns they are about, and scores of variants and sequences.

Scores are log ratios to the wild type in nats unless a model says otherwise by its ``unit``: the wild type has 0, higher is
fitter. What a model cannot score is NaN: a variant of a column that is not modelled or outside the alignment, or of a residue
that is not known.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from genoseq.errors import UsageError
from genoseq.families.alignments.alignment import Alignment
from genoseq.families.alphabet import AMINO_ACIDS, GAP, encode
from genoseq.families.variants.notation import Variant

__all__ = ["FamilyModel", "Focus", "focus_of"]


@dataclass(frozen=True, eq=False)
class Focus:
    """The columns that a model is about, and where they come from.

    Attributes:
        wild_type: the alignment's query; empty if it has none.
        start: number of its first residue in its protein, from 0.
        modelled: (n,) bool over the residues of the wild type (without one, over the alignment's columns).
        alignment_sha256: of the alignment's matrix as it was given.
        settings: how the model was fitted, plain values.
    """

    wild_type: str
    start: int
    modelled: NDArray[np.bool_]
    alignment_sha256: str
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def length(self) -> int:
        """Number L of modelled columns."""
        return int(self.modelled.sum())

    @property
    def sites(self) -> NDArray[np.intp]:
        """(n,) number of the modelled column of each residue of the wild type, -1 where it is not modelled."""
        return np.where(self.modelled, np.cumsum(self.modelled) - 1, -1).astype(np.intp)

    @property
    def codes(self) -> NDArray[np.uint8]:
        """(L,) codes of the wild type in the modelled columns.

        Raises:
            UsageError: there is no wild type.
        """
        if not self.wild_type:
            raise UsageError("the model has no wild type: fit it to an alignment with a query to score variants")
        return encode(self.wild_type)[self.modelled]


def focus_of(alignment: Alignment, **settings: Any) -> Focus:
    """The focus of a model of ``alignment`` fitted with these settings."""
    digest = hashlib.sha256(np.ascontiguousarray(alignment.matrix).data).hexdigest()
    return Focus(alignment.query or "", alignment.start, alignment.modelled.copy(), digest, settings)


class FamilyModel(ABC):
    """A model of a protein family. Children say what a substitution costs; see :class:`Focus` for the columns.

    Attributes:
        kind: its name in files and on the command line.
        unit: of its scores; empty if they have none.
    """

    kind: ClassVar[str]
    unit: ClassVar[str] = "nats"

    def __init__(self, focus: Focus) -> None:
        self.focus = focus

    @property
    def wild_type(self) -> str:
        """The alignment's query; empty if it had none."""
        return self.focus.wild_type

    @property
    def start(self) -> int:
        """Number of the wild type's first residue in its protein, from 0."""
        return self.focus.start

    @abstractmethod
    def single_scores(self) -> NDArray[np.float64]:
        """(L, 20) scores of all single variants of the modelled columns; NaN where the wild type's residue is not known."""

    @abstractmethod
    def _score_sites(self, sites: NDArray[np.intp], letters: NDArray[np.intp]) -> NDArray[np.float64]:
        """Scores (n,) of n variants of k substitutions each: modelled columns and new letters, both (n, k), k >= 1."""

    @abstractmethod
    def score_sequences(self, sequences: Sequence[str]) -> NDArray[np.float64]:
        """Scores (n,) of whole sequences against the wild type; NaN where the model needs its length and theirs is another."""

    @abstractmethod
    def tensors(self) -> dict[str, NDArray[Any]]:
        """The model's numbers by name."""

    @classmethod
    @abstractmethod
    def restore(cls, focus: Focus, tensors: Mapping[str, NDArray[Any]]) -> FamilyModel:
        """The model of such numbers.

        Raises:
            KeyError, ValueError: they are not those of such a model.
        """

    def score_variants(self, variants: Sequence[Variant]) -> NDArray[np.float64]:
        """Scores (n,) of substitutions of any order; positions count in ``wild_type`` from 0.

        The result of a variant does not depend on the others. A substitution by the wild type's own letter changes nothing.

        Raises:
            UsageError: the model has no wild type.
        """
        scores = np.zeros(len(variants))
        own = self.focus.codes
        where = self.focus.sites
        groups: dict[int, list[int]] = defaultdict(list)
        found: dict[int, tuple[list[int], list[int]]] = {}
        for number, variant in enumerate(variants):
            sites, letters = [], []
            for position, _, new in variant:
                site = int(where[position]) if 0 <= position < len(where) else -1
                if site < 0 or own[site] >= GAP:
                    scores[number] = np.nan
                    break
                code = AMINO_ACIDS.index(new)
                if code != own[site]:
                    sites.append(site)
                    letters.append(code)
            else:
                if sites:
                    found[number] = (sites, letters)
                    groups[len(sites)].append(number)
        for numbers in groups.values():
            pairs = [found[number] for number in numbers]
            scores[numbers] = self._score_sites(
                np.array([sites for sites, _ in pairs], np.intp), np.array([letters for _, letters in pairs], np.intp)
            )
        return scores

    def _aligned(self, sequences: Sequence[str]) -> tuple[NDArray[np.intp], NDArray[np.uint8]]:
        """Which sequences have the wild type's length, and the codes of those in the modelled columns."""
        length = len(self.focus.modelled)
        numbers = np.array([number for number, one in enumerate(sequences) if len(one) == length], np.intp)
        codes = [encode(sequences[number])[self.focus.modelled] for number in numbers]
        return numbers, np.array(codes, np.uint8).reshape(len(numbers), self.focus.length)
