"""What a classifier looks at: a channel turns sequences into symbols and knows what they cost under each class.

``nucleotide`` reads the bases, ``composition`` too but only few at a time, ``translated`` the amino acids along the reading
frames that it finds, ``protein`` given residues.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genoseq.classify.context import AMINO_ACIDS, NUCLEOTIDES, Alphabet, CodeLengths, ContextMixture, Flat, MixtureSettings
from genoseq.classify.translation import find_frames, first_scores, learn_frames, read_residues, residue_codes
from genoseq.seqs.alphabet import COMPLEMENT, encode

__all__ = ["CHANNELS", "Channel", "both_strands"]

Labels = NDArray[np.int64]


def both_strands(sequences: Flat) -> Flat:
    """The sequences, and after them their reverse complements."""
    reverse = [
        COMPLEMENT[sequences.codes[a:b]][::-1]
        for a, b in zip(sequences.offsets[:-1].tolist(), sequences.offsets[1:].tolist(), strict=True)
    ]
    return Flat(
        np.concatenate([sequences.codes, *reverse]),
        np.concatenate([sequences.offsets, sequences.offsets[1:] + sequences.offsets[-1]]),
    )


class Channel:
    """A mixture and the way from letters to its symbols. This one reads bases.

    Args:
        classes: how many there are.
        settings: of the mixture.
        strands: ``both`` counts the reverse complements of training sequences too, ``forward`` does not.
        code: genetic code, where there is translation.
    """

    name = "nucleotide"
    alphabet: Alphabet = NUCLEOTIDES

    def __init__(self, classes: int, settings: MixtureSettings, *, strands: str = "both", code: int | str = 1) -> None:
        self.strands, self.code = strands, code
        self.mixture = ContextMixture(self.alphabet, classes, settings)

    def prepare(self, sequences: Flat) -> None:
        """Learn from the first training sequences what has to be known before they are counted."""

    def symbols(self, sequences: Flat) -> Flat:
        """Symbols of sequences, which come as :func:`letters` gives them."""
        return sequences

    def add(self, sequences: Flat, labels: Labels, *, threads: int = 1) -> None:
        """Count training sequences."""
        self.mixture.add(*self._to_count(sequences, labels), threads=threads)

    def change(self, sequences: Flat, labels: Labels, *, by: int, threads: int = 1) -> None:
        """Take training sequences out of the counts (-1) or put them back (1)."""
        self.mixture.change(*self._to_count(sequences, labels), by=by, threads=threads)

    def code_lengths(self, sequences: Flat, *, threads: int = 1) -> CodeLengths:
        """What sequences cost."""
        return self.mixture.code_lengths(self.symbols(sequences), threads=threads)

    def _to_count(self, sequences: Flat, labels: Labels) -> tuple[Flat, Labels]:
        if self.strands == "both":
            return both_strands(sequences), np.concatenate([labels, labels])
        return sequences, labels

    def tensors(self) -> dict[str, NDArray[Any]]:
        """What is saved of it."""
        return dict(self.mixture.arrays)

    def restore(self, tensors: Mapping[str, NDArray[Any]]) -> None:
        """Take over what was saved."""
        mixture = self.mixture
        self.mixture = ContextMixture.of_arrays(mixture.alphabet, mixture.classes, mixture.settings, tensors)


class CompositionChannel(Channel):
    """Reads bases too, with short contexts and weights that hardly change: the composition of a whole sequence."""

    name = "composition"


class TranslatedChannel(Channel):
    """Reads the amino acids along the reading frames; they are the same whichever strand is given."""

    name = "translated"
    alphabet = AMINO_ACIDS

    def __init__(self, classes: int, settings: MixtureSettings, *, strands: str = "both", code: int | str = 1) -> None:
        super().__init__(classes, settings, strands=strands, code=code)
        self.scores = first_scores(code)

    def prepare(self, sequences: Flat) -> None:
        self.scores = learn_frames(sequences, code=self.code)

    def symbols(self, sequences: Flat) -> Flat:
        return read_residues(sequences, find_frames(sequences, self.scores), code=self.code)

    def _to_count(self, sequences: Flat, labels: Labels) -> tuple[Flat, Labels]:
        return self.symbols(sequences), labels

    def tensors(self) -> dict[str, NDArray[Any]]:
        return super().tensors() | {"hexamers": self.scores}

    def restore(self, tensors: Mapping[str, NDArray[Any]]) -> None:
        own = dict(tensors)
        self.scores = np.array(own.pop("hexamers"))
        super().restore(own)


class ProteinChannel(Channel):
    """Reads given residues."""

    name = "protein"
    alphabet = AMINO_ACIDS

    def _to_count(self, sequences: Flat, labels: Labels) -> tuple[Flat, Labels]:
        return sequences, labels


def letters(sequences: Sequence[bytes], *, protein: bool) -> Flat:
    """Codes of sequences: residues of proteins, else bases."""
    return Flat.of([residue_codes(one) if protein else encode(one) for one in sequences])


CHANNELS: dict[str, type[Channel]] = {one.name: one for one in (Channel, CompositionChannel, TranslatedChannel, ProteinChannel)}
