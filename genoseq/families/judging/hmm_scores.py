"""Every sequence scored by a profile HMM: bits, and E-values that depend on nothing but the sequence.

HMMER filters out most sequences before it scores them and multiplies P-values by the size of the file. Here all filters are
off and the size is fixed, so a score never depends on what else is in the batch. Eddy, S. R. (2011), PLOS Computational
Biology 7:e1002195.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from genoseq.families.alignments.profile_alignment import SEED, amino_alphabet, digital_block
from genoseq.families.alignments.protein_records import Protein
from genoseq.families.alphabet import AMINO_ACIDS

if TYPE_CHECKING:
    from pyhmmer.plan7 import HMM

__all__ = ["DATABASE", "ProfileScores", "null_log_likelihood", "score_proteins"]

DATABASE = 1_000_000  # sequences that E-values are meant for
BLOCK = 512


class ProfileScores(NamedTuple):
    """Scores of N sequences.

    Attributes:
        bits: (N,) full-sequence bit scores, HMMER's null2 correction included; 0 for sequences in which it finds no domain.
        e_value: (N,) expected false hits in a search of :data:`DATABASE` sequences.
    """

    bits: NDArray[np.float64]
    e_value: NDArray[np.float64]


def score_proteins(profile: HMM[Any], sequences: Sequence[str]) -> ProfileScores:
    """Score each sequence, whatever its score."""
    from pyhmmer import plan7

    bits, e_value = np.zeros(len(sequences)), np.full(len(sequences), float(DATABASE))
    pipeline = plan7.Pipeline(
        amino_alphabet(), Z=DATABASE, domZ=DATABASE, F1=1.0, F2=1.0, F3=1.0, bias_filter=False,
        E=1e300, domE=1e300, seed=SEED,
    )  # fmt: skip
    for first in range(0, len(sequences), BLOCK):
        block = [Protein("", sequence) for sequence in sequences[first : first + BLOCK]]
        pipeline.clear()
        for hit in pipeline.search_hmm(profile, digital_block(block, first=first)):
            bits[int(hit.name)] = hit.score
            e_value[int(hit.name)] = hit.evalue
    return ProfileScores(bits, e_value)


def null_log_likelihood(sequences: Sequence[str]) -> NDArray[np.float64]:
    """(N,) log-likelihoods in nats under HMMER's null model: its background amino acids, and a geometric length of mean L."""
    from pyhmmer import plan7

    alphabet = amino_alphabet()
    background = np.array(plan7.Background(alphabet).residue_frequencies)
    by_letter = {letter: np.log(background[alphabet.symbols.index(letter)]) for letter in AMINO_ACIDS}
    found = []
    for sequence in sequences:
        length = len(sequence)
        found.append(sum(by_letter.get(c, 0.0) for c in sequence) + length * np.log(length / (length + 1)) - np.log(length + 1))
    return np.array(found)
