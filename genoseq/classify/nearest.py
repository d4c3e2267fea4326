"""What the nearest-neighbour classifiers share: fitting labels, batches of distances, votes, the class of each sequence."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.validation import check_is_fitted

from genoseq.classify.neighbours import Bounds, Floats, Votes, accuracy_bounds, decide, votes
from genoseq.classify.sequences import Alphabet, SequenceInputError, check_labels, check_sequences, check_threads
from genoseq.log import counted

__all__ = ["NearestSequences"]

BATCH = 256  # sequences whose distances are held at a time


class NearestSequences(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """A k-nearest-neighbour classifier of sequences; subclasses say what distance is.

    Subclasses have the parameters ``k``, ``ties``, ``alphabet`` and ``threads``, and the methods :meth:`_prepare` and
    :meth:`_distances`.

    Attributes:
        classes_: the labels, sorted, ``(C,)``.
        class_sizes_: training sequences of each class, ``(C,)``.
    """

    k: int
    ties: str
    alphabet: Alphabet
    threads: int

    @abstractmethod
    def _prepare(self, sequences: list[bytes]) -> None:
        """Take in the training sequences, after the parameters are checked."""

    @abstractmethod
    def _distances(self, sequences: list[bytes]) -> Floats:
        """Distances ``(B, N)`` of a batch to the training sequences; infinite where not a candidate."""

    def fit(self, X: Any, y: Any) -> Self:
        """Remember labelled sequences.

        Args:
            X: N sequences, `str` or `bytes`.
            y: N labels.

        Raises:
            SequenceInputError: a parameter out of range, or sequences or labels that cannot be used.
        """
        if isinstance(self.k, bool) or not isinstance(self.k, (int, np.integer)) or self.k < 1:
            raise SequenceInputError(f"k is {self.k!r}, expected a whole number of at least 1")
        if self.ties not in ("share", "first"):
            raise SequenceInputError(f"ties is {self.ties!r}, expected 'share' or 'first'")
        check_threads(self.threads)
        sequences = check_sequences(X, alphabet=self.alphabet)
        labels = check_labels(y, len(sequences))
        self.classes_, self._codes = np.unique(labels, return_inverse=True)
        self.class_sizes_ = np.bincount(self._codes)
        self._prepare(sequences)
        return self

    def distances(self, X: Any) -> Floats:
        """Distances ``(B, N)`` to the training sequences, in the order they were given."""
        check_is_fitted(self, "classes_")
        return np.concatenate(list(self._batches(X)))

    def votes(self, X: Any) -> Votes:
        """Votes of the nearest training sequences, each part ``(B, C)``: see `genoseq.classify.neighbours`."""
        check_is_fitted(self, "classes_")
        found = [
            votes(batch, self._codes, len(self.classes_), k=self.k, first=self.ties == "first") for batch in self._batches(X)
        ]
        return Votes(*(np.concatenate(parts) for parts in zip(*found, strict=True)))

    def predict(self, X: Any) -> NDArray[Any]:
        """The label of each sequence, ``(B,)``."""
        found = self.votes(X)
        chosen: NDArray[Any] = self.classes_[decide(found, self.class_sizes_)]
        return chosen

    def predict_proba(self, X: Any) -> Floats:
        """Share of the votes of each class, ``(B, C)``: not calibrated. With k = 1 it is 1 for one class unless there is a
        tie."""
        return self.votes(X).share

    def accuracy_bounds(self, X: Any, y: Any) -> Bounds:
        """Accuracy if every tie between classes went wrong, and if every one went right; :meth:`score` lies between."""
        found = self.votes(X)
        known = {label: code for code, label in enumerate(self.classes_.tolist())}
        truth = np.array([known.get(label, -1) for label in np.asarray(y).tolist()], np.intp)
        if len(truth) != len(found.share):
            given = f"{counted(len(found.share), 'sequence')} for {counted(len(truth), 'label')}"
            raise SequenceInputError(f"{given}: one for each is needed")
        inside = truth >= 0  # a label that training does not have can never be right
        if not inside.any():
            return Bounds(0.0, 0.0)
        part = accuracy_bounds(Votes(*(one[inside] for one in found)), truth[inside])
        return Bounds(part.lowest * float(inside.mean()), part.highest * float(inside.mean()))

    def _batches(self, X: Any) -> Iterator[Floats]:
        sequences = check_sequences(X, alphabet=self.alphabet)
        for start in range(0, len(sequences), BATCH):
            yield self._distances(sequences[start : start + BATCH])

    def __sklearn_tags__(self) -> Any:
        """Input is text, one-dimensional."""
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        tags.input_tags.one_d_array = True
        tags.input_tags.two_d_array = False
        return tags
