"""Nearest neighbours by compression: `NCDClassifier`; and `ClassCompressor`, which compresses given a whole class.

The normalised compression distance of Li et al. (IEEE Transactions on Information Theory 50:3250, 2004) between x and y is

    NCD(x, y) = (C(xy) - min(C(x), C(y))) / max(C(x), C(y))

with C the size of the compressed text. The published recipe for genes (Ozan, arXiv 2401.14025; notebook of its repository) is
1-NN on it, where xy is the sequence to classify, a space, and the training sequence; compressors at the default level of their
Python functions; of equal distances the first training sequence. :meth:`NCDClassifier.published` is that.

Conditional compression asks what the recipe approximates: C(x | y), the bytes for x when y is known already, by a zstd
dictionary. The distance is then C(x | y) / C(x).
"""

from __future__ import annotations

from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.validation import check_is_fitted

from genoseq.classify.compressors import compressor_named, given_text
from genoseq.classify.nearest import NearestSequences
from genoseq.classify.neighbours import Floats
from genoseq.classify.sequences import Alphabet, SequenceInputError, check_labels, check_sequences, check_threads
from genoseq.classify.word_index import WordIndex
from genoseq.classify.words import Words
from genoseq.parallel import ordered_map
from genoseq.seqs.alphabet import reverse_complement

__all__ = ["ClassCompressor", "NCDClassifier", "ncd"]

PREFILTER = {"nucleotide": Words(k=12), "protein": Words(k=4, kind="protein")}
"""Words that candidates must share most of."""


def ncd(joint: Floats, one: Floats, other: Floats) -> Floats:
    """Normalised compression distance from compressed sizes: of the joined text, and of each of both; shapes broadcast.

    >>> float(ncd(np.array(120.0), np.array(100.0), np.array(80.0)))
    0.4
    """
    distance: Floats = (joint - np.minimum(one, other)) / np.maximum(one, other)
    return distance


class NCDClassifier(NearestSequences):
    """k nearest neighbours by compressed size. A scikit-learn classifier whose X is a list of sequences.

    Args:
        compressor: ``gzip``, ``bz2``, ``lzma``, ``brotli`` (needs that package) or ``zstd``.
        level: of the compressor; None is the default of its Python function (gzip 9, bz2 9, lzma 6, brotli 11, zstd 3).
        method: ``ncd``, or ``conditional`` (zstd only).
        k: number of neighbours.
        ties: ``share``: neighbours tied at the k-th distance share its vote; ``first``: the one that stands first, as published.
        separator: what stands between both sequences of a joined text.
        strands: ``forward``, or ``both``: the smaller of the distances of the sequence and its reverse complement.
        candidates: compress only against so many training sequences, those with the largest Jaccard similarity (canonical
            12-mers; 4-mers of proteins). This is *not* exact. A sequence that shares words with fewer of them is compressed
            against all.
            None: all, exact.
        alphabet: ``nucleotide`` or ``protein``.
        threads: threads; results do not depend on it.

    Time is proportional to the number of training sequences for each sequence: about 0.13 ms (gzip), 0.25 (bz2), 1.4 (lzma) or
    0.02 (zstd) for each pair of genes.

    >>> model = NCDClassifier().fit(["ACGGT" * 30, "TTGCA" * 30], ["one", "two"])
    >>> model.predict(["ACGGT" * 20]).tolist()
    ['one']
    """

    def __init__(
        self,
        *,
        compressor: str = "gzip",
        level: int | None = None,
        method: Literal["ncd", "conditional"] = "ncd",
        k: int = 1,
        ties: Literal["share", "first"] = "share",
        separator: str = " ",
        strands: Literal["forward", "both"] = "forward",
        candidates: int | None = None,
        alphabet: Alphabet = "nucleotide",
        threads: int = 1,
    ) -> None:
        self.compressor = compressor
        self.level = level
        self.method = method
        self.k = k
        self.ties = ties
        self.separator = separator
        self.strands = strands
        self.candidates = candidates
        self.alphabet = alphabet
        self.threads = threads

    @classmethod
    def published(cls, compressor: str = "gzip", *, threads: int = 1) -> Self:
        """The recipe of arXiv 2401.14025, unchanged."""
        return cls(compressor=compressor, k=1, ties="first", separator=" ", threads=threads)

    def _prepare(self, sequences: list[bytes]) -> None:
        if self.method not in ("ncd", "conditional"):
            raise SequenceInputError(f"method is {self.method!r}, expected 'ncd' or 'conditional'")
        if self.method == "conditional" and self.compressor != "zstd":
            raise SequenceInputError(
                f"conditional compression by {self.compressor!r} is not possible", remedy="choose compressor='zstd'"
            )
        if self.strands not in ("forward", "both"):
            raise SequenceInputError(f"strands is {self.strands!r}, expected 'forward' or 'both'")
        if self.strands == "both" and self.alphabet == "protein":
            raise SequenceInputError("proteins have no other strand", remedy="choose strands='forward'")
        if self.candidates is not None and (not isinstance(self.candidates, (int, np.integer)) or self.candidates < self.k):
            raise SequenceInputError(f"candidates is {self.candidates!r}, expected None or a number of at least k ({self.k})")
        size = compressor_named(self.compressor, self.level).size
        self._sequences = sequences
        self._sizes = np.array(list(ordered_map(size, sequences, threads=self.threads)), float)
        self._index = None
        if self.candidates is not None:
            self._index = WordIndex([PREFILTER[self.alphabet].of(sequence) for sequence in sequences])

    def _distances(self, sequences: list[bytes]) -> Floats:
        wanted = self._wanted(sequences)
        found = self._one_strand(sequences, wanted)
        if self.strands == "both":
            found = np.minimum(found, self._one_strand([reverse_complement(one) for one in sequences], wanted))
        return found

    def _one_strand(self, sequences: list[bytes], wanted: NDArray[np.bool_] | None) -> Floats:
        """Distances ``(B, N)``, one training sequence after another, so that what is made for it serves the whole batch."""
        size = compressor_named(self.compressor, self.level).size
        alone = np.array([size(one) for one in sequences], float)
        between = self.separator.encode()

        def column(place: int) -> Floats:
            rows = range(len(sequences)) if wanted is None else np.flatnonzero(wanted[:, place])
            distances = np.full(len(sequences), np.inf)
            if not len(rows):
                return distances
            known = self._sequences[place]
            chosen = np.fromiter(rows, np.intp)
            if self.method == "conditional":
                conditional = given_text(known, self.level)
                distances[chosen] = [conditional(sequences[row]) for row in chosen] / alone[chosen]
            else:
                joint = np.array([size(sequences[row] + between + known) for row in chosen], float)
                distances[chosen] = ncd(joint, alone[chosen], self._sizes[place])
            return distances

        return np.stack(list(ordered_map(column, range(len(self._sequences)), threads=self.threads)), axis=1)

    def _wanted(self, sequences: list[bytes]) -> NDArray[np.bool_] | None:
        """``(B, N)``: which training sequences each sequence is compressed against; None: all."""
        if self._index is None or self.candidates is None or self.candidates >= len(self._sequences):
            return None
        wanted = np.ones((len(sequences), len(self._sequences)), bool)
        for row, sequence in enumerate(sequences):
            words = PREFILTER[self.alphabet].of(sequence)
            shared = self._index.shared(words)
            if np.count_nonzero(shared) >= self.candidates:
                similar = shared / np.maximum(1, self._index.sizes + len(words) - shared)
                wanted[row] = similar >= np.partition(similar, -self.candidates)[-self.candidates]
        return wanted


class ClassCompressor(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """The class whose training text, taken as a zstd dictionary, compresses a sequence best. A scikit-learn classifier.

    Args:
        level: of zstd, 1 to 22.
        alphabet: ``nucleotide`` or ``protein``.
        threads: threads over classes.

    Attributes:
        classes_: the labels, sorted, ``(C,)``.

    >>> ClassCompressor().fit(["ACGGT" * 30, "TTGCA" * 30], ["one", "two"]).predict(["ACGGT" * 20]).tolist()
    ['one']
    """

    def __init__(self, *, level: int = 3, alphabet: Alphabet = "nucleotide", threads: int = 1) -> None:
        self.level = level
        self.alphabet = alphabet
        self.threads = threads

    def fit(self, X: Any, y: Any) -> Self:
        """Join the sequences of each class, line by line.

        Raises:
            SequenceInputError: a parameter out of range, or sequences or labels that cannot be used.
        """
        compressor_named("zstd", self.level)
        check_threads(self.threads)
        sequences = check_sequences(X, alphabet=self.alphabet)
        labels = check_labels(y, len(sequences))
        self.classes_, codes = np.unique(labels, return_inverse=True)
        self.class_sizes_ = np.bincount(codes)
        self._texts = [b"\n".join(sequences[at] for at in np.flatnonzero(codes == c)) for c in range(len(self.classes_))]
        return self

    def decision_function(self, X: Any) -> Floats:
        """Minus the bytes of each sequence given each class, ``(B, C)``: higher is better."""
        check_is_fitted(self, "classes_")
        sequences = check_sequences(X, alphabet=self.alphabet)

        def column(text: bytes) -> Floats:
            size = given_text(text, self.level)
            return np.array([-size(one) for one in sequences], float)

        return np.stack(list(ordered_map(column, self._texts, threads=self.threads)), axis=1)

    def predict(self, X: Any) -> NDArray[Any]:
        """The label of each sequence, ``(B,)``; of equal classes the one with more training sequences, then the first."""
        scores = self.decision_function(X)  # first: it tells if nothing is fitted
        order = np.lexsort((np.arange(len(self.classes_)), -self.class_sizes_))
        chosen: NDArray[Any] = self.classes_[order[np.argmax(scores[:, order], axis=1)]]
        return chosen

    def __sklearn_tags__(self) -> Any:
        """Input is text, one-dimensional."""
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        tags.input_tags.one_d_array = True
        tags.input_tags.two_d_array = False
        return tags
