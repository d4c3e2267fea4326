"""Ask whether embeddings know the strand of a gene in a genome that they have not seen: a table, 4-mer counts beside the net.

    python tests/benchmarks/embedding_neighbours.py -m bacteria-small --reference A.fna.gz --query B.fna.gz

Windows are cut from open reading frames (stop to stop) of at least ``--shortest`` bases that overlap no other such frame, so that
they are almost surely coding; the phase of a window is random. Each window of the query genome is given the strand that most of its
``--neighbours`` nearest windows of the reference genome have, by cosine distance. Vectors are divided by the reference's spread, and
those of each genome are taken from their own mean, so that what decides is not the genomes' base composition. Half the windows are on
either strand: guessing gets 50 %.
"""

from __future__ import annotations

import argparse
import sys
from itertools import product
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import genoseq
from genoseq.infer import embed
from genoseq.seqs.alphabet import reverse_complement

STOPS = ("TAA", "TAG", "TGA")
Floats = NDArray[np.float64]


def frames(sequence: str, shortest: int) -> list[tuple[int, int]]:
    """Open reading frames of one strand, as 0-based half-open intervals."""
    found = []
    for frame in range(3):
        start = frame
        for at in range(frame, len(sequence) - 2, 3):
            if sequence[at : at + 3] in STOPS:
                if at - start >= shortest:
                    found.append((start, at))
                start = at + 3
    return found


def windows(path: Path, size: int, shortest: int, count: int) -> tuple[list[str], NDArray[np.int64]]:
    """Windows of a genome's open reading frames as they stand on the forward strand, and the strand of each (0 or 1), as many of both."""
    rng = np.random.default_rng(0)
    found: tuple[list[str], list[str]] = ([], [])
    for record in genoseq.read_fastx(path):
        forward = record.sequence.upper()
        length = len(forward)
        plus = [(*place, 0) for place in frames(forward, shortest)]
        minus = [(length - b, length - a, 1) for a, b in frames(reverse_complement(forward.encode()).decode(), shortest)]
        covered = np.zeros(length, np.int8)
        for a, b, _ in plus + minus:
            covered[a:b] += 1
        for a, b, strand in plus + minus:
            first = a + int(rng.integers(3))
            for start in range(first, b - size, size):
                if covered[start : start + size].max() == 1:
                    found[strand].append(forward[start : start + size])
    each = min(count // 2, *map(len, found))
    chosen = [[one[i] for i in sorted(rng.permutation(len(one))[:each])] for one in found]
    return chosen[0] + chosen[1], np.repeat([0, 1], each)


def count_words(sequences: list[str], k: int = 4) -> Floats:
    """Share of each word of ``k`` bases."""
    index = {"".join(word): i for i, word in enumerate(product("ACGT", repeat=k))}
    counts = np.zeros((len(sequences), len(index)))
    for row, sequence in enumerate(sequences):
        for start in range(len(sequence) - k + 1):
            at = index.get(sequence[start : start + k])
            if at is not None:
                counts[row, at] += 1
    shares: Floats = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    return shares


def accuracy(reference: Floats, labels: NDArray[np.int64], query: Floats, truth: NDArray[np.int64], neighbours: int) -> float:
    """Share of query windows whose strand the majority of the nearest reference windows has."""
    mean, spread = reference.mean(0), reference.std(0) + 1e-9
    reference, query = (reference - mean) / spread, (query - query.mean(0)) / spread
    reference = reference / np.linalg.norm(reference, axis=1, keepdims=True)
    query = query / np.linalg.norm(query, axis=1, keepdims=True)
    nearest = np.argsort(-query @ reference.T, axis=1)[:, :neighbours]
    return float(((labels[nearest].mean(1) > 0.5) == truth).mean())


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-m", "--model", default="bacteria-small")
    parser.add_argument("--reference", type=Path, required=True, help="genome whose windows are the neighbours")
    parser.add_argument("--query", type=Path, nargs="+", required=True, help="genomes whose windows are asked about")
    parser.add_argument("--layers", type=int, nargs="+", help="hidden states to try (default: the net's output)")
    parser.add_argument("--size", type=int, default=300, help="bases of a window (default 300)")
    parser.add_argument("--shortest", type=int, default=900, help="bases of a frame (default 900)")
    parser.add_argument("--windows", type=int, default=600, help="most windows per genome (default 600)")
    parser.add_argument("--neighbours", type=int, default=15)
    given = parser.parse_args()
    import torch

    torch.set_num_threads(1)
    model, tokenizer = genoseq.load(given.model)
    sets = {path: windows(path, given.size, given.shortest, given.windows) for path in (given.reference, *given.query)}
    kinds: dict[str, dict[Path, Floats]] = {"4-mers": {path: count_words(texts) for path, (texts, _) in sets.items()}}
    for layer in given.layers or [None]:
        name = given.model if layer is None else f"{given.model}, layer {layer}"
        kinds[name] = {
            path: np.asarray(embed(model, tokenizer, texts, pool="mean", layer=layer).values, np.float64)
            for path, (texts, _) in sets.items()
        }
    print("vectors", "query", "windows", "accuracy", sep="\t")
    for kind, vectors in kinds.items():
        for path in given.query:
            found = accuracy(vectors[given.reference], sets[given.reference][1], vectors[path], sets[path][1], given.neighbours)
            print(kind, path.name, len(sets[path][1]), f"{found:.3f}", sep="\t")


if __name__ == "__main__":
    main()
