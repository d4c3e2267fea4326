"""Sequences in the columns of a given alignment, whether the file has them laid out already or not."""

from __future__ import annotations

import logging

import numpy as np

from genoseq.errors import InputError, Pathlike
from genoseq.families.alignments.a3m import LOWER, alignment_of_a3m
from genoseq.families.alignments.alignment import Alignment
from genoseq.families.alignments.files import unique_names
from genoseq.families.alignments.nucleotides import refuse_nucleotides
from genoseq.families.alignments.profile_alignment import align_proteins
from genoseq.families.alignments.protein_records import Protein
from genoseq.families.alignments.rows import read_rows
from genoseq.log import counted

__all__ = ["read_rows_like"]

log = logging.getLogger(__name__)


def read_rows_like(path: Pathlike, reference: Alignment, *, threads: int = 1) -> Alignment:
    """The sequences of ``path`` (FASTA, a3m, a2m; plain, gzip, bgzip or zstd; ``-`` is standard input) as rows of
    ``reference``'s columns.

    A file whose rows all have as many capitals and ``-`` as the reference has columns is taken as it stands; lower case and
    dots are insertions. One without any gap whose rows are of other lengths is aligned to the profile of the reference.

    Raises:
        InputError: names the file: no sequences, nucleotides, or rows with gaps and another number of columns.
    """
    found = read_rows(path)
    if not found.rows:
        raise InputError("holds no sequences", path=path)
    refuse_nucleotides(found.rows, path)
    names, repeated = unique_names(list(found.names))
    if repeated:
        log.warning("%s: %s already used got a suffix such as '_2'", path, counted(repeated, "name"))
    rows = [row.removesuffix(b"*") for row in found.rows]
    matches = [len(row.translate(None, LOWER + b".")) for row in rows]
    if all(number == reference.length for number in matches):
        texts = [row.decode().replace(".", "") for row in rows]
        return _checked(alignment_of_a3m(names, texts, query=False, start=reference.start), found.path)
    gapped = next((number for number, row in enumerate(rows) if b"-" in row or b"." in row), None)
    if gapped is not None:
        wrong = next(number for number, count in enumerate(matches) if count != reference.length)
        raise InputError(
            f"the row has {matches[wrong]} columns, the family {reference.length}", path=found.path, record=wrong + 1,
            line=found.lines[wrong], remedy="give the same columns, or sequences without gaps, which are then aligned",
        )  # fmt: skip
    for number, row in enumerate(rows):
        if b"*" in row:
            raise InputError(
                "has a stop codon ('*') inside the sequence", path=found.path, record=number + 1, line=found.lines[number],
                remedy="remove the record, or cut it there",
            )  # fmt: skip
    proteins = [Protein(name, row.decode().upper()) for name, row in zip(names, rows, strict=True)]
    aligned = align_proteins(reference, proteins, threads=threads).alignment
    return aligned.subset(np.arange(len(aligned) - len(proteins), len(aligned)))


def _checked(alignment: Alignment, path: str) -> Alignment:
    for number, sequence in enumerate(alignment.sequences):
        if not sequence:
            raise InputError("the row has no residues", path=path, record=number + 1)
    return alignment
