"""Where alignments go: SAM to standard output or a file, BAM and CRAM, sorted and indexed; whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import gzip
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, BinaryIO, Protocol

import numpy as np

from genoseq.align.encode import FORMATS
from genoseq.align.records import PAIRED, SECONDARY, UNMAPPED, Records
from genoseq.errors import OutputError, UsageError
from genoseq.outputs import beside, describe_os_error, is_full, is_special, whole_file
from genoseq.seqs.batch import ReadBatch

__all__ = ["UnmappedWriter", "alignment_output", "output_format", "unmapped_output"]

CSI_FROM = 1 << 29
"""Contigs of this length, bp, and more need a CSI index instead of BAI (SAM specification, 5.2)."""
SORT_MEMORY = "256M"
"""Memory of each sorting thread; more records than fit go to files and are merged."""
INDEX_ENDINGS = ("bai", "csi", "crai")
STEM_INDEXES = {".bam": ("bai", "csi"), ".cram": ("crai",)}
REFUSALS = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class Sink(Protocol):
    """Takes bytes of SAM."""

    def write(self, data: bytes | memoryview, /) -> int: ...


def output_format(path: str | None, given: str | None) -> str:
    """``sam``, ``bam`` or ``cram``: by the file's name, else as given, else SAM.

    Raises:
        UsageError: the name's ending says nothing and no format is given, or it names another one.
    """
    ending = "" if path is None or path == "-" else Path(path).suffix.lower().lstrip(".")
    if given is not None:
        if ending in FORMATS and ending != given:
            raise UsageError(f"{path}: the name ends in .{ending}, but --output-format says {given}; change one of them")
        return given
    if path is None or path == "-":
        return "sam"
    if ending in FORMATS:
        return ending
    if is_special(path):
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
        BrokenPipeError: whoever read the output went away.
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
        if is_special(path):
            return
        made = _index(stack, temporary, path, kind, longest_contig) if ordered and kind != "sam" else None
        _drop_indexes(path, keep=made)


def _drop_indexes(path: str, *, keep: str | None) -> None:
    """Remove the indexes of the file that stood at ``path`` before: htslib would use them for what stands there now."""
    kept = None if keep is None else os.path.realpath(keep)
    for name in {path, os.path.realpath(path)}:  # a link, and what it points at
        stem, ending = os.path.splitext(name)  # reads.bai and reads.csi are indexes of reads.bam, too
        others = [f"{stem}.{one}" for one in STEM_INDEXES.get(ending, ())]
        for index in [*(f"{name}.{one}" for one in INDEX_ENDINGS), *others]:
            if os.path.realpath(index) != kept:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(index)


def _index(stack: contextlib.ExitStack, temporary: Path, path: str, kind: str, longest_contig: int) -> str:
    """Index the alignments in ``temporary``, which will stand at ``path``; the path of the index."""
    import pysam
    from pysam.utils import SamtoolsError

    ending = "crai" if kind == "cram" else "csi" if longest_contig >= CSI_FROM else "bai"
    target = stack.enter_context(whole_file(f"{path}.{ending}"))
    options = ["-c"] if ending == "csi" else []
    try:
        pysam.samtools.index(*options, "-o", str(target), str(temporary))
    except SamtoolsError as error:
        raise OutputError(_failure(f"{path}.{ending}", str(target), f"indexing failed: {error}")) from error
    return f"{path}.{ending}"


@contextlib.contextmanager
def _encoder(out: str, kind: str, ordered: bool, threads: int, path: str) -> Iterator[IO[bytes]]:
    """A child process that encodes what is written to it."""
    mode = "sorted" if ordered else "plain"
    with contextlib.ExitStack() as stack:
        scratch = stack.enter_context(_scratch(out, path)) if ordered else ""
        said = stack.enter_context(tempfile.TemporaryFile())
        command = [sys.executable, "-P", "-m", "genoseq.align.encode", out, kind, mode, str(threads), scratch, SORT_MEMORY]
        child = subprocess.Popen(command, stdin=subprocess.PIPE, stderr=said)
        assert child.stdin is not None
        refused = False
        try:
            try:
                yield child.stdin
                child.stdin.close()
            except BrokenPipeError:
                try:
                    child.wait(timeout=5)
                except subprocess.TimeoutExpired:
                    raise  # the child is well: it was another output whose reader went away
                refused = True  # the child ended early; its status and message are judged below
            status = child.wait()
        except BaseException:
            child.kill()
            child.wait()
            raise
        finally:
            with contextlib.suppress(BrokenPipeError):
                child.stdin.close()
        said.seek(0)
        message = " ".join(said.read().decode(errors="replace").split())
    if status == -signal.SIGPIPE:
        raise BrokenPipeError(errno.EPIPE, "nobody reads the output", path)
    if status != 0 or refused:
        raise OutputError(_failure(path, out, f"writing {kind.upper()} failed: {message or f'status {status}'}"))


@contextlib.contextmanager
def _scratch(out: str, path: str) -> Iterator[str]:
    """A folder for what does not fit into memory while sorting: hidden, beside the output if that is a file."""
    if out == "-" or is_special(out):
        folder = Path(tempfile.mkdtemp(prefix="genoseq-", suffix=".sorting"))
    else:
        folder = beside(Path(os.path.realpath(path)), "sorting")
        try:
            folder.mkdir(mode=0o700)
        except OSError as error:
            raise OutputError(describe_os_error(error, path)) from error
    try:
        yield str(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _failure(path: str, out: str, what: str) -> str:
    """What to tell when samtools could not write: the reason it names, or a full disk, since htslib often names none."""
    for number in REFUSALS:
        if what.endswith(os.strerror(number)):
            return describe_os_error(OSError(number, what), path)
    full = False
    with contextlib.suppress(OSError):
        full = os.path.samestat(os.fstat(1), os.stat("/dev/full")) if out == "-" else is_full(Path(out).parent)
    return describe_os_error(OSError(errno.ENOSPC, what), path) if full else f"{path}: {what}"


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
    """A writer for the unmapped reads, compressed if the name ends in ``.gz``; ``-`` is standard output, None nothing."""
    if path is None:
        yield None
        return
    if path == "-":
        yield UnmappedWriter(sys.stdout.buffer)
        sys.stdout.buffer.flush()
        return
    with whole_file(path) as temporary, temporary.open("wb", 1 << 20) as file:
        if not path.lower().endswith(".gz"):
            yield UnmappedWriter(file)
            return
        # neither the temporary name nor the time goes into the header: same reads, same bytes
        with gzip.GzipFile(filename="", fileobj=file, mode="wb", compresslevel=4, mtime=0) as packed:
            yield UnmappedWriter(packed)
