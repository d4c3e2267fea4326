"""H-Net: the public net's numbers, streaming, padding."""

from __future__ import annotations

from typing import Any

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


def plainly(net: HNetForCausalLM, ids: Tensor) -> Tensor:
    """Logits ``(L, V)`` of one sequence ``(L,)`` as the paper says it: chunks as a list, the moving average as a loop."""

    def stage(part: Any, x: Tensor) -> Tensor:
        width = x.shape[-1]
        if part.pad_dimension is not None:
            x = torch.cat([x, part.pad_dimension.expand(len(x), -1)], dim=1)
        if part.encoder is None:
            return part.main_network(x[None], None, None, False)[0][0, :, :width]
        x = part.encoder(x[None].clone(), None, None, False)[0][0]
        queries, keys = x @ part.routing_module.q_proj_layer.weight.T, x @ part.routing_module.k_proj_layer.weight.T
        alike = [float(torch.cosine_similarity(queries[t - 1], keys[t], dim=0)) for t in range(1, len(x))]
        probabilities = [1.0, *((1 - value) / 2 for value in alike)]
        inner = stage(part.main_network, torch.stack([v for v, p in zip(x, probabilities, strict=True) if p > 0.5]))
        state, rows, taken = torch.zeros(x.shape[1]), [], 0
        for p in probabilities:
            if p > 0.5:
                weight = min(p, 1 - 1e-4)
                state, taken = (1 - weight) * state + weight * inner[taken], taken + 1
            rows.append(state)
        x = torch.stack(rows) + part.residual_proj(x)
        return part.decoder(x[None], None, None, False)[0][0, :, :width]

    return net.lm_head(stage(net.hnet.backbone, net.hnet.embeddings(ids)))


LAYOUTS: list[dict[str, Any]] = [
    {},
    {"arch_layout": ["m1T1", ["T1m1", ["t1M1"], "m1T1"], "m2"], "d_intermediate": [64, 32, 48]},
    {"arch_layout": ["t1", ["M1", ["m1"], "t2"], "T1"], "d_model": [16, 16, 32], "d_intermediate": [24, 32, 48]},
    {
        "ssm_cfg": {"d_state": [4, 8, 16], "headdim": [8, 8, 16], "d_conv": 3, "expand": 2, "chunk_size": 8},
        "tie_embeddings": True,
    },
    {"attn_cfg": {"num_heads": 2, "rotary_emb_dim": [0, 8, 4], "window_size": [3, -1, 5], "rotary_emb_interleaved": True}},
    {"arch_layout": ["T1m1"], "d_model": [16], "d_intermediate": [32]},
]


@pytest.mark.parametrize("changes", LAYOUTS, ids=range(len(LAYOUTS)))
@torch.no_grad()
def test_nested_stages_are_the_paper(changes: dict[str, Any]) -> None:
    net, ids = build(**changes), tokens(2, 33)
    found = net(ids)
    assert len(found.boundaries) == (len(net.config.d_model) - 1)
    torch.testing.assert_close(found.logits, torch.stack([plainly(net, row) for row in ids]), rtol=1e-4, atol=1e-4)


def test_the_balance_of_an_inner_stage_counts_what_fills_the_rows() -> None:
    """As in the public program: rows with fewer chunks than the longest are filled with vectors that are no chunks."""
    net, ids = build(), tokens(3, 30)
    with torch.no_grad():
        out = net(ids, labels=ids)
    outer, inner = out.boundaries
    counts = outer.mask.sum(dim=1)
    assert len(set(counts.tolist())) > 1
    assert inner.probability.shape == (3, int(counts.max()))
    assert not inner.mask[torch.arange(inner.mask.shape[1]) >= counts[:, None]].any()
    row = int(counts.argmin())
    others = [place for place in range(30) if not outer.mask[row, place]]
    order = outer.mask[row].nonzero()[:, 0].tolist() + others
    with torch.no_grad():
        stage = net.hnet.backbone
        x = stage.encoder(net.hnet.embeddings(ids[row : row + 1]), None, None, False)[0]
        x = x[:, order[: inner.mask.shape[1]]]
        x = torch.cat([x, stage.main_network.pad_dimension.expand(*x.shape[:2], -1)], dim=-1)
        x = stage.main_network.encoder(x, None, None, False)[0]
        expected = stage.main_network.routing_module(x).probability[0]
    torch.testing.assert_close(inner.probability[row], expected, rtol=1e-5, atol=1e-5)
    balance = 0.0
    for chosen in out.boundaries:
        share, probability = float(chosen.mask.float().mean()), float(chosen.probability.mean())
        balance += ((1 - share) * (1 - probability) + 3 * share * probability) * 4 / 3
    plain = float(torch.nn.functional.cross_entropy(out.logits[:, :-1].flatten(0, 1), ids[:, 1:].flatten()))
    assert float(out.loss) == pytest.approx(plain + 0.03 * balance, abs=1e-5)


def test_the_loss_holds_the_balance_of_every_stage() -> None:
    net, ids = build(), tokens(2, 20)
    plain = build(load_balancing_weight=0.0)
    with torch.no_grad():
        difference = net(ids, labels=ids).loss - plain(ids, labels=ids).loss
    assert 0.01 < float(difference) < 0.3


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"arch_layout": ["m1", "m1"]}, "neither"),
        ({"d_model": [16]}, "3 stages"),
        ({"arch_layout": ["x3"]}, "blocks like"),
        ({"attn_cfg": {"num_heads": [2, 2, 2], "softmax_scale": 0.3}}, "attn_cfg has softmax_scale: known are num_heads"),
    ],
)
def test_a_wrong_layout_is_refused(changes: dict[str, object], text: str) -> None:
    with pytest.raises(UsageError, match=text):
        HNetForCausalLM(HNetConfig(**(TINY | changes)))
