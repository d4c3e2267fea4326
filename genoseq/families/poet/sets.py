"""Sets of sequences that PoET learns from, drawn from families.

Each set depends on the seed and its number alone: not on the batch it is in.
"""

from __future__ import annotations

import glob
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from genoseq.errors import InputError
from genoseq.families.poet.prompt import Homologues, set_ids
from genoseq.nets.heads import IGNORED

__all__ = ["Family", "SequenceSet", "collate", "draw_set", "family_files", "read_family", "read_homologues"]


class Family(NamedTuple):
    """Sequences of one family as ids, each with start and stop, and their weights ``(N,)``."""

    ids: tuple[NDArray[np.int64], ...]
    weights: NDArray[np.float64]
    sequences: frozenset[str]


class SequenceSet(NamedTuple):
    """Ids ``(L,)`` of sequences one after another, and the number of each one's tokens."""

    ids: NDArray[np.int64]
    sizes: tuple[int, ...]


def family_files(patterns: Sequence[str], base: Path) -> list[Path]:
    """The files that names and patterns stand for, in order of the patterns, each once.

    Raises:
        InputError: a pattern that no file fits.
    """
    found: dict[Path, None] = {}
    for pattern in patterns:
        names = sorted(glob.glob(str(base / pattern))) if glob.has_magic(pattern) else [str(base / pattern)]
        if not names:
            raise InputError("no file has a name like this", path=base / pattern)
        found |= dict.fromkeys(map(Path, names))
    return list(found)


def read_homologues(path: Path | str, *, query: str | None = "auto", unaligned: bool = False, **options: Any) -> Homologues:
    """The homologues in a file.

    Args:
        path: an alignment, or FASTA of sequences that are not aligned.
        query: the wild type, see `genoseq.families.alignments.files.read_alignment`: a name, a sequence or ``"first"``; for
            ``"auto"``, sequences that are not aligned have none.
        unaligned: the sequences are not aligned: all have one weight.
        options: of `read_alignment`.

    Raises:
        InputError: no alignment, or no sequences.
    """
    from genoseq.families.alignments.files import read_alignment
    from genoseq.families.alignments.protein_records import read_proteins

    if unaligned:
        records = list(read_proteins(path))
        if not records:
            raise InputError("holds no sequences", path=path)
        named = {"first": records[0].sequence} | {record.name: record.sequence for record in records}
        wanted = None if query in (None, "auto") else named.get(query, query)
        return Homologues.of([record.sequence for record in records], query=wanted)
    return Homologues.of(read_alignment(path, query=query, **options))


def read_family(path: Path, tokenizer: Any) -> Family:
    """A family to learn from: an alignment if rows are aligned, sequences of one weight otherwise.

    Raises:
        InputError: the file cannot be read, or holds no sequences.
    """
    aligned = _is_aligned(path)
    homologues = read_homologues(path, unaligned=not aligned)
    ids = tuple(set_ids(tokenizer, [sequence]) for sequence in homologues.sequences)
    return Family(ids, homologues.weights, frozenset(homologues.sequences))


def _is_aligned(path: Path) -> bool:
    """Whether a file is Stockholm, or FASTA with gaps."""
    from genoseq.seqs.stream import open_bytes

    with open_bytes(path) as stream:
        first = True
        rest = b""
        while piece := stream.read(1 << 20):
            if first and not piece.lstrip().startswith(b">"):
                return True
            first = False
            lines = (rest + piece).split(b"\n")
            rest = lines.pop()
            if any(b"-" in line or b"." in line for line in lines if not line.startswith(b">")):
                return True
        return not rest.startswith(b">") and (b"-" in rest or b"." in rest)


def draw_set(family: Family, context: int, chance: np.random.Generator, *, reverse: bool = False) -> SequenceSet:
    """Sequences of a family, drawn by their weights without replacement until the context is full; the last is cut to fit.

    Args:
        family: what to draw from.
        context: most tokens.
        chance: random numbers; one for each sequence of the family is used.
        reverse: each sequence is read from its last residue.
    """
    times = chance.exponential(size=len(family.ids))
    times = np.divide(times, family.weights, out=np.full(len(times), np.inf), where=family.weights > 0)
    parts: list[NDArray[np.int64]] = []
    room = context
    for number in np.argsort(times, kind="stable").tolist():
        if room < 3 or not np.isfinite(times[number]):
            break
        ids = family.ids[number]
        parts.append((ids[::-1] if reverse else ids)[:room])
        room -= len(parts[-1])
    return SequenceSet(np.concatenate(parts), tuple(len(part) for part in parts))


def collate(sets: Sequence[SequenceSet], pad: int) -> dict[str, Tensor]:
    """``input_ids`` and ``labels`` (B, L) and ``segment_sizes`` (B, S) of sets.

    Nothing is to be learnt of where a sequence begins, nor of unknown residues and padding (both ``pad``).
    """
    length = max(len(one.ids) for one in sets)
    ids = np.full((len(sets), length), pad, np.int64)
    sizes = np.zeros((len(sets), max(len(one.sizes) for one in sets)), np.int64)
    labels = np.full_like(ids, IGNORED)
    for row, one in enumerate(sets):
        ids[row, : len(one.ids)] = one.ids
        sizes[row, : len(one.sizes)] = one.sizes
        labels[row, : len(one.ids)] = np.where(one.ids == pad, IGNORED, one.ids)
        labels[row, np.cumsum((0, *one.sizes[:-1]))] = IGNORED
    arrays = {"input_ids": ids, "labels": labels, "segment_sizes": sizes}
    return {name: torch.from_numpy(values) for name, values in arrays.items()}
