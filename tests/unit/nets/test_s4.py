"""S4: starts are HiPPO's, kernels agree with the plain recurrence in every form, and pieces and padding change nothing."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genoseq.errors import UsageError
from genoseq.nets.layers import s4_kernel
from genoseq.nets.layers.s4 import S4
from genoseq.nets.layers.s4_kernel import DiagonalKernel, LowRankKernel
from genoseq.nets.ops import statespace
from genoseq.nets.ops.diagonal import DiagonalSystem, diagonal_recurrence
from genoseq.nets.ops.dplr import DenseSystem, attuned_row, cauchy_kernel, dense_recurrence, dense_system, original_row
from genoseq.nets.ops.hippo import DIAGONAL, HIPPO, diagonal_start, hippo, low_rank_start, starts

WIDTH = 4
CLOSE = {"rtol": 1e-8, "atol": 1e-9}
RANKS = {"legs": 1, "legt": 2, "fourier": 1}
MODES: list[dict[str, Any]] = [
    {"mode": "dplr"},
    {"mode": "dplr", "l_max": 64},
    {"mode": "dplr", "l_max": 20},
    {"mode": "dplr", "rank": 2, "init": "legt", "n_ssm": 2},
    {"mode": "dplr", "init": "hippo", "rank": 3, "channels": 2},
    {"mode": "dplr", "dt_tie": False, "dt_transform": "softplus", "real_transform": "relu", "init": "diag-inv"},
    {"mode": "diag"},
    {"mode": "diag", "l_max": 20},
    {"mode": "diag", "init": "diag", "disc": "bilinear", "channels": 2, "swap_channels": True},
    {"mode": "diag", "init": "diag-real", "is_real": True, "dt_tie": False},
    {"mode": "diag", "init": "diag-lin", "n_ssm": 1, "bandlimit": 0.2, "real_transform": "softplus"},
]
CARRIED = [mode for mode in MODES if mode.get("l_max") != 20]


def layer(**settings: Any) -> S4:
    torch.manual_seed(0)
    net = S4(d_model=WIDTH, d_state=8, **settings).double()
    with torch.no_grad():  # away from the start, where imaginary parts and low ranks have symmetries
        for name, parameter in net.named_parameters():
            if "kernel" in name:
                parameter.add_(0.05 * torch.randn_like(parameter))
    return net


def sequence(length: int, *, seed: int = 1) -> Tensor:
    return torch.randn(2, length, WIDTH, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def recurrence(kernel: DiagonalKernel, u: Tensor) -> Tensor:
    """Outputs ``(B, C, H, L)`` of the state spaces, position by position."""
    system = kernel.system()
    if isinstance(system, DenseSystem):
        return dense_recurrence(system, u)[0]
    return torch.stack([diagonal_recurrence(system.log_a, c, u)[0] for c in system.c], dim=1)


def plain(net: S4, x: Tensor) -> Tensor:
    """The whole layer on the recurrence; with ``l_max``, on the kernel that an impulse draws from it."""
    u, inner = x.transpose(1, 2), net.layer
    impulse = torch.zeros(1, WIDTH, x.shape[1], dtype=x.dtype)
    impulse[..., 0] = 1
    taps = recurrence(inner.kernel, impulse)[0]
    if inner.l_max is not None:
        taps[..., inner.l_max :] = 0
    y = u.unsqueeze(1) * inner.D[..., None]
    for t in range(x.shape[1]):
        for s in range(x.shape[1]):
            if s <= t:
                y[..., t] += taps[: len(inner.D), :, t - s] * u[:, None, :, s]
            elif inner.bidirectional:
                y[..., t] += taps[len(inner.D) :, :, s - t - 1] * u[:, None, :, s]
    y = y.permute(0, 3, 2, 1) if inner.swap_channels else y.permute(0, 3, 1, 2)
    return net.output_linear(net.mult_activation(inner.activation(y.flatten(2))))


def problem(rank: int = 1, *, half: int = 4, outputs: int = 2) -> tuple[Tensor, ...]:
    """Diagonal, low-rank part, inputs, outputs and steps of three channels."""
    generator = torch.Generator().manual_seed(rank)

    def draw(*shape: int) -> Tensor:
        return torch.randn(shape, dtype=torch.complex128, generator=generator)

    a = torch.complex(-draw(3, half).real.abs() - 0.1, -3 * draw(3, half).real.abs())
    return a, draw(rank, 3, half), draw(3, half), draw(outputs, 3, half), draw(3, 1).real.abs() / 5 + 0.01


@pytest.mark.parametrize("name", HIPPO)
@pytest.mark.parametrize("size", [4, 6, 16])
def test_low_rank_starts_are_hippo(name: str, size: int) -> None:
    matrix, b, p = hippo(name, size)
    normal = matrix + p.T @ p
    torch.testing.assert_close(normal + normal.T, 2 * normal[0, 0] * torch.eye(size).double(), rtol=1e-9, atol=1e-9)
    start = low_rank_start(name, size, rank=RANKS[name], clip=float("inf"))
    # the same state space in another basis: what B^T reads of the response to an impulse does not depend on the basis
    steps = torch.full((1, 1), 0.05, dtype=torch.float64)
    a, inputs = dense_system(start.a, start.p, start.b, steps)
    found = DenseSystem(a, inputs, original_row(a, start.b.conj()[None], 0)).taps(30)[0, 0]
    identity = torch.eye(size).double()
    step = torch.linalg.solve(identity - 0.025 * matrix, identity + 0.025 * matrix)
    state = torch.linalg.solve(identity - 0.025 * matrix, 0.05 * b)
    expected = []
    for _ in range(30):
        expected.append(b @ state)
        state = step @ state
    torch.testing.assert_close(found, torch.stack(expected), rtol=1e-7, atol=1e-8)


def test_hippo_legs_is_that_of_the_paper() -> None:
    matrix, b, _ = hippo("legs", 5)
    for n in range(5):
        assert b[n] == pytest.approx((2 * n + 1) ** 0.5)
        for k in range(5):
            expected = -(((2 * n + 1) * (2 * k + 1)) ** 0.5) if n > k else -(n + 1) if n == k else 0
            assert matrix[n, k] == pytest.approx(expected)


def test_diagonal_starts() -> None:
    for name in DIAGONAL:
        start = diagonal_start(name, 8)
        assert (start.a.real < 0).all() and (start.a.imag <= 0).all() and not start.p.any()
    assert torch.allclose(diagonal_start("diag-lin", 8).a[0].imag, -torch.pi * torch.arange(4).double())
    assert torch.allclose(diagonal_start("diag-real", 8).a[0].real, -torch.arange(1, 5).double())
    assert torch.allclose(diagonal_start("diag-inv", 8).a[0].imag[0], -torch.tensor(8 * 7 / torch.pi).double())


def test_mixtures_and_unknown_starts() -> None:
    mixed = starts("hippo", 8, 6, rank=2)
    assert mixed.a.shape == (6, 4) and mixed.p.shape == (2, 6, 4)
    assert torch.equal(mixed.a[0], mixed.a[2]) and not torch.allclose(mixed.a[0], mixed.a[3])
    for name, size, copies, rank, message in [
        ("hipo", 8, 2, 1, "no start 'hipo'; known are legs"),
        ("diag", 8, 3, 1, "3 state spaces cannot be shared among the 2 kinds"),
        ("legt", 8, 2, 1, "legt needs 2"),
        ("legs", 7, 2, 1, "state of 7 values"),
    ]:
        with pytest.raises(UsageError, match=message):
            starts(name, size, copies, rank=rank)


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("length", [1, 2, 3, 16, 77, 200])
def test_both_kernels_equal_the_recurrence(rank: int, length: int) -> None:
    a, p, b, c, dt = problem(rank)
    matrix, inputs = dense_system(a, p, b, dt)
    system = DenseSystem(matrix, inputs, original_row(matrix, c, 0))
    impulse = torch.zeros(1, 3, length, dtype=torch.float64)
    impulse[..., 0] = 1
    expected = dense_recurrence(system, impulse)[0][0]
    torch.testing.assert_close(system.taps(length), expected, **CLOSE)
    attuned = attuned_row(matrix, system.c, length)
    torch.testing.assert_close(cauchy_kernel(a, p, b, attuned, dt, length), expected, **CLOSE)
    torch.testing.assert_close(original_row(matrix, attuned, length), system.c, **CLOSE)
    in_single = [x.to(torch.complex64) for x in (a, p, b, attuned)]
    torch.testing.assert_close(cauchy_kernel(*in_single, dt.float(), length).double(), expected, rtol=1e-4, atol=1e-4)


def test_the_recurrence_is_the_bilinear_transform() -> None:
    a, p, b, _, dt = problem(2)
    matrix, inputs = dense_system(a, p, b, dt)
    half = a.shape[-1]
    for h in range(3):
        whole = torch.diag(torch.cat([a[h], a[h].conj()]))
        low, entry = torch.cat([p[:, h], p[:, h].conj()], dim=-1), torch.cat([b[h], b[h].conj()])
        whole = whole - low.T @ low.conj()
        identity = torch.eye(2 * half).to(whole)
        left = identity - dt[h] / 2 * whole
        step, drive = torch.linalg.solve(left, identity + dt[h] / 2 * whole), torch.linalg.solve(left, dt[h] * entry)
        state = torch.randn(half, dtype=torch.complex128, generator=torch.Generator().manual_seed(h))
        expected = step @ torch.cat([state, state.conj()]) + 1.5 * drive
        found = matrix[h] @ torch.cat([state.real, state.imag]) + 1.5 * inputs[h]
        torch.testing.assert_close(torch.complex(found[:half], found[half:]), expected[:half], **CLOSE)


@pytest.mark.parametrize("length", [1, 2, 17, 600])
def test_dense_states_and_responses(length: int) -> None:
    a, p, b, c, dt = problem()
    matrix, inputs = dense_system(a, p, b, dt)
    system = DenseSystem(matrix, inputs, original_row(matrix, c, 0))
    generator = torch.Generator().manual_seed(0)
    u, state = (torch.randn(2, 3, n, dtype=torch.float64, generator=generator) for n in (length, 8))
    expected, after = dense_recurrence(system, u, state)
    without = dense_recurrence(system, u)
    torch.testing.assert_close(system.response(state, length) + without[0], expected, **CLOSE)
    torch.testing.assert_close(system.after(u, state), after, **CLOSE)
    torch.testing.assert_close(system.after(u, None), without[1], **CLOSE)


def test_kernels_have_gradients() -> None:
    a, p, b, c, dt = (tensor.requires_grad_() for tensor in problem(half=2, outputs=1))
    assert torch.autograd.gradcheck(lambda *given: cauchy_kernel(*given, 5), (a, p, b, c, dt))

    def by_powers(a: Tensor, p: Tensor, b: Tensor, c: Tensor, dt: Tensor) -> Tensor:
        matrix, inputs = dense_system(a, p, b, dt)
        return DenseSystem(matrix, inputs, original_row(matrix, c, 9)).taps(5)

    assert torch.autograd.gradcheck(by_powers, (a, p, b, c, dt))


@pytest.mark.parametrize("mode", MODES, ids=str)
@pytest.mark.parametrize("length", [1, 2, 33])
def test_equals_the_recurrence(mode: dict[str, Any], length: int, monkeypatch: pytest.MonkeyPatch) -> None:
    net, x = layer(**mode), sequence(length)
    before, expected = x.clone(), plain(net, x)
    torch.testing.assert_close(net(x)[0], expected, **CLOSE)
    with torch.no_grad():
        torch.testing.assert_close(net(x)[0], expected, **CLOSE)
        monkeypatch.setattr(statespace, "_GROUP_VALUES", 2 * length)  # one channel at a time
        torch.testing.assert_close(net(x)[0], expected, **CLOSE)
    assert torch.equal(x, before)


@pytest.mark.parametrize("mode", [{"mode": "dplr"}, {"mode": "diag"}, {"mode": "dplr", "l_max": 20, "channels": 2}], ids=str)
def test_both_directions(mode: dict[str, Any]) -> None:
    net, x = layer(bidirectional=True, **mode), sequence(31)
    torch.testing.assert_close(net(x)[0], plain(net, x), **CLOSE)
    with pytest.raises(UsageError, match="bidirectional"):
        net(x, use_cache=True)


@pytest.mark.parametrize("mode", MODES, ids=str)
def test_gradients_are_those_of_the_recurrence(mode: dict[str, Any]) -> None:
    net, x = layer(**mode), sequence(15).requires_grad_()
    leaves = [x, *net.parameters()]
    expected = torch.autograd.grad(plain(net, x).square().sum(), leaves)
    for found, wanted in zip(torch.autograd.grad(net(x)[0].square().sum(), leaves), expected, strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("length", [10, 64, 100])
def test_attuning_changes_the_parameter_and_not_the_kernel(length: int, monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = layer(mode="dplr").layer.kernel
    assert isinstance(kernel, LowRankKernel)
    expected, before = kernel(length), kernel.C.detach().clone()
    kernel.attune(64)
    assert int(kernel.l_kernel) == 64 and not torch.allclose(kernel.C, before)
    torch.testing.assert_close(kernel(length), expected, **CLOSE)
    monkeypatch.setattr(s4_kernel, "_CAUCHY_LENGTH", 0)  # through powers
    torch.testing.assert_close(kernel(length), expected, **CLOSE)
    kernel.attune(7)
    torch.testing.assert_close(kernel(length), expected, **CLOSE)


def test_forward_leaves_the_parameters_alone() -> None:
    net = layer(mode="dplr", l_max=16)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    assert int(before["layer.kernel.l_kernel"]) == 16
    net(sequence(50))
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())


@pytest.mark.parametrize("mode", CARRIED, ids=str)
@pytest.mark.parametrize("sizes", [[1] * 12, [20, 1, 1, 30, 7], [58, 1]])
def test_pieces_equal_the_whole(mode: dict[str, Any], sizes: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    net, x = layer(**mode), sequence(sum(sizes))
    expected = net(x)[0]
    for grad in (True, False):
        cache, pieces = None, []
        monkeypatch.setattr(statespace, "_GROUP_VALUES", 50)
        with torch.set_grad_enabled(grad):
            for piece in x.split(sizes, dim=1):
                y, cache = net(piece, cache=cache, use_cache=True)
                pieces.append(y)
        assert cache is not None and cache.length == sum(sizes)
        torch.testing.assert_close(torch.cat(pieces, dim=1), expected, **CLOSE)


def test_a_kernel_that_ends_cannot_be_carried_on() -> None:
    net = layer(mode="dplr", l_max=20)
    _, cache = net(sequence(20), use_cache=True)
    with pytest.raises(UsageError, match=r"21 positions, this S4 layer's kernel ends after l_max = 20"):
        net(sequence(1), cache=cache)


@pytest.mark.parametrize("mode", MODES, ids=str)
@pytest.mark.parametrize("grad", [True, False])
def test_padding_on_either_side_changes_nothing(mode: dict[str, Any], grad: bool) -> None:
    net, x, padded = layer(**mode), sequence(30), sequence(50, seed=5)
    mask = torch.zeros(2, 50, dtype=torch.bool)
    padded[0, 20:], padded[1, :30] = x[0], x[1]
    mask[0, 20:] = mask[1, :30] = True
    with torch.set_grad_enabled(grad):
        expected, y = net(x)[0], net(padded, mask=mask)[0]
    torch.testing.assert_close(y[0, 20:], expected[0], **CLOSE)
    torch.testing.assert_close(y[1, :30], expected[1], **CLOSE)
    assert y.isfinite().all()


@pytest.mark.parametrize(
    "settings", [{"activation": "glu", "final_act": "id"}, {"final_act": None}, {"mult_act": "silu"}], ids=str
)
def test_activations(settings: dict[str, Any]) -> None:
    net, x = layer(**settings), sequence(20)
    expected = plain(net, x)
    torch.testing.assert_close(net(x)[0], expected, **CLOSE)
    with torch.no_grad():
        torch.testing.assert_close(net(x)[0], expected, **CLOSE)
    assert not torch.allclose(layer()(x)[0], expected)


def test_names_and_shapes_are_those_of_the_public_code() -> None:
    net = S4(d_model=WIDTH, d_state=8, rank=2, n_ssm=2, channels=3, bidirectional=True)
    shapes = {name: tuple(value.shape) for name, value in net.state_dict().items()}
    assert shapes == {
        "layer.D": (3, 4),
        "layer.kernel.C": (6, 4, 4, 2),
        "layer.kernel.B": (1, 2, 4, 2),
        "layer.kernel.A_real": (2, 4),
        "layer.kernel.A_imag": (2, 4),
        "layer.kernel.inv_dt": (4, 1),
        "layer.kernel.P": (2, 2, 4, 2),
        "layer.kernel.l_kernel": (),
        "output_linear.0.weight": (8, 12),
        "output_linear.0.bias": (8,),
    }
    diagonal = S4(d_model=WIDTH, d_state=8, mode="diag", dt_tie=False)
    assert set(net.state_dict()) - set(diagonal.state_dict()) == {"layer.kernel.P", "layer.kernel.l_kernel"}
    assert diagonal.layer.kernel.inv_dt.shape == (4, 4)


def test_dropout_of_values_channels_and_taps() -> None:
    x = sequence(20)
    for settings in ({"dropout": 0.5}, {"dropout": 0.5, "tie_dropout": True}, {"drop_kernel": 0.5}):
        net = layer(**settings)
        for grad in (True, False):
            with torch.set_grad_enabled(grad):
                net.train()
                assert not torch.equal(net(x)[0], net(x)[0])
                net.eval()
                torch.testing.assert_close(net(x)[0], layer().eval()(x)[0])


@pytest.mark.parametrize("mode", ["dplr", "diag"])
def test_half_precision(mode: str) -> None:
    torch.manual_seed(0)
    net, x = S4(d_model=WIDTH, d_state=8, mode=mode), sequence(50).float()  # type: ignore[arg-type]
    expected = net(x)[0]
    y = net.to(torch.bfloat16)(x.bfloat16())[0]
    assert y.dtype == torch.bfloat16
    torch.testing.assert_close(y.float(), expected, rtol=0.1, atol=0.15)


def test_made_without_memory_and_filled_later() -> None:
    with torch.device("meta"):
        net = S4(d_model=WIDTH, d_state=8, l_max=16)
    net.to_empty(device="cpu")
    for module in net.modules():
        if isinstance(module, DiagonalKernel | nn.Linear) or hasattr(module, "D"):
            module.reset_parameters()  # type: ignore[operator]
    assert int(net.layer.kernel.get_buffer("l_kernel")) == 16
    assert net(sequence(20).float())[0].isfinite().all()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"mode": "s6"}, "mode 's6'"),
        ({"activation": "gelo"}, "activation 'gelo': known are identity"),
        ({"mode": "diag", "disc": "dss"}, "discretisation 'dss'"),
        ({"is_real": True}, "low-rank state space is complex"),
        ({"n_ssm": 3}, "4 channels cannot share 3"),
        ({"dt_transform": "square"}, "transform 'square'"),
        ({"init": "legt"}, "legt needs 2"),
    ],
)
def test_settings_that_do_not_do(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        layer(**settings)


def test_silenced_states() -> None:
    kernel = DiagonalKernel(d_model=2, d_state=8, init="diag-lin", dt_min=0.1, dt_max=0.1001, bandlimit=0.3)
    step, a, _, c = kernel.continuous()
    fast = step * a.imag.abs() / (2 * torch.pi) >= 0.15
    assert fast.any() and not fast.all()
    assert not c[0][fast].any() and c[0][~fast].all()
    assert isinstance(kernel.system(), DiagonalSystem)
    assert F.mse_loss(kernel(5), kernel.system().taps(5)) == 0
