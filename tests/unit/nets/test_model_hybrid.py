"""Hybrids: every mixer in a net, shared strands whatever the blocks, messages for wrong recipes."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from genoseq.errors import UsageError
from genoseq.nets.layers.equivariant import complement_table, reverse_complement_ids
from genoseq.nets.mixers import MIXERS
from genoseq.nets.models.hybrid import (
    HybridConfig,
    HybridForCausalLM,
    HybridForMaskedLM,
    HybridForSequenceClassification,
    HybridForTokenClassification,
)

OPTIONS: dict[str, dict[str, object]] = {
    "hyena": {"l_max": 64, "filter_order": 8},
    "mamba": {"d_state": 4},
    "mamba2": {"d_state": 8, "headdim": 8, "chunk_size": 16},
    "bimamba": {"d_state": 4},
    "attention": {"n_heads": 2, "rotary_dim": 8},
    "s4": {"d_state": 8},
    "s4d": {"d_state": 8},
    "s5": {"d_state": 8},
}
CAUSAL = [name for name in OPTIONS if name != "bimamba"]
COMPLEMENT = {"7": 10, "8": 9, "9": 8, "10": 7}


def config(*mixers: str, **changes: object) -> HybridConfig:
    blocks = [{"mixer": name, "options": OPTIONS[name]} for name in mixers]
    values: dict[str, object] = {"vocab_size": 16, "d_model": 16, "blocks": blocks}
    return HybridConfig(**(values | changes))


def tokens(rows: int, length: int) -> Tensor:
    return torch.randint(7, 11, (rows, length), generator=torch.Generator().manual_seed(5))


def test_all_mixers_are_tried_here() -> None:
    assert set(MIXERS.names()) >= set(OPTIONS)


@pytest.mark.parametrize("mixer", CAUSAL)
def test_pieces_give_what_the_whole_gives(mixer: str) -> None:
    torch.manual_seed(1)
    net, ids = HybridForCausalLM(config(mixer, mixer)).eval(), tokens(2, 33)
    with torch.no_grad():
        whole = net(ids).logits
        cache, parts = None, []
        for piece in ids.split([5, 1, 27], dim=1):
            out = net(piece, cache=cache, use_cache=True)
            cache = out.cache
            parts.append(out.logits)
    torch.testing.assert_close(torch.cat(parts, dim=1), whole, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("mixer", OPTIONS)
@pytest.mark.parametrize("side", ["left", "right"])
def test_padding_changes_nothing(mixer: str, side: str) -> None:
    torch.manual_seed(1)
    net, ids = HybridForMaskedLM(config(mixer)).eval(), tokens(2, 25)
    left = side == "left"
    pad, ones, zeros = torch.full((2, 9), 4), torch.ones(2, 25), torch.zeros(2, 9)
    padded = torch.cat([pad, ids] if left else [ids, pad], dim=1)
    mask = torch.cat([zeros, ones] if left else [ones, zeros], dim=1)
    with torch.no_grad():
        whole, found = net(ids).logits, net(padded, attention_mask=mask).logits
    torch.testing.assert_close(found[:, 9:] if left else found[:, :25], whole, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("mixer", OPTIONS)
def test_shared_strands_are_equivariant_whatever_the_mixer(mixer: str) -> None:
    torch.manual_seed(1)
    net = HybridForMaskedLM(config(mixer, mixer, strands="shared", complement_map=COMPLEMENT)).eval()
    ids, table = tokens(2, 30), complement_table(COMPLEMENT, 16)
    with torch.no_grad():
        here = net(ids, output_hidden_states=True)
        there = net(reverse_complement_ids(ids, table), output_hidden_states=True)
    torch.testing.assert_close(there.logits.flip(1)[..., table], here.logits, rtol=1e-5, atol=1e-5)
    for mine, theirs in zip(here.hidden_states, there.hidden_states, strict=True):
        torch.testing.assert_close(theirs.flip(1, 2), mine, rtol=1e-5, atol=1e-5)


def test_both_directions_see_what_follows() -> None:
    torch.manual_seed(1)
    blocks = [{"mixer": "mamba2", "options": OPTIONS["mamba2"], "direction": "both"}]
    net, ids = HybridForMaskedLM(config(blocks=blocks)).eval(), tokens(1, 12)
    other = ids.clone()
    other[0, -1] = 7 + (other[0, -1] - 6) % 4
    with torch.no_grad():
        assert (net(ids).logits[0, 0] - net(other).logits[0, 0]).abs().max() > 1e-6
    assert not net.config.causal


def test_a_mixed_net_trains_and_is_saved(tmp_path: Path) -> None:
    torch.manual_seed(1)
    blocks = [
        {"mixer": "hyena", "options": OPTIONS["hyena"], "repeat": 2, "feed_forward": "none"},
        {"mixer": "attention", "options": OPTIONS["attention"], "feed_forward": "gelu"},
    ]
    net, ids = HybridForCausalLM(config(blocks=blocks, dropout=0.1)), tokens(4, 40)
    assert net.config.num_hidden_layers == 3
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-2)
    losses = []
    for _ in range(25):
        optimizer.zero_grad()
        loss = net(ids, labels=ids).loss
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.7 * losses[0]
    net.eval().save_pretrained(tmp_path)
    again = HybridForCausalLM.from_pretrained(tmp_path)
    with torch.no_grad():
        assert torch.equal(again(ids).logits, net(ids).logits)


def test_labels_of_a_sequence_do_not_depend_on_the_strand() -> None:
    torch.manual_seed(1)
    shared = config("hyena", strands="shared", complement_map=COMPLEMENT, num_labels=3)
    net, ids = HybridForSequenceClassification(shared).eval(), tokens(2, 30)
    other = reverse_complement_ids(ids, complement_table(COMPLEMENT, 16))
    with torch.no_grad():
        torch.testing.assert_close(net(other).logits, net(ids).logits, rtol=1e-5, atol=1e-6)
    assert HybridForTokenClassification(config("s4d", num_labels=2))(ids).logits.shape == (2, 30, 2)


@pytest.mark.parametrize(
    ("blocks", "text"),
    [
        ([], "empty"),
        ([{"options": {}}], "mixer is missing"),
        ([{"mixer": "hyena", "times": 2}], "times"),
        ([{"mixer": "attention", "direction": "up"}], "forward, both"),
    ],
)
def test_a_wrong_list_of_blocks_is_refused(blocks: list[dict[str, object]], text: str) -> None:
    with pytest.raises(UsageError, match=text):
        HybridConfig(blocks=blocks)


@pytest.mark.parametrize(
    ("block", "text"),
    [
        ({"mixer": "hiena"}, "did you mean 'hyena'"),
        ({"mixer": "mamba2", "options": {"dstate": 4}}, "did you mean 'd_state'"),
        ({"mixer": "hyena"}, "needs l_max"),
    ],
)
def test_a_wrong_mixer_is_refused(block: dict[str, object], text: str) -> None:
    with pytest.raises(UsageError, match=text):
        HybridForCausalLM(HybridConfig(blocks=[block]))


def test_a_net_that_sees_both_ways_cannot_predict_the_next_token() -> None:
    with pytest.raises(UsageError, match="reads in both directions is a masked language model"):
        HybridForCausalLM(config("bimamba"))


@pytest.mark.parametrize("mixer", ["mamba", "mamba2", "hyena", "s4d"])
@pytest.mark.parametrize("gradients", [False, True])
def test_the_mixer_against_the_sequence_is_that_of_the_turned_one(mixer: str, gradients: bool) -> None:
    torch.manual_seed(1)
    blocks = [{"mixer": mixer, "options": OPTIONS[mixer], "direction": "both"}]
    both = HybridForMaskedLM(config(blocks=blocks)).eval().hybrid.layers[0].mixer
    assert both.turns == (mixer in ("mamba", "mamba2"))
    x, mask = torch.randn(2, 40, 16), torch.arange(40)[None] >= torch.tensor([[0], [7]])
    with torch.set_grad_enabled(gradients):
        y, _ = both(x, mask=mask)
        expected = both.along(x, mask=mask)[0] + both.against(x.flip(1), mask=mask.flip(1))[0].flip(1)
    torch.testing.assert_close(y[mask], expected[mask], rtol=1e-5, atol=1e-5)
