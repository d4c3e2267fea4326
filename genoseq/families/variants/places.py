"""Lists of residues as options take them: ``70,S73,68-72,130G``."""

from __future__ import annotations

import re
from typing import NamedTuple

from genoseq.errors import UsageError
from genoseq.families.alphabet import AMINO_ACIDS

__all__ = ["Place", "parse_places"]

ONE = re.compile(r"([A-Za-z]?)([0-9]{1,9})([A-Za-z]?)")
SPAN = re.compile(r"([0-9]{1,9})-([0-9]{1,9})")
WIDEST = 1_000_000  # residues of a span: no protein is as long


class Place(NamedTuple):
    """A residue of a list.

    Attributes:
        number: as it was written, from 1 in the protein.
        old: the letter that it is said to have, upper case; empty if none was said.
        new: the letter that it is to have, upper case; empty if none was said.
        text: the entry of the list.
    """

    number: int
    old: str
    new: str
    text: str

    def check_wild_type(self, own: str) -> None:
        """Refuse a place that is said to have another letter than the wild type, ``own``, has there.

        Raises:
            UsageError: says both.
        """
        if self.old and own and self.old != own:
            raise UsageError(f"{self.text}: the wild type has {own} at position {self.number}, not {self.old}")


def parse_places(text: str, option: str = "") -> list[Place]:
    """The places that ``text`` lists, in its order: ``70``, ``S70`` (it has S there), ``70A`` and ``S70A`` (to be A), ``68-73``.

    Args:
        text: entries separated by commas.
        option: what the user gave it by, for the message.

    Raises:
        UsageError: not such a list, or a letter to put in that is none of the 20 amino acids.

    >>> [(one.number, one.old, one.new) for one in parse_places("S70A,73-74")]
    [(70, 'S', 'A'), (73, '', ''), (74, '', '')]
    """
    found: list[Place] = []
    for part in (one.strip() for one in text.split(",")):
        span, single = SPAN.fullmatch(part), ONE.fullmatch(part)
        if span is not None and 0 <= int(span[2]) - int(span[1]) < WIDEST:
            found += [Place(number, "", "", part) for number in range(int(span[1]), int(span[2]) + 1)]
            continue
        if single is None:
            given = f"{option} {text}: " if option else ""
            raise UsageError(f"{given}{part!r} is no position: expected 70, S70, 70A or 68-73, separated by commas")
        old, number, new = single[1].upper(), int(single[2]), single[3].upper()
        if new and new not in AMINO_ACIDS:
            raise UsageError(f"{part}: {new} is none of the 20 amino acids")
        found.append(Place(number, old, new, part))
    return found
