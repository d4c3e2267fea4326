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
from genoseq.kernels import kernel
from genoseq.seqs.batch import ReadBatch

__all__ = ["Summary"]

BINS = 20_000
CONFIDENT = 20


@kernel
def _add_depth(records, offsets, least, width, bins):
    """Add the aligned spans of primary records with MAPQ of at least ``least`` to bins of ``width`` bp."""
    for number in range(records.n[0]):
        if (records.flag[number] & (UNMAPPED | SECONDARY)) != 0 or records.quality[number] < least:
            continue
        start = offsets[records.contig[number]] + records.position[number]
        end = offsets[records.contig[number]] + records.end[number]
        while start < end:
            b = start // width
            stop = min(end, (b + 1) * width)
            bins[b] += stop - start
            start = stop


@dataclass
class Summary:
    """Counts over the batches of a run.

    Attributes:
        depth, confident: bases aligned in each bin of ``bin_width`` bp of the reference, all and with MAPQ of 20 or more.
    """

    index: Index
    counts: dict[str, int] = field(default_factory=dict)
    bin_width: int = field(init=False)
    depth: NDArray[np.int64] = field(init=False)
    confident: NDArray[np.int64] = field(init=False)

    def __post_init__(self) -> None:
        self.bin_width = max(1, -(-self.index.bases // BINS))
        self.depth = np.zeros(self.index.bases // self.bin_width + 1, np.int64)
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
        offsets = self.index.arrays.offsets
        _add_depth(records, offsets, 0, self.bin_width, self.depth)
        _add_depth(records, offsets, CONFIDENT, self.bin_width, self.confident)

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
        text = f"{c['reads']:,} reads, {c['mapped']:,} mapped ({share:.2f} %), {c['mapped_mapq20']:,} with MAPQ >= 20"
        if c["pairs"]:
            text += f"; {c['proper_pairs']:,} of {c['pairs']:,} pairs proper"
        return f"{text}; {c['reads'] / max(seconds, 1e-9):,.0f} reads/s"
