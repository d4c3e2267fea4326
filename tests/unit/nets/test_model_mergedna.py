"""MergeDNA: its words, padding, its losses."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from genoseq.errors import UsageError
from genoseq.nets.models.mergedna import (
    MergeDNAConfig,
    MergeDNAForMaskedLM,
    MergeDNAForSequenceClassification,
    MergeDNAForTokenClassification,
)

TINY = {
    "d_model": 16,
    "n_heads": 2,
    "local_encoder": 2,
    "latent_encoder": 1,
    "latent_decoder": 1,
    "local_decoder": 1,
    "window": 4,
    "d_group": 8,
    "max_position_embeddings": 100,
}


def build(**changes: object) -> MergeDNAForMaskedLM:
    torch.manual_seed(4)
    return MergeDNAForMaskedLM(MergeDNAConfig(**(TINY | changes))).eval()


def tokens(rows: int, length: int) -> Tensor:
    return torch.randint(7, 11, (rows, length), generator=torch.Generator().manual_seed(5))


@pytest.mark.parametrize("keep", [0.4, 0.6, 1.0])
def test_about_the_configured_share_of_words(keep: float) -> None:
    net = build(keep=keep)
    with torch.no_grad():
        begins = net(tokens(2, 100)).boundaries[0].mask
    share = begins.float().mean().item()
    assert abs(share - keep) < 0.05
    assert begins[:, 0].all()


@pytest.mark.parametrize("side", ["left", "right"])
def test_padding_changes_nothing(side: str) -> None:
    net, ids = build(), tokens(2, 25)
    left = side == "left"
    pad, ones, zeros = torch.full((2, 9), 4), torch.ones(2, 25), torch.zeros(2, 9)
    padded = torch.cat([pad, ids] if left else [ids, pad], dim=1)
    mask = torch.cat([zeros, ones] if left else [ones, zeros], dim=1)
    with torch.no_grad():
        whole, found = net(ids), net(padded, attention_mask=mask)
    real = slice(9, None) if left else slice(0, 25)
    torch.testing.assert_close(found.logits[:, real], whole.logits, rtol=1e-5, atol=1e-5)
    assert torch.equal(found.boundaries[0].mask[:, real], whole.boundaries[0].mask)
    assert not found.boundaries[0].mask[:, : 9 if left else 0].any()


def test_companions_in_the_batch_change_nothing() -> None:
    net, ids = build(), tokens(3, 31)
    with torch.no_grad():
        together, alone = net(ids).logits, torch.cat([net(row[None]).logits for row in ids])
    torch.testing.assert_close(together, alone, rtol=1e-5, atol=1e-5)


def test_hidden_states_cover_all_bases() -> None:
    net, ids = build(), tokens(1, 20)
    with torch.no_grad():
        out = net(ids, output_hidden_states=True)
    assert len(out.hidden_states) == 4
    assert all(state.shape == (1, 20, 16) for state in out.hidden_states)
    begins = out.boundaries[0].mask[0]
    word = begins.cumsum(0)
    last = out.hidden_states[-1][0]
    for i in range(1, 20):
        assert torch.equal(last[i], last[i - 1]) == bool(word[i] == word[i - 1])


def test_training_teaches_the_words_and_the_bases() -> None:
    net, ids = build().train(), tokens(4, 60)
    optimizer = torch.optim.AdamW(net.parameters(), lr=3e-3)
    losses = []
    for _ in range(30):
        optimizer.zero_grad()
        loss = net(ids, labels=ids).loss
        loss.backward()
        if not losses:
            assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in net.parameters())
            assert any(merge.group.weight.grad.abs().max() > 0 for merge in net.mergedna.merges)
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.8 * losses[0]


def test_evaluation_predicts_the_labels_given() -> None:
    net, ids = build(), tokens(2, 20)
    labels = torch.full_like(ids, -100)
    labels[:, 3] = ids[:, 3]
    with torch.no_grad():
        out = net(ids, labels=labels)
    expected = torch.nn.functional.cross_entropy(out.logits[:, 3], ids[:, 3])
    torch.testing.assert_close(out.loss, expected)


def test_heads_for_sequences_and_bases() -> None:
    ids = tokens(3, 18)
    assert MergeDNAForSequenceClassification(MergeDNAConfig(**TINY, num_labels=3))(ids).logits.shape == (3, 3)
    assert MergeDNAForTokenClassification(MergeDNAConfig(**TINY, num_labels=2))(ids).logits.shape == (3, 18, 2)


@pytest.mark.parametrize(("changes", "text"), [({"keep": 0.0}, "keep"), ({"local_encoder": 0}, "local_encoder")])
def test_a_wrong_configuration_is_refused(changes: dict[str, object], text: str) -> None:
    with pytest.raises(UsageError, match=text):
        MergeDNAConfig(**(TINY | changes))


def test_too_long_a_sequence_is_refused() -> None:
    with pytest.raises(UsageError, match="at most 100"):
        build()(tokens(1, 101))
