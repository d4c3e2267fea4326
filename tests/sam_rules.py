"""The rules that a SAM file must keep, in plain Python, checked on its text.

They are those of the SAM specification (SAMv1 and SAMtags) and of htsjdk's ``ValidateSamFile``. NM and MD are derived anew from
SEQ, CIGAR and the reference's letters.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise

PAIRED, PROPER, UNMAPPED, MATE_UNMAPPED, REVERSE, MATE_REVERSE, FIRST, LAST, SECONDARY = (1 << bit for bit in range(9))
COMPLEMENT = str.maketrans("ACGTURYSWKMBDHVN", "TGCAAYRSWMKVHDBN")


@dataclass(frozen=True)
class Line:
    """One alignment line; ``position`` is 1-based, as written."""

    name: str
    flag: int
    contig: str
    position: int
    mapq: int
    cigar: str
    mate_contig: str
    mate_position: int
    template: int
    sequence: str
    quality: str
    tags: dict[str, str]
    text: str

    @property
    def operations(self) -> list[tuple[int, str]]:
        return [(int(size), code) for size, code in re.findall(r"(\d+)([MIDNSHP=X])", self.cigar)]

    @property
    def end(self) -> int:
        """1-based position of the last aligned base."""
        return self.position - 1 + sum(size for size, code in self.operations if code in "MDN=X")

    def has(self, bit: int) -> bool:
        return bool(self.flag & bit)


@dataclass(frozen=True)
class Sam:
    """A parsed file."""

    contigs: dict[str, int]
    groups: set[str]
    lines: list[Line]


def reverse_complement(sequence: str) -> str:
    return sequence.translate(COMPLEMENT)[::-1]


def parse(text: str) -> Sam:
    """Parse, and hold each line to the grammar of the specification, section 1.4."""
    assert text == "" or text.endswith("\n")
    contigs: dict[str, int] = {}
    groups: set[str] = set()
    lines: list[Line] = []
    for number, row in enumerate(text.split("\n")[:-1]):
        fields = row.split("\t")
        if row.startswith("@"):
            assert not lines, f"header line after alignments: {row}"
            assert re.fullmatch(r"@[A-Z]{2}", fields[0]), row
            pairs = dict(field.split(":", 1) for field in fields[1:])
            assert len(pairs) == len(fields) - 1, f"a tag twice: {row}"
            if fields[0] == "@HD":
                assert number == 0 and re.fullmatch(r"\d+\.\d+", pairs["VN"]), row
            elif fields[0] == "@SQ":
                assert pairs["SN"] not in contigs, f"contig twice: {row}"
                contigs[pairs["SN"]] = int(pairs["LN"])
            elif fields[0] == "@RG":
                assert pairs["ID"] not in groups, f"read group twice: {row}"
                groups.add(pairs["ID"])
            continue
        assert len(fields) >= 11, f"{len(fields)} fields: {row}"
        tags = {}
        for field in fields[11:]:
            match = re.fullmatch(r"([A-Za-z][A-Za-z0-9]):([AifZHB]):([ !-~]*)", field)
            assert match, f"tag {field!r}: {row}"
            assert match[1] not in tags, f"tag {match[1]} twice: {row}"
            assert match[2] != "i" or re.fullmatch(r"[-+]?[0-9]+", match[3]), row
            tags[match[1]] = match[3]
        line = Line(
            fields[0], int(fields[1]), fields[2], int(fields[3]), int(fields[4]), fields[5], fields[6], int(fields[7]),
            int(fields[8]), fields[9], fields[10], tags, row,
        )  # fmt: skip
        assert re.fullmatch(r"[!-?A-~]{1,254}", line.name), row
        assert 0 <= line.flag < 1 << 12 and 0 <= line.mapq <= 255, row
        assert re.fullmatch(r"\*|([0-9]+[MIDNSHPX=])+", line.cigar), row
        assert re.fullmatch(r"\*|[A-Za-z=.]+", line.sequence) and re.fullmatch(r"\*|[!-~]+", line.quality), row
        lines.append(line)
    return Sam(contigs, groups, lines)


def difference(line: Line, sequence: str, reference: str) -> tuple[int, str]:
    """NM and MD of a mapped line whose SEQ is ``sequence``; ``reference`` is the whole contig, upper case."""
    edits, text, run = 0, "", 0
    i, j = 0, line.position - 1
    for size, code in line.operations:
        if code == "M":
            for x in range(size):
                base, other = sequence[i + x], reference[j + x]
                if base == other and base in "ACGT":
                    run += 1
                else:
                    edits += 1
                    text += f"{run}{other if other in 'ACGT' else 'N'}"
                    run = 0
        elif code == "D":
            edits += size
            deleted = "".join(base if base in "ACGT" else "N" for base in reference[j : j + size])
            text += f"{run}^{deleted}"
            run = 0
        elif code == "I":
            edits += size
        i += size if code in "MIS" else 0
        j += size if code in "MD" else 0
    return edits, f"{text}{run}"


def check(
    text: str,
    *,
    genome: Mapping[str, str],
    reads: Iterable[tuple[str, str, str | None]],
    paired: bool = False,
) -> Sam:
    """Hold a file to the rules; return it parsed.

    Args:
        text: header and lines.
        genome: upper-case letters of each contig.
        reads: (name, sequence, quality) of what was mapped, in order; mates one after the other, under one name, if ``paired``.
    """
    sam = parse(text)
    assert sam.contigs == {name: len(bases) for name, bases in genome.items()}
    primary = [line for line in sam.lines if not line.has(SECONDARY)]
    given = [(name, sequence.upper(), quality) for name, sequence, quality in reads]
    assert len(primary) == len(given), "each read has one primary line"
    for line, (name, sequence, quality) in zip(primary, given, strict=True):
        turned = line.has(REVERSE)
        assert line.name == name, line.text
        assert line.sequence == ((reverse_complement(sequence) if turned else sequence) or "*"), line.text
        assert line.quality == ((quality[::-1] if turned else quality) if quality else "*"), line.text
    latest: dict[tuple[str, int], Line] = {}
    for line in sam.lines:
        key = (line.name, line.flag & (FIRST | LAST))
        if not line.has(SECONDARY):
            latest[key] = line
        else:
            assert line.sequence == line.quality == "*", line.text
            assert line.mapq == 0, line.text
        _check_line(line, latest[key], sam, genome)
    if paired:
        assert len(primary) % 2 == 0
        for one, other in zip(primary[::2], primary[1::2], strict=True):
            _check_pair(one, other)
        _check_secondary_mates(sam)
    else:
        for line in sam.lines:
            assert not line.flag & ~(UNMAPPED | REVERSE | SECONDARY), line.text
            assert (line.mate_contig, line.mate_position, line.template) == ("*", 0, 0), line.text
            assert not {"MC", "MQ"} & set(line.tags), line.text
    return sam


def _check_line(line: Line, primary: Line, sam: Sam, genome: Mapping[str, str]) -> None:
    row = line.text
    assert "RG" not in line.tags or line.tags["RG"] in sam.groups, row
    assert not sam.groups or "RG" in line.tags, row
    assert line.contig == "*" or line.contig in sam.contigs, row
    assert (line.contig == "*") == (line.position == 0), row
    if line.has(UNMAPPED):
        assert (line.mapq, line.cigar) == (0, "*"), row
        assert not line.flag & (PROPER | SECONDARY | REVERSE), row
        assert line.contig == "*" or (line.has(PAIRED) and not line.has(MATE_UNMAPPED)), row
        assert not {"NM", "MD", "AS", "XS"} & set(line.tags), row
        return
    assert line.cigar != "*" and line.contig != "*", row
    assert 0 <= line.mapq <= 60, row
    operations = line.operations
    core = [(size, code) for size, code in operations if code != "S"]
    assert all(size > 0 for size, _ in operations), f"operation of no length: {row}"
    assert all(a[1] != b[1] for a, b in pairwise(operations)), f"an operation twice: {row}"
    assert all(code != "S" for _, code in operations[1:-1]), f"clip inside: {row}"
    assert core[0][1] == core[-1][1] == "M", f"gap at the end: {row}"
    sequence = primary.sequence
    if line.has(REVERSE) != primary.has(REVERSE):
        sequence = reverse_complement(sequence)
    assert sum(size for size, code in operations if code in "MIS") == len(sequence), f"CIGAR and SEQ differ: {row}"
    assert 1 <= line.position <= line.end <= sam.contigs[line.contig], f"beyond the contig: {row}"
    edits, md = difference(line, sequence, genome[line.contig])
    assert (int(line.tags["NM"]), line.tags["MD"]) == (edits, md), f"expected NM {edits} MD {md}: {row}"


def _check_pair(one: Line, other: Line) -> None:
    rows = f"{one.text}\n{other.text}"
    assert one.name == other.name, rows
    assert one.has(PAIRED) and other.has(PAIRED), rows
    assert one.flag & (FIRST | LAST) == FIRST and other.flag & (FIRST | LAST) == LAST, rows
    assert one.has(PROPER) == other.has(PROPER), rows
    assert one.template + other.template == 0, rows
    for mine, mate in ((one, other), (other, one)):
        assert mine.has(MATE_UNMAPPED) == mate.has(UNMAPPED), rows
        assert mine.has(MATE_REVERSE) == mate.has(REVERSE), rows
        _check_mate_fields(mine, mate)
        if mine.has(UNMAPPED) and not mate.has(UNMAPPED):
            assert (mine.contig, mine.position) == (mate.contig, mate.position), rows
    if one.flag & (UNMAPPED | MATE_UNMAPPED) or one.contig != other.contig:
        assert one.template == 0 and not one.has(PROPER), rows
    else:
        span = max(one.end, other.end) - min(one.position, other.position) + 1
        assert abs(one.template) == span, rows
        left = one if one.position < other.position else other
        if one.position != other.position:
            assert left.template > 0, rows


def _check_mate_fields(mine: Line, mate: Line) -> None:
    row = mine.text
    where = mine.contig if mine.mate_contig == "=" else mine.mate_contig
    assert (where, mine.mate_position) == (mate.contig, mate.position), row
    assert (mine.mate_contig == "=") == (mine.contig == mate.contig != "*"), row
    if mate.has(UNMAPPED):
        assert not {"MC", "MQ"} & set(mine.tags), row
    else:
        assert (mine.tags["MC"], int(mine.tags["MQ"])) == (mate.cigar, mate.mapq), row


def _check_secondary_mates(sam: Sam) -> None:
    primary: dict[tuple[str, int], Line] = {}
    others: dict[tuple[str, int], list[Line]] = defaultdict(list)
    for line in sam.lines:
        key = (line.name, line.flag & (FIRST | LAST))
        if line.has(SECONDARY):
            others[key].append(line)
        else:
            primary[key] = line
    for (name, which), lines in others.items():
        mate = primary[name, which ^ (FIRST | LAST)]
        for line in lines:
            _check_mate_fields(line, mate)
            assert line.has(MATE_UNMAPPED) == mate.has(UNMAPPED), line.text
            assert line.has(MATE_REVERSE) == mate.has(REVERSE), line.text
            assert line.has(PAIRED) and not line.has(PROPER) and line.template == 0, line.text
