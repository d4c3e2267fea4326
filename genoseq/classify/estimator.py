"""`ContextMixtureClassifier`: tells classes apart by how well each one compresses a sequence. A scikit-learn estimator."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from typing import Any, Literal, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

from genoseq.classify.calibration import Calibration, Novelty, evidence, fit_calibration, fit_novelty, uncalibrated
from genoseq.classify.channels import CHANNELS, Channel, letters
from genoseq.classify.context import Flat, MixtureSettings
from genoseq.classify.context_kernels import CLASS_BITS
from genoseq.classify.homology import homology_groups
from genoseq.classify.sequences import LONGEST_WHOLE, SILENT, SequenceInputError, check_labels, check_sequences, check_threads
from genoseq.seqs.alphabet import COMPLEMENT
from genoseq.seqs.record import Record

__all__ = ["Calls", "ContextMixtureClassifier"]

log = logging.getLogger(__name__)

Mode = Literal["nucleotide", "translated", "combined", "protein"]
MODES = {
    "nucleotide": ("nucleotide", "composition"),
    "translated": ("translated",),
    "combined": ("nucleotide", "composition", "translated"),
    "protein": ("protein",),
}
SETTINGS = {
    "nucleotide": MixtureSettings(
        (3, 6, 8, 12, 16, "110110110110110110", "101101101101101101", "011011011011011011"), (1 / 16,) * 8, 0.2
    ),
    "composition": MixtureSettings((5, 8), (1.0, 1.0), 0.02),
    "translated": MixtureSettings((0, 1, 2, 3, "101", "1101", "1011", "110011"), (1 / 16,) * 8, 0.2),
    "protein": MixtureSettings((0, 1, 2, 3, "101", "1101", "1011", "110011"), (1 / 16,) * 8, 0.2),
}
"""Contexts, prior counts and share of each channel."""

MOST_CLASSES = 1 << CLASS_BITS
ROWS = 40_000
"""Held-out scores that are kept, at most."""
SHORTEST_PIECE = 100


class Calls(NamedTuple):
    """What is said of ``n`` sequences.

    Attributes:
        labels: ``(n,)``, the class, or ``unknown``.
        best: ``(n,)``, number of the most probable class, also of those that are rejected.
        probabilities: ``(n,)``, of that class.
        margins: ``(n,)``, bits: base-2 logarithm of how many times more probable it is than the next.
        rates: ``(n,)``, bits per symbol under the class that compresses best.
        novelty: ``(n,)``, share of known sequences of like length that are compressed better, 0 to 1.
        symbols: ``(n,)``, symbols that were coded.
    """

    labels: NDArray[Any]
    best: NDArray[np.int64]
    probabilities: NDArray[np.float64]
    margins: NDArray[np.float64]
    rates: NDArray[np.float64]
    novelty: NDArray[np.float64]
    symbols: NDArray[np.int64]


class _Scores(NamedTuple):
    """Bits ``(n, channels, classes)`` and symbols ``(n, channels)``."""

    bits: NDArray[np.float64]
    symbols: NDArray[np.int64]


class ContextMixtureClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Finite-context models of several orders for every class; the class whose mixture gives the shortest code wins.

    Probabilities are calibrated on sequences that were held out: in turn, parts of the training set are taken out of the counts
    and scored, once at random and once by homology groups, whole and as pieces of either strand. So they fit sequences
    with close relatives in the training set and those with none, genes and reads. Relatives are not independent observations:
    a sequence of a homology group of ``n`` counts as ``1 / sqrt(n)``, between one each and one a group. Groups are those within
    what one call of ``fit`` or ``partial_fit`` gives; proteins are not grouped and count one each. Training sequences of over
    20,000 letters are cut into equal parts, so that a class of one genome has parts to hold out.

    Results do not depend on the number of threads, nor on which sequences are given together.

    Args:
        mode: ``nucleotide``; ``translated``: amino acids along the reading frames that are found; ``combined``: both;
            ``protein``.
        strands: ``both`` learns from both strands, ``forward`` from the one given: only where all sequences, also those to
            classify, are known to have one direction that matters.
        genetic_code: NCBI's number or name, for translation.
        calibration_folds: parts that are held out in turn; 0: no calibration, one bit is a factor of two.
        reject_margin: label ``unknown`` where the margin (bits) is less; None: never.
        reject_novelty: label ``unknown`` where novelty is more (0 to 1); None: never.
        unknown: the label of what is rejected, and of sequences without any symbol.
        n_jobs: threads.
        random_state: of the folds and pieces for calibration.

    Attributes:
        classes_: labels, sorted.
        class_counts_: training sequences of each class, the parts of long ones counted one by one.
        calibration_: see :class:`genoseq.classify.calibration.Calibration`.
        novelty_: see :class:`genoseq.classify.calibration.Novelty`.
        channels_: counts, one object a channel.

    >>> rng = np.random.default_rng(0)
    >>> shares = [0.4, 0.1, 0.1, 0.4], [0.1, 0.4, 0.4, 0.1]
    >>> at, gc = ([bytes(rng.choice(list(b"ACGT"), 300, p=p).astype(np.uint8)) for _ in range(8)] for p in shares)
    >>> model = ContextMixtureClassifier().fit(at[1:] + gc[1:], ["at"] * 7 + ["gc"] * 7)
    >>> model.predict([at[0], gc[0]]).tolist()
    ['at', 'gc']
    """

    def __init__(
        self,
        *,
        mode: Mode = "combined",
        strands: Literal["both", "forward"] = "both",
        genetic_code: int | str = 1,
        calibration_folds: int = 5,
        reject_margin: float | None = None,
        reject_novelty: float | None = None,
        unknown: Any = "unknown",
        n_jobs: int = 1,
        random_state: int = 0,
    ) -> None:
        self.mode = mode
        self.strands = strands
        self.genetic_code = genetic_code
        self.calibration_folds = calibration_folds
        self.reject_margin = reject_margin
        self.reject_novelty = reject_novelty
        self.unknown = unknown
        self.n_jobs = n_jobs
        self.random_state = random_state

    def fit(self, X: Any, y: Any) -> Self:
        """Learn from sequences and their labels; what was learned before is forgotten.

        Args:
            X: ``n`` sequences: ``str``, ``bytes`` or :class:`genoseq.Record`.
            y: ``n`` labels.

        Raises:
            SequenceInputError: also a ``ValueError``. Sequences or labels that cannot be used: fewer than two classes, a class
                called what rejected sequences are called, a sequence that is empty or has no known letter, letters of the other
                alphabet.
        """
        self._check_parameters()
        sequences = self._checked(X, empty=False)
        labels = check_labels(y, len(sequences))
        self._begin(np.unique(labels))
        self._learn(sequences, labels)
        return self

    def partial_fit(self, X: Any, y: Any, classes: Any = None) -> Self:
        """Learn from more sequences.

        Args:
            X: sequences.
            y: their labels.
            classes: all labels there will ever be; needed in the first call only.

        Raises:
            SequenceInputError: as :meth:`fit`; ``classes`` missing in the first call, or a label that is not among them.
        """
        self._check_parameters()
        if not hasattr(self, "channels_"):
            if classes is None:
                raise SequenceInputError("classes must be given in the first call of partial_fit")
            known = np.unique(np.asarray(classes))
            if len(known) < 2:
                raise SequenceInputError("there is one class only", remedy="a classifier needs at least two classes")
            self._begin(known)
        elif classes is not None and not np.array_equal(np.unique(np.asarray(classes)), self.classes_):
            raise SequenceInputError("classes differ from those of the first call of partial_fit")
        sequences = self._checked(X, empty=False)
        labels = np.asarray(y)
        if labels.shape != (len(sequences),):
            raise SequenceInputError(f"there are {len(sequences)} sequences and labels of shape {labels.shape}")
        strange = np.setdiff1d(labels, self.classes_)
        if len(strange):
            raise SequenceInputError(f"label {strange[0]!s} is not among the classes {', '.join(map(str, self.classes_))}")
        self._learn(sequences, labels)
        return self

    def predict(self, X: Any) -> NDArray[Any]:
        """The label of each sequence, ``(n,)``: that of the most probable class, or ``unknown``."""
        return self.call(X).labels

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Share of sequences that get their own label; ``unknown`` is wrong, whatever type the labels have."""
        right = self.predict(X).astype(object) == np.asarray(y, object)
        return float(np.average(right, weights=sample_weight))

    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """Calibrated probabilities, ``(n, classes)``; of sequences without any symbol all are equal."""
        return _softmax(self._logits(self._scores_of(X)))

    def decision_function(self, X: Any) -> NDArray[np.float64]:
        """Evidence for each class in bits, ``(n, classes)``: how many doublings it is more probable than the best of the others.

        Of two classes, as scikit-learn has it, ``(n,)``: the evidence for the second.
        """
        logits = self._logits(self._scores_of(X))
        ordered = np.sort(logits, axis=1)
        others = np.where(logits == ordered[:, -1:], ordered[:, -2:-1], ordered[:, -1:])
        bits: NDArray[np.float64] = (logits - others) / np.log(2)
        return bits[:, 1] if len(self.classes_) == 2 else bits

    def code_length(self, X: Any, *, channel: str | None = None) -> NDArray[np.float64]:
        """Bits that each class needs for each sequence, ``(n, classes)``, as they are: not calibrated.

        Args:
            X: sequences.
            channel: ``nucleotide``, ``composition``, ``translated`` or ``protein``; the first one of the mode unless given.
        """
        scores = self._scores_of(X)
        names = MODES[self.mode]
        if channel is not None and channel not in names:
            raise SequenceInputError(f"channel is {channel!r}; this model has {', '.join(names)}")
        return scores.bits[:, names.index(channel) if channel else 0]

    def novelty(self, X: Any) -> NDArray[np.float64]:
        """Share of held-out training sequences of like length that are compressed better, ``(n,)``; near 1: unlike them."""
        return self.call(X).novelty

    def call(self, X: Any) -> Calls:
        """Label, probability, margin, bits per symbol and novelty of each sequence, in one pass."""
        return self._called(self._scores_of(X))

    def call_codes(self, sequences: Flat) -> Calls:
        """As :meth:`call`, of codes (see :func:`genoseq.classify.channels.letters`), which saves checking letters."""
        return self._called(self._scores(sequences))

    def _called(self, scores: _Scores) -> Calls:
        logits = self._logits(scores)
        best = logits.argmax(axis=1)
        ordered = np.sort(logits, axis=1)
        margins = (ordered[:, -1] - ordered[:, -2]) / np.log(2)
        probabilities = _softmax(logits).max(axis=1)
        symbols = scores.symbols[:, 0]
        with np.errstate(invalid="ignore", divide="ignore"):
            rates = scores.bits[:, 0].min(axis=1) / symbols
        novelty = self.novelty_.of(rates, symbols)
        silent = scores.symbols.max(axis=1) == 0
        rejected = silent.copy()
        if self.reject_margin is not None:
            rejected |= margins < self.reject_margin
        if self.reject_novelty is not None:
            rejected |= novelty > self.reject_novelty
        labels = self.classes_[best]
        if rejected.any():
            kind = np.asarray(self.unknown).dtype.kind
            if kind != labels.dtype.kind or kind == "U":
                labels = labels.astype(object)
            labels[rejected] = self.unknown
        return Calls(labels, best, probabilities, margins, rates, np.where(silent, np.nan, novelty), symbols)

    @property
    def measures_novelty(self) -> bool:
        """Whether there were sequences to hold out, against which novelty is measured; without, it is NaN."""
        self._fitted()
        return len(self.novelty_.lengths) > 0

    @property
    def nbytes(self) -> int:
        """Bytes of memory that the counts take."""
        return sum(channel.mixture.nbytes for channel in self._fitted())

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "channels_")

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.one_d_array = True
        tags.input_tags.string = True
        return tags

    def _check_parameters(self) -> None:
        if self.mode not in MODES:
            raise SequenceInputError(f"mode is {self.mode!r}, expected one of {', '.join(MODES)}")
        if self.strands not in ("both", "forward"):
            raise SequenceInputError(f"strands is {self.strands!r}, expected 'both' or 'forward'")
        folds = self.calibration_folds
        if isinstance(folds, bool) or not isinstance(folds, (int, np.integer)) or folds < 0 or folds == 1:
            raise SequenceInputError(f"calibration_folds is {folds!r}, expected 0 or at least 2")
        check_threads(self.n_jobs)
        for name, most in (("reject_margin", np.inf), ("reject_novelty", 1.0)):
            value = getattr(self, name)
            if value is not None and not 0 <= value <= most:  # NaN neither
                raise SequenceInputError(
                    f"{name} is {value!r}, expected None or a number from 0" + (" to 1" if most == 1 else "")
                )

    def _checked(self, X: Any, *, empty: bool) -> list[bytes]:
        if not isinstance(X, (str, bytes, np.ndarray)) and hasattr(X, "__iter__"):
            X = [one.sequence if isinstance(one, Record) else one for one in X]
        return check_sequences(X, alphabet="protein" if self.mode == "protein" else "nucleotide", empty=empty)

    def _fitted(self) -> list[Channel]:
        if not hasattr(self, "channels_"):
            raise NotFittedError("this ContextMixtureClassifier is not fitted yet; call fit first")
        channels: list[Channel] = self.channels_
        return channels

    def _begin(self, classes: NDArray[Any], settings: Mapping[str, MixtureSettings] = SETTINGS) -> None:
        """Empty counts for these classes."""
        if self.unknown in classes.tolist():
            raise SequenceInputError(
                f"a class is called {self.unknown!s}, as sequences without a class are", remedy="rename the class"
            )
        if len(classes) > MOST_CLASSES:
            raise SequenceInputError(f"there are {len(classes)} classes, expected at most {MOST_CLASSES:,}")
        self.classes_ = classes
        self.class_counts_ = np.zeros(len(classes), np.int64)
        self.channels_ = [
            CHANNELS[name](len(classes), settings[name], strands=self.strands, code=self.genetic_code)
            for name in MODES[self.mode]
        ]
        self.calibration_: Calibration = uncalibrated(len(self.channels_), len(classes))
        self.novelty_ = Novelty(np.empty(0), np.empty((0, 0)))
        self._held_out = _Scores(np.empty((0, len(self.channels_), len(classes))), np.empty((0, len(self.channels_)), np.int64))
        self._held_out_labels = np.empty(0, np.int64)
        self._held_out_known = np.empty(0, np.bool_)
        self._held_out_weights = np.empty(0)

    def _learn(self, sequences: list[bytes], labels: NDArray[Any]) -> None:
        sequences, labels = _cut(sequences, labels, SILENT["protein" if self.mode == "protein" else "nucleotide"])
        flat = letters(sequences, protein=self.mode == "protein")
        numbers = np.searchsorted(self.classes_, labels).astype(np.int64)
        if not self.class_counts_.any():
            for channel in self.channels_:
                channel.prepare(flat)
        for channel in self.channels_:
            channel.add(flat, numbers, threads=self.n_jobs)
        self.class_counts_ += np.bincount(numbers, minlength=len(self.classes_))
        if self.calibration_folds:
            self._calibrate(sequences, flat, numbers)

    def _calibrate(self, sequences: list[bytes], flat: Flat, labels: NDArray[np.int64]) -> None:
        """Score sequences that are taken out of the counts for the time, and fit probabilities and novelty to that."""
        rng = np.random.default_rng(self.random_state)
        bits, symbols, owners, known, weights = [], [], [], [], []
        groups = None if self.mode == "protein" else homology_groups(sequences, threads=self.n_jobs)
        shares = np.ones(len(labels)) if groups is None else np.bincount(groups)[groups] ** -0.5
        folds = list(self._folds(labels, groups))
        for number, (fold, is_random) in enumerate(folds, start=1):
            log.debug("calibration: part %d of %d held out", number, len(folds))
            counts = self.class_counts_ - np.bincount(labels[fold], minlength=len(self.classes_))
            part = flat.take(fold)
            pieces = _pieces(part, rng, reverse=self.strands == "both" and self.mode != "protein")
            for channel in self.channels_:
                channel.change(part, labels[fold], by=-1, threads=self.n_jobs)
            for asked in (part, pieces):
                scores = self._scores(asked)
                use = (counts[labels[fold]] > 0) & (scores.symbols.max(axis=1) > 0)
                bits.append(scores.bits[use])
                symbols.append(scores.symbols[use])
                owners.append(labels[fold][use])
                known.append(np.full(int(use.sum()), is_random))
                weights.append(shares[fold][use])
            for channel in self.channels_:
                channel.change(part, labels[fold], by=1, threads=self.n_jobs)
        if bits:
            earlier = self._held_out
            self._held_out = _Scores(
                np.concatenate([earlier.bits, *bits])[-ROWS:], np.concatenate([earlier.symbols, *symbols])[-ROWS:]
            )
            self._held_out_labels = np.concatenate([self._held_out_labels, *owners])[-ROWS:]
            self._held_out_known = np.concatenate([self._held_out_known, *known])[-ROWS:]
            self._held_out_weights = np.concatenate([self._held_out_weights, *weights])[-ROWS:]
        self._settle()

    def _settle(self) -> None:
        """Fit probabilities and novelty to the held-out scores."""
        scores, labels, known = self._held_out, self._held_out_labels, self._held_out_known
        start = uncalibrated(len(self.channels_), len(self.classes_))
        features = evidence(scores.bits, scores.symbols)
        self.calibration_ = fit_calibration(features, labels, weights=self._held_out_weights, start=start)
        if not self.calibration_.rows:
            log.warning("too few sequences to hold any out: probabilities are not calibrated")
        lengths = scores.symbols[known, 0]
        self.novelty_ = fit_novelty(scores.bits[known, 0].min(axis=1) / np.maximum(lengths, 1), lengths)

    def _folds(self, labels: NDArray[np.int64], groups: NDArray[np.int64] | None) -> Iterator[tuple[NDArray[np.int64], bool]]:
        """Sequences to hold out together, and whether they are a random part (else whole homology groups)."""
        folds, seed = min(self.calibration_folds, len(labels) // 2), self.random_state
        if folds < 2:
            return
        nothing = np.zeros(len(labels))
        frequent = np.bincount(labels, minlength=len(self.classes_)) >= folds
        strata = np.where(frequent[labels], labels, -1)  # scikit-learn warns of classes smaller than the folds
        if (strata < 0).sum() < folds:
            strata[strata < 0] = np.bincount(labels).argmax()
        for _, held in StratifiedKFold(folds, shuffle=True, random_state=seed).split(nothing, strata):
            yield held, True
        if groups is None or len(np.unique(groups)) < folds:
            return
        for _, held in StratifiedGroupKFold(folds, shuffle=True, random_state=seed).split(nothing, strata, groups):
            if len(held):
                yield held, False

    def _scores_of(self, X: Any) -> _Scores:
        self._fitted()
        return self._scores(letters(self._checked(X, empty=True), protein=self.mode == "protein"))

    def _scores(self, flat: Flat) -> _Scores:
        found = [channel.code_lengths(flat, threads=self.n_jobs) for channel in self._fitted()]
        return _Scores(np.stack([one.bits for one in found], axis=1), np.stack([one.symbols for one in found], axis=1))

    def _logits(self, scores: _Scores) -> NDArray[np.float64]:
        return self.calibration_.logits(scores.bits, scores.symbols)


def _softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    p: NDArray[np.float64] = np.exp(logits - logits.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    return p


def _cut(sequences: list[bytes], labels: NDArray[Any], silent: bytes) -> tuple[list[bytes], NDArray[Any]]:
    """Sequences of at most :data:`LONGEST_WHOLE` letters, longer ones in equal parts, none all ``silent``; their labels."""
    numbers = [-(-len(one) // LONGEST_WHOLE) for one in sequences]
    if max(numbers) == 1:
        return sequences, labels
    parts = [
        one[len(one) * k // number : len(one) * (k + 1) // number]
        for one, number in zip(sequences, numbers, strict=True)
        for k in range(number)
    ]
    owners = np.repeat(labels, numbers)
    telling = np.array([bool(one.translate(None, silent)) for one in parts])  # a run of N may fill a part
    return [one for one, use in zip(parts, telling, strict=True) if use], owners[telling]


def _pieces(sequences: Flat, rng: np.random.Generator, *, reverse: bool) -> Flat:
    """A piece of each sequence, from 100 long to all of it, evenly by the logarithm; of the other strand if that counts too."""
    pieces = []
    for a, b in zip(sequences.offsets[:-1].tolist(), sequences.offsets[1:].tolist(), strict=True):
        shortest = min(SHORTEST_PIECE, b - a)
        length = min(int(shortest * ((b - a + 1) / shortest) ** rng.random()), b - a)
        start = a + int(rng.integers(0, b - a - length + 1))
        piece = sequences.codes[start : start + length]
        pieces.append(COMPLEMENT[piece][::-1] if reverse else piece)
    return Flat.of(pieces)
