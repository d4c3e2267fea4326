"""Paired reads, from two files or one interleaved file, in batches with the two mates side by side."""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import zip_longest

from genoseq.errors import InputError, Pathlike, UsageError
from genoseq.log import counted
from genoseq.seqs.batch import ReadBatch, first_unpaired, interleave
from genoseq.seqs.chunks import ChunkReader, read_chunks

__all__ = ["PairReader", "read_interleaved_chunks", "read_pair_chunks"]

REMEDY = "give files whose reads were filtered together, in the same order, or map them as single reads"


class PairReader:
    """Iterates over batches of pairs. Made by the functions below; usable once.

    Attributes:
        records: reads given out so far, two for each pair.
    """

    def __init__(self, readers: tuple[ChunkReader, ...]) -> None:
        self.records = 0
        self._readers = readers

    @property
    def position(self) -> int:
        """Bytes of the files read so far, for progress."""
        return sum(reader.position for reader in self._readers)

    @property
    def size(self) -> int | None:
        """Bytes of the files; None where one of them is a pipe."""
        sizes = [reader.size for reader in self._readers if reader.size is not None]
        return sum(sizes) if len(sizes) == len(self._readers) else None

    def close(self) -> None:
        """Close the files."""
        for reader in self._readers:
            reader.close()

    def check_formats(self) -> None:
        """Refuse, before any batch is read, a FASTA file beside a FASTQ file. Pipes are left alone: they may have an order.

        Raises:
            InputError: the files have two formats.
        """
        if all(os.path.isfile(reader.path) for reader in self._readers):
            for reader in self._readers:
                reader.recognise()
            self._check_one_format(*(reader.fastq for reader in self._readers))

    def _check_one_format(self, *fastq: bool | None) -> None:
        if not {True, False} <= set(fastq):
            return
        paths = [reader.path for reader in self._readers]
        fasta, other = (paths[fastq.index(kind)] for kind in (False, True))
        kinds = ", ".join(f"{path} is {'FASTQ' if kind else 'FASTA'}" for path, kind in zip(paths, fastq, strict=True))
        raise InputError(
            f"the files of a pair must have one format: {kinds}",
            remedy=f"if {fasta} is the reference, give it with -x (`genoseq align -x {fasta} {other}`); else {REMEDY}",
        )

    def __iter__(self) -> Iterator[ReadBatch]:
        """Yield the batches.

        Raises:
            InputError: a file is wrong in itself, or the two mates do not belong together.
        """
        try:
            for batch in self._two_files() if len(self._readers) == 2 else self._one_file():
                self._check_names(batch)
                self.records += len(batch)
                yield batch
        finally:
            self.close()

    def _two_files(self) -> Iterator[ReadBatch]:
        one, two = self._readers
        for first, second in zip_longest(one, two):
            if first is not None and second is not None:
                self._check_one_format(first.has_quality, second.has_quality)
            if first is None or second is None or len(first) != len(second):
                self._fail_unequal(first, second)
            yield interleave(first, second)

    def _one_file(self) -> Iterator[ReadBatch]:
        (reader,) = self._readers
        for batch in reader:
            if len(batch) % 2:
                raise InputError(
                    f"the last read, {batch.name(len(batch) - 1)!r}, has no mate: an interleaved file holds the "
                    "two mates of each pair one after the other",
                    path=reader.path,
                    record=batch.first_record + len(batch),
                    remedy="give the file that holds both mates, or map it as single reads",
                )
            yield batch

    def _fail_unequal(self, first: ReadBatch | None, second: ReadBatch | None) -> None:
        counts = [len(batch) if batch is not None else 0 for batch in (first, second)]
        short = 0 if counts[0] < counts[1] else 1
        longer = (first, second)[1 - short]
        assert longer is not None
        total = longer.first_record + counts[short]
        short_path, long_path = self._readers[short].path, self._readers[1 - short].path
        raise InputError(
            f"ends after {counted(total, 'record')}, but {long_path} has more: its record {total + 1}, "
            f"{longer.name(counts[short])!r}, has no mate",
            path=short_path,
            record=total + 1,
            remedy=REMEDY,
        )

    def _check_names(self, batch: ReadBatch) -> None:
        pair = first_unpaired(batch)
        if pair < 0:
            return
        paths = [reader.path for reader in self._readers]
        names = f"{batch.name(2 * pair)!r} and {batch.name(2 * pair + 1)!r}"
        number = batch.first_record // 2 + pair + 1
        if len(paths) == 2:
            raise InputError(
                f"the mates are named {names} (in {paths[1]}), expected one name",
                path=paths[0],
                record=number,
                remedy=REMEDY if number > 1 else f"{REMEDY}; or is {paths[0]} the reference? Give that with -x",
            )
        raise InputError(
            f"the mates are named {names}, expected one name",
            path=paths[0],
            record=2 * number - 1,
            remedy="is the file interleaved? If not, map it as single reads",
        )


def read_pair_chunks(
    path1: Pathlike, path2: Pathlike, *, batch_size: int = 4096, keep_comments: bool = False, block_size: int = 1 << 20
) -> PairReader:
    """The pairs of two files in batches: first mates from ``path1``, second mates from ``path2``.

    Args:
        path1: file of the first mates; at most one of the two may be ``-``.
        path2: file of the second mates, in the same order. Names must agree, a trailing ``/1`` or ``/2`` apart.
        batch_size: reads per batch, an even number: two for each pair.
        keep_comments: fill ``comments`` of the batches.
        block_size: bytes to read at a time; changes no result.

    Raises:
        UsageError: both paths are the same file.
    """
    _check_even(batch_size)
    one, two = os.fspath(path1), os.fspath(path2)
    if one == two or (os.path.isfile(one) and os.path.isfile(two) and os.path.samefile(one, two)):
        raise UsageError(f"both files of the pair are {one}: give two files, or one interleaved file")
    first = read_chunks(one, batch_size=batch_size // 2, keep_comments=keep_comments, block_size=block_size)
    try:
        second = read_chunks(two, batch_size=batch_size // 2, keep_comments=keep_comments, block_size=block_size)
    except BaseException:
        first.close()
        raise
    return PairReader((first, second))


def read_interleaved_chunks(
    path: Pathlike, *, batch_size: int = 4096, keep_comments: bool = False, block_size: int = 1 << 20
) -> PairReader:
    """The pairs of one file that holds the two mates of each pair one after the other; arguments as above."""
    _check_even(batch_size)
    return PairReader((read_chunks(path, batch_size=batch_size, keep_comments=keep_comments, block_size=block_size),))


def _check_even(batch_size: int) -> None:
    if batch_size < 2 or batch_size % 2:
        raise ValueError(f"batch_size is {batch_size}, expected an even number of reads")
