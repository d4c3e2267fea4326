"""Lists of variants from files: assays of ProteinGym, other CSV and TSV tables, plain lists, FASTA of whole sequences."""

from __future__ import annotations

import csv
import io
import json
import logging
import re
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from genoseq.errors import InputError, Pathlike
from genoseq.families.alignments.nucleotides import refuse_nucleotides
from genoseq.families.alignments.protein_records import proteins_in
from genoseq.families.alphabet import encode
from genoseq.families.variants.notation import (
    BETWEEN,
    THREE,
    BeforeWildTypeError,
    Variant,
    VariantsError,
    likely_offset,
    parse_variant,
)
from genoseq.log import counted
from genoseq.seqs.stream import ByteStream, open_bytes

__all__ = ["VariantTable", "read_variants"]

log = logging.getLogger(__name__)

MUTANT = ("mutant", "mutants", "mutation", "variant", "variants", "mutant_notation", "hgvs_pro", "mutations")
SEQUENCE = ("mutated_sequence", "mutant_sequence", "sequence")
MISSING = {"", "na", "nan", "n/a", "none", "null", "-"}
LETTERS = re.compile(r"[A-Za-z]{4,}\*?")
RESIDUE = rf"(?:{'|'.join(THREE)}|[A-Za-z*])"
ATTEMPT = re.compile(  # H24*, 24Y, c.70C, p.His24fs: no header
    rf"(?:\S+:)?(?:[cgmnpr]\.)?[(\[]*(?:{RESIDUE}[0-9]+(?:[^0-9\s].*)?|[0-9]+[^0-9\s].*)", re.IGNORECASE
)
COMMENT = re.compile(r"\s*#\s*(\{.*\})\s*")
SPELLED = 5  # faulty records spelled out


@dataclass(frozen=True)
class VariantTable:
    """n variants in the order of the file.

    Attributes:
        names: n names: the notation as it stands in the file, or the names of FASTA. Not unique where a variant was
            measured more than once.
        variants: n variants, positions from 0; None where the file holds whole sequences, as lists of insertions and
            deletions do.
        sequences: n whole sequences, upper case; None where the file does not hold them.
        measured: the numeric columns, (n,) each, NaN where nothing was measured.
        columns: names of the columns as they stand: of FASTA ``name``, of a list without a header ``mutant``.
        records: n records, a field of text for each of ``columns``.
    """

    names: tuple[str, ...]
    variants: tuple[Variant, ...] | None
    sequences: tuple[str, ...] | None
    measured: dict[str, NDArray[np.float64]] = field(default_factory=dict)
    columns: tuple[str, ...] = ()
    records: tuple[tuple[str, ...], ...] = ()

    def __len__(self) -> int:
        return len(self.names)


def read_variants(
    path: Pathlike, *, offset: int = 0, column: str | None = None, drop_stops: bool = False, wild_type: str | None = None
) -> VariantTable:
    """The variants in ``path`` (plain, gzip, bgzip or zstd; ``-`` is standard input), which is read once: it may be a pipe.

    Read are tables with a header, separated by commas, semicolons or tabs, with a column of variants (``mutant``,
    ``mutation``, ``variant``, ``hgvs_pro``, ``mutations``, or the one given) or of whole sequences (``mutated_sequence``); a
    list of variants, one a line, without a header; FASTA of whole sequences. A column of variants that holds whole sequences,
    as ProteinGym's insertions and deletions do, is taken for these. The line of JSON (``#{...}``) that genoseq puts above its
    tables is passed over.

    Args:
        path: the file.
        offset: number of the residue before the wild type's first one.
        column: name of the column of the variants.
        drop_stops: leave out variants with a stop codon and say how many, instead of failing.
        wild_type: the protein, where it is known: an offset that puts variants before it is then answered by the likely one.

    Raises:
        InputError: no variants, no such column, records that are no variants (the first five and how many), or nucleotides
            for sequences.

    >>> import tempfile
    >>> from pathlib import Path
    >>> path = Path(tempfile.mkdtemp()) / "assay.csv"
    >>> _ = path.write_text("mutant,DMS_score\\nA24P,-1.5\\nA24P:D25N,\\n")
    >>> table = read_variants(path, offset=23)
    >>> table.variants[0], table.measured["DMS_score"].tolist()
    ((Substitution(position=0, old='A', new='P'),), [-1.5, nan])
    """
    with open_bytes(path) as stream:
        head = stream.read(1 << 16)
        start = head.removeprefix(b"\xef\xbb\xbf").lstrip()
        if not start:
            raise InputError("is empty, expected variants", path=path)
        if start.startswith(b">"):
            return _read_fasta(stream, head, path)
        text = (head + stream.read_rest()).decode("utf-8-sig", "replace")
    return _read_table(text, path, offset, column, drop_stops, wild_type)


def _read_fasta(stream: ByteStream, head: bytes, path: Pathlike) -> VariantTable:
    found = list(proteins_in(stream, head=head))
    if not found:
        raise InputError("holds no sequences", path=path)
    names = tuple(one.name for one in found)
    records = tuple((name,) for name in names)
    return VariantTable(names, None, tuple(one.sequence for one in found), columns=("name",), records=records)


def _read_table(
    text: str, path: Pathlike, offset: int, column: str | None, drop_stops: bool, wild_type: str | None
) -> VariantTable:
    text, passed = _without_comment(text)
    header = next((line for line in text.splitlines() if line.strip()), None)
    if header is None:
        raise InputError("holds no table below the line of JSON", path=path)
    delimiter = max("\t,;", key=header.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    rows, lines = [], []
    for row in reader:
        if any(cell.strip() for cell in row):
            rows.append([cell.strip() for cell in row])
            lines.append(reader.line_num + passed)
    names = rows[0]
    if column is None and len(names) == 1 and _is_attempt(names[0]):
        names = ["mutant"]
    else:
        rows, lines = rows[1:], lines[1:]
    if not rows:
        raise InputError("holds a header and no variants", path=path)
    for number, row in enumerate(rows):
        if len(row) != len(names):
            raise InputError(
                f"has {counted(len(row), 'field')}, the header has {len(names)}", path=path, record=number + 1, line=lines[number]
            )
    at = _column(names, MUTANT if column is None else (column,))
    sequence_at = _column(names, SEQUENCE)
    if at is None and (column is not None or sequence_at is None):
        wanted = f"{column!r}" if column is not None else "'mutant' (or mutation, mutations, variant, hgvs_pro, mutated_sequence)"
        raise InputError(f"has no column {wanted}", path=path, remedy=f"its columns are {', '.join(names)}")
    columns, records = tuple(names), tuple(tuple(row) for row in rows)
    if at is None or _holds_sequences(rows, at):
        place = sequence_at if at is None or sequence_at is not None else at
        assert place is not None
        labels = tuple(row[at if at is not None else place] for row in rows)
        sequences = _sequences(rows, place, lines, path)
        return VariantTable(labels, None, sequences, _measured(rows, names, {at, place}), columns, records)
    variants, kept = _parse(rows, at, lines, path, offset, drop_stops, wild_type)
    rows, lines = [rows[number] for number in kept], [lines[number] for number in kept]
    whole = None if sequence_at is None else _sequences(rows, sequence_at, lines, path)
    measured = _measured(rows, names, {at, sequence_at})
    kept_records = tuple(records[number] for number in kept)
    return VariantTable(tuple(row[at] for row in rows), variants, whole, measured, columns, kept_records)


def _without_comment(text: str) -> tuple[str, int]:
    """The text below the lines of JSON that genoseq writes above its tables, and how many lines they are."""
    passed = 0
    while text.lstrip().startswith("#"):
        line, _, rest = text.partition("\n")
        if line.strip():
            found = COMMENT.fullmatch(line)
            try:
                content = json.loads(found[1]) if found is not None else None
            except json.JSONDecodeError:
                content = None
            if not isinstance(content, dict) or not str(content.get("format", "")).startswith("genoseq."):
                break  # another program's: a header may begin with '#'
        text = rest
        passed += 1
    return text, passed


def _is_attempt(text: str) -> bool:
    """Whether the one field of a first line is a variant, or meant as one, and no header."""
    try:
        return bool(parse_variant(text))
    except InputError:
        first = next((part for part in BETWEEN.split(text.strip()) if part), "")
        return ATTEMPT.fullmatch(text.strip()) is not None or ATTEMPT.fullmatch(first) is not None


def _column(names: list[str], wanted: tuple[str, ...]) -> int | None:
    lower = [name.lower() for name in names]
    return next((lower.index(name.lower()) for name in wanted if name.lower() in lower), None)


def _holds_sequences(rows: list[list[str]], at: int) -> bool:
    """Whether a column of variants holds whole sequences: letters only in the first record that is not the wild type's."""
    first = next((row[at] for row in rows if row[at].lower() not in ("wt", "wildtype", "")), "")
    return LETTERS.fullmatch(first) is not None


def _sequences(rows: list[list[str]], at: int, lines: list[int], path: Pathlike) -> tuple[str, ...]:
    found = []
    ended = 0
    for number, row in enumerate(rows):
        sequence = row[at].upper().removesuffix("*")
        ended += row[at].endswith("*")
        try:
            if not sequence:
                raise ValueError("it is empty")
            if "-" in sequence or "." in sequence:
                raise ValueError("it has gaps")
            encode(sequence)
        except ValueError as error:
            raise InputError(f"the sequence is no protein: {error}", path=path, record=number + 1, line=lines[number]) from error
        found.append(sequence)
    refuse_nucleotides((sequence.encode() for sequence in found), path)
    if ended:
        log.warning("%s: dropped the stop codon ('*') at the end of %s", path, counted(ended, "sequence"))
    return tuple(found)


def _parse(
    rows: list[list[str]],
    at: int,
    lines: list[int],
    path: Pathlike,
    offset: int,
    drop_stops: bool,
    wild_type: str | None,
) -> tuple[tuple[Variant, ...], list[int]]:
    """The variants, and the records they are from."""
    variants, kept, wrong = [], [], []
    stops = 0
    for number, row in enumerate(rows):
        try:
            if not row[at]:
                raise InputError("the variant is missing")
            if drop_stops and ("*" in row[at] or "ter" in row[at].lower()):
                stops += 1
                continue
            variants.append(parse_variant(row[at], offset=offset))
            kept.append(number)
        except InputError as error:
            wrong.append((number, error))
    if wrong:
        number, first = wrong[0]
        if wild_type is not None and all(isinstance(error, BeforeWildTypeError) for _, error in wrong):
            better = _offset_of(rows, at, wild_type)
            if better is not None and better != offset:
                few = ", ".join(rows[n][at] for n, _ in wrong[:SPELLED]) + (", ..." if len(wrong) > SPELLED else "")
                raise VariantsError(
                    f"{len(wrong):,} of {counted(len(rows), 'variant')} {'lies' if len(wrong) == 1 else 'lie'} before the wild "
                    f"type, which begins at {offset + 1}: {few}",
                    [error.message for _, error in wrong],
                    better,
                    path=path,
                    remedy=f"did you mean --offset {better}?",
                )
        more = "; ".join(f"line {lines[n]}: {e.message}" for n, e in wrong[1:SPELLED])
        rest = f"; {counted(len(wrong) - 1, 'record')} more like this" if len(wrong) > 1 else ""
        rest += f" ({more}{', ...' if len(wrong) > SPELLED else ''})" if more else ""
        raise InputError(f"{first.message}{rest}", path=path, record=number + 1, line=lines[number], remedy=first.remedy)
    if stops:
        log.warning("%s: left out %s with a stop codon", path, counted(stops, "variant"))
    if not variants:
        raise InputError("holds no variants without a stop codon", path=path)
    return tuple(variants), kept


def _offset_of(rows: list[list[str]], at: int, wild_type: str) -> int | None:
    """The offset at which what can be read of a column agrees with the wild type."""
    found = []
    for row in rows:
        try:
            found.append(parse_variant(row[at]))
        except InputError:  # a stop codon that is left out
            continue
    return likely_offset(wild_type, found, offset=0, known=False)


def _measured(rows: list[list[str]], names: list[str], taken: set[int | None]) -> dict[str, NDArray[np.float64]]:
    """The columns in which every field is a number or missing, and one at least is a number."""
    found = {}
    for at, name in enumerate(names):
        if at in taken:
            continue
        values = np.full(len(rows), np.nan)
        try:
            for number, row in enumerate(rows):
                if row[at].lower() not in MISSING:
                    values[number] = float(row[at])
        except ValueError:
            continue
        if not np.isnan(values).all():
            found[name] = values
    return found
