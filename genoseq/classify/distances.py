"""Distances between all pairs of sequences or genomes, by words in common, by compression, or by any model of code length.

An item is a sequence, or a genome of several sequences (contigs, plasmids). Distances are symmetric, 0 between an item and
itself, and mostly between 0 and 1.

============== =================================================================================================================
jaccard        1 - shared words / words of both
containment    1 - shared words / words of the item that has fewer
mash           -ln(2 j / (1 + j)) / k with j the Jaccard similarity: substitutions per letter (Ondov et al., Genome Biology
               17:132, 2016); at most 1, and 1 where no word is shared
ncd            normalised compression distance (Li et al. 2004), the mean of both orders of joining
conditional    max(C(x | y), C(y | x)) / max(C(x), C(y)): the normalised information distance, with C any code length
============== =================================================================================================================

Word distances need no alignment and cost about a second per genome; by default they keep one word in so many (see
`genoseq.classify.words`), and :attr:`DistanceMatrix.errors` holds the standard error which that brings.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from genoseq.classify.compressors import Compressor, compressor_named, given_text
from genoseq.classify.ncd import ncd
from genoseq.classify.sequences import SequenceInputError
from genoseq.classify.words import Hashes, Words
from genoseq.log import counted
from genoseq.parallel import ordered_map

__all__ = [
    "DistanceMatrix",
    "WordMetric",
    "code_length_distances",
    "compression_distances",
    "conditional_distances",
    "mash_distance",
    "word_distances",
]

log = logging.getLogger(__name__)

Floats = NDArray[np.float64]
WordMetric = Literal["jaccard", "containment", "mash", "ani"]
JOIN = b"\n"
FEW = 100  # kept words that two genomes share, below which a distance is worth a warning


@dataclass(frozen=True, eq=False)
class DistanceMatrix:
    """Distances between named items.

    Attributes:
        names: ``N`` names, all different.
        values: ``(N, N)``, symmetric, not negative, 0 on the diagonal.
        method: how they were made, one line.
        errors: ``(N, N)`` standard errors from sketching; None where nothing was left out.

    Raises:
        SequenceInputError: not such a matrix.
    """

    names: tuple[str, ...]
    values: Floats
    method: str = ""
    errors: Floats | None = None

    def __post_init__(self) -> None:
        count = len(self.names)
        if count < 2:
            raise SequenceInputError(f"a distance matrix of {counted(count, 'name')}: at least 2 are needed")
        _check_names(self.names)
        if self.values.shape != (count, count):
            raise SequenceInputError(f"{counted(count, 'name')} for distances of shape {self.values.shape}")
        if not np.isfinite(self.values).all() or (self.values < 0).any():
            raise SequenceInputError("distances must be finite and not negative")
        if np.diag(self.values).any():
            raise SequenceInputError("the distance of an item to itself must be 0")
        if not np.allclose(self.values, self.values.T, rtol=1e-6, atol=1e-9):
            raise SequenceInputError("distances must be the same in both directions")

    def __len__(self) -> int:
        """Number of items."""
        return len(self.names)

    def unrelated(self) -> int:
        """Number of pairs whose distance of 1 says "no word in common", not how far apart they are.

        ``mash`` and ``ani`` set 1 there, ``jaccard`` and ``containment`` are 1 there. Where it is not known how the distances
        were made (files of PHYLIP and of other programs), pairs at 1 count if no distance is larger. By compression: 0.

        >>> DistanceMatrix(("a", "b", "c"), np.array([[0, 1, 0.2], [1, 0, 1], [0.2, 1, 0]]), "mash k=21 scaled=1").unrelated()
        2
        """
        metric = self.method.split(" ", 1)[0]
        if metric not in ("", *get_args(WordMetric)) or (not metric and self.values.max() > 1):
            return 0
        return int(np.count_nonzero(np.triu(self.values == 1)))


def mash_distance(jaccard: float, k: int) -> float:
    """Substitutions per letter from the Jaccard similarity of k-mers, at most 1.

    >>> round(mash_distance(0.5, 21), 4)
    0.0193
    """
    return min(1.0, max(0.0, -math.log(2 * jaccard / (1 + jaccard)) / k)) if jaccard > 0 else 1.0


def word_distances(
    items: Sequence[Sequence[bytes]],
    names: Sequence[str],
    words: Words,
    *,
    metric: WordMetric = "mash",
    threads: int = 1,
) -> DistanceMatrix:
    """Distances by words in common, one sketch of each item held in memory.

    Args:
        items: each the sequences of one item, upper-case letters.
        names: one for each.
        words: length, kind and share of the words.
        metric: ``jaccard``, ``containment``, ``mash`` or ``ani``.
        threads: threads; results do not depend on it.

    Raises:
        SequenceInputError: an item without any kept word, or names that are not different.

    >>> word_distances([[b"ACGTTGCATTGA"], [b"TCAATGCAACGA"]], ["one", "two"], Words(5), metric="jaccard").values[0, 1].round(3)
    np.float64(0.222)
    """
    if metric not in get_args(WordMetric):
        raise SequenceInputError(f"metric is {metric!r}, expected one of {', '.join(get_args(WordMetric))}")
    _check(items, names)
    sets = list(ordered_map(words.of_all, items, threads=threads))
    for name, kept in zip(names, sets, strict=True):
        if not len(kept):
            what = "bases" if words.kind == "nucleotide" else "amino acids"
            raise SequenceInputError(
                f"{name!r} has no word of {words.k} {what}" + (f" among one in {words.scaled}" if words.scaled > 1 else ""),
                remedy="choose a smaller k" + (" or keep more words (smaller scaled)" if words.scaled > 1 else ""),
            )

    def between(pair: tuple[int, int]) -> tuple[float, float]:
        return _word_distance(sets[pair[0]], sets[pair[1]], words, metric)

    pairs = list(combinations(range(len(sets)), 2))
    found = list(ordered_map(between, pairs, threads=threads))
    unsure = sum(error > 0.1 for _, error in found if not math.isnan(error))
    if unsure:
        have, all_pairs = "has" if unsure == 1 else "have", counted(len(pairs), "distance")
        log.warning("%d of %s %s a standard error above 0.1; keep more words (smaller scaled)", unsure, all_pairs, have)
    alone = sum(value == 1 for value, _ in found)
    if alone and metric in ("mash", "ani"):
        share, whose = ("shares", "its") if alone == 1 else ("share", "their")
        log.warning(
            "%d of %s %s no word: %s distance is set to 1; a smaller k reaches further",
            alone, counted(len(pairs), "pair"), share, whose,
        )  # fmt: skip
    kind = "" if words.kind == "nucleotide" else f" {words.kind}"
    if words.kind == "translated":
        kind += f" genetic_code={words.genetic_code} open_run={words.open_run}"
    method = f"{metric} k={words.k}{kind} scaled={words.scaled}"
    errors = _square(len(sets), [error for _, error in found]) if words.scaled > 1 else None
    return DistanceMatrix(tuple(names), _square(len(sets), [value for value, _ in found]), method, errors)


def _word_distance(one: Hashes, other: Hashes, words: Words, metric: WordMetric) -> tuple[float, float]:
    """Distance and its standard error (by the delta method for mash and ani; NaN there where nothing is shared)."""
    shared = len(np.intersect1d(one, other, assume_unique=True))
    whole = min(len(one), len(other)) if metric in ("containment", "ani") else len(one) + len(other) - shared
    share = shared / whole
    error = words.error(share, whole)
    if metric in ("jaccard", "containment"):
        return 1 - share, error
    if not share:
        return 1.0, math.nan
    if metric == "mash":
        return mash_distance(share, words.k), error / (words.k * share * (1 + share))
    alike: float = share ** (1 / words.k)
    return 1 - alike, error * alike / (words.k * share)


def compression_distances(
    items: Sequence[Sequence[bytes]], names: Sequence[str], compressor: Compressor | None = None, *, threads: int = 1
) -> DistanceMatrix:
    """Normalised compression distances; the contigs of an item are joined by line ends, and two items likewise.

    Args:
        items: each the sequences of one item, upper-case letters.
        names: one for each.
        compressor: lzma unless given, which sees 8 MB back.
        threads: threads; results do not depend on it.

    Raises:
        SequenceInputError: an empty item, or names that are not different.

    >>> texts = [[b"ACGTTGCATTGA" * 20], [b"ACGTTGCATTGA" * 19], [b"GGATACCATTCA" * 20]]
    >>> made = compression_distances(texts, ["a", "b", "c"], compressor_named("bz2"))
    >>> bool(made.values[0, 1] < made.values[0, 2])
    True
    """
    chosen = compressor_named("lzma") if compressor is None else compressor
    _check(items, names)
    texts = [JOIN.join(item) for item in items]
    longest = sorted(len(text) for text in texts)[-2:]
    if sum(longest) > chosen.window:
        log.warning(
            "%s looks back %d bytes and two items have %d: what they share further apart is not seen; "
            "choose lzma, or a distance by words",
            chosen.name,
            chosen.window,
            sum(longest),
        )
    alone = np.array(list(ordered_map(chosen.size, texts, threads=threads)), float)

    def between(pair: tuple[int, int]) -> float:
        i, j = pair
        joint = (chosen.size(texts[i] + JOIN + texts[j]) + chosen.size(texts[j] + JOIN + texts[i])) / 2
        return max(0.0, float(ncd(np.array(joint), alone[i], alone[j])))

    found = list(ordered_map(between, combinations(range(len(texts)), 2), threads=threads))
    return DistanceMatrix(tuple(names), _square(len(texts), found), f"ncd {chosen.name}-{chosen.level}")


def conditional_distances(
    items: Sequence[Sequence[bytes]], names: Sequence[str], *, level: int = 19, threads: int = 1
) -> DistanceMatrix:
    """Normalised information distances with C(x | y) by zstd, which takes y as a dictionary.

    Raises:
        SequenceInputError: an empty item, a level out of range, or names that are not different.
    """
    _check(items, names)
    alone = compressor_named("zstd", level).size

    def bytes_of(text: bytes, known: bytes | None) -> float:
        return alone(text) if known is None else given_text(known, level)(text)

    texts = [JOIN.join(item) for item in items]
    return code_length_distances(texts, names, bytes_of, method=f"conditional zstd-{level}", threads=threads)


def code_length_distances(
    items: Sequence[bytes],
    names: Sequence[str],
    code_length: Callable[[bytes, bytes | None], float],
    *,
    method: str = "conditional",
    threads: int = 1,
) -> DistanceMatrix:
    """Normalised information distances by any model that says how long the code of a text is, alone and given another.

    Args:
        items: texts.
        names: one for each.
        code_length: of its first argument, given the second (None: nothing); in any unit. It is called from ``threads`` threads.
        method: one line about it.
        threads: threads.

    Raises:
        SequenceInputError: an empty item, a code length that is not positive and finite, or names that are not different.

    >>> length = lambda text, known: len(set(text) - set(known or b"")) + 1.0
    >>> code_length_distances([b"AC", b"ACG"], ["a", "b"], length).values[0, 1]
    np.float64(0.5)
    """
    _check([[item] for item in items], names)

    def checked(text: bytes, known: bytes | None) -> float:
        length = float(code_length(text, known))
        if not math.isfinite(length) or length < 0 or (known is None and length == 0):
            raise SequenceInputError(f"the code length of {names[items.index(text)]!r} is {length}, expected more than 0")
        return length

    alone = list(ordered_map(lambda text: checked(text, None), items, threads=threads))

    def between(pair: tuple[int, int]) -> float:
        i, j = pair
        return max(checked(items[i], items[j]), checked(items[j], items[i])) / max(alone[i], alone[j])

    found = list(ordered_map(between, combinations(range(len(items)), 2), threads=threads))
    return DistanceMatrix(tuple(names), _square(len(items), found), method)


def _check(items: Sequence[Sequence[bytes]], names: Sequence[str]) -> None:
    if len(items) != len(names):
        raise SequenceInputError(f"{counted(len(items), 'item')} for {counted(len(names), 'name')}: one for each is needed")
    if len(items) < 2:
        raise SequenceInputError(f"there is {len(items)} item: distances need at least 2")
    _check_names(names)
    for name, item in zip(names, items, strict=True):
        if not any(item):
            raise SequenceInputError(f"{name!r} is empty", remedy="remove it")


def _check_names(names: Sequence[str]) -> None:
    seen: set[str] = set()
    for name in names:
        if not name:
            raise SequenceInputError("an item has no name")
        if name in seen:
            raise SequenceInputError(f"the name {name!r} stands for more than one item", remedy="rename one of them")
        seen.add(name)


def _square(count: int, upper: Sequence[float]) -> Floats:
    """The symmetric matrix with these values above its diagonal, row by row."""
    matrix = np.zeros((count, count))
    matrix[np.triu_indices(count, 1)] = upper
    return matrix + matrix.T
