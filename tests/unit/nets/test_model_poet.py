"""PoET: the reference vectors, sets of sequences in batches and in pieces, and transformers' own ways."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from parity import assert_close, parity_case, weights
from tiny_poet import TOKENIZER, protein, tiny_poet
from torch import Tensor
from torch.nn import functional

import genoseq
from genoseq.errors import UsageError
from genoseq.families.poet.prompt import set_ids
from genoseq.nets.layers.tiered import lay_out
from genoseq.nets.models.poet import (
    PoETConfig,
    PoETForCausalLM,
    PoETForSequenceClassification,
    PoETForTokenClassification,
    PoETModel,
)


def ids_of(*sequences: str, reverse: bool = False) -> Tensor:
    return torch.from_numpy(set_ids(TOKENIZER, sequences, reverse=reverse))[None]


def plainly(net: PoETForCausalLM, ids: Tensor, sizes: list[int]) -> Tensor:
    """Logits ``(L, V)`` of one set ``(L,)`` as the paper says it: one table of who sees whom for each tier."""
    config = net.config
    heads, width = config.nhead, config.hidden_dim // config.nhead
    positions = torch.cat([torch.arange(size) for size in sizes])
    numbers = torch.repeat_interleave(torch.arange(len(sizes)), torch.tensor(sizes))
    before = torch.ones(len(ids), len(ids), dtype=torch.bool).tril()
    within = before & (numbers[:, None] == numbers)
    turn = torch.exp(1j * positions[:, None] * 10_000.0 ** (-torch.arange(0, width, 2) / width).double())[:, None]
    state = {name.removeprefix("poet."): value.double() for name, value in net.state_dict().items()}

    def norm(x: Tensor, name: str) -> Tensor:
        return functional.layer_norm(x, x.shape[-1:], state[f"{name}.weight"], state[f"{name}.bias"])

    def attention(x: Tensor, name: str, seen: Tensor) -> Tensor:
        q, k, v = ((x @ state[f"{name}.{letter}_proj.weight"].T).unflatten(1, (heads, width)) for letter in "qkv")
        if config.use_multi_rotary or "multihead" not in name:
            q, k = (torch.view_as_real(torch.view_as_complex(t.unflatten(2, (-1, 2))) * turn).flatten(2) for t in (q, k))
        scores = torch.einsum("ihd,jhd->hij", q, k) / math.sqrt(width)
        mixed = scores.masked_fill(~seen, -math.inf).softmax(-1)
        return (
            torch.einsum("hij,jhd->ihd", mixed, v).flatten(1) @ state[f"{name}.out_proj.weight"].T
            + state[f"{name}.out_proj.bias"]
        )

    x = state["token_embed.weight"][ids]
    for layer in range(config.num_layers):
        name = f"decoder.layers.{layer}"
        x = x + attention(norm(x, f"{name}.norm1"), f"{name}.self_attn", within)
        x = x + attention(norm(x, f"{name}.norm2"), f"{name}.multihead_attn", before)
        inner = functional.gelu(norm(x, f"{name}.norm3") @ state[f"{name}.linear1.weight"].T + state[f"{name}.linear1.bias"])
        x = x + inner @ state[f"{name}.linear2.weight"].T + state[f"{name}.linear2.bias"]
    return (norm(x, "norm") if config.norm else x) @ state["linear.weight"].T + state["linear.bias"]


def log_likelihood(logits: Tensor, ids: Tensor) -> Tensor:
    chosen = logits.log_softmax(2).gather(2, ids[..., None])[..., 0]
    return chosen.masked_fill(ids == 23, 0).sum(1)


@torch.no_grad()
def test_the_reference_vectors() -> None:
    folder = parity_case("poet_tiny")
    net = genoseq.load(folder / "model.safetensors").model
    assert genoseq.load(folder).model.config.nhead == net.config.nhead == 2
    given = weights(folder, "vectors.safetensors")
    sizes = given["forward.segment_sizes"]
    real = torch.arange(given["forward.xs"].shape[1]) < sizes.sum(1, keepdim=True)
    for options in ({"segment_sizes": sizes}, {"attention_mask": real.long()}):
        logits = net(given["forward.xs"], **options).logits
        assert_close(logits[real], given["forward.logits"][real])
    scores = []
    for end, key in (("", "forward"), ("_reversed", "backward")):
        prompt, variants = given[f"score.prompt{end}"], given[f"score.variants{end}"]
        cache = net(prompt, segment_sizes=given["score.segment_sizes"], use_cache=True).cache
        logits = net(variants[:, :-1], cache=cache).logits
        scores.append(log_likelihood(logits, variants[:, 1:]))
        assert_close(scores[-1], given[f"score.logp_{key}"])
        if not end:
            shown = variants[:, :-1] != 23
            assert_close(logits[shown], given["score.logits"][shown])
            for layer, block in enumerate(cache.blocks):
                (kept,) = block.across.shared
                assert_close(kept.key[0].transpose(0, 1), given[f"embed.key.{layer}"])
                assert_close(kept.value[0].transpose(0, 1), given[f"embed.value.{layer}"])
            assert_close(net(variants[:, :-1]).logits[shown], given["noprompt.logits"][shown])
    assert_close((scores[0] + scores[1]) / 2, given["score.logp_mean"])


@torch.no_grad()
@pytest.mark.parametrize("reverse", [False, True])
def test_it_is_the_equation(reverse: bool) -> None:
    net = tiny_poet()
    sequences = [protein(length) for length in (9, 30, 1, 12)]
    ids = ids_of(*sequences, reverse=reverse)
    expected = plainly(net, ids[0], [len(sequence) + 2 for sequence in sequences])
    assert_close(net(ids).logits[0].double(), expected)
    sizes = torch.tensor([[len(sequence) + 2 for sequence in sequences]])
    assert torch.equal(net(ids, segment_sizes=sizes).logits, net(ids).logits)
    as_one = net(ids, segment_sizes=torch.tensor([[ids.shape[1]]])).logits[0].double()
    assert not torch.allclose(as_one, expected, atol=1e-2)  # where sequences begin matters


@torch.no_grad()
@pytest.mark.parametrize(
    "changes", [{"use_multi_rotary": False}, {"norm": False}, {"ff_dim": 40, "nhead": 4, "num_layers": 3}], ids=str
)
def test_other_configurations_are_the_equation(changes: dict[str, Any], tmp_path: Path) -> None:
    net = PoETForCausalLM(PoETConfig(**({"hidden_dim": 32, "num_layers": 2, "nhead": 2} | changes))).eval()
    for value in net.parameters():
        value += 0.2 * torch.randn(value.shape, generator=torch.Generator().manual_seed(value.numel()))
    ids, sizes = ids_of(protein(9), protein(21)), [11, 23]
    expected = plainly(net, ids[0], sizes)
    assert_close(net(ids).logits[0].double(), expected)
    cache = net(ids[:, :11], use_cache=True).cache
    assert_close(net(ids[:, 11:], cache=cache).logits[0].double(), expected[11:])


@torch.no_grad()
def test_what_is_beside_a_set_in_a_batch_changes_nothing() -> None:
    net = tiny_poet()
    sets = [ids_of(protein(5), protein(20)), ids_of(protein(11)), ids_of(protein(3), protein(4), protein(6))]
    length = max(ids.shape[1] for ids in sets)
    for left in (False, True):
        rows, mask = torch.full((3, length), 23), torch.zeros(3, length, dtype=torch.long)
        places = [slice(length - ids.shape[1], None) if left else slice(ids.shape[1]) for ids in sets]
        for row, (ids, place) in enumerate(zip(sets, places, strict=True)):
            rows[row, place], mask[row, place] = ids[0], 1
        logits = net(rows, attention_mask=mask).logits
        for row, (ids, place) in enumerate(zip(sets, places, strict=True)):
            torch.testing.assert_close(logits[row, place], net(ids).logits[0], rtol=1e-4, atol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("cuts", [[1], [4, 5, 6], [12], [11, 24, 30]])
def test_pieces_give_what_the_whole_gives(cuts: list[int], batch: int) -> None:
    """Wherever a set is cut: inside a sequence, at its end, before several."""
    net = tiny_poet()
    ids = torch.cat([ids_of(*(protein(length, seed) for length in (10, 10, 8))) for seed in range(batch)])
    whole = net(ids, output_hidden_states=True)
    cache, logits, states = None, [], []
    for begin, end in zip([0, *cuts], [*cuts, ids.shape[1]], strict=True):
        out = net(ids[:, begin:end], cache=cache, use_cache=True, output_hidden_states=True)
        cache = out.cache
        logits.append(out.logits)
        states.append(out.hidden_states)
    torch.testing.assert_close(torch.cat(logits, 1), whole.logits, rtol=1e-4, atol=1e-5)
    for layer, state in enumerate(whole.hidden_states):
        torch.testing.assert_close(torch.cat([part[layer] for part in states], 1), state, rtol=1e-4, atol=1e-5)
    assert cache.length == 10 and cache.ended


@torch.no_grad()
def test_a_cache_is_shared_cut_and_sifted() -> None:
    net = tiny_poet()
    prompt, wild = ids_of(protein(12), protein(15)), ids_of(protein(20))
    cache = net(prompt, use_cache=True).cache
    one = net(wild[:, :-1], cache=cache, use_cache=True).cache.shared()
    assert one.length == 21 and one.nbytes == 2 * 2 * 32 * 4 * (prompt.shape[1] + 2 * 21)
    for count in (1, 7, 21):
        rest = (
            torch.cat([ids_of(protein(20, seed))[:, count:-1] for seed in range(4)]) if count < 21 else wild[:, -1:].repeat(4, 1)
        )
        found = net(rest, cache=one.first(count), use_cache=True)
        for row in range(4):
            ids = torch.cat([prompt[0], wild[0, :count], rest[row]])[None]
            torch.testing.assert_close(found.logits[row], net(ids).logits[0, -rest.shape[1] :], rtol=1e-4, atol=1e-5)
        some = found.cache.rows(torch.tensor([2, 0]))
        again = net(torch.tensor([[5], [6]]), cache=found.cache.rows(torch.tensor([0, 2])).rows(torch.tensor([1, 0]))).logits
        torch.testing.assert_close(net(torch.tensor([[5], [6]]), cache=some).logits, again)
    with pytest.raises(ValueError, match="4 rows"):
        found.cache.shared()
    with pytest.raises(ValueError, match="first 22 of 21"):
        one.first(22)


def test_gradients_are_those_of_single_sets() -> None:
    net = tiny_poet()
    sets = [ids_of(protein(5), protein(9)), ids_of(protein(14))]
    rows = torch.full((2, max(ids.shape[1] for ids in sets)), 23)
    sizes = torch.tensor([[7, 11], [16, 0]])
    labels = torch.full_like(rows, -100)
    for row, ids in enumerate(sets):
        rows[row, : ids.shape[1]] = labels[row, : ids.shape[1]] = ids[0]
    net.zero_grad()
    together = net(rows, segment_sizes=sizes, labels=labels, num_items_in_batch=1).loss
    together.backward()
    found = {name: value.grad.clone() for name, value in net.named_parameters() if value.grad is not None}
    net.zero_grad()
    alone = sum(net(ids, labels=ids, num_items_in_batch=1).loss for ids in sets)
    alone.backward()
    assert set(found) == {name for name, _ in net.named_parameters()}
    torch.testing.assert_close(together, alone)
    for name, value in net.named_parameters():
        torch.testing.assert_close(found[name], value.grad, rtol=1e-3, atol=1e-4, msg=name)
    net.zero_grad()
    with torch.no_grad():
        cache = net(sets[0], use_cache=True).cache
    (net(sets[1], cache=cache).logits ** 2).sum().backward()  # a prompt without gradients, what follows with them
    assert all(bool(value.grad.isfinite().all()) for value in net.parameters() if value.grad is not None)
    net.zero_grad()


def test_transformers_opens_what_was_saved(tmp_path: Path) -> None:
    from transformers import AutoModel, AutoModelForCausalLM

    from genoseq.nets.auto import register_auto_nets

    register_auto_nets()
    net, ids = tiny_poet(), ids_of(protein(8), protein(9))
    net.save_pretrained(tmp_path)
    with torch.no_grad():
        again = AutoModelForCausalLM.from_pretrained(tmp_path)
        assert isinstance(again, PoETForCausalLM) and torch.equal(again(ids).logits, net(ids).logits)
        backbone = AutoModel.from_pretrained(tmp_path)
        assert isinstance(backbone, PoETModel) and again.config.vocab_size == 24
        assert torch.equal(backbone(ids).last_hidden_state, net.poet(ids).last_hidden_state)


def test_heads() -> None:
    config = PoETConfig(hidden_dim=16, num_layers=1, nhead=2, num_labels=3)
    ids = ids_of(protein(8))
    assert PoETForSequenceClassification(config)(ids).logits.shape == (1, 3)
    assert PoETForTokenClassification(config)(ids).logits.shape == (1, 10, 3)
    assert PoETForCausalLM(config)(inputs_embeds=torch.randn(1, 4, 16)).logits.shape == (1, 4, 24)
    bare = PoETForCausalLM(PoETConfig(hidden_dim=16, num_layers=1, nhead=2, norm=False, ff_dim=8, dropout=0.5))
    assert not any(name.startswith("poet.norm.") for name in bare.state_dict())
    assert bare.poet.decoder.layers[0].linear1.out_features == 8
    bare.train()
    assert not torch.equal(bare(ids).logits, bare(ids).logits)  # dropout


def test_layouts() -> None:
    starts = torch.tensor([[True, False, True, False, False], [False, True, False, True, False]])
    mask = torch.tensor([[True, True, True, True, False], [False, True, True, True, True]])
    layout = lay_out(starts, mask)
    assert layout.positions.tolist() == [[0, 1, 0, 1, 0], [0, 0, 1, 0, 1]]
    assert layout.groups is not None and [group.tolist() for group in layout.groups] == [[[0, 1], [2, 3], [6, 7], [8, 9]]]
    plain = lay_out(torch.tensor([[True, False], [True, False]]), None)
    assert plain.groups is None and plain.mask is None


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"hidden_dim": 30, "nhead": 4}, "even number of channels"),
        ({"num_layers": 0}, "at least one layer"),
    ],
)
def test_configurations_of_no_net(values: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        PoETConfig(**values)


def test_input_that_makes_no_sense() -> None:
    net, ids = tiny_poet(), ids_of(protein(8))
    with pytest.raises(UsageError, match="segment_sizes are"):
        net(ids, segment_sizes=torch.tensor([[11]]))
    with pytest.raises(UsageError, match="leave attention_mask out"):
        net(ids, attention_mask=(torch.arange(10) < 5).long()[None], segment_sizes=torch.tensor([[5]]))
    two = torch.cat([ids_of(protein(3), protein(8)), ids_of(protein(8), protein(3))])
    with pytest.raises(UsageError, match="give them one at a time"):
        net(two, use_cache=True)
    cache = net(ids, use_cache=True).cache
    with pytest.raises(UsageError, match="give them one at a time"):
        net(torch.tensor([[21, 3], [3, 4]]), cache=cache)
    with pytest.raises(UsageError, match="for whole sets"):
        net(ids, cache=cache, segment_sizes=torch.tensor([[10]]))
