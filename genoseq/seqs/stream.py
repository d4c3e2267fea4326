"""Bytes from a file whatever its compression: plain, gzip, bgzip or zstd, told by the first bytes; ``-`` is stdin.

Formats: RFC 1952 (gzip: any number of members, trailing zero padding), the SAM specification section 4.1 (BGZF),
RFC 8878 (Zstandard: any number of frames, skippable frames).
"""

from __future__ import annotations

import logging
import os
import stat
import sys
import zlib
from collections.abc import Callable
from types import TracebackType
from typing import IO, Any, Protocol, Self

from genoseq.errors import InputError, Pathlike
from genoseq.outputs import describe_os_error

__all__ = ["ByteStream", "open_bytes"]

logger = logging.getLogger(__name__)

RAW = 1 << 18  # bytes read from the file at a time
PIECE = 1 << 14  # bytes decompressed at a time: so much before a damaged place may be lost
GZIP = b"\x1f\x8b"
ZSTD = b"\x28\xb5\x2f\xfd"
NOT_READ = {
    b"BZh": ("bzip2", "bzip2 -dc"),
    b"\xfd7zXZ\x00": ("xz", "xz -dc"),
    b"PK\x03\x04": ("zip", "unzip -p"),
}


class _Decompressor(Protocol):
    """What zlib, isal and zstandard objects have in common: one gzip member or zstd frame."""

    @property
    def eof(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...

    def decompress(self, data: bytes, /) -> bytes: ...


class ByteStream:
    """A readable stream of decompressed bytes. Made by :func:`open_bytes`; close it, or use it in a ``with`` block.

    Attributes:
        path: the path as given; ``-`` is standard input.
        compression: ``plain``, ``gzip``, ``bgzip`` or ``zstd``.
        size: bytes of the file on disk, None for a pipe.
        position: bytes of it read so far, for progress.
    """

    def __init__(self, raw: IO[bytes], path: str, *, owns: bool) -> None:
        self.path = path
        self.position = 0
        self.size = _size(raw)
        self._raw = raw
        self._owns = owns
        self._ready = memoryview(b"")  # decompressed, not yet given out
        self._error: InputError | None = None
        self._member: _Decompressor | None = None
        self._members = 0
        self._left = b""  # compressed bytes after the end of a member
        self._raw_ended = False
        self._last_member_size = 0
        self._new_member, self.compression = self._recognise()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file (standard input stays open)."""
        if self._owns:
            self._raw.close()

    def readinto(self, target: memoryview) -> int:
        """Fill ``target`` (uint8) from the start with as many bytes as are at hand, at least one; 0 at the end.

        Raises:
            InputError: the compressed data are truncated or damaged. The bytes before that place were given out first, but for
                those that share the last 16 kB with it.
        """
        if not len(target):
            return 0
        while not len(self._ready):
            if self._error is not None:
                raise self._error
            try:
                more = self._more()
            except InputError as error:
                self._error = error
                raise
            if not more:
                return 0
            self._ready = memoryview(more)
        count = min(len(target), len(self._ready))
        target[:count] = self._ready[:count]
        self._ready = self._ready[count:]
        return count

    def read(self, size: int = -1) -> bytes:
        """The next ``size`` bytes, fewer only at the end; all that remain if ``size`` is negative.

        Raises:
            InputError: as :meth:`readinto`.
        """
        parts = bytearray()
        block = bytearray(min(size, RAW) if size >= 0 else RAW)
        while size < 0 or len(parts) < size:
            wanted = len(block) if size < 0 else min(len(block), size - len(parts))
            try:
                count = self.readinto(memoryview(block)[:wanted])
            except InputError:
                if not parts:
                    raise
                break  # what came before the damage is given now, the next call raises again
            if not count:
                break
            parts += block[:count]
        return bytes(parts)

    def read_rest(self) -> bytes:
        """All the bytes that remain: for who must not take the part before a damaged place for the whole.

        Raises:
            InputError: the compressed data are truncated or damaged; nothing is given out first.
        """
        parts = bytearray()
        while more := self.read():
            parts += more
        return bytes(parts)

    def _recognise(self) -> tuple[Callable[[], _Decompressor] | None, str]:
        head = b""
        while len(head) < 18 and not self._raw_ended:
            head += self._read_raw()
        self._left = head
        for magic, (name, command) in NOT_READ.items():
            if head.startswith(magic):
                raise InputError(
                    f"is compressed with {name}, expected plain text, gzip, bgzip or zstd",
                    path=self.path,
                    remedy=f"decompress it first ({command})",
                )
        if head.startswith(GZIP):
            from isal import isal_zlib

            is_bgzf = len(head) >= 18 and head[3] & 4 and head[12:14] == b"BC"
            return lambda: isal_zlib.decompressobj(31), "bgzip" if is_bgzf else "gzip"
        if head.startswith(ZSTD) or (len(head) >= 4 and head[1:4] == b"\x2a\x4d\x18" and head[0] >> 4 == 5):
            import zstandard

            frames = zstandard.ZstdDecompressor()
            return lambda: frames.decompressobj(), "zstd"
        return None, "plain"

    def _read_raw(self) -> bytes:
        try:
            data = self._raw.read(RAW)
        except OSError as error:
            raise InputError(describe_os_error(error, self.path)) from error
        if not data:
            self._raw_ended = True
        self.position += len(data)
        return data

    def _more(self) -> bytes:
        """The next decompressed bytes; empty only at the end."""
        if self._new_member is None:
            data, self._left = self._left, b""
            return data or self._read_raw()
        while True:
            data, self._left = self._left or self._read_raw(), b""
            if self._member is None:
                if self._members and self.compression != "zstd":
                    data = data.lstrip(b"\x00")  # padding after a gzip member, as tape drives write it
                    if not data and not self._raw_ended:
                        continue
                if not data:
                    self._check_end()
                    return b""
                while len(data) < 2 and not self._raw_ended:
                    data += self._read_raw()
                self._begin_member(data)
            elif not data:
                raise self._damaged(f"the {self.compression} data are truncated")
            assert self._member is not None
            try:
                given = self._member.decompress(data[:PIECE])
            except _decompression_errors(self.compression) as error:
                raise self._damaged(f"the {self.compression} data are damaged ({error})") from error
            self._last_member_size += len(given)
            self._left = data[PIECE:]
            if self._member.eof:
                self._left = self._member.unused_data + self._left
                self._member = None
                self._members += 1
            if given:
                return given

    def _begin_member(self, data: bytes) -> None:
        assert self._new_member is not None
        if self.compression != "zstd" and not data.startswith(GZIP):
            raise self._damaged(f"bytes that are no {self.compression} data follow the {self.compression} data")
        self._member = self._new_member()
        self._last_member_size = 0

    def _check_end(self) -> None:
        if self.compression == "bgzip" and self._last_member_size:
            logger.warning("%s: has no bgzip end-of-file block; it may be truncated", self.path)

    def _damaged(self, what: str) -> InputError:
        remedy = "copy or download the file again"
        return InputError(what, path=self.path, remedy=remedy)


def open_bytes(path: Pathlike) -> ByteStream:
    """Open ``path`` for reading, decompressing by its first bytes; ``-`` is standard input.

    An empty file, and an empty compressed file, are streams of no bytes.

    Raises:
        InputError: no such file, no permission, a folder, or a compression that genoseq does not read.

    >>> import tempfile
    >>> from pathlib import Path
    >>> path = Path(tempfile.mkdtemp()) / "a.txt"
    >>> _ = path.write_bytes(b"ACGT")
    >>> with open_bytes(path) as stream:
    ...     stream.read()
    b'ACGT'
    """
    name = str(path)  # as messages have it
    if os.fspath(path) == "-":
        return ByteStream(sys.stdin.buffer, name, owns=False)
    try:
        raw = open(path, "rb", buffering=0)  # noqa: SIM115 (the stream closes it)
    except OSError as error:
        raise InputError(describe_os_error(error, name)) from error
    try:
        return ByteStream(raw, name, owns=True)
    except BaseException:
        raw.close()
        raise


def _size(raw: IO[bytes]) -> int | None:
    """Bytes of a regular file; None where there is no file behind the stream, or no end to it."""
    try:
        status = os.fstat(raw.fileno())
    except (OSError, AttributeError):  # a stand-in for standard input without a descriptor
        return None
    return status.st_size if stat.S_ISREG(status.st_mode) else None


def _decompression_errors(compression: str) -> tuple[type[Exception], ...]:
    errors: list[type[Exception]] = [zlib.error, EOFError, ValueError]
    if compression == "zstd":
        import zstandard

        errors.append(zstandard.ZstdError)
    else:
        from isal import isal_zlib

        error: Any = isal_zlib.error
        errors.append(error)
    return tuple(errors)
