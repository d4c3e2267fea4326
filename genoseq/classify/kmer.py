"""Nearest neighbours by shared words: `KmerNeighbors`; word counts for scikit-learn: `KmerCounts`, naive Bayes and linear SVM."""

from __future__ import annotations

from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix  # type: ignore[import-untyped]
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.feature_extraction.text import TfidfTransformer
from sklearn.naive_bayes import MultinomialNB
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.svm import LinearSVC

from genoseq.classify.nearest import NearestSequences
from genoseq.classify.neighbours import Floats
from genoseq.classify.sequences import Alphabet, SequenceInputError, check_sequences
from genoseq.classify.word_index import WordIndex
from genoseq.classify.words import STOP, Words, amino_acids, translate_frames
from genoseq.parallel import ordered_map
from genoseq.seqs.alphabet import encode

__all__ = ["KmerCounts", "KmerNeighbors", "kmer_naive_bayes", "kmer_svm"]

LARGEST = 4**12  # columns of a matrix of counts


class KmerNeighbors(NearestSequences):
    """k nearest neighbours by words in common. A scikit-learn classifier whose X is a list of sequences.

    Sequences without any word (shorter than ``word``) are at distance 1 from everything; the vote is then that of the whole
    training set.

    Args:
        word: length of a word: up to 31 bases, or 12 amino acids.
        metric: ``jaccard``: 1 - shared / union; ``containment``: 1 - shared / words of the sequence to classify.
        k: number of neighbours.
        ties: ``share``: neighbours tied at the k-th distance share its vote; ``first``: the one that stands first.
        kind: ``nucleotide`` (canonical words), ``translated`` (amino acids of six frames) or ``protein``.
        scaled: keep one word in so many, for genomes; 1 keeps all and is exact. See :meth:`error`.
        threads: threads; results do not depend on it.

    >>> model = KmerNeighbors(word=5).fit(["ACGGTACCTTGA", "TTGCACCCAAAG"], ["one", "two"])
    >>> model.predict(["CGGTACCTTG", "CTTTGGGTG"]).tolist()
    ['one', 'two']
    """

    def __init__(
        self,
        *,
        word: int = 12,
        metric: Literal["jaccard", "containment"] = "jaccard",
        k: int = 1,
        ties: Literal["share", "first"] = "share",
        kind: Literal["nucleotide", "translated", "protein"] = "nucleotide",
        scaled: int = 1,
        threads: int = 1,
    ) -> None:
        self.word = word
        self.metric = metric
        self.k = k
        self.ties = ties
        self.kind = kind
        self.scaled = scaled
        self.threads = threads

    @property
    def alphabet(self) -> Alphabet:  # type: ignore[override]
        """The letters that sequences may have."""
        return "protein" if self.kind == "protein" else "nucleotide"

    def _prepare(self, sequences: list[bytes]) -> None:
        if self.metric not in ("jaccard", "containment"):
            raise SequenceInputError(f"metric is {self.metric!r}, expected 'jaccard' or 'containment'")
        self._words = Words(self.word, self.kind, self.scaled)
        self._index = WordIndex(list(ordered_map(self._words.of, sequences, threads=self.threads)))

    def _distances(self, sequences: list[bytes]) -> Floats:
        return np.stack(list(ordered_map(self._row, sequences, threads=self.threads)))

    def _row(self, sequence: bytes) -> Floats:
        words = self._words.of(sequence)
        shared = self._index.shared(words)
        whole = self._index.sizes + len(words) - shared if self.metric == "jaccard" else np.full(len(shared), len(words))
        distance: Floats = 1.0 - shared / np.maximum(1, whole)
        return distance

    def error(self, distance: float, words: int) -> float:
        """Standard error of a distance that rests on ``words`` kept words (for Jaccard: of both sequences); 0 if all are kept."""
        return Words(self.word, self.kind, self.scaled).error(distance, words)


class KmerCounts(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Counts of words as a sparse matrix ``(n, letters ** word)``; words with other letters are left out.

    Args:
        word: length of a word.
        kind: ``nucleotide``, ``translated`` (amino acids, ``frames`` counted together) or ``protein``.
        frames: for ``translated``: ``first`` (frame 0 of the strand given) or ``all`` six.
        canonical: count a word and its reverse complement as one (nucleotide only).

    >>> KmerCounts(word=2).fit(["ACGT"]).transform(["ACAC"]).toarray().nonzero()[1].tolist()
    [1, 4]
    """

    def __init__(
        self,
        *,
        word: int = 8,
        kind: Literal["nucleotide", "translated", "protein"] = "nucleotide",
        frames: Literal["first", "all"] = "first",
        canonical: bool = False,
    ) -> None:
        self.word = word
        self.kind = kind
        self.frames = frames
        self.canonical = canonical

    def fit(self, X: Any, y: Any = None) -> Self:
        """Check the parameters and the sequences; nothing is learned.

        Raises:
            SequenceInputError: a parameter out of range, or sequences that cannot be used.
        """
        Words(self.word, self.kind)
        if self.frames not in ("first", "all"):
            raise SequenceInputError(f"frames is {self.frames!r}, expected 'first' or 'all'")
        if self._letters**self.word > LARGEST:
            raise SequenceInputError(
                f"word is {self.word}: counts would have {self._letters}^{self.word} columns, at most {LARGEST:,} are possible",
                remedy="choose a shorter word",
            )
        check_sequences(X, alphabet=self._alphabet)
        self.columns_ = self._letters**self.word
        return self

    def transform(self, X: Any) -> csr_matrix:
        """Counts of each sequence, sparse ``(n, columns_)``, float64."""
        sequences = check_sequences(X, alphabet=self._alphabet)
        counted = [np.unique(self._numbers(one), return_counts=True) for one in sequences]
        lengths = [len(words) for words, _ in counted]
        return csr_matrix(
            (
                np.concatenate([counts for _, counts in counted]).astype(float),
                np.concatenate([words for words, _ in counted]),
                np.concatenate([[0], np.cumsum(lengths)]),
            ),
            shape=(len(sequences), self._letters**self.word),
        )

    @property
    def _letters(self) -> int:
        return 4 if self.kind == "nucleotide" else STOP + 1

    @property
    def _alphabet(self) -> Alphabet:
        return "protein" if self.kind == "protein" else "nucleotide"

    def _numbers(self, sequence: bytes) -> NDArray[np.int64]:
        """The words of a sequence as column numbers, one for each place."""
        if self.kind == "protein":
            streams = [amino_acids(sequence)]
        elif self.kind == "translated":
            frames = translate_frames(encode(sequence), both=self.frames == "all")
            streams = frames[:1] if self.frames == "first" else frames
        else:
            streams = [encode(sequence)]
        return np.concatenate([self._of_codes(codes) for codes in streams])

    def _of_codes(self, codes: NDArray[np.uint8]) -> NDArray[np.int64]:
        count = max(0, len(codes) - self.word + 1)
        forward = np.zeros(count, np.int64)
        reverse = np.zeros(count, np.int64)
        valid = np.ones(count, bool)
        for i in range(self.word):
            column = codes[i : i + count].astype(np.int64)
            valid &= column < self._letters
            forward = forward * self._letters + column
            reverse += (3 - column) << (2 * i)
        if self.canonical and self.kind == "nucleotide":
            forward = np.minimum(forward, reverse)
        return forward[valid]

    def __sklearn_tags__(self) -> Any:
        """Input is text, one-dimensional."""
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        tags.input_tags.one_d_array = True
        tags.input_tags.two_d_array = False
        return tags


def kmer_naive_bayes(
    word: int = 8, *, kind: Literal["nucleotide", "translated", "protein"] = "nucleotide", alpha: float = 1.0
) -> Pipeline:
    """Multinomial naive Bayes on word counts, as a scikit-learn pipeline; ``alpha`` is added to every count.

    >>> kmer_naive_bayes(3).fit(["ACGGTACC", "TTGCATTG"], ["one", "two"]).predict(["GGTACC"]).tolist()
    ['one']
    """
    return make_pipeline(KmerCounts(word=word, kind=kind), MultinomialNB(alpha=alpha))


def kmer_svm(
    word: int = 8,
    *,
    kind: Literal["nucleotide", "translated", "protein"] = "nucleotide",
    frames: Literal["first", "all"] = "first",
    C: float = 1.0,
    seed: int = 0,
) -> Pipeline:
    """Linear support vector machine on word counts (logarithm, inverse document frequency, unit length), as a scikit-learn
    pipeline.

    >>> kmer_svm(3).fit(["ACGGTACC", "TTGCATTG"], ["one", "two"]).predict(["GGTACC"]).tolist()
    ['one']
    """
    counts = KmerCounts(word=word, kind=kind, frames=frames)
    return make_pipeline(counts, TfidfTransformer(sublinear_tf=True), LinearSVC(C=C, random_state=seed))
