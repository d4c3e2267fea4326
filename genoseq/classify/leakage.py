"""How much of a test set the training set gives away: exact copies, copies of the other strand, words in common."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from genoseq.classify.sequences import check_sequences, check_threads
from genoseq.classify.word_index import WordIndex
from genoseq.classify.words import Words
from genoseq.parallel import ordered_map
from genoseq.seqs.alphabet import reverse_complement

__all__ = ["LeakageReport", "leakage_report"]

Floats = NDArray[np.float64]
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


class LeakageReport(NamedTuple):
    """What a training set holds of a test set.

    Attributes:
        train: number of training sequences.
        test: number of test sequences, T.
        k: length of the words.
        copies: ``(T,)``, whether a test sequence is in the training set letter for letter.
        reverse_copies: ``(T,)``, whether its reverse complement is.
        nearest: ``(T,)``, largest share of its distinct canonical k-mers found in *one* training sequence; NaN if it has none.
        covered: ``(T,)``, share of them found in any training sequence; NaN if it has none.
    """

    train: int
    test: int
    k: int
    copies: NDArray[np.bool_]
    reverse_copies: NDArray[np.bool_]
    nearest: Floats
    covered: Floats

    def share_above(self, level: float = 0.5) -> float:
        """Share of the test sequences with more than ``level`` of their words in one training sequence (without words: no)."""
        return float(np.mean(np.nan_to_num(self.nearest) > level))

    def quantiles(self) -> Floats:
        """Containment in one training sequence at the quantiles 5, 25, 50, 75 and 95 %; ``(5,)``, NaN if no sequence has
        words."""
        known = self.nearest[~np.isnan(self.nearest)]
        return np.quantile(known, QUANTILES) if len(known) else np.full(len(QUANTILES), np.nan)

    def rows(self) -> list[tuple[str, float]]:
        """The report as measures and values, shares between 0 and 1."""
        known = self.covered[~np.isnan(self.covered)]
        rows: list[tuple[str, float]] = [
            ("training sequences", self.train),
            ("test sequences", self.test),
            ("exact copies", float(self.copies.mean())),
            ("copies of the other strand", float(self.reverse_copies.mean())),
            (f"over 50 % of their {self.k}-mers in one training sequence", self.share_above(0.5)),
            (f"over 10 % of their {self.k}-mers in one training sequence", self.share_above(0.1)),
            (f"mean share of {self.k}-mers in any training sequence", float(known.mean()) if len(known) else float("nan")),
        ]
        names = [f"{self.k}-mers in one training sequence, quantile {level:g}" for level in QUANTILES]
        return rows + list(zip(names, self.quantiles().tolist(), strict=True))

    def __str__(self) -> str:
        """A few lines to read."""
        low, _, middle, _, high = self.quantiles()
        return (
            f"{self.test} test sequences against {self.train} training sequences\n"
            f"  exact copies: {self.copies.mean():.1%}; copies of the other strand: {self.reverse_copies.mean():.1%}\n"
            f"  with over 50 % of their {self.k}-mers in one training sequence: {self.share_above(0.5):.1%}; "
            f"with over 10 %: {self.share_above(0.1):.1%}\n"
            f"  share of {self.k}-mers in one training sequence: median {middle:.3f}, 5 % to 95 %: {low:.3f} to {high:.3f}"
        )


def leakage_report(train: Any, test: Any, *, k: int = 16, threads: int = 1) -> LeakageReport:
    """What the training sequences hold of the test sequences.

    Args:
        train: nucleotide sequences, `str` or `bytes`.
        test: likewise.
        k: length of the words, at most 31.
        threads: threads; the report does not depend on it.

    Raises:
        SequenceInputError: no sequences, or some that cannot be used.

    >>> report = leakage_report(["ACGTTGCATTGACCAGTCAA", "GGATACC"], ["TTGACTGGTCAATGCAACGT", "GGATACC", "AAAAAAAAAAAAAAAAAA"])
    >>> report.copies.tolist(), report.reverse_copies.tolist(), report.nearest.tolist()
    ([False, True, False], [True, False, False], [1.0, nan, 0.0])
    """
    known = check_sequences(train, what="training sequence")
    asked = check_sequences(test, what="test sequence")
    check_threads(threads)
    words = Words(k)
    index = WordIndex(list(ordered_map(words.of, known, threads=threads)))

    def measure(sequence: bytes) -> tuple[float, float]:
        found = words.of(sequence)
        if not len(found):
            return float("nan"), float("nan")
        return float(index.shared(found).max() / len(found)), float(index.known(found).mean())

    measured = np.array(list(ordered_map(measure, asked, threads=threads)))
    copies = set(known)
    return LeakageReport(
        train=len(known),
        test=len(asked),
        k=k,
        copies=np.array([one in copies for one in asked]),
        reverse_copies=np.array([reverse_complement(one) in copies for one in asked]),
        nearest=measured[:, 0],
        covered=measured[:, 1],
    )
