"""Compile every kernel of the mapper ahead of its first use.

Compilation takes about a minute, once for each version of genoseq on each kind of CPU. It belongs to building an index, where a
user waits anyway, and not to the first mapping, whose time people measure.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path

from genoseq.align.aligner import Aligner
from genoseq.align.index import Index
from genoseq.align.summary import Summary
from genoseq.kernels import kernel_folder
from genoseq.seqs.chunks import read_chunks
from genoseq.seqs.pairs import read_pair_chunks

__all__ = ["compile_kernels"]

READ = "ACGTTGCATGCCGATTAGCCATGCAAGCTTGACCGTTAACGGATCCATG"


def compile_kernels(index: Index) -> bool:
    """Map made-up reads, single and paired, so that all kernels are compiled; False if that is done or cannot be kept."""
    try:
        stamp = kernel_folder() / "complete"
    except RuntimeError:  # Path.home: a user without a home folder keeps nothing
        return False
    if stamp.exists() or not os.access(stamp.parent, os.W_OK):  # where nothing can be kept, nothing is gained
        return False
    with tempfile.TemporaryDirectory() as folder:
        fastq, fasta = Path(folder) / "reads.fq", Path(folder) / "reads.fa"
        fastq.write_text(f"@a\n{READ}\n+\n{'I' * len(READ)}\n")
        fasta.write_text(f">a\n{READ}\n")
        aligner = Aligner(index)
        summary = Summary(index)
        with contextlib.closing(read_pair_chunks(fasta, _copy(fasta))) as pairs:
            for mapped in aligner.map_batches(pairs, paired=True):
                summary.add(mapped.reads, mapped.records)
        with read_chunks(fastq) as singles:
            for mapped in aligner.map_batches(singles):
                summary.add(mapped.reads, mapped.records)
    with contextlib.suppress(OSError):  # a disk that is full; the next index does it once more
        stamp.touch()
    return True


def _copy(path: Path) -> Path:
    other = path.with_suffix(".mates.fa")
    other.write_bytes(path.read_bytes())
    return other
