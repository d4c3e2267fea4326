"""Sequences as bytes, and tables from each byte to an id: what every tokenizer starts from.

Nothing here knows of Hugging Face; the tables are 256 bytes long and are applied by ``bytes.translate``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genoseq.errors import InputError
from genoseq.seqs.alphabet import IUPAC, UNKNOWN_MARKS

__all__ = ["AMBIGUOUS", "AnySequence", "check_known", "code_table", "letters_of", "smallest_unsigned"]

AnySequence = str | bytes | bytearray | memoryview | NDArray[Any]
"""What tokenizers take: text, its ASCII bytes, or an array of them (uint8 or S1, one-dimensional)."""

AMBIGUOUS = bytes(letter for letter in IUPAC + UNKNOWN_MARKS if letter not in b"ACGTU")
"""Letters that stand for more than one base: R Y S W K M B D H V N, and the older marks X and ``.`` of an unknown base."""

_RESIDUES_ONLY = b"EFILPQefilpq"  # amino acids whose letters are no nucleotide code
_PROTEIN_SHARE = 0.05  # of such letters among all; a DNA file with a stray letter has far less, a protein about a third


def letters_of(sequence: AnySequence) -> bytes:
    """The ASCII bytes of a sequence.

    Raises:
        InputError: a character is not ASCII; the message gives its position.
        TypeError: ``sequence`` is none of the types of ``AnySequence``.

    >>> letters_of("ACGT"), letters_of(np.array([b"A", b"C"]))
    (b'ACGT', b'AC')
    """
    if isinstance(sequence, str):
        try:
            return sequence.encode("ascii")
        except UnicodeEncodeError as error:
            raise _not_ascii(sequence[error.start], error.start) from None
    if isinstance(sequence, np.ndarray):
        if sequence.ndim != 1 or sequence.dtype not in (np.uint8, np.dtype("S1")):
            raise TypeError(f"a sequence array is {sequence.dtype} {sequence.shape}; expected uint8 or S1 (L,)")
        letters = sequence.tobytes()
    elif isinstance(sequence, (bytes, bytearray, memoryview)):
        letters = bytes(sequence)
    else:
        raise TypeError(f"a sequence is {type(sequence).__name__}; expected str, bytes or an array of letters")
    if not letters.isascii():
        position = int(np.argmax(np.frombuffer(letters, np.uint8) > 127))
        raise _not_ascii(chr(letters[position]), position)
    return letters


def _not_ascii(character: str, position: int) -> InputError:
    found = f"position {position} (counted from 0) holds {character!r} (U+{ord(character):04X})"
    return InputError(f"{found}, which is not ASCII and in no sequence alphabet", remedy="remove or replace it")


def code_table(
    codes: Mapping[str, int],
    *,
    unknown: int,
    upper: bool = False,
    u_as_t: bool = False,
    ambiguous: int | None = None,
) -> bytes:
    """A table for ``bytes.translate``: 256 bytes, the code of each letter.

    Args:
        codes: code of each letter.
        unknown: code of every other byte.
        upper: give lower-case letters the code of upper case.
        u_as_t: give ``U`` the code of ``T``, unless it has one of its own.
        ambiguous: code of the letters in ``AMBIGUOUS`` that have none of their own; None leaves them unknown.

    >>> table = code_table({"A": 0, "T": 1}, unknown=9, upper=True, u_as_t=True)
    >>> list(b"ATUaG".translate(table))
    [0, 1, 1, 0, 9]
    """
    table = bytearray([unknown]) * 256
    if ambiguous is not None:
        for letter in AMBIGUOUS:
            table[letter] = ambiguous
    for character, code in codes.items():
        table[ord(character)] = code
    if u_as_t and "T" in codes and "U" not in codes:
        table[ord("U")] = codes["T"]
    if upper:
        for letter in range(ord("A"), ord("Z") + 1):
            if chr(letter).lower() not in codes:
                table[letter + 32] = table[letter]
    return bytes(table)


def known_letters(table: bytes, unknown: int) -> bytes:
    """The bytes that a table of :func:`code_table` knows."""
    return bytes(letter for letter in range(256) if table[letter] != unknown)


def check_known(letters: bytes, known: bytes, *, alphabet: str, shown: Iterable[str]) -> None:
    """Refuse a sequence that is empty or holds letters outside ``known``.

    Args:
        alphabet: what the tokenizer reads, for the message: ``DNA`` or ``protein``.
        shown: the letters it knows, for the message.

    Raises:
        InputError: says which character, where, and how many there are.
    """
    if not letters:
        raise InputError("the sequence is empty", remedy="leave it out, or pass strict=False to encode it as no tokens")
    rest = letters.translate(None, known)
    if not rest:
        return
    position = letters.find(rest[:1])
    share = len(letters) - len(letters.translate(None, _RESIDUES_ONLY))
    if alphabet != "protein" and share > _PROTEIN_SHARE * len(letters):
        remedy = "it looks like a protein: use a protein tokenizer, such as 'esm' or 'poet'"
    elif not rest.translate(None, b"Uu"):
        remedy = "it looks like RNA: pass u_as_t=True, or write T for U"
    elif len(rest.upper().translate(None, known)) < len(rest):
        remedy = "lower case is not read here: pass upper=True, or change the case of the sequence"
    else:
        remedy = "mend the sequence, or pass strict=False to let such characters become the unknown token"
    many = "1 of its characters" if len(rest) == 1 else f"{len(rest):,} of its {len(letters):,} characters"
    raise InputError(
        f"position {position} (counted from 0) holds {chr(rest[0])!r}, which is not in the {alphabet} alphabet of this "
        f"tokenizer ({' '.join(shown)}); {many} {'is' if len(rest) == 1 else 'are'} not",
        remedy=remedy,
    )


def smallest_unsigned(size: int) -> np.dtype[Any]:
    """The smallest unsigned integer type that holds ids below ``size``.

    >>> smallest_unsigned(256), smallest_unsigned(257)
    (dtype('uint8'), dtype('uint16'))
    """
    return np.min_scalar_type(max(size - 1, 0))
