"""State space duality (SSD), the scan of Mamba-2: heads with one decay each, so that chunks become matrix products.

Source: Dao & Gu 2024, "Transformers are SSMs" (https://arxiv.org/abs/2405.21060), sections 5 and 6 and listing 1, and the calling
convention of the public ``mamba_ssm``. For every head ``h`` with a state of ``P x N``

    S_l = exp(dt_l A) S_{l-1} + dt_l x_l B_l^T        y_l = S_l C_l + D x_l        out_l = y_l silu(z_l)

`ssd_reference` is these equations, one position after another. `ssd` cuts the sequence into chunks: within a chunk, outputs are
``(C B^T * decay) (dt x)`` with the decays between all pairs of positions; from chunk to chunk goes the state. Blocks of some
chunks are treated one after another, so that what a block needs stays in a CPU's cache and memory does not grow with the length;
the derivative computes each block again. Sums of ``dt A`` are float64 (except on devices without it), since their differences
are what counts. Measured with one CPU thread at 8192 positions (ms), transformers and this: 4 heads of 64 with 128 states 240 and
35; 8 heads of 32 with 64 states 430 and 35.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

__all__ = ["ssd", "ssd_reference", "ssd_step"]

NO_LIMIT = (0.0, float("inf"))
CHUNK = {"cpu": 64}
"""Positions per chunk, by device: on a CPU 32 and 64 are within a tenth, 128 half as fast."""
CHUNK_ELSEWHERE = 128
BLOCK_VALUES = {"cpu": 1 << 18}
"""Decays between pairs of positions per block, by device."""
BLOCK_VALUES_ELSEWHERE = 1 << 27


def ssd_reference(
    x: Tensor,
    dt: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    *,
    D: Tensor | None = None,
    z: Tensor | None = None,
    dt_bias: Tensor | None = None,
    dt_softplus: bool = False,
    dt_limit: tuple[float, float] = NO_LIMIT,
    initial_state: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """The equations as written, in float32 or wider; arguments and results as in `ssd`."""
    batch, length, heads, width = x.shape
    dtype = _wide(x)
    state = x.new_zeros(batch, heads, width, B.shape[3], dtype=dtype) if initial_state is None else initial_state.to(dtype)
    ys = []
    for i in range(length):
        y, state = ssd_step(
            x[:, i], dt[:, i], A, B[:, i], C[:, i], state=state, D=D, z=None if z is None else z[:, i],
            dt_bias=dt_bias, dt_softplus=dt_softplus, dt_limit=dt_limit,
        )  # fmt: skip
        ys.append(y)
    return torch.stack(ys, dim=1), state


def ssd_step(
    x: Tensor,
    dt: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    *,
    state: Tensor,
    D: Tensor | None = None,
    z: Tensor | None = None,
    dt_bias: Tensor | None = None,
    dt_softplus: bool = False,
    dt_limit: tuple[float, float] = NO_LIMIT,
) -> tuple[Tensor, Tensor]:
    """One position: ``out`` ``(B, H, P)`` and the new state ``(B, H, P, N)``.

    Args:
        x, z: ``(B, H, P)``.
        dt: ``(B, H)``.
        B, C: ``(B, G, N)``.
        state: ``(B, H, P, N)``.
        A, D, dt_bias, dt_softplus, dt_limit: as in `ssd`.
    """
    dtype = _wide(x)
    wide, step = x.to(dtype), _step(dt, dt_bias, dt_softplus, dt_limit, dtype)
    batch, groups, states = B.shape
    decay = torch.exp(step * A.to(dtype))[..., None, None]
    added = (step.unsqueeze(-1) * wide).reshape(batch, groups, -1, 1) * B.to(dtype).unsqueeze(2)  # (B, G, H / G * P, N)
    state = torch.addcmul(added.reshape(state.shape), decay, state)
    y = torch.matmul(state.reshape(batch, groups, -1, states), C.to(dtype).unsqueeze(-1)).reshape(x.shape)
    return _skip_and_gate(y, wide, D, z).to(x.dtype), state


def ssd(
    x: Tensor,
    dt: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    *,
    D: Tensor | None = None,
    z: Tensor | None = None,
    dt_bias: Tensor | None = None,
    dt_softplus: bool = False,
    dt_limit: tuple[float, float] = NO_LIMIT,
    initial_state: Tensor | None = None,
    chunk_size: int | None = None,
) -> tuple[Tensor, Tensor]:
    """Scan a sequence by chunks; the same as `ssd_reference`, within rounding, whatever the chunk.

    Products, states and decays are float32 (float64 for float64 input). Between forward and backward it keeps its arguments and
    one state per block; gradients also flow from the last state and to the initial one.

    Args:
        x: ``(B, L, H, P)``: H heads of P channels.
        dt: step sizes ``(B, L, H)``, before bias and softplus.
        A: ``(H,)``, negative in every net.
        B, C: maps into and out of the state ``(B, L, G, N)``, one for each ``H / G`` heads.
        D: weight of the input in the output, ``(H,)`` or ``(H, P)``.
        z: gate ``(B, L, H, P)``.
        dt_bias: ``(H,)``.
        dt_softplus: step sizes are ``softplus(dt + dt_bias)``.
        dt_limit: smallest and largest step size, after that.
        initial_state: ``(B, H, P, N)``; zeros unless given.
        chunk_size: positions per chunk; chosen unless given.

    Returns:
        ``out`` ``(B, L, H, P)`` of ``x``'s type, and the state after the last position ``(B, H, P, N)``.

    Raises:
        ValueError: shapes that do not fit.

    >>> x, dt, maps = torch.ones(1, 3, 2, 1), torch.ones(1, 3, 2), torch.ones(1, 3, 1, 1)
    >>> y, state = ssd(x, dt, torch.zeros(2), maps, maps)  # no decay: a running sum
    >>> y[0, :, 0, 0].tolist(), tuple(state.shape)
    ([1.0, 2.0, 3.0], (1, 2, 1, 1))
    """
    _check(x, dt, A, B, C, D, z, initial_state)
    if initial_state is None:
        initial_state = torch.zeros(x.shape[0], *x.shape[2:], B.shape[3], dtype=_wide(x), device=x.device)
    size = min(chunk_size or CHUNK.get(x.device.type, CHUNK_ELSEWHERE), x.shape[1])
    # Inside, a state is (B, G, N, H / G * P): a product of B^T with the channels of all heads that share it.
    groups = B.shape[2]
    state = initial_state.unflatten(1, (groups, -1)).permute(0, 1, 4, 2, 3).flatten(3)
    y, state = _Scan.apply(x, dt, A, B, C, D, z, dt_bias, state, (dt_softplus, dt_limit, size))
    return y, state.unflatten(3, (-1, x.shape[3])).permute(0, 1, 3, 4, 2).flatten(1, 2)


class _Scan(torch.autograd.Function):
    """Blocks one after another; backward, each is computed once more, with gradients."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        dt: Tensor,
        A: Tensor,
        B: Tensor,
        C: Tensor,
        D: Tensor | None,
        z: Tensor | None,
        bias: Tensor | None,
        state: Tensor,
        options: tuple[bool, tuple[float, float], int],
    ) -> tuple[Tensor, Tensor]:
        ctx.options, ctx.type_of_state = options, state.dtype
        state = state.to(_wide(x))
        y = torch.empty_like(x, memory_format=torch.contiguous_format)
        marks = []
        with _full_precision(x):
            for part in _blocks(x, options[2]):
                if any(ctx.needs_input_grad):
                    marks.append(state)
                gate = None if z is None else z[:, part]
                y[:, part], state = _block(x[:, part], dt[:, part], A, B[:, part], C[:, part], D, gate, bias, state, options)
        ctx.save_for_backward(x, dt, A, B, C, D, z, bias, *marks)
        return y, state

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, slope: Tensor, of_state: Tensor) -> tuple[Tensor | None, ...]:
        x, dt, A, B, C, D, z, bias, *marks = ctx.saved_tensors
        along = [x, dt, B, C] if z is None else [x, dt, B, C, z]
        shared = [tensor for tensor in (A, D, bias) if tensor is not None]
        of_along = [torch.empty_like(tensor) for tensor in along]
        of_shared = [torch.zeros_like(tensor, dtype=_wide(tensor)) for tensor in shared]
        for part, mark in reversed(list(zip(_blocks(x, ctx.options[2]), marks, strict=True))):
            pieces = [tensor[:, part].detach().requires_grad_() for tensor in along]
            own = [tensor.detach().requires_grad_() for tensor in (*shared, mark)]
            rest = iter(own[1:])
            with torch.enable_grad(), _full_precision(x):
                y, state = _block(
                    pieces[0], pieces[1], own[0], pieces[2], pieces[3],
                    None if D is None else next(rest), None if z is None else pieces[4],
                    None if bias is None else next(rest), own[-1], ctx.options,
                )  # fmt: skip
                found = torch.autograd.grad((y, state), (*pieces, *own), (slope[:, part], of_state))
            for total, share in zip(of_along, found, strict=False):
                total[:, part] = share
            for total, share in zip(of_shared, found[len(pieces) :], strict=False):
                total += share
            of_state = found[-1]
        of_x, of_dt, of_B, of_C = of_along[:4]
        ends = iter(total.to(tensor.dtype) for total, tensor in zip(of_shared, shared, strict=True))
        of_A = next(ends)
        of_D = None if D is None else next(ends)
        of_bias = None if bias is None else next(ends)
        of_z = None if z is None else of_along[4]
        return of_x, of_dt, of_A, of_B, of_C, of_D, of_z, of_bias, of_state.to(ctx.type_of_state), None


def _block(
    x: Tensor,
    dt: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None,
    z: Tensor | None,
    bias: Tensor | None,
    state: Tensor,
    options: tuple[bool, tuple[float, float], int],
) -> tuple[Tensor, Tensor]:
    """One block ``(B, T, H, P)`` from ``state`` ``(B, G, N, H / G * P)``; differentiable. The state it ends in comes with it."""
    softplus, limit, size = options
    batch, length, heads, width = x.shape
    groups = B.shape[2]
    dtype = _wide(x)
    precise = dtype if x.device.type == "mps" else torch.float64
    # The block is filled up to whole chunks with steps of 0, which leave the state as it is.
    chunks = -(-length // size)
    wide = x.to(dtype)
    step = _in_chunks(_step(dt, bias, softplus, limit, dtype), size)
    inputs = _in_chunks(wide, size) * step.unsqueeze(-1)
    into, out = (_in_chunks(maps.to(dtype), size).transpose(2, 3) for maps in (B, C))  # (B, chunks, G, K, N)
    total = torch.cumsum((step * A.to(dtype)).to(precise), dim=2)  # (B, chunks, K, H)

    # From chunk to chunk: what each adds to the state, with the decay from its positions to its end.
    to_end = torch.exp(total[:, :, -1:] - total).to(dtype)
    per_group = (inputs * to_end.unsqueeze(-1)).view(batch, chunks, size, groups, -1).transpose(2, 3)
    added = torch.matmul(into.transpose(3, 4), per_group)  # (B, chunks, G, N, H / G * P)
    kept = torch.exp(total[:, :, -1]).to(dtype).view(batch, chunks, groups, 1, -1).repeat_interleave(width, dim=-1)
    before = []
    for chunk in range(chunks):
        before.append(state)
        state = torch.addcmul(added[:, chunk], kept[:, chunk], state)
    from_start = torch.exp(total).to(dtype).unsqueeze(-1)
    y = torch.matmul(out, torch.stack(before, dim=1)).transpose(2, 3).reshape(inputs.shape) * from_start

    # Inside a chunk: products of all pairs of positions, with the decay between them.
    by_head = total.transpose(2, 3).contiguous()
    gaps = (by_head.unsqueeze(-1) - by_head.unsqueeze(-2)).to(dtype)  # (B, chunks, H, K, K)
    later = torch.ones(size, size, dtype=torch.bool, device=x.device).triu_(1)
    decays = gaps.masked_fill_(later, -torch.inf).exp_().view(batch, chunks, groups, -1, size, size)
    pairs = (torch.matmul(out, into.transpose(3, 4)).unsqueeze(3) * decays).view(batch, chunks, heads, size, size)
    y = y + torch.matmul(pairs, inputs.transpose(2, 3)).transpose(2, 3)
    y = y.reshape(batch, -1, heads, width)[:, :length]
    return _skip_and_gate(y, wide, D, z).to(x.dtype), state


def _in_chunks(values: Tensor, size: int) -> Tensor:
    """``(B, chunks, K, ...)`` of ``(B, T, ...)``; zeros at the end."""
    fill = -values.shape[1] % size
    if fill:
        values = functional.pad(values, (0, 0) * (values.ndim - 2) + (0, fill))
    return values.view(len(values), -1, size, *values.shape[2:])


def _blocks(x: Tensor, size: int) -> Iterator[slice]:
    """Slices of positions, each of whole chunks but the last."""
    batch, length, heads, _ = x.shape
    values = BLOCK_VALUES.get(x.device.type, BLOCK_VALUES_ELSEWHERE)
    block = max(1, values // (batch * heads * size * size)) * size
    for start in range(0, length, block):
        yield slice(start, min(start + block, length))


def _step(dt: Tensor, bias: Tensor | None, softplus: bool, limit: tuple[float, float], dtype: torch.dtype) -> Tensor:
    step = dt.to(dtype) if bias is None else dt.to(dtype) + bias.to(dtype)
    if softplus:
        step = functional.softplus(step)
    return step if tuple(limit) == NO_LIMIT and softplus else step.clamp(*limit)


def _skip_and_gate(y: Tensor, x: Tensor, D: Tensor | None, z: Tensor | None) -> Tensor:
    if D is not None:
        y = y + x * (D if D.ndim == 2 else D.unsqueeze(-1))
    return y if z is None else y * functional.silu(z.to(y.dtype))


def _wide(x: Tensor) -> torch.dtype:
    return torch.promote_types(x.dtype, torch.float32)


def _full_precision(x: Tensor) -> AbstractContextManager[Any]:
    """Products in the type of their arguments, also where the caller has automatic mixed precision on."""
    kind = x.device.type
    return torch.autocast(kind, enabled=False) if torch.amp.is_autocast_available(kind) else nullcontext()


def _check(
    x: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor | None, z: Tensor | None, state: Tensor | None
) -> None:
    """Refuse shapes that do not fit.

    Raises:
        ValueError: naming the first of them.
    """
    if x.ndim != 4 or x.shape[1] < 1:
        raise ValueError(f"x is {tuple(x.shape)}; expected (B, L, H, P) with L at least 1")
    batch, length, heads, width = x.shape
    if B.ndim != 4 or B.shape[:2] != x.shape[:2] or heads % B.shape[2]:
        raise ValueError(
            f"B is {tuple(B.shape)}; expected (B, L, G, N) with B = {batch}, L = {length} and {heads} a multiple of G"
        )
    expected: list[tuple[str, Tensor | None, tuple[tuple[int, ...], ...]]] = [
        ("dt", dt, ((batch, length, heads),)),
        ("A", A, ((heads,),)),
        ("C", C, (tuple(B.shape),)),
        ("D", D, ((heads,), (heads, width))),
        ("z", z, (tuple(x.shape),)),
        ("initial_state", state, ((batch, heads, width, B.shape[3]),)),
    ]
    for name, tensor, shapes in expected:
        if tensor is not None and tuple(tensor.shape) not in shapes:
            raise ValueError(f"{name} is {tuple(tensor.shape)}; expected {' or '.join(map(str, shapes))}")
