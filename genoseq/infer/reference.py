"""Pieces of a reference genome: by its index where the FASTA file has one (``.fai``), else with the genome in memory."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from genoseq.errors import InputError, Pathlike
from genoseq.outputs import describe_os_error
from genoseq.seqs.fastx import read_fastx
from genoseq.seqs.genome import Genome

__all__ = ["Reference"]

CODES = re.compile("[RYSWKMBDHV]", re.IGNORECASE)


class Reference:
    """Contigs by name; letters are upper case.

    Use it in a ``with`` block, or close it.

    >>> reference = Reference.of({"chr1": "acgtR"})
    >>> reference.length("chr1"), reference.fetch("chr1", 1, 9), reference.length("chr2")
    (5, 'CGTR', None)
    """

    def __init__(self, lengths: Mapping[str, int], fetch: Any, close: Any = None, *, path: Pathlike | None = None) -> None:
        self._lengths = dict(lengths)
        self._fetch = fetch
        self._close = close
        self._path = path  # of a file whose ambiguity codes are all N in memory
        self._codes: dict[str, dict[int, str]] | None = None

    @classmethod
    def of(cls, contigs: Mapping[str, str]) -> Reference:
        """A reference of sequences in memory."""
        return cls({name: len(text) for name, text in contigs.items()}, lambda name, start, end: contigs[name][start:end])

    @classmethod
    def open(cls, path: Pathlike) -> Reference:
        """The reference in a FASTA file (plain, gzip, bgzip or zstd; ``-`` is standard input).

        Raises:
            InputError: it cannot be read, or is no FASTA file.
        """
        name = os.fspath(path)
        if name != "-" and _has_index(Path(name)):
            import pysam

            try:
                file = pysam.FastaFile(name)
            except (OSError, ValueError) as error:
                reason = describe_os_error(error) if isinstance(error, OSError) and error.errno else str(error)
                raise InputError(f"cannot be read by its index ({reason})", path=name, remedy=f"remove {name}.fai") from error
            return cls(dict(zip(file.references, file.lengths, strict=True)), file.fetch, file.close)
        genome = Genome.from_fasta(path)
        lengths = dict(zip(genome.names, genome.lengths.tolist(), strict=True))
        behind = None if name == "-" else path
        return cls(lengths, lambda contig, start, end: genome.fetch(contig, start, end).decode(), path=behind)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        if self._close is not None:
            self._close()

    @property
    def names(self) -> list[str]:
        """Names of the contigs."""
        return list(self._lengths)

    def length(self, name: str) -> int | None:
        """Bases of a contig; None if there is none of this name."""
        return self._lengths.get(name)

    def fetch(self, name: str, start: int, end: int) -> str:
        """Letters of ``[start, end)`` of a contig that there is, 0-based, clipped to it."""
        start, end = max(0, start), min(end, self._lengths[name])
        if start >= end:
            return ""
        letters: str = self._fetch(name, start, end)
        return letters.upper()

    def exact(self, name: str, start: int, end: int) -> str:
        """As `fetch`, with the ambiguity codes that the file has, where a genome in memory has ``N`` for all of them.

        The file is read once more for them, the first time that there are any; from standard input they are ``N``.
        """
        letters = self.fetch(name, start, end)
        if self._path is None or "N" not in letters:
            return letters
        if self._codes is None:
            self._codes = _ambiguity_codes(self._path)
        codes, start = self._codes.get(name, {}), max(0, start)
        return "".join(codes.get(start + place, letter) for place, letter in enumerate(letters))


def _ambiguity_codes(path: Pathlike) -> dict[str, dict[int, str]]:
    """Ambiguity codes other than N by contig and position, 0-based."""
    return {
        record.name: {found.start(): found[0].upper() for found in CODES.finditer(record.sequence)} for record in read_fastx(path)
    }


def _has_index(path: Path) -> bool:
    """Whether a FASTA file can be read by an index that is no older than it."""
    index = path.with_name(f"{path.name}.fai")
    if not (path.is_file() and index.is_file()) or index.stat().st_mtime < path.stat().st_mtime:
        return False
    with open(path, "rb") as file:
        compressed = file.read(2) == b"\x1f\x8b"
    return not compressed or path.with_name(f"{path.name}.gzi").is_file()
