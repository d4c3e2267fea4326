"""Labelled sequences of other kinds than gene families: exons and introns, promoters, splice sites, reads, 16S genes.

Each function takes a finder of files (`genoseq.classify.settings.find_file` of a folder) and a seed, and gives sequences, labels,
and the places that train and that are tested. Exact copies are removed first, except of reads; a sequence that stands under two
labels is left out, and the log says so.
"""

from __future__ import annotations

import logging
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import train_test_split

from genoseq.errors import InputError
from genoseq.seqs.alphabet import reverse_complement
from genoseq.seqs.fastx import read_fastx
from genoseq.seqs.stream import open_bytes

__all__ = ["OTHER_DATA", "SplitData"]

logger = logging.getLogger(__name__)

Finder = Callable[[str], Path]

SHORTEST = 60
"""Bases of the shortest exon or intron."""
BACTERIA = (
    "bacillus_anthracis_ames_ancestor",
    "ecoli_k12_mg1655",
    "haemophilus_influenzae_rd_kw20",
    "mycoplasma_genitalium",
    "salmonella_typhimurium_lt2",
    "staph_aureus_dsm20231",
)
GENOME, PIECE, READ, READS = 600_000, 1000, 150, 300
"""Bases taken of each genome; bases of a training piece and of a read; reads of each genome."""
LEAST, REMAINING = 8, 3
"""Sequences of the smallest genus, and how many of them must differ."""
SHOWN = 60
"""Bases of a sequence that the log shows."""


class SplitData(NamedTuple):
    """Sequences ``(N,)``, their labels ``(N,)``, and the places of those that train and of those that are tested."""

    sequences: list[str]
    labels: list[str]
    train: NDArray[np.intp]
    test: NDArray[np.intp]


def _distinct(rows: Iterable[tuple[str, str]], source: str) -> dict[str, str]:
    """Each sequence once, in order, with its label; without those that stand under several, which have no right answer."""
    labels: dict[str, set[str]] = {}
    for sequence, label in rows:
        labels.setdefault(sequence, set()).add(label)
    for sequence, several in labels.items():
        if len(several) > 1:
            begin = sequence if len(sequence) <= SHOWN else f"{sequence[:SHOWN]}..."
            logger.warning("%s: %s stands under the labels %s: left out", source, begin, ", ".join(sorted(several)))
    return {sequence: next(iter(found)) for sequence, found in labels.items() if len(found) == 1}


def _at_random(labelled: dict[str, str], seed: int, share: float = 0.2) -> SplitData:
    """Split distinct sequences at random, each label as often in both parts."""
    sequences, labels = list(labelled), list(labelled.values())
    train, test = train_test_split(np.arange(len(labels)), test_size=share, stratify=labels, random_state=seed)
    return SplitData(sequences, labels, train, test)


def _lines(path: Path) -> list[str]:
    with open_bytes(path) as stream:
        parts = []
        while block := stream.read(1 << 20):
            parts.append(block)
    return b"".join(parts).decode("utf-8", "replace").splitlines()


def _nameless(path: Path) -> list[str]:
    """The sequences of a FASTA file whose records need no names, which `read_fastx` insists on."""
    found: list[list[str]] = []
    for line in _lines(path):
        if line.startswith(">"):
            found.append([])
        elif found:
            found[-1].append(line.strip().upper())
    return ["".join(parts) for parts in found]


def _table(path: Path, columns: int, separator: str) -> list[list[str]]:
    """The lines of a table that are neither empty nor comments, each with at least so many columns."""
    rows = []
    for number, line in enumerate(_lines(path), start=1):
        if not line.strip() or line.startswith("#"):
            continue
        row = [value.strip() for value in line.split(separator)]
        if len(row) < columns:
            raise InputError(f"expected {columns} columns, found {len(row)}", path=path, line=number)
        rows.append(row)
    return rows


def exons(find: Finder, seed: int) -> SplitData:
    """Exons and introns of *Arabidopsis* (files ``athaliana_1pct.fa`` and ``.gff3``), one gene in five tested."""
    genome = {one.name: one.sequence.upper() for one in read_fastx(find("athaliana_1pct.fa"))}
    transcripts: dict[tuple[str, str, str], list[tuple[int, int]]] = {}
    for row in _table(find("athaliana_1pct.gff3"), 8, "\t"):
        if row[2] == "exon" and len(row) > 8 and row[0] in genome and (parent := re.search(r"Parent=([^;,]+)", row[8])):
            transcripts.setdefault((row[0], row[6], parent[1]), []).append((int(row[3]) - 1, int(row[4])))
    rows: list[tuple[str, str]] = []
    owner: dict[str, str] = {}
    for (contig, strand, transcript), spans in transcripts.items():
        spans.sort()
        gaps = [(one[1], other[0]) for one, other in pairwise(spans)]
        for label, parts in (("exon", spans), ("intron", gaps)):
            for start, end in parts:
                bases = genome[contig][start:end].encode()
                if end - start < SHORTEST or set(bases) - set(b"ACGTN") or not bases.strip(b"N"):
                    continue
                text = (reverse_complement(bases) if strand == "-" else bases).decode()
                rows.append((text, label))
                owner.setdefault(text, transcript.split(".")[0])
    found = _distinct(rows, "athaliana_1pct.gff3")
    owners = np.array([owner[text] for text in found])
    genes = np.unique(owners)
    chosen = np.random.default_rng(seed).choice(genes, len(genes) // 5, replace=False)
    tested = np.isin(owners, chosen)
    return SplitData(list(found), list(found.values()), np.flatnonzero(~tested), np.flatnonzero(tested))


def _promoters(find: Finder, seed: int, files: Sequence[tuple[str, str]]) -> SplitData:
    rows = ((one, label) for stem, label in files for one in _nameless(find(stem)))
    return _at_random(_distinct(rows, " and ".join(stem for stem, _ in files)), seed)


def promoters_ecoli(find: Finder, seed: int) -> SplitData:
    """Promoters of *E. coli* and other sequences, of 81 bases (Umarov and Solovyev, PLoS ONE 12:e0171410, 2017)."""
    return _promoters(find, seed, [("cnnprom_Ecoli_prom.fa", "promoter"), ("cnnprom_Ecoli_non_prom.fa", "other")])


def promoters_arabidopsis(find: Finder, seed: int) -> SplitData:
    """TATA promoters of *Arabidopsis* and other sequences, of 251 bases; the same source."""
    return _promoters(find, seed, [("cnnprom_Arabidopsis_tata.fa", "promoter"), ("cnnprom_Arabidopsis_non_prom.fa", "other")])


def splice(find: Finder, seed: int) -> SplitData:
    """Splice sites (donors, acceptors, neither) of primates, windows of 60 bases: ``uci_splice.data``, label, name, sequence."""
    path = find("uci_splice.data")
    return _at_random(_distinct(((row[2].upper(), row[0]) for row in _table(path, 3, ",")), path.name), seed)


def reads(find: Finder, seed: int) -> SplitData:
    """Reads of 150 bases from the last quarter of six bacterial genomes, learned from pieces of 1,000 of the other three.

    Of each genome the first 600,000 bases of its longest contig.
    """
    rng = np.random.default_rng(seed)
    trained: list[tuple[str, str]] = []
    tested: list[tuple[str, str]] = []
    for name in BACTERIA:
        genome = max((one.sequence for one in read_fastx(find(f"{name}.fna"))), key=len)[:GENOME].upper()
        border = len(genome) * 3 // 4
        trained += [(genome[at : at + PIECE], name) for at in range(0, border - PIECE + 1, PIECE)]
        tested += [(genome[at : at + READ], name) for at in rng.integers(border, len(genome) - READ, READS)]
    everything = trained + tested
    places = np.arange(len(everything))
    sequences, labels = ([row[column] for row in everything] for column in (0, 1))
    return SplitData(sequences, labels, places[: len(trained)], places[len(trained) :])


def genera(find: Finder, seed: int) -> SplitData:
    """16S genes by genus (``dada2_ten_16s_100.fa``), a third tested, of genera with at least eight."""
    named = []
    path = find("dada2_ten_16s_100.fa")
    for one in read_fastx(path):
        genus = re.search(r"g:([^;,]+)", f"{one.name} {one.comment}")
        if genus:
            named.append((one.sequence.upper(), genus[1]))
    sizes = Counter(genus for _, genus in named)
    distinct = _distinct(((sequence, genus) for sequence, genus in named if sizes[genus] >= LEAST), path.name)
    sizes = Counter(distinct.values())
    return _at_random({sequence: genus for sequence, genus in distinct.items() if sizes[genus] >= REMAINING}, seed, 0.33)


OTHER_DATA: dict[str, Callable[[Finder, int], SplitData]] = {
    "exons": exons,
    "promoters-ecoli": promoters_ecoli,
    "promoters-arabidopsis": promoters_arabidopsis,
    "splice": splice,
    "reads": reads,
    "16s": genera,
}
"""The settings by name."""
