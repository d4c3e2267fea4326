"""Groups of sequences that share ancestry, and folds that never divide one: scores for sequences unlike any of the training set.

Two sequences are *joined* if one of these holds; groups are what joins connect:

- they are copies, on either strand, whatever their length;
- they share at least ``shared`` distinct canonical k-mers (by default ten 21-mers: one stretch of 30 equal bases is enough);
- they share at least the part ``share`` of the k-mers of the one that has fewer (a short sequence has not ten to share).

k-mers that are repetitive (DUST score above ``complexity``) join nothing. Why not by *any* shared 21-mer: it chains. Runs of
CAG, and single words of domains that half of a proteome has, connect what has nothing else in common. On 4,380 human coding
sequences of seven families (docs/benchmarks-classify.md has the whole table):

=========================== ======= ======= ============ ==================================== ================
rule                         groups largest sizes of the test sequences with 10 % of their    mean containment
                                            5 folds      16-mers in one training sequence
=========================== ======= ======= ============ ==================================== ================
any 21-mer                      502    1069 761 to 1,257                               0.02 %            0.4 %
any that is not repetitive      541     716 818 to 1,025                               0.05 %            0.5 %
ten, or 5 % (the default)       689     189 870 to 897                                 0.11 %            0.8 %
twenty, or 5 %                  713     130 870 to 898                                 0.09 %            0.9 %
=========================== ======= ======= ============ ==================================== ================

So ten lets copies, splice forms and close paralogues through in one sequence of a thousand, and keeps groups small enough for
folds of equal size and composition. It is no proof of independence: about a fifth of the test sequences share some 21-mer with
training, and proteins of one family are homologous long after their bases have lost every common 21-mer. Ask `leakage_report`
how a split leaks, and take ``shared=1`` for the strictest one.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_matrix  # type: ignore[import-untyped]
from scipy.sparse.csgraph import connected_components  # type: ignore[import-untyped]
from sklearn.model_selection import BaseCrossValidator, StratifiedGroupKFold

from genoseq.classify.sequences import SequenceInputError, check_labels, check_sequences, check_threads
from genoseq.classify.word_index import WordIndex
from genoseq.classify.words import Hashes, Words, low_complexity
from genoseq.log import counted
from genoseq.parallel import ordered_map
from genoseq.seqs.alphabet import reverse_complement

__all__ = ["HomologyGroupKFold", "homology_groups"]

Groups = NDArray[np.intp]


def homology_groups(
    sequences: Any,
    k: int = 21,
    *,
    shared: int = 10,
    share: float | None = 0.05,
    complexity: float | None = 0.5,
    threads: int = 1,
) -> Groups:
    """The group of each sequence, ``(N,)``: numbers from 0 in the order in which groups first appear.

    Groups do not depend on the order of the sequences, only their numbers do.

    Args:
        sequences: nucleotide sequences, `str` or `bytes`.
        k: length of the words, 4 to 31.
        shared: distinct words that two sequences must share to be joined.
        share: or this part of the words of the one that has fewer; None: count alone.
        complexity: highest DUST score of a word that joins; None: every word joins.
        threads: threads; the groups do not depend on it.

    Raises:
        SequenceInputError: sequences that cannot be used, or an option out of range.

    >>> left, right = "ACGTTGCATTGACCAGTCAAGGCTTA", "CCATGGATCATTAGCGGATACCGTTA"
    >>> homology_groups([left, right, left + right[:5], right[2:]], k=11).tolist()
    [0, 1, 0, 1]
    """
    texts = check_sequences(sequences)
    _check_rule(k, shared, share, complexity)
    check_threads(threads)
    words = Words(k)

    def joining(text: bytes) -> Hashes:
        found = words.of(text)
        return found if complexity is None else found[low_complexity(found, k) <= complexity]

    sets = list(ordered_map(joining, texts, threads=threads))
    index = WordIndex(sets)

    def joined(place: int) -> Groups:
        counts = index.shared(sets[place])
        needed = np.full(len(counts), float(shared))
        if share is not None:
            needed = np.minimum(needed, np.maximum(1.0, share * np.minimum(index.sizes, len(sets[place]))))
        return np.flatnonzero(counts >= needed)

    partners = list(ordered_map(joined, range(len(texts)), threads=threads))
    rows = np.repeat(np.arange(len(texts)), [len(one) for one in partners])
    originals: dict[bytes, int] = {}
    copies = [originals.setdefault(min(text, reverse_complement(text)), place) for place, text in enumerate(texts)]
    rows = np.concatenate([rows, np.arange(len(texts))])
    columns = np.concatenate([*partners, np.array(copies, np.intp)])
    graph = coo_matrix((np.ones(len(rows), np.int8), (rows, columns)), shape=(len(texts), len(texts)))
    _, labels = connected_components(graph, directed=False)
    _, first, numbers = np.unique(labels, return_index=True, return_inverse=True)
    rank: Groups = np.argsort(np.argsort(first))
    return rank[numbers]


def _check_rule(k: int, shared: int, share: float | None, complexity: float | None) -> None:
    if isinstance(k, bool) or not isinstance(k, (int, np.integer)) or not 4 <= k <= 31:
        raise SequenceInputError(f"k is {k!r}, expected 4 to 31")
    if isinstance(shared, bool) or not isinstance(shared, (int, np.integer)) or shared < 1:
        raise SequenceInputError(f"shared is {shared!r}, expected a whole number of at least 1")
    if share is not None and not 0 < share <= 1:
        raise SequenceInputError(f"share is {share!r}, expected None or more than 0 and at most 1")
    if complexity is not None and not complexity >= 0:
        raise SequenceInputError(f"complexity is {complexity!r}, expected None or at least 0")


class HomologyGroupKFold(BaseCrossValidator):  # type: ignore[misc]
    """Folds that no homology group is divided between, with labels as even as groups allow. A scikit-learn splitter.

    The groups are those of :func:`homology_groups` on X, unless ``groups`` are given to :meth:`split`; the folds are those of
    scikit-learn's ``StratifiedGroupKFold`` with shuffling.

    Args:
        n_splits: number of folds.
        k, shared, share, complexity: the rule, see :func:`homology_groups`.
        seed: of the shuffling; the same seed gives the same folds.
        threads: threads for finding the groups.

    >>> from sklearn.model_selection import cross_val_score
    >>> from genoseq.classify.kmer import kmer_naive_bayes
    >>> rng = np.random.default_rng(0)
    >>> X = ["".join(rng.choice(list("ACGT"), 60)) for _ in range(12)]
    >>> len(cross_val_score(kmer_naive_bayes(3), X, ["a", "b"] * 6, cv=HomologyGroupKFold(3)))
    3
    """

    def __init__(
        self,
        n_splits: int = 5,
        *,
        k: int = 21,
        shared: int = 10,
        share: float | None = 0.05,
        complexity: float | None = 0.5,
        seed: int = 0,
        threads: int = 1,
    ) -> None:
        if isinstance(n_splits, bool) or not isinstance(n_splits, (int, np.integer)) or n_splits < 2:
            raise SequenceInputError(f"n_splits is {n_splits!r}, expected a whole number of at least 2")
        _check_rule(k, shared, share, complexity)
        self.n_splits = n_splits
        self.k = k
        self.shared = shared
        self.share = share
        self.complexity = complexity
        self.seed = seed
        self.threads = threads

    def get_n_splits(self, X: Any = None, y: Any = None, groups: Any = None) -> int:
        """Number of folds."""
        return self.n_splits

    def split(self, X: Any, y: Any = None, groups: Any = None) -> Iterator[tuple[Groups, Groups]]:
        """Training and test places of each fold.

        Args:
            X: the sequences.
            y: their labels.
            groups: the group of each sequence; None: found from X.

        Raises:
            SequenceInputError: sequences or labels that cannot be used, or fewer groups than folds.
        """
        if y is None:
            raise SequenceInputError("HomologyGroupKFold needs the labels y to make folds of even composition")
        if groups is None:
            groups = homology_groups(
                X, self.k, shared=self.shared, share=self.share, complexity=self.complexity, threads=self.threads
            )
        groups = np.asarray(groups)
        labels = check_labels(y, len(groups))
        count = len(np.unique(groups))
        if count < self.n_splits:
            raise SequenceInputError(
                f"there {'is' if count == 1 else 'are'} {counted(count, 'homology group')} for {self.n_splits} folds: "
                "at least one for each is needed",
                remedy="choose fewer folds, or a looser rule (larger shared)",
            )
        folds = StratifiedGroupKFold(self.n_splits, shuffle=True, random_state=self.seed)
        yield from folds.split(np.zeros(len(labels)), _strata(labels, self.n_splits), groups)


def _strata(labels: NDArray[Any], folds: int) -> NDArray[np.intp]:
    """Classes by number, those with fewer sequences than folds taken together: scikit-learn warns of them one by one.

    If even together they are too few, they count as the largest class.
    """
    _, codes, counts = np.unique(labels, return_inverse=True, return_counts=True)
    rare = counts < folds
    strata: NDArray[np.intp] = np.where(rare[codes], -1, codes)
    if 0 < np.count_nonzero(strata == -1) < folds and not rare.all():
        strata[strata == -1] = counts.argmax()
    return strata
