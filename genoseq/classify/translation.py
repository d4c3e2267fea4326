"""Nucleotides as the amino acids they code for: reading frames found by hexamers, learned from the sequences themselves.

A reading frame betrays itself by its hexamers: pairs of neighbouring codons that are frequent in frame and rare out of it. The
score of a pair is the log-odds, in bits, of its second codon behind the first in frame against out of frame, and the frame of
each stretch of a sequence is that of the best path through all six, where a change of frame costs ``SWITCH`` bits. So reads that
begin anywhere, either strand, and frame shifts are all handled alike, and one protein is scored, not six.

The scores are learned without any annotation (as GeneMark-S does for genomes): the first round knows only that a stop codon is
improbable in frame, each further one counts the hexamers along the paths of the round before. Fickett and Tung, Nucleic Acids
Research 20:6441 (1992); Besemer et al., Nucleic Acids Research 29:2607 (2001).

Residues are numbered in the order of ``RESIDUES``, stop included; a codon with an unknown base, and any letter that is no
residue, has the code 21, which ends a context.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from genoseq.classify.context import AMINO_ACIDS, Flat
from genoseq.kernels import kernel
from genoseq.seqs.alphabet import UNKNOWN
from genoseq.tokenizers.genetic import genetic_code

__all__ = ["RESIDUES", "find_frames", "first_scores", "learn_frames", "read_residues", "residue_codes"]

RESIDUES = b"ACDEFGHIKLMNPQRSTVWY*"
STOP = RESIDUES.index(b"*")
NO_RESIDUE = AMINO_ACIDS.symbols
CODONS, FRAMES = 64, 6
SWITCH = 14.0
"""Bits that a change of frame costs."""
STOP_COST, ROUNDS, PRIOR = 7.0, 3, 2.0


def _residue_table() -> NDArray[np.uint8]:
    table = np.full(256, NO_RESIDUE, np.uint8)
    for code, letter in enumerate(RESIDUES):
        table[[letter, ord(chr(letter).lower())]] = code
    table.setflags(write=False)
    return table


_RESIDUE_CODES = _residue_table()


def residue_codes(protein: bytes) -> NDArray[np.uint8]:
    """Codes of the letters of a protein.

    >>> residue_codes(b"ACX*y").tolist()
    [0, 1, 21, 20, 19]
    """
    return _RESIDUE_CODES[np.frombuffer(protein, np.uint8)]


def codon_residues(code: int | str = 1) -> NDArray[np.uint8]:
    """uint8 (64,): residue of each codon ``16 a + 4 b + c`` by a genetic code of NCBI."""
    return _RESIDUE_CODES[np.frombuffer(genetic_code(code).amino_acids.encode(), np.uint8)]


def first_scores(code: int | str = 1) -> NDArray[np.float32]:
    """Scores of hexamers, float32 (64, 64), for which all codons are alike but the stops."""
    stops = codon_residues(code) == STOP
    scores = np.full((CODONS, CODONS), np.log2(CODONS / (CODONS - stops.sum())), np.float32)
    scores[:, stops] = -STOP_COST
    return scores


def learn_frames(sequences: Flat, *, code: int | str = 1) -> NDArray[np.float32]:
    """Scores of hexamers, float32 (64, 64), learned from nucleotide sequences (codes of :mod:`genoseq.seqs.alphabet`)."""
    scores = first_scores(code)
    for _ in range(ROUNDS):
        counts = np.zeros((2, CODONS, CODONS), np.int64)
        _count_hexamers(*sequences, find_frames(sequences, scores), counts)
        inside, outside = (_conditional(one) for one in counts)
        scores = np.log2(inside / outside).astype(np.float32)
    return scores


def _conditional(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Probability of each codon behind each other one; where pairs are rare it leans on that of the codon alone."""
    single = (counts.sum(axis=0) + PRIOR) / (counts.sum() + PRIOR * CODONS)
    weight = 16 * PRIOR
    conditional: NDArray[np.float64] = (counts + weight * single) / (counts.sum(axis=1, keepdims=True) + weight)
    return conditional


def find_frames(sequences: Flat, scores: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Frame at each base, uint8: 0 to 2 if codons of the forward strand begin at places of that rest modulo 3 (from the start of
    the sequence), 3 to 5 likewise for codons of the reverse strand, by their lowest place."""
    frames = np.empty(len(sequences.codes), np.uint8)
    _best_paths(*sequences, scores, np.float32(SWITCH), frames)
    return frames


def read_residues(sequences: Flat, frames: NDArray[np.uint8], *, code: int | str = 1) -> Flat:
    """The residues along the frames: those of a stretch in the order of its strand, stretches parted by a code 21."""
    n = len(sequences)
    offsets = np.zeros(n + 1, np.int64)
    residues = np.empty(len(sequences.codes) // 3 + 2 * int((np.diff(frames) != 0).sum()) + n + 1, np.uint8)
    end = _read(*sequences, frames, codon_residues(code), residues, offsets)
    return Flat(residues[:end], offsets)


@kernel
def _codon_at(codes, i):
    """Number of the codon of the forward strand at ``i``; -1 if a base is unknown."""
    if codes[i] >= UNKNOWN or codes[i + 1] >= UNKNOWN or codes[i + 2] >= UNKNOWN:
        return np.int64(-1)
    return (np.int64(codes[i]) << 4) | (np.int64(codes[i + 1]) << 2) | np.int64(codes[i + 2])


@kernel
def _mirrored(codon):
    """The codon of the reverse strand at the same place."""
    if codon < 0:
        return codon
    other = 63 - codon
    return ((other & 3) << 4) | (other & 12) | (other >> 4)


@kernel
def _best_paths(codes, offsets, scores, switch, frames):
    """Viterbi: at each place, two of the six frames have a codon that ends a hexamer; the others go on at no cost."""
    longest = 0
    for s in range(len(offsets) - 1):
        longest = max(longest, offsets[s + 1] - offsets[s])
    came = np.empty((longest + 1, FRAMES), np.uint8)
    best = np.empty(FRAMES, np.float32)
    for s in range(len(offsets) - 1):
        start, n = offsets[s], offsets[s + 1] - offsets[s]
        for f in range(FRAMES):
            best[f] = np.float32(0)
        for i in range(n):
            top = 0
            for f in range(1, FRAMES):
                if best[f] > best[top]:
                    top = f
            for f in range(FRAMES):
                came[i, f] = f
                if best[top] - switch > best[f]:
                    best[f] = best[top] - switch
                    came[i, f] = top
            if i >= 3 and i + 3 <= n:
                first, second = _codon_at(codes, start + i - 3), _codon_at(codes, start + i)
                if first >= 0 and second >= 0:
                    best[i % 3] += scores[first, second]
                    best[3 + i % 3] += scores[_mirrored(second), _mirrored(first)]
        at = 0
        for f in range(1, FRAMES):
            if best[f] > best[at]:
                at = f
        for i in range(n - 1, -1, -1):
            frames[start + i] = at
            at = came[i, at]


@kernel
def _count_hexamers(codes, offsets, frames, counts):
    for s in range(len(offsets) - 1):
        start, end = offsets[s], offsets[s + 1]
        for i in range(start + 3, end - 2):
            first, second = _codon_at(codes, i - 3), _codon_at(codes, i)
            if first < 0 or second < 0 or frames[i] != frames[i - 3]:
                continue
            rest = (i - start) % 3
            counts[0 if frames[i] == rest else 1, first, second] += 1
            counts[0 if frames[i] == 3 + rest else 1, _mirrored(second), _mirrored(first)] += 1


@kernel
def _read(codes, offsets, frames, table, residues, places):
    at = 0
    for s in range(len(offsets) - 1):
        start, end = offsets[s], offsets[s + 1]
        i = start
        while i < end:
            j = i
            while j < end and frames[j] == frames[i]:
                j += 1
            if i > start:
                residues[at] = NO_RESIDUE
                at += 1
            first = i + (frames[i] % 3 - (i - start)) % 3
            n = max((min(j + 2, end) - first) // 3, 0)  # a codon belongs to the stretch in which it begins
            for k in range(n):
                codon = _codon_at(codes, first + 3 * k)
                if frames[i] < 3:
                    residues[at + k] = table[codon] if codon >= 0 else NO_RESIDUE
                else:
                    residues[at + n - 1 - k] = table[_mirrored(codon)] if codon >= 0 else NO_RESIDUE
            at += n
            i = j
        places[s + 1] = at
    return at
