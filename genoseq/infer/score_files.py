"""Scores on disk: a table of sequences, and log-likelihoods per base as .npz or bedGraph. See docs/formats.md."""

from __future__ import annotations

import contextlib
import math
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, Protocol

import numpy as np

from genoseq.errors import Pathlike, UsageError
from genoseq.infer.likelihood import Score, per_base
from genoseq.infer.npz import ArchiveWriter
from genoseq.outputs import whole_file

__all__ = [
    "FORMAT",
    "PER_BASE_FORMAT",
    "VERSION",
    "check_per_base_name",
    "per_base_file",
    "score_row",
    "table",
    "text_output",
]

FORMAT, PER_BASE_FORMAT = "genoseq.scores", "genoseq.per-base"
VERSION = 1
COLUMNS = (
    "name", "length", "scored", "ambiguous", "unscored", "tokens", "log_likelihood", "bits_per_base", "perplexity",
)  # fmt: skip
PER_BASE = (".npz", ".bedgraph", ".bg", ".bedgraph.gz", ".bg.gz")


class Rows(Protocol):
    """Takes rows of a table."""

    def write(self, row: str, /) -> object: ...


class _Rows:
    """A file that gets its head with the first row."""

    def __init__(self, file: IO[str], head: str) -> None:
        self._file = file
        self._head = head

    def write(self, row: str, /) -> None:
        if self._head:
            self._file.write(self._head)
            self._head = ""
        self._file.write(row)


@contextlib.contextmanager
def table(path: Pathlike | None, metadata: str, columns: tuple[str, ...] = COLUMNS) -> Iterator[Rows]:
    """A text file that begins with a line of metadata (``#`` and JSON) and a line of column names, separated by tabs.

    Both are written with the first row, or at the end if there is none: what fails before it leaves standard output empty.

    Args:
        path: where it appears when the block has succeeded; None is standard output, written as it comes.
        metadata: JSON.
        columns: names.

    Raises:
        OutputError: it cannot be written.
    """
    with text_output(path) as file:
        rows = _Rows(file, f"#{metadata}\n" + "\t".join(columns) + "\n")
        yield rows
        rows.write("")


@contextlib.contextmanager
def text_output(path: Pathlike | None) -> Iterator[IO[str]]:
    """A text file that appears when the block has succeeded; None is standard output, written as it comes.

    Raises:
        OutputError: it cannot be written.
    """
    if path is None:
        yield sys.stdout
        sys.stdout.flush()
        return
    with whole_file(path) as temporary, open(temporary, "w", encoding="utf-8", newline="\n") as file:
        yield file


def score_row(score: Score) -> str:
    """The line of a score."""
    values = (f"{score.log_likelihood:.4f}", f"{score.bits_per_base:.6f}", f"{score.perplexity:.6g}")
    counts = (score.length, score.scored, score.ambiguous, score.unscored, score.tokens)
    return "\t".join([score.name, *map(str, counts), *("NA" if value == "nan" else value for value in values)]) + "\n"


def check_per_base_name(path: str) -> None:
    """Refuse a name whose format is not known.

    Raises:
        UsageError: lists those that are.
    """
    if not path.lower().endswith(PER_BASE):
        raise UsageError(f"--per-base {path}: end the name in {', '.join(PER_BASE[:-1])} or {PER_BASE[-1]}")


class PerBaseSink(Protocol):
    """Where scores per base go, one sequence after another."""

    def add(self, score: Score) -> None:
        """Write those of one more sequence."""
        ...


@contextlib.contextmanager
def per_base_file(path: Pathlike, metadata: str) -> Iterator[PerBaseSink]:
    """A sink whose content appears as ``path`` when the block has succeeded.

    Raises:
        OutputError: it cannot be written.
    """
    name = str(path).lower()
    with whole_file(path) as temporary, contextlib.ExitStack() as stack:
        if name.endswith(".npz"):
            archive = _PerBaseArchive(temporary, metadata, stack)
            yield archive
            archive.finish()
            return
        yield _BedGraph(temporary, metadata, stack, packed=name.endswith(".gz"))


class _PerBaseArchive:
    def __init__(self, path: Path, metadata: str, stack: contextlib.ExitStack) -> None:
        self._archive = ArchiveWriter(path, stack)
        self._metadata = metadata
        self._names: list[str] = []
        self._lengths: list[int] = []

    def add(self, score: Score) -> None:
        """Write those of one more sequence."""
        self._archive.append("log_likelihoods", per_base(score))
        self._names.append(score.name)
        self._lengths.append(score.length)

    def finish(self) -> None:
        """Put the archive together."""
        if not self._names:
            self._archive.append("log_likelihoods", np.zeros(0, np.float32))
        self._archive.finish(
            names=np.array(self._names, dtype=str),
            offsets=np.concatenate([[0], np.cumsum(self._lengths, dtype=np.int64)]).astype(np.int64),
            metadata=np.array(self._metadata),
        )


class _BedGraph:
    """Lines of name, start, end and value; bases of one value that stand side by side share a line."""

    def __init__(self, path: Path, metadata: str, stack: contextlib.ExitStack, *, packed: bool) -> None:
        if packed:
            import pysam

            self._file: Any = stack.enter_context(contextlib.closing(pysam.BGZFile(str(path), "wb", None)))
        else:
            self._file = stack.enter_context(path.open("wb"))
        self._file.write(f"#{metadata}\n".encode())

    def add(self, score: Score) -> None:
        """Write those of one more sequence."""
        values = per_base(score)
        if not len(values):
            return
        changes = np.flatnonzero((values[1:] != values[:-1]) & ~(np.isnan(values[1:]) & np.isnan(values[:-1]))) + 1
        starts = [0, *changes.tolist()]
        ends = [*starts[1:], len(values)]
        lines = [
            f"{score.name}\t{start}\t{end}\t{value:.6g}\n"
            for start, end, value in zip(starts, ends, values[starts].tolist(), strict=True)
            if not math.isnan(value)
        ]
        self._file.write("".join(lines).encode())
