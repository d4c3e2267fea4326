"""Records of a FASTA or FASTQ file, one after another: the plain reader, and the reference for the one in `chunks`.

What is read (Cock et al., Nucleic Acids Research 38:1767, 2010, and what files hold in practice):

- both formats may wrap sequence and quality over lines; lines end in LF or CRLF; the last line end may be missing;
- blank lines may stand before a record, and anywhere in FASTA; blanks at the end of a FASTA sequence line are dropped;
- a name ends at the first space or tab, the rest is the comment; what follows the ``+`` of FASTQ is ignored;
- the letters of :data:`genoseq.seqs.alphabet.UPPER`, in either case; quality characters ``!`` to ``~``;
- a sequence may be empty.

The first record decides which of the two formats a file has.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NoReturn

import numpy as np

from genoseq.errors import InputError, Pathlike
from genoseq.log import counted
from genoseq.seqs.alphabet import UPPER
from genoseq.seqs.record import Record
from genoseq.seqs.stream import ByteStream, open_bytes

__all__ = ["RecordReader", "read_fastx"]

BLOCK = 1 << 16  # bytes read at a time
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
GRAPHIC = bytes(range(33, 127))
BASES = bytes(int(letter) for letter in np.flatnonzero(UPPER))
TRUNCATED = "it may be truncated: copy or download it again"
DAMAGED = "the file is damaged at this record: copy or download it again, or remove the record"
PROTEIN_ONLY = b"EFILJOPQZ*"
SAM_HEADER = (b"@HD\t", b"@SQ\t", b"@RG\t", b"@PG\t", b"@CO\t")


def read_fastx(path: Pathlike) -> Iterator[Record]:
    """The records of the FASTA or FASTQ file ``path`` (plain, gzip, bgzip or zstd; ``-`` is standard input), in order.

    Raises:
        InputError: names the file, the record and the line (both counted from 1), what was expected and what was found.

    >>> import tempfile
    >>> from pathlib import Path
    >>> path = Path(tempfile.mkdtemp()) / "reads.fq"
    >>> _ = path.write_text("@r1 first\\nACGT\\n+\\nIIII\\n")
    >>> list(read_fastx(path))
    [Record(name='r1', comment='first', sequence='ACGT', quality='IIII')]
    """
    with open_bytes(path) as stream:
        yield from RecordReader(stream)


class RecordReader:
    """Iterates over the records of ``stream``.

    The other arguments let it take over in the middle of a file, at the start of a record.

    Args:
        stream: where the bytes come from.
        head: bytes that stand before those of ``stream``.
        records: records before this place.
        line: lines before this place.
        last_name: name of the record before this place.
        fastq: the format found so far; None at the start of a file.
    """

    def __init__(
        self,
        stream: ByteStream,
        *,
        head: bytes = b"",
        records: int = 0,
        line: int = 0,
        last_name: str = "",
        fastq: bool | None = None,
    ) -> None:
        self.fastq = fastq
        self.records = records
        self._path = stream.path
        self._line = line
        self._last_name = last_name
        self._lines = _split_lines(stream, head)
        self._pushed: bytes | None = None

    def __iter__(self) -> Iterator[Record]:
        """Yield the records that remain."""
        while (header := self._next_header()) is not None:
            if self.fastq is None:
                self.fastq = self._recognise(header)
            record = self._read_fastq(header) if self.fastq else self._read_fasta(header)
            self.records += 1
            self._last_name = record.name
            yield record

    def _next_line(self) -> bytes | None:
        """The next line without its end; None at the end of the file."""
        if self._pushed is not None:
            line, self._pushed = self._pushed, None
            self._line += 1
            return line
        try:
            found = next(self._lines, None)
        except InputError as error:
            last = f"the last complete record is {self.records} ({self._last_name!r})"
            state = last if self.records else "no complete record could be read before that"
            raise InputError(f"{error.message}; {state}", path=self._path, remedy=error.remedy) from error
        if found is None:
            return None
        self._line += 1
        return found[:-1] if found.endswith(b"\r") else found

    def _push(self, line: bytes) -> None:
        self._pushed = line
        self._line -= 1

    def _next_header(self) -> bytes | None:
        line = self._next_line()
        if line is not None and self._line == 1 and line.startswith(BYTE_ORDER_MARK):
            line = line[len(BYTE_ORDER_MARK) :]
        while line is not None and not line:
            line = self._next_line()
        return line

    def _recognise(self, header: bytes) -> bool:
        """Whether the file is FASTQ, from its first line that is not blank."""
        if header.startswith(SAM_HEADER):
            self._fail("is a SAM file, expected FASTA or FASTQ", "convert it (samtools fastq)")
        if header.startswith((b"BAM\x01", b"CRAM")):
            kind = "CRAM" if header.startswith(b"CRAM") else "BAM"
            self._fail(f"is a {kind} file, expected FASTA or FASTQ", "convert it (samtools fastq)")
        if header.startswith((b"\x1f\x8b", b"\x28\xb5\x2f\xfd")):
            self._fail("is compressed twice", "decompress it once")
        if header.lstrip().lower().startswith((b"<!doctype", b"<html", b"<?xml")):
            self._fail("is a web page (HTML or XML), expected FASTA or FASTQ", "the download failed: get the file itself")
        if b"\0" in header and not header.startswith((b">", b"@")):
            self._fail("holds binary data, expected FASTA or FASTQ text", "is it the right file?")
        if not header.startswith((b">", b"@")):
            self._fail(
                f"is neither FASTA nor FASTQ: expected '>' or '@', found {_quoted(header)}",
                "give a file of sequences, or remove what stands before the first record",
            )
        return header.startswith(b"@")

    def _read_name(self, header: bytes) -> tuple[str, str]:
        text = header[1:]
        at = min((place for place in (text.find(b" "), text.find(b"\t")) if place >= 0), default=len(text))
        name, comment = text[:at], text[at + 1 :]
        if not name:
            blank = "remove the blank after it (sed 's/^> */>/')" if text.strip() and header[:1] == b">" else "name the record"
            self._fail(f"has no name: expected one right after {_quoted(header[:1])}", blank)
        illegal = name.translate(None, GRAPHIC)
        if illegal:
            self._fail(
                f"illegal character {_quoted(illegal[:1])} in the name {_quoted(name)}",
                "SAM allows only printable ASCII characters in names: rename the record",
            )
        return name.decode("ascii"), comment.decode("utf-8", "surrogateescape")

    def _check_bases(self, line: bytes, *, wrapped: bool = False) -> None:
        illegal = line.translate(None, BASES)
        if not illegal:
            return
        letter = illegal[:1]
        column = line.index(letter) + 1
        remedy = None
        if letter == b"-":
            remedy = "remove gaps: sequences must be unaligned"
        elif letter == b"\r":
            remedy = "convert the line ends (CR alone is not a line end here)"
        elif letter.upper() in PROTEIN_ONLY:
            remedy = "this may be protein: the letters read are A C G T U N and the other IUPAC nucleotide codes"
        if wrapped:
            remedy = "is the '+' line before the quality missing?"
        self._fail(f"illegal character {_quoted(letter)} in the sequence (column {column})", remedy)

    def _read_fasta(self, header: bytes) -> Record:
        if not header.startswith(b">"):
            self._fail(f"expected '>' at the start of a record, found {_quoted(header)}")
        name, comment = self._read_name(header)
        parts = []
        while (line := self._next_line()) is not None:
            if line.startswith(b">"):
                self._push(line)
                break
            line = line.rstrip(b" \t")
            self._check_bases(line)
            parts.append(line)
        return Record(name, comment, b"".join(parts).decode("ascii"))

    def _read_fastq(self, header: bytes) -> Record:
        if not header.startswith(b"@"):
            self._fail(
                f"expected '@' at the start of a record, found {_quoted(header)}",
                "the record before may have a quality that is too long",
            )
        name, comment = self._read_name(header)
        parts: list[bytes] = []
        while True:
            line = self._next_line()
            if line is None:
                self._fail("the file ends inside this record: no '+' line", TRUNCATED)
            if line.startswith(b"+"):
                break
            if line.startswith(b"@"):
                self._fail("expected a '+' line after the sequence, found the next record", DAMAGED)
            self._check_bases(line, wrapped=any(parts))
            parts.append(line)
        sequence = b"".join(parts)
        quality = self._read_quality(len(sequence), one_line=len(parts) == 1)
        return Record(name, comment, sequence.decode("ascii"), quality.decode("ascii"))

    def _read_quality(self, length: int, *, one_line: bool) -> bytes:
        """``length`` quality characters. After a sequence on one line, a second line with ``@`` is the next record."""
        lines: list[bytes] = []
        got = 0
        ended = False
        while got < length or not lines:
            line = self._next_line()
            if line is None:
                ended = True
                break
            if line.startswith(b"@") and (length == 0 or (one_line and lines)):
                self._push(line)
                break
            lines.append(line)
            got += len(line)
        if got != length:
            at = next((i for i, line in enumerate(lines) if i and line.startswith(b"@")), len(lines))
            if got > length and at < len(lines):  # the next record was taken for quality
                self._line -= len(lines) - at
                got = sum(len(line) for line in lines[:at])
            self._fail(
                f"quality has {counted(got, 'character')}, sequence has {length}" + (" (the file ends here)" if ended else ""),
                TRUNCATED if ended else DAMAGED,
            )
        quality = b"".join(lines)
        illegal = quality.translate(None, GRAPHIC)
        if illegal:
            column = quality.index(illegal[:1]) + 1
            self._fail(f"illegal character {_quoted(illegal[:1])} in the quality (column {column})", DAMAGED)
        return quality

    def _fail(self, message: str, remedy: str | None = None) -> NoReturn:
        raise InputError(message, path=self._path, record=self.records + 1, line=self._line, remedy=remedy)


def _split_lines(stream: ByteStream, head: bytes) -> Iterator[bytes]:
    """The lines of ``head`` and then ``stream``, without their LF."""
    tail: list[bytes] = []
    block = head or stream.read(BLOCK)
    while block:
        first, *others = block.split(b"\n")
        tail.append(first)
        if others:
            yield b"".join(tail)
            yield from others[:-1]
            tail = [others[-1]]
        block = stream.read(BLOCK)
    last = b"".join(tail)
    if last:
        yield last


def _quoted(data: bytes) -> str:
    """At most 40 characters of ``data`` in quotes, with what is not printable escaped."""
    short = data if len(data) <= 40 else data[:37] + b"..."
    return repr(short)[1:]
