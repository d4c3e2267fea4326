"""A batch of reads in flat arrays: what the mapper's compiled loops work on.

Item ``i`` of a ragged column is ``flat[offsets[i]:offsets[i + 1]]``; offsets are int64, of shape ``(n + 1,)``,
and start at 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from genoseq.kernels import kernel
from genoseq.seqs.alphabet import UPPER
from genoseq.seqs.record import Record

__all__ = ["ReadBatch", "batch_of", "first_unpaired", "interleave", "joined", "strip_mate_suffixes"]

Bytes = NDArray[np.uint8]
Offsets = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class ReadBatch:
    """``n`` reads of one file, or ``n / 2`` pairs with mates at ``2i`` and ``2i + 1``.

    Attributes:
        names: uint8, names up to the first space or tab, one after another.
        name_offsets: int64 (n + 1,).
        seq: uint8, upper-case ASCII letters of all reads.
        offsets: int64 (n + 1,), for ``seq`` and ``qual``.
        qual: uint8, quality characters (Phred + 33), as long as ``seq``; empty where the file has none (FASTA).
        has_quality: whether the file has qualities (FASTQ).
        first_record: how many reads (of one file) or reads of pairs stand before this batch.
        comments: uint8, the rest of each header; None unless asked for.
        comment_offsets: int64 (n + 1,); None unless asked for.
    """

    names: Bytes
    name_offsets: Offsets
    seq: Bytes
    offsets: Offsets
    qual: Bytes
    has_quality: bool
    first_record: int
    comments: Bytes | None = None
    comment_offsets: Offsets | None = None

    def __len__(self) -> int:
        """Number of reads."""
        return len(self.offsets) - 1

    def name(self, i: int) -> str:
        """Name of read ``i``."""
        return self.names[self.name_offsets[i] : self.name_offsets[i + 1]].tobytes().decode("ascii")

    def record(self, i: int) -> Record:
        """Read ``i`` as a :class:`Record`; the sequence is in upper case."""
        start, end = self.offsets[i], self.offsets[i + 1]
        comment = b""
        if self.comments is not None and self.comment_offsets is not None:
            comment = self.comments[self.comment_offsets[i] : self.comment_offsets[i + 1]].tobytes()
        return Record(
            self.name(i),
            comment.decode("utf-8", "surrogateescape"),
            self.seq[start:end].tobytes().decode("ascii"),
            self.qual[start:end].tobytes().decode("ascii") if self.has_quality else None,
        )


def batch_of(records: Sequence[Record], *, first_record: int, has_quality: bool, keep_comments: bool) -> ReadBatch:
    """The records as a batch."""
    names, name_offsets = _flat([record.name.encode("ascii") for record in records])
    seq, offsets = _flat([record.sequence.encode("ascii") for record in records])
    qual, _ = _flat([(record.quality or "").encode("ascii") for record in records])
    batch = ReadBatch(names, name_offsets, UPPER[seq], offsets, qual, has_quality, first_record)
    if not keep_comments:
        return batch
    comments, comment_offsets = _flat([record.comment.encode("utf-8", "surrogateescape") for record in records])
    return replace(batch, comments=comments, comment_offsets=comment_offsets)


def _flat(items: list[bytes]) -> tuple[Bytes, Offsets]:
    offsets = np.zeros(len(items) + 1, np.int64)
    np.cumsum([len(item) for item in items], out=offsets[1:])
    flat = np.frombuffer(bytearray().join(items), np.uint8)  # one that can be written: kernels are compiled for each kind
    return flat, offsets


def joined(first: ReadBatch, second: ReadBatch) -> ReadBatch:
    """The reads of both batches, one batch after the other."""

    def offsets(a: Offsets, b: Offsets) -> Offsets:
        return np.concatenate([a, b[1:] + a[-1]])

    batch = ReadBatch(
        np.concatenate([first.names, second.names]),
        offsets(first.name_offsets, second.name_offsets),
        np.concatenate([first.seq, second.seq]),
        offsets(first.offsets, second.offsets),
        np.concatenate([first.qual, second.qual]),
        first.has_quality,
        first.first_record,
    )
    if first.comments is None or second.comments is None:
        return batch
    assert first.comment_offsets is not None and second.comment_offsets is not None
    return replace(
        batch,
        comments=np.concatenate([first.comments, second.comments]),
        comment_offsets=offsets(first.comment_offsets, second.comment_offsets),
    )


def interleave(first: ReadBatch, second: ReadBatch) -> ReadBatch:
    """Mates of two batches of equal length, side by side: read ``i`` of ``first`` at ``2i``, its mate at ``2i + 1``."""
    names, name_offsets = _interleaved(first.names, first.name_offsets, second.names, second.name_offsets)
    seq, offsets = _interleaved(first.seq, first.offsets, second.seq, second.offsets)
    qual = first.qual
    if first.has_quality:
        qual, _ = _interleaved(first.qual, first.offsets, second.qual, second.offsets)
    batch = ReadBatch(names, name_offsets, seq, offsets, qual, first.has_quality, 2 * first.first_record)
    if first.comments is None or second.comments is None:
        return batch
    assert first.comment_offsets is not None and second.comment_offsets is not None
    comments, comment_offsets = _interleaved(
        first.comments, first.comment_offsets, second.comments, second.comment_offsets
    )
    return replace(batch, comments=comments, comment_offsets=comment_offsets)


def strip_mate_suffixes(batch: ReadBatch) -> ReadBatch:
    """The batch with names less a trailing ``/1`` or ``/2``, as SAM wants the two mates of a pair to share one name.

    >>> record = Record("read/1", "", "ACGT")
    >>> batch = batch_of([record], first_record=0, has_quality=False, keep_comments=False)
    >>> strip_mate_suffixes(batch).name(0)
    'read'
    """
    names, name_offsets = _stripped(batch.names, batch.name_offsets)
    return replace(batch, names=names, name_offsets=name_offsets)


def first_unpaired(batch: ReadBatch) -> int:
    """Number of the first pair whose names differ (a trailing ``/1`` or ``/2`` apart); -1 if there is none."""
    return int(_first_unpaired(batch.names, batch.name_offsets))


@kernel
def _interleaved(a, a_offsets, b, b_offsets):
    n = len(a_offsets) - 1
    flat = np.empty(a_offsets[n] + b_offsets[n], np.uint8)
    offsets = np.empty(2 * n + 1, np.int64)
    offsets[0] = 0
    at = 0
    for i in range(n):
        for j in range(a_offsets[i], a_offsets[i + 1]):
            flat[at] = a[j]
            at += 1
        offsets[2 * i + 1] = at
        for j in range(b_offsets[i], b_offsets[i + 1]):
            flat[at] = b[j]
            at += 1
        offsets[2 * i + 2] = at
    return flat, offsets


@kernel
def _core_end(names, start, end):
    """End of a name without a trailing ``/1`` or ``/2``; a name is never stripped to nothing."""
    if end - start > 2 and names[end - 2] == 47 and (names[end - 1] == 49 or names[end - 1] == 50):
        return end - 2
    return end


@kernel
def _stripped(names, offsets):
    n = len(offsets) - 1
    flat = np.empty(len(names), np.uint8)
    ends = np.empty(n + 1, np.int64)
    ends[0] = 0
    at = 0
    for i in range(n):
        for j in range(offsets[i], _core_end(names, offsets[i], offsets[i + 1])):
            flat[at] = names[j]
            at += 1
        ends[i + 1] = at
    return flat[:at], ends


@kernel
def _first_unpaired(names, offsets):
    for i in range((len(offsets) - 1) // 2):
        start, other = offsets[2 * i], offsets[2 * i + 1]
        length = _core_end(names, start, other) - start
        if _core_end(names, other, offsets[2 * i + 2]) - other != length:
            return i
        for j in range(length):
            if names[start + j] != names[other + j]:
                return i
    return -1
