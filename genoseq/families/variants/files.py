"""Lists of variants from files: assays of ProteinGym, other CSV and TSV tables, plain lists, FASTA of whole sequences."""

from __future__ import annotations

import csv
import io
import logging
import re
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from genoseq.errors import InputError, Pathlike
from genoseq.families.alignments.nucleotides import refuse_nucleotides
from genoseq.families.alignments.protein_records import read_proteins
from genoseq.families.alphabet import encode
from genoseq.families.variants.notation import Variant, parse_variant
from genoseq.log import counted
from genoseq.seqs.stream import open_bytes

__all__ = ["VariantTable", "read_variants"]

log = logging.getLogger(__name__)

MUTANT = ("mutant", "mutants", "mutation", "mutations", "variant", "variants", "mutant_notation", "hgvs_pro")
SEQUENCE = ("mutated_sequence", "mutant_sequence", "sequence")
MISSING = {"", "na", "nan", "n/a", "none", "null", "-"}
LETTERS = re.compile(r"[A-Za-z]{4,}\*?")
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
    """

    names: tuple[str, ...]
    variants: tuple[Variant, ...] | None
    sequences: tuple[str, ...] | None
    measured: dict[str, NDArray[np.float64]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.names)


def read_variants(path: Pathlike, *, offset: int = 0, column: str | None = None, drop_stops: bool = False) -> VariantTable:
    """The variants in ``path`` (plain, gzip, bgzip or zstd; ``-`` is standard input).

    Read are tables with a header, separated by commas, semicolons or tabs, with a column of variants (``mutant``,
    ``variant``, ``mutation``, ``hgvs_pro``, or the one given) or of whole sequences (``mutated_sequence``); a list of
    variants, one a line, without a header; FASTA of whole sequences. A column of variants that holds whole sequences, as
    ProteinGym's insertions and deletions do, is taken for these.

    Args:
        path: the file.
        offset: number of the residue before the wild type's first one.
        column: name of the column of the variants.
        drop_stops: leave out variants with a stop codon and say how many, instead of failing.

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
            if str(path) != "-":
                return _read_fasta(path)
            raise InputError("is FASTA", path=path, remedy="give FASTA as a file, not on standard input")
        text = (head + stream.read()).decode("utf-8-sig", "replace")
    return _read_table(text, path, offset, column, drop_stops)


def _read_fasta(path: Pathlike) -> VariantTable:
    found = list(read_proteins(path))
    if not found:
        raise InputError("holds no sequences", path=path)
    return VariantTable(tuple(one.name for one in found), None, tuple(one.sequence for one in found))


def _read_table(text: str, path: Pathlike, offset: int, column: str | None, drop_stops: bool) -> VariantTable:
    header = next(line for line in text.splitlines() if line.strip())
    delimiter = max("\t,;", key=header.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    rows, lines = [], []
    for row in reader:
        if any(cell.strip() for cell in row):
            rows.append([cell.strip() for cell in row])
            lines.append(reader.line_num)
    names = rows[0]
    if column is None and len(names) == 1 and _is_variant(names[0]):
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
        wanted = f"{column!r}" if column is not None else "'mutant' (or mutation, variant, hgvs_pro, mutated_sequence)"
        raise InputError(f"has no column {wanted}", path=path, remedy=f"its columns are {', '.join(names)}")
    if at is None or _holds_sequences(rows, at):
        place = sequence_at if at is None or sequence_at is not None else at
        assert place is not None
        labels = [row[at if at is not None else place] for row in rows]
        return VariantTable(tuple(labels), None, _sequences(rows, place, lines, path), _measured(rows, names, {at, place}))
    variants, kept = _parse(rows, at, lines, path, offset, drop_stops)
    rows, lines = [rows[number] for number in kept], [lines[number] for number in kept]
    whole = None if sequence_at is None else _sequences(rows, sequence_at, lines, path)
    return VariantTable(tuple(row[at] for row in rows), variants, whole, _measured(rows, names, {at, sequence_at}))


def _is_variant(text: str) -> bool:
    try:
        return bool(parse_variant(text))
    except InputError:
        return False


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
    rows: list[list[str]], at: int, lines: list[int], path: Pathlike, offset: int, drop_stops: bool
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
        more = "; ".join(f"line {lines[n]}: {e.message}" for n, e in wrong[1:SPELLED])
        rest = f"; {counted(len(wrong) - 1, 'record')} more like this" if len(wrong) > 1 else ""
        rest += f" ({more}{', ...' if len(wrong) > SPELLED else ''})" if more else ""
        raise InputError(f"{first.message}{rest}", path=path, record=number + 1, line=lines[number], remedy=first.remedy)
    if stops:
        log.warning("%s: left out %s with a stop codon", path, counted(stops, "variant"))
    if not variants:
        raise InputError("holds no variants without a stop codon", path=path)
    return tuple(variants), kept


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
