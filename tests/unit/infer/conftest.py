"""Sequences of many lengths, for every test that must not depend on how they are batched."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from tiny_nets import KmerTokens, LetterTokens, PieceTokens, TinyForCausalLM, TinyForMaskedLM, causal, drawn, masked

from genoseq.seqs.record import Record

TOKENIZERS = {
    "letters": LetterTokens,
    "letters with a front": lambda: LetterTokens(front=("[CLS]",)),
    "three letters": KmerTokens,
    "pieces": PieceTokens,
}


@pytest.fixture(scope="package", autouse=True)
def one_thread() -> Iterator[None]:
    """Small nets on one thread: on a busy machine several wait for each other more than they work."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def records() -> list[Record]:
    """Eight sequences of many lengths, some with N."""
    lengths = (30, 3, 90, 47, 12, 6, 61, 30)
    return [Record(f"r{i}", "", drawn(n, seed=i, letters="ACGT" * 5 + "N")) for i, n in enumerate(lengths)]


@pytest.fixture(params=["causal", "masked"])
def model(request: pytest.FixtureRequest) -> TinyForCausalLM | TinyForMaskedLM:
    """A net of each kind, with a vocabulary for all tokenizers here."""
    return (causal if request.param == "causal" else masked)(vocab_size=96)


@pytest.fixture(params=TOKENIZERS)
def tokenizer(request: pytest.FixtureRequest) -> LetterTokens | KmerTokens | PieceTokens:
    """A tokenizer of each kind."""
    made: LetterTokens | KmerTokens | PieceTokens = TOKENIZERS[request.param]()
    return made
