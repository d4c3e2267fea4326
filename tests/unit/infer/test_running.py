"""The model comes back as it was, runs in pieces where it can, and says what is wrong with it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tiny_nets import TinyConfig, TinyForCausalLM, TinyModel, causal, masked
from torch import nn

from genoseq.errors import InputError, UsageError
from genoseq.infer import running
from genoseq.infer.running import (
    backbone_of,
    check_finite,
    choose_device,
    evaluating,
    hidden_pieces,
    label_logprobs,
    language_model,
    padded,
    state_is_constant,
)


def test_modes_come_back_even_after_an_error() -> None:
    net = causal()
    net.tiny.blocks[0].eval()
    before = [module.training for module in net.modules()]
    with pytest.raises(ZeroDivisionError), evaluating(net) as place:
        assert place == torch.device("cpu")
        assert not any(module.training for module in net.modules())
        raise ZeroDivisionError
    assert [module.training for module in net.modules()] == before
    assert len(set(before)) == 2


def test_the_device_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    net = causal()
    moves: list[torch.device] = []
    monkeypatch.setattr(net, "to", moves.append)
    with evaluating(net, "meta") as place:  # a device that every machine has
        assert place.type == "meta"
    assert [str(move) for move in moves] == ["meta", "cpu"]
    with evaluating(net, "cpu"), evaluating(net):
        assert len(moves) == 2  # it is there already


def test_a_model_on_several_devices_stays_there() -> None:
    net = causal()
    net.tiny.norm.to("meta")
    with pytest.raises(UsageError, match="lies on several devices"), evaluating(net, "cpu"):
        pass
    with evaluating(net):
        assert net.tiny.norm.weight.device.type == "meta"


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_no_gpu() -> None:
    assert choose_device("auto") == choose_device("cpu") == torch.device("cpu")
    with pytest.raises(UsageError, match="PyTorch finds no CUDA device here"):
        choose_device("cuda")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu() -> None:
    assert choose_device("auto").type == choose_device("cuda").type == "cuda"
    net = causal()
    with evaluating(net, "cuda"):
        assert next(net.parameters()).is_cuda
    assert not next(net.parameters()).is_cuda


def test_what_is_no_model_for_this() -> None:
    with pytest.raises(UsageError, match="Linear is no net of genoseq"):
        backbone_of(nn.Linear(1, 1))  # type: ignore[arg-type]
    bare = TinyModel(TinyConfig())
    assert backbone_of(bare) is bare
    with pytest.raises(UsageError, match="TinyModel predicts no tokens"):
        language_model(bare)
    with pytest.raises(UsageError, match="generating needs a causal language model"):
        language_model(masked(), causal=True)


def test_padding_is_on_the_right_and_masked() -> None:
    ids, mask = padded([np.array([5, 6]), np.array([7])], pad=9, device=torch.device("cpu"))
    assert ids.tolist() == [[5, 6], [7, 9]]
    assert mask is not None
    assert mask.tolist() == [[1, 1], [1, 0]]
    assert padded([np.array([5]), np.array([7])], pad=9, device=torch.device("cpu"))[1] is None


def test_states_that_grow_are_told_from_those_that_do_not() -> None:
    assert state_is_constant(causal().eval())
    assert state_is_constant(causal(limit=8).eval())
    assert not state_is_constant(causal(limit=1).eval())
    assert not state_is_constant(causal(growing=True).eval())
    assert not state_is_constant(masked().eval())


def test_a_causal_net_that_has_no_cache_has_no_state() -> None:
    net = causal().eval()

    def refuse(**given: object) -> object:
        raise UsageError("no cache")

    net.tiny.forward = refuse  # type: ignore[assignment]
    assert not state_is_constant(net)


@pytest.mark.parametrize("layer", [None, 0, 1, -1])
def test_pieces_are_the_whole(monkeypatch: pytest.MonkeyPatch, layer: int | None) -> None:
    net = causal().eval()
    ids = torch.randint(7, 11, (2, 50), generator=torch.Generator().manual_seed(1))
    whole = list(hidden_pieces(net, ids, None, layer=layer))
    assert [start for start, _ in whole] == [0]
    monkeypatch.setattr(running, "PIECE", 16)
    parts = list(hidden_pieces(net, ids, None, layer=layer, streams=True))
    assert [start for start, _ in parts] == [0, 16, 32, 48]
    torch.testing.assert_close(torch.cat([part for _, part in parts], 1), whole[0][1], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("layer", [3, -4])
def test_a_layer_that_does_not_exist(layer: int) -> None:
    with pytest.raises(UsageError, match=f"layer {layer} does not exist: .* 0 \\(embeddings\\) to 2, or -3 to -1"):
        list(hidden_pieces(causal().eval(), torch.zeros((1, 3), dtype=torch.int64), None, layer=layer))


def test_log_probabilities_are_those_of_all_logits(monkeypatch: pytest.MonkeyPatch) -> None:
    net = causal().eval()
    hidden, labels = torch.randn(2, 9, 12, generator=torch.Generator().manual_seed(1)), torch.arange(18).reshape(2, 9) % 16
    with torch.no_grad():
        expected = net.head_logits(hidden).log_softmax(2).gather(2, labels[..., None])[..., 0]
    torch.testing.assert_close(label_logprobs(net, hidden, labels), expected)
    monkeypatch.setattr(running, "HEAD_NUMBERS", 64)  # two positions at a time
    shapes: list[int] = []
    head = TinyForCausalLM.head_logits
    monkeypatch.setattr(
        TinyForCausalLM,
        "head_logits",
        lambda self, part: shapes.append(part.shape[1]) or head(self, part),  # type: ignore[func-returns-value]
    )
    torch.testing.assert_close(label_logprobs(net, hidden, labels), expected)
    assert shapes == [2, 2, 2, 2, 1]
    assert label_logprobs(net, hidden[:, :0], labels[:, :0]).shape == (2, 0)


def test_values_that_are_not_finite() -> None:
    check_finite(np.ones(2), "numbers")
    with pytest.raises(InputError, match="the model gives numbers that are not finite numbers; its weights may be damaged"):
        check_finite(np.array([1.0, np.nan]), "numbers")
