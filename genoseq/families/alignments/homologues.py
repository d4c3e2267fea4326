"""Homologues of a protein or a family in a file of sequences, as an alignment in the columns of the query.

The search is jackhmmer's (Johnson et al., BMC Bioinformatics 11:431, 2010), done by pyhmmer: a profile of the query
finds sequences, they make the next profile, until nothing new is found. Other than there the match states stay the
columns of the query, so that its residues are the columns of the result. The file is read in blocks; E-values count all
of its sequences, so they depend on neither blocks nor threads.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from genoseq.errors import InputError, Pathlike, UsageError
from genoseq.families.alignments.a3m import alignment_of_a3m
from genoseq.families.alignments.alignment import Alignment
from genoseq.families.alignments.files import unique_names
from genoseq.families.alignments.profile_alignment import (
    SEED,
    AlignedRows,
    amino_alphabet,
    builder,
    digital_block,
    profile_of,
    profile_of_sequence,
)
from genoseq.families.alignments.protein_records import Protein, read_proteins
from genoseq.log import counted
from genoseq.parallel import ordered_map

if TYPE_CHECKING:
    from pyhmmer.easel import DigitalSequenceBlock
    from pyhmmer.plan7 import HMM, TopHits

__all__ = ["Hit", "Homologues", "Inclusion", "search_homologues"]

log = logging.getLogger(__name__)

BLOCK = 1 << 20  # residues of a block
IN_MEMORY = 1 << 28  # residues kept between iterations; a larger file is read anew in each
LONGEST = 100_000  # residues; HMMER's own limit


@dataclass(frozen=True)
class Inclusion:
    """What makes a hit a homologue: an E-value, or bits for each column of the query (then the E-value does not count).

    Both are asked of the whole sequence and of the part of it; of a part it is the conditional E-value, as in jackhmmer.

    >>> Inclusion(bits_per_residue=0.5)
    Inclusion(evalue=0.001, bits_per_residue=0.5)
    """

    evalue: float = 1e-3
    bits_per_residue: float | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot be a threshold."""
        if not self.evalue > 0:
            raise UsageError(f"the E-value is {self.evalue}, expected above 0")
        if self.bits_per_residue is not None and not 0 < self.bits_per_residue < 10:
            raise UsageError(f"the bits for each residue are {self.bits_per_residue}, expected above 0 and below 10")

    def settings(self, columns: int) -> dict[str, Any]:
        """The arguments of ``pyhmmer.plan7.Pipeline``."""
        if self.bits_per_residue is None:
            return {"incE": self.evalue, "incdomE": self.evalue, "E": max(10.0, self.evalue)}
        bits = self.bits_per_residue * columns
        return {"T": bits, "domT": bits, "incT": bits, "incdomT": bits}


class Hit(NamedTuple):
    """A part of a sequence that aligns to the query.

    Attributes:
        name: of the sequence in the file.
        start, stop: the part, from 0, half-open.
        evalue: of the whole sequence.
        bits: of the whole sequence.
        part_c_evalue: of this part, given that the sequence is a homologue (HMMER's conditional E-value): what decides whether
            the part is taken.
        part_i_evalue: of this part, as if it were all there is (HMMER's independent E-value).
        part_bits: of this part alone.
    """

    name: str
    start: int
    stop: int
    evalue: float
    bits: float
    part_c_evalue: float
    part_i_evalue: float
    part_bits: float


class Homologues(NamedTuple):
    """What a search found.

    Attributes:
        aligned: the query, if there is one, and the hits as rows; a hit's name ends in ``/start-end``, counted from 1.
        hits: one for each row that is a hit, in the same order: by E-value.
        iterations: searches that were done.
        converged: whether the last one found nothing new.
        searched: sequences in the file.
    """

    aligned: AlignedRows
    hits: tuple[Hit, ...]
    iterations: int
    converged: bool
    searched: int


def search_homologues(
    query: str | Alignment,
    database: Pathlike,
    *,
    name: str = "query",
    start: int = 0,
    iterations: int = 3,
    inclusion: Inclusion | None = None,
    only: frozenset[str] | None = None,
    threads: int = 1,
    block: int = BLOCK,
) -> Homologues:
    """Search ``database`` for homologues of ``query``.

    Args:
        query: a sequence, or an alignment, whose profile is then the first one. Its query, if it has one, becomes row 0;
            its other rows come back only if they are in the database.
        database: FASTA of proteins (plain, gzip, bgzip or zstd). Standard input is taken if it fits into memory.
        name: of the query, where it is a sequence.
        start: number of its first residue, from 0, where it is a sequence.
        iterations: searches at most; 1 is phmmer's or hmmsearch's.
        inclusion: which hits are homologues; E-value .001 unless given.
        only: names of the sequences to look at; all, unless given. E-values of sequences count all in the file.
        threads: threads; they do not change the result.
        block: residues of the file that are searched at a time; it does not change the result.

    Raises:
        InputError: the file or the query cannot be read, or holds no proteins; a name of ``only`` is not in the file.
        UsageError: a threshold or number of iterations that makes no sense.
    """
    if iterations < 1:
        raise UsageError(f"the number of iterations is {iterations}, expected 1 or more")
    inclusion = inclusion or Inclusion()
    if isinstance(query, str):
        wild_type: str | None = query.upper()
        profile = profile_of_sequence(query.upper(), name="query")
    else:
        wild_type, name, start = query.query, query.names[0] if query.query else name, query.start
        profile = profile_of(query, name="query")
    source = _Database(database, block, only)
    found: set[tuple[str, int, int]] | set[str] = set()
    converged = False
    for number in range(1, iterations + 1):
        hits = _search(profile, source, inclusion, threads)
        included = {hit.name for hit in hits.included}
        log.info("iteration %d: %s included", number, counted(len(included), "sequence"))
        converged = number > 1 and included == found
        if converged or number == iterations:
            break
        found = included
        profile = _next_profile(hits, wild_type, profile)
    return _collect(
        hits, profile, source, wild_type, name, start, number, converged, None if isinstance(query, str) else query.modelled
    )


class _Database:
    """Blocks of the file's sequences, from memory where they fit; a sequence's name is its number in the file."""

    def __init__(self, path: Pathlike, block: int, only: frozenset[str] | None = None) -> None:
        self.path = path
        self.block = block
        self.only = only
        self.names: list[str] = []
        self._kept: list[DigitalSequenceBlock[Any]] | None = []
        self._too_long = 0
        residues = 0
        for proteins in self._read():
            first = len(self.names)
            self.names += [protein.name for protein in proteins]
            residues += sum(len(protein.sequence) for protein in proteins)
            if residues > IN_MEMORY:
                self._kept = None
            if self._kept is not None:
                self._kept.append(digital_block(proteins, first=first, only=only))
        if self._too_long:
            log.warning("%s: left out %s of more than %s residues", path, counted(self._too_long, "sequence"), f"{LONGEST:,}")
        if not self.names:
            raise InputError("holds no sequences", path=path)
        missing = (only or frozenset()).difference(self.names)
        if missing:
            raise InputError(f"has no sequence {min(missing)!r}, which is to be looked at", path=path)
        if self._kept is None and str(path) == "-":
            raise InputError("is too large to be kept in memory", path=path, remedy="give it as a file")

    def __iter__(self) -> Iterator[DigitalSequenceBlock[Any]]:
        """The blocks in the order of the file."""
        if self._kept is not None:
            yield from self._kept
            return
        first = 0
        for proteins in self._read():
            yield digital_block(proteins, first=first, only=self.only)
            first += len(proteins)

    def _read(self) -> Iterator[list[Protein]]:
        proteins: list[Protein] = []
        size = 0
        too_long = 0
        for protein in read_proteins(self.path, stops_inside=True):
            if len(protein.sequence) > LONGEST:
                too_long += 1
                continue
            proteins.append(protein)
            size += len(protein.sequence)
            if size >= self.block:
                yield proteins
                proteins, size = [], 0
        if proteins:
            yield proteins
        self._too_long = too_long


def _search(profile: HMM[Any], source: _Database, inclusion: Inclusion, threads: int) -> TopHits[Any]:
    """All hits; a hit's name is the number of its sequence in the file."""
    from pyhmmer import plan7

    settings = inclusion.settings(profile.M)

    def search(sequences: DigitalSequenceBlock[Any]) -> TopHits[Any]:
        pipeline = plan7.Pipeline(amino_alphabet(), Z=len(source.names), seed=SEED, **settings)
        return pipeline.search_hmm(profile, sequences)

    every: Iterable[TopHits[Any]] = ordered_map(search, source, threads=threads)
    iterator = iter(every)
    hits = next(iterator)
    waiting: list[TopHits[Any]] = []
    for more in iterator:
        if len(more):
            waiting.append(more)
    hits = hits.merge(*waiting) if waiting else hits
    hits.sort(by="key")
    return hits


def _next_profile(hits: TopHits[Any], wild_type: str | None, profile: HMM[Any]) -> HMM[Any]:
    """The profile of what was found, with the same match states."""
    from pyhmmer import easel, plan7

    alphabet = amino_alphabet()
    extra: list[Any] | None = None
    traces: list[Any] | None = None
    if wild_type is not None:
        digital = easel.TextSequence(name="query", sequence=wild_type).digitize(alphabet)
        extra, traces = [digital], [plan7.Trace.from_sequence(digital)]
    elif not any(domain.included for hit in hits.included for domain in hit.domains):
        return profile
    msa: Any = hits.to_msa(alphabet, sequences=extra, traces=traces, all_consensus_cols=True, digitize=True)
    msa.name = "query"
    made, _, _ = builder().build_msa(msa, plan7.Background(alphabet))
    return made


def _collect(
    hits: TopHits[Any],
    profile: HMM[Any],
    source: _Database,
    wild_type: str | None,
    name: str,
    start: int,
    iterations: int,
    converged: bool,
    modelled: NDArray[np.bool_] | None,
) -> Homologues:
    """The included parts of the included sequences, best first, as rows of the profile's columns."""
    columns = profile.M
    found: list[tuple[float, int, int, Hit, str]] = []
    for hit in hits.included:
        number = int(hit.name)
        for domain in hit.domains:
            if not domain.included:
                continue
            part = domain.alignment
            row = "-" * (part.hmm_from - 1) + part.target_sequence + "-" * (columns - part.hmm_to)
            one = Hit(
                source.names[number], part.target_from - 1, part.target_to, hit.evalue, hit.score, domain.c_evalue,
                domain.i_evalue, domain.score,
            )  # fmt: skip
            found.append((-hit.score, number, part.target_from, one, row))
    found.sort(key=lambda entry: entry[:3])
    names = [f"{one.name}/{one.start + 1}-{one.stop}" for _, _, _, one, _ in found]
    rows = [row for *_, row in found]
    if wild_type is not None:
        names, rows = [name, *names], [wild_type, *rows]
    if not rows:
        raise InputError("no homologue was found", path=source.path, remedy="raise the E-value, or search a larger database")
    unique, repeated = unique_names(names)
    if repeated:
        log.warning("%s already used got a suffix such as '_2'", counted(repeated, "name"))
    alignment = alignment_of_a3m(unique, rows, query=wild_type is not None, start=start)
    if modelled is not None:
        alignment = replace(alignment, modelled=modelled)
    return Homologues(
        AlignedRows(alignment, tuple(rows)), tuple(entry[3] for entry in found), iterations, converged, len(source.names)
    )
