"""ESM nets: the public numbers of the Nucleotide Transformer v2, and transformers' own net for all the rest."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import parity
import pytest
import torch
import transformers
from torch import Tensor

from genoseq.errors import UsageError
from genoseq.nets.layers import attention
from genoseq.nets.models.esm import (
    EsmConfig,
    EsmForMaskedLM,
    EsmForSequenceClassification,
    EsmForTokenClassification,
    EsmModel,
)

SMALL: dict[str, Any] = {
    "vocab_size": 24,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 20,
    "max_position_embeddings": 40,
    "pad_token_id": 1,
    "mask_token_id": 2,
    "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0,
}
KINDS: dict[str, dict[str, Any]] = {
    "Nucleotide Transformer v1": {"position_embedding_type": "absolute", "tie_word_embeddings": False},
    "ESM-2": {"position_embedding_type": "rotary", "token_dropout": True, "layer_norm_eps": 1e-5},
    "ESM-1b": {"position_embedding_type": "absolute", "emb_layer_norm_before": True, "token_dropout": True},
}


def build(kind: str, **changes: Any) -> EsmForMaskedLM:
    torch.manual_seed(3)
    net = EsmForMaskedLM(EsmConfig(**(SMALL | KINDS.get(kind, {}) | changes))).eval()
    for parameter in net.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    return net


def tokens(rows: int, length: int) -> Tensor:
    ids = torch.randint(4, 24, (rows, length), generator=torch.Generator().manual_seed(5))
    ids[:, 2] = 2  # a masked token
    return ids


def test_the_public_numbers() -> None:
    folder = parity.parity_case("nt_v2_esm_glu")
    net, given = EsmForMaskedLM(EsmConfig(**parity.config(folder))).eval(), parity.arrays(folder)
    missing, unexpected = net.load_state_dict(parity.weights(folder), strict=False)
    assert not missing
    assert all("contact_head" in name or "inv_freq" in name for name in unexpected)
    real = given["attention_mask"].bool()
    with torch.no_grad():
        out = net(given["inputs"], attention_mask=given["attention_mask"], output_hidden_states=True)
    parity.assert_close(out.logits[real], given["logits"][real])
    parity.assert_close(torch.stack(out.hidden_states)[:, real], given["hidden_states"][:, real])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("padded", [False, True])
def test_the_net_of_transformers(kind: str, padded: bool) -> None:
    net = build(kind)
    theirs = transformers.EsmForMaskedLM(transformers.EsmConfig(**(SMALL | KINDS[kind]))).eval()
    missing, unexpected = theirs.load_state_dict(net.state_dict(), strict=False)
    assert not unexpected
    assert all("contact_head" in name or "inv_freq" in name for name in missing)
    ids, mask = tokens(3, 20), torch.ones(3, 20, dtype=torch.long)
    if padded:
        mask[1, 12:] = mask[2, 5:] = 0
        ids[mask == 0] = 1
    options = {"attention_mask": mask} if padded else {}
    labels = torch.where(mask.bool(), ids, -100)
    with torch.no_grad():
        found = net(ids, labels=labels, output_hidden_states=True, **options)
        expected = theirs(ids, labels=labels, output_hidden_states=True, **options)
    real = mask.bool()
    torch.testing.assert_close(found.logits[real], expected.logits[real], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(found.loss, expected.loss, rtol=1e-4, atol=1e-5)
    for a, b in zip(found.hidden_states, expected.hidden_states, strict=True):
        torch.testing.assert_close(a[real], b[real], rtol=1e-4, atol=1e-5)


def test_gradients_are_those_of_transformers() -> None:
    net = build("ESM-2")
    theirs = transformers.EsmForMaskedLM(transformers.EsmConfig(**(SMALL | KINDS["ESM-2"]))).eval()
    theirs.load_state_dict(net.state_dict(), strict=False)
    for model in (net, theirs):
        model(tokens(2, 12), labels=tokens(2, 12)).loss.backward()
    expected = {name: p.grad for name, p in theirs.named_parameters()}
    for name, parameter in net.named_parameters():
        torch.testing.assert_close(parameter.grad, expected[name], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("kind", [*KINDS, "v2"])
@pytest.mark.parametrize("side", ["left", "right"])
def test_padding_changes_nothing(kind: str, side: str) -> None:
    changes = {"add_bias_fnn": False, "position_embedding_type": "rotary"} if kind == "v2" else {}
    net, ids = build(kind, **changes), tokens(2, 25)
    pad, ones, zeros = torch.full((2, 9), 1), torch.ones(2, 25), torch.zeros(2, 9)
    padded = torch.cat([pad, ids] if side == "left" else [ids, pad], dim=1)
    mask = torch.cat([zeros, ones] if side == "left" else [ones, zeros], dim=1)
    with torch.no_grad():
        whole, found = net(ids).logits, net(padded, attention_mask=mask).logits
    torch.testing.assert_close(found[mask.bool()], whole.flatten(0, 1), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_segments_change_nothing(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    net, ids = build(kind), tokens(2, 30)
    whole = net(ids).logits
    monkeypatch.setattr(attention, "segment_size", lambda _: 7)
    for layer in net.esm.encoder.layer:
        layer.segment = 7
    with torch.no_grad():
        torch.testing.assert_close(net(ids).logits, whole.detach(), rtol=1e-5, atol=1e-5)


def test_vectors_instead_of_ids() -> None:
    net, ids = build("Nucleotide Transformer v1"), tokens(2, 9)
    with torch.no_grad():
        vectors = net.esm.embeddings.word_embeddings(ids)
        torch.testing.assert_close(net(inputs_embeds=vectors).logits, net(ids).logits)


def test_gated_if_without_biases() -> None:
    plain, gated = build("v2"), build("v2", add_bias_fnn=False)
    assert not plain.config.gated
    assert gated.config.gated
    dense = gated.esm.encoder.layer[0].intermediate.dense
    assert tuple(dense.weight.shape) == (40, 16)
    assert dense.bias is None
    both = build("v2", add_bias_fnn=True, gated=True).esm.encoder.layer[0]
    assert both.intermediate.dense.bias is not None


def test_too_long_for_learned_positions() -> None:
    net = build("Nucleotide Transformer v1")
    assert net(tokens(1, 38)).logits.shape == (1, 38, 24)
    with pytest.raises(UsageError, match=r"39 tokens.*at most 38"):
        net(tokens(1, 39))
    assert build("ESM-2")(tokens(1, 60)).logits.shape == (1, 60, 24)


def test_saved_and_loaded(tmp_path: Path) -> None:
    net = build("ESM-2")
    net.save_pretrained(tmp_path)
    again = EsmForMaskedLM.from_pretrained(tmp_path).eval()
    assert again.lm_head.decoder.weight is again.esm.embeddings.word_embeddings.weight
    with torch.no_grad():
        torch.testing.assert_close(again(tokens(1, 9)).logits, net(tokens(1, 9)).logits)
        backbone = EsmModel.from_pretrained(tmp_path).eval()
        expected = net.esm(tokens(1, 9)).last_hidden_state
        torch.testing.assert_close(backbone(tokens(1, 9)).last_hidden_state, expected)


def test_other_heads_are_those_of_transformers() -> None:
    ids, values = tokens(2, 7), SMALL | KINDS["ESM-2"] | {"num_labels": 3}
    pairs = (
        (EsmForSequenceClassification, transformers.EsmForSequenceClassification),
        (EsmForTokenClassification, transformers.EsmForTokenClassification),
    )
    for ours, theirs in pairs:
        torch.manual_seed(4)
        net, reference = ours(EsmConfig(**values)).eval(), theirs(transformers.EsmConfig(**values)).eval()
        assert not reference.load_state_dict(net.state_dict(), strict=False).unexpected_keys
        with torch.no_grad():
            torch.testing.assert_close(net(ids).logits, reference(ids).logits, rtol=1e-4, atol=1e-5)


def test_public_sizes() -> None:
    with torch.device("meta"):
        esm2 = EsmForMaskedLM(
            EsmConfig(
                hidden_size=320,
                num_hidden_layers=6,
                num_attention_heads=20,
                intermediate_size=1280,
                position_embedding_type="rotary",
                vocab_size=33,
            )
        )
        v2 = EsmForMaskedLM(
            EsmConfig(
                hidden_size=512,
                num_hidden_layers=12,
                num_attention_heads=16,
                intermediate_size=2048,
                add_bias_fnn=False,
                position_embedding_type="rotary",
                vocab_size=4107,
                tie_word_embeddings=False,
            )
        )
    assert sum(p.numel() for p in esm2.parameters()) == pytest.approx(7.5e6, rel=0.03)
    assert sum(p.numel() for p in v2.parameters()) == pytest.approx(55e6, rel=0.05)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"position_embedding_type": "relative"}, "known are absolute, rotary"),
        ({"is_folding_model": True}, "ESMFold"),
        ({"token_dropout": True, "mask_token_id": None}, "needs mask_token_id"),
    ],
)
def test_configurations_that_make_no_sense(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        EsmConfig(**(SMALL | changes))


def test_both_ways_there_is_no_cache() -> None:
    with pytest.raises(UsageError, match="both ways"):
        build("ESM-2")(tokens(1, 4), use_cache=True)
