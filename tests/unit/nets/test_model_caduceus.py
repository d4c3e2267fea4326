"""Caduceus: the public nets' numbers, equivariance, padding."""

from __future__ import annotations

from pathlib import Path

import parity
import pytest
import torch
from torch import Tensor

from genoseq.errors import UsageError
from genoseq.nets.layers.equivariant import complement_table, join_strands, reverse_complement_ids, split_strands, swap_strands
from genoseq.nets.models.caduceus import (
    CaduceusConfig,
    CaduceusForCausalLM,
    CaduceusForMaskedLM,
    CaduceusForSequenceClassification,
)

COMPLEMENT = {str(i): i for i in range(16)} | {"7": 10, "8": 9, "9": 8, "10": 7}
CASES = ["caduceus_ps_fused", "caduceus_ph_fused", "caduceus_uni"]


def small(**changes: object) -> CaduceusConfig:
    values: dict[str, object] = {
        "d_model": 16,
        "n_layer": 2,
        "vocab_size": 12,
        "ssm_cfg": {"d_state": 4, "d_conv": 4, "expand": 2},
        "complement_map": COMPLEMENT,
    }
    return CaduceusConfig(**(values | changes))


def build(**changes: object) -> CaduceusForMaskedLM:
    torch.manual_seed(3)
    net = CaduceusForMaskedLM(small(**changes)).eval()
    with torch.no_grad():
        for values in net.parameters():  # so that no norm is 1 and no bias 0
            values += 0.1 * torch.randn_like(values)
    return net


def bases(rows: int, length: int) -> Tensor:
    return torch.randint(7, 11, (rows, length), generator=torch.Generator().manual_seed(5))


def renamed(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Our names: strands share a layer without a module around it that says so."""
    return {name.replace(".submodule.", "."): values for name, values in weights.items()}


def loaded(folder: Path) -> CaduceusForMaskedLM:
    weights = renamed(parity.weights(folder))
    tied = not any(name.startswith("lm_head") and name.endswith("weight") for name in weights)
    net = CaduceusForMaskedLM(CaduceusConfig(**(parity.config(folder) | {"tie_word_embeddings": tied}))).eval()
    missing, unexpected = net.load_state_dict(weights, strict=False)
    assert not unexpected
    assert all("mamba_rev" in name or name.startswith("lm_head") for name in missing)
    return net


@pytest.mark.parametrize("case", CASES)
def test_the_public_nets_numbers(case: str) -> None:
    folder = parity.parity_case(case)
    net, given = loaded(folder), parity.arrays(folder)
    with torch.no_grad():
        out = net(given["inputs"], output_hidden_states=True)
        parity.assert_close(out.logits, given["logits"])
        parity.assert_close(torch.stack(out.hidden_states), given["hidden_states"])
        parity.assert_close(net.caduceus(given["inputs"]).last_hidden_state, given["last_hidden"])
        parity.assert_close(net(given["inputs_short"]).logits, given["logits_short"])
        masked = net(given["mlm_inputs"], labels=given["mlm_labels"], loss_weights=given["loss_weights"])
        parity.assert_close(masked.loss, given["weighted_mlm_loss"])
        parity.assert_close(masked.logits, given["mlm_logits"])


@pytest.mark.parametrize("case", CASES)
def test_the_public_nets_gradients(case: str) -> None:
    folder = parity.parity_case(case)
    net, given = loaded(folder), parity.arrays(folder)
    loss = net(given["mlm_inputs"], labels=given["mlm_labels"]).loss
    parity.assert_close(loss.detach(), given["mlm_loss"])
    loss.backward()
    found = {name: values.grad for name, values in net.named_parameters()}
    expected = renamed(parity.weights(folder, "grads.safetensors"))
    assert expected
    for name, gradient in expected.items():
        parity.assert_close(found[name], gradient)


@pytest.mark.parametrize("fused", [True, False])
def test_shared_strands_are_equivariant_in_every_layer(fused: bool) -> None:
    net = build(rcps=True, fused_add_norm=fused)
    ids = bases(2, 41)
    table = complement_table(COMPLEMENT, 16)
    other = reverse_complement_ids(ids, table)
    with torch.no_grad():
        here, there = net(ids, output_hidden_states=True), net(other, output_hidden_states=True)
    torch.testing.assert_close(there.logits.flip(1)[..., table], here.logits, rtol=1e-5, atol=1e-5)
    assert len(here.hidden_states) == (3 if fused else 2)
    for mine, theirs in zip(here.hidden_states, there.hidden_states, strict=True):
        torch.testing.assert_close(theirs.flip(1, 2), mine, rtol=1e-5, atol=1e-5)


def test_swapping_strands_makes_another_net() -> None:
    swapped, plain = build(rcps=True, fused_add_norm=True), build(rcps=True, fused_add_norm=False)
    plain.load_state_dict(swapped.state_dict())
    ids = bases(1, 30)
    with torch.no_grad():
        assert (swapped(ids).logits - plain(ids).logits).abs().max() > 0.01


def test_classes_of_a_sequence_do_not_depend_on_the_strand() -> None:
    torch.manual_seed(2)
    net = CaduceusForSequenceClassification(small(rcps=True, num_labels=3)).eval()
    ids = bases(2, 33)
    other = reverse_complement_ids(ids, complement_table(COMPLEMENT, 16))
    with torch.no_grad():
        torch.testing.assert_close(net(other).logits, net(ids).logits, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("rcps", [True, False])
@pytest.mark.parametrize("side", ["left", "right"])
def test_padding_changes_nothing(rcps: bool, side: str) -> None:
    net = build(rcps=rcps)
    ids = bases(2, 25)
    pad, ones, zeros = torch.full((2, 9), 4), torch.ones(2, 25), torch.zeros(2, 9)
    left = side == "left"
    padded = torch.cat([pad, ids] if left else [ids, pad], dim=1)
    mask = torch.cat([zeros, ones] if left else [ones, zeros], dim=1)
    with torch.no_grad():
        whole, found = net(ids).logits, net(padded, attention_mask=mask).logits
    torch.testing.assert_close(found[:, 9:] if left else found[:, :25], whole, rtol=1e-5, atol=1e-5)


def test_one_direction_goes_on_from_a_cache() -> None:
    torch.manual_seed(1)
    net = CaduceusForCausalLM(small(bidirectional=False)).eval()
    ids = bases(2, 20)
    with torch.no_grad():
        whole = net(ids).logits
        first = net(ids[:, :7], use_cache=True)
        second = net(ids[:, 7:], cache=first.cache, use_cache=True)
    torch.testing.assert_close(torch.cat([first.logits, second.logits], dim=1), whole, rtol=1e-5, atol=1e-5)


def test_two_directions_refuse_a_cache() -> None:
    with pytest.raises(UsageError, match="both directions"):
        build()(bases(1, 5), use_cache=True)


def test_layouts_of_strands_convert_back() -> None:
    x = torch.randn(2, 7, 6)
    torch.testing.assert_close(join_strands(split_strands(x)), x, rtol=0, atol=0)
    torch.testing.assert_close(swap_strands(swap_strands(x)), x, rtol=0, atol=0)


def test_complement_map_is_taken_as_numbers() -> None:
    shuffled = dict(sorted(COMPLEMENT.items()))  # "10" before "2", as text
    assert torch.equal(complement_table(shuffled, 16), complement_table(COMPLEMENT, 16))


@pytest.mark.parametrize("wrong", [{"7": 10, "10": 8}, {"7": 99}])
def test_a_wrong_complement_map_is_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(UsageError, match="complement_map"):
        complement_table(wrong, 16)


def test_training_without_labels_at_padding() -> None:
    net = build().train()
    ids = bases(2, 12)
    labels = ids.clone()
    labels[:, :6] = 4
    loss = net(ids, labels=labels).loss
    again = net(ids, labels=labels.masked_fill(labels == 4, -100)).loss
    torch.testing.assert_close(loss, again)
    loss.backward()


def test_activation_checkpointing_changes_no_gradient() -> None:
    net = build().train()
    ids = bases(2, 12)
    net(ids, labels=ids).loss.backward()
    before = {name: p.grad.clone() for name, p in net.named_parameters()}
    net.zero_grad()
    net.activation_checkpointing_enable()
    net(ids, labels=ids).loss.backward()
    for name, p in net.named_parameters():
        torch.testing.assert_close(p.grad, before[name])


def test_a_net_in_both_directions_cannot_predict_the_next_token() -> None:
    with pytest.raises(UsageError, match="CaduceusForCausalLM predicts the next token, and this net sees it"):
        CaduceusForCausalLM(CaduceusConfig(d_model=8, n_layer=1, vocab_size=16))
    assert CaduceusForCausalLM(CaduceusConfig(d_model=8, n_layer=1, vocab_size=16, bidirectional=False)).predicts_next
    assert CaduceusForMaskedLM(CaduceusConfig(d_model=8, n_layer=1, vocab_size=16, bidirectional=False)).predicts_next
    assert not CaduceusForMaskedLM(CaduceusConfig(d_model=8, n_layer=1, vocab_size=16)).predicts_next
