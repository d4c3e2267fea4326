"""Reads in batches of flat arrays, fast: strict FASTQ and FASTA are parsed by compiled loops over big blocks.

The compiled loops know FASTQ of four lines a record, and FASTA without oddities. The first record that is anything
else, or wrong, goes to the plain reader (:mod:`genoseq.seqs.fastx`) together with all that follow. So the records and
the error messages are those of the plain reader, whatever the layout, and wherever the blocks happen to end.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from genoseq.errors import InputError, Pathlike
from genoseq.seqs.batch import Bytes, Offsets, ReadBatch, batch_of, joined
from genoseq.seqs.fastx import SAM_HEADER, RecordReader
from genoseq.seqs.record import Record
from genoseq.seqs.scan import (
    END,
    FULL,
    HEADER_END,
    LENGTH,
    LF,
    MORE,
    NAME,
    NAME_END,
    ODD,
    START,
    copy_bases,
    copy_pieces,
    scan_fasta,
    scan_fastq,
)
from genoseq.seqs.stream import open_bytes

__all__ = ["ChunkReader", "read_chunks"]


class ChunkReader:
    """Iterates over the batches of one file. Made by :func:`read_chunks`; usable once.

    Attributes:
        records: reads given out so far.
        fastq: True for FASTQ, False for FASTA, None before the first record.
    """

    def __init__(
        self, path: Pathlike, *, batch_size: int, max_bases: int | None, keep_comments: bool, block_size: int
    ) -> None:
        if batch_size < 1 or block_size < 1 or (max_bases is not None and max_bases < 1):
            raise ValueError("batch_size, max_bases and block_size must be at least 1")
        self.records = 0
        self.fastq: bool | None = None
        self._batch_size = batch_size
        self._max_bases = np.iinfo(np.int64).max if max_bases is None else max_bases
        self._keep_comments = keep_comments
        self._block_size = block_size
        self._stream = open_bytes(path)
        self._buffer = np.empty(2 * block_size + 1, np.uint8)
        self._begin = 0  # first byte in the buffer not yet given out
        self._end = 0  # end of the bytes in the buffer
        self._ended = False  # no more bytes will come, or none before a damaged place
        self._damaged = False
        self._lines = 0
        self._last_name = ""

    @property
    def path(self) -> str:
        """The path as given; ``-`` is standard input."""
        return self._stream.path

    @property
    def position(self) -> int:
        """Bytes of the file (compressed, if it is) read so far, for progress."""
        return self._stream.position

    @property
    def size(self) -> int | None:
        """Bytes of the file; None for a pipe."""
        return self._stream.size

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._stream.close()

    def __iter__(self) -> Iterator[ReadBatch]:
        """Yield the batches.

        Raises:
            InputError: as :func:`genoseq.seqs.fastx.read_fastx`.
        """
        with self._stream:
            self.recognise()
            while self.fastq is not None:
                part, status = self._scan()
                if status == ODD:
                    yield from self._plain(part)
                    return
                yield part
            yield from self._plain(None)

    def recognise(self) -> None:
        """Set ``fastq`` from the first bytes, if they tell; where they do not, the plain reader will look."""
        while self._end < 4 and not self._ended:
            self._fill()
        head = self._buffer[: min(self._end, 4)].tobytes()
        if head[:1] == b">":
            self.fastq = False
        elif head[:1] == b"@" and not head.startswith(SAM_HEADER):
            self.fastq = True

    def _fill(self) -> None:
        """Read a block into the buffer, or as much as is pending if that is more: long records scan in O(n)."""
        pending = self._end - self._begin
        wanted = max(self._block_size, pending)
        if self._end + wanted >= len(self._buffer):  # one byte stays free for a missing last line end
            fits = pending + wanted < len(self._buffer)
            target = self._buffer if fits else np.empty(2 * (pending + wanted), np.uint8)
            target[:pending] = self._buffer[self._begin : self._end].copy()
            self._buffer, self._begin, self._end = target, 0, pending
        stop = self._end + wanted
        view = self._buffer.data
        while self._end < stop and not self._ended:
            try:
                count = self._stream.readinto(view[self._end : stop])
            except InputError:  # the plain reader meets it again, behind the records before it
                self._ended = self._damaged = True
                return
            self._end += count
            self._ended = not count

    def _scan(self) -> tuple[ReadBatch, int]:
        """The next batch as far as the compiled loops get, and why they stopped: FULL or ODD."""
        table = np.empty((min(self._batch_size, 4096), 6), np.int64)
        scan = scan_fastq if self.fastq else scan_fasta
        count = at = bases = lines = 0
        final = False
        while True:
            view = self._buffer[self._begin : self._end]
            if final and len(view) and view[-1] != LF:
                self._buffer[self._end] = LF
                view = self._buffer[self._begin : self._end + 1]
            count, at, bases, lines, status = scan(
                view, at, table, count, bases, lines, self._batch_size, self._max_bases, final
            )
            if status == FULL and count == len(table) and count < self._batch_size and bases < self._max_bases:
                table = np.concatenate([table, np.empty((min(count, self._batch_size - count), 6), np.int64)])
            elif status != MORE:
                break
            elif final or self._damaged:
                status = ODD
                break
            elif self._ended:
                final = True
            else:
                self._fill()
        batch = self._extract(view, table[:count])
        self._begin = min(self._begin + at, self._end)
        self._lines += lines
        return batch, status

    def _extract(self, view: Bytes, table: NDArray[np.int64]) -> ReadBatch:
        # Contiguous, whatever the number of records: kernels are compiled for each kind of array, and a column of one row is one.
        columns = np.ascontiguousarray(table.T)
        names, name_offsets = copy_pieces(view, columns[NAME], columns[NAME_END])
        offsets: Offsets = np.zeros(len(table) + 1, np.int64)
        np.cumsum(columns[LENGTH], out=offsets[1:])
        seq = copy_bases(view, columns[START], offsets, bool(self.fastq))
        qual = np.empty(0, np.uint8)
        if self.fastq:
            qual, _ = copy_pieces(view, columns[END], columns[END] + columns[LENGTH])
        comments = comment_offsets = None
        if self._keep_comments:
            starts = np.minimum(columns[NAME_END] + 1, columns[HEADER_END])
            comments, comment_offsets = copy_pieces(view, starts, columns[HEADER_END])
        batch = ReadBatch(
            names, name_offsets, seq, offsets, qual, bool(self.fastq), self.records, comments, comment_offsets
        )
        self.records += len(batch)
        if len(batch):
            self._last_name = batch.name(len(batch) - 1)
        return batch

    def _plain(self, part: ReadBatch | None) -> Iterator[ReadBatch]:
        """Batches from the plain reader, from the current place on; ``part`` is the begun batch."""
        reader = RecordReader(
            self._stream,
            head=self._buffer[self._begin : self._end].tobytes(),
            records=self.records,
            line=self._lines,
            last_name=self._last_name,
            fastq=self.fastq if self.records else None,
        )
        records = iter(reader)
        while True:
            held = len(part) if part is not None else 0
            bases = int(part.offsets[-1]) if part is not None else 0
            gathered: list[Record] = []
            for record in islice(records, self._batch_size - held):
                gathered.append(record)
                bases += len(record)
                if bases >= self._max_bases:
                    break
            if not held and not gathered:
                return
            self.fastq = reader.fastq
            batch = batch_of(
                gathered, first_record=self.records, has_quality=bool(self.fastq), keep_comments=self._keep_comments
            )
            self.records += len(batch)
            yield joined(part, batch) if part is not None else batch
            part = None


def read_chunks(
    path: Pathlike,
    *,
    batch_size: int = 4096,
    max_bases: int | None = None,
    keep_comments: bool = False,
    block_size: int = 1 << 20,
) -> ChunkReader:
    """The reads of a FASTA or FASTQ file (plain, gzip, bgzip or zstd; ``-`` is standard input) in batches.

    Args:
        path: the file.
        batch_size: reads per batch; all batches but the last have exactly so many.
        max_bases: end a batch early with the read that brings it to so many bases (for long reads). Where a batch ends
            depends on the reads alone, never on the blocks they were read in.
        keep_comments: fill ``comments`` of the batches.
        block_size: bytes to read at a time; changes no result.

    >>> import tempfile
    >>> from pathlib import Path
    >>> path = Path(tempfile.mkdtemp()) / "reads.fa"
    >>> _ = path.write_text(">r1\\nacgt\\n>r2\\nTT\\n>r3\\nGG\\n")
    >>> [(batch.first_record, batch.seq.tobytes()) for batch in read_chunks(path, batch_size=2)]
    [(0, b'ACGTTT'), (2, b'GG')]
    """
    return ChunkReader(
        path, batch_size=batch_size, max_bases=max_bases, keep_comments=keep_comments, block_size=block_size
    )
