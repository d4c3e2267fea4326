"""Alignments as a3m rows: capitals and ``-`` in the columns, insertions in lower case between them.

An :class:`~genoseq.families.alignments.alignment.Alignment` keeps columns and whole sequences, not the places of insertions.
Where they are wanted again, :func:`a3m_rows` puts them where they interrupt the columns least, which is where an aligner has them
but for ties.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from genoseq.errors import InputError, Pathlike, UsageError
from genoseq.families.alignments.alignment import Alignment
from genoseq.families.alignments.query import RANGE, name_range
from genoseq.families.alphabet import GAP, decode, encode
from genoseq.kernels import lean_kernel
from genoseq.outputs import whole_file

__all__ = [
    "a3m_rows",
    "alignment_of_a3m",
    "masked_row",
    "place_residues",
    "place_residues_plainly",
    "write_alignment",
    "write_rows",
    "written_names",
]

LOWER = b"abcdefghijklmnopqrstuvwxyz"
OPEN = 2  # price of an interruption between columns; one before the first or after the last column is free


def alignment_of_a3m(names: Sequence[str], rows: Sequence[str], *, query: bool, start: int = 0) -> Alignment:
    """The alignment that a3m rows are.

    Args:
        names: N names, unique.
        rows: N rows of equally many capitals and ``-``.
        query: whether row 0 is the wild type; it has then no gaps and no insertions.
        start: number of its first residue, from 0.

    >>> alignment_of_a3m(["q", "x"], ["ACD", "A-kD"], query=True).sequences
    ('ACD', 'AKD')
    """
    matrix = np.array([encode(row.encode().translate(None, LOWER)) for row in rows], np.uint8)
    sequences = tuple(row.replace("-", "").upper() for row in rows)
    return Alignment(tuple(names), matrix, sequences, sequences[0] if query else None, start, np.ones(matrix.shape[1], np.bool_))


def a3m_rows(alignment: Alignment) -> list[str]:
    """N rows of ``alignment`` with insertions; letters of the sequences (``U``, ``B``) are kept.

    >>> a3m_rows(alignment_of_a3m(["q", "x"], ["ACD", "AkkCDw"], query=True))
    ['ACD', 'AkkCDw']
    """
    rows = []
    for number, sequence in enumerate(alignment.sequences):
        columns = np.flatnonzero(alignment.matrix[number] != GAP)
        places = place_residues(alignment.matrix[number][columns], columns, encode(sequence))
        if places is None:
            raise InputError(f"the row {alignment.names[number]!r} is no part of its sequence")
        rows.append(_row(sequence, places, columns, alignment.length))
    return rows


def _row(sequence: str, places: NDArray[np.int64], columns: NDArray[np.intp], length: int) -> str:
    """Lay the residues ``places`` of ``sequence`` into ``columns``; each of the others follows the residue before it."""
    letters = np.frombuffer(sequence.encode("ascii"), np.uint8)
    laid = np.full(length, ord("-"), np.uint8)
    laid[columns] = letters[places]
    if len(places) == len(letters):
        return laid.tobytes().decode("ascii")
    inserted = np.ones(len(letters), np.bool_)
    inserted[places] = False
    before = np.cumsum(~inserted)[inserted]  # residues in columns that stand before each insertion
    where = np.append(0, columns + 1)[before]
    return np.insert(laid, where, letters[inserted] | 0x20).tobytes().decode("ascii")


def place_residues(wanted: NDArray[np.uint8], columns: NDArray[np.intp], sequence: NDArray[np.uint8]) -> NDArray[np.int64] | None:
    """(K,) places in ``sequence`` (S,) of the residues ``wanted`` (K,), in order, with the fewest interruptions.

    An interruption between neighbouring columns costs more than one where columns are missing anyway, one at an end nothing;
    among equals the insertion stands as near to the beginning as it can. None if there are no such places.
    """
    total, length = len(wanted), len(sequence)
    if total == length:
        return np.arange(total) if np.array_equal(wanted, sequence) else None
    if total == 0:
        return np.empty(0, np.int64)
    slack = length - total
    if slack < 0:
        return None
    cost = np.full((total, slack + 1), np.iinfo(np.int32).max // 2, np.int32)
    before = np.zeros((total, slack + 1), np.int32)
    steps = np.ones(total, np.int32)
    steps[1:] = np.where(np.diff(columns) == 1, OPEN, 1)
    return _traced(cost, before, wanted, sequence, steps)


def _traced(
    cost: NDArray[np.int32],
    before: NDArray[np.int32],
    wanted: NDArray[np.uint8],
    sequence: NDArray[np.uint8],
    steps: NDArray[np.int32],
) -> NDArray[np.int64] | None:
    _fill(cost, before, wanted, sequence, steps)
    shift = int(cost[-1].argmin())
    if cost[-1, shift] >= np.iinfo(np.int32).max // 2:
        return None
    places = np.empty(len(wanted), np.int64)
    for number in range(len(wanted) - 1, -1, -1):
        places[number] = number + shift
        shift = int(before[number, shift])
    return places


@lean_kernel
def _fill(cost, before, wanted, sequence, steps):
    """cost[k, d]: price of residues 0 to k with residue k at k + d; before[k, d]: d of residue k - 1."""
    total, width = cost.shape
    limit = cost[0, 0]
    for k in range(total):
        best, best_at = limit, 0  # cheapest of row k - 1 among smaller d
        for d in range(width):
            if wanted[k] == sequence[k + d]:
                if k == 0:
                    cost[k, d] = 0
                else:
                    price, at = cost[k - 1, d], d
                    if best < limit and best + steps[k] < price:
                        price, at = best + steps[k], best_at
                    cost[k, d] = price
                    before[k, d] = at
            if k > 0 and cost[k - 1, d] < best:
                best, best_at = cost[k - 1, d], d


def place_residues_plainly(wanted: NDArray[np.uint8], columns: NDArray[np.intp], sequence: NDArray[np.uint8]) -> int | None:
    """The price of the cheapest places, by trying all: the reference for short rows; None if there are none."""
    best: int | None = None

    def extend(number: int, place: int, price: int) -> None:
        nonlocal best
        if number == len(wanted):
            best = price if best is None else min(best, price)
            return
        for at in range(place, len(sequence)):
            if sequence[at] == wanted[number]:
                interrupted = number > 0 and at > place
                near = number > 0 and columns[number] - columns[number - 1] == 1
                extend(number + 1, at + 1, price + (0 if not interrupted else OPEN if near else 1))

    extend(0, 0, 0)
    return best


def write_alignment(alignment: Alignment, path: Pathlike, *, layout: Literal["a3m", "a2m", "fasta"] = "a3m") -> None:
    """Write ``alignment`` to ``path``, whole or not at all.

    Args:
        alignment: its query's name gets a range (``/24-286``) if its start would be lost otherwise.
        path: the file.
        layout: a3m, with insertions; a2m, without them, columns that are not modelled in lower case; or the columns
            alone as aligned FASTA.

    Raises:
        OutputError: the file cannot be written.
        UsageError: an unknown layout.
    """
    if layout == "a3m":
        rows: Iterable[str] = a3m_rows(alignment)
    elif layout == "a2m":
        rows = (masked_row(row, alignment.modelled) for row in alignment.matrix)
    elif layout == "fasta":
        rows = map(decode, alignment.matrix)
    else:
        raise UsageError(f"alignments are written as 'a3m', 'a2m' or 'fasta', not {layout!r}")
    write_rows(zip(written_names(alignment), rows, strict=True), path)


def masked_row(row: NDArray[np.uint8], modelled: NDArray[np.bool_]) -> str:
    """The letters of a row, those of columns that are not modelled in lower case and their gaps as dots."""
    letters = decode(row)
    lower = letters.lower().replace("-", ".")
    return "".join(one if kept else other for one, other, kept in zip(letters, lower, modelled.tolist(), strict=True))


def written_names(alignment: Alignment) -> tuple[str, ...]:
    """The names, the query's with the range that tells its start if it does not have it."""
    names = alignment.names
    if alignment.query is None or not alignment.start or not names:
        return names
    spanned = alignment.start, alignment.start + len(alignment.query)
    if name_range(names[0]) == spanned:
        return names
    return (f"{RANGE.sub('', names[0])}/{spanned[0] + 1}-{spanned[1]}", *names[1:])


def write_rows(rows: Iterable[tuple[str, str]], path: Pathlike) -> None:
    """Write names and rows as FASTA-like records, one line a row, whole or not at all.

    Raises:
        OutputError: the file cannot be written.
    """
    with whole_file(path) as temporary, open(temporary, "w", encoding="utf-8", newline="\n") as handle:
        handle.writelines(f">{name}\n{row}\n" for name, row in rows)
