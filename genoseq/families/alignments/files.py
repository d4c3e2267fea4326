"""An :class:`~genoseq.families.alignments.alignment.Alignment` from a3m, a2m, Stockholm or aligned FASTA, and the way back.

The format is told by the content:

- ``# STOCKHOLM``: Stockholm; the ``#=GC RF`` line, if there is one, marks the match columns;
- rows of unequal length that are equal without lower-case letters and dots: a3m;
- rows of equal length in which each column has either capitals and ``-`` or lower case and ``.``: a2m, in which lower case
  and dots are insertions, or parts of the query that are not to be modelled (EVcouplings);
- other rows of equal length: aligned FASTA, where case says nothing and ``.`` is a gap. What could be any of the three
  is taken for what its name says (``.a3m``, ``.a2m``, before ``.gz`` or ``.zst``).
"""

from __future__ import annotations

import logging
import os
import re
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from genoseq.errors import Pathlike, UsageError
from genoseq.families.alignments.alignment import Alignment
from genoseq.families.alignments.nucleotides import refuse_nucleotides
from genoseq.families.alignments.query import Located, find_query
from genoseq.families.alignments.rows import LETTERS, Rows, read_rows
from genoseq.families.alphabet import GAP, encode
from genoseq.log import counted

__all__ = ["Format", "read_alignment", "unique_names"]

log = logging.getLogger(__name__)

Format = Literal["a3m", "a2m", "stockholm", "fasta"]

LOWER = LETTERS.lower()
_INSERTED = np.zeros(256, np.bool_)
_INSERTED[np.frombuffer(LOWER + b".", np.uint8)] = True


def read_alignment(
    path: Pathlike,
    *,
    query: str | None = "auto",
    format: Format | None = None,  # noqa: A002 - the word of the field
    max_gaps: float = 0.5,
) -> Alignment:
    """The alignment in ``path`` (plain, gzip, bgzip or zstd by content; ``-`` is standard input).

    Args:
        path: the file.
        query: the wild type. ``"first"``: the first row; a name (with or without ``/24-286``); a sequence, looked for
            in the rows, first in the first one; None: there is none. ``"auto"``: the first row of a3m and a2m, and the
            only row of any file; none otherwise. The query becomes row 0 and its residues become the columns.
        format: what to read the file as; by content unless given.
        max_gaps: without a query, the share of gaps above which a column of FASTA, or of Stockholm without
            ``#=GC RF``, is dropped; 1 keeps all.

    ``start`` is the first number of a range in the query's name (``/24-286`` says 23) if its length fits; where a sequence
    is given as the query and the row is a part of it, it is the place of the row in it. Where the given sequence is a part
    of the row, only its columns stay.

    Duplicate names get a suffix (``_2``), a stop codon at the end is dropped; both are logged.

    Raises:
        InputError: names file, record and line: not an alignment, rows of unequal length, letters of no protein,
            no such query.
        UsageError: an unknown format, or ``max_gaps`` outside 0 to 1.

    >>> import tempfile
    >>> from pathlib import Path
    >>> path = Path(tempfile.mkdtemp()) / "small.a3m"
    >>> _ = path.write_text(">wt/24-27\\nACDE\\n>other\\nA-kkDE\\n")
    >>> alignment = read_alignment(path)
    >>> alignment.row(1), alignment.sequences[1], alignment.start
    ('A-DE', 'AKKDE', 23)
    """
    if format is not None and format not in get_args(Format):
        raise UsageError(f"no alignment format is called {format!r}: expected one of {', '.join(get_args(Format))}")
    if not 0 <= max_gaps <= 1:
        raise UsageError(f"the largest share of gaps is {max_gaps}, expected 0 to 1")
    found = read_rows(path)
    if found.stockholm != (format == "stockholm") and format is not None:
        found.fail(f"is {'' if found.stockholm else 'not '}in Stockholm format, expected {format}")
    refuse_nucleotides(found.rows, found.path)  # before the lengths: genes are as a rule not aligned
    _drop_stops(found)
    chosen = format or _recognise(found)
    _check_lengths(found, chosen)
    if query == "auto":
        query = "first" if chosen in ("a3m", "a2m") or len(found.rows) == 1 else None
    located = None if query is None else find_query(found, query)
    names, repeated = unique_names(found.names)
    if repeated:
        log.warning("%s: %s already used got a suffix such as '_2'", found.path, counted(repeated, "name"))
    found.names = names
    alignment = _align_a3m(found, located) if chosen == "a3m" else _align_columns(found, located, chosen, max_gaps)
    log.debug("%s: %s, %s of %d columns", found.path, chosen, counted(len(alignment), "row"), alignment.length)
    return alignment


def unique_names(names: list[str]) -> tuple[list[str], int]:
    """The names with a suffix on every one that stood before, and how many those are.

    >>> unique_names(["a", "b", "a", "a"])
    (['a', 'b', 'a_2', 'a_3'], 2)
    """
    taken = set(names)
    if len(taken) == len(names):
        return list(names), 0
    seen: dict[str, int] = {}
    result, repeated = [], 0
    for name in names:
        number = seen.get(name, 0) + 1
        unique = name
        if number > 1:
            repeated += 1
            while (unique := f"{name}_{number}") in taken:
                number += 1
            taken.add(unique)
        seen[name] = number
        result.append(unique)
    return result, repeated


def _recognise(found: Rows) -> Format:
    """What the file is, by the rules of this module; fails on unaligned sequences."""
    if found.stockholm:
        return "stockholm"
    if found.a3m:
        return "a3m"
    ending = re.search(r"\.(a[23]m)(\.\w+)?$", os.path.basename(found.path).lower())
    named: Format | None = None if ending is None else "a3m" if ending[1] == "a3m" else "a2m"
    length = len(found.rows[0])
    if any(len(row) != length for row in found.rows):
        if len({_matches(row) for row in found.rows}) > 1:
            gaps = found.parts or any(b"-" in row or b"." in row for row in found.rows)
            if not gaps and named is None:
                found.fail(
                    "holds sequences of different lengths and no gaps, expected an alignment",
                    remedy="align them first: genoseq family align SEQUENCES --to ALIGNMENT, or make an alignment with "
                    "genoseq family search",
                )
            lower = any(row.translate(None, LOWER) != row for row in found.rows)
            return named or ("a3m" if lower else "fasta")
        return "a3m"
    inserted, matched = np.zeros(length, np.bool_), np.zeros(length, np.bool_)
    for row in found.rows:
        insert = _INSERTED[np.frombuffer(row, np.uint8)]
        inserted |= insert
        matched |= ~insert
    if inserted.any() and not (inserted & matched).any():
        return "a2m"
    if inserted.any() and not any(b"." in row for row in found.rows) and len({_matches(row) for row in found.rows}) == 1:
        return "a3m"
    return named or "fasta"


def _matches(row: bytes) -> int:
    """Match columns of an a3m row: letters in upper case and ``-``."""
    return len(row.translate(None, LOWER + b"."))


def _drop_stops(found: Rows) -> None:
    """Stop codons at the ends go where the rows are equally long without them, or else become gaps."""
    stopped = sum(b"*" in row for row in found.rows)
    if not stopped:
        return
    without = [row.replace(b"*", b"") for row in found.rows]
    gapped = [row.replace(b"*", b"-") for row in found.rows]
    found.rows = without
    if not _equally_long(without) and _equally_long(gapped):
        found.rows = gapped
    log.warning("%s: dropped the stop codon ('*') at the end of %s", found.path, counted(stopped, "row"))


def _equally_long(rows: list[bytes]) -> bool:
    """Whether the rows have as many columns or, at least, match columns of a3m."""
    return len({len(row) for row in rows}) == 1 or len({_matches(row) for row in rows}) == 1


def _check_lengths(found: Rows, chosen: Format) -> None:
    """All rows of one length, match columns only in a3m."""
    measure, unit = (_matches, "match column") if chosen == "a3m" else (len, "column")
    length = measure(found.rows[0])
    for number, row in enumerate(found.rows):
        if measure(row) != length:
            remedy = "the rows of an alignment are equally long"
            if chosen == "a3m":
                remedy = "capitals and '-' are counted, lower-case letters are insertions"
                if found.parts:
                    remedy = "NUL bytes divide the file: it seems to hold several alignments, give one of them"
            has = counted(measure(row), unit)
            found.fail(f"row {found.names[number]!r} has {has}, the first row has {length:,}", number, remedy=remedy)
    if length == 0:
        found.fail("has no columns: the first row is empty", 0)
    if found.reference and len(found.reference) != length:
        found.fail(f"the #=GC RF line has {counted(len(found.reference), 'column')}, the rows have {length:,}")


def _align_a3m(found: Rows, located: Located | None) -> Alignment:
    """Match columns of all rows; insertions of the query become columns in which nobody else has a residue."""
    matches = np.empty((len(found.rows), _matches(found.rows[0])), np.uint8)
    sequences: list[str] = []
    own = b"" if located is None else found.rows[located.row].replace(b".", b"")
    for number, row in enumerate(found.rows):
        matches[number] = encode(row.translate(None, LOWER + b"."))
        sequences.append(_residues(row))
        found.rows[number] = b""
    names = tuple(found.names)
    if located is None:
        return Alignment(names, matches, tuple(sequences), None, 0, np.ones(matches.shape[1], np.bool_))
    letters = np.frombuffer(own, np.uint8)
    is_match = ~_INSERTED[letters]
    column = np.cumsum(is_match) - 1  # of the match columns, for each letter of the query's row
    kept = np.flatnonzero(letters != ord("-"))[located.first : located.first + len(located.sequence)]
    if len(kept) == matches.shape[1] == len(letters):
        matrix = matches
    else:
        matrix = np.where(is_match[kept], matches[:, column[kept]], np.uint8(GAP))
        matrix[located.row] = encode(located.sequence)
    return _with_query(names, matrix, sequences, located, is_match[kept])


def _align_columns(found: Rows, located: Located | None, chosen: Format, max_gaps: float) -> Alignment:
    """Rows of equal length: columns of the query, of the match states, or those that are not mostly gaps."""
    width = len(found.rows[0])
    whole = np.empty((len(found.rows), width), np.uint8)
    matched = np.ones(width, np.bool_)
    if chosen == "a2m":
        matched = ~_INSERTED[np.frombuffer(found.rows[0], np.uint8)]
    elif found.reference:
        matched = np.array([mark not in b".-~_ " for mark in found.reference])
    sequences: list[str] = []
    for number, row in enumerate(found.rows):
        whole[number] = encode(row)
        sequences.append(_residues(row))
        found.rows[number] = b""
    names = tuple(found.names)
    if located is not None:
        kept = np.flatnonzero(whole[located.row] != GAP)[located.first : located.first + len(located.sequence)]
        return _with_query(names, whole[:, kept], sequences, located, matched[kept])
    if chosen != "a2m" and not found.reference:
        matched = (whole == GAP).mean(axis=0) <= max_gaps
        if not matched.any():
            found.fail(f"every column has more than {max_gaps:.0%} gaps", remedy="raise the largest share of gaps (max_gaps)")
        if not matched.all():
            dropped = counted(int((~matched).sum()), "column")
            log.info("%s: dropped %s of %d with more than %.0f %% gaps", found.path, dropped, width, 100 * max_gaps)
    elif not matched.any():
        found.fail("has no match columns: all of them are insertions")
    matrix = whole if matched.all() else whole[:, matched]
    return Alignment(names, matrix, tuple(sequences), None, 0, np.ones(matrix.shape[1], np.bool_))


def _with_query(
    names: tuple[str, ...], matrix: NDArray[np.uint8], sequences: list[str], located: Located, modelled: NDArray[np.bool_]
) -> Alignment:
    """The alignment with the query's row first."""
    sequences[located.row] = located.sequence
    whole = Alignment(names, matrix, tuple(sequences), located.sequence, located.start, np.ascontiguousarray(modelled))
    if located.row == 0:
        return whole
    order = np.r_[located.row, np.delete(np.arange(len(names)), located.row)]
    return whole.subset(order)


def _residues(row: bytes) -> str:
    """The sequence of a row, in upper case and without gaps."""
    return row.translate(None, b"-.").upper().decode("ascii")
