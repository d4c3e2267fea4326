"""Which row of an alignment is the wild type, and where it lies in the protein it comes from."""

from __future__ import annotations

import logging
import re
from typing import NamedTuple, NoReturn

import numpy as np
from numpy.typing import NDArray

from genoseq.families.alignments.rows import Rows
from genoseq.log import counted

__all__ = ["Located", "find_query", "name_range"]

log = logging.getLogger(__name__)

RANGE = re.compile(r"/(\d+)-(\d+)$")
SEQUENCE = re.compile(r"[A-Za-z]{10,}\*?")  # what may be meant as a sequence where no row has it as its name


class Located(NamedTuple):
    """The query in the file.

    Attributes:
        row: its row, from 0.
        first: where in the row's residues it begins, from 0.
        sequence: its residues, upper case.
        start: number of its first residue in its protein, from 0.
    """

    row: int
    first: int
    sequence: str
    start: int


def name_range(name: str) -> tuple[int, int] | None:
    """The residues a name ends in, 0-based and half-open; None if there are none.

    >>> name_range("BLAT_ECOLX/24-286")
    (23, 286)
    """
    found = RANGE.search(name)
    if found is None or not 0 < int(found[1]) <= int(found[2]):
        return None
    return int(found[1]) - 1, int(found[2])


def find_query(found: Rows, query: str) -> Located:
    """Locate ``query``: ``"first"``, the name of a row with or without its range, or a sequence.

    Raises:
        InputError: no row has this name or contains, or is a part of, this sequence; or the row has no residues.
    """
    if query == "first":
        return _by_row(found, 0)
    for names in (found.names, [RANGE.sub("", name) for name in found.names]):
        if query in names:
            return _by_row(found, names.index(query))
    if not SEQUENCE.fullmatch(query):
        few = ", ".join(found.names[:3])
        found.fail(f"no row is named {query!r}", remedy=f"its names are {few}{', ...' if len(found.names) > 3 else ''}")
    return _by_sequence(found, query.upper().rstrip("*"))


def _by_row(found: Rows, number: int) -> Located:
    sequence = _residues(found.rows[number])
    if not sequence:
        found.fail(f"the query {found.names[number]!r} has no residues", number)
    return Located(number, 0, sequence, _start_by_name(found, number, sequence))


def _start_by_name(found: Rows, number: int, sequence: str) -> int:
    spanned = name_range(found.names[number])
    if spanned is None:
        return 0
    if spanned[1] - spanned[0] != len(sequence):
        log.warning(
            "%s: the name %r spans %s, its row has %d; the residues are counted from 1",
            found.path, found.names[number], counted(spanned[1] - spanned[0], "residue"), len(sequence),
        )  # fmt: skip
        return 0
    return spanned[0]


def _by_sequence(found: Rows, wild_type: str) -> Located:
    """The first row if it fits, else one that equals the wild type, else the longest one that is a part of it or holds it."""
    best: tuple[int, int] | None = None  # residues in common, row
    for number, row in enumerate(found.rows):
        sequence = _residues(row)
        common = min(len(sequence), len(wild_type)) if sequence and (sequence in wild_type or wild_type in sequence) else 0
        whole = sequence == wild_type
        if common and (number == 0 or whole or best is None or common > best[0]):
            best = common, number
        if best is not None and (number == 0 or whole):
            break
    if best is None:
        _fail(found, wild_type, _unlike_first(found, wild_type))
    number = best[1]
    sequence = _residues(found.rows[number])
    if wild_type in sequence:
        return Located(number, sequence.index(wild_type), wild_type, 0)
    if number and (hint := _unlike_first(found, wild_type)):
        _fail(found, wild_type, hint)  # the first row was meant: a fragment that happens to agree is no query
    start = wild_type.index(sequence)
    log.info(
        "%s: the wild type has %d residues; row %r has %d to %d of them and is taken as the query",
        found.path, len(wild_type), found.names[number], start + 1, start + len(sequence),
    )  # fmt: skip
    spanned = name_range(found.names[number])
    if spanned is not None and wild_type[spanned[0] : spanned[1]] == sequence:
        start = spanned[0]  # a repeat: the name says which of the copies
    elif wild_type.count(sequence) > 1:
        log.warning("%s: row %r lies in the wild type more than once; the first place is taken", found.path, found.names[number])
    return Located(number, 0, sequence, start)


def _unlike_first(found: Rows, wild_type: str) -> str:
    """How the first row differs from the wild type, at the shift at which they agree best; empty if they are unlike."""
    first = np.frombuffer(_residues(found.rows[0]).encode(), np.uint8)
    given = np.frombuffer(wild_type.encode(), np.uint8)
    shift, same = _best_shift(first, given)
    low, high = max(0, shift), min(len(given), len(first) + shift)
    if high <= low or same < 0.5 * (high - low) or same < 5:
        return ""
    there = first[low - shift : high - shift]
    wrong = np.flatnonzero(there != given[low:high])
    few = ", ".join(f"{chr(given[low + at])}{low + at + 1}{chr(there[at])}" for at in wrong[:5])
    hint = f"the first row, {found.names[0]!r}, differs in {counted(len(wrong), 'residue')}"
    return hint + (f" ({few}{', ...' if len(wrong) > 5 else ''})" if len(wrong) else " at its ends")


def _fail(found: Rows, wild_type: str, hint: str) -> NoReturn:
    what = f"the wild type ({len(wild_type)} residues) is no row, no part of a row, and no row is a part of it"
    found.fail(
        f"the wild type ({len(wild_type)} residues) is not that of the alignment: {hint}" if hint else what,
        remedy="give the sequence the alignment was made with, or the name of its row",
    )


def _best_shift(first: NDArray[np.uint8], given: NDArray[np.uint8]) -> tuple[int, int]:
    """The place of ``first`` in ``given`` with the most equal letters, and how many those are."""
    best = (0, -1)
    for shift in range(1 - len(first), len(given)):
        low, high = max(0, shift), min(len(given), len(first) + shift)
        same = int((first[low - shift : high - shift] == given[low:high]).sum())
        if same > best[1]:
            best = (shift, same)
    return best


def _residues(row: bytes) -> str:
    return row.translate(None, b"-.*").upper().decode("ascii")
