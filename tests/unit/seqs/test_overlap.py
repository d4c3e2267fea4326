"""Containment of canonical k-mers: both strands are one, unknown bases have none."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genoseq.seqs.alphabet import encode, reverse_complement
from genoseq.seqs.overlap import canonical_kmers, canonical_words, containment

BASES = st.text("ACGTN", max_size=60)


def plain(sequence: str, k: int) -> set[str]:
    found = set()
    for i in range(len(sequence) - k + 1):
        word = sequence[i : i + k]
        if "N" not in word:
            found.add(min(word, reverse_complement(word.encode()).decode()))
    return found


def numbered(word: str) -> int:
    """Two bits a base, A 0, C 1, G 2, T 3."""
    return sum("ACGT".index(base) << (2 * (len(word) - 1 - i)) for i, base in enumerate(word))


@given(BASES, st.integers(1, 31))
def test_words_are_those_by_hand_in_their_order(sequence: str, k: int) -> None:
    windows = [sequence[i : i + k] for i in range(len(sequence) - k + 1)]
    expected = [min(numbered(w), numbered(reverse_complement(w.encode()).decode())) for w in windows if "N" not in w]
    found = canonical_words(encode(sequence.encode()), k)
    assert found.tolist() == expected
    assert canonical_kmers(encode(sequence.encode()), k).tolist() == sorted(set(expected))


@given(BASES, st.integers(1, 12))
def test_as_many_as_there_are_words_by_hand(sequence: str, k: int) -> None:
    assert len(canonical_kmers(encode(sequence.encode()), k)) == len(plain(sequence, k))


@given(BASES, st.integers(1, 12))
def test_both_strands_have_the_same(sequence: str, k: int) -> None:
    other = reverse_complement(sequence.encode())
    assert canonical_kmers(encode(sequence.encode()), k).tolist() == canonical_kmers(encode(other), k).tolist()


@given(st.lists(BASES, max_size=3), st.lists(BASES, max_size=3))
def test_containment_by_hand(queries: list[str], references: list[str]) -> None:
    asked = set().union(*(plain(s, 4) for s in queries))
    known = set().union(*(plain(s, 4) for s in references))
    found = containment(queries, references, k=4)
    if asked:
        assert found == pytest.approx(len(asked & known) / len(asked))
    else:
        assert math.isnan(found)


def test_k_beyond_a_word_is_refused() -> None:
    with pytest.raises(ValueError, match="32"):
        canonical_words(encode(b"ACGT"), 32)
