"""The reference genome: contigs one after another as codes, read from FASTA."""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from genoseq.errors import InputError, Pathlike
from genoseq.kernels import lean_kernel
from genoseq.seqs.alphabet import CODES, UNKNOWN, decode
from genoseq.seqs.batch import ReadBatch
from genoseq.seqs.chunks import read_chunks

__all__ = ["Genome", "contig_of"]

PIECE = 1 << 23  # bases to read before they are turned into codes
SAM_NAME = re.compile(r"[0-9A-Za-z!#$%&+./:;?@^_|~-][0-9A-Za-z!#$%&*+./:;=?@^_|~-]*")  # SAM specification 1.2.1


@dataclass(frozen=True, eq=False)
class Genome:
    """A reference genome in memory, one byte per base.

    Attributes:
        names: contig names, in file order.
        offsets: int64 (contigs + 1,), where each contig starts in ``codes``; the last one is the size of the genome.
        codes: uint8 (size,), see :mod:`genoseq.seqs.alphabet`.
        md5: per contig, the MD5 of its letters in upper case, as the ``M5`` tag of a SAM header wants it.

    >>> import tempfile
    >>> from pathlib import Path
    >>> path = Path(tempfile.mkdtemp()) / "genome.fa"
    >>> _ = path.write_text(">one first\\nACGT\\nN\\n>two\\ngg\\n")
    >>> genome = Genome.from_fasta(path)
    >>> genome.names, genome.lengths.tolist(), genome.fetch("one", 1, 5)
    (['one', 'two'], [5, 2], b'CGTN')
    """

    names: list[str]
    offsets: NDArray[np.int64]
    codes: NDArray[np.uint8]
    md5: list[str]
    _numbers: dict[str, int] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_numbers", {name: number for number, name in enumerate(self.names)})

    def __len__(self) -> int:
        """Number of contigs."""
        return len(self.names)

    @property
    def size(self) -> int:
        """Bases of all contigs together."""
        return int(self.offsets[-1])

    @property
    def lengths(self) -> NDArray[np.int64]:
        """int64 (contigs,), bases of each contig."""
        return np.diff(self.offsets)

    def number(self, name: str) -> int:
        """Number of the contig ``name``, from 0.

        Raises:
            InputError: there is none of this name.
        """
        try:
            return self._numbers[name]
        except KeyError:
            known = ", ".join(self.names[:5]) + (", ..." if len(self) > 5 else "")
            raise InputError(f"the genome has no contig {name!r}; it has {known}") from None

    def contig_codes(self, number: int) -> NDArray[np.uint8]:
        """Codes of contig ``number``, a view."""
        return self.codes[self.offsets[number] : self.offsets[number + 1]]

    def fetch(self, name: str, start: int, end: int) -> bytes:
        """Letters of ``[start, end)`` of a contig, 0-based, clipped to it; what is not A, C, G or T is ``N``."""
        return decode(self.contig_codes(self.number(name))[max(start, 0) : max(end, 0)])

    @classmethod
    def from_fasta(cls, path: Pathlike) -> Genome:
        """Read a genome from FASTA (plain, gzip, bgzip or zstd; ``-`` is standard input).

        Raises:
            InputError: not FASTA, no contig, a contig without bases, a name twice or not fit for SAM, or no A, C, G, T.
        """
        building = _Builder(os.fspath(path))
        with read_chunks(path, batch_size=1 << 16, max_bases=PIECE) as batches:
            for batch in batches:
                building.add(batch)
        return building.finish()


class _Builder:
    """Gathers the contigs of a FASTA file."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._names: list[str] = []
        self._md5: list[str] = []
        self._lengths: list[NDArray[np.int64]] = []
        self._codes = np.empty(PIECE, np.uint8)
        self._size = 0

    def add(self, batch: ReadBatch) -> None:
        """Append the contigs of one batch."""
        if batch.has_quality:
            remedy = "these seem to be reads: it is `genoseq index REF`, and `genoseq align -x REF READS`"
            self._fail("is FASTQ, expected a genome in FASTA", remedy)
        text = batch.names.tobytes().decode("ascii")
        ends = batch.name_offsets.tolist()
        names = [text[start:end] for start, end in pairwise(ends)]
        lengths = np.diff(batch.offsets)
        for i in np.flatnonzero(lengths == 0).tolist():
            self._fail(f"contig {names[i]!r} has no bases", "remove it from the file", batch.first_record + i + 1)
        for i, name in enumerate(names):
            if SAM_NAME.fullmatch(name) is None:
                self._fail(
                    f"the contig name {name!r} has a character that SAM does not allow (as , ( ) [ ] {{ }} ' \" < >)",
                    "rename the contig",
                    batch.first_record + i + 1,
                )
        bases = batch.seq.data
        bounds = batch.offsets.tolist()
        self._md5 += [
            hashlib.md5(bases[start:end], usedforsecurity=False).hexdigest() for start, end in pairwise(bounds)
        ]
        self._names += names
        self._lengths.append(lengths)
        size = self._size + len(batch.seq)
        if size > len(self._codes):
            self._codes.resize(max(size, len(self._codes) * 3 // 2), refcheck=False)
        np.take(CODES, batch.seq, out=self._codes[self._size : size], mode="clip")
        self._size = size

    def finish(self) -> Genome:
        """The genome, after the checks that need all of it."""
        if not self._names:
            self._fail("holds no sequence", "give a FASTA file with at least one contig")
        if len(set(self._names)) < len(self._names):
            seen: dict[str, int] = {}
            for number, name in enumerate(self._names, 1):
                if name in seen:
                    self._fail(
                        f"the contig name {name!r} stands twice (first in record {seen[name]})",
                        "names up to the first space must differ: rename one of them",
                        number,
                    )
                seen[name] = number
        self._codes.resize(self._size, refcheck=False)
        if not (self._codes < UNKNOWN).any():
            self._fail("holds no A, C, G or T, only unknown bases", "give a FASTA file with a nucleotide sequence")
        lengths = np.concatenate(self._lengths)
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        return Genome(self._names, offsets, self._codes, self._md5)

    def _fail(self, message: str, remedy: str, record: int | None = None) -> None:
        raise InputError(message, path=self._path, record=record, remedy=remedy)


@lean_kernel
def contig_of(offsets, position):
    """Number of the contig that holds a global position; ``offsets`` are those of :class:`Genome`."""
    lo = 0
    hi = offsets.shape[0] - 1
    while hi - lo > 1:
        middle = (lo + hi) >> 1
        if offsets[middle] <= position:
            lo = middle
        else:
            hi = middle
    return lo
