from __future__ import annotations

import numpy as np

from genoseq.classify.context import Flat
from genoseq.classify.translation import RESIDUES, find_frames, first_scores, learn_frames, read_residues
from genoseq.seqs.alphabet import encode, reverse_complement
from genoseq.tokenizers.genetic import translate

RNG = np.random.default_rng(3)
CODONS = [a + b + c for a in "ACGT" for b in "ACGT" for c in "ACGT"]
SENSE = [one for one in CODONS if translate(one) != "*"]
SHARES = RNG.dirichlet(np.full(len(SENSE), 0.5))


def gene(codons: int) -> bytes:
    """A stretch in frame with biased codons."""
    return "".join(RNG.choice(SENSE, codons, p=SHARES)).encode()


def proteins(sequences: list[bytes], scores: np.ndarray) -> list[str]:
    flat = Flat.of([encode(one) for one in sequences])
    residues = read_residues(flat, find_frames(flat, scores))
    letters = RESIDUES.decode() + "-"
    return [
        "".join(letters[code] for code in residues.codes[a:b])
        for a, b in zip(residues.offsets[:-1], residues.offsets[1:], strict=True)
    ]


TRAINING = [gene(150) for _ in range(60)]
SCORES = learn_frames(Flat.of([encode(one) for one in TRAINING]))


def test_genes_are_read_in_frame_on_either_strand_from_any_base():
    inner = gene(200)
    for skipped in range(3):
        piece = inner[skipped:]
        expected = translate(piece[-skipped % 3 :])
        assert proteins([piece], SCORES) == [expected]
        assert proteins([reverse_complement(piece)], SCORES) == [expected]


def test_a_frame_shift_is_followed():
    left, right = gene(150), gene(150)
    (found,) = proteins([left + b"A" + right], SCORES)
    first, _, second = found.partition("-")
    assert translate(left).startswith(first[:-5]) and len(first) > 140
    assert translate(right).endswith(second[5:]) and len(second) > 140


def test_without_training_the_open_frame_is_read():
    rng = np.random.default_rng(0)
    inner = "".join(rng.choice(SENSE, 300)).encode()
    assert proteins([b"A" + inner], first_scores()) == [translate(inner)]


def test_unknown_bases_and_short_sequences():
    assert proteins([b"", b"AC", b"NNNNNN"], SCORES) == ["", "", "--"]


def test_another_genetic_code_has_other_stops():
    standard, mitochondrial = first_scores(1), first_scores(2)
    tga, aga = 56, 8
    assert standard[0, tga] < 0 < mitochondrial[0, tga] and mitochondrial[0, aga] < 0 < standard[0, aga]
