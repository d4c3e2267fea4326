"""The compiled loops of the fast reader: find the parts of each record in a block of bytes, and copy them out.

A scan fills a table, int64 of shape ``(records, 6)``, with places in the block: where the name starts and ends, where
the header ends, where the sequence starts, how many bases it has, and where the quality starts (FASTQ) or the record
ends (FASTA). It knows FASTQ of four lines a record, and FASTA without oddities; lines may end in LF or CRLF.
"""

from __future__ import annotations

import numpy as np

from genoseq.kernels import kernel
from genoseq.seqs.alphabet import UPPER

__all__ = ["FULL", "LF", "MORE", "ODD", "copy_bases", "copy_pieces", "scan_fasta", "scan_fastq"]

FULL, MORE, ODD = 0, 1, 2  # why a scan stopped: batch complete; bytes at an end; a record for the plain reader
LF, CR, TAB, SPACE, PLUS, AT, GREATER = 10, 13, 9, 32, 43, 64, 62
NAME, NAME_END, HEADER_END, START, LENGTH, END = range(6)  # columns of a scanned record; END: quality or raw end


@kernel
def _scan_header(data, at, row):
    """Scan the header at ``at`` into ``row``; place after its line end, or minus MORE or ODD."""
    end = len(data)
    i = at + 1
    while i < end and 33 <= data[i] <= 126:
        i += 1
    if i >= end:
        return -MORE
    row[NAME] = at + 1
    row[NAME_END] = i
    if i == at + 1:
        return -ODD
    if data[i] == CR and i + 1 >= end:
        return -MORE
    if not (data[i] == LF or data[i] == SPACE or data[i] == TAB or (data[i] == CR and data[i + 1] == LF)):
        return -ODD
    while i < end and data[i] != LF:
        i += 1
    if i >= end:
        return -MORE
    row[HEADER_END] = i - 1 if data[i - 1] == CR else i
    return i + 1


@kernel
def scan_fastq(data, at, table, count, bases, lines, most, most_bases, final):
    """Scan records of exactly four lines from ``at`` on: (records, place, bases, lines, why it stopped)."""
    end = len(data)
    most = min(most, len(table))
    while count < most and bases < most_bases:
        if at >= end:
            return count, at, bases, lines, MORE
        if data[at] != AT:
            return count, at, bases, lines, ODD
        row = table[count]
        start = _scan_header(data, at, row)
        if start < 0:
            return count, at, bases, lines, -start
        i = start
        while i < end and UPPER[data[i]] != 0:
            i += 1
        length = i - start
        if i < end and data[i] == CR:
            i += 1
        if i + 1 >= end:
            return count, at, bases, lines, MORE
        if data[i] != LF or data[i + 1] != PLUS:
            return count, at, bases, lines, ODD
        i += 2
        while i < end and data[i] != LF:
            i += 1
        quality = i + 1
        i = quality + length
        if i >= end:
            return count, at, bases, lines, MORE
        illegal = 0
        for letter in data[quality:i]:
            illegal |= (letter < 33) | (letter > 126)
        if illegal:
            return count, at, bases, lines, ODD
        if data[i] == CR:
            i += 1
            if i >= end:
                return count, at, bases, lines, MORE
        if data[i] != LF:
            return count, at, bases, lines, ODD
        row[START] = start
        row[LENGTH] = length
        row[END] = quality
        count += 1
        bases += length
        lines += 4
        at = i + 1
    return count, at, bases, lines, FULL


@kernel
def scan_fasta(data, at, table, count, bases, lines, most, most_bases, final):
    """As `scan_fastq` for FASTA. A record is complete with the header line of the next, or if ``final``."""
    end = len(data)
    most = min(most, len(table))
    while count < most and bases < most_bases:
        if at >= end:
            return count, at, bases, lines, MORE
        if data[at] != GREATER:
            return count, at, bases, lines, ODD
        row = table[count]
        start = _scan_header(data, at, row)
        if start < 0:
            return count, at, bases, lines, -start
        i = start
        length = 0
        own_lines = 1
        while i < end and data[i] != GREATER:
            first = i
            while i < end and UPPER[data[i]] != 0:
                i += 1
            length += i - first
            if i < end and data[i] == CR:
                i += 1
            if i >= end:
                return count, at, bases, lines, MORE
            if data[i] != LF:
                return count, at, bases, lines, ODD
            i += 1
            own_lines += 1
        next_line = i
        while next_line < end and data[next_line] != LF:
            next_line += 1
        if next_line >= end and not final:
            return count, at, bases, lines, MORE
        row[START] = start
        row[LENGTH] = length
        row[END] = i
        count += 1
        bases += length
        lines += own_lines
        at = i
    return count, at, bases, lines, FULL


@kernel
def copy_pieces(data, starts, ends):
    """The bytes ``data[starts[i]:ends[i]]`` of all i, one after another, and their offsets."""
    offsets = np.empty(len(starts) + 1, np.int64)
    offsets[0] = 0
    for i in range(len(starts)):
        offsets[i + 1] = offsets[i] + ends[i] - starts[i]
    flat = np.empty(offsets[-1], np.uint8)
    for i in range(len(starts)):
        source = data[starts[i] : ends[i]]
        target = flat[offsets[i] : offsets[i + 1]]
        for j in range(len(target)):
            target[j] = source[j]
    return flat, offsets


@kernel
def copy_bases(data, starts, offsets, one_line):
    """The scanned bases in upper case, line ends left out; ``one_line``: there are none inside a sequence."""
    flat = np.empty(offsets[-1], np.uint8)
    for i in range(len(starts)):
        target = flat[offsets[i] : offsets[i + 1]]
        if one_line:
            source = data[starts[i] : starts[i] + len(target)]
            for j in range(len(target)):
                target[j] = source[j] - np.uint8(32) if source[j] >= 97 else source[j]
            continue
        at = starts[i]
        for j in range(len(target)):
            letter = UPPER[data[at]]
            while letter == 0:
                at += 1
                letter = UPPER[data[at]]
            target[j] = letter
            at += 1
    return flat
