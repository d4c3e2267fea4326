"""What a classifier is given, checked: sequences as upper-case bytes, and one label for each of them.

Every estimator of this package takes sequences as `str` or `bytes`, in a list, tuple or one-dimensional array. Case is a
mark (soft-masked repeats) and not a letter, so everything is upper case from here on.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal, NoReturn

import numpy as np
from numpy.typing import NDArray

from genoseq.errors import InputError
from genoseq.seqs.alphabet import UPPER

__all__ = ["LONGEST_WHOLE", "SILENT", "Alphabet", "SequenceInputError", "check_labels", "check_sequences", "check_threads"]

Alphabet = Literal["nucleotide", "protein"]

PROTEIN = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ*"
NOT_BASES = b"EFILPQZJO*"  # letters of proteins that no nucleotide code uses
NUCLEOTIDES = bytes(int(letter) for letter in np.flatnonzero(UPPER))
PLAIN = b"ACGTUN"
SILENT: dict[Alphabet, bytes] = {"nucleotide": b"N?.", "protein": b"X*"}
"""Letters that say nothing."""
LONGEST_WHOLE = 20_000
"""Letters of a training sequence that is learned whole; longer ones, genomes and contigs, are cut: parts can be held out."""
TELLING = 30  # residues; a protein of A, C, G, T and N alone is then no protein (0.3 ** 30 by its composition)


class SequenceInputError(InputError, ValueError):
    """Sequences or labels that cannot be used; also a ``ValueError``, which is what scikit-learn expects."""


def check_sequences(
    sequences: Any, *, alphabet: Alphabet = "nucleotide", what: str = "sequence", empty: bool = False
) -> list[bytes]:
    """The sequences as upper-case bytes, every one checked.

    Args:
        sequences: `str` or `bytes`, in a list, tuple or one-dimensional array.
        alphabet: the letters that are allowed: IUPAC nucleotide codes, or those of proteins.
        what: what error messages call one of them.
        empty: allow sequences without any letter that says something (empty, or only N or X).

    Raises:
        SequenceInputError: no sequences; one is empty, only N, no text, or of the other alphabet. Names its place, from 1.

    >>> check_sequences(["acgt", b"GGN"])
    [b'ACGT', b'GGN']
    """
    if alphabet not in ("nucleotide", "protein"):
        raise SequenceInputError(f"alphabet is {alphabet!r}, expected 'nucleotide' or 'protein'")
    if isinstance(sequences, (str, bytes)):
        raise SequenceInputError("expected a list of sequences, found one sequence", remedy="put it into a list")
    if isinstance(sequences, np.ndarray) and sequences.ndim != 1:
        raise SequenceInputError(
            f"expected a list of sequences, found an array of shape {sequences.shape}", remedy="give one text per sequence"
        )
    try:
        given = list(sequences)
    except TypeError:
        raise SequenceInputError(f"expected a list of sequences, found {type(sequences).__name__}") from None
    if not given:
        raise SequenceInputError(f"there is no {what}: at least one is needed")
    return [_checked(one, place, alphabet, what, empty) for place, one in enumerate(given, start=1)]


def _checked(one: Any, place: int, alphabet: Alphabet, what: str, empty: bool) -> bytes:
    def fail(message: str, remedy: str | None = None) -> NoReturn:
        raise SequenceInputError(f"{what} {place} {message}", remedy=remedy)

    if isinstance(one, str):
        try:
            data = one.encode("ascii").upper()
        except UnicodeEncodeError:
            fail("holds letters that are not ASCII")
    elif isinstance(one, bytes):
        data = one.upper()
    else:
        fail(f"is {type(one).__name__}, expected text", "records have their letters in .sequence")
    wrong = data.translate(None, NUCLEOTIDES if alphabet == "nucleotide" else PROTEIN)
    if wrong:
        protein = alphabet == "nucleotide" and any(letter in NOT_BASES for letter in wrong)
        hint = "this may be protein: choose alphabet='protein'" if protein else None
        fail(f"has the letter {chr(wrong[0])!r}, which is none of the {alphabet} letters", hint)
    if alphabet == "protein" and len(data) >= TELLING and not data.translate(None, PLAIN):
        fail("has no other letters than A C G T U N", "this is nucleotide sequence: choose alphabet='nucleotide'")
    if not empty and not data.translate(None, SILENT[alphabet]):
        if not data:
            fail("is empty", "remove it")
        fail(f"has no letter but {chr(data[0])}", "remove it: nothing can be told from it")
    return data


def check_labels(labels: Any, count: int) -> NDArray[Any]:
    """The labels as an array ``(count,)``.

    Raises:
        SequenceInputError: not one label per sequence, a missing label, or fewer than two classes.
    """
    if isinstance(labels, (str, bytes)) or not isinstance(labels, (Iterable, np.ndarray)):
        raise SequenceInputError(f"expected a list of labels, found {type(labels).__name__}")
    given: Any = labels if isinstance(labels, np.ndarray) else list(labels)
    missing = [place for place, label in enumerate(given, start=1) if label is None or label != label]
    if missing:
        raise SequenceInputError(f"sequence {missing[0]} has no label", remedy="remove it or label it")
    found = np.asarray(given)
    if found.ndim != 1 or len(found) != count:
        raise SequenceInputError(f"there are {count} sequences and labels of shape {found.shape}: one for each is needed")
    if found.dtype.kind == "f" and not np.all(found == np.floor(found)):
        # the wording is scikit-learn's: its checks ask for it
        raise SequenceInputError("Unknown label type: continuous. Expected classes, found numbers with fractions")
    if len(np.unique(found)) < 2:
        raise SequenceInputError(
            f"there is one class only ({found[0]!s})", remedy="a classifier needs sequences of at least two classes"
        )
    return found


def check_threads(threads: Any) -> int:
    """The number of threads.

    Raises:
        SequenceInputError: not a whole number of at least 1.
    """
    if isinstance(threads, bool) or not isinstance(threads, (int, np.integer)) or threads < 1:
        raise SequenceInputError(f"threads is {threads!r}, expected a whole number of at least 1")
    return int(threads)
