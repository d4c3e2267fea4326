"""Distance matrices on disk: tab-separated with a header, and PHYLIP; told apart when read.

TSV: a first line ``# genoseq.distances 1 METHOD``, a line of names (its first cell empty), then a name and its distances on each
    line.

PHYLIP: the number of items, then a name and its distances on each line, the whole square ("relaxed": names of any length without
blanks, at least ten columns wide). This is what PHYLIP, FastME, RapidNJ and other tree programs read. Read is also the lower
triangle.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import NoReturn, TextIO

import numpy as np

from genoseq.classify.distances import DistanceMatrix
from genoseq.classify.sequences import SequenceInputError
from genoseq.errors import InputError, OutputError, Pathlike
from genoseq.log import counted
from genoseq.seqs.stream import open_bytes

__all__ = ["FORMAT", "read_distances", "stem_of", "write_phylip", "write_tsv"]

FORMAT = "genoseq.distances"
VERSION = "1"


def write_tsv(matrix: DistanceMatrix, out: TextIO) -> None:
    """Write the matrix with a header, tab-separated, six significant digits.

    Raises:
        OutputError: a name holds a tab or a line end.
    """
    for name in matrix.names:
        if re.search(r"[\t\r\n]", name):
            raise OutputError(f"the name {name!r} holds a tab or a line end, which a table cannot; rename it")
    out.write(f"# {FORMAT} {VERSION} {matrix.method}\n")
    out.write("\t".join(["", *matrix.names]) + "\n")
    for name, row in zip(matrix.names, matrix.values, strict=True):
        out.write("\t".join([name, *(f"{value:.6g}" for value in row)]) + "\n")


def write_phylip(matrix: DistanceMatrix, out: TextIO) -> None:
    """Write the matrix as PHYLIP reads it: the whole square, names of any length.

    Raises:
        OutputError: a name holds a blank.
    """
    for name in matrix.names:
        if re.search(r"\s", name):
            raise OutputError(f"the name {name!r} holds a blank, which PHYLIP does not allow; rename it or write a TSV")
    width = max(10, *(len(name) for name in matrix.names))
    out.write(f"{len(matrix):5d}\n")
    for name, row in zip(matrix.names, matrix.values, strict=True):
        out.write(f"{name:<{width}} " + " ".join(f"{value:.6f}" for value in row) + "\n")


def read_distances(path: Pathlike) -> DistanceMatrix:
    """A matrix as :func:`write_tsv` or :func:`write_phylip` write it (``-`` is standard input; plain, gzip or zstd).

    Also TSV without the first line, and PHYLIP with the lower triangle only.

    Raises:
        InputError: names the line and what was expected there.
    """
    with open_bytes(path) as stream:
        parts = []
        while block := stream.read(1 << 18):
            parts.append(block)
    lines = b"".join(parts).decode("utf-8", "replace").splitlines()
    reader = _Reader(path, lines)
    filled = [line for line in lines if line.strip()]
    if not filled:
        reader.fail("is empty, expected a distance matrix")
    return reader.phylip() if re.fullmatch(r"\s*\d+\s*", filled[0]) else reader.tsv()


class _Reader:
    """Lines of one file, and errors that name them."""

    def __init__(self, path: Pathlike, lines: list[str]) -> None:
        self._path = path
        self._lines = [(number, line) for number, line in enumerate(lines, start=1) if line.strip()]

    def fail(self, message: str, line: int | None = None, remedy: str | None = None) -> NoReturn:
        raise InputError(message, path=self._path, line=line, remedy=remedy)

    def tsv(self) -> DistanceMatrix:
        method = ""
        number, first = self._lines[0]
        if first.startswith("#"):
            found = first[1:].split(maxsplit=2)
            if found[:1] == [FORMAT] and found[1:2] != [VERSION]:
                self.fail(f"is version {' '.join(found[1:2])} of {FORMAT}, expected {VERSION}", number, "make it anew")
            method = found[2] if found[:1] == [FORMAT] and len(found) > 2 else ""
            self._lines = self._lines[1:]
        if not self._lines or "\t" not in self._lines[0][1]:
            where = self._lines[0][0] if self._lines else number
            self.fail("is neither a TSV of distances (names, tab-separated) nor PHYLIP (a number on the first line)", where)
        names = self._lines[0][1].split("\t")[1:]
        if len(self._lines) - 1 != len(names):
            found_rows = counted(len(self._lines) - 1, "row")
            self.fail(f"has {counted(len(names), 'name')} and {found_rows}, expected as many", remedy=_CUT)
        rows = []
        for (number, line), name in zip(self._lines[1:], names, strict=True):
            cells = line.split("\t")
            if cells[0] != name:
                self.fail(f"expected the row of {name!r}, found {cells[0]!r}", number, "rows must be in the order of the columns")
            rows.append(self._numbers(cells[1:], len(names), number))
        return self._made(names, np.array(rows), method)

    def phylip(self) -> DistanceMatrix:
        count = int(self._lines[0][1])
        rows = self._lines[1:]
        if len(rows) != count:
            self.fail(
                f"says {counted(count, 'item')} and has {counted(len(rows), 'row')}, expected as many", self._lines[0][0], _CUT
            )
        names, values = [], np.zeros((count, count))
        lower = count > 1 and len(rows[0][1].split()) == 1
        for at, (number, line) in enumerate(rows):
            name, *cells = line.split()
            names.append(name)
            found = self._numbers(cells, at if lower else count, number)
            values[at, : len(found)] = found
        return self._made(names, values + values.T if lower else values, "")

    def _numbers(self, cells: list[str], expected: int, line: int) -> list[float]:
        if len(cells) != expected:
            self.fail(f"expected {counted(expected, 'distance')}, found {len(cells)}", line, _CUT)
        try:
            return [float(cell) for cell in cells]
        except ValueError:
            wrong = next(cell for cell in cells if not _is_number(cell))
            self.fail(f"expected a number, found {wrong[:40]!r}", line)

    def _made(self, names: list[str], values: np.ndarray[tuple[int, ...], np.dtype[np.float64]], method: str) -> DistanceMatrix:
        try:
            # six digits were written: what differs in the last one is made equal
            even = (values + values.T) / 2 if np.allclose(values, values.T, rtol=1e-4, atol=2e-6, equal_nan=True) else values
            return DistanceMatrix(tuple(names), even, method)
        except SequenceInputError as error:
            raise InputError(error.message, path=self._path, remedy=error.remedy) from error


_CUT = "it may be truncated: make it anew"


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def stem_of(path: Pathlike) -> str:
    """The name of a file without the endings of sequences and compression: what its item is called.

    >>> stem_of("genomes/ecoli_k12.fna.gz")
    'ecoli_k12'
    """
    name = re.sub(r"\.(gz|bgz|zst|zstd)$", "", Path(path).name, flags=re.IGNORECASE)
    return re.sub(r"\.(fa|fasta|fna|ffn|fas|faa|fq|fastq)$", "", name, flags=re.IGNORECASE) or Path(path).name
