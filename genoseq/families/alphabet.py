"""The letters of aligned proteins as small numbers.

Codes 0 to 19 are the amino acids in alphabetical order of their letters, 20 is a gap, 21 a residue that is not known.
Selenocysteine (U) counts as C and pyrrolysine (O) as K, as in PoET; B, Z, J and X are not known.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["AMINO_ACIDS", "GAP", "UNKNOWN", "decode", "encode"]

AMINO_ACIDS = "ACDEFGHIKLMNPQRSTVWY"
GAP, UNKNOWN = 20, 21
LETTERS = AMINO_ACIDS + "-X"
FOREIGN = 255  # no letter of a protein

_TABLE = np.full(256, FOREIGN, np.uint8)
for _code, _letter in enumerate(LETTERS):
    _TABLE[[ord(_letter), ord(_letter.lower())]] = _code
for _letters, _code in (("Uu", AMINO_ACIDS.index("C")), ("Oo", AMINO_ACIDS.index("K")), ("BbZzJj", UNKNOWN), (".", GAP)):
    for _letter in _letters:
        _TABLE[ord(_letter)] = _code


def encode(letters: str | bytes) -> NDArray[np.uint8]:
    """Codes (L,) of a protein or an aligned row; case does not matter, ``.`` is a gap like ``-``.

    Raises:
        ValueError: a letter that no protein has, such as ``*`` or a digit; the text names it and its place.

    >>> encode("Acd-X").tolist()
    [0, 1, 2, 20, 21]
    """
    raw = np.frombuffer(letters.encode("latin-1", "replace") if isinstance(letters, str) else letters, np.uint8)
    codes: NDArray[np.uint8] = _TABLE[raw]
    foreign = np.flatnonzero(codes == FOREIGN)
    if foreign.size:
        at = int(foreign[0])
        raise ValueError(f"{chr(raw[at])!r} at position {at + 1} is no amino acid")
    return codes


def decode(codes: NDArray[np.uint8]) -> str:
    """Letters of codes (L,).

    >>> decode(encode("AUB-"))
    'ACX-'
    """
    return np.frombuffer(LETTERS.encode(), np.uint8)[codes].tobytes().decode()
