"""Words of a sequence (k-mers of bases, or of amino acids in six frames) as whole numbers, and sketches of their sets.

Nucleotide words are canonical: a word and its reverse complement are one. Words of the translation come from all six frames and
are a set as well, so nothing here depends on the strand a sequence is given on. Amino acids keep what bases have lost: at 60 %
identity of proteins few 21-mers of bases are left, and composition (G+C) says more about a genome's bases than about its
proteins.

A sketch keeps the words whose hash falls below a fraction ``1 / scaled`` of the range (FracMinHash: Irber et al. 2022, bioRxiv
2022.01.11.475838; Hera, Pierce-Ward & Koslicki, Genome Research 33:1061, 2023). The same word is kept in every genome or in
none, so sketches can be compared and joined. A share p estimated from n kept words has a standard error of sqrt(p (1 - p) / n).
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from genoseq.classify.sequences import SequenceInputError
from genoseq.seqs.alphabet import encode
from genoseq.seqs.overlap import canonical_words
from genoseq.tokenizers.genetic import genetic_code as code_numbered

__all__ = ["LONGEST", "Words", "amino_acids", "hashed", "low_complexity", "translate_frames"]

Kind = Literal["nucleotide", "translated", "protein"]
Hashes = NDArray[np.uint64]

LONGEST = {"nucleotide": 31, "translated": 12, "protein": 12}
"""Longest word of each kind, in bases or amino acids."""

PIECE = 1 << 21  # bases taken at a time, so that memory does not grow with a chromosome
NUCLEOTIDE_PIECE = 1 << 16  # so that the words being joined stay in the processor's cache
LETTERS = b"ACDEFGHIKLMNPQRSTVWY"
STOP, OTHER = 20, 21

_PROTEIN_CODES = np.full(256, OTHER, np.uint8)
_PROTEIN_CODES[list(LETTERS)] = np.arange(20)
_PROTEIN_CODES[ord("*")] = STOP


@functools.cache
def _codon_table(number: int) -> NDArray[np.uint8]:
    """Amino acid code of each codon number (first base times 16, and so on); the last entry is that of codons with N."""
    letters = code_numbered(number).amino_acids.encode()
    return np.append(_PROTEIN_CODES[np.frombuffer(letters, np.uint8)], np.uint8(OTHER))


def amino_acids(protein: bytes) -> NDArray[np.uint8]:
    """Codes ``(L,)`` of a protein: 0 to 19 in the order ``ACDEFGHIKLMNPQRSTVWY``, 20 a stop, 21 anything else."""
    return _PROTEIN_CODES[np.frombuffer(protein, np.uint8)]


def translate_frames(codes: NDArray[np.uint8], *, both: bool = True, genetic_code: int = 1) -> list[NDArray[np.uint8]]:
    """Amino acid codes of the frames of base codes ``(L,)``: three, or six with the other strand; each ``((L - frame) // 3,)``.

    >>> [len(frame) for frame in translate_frames(encode(b"ATGAAATGA"))]
    [3, 2, 2, 3, 2, 2]
    """
    table = _codon_table(genetic_code)
    strands = [codes]
    if both:
        strands.append(np.array([3, 2, 1, 0, 4], np.uint8)[codes][::-1])
    frames = []
    for strand in strands:
        for start in range(3):
            count = max(0, (len(strand) - start) // 3)
            codons = strand[start : start + 3 * count].reshape(count, 3).astype(np.intp)
            number = codons[:, 0] * 16 + codons[:, 1] * 4 + codons[:, 2]
            frames.append(table[np.where((codons > 3).any(axis=1), 64, number)])
    return frames


def _protein_words(codes: NDArray[np.uint8], k: int) -> Hashes:
    """Words of amino acids without a stop or an unknown one, 5 bits a letter; not sorted, not distinct."""
    count = len(codes) - k + 1
    if count < 1:
        return np.empty(0, np.uint64)
    words = np.zeros(count, np.uint64)
    valid = np.ones(count, bool)
    for i in range(k):
        column = codes[i : i + count]
        valid &= column < STOP
        words = (words << np.uint64(5)) | column.astype(np.uint64)
    return words[valid]


def _long_runs(frame: NDArray[np.uint8], shortest: int) -> NDArray[np.uint8]:
    """The frame with every shorter run of amino acids between stops (or unknown ones) turned to unknown."""
    if shortest <= 1:
        return frame
    breaks = np.flatnonzero(frame >= STOP)
    edges = np.concatenate([[-1], breaks, [len(frame)]])
    lengths = np.diff(edges) - 1
    keep = np.repeat(lengths >= shortest, lengths + 1)[: len(frame)]
    return np.where(keep, frame, np.uint8(OTHER)).astype(np.uint8)


def hashed(words: Hashes) -> Hashes:
    """A hash of each word, one to one (the finaliser of SplitMix64: Steele, Lea & Flood, OOPSLA 2014)."""
    mixed = words + np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))


def low_complexity(words: Hashes, k: int) -> NDArray[np.float64]:
    """How repetitive each nucleotide word is: the DUST score, 0 for k - 2 different triplets; above 0.5 it is repetitive.

    The score is the sum of c (c - 1) / 2 over the counts c of triplets, by the number of triplets less one (Morgulis et al.,
    Journal of Computational Biology 13:1028, 2006). The same for a word and its reverse complement. Returns ``(n,)``; 0 where k
    < 4.

    >>> low_complexity(canonical_words(encode(b"CAGCAGCAGCAGCAGCAGCAG"), 21), 21).round(2).tolist()
    [2.83]
    """
    count = k - 2
    if count < 2:
        return np.zeros(len(words))
    triplets = np.stack([((words >> np.uint64(2 * i)) & np.uint64(63)).astype(np.uint8) for i in range(count)], axis=1)
    triplets.sort(axis=1)
    run = np.zeros(len(words))
    score = np.zeros(len(words))
    for i in range(1, count):
        run = np.where(triplets[:, i] == triplets[:, i - 1], run + 1, 0)
        score += run
    return score / (count - 1)


@dataclass(frozen=True)
class Words:
    """A way of making the set of words of a sequence.

    Attributes:
        k: length of a word, in bases (1 to 31) or amino acids (1 to 12).
        kind: ``nucleotide`` (canonical), ``translated`` (amino acids of six frames) or ``protein``.
        scaled: keep about one word in so many; 1 keeps all.
        genetic_code: NCBI's number of the genetic code, for ``translated``.
        open_run: for ``translated``: take words only from stretches without a stop of at least so many amino acids. In genomes
            about five of six frames are noise, in which a stop comes every 20 or so; noise meets noise by chance. (A stretch
            across a multiple of 2,097,152 bases counts as two.)

    Raises:
        SequenceInputError: an option out of range.

    >>> Words(k=3).of(b"ACGT").tolist()
    [6]
    """

    k: int
    kind: Kind = "nucleotide"
    scaled: int = 1
    genetic_code: int = 1
    open_run: int = 0

    def __post_init__(self) -> None:
        if self.kind not in LONGEST:
            raise SequenceInputError(f"the kind of words is {self.kind!r}, expected one of {', '.join(LONGEST)}")
        if isinstance(self.k, bool) or not isinstance(self.k, (int, np.integer)) or not 1 <= self.k <= LONGEST[self.kind]:
            raise SequenceInputError(f"k is {self.k!r}, expected 1 to {LONGEST[self.kind]} for {self.kind} words")
        if isinstance(self.scaled, bool) or not isinstance(self.scaled, (int, np.integer)) or self.scaled < 1:
            raise SequenceInputError(f"scaled is {self.scaled!r}, expected a whole number of at least 1")
        if isinstance(self.open_run, bool) or not isinstance(self.open_run, (int, np.integer)) or self.open_run < 0:
            raise SequenceInputError(f"open_run is {self.open_run!r}, expected a whole number of at least 0")

    def of(self, sequence: bytes) -> Hashes:
        """The distinct words of a sequence (upper-case letters), sorted."""
        return np.unique(np.concatenate([np.empty(0, np.uint64), *self._pieces(sequence)]))

    def of_all(self, sequences: Iterable[bytes]) -> Hashes:
        """The distinct words of several sequences (the contigs of a genome), sorted; no word reaches from one to the next."""
        parts = [self.of(sequence) for sequence in sequences]
        return np.unique(np.concatenate(parts)) if parts else np.empty(0, np.uint64)

    def error(self, share: float, kept: int) -> float:
        """Standard error of a share estimated from ``kept`` words: 0 where every word is kept, NaN where none is.

        >>> Words(k=21, scaled=1000).error(0.5, 2500)
        0.01
        """
        if self.scaled == 1:
            return 0.0
        return math.sqrt(max(0.0, share * (1 - share)) / kept) if kept else math.nan

    def _pieces(self, sequence: bytes) -> Iterable[Hashes]:
        """The words that are kept, neither sorted nor distinct: what is left out need not be sorted, which is what costs."""
        if self.kind == "protein":
            yield self._kept(_protein_words(amino_acids(sequence), self.k))
            return
        span, piece = (self.k, NUCLEOTIDE_PIECE) if self.kind == "nucleotide" else (3 * self.k, PIECE)
        for start in range(0, max(1, len(sequence) - span + 1), piece):  # so many starts, each with a whole word
            codes = encode(sequence[start : start + piece + span - 1])
            if self.kind == "nucleotide":
                yield self._kept(canonical_words(codes, self.k))
            else:
                for frame in translate_frames(codes, genetic_code=self.genetic_code):
                    yield self._kept(_protein_words(_long_runs(frame, self.open_run), self.k))

    def _kept(self, words: Hashes) -> Hashes:
        if self.scaled == 1:
            return words
        return words[hashed(words) < np.uint64((1 << 64) // self.scaled)]
