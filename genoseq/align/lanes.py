"""Banded affine-gap alignment as vector instructions: the inner loop of :mod:`genoseq.align.extend`.

The recurrence (Gotoh, J. Mol. Biol. 1982) runs along anti-diagonals of the band, whose cells do not depend on each
other, in 16-bit lanes that stay in registers: lane ``t`` of an even anti-diagonal ``a`` is diagonal ``2 t``, of an odd one
``2 t + 1``. numba's own vectoriser gives up on this loop (nine arrays that might overlap), so the loop is written in LLVM's
vector language, which every CPU numba knows can run. :mod:`genoseq.align.extend_reference` is the same in plain Python.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

from genoseq.align.scoring import AMBIGUOUS, END_BONUS, GAP_EXTEND, GAP_OPEN, MATCH, MISMATCH, NEVER, PAD

__all__ = ["score_32", "score_64", "score_128", "trace_32", "trace_64", "trace_128"]

I8, I16, I64 = ir.IntType(8), ir.IntType(16), ir.IntType(64)


class _Band:
    """Builds the loop for one band width."""

    def __init__(self, builder: Any, lanes: int) -> None:
        self.b = builder
        self.lanes = lanes
        self.bytes = ir.VectorType(I8, lanes)
        self.words = ir.VectorType(I16, lanes)
        self.iota = ir.Constant(self.words, list(range(lanes)))

    def all(self, value: int) -> Any:
        return ir.Constant(self.words, [value] * self.lanes)

    def splat(self, value: Any) -> Any:
        empty = ir.Constant(self.words, ir.Undefined)
        one = self.b.insert_element(empty, self.b.trunc(value, I16), ir.Constant(ir.IntType(32), 0))
        zeros = ir.Constant(ir.VectorType(ir.IntType(32), self.lanes), [0] * self.lanes)
        return self.b.shuffle_vector(one, empty, zeros)

    def shift(self, vector: Any, by: int) -> Any:
        """Lane ``t`` takes what lane ``t - by`` held; the lane left over takes NEVER."""
        index = [t - by if 0 <= t - by < self.lanes else self.lanes for t in range(self.lanes)]
        mask = ir.Constant(ir.VectorType(ir.IntType(32), self.lanes), index)
        return self.b.shuffle_vector(vector, self.all(NEVER), mask)

    def max(self, x: Any, y: Any) -> Any:
        return self.b.select(self.b.icmp_signed(">", x, y), x, y)

    def load(self, base: Any, offset: Any) -> Any:
        pointer = self.b.bitcast(self.b.gep(base, [offset]), self.bytes.as_pointer())
        return self.b.load(pointer, align=1)

    def store(self, vector: Any, base: Any, offset: Any) -> None:
        pointer = self.b.bitcast(self.b.gep(base, [offset]), vector.type.as_pointer())
        self.b.store(vector, pointer, align=1)

    def substitution(self, read: Any, window: Any) -> Any:
        b = self.b
        ambiguous = b.icmp_unsigned(">", b.or_(read, window), ir.Constant(self.bytes, [3] * self.lanes))
        outside = b.icmp_unsigned(">", window, ir.Constant(self.bytes, [7] * self.lanes))
        score = b.select(b.icmp_unsigned("==", read, window), self.all(MATCH), self.all(-MISMATCH))
        score = b.select(ambiguous, self.all(-AMBIGUOUS), score)
        return b.select(outside, self.all(-512), score)

    def step(self, s: Any, hd: Any, hl: Any, el: Any, hu: Any, fu: Any, start: Any, end: Any) -> dict[str, Any]:
        """One anti-diagonal: new H, E, F, the H that competes for the best (with END_BONUS), and the path's bits."""
        b = self.b
        open_cost, extend_cost = self.all(GAP_OPEN + GAP_EXTEND), self.all(GAP_EXTEND)
        e_open, e_more = b.sub(hl, open_cost), b.sub(el, extend_cost)
        f_open, f_more = b.sub(hu, open_cost), b.sub(fu, extend_cost)
        e, f = self.max(e_open, e_more), self.max(f_open, f_more)
        fresh = b.icmp_signed("<=", hd, self.all(0))
        diagonal = b.add(b.select(fresh, self.all(0), hd), s)
        gap = self.max(e, f)
        h = self.max(diagonal, gap)
        here = b.icmp_signed("==", self.iota, start)
        never = self.all(NEVER)
        out = {
            "h": b.select(here, self.all(END_BONUS), h),
            "e": b.select(here, never, e),
            "f": b.select(here, never, f),
        }
        at_end = b.icmp_signed("==", self.iota, end)
        out["total"] = b.select(here, self.all(0), b.select(at_end, b.add(h, self.all(END_BONUS)), h))
        source = b.select(
            b.icmp_signed(">=", diagonal, gap),
            b.select(fresh, self.all(4), self.all(0)),
            b.select(b.icmp_signed(">=", e, f), self.all(1), self.all(2)),
        )
        source = b.or_(source, b.select(b.icmp_signed(">", e_more, e_open), self.all(8), self.all(0)))
        out["path"] = b.or_(source, b.select(b.icmp_signed(">", f_more, f_open), self.all(16), self.all(0)))
        return out


def _make(lanes: int, *, trace: bool) -> Callable[..., Any]:
    """An intrinsic ``(reverse, window, length, top, when, paths) -> None`` for a band of ``2 * lanes`` diagonals.

    ``top`` and ``when`` (int16, ``lanes`` long) receive each lane's best score, with END_BONUS, and the first
    anti-diagonal that reached it. With ``trace``, ``paths`` (uint8) receives ``lanes`` bytes per anti-diagonal: bits 0-1 where
    the cell came from (0 diagonal, 1 gap in the read, 2 gap in the window), 4 the alignment begins with this pair, 8 and 16 the
    two kinds of gap are extended rather than opened.
    """

    @intrinsic
    def band(typingctx: Any, reverse: Any, window: Any, length: Any, top: Any, when: Any, paths: Any) -> Any:
        signature = types.void(reverse, window, types.int64, top, when, paths)

        def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            data = [
                context.make_array(sig.args[n])(context, builder, args[n]).data if n != 2 else None for n in range(6)
            ]
            size = args[2]
            v = _Band(builder, lanes)
            before = builder.block
            loop = builder.append_basic_block("band")
            after = builder.append_basic_block("band.done")
            builder.branch(loop)
            builder.position_at_end(loop)

            names = ("h_even", "h_odd", "e_odd", "f_odd", "best", "moment")
            phi = {name: builder.phi(v.words, name) for name in names}
            m = builder.phi(I64, "m")
            for name in names:
                phi[name].add_incoming(v.all(0 if name in ("best", "moment") else NEVER), before)
            m.add_incoming(ir.Constant(I64, 0), before)

            pad = ir.Constant(I64, PAD)
            read = v.load(data[0], builder.sub(builder.add(pad, size), m))
            window_at = builder.add(pad, m)
            w_even = v.load(data[1], builder.sub(window_at, ir.Constant(I64, 1)))
            w_odd = v.load(data[1], window_at)
            start, end = v.splat(m), v.splat(builder.sub(m, size))
            even = v.step(
                v.substitution(read, w_even), phi["h_even"],
                v.shift(phi["h_odd"], 1), v.shift(phi["e_odd"], 1), phi["h_odd"], phi["f_odd"], start, end,
            )  # fmt: skip
            odd = v.step(
                v.substitution(read, w_odd), phi["h_odd"],
                even["h"], even["e"], v.shift(even["h"], -1), v.shift(even["f"], -1), start, end,
            )  # fmt: skip
            best, moment = phi["best"], phi["moment"]
            a = builder.shl(m, ir.Constant(I64, 1))
            for cells, number in ((even, a), (odd, builder.add(a, ir.Constant(I64, 1)))):
                better = builder.icmp_signed(">", cells["total"], best)
                best = builder.select(better, cells["total"], best)
                moment = builder.select(better, v.splat(number), moment)
                if trace:
                    v.store(
                        builder.trunc(cells["path"], v.bytes), data[5], builder.mul(number, ir.Constant(I64, lanes))
                    )
            following = builder.add(m, ir.Constant(I64, 1))
            values = (even["h"], odd["h"], odd["e"], odd["f"], best, moment)
            for name, value in zip(names, values, strict=True):
                phi[name].add_incoming(value, loop)
            m.add_incoming(following, loop)
            more = builder.icmp_signed("<", following, builder.add(size, ir.Constant(I64, lanes)))
            builder.cbranch(more, loop, after)
            builder.position_at_end(after)
            zero = ir.Constant(I64, 0)
            v.store(best, data[3], zero)
            v.store(moment, data[4], zero)
            return context.get_dummy_value()

        return signature, codegen

    return band


score_32, score_64, score_128 = (_make(lanes, trace=False) for lanes in (16, 32, 64))
trace_32, trace_64, trace_128 = (_make(lanes, trace=True) for lanes in (16, 32, 64))
