"""The mapper as an object: batches of reads in, records out, in input order, whatever the number of threads.

::

    batches -> place_batch -> [pairs: rescue_batch] -> finish_* -> Records -> SAM text | Alignment

All of it but the reading runs without the GIL. For pairs, the first 10,000 are placed before anything is written: the
insert-size distribution is learned from them, and it does not depend on how the reads were cut into batches.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from genoseq.align.alignment import Alignment
from genoseq.align.index import Index
from genoseq.align.mapq import chance_score
from genoseq.align.names import checked_names
from genoseq.align.pairing import InsertModel, learn_inserts, rescue_batch, sample_inserts
from genoseq.align.place import MAX_LENGTH, WIDE, Places, Scratch, make_scratch
from genoseq.align.presets import settings_for
from genoseq.align.records import Records, finish_pairs, finish_singles, make_records
from genoseq.align.sam import NameTable, format_records, header_text, text_room
from genoseq.align.search import place_batch
from genoseq.errors import InputError, UsageError
from genoseq.log import counted
from genoseq.parallel import ordered_map
from genoseq.seqs.alphabet import CODES, COMPLEMENTS, SAM_LETTERS, UPPER
from genoseq.seqs.batch import ReadBatch, batch_of, first_unpaired, strip_mate_suffixes
from genoseq.seqs.chunks import ChunkReader, read_chunks
from genoseq.seqs.pairs import PairReader, read_interleaved_chunks
from genoseq.seqs.record import Record

if TYPE_CHECKING:
    import pysam

__all__ = ["Aligner", "Alignment", "MappedBatch"]

log = logging.getLogger(__name__)

LEARNING_PAIRS = 10_000
BATCH = 4096
BATCH_BASES = 1 << 20
"""Bases from which on a batch of single reads ends early, so that memory does not grow with their length."""
MOST_SECONDARY = 100
KEPT = 64
"""Places kept of a read, at least."""
READ_NAME = re.compile(r"[!-?A-~][!-~]{0,253}")  # a leading @ would make a header line of the record
QUALITIES = re.compile(r"[!-~]*")
RECORDS = "genoseq.Record objects or (name, sequence) tuples"


@dataclass(frozen=True)
class MappedBatch:
    """The records of one batch of reads, and the reads."""

    reads: ReadBatch
    records: Records
    text: NDArray[np.uint8]
    """SAM lines."""


@dataclass
class Aligner:
    """Maps reads to an index.

    >>> import genoseq                                                    # doctest: +SKIP
    >>> aligner = genoseq.Aligner.open("ecoli")                           # doctest: +SKIP
    >>> for hit in aligner.map("reads.fq"):                               # doctest: +SKIP
    ...     print(hit.name, hit.contig, hit.start, hit.mapq, hit.cigar)

    Attributes:
        index: the opened index.
        threads: threads that map.
        preset: name of the search settings, see :data:`genoseq.align.presets.PRESETS`.
        secondary: secondary records of a read at most.
        seed: decides between equally good places.
        read_group: ID for the RG tag, or None.
    """

    index: Index
    threads: int = 1
    preset: str = "default"
    secondary: int = 0
    seed: int = 0
    read_group: str | None = None
    inserts: InsertModel | None = field(default=None, init=False)
    """Insert sizes learned in the last paired run."""

    def __post_init__(self) -> None:
        if not 0 <= self.secondary <= MOST_SECONDARY:
            raise UsageError(f"secondary is {self.secondary}; expected 0 to {MOST_SECONDARY}")
        if self.threads < 1:
            raise UsageError(f"threads is {self.threads}; expected 1 or more")
        if self.read_group is not None and not re.fullmatch(r"[ -~]+", self.read_group):
            raise UsageError(f"read group {self.read_group!r}: expected printable ASCII, as in a SAM header")
        self._chance = chance_score(self.index.bases)
        self._settings = settings_for(self.preset, chance=self._chance)
        self._names = NameTable.of(self.index.names)
        self._longest_name = max(len(name.encode()) for name in self.index.names)
        self._group = np.frombuffer((self.read_group or "").encode(), np.uint8)

    @classmethod
    def open(
        cls,
        index: str | Path,
        *,
        threads: int = 1,
        preset: str = "default",
        secondary: int = 0,
        seed: int = 0,
        read_group: str | None = None,
    ) -> Aligner:
        """Open an index by folder, registered name, or FASTA (then it is built and cached).

        The first one opened after an installation also compiles what mapping needs, which takes about a minute.

        Raises:
            IndexFormatError: the index cannot be used. InputError: there is none of this name.
        """
        from genoseq.align.registry import find_index
        from genoseq.align.warm import compile_kernels

        opened = cls(
            Index.open(find_index(str(index), threads=threads)),
            threads=threads, preset=preset, secondary=secondary, seed=seed, read_group=read_group,
        )  # fmt: skip
        compile_kernels()
        return opened

    def header(self, *, command: str = "", read_group: str | None = None, sorted_by: str = "unsorted") -> str:
        """Text of the SAM header; ``read_group`` is a whole ``@RG`` line."""
        from genoseq import __version__

        return header_text(
            self.index.names, self.index.lengths, self.index.md5,
            version=__version__, command=command, read_group=read_group, sorted_by=sorted_by,
        )  # fmt: skip

    def pysam_header(self) -> pysam.AlignmentHeader:
        """The header for records made by :meth:`Alignment.to_pysam`."""
        import pysam

        return pysam.AlignmentHeader.from_text(self.header(command="genoseq.Aligner"))

    def map(
        self, reads: str | os.PathLike[str] | Iterable[Record | tuple[str, str]], *, paired: bool = False
    ) -> Iterator[Alignment]:
        """Map reads and yield their alignments as they are ready, in input order; unmapped reads too.

        Args:
            reads: a FASTA or FASTQ file, or records, or (name, sequence) tuples.
            paired: mates follow one another.

        Raises:
            InputError: these are no reads, a record cannot stand in a SAM file, or a read has no mate.
        """
        given: object = reads
        if isinstance(given, bytes) or not isinstance(given, str | os.PathLike | Iterable):
            raise InputError(f"reads is {_shown(given)}; expected the path of a FASTA or FASTQ file, or {RECORDS}")
        return self._map(reads, paired=paired)

    def _map(
        self, reads: str | os.PathLike[str] | Iterable[Record | tuple[str, str]], *, paired: bool
    ) -> Iterator[Alignment]:
        batches: ChunkReader | PairReader | Generator[ReadBatch, None, None]
        if not isinstance(reads, str | os.PathLike):
            batches = _batches(reads, paired=paired)
        elif paired:
            batches = read_interleaved_chunks(reads, batch_size=BATCH)
        else:
            batches = read_chunks(reads, batch_size=BATCH, max_bases=BATCH_BASES)
        checked = checked_names(batches, os.fspath(reads), paired=paired) if isinstance(reads, str | os.PathLike) else batches
        with closing(batches):
            for mapped in self.map_batches(checked, paired=paired):
                for line in mapped.text.tobytes().decode("ascii").removesuffix("\n").split("\n"):
                    if line:
                        yield Alignment.from_sam(line)

    def map_batches(self, batches: Iterable[ReadBatch], *, paired: bool = False) -> Iterator[MappedBatch]:
        """Map batches of reads (mates side by side if ``paired``); one result for each batch, in order.

        Mates lose a trailing ``/1`` or ``/2``, since SAM knows them by one name.

        Raises:
            ValueError: a batch of pairs holds an odd number of reads.
        """
        if not paired:
            yield from ordered_map(self._map_singles, batches, threads=self.threads)
            return
        source = map(strip_mate_suffixes, _whole_pairs(batches))
        held: list[tuple[ReadBatch, Places]] = []
        seen = 0

        def learning() -> Iterator[ReadBatch]:
            nonlocal seen
            while seen < LEARNING_PAIRS:
                batch = next(source, None)
                if batch is None:
                    return
                seen += len(batch) // 2
                yield batch

        held.extend(ordered_map(lambda batch: (batch, self._place(batch)), learning(), threads=self.threads))
        model = self.inserts = self._learn(held)
        seen_pairs = counted(model.pairs, "clear pair")
        shape = f"{model.mean:.0f} +- {model.deviation:.0f} bp ({model.low} to {model.high})"
        facing = "facing away" if model.orientation else "facing each other"
        log.debug("inserts: %s, %s; %s %s", shape, facing, "learned from" if model.learned else "assumed, with only", seen_pairs)

        def work() -> Iterator[tuple[ReadBatch, Places | None]]:
            held.reverse()
            while held:
                yield held.pop()
            for batch in source:
                yield batch, None

        yield from ordered_map(lambda job: self._map_pairs(*job, model=model), work(), threads=self.threads)

    def _learn(self, held: list[tuple[ReadBatch, Places]]) -> InsertModel:
        sizes: list[NDArray[np.int64]] = []
        orientations: list[NDArray[np.int64]] = []
        left = LEARNING_PAIRS
        for batch, places in held:
            pairs = min(len(batch) // 2, left)
            left -= pairs
            size, orientation = np.empty(pairs, np.int64), np.empty(pairs, np.int64)
            n = sample_inserts(places, np.diff(batch.offsets), pairs, size, orientation)
            sizes.append(size[:n])
            orientations.append(orientation[:n])
        empty = [np.empty(0, np.int64)]
        return learn_inserts(np.concatenate(sizes or empty), np.concatenate(orientations or empty))

    def _scratch(self, batch: ReadBatch) -> Scratch:
        longest = int(np.diff(batch.offsets).max(initial=0))
        return Scratch(*make_scratch(min(longest, MAX_LENGTH), WIDE))

    def _place(self, batch: ReadBatch) -> Places:
        n = len(batch)
        kept = max(KEPT, self.secondary + 1)
        columns = (np.empty((n, kept), np.int64) for _ in range(6))
        places = Places._make([np.zeros(n, np.int64), *columns, np.ones(n)])
        place_batch(
            self.index.arrays, self._settings, self._scratch(batch), batch.seq, batch.offsets,
            batch.names, batch.name_offsets, CODES, self.seed, places,
        )  # fmt: skip
        return places

    def _map_singles(self, batch: ReadBatch) -> MappedBatch:
        places = self._place(batch)
        records = make_records(len(batch), len(batch.seq), 1 + self.secondary)
        finish_singles(
            self.index.arrays, self._scratch(batch), batch.seq, batch.offsets, CODES, places, self._chance,
            self.secondary, records,
        )  # fmt: skip
        return MappedBatch(batch, records, self._text(batch, records))

    def _map_pairs(self, batch: ReadBatch, places: Places | None, *, model: InsertModel) -> MappedBatch:
        if places is None:
            places = self._place(batch)
        scratch = self._scratch(batch)
        arrays = self.index.arrays
        rescue_batch(arrays, self._settings, model, scratch, batch.seq, batch.offsets, CODES, places)
        records = make_records(len(batch), len(batch.seq), 1 + self.secondary)
        finish_pairs(
            arrays, model, scratch, batch.seq, batch.offsets, CODES, places, self._chance, self.secondary, records
        )
        return MappedBatch(batch, records, self._text(batch, records))

    def _text(self, batch: ReadBatch, records: Records) -> NDArray[np.uint8]:
        room = text_room(records, batch.name_offsets, batch.offsets, self._longest_name, len(self._group))
        out = np.empty(room, np.uint8)
        size = format_records(
            records, batch.names, batch.name_offsets, SAM_LETTERS[batch.seq], batch.qual, batch.offsets, batch.has_quality,
            self._names.text, self._names.offsets, self.index.arrays.codes, self.index.arrays.offsets,
            CODES, COMPLEMENTS, self._group, out,
        )  # fmt: skip
        return out[:size]


def _whole_pairs(batches: Iterable[ReadBatch]) -> Iterator[ReadBatch]:
    for batch in batches:
        if len(batch) % 2:
            raise ValueError(f"a batch of {len(batch)} reads; expected an even number, mates side by side")
        yield batch


def _batches(
    records: Iterable[Record | tuple[str, str]], *, paired: bool
) -> Generator[ReadBatch, None, None]:
    """Batches of records; a batch ends where qualities begin or end, since a batch has them for all reads or none.

    Raises:
        InputError: see :func:`_checked`; or the last of the pairs lacks a mate, or only one mate has qualities.
    """
    source = iter(records)
    first = 0
    step = 2 if paired else 1
    while chunk := list(islice(source, BATCH)):
        before = first
        made = [_checked(record, before + i + 1) for i, record in enumerate(chunk)]
        if len(made) % step:
            raise InputError(f"read {made[-1].name!r} has no mate: mates follow one another", record=before + len(made))
        start = 0
        for i in range(0, len(made) + 1, step):
            if paired and i < len(made) and (made[i].quality is None) != (made[i + 1].quality is None):
                raise InputError(f"one mate of {made[i].name!r} has qualities, the other has none", record=before + i + 1)
            if i == len(made) or (made[i].quality is None) != (made[start].quality is None):
                part = made[start:i]
                batch = batch_of(part, first_record=first, has_quality=part[0].quality is not None, keep_comments=False)
                if paired and (pair := first_unpaired(batch)) >= 0:
                    names = f"{batch.name(2 * pair)!r} and {batch.name(2 * pair + 1)!r}"
                    raise InputError(f"the mates are named {names}, expected one name", record=first + 2 * pair + 1)
                yield batch
                first += len(part)
                start = i


def _checked(given: Record | tuple[str, str], number: int) -> Record:
    """The record, if a SAM line can be made of it.

    Raises:
        InputError: no record, a name that SAM does not allow, letters that are no bases, or qualities that do not fit.
    """
    if isinstance(given, Record):
        record, texts = given, (given.name, given.sequence, given.quality or "")
    elif isinstance(given, tuple | list) and len(given) == 2:
        record, texts = Record(given[0], "", given[1]), (*given, "")
    else:
        raise InputError(f"found {_shown(given)}; expected {RECORDS}", record=number)
    if not all(isinstance(text, str) for text in texts):
        raise InputError(f"found {_shown(given)}; expected {RECORDS}, with text in them", record=number)
    if READ_NAME.fullmatch(record.name) is None:
        raise InputError(f"read name {record.name!r}; expected 1 to 254 visible ASCII characters", record=number)
    if not record.sequence.isascii() or not UPPER[np.frombuffer(record.sequence.encode("ascii"), np.uint8)].all():
        raise InputError(f"read {record.name!r} has characters that are no bases", record=number)
    if record.quality is not None:
        if len(record.quality) != len(record.sequence):
            raise InputError(
                f"quality has {counted(len(record.quality), 'character')}, sequence has {len(record.sequence)}", record=number
            )
        if QUALITIES.fullmatch(record.quality) is None:
            raise InputError(f"read {record.name!r} has qualities outside '!' to '~'", record=number)
    return record


def _shown(given: object) -> str:
    """A value as an error message shows it: cut short, with its type."""
    text = repr(given)
    return f"{text if len(text) <= 60 else f'{text[:57]}...'} ({type(given).__name__})"
