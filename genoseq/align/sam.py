"""SAM text, written by a kernel straight from the arrays of a batch; and the header.

Specification: SAMv1 (samtools.github.io/hts-specs). Tags: NM, MD, AS, XS (best score of another place), MC and MQ (the mate's
CIGAR and MAPQ), RG. Secondary records carry ``*`` for sequence and quality.
"""

from __future__ import annotations

import re
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from genoseq.align.records import REVERSE, SECONDARY, UNMAPPED
from genoseq.align.scoring import OP_CLIP, OP_DELETE, OP_INSERT, OP_MATCH
from genoseq.errors import UsageError
from genoseq.kernels import lean_kernel

__all__ = ["NameTable", "format_records", "header_text", "read_group_line", "text_room"]

OPERATIONS = np.frombuffer(b"MIDNSHP=X", np.uint8)
LETTERS = np.frombuffer(b"ACGTN", np.uint8)


class NameTable(NamedTuple):
    """Contig names for the kernel: bytes laid end to end, ``offsets`` ``(contigs + 1,)``."""

    text: NDArray[np.uint8]
    offsets: NDArray[np.int64]

    @classmethod
    def of(cls, names: list[str]) -> NameTable:
        """Lay out a list of names."""
        encoded = [name.encode() for name in names]
        offsets = np.concatenate([[0], np.cumsum([len(name) for name in encoded])]).astype(np.int64)
        return cls(np.frombuffer(b"".join(encoded) or b"\0", np.uint8), offsets)


def read_group_line(given: str) -> tuple[str, str]:
    """The ``@RG`` line of ``-R`` with real tabs, and its ID.

    Raises:
        UsageError: it does not begin with ``@RG``, has no ID, or a field is not ``XX:value``.

    >>> read_group_line(r"@RG\\tID:a\\tSM:b")
    ('@RG\\tID:a\\tSM:b', 'a')
    """
    line = given.replace("\\t", "\t").strip()
    fields = line.split("\t")
    wrong = [field for field in fields[1:] if not re.fullmatch(r"[A-Za-z][A-Za-z0-9]:[ -~]+", field)]
    names = [field[3:] for field in fields[1:] if field.startswith("ID:")]
    if fields[0] != "@RG" or wrong or len(names) != 1:
        raise UsageError(f"read group {given!r}: expected '@RG\\tID:name\\tSM:sample' with one ID")
    return line, names[0]


def header_text(
    names: list[str],
    lengths: list[int],
    md5: list[str],
    *,
    version: str,
    command: str,
    read_group: str | None = None,
    sorted_by: str = "unsorted",
    grouped: bool = True,
) -> str:
    """The SAM header: ``@HD``, ``@SQ`` with M5, ``@RG`` as given, ``@PG``; tabs and line ends of ``command`` become spaces."""
    group = "" if sorted_by == "coordinate" or not grouped else "\tGO:query"
    lines = [f"@HD\tVN:1.6\tSO:{sorted_by}{group}"]
    lines += [f"@SQ\tSN:{n}\tLN:{length}\tM5:{m}" for n, length, m in zip(names, lengths, md5, strict=True)]
    if read_group:
        lines.append(read_group)
    shown = command.replace("\t", "\\t").replace("\n", " ").replace("\r", " ")
    lines.append(f"@PG\tID:genoseq\tPN:genoseq\tVN:{version}\tCL:{shown}")
    return "\n".join(lines) + "\n"


@lean_kernel
def _put(out, at, text, start, end):
    for i in range(start, end):
        out[at] = text[i]
        at += 1
    return at


@lean_kernel
def _put_int(out, at, value):
    if value < 0:
        out[at] = 45
        at += 1
        value = -value
    digits = 1
    bound = np.int64(10)
    while value >= bound:
        digits += 1
        bound *= 10
    for d in range(digits - 1, -1, -1):
        out[at + d] = 48 + value % 10
        value //= 10
    return at + digits


@lean_kernel
def _put_tag(out, at, a, b, kind):
    out[at] = 9
    out[at + 1] = a
    out[at + 2] = b
    out[at + 3] = 58
    out[at + 4] = kind
    out[at + 5] = 58
    return at + 6


@lean_kernel
def _put_cigar(out, at, records, number):
    n = records.cigar_n[number]
    if n == 0:
        out[at] = 42
        return at + 1
    for x in range(records.cigar_at[number], records.cigar_at[number] + n):
        at = _put_int(out, at, np.int64(records.cigar[x] >> 4))
        out[at] = OPERATIONS[records.cigar[x] & 15]
        at += 1
    return at


@lean_kernel
def _put_mismatches(out, at, records, number, codes, first, seq, start, end, lookup):
    """The MD string: matches counted, the reference's base at a mismatch, ``^`` and bases at a deletion (SAM tags, MD)."""
    reverse = (records.flag[number] & REVERSE) != 0
    i = 0
    j = first + records.position[number]
    run = np.int64(0)
    for x in range(records.cigar_at[number], records.cigar_at[number] + records.cigar_n[number]):
        size = np.int64(records.cigar[x] >> 4)
        op = records.cigar[x] & 15
        if op == OP_MATCH:
            for y in range(size):
                if reverse:
                    c = lookup[seq[end - 1 - i - y]]
                    same = c < 4 and 3 - c == codes[j + y]
                else:
                    c = lookup[seq[start + i + y]]
                    same = c < 4 and c == codes[j + y]
                if same:
                    run += 1
                else:
                    at = _put_int(out, at, run)
                    run = 0
                    out[at] = LETTERS[min(np.int64(codes[j + y]), 4)]
                    at += 1
            i += size
            j += size
        elif op == OP_DELETE:
            at = _put_int(out, at, run)
            run = 0
            out[at] = 94
            at += 1
            for y in range(size):
                out[at] = LETTERS[min(np.int64(codes[j + y]), 4)]
                at += 1
            j += size
        elif op in (OP_INSERT, OP_CLIP):
            i += size
    return _put_int(out, at, run)


@lean_kernel
def text_room(records, names, seq_offsets, longest_contig_name, extra):
    """Bytes that the text of these records can take at most."""
    total = np.int64(64)
    for number in range(records.n[0]):
        r = records.read[number]
        length = seq_offsets[r + 1] - seq_offsets[r]
        operations = records.cigar_n[number]
        if records.mate[number] >= 0:
            operations += records.cigar_n[records.mate[number]]
        span = max(records.end[number] - records.position[number], 0)
        total += (names[r + 1] - names[r]) + 2 * longest_contig_name + 4 * length + 3 * span + 12 * operations + 220 + extra
    return total


@lean_kernel
def format_records(
    records, names, name_offsets, seq, qual, seq_offsets, has_quality, contig_text, contig_offsets, codes, offsets,
    lookup, complement, group, out,
):  # fmt: skip
    """Write the records as SAM lines into ``out``; return the number of bytes.

    Args:
        names, seq, qual: ASCII of the batch with their offsets; contig_text, contig_offsets: a :class:`NameTable`.
        codes, offsets: of the reference; lookup: ASCII to base code; complement: ``seqs.alphabet.COMPLEMENTS``.
        group: the read group's ID, empty for none.
    """
    at = 0
    for number in range(records.n[0]):
        r = records.read[number]
        flag = records.flag[number]
        mate = records.mate[number]
        contig = records.contig[number]
        position = records.position[number]
        if contig < 0 and mate >= 0:
            # an unmapped read beside a mapped mate is filed at the mate's place (specification, 2)
            contig = records.contig[mate]
            position = records.position[mate]
        at = _put(out, at, names, name_offsets[r], name_offsets[r + 1])
        out[at] = 9
        at = _put_int(out, at + 1, flag)
        out[at] = 9
        at += 1
        if contig < 0:
            out[at] = 42
            at += 1
        else:
            at = _put(out, at, contig_text, contig_offsets[contig], contig_offsets[contig + 1])
        out[at] = 9
        at = _put_int(out, at + 1, position + 1)
        out[at] = 9
        at = _put_int(out, at + 1, records.quality[number])
        out[at] = 9
        at = _put_cigar(out, at + 1, records, number)
        out[at] = 9
        at += 1
        mate_contig = np.int64(-1)
        mate_position = np.int64(-1)
        if mate >= 0:
            mate_contig = records.contig[mate]
            mate_position = records.position[mate]
            if mate_contig < 0:
                # where the unmapped mate is filed: at the primary record's place, also for a secondary one
                mate_contig = records.contig[records.mate[mate]]
                mate_position = records.position[records.mate[mate]]
        if mate_contig < 0:
            out[at] = 42
            at += 1
        elif mate_contig == contig:
            out[at] = 61
            at += 1
        else:
            at = _put(out, at, contig_text, contig_offsets[mate_contig], contig_offsets[mate_contig + 1])
        out[at] = 9
        at = _put_int(out, at + 1, mate_position + 1)
        out[at] = 9
        at = _put_int(out, at + 1, records.template[number])
        out[at] = 9
        at += 1
        start = seq_offsets[r]
        end = seq_offsets[r + 1]
        if (flag & SECONDARY) != 0 or start == end:
            out[at] = 42
            out[at + 1] = 9
            out[at + 2] = 42
            at += 3
        else:
            if (flag & REVERSE) != 0:
                for i in range(end - 1, start - 1, -1):
                    out[at] = complement[seq[i]]
                    at += 1
            else:
                at = _put(out, at, seq, start, end)
            out[at] = 9
            at += 1
            if not has_quality:
                out[at] = 42
                at += 1
            elif (flag & REVERSE) != 0:
                for i in range(end - 1, start - 1, -1):
                    out[at] = qual[i]
                    at += 1
            else:
                at = _put(out, at, qual, start, end)
        if (flag & UNMAPPED) == 0:
            at = _put_int(out, _put_tag(out, at, 78, 77, 105), records.edits[number])
            at = _put_mismatches(
                out, _put_tag(out, at, 77, 68, 90), records, number, codes, offsets[contig], seq, start, end, lookup
            )
            at = _put_int(out, _put_tag(out, at, 65, 83, 105), records.score[number])
            if records.second[number] >= 0:
                at = _put_int(out, _put_tag(out, at, 88, 83, 105), records.second[number])
        if mate >= 0 and (records.flag[mate] & UNMAPPED) == 0:
            at = _put_cigar(out, _put_tag(out, at, 77, 67, 90), records, mate)
            at = _put_int(out, _put_tag(out, at, 77, 81, 105), records.quality[mate])
        if group.shape[0] > 0:
            at = _put(out, _put_tag(out, at, 82, 71, 90), group, 0, group.shape[0])
        out[at] = 10
        at += 1
    return at
