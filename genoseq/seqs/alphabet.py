"""The nucleotide alphabet: letters to numbers and back, complements, and which letters a sequence may hold.

Codes: ``A`` 0, ``C`` 1, ``G`` 2, ``T`` and ``U`` 3; every other letter (``N`` and the other IUPAC ambiguity codes) 4.
Lower case has the code of upper case. Letters of IUPAC: Cornish-Bowden, Nucleic Acids Research 13:3021 (1985).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "CODES",
    "COMPLEMENT",
    "COMPLEMENTS",
    "LETTERS",
    "SAM_LETTERS",
    "UNKNOWN",
    "UPPER",
    "decode",
    "encode",
    "reverse_complement",
]

UNKNOWN = 4  # code of everything that is not one of the four bases
LETTERS = b"ACGTN"  # letter of each code
IUPAC = b"ACGTURYSWKMBDHVN"
UNKNOWN_MARKS = b"X."  # older notations for an unknown base

_PARTNERS = bytes.maketrans(b"ACGTURYSWKMBDHVNacgturyswkmbdhvn", b"TGCAAYRSWMKVHDBNtgcaayrswmkvhdbn")


def _table(pairs: dict[int, int], default: int) -> NDArray[np.uint8]:
    table = np.full(256, default, np.uint8)
    for letter, value in pairs.items():
        table[letter] = value
    table.setflags(write=False)
    return table


CODES = _table(dict(zip(b"ACGTUacgtu", 2 * bytes((0, 1, 2, 3, 3)), strict=True)), UNKNOWN)
"""(256,) uint8: code of each ASCII letter."""

COMPLEMENT = _table({0: 3, 1: 2, 2: 1, 3: 0}, UNKNOWN)[:5]
"""(5,) uint8: code of the complement of each code."""

COMPLEMENTS = np.frombuffer(_PARTNERS, np.uint8)
"""(256,) uint8: complement of each ASCII letter, case kept; every other byte as it is."""

_ALLOWED = IUPAC + UNKNOWN_MARKS
UPPER = _table(dict(zip(_ALLOWED + _ALLOWED.lower(), 2 * _ALLOWED, strict=True)), 0)
"""(256,) uint8: upper case of each letter that a sequence may hold, 0 for every other byte."""

SAM_LETTERS = UPPER.copy()
"""(256,) uint8: each letter as SAM and BAM write it: ``U`` as ``T``, the older marks of an unknown base as ``N``."""
SAM_LETTERS[list(b"Uu")] = ord("T")
SAM_LETTERS[list(UNKNOWN_MARKS + UNKNOWN_MARKS.lower())] = ord("N")
SAM_LETTERS.setflags(write=False)


def encode(sequence: bytes) -> NDArray[np.uint8]:
    """Codes of ``sequence``, shape ``(len(sequence),)``.

    >>> encode(b"ACGTNacgtu").tolist()
    [0, 1, 2, 3, 4, 0, 1, 2, 3, 3]
    """
    return CODES[np.frombuffer(sequence, np.uint8)]


def decode(codes: NDArray[np.uint8]) -> bytes:
    """The letters of ``codes``, upper case, ``N`` for code 4.

    >>> decode(np.array([0, 1, 2, 3, 4], np.uint8))
    b'ACGTN'
    """
    return np.frombuffer(LETTERS, np.uint8)[codes].tobytes()


def reverse_complement(sequence: bytes) -> bytes:
    """The other strand, read in its own direction; IUPAC codes and case are kept, the complement of ``U`` is ``A``.

    >>> reverse_complement(b"AACGTNRy")
    b'rYNACGTT'
    """
    return sequence.translate(_PARTNERS)[::-1]
