"""What a run did, in numbers: counts of reads and pairs, insert sizes, depth along the reference."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genoseq.align.index import Index
from genoseq.align.pairing import InsertModel
from genoseq.align.place import MAX_LENGTH
from genoseq.align.records import FIRST, PAIRED, PROPER, REVERSE, SECONDARY, UNMAPPED, Records
from genoseq.kernels import lean_kernel
from genoseq.log import counted
from genoseq.seqs.batch import ReadBatch

__all__ = ["CONFIDENT", "Summary"]

BINS = 20_000
SHOWN = 6
"""Contigs whose depth is kept: the longest."""
CONFIDENT = 20


@lean_kernel
def _add_depth(records, first_bins, least, width, bins):
    """Add the aligned spans of primary records with MAPQ of at least ``least`` to the bins of their contig, ``width`` bp each."""
    for number in range(records.n[0]):
        if (records.flag[number] & (UNMAPPED | SECONDARY)) != 0 or records.quality[number] < least:
            continue
        first = first_bins[records.contig[number]]
        if first < 0:
            continue
        start = records.position[number]
        end = records.end[number]
        while start < end:
            b = start // width
            stop = min(end, (b + 1) * width)
            bins[first + b] += stop - start
            start = stop


@dataclass
class Summary:
    """Counts over the batches of a run.

    Attributes:
        shown: numbers of the longest contigs, longest first, whose depth is kept.
        first_bins: int64 (contigs,), where the bins of a contig begin, -1 if it has none.
        depth, confident: bases aligned in each bin of ``bin_width`` bp (a contig's last may be shorter), all and with MAPQ
            of 20 or more.
    """

    index: Index
    counts: dict[str, int] = field(default_factory=dict)
    shown: list[int] = field(init=False)
    first_bins: NDArray[np.int64] = field(init=False)
    bin_width: int = field(init=False)
    depth: NDArray[np.int64] = field(init=False)
    confident: NDArray[np.int64] = field(init=False)

    def __post_init__(self) -> None:
        lengths = np.asarray(self.index.lengths, np.int64)
        self.shown = np.argsort(-lengths, kind="stable")[:SHOWN].tolist()
        self.bin_width = max(1, int(-(-lengths[self.shown].sum() // BINS)))
        bins = -(-lengths[self.shown] // self.bin_width)
        self.first_bins = np.full(len(lengths), -1, np.int64)
        self.first_bins[self.shown] = np.cumsum(bins) - bins
        self.depth = np.zeros(int(bins.sum()), np.int64)
        self.confident = np.zeros_like(self.depth)
        names = (
            "reads", "bases", "mapped", "mapped_mapq20", "unmapped", "reverse", "edits", "aligned_bases", "secondary",
            "pairs", "proper_pairs", "pairs_both_mapped", "empty_reads", "too_long_reads",
        )  # fmt: skip
        self.counts = dict.fromkeys(names, 0)

    def add(self, reads: ReadBatch, records: Records) -> None:
        """Count one batch."""
        n = int(records.n[0])
        flag, quality = records.flag[:n], records.quality[:n]
        primary = (flag & SECONDARY) == 0
        mapped = primary & ((flag & UNMAPPED) == 0)
        lengths = np.diff(reads.offsets)
        first = primary & ((flag & FIRST) != 0)
        both = first & ((flag & (UNMAPPED | 8)) == 0)
        found = {
            "reads": len(reads),
            "bases": int(reads.offsets[-1] - reads.offsets[0]),
            "mapped": int(mapped.sum()),
            "mapped_mapq20": int((mapped & (quality >= CONFIDENT)).sum()),
            "unmapped": int((primary & ~mapped).sum()),
            "reverse": int((mapped & ((flag & REVERSE) != 0)).sum()),
            "edits": int(records.edits[:n][mapped].sum()),
            "aligned_bases": int((records.end[:n] - records.position[:n])[mapped].sum()),
            "secondary": int((~primary).sum()),
            "pairs": int((first & ((flag & PAIRED) != 0)).sum()),
            "proper_pairs": int((first & ((flag & PROPER) != 0)).sum()),
            "pairs_both_mapped": int(both.sum()),
            "empty_reads": int((lengths == 0).sum()),
            "too_long_reads": int((lengths > MAX_LENGTH).sum()),
        }
        for name, value in found.items():
            self.counts[name] += value
        _add_depth(records, self.first_bins, 0, self.bin_width, self.depth)
        _add_depth(records, self.first_bins, CONFIDENT, self.bin_width, self.confident)

    def binned(self, contig: int, *, confident: bool = False) -> NDArray[np.int64]:
        """Bases aligned in each bin of a contig among ``shown``, a view."""
        first = int(self.first_bins[contig])
        bins = -(-self.index.lengths[contig] // self.bin_width)
        return (self.confident if confident else self.depth)[first : first + bins]

    def as_dict(self, *, inserts: InsertModel | None, seconds: float, settings: dict[str, Any]) -> dict[str, Any]:
        """The content of ``--summary``."""
        from genoseq import __version__

        insert = None
        if inserts is not None:
            insert = {
                "orientation": "RF" if inserts.orientation else "FR",
                "mean": round(inserts.mean, 2),
                "deviation": round(inserts.deviation, 2),
                "low": inserts.low,
                "high": inserts.high,
                "learned": bool(inserts.learned),
                "pairs": inserts.pairs,
            }
        reads = max(self.counts["reads"], 1)
        return {
            "format": "genoseq.align-summary",
            "version": 1,
            "genoseq": __version__,
            "index": str(self.index.folder),
            "settings": settings,
            **self.counts,
            "mapped_share": round(self.counts["mapped"] / reads, 6),
            "edit_rate": round(self.counts["edits"] / max(self.counts["aligned_bases"], 1), 6),
            "mean_depth": round(self.counts["aligned_bases"] / max(self.index.bases, 1), 4),
            "insert": insert,
            "seconds": round(seconds, 3),
        }

    def sentence(self, seconds: float) -> str:
        """One line for the log."""
        c = self.counts
        share = 100 * c["mapped"] / max(c["reads"], 1)
        text = f"{counted(c['reads'], 'read')}, {c['mapped']:,} mapped ({share:.2f} %), {c['mapped_mapq20']:,} with MAPQ >= 20"
        if c["pairs"]:
            text += f"; {c['proper_pairs']:,} of {counted(c['pairs'], 'pair')} proper"
        return f"{text}; {c['reads'] / max(seconds, 1e-9):,.0f} reads/s"
