"""Runs of the command line as tests see them, and the reads they are given."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterable
from typing import NamedTuple

from genoseq.seqs.alphabet import reverse_complement

__all__ = ["Done", "Runner", "Start", "fastq", "opposite", "record", "sam_records", "wait_until"]


class Done(NamedTuple):
    """How a run of the command ended."""

    status: int
    out: bytes
    err: str

    @property
    def lines(self) -> list[str]:
        """Lines of standard output."""
        return self.out.decode().splitlines()

    @property
    def records(self) -> list[list[str]]:
        """Fields of the SAM records on standard output."""
        return sam_records(self.out.decode())


Runner = Callable[..., Done]
Start = Callable[..., "subprocess.Popen[bytes]"]


def sam_records(text: str) -> list[list[str]]:
    """Fields of each record of SAM text."""
    return [line.split("\t") for line in text.splitlines() if not line.startswith("@")]


def record(name: str, sequence: str, quality: str | None = None) -> str:
    """A FASTQ record."""
    return f"@{name}\n{sequence}\n+\n{'I' * len(sequence) if quality is None else quality}\n"


def fastq(reads: Iterable[tuple[str, str]]) -> str:
    """FASTQ text of (name, sequence)."""
    return "".join(record(name, sequence) for name, sequence in reads)


def opposite(sequence: str) -> str:
    """The other strand."""
    return reverse_complement(sequence.encode()).decode()


def wait_until(happened: Callable[[], object]) -> None:
    """Return once it has happened; fail after a while."""
    deadline = time.monotonic() + 100
    while not happened():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)
