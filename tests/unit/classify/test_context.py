from __future__ import annotations

import numpy as np
import pytest

from genoseq.classify import context
from genoseq.classify.channels import both_strands
from genoseq.classify.context import AMINO_ACIDS, NUCLEOTIDES, Alphabet, ContextMixture, Flat, MixtureSettings
from genoseq.classify.context_kernels import EMPTY
from genoseq.classify.context_reference import reference_code_lengths
from genoseq.classify.lanes import LANES
from genoseq.seqs.alphabet import encode

SETTINGS = MixtureSettings((1, 3, "1101", 5, "101101"), (0.25, 0.1, 0.05, 0.0625, 0.01), 0.2)


def related(alphabet: Alphabet, number: int, *, seed: int = 0) -> list[np.ndarray]:
    """Sequences that resemble one another, with symbols outside the alphabet among them."""
    rng = np.random.default_rng(seed)
    origin = rng.integers(0, alphabet.symbols, 200)
    found = []
    for start in rng.integers(0, 120, number):
        own = origin[start : start + rng.integers(0, 80)]
        changed = rng.integers(0, alphabet.symbols + 1, len(own))
        found.append(np.where(rng.random(len(own)) < 0.1, changed, own).astype(np.uint8))
    return found


def fitted(alphabet: Alphabet, classes: int, sequences: list[np.ndarray], labels: np.ndarray) -> ContextMixture:
    mixture = ContextMixture(alphabet, classes, SETTINGS)
    mixture.add(Flat.of(sequences), labels)
    return mixture


@pytest.mark.parametrize("alphabet", [NUCLEOTIDES, AMINO_ACIDS], ids=lambda one: one.name)
@pytest.mark.parametrize("classes", [2, 11])
@pytest.mark.parametrize("plain_bytes", [0, 1 << 14, 1 << 24])
def test_code_lengths_are_those_of_the_reference(monkeypatch, alphabet, classes, plain_bytes):
    monkeypatch.setattr(context, "PLAIN_BYTES", plain_bytes)
    sequences = related(alphabet, 30)
    labels = np.arange(24) % classes
    mixture = fitted(alphabet, classes, sequences[:24], labels)
    got = mixture.code_lengths(Flat.of(sequences[18:]))
    expected = reference_code_lengths(
        [one.tolist() for one in sequences[:24]], labels.tolist(), [one.tolist() for one in sequences[18:]],
        alphabet=alphabet, classes=classes, settings=SETTINGS,
    )  # fmt: skip
    np.testing.assert_allclose(got.bits, expected, rtol=2e-6, atol=1e-4)
    assert got.symbols.tolist() == [int((one < alphabet.symbols).sum()) for one in sequences[18:]]


@pytest.mark.parametrize("plain_bytes", [0, 1 << 24])
def test_taking_sequences_out_is_never_having_seen_them_and_putting_them_back_undoes_it(monkeypatch, plain_bytes):
    monkeypatch.setattr(context, "PLAIN_BYTES", plain_bytes)
    sequences, labels = related(NUCLEOTIDES, 40), np.arange(40) % 3
    whole = fitted(NUCLEOTIDES, 3, sequences, labels)
    before = {name: one.copy() for name, one in whole.arrays.items()}
    whole.change(Flat.of(sequences[:15]), labels[:15], by=-1)
    rest = fitted(NUCLEOTIDES, 3, sequences[15:], labels[15:])
    asked = Flat.of(sequences)
    np.testing.assert_allclose(whole.code_lengths(asked).bits, rest.code_lengths(asked).bits, rtol=1e-6, atol=1e-4)
    whole.change(Flat.of(sequences[:15]), labels[:15], by=1, threads=2)
    for name, one in before.items():
        np.testing.assert_array_equal(whole.arrays[name], one)


@pytest.mark.parametrize("plain_bytes", [0, 1 << 14])
def test_counting_in_two_steps_is_counting_at_once(monkeypatch, plain_bytes):
    monkeypatch.setattr(context, "PLAIN_BYTES", plain_bytes)
    sequences, labels = related(NUCLEOTIDES, 40), np.arange(40) % 3
    whole, twice = (ContextMixture(NUCLEOTIDES, 3, SETTINGS) for _ in range(2))
    whole.add(Flat.of(sequences), labels, threads=2)
    twice.add(Flat.of(sequences[:25]), labels[:25])
    twice.add(Flat.of(sequences[25:]), labels[25:])
    asked = Flat.of(sequences)
    np.testing.assert_array_equal(whole.code_lengths(asked).bits, twice.code_lengths(asked).bits)


def test_results_depend_neither_on_companions_nor_on_threads(monkeypatch):
    monkeypatch.setattr(context, "SHARE_OF_WORK", 100)
    sequences, labels = related(NUCLEOTIDES, 40), np.arange(40) % 3
    mixture = fitted(NUCLEOTIDES, 3, sequences, labels)
    together = mixture.code_lengths(Flat.of(sequences), threads=2).bits
    alone = np.concatenate([mixture.code_lengths(Flat.of([one])).bits for one in sequences])
    np.testing.assert_array_equal(together, alone)


def test_counts_of_entries_stop_at_the_most_and_stay_there():
    sequences, labels = [np.zeros(20_000, np.uint8), np.ones(50, np.uint8)], np.array([0, 1])
    mixture = ContextMixture(NUCLEOTIDES, 2, MixtureSettings((16,), (0.0625,), 0.2))
    mixture.add(Flat.of(sequences), labels)
    before = mixture.arrays["table"].copy()
    mixture.change(Flat.of(sequences[:1]), labels[:1], by=-1)
    mixture.change(Flat.of(sequences[:1]), labels[:1], by=1)
    np.testing.assert_array_equal(mixture.arrays["table"], before)
    assert mixture.code_lengths(Flat.of([np.zeros(100, np.uint8)])).bits.argmin() == 0


def test_a_context_of_threes_alone_is_told_from_an_empty_slot():
    known, asked = np.full(40, 3, np.uint8), np.array([3] * 20 + [0] + [3] * 20, np.uint8)
    settings = MixtureSettings((16, 3), (0.0625, 0.0625), 0.2)
    mixture = ContextMixture(NUCLEOTIDES, 2, settings)
    mixture.add(Flat.of([known, np.zeros(40, np.uint8)]), np.array([0, 1]))
    expected = reference_code_lengths(
        [known.tolist(), [0] * 40], [0, 1], [asked.tolist()], alphabet=NUCLEOTIDES, classes=2, settings=settings
    )
    np.testing.assert_allclose(mixture.code_lengths(Flat.of([asked])).bits, expected, rtol=2e-6)


def test_buckets_that_are_full_go_on_in_the_next_one(monkeypatch):
    monkeypatch.setattr(context, "LOAD", 0.99)
    monkeypatch.setattr(context, "PLAIN_BYTES", 0)
    rng = np.random.default_rng(3)
    sequences, labels = [rng.integers(0, 4, 4000).astype(np.uint8) for _ in range(6)], np.arange(6) % 3
    mixture = fitted(NUCLEOTIDES, 3, sequences[:4], labels[:4])
    a = mixture.arrays
    buckets = a["table"].reshape(-1, LANES)
    assert (buckets[:, -1] != EMPTY).mean() > 0.5
    assert all(a["firsts"] % LANES == 0) and all(a["sizes"] % LANES == 0) and a["table"].ctypes.data % 64 == 0
    expected = reference_code_lengths(
        [one.tolist() for one in sequences[:4]], labels[:4].tolist(), [one[:300].tolist() for one in sequences[3:]],
        alphabet=NUCLEOTIDES, classes=3, settings=SETTINGS,
    )  # fmt: skip
    got = mixture.code_lengths(Flat.of([one[:300] for one in sequences[3:]]))
    np.testing.assert_allclose(got.bits, expected, rtol=2e-6, atol=1e-4)


@pytest.mark.parametrize("block", [0, 1, 31, 32, 33, 64])
def test_sequences_of_any_length_go_through_the_blocks(block):
    mixture = fitted(NUCLEOTIDES, 3, related(NUCLEOTIDES, 12), np.arange(12) % 3)
    sequences = [np.empty(0, np.uint8), np.resize(np.array([0, 1, 2, 3, 1], np.uint8), block), np.empty(0, np.uint8)]
    sequences += [np.full(2, 4, np.uint8), np.array([2, 1, 3], np.uint8), np.empty(0, np.uint8)]
    together = mixture.code_lengths(Flat.of(sequences))
    alone = np.concatenate([mixture.code_lengths(Flat.of([one])).bits for one in sequences])
    np.testing.assert_array_equal(together.bits, alone)
    assert together.symbols.tolist() == [0, block, 0, 0, 3, 0]


def test_an_untrained_mixture_gives_every_symbol_the_same():
    mixture = ContextMixture(NUCLEOTIDES, 2, SETTINGS)
    np.testing.assert_allclose(
        mixture.code_lengths(Flat.of([encode(b"ACGTNACG"), encode(b"")])).bits, [[14, 14], [0, 0]], rtol=1e-6
    )


def test_a_context_of_too_many_symbols_is_refused():
    with pytest.raises(ValueError, match="at most 16 symbols"):
        ContextMixture(NUCLEOTIDES, 2, MixtureSettings((17,), (0.1,), 0.2))


def test_both_strands():
    flat = both_strands(Flat.of([encode(b"AACG"), encode(b"TN")]))
    assert [flat.codes[a:b].tolist() for a, b in zip(flat.offsets[:-1], flat.offsets[1:], strict=True)] == [
        encode(one).tolist() for one in (b"AACG", b"TN", b"CGTT", b"NA")
    ]
