"""Unaligned proteins from FASTA, one after another, whatever the size of the file."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import NamedTuple

from genoseq.errors import Pathlike
from genoseq.families.alignments.nucleotides import LOOKED, refuse_nucleotides
from genoseq.families.alignments.rows import LETTERS
from genoseq.log import counted
from genoseq.seqs.fastx import RecordReader
from genoseq.seqs.stream import ByteStream, open_bytes

__all__ = ["Protein", "proteins_in", "read_proteins"]

log = logging.getLogger(__name__)


class Protein(NamedTuple):
    """One record: its name and its letters in upper case."""

    name: str
    sequence: str


class _ProteinReader(RecordReader):
    """Reads FASTA of proteins."""

    stops_inside = False

    def _check_bases(self, line: bytes, *, wrapped: bool = False) -> None:
        illegal = line.upper().translate(None, LETTERS + b"*")
        if illegal:
            letter = illegal[:1].decode("latin-1")
            remedy = "remove gaps: the sequences must be unaligned" if letter in "-." else None
            self._fail(f"{letter!r} (column {line.upper().index(illegal[:1]) + 1} of the line) is no amino acid", remedy)

    def check_stop(self, sequence: str) -> None:
        if not self.stops_inside and "*" in sequence:
            at = sequence.index("*") + 1
            self.records -= 1  # counted already
            self._fail(f"has a stop codon ('*') inside the sequence (residue {at})", "remove the record, or cut it there")

    def refuse_quality(self) -> None:
        if self.fastq:
            self.records -= 1
            self._fail("is FASTQ, expected FASTA of proteins")


def read_proteins(path: Pathlike, *, stops_inside: bool = False) -> Iterator[Protein]:
    """The records of the FASTA file ``path`` (plain, gzip, bgzip or zstd; ``-`` is standard input) that have residues.

    A stop codon (``*``) at the end is dropped and counted in a warning. Empty records are left out and counted in a warning.

    Args:
        path: the file.
        stops_inside: read ``*`` inside a sequence as a residue that is not known (X), instead of failing, and drop those at
            the ends without a word: what a file to search is full of.

    Raises:
        InputError: names file, record and line; or the file holds nucleotides.
    """
    with open_bytes(path) as stream:
        yield from proteins_in(stream, stops_inside=stops_inside)


def proteins_in(stream: ByteStream, *, head: bytes = b"", stops_inside: bool = False) -> Iterator[Protein]:
    """As :func:`read_proteins`, from a stream of which ``head`` has been read already."""
    records = _residues(stream, head, stops_inside)
    yield from _looked_at(records, stream.path)


def _looked_at(records: Iterator[Protein], path: Pathlike) -> Iterator[Protein]:
    """The same records, refused if the first of them are nucleotides."""
    head: list[Protein] = []
    letters = 0
    for protein in records:
        head.append(protein)
        letters += len(protein.sequence)
        if letters >= LOOKED:
            break
    refuse_nucleotides((protein.sequence.encode() for protein in head), path)
    yield from head
    del head
    yield from records


def _residues(stream: ByteStream, head: bytes, stops_inside: bool) -> Iterator[Protein]:
    """What :func:`read_proteins` gives, before its letters are looked at."""
    empty = ended = 0
    reader = _ProteinReader(stream, head=head)
    reader.stops_inside = stops_inside
    for record in reader:
        reader.refuse_quality()
        sequence = record.sequence.upper().removesuffix("*")
        reader.check_stop(sequence)
        ended += len(sequence) < len(record.sequence)
        if sequence:
            yield Protein(record.name, sequence.replace("*", "X"))
        else:
            empty += 1
    if empty:
        log.warning("%s: left out %s without residues", stream.path, counted(empty, "record"))
    if ended and not stops_inside:
        log.warning("%s: dropped the stop codon ('*') at the end of %s", stream.path, counted(ended, "record"))
