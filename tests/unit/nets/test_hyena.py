"""Hyena agrees with its equations and with the public code; pieces, padding and groups of channels change nothing."""

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from parity import arrays, assert_close, config, parity_case, weights
from torch import Tensor, nn

from genoseq.errors import UsageError
from genoseq.nets.layers import hyena
from genoseq.nets.layers.hyena import HyenaOperator
from genoseq.nets.layers.hyena_filter import FilterPositions, HyenaFilter
from genoseq.nets.ops.fftconv import direct_convolution

WIDTH = 6


def operator(*, order: int = 2, l_max: int = 64, seed: int = 0, **settings: Any) -> HyenaOperator:
    torch.manual_seed(seed)
    return HyenaOperator(d_model=WIDTH, l_max=l_max, order=order, filter_order=8, **settings).double()


def sequence(length: int, *, batch: int = 2, seed: int = 1) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(batch, length, WIDTH, dtype=torch.float64, generator=generator)


def plain(op: HyenaOperator, x: Tensor) -> Tensor:
    """The operator as the paper writes it, with the direct convolution."""
    length, order = x.shape[1], op.order
    u = F.conv1d(
        op.in_proj(x).transpose(1, 2), op.short_filter.weight, op.short_filter.bias, padding=op.short_back, groups=u_width(op)
    )
    *gates, v = u[..., :length].split(op.d_model, dim=1)
    taps = op.filter_fn(length)
    rows = [slice(o * op.d_model, (o + 1) * op.d_model) for o in range(order - 1)]
    if op.filter_layout == "channel":
        rows = [slice(o, None, order - 1) for o in range(order - 1)]
    for o in range(order - 1):
        v = direct_convolution(v * gates[order - 1 - o], taps[rows[o]], op.filter_fn.bias[rows[o]])
    return op.out_proj((v * gates[0]).transpose(1, 2))


def u_width(op: HyenaOperator) -> int:
    return (op.order + 1) * op.d_model


@pytest.fixture
def small_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    """Work through even short sequences in groups of channels and segments."""
    monkeypatch.setattr(hyena, "_GROUP_VALUES", 150)
    monkeypatch.setattr(hyena, "_TILE_VALUES", 1)
    monkeypatch.setattr(hyena, "_TAP_VALUES", 60)


def public_net(folder: Path, tensors: dict[str, Tensor], prefix: str) -> tuple[list[HyenaOperator], Any]:
    """The operators of a parity case, and the net around them from their names, written out."""
    settings = config(folder)
    layer = settings.get("layer", {})
    operators = []
    for i in range(settings["n_layer"]):
        op = HyenaOperator(
            d_model=settings["d_model"],
            l_max=settings.get("max_seq_len", layer.get("l_max")),
            order=settings.get("hyena_order", layer.get("order")),
            filter_order=settings.get("filter_order", layer.get("filter_order")),
            emb_dim=settings.get("emb_dim", layer.get("emb_dim")),
            activation_freq=settings.get("activation_freq", layer.get("w")),
        )
        start = f"{prefix}layers.{i}.mixer."
        own = {name.removeprefix(start): value for name, value in tensors.items() if name.startswith(start)}
        for n in (3, 5):
            own[f"filter_fn.implicit_filter.{n}.freq"] = own["filter_fn.implicit_filter.1.freq"]
        op.load_state_dict(own)
        operators.append(op)

    def net(ids: Tensor) -> tuple[Tensor, list[Tensor]]:
        x = tensors[prefix + "embeddings.word_embeddings.weight"][ids]
        hidden, width = [x], (x.shape[-1],)
        for i, op in enumerate(operators):
            norm1, norm2, fc1, fc2 = (
                [tensors[f"{prefix}layers.{i}.{name}.{kind}"] for kind in ("weight", "bias")]
                for name in ("norm1", "norm2", "mlp.fc1", "mlp.fc2")
            )
            x = x + op(F.layer_norm(x, width, *norm1))[0]
            inner = F.gelu(F.linear(F.layer_norm(x, width, *norm2), *fc1), approximate="tanh")
            x = x + F.linear(inner, *fc2)
            hidden.append(x)
        hidden.append(F.layer_norm(x, width, *(tensors[f"{prefix}ln_f.{kind}"] for kind in ("weight", "bias"))))
        return hidden[-1], hidden

    return operators, net


@pytest.mark.parametrize("grad", [True, False])
def test_public_hub_net(grad: bool) -> None:
    folder = parity_case("hyenadna_hf_causallm")
    tensors, given = weights(folder), arrays(folder)
    operators, net = public_net(folder, tensors, "hyena.backbone.")
    with torch.set_grad_enabled(grad):
        for kind in ("", "_short", "_full"):
            assert_close(F.linear(net(given["inputs" + kind])[0], tensors["lm_head.weight"]), given["logits" + kind])
        hidden = net(given["inputs"])[1]
        for found, expected in zip(hidden, given["hidden_states"], strict=True):
            assert_close(found, expected)
        assert_close(operators[0].filter_fn(258).T, given["layer0_filter"])


def test_public_hub_net_gradients() -> None:
    folder = parity_case("hyenadna_hf_causallm")
    given, expected = arrays(folder), weights(folder, "grads.safetensors")
    tensors = {name: value.requires_grad_() for name, value in weights(folder).items()}
    operators, net = public_net(folder, tensors, "hyena.backbone.")
    logits = F.linear(net(given["inputs"])[0], tensors["lm_head.weight"])
    loss = F.cross_entropy(logits[:, :-1].flatten(0, 1), given["inputs"][:, 1:].flatten())
    assert_close(loss, given["loss"])
    loss.backward()
    for i, op in enumerate(operators):
        for name, parameter in op.named_parameters():
            assert parameter.grad is not None
            assert_close(parameter.grad, expected[f"hyena.backbone.layers.{i}.mixer.{name}"])
    assert_close(tensors["lm_head.weight"].grad, expected["lm_head.weight"])


def test_public_standalone_net() -> None:
    folder = parity_case("hyenadna_standalone_head")
    tensors, given = weights(folder), arrays(folder)
    _, net = public_net(folder, tensors, "backbone.")
    pooled = net(given["inputs"])[0].mean(dim=1)
    logits = F.linear(pooled, tensors["head.output_transform.weight"], tensors["head.output_transform.bias"])
    assert_close(logits, given["logits"])


@pytest.mark.parametrize("order", [2, 3, 4])
@pytest.mark.parametrize("length", [1, 2, 3, 17, 64])
def test_equals_the_equations(order: int, length: int) -> None:
    op, x = operator(order=order), sequence(length)
    expected = plain(op, x)
    torch.testing.assert_close(op(x)[0], expected, rtol=1e-9, atol=1e-10)
    with torch.no_grad():
        torch.testing.assert_close(op(x)[0], expected, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("settings", [{"filter_layout": "channel"}, {"modulate": False}, {"shift": 0.0}, {"emb_dim": 3}])
@pytest.mark.parametrize("order", [2, 3])
def test_settings_enter_the_equations(order: int, settings: dict[str, Any], small_groups: None) -> None:
    op, x = operator(order=order, **settings), sequence(40)
    expected = plain(op, x)
    torch.testing.assert_close(op(x)[0], expected, rtol=1e-9, atol=1e-10)
    with torch.no_grad():
        torch.testing.assert_close(op(x)[0], expected, rtol=1e-9, atol=1e-10)
    if order == 3 or "filter_layout" not in settings:
        assert not torch.allclose(operator(order=order)(x)[0], expected)


@pytest.mark.parametrize("order", [2, 3])
def test_groups_of_channels_change_nothing(order: int, small_groups: None) -> None:
    op, x = operator(order=order, l_max=400), sequence(333)
    before = x.clone()
    mask = torch.ones(2, 333, dtype=torch.bool)
    mask[0, :20] = mask[1, 300:] = False
    for given in (None, mask):
        expected = op(x, mask=given)[0]
        with torch.no_grad():
            torch.testing.assert_close(op(x, mask=given)[0], expected, rtol=1e-9, atol=1e-10)
    assert torch.equal(x, before)


def test_taps_of_a_filter_are_a_function_of_their_position() -> None:
    filters = operator(order=3).filter_fn
    whole = filters(50)
    assert whole.shape == (2 * WIDTH, 50)
    torch.testing.assert_close(filters(50, start=20), whole[:, 20:])
    torch.testing.assert_close(filters(7), whole[:, :7])
    z, t = filters.pos_emb(0, 64)
    torch.testing.assert_close(t, torch.arange(64).double() / 63, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(z[:, 2], torch.cos(2 * torch.pi * torch.arange(64).double() / 64), rtol=1e-4, atol=1e-5)
    hidden = z
    for layer in filters.implicit_filter[:-1]:
        hidden = layer(hidden) if isinstance(layer, nn.Linear) else torch.sin(layer.freq * hidden)
    deltas = torch.linspace(torch.log(torch.tensor(0.01)) / 1.5, torch.log(torch.tensor(0.01)) / 0.3, 2 * WIDTH).double()
    expected = (hidden @ filters.implicit_filter[-1].weight.T) * (torch.exp(-t[:, None] * deltas.abs()) + 0.05)
    torch.testing.assert_close(filters(64).T, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("order", [2, 3])
@pytest.mark.parametrize("sizes", [[1] * 40, [30, 1, 1, 1, 5, 2], [2, 38], [1, 1, 38], [40]])
@pytest.mark.parametrize("grad", [True, False])
def test_pieces_equal_the_whole(order: int, sizes: list[int], grad: bool, small_groups: None) -> None:
    op, x = operator(order=order), sequence(40)
    with torch.set_grad_enabled(grad):
        expected, cache, pieces = op(x)[0], None, []
        for piece in x.split(sizes, dim=1):
            y, cache = op(piece, cache=cache, use_cache=True)
            pieces.append(y)
    assert cache is not None and cache.length == 40
    torch.testing.assert_close(torch.cat(pieces, dim=1), expected, rtol=1e-9, atol=1e-10)


def test_no_cache_unless_asked_for() -> None:
    op, x = operator(), sequence(10)
    assert op(x)[1] is None
    _, cache = op(x, use_cache=True)
    assert op(x, cache=cache)[1] is None


def test_filters_grow_with_the_sequence(monkeypatch: pytest.MonkeyPatch) -> None:
    op, x = operator(l_max=3000), sequence(1500, batch=1)
    made: list[tuple[int, int]] = []
    original = HyenaFilter.features

    def count(self: HyenaFilter, start: int, stop: int) -> Tensor:
        made.append((start, stop))
        return original(self, start, stop)

    with torch.no_grad():
        expected = op(x)[0]
        monkeypatch.setattr(HyenaFilter, "features", count)
        y, cache = op(x[:, :1490], use_cache=True)
        pieces = [y]
        for t in range(1490, 1500):
            y, cache = op(x[:, t : t + 1], cache=cache, use_cache=True)
            pieces.append(y)
    assert made == [(0, 1490), (0, 2515)]  # the prefill's, and once for all steps
    torch.testing.assert_close(torch.cat(pieces, dim=1), expected, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("grad", [True, False])
@pytest.mark.parametrize("order", [2, 3])
def test_padding_on_either_side_changes_nothing(order: int, grad: bool) -> None:
    op, x = operator(order=order), sequence(30)
    with torch.set_grad_enabled(grad):
        expected = op(x)[0]
        padded = sequence(50, seed=5)
        mask = torch.zeros(2, 50, dtype=torch.bool)
        padded[0, 20:], padded[1, :30] = x[0], x[1]
        mask[0, 20:] = mask[1, :30] = True
        y = op(padded, mask=mask)[0]
        unmasked = op(padded)[0]
    torch.testing.assert_close(y[0, 20:], expected[0], rtol=1e-9, atol=1e-10)
    torch.testing.assert_close(y[1, :30], expected[1], rtol=1e-9, atol=1e-10)
    assert y.isfinite().all()
    assert not torch.allclose(unmasked[0, 20:], expected[0])  # without a mask padding counts, as in the published nets


def test_left_padding_of_the_first_piece() -> None:
    op, x = operator(), sequence(30)
    with torch.no_grad():
        expected = op(x)[0]
        padded = torch.cat([sequence(5, seed=5), x[:, :20]], dim=1)
        mask = torch.arange(25).expand(2, -1) >= 5
        first, cache = op(padded, mask=mask, use_cache=True)
        second, _ = op(x[:, 20:], cache=cache, use_cache=True)
    torch.testing.assert_close(torch.cat([first[:, 5:], second], dim=1), expected, rtol=1e-9, atol=1e-10)


def test_finite_differences() -> None:
    torch.manual_seed(0)
    op = HyenaOperator(d_model=2, l_max=5, order=3, filter_order=3, emb_dim=3, num_inner_mlps=1, activation_freq=1).double()
    names, values = zip(*((name, value.detach().requires_grad_()) for name, value in op.named_parameters()), strict=True)
    x = sequence(5, batch=1)[..., :2].contiguous().requires_grad_()

    def run(x: Tensor, *values: Tensor) -> Tensor:
        y: Tensor = torch.func.functional_call(op, dict(zip(names, values, strict=True)), (x,), tie_weights=True)[0]
        return y

    assert torch.autograd.gradcheck(run, (x, *values))


@pytest.mark.parametrize(("taps", "padding"), [(1, None), (2, None), (5, None), (5, 2), (4, 2), (2, 2), (1, 2)])
def test_short_filters_of_other_lengths(taps: int, padding: int | None, small_groups: None) -> None:
    op = operator(short_filter_order=taps, short_filter_padding=padding)
    x = sequence(40)
    expected = plain(op, x)
    torch.testing.assert_close(op(x)[0], expected, rtol=1e-9, atol=1e-10)
    mask = torch.arange(45).expand(2, -1) >= 5
    with torch.no_grad():
        torch.testing.assert_close(op(x)[0], expected, rtol=1e-9, atol=1e-10)
        y = op(torch.cat([sequence(5, seed=7), x], dim=1), mask=mask)[0]
    torch.testing.assert_close(y[:, 5:], expected, rtol=1e-9, atol=1e-10)


def test_a_short_filter_that_looks_ahead_has_no_cache() -> None:
    op = operator(short_filter_order=5, short_filter_padding=2)
    with pytest.raises(UsageError, match="padding 2 for 5 taps"):
        op(sequence(10), use_cache=True)


def test_too_long_a_sequence() -> None:
    op = operator(l_max=64)
    with pytest.raises(UsageError, match=r"65 positions, this Hyena layer takes at most 64 .*cut it into windows"):
        op(sequence(65))
    _, cache = op(sequence(60), use_cache=True)
    with pytest.raises(UsageError, match="65 positions"):
        op(sequence(5), cache=cache)
    assert op(sequence(4), cache=cache)[0].shape == (2, 4, WIDTH)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"order": 1}, "order 1"),
        ({"num_heads": 2}, "2 heads"),
        ({"emb_dim": 4}, "emb_dim is 4"),
        ({"emb_dim": 1}, "emb_dim is 1"),
        ({"filter_layout": "both"}, "'order' or 'channel'"),
        ({"short_filter_order": 6, "short_filter_padding": 2}, "6 taps with padding 2"),
    ],
)
def test_settings_that_do_not_do(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        operator(**settings)


def test_what_is_trained() -> None:
    def names(**settings: Any) -> set[str]:
        return {name for name, _ in operator(**settings).named_parameters()}

    usual = names()
    assert "filter_fn.implicit_filter.1.freq" in usual
    assert usual - names(train_freq=False) == {"filter_fn.implicit_filter.1.freq"}
    assert names(train_pos_emb=True) - usual == {"filter_fn.pos_emb.z"}
    assert names(train_deltas=True) - usual == {"filter_fn.modulation.deltas"}
    assert not any("freq" in name for name in operator(train_freq=False).state_dict())


def test_half_precision_keeps_the_filter() -> None:
    torch.manual_seed(0)
    op = HyenaOperator(d_model=WIDTH, l_max=5000)
    taps = op.filter_fn(5000)
    x = sequence(200).float()
    expected = op(x)[0]
    op.to(torch.bfloat16)
    assert op.in_proj.weight.dtype == torch.bfloat16
    assert torch.equal(op.filter_fn(5000), taps)
    for grad in (True, False):
        with torch.set_grad_enabled(grad):
            y = op(x.bfloat16())[0]
        assert y.dtype == torch.bfloat16
        torch.testing.assert_close(y.float(), expected, rtol=0.1, atol=0.1)


def test_positions_loaded_in_half_precision_are_made_anew() -> None:
    positions = FilterPositions(l_max=5000, emb_dim=5, trained=False)
    z, t = positions(100, 4000)
    positions.to(torch.bfloat16)
    assert positions.z.dtype == torch.bfloat16
    for found, expected in zip(positions(100, 4000), (z, t), strict=True):
        torch.testing.assert_close(found, expected)


def test_adapters_around_the_projection_are_not_passed_by() -> None:
    class Adapter(nn.Module):
        def __init__(self, base: nn.Linear) -> None:
            super().__init__()
            self.base = base
            self.extra = nn.Linear(base.in_features, base.out_features).double()

        def forward(self, x: Tensor) -> Tensor:
            y: Tensor = self.base(x) + self.extra(x)
            return y

    op, x = operator(), sequence(20)
    plain_y = op(x)[0]
    op.in_proj = Adapter(op.in_proj)  # type: ignore[assignment]
    expected = op(x)[0]
    assert not torch.allclose(expected, plain_y)
    with torch.no_grad():
        torch.testing.assert_close(op(x)[0], expected)


def test_dropout_only_in_training() -> None:
    op, x = operator(dropout=0.5), sequence(20)
    for grad in (True, False):
        with torch.set_grad_enabled(grad):
            op.train()
            assert not torch.equal(op(x)[0], op(x)[0])
            op.eval()
            assert torch.equal(op(x)[0], op(x)[0])
