"""One sequence with its name, as a file gives it."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Record"]


@dataclass(frozen=True, slots=True)
class Record:
    """A FASTA or FASTQ record.

    Attributes:
        name: the header up to the first space or tab.
        comment: the header after that space or tab; empty where there is none.
        sequence: the bases, case as in the file.
        quality: one character per base, as in the file (Phred + 33); None for FASTA.
    """

    name: str
    comment: str
    sequence: str
    quality: str | None = None

    def __len__(self) -> int:
        """Number of bases."""
        return len(self.sequence)
