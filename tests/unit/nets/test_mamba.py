"""The Mamba mixer: the authors' numbers, pieces, padding, long inputs, adapters."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from parity import arrays, assert_close, config, parity_case, weights
from torch import Tensor, nn
from torch.nn import functional

from genoseq.errors import UsageError
from genoseq.nets.layers import mamba as module
from genoseq.nets.layers.mamba import Mamba
from genoseq.nets.layers.norms import RMSNorm
from genoseq.nets.ops.scan import selective_scan_reference


def build(dtype: torch.dtype = torch.float32, **options: object) -> Mamba:
    torch.manual_seed(0)
    layer = Mamba(**{"d_model": 12, "d_state": 4, **options})
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
    return layer.to(dtype)


def equation(layer: Mamba, x: Tensor) -> Tensor:
    """Section 3.4 of the paper as torch's modules and the loop over positions."""
    u, z = layer.in_proj(x).chunk(2, dim=-1)
    u = functional.silu(layer.conv1d(u.transpose(1, 2))[..., : x.shape[1]])
    delta, into, out = layer.x_proj(u.transpose(1, 2)).split([layer.dt_rank, layer.d_state, layer.d_state], dim=-1)
    delta = functional.softplus(layer.dt_proj(delta)).transpose(1, 2)
    y, _ = selective_scan_reference(
        u, delta, -layer.A_log.exp(), into.transpose(1, 2), out.transpose(1, 2), layer.D, z.transpose(1, 2)
    )
    return layer.out_proj(y.transpose(1, 2))


@pytest.mark.parametrize("options", [{}, {"bias": True, "conv_bias": False}, {"d_conv": 2, "expand": 3, "dt_rank": 5}])
@pytest.mark.parametrize("length", [1, 2, 3, 65])
def test_is_the_equation(length, options):
    layer = build(**options)
    x = torch.randn(2, length, 12, requires_grad=True)
    found, expected = layer(x)[0], equation(layer, x)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    slope = torch.randn(2, length, 12)
    inputs = [x, *layer.parameters()]
    for mine, theirs in zip(torch.autograd.grad(found, inputs, slope), torch.autograd.grad(expected, inputs, slope), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-4)


def test_gradcheck():
    layer = build(torch.float64, d_model=3, d_state=2, bias=True)
    x = torch.randn(1, 6, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x, *_: layer(x)[0], (x, *layer.parameters()))


@pytest.mark.parametrize("grad", [False, True])
@pytest.mark.parametrize("sizes", [(1,) * 9, (2, 7), (1, 5, 3), (8, 1), (9,)])
def test_pieces_give_the_whole(sizes, grad):
    layer = build()
    x = torch.randn(2, 9, 12)
    with torch.set_grad_enabled(grad):
        whole, end = layer(x, use_cache=True)
        cache, parts = None, []
        for piece in x.split(sizes, dim=1):
            part, cache = layer(piece, cache=cache, use_cache=True)
            parts.append(part)
    torch.testing.assert_close(torch.cat(parts, 1), whole, rtol=1e-5, atol=1e-5)
    for mine, theirs in zip(cache, end, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-5, atol=1e-5)


def test_cache_is_given_only_when_asked_for():
    layer = build()
    assert layer(torch.randn(1, 5, 12))[1] is None
    assert layer(torch.randn(1, 1, 12))[1] is None
    window, state = layer(torch.randn(2, 5, 12), use_cache=True)[1]
    assert window.shape == (2, 3, 24)
    assert state.shape == (2, 24, 4)


@pytest.mark.parametrize("side", ["left", "right", "both"])
def test_padding_changes_nothing(side):
    layer = build(bias=True)
    x = torch.randn(2, 11, 12)
    left, right = {"left": (6, 0), "right": (0, 6), "both": (2, 4)}[side]
    padded = functional.pad(x, (0, 0, left, right), value=7.0)
    mask = functional.pad(torch.ones(2, 11, dtype=torch.bool), (left, right))
    torch.testing.assert_close(layer(padded, mask=mask)[0][:, left : left + 11], layer(x)[0], rtol=1e-5, atol=1e-5)


def test_rows_of_a_batch_have_their_own_padding_and_go_on():
    layer = build(bias=True)
    short, long, new = torch.randn(1, 4, 12), torch.randn(1, 9, 12), torch.randn(2, 1, 12)
    batch = torch.cat([functional.pad(short, (0, 0, 5, 0), value=3.0), long])
    mask = torch.arange(9).expand(2, 9) >= torch.tensor([[5], [0]])
    with torch.no_grad():
        y, cache = layer(batch, mask=mask, use_cache=True)
        after, _ = layer(new, cache=cache)
        for row, sequence in enumerate((short, long)):
            whole, _ = layer(torch.cat([sequence, new[row : row + 1]], 1))
            torch.testing.assert_close(y[row, 9 - sequence.shape[1] :], whole[0, :-1], rtol=1e-5, atol=1e-5)
            torch.testing.assert_close(after[row, 0], whole[0, -1], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("values", [1, 24 * 2 * 5, 24 * 2 * 16])
def test_segments_of_long_inputs_give_the_whole(monkeypatch, values):
    layer = build()
    x = torch.randn(2, 33, 12)
    mask = torch.arange(33).expand(2, 33) >= torch.tensor([[3], [0]])
    whole, end = layer(x, mask=mask, use_cache=True)
    monkeypatch.setattr(module, "SEGMENT_VALUES", values)
    with torch.no_grad():
        y, cache = layer(x, mask=mask, use_cache=True)
    torch.testing.assert_close(y, whole, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(cache.state, end.state, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("values", [24 * 2 * 5, 1 << 20])
def test_from_right_to_left(monkeypatch, values):
    layer = build()
    x, mask = torch.randn(2, 33, 12), torch.arange(33).expand(2, 33) < torch.tensor([[30], [33]])
    expected = layer(x.flip(1), mask=mask.flip(1))[0].flip(1)
    torch.testing.assert_close(layer(x, mask=mask, reverse=True)[0], expected, rtol=1e-5, atol=1e-5)
    monkeypatch.setattr(module, "SEGMENT_VALUES", values)
    with torch.no_grad():
        torch.testing.assert_close(layer(x, mask=mask, reverse=True)[0], expected, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(layer(x[:, :1], reverse=True)[0], layer(x[:, :1])[0], rtol=1e-5, atol=1e-5)


def test_from_right_to_left_there_is_no_cache():
    with pytest.raises(UsageError, match="right to left"):
        build()(torch.randn(1, 4, 12), reverse=True, use_cache=True)


def test_long_inputs_without_gradients_make_no_wide_tensor(monkeypatch):
    monkeypatch.setattr(module, "SEGMENT_VALUES", 24 * 100)
    layer, widest = build(), 0

    def look(_module: nn.Module, _inputs: object, output: Tensor) -> None:
        nonlocal widest
        widest = max(widest, output.shape[1])

    layer.in_proj.register_forward_hook(look)
    with torch.no_grad():
        layer(torch.randn(1, 1000, 12))
    assert widest == 100


def test_bfloat16_stays_near_float32():
    layer = build(d_model=32, d_state=16)
    x = torch.randn(2, 200, 32)
    expected = layer(x)[0]
    found, cache = copy.deepcopy(layer).bfloat16()(x.bfloat16(), use_cache=True)
    assert found.dtype == torch.bfloat16
    assert cache.state.dtype == torch.float32
    # bfloat16 has 8 bits: each weight and each product is off by up to 0.4 %.
    assert (found.float() - expected).abs().max() < 0.05 * expected.abs().max()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = layer(x)[0]
    assert (mixed.float() - expected).abs().max() < 0.05 * expected.abs().max()


def test_an_adapter_on_the_step_projection_counts():
    class Twice(nn.Module):
        def __init__(self, inner: nn.Linear) -> None:
            super().__init__()
            self.inner = inner

        def forward(self, x: Tensor) -> Tensor:
            return 2 * self.inner(x)

    layer = build()
    x = torch.randn(1, 7, 12)
    plain = layer(x)[0]
    doubled = copy.deepcopy(layer)
    with torch.no_grad():
        doubled.dt_proj.weight *= 2
        doubled.dt_proj.bias *= 2
    layer.dt_proj = Twice(layer.dt_proj)
    torch.testing.assert_close(layer(x)[0], doubled(x)[0], rtol=1e-5, atol=1e-6)
    assert not torch.allclose(layer(x)[0], plain)


def test_initial_values_are_the_public_ones():
    layer = Mamba(d_model=40, d_state=3)
    assert layer.dt_rank == 3
    torch.testing.assert_close(layer.A_log.exp(), torch.tensor([1.0, 2.0, 3.0]).expand(80, 3))
    assert torch.equal(layer.D, torch.ones(80))
    steps = functional.softplus(layer.dt_proj.bias.detach())
    assert 0.00099 < float(steps.min()) < float(steps.max()) < 0.1001
    assert float(layer.dt_proj.weight.detach().abs().max()) <= 3**-0.5
    constant = Mamba(d_model=40, dt_init="constant", dt_scale=2.0, dt_min=0.01, dt_max=0.01)
    torch.testing.assert_close(constant.dt_proj.weight, torch.full((80, 3), 2 * 3**-0.5))
    torch.testing.assert_close(functional.softplus(constant.dt_proj.bias), torch.full((80,), 0.01))
    floor = Mamba(d_model=40, dt_min=1e-6, dt_max=1e-5, dt_init_floor=0.02)
    torch.testing.assert_close(functional.softplus(floor.dt_proj.bias), torch.full((80,), 0.02))


def test_parameters_read_from_a_checkpoint_are_left_alone():
    layer = build()
    before = layer.A_log.detach().clone()
    layer.A_log._is_hf_initialized = True
    layer.reset_parameters()
    assert torch.equal(layer.A_log, before)
    assert torch.equal(layer.D, torch.ones(24))


def test_refuses_unknown_values():
    with pytest.raises(UsageError, match="dt_init is 'zero'; expected 'random' or 'constant'"):
        Mamba(d_model=4, dt_init="zero")
    with pytest.raises(UsageError, match="activation is 'gelu'; expected 'silu'"):
        Mamba(d_model=4, activation="gelu")


class Stack(nn.Module):
    """The net around the layers in ``mamba_ssm``, with its names."""

    def __init__(self, values: dict) -> None:
        super().__init__()
        width = values["d_model"]
        rows = math.ceil(values["vocab_size"] / values["pad_vocab_size_multiple"]) * values["pad_vocab_size_multiple"]
        options = {name: value for name, value in values["ssm_cfg"].items() if name not in ("layer", "use_fast_path")}
        self.backbone = nn.Module()
        self.backbone.embedding = nn.Embedding(rows, width)
        self.backbone.layers = nn.ModuleList(
            nn.ModuleDict({"norm": RMSNorm(width), "mixer": Mamba(d_model=width, **options)}) for _ in range(values["n_layer"])
        )
        self.backbone.norm_f = RMSNorm(width)

    def forward(self, ids: Tensor) -> tuple[Tensor, Tensor]:
        x = self.backbone.embedding(ids)
        for layer in self.backbone.layers:
            x = x + layer["mixer"](layer["norm"](x))[0]
        hidden = self.backbone.norm_f(x)
        return hidden, functional.linear(hidden, self.backbone.embedding.weight)


def test_the_authors_numbers():
    folder = parity_case("mamba1_ssm_lm")
    given = arrays(folder)
    net = Stack(config(folder))
    net.load_state_dict(weights(folder))
    with torch.no_grad():
        hidden, logits = net(given["inputs"])
        assert_close(hidden, given["hidden"])
        assert_close(logits, given["logits"])
        assert_close(net(given["inputs_short"])[1], given["logits_short"])
    logits = net(given["inputs"])[1]
    loss = functional.cross_entropy(logits[:, :-1].flatten(0, 1), given["inputs"][:, 1:].flatten())
    assert_close(loss.detach(), given["loss"])
    loss.backward()
    for name, slope in weights(folder, "grads.safetensors").items():
        assert_close(net.get_parameter(name).grad, slope)
