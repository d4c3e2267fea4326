"""H-Net: the public net's numbers, streaming, padding."""

from __future__ import annotations

import parity
import pytest
import torch
from torch import Tensor

from genoseq.errors import UsageError
from genoseq.nets.models.hnet import HNetConfig, HNetForCausalLM

TINY = {
    "arch_layout": ["m1", ["T1", ["T1"], "m1"], "m1"],
    "d_model": [16, 24, 32],
    "d_intermediate": [0, 32, 48],
    "vocab_size": 32,
    "ssm_cfg": {"chunk_size": 8, "d_conv": 4, "d_state": 8, "expand": 2, "headdim": 8},
    "attn_cfg": {"num_heads": [2, 2, 2], "rotary_emb_dim": [4, 8, 8], "window_size": [7, 7, -1]},
}


def build(**changes: object) -> HNetForCausalLM:
    torch.manual_seed(7)
    net = HNetForCausalLM(HNetConfig(**(TINY | changes))).eval()
    with torch.no_grad():  # so that stages choose chunks of different lengths, and nothing is 0
        for values in net.parameters():
            values += 0.2 * torch.randn_like(values)
    return net


def tokens(rows: int, length: int) -> Tensor:
    return torch.randint(0, 32, (rows, length), generator=torch.Generator().manual_seed(5))


def renamed(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name if name.startswith("lm_head") else f"hnet.{name}": values for name, values in weights.items()}


def test_the_public_nets_numbers_and_gradients() -> None:
    folder = parity.parity_case("hnet_1stage")
    net = HNetForCausalLM(HNetConfig(**parity.config(folder))).eval()
    net.load_state_dict(renamed(parity.weights(folder)))
    given = parity.arrays(folder)
    out = net(given["inputs"], labels=given["inputs"])
    boundaries = out.boundaries[0]
    parity.assert_close(boundaries.probability.detach(), given["boundary_prob_0"][..., -1])
    assert torch.equal(boundaries.mask, given["boundary_mask_0"].bool())
    parity.assert_close(out.logits.detach(), given["logits"])
    parity.assert_close(out.loss.detach(), given["loss"])
    out.loss.backward()
    found = {name: values.grad for name, values in net.named_parameters()}
    for name, gradient in renamed(parity.weights(folder, "grads.safetensors")).items():
        parity.assert_close(found[name], gradient)


@pytest.mark.parametrize("pieces", [(30,), (1, 1, 28), (9, 2, 19)])
def test_pieces_give_what_the_whole_gives(pieces: tuple[int, ...]) -> None:
    net, ids = build(), tokens(3, 30)
    with torch.no_grad():
        whole = net(ids)
        assert 4 < int(whole.boundaries[0].mask.sum()) < 80
        cache, parts = None, []
        for piece in ids.split(list(pieces), dim=1):
            out = net(piece, cache=cache, use_cache=True)
            cache = out.cache
            parts.append(out.logits)
    torch.testing.assert_close(torch.cat(parts, dim=1), whole.logits, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("side", ["left", "right"])
def test_padding_changes_nothing(side: str) -> None:
    net, ids = build(), tokens(2, 25)
    left = side == "left"
    pad, ones, zeros = torch.full((2, 9), 4), torch.ones(2, 25), torch.zeros(2, 9)
    padded = torch.cat([pad, ids] if left else [ids, pad], dim=1)
    mask = torch.cat([zeros, ones] if left else [ones, zeros], dim=1)
    with torch.no_grad():
        whole, found = net(ids).logits, net(padded, attention_mask=mask).logits
    torch.testing.assert_close(found[:, 9:] if left else found[:, :25], whole, rtol=1e-5, atol=1e-5)


def test_companions_in_the_batch_change_nothing() -> None:
    net, ids = build(), tokens(4, 31)
    with torch.no_grad():
        together, alone = net(ids).logits, torch.cat([net(row[None]).logits for row in ids])
    torch.testing.assert_close(together, alone, rtol=1e-5, atol=1e-5)


def test_the_loss_holds_the_balance_of_every_stage() -> None:
    net, ids = build(), tokens(2, 20)
    plain = build(load_balancing_weight=0.0)
    with torch.no_grad():
        difference = net(ids, labels=ids).loss - plain(ids, labels=ids).loss
    assert 0.01 < float(difference) < 0.3


@pytest.mark.parametrize(
    ("changes", "text"),
    [({"arch_layout": ["m1", "m1"]}, "neither"), ({"d_model": [16]}, "3 stages"), ({"arch_layout": ["x3"]}, "blocks like")],
)
def test_a_wrong_layout_is_refused(changes: dict[str, object], text: str) -> None:
    with pytest.raises(UsageError, match=text):
        HNetForCausalLM(HNetConfig(**(TINY | changes)))
