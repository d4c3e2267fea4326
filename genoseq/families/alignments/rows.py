"""The rows of an alignment file as they stand there: FASTA-like records (FASTA, a2m, a3m) or the blocks of Stockholm.

Nothing is interpreted here but the layout: rows keep their case, gaps and dots. Every letter is checked, so that what
comes later meets only letters, ``-``, ``.`` and no stop codon but one at the end.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NoReturn

from genoseq.errors import InputError, Pathlike
from genoseq.seqs.stream import ByteStream, open_bytes

__all__ = ["Rows", "read_rows"]

BLOCK = 1 << 20  # bytes read at a time
LETTERS = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ"
ALLOWED = LETTERS + LETTERS.lower() + b"-.*"
A3M = re.compile(rb"#A3M#|#\d+(,\d+)*\t\d+(,\d+)*$")
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
STOCKHOLM = b"# STOCKHOLM"
ALIGN_FIRST = "give FASTA, a2m, a3m or Stockholm"


@dataclass
class Rows:
    """N rows in the order of the file.

    Attributes:
        path: the file, for messages.
        stockholm: whether the file is in Stockholm format.
        names: N names, first words of the headers, as they stand there.
        rows: N rows, letters and gaps as they stand there.
        lines: N line numbers, counted from 1, where the rows begin.
        reference: the ``#=GC RF`` line of Stockholm, empty if there is none.
        a3m: whether a line ``#A3M#`` or one such as ``#286<TAB>1`` (ColabFold) says that this is a3m.
        parts: whether NUL bytes stand between records: several MMseqs2 results in one file.
    """

    path: str
    stockholm: bool = False
    names: list[str] = field(default_factory=list)
    rows: list[bytes] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)
    reference: bytes = b""
    a3m: bool = False
    parts: bool = False

    def fail(self, message: str, number: int | None = None, *, line: int | None = None, remedy: str | None = None) -> NoReturn:
        """Raise an :class:`InputError` about row ``number`` (counted from 0) or a line."""
        record = None if number is None else number + 1
        if line is None and number is not None and number < len(self.lines):
            line = self.lines[number]
        raise InputError(message, path=self.path, record=record, line=line, remedy=remedy)


def read_rows(path: Pathlike) -> Rows:
    """All rows of ``path`` (plain, gzip, bgzip or zstd, ``-`` is standard input).

    LF or CRLF, rows over several lines, blank lines and NUL bytes (as MMseqs2 and ColabFold leave them) are taken as they come.

    Raises:
        InputError: names file, record and line: no rows at all, no alignment file, a letter that no protein has.
    """
    with open_bytes(path) as stream:
        found = Rows(stream.path)
        lines = _numbered_lines(stream, found)
        for number, line in lines:
            if not line:
                continue
            if line.startswith(STOCKHOLM):
                found.stockholm = True
                _read_stockholm(lines, found)
            elif line.startswith((b">", b"#")):
                _read_records(number, line, lines, found)
            else:
                text = repr(line[:40])[1:]
                found.fail(f"is no alignment: expected '>' or '# STOCKHOLM', found {text}", line=number, remedy=ALIGN_FIRST)
            break
    if not found.names:
        found.fail("holds no sequences", remedy=ALIGN_FIRST)
    return found


def _numbered_lines(stream: ByteStream, found: Rows) -> Iterator[tuple[int, bytes]]:
    """Lines without their ends, trailing blanks and NUL bytes, with their numbers from 1."""
    number, tail, head = 0, b"", True
    while block := stream.read(BLOCK):
        if head:
            block, head = block.removeprefix(BYTE_ORDER_MARK), False
        if b"\0" in block:
            found.parts = True
            block = block.replace(b"\0", b"")
        *whole, tail = (tail + block).split(b"\n")
        for line in whole:
            number += 1
            yield number, line.rstrip()
    if tail.strip():
        yield number + 1, tail.rstrip()


def _read_records(number: int, line: bytes, lines: Iterator[tuple[int, bytes]], found: Rows) -> None:
    """Records of FASTA, a2m or a3m from ``line`` on."""
    parts: list[bytes] = []
    while True:
        if line.startswith(b">"):
            if found.names:
                found.rows.append(_checked_row(b"".join(parts), found))
            words = line[1:].split(None, 1)
            if not words or line[1:2].isspace():
                found.fail("has no name: expected one right after '>'", len(found.names), line=number, remedy="name the record")
            found.names.append(words[0].decode("utf-8", "replace"))
            found.lines.append(number)
            parts = []
        elif line.startswith(b"#"):  # comments, at the start or before a record
            found.a3m = found.a3m or A3M.match(line) is not None
        elif line:
            if not found.names:
                found.fail("expected '>' at the start of a record", line=number)
            if line.translate(None, ALLOWED):
                _fail_letter(line, len(found.names) - 1, number, found)
            parts.append(line)
        following = next(lines, None)
        if following is None:
            break
        number, line = following
    if found.names:
        found.rows.append(_checked_row(b"".join(parts), found))


def _read_stockholm(lines: Iterator[tuple[int, bytes]], found: Rows) -> None:
    """The blocks of one Stockholm alignment up to ``//``; annotations but ``#=GC RF`` are left out."""
    parts: dict[str, list[bytes]] = {}
    where: dict[str, int] = {}
    reference: list[bytes] = []
    ended = False
    for number, line in lines:
        if ended:
            if line and not line.startswith(STOCKHOLM):
                found.fail("expected nothing, or another alignment, after '//'", line=number)
            if line:
                found.fail("holds more than one Stockholm alignment, expected one", line=number, remedy="split the file at '//'")
            continue
        if line == b"//":
            ended = True
        elif line.startswith(b"#=GC RF"):
            reference.append(line[7:].strip())
        elif line and not line.startswith(b"#"):
            words = line.split()
            if len(words) != 2:
                found.fail(f"expected a name and a row, found {len(words)} words", line=number)
            name = words[0].decode("utf-8", "replace")
            if words[1].translate(None, ALLOWED + b"_~"):
                _fail_letter(words[1], len(parts) if name not in parts else list(parts).index(name), number, found)
            parts.setdefault(name, []).append(words[1].replace(b"_", b"-").replace(b"~", b"-"))
            where.setdefault(name, number)
    if not ended:
        found.fail("ends without '//'", remedy="it may be truncated: copy or download it again")
    for name, pieces in parts.items():
        found.names.append(name)
        found.lines.append(where[name])
        found.rows.append(_checked_row(b"".join(pieces), found))
    found.reference = b"".join(reference)


def _checked_row(row: bytes, found: Rows) -> bytes:
    """The row, if a stop codon stands at most at its end."""
    if b"*" in row:
        core = row.rstrip(b"-.")
        if row.count(b"*") > 1 or not core.endswith(b"*"):
            at = row.index(b"*")
            number = len(found.rows)
            found.fail(
                f"has a stop codon ('*') inside the sequence {found.names[number]!r} (column {at + 1})",
                number,
                remedy="remove the sequence, or what follows the stop codon",
            )
    return row


def _fail_letter(line: bytes, record: int, number: int, found: Rows) -> NoReturn:
    """Name the first letter of ``line`` that no aligned protein has."""
    letter = line.translate(None, ALLOWED)[:1]
    found.fail(
        f"{letter.decode('latin-1')!r} (column {line.index(letter) + 1} of the line) is neither an amino acid nor a gap",
        record,
        line=number,
        remedy="letters, '-', '.' and one '*' at the end are read",
    )
