"""Several models as one: the weighted mean of their ranks, each rank taken among all single variants of the wild type.

The ranks are against a fixed set, the single variants of all columns that all members model, so that a variant's score never
depends on which others are scored with it. A member's score becomes the share of the single variants below it (interpolated);
beyond the worst and best ``TAIL`` of them it goes on along a straight line, so that multiple variants far below every single
one still differ. The mean over the members, less the wild type's, is the score: 0 is the wild type, -0.4 is 40 percentiles
lower.

Members that know substitutions only cannot score insertions and deletions. A further model, the profile HMM, scores sequences
of another length than the wild type's, on the same scale: its own ranks among its single variants. One more model may come
along for new members of the family; it has no part in the scores.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from genoseq.errors import UsageError
from genoseq.families.alphabet import GAP
from genoseq.families.models.model import FamilyModel, Focus

__all__ = ["EnsembleModel", "RankScale"]

TAIL = 0.01
INDELS, SAMPLER = "indels", "sampler"


class RankScale:
    """From a score to its rank, 0 to 1, among reference scores; beyond them along a line.

    >>> scale = RankScale(np.arange(101.0))
    >>> scale(np.array([50.0, 99.0, 200.0])).round(3).tolist()
    [0.5, 0.99, 2.0]
    """

    def __init__(self, reference: NDArray[np.float64]) -> None:
        values, counts = np.unique(reference[np.isfinite(reference)], return_counts=True)
        if len(values) < 2:
            raise UsageError("ranks need at least two different scores of single variants")
        self._values = values
        self._ranks = (np.cumsum(counts) - (counts + 1) / 2) / max(1, counts.sum() - 1)
        self._low, self._high = np.interp([TAIL, 1 - TAIL], self._ranks, values)
        if not self._low < self._high:
            self._low, self._high = values[0], values[-1]
        self._slope = (self._rank(self._high) - self._rank(self._low)) / (self._high - self._low)

    def _rank(self, scores: Any) -> Any:
        return np.interp(scores, self._values, self._ranks)

    def __call__(self, scores: NDArray[np.float64]) -> NDArray[np.float64]:
        """Ranks of scores of any shape; NaN stays NaN."""
        inside = np.clip(scores, self._low, self._high)
        ranks: NDArray[np.float64] = self._rank(inside) + (scores - inside) * self._slope
        return ranks


class EnsembleModel(FamilyModel):
    """The mean rank of several models of one wild type.

    Attributes:
        members: by name, in alphabetical order.
        weights: of the members' ranks, by name; equal unless given.
        indels: scores whole sequences of another length than the wild type's, and nothing else; None: those are NaN.
        sampler: draws new members, and nothing else; None: the model draws none.
    """

    kind: ClassVar[str] = "ensemble"
    unit: ClassVar[str] = "difference of mean ranks"

    def __init__(
        self,
        members: Mapping[str, FamilyModel],
        *,
        weights: Mapping[str, float] | None = None,
        indels: FamilyModel | None = None,
        sampler: FamilyModel | None = None,
    ) -> None:
        if len(members) < 2:
            raise UsageError("an ensemble needs at least two models")
        first = next(iter(members.values()))
        others = {name: one for name, one in ((INDELS, indels), (SAMPLER, sampler)) if one is not None}
        for name, one in [*members.items(), *others.items()]:
            if one.wild_type != first.wild_type or not np.array_equal(one.focus.modelled, first.focus.modelled):
                raise UsageError(f"the models of an ensemble are of one wild type and its columns, {name} is of another")
        settings: dict[str, Any] = {
            "members": {name: {"kind": one.kind, **one.focus.settings} for name, one in members.items()},
            "weights": {name: float(weights[name]) if weights is not None else 1.0 for name in members},
        }
        if min(settings["weights"].values()) <= 0:
            raise UsageError("the weights of an ensemble are above 0")
        settings |= {name: {"kind": one.kind, **one.focus.settings} for name, one in others.items()}
        super().__init__(Focus(first.wild_type, first.start, first.focus.modelled, first.focus.alignment_sha256, settings))
        self.members = dict(sorted(members.items()))  # as a file keeps them
        self.weights: dict[str, float] = settings["weights"]
        self.indels = indels
        self.sampler = sampler

    def _scale(self, model: FamilyModel) -> RankScale:
        singles = model.single_scores()
        own = self.focus.codes
        known = np.flatnonzero(own < GAP)
        singles[known, own[known]] = np.nan  # the wild type is no variant
        return RankScale(singles)

    @cached_property
    def _scales(self) -> dict[str, RankScale]:
        return {name: self._scale(one) for name, one in self.members.items()}

    @cached_property
    def _indel_scale(self) -> RankScale | None:
        return None if self.indels is None else self._scale(self.indels)

    def combine(self, scores: Mapping[str, NDArray[np.float64]]) -> NDArray[np.float64]:
        """The ensemble's scores of those of its members, of any one shape."""
        ranks = [self._scales[name](scores[name]) - self._scales[name](np.zeros(1))[0] for name in self.members]
        mean: NDArray[np.float64] = np.average(ranks, axis=0, weights=[self.weights[name] for name in self.members])
        return mean

    def single_scores(self) -> NDArray[np.float64]:
        """(L, 20) differences of mean ranks to the wild type."""
        return self.combine({name: one.single_scores() for name, one in self.members.items()})

    def _score_sites(self, sites: NDArray[np.intp], letters: NDArray[np.intp]) -> NDArray[np.float64]:
        return self.combine({name: one._score_sites(sites, letters) for name, one in self.members.items()})

    def score_sequences(self, sequences: Sequence[str]) -> NDArray[np.float64]:
        """Differences of mean ranks to the wild type; of ranks by ``indels`` where the length is another."""
        scores = self.combine({name: one.score_sequences(sequences) for name, one in self.members.items()})
        other = [number for number, one in enumerate(sequences) if len(one) != len(self.focus.modelled)]
        if other and self.indels is not None and self._indel_scale is not None:
            raw = self.indels.score_sequences([sequences[number] for number in other])
            scores[other] = self._indel_scale(raw) - self._indel_scale(np.zeros(1))[0]
        return scores

    def tensors(self) -> dict[str, NDArray[Any]]:
        """Those of the members, each under its name and a dot."""
        models = {**self.members, INDELS: self.indels, SAMPLER: self.sampler}
        return {
            f"{name}.{key}": value
            for name, one in models.items()
            if one is not None
            for key, value in one.tensors().items()
        }

    @classmethod
    def restore(cls, focus: Focus, tensors: Mapping[str, NDArray[Any]]) -> Self:
        """The model of such tensors; ``focus.settings["members"]`` says what they are."""
        from genoseq.families.models.model_file import KINDS, model_class

        def part(name: str, settings: Mapping[str, Any]) -> FamilyModel:
            if settings["kind"] not in KINDS or settings["kind"] == cls.kind:
                raise ValueError(f"a member of kind {settings['kind']!r}")
            rest = {key: value for key, value in settings.items() if key != "kind"}
            own = Focus(focus.wild_type, focus.start, focus.modelled, focus.alignment_sha256, rest)
            mine = {key.partition(".")[2]: value for key, value in tensors.items() if key.startswith(f"{name}.")}
            return model_class(settings["kind"]).restore(own, mine)

        members = {name: part(name, settings) for name, settings in focus.settings["members"].items()}
        others = {name: part(name, focus.settings[name]) for name in (INDELS, SAMPLER) if name in focus.settings}
        return cls(members, weights=focus.settings["weights"], **others)
