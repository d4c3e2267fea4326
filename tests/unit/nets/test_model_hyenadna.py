"""HyenaDNA: the port's and the original's numbers, streaming, padding, heads."""

from __future__ import annotations

import parity
import pytest
import torch
from torch import Tensor

from genoseq.errors import UsageError
from genoseq.nets.models.hyenadna import HyenaDNAConfig, HyenaDNAForCausalLM, HyenaDNAForSequenceClassification

TINY = {"d_model": 16, "n_layer": 2, "d_inner": 32, "filter_order": 8, "max_seq_len": 100}


def build(**changes: object) -> HyenaDNAForCausalLM:
    torch.manual_seed(7)
    return HyenaDNAForCausalLM(HyenaDNAConfig(**(TINY | changes))).eval()


def tokens(rows: int, length: int) -> Tensor:
    return torch.randint(7, 11, (rows, length), generator=torch.Generator().manual_seed(5))


def test_the_ports_numbers_and_gradients() -> None:
    folder = parity.parity_case("hyenadna_hf_causallm")
    net = HyenaDNAForCausalLM(HyenaDNAConfig(**parity.config(folder))).eval()
    missing, unexpected = net.load_state_dict(parity.weights(folder), strict=False)
    assert not unexpected
    assert all(name.endswith(("filter.3.freq", "filter.5.freq")) for name in missing)  # one tensor with filter.1.freq
    given = parity.arrays(folder)
    with torch.no_grad():
        for suffix in ("", "_short", "_full"):
            parity.assert_close(net(given[f"inputs{suffix}"]).logits, given[f"logits{suffix}"])
        states = net(given["inputs"], output_hidden_states=True).hidden_states
        parity.assert_close(torch.stack(states), given["hidden_states"])
    loss = net(given["inputs"], labels=given["inputs"]).loss
    parity.assert_close(loss.detach(), given["loss"])
    loss.backward()
    found = {name: values.grad for name, values in net.named_parameters()}
    for name, gradient in parity.weights(folder, "grads.safetensors").items():
        parity.assert_close(found[name], gradient)


def test_the_originals_numbers() -> None:
    folder = parity.parity_case("hyenadna_standalone_head")
    config = HyenaDNAConfig(d_model=32, n_layer=2, d_inner=128, max_seq_len=258, num_labels=5, pool="mean", score_bias=True)
    net = HyenaDNAForSequenceClassification(config).eval()
    weights = {
        name.replace("head.output_transform", "score") if name.startswith("head") else f"hyena.{name}": values
        for name, values in parity.weights(folder).items()
    }
    assert not net.load_state_dict(weights, strict=False).unexpected_keys
    given = parity.arrays(folder)
    with torch.no_grad():
        parity.assert_close(net(given["inputs"]).logits, given["logits"])


@pytest.mark.parametrize("order", [2, 3])
@pytest.mark.parametrize("pieces", [(40,), (1, 1, 38), (17, 3, 20)])
def test_pieces_give_what_the_whole_gives(order: int, pieces: tuple[int, ...]) -> None:
    net, ids = build(hyena_order=order), tokens(2, 40)
    with torch.no_grad():
        whole = net(ids).logits
        cache, parts = None, []
        for piece in ids.split(list(pieces), dim=1):
            out = net(piece, cache=cache, use_cache=True)
            cache = out.cache
            parts.append(out.logits)
    torch.testing.assert_close(torch.cat(parts, dim=1), whole, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("side", ["left", "right"])
def test_masked_padding_changes_nothing(side: str) -> None:
    net, ids = build(), tokens(2, 25)
    left = side == "left"
    pad, ones, zeros = torch.full((2, 9), 4), torch.ones(2, 25), torch.zeros(2, 9)
    padded = torch.cat([pad, ids] if left else [ids, pad], dim=1)
    mask = torch.cat([zeros, ones] if left else [ones, zeros], dim=1)
    with torch.no_grad():
        whole, found = net(ids).logits, net(padded, attention_mask=mask).logits
        unmasked = net(padded).logits
    real = slice(9, None) if left else slice(0, 25)
    torch.testing.assert_close(found[:, real], whole, rtol=1e-5, atol=1e-5)
    # without a mask, padding on the left is seen, as the published nets see it
    assert torch.allclose(unmasked[:, real], whole, atol=1e-5) is not left


def test_a_sequence_longer_than_the_tables_is_refused() -> None:
    with pytest.raises(UsageError, match="at most 100"):
        build()(tokens(1, 101))


def test_a_sequence_head_sees_the_last_token() -> None:
    torch.manual_seed(0)
    net = HyenaDNAForSequenceClassification(HyenaDNAConfig(**TINY, num_labels=3)).eval()
    ids = tokens(1, 12)
    with torch.no_grad():
        hidden = net.hyena(ids).last_hidden_state
        torch.testing.assert_close(net(ids).logits, net.score(hidden[:, -1]))
