"""The index of a reference: window codes filed by anchor, the bases, and a manifest; built whole or not at all.

A folder (see ``docs/formats.md``)::

    manifest.json   format and version, parameters, the encoder's digest, sizes of the files
    contigs.tsv     name, length, MD5 of each contig
    genome.npy      one byte per base: A0 C1 G2 T3, 4 for anything else
    codes.faiss     the FAISS store of window codes
    bounds.npy      where each minor cell of a list begins
    encoder.npy     the window encoder's table, if it is not the one that comes with genoseq
"""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genoseq import __version__
from genoseq.align.candidates import MINOR, minor_cell
from genoseq.align.place import IndexArrays
from genoseq.embed.anchors import MAX_K, MIN_K, anchor_cells, number_of_lists
from genoseq.embed.window import BITS, WindowEncoder, code_windows
from genoseq.errors import IndexFormatError, OutputError, UsageError
from genoseq.kernels import lean_kernel
from genoseq.log import counted
from genoseq.outputs import whole_folder
from genoseq.parallel import ordered_map
from genoseq.seqs.genome import Genome
from genoseq.store import AnchorIVFStore

__all__ = ["FORMAT", "VERSION", "Index", "build_index", "check_replaceable", "choose_parameters", "is_index", "write_index"]

log = logging.getLogger(__name__)

FORMAT = "genoseq.align-index"
VERSION = 1
ATTEMPTS = 5  # to open an index that others replace at the time
MANIFEST = "manifest.json"
CONTIGS = "contigs.tsv"
GENOME = "genome.npy"
ENCODER = "encoder.npy"
FILES = (CONTIGS, GENOME, "codes.faiss", "bounds.npy")
CHUNK = 1 << 20
HALF = 0.5
SMALLEST_K = 6
LIST_LENGTH = 600
"""Mean length of an inverted list that a scan can afford, codes."""
MANY, SHORT = 1000, 1000
"""Contigs, and their greatest length in bp, from which on a reference looks like a file of reads."""


def choose_parameters(bases: int, *, memory: int | None = None) -> tuple[int, float]:
    """Anchor length and density for a reference of ``bases`` bp on a machine with ``memory`` bytes available.

    The density is 1/2, or the largest of 1/4, 1/8 and 1/16 at which the index (24 bytes a code and one a base) takes
    at most a third of the memory: building needs two to three times as much. ``k`` is the
    smallest that keeps the lists at about 600 codes.
    """
    density = HALF
    if memory is not None:
        while density > 1 / 16 and bases * (24 * density + 1) > memory / 3:
            density /= 2
    k = max(SMALLEST_K, min(MAX_K, math.ceil(math.log(max(2 * bases / LIST_LENGTH, 1), 4))))
    return k, density


def available_memory() -> int | None:
    """Bytes of memory that can be used without swapping, or None where the system does not tell."""
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except OSError:
        return None
    return None


@lean_kernel
def _count_cells(codes, offsets, k, cells, bounds):
    """Count the anchors of each minor cell into ``bounds[cell + 2]``."""
    mask = (1 << (2 * k)) - 1
    for contig in range(offsets.shape[0] - 1):
        lo = offsets[contig]
        hi = offsets[contig + 1]
        word = 0
        filled = 0
        for i in range(lo, hi):
            c = codes[i]
            if c > 3:
                filled = 0
                continue
            word = ((word << 2) | c) & mask
            filled += 1
            if filled >= k:
                entry = cells[word]
                if entry >= 0:
                    minor = max(np.int64(0), minor_cell(codes, lo, hi, i - k + 1, k, entry & 1))
                    bounds[np.int64(entry >> 1) * MINOR + minor + 2] += 1


@lean_kernel
def _file_anchors(codes, offsets, k, cells, bounds, ids):
    """Write each anchor's id at the next free slot of its cell; ``bounds[cell + 1]`` counts up from the cell's first."""
    mask = (1 << (2 * k)) - 1
    for contig in range(offsets.shape[0] - 1):
        lo = offsets[contig]
        hi = offsets[contig + 1]
        word = 0
        filled = 0
        for i in range(lo, hi):
            c = codes[i]
            if c > 3:
                filled = 0
                continue
            word = ((word << 2) | c) & mask
            filled += 1
            if filled >= k:
                entry = cells[word]
                if entry >= 0:
                    position = i - k + 1
                    minor = max(np.int64(0), minor_cell(codes, lo, hi, position, k, entry & 1))
                    cell = np.int64(entry >> 1) * MINOR + minor
                    ids[bounds[cell + 1]] = position << 1 | (entry & 1)
                    bounds[cell + 1] += 1


def build_index(
    reference: Path | str,
    folder: Path | str,
    *,
    k: int | None = None,
    density: float | None = None,
    encoder: WindowEncoder | None = None,
    threads: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> Index:
    """Build the index of a FASTA file in ``folder`` and open it.

    Args:
        reference: FASTA, plain or compressed, or ``-``.
        k, density: anchor length (bp) and fraction of k-mers that anchor; chosen by :func:`choose_parameters` if None.
        encoder: window encoder; the shipped one if None.
        progress: called with (codes done, codes in all).

    Raises:
        InputError: the reference cannot be used.
        OutputError: the folder cannot be written, or holds something that is no index.
        UsageError: ``k`` or ``density`` out of range.
    """
    if k is not None and not MIN_K <= k <= MAX_K:
        raise UsageError(f"k is {k}; expected {MIN_K} to {MAX_K}")
    if density is not None and not 0 < density <= 1:
        raise UsageError(f"density is {density}; expected more than 0 and at most 1")
    encoder = encoder or WindowEncoder.shipped()
    check_replaceable(Path(folder))
    with whole_folder(folder, marker=MANIFEST) as made:
        genome = Genome.from_fasta(reference)
        chosen_k, chosen_density = choose_parameters(len(genome.codes), memory=available_memory())
        k = k or chosen_k
        density = density or chosen_density
        if density < HALF and density == chosen_density:
            log.warning("memory is short: density %g instead of %g; fewer divergent reads will be found", density, HALF)
        contigs = counted(len(genome.names), "contig")
        log.info("%s: %d bp in %s; k %d, density %g", reference, len(genome.codes), contigs, k, density)
        longest = int(genome.lengths.max())
        if len(genome.names) >= MANY and longest < SHORT:
            log.warning("%s: %s, the longest of %d bp: is this a genome, or a file of reads?", reference, contigs, longest)
        name = "" if str(reference) == "-" else Path(reference).name
        write_index(genome, made, reference=name, k=k, density=density, encoder=encoder, threads=threads, progress=progress)
    return Index.open(folder)


def write_index(
    genome: Genome,
    folder: Path,
    *,
    reference: str,
    k: int,
    density: float,
    encoder: WindowEncoder,
    threads: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Write the files of an index into an empty folder; arguments as of :func:`build_index`, ``reference`` a mere name.

    Raises:
        UsageError: no k-mer anchors.
    """
    cells = anchor_cells(k, density)
    lists = number_of_lists(cells)
    if lists == 0:
        raise UsageError(f"at density {density} no k-mer of {k} bp anchors; choose a greater density or k")
    bounds = np.zeros(lists * MINOR + 2, np.int64)
    _count_cells(genome.codes, genome.offsets, k, cells, bounds)
    np.cumsum(bounds, out=bounds)
    ids = np.empty(int(bounds[-1]), np.int64)
    _file_anchors(genome.codes, genome.offsets, k, cells, bounds, ids)
    bounds = bounds[:-1]

    store = AnchorIVFStore(bits=BITS, lists=lists, minor=MINOR)
    rows = encoder.rows

    def code(first: int) -> tuple[int, NDArray[np.uint64]]:
        out = np.empty((min(CHUNK, len(ids) - first), 2), np.uint64)
        code_windows(genome.codes, genome.offsets, ids[first : first + CHUNK], k, rows, encoder.context, out)
        return first, out

    for first, words in ordered_map(code, range(0, len(ids), CHUNK), threads=threads):
        last = first + len(words)
        numbers = np.searchsorted(bounds, np.arange(first, last), side="right") - 1
        store.add_sorted(words.view(np.uint8).reshape(-1, BITS // 8), numbers, ids[first:last])
        if progress is not None:
            progress(last, len(ids))
    store.save(folder)
    np.save(folder / GENOME, genome.codes)
    if encoder.digest != WindowEncoder.shipped().digest:
        np.save(folder / ENCODER, encoder.table)
    _write_manifest(
        folder, reference=reference, genome=genome, k=k, density=density, encoder=encoder, lists=lists, codes=len(ids)
    )


def _identity(folder: Path) -> tuple[int, int, int] | None:
    """What tells a folder from another one put into its place; None if there is none."""
    try:
        state = (folder / MANIFEST).stat()
    except OSError:
        return None
    return state.st_dev, state.st_ino, state.st_mtime_ns


def check_replaceable(folder: Path) -> None:
    """Refuse to replace a folder that holds anything besides an index: replacing it would delete that, too.

    Raises:
        OutputError: names what lies there.
    """
    if not is_index(folder):
        return
    try:
        manifest = json.loads((folder / MANIFEST).read_text())
        ours = manifest["format"] == FORMAT
    except (OSError, ValueError, KeyError, TypeError):
        ours = False
    if not ours:
        raise OutputError(f"{folder}: its {MANIFEST} is not that of an index, so it is not replaced; choose another folder")
    others = sorted({path.name for path in folder.iterdir()} - {MANIFEST, *FILES, *manifest.get("files", ())})
    if others:
        raise OutputError(
            f"{folder}: holds {others[0]!r} beside the index, so it is not replaced; move that away or choose another folder"
        )


def _write_manifest(
    folder: Path, *, reference: str, genome: Genome, k: int, density: float, encoder: WindowEncoder, lists: int, codes: int
) -> None:
    rows = zip(genome.names, np.diff(genome.offsets), genome.md5, strict=True)
    (folder / CONTIGS).write_text("".join(f"{name}\t{length}\t{md5}\n" for name, length, md5 in rows))
    manifest = {
        "format": FORMAT,
        "version": VERSION,
        "genoseq": __version__,
        "reference": reference,
        "bases": len(genome.codes),
        "contigs": len(genome.names),
        "k": k,
        "density": density,
        "lists": lists,
        "minor": MINOR,
        "codes": codes,
        "encoder": encoder.digest,
        "files": {name: (folder / name).stat().st_size for name in (*FILES, ENCODER) if (folder / name).is_file()},
    }
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n")


def is_index(folder: Path | str) -> bool:
    """Whether a folder calls itself an index (of whatever version)."""
    return (Path(folder) / MANIFEST).is_file()


@dataclass(frozen=True)
class Index:
    """An opened index.

    Attributes:
        folder: where it lies.
        names, lengths, md5: of the contigs, in order; lengths in bp.
        manifest: what ``manifest.json`` says.
        arrays: what the mapper's kernels read; memory-mapped where large.
    """

    folder: Path
    names: list[str]
    lengths: list[int]
    md5: list[str]
    manifest: dict[str, Any]
    arrays: IndexArrays
    _store: AnchorIVFStore  # owns the memory map behind ``arrays.data``

    @property
    def bases(self) -> int:
        """Size of the reference, bp."""
        return int(self.manifest["bases"])

    @property
    def reference(self) -> str:
        """File name of the reference it was built from; the folder's name if that is not known."""
        return str(self.manifest.get("reference") or self.folder.resolve().name)

    @property
    def bytes_on_disk(self) -> int:
        """Size of all files of the index."""
        return sum(path.stat().st_size for path in self.folder.iterdir())

    @classmethod
    def open(cls, folder: Path | str) -> Index:
        """Open an index by memory map; one that is being replaced at the time is opened anew.

        Raises:
            IndexFormatError: no index, incomplete, of another version, or made with an encoder that neither lies in it nor comes
                with this genoseq.
        """
        folder = Path(folder)
        for _ in range(ATTEMPTS - 1):
            before = _identity(folder)
            try:
                found = cls._open(folder)
            except IndexFormatError:
                if _identity(folder) == before:
                    raise
            else:
                if _identity(folder) == before:
                    return found
        return cls._open(folder)

    @classmethod
    def _open(cls, folder: Path) -> Index:
        rebuild = "build it again with `genoseq index`"
        try:
            manifest = json.loads((folder / MANIFEST).read_text())
        except FileNotFoundError as error:
            remedy = "build one with `genoseq index REF`"
            raise IndexFormatError(f"no index: it has no {MANIFEST}", path=folder, remedy=remedy) from error
        except (OSError, ValueError) as error:
            raise IndexFormatError(f"{MANIFEST} cannot be read ({error})", path=folder, remedy=rebuild) from error
        if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
            raise IndexFormatError(f"{MANIFEST} is not that of a {FORMAT}", path=folder, remedy=rebuild)
        if manifest.get("version") != VERSION:
            raise IndexFormatError(
                f"index of format version {manifest.get('version')}, this genoseq reads version {VERSION}",
                path=folder,
                remedy=rebuild,
            )
        try:
            return cls._opened(folder, manifest, rebuild)
        except (KeyError, TypeError, AttributeError, ValueError, OSError, EOFError) as error:
            raise IndexFormatError(f"the index is damaged ({error!r})", path=folder, remedy=rebuild) from error

    @classmethod
    def _opened(cls, folder: Path, manifest: dict[str, Any], rebuild: str) -> Index:
        """The index whose manifest has been read; damage shows in whatever exception it causes."""
        missing = sorted(set(FILES) - set(manifest["files"]))
        if missing:
            raise IndexFormatError(f"{MANIFEST} does not name {missing[0]}", path=folder, remedy=rebuild)
        for name, size in manifest["files"].items():
            found = (folder / name).stat().st_size if (folder / name).is_file() else None
            if found != size:
                what = "is missing" if found is None else f"has {found} bytes, expected {size}"
                raise IndexFormatError(f"{name} {what}", path=folder, remedy=rebuild)
        own = ENCODER in manifest["files"]
        encoder = WindowEncoder.from_table(np.load(folder / ENCODER), name="own") if own else WindowEncoder.shipped()
        if manifest["encoder"] != encoder.digest:
            holder = "its folder" if own else "this genoseq"
            raise IndexFormatError(
                f"made with window encoder {manifest['encoder'][:12]}, {holder} has {encoder.digest[:12]}",
                path=folder,
                remedy=rebuild,
            )
        contigs = [line.split("\t") for line in (folder / CONTIGS).read_text().splitlines()]
        lengths = [int(length) for _, length, _ in contigs]
        store = AnchorIVFStore.open(folder, bits=BITS, lists=manifest["lists"], minor=manifest["minor"])
        view = store.view()
        arrays = IndexArrays(
            codes=np.load(folder / GENOME, mmap_mode="r"),
            offsets=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
            cells=anchor_cells(manifest["k"], manifest["density"]),
            data=view.data,
            bounds=view.bounds,
            rows=encoder.rows,
            k=manifest["k"],
            context=encoder.context,
        )
        # the kernels check no bounds: what they index with must fit
        if (manifest["minor"], manifest["lists"]) != (MINOR, number_of_lists(arrays.cells)):
            raise ValueError("anchors and lists do not fit each other")
        if arrays.codes.dtype != np.uint8 or arrays.codes.shape != (sum(lengths),):
            raise ValueError(f"{GENOME} and {CONTIGS} do not fit each other")
        return cls(
            folder, [name for name, _, _ in contigs], lengths, [md5 for _, _, md5 in contigs], manifest, arrays, store
        )
