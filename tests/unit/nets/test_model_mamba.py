"""Mamba nets: the authors' numbers, streaming, padding, saving."""

from __future__ import annotations

from pathlib import Path

import parity
import pytest
import torch
from torch import Tensor

from genoseq.errors import InputError, UsageError
from genoseq.nets.models.mamba import MambaConfig, MambaForCausalLM, MambaForSequenceClassification, MambaForTokenClassification

CASES = ["mamba1_ssm_lm", "mamba2_ssm_lm"]
SSM = {
    "Mamba1": {"layer": "Mamba1", "d_state": 4, "d_conv": 4, "expand": 2},
    "Mamba2": {"layer": "Mamba2", "d_state": 8, "d_conv": 4, "expand": 2, "headdim": 8, "chunk_size": 16},
}


def small(layer: str, **changes: object) -> MambaConfig:
    values: dict[str, object] = {"d_model": 16, "n_layer": 2, "vocab_size": 12, "ssm_cfg": SSM[layer]}
    return MambaConfig(**(values | changes))


def build(layer: str, **changes: object) -> MambaForCausalLM:
    torch.manual_seed(3)
    return MambaForCausalLM(small(layer, **changes)).eval()


def tokens(rows: int, length: int) -> Tensor:
    return torch.randint(0, 12, (rows, length), generator=torch.Generator().manual_seed(5))


@pytest.mark.parametrize("case", CASES)
def test_the_authors_numbers(case: str) -> None:
    folder = parity.parity_case(case)
    net = MambaForCausalLM(MambaConfig(**parity.config(folder))).eval()
    missing, unexpected = net.load_state_dict(parity.weights(folder), strict=False)
    assert missing == ["lm_head.weight"]  # one with the embeddings
    assert not unexpected
    given = parity.arrays(folder)
    with torch.no_grad():
        parity.assert_close(net(given["inputs"]).logits, given["logits"])
        parity.assert_close(net.backbone(given["inputs"]).last_hidden_state, given["hidden"])
        parity.assert_close(net(given["inputs_short"]).logits, given["logits_short"])
    loss = net(given["inputs"], labels=given["inputs"]).loss
    parity.assert_close(loss.detach(), given["loss"])
    loss.backward()
    found = {name: values.grad for name, values in net.named_parameters()}
    for name, gradient in parity.weights(folder, "grads.safetensors").items():
        parity.assert_close(found[name], gradient)


@pytest.mark.parametrize("layer", SSM)
@pytest.mark.parametrize("rms_norm", [True, False])
@torch.no_grad()
def test_feed_forward_layers_are_the_authors_equation(layer: str, rms_norm: bool) -> None:
    net, ids = build(layer, d_intermediate=40, rms_norm=rms_norm), tokens(2, 30)
    for value in net.parameters():
        value += 0.1 * torch.randn(value.shape, generator=torch.Generator().manual_seed(value.numel()))
    x = net.backbone.embedding(ids)
    for block in net.backbone.layers:
        h = x + block.mixer(block.norm(x))[0]
        up, gate = (block.norm2(h) @ block.mlp.fc1.weight.T).chunk(2, dim=-1)
        assert up.shape[-1] == 128
        x = h + (up * gate * torch.sigmoid(gate)) @ block.mlp.fc2.weight.T
    expected = net.backbone.norm_f(x) @ net.lm_head.weight.T
    torch.testing.assert_close(net(ids).logits, expected, rtol=1e-5, atol=1e-5)
    cache = net(ids[:, :13], use_cache=True).cache
    torch.testing.assert_close(net(ids[:, 13:], cache=cache).logits, expected[:, 13:], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("layer", SSM)
@pytest.mark.parametrize("pieces", [(7, 1, 1, 20), (29,), (1, 28), (16, 13)])
def test_pieces_give_what_the_whole_gives(layer: str, pieces: tuple[int, ...]) -> None:
    net, ids = build(layer), tokens(2, 29)
    with torch.no_grad():
        whole = net(ids).logits
        cache, parts = None, []
        for piece in ids.split(list(pieces), dim=1):
            out = net(piece, cache=cache, use_cache=True)
            cache = out.cache
            parts.append(out.logits)
    torch.testing.assert_close(torch.cat(parts, dim=1), whole, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("layer", SSM)
@pytest.mark.parametrize("side", ["left", "right"])
def test_padding_changes_nothing(layer: str, side: str) -> None:
    net, ids = build(layer), tokens(2, 25)
    left = side == "left"
    pad, ones, zeros = torch.full((2, 9), 4), torch.ones(2, 25), torch.zeros(2, 9)
    padded = torch.cat([pad, ids] if left else [ids, pad], dim=1)
    mask = torch.cat([zeros, ones] if left else [ones, zeros], dim=1)
    with torch.no_grad():
        whole, found = net(ids).logits, net(padded, attention_mask=mask).logits
    torch.testing.assert_close(found[:, 9:] if left else found[:, :25], whole, rtol=1e-5, atol=1e-5)


def test_companions_in_the_batch_change_nothing() -> None:
    net, ids = build("Mamba2"), tokens(4, 31)
    with torch.no_grad():
        together, alone = net(ids).logits, torch.cat([net(row[None]).logits for row in ids])
    torch.testing.assert_close(together, alone, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("layer", SSM)
def test_saved_and_loaded_it_is_the_same_net(layer: str, tmp_path: Path) -> None:
    net, ids = build(layer), tokens(2, 12)
    net.save_pretrained(tmp_path)
    again = MambaForCausalLM.from_pretrained(tmp_path)
    with torch.no_grad():
        assert torch.equal(net(ids).logits, again(ids).logits)


def test_hidden_states_are_the_stream_before_each_block_and_the_normed_end() -> None:
    net, ids = build("Mamba1"), tokens(1, 9)
    with torch.no_grad():
        states = net(ids, output_hidden_states=True).hidden_states
        assert len(states) == 3
        assert torch.equal(states[0], net.backbone.embedding(ids))
        assert torch.equal(states[-1], net.backbone(ids).last_hidden_state)


def test_heads_for_sequences_and_tokens() -> None:
    torch.manual_seed(0)
    ids = tokens(3, 8)
    sequence = MambaForSequenceClassification(small("Mamba1", num_labels=3))
    out = sequence(ids, labels=torch.tensor([0, 2, 1]))
    assert out.logits.shape == (3, 3)
    out.loss.backward()
    token = MambaForTokenClassification(small("Mamba1", num_labels=5))
    out = token(ids, labels=ids % 5)
    assert out.logits.shape == (3, 8, 5)
    out.loss.backward()
    number = MambaForSequenceClassification(small("Mamba1", num_labels=1))
    wanted = torch.tensor([0.5, -1.0, 2.0])
    out = number(ids, labels=wanted)
    torch.testing.assert_close(out.loss, ((out.logits[:, 0] - wanted) ** 2).mean())


@pytest.mark.parametrize(
    ("ids", "text"), [(torch.zeros(1, 0, dtype=torch.long), "without tokens"), (torch.tensor([[3, 99]]), "99")]
)
def test_wrong_input_says_what_is_wrong(ids: Tensor, text: str) -> None:
    with pytest.raises(InputError, match=text):
        build("Mamba1")(ids)


def test_a_sequence_of_padding_only_is_refused() -> None:
    with pytest.raises(UsageError, match="all padding"):
        build("Mamba1")(tokens(2, 4), attention_mask=torch.tensor([[1, 1, 1, 1], [0, 0, 0, 0]]))


def test_an_unknown_layer_is_refused() -> None:
    with pytest.raises(UsageError, match="Mamba1, Mamba2"):
        MambaConfig(ssm_cfg={"layer": "Mamba9"})


def test_hidden_states_are_one_place_later_than_in_transformers(tmp_path: Path) -> None:
    """The trap that docs/nets/mamba.md tells of."""
    import transformers

    import genoseq

    torch.manual_seed(0)
    config = transformers.Mamba2Config(
        hidden_size=16, num_hidden_layers=2, vocab_size=16, state_size=8, head_dim=8, num_heads=4, n_groups=1, chunk_size=16
    )
    public = transformers.Mamba2ForCausalLM(config).eval()
    public.save_pretrained(tmp_path)
    own = genoseq.load(tmp_path).model
    ids = torch.randint(0, 16, (1, 20))
    with torch.no_grad():
        theirs = public(ids, output_hidden_states=True).hidden_states
        ours = own(ids, output_hidden_states=True).hidden_states
    assert len(theirs) == len(ours) == 3
    torch.testing.assert_close(ours[0], own.get_input_embeddings()(ids))
    torch.testing.assert_close(theirs[0], ours[1], atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(theirs[2], ours[2], atol=1e-5, rtol=1e-4)
    assert not torch.allclose(theirs[1], ours[2], atol=1e-2)
