"""Measured variants of a protein: assays of ProteinGym, simple tables, labels of ClinVar, and ProteinGym's table of assays.

Positions are 0-based half-open inside; ProteinGym's ``MSA_start`` and ``MSA_end`` are 1-based inclusive and are converted. What a
file says twice, as ProteinGym does with the variant and its whole sequence, is compared, and all disagreements are reported
at once.
"""

from __future__ import annotations

import csv
import io
import logging
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from genoseq.errors import InputError, Pathlike
from genoseq.families.alphabet import encode
from genoseq.families.variants.files import read_variants
from genoseq.families.variants.notation import Variant, check_variants, format_variant, parse_variant
from genoseq.log import counted
from genoseq.seqs.stream import open_bytes

__all__ = ["SELECTION_TYPES", "Assay", "Label", "Reference", "assay_name", "read_assay", "read_labels", "read_reference"]

log = logging.getLogger(__name__)

MEASURED = ("DMS_score", "score", "fitness", "log", "linear", "value", "effect")
"""Columns that hold a measurement, the likeliest first."""
BIN = "DMS_score_bin"
SELECTION_TYPES = ("Activity", "Binding", "Expression", "OrganismalFitness", "Stability")
"""ProteinGym's five, over which it takes its mean."""
SPELLED = 5
LABELS = {"benign": 1.0, "likely_benign": 1.0, "pathogenic": 0.0, "likely_pathogenic": 0.0}
ENTRY = re.compile(r"([A-Z0-9]{1,10}_[A-Z0-9]{1,5})(?=_|$)")
ENDINGS = (".gz", ".bgz", ".zst", ".csv", ".tsv", ".txt")


@dataclass(frozen=True)
class Reference:
    """A line of ProteinGym's table of assays.

    Attributes:
        name: ``DMS_id``.
        file: ``DMS_filename``; by the name if the table does not say.
        wild_type: ``target_seq``, upper case.
        uniprot: ``UniProt_ID``; if the table does not say, the name's first two parts (``BLAT_ECOLX``) if they look like one.
        selection_type: ``coarse_selection_type``; empty if the table does not say.
        alignment: ``MSA_filename``; empty if there is none.
        start, end: the part of the wild type that the alignment covers, 0-based half-open.
        weights: ``weight_file_name``; empty if there is none.
        weight_distance: ``MSA_theta``, 1 - identity at which sequences share a weight; None if the table does not say.
        cutoff: ``DMS_binarization_cutoff``; None if the table does not say.
        others: all other fields.
    """

    name: str
    file: str
    wild_type: str
    uniprot: str
    selection_type: str
    alignment: str
    start: int
    end: int
    weights: str
    weight_distance: float | None
    cutoff: float | None
    others: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Assay:
    """n measured variants of one protein, in the order of the file.

    Attributes:
        name: of the assay.
        wild_type: upper case; empty where neither the file nor the caller knows it.
        names: the notation in the file.
        variants: positions from 0 in ``wild_type``; None where the file holds whole sequences only (insertions, deletions).
        sequences: whole sequences; None where there are none and no wild type.
        measured: (n,) higher is fitter; NaN where nothing was measured.
        bins: (n,) 0 or 1, NaN for neither; None where the file has none.
        columns: all numeric columns of the file, (n,) each.
        uniprot: the protein, under which assays are averaged.
        selection_type: what was selected for, one of :data:`SELECTION_TYPES`, or empty.
    """

    name: str
    wild_type: str
    names: tuple[str, ...]
    variants: tuple[Variant, ...] | None
    sequences: tuple[str, ...] | None
    measured: NDArray[np.float64]
    bins: NDArray[np.float64] | None
    columns: dict[str, NDArray[np.float64]] = field(default_factory=dict)
    uniprot: str = ""
    selection_type: str = ""

    def __len__(self) -> int:
        return len(self.names)


def assay_name(path: Pathlike) -> str:
    """The name of a file without its endings.

    >>> assay_name("assays/BLAT_ECOLX_Jacquier_2013.csv.gz")
    'BLAT_ECOLX_Jacquier_2013'
    """
    name = Path(path).name
    while name.lower().endswith(ENDINGS):
        name = name[: name.rindex(".")]
    return name


def _protein_of(name: str) -> str:
    """The protein by ProteinGym's way to name assays; the whole name where it is another."""
    match = ENTRY.match(name)
    return match[1] if match is not None else name


def read_assay(
    path: Pathlike,
    *,
    wild_type: str | None = None,
    offset: int = 0,
    measured: str | None = None,
    reference: Reference | None = None,
    name: str | None = None,
) -> Assay:
    """The assay in a table (see :func:`~genoseq.families.variants.files.read_variants` for what tables are read).

    Args:
        path: comma, semicolon or tab between fields; plain, gzip, bgzip or zstd.
        wild_type: the protein. Unless given, it is made from the variants and whole sequences where a file has both.
        offset: residues before the wild type's first one, where the notation counts in a longer protein.
        measured: column of the measurement; the first of ``DMS_score``, ``score``, ``fitness``, ``log``, ``linear``, ``value``,
            ``effect`` unless given, or the only numeric one.
        reference: the line of the table of assays; gives wild type, protein and selection type.
        name: of the assay; the file's unless given.

    Raises:
        InputError: no such column; variants that disagree with the wild type (all of them counted, with the likely offset) or
            with the whole sequences beside them.
    """
    known = wild_type if wild_type is not None else reference.wild_type if reference is not None else None
    table = read_variants(path, offset=offset, drop_stops=True, wild_type=known)
    values = _measured(table.measured, measured, path)
    bins = table.measured.get(BIN)
    if bins is not None and not np.isin(bins[~np.isnan(bins)], (0, 1)).all():
        raise InputError(f"the column {BIN} holds something else than 0 and 1", path=path)
    found = wild_type if wild_type is not None else reference.wild_type if reference is not None else ""
    found = found.upper()
    if not found and table.variants is not None and table.sequences is not None:
        found = _wild_type(table.variants, table.sequences)
    sequences = table.sequences
    if found and table.variants is not None:
        check_variants(found, table.variants, offset=offset, path=path)
        made = tuple(_applied(found, one) for one in table.variants)
        if sequences is not None:
            _compare(made, sequences, table.names, path)
        sequences = made
    assay = Assay(
        name or (reference.name if reference is not None else assay_name(path)), found, table.names, table.variants, sequences,
        values, bins, table.measured,
    )  # fmt: skip
    if reference is None:
        return replace(assay, uniprot=_protein_of(assay.name))
    return replace(assay, uniprot=reference.uniprot, selection_type=reference.selection_type)


def _measured(columns: Mapping[str, NDArray[np.float64]], wanted: str | None, path: Pathlike) -> NDArray[np.float64]:
    if wanted is not None:
        if wanted not in columns:
            raise InputError(
                f"has no column {wanted!r} of numbers", path=path, remedy=f"those are {', '.join(columns) or 'not there'}"
            )
        return columns[wanted]
    chosen = next((name for name in MEASURED if name in columns), None)
    if chosen is None:
        numeric = [name for name in columns if name != BIN]
        if len(numeric) != 1:
            raise InputError(
                f"no telling which column is the measurement, numbers are in {', '.join(numeric) or 'none'}", path=path,
                remedy="name the column (measured=; --measured)",
            )  # fmt: skip
        chosen = numeric[0]
    return columns[chosen]


def _wild_type(variants: tuple[Variant, ...], sequences: tuple[str, ...]) -> str:
    """The sequence that most variants come from, undone; the comparison that follows finds those that do not."""
    counts: Counter[str] = Counter()
    for variant, sequence in zip(variants, sequences, strict=True):
        letters = list(sequence)
        for position, old, _ in variant:
            if position < len(letters):
                letters[position] = old
        counts["".join(letters)] += 1
    return counts.most_common(1)[0][0]


def _applied(wild_type: str, variant: Variant) -> str:
    """The sequence of a variant that has been checked: assays hold half a million of them."""
    letters = list(wild_type)
    for position, _, new in variant:
        letters[position] = new
    return "".join(letters)


def _compare(made: tuple[str, ...], given: tuple[str, ...], names: tuple[str, ...], path: Pathlike) -> None:
    wrong = [number for number, (one, other) in enumerate(zip(made, given, strict=True)) if one != other]
    if wrong:
        few = ", ".join(f"record {number + 1} ({names[number]})" for number in wrong[:SPELLED])
        more = f" and {len(wrong) - SPELLED:,} more" if len(wrong) > SPELLED else ""
        raise InputError(
            f"in {counted(len(wrong), 'record')} of {len(made):,} the whole sequence is not the wild type with that variant: "
            f"{few}{more}",
            path=path,
            remedy="is the wild type the one of this assay?",
        )


def read_reference(path: Pathlike) -> list[Reference]:
    """ProteinGym's table of assays (``DMS_substitutions.csv``, ``DMS_indels.csv``), in its order.

    Raises:
        InputError: a column or value is missing, a range lies outside the wild type, or a name comes twice; says record and line.
    """
    found = [_reference(row, record, line, path) for record, line, row in _records(path, ("DMS_id", "target_seq"))]
    twice = [name for name, count in Counter(one.name for one in found).items() if count > 1]
    if twice:
        raise InputError(f"has the assay {twice[0]} twice", path=path)
    return found


def _reference(row: dict[str, str], record: int, line: int, path: Pathlike) -> Reference:
    def fail(message: str) -> InputError:
        return InputError(message, path=path, record=record, line=line)

    def number(name: str, otherwise: float | None) -> float | None:
        text = row.get(name, "")
        try:
            return otherwise if text.lower() in ("", "na", "nan") else float(text)
        except ValueError:
            raise fail(f"{name} is {text!r}, expected a number") from None

    name, wild = row["DMS_id"], row["target_seq"].upper()
    if not name or not wild:
        raise fail("has no DMS_id" if not name else "has no target_seq")
    try:
        encode(wild)
    except ValueError as error:
        raise fail(f"target_seq is no protein: {error}") from error
    start, end = number("MSA_start", 1), number("MSA_end", len(wild))
    if start is None or end is None or start % 1 or end % 1 or not 1 <= start <= end <= len(wild):
        raise fail(f"MSA_start and MSA_end are {start:g} and {end:g}, the target has residues 1 to {len(wild)}")
    known = {
        "DMS_id", "DMS_filename", "target_seq", "UniProt_ID", "coarse_selection_type", "MSA_filename", "MSA_start", "MSA_end",
        "weight_file_name", "MSA_theta", "DMS_binarization_cutoff",
    }  # fmt: skip
    return Reference(
        name,
        row.get("DMS_filename") or f"{name}.csv",
        wild,
        row.get("UniProt_ID") or _protein_of(name),
        row.get("coarse_selection_type", ""),
        row.get("MSA_filename", ""),
        int(start) - 1,
        int(end),
        row.get("weight_file_name", ""),
        number("MSA_theta", None),
        number("DMS_binarization_cutoff", None),
        {key: value for key, value in row.items() if key not in known},
    )


class Label(NamedTuple):
    """A line of a table of clinical labels, checked."""

    protein: str
    name: str
    variant: Variant
    benign: float


def read_labels(path: Pathlike) -> dict[str, Assay]:
    """Clinical labels of variants of several proteins, one assay each: benign is fit (1), pathogenic is not (0), others are NaN.

    The table has the columns ``protein_name``, ``mutations`` and ``ClinVar_labels_category``. It holds no wild types: check the
    variants against one by :func:`~genoseq.families.variants.notation.check_variants`.

    Raises:
        InputError: a column is missing, or a variant is none; says record and line.
    """
    found: dict[str, list[Label]] = {}
    for record, line, row in _records(path, ("protein_name", "mutations", "ClinVar_labels_category")):
        try:
            variant = parse_variant(row["mutations"])
        except InputError as error:
            raise InputError(error.message, path=path, record=record, line=line, remedy=error.remedy) from error
        category = row["ClinVar_labels_category"].lower().replace(" ", "_")
        label = Label(row["protein_name"], row["mutations"], variant, LABELS.get(category, float("nan")))
        found.setdefault(label.protein, []).append(label)
    assays = {}
    for protein, labels in found.items():
        benign = np.array([one.benign for one in labels])
        names = tuple(format_variant(one.variant) for one in labels)
        variants = tuple(one.variant for one in labels)
        assays[protein] = Assay(f"{protein}_ClinVar", "", names, variants, None, benign, benign.copy(), uniprot=protein)
    return assays


def _records(path: Pathlike, needed: tuple[str, ...]) -> Iterator[tuple[int, int, dict[str, str]]]:
    """Number, line and fields of each record of a table with a header."""
    with open_bytes(path) as stream:
        text = stream.read_rest().decode("utf-8-sig", "replace")
    if not text.strip():
        raise InputError("is empty, expected a table", path=path)
    header = next(line for line in text.splitlines() if line.strip())
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=max("\t,;", key=header.count))
    names: list[str] | None = None
    record = 0
    for row in reader:
        if not any(cell.strip() for cell in row):
            continue
        if names is None:
            names = [cell.strip() for cell in row]
            absent = [one for one in needed if one not in names]
            if absent:
                raise InputError(f"has no column {absent[0]}", path=path, remedy=f"its columns are {', '.join(names)}")
            continue
        record += 1
        if len(row) != len(names):
            raise InputError(
                f"has {counted(len(row), 'field')}, the header has {len(names)}", path=path, record=record, line=reader.line_num
            )
        yield record, reader.line_num, {name: cell.strip() for name, cell in zip(names, row, strict=True)}
    if not record:
        raise InputError("holds a header and no records", path=path)
