"""DNABERT-2: the public numbers, padding, gradients, saving."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import parity
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from genoseq.errors import UsageError
from genoseq.nets.layers import attention
from genoseq.nets.layers.attention import attention_reference
from genoseq.nets.models.dnabert2 import (
    DNABert2Config,
    DNABert2ForMaskedLM,
    DNABert2ForSequenceClassification,
    DNABert2ForTokenClassification,
    DNABert2Model,
)
from genoseq.nets.ops.alibi import alibi_slopes

SMALL: dict[str, Any] = {
    "vocab_size": 24,
    "hidden_size": 18,
    "num_hidden_layers": 2,
    "num_attention_heads": 3,
    "intermediate_size": 20,
    "max_position_embeddings": 8,
}


def build(**changes: Any) -> DNABert2ForMaskedLM:
    torch.manual_seed(3)
    net = DNABert2ForMaskedLM(DNABert2Config(**(SMALL | changes))).eval()
    for parameter in net.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    return net


def tokens(rows: int, length: int) -> Tensor:
    return torch.randint(4, 24, (rows, length), generator=torch.Generator().manual_seed(5))


def test_the_public_numbers() -> None:
    folder = parity.parity_case("dnabert2_mlm")
    net, given = DNABert2ForMaskedLM(DNABert2Config(**parity.config(folder))).eval(), parity.arrays(folder)
    missing, unexpected = net.load_state_dict(parity.weights(folder), strict=False)
    assert missing == ["cls.predictions.decoder.weight"]  # one with the embeddings
    assert not unexpected
    with torch.no_grad():
        parity.assert_close(net(given["inputs"], attention_mask=given["attention_mask"]).logits, given["logits"])


def test_the_first_block_is_the_equation() -> None:
    net, ids = build().bert, tokens(2, 11)
    states = net(ids, output_hidden_states=True).hidden_states
    x, block = states[0], net.encoder.layer[0]
    qkv = block.attention.get_submodule("self").Wqkv(x).unflatten(-1, (3, 3, 6)).permute(2, 0, 3, 1, 4)
    mixed = attention_reference(*qkv, causal=False, slopes=alibi_slopes(3)).transpose(1, 2).flatten(2)
    h = block.attention.output.LayerNorm(block.attention.output.dense(mixed) + x)
    gate, up = block.mlp.gated_layers(h).split(20, dim=-1)
    expected = block.mlp.layernorm(block.mlp.wo(torch.nn.functional.gelu(gate) * up) + h)
    torch.testing.assert_close(states[1], expected, rtol=1e-5, atol=1e-5)


def plainly(net: DNABert2ForMaskedLM, ids: Tensor, kinds: Tensor) -> Tensor:
    """Logits ``(L, V)`` of one sequence ``(L,)`` as the two papers say it, in float64."""
    config = net.config
    heads, width = config.num_attention_heads, config.hidden_size // config.num_attention_heads
    state = {name.removeprefix("bert."): value.double() for name, value in net.state_dict().items()}
    below = 2 ** int(math.log2(heads))
    slopes = [2 ** (-8 * (h + 1) / below) for h in range(below)]
    slopes += [2 ** (-4 * (h + 1) / below) for h in range(0, 2 * below, 2)][: heads - below]  # every second one of twice as many
    distance = (torch.arange(len(ids))[:, None] - torch.arange(len(ids))[None, :]).abs()

    def linear(x: Tensor, name: str) -> Tensor:
        return x @ state[f"{name}.weight"].T + state[f"{name}.bias"]

    def norm(x: Tensor, name: str, eps: float = config.layer_norm_eps) -> Tensor:
        return functional.layer_norm(x, x.shape[-1:], state[f"{name}.weight"], state[f"{name}.bias"], eps)

    x = state["embeddings.word_embeddings.weight"][ids] + state["embeddings.token_type_embeddings.weight"][kinds]
    x = norm(x, "embeddings.LayerNorm")
    for layer in range(config.num_hidden_layers):
        name = f"encoder.layer.{layer}"
        q, k, v = linear(x, f"{name}.attention.self.Wqkv").reshape(len(ids), 3, heads, width).unbind(1)
        mixed = []
        for head in range(heads):
            scores = q[:, head] @ k[:, head].T / math.sqrt(width) - slopes[head] * distance
            mixed.append(scores.softmax(-1) @ v[:, head])
        x = norm(linear(torch.cat(mixed, 1), f"{name}.attention.output.dense") + x, f"{name}.attention.output.LayerNorm")
        gate, up = (x @ state[f"{name}.mlp.gated_layers.weight"].T).chunk(2, 1)
        x = norm(linear(functional.gelu(gate) * up, f"{name}.mlp.wo") + x, f"{name}.mlp.layernorm")
    x = functional.gelu(linear(x, "cls.predictions.transform.dense"))
    x = norm(x, "cls.predictions.transform.LayerNorm", 1e-12)
    return linear(x, "cls.predictions.decoder")


@pytest.mark.parametrize(("heads", "length"), [(1, 40), (3, 40), (5, 40), (6, 700), (12, 90)])
@torch.no_grad()
def test_any_number_of_heads_and_any_length_is_the_papers_net(heads: int, length: int) -> None:
    config = DNABert2Config(
        vocab_size=40, hidden_size=heads * 6, num_attention_heads=heads, num_hidden_layers=2, intermediate_size=50,
        type_vocab_size=3, layer_norm_eps=1e-6, max_position_embeddings=64,
    )  # fmt: skip
    torch.manual_seed(0)
    net = DNABert2ForMaskedLM(config).eval()
    for value in net.parameters():
        value += 0.2 * torch.randn_like(value)
    ids, kinds = torch.randint(4, 40, (2, length)), torch.randint(0, 3, (2, length))
    mask = torch.ones(2, length, dtype=torch.long)
    mask[1, length - 7 :] = 0
    found = net(ids, attention_mask=mask, token_type_ids=kinds).logits.double()
    parity.assert_close(found[0], plainly(net, ids[0], kinds[0]))
    parity.assert_close(found[1, :-7], plainly(net, ids[1, :-7], kinds[1, :-7]))


@pytest.mark.parametrize("side", ["left", "right"])
def test_padding_changes_nothing_and_is_zero(side: str) -> None:
    net, ids = build(), tokens(2, 25)
    pad, ones, zeros = torch.full((2, 9), 3), torch.ones(2, 25), torch.zeros(2, 9)
    padded = torch.cat([pad, ids] if side == "left" else [ids, pad], dim=1)
    mask = torch.cat([zeros, ones] if side == "left" else [ones, zeros], dim=1)
    with torch.no_grad():
        whole, found = net(ids).logits, net(padded, attention_mask=mask).logits
        hidden = net.bert(padded, attention_mask=mask).last_hidden_state
    torch.testing.assert_close(found[mask.bool()], whole.flatten(0, 1), rtol=1e-5, atol=1e-5)
    assert (hidden[~mask.bool()] == 0).all()


@pytest.mark.parametrize("padded", [False, True])
def test_long_input_in_blocks(monkeypatch: pytest.MonkeyPatch, padded: bool) -> None:
    """Longer than in training, with blocks of queries and segments, and with gradients through them."""
    net, ids = build(), tokens(2, 60)
    mask = torch.ones(2, 60)
    if padded:
        mask[1, 41:] = 0
    whole = net(ids, attention_mask=mask)
    labels = torch.where(mask.bool(), ids, -100)
    expected = torch.autograd.grad(net(ids, attention_mask=mask, labels=labels).loss, list(net.parameters()))
    monkeypatch.setattr(attention, "TABLE", 4000)
    monkeypatch.setattr(attention, "segment_size", lambda _: 7)
    found = torch.autograd.grad(net(ids, attention_mask=mask, labels=labels).loss, list(net.parameters()))
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)
    with torch.no_grad():
        torch.testing.assert_close(net(ids, attention_mask=mask).logits, whole.logits.detach(), rtol=1e-5, atol=1e-5)


def test_kinds_of_tokens() -> None:
    net, ids = build(), tokens(1, 6)
    with torch.no_grad():
        plain = net(ids).logits
        torch.testing.assert_close(net(ids, token_type_ids=torch.zeros_like(ids)).logits, plain)
        assert not torch.allclose(net(ids, token_type_ids=torch.ones_like(ids)).logits, plain)


def test_saved_and_loaded(tmp_path: Path) -> None:
    net = build()
    net.save_pretrained(tmp_path)
    again = DNABert2ForMaskedLM.from_pretrained(tmp_path).eval()
    assert again.cls.predictions.decoder.weight is again.bert.embeddings.word_embeddings.weight
    with torch.no_grad():
        torch.testing.assert_close(again(tokens(1, 9)).logits, net(tokens(1, 9)).logits)
        backbone = DNABert2Model.from_pretrained(tmp_path).eval()
        expected = net.bert(tokens(1, 9)).last_hidden_state
        torch.testing.assert_close(backbone(tokens(1, 9)).last_hidden_state, expected)


def test_sequences_are_judged_by_their_first_token() -> None:
    torch.manual_seed(1)
    net, ids = DNABert2ForSequenceClassification(DNABert2Config(**SMALL, num_labels=3)).eval(), tokens(2, 7)
    names = {name for name, _ in net.named_parameters()}
    assert {"bert.pooler.dense.weight", "classifier.weight", "classifier.bias"} <= names
    hidden = net.bert(ids).last_hidden_state
    expected = net.classifier(torch.tanh(net.bert.pooler.dense(hidden[:, 0])))
    torch.testing.assert_close(net(ids).logits, expected)
    left = torch.cat([torch.full((2, 4), 3), ids], dim=1)
    mask = torch.cat([torch.zeros(2, 4), torch.ones(2, 7)], dim=1)
    torch.testing.assert_close(net(left, attention_mask=mask).logits, expected, rtol=1e-5, atol=1e-5)
    assert DNABert2ForTokenClassification(DNABert2Config(**SMALL, num_labels=3))(ids).logits.shape == (2, 7, 3)


def test_the_net_of_the_paper() -> None:
    with torch.device("meta"):
        net = DNABert2ForMaskedLM(DNABert2Config())
    assert sum(p.numel() for p in net.parameters()) == pytest.approx(117e6, rel=0.02)


def test_both_ways_there_is_no_cache() -> None:
    with pytest.raises(UsageError, match="both ways"):
        build()(tokens(1, 4), use_cache=True)


def test_an_unknown_activation() -> None:
    with pytest.raises(UsageError, match="hidden_act is 'gellu'"):
        DNABert2Config(hidden_act="gellu")
