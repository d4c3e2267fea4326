"""Simulated reads with their true places in their names, for judging a read mapper.

Two sources of difference are kept apart. *Divergence* is difference between the sampled genome and the reference:
substitutions, one-base insertions and one-base deletions, equally likely at each base of the genome, unknown to the
qualities. *Errors* are made by the sequencer: substitutions that follow the written qualities
(:mod:`genoseq.evaluate.sequencing`).

Places are uniform over all places and both strands where the read (both mates of a pair) fits in a contig and touches
no base other than A, C, G, T. Reads are made in batches of a size fixed by the settings, each with its own random
stream derived from the seed and the number of the batch: read ``n`` is the same whether 100 or a million reads are
made.
"""

from __future__ import annotations

import gzip
import io
import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from genoseq.errors import InputError, UsageError
from genoseq.evaluate.sequencing import QualityProfile
from genoseq.evaluate.truth import Place, Truth, format_name
from genoseq.outputs import whole_file
from genoseq.seqs.alphabet import COMPLEMENT, LETTERS
from genoseq.seqs.genome import Genome

__all__ = ["ReadModel", "SimulatedRead", "read_genomes", "simulate_reads", "write_fastq", "write_reads"]

MIN_LENGTH = 20
BATCH_BASES = 1 << 21  # template bases per batch: bounds memory, and is part of what a seed means
PLACING_ROUNDS = 1000


@dataclass(frozen=True, kw_only=True)
class ReadModel:
    """What the simulated reads look like.

    Attributes:
        lengths: read lengths in bases; each read draws one of them.
        divergence: edits per base of the sampled genome, 0 to 0.5.
        mix: relative shares of substitutions, insertions and deletions among the edits.
        errors: mean sequencing error rate per base (0, or 0.0001 to 0.2).
        paired: two mates per fragment, facing each other (FR).
        insert_mean, insert_sd: fragment length in bp, outer ends of both mates (never shorter than a mate).
        seed: same seed, same reads, same bytes.
    """

    lengths: tuple[int, ...] = (150,)
    divergence: float = 0.0
    mix: tuple[float, float, float] = (8.0, 1.0, 1.0)
    errors: float = 0.0
    paired: bool = False
    insert_mean: float = 350.0
    insert_sd: float = 50.0
    seed: int = 1

    def __post_init__(self) -> None:
        if not self.lengths or min(self.lengths) < MIN_LENGTH:
            raise UsageError(
                f"read lengths {list(self.lengths)}: expected one or more, each at least {MIN_LENGTH} bases"
            )
        if not 0 <= self.divergence <= 0.5:
            raise UsageError(f"divergence {self.divergence}: expected edits per base, 0 to 0.5 (0.02 is 2 %)")
        if len(self.mix) != 3 or not all(math.isfinite(share) and share >= 0 for share in self.mix) or sum(self.mix) == 0:
            raise UsageError(
                f"mix {self.mix}: expected three shares (substitutions, insertions, deletions), not all zero"
            )
        if self.paired and not (0 < self.insert_mean < math.inf and 0 <= self.insert_sd < math.inf):
            raise UsageError(
                f"insert {self.insert_mean} ± {self.insert_sd} bp: expected a positive mean, a spread of 0 or more"
            )
        if self.seed < 0:
            raise UsageError(f"seed {self.seed}: expected 0 or more")

    @property
    def edit_rates(self) -> tuple[float, float, float]:
        """Substitutions, insertions and deletions per base."""
        total = sum(self.mix)
        substitution, insertion, deletion = (self.divergence * share / total for share in self.mix)
        return substitution, insertion, deletion


class SimulatedRead(NamedTuple):
    """A read or a pair: one sequence and one quality string (Phred+33) per mate."""

    name: str
    sequences: tuple[bytes, ...]
    qualities: tuple[bytes, ...]


class _Edits(NamedTuple):
    """Edits of one mate of each fragment of a batch, over ``(B, T)`` template bases in the direction of the read."""

    lengths: NDArray[np.int64]  # (B,) bases each read shall have
    used: NDArray[np.int64]  # (B,) template bases the read covers
    substituted: NDArray[np.bool_]
    emitted: NDArray[np.int8]  # 0 deleted, 1, or 2: an inserted base comes first


def _template_length(model: ReadModel) -> int:
    """Template bases that are enough for the longest read (about twelve standard deviations of spare)."""
    longest = max(model.lengths)
    deletion = model.edit_rates[2]
    spare = 12 * math.sqrt(longest * deletion) + 8 if deletion else 0
    return math.ceil(longest / (1 - deletion) + spare)


def _draw_edits(random: np.random.Generator, model: ReadModel, size: int, width: int) -> _Edits:
    lengths = np.asarray(model.lengths)[random.integers(0, len(model.lengths), size)]
    substitution, insertion, deletion = model.edit_rates
    event = random.random((size, width), np.float32)
    substituted = event < substitution
    inserted = (event >= substitution) & (event < substitution + insertion)
    deleted = (event >= substitution + insertion) & (event < substitution + insertion + deletion)
    deleted[:, 0] = False  # otherwise the read would start one base later than its name says
    emitted = 1 - deleted.astype(np.int8) + inserted
    made = np.cumsum(emitted, axis=1, dtype=np.int32)
    short = made[:, -1] < lengths  # beyond twelve standard deviations; kept whole by taking the deletions back
    if short.any():
        emitted[short] = np.maximum(emitted[short], 1)
        made[short] = np.cumsum(emitted[short], axis=1, dtype=np.int32)
    last = (made < lengths[:, None]).sum(axis=1)
    used = last + 1 - (made[np.arange(size), last] > lengths)  # not the base behind an insertion that ends the read
    return _Edits(lengths, used, substituted, emitted)


def _gather(genome: Genome, start: NDArray[np.int64], edits: _Edits, reverse: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Template codes (B, T) in the direction of the read; columns at and beyond ``used`` are not meaningful."""
    column = np.arange(edits.emitted.shape[1])
    at = np.where(reverse[:, None], (start + edits.used - 1)[:, None] - column, start[:, None] + column)
    codes = genome.codes[np.clip(at, 0, genome.codes.size - 1)]
    template: NDArray[np.uint8] = np.where(reverse[:, None], COMPLEMENT[codes], codes)
    return template


def _rows(edits: _Edits, rows: NDArray[np.int64]) -> _Edits:
    return _Edits(edits.lengths[rows], edits.used[rows], edits.substituted[rows], edits.emitted[rows])


def _place(
    random: np.random.Generator, genome: Genome, mates: list[_Edits], span: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64], list[NDArray[np.bool_]], list[NDArray[np.uint8]]]:
    """Contig (B,), start of each mate in the concatenated genome (mates, B), strand and template of each mate."""
    size = span.size
    contig = np.zeros(size, np.int64)
    starts = np.zeros((len(mates), size), np.int64)
    first_reverse = random.random(size) < 0.5
    reverses = [first_reverse, ~first_reverse][: len(mates)]
    templates = [np.zeros(mate.emitted.shape, np.uint8) for mate in mates]
    pending = np.arange(size)
    for _ in range(PLACING_ROUNDS):
        left = random.integers(0, genome.codes.size, pending.size)
        at = np.searchsorted(genome.offsets, left, side="right") - 1
        fits = left + span[pending] <= genome.offsets[at + 1]
        rows, left, at = pending[fits], left[fits], at[fits]
        clean = np.ones(rows.size, np.bool_)
        drawn = []
        for mate, reverse in zip(mates, reverses, strict=True):
            part = _rows(mate, rows)
            start = np.where(reverse[rows], left + span[rows] - part.used, left)
            template = _gather(genome, start, part, reverse[rows])
            covered = np.arange(template.shape[1]) < part.used[:, None]
            clean &= ~((template > 3) & covered).any(axis=1)
            drawn.append((start, template))
        rows = rows[clean]
        contig[rows] = at[clean]
        for number, (start, template) in enumerate(drawn):
            starts[number, rows] = start[clean]
            templates[number][rows] = template[clean]
        pending = np.setdiff1d(pending, rows, assume_unique=True)
        if not pending.size:
            return contig, starts, reverses, templates
    raise InputError(
        f"no place found for fragments of {int(span[pending].min())} to {int(span[pending].max())} bp: contigs are too "
        f"short or hold too many bases other than A, C, G, T (longest contig {int(np.diff(genome.offsets).max())} bp)",
        remedy="simulate shorter reads or inserts, or give longer sequences",
    )


def _apply(random: np.random.Generator, edits: _Edits, template: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Edited codes of the reads, shape (B, longest read); columns beyond a read's length are 4."""
    size, width = template.shape
    changed = template.copy()
    spots = np.nonzero(edits.substituted)
    changed[spots] = (changed[spots] + random.integers(1, 4, spots[0].size).astype(np.uint8)) % 4
    counts = edits.emitted.reshape(-1)
    source = np.repeat(np.arange(size * width), counts)
    base = changed.reshape(-1)[source]
    row_first = np.concatenate(([0], np.cumsum(edits.emitted.sum(axis=1, dtype=np.int64))))
    first_copy = np.concatenate(([0], np.cumsum(counts, dtype=np.int64)[:-1]))
    fresh = first_copy[counts == 2]  # the first of two bases from one template base is the inserted one
    base[fresh] = random.integers(0, 4, fresh.size)
    row = source // width
    column = np.arange(source.size) - row_first[row]
    wanted = column < edits.lengths[row]
    out = np.full((size, int(edits.lengths.max())), 4, np.uint8)
    out[row[wanted], column[wanted]] = base[wanted]
    return out


def _batch(genome: Genome, model: ReadModel, number: int, size: int, width: int) -> Iterator[SimulatedRead]:
    random = np.random.Generator(np.random.PCG64(np.random.SeedSequence([model.seed, number])))
    mates = [_draw_edits(random, model, size, width) for _ in range(2 if model.paired else 1)]
    span = np.maximum.reduce([mate.used for mate in mates])
    if model.paired:
        span = np.maximum(span, np.rint(random.normal(model.insert_mean, model.insert_sd, size)).astype(np.int64))
    contig, starts, reverses, templates = _place(random, genome, mates, span)
    sequences: list[NDArray[np.uint8]] = []
    qualities: list[NDArray[np.uint8]] = []
    for mate, template in zip(mates, templates, strict=True):
        codes = _apply(random, mate, template)
        quality = np.zeros(codes.shape, np.uint8)
        for length in sorted(set(model.lengths)):
            rows = np.nonzero(mate.lengths == length)[0]
            drawn, wrong = QualityProfile(length=length, mean_error=model.errors).draw(random, rows.size)
            quality[rows, :length] = drawn + 33
            part = codes[rows, :length]
            part[wrong] = (part[wrong] + random.integers(1, 4, int(wrong.sum())).astype(np.uint8)) % 4
            codes[rows, :length] = part
        sequences.append(np.frombuffer(LETTERS, np.uint8)[codes])
        qualities.append(quality)
    ends = [starts[m] + mate.used for m, mate in enumerate(mates)]
    for row in range(size):
        chosen = int(contig[row])
        name, offset = genome.names[chosen], int(genome.offsets[chosen])
        places = tuple(
            Place(name, int(starts[m, row]) - offset, int(ends[m][row]) - offset, bool(reverses[m][row]))
            for m in range(len(mates))
        )
        yield SimulatedRead(
            format_name(Truth(number * size + row + 1, places)),
            tuple(sequences[m][row, : mate.lengths[row]].tobytes() for m, mate in enumerate(mates)),
            tuple(qualities[m][row, : mate.lengths[row]].tobytes() for m, mate in enumerate(mates)),
        )


def simulate_reads(genome: Genome, model: ReadModel, *, count: int) -> Iterator[SimulatedRead]:
    """The first ``count`` reads (or pairs) that ``model`` and its seed define over ``genome``."""
    if count < 0:
        raise UsageError(f"number of reads {count}: expected 0 or more")
    width = _template_length(model)
    size = max(16, min(8192, BATCH_BASES // width))
    made = 0
    while made < count:
        for read in _batch(genome, model, made // size, size, width):
            yield read
            made += 1
            if made == count:
                return


def read_genomes(paths: Sequence[Path]) -> Genome:
    """The contigs of several FASTA files as one genome.

    Raises:
        InputError: a file is not FASTA, or two contigs have the same name.
    """
    genomes = [Genome.from_fasta(path) for path in paths]
    if len(genomes) == 1:
        return genomes[0]
    names: list[str] = []
    for path, genome in zip(paths, genomes, strict=True):
        for name in set(names).intersection(genome.names):
            raise InputError(
                f"contig {name!r} is also in an earlier file", path=path, remedy="rename one of the two contigs"
            )
        names += genome.names
    sizes = np.concatenate([genome.lengths for genome in genomes])
    offsets = np.concatenate(([0], np.cumsum(sizes))).astype(np.int64)
    codes = np.concatenate([genome.codes for genome in genomes])
    return Genome(names, offsets, codes, [md5 for genome in genomes for md5 in genome.md5])


def write_fastq(reads: Iterable[SimulatedRead], streams: Sequence[BinaryIO]) -> int:
    """Write FASTQ to one stream (pairs interleaved) or mate by mate to as many streams as there are mates.

    Returns the number of reads or pairs written.
    """
    count = 0
    for count, read in enumerate(reads, start=1):  # noqa: B007  (the count is the result)
        name = read.name.encode()
        for mate, (sequence, quality) in enumerate(zip(read.sequences, read.qualities, strict=True)):
            streams[mate % len(streams)].write(b"@%b\n%b\n+\n%b\n" % (name, sequence, quality))
    return count


def write_reads(genome: Genome, model: ReadModel, paths: Sequence[Path], *, count: int) -> None:
    """Write ``count`` reads as FASTQ to one file (pairs interleaved), or the mates of pairs to two files.

    A name that ends in ``.gz`` is compressed, without a time stamp: same reads, same bytes. Files appear whole or not
    at all.

    Raises:
        UsageError: two files for single reads, or more than two.
    """
    if len(paths) not in ((1, 2) if model.paired else (1,)):
        raise UsageError(
            f"{len(paths)} output files for {'paired' if model.paired else 'single'} reads: "
            f"expected {'one or two' if model.paired else 'one'}"
        )
    with ExitStack() as stack:
        streams: list[BinaryIO] = []
        for path in paths:
            stream = stack.enter_context(open(stack.enter_context(whole_file(path)), "wb"))
            if path.suffix == ".gz":
                packed = gzip.GzipFile(filename="", mode="wb", fileobj=stream, compresslevel=3, mtime=0)
                stream = stack.enter_context(io.BufferedWriter(packed, 1 << 20))
            streams.append(stream)
        write_fastq(simulate_reads(genome, model, count=count), streams)
