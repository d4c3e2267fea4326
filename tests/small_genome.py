"""A small random genome with planted repeats, and reads cut from it, for tests of the mapper."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from sam_rules import reverse_complement

Read = tuple[str, str, str | None]

REPEAT = 800
"""Length of the exact repeat."""
REPEAT_AT = (("one", 5_000, 0), ("one", 40_000, 0), ("two", 10_000, 1))
"""Its copies: contig, position, strand."""


def letters(rng: np.random.Generator, n: int) -> str:
    return "".join(np.array(list("ACGT"))[rng.integers(0, 4, n)])


def make_genome() -> dict[str, str]:
    """Contigs ``one`` (60 kb), ``two`` (30 kb, with a run of N) and ``tiny`` (300 bp)."""
    rng = np.random.default_rng(20)
    genome = {"one": letters(rng, 60_000), "two": letters(rng, 30_000), "tiny": letters(rng, 300)}
    repeat = letters(rng, REPEAT)
    for contig, at, strand in REPEAT_AT:
        copy = reverse_complement(repeat) if strand else repeat
        genome[contig] = genome[contig][:at] + copy + genome[contig][at + REPEAT :]
    genome["two"] = genome["two"][:20_000] + 50 * "N" + genome["two"][20_050:]
    return genome


def write_fasta(genome: dict[str, str], path: Path) -> Path:
    """Write contigs as FASTA, 60 letters a line."""
    rows = []
    for name, bases in genome.items():
        rows += [f">{name}", *(bases[i : i + 60] for i in range(0, len(bases), 60))]
    path.write_text("\n".join(rows) + "\n")
    return path


def with_edits(rng: np.random.Generator, sequence: str, rate: float) -> str:
    """The sequence with substitutions (half of ``rate``), and insertions and deletions of 1 to 6 bp (a tenth each), and Ns."""
    out: list[str] = []
    skip = 0
    for base in sequence:
        if skip:
            skip -= 1
            continue
        kind = rng.random()
        if kind < 0.7 * rate:
            out.append("ACGT"["ACGT".find(base) - int(rng.integers(1, 4))])
        elif kind < 0.8 * rate:
            out.append(base + letters(rng, int(rng.integers(1, 7))))
        elif kind < 0.9 * rate:
            skip = int(rng.integers(1, 7))
        elif kind < rate:
            out.append("N")
        else:
            out.append(base)
    return "".join(out) or "A"


def qualities(rng: np.random.Generator, n: int) -> str:
    return "".join(chr(33 + q) for q in rng.integers(0, 42, n))


def single_reads(genome: dict[str, str], n: int, *, seed: int = 1, rate: float = 0.05, quality: bool = True) -> list[Read]:
    """Reads of 40 to 300 bp from both strands, some of them of no origin, one empty."""
    rng = np.random.default_rng(seed)
    reads: list[Read] = []
    for i in range(n):
        length = int(rng.integers(40, 300))
        contig = ["one", "two", "one", "tiny"][i % 4]
        start = int(rng.integers(0, max(1, len(genome[contig]) - length)))
        sequence = with_edits(rng, genome[contig][start : start + length], rate * float(rng.random()) * 2)
        if rng.random() < 0.5:
            sequence = reverse_complement(sequence)
        if i % 17 == 16:
            sequence = letters(rng, length)
        if i == n // 2:
            sequence = ""
        reads.append((f"r{i}", sequence, qualities(rng, len(sequence)) if quality else None))
    return reads


def paired_reads(genome: dict[str, str], n: int, *, seed: int = 2, rate: float = 0.04) -> list[Read]:
    """``n`` pairs of 100 bp from fragments of about 300 bp, mates side by side; some mates are of no origin, or from elsewhere."""
    rng = np.random.default_rng(seed)
    reads: list[Read] = []
    for i in range(n):
        contig = ["one", "two"][i % 2]
        size = int(np.clip(rng.normal(300, 30), 150, 450))
        start = int(rng.integers(0, len(genome[contig]) - size))
        fragment = genome[contig][start : start + size]
        mates = [fragment[:100], reverse_complement(fragment[-100:])]
        if rng.random() < 0.5:
            mates.reverse()
        mates = [with_edits(rng, mate, rate * float(rng.random()) * 2) for mate in mates]
        if i % 11 == 10:
            mates[i % 2] = letters(rng, 100)
        if i % 13 == 12:
            other = int(rng.integers(0, 50_000))
            mates[1] = genome["one"][other : other + 100]
        if i % 29 == 28:
            mates = [letters(rng, 100), letters(rng, 100)]
        reads += [(f"p{i}", mate, qualities(rng, len(mate))) for mate in mates]
    return reads
