"""Labelled sequences from files, in the ways in which people have them.

- one FASTA or FASTQ file, the label in each header: ``label=X`` or ``class=X`` anywhere after the name, else the first word
  after it;
- such a file and a table of names and labels;
- one file a class: ``viral=viruses.fa host=genome.fa``;
- a table of sequences and labels (tab-separated), with a header that names the columns ``sequence`` and ``label`` or ``class``
  (and ``name``), or without one: sequence first, label second.
"""

from __future__ import annotations

import logging
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from genoseq.classify.sequences import LONGEST_WHOLE, NUCLEOTIDES, PROTEIN
from genoseq.errors import InputError, Pathlike, UsageError
from genoseq.log import counted
from genoseq.seqs.fastx import RecordReader
from genoseq.seqs.record import Record
from genoseq.seqs.stream import open_bytes

__all__ = ["Labelled", "read_labelled", "read_labels", "read_records"]

log = logging.getLogger(__name__)

IN_HEADER = re.compile(r"(?:^|[\s;|])(?:label|class)=([^\s;|]+)", re.IGNORECASE)
BY_CLASS = re.compile(r"([^=/\\]+)=(.+)")
LABEL_COLUMNS = ("label", "class")
NAMES_SHOWN = 3


class Labelled(NamedTuple):
    """Sequences with their names and labels, in the order of the files."""

    names: list[str]
    sequences: list[str]
    labels: list[str]


class _ProteinReader(RecordReader):
    """Reads FASTA of proteins."""

    def _check_bases(self, line: bytes, *, wrapped: bool = False) -> None:
        illegal = line.upper().translate(None, PROTEIN + b"-")
        if illegal:
            self._fail(f"illegal character {illegal[:1].decode('latin-1')!r} in the sequence, expected amino acids")


def read_records(path: Pathlike, *, protein: bool = False) -> Iterator[Record]:
    """The records of a FASTA or FASTQ file of nucleotides, or a FASTA file of proteins.

    Raises:
        InputError: names the record and the line at fault.
    """
    with open_bytes(path) as stream:
        yield from (_ProteinReader if protein else RecordReader)(stream)


def read_labelled(sources: Sequence[str], *, labels: Pathlike | None = None, protein: bool = False) -> Labelled:
    """All labelled sequences of the files.

    Args:
        sources: one or more files, or ``label=file``.
        labels: a table of names and labels; then headers are not looked at.
        protein: the sequences are proteins.

    Raises:
        InputError: a sequence without a label, an empty one, a name that stands twice where names decide.
        UsageError: a table of labels with ``label=file``.
    """
    by_class = [BY_CLASS.fullmatch(source) for source in sources]
    if labels is not None and any(by_class):
        raise UsageError("--labels and LABEL=FILE contradict each other: give one of them")
    table = None if labels is None else read_labels(labels)
    found = Labelled([], [], [])
    for source, match in zip(sources, by_class, strict=True):
        path, label = (match[2], match[1]) if match else (source, None)
        for name, sequence, own in _rows(path, protein=protein, label=label, table=table):
            found.names.append(name)
            found.sequences.append(sequence)
            found.labels.append(own)
    if not found.names:
        raise InputError("there are no sequences", path=sources[0] if len(sources) == 1 else None)
    _check_names(found.names, table, labels)
    parts: Counter[str] = Counter()
    for label, sequence in zip(found.labels, found.sequences, strict=True):
        parts[label] += -(-len(sequence) // LONGEST_WHOLE)  # a genome has parts to hold out
    alone = [label for label, count in parts.items() if count == 1]
    if alone:
        what, whose = ("1 class has", "its") if len(alone) == 1 else (f"{len(alone):,} classes have", "their")
        log.warning("%s one sequence only (%s): %s probabilities cannot be checked", what, _some(alone), whose)
    return found


def read_labels(path: Pathlike) -> dict[str, str]:
    """Label of each name, from a table of two tab-separated columns; a first line ``name<TAB>label`` is passed over.

    Raises:
        InputError: a line of another form, a name with two labels, or no label at all.
    """
    table: dict[str, str] = {}
    for number, line in _lines(path):
        fields = line.split("\t")
        if len(fields) < 2 or not fields[0] or not fields[1]:
            raise InputError("expected a name and a label with a tab between them", path=path, line=number)
        if number == 1 and fields[0].lower() == "name" and fields[1].lower() in LABEL_COLUMNS:
            continue
        if table.setdefault(fields[0], fields[1]) != fields[1]:
            raise InputError(f"{fields[0]!r} has two labels, {table[fields[0]]!r} and {fields[1]!r}", path=path, line=number)
    if not table:
        raise InputError("the table of labels is empty", path=path, remedy="write a name, a tab and a label on each line")
    return table


def _rows(path: str, *, protein: bool, label: str | None, table: dict[str, str] | None) -> Iterator[tuple[str, str, str]]:
    """Name, sequence and label of each entry of a file."""
    if label is None and table is None and _is_table(path):
        yield from _table_rows(path, protein=protein)
        return
    for number, record in enumerate(read_records(path, protein=protein), 1):
        own = label
        if table is not None:
            own = table.get(record.name)
            if own is None:
                raise InputError(f"{record.name!r} has no label in the table of labels", path=path, record=number)
        elif own is None:
            own = _header_label(record.comment)
            if own is None:
                raise InputError(
                    f"{record.name!r} has no label in its header", path=path, record=number,
                    remedy="write it after the name (>name label=X), or give --labels TABLE, or one file a class (X=FILE)",
                )  # fmt: skip
        _check_content(record.sequence, record.name, path, number, protein=protein)
        yield record.name, record.sequence, own


def _header_label(comment: str) -> str | None:
    found = IN_HEADER.search(comment)
    if found:
        return found[1]
    words = comment.split()
    return words[0] if words else None


def _is_table(path: str) -> bool:
    if path == "-":
        return False
    with open_bytes(path) as stream:
        head = stream.read(4096).lstrip()
    return bool(head) and head[:1] not in b">@;" and b"\t" in head.split(b"\n", 1)[0]


def _table_rows(path: str, *, protein: bool) -> Iterator[tuple[str, str, str]]:
    columns = {"sequence": 0, "label": 1}
    for number, line in _lines(path):
        fields = line.split("\t")
        lowered = [field.strip().lower() for field in fields]
        if number == 1 and "sequence" in lowered and set(LABEL_COLUMNS) & set(lowered):
            named = {column: place for place, column in enumerate(lowered)}
            columns = {"sequence": named["sequence"], "label": next(named[one] for one in LABEL_COLUMNS if one in named)}
            if "name" in named:
                columns["name"] = named["name"]
            continue
        if len(fields) <= max(columns.values()) or not fields[columns["label"]]:
            raise InputError("expected a sequence and a label with a tab between them", path=path, line=number)
        name = fields[columns["name"]] if "name" in columns else f"line{number}"
        sequence = fields[columns["sequence"]].strip()
        _check_content(sequence, name, path, None, line=number, protein=protein)
        yield name, sequence, fields[columns["label"]].strip()


def _lines(path: Pathlike) -> Iterator[tuple[int, str]]:
    """Lines that are not blank, with their number from 1."""
    rest = b""
    number = 0
    with open_bytes(path) as stream:
        while True:
            block = stream.read(1 << 16)
            lines = (rest + block).split(b"\n")
            rest = lines.pop() if block else b""
            for line in lines:
                number += 1
                text = line.rstrip(b"\r").decode("utf-8", "surrogateescape")
                if text.strip():
                    yield number, text
            if not block:
                return


def _check_content(sequence: str, name: str, path: str, record: int | None, *, line: int | None = None, protein: bool) -> None:
    known = PROTEIN.replace(b"X", b"") if protein else b"ACGTU"
    data = sequence.upper().encode("ascii", "replace")
    wrong = data.translate(None, PROTEIN + b"-" if protein else NUCLEOTIDES)
    if wrong:
        raise InputError(
            f"{name!r} has the letter {chr(wrong[0])!r}, which is no {'residue' if protein else 'base'}",
            path=path,
            record=record,
            line=line,
        )
    if not data:
        raise InputError(f"{name!r} is empty", path=path, record=record, line=line, remedy="remove it")
    if len(data.translate(None, known)) == len(data):
        raise InputError(f"{name!r} has no known letter", path=path, record=record, line=line, remedy="remove it")


def _check_names(names: Sequence[str], table: dict[str, str] | None, labels: Pathlike | None) -> None:
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice and table is not None:
        raise InputError(
            f"{_standing_twice(twice)}, so a table cannot label {'it' if len(twice) == 1 else 'them'}",
            path=labels,
            remedy="give each sequence a name of its own, or write the labels into the headers",
        )
    if twice:
        log.warning("%s", _standing_twice(twice))
    if table is not None:
        absent = sorted(table.keys() - set(names))
        if absent:
            are = "is" if len(absent) == 1 else "are"
            log.warning("%s: %s %s not among the sequences (%s)", labels, counted(len(absent), "name"), are, _some(absent))


def _standing_twice(names: Sequence[str]) -> str:
    stand = "stands" if len(names) == 1 else "stand"
    return f"{counted(len(names), 'name')} {stand} twice among the sequences ({_some(names)})"


def _some(items: Iterable[str]) -> str:
    listed = list(items)
    return ", ".join(listed[:NAMES_SHOWN]) + (", ..." if len(listed) > NAMES_SHOWN else "")
