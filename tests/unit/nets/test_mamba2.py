"""The Mamba-2 mixer: the authors' numbers in both layouts, pieces, padding, long inputs."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from parity import arrays, assert_close, config, parity_case, weights
from torch import Tensor, nn
from torch.nn import functional

from genoseq.errors import UsageError
from genoseq.nets.layers import mamba2 as module
from genoseq.nets.layers.mamba2 import Mamba2, Mamba2Cache
from genoseq.nets.layers.norms import RMSNorm, rms_norm_reference
from genoseq.nets.ops.ssd import ssd_reference

OPTIONS = [
    {},
    {"ngroups": 2, "bias": True, "conv_bias": False, "norm_before_gate": True},
    {"rmsnorm": False, "D_has_hdim": True, "dt_limit": (0.01, 0.5)},
    {"d_ssm": 16, "d_conv": 3, "norm_eps": 0.1, "expand": 3, "ngroups": 2},
]


def build(dtype: torch.dtype = torch.float32, **options: object) -> Mamba2:
    torch.manual_seed(0)
    layer = Mamba2(**{"d_model": 12, "d_state": 5, "headdim": 4, **options})
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
    return layer.to(dtype)


def equation(layer: Mamba2, x: Tensor, *, norm_before_gate: bool = False) -> Tensor:
    """Figure 6 of the paper as torch's modules and the loop over positions."""
    beside, maps = layer.d_inner - layer.d_ssm, layer.ngroups * layer.d_state
    gate, free, z, mixed, dt = layer.in_proj(x).split([beside, beside, layer.d_ssm, layer.d_ssm + 2 * maps, layer.nheads], dim=-1)
    mixed = functional.silu(layer.conv1d(mixed.transpose(1, 2))[..., : x.shape[1]]).transpose(1, 2)
    u, into, out = mixed.split([layer.d_ssm, maps, maps], dim=-1)
    y, _ = ssd_reference(
        u.unflatten(-1, (-1, layer.headdim)),
        functional.softplus(dt + layer.dt_bias).clamp(*layer.dt_limit),
        -layer.A_log.exp(),
        into.unflatten(-1, (layer.ngroups, -1)),
        out.unflatten(-1, (layer.ngroups, -1)),
        D=layer.D if layer.D.shape[0] == layer.nheads else layer.D.view(layer.nheads, -1),
    )
    y, gated = y.flatten(-2), functional.silu(z)
    size = layer.d_ssm // layer.ngroups
    if layer.norm is None:
        y = y * gated
    elif norm_before_gate:
        y = rms_norm_reference(y, layer.norm.weight, eps=layer.norm.eps, group_size=size) * gated
    else:
        y = rms_norm_reference(y * gated, layer.norm.weight, eps=layer.norm.eps, group_size=size)
    return layer.out_proj(torch.cat([functional.silu(gate) * free, y], -1) if beside else y)


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("length", [1, 2, 3, 65])
def test_is_the_equation(length, options):
    layer = build(**options)
    x = torch.randn(2, length, 12, requires_grad=True)
    found = layer(x)[0]
    expected = equation(layer, x, norm_before_gate=bool(options.get("norm_before_gate")))
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    slope = torch.randn(2, length, 12)
    inputs = [x, *layer.parameters()]
    for mine, theirs in zip(torch.autograd.grad(found, inputs, slope), torch.autograd.grad(expected, inputs, slope), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-3, atol=1e-4)


def test_gradcheck():
    layer = build(torch.float64, d_model=3, d_state=2, headdim=3, bias=True)
    x = torch.randn(1, 5, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x, *_: layer(x)[0], (x, *layer.parameters()))


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("sizes", [(1,) * 9, (2, 7), (1, 5, 3), (8, 1)])
def test_pieces_give_the_whole(sizes, options):
    layer = build(**options)
    x = torch.randn(2, 9, 12)
    with torch.no_grad():
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
    cache = layer(torch.randn(2, 5, 12), use_cache=True)[1]
    assert isinstance(cache, Mamba2Cache)
    assert cache.window.shape == (2, 3, 24 + 2 * 5)
    assert cache.state.shape == (2, 6, 4, 5)


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("side", ["left", "right", "both"])
def test_padding_changes_nothing(side, options):
    layer = build(**{**options, "bias": True})
    x = torch.randn(2, 11, 12)
    left, right = {"left": (6, 0), "right": (0, 6), "both": (2, 4)}[side]
    padded = functional.pad(x, (0, 0, left, right), value=7.0)
    mask = functional.pad(torch.ones(2, 11, dtype=torch.bool), (left, right))
    torch.testing.assert_close(layer(padded, mask=mask)[0][:, left : left + 11], layer(x)[0], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("values", [1, 24 * 2 * 5, 24 * 2 * 16])
def test_segments_of_long_inputs_give_the_whole(monkeypatch, values):
    layer = build(ngroups=2)
    x = torch.randn(2, 33, 12)
    mask = torch.arange(33).expand(2, 33) >= torch.tensor([[3], [0]])
    whole, end = layer(x, mask=mask, use_cache=True)
    backwards, _ = layer(x, mask=mask, reverse=True)
    torch.testing.assert_close(backwards, layer(x.flip(1), mask=mask.flip(1))[0].flip(1), rtol=1e-5, atol=1e-5)
    monkeypatch.setattr(module, "SEGMENT_VALUES", values)
    with torch.no_grad():
        y, cache = layer(x, mask=mask, use_cache=True)
        torch.testing.assert_close(layer(x, mask=mask, reverse=True)[0], backwards, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(y, whole, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(cache.state, end.state, rtol=1e-5, atol=1e-5)


def test_bfloat16_stays_near_float32():
    layer = build(d_model=32, d_state=16, headdim=16)
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


def test_initial_values_are_the_public_ones():
    torch.manual_seed(0)
    layer = Mamba2(d_model=128, headdim=1, d_state=4, conv_init=0.01)
    rates = layer.A_log.detach().exp()
    assert 1 <= float(rates.min()) < 2 < 15 < float(rates.max()) <= 16
    steps = functional.softplus(layer.dt_bias.detach())
    assert 0.00099 < float(steps.min()) < 0.002 < 0.05 < float(steps.max()) < 0.1001
    assert torch.equal(layer.D, torch.ones(256))
    assert 0.009 < float(layer.conv1d.weight.detach().abs().max()) <= 0.01


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"headdim": 5}, "24 channels to scan, of 24 inner channels, cannot be divided into heads of 5"),
        ({"d_ssm": 28}, "28 channels to scan, of 24 inner channels"),
        ({"ngroups": 4}, "6 heads cannot be divided into 4 groups"),
        ({"A_init_range": (0, 1)}, r"A_init_range is \(0, 1\)"),
        ({"activation": "relu"}, "activation is 'relu'"),
    ],
)
def test_refuses_options_that_do_not_fit(options, message):
    with pytest.raises(UsageError, match=message):
        build(**options)


class Stack(nn.Module):
    """The net around the layers in ``mamba_ssm`` and in transformers, with their names."""

    def __init__(self, rows: int, width: int, layers: int, options: dict, *, embedding: str, head: bool) -> None:
        super().__init__()
        self.backbone = nn.Module()
        self.backbone.add_module(embedding, nn.Embedding(rows, width))
        self.words = self.backbone.get_submodule(embedding).weight
        self.backbone.layers = nn.ModuleList(
            nn.ModuleDict({"norm": RMSNorm(width), "mixer": Mamba2(d_model=width, **options)}) for _ in range(layers)
        )
        self.backbone.norm_f = RMSNorm(width)
        self.lm_head = nn.Linear(width, rows, bias=False)
        if not head:
            self.lm_head.weight = self.words

    def forward(self, ids: Tensor, mask: Tensor | None = None, caches: list | None = None) -> tuple[list[Tensor], Tensor, list]:
        """The stream after each block and after the last norm, logits, caches."""
        x = functional.embedding(ids, self.words)
        states, after = [], []
        for number, layer in enumerate(self.backbone.layers):
            y, cache = layer["mixer"](layer["norm"](x), mask=mask, cache=caches[number] if caches else None, use_cache=True)
            x = x + y
            states.append(x)
            after.append(cache)
        states.append(self.backbone.norm_f(x))
        return states, self.lm_head(states[-1]), after


def load(net: Stack, state: dict[str, Tensor]) -> Stack:
    missing, unexpected = net.load_state_dict(state, strict=False)
    assert set(missing) <= {"words", "lm_head.weight"}
    assert not unexpected
    return net


def check_slopes(net: Stack, given: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    logits = net(given["inputs"])[1]
    loss = functional.cross_entropy(logits[:, :-1].flatten(0, 1), given["inputs"][:, 1:].flatten())
    assert_close(loss.detach(), given["loss"])
    loss.backward()
    slopes = {name: parameter.grad for name, parameter in net.named_parameters(remove_duplicate=False)}
    for name, slope in expected.items():
        assert_close(slopes[name], slope)


def test_the_authors_numbers():
    folder = parity_case("mamba2_ssm_lm")
    given, values = arrays(folder), config(folder)
    options = {name: value for name, value in values["ssm_cfg"].items() if name not in ("layer", "use_mem_eff_path")}
    rows = math.ceil(values["vocab_size"] / values["pad_vocab_size_multiple"]) * values["pad_vocab_size_multiple"]
    net = Stack(rows, values["d_model"], values["n_layer"], options, embedding="embedding", head=False)
    load(net, weights(folder))
    with torch.no_grad():
        states, logits, _ = net(given["inputs"])
        assert_close(states[-1], given["hidden"])
        assert_close(logits, given["logits"])
        assert_close(net(given["inputs_short"])[1], given["logits_short"])
    check_slopes(net, given, weights(folder, "grads.safetensors"))


def test_the_numbers_of_transformers():
    folder = parity_case("mamba2_hf_causallm")
    given, values = arrays(folder), config(folder)
    options = {
        "d_state": values["state_size"], "d_conv": values["conv_kernel"], "expand": values["expand"], "headdim": values["head_dim"],
        "ngroups": values["n_groups"], "bias": values["use_bias"], "conv_bias": values["use_conv_bias"],
        "dt_limit": tuple(values["time_step_limit"]), "norm_eps": values["layer_norm_epsilon"], "activation": values["hidden_act"],
    }  # fmt: skip
    net = Stack(
        values["vocab_size"], values["hidden_size"], values["num_hidden_layers"], options, embedding="embeddings", head=True
    )
    load(net, weights(folder))
    with torch.no_grad():
        states, logits, _ = net(given["inputs"])
        assert_close(torch.stack(states), given["hidden_states"])
        assert_close(logits, given["logits"])
        assert_close(net(given["inputs_short"])[1], given["logits_short"])
        mask = given["attention_mask_leftpad"].bool()
        assert_close(net(given["inputs_leftpad"], mask)[1][mask], given["logits_leftpad"][mask])
        _, _, caches = net(given["inputs"][:, :-1])
        assert_close(net(given["inputs"][:, -1:], caches=caches)[1][:, -1], given["step_logits"].view(len(logits), -1))
    check_slopes(net, given, weights(folder, "grads.safetensors"))
