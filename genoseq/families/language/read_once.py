"""A language model that is asked for no sequence twice.

A PoET reads every variant by itself: what is asked for, what ranks are taken among, and what a figure shows overlap, and
one score of each will do for all of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from genoseq.families.variants.notation import Variant, check_variants

__all__ = ["LanguageScorer", "ReadOnce", "sequences_to_read"]

Floats = NDArray[np.float64]


class LanguageScorer(Protocol):
    """What scores sequences against a wild type in nats: :class:`~genoseq.families.language.masked.MaskedScorer`, PoET."""

    def score_variants(self, variants: Sequence[Variant]) -> Floats:
        """(n,) scores of substitutions of any order; NaN where there is none."""
        ...

    def score_sequences(self, sequences: Sequence[str]) -> Floats:
        """(n,) scores of whole sequences; NaN where there is none."""
        ...


class ReadOnce:
    """A scorer that keeps what it was told: each sequence is scored the first time it is asked for.

    Args:
        scorer: of one wild type.
        wild_type: that protein.
        planned: sequences that will be asked for sooner or later; they are scored with the first that are, since a prompt is
            read anew for each call.
    """

    def __init__(self, scorer: LanguageScorer, wild_type: str, *, planned: Iterable[str] = ()) -> None:
        self._scorer, self._wild_type = scorer, wild_type.upper()
        self._planned = tuple(planned)
        self._known: dict[str, float] = {}

    def score_variants(self, variants: Sequence[Variant]) -> Floats:
        """(n,) scores of substitutions of any order; NaN where there is none.

        Raises:
            VariantsError: some disagree with the wild type.
        """
        check_variants(self._wild_type, variants)
        return self.score_sequences([_applied(self._wild_type, one) for one in variants])

    def score_sequences(self, sequences: Sequence[str]) -> Floats:
        """(n,) scores of whole sequences, upper case; NaN where there is none."""
        if not self._known.keys() >= set(sequences):
            wanted = [one for one in dict.fromkeys([*sequences, *self._planned]) if one not in self._known]
            self._known.update(zip(wanted, self._scorer.score_sequences(wanted).tolist(), strict=True))
        return np.array([self._known[one] for one in sequences], np.float64)


def sequences_to_read(wild_type: str, variants: Iterable[Variant] = (), sequences: Iterable[str] = ()) -> list[str]:
    """The wild type, and those of the variants and sequences, each once.

    >>> from genoseq.families.variants.notation import parse_variant
    >>> sequences_to_read("ADE", [parse_variant("D2N"), parse_variant("D2N")], ["ANE", "AE"])
    ['ADE', 'ANE', 'AE']
    """
    own = wild_type.upper()
    return list(dict.fromkeys([own, *(_applied(own, one) for one in variants), *sequences]))


def _applied(wild_type: str, variant: Variant) -> str:
    """The sequence of a variant that has been checked: assays hold half a million of them."""
    letters = list(wild_type)
    for position, _, new in variant:
        letters[position] = new
    return "".join(letters)
