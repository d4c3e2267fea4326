"""S5 agrees with its recurrence and with the public layer."""

from typing import Any

import pytest
import torch
from parity import arrays, assert_close, config, parity_case, weights
from torch import Tensor

from genoseq.errors import UsageError
from genoseq.nets.layers.s5 import S5, S5Block
from genoseq.nets.segments import SEGMENT

WIDTH = 6
KINDS: list[dict[str, Any]] = [
    {},
    {"state_width": 9},
    {"state_width": 8, "block_count": 2},
    {"liquid": True},
    {"degree": 2},
    {"discretization": "bilinear"},
    {"bidir": True, "state_width": 4},
    {"bidir": True, "liquid": True},
]
CAUSAL = [kind for kind in KINDS if "bidir" not in kind]


def layer(**settings: Any) -> S5:
    torch.manual_seed(0)
    return S5(width=WIDTH, **settings).to(torch.float64)


def sequence(length: int, *, seed: int = 1) -> Tensor:
    return torch.randn(2, length, WIDTH, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def plain(net: S5, x: Tensor, step_scale: float | Tensor = 1.0) -> Tensor:
    """Position by position, each discretised by itself."""
    seq = net.seq
    scale = torch.as_tensor(step_scale, dtype=x.dtype)
    scale = scale.expand(x.shape[:2]) if scale.dim() != 1 else scale[:, None].expand(x.shape[:2])
    inputs = torch.view_as_complex(seq.B)

    def run(signal: Tensor, scales: Tensor, liquid: bool) -> list[Tensor]:
        state, states = torch.zeros(x.shape[0], seq.state_width, dtype=inputs.dtype), []
        for t in range(signal.shape[1]):
            step = scales[:, t, None] * seq.log_step.exp()
            if seq.discretization == "zoh":
                factor = (seq.Lambda * step).exp()
                b_bar = ((factor - 1) / seq.Lambda).unsqueeze(-1) * inputs
            else:
                half = step / 2 * seq.Lambda
                factor, b_bar = (1 + half) / (1 - half), (step / (1 - half)).unsqueeze(-1) * inputs
            driven = torch.einsum("bph,bh->bp", b_bar**seq.degree, signal[:, t].to(inputs.dtype))
            state = (factor + driven if liquid else factor) * state + driven
            states.append(state)
        return states

    states = torch.stack(run(x, scale, seq.liquid), dim=1)
    if seq.bidir:
        # as in the public code, the scan that runs backwards is never liquid
        states = torch.cat([states, torch.stack(run(x.flip(1), scale.flip(1), False)[::-1], dim=1)], dim=-1)
    return torch.einsum("hp,blp->blh", seq.C, states).real + seq.D * x


@pytest.mark.parametrize("grad", [True, False])
def test_public_layer(grad: bool) -> None:
    folder = parity_case("s5_layer")
    net, given = S5(**config(folder)), arrays(folder)
    net.load_state_dict(weights(folder))
    with torch.set_grad_enabled(grad):
        assert_close(net(given["inputs"])[0], given["outputs"])


@pytest.mark.parametrize("kind", KINDS, ids=str)
@pytest.mark.parametrize("length", [1, 2, 33])
def test_equals_the_recurrence(kind: dict[str, Any], length: int) -> None:
    net, x = layer(**kind), sequence(length)
    before = x.clone()
    expected = plain(net, x)
    torch.testing.assert_close(net(x)[0], expected, rtol=1e-9, atol=1e-10)
    with torch.no_grad():
        torch.testing.assert_close(net(x)[0], expected, rtol=1e-9, atol=1e-10)
    assert torch.equal(x, before)


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_gradients_are_those_of_the_recurrence(kind: dict[str, Any]) -> None:
    net, x = layer(**kind), sequence(11).requires_grad_()
    leaves = [x, *net.parameters()]
    expected = torch.autograd.grad(plain(net, x).square().sum(), leaves)
    for found, wanted in zip(torch.autograd.grad(net(x)[0].square().sum(), leaves), expected, strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_other_sampling_rates(kind: dict[str, Any]) -> None:
    net, x = layer(**kind), sequence(12)
    for scale in (0.5, torch.tensor([0.3, 2.0]), torch.rand(2, 12, generator=torch.Generator().manual_seed(0))):
        torch.testing.assert_close(net(x, step_scale=scale)[0], plain(net, x, scale), rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("kind", CAUSAL, ids=str)
@pytest.mark.parametrize("sizes", [[1] * 15, [7, 1, 1, 60, 13], [SEGMENT + 3]])
def test_pieces_equal_the_whole(kind: dict[str, Any], sizes: list[int]) -> None:
    net, x = layer(**kind), sequence(sum(sizes))
    cache, pieces = None, []
    expected = net(x)[0]
    with torch.no_grad():
        for piece in x.split(sizes, dim=1):
            y, cache = net(piece, cache=cache, use_cache=True)
            pieces.append(y)
    assert cache is not None
    torch.testing.assert_close(torch.cat(pieces, dim=1), expected, rtol=1e-8, atol=1e-9)


def test_steps_of_each_position_in_pieces() -> None:
    net, x = layer(), sequence(20)
    scale = torch.rand(2, 20, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        first, cache = net(x[:, :9], step_scale=scale[:, :9], use_cache=True)
        second, _ = net(x[:, 9:], step_scale=scale[:, 9:], cache=cache)
    torch.testing.assert_close(torch.cat([first, second], dim=1), net(x, step_scale=scale)[0], rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("kind", KINDS, ids=str)
@pytest.mark.parametrize("grad", [True, False])
def test_padding_on_either_side_changes_nothing(kind: dict[str, Any], grad: bool) -> None:
    net, x, padded = layer(**kind), sequence(30), sequence(50, seed=5)
    mask = torch.zeros(2, 50, dtype=torch.bool)
    padded[0, 20:], padded[1, :30] = x[0], x[1]
    mask[0, 20:] = mask[1, :30] = True
    with torch.set_grad_enabled(grad):
        expected, y = net(x)[0], net(padded, mask=mask)[0]
    torch.testing.assert_close(y[0, 20:], expected[0], rtol=1e-9, atol=1e-10)
    torch.testing.assert_close(y[1, :30], expected[1], rtol=1e-9, atol=1e-10)
    assert y.isfinite().all()


@pytest.mark.parametrize("glu", [True, False])
def test_block(glu: bool) -> None:
    torch.manual_seed(0)
    block = S5Block(dim=WIDTH, state_dim=8, ff_mult=2.0, glu=glu).to(torch.float64)
    x = sequence(20)
    normed = block.attn_norm(x)
    normed = block.ff_norm(torch.nn.functional.gelu(block.s5(normed)[0]) + normed)
    hidden = block.ff_enc(normed)
    if glu:
        hidden = hidden[..., : 2 * WIDTH] * torch.nn.functional.gelu(hidden[..., 2 * WIDTH :])
    torch.testing.assert_close(block(x)[0], block.ff_dec(hidden) + normed)
    first, cache = block(x[:, :7], use_cache=True)
    torch.testing.assert_close(torch.cat([first, block(x[:, 7:], cache=cache)[0]], dim=1), block(x)[0], rtol=1e-9, atol=1e-10)


def test_complex_parameters_survive_casts() -> None:
    net = S5(width=WIDTH)
    exact = net.seq.Lambda.detach().clone()
    net.to(torch.bfloat16)
    assert net.seq.Lambda.dtype == torch.complex64 and torch.equal(net.seq.Lambda, exact)
    assert net.seq.D.dtype == torch.bfloat16
    y = net(sequence(9).bfloat16())[0]
    assert y.dtype == torch.bfloat16 and y.isfinite().all()
    net.to(torch.float64)
    assert net.seq.Lambda.dtype == torch.complex128 and torch.equal(net.seq.Lambda, exact.to(torch.complex128))


def test_start_is_the_normal_part_of_hippo() -> None:
    net = S5(width=4, state_width=12, block_count=3)
    assert torch.allclose(net.seq.Lambda.real, torch.tensor(-0.5))
    assert torch.allclose(net.seq.Lambda[:4], net.seq.Lambda[4:8])
    # eigenvalues of a real matrix come in conjugate pairs
    assert torch.allclose(net.seq.Lambda[:4].imag.sort().values, -net.seq.Lambda[:4].imag.sort(descending=True).values, atol=1e-5)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"block_count": 4}, "6 states in 4 blocks"),
        ({"state_width": 8, "degree": 2}, "degree 2 needs as many states"),
        ({"discretization": "euler"}, "'zoh' and 'bilinear'"),
    ],
)
def test_settings_that_do_not_do(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        layer(**settings)


def test_a_bidirectional_layer_has_no_cache() -> None:
    with pytest.raises(UsageError, match="cannot be given in pieces"):
        layer(bidir=True)(sequence(5), use_cache=True)
