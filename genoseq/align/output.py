"""Where alignments go: SAM to standard output or a file, BAM and CRAM, sorted and indexed; whole or not at all."""

from __future__ import annotations

import contextlib
import gzip
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO, BinaryIO, Protocol

import numpy as np

from genoseq.align.encode import FORMATS
from genoseq.align.records import PAIRED, SECONDARY, UNMAPPED, Records
from genoseq.errors import OutputError, UsageError
from genoseq.outputs import whole_file
from genoseq.seqs.batch import ReadBatch

__all__ = ["UnmappedWriter", "alignment_output", "output_format", "unmapped_output"]

CSI_FROM = 1 << 29
"""Contigs of this length, bp, and more need a CSI index instead of BAI (SAM specification, 5.2)."""


class Sink(Protocol):
    """Takes bytes of SAM."""

    def write(self, data: bytes | memoryview, /) -> int: ...


def output_format(path: str | None, given: str | None) -> str:
    """``sam``, ``bam`` or ``cram``: as given, else by the file's name, else SAM.

    Raises:
        UsageError: the name's ending says nothing and no format is given.
    """
    if given is not None:
        return given
    if path is None or path == "-":
        return "sam"
    ending = Path(path).suffix.lower().lstrip(".")
    if ending in FORMATS:
        return ending
    if not Path(path).is_file() and Path(path).exists():
        return "sam"
    raise UsageError(f"{path}: the ending names no format; end it in .sam, .bam or .cram, or give --output-format")


@contextlib.contextmanager
def alignment_output(
    path: str | None, *, kind: str, ordered: bool, threads: int, longest_contig: int
) -> Iterator[Sink]:
    """Give something to write SAM text to; when the block ends well, the output stands at ``path``, indexed if ordered.

    Args:
        path: file, or None or ``-`` for standard output.
        kind: one of ``FORMATS``; ordered: sort by coordinate, and index what can be indexed.
        longest_contig: bp; decides between BAI and CSI.

    Raises:
        OutputError: the output cannot be written.
    """
    if path is None or path == "-":
        if kind == "sam" and not ordered:
            yield sys.stdout.buffer
            sys.stdout.buffer.flush()
        else:
            with _encoder("-", kind, ordered, threads, "standard output") as sink:
                yield sink
        return
    with contextlib.ExitStack() as stack:
        # The index file is renamed into place before the alignments: an alignment file never stands without it.
        temporary = stack.enter_context(whole_file(path))
        if kind == "sam" and not ordered:
            with temporary.open("wb", buffering=1 << 20) as file:
                yield file
            return
        with _encoder(str(temporary), kind, ordered, threads, path) as sink:
            yield sink
        if ordered and kind != "sam" and temporary != Path(path):
            _index(stack, temporary, path, kind, longest_contig)


def _index(stack: contextlib.ExitStack, temporary: Path, path: str, kind: str, longest_contig: int) -> None:
    import pysam

    ending = "crai" if kind == "cram" else "csi" if longest_contig >= CSI_FROM else "bai"
    target = stack.enter_context(whole_file(f"{path}.{ending}"))
    options = ["-c"] if ending == "csi" else []
    try:
        pysam.samtools.index(*options, "-o", str(target), str(temporary))
    except pysam.SamtoolsError as error:
        raise OutputError(f"{path}.{ending}: cannot be written: {error}") from error


@contextlib.contextmanager
def _encoder(out: str, kind: str, ordered: bool, threads: int, path: str) -> Iterator[IO[bytes]]:
    """A child process that encodes what is written to it."""
    command = [sys.executable, "-m", "genoseq.align.encode", out, kind, "sorted" if ordered else "plain", str(threads)]
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE)
    assert child.stdin is not None and child.stderr is not None
    try:
        with contextlib.suppress(BrokenPipeError):  # the child ended early; its status and message are judged below
            yield child.stdin
        with contextlib.suppress(BrokenPipeError):
            child.stdin.close()
        message = child.stderr.read().decode(errors="replace").strip()
        status = child.wait()
    except BaseException:
        child.kill()
        child.wait()
        raise
    finally:
        child.stderr.close()
    if status != 0:
        raise OutputError(f"{path}: writing {kind.upper()} failed: {message or f'status {status}'}")


class UnmappedWriter:
    """Writes reads without a place as FASTQ (or FASTA); of a pair both mates, if either has none."""

    def __init__(self, sink: BinaryIO | gzip.GzipFile) -> None:
        self._sink = sink

    def write(self, reads: ReadBatch, records: Records) -> None:
        """Write the unmapped reads of one batch."""
        n = int(records.n[0])
        flags = records.flag[:n]
        primary = (flags & SECONDARY) == 0
        lost = np.zeros(len(reads), bool)
        lost[records.read[:n][primary]] = (flags[primary] & UNMAPPED) != 0
        if n and flags[0] & PAIRED:
            lost = np.repeat(lost.reshape(-1, 2).any(axis=1), 2)
        for r in np.flatnonzero(lost):
            name = reads.names[reads.name_offsets[r] : reads.name_offsets[r + 1]].tobytes()
            span = slice(reads.offsets[r], reads.offsets[r + 1])
            seq = reads.seq[span].tobytes()
            if reads.has_quality:
                self._sink.write(b"@" + name + b"\n" + seq + b"\n+\n" + reads.qual[span].tobytes() + b"\n")
            else:
                self._sink.write(b">" + name + b"\n" + seq + b"\n")


@contextlib.contextmanager
def unmapped_output(path: str | None) -> Iterator[UnmappedWriter | None]:
    """A writer for the unmapped reads, compressed if the name ends in ``.gz``; None if there is no path."""
    if path is None:
        yield None
        return
    with whole_file(path) as temporary:
        opened = gzip.open(temporary, "wb", compresslevel=4) if path.endswith(".gz") else temporary.open("wb", 1 << 20)
        with opened as sink:
            yield UnmappedWriter(sink)  # type: ignore[arg-type]
