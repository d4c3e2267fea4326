"""Small sets of sequences with known ancestry."""

from __future__ import annotations

import random

BASES = "ACGT"


def random_sequence(draw: random.Random, length: int) -> str:
    return "".join(draw.choices(BASES, k=length))


def mutated(draw: random.Random, sequence: str, rate: float) -> str:
    """The sequence with each base replaced by another one at this rate."""
    return "".join(draw.choice([base for base in BASES if base != old]) if draw.random() < rate else old for old in sequence)


def families(
    count: int = 3, members: int = 6, *, length: int = 300, rate: float = 0.05, seed: int = 1
) -> tuple[list[str], list[str]]:
    """Members of families that descend from one ancestor each, and the names of their families."""
    draw = random.Random(seed)
    sequences, labels = [], []
    for family in range(count):
        ancestor = random_sequence(draw, length)
        for _ in range(members):
            sequences.append(mutated(draw, ancestor, rate))
            labels.append(f"family{family}")
    return sequences, labels
