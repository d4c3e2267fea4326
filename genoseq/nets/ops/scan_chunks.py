"""The selective scan by chunks side by side: torch operations alone, for any device and type.

A block of positions is cut into chunks. All chunks are scanned at once from a state of zero, a position of each at a time; their
true first states, carried from chunk to chunk, are then added with the decay that has passed since. That takes a few operations
per position of a chunk instead of per position of the sequence, and memory for one block of states, however long the sequence.

The derivative goes through the blocks from the last to the first, computes the states of each again, and is itself such a scan,
backwards. `genoseq.nets.ops.scan` has the equations and calls `forward` and `backward`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn import functional

__all__ = ["backward", "forward"]

BLOCK_VALUES = {"cpu": 1 << 19}
"""Numbers per block (positions times sequences times channels times states), by device; on a CPU they stay in the cache."""
BLOCK_VALUES_ELSEWHERE = 1 << 25


def forward(u: Tensor, step: Tensor, A: Tensor, B: Tensor, C: Tensor, state: Tensor, *, keep: bool) -> tuple[Tensor, ...]:
    """Scan block by block.

    Args:
        u, step: ``(B, L, D)``.
        A: ``(D, N)``.
        B, C: ``(B, L, G, N)`` or ``(D, N)``.
        state: ``(B, D, N)``.
        keep: also return the marks.

    Returns:
        ``y`` ``(B, L, D)``, the last state ``(B, D, N)``, the states before each block ``(M, B, D, N)``.
    """
    y = torch.empty_like(u, memory_format=torch.contiguous_format)
    marks = []
    for part, size in _blocks(u, A.shape[1]):
        if keep:
            marks.append(state)
        block = _Block(u[:, part], step[:, part], A, _cut(B, part), _cut(C, part), size)
        states, state = block.states(state)
        y[:, part] = block.read(states)
    return y, state, torch.stack(marks) if keep else state.new_empty(0)


def backward(
    u: Tensor, step: Tensor, A: Tensor, B: Tensor, C: Tensor, marks: Tensor, slope: Tensor, of_state: Tensor
) -> tuple[Tensor, ...]:
    """Derivatives of `forward`, block by block from the last to the first; as `scan_kernels.backward`."""
    y, of_u, of_step = (torch.empty_like(u, memory_format=torch.contiguous_format) for _ in range(3))
    of_A, of_B, of_C = torch.zeros_like(A), torch.zeros_like(B), torch.zeros_like(C)
    for index, (part, size) in reversed(list(enumerate(_blocks(u, A.shape[1])))):
        block = _Block(u[:, part], step[:, part], A, _cut(B, part), _cut(C, part), size)
        decays = block.decays()
        states, _ = block.states(marks[index], decays.clone())
        y[:, part] = block.read(states)
        slopes = block.spread(slope[:, part])  # (T, B, G, 1, D / G)
        # The derivative g of the states is a scan from the last position to the first: g_l = C_l slope_l + decay_{l+1} g_{l+1}
        g = block.C.unsqueeze(-1) * slopes
        g[-1] += block.inward(of_state)
        late = torch.cat((decays[1:], torch.ones_like(decays[:1])))
        _recur(late, g, torch.zeros_like(g[0]), size, back=True)
        of_states_C = (states * slopes).sum(-1)
        of_states_B = (g * block.x).sum(-1)
        into = (block.B.unsqueeze(-1) * g).sum(-2)
        # What a position's decay gets, per state, is g_l decay_l h_{l-1} times the derivative of its exponent.
        g.mul_(decays)
        of_state = block.outward(g[0]).clone()
        g[1:].mul_(states[:-1])
        g[0].mul_(block.inward(marks[index]))
        of_A += block.outward((g * block.step).sum((0, 1)).unsqueeze(0))[0]
        through = (g * block.A).sum(-2)
        length = part.stop - part.start
        of_u[:, part] = block.gather(into * block.step.squeeze(-2))[:, :length]
        of_step[:, part] = block.gather(torch.addcmul(through, into, block.u.squeeze(-2)))[:, :length]
        for total, share in ((of_B, of_states_B), (of_C, of_states_C)):
            if total.ndim == 2:
                total += share.sum((0, 1)).view_as(total)
            else:
                total[:, part] = share.unflatten(2, (total.shape[2], -1)).sum(3).transpose(0, 1)[:, :length]
    return y, of_u, of_step, of_A, of_B, of_C, of_state


class _Block:
    """One block, positions first and channels last, by groups of channels: states are ``(T, B, G, N, D / G)``.

    Positions are filled up to a multiple of the chunk with steps of 0, which leave the state as it is.
    """

    def __init__(self, u: Tensor, step: Tensor, A: Tensor, B: Tensor, C: Tensor, size: int) -> None:
        self.length = u.shape[1]
        self.size = size
        self.rest = -self.length % size
        channels = A.shape[0]
        # Constant maps differ from channel to channel: each channel is a group of its own.
        self.groups = channels if B.ndim == 2 or C.ndim == 2 else B.shape[2]
        self.A = A.reshape(self.groups, -1, A.shape[1]).transpose(1, 2).contiguous()
        self.u, self.step = self.spread(u), self.spread(step)
        self.x = self.u * self.step
        self.B, self.C = self._maps(B), self._maps(C)

    def spread(self, values: Tensor) -> Tensor:
        """``(T, B, G, 1, D / G)`` of ``(B, T, D)``."""
        values = _filled(values, self.rest).transpose(0, 1).contiguous()
        return values.view(*values.shape[:2], self.groups, 1, -1)

    def gather(self, values: Tensor) -> Tensor:
        """``(B, T, D)`` of ``(T, B, G, D / G)``."""
        joined: Tensor = values.flatten(2)
        return joined.transpose(0, 1)

    def inward(self, state: Tensor) -> Tensor:
        """``(B, G, N, D / G)`` of ``(B, D, N)``."""
        return state.reshape(len(state), self.groups, -1, state.shape[2]).transpose(2, 3)

    def outward(self, state: Tensor) -> Tensor:
        """``(B, D, N)`` of ``(B, G, N, D / G)``."""
        return state.transpose(2, 3).flatten(1, 2)

    def _maps(self, maps: Tensor) -> Tensor:
        """``(T | 1, B | 1, G, N)``."""
        if maps.ndim == 2:
            return maps[None, None]
        maps = _filled(maps, self.rest).transpose(0, 1).contiguous()
        times = self.groups // maps.shape[2]
        return maps if times == 1 else maps.repeat_interleave(times, dim=2)

    def decays(self) -> Tensor:
        """``exp(step A)``."""
        return (self.step * self.A).exp_()

    def states(self, first: Tensor, decays: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The states after every position, and the last ``(B, D, N)``; overwrites ``decays``."""
        states = self.B.unsqueeze(-1) * self.x
        _recur(self.decays() if decays is None else decays, states, self.inward(first), self.size)
        return states, self.outward(states[-1])

    def read(self, states: Tensor) -> Tensor:
        """``y`` ``(B, T, D)``."""
        y = torch.matmul(self.C.unsqueeze(-2), states).squeeze(-2)
        return self.gather(y)[:, : self.length]


def _recur(decays: Tensor, values: Tensor, first: Tensor, size: int, *, back: bool = False) -> None:
    """Turn ``values`` into the solution of ``h_l = decays_l h_{l-1} + values_l`` in place; overwrites ``decays``.

    Args:
        decays, values: ``(T, ...)`` with ``T`` a multiple of ``size``, contiguous.
        first: ``h`` before the first position ``(...)``.
        size: positions per chunk.
        back: ``h_l = decays_l h_{l+1} + values_l`` instead, and ``first`` is after the last position.
    """
    a, h = decays.view(-1, size, decays[0].numel()), values.view(-1, size, values[0].numel())
    inside = range(size - 2, -1, -1) if back else range(1, size)
    behind = 1 if back else -1
    for k in inside:
        h[:, k].addcmul_(a[:, k], h[:, k + behind])
    for k in inside:
        a[:, k].mul_(a[:, k + behind])  # now the decay from before the chunk to here
    end = 0 if back else size - 1
    carried = torch.empty_like(h[:, 0])
    state = first.reshape(-1)
    for chunk in range(len(h) - 1, -1, -1) if back else range(len(h)):
        carried[chunk] = state
        state = torch.addcmul(h[chunk, end], a[chunk, end], state)
    h.addcmul_(a, carried.unsqueeze(1))


def _blocks(u: Tensor, states: int) -> Iterator[tuple[slice, int]]:
    """Cut ``(B, L, D)`` into blocks of positions; gives each with the positions per chunk."""
    batch, length, channels = u.shape
    values = BLOCK_VALUES.get(u.device.type, BLOCK_VALUES_ELSEWHERE)
    block = max(1, min(values // max(1, batch * channels * states), length))
    # Operations per block are 2 chunk + block / chunk: fewest at this chunk, here taken to a power of two.
    size = 1 << max(0, round(math.log2(math.sqrt(block / 2))))
    block = -(-block // size) * size
    for start in range(0, length, block):
        yield slice(start, min(start + block, length)), size


def _filled(values: Tensor, rest: int) -> Tensor:
    """``(B, T, ...)`` with so many zeros after the last position."""
    return functional.pad(values, (0, 0) * (values.ndim - 2) + (0, rest)) if rest else values


def _cut(maps: Tensor, part: slice) -> Tensor:
    return maps if maps.ndim == 2 else maps[:, part]
