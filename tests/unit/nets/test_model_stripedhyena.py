"""StripedHyena 1: the public numbers, streaming, padding, saving, and the configurations of Evo 1."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import parity
import pytest
import torch
from torch import Tensor

from genoseq.errors import InputError, UsageError
from genoseq.nets.models.stripedhyena import (
    StripedHyenaConfig,
    StripedHyenaForCausalLM,
    StripedHyenaForSequenceClassification,
    StripedHyenaForTokenClassification,
    layer_kinds,
)

CASE = "stripedhyena1_evo1like"
SMALL: dict[str, Any] = {
    "vocab_size": 24,
    "hidden_size": 16,
    "num_layers": 3,
    "num_attention_heads": 4,
    "attn_layer_idxs": [1],
    "state_size": 3,
    "inner_size_multiple_of": 8,
}


def build(**changes: Any) -> StripedHyenaForCausalLM:
    torch.manual_seed(3)
    return StripedHyenaForCausalLM(StripedHyenaConfig(**(SMALL | changes))).eval()


def tokens(rows: int, length: int) -> Tensor:
    return torch.randint(0, 24, (rows, length), generator=torch.Generator().manual_seed(5))


def public(folder: Path) -> tuple[StripedHyenaForCausalLM, dict[str, Tensor]]:
    """The net of the public case, and its arrays."""
    net = StripedHyenaForCausalLM(StripedHyenaConfig(**parity.config(folder))).eval()
    weights = {f"backbone.{name}": value for name, value in parity.weights(folder).items() if not name.endswith("inv_freq")}
    missing, unexpected = net.load_state_dict(weights, strict=False)
    assert missing == ["unembed.weight"]  # one with the embeddings
    assert not unexpected
    return net, parity.arrays(folder)


def test_the_public_numbers() -> None:
    folder = parity.parity_case(CASE)
    net, given = public(folder)
    with torch.no_grad():
        parity.assert_close(net(given["inputs"]).logits, given["logits"])
        parity.assert_close(net(given["inputs_short"]).logits, given["logits_short"])
        cache = net(given["inputs"][:, :-1], use_cache=True).cache
        step = net(given["inputs"][:, -1:], cache=cache, use_cache=True)
        parity.assert_close(step.logits[:, -1], given["gen_step_logits"])
    loss = net(given["inputs"], labels=given["inputs"]).loss
    parity.assert_close(loss.detach(), given["loss"])
    loss.backward()
    found = {name: values.grad for name, values in net.named_parameters()}
    for name, gradient in parity.weights(folder, "grads.safetensors").items():
        parity.assert_close(found[f"backbone.{name}"], gradient)


@pytest.mark.parametrize("pieces", [(7, 1, 1, 20), (29,), (1, 28), (1,) * 29])
def test_pieces_give_what_the_whole_gives(pieces: tuple[int, ...]) -> None:
    net, ids = build(), tokens(2, 29)
    with torch.no_grad():
        whole = net(ids).logits
        cache, parts = None, []
        for piece in ids.split(list(pieces), dim=1):
            out = net(piece, cache=cache, use_cache=True)
            cache = out.cache
            parts.append(out.logits)
    torch.testing.assert_close(torch.cat(parts, dim=1), whole, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("side", ["left", "right"])
def test_padding_changes_nothing(side: str) -> None:
    net, ids = build(), tokens(2, 25)
    pad, ones, zeros = torch.full((2, 9), 1), torch.ones(2, 25), torch.zeros(2, 9)
    padded = torch.cat([pad, ids] if side == "left" else [ids, pad], dim=1)
    mask = torch.cat([zeros, ones] if side == "left" else [ones, zeros], dim=1)
    with torch.no_grad():
        whole, found = net(ids).logits, net(padded, attention_mask=mask).logits
    torch.testing.assert_close(found[:, 9:] if side == "left" else found[:, :25], whole, rtol=1e-5, atol=1e-5)


def test_hidden_states() -> None:
    net, ids = build(), tokens(1, 9)
    out = net(ids, output_hidden_states=True)
    assert len(out.hidden_states) == 4
    torch.testing.assert_close(out.hidden_states[0], net.backbone.embedding_layer(ids))
    torch.testing.assert_close(net.unembed(out.hidden_states[-1]), out.logits)
    with torch.no_grad():
        for found, expected in zip(net(ids, output_hidden_states=True).hidden_states, out.hidden_states, strict=True):
            torch.testing.assert_close(found, expected.detach())


@pytest.mark.parametrize("tied", [True, False])
def test_saved_and_loaded(tmp_path: Path, tied: bool) -> None:
    net = build(tie_embeddings=tied)
    net.save_pretrained(tmp_path)
    again = StripedHyenaForCausalLM.from_pretrained(tmp_path).eval()
    assert (again.unembed.weight is again.backbone.embedding_layer.weight) == tied
    with torch.no_grad():
        torch.testing.assert_close(again(tokens(1, 9)).logits, net(tokens(1, 9)).logits)
    backbone = StripedHyenaForSequenceClassification.from_pretrained(tmp_path, num_labels=3)
    torch.testing.assert_close(backbone.backbone.blocks[0].filter.poles, net.backbone.blocks[0].filter.poles)


def test_checkpointed_gradients_are_the_same() -> None:
    ids, gradients = tokens(2, 12), []
    for checkpointed in (False, True):
        net = build().train()
        if checkpointed:
            getattr(net, "activation_checkpointing_enable", net.gradient_checkpointing_enable)()  # its name in transformers 5
        net(ids, labels=ids).loss.backward()
        gradients.append({name: p.grad for name, p in net.named_parameters()})
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], gradient)


def test_it_learns() -> None:
    net, ids = build().train(), torch.tensor([[2, 3, 4, 5] * 5])
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-2)
    losses = []
    for _ in range(30):
        loss = net(ids, labels=ids).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.3 * losses[0]


def test_other_heads() -> None:
    ids, config = tokens(2, 7), StripedHyenaConfig(**SMALL, num_labels=3)
    assert StripedHyenaForSequenceClassification(config)(ids).logits.shape == (2, 3)
    assert StripedHyenaForTokenClassification(config)(ids).logits.shape == (2, 7, 3)


EVO = {
    "vocab_size": 512,
    "hidden_size": 4096,
    "num_filters": 4096,
    "attn_layer_idxs": [8, 16, 24],
    "hyena_layer_idxs": [i for i in range(32) if i not in (8, 16, 24)],
    "num_layers": 32,
    "short_filter_length": 3,
    "num_attention_heads": 32,
    "short_filter_bias": True,
    "mlp_init_method": "torch.nn.init.zeros_",
    "eps": 1.0e-6,
    "state_size": 8,
    "inner_size_multiple_of": 16,
    "smeared_gqa": False,
    "make_vocab_size_divisible_by": 8,
    "proj_groups": 1,
    "hyena_filter_groups": 1,
    "split_k0": True,
    "model_parallel_size": 1,
    "tie_embeddings": True,
    "inner_mlp_size": None,
    "mha_out_proj_bias": True,
    "qkv_proj_bias": True,
    "final_norm": True,
    "column_split": True,
    "tokenizer_type": "CharLevelTokenizer",
    "prefill_style": "fft",
    "mlp_activation": "gelu",
    "use_interpolated_rotary_pos_emb": True,
    "rotary_emb_scaling_factor": 16,
}


def test_the_net_of_evo_1() -> None:
    with torch.device("meta"):
        net = StripedHyenaForCausalLM(StripedHyenaConfig(**EVO))
    assert 6.4e9 < sum(p.numel() for p in net.parameters()) < 6.5e9
    shapes = {name: tuple(p.shape) for name, p in net.named_parameters()}
    assert shapes["backbone.blocks.0.mlp.l1.weight"] == (10_928, 4096)
    assert shapes["backbone.blocks.8.inner_mha_cls.Wqkv.weight"] == (12_288, 4096)
    assert shapes["backbone.blocks.31.filter.poles"] == (4096, 8, 1, 2)
    assert net.backbone.blocks[8].inner_mha_cls.rotary_linear == 16


def test_the_net_of_striped_hyena_7b() -> None:
    """The text model: grouped queries, untied, a block listed that does not exist."""
    values = EVO | {
        "vocab_size": 32_000,
        "attn_layer_idxs": list(range(1, 32, 2)),
        "hyena_layer_idxs": list(range(0, 33, 2)),
        "state_size": 2,
        "rotary_emb_base": 500_000,
        "proj_groups": 4,
        "tie_embeddings": False,
        "inner_mlp_size": 14_336,
        "mha_out_proj_bias": False,
        "qkv_proj_bias": False,
        "use_interpolated_rotary_pos_emb": False,
    }
    with torch.device("meta"):
        net = StripedHyenaForCausalLM(StripedHyenaConfig(**values))
    attention = net.backbone.blocks[1].inner_mha_cls
    assert tuple(attention.Wqkv.weight.shape) == (4096 + 2 * 1024, 4096)
    assert attention.rotary_linear == 1.0
    assert net.unembed.weight is not net.backbone.embedding_layer.weight


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"smeared_gqa": True}, "smeared_gqa"),
        ({"num_filters": 7}, "num_filters is 7"),
        ({"num_attention_heads": 3}, "do not divide"),
        ({"hyena_layer_idxs": [0]}, "layer 2 of 3 is in none of attn_layer_idxs, hyena_layer_idxs"),
        ({"hyena_layer_idxs": [0, 1, 2]}, "layer 1 of 3 is in more than one of attn_layer_idxs, hyena_layer_idxs"),
    ],
)
def test_configurations_that_make_no_sense(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        StripedHyenaConfig(**(SMALL | changes))


def test_kinds_of_layers() -> None:
    assert layer_kinds(2, a=[0, 9], b=[1]) == ["a", "b"]


def test_input_that_the_net_does_not_know() -> None:
    net = build()
    with pytest.raises(InputError, match="outside the net's vocabulary of 24"):
        net(torch.tensor([[24]]))
    with pytest.raises(InputError, match="without tokens"):
        net(torch.empty(1, 0, dtype=torch.long))
