"""Attention over shared and own keys, held against the equation with everything in one table."""

from __future__ import annotations

import pytest
import torch

from genoseq.nets.ops import split_attention as ops
from genoseq.nets.ops.split_attention import (
    KeyValue,
    attention_part,
    attention_part_reference,
    split_attention,
    split_attention_reference,
)


def drawn(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(dtype) * 2


def pair(batch: int, length: int, seed: int, dtype: torch.dtype = torch.float32) -> KeyValue:
    return KeyValue(drawn(batch, 2, length, 8, seed=seed, dtype=dtype), drawn(batch, 2, length, 8, seed=seed + 1, dtype=dtype))


@pytest.mark.parametrize("new, own", [(1, 1), (1, 5), (4, 4), (3, 7)])
@pytest.mark.parametrize("shared", [(), (6,), (5, 1, 3)])
def test_it_is_the_softmax_over_everything(new: int, own: int, shared: tuple[int, ...]) -> None:
    query, keys = drawn(3, 2, new, 8), pair(3, own, 1)
    before = [pair(1, length, 10 * length) for length in shared]
    found = split_attention(query, before, keys)
    torch.testing.assert_close(found, split_attention_reference(query, before, keys), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("new, total, causal", [(4, 4, True), (1, 6, True), (3, 8, True), (5, 8, False)])
@pytest.mark.parametrize("fused", [True, False])
def test_parts_and_their_sums_of_weights(
    new: int, total: int, causal: bool, fused: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    query, keys = drawn(2, 2, new, 8), pair(2, total, 5)
    expected = attention_part_reference(query, keys, causal=causal)
    monkeypatch.setattr(ops, "TABLE", 40)  # blocks of two queries
    found = attention_part(query, keys, causal=causal) if fused else ops._part_in_blocks(query, keys, causal)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)


def test_shared_keys_are_never_copied() -> None:
    """A row more costs its own keys: the shared ones stay where they are."""
    shared = pair(1, 2000, 3)
    for batch in (1, 64):
        with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profile:
            split_attention(drawn(batch, 2, 2, 8), [shared], pair(batch, 2, 4))
        taken = sum(max(0, event.self_cpu_memory_usage) for event in profile.events())
        assert taken < 64 * 2 * 2 * 8 * 4 * 40 < 64 * shared.key.nbytes


def test_gradients() -> None:
    query, shared, own = drawn(2, 2, 3, 8).double().requires_grad_(), pair(1, 4, 1, torch.float64), pair(2, 3, 7, torch.float64)
    own.key.requires_grad_()
    assert torch.autograd.gradcheck(lambda q, k: split_attention(q, [shared], KeyValue(k, own.value)), (query, own.key))


def test_half_precision_stays_close() -> None:
    query, own, shared = drawn(2, 2, 3, 8, dtype=torch.bfloat16), pair(2, 3, 5, torch.bfloat16), pair(1, 40, 9, torch.bfloat16)
    found = split_attention(query, [shared], own)
    wide = split_attention_reference(
        query.float(), [KeyValue(*(part.float() for part in shared))], KeyValue(*(p.float() for p in own))
    )
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found.float(), wide, rtol=0.05, atol=0.05)
