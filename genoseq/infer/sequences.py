"""Sequences from files, of the alphabet that a model reads, with the progress through the file."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from genoseq.errors import InputError
from genoseq.infer.tokens import PROTEIN_LETTERS, TokenReader
from genoseq.log import Progress
from genoseq.seqs.fastx import RecordReader
from genoseq.seqs.record import Record
from genoseq.seqs.stream import ByteStream

__all__ = ["SequenceFile", "sequences_of"]

PROTEIN = "".join(sorted(PROTEIN_LETTERS)).encode()


class _ProteinReader(RecordReader):
    """Reads FASTA of proteins."""

    def _check_bases(self, line: bytes, *, wrapped: bool = False) -> None:
        illegal = line.upper().translate(None, PROTEIN)
        if illegal:
            self._fail(f"illegal character {illegal[:1].decode('latin-1')!r} in the sequence, expected amino acids")


class SequenceFile:
    """Records of a file, one after another.

    Attributes:
        records: how many were read.
        unclear: how many of them hold ambiguity codes only.
        empty: how many of them have no letters.
    """

    def __init__(self, stream: ByteStream, progress: Progress, reader: TokenReader) -> None:
        self._records = (_ProteinReader if reader.protein else RecordReader)(stream)
        self._stream, self._progress, self._reader = stream, progress, reader
        self._letters = reader.letters + reader.letters.lower() + ("" if reader.protein else "Uu")
        self.records = 0
        self.unclear = 0
        self.empty = 0

    def __iter__(self) -> Iterator[Record]:
        """Yield the records.

        Raises:
            InputError: one is no sequence for the model; names the file and the record.
        """
        for record in self._records:
            self.records += 1
            self.empty += not record.sequence
            if record.sequence:
                try:
                    self._reader.check(record, self.records)
                except InputError as error:
                    raise InputError(error.message, path=self._stream.path, remedy=error.remedy) from None
            if record.sequence and not any(letter in record.sequence for letter in self._letters):
                self.unclear += 1
            yield record

    def tell(self) -> None:
        """Bring the progress bar to where the file was read to."""
        self._progress.update(self._stream.position - self._progress.done)


@contextlib.contextmanager
def sequences_of(stream: ByteStream, reader: TokenReader, *, label: str) -> Iterator[SequenceFile]:
    """The records of FASTA or FASTQ, with a progress bar, or lines in the log where nobody is watching.

    Args:
        stream: an open file.
        reader: of the model, which says what letters there are.
        label: what is being done, for the progress bar.

    Raises:
        InputError: in the loop over records: names the record and the line at fault.
    """
    with Progress(stream.size, unit="bytes", label=label) as progress:
        yield SequenceFile(stream, progress, reader)
