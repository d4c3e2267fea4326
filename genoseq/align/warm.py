"""Compile every kernel of the mapper ahead of its first use.

Compilation takes about a minute, once for each version of genoseq on each kind of CPU. It belongs to building or opening an
index, where a user waits anyway, and not into the first mapping, whose time people measure, or the first of another kind.
"""

from __future__ import annotations

import contextlib
import os
import random
import tempfile
from pathlib import Path

from genoseq.align.aligner import Aligner
from genoseq.align.index import HALF, SMALLEST_K, Index, write_index
from genoseq.align.summary import Summary
from genoseq.embed.window import WindowEncoder
from genoseq.kernels import kernel_folder
from genoseq.locks import locked
from genoseq.seqs.chunks import read_chunks
from genoseq.seqs.genome import Genome
from genoseq.seqs.pairs import read_pair_chunks

__all__ = ["compile_kernels"]

COMPLETE = "complete"
"""File beside the compiled kernels that says that none is missing."""


def compile_kernels() -> bool:
    """Index a made-up genome and map made-up reads, single and paired, so that all kernels are compiled.

    Other processes that want to do so wait. Returns False if it was done before, or the result cannot be kept.
    """
    try:
        stamp = kernel_folder() / COMPLETE
    except RuntimeError:  # Path.home: a user without a home folder keeps nothing
        return False
    if stamp.exists() or not os.access(stamp.parent, os.W_OK):  # where nothing can be kept, nothing is gained
        return False
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):  # a disk that is full: then two may do the same
            stack.enter_context(locked(stamp.with_name(".lock"), waiting_for="it is compiling for this machine"))
        if stamp.exists():
            return False
        with tempfile.TemporaryDirectory() as folder:
            _map_something(Path(folder))
        with contextlib.suppress(OSError):  # the next index or run does it once more
            stamp.touch()
    return True


def _map_something(folder: Path) -> None:
    draw = random.Random(1)
    contig = "".join(draw.choices("ACGT", k=600))
    names = ["reference.fa", "reads.fq", "mates_1.fa", "mates_2.fa"]
    reference, fastq, *mates = (folder / name for name in names)
    reference.write_text(f">a\n{contig}\n>b\n{contig[::-1]}\n")
    fastq.write_text(f"@a\n{contig[:100]}\n+\n{'I' * 100}\n")
    for path in mates:
        path.write_text(f">a\n{contig[100:200]}\n")
    made = folder / "index"
    made.mkdir()
    genome = Genome.from_fasta(reference)
    write_index(genome, made, reference="", k=SMALLEST_K, density=HALF, encoder=WindowEncoder.shipped())
    index = Index.open(made)
    aligner = Aligner(index)
    summary = Summary(index)
    with contextlib.closing(read_pair_chunks(*mates)) as pairs:
        for mapped in aligner.map_batches(pairs, paired=True):
            summary.add(mapped.reads, mapped.records)
    with read_chunks(fastq) as singles:
        for mapped in aligner.map_batches(singles):
            summary.add(mapped.reads, mapped.records)
