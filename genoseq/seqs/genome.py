"""The reference genome: contigs one after another as codes, read from FASTA, kept on disk at 2 bits per base.

A genome folder holds three files (format ``genoseq.genome``, version 1):

- ``genome.json``: format, version, and for each contig its name, length (bp) and MD5;
- ``bases.npy``: uint8, four bases to a byte, base ``i`` in bits ``2 * (i % 4)`` of byte ``i // 4``; A 0, C 1, G 2, T 3;
- ``unknown.npy``: int64 (runs, 2), half-open intervals of positions that hold none of the four (stored as A).
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from genoseq.errors import IndexFormatError, InputError, Pathlike
from genoseq.kernels import kernel
from genoseq.outputs import describe_os_error, whole_folder
from genoseq.seqs.alphabet import CODES, UNKNOWN, decode
from genoseq.seqs.batch import ReadBatch
from genoseq.seqs.chunks import read_chunks

__all__ = ["Genome"]

FORMAT = "genoseq.genome"
VERSION = 1
MANIFEST = "genome.json"
BASES = "bases.npy"
UNKNOWNS = "unknown.npy"
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

    @property
    def digest(self) -> str:
        """SHA-256 over names, lengths and MD5s: the same for the same contigs in the same order."""
        contigs = zip(self.names, self.lengths, self.md5, strict=True)
        lines = (f"{name}\t{length}\t{md5}\n" for name, length, md5 in contigs)
        return hashlib.sha256("".join(lines).encode()).hexdigest()

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

    def unknown_runs(self) -> NDArray[np.int64]:
        """int64 (runs, 2), half-open intervals of ``codes`` that hold none of the four bases."""
        edges = np.flatnonzero(np.diff(self.codes == UNKNOWN, prepend=False, append=False))
        return edges.reshape(-1, 2).astype(np.int64)

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

    def save(self, folder: Pathlike) -> None:
        """Write the genome as the folder ``folder``, whole or not at all; an older genome folder there is replaced."""
        contigs = {"names": self.names, "lengths": self.lengths.tolist(), "md5": self.md5}
        with whole_folder(folder, marker=MANIFEST) as place:
            np.save(place / BASES, _pack(self.codes))
            np.save(place / UNKNOWNS, self.unknown_runs())
            manifest = {"format": FORMAT, "version": VERSION, "contigs": contigs}
            (place / MANIFEST).write_text(json.dumps(manifest) + "\n", encoding="utf-8")

    @classmethod
    def open(cls, folder: Pathlike) -> Genome:
        """Read a genome that :meth:`save` wrote.

        Raises:
            IndexFormatError: a file is missing, damaged or of another version.
        """
        place = Path(folder)
        remedy = "build the index again with `genoseq index`"
        try:
            manifest = json.loads((place / MANIFEST).read_text(encoding="utf-8"))
            if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
                raise IndexFormatError("is not the manifest of a genome", path=place / MANIFEST, remedy=remedy)
            if manifest.get("version") != VERSION:
                raise IndexFormatError(
                    f"has version {manifest.get('version')}, this genoseq reads version {VERSION}",
                    path=place / MANIFEST,
                    remedy=remedy,
                )
            contigs = manifest["contigs"]
            names, md5 = list(contigs["names"]), list(contigs["md5"])
            offsets = np.concatenate([[0], np.cumsum(contigs["lengths"], dtype=np.int64)]).astype(np.int64)
            packed = np.load(place / BASES, mmap_mode="r")
            unknown = np.load(place / UNKNOWNS)
        except OSError as error:
            raise IndexFormatError(f"cannot be read: {describe_os_error(error)}", path=place, remedy=remedy) from error
        except (ValueError, KeyError, TypeError, EOFError) as error:
            raise IndexFormatError(f"is damaged ({error})", path=place, remedy=remedy) from error
        size = int(offsets[-1])
        fits = (
            len(names) == len(md5) == len(offsets) - 1
            and packed.dtype == np.uint8
            and packed.shape == ((size + 3) // 4,)
            and unknown.dtype == np.int64
            and unknown.ndim == 2
            and unknown.shape[1] == 2
            and (unknown.size == 0 or (unknown.min() >= 0 and unknown.max() <= size))
        )
        if not fits:
            raise IndexFormatError("is damaged: its files do not fit together", path=place, remedy=remedy)
        codes = np.empty(size, np.uint8)
        _unpack(np.asarray(packed), unknown, codes)
        return cls(names, offsets, codes, md5)


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
            self._fail("is FASTQ, expected a genome in FASTA", "give the reference genome first, then the reads")
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


@kernel
def _pack(codes):
    """Four codes to a byte; unknown bases are stored as 0."""
    packed = np.zeros((len(codes) + 3) // 4, np.uint8)
    for i in range(len(codes)):
        if codes[i] < UNKNOWN:
            packed[i >> 2] |= np.uint8(codes[i] << (2 * (i & 3)))
    return packed


@kernel
def _unpack(packed, unknown, codes):
    """Fill ``codes`` from the packed bases and the runs of unknown ones."""
    for i in range(len(codes)):
        codes[i] = (packed[i >> 2] >> np.uint8(2 * (i & 3))) & np.uint8(3)
    for run in range(len(unknown)):
        codes[unknown[run, 0] : unknown[run, 1]] = UNKNOWN
