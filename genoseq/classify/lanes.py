"""Eight classes at once: the vector instructions of the context mixture's inner loop, which numba does not find by itself.

All take flat one-dimensional arrays and the place of the first of eight neighbours. Each lane is computed as single numbers
would be, operation by operation, so results do not depend on the processor.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

__all__ = ["LANES", "give_counts", "give_entries", "give_entry", "lowest", "match", "mix"]

LANES = 8

_FLAGS = ir.VectorType(ir.IntType(1), LANES)
_SINGLE = ir.VectorType(ir.FloatType(), LANES)
_DOUBLE = ir.VectorType(ir.DoubleType(), LANES)
_WHOLE = ir.VectorType(ir.IntType(32), LANES)
_LONG = ir.VectorType(ir.IntType(64), LANES)
_INT32, _INT64 = ir.IntType(32), ir.IntType(64)


class _Lanes:
    """Loads and stores of eight neighbours of the arrays that an intrinsic was given."""

    def __init__(self, context: Any, builder: Any, signature: Any, args: Any) -> None:
        self.context, self.builder, self.signature, self.args = context, builder, signature, args

    def data(self, array: int) -> Any:
        """Address of the first number of an array."""
        return self.context.make_array(self.signature.args[array])(self.context, self.builder, self.args[array]).data

    def load(self, array: int, index: Any, kind: Any) -> Any:
        """Eight neighbours, or one number if ``kind`` is no vector."""
        place = self.builder.gep(self.data(array), [index])
        return self.builder.load(self.builder.bitcast(place, kind.as_pointer()), align=4)

    def store(self, value: Any, array: int, index: Any) -> None:
        place = self.builder.gep(self.data(array), [index])
        self.builder.store(value, self.builder.bitcast(place, value.type.as_pointer()), align=4)

    def all(self, number: Any) -> Any:
        """The number in every lane."""
        vector = ir.Constant(ir.VectorType(number.type, LANES), ir.Undefined)
        for lane in range(LANES):
            vector = self.builder.insert_element(vector, number, _INT32(lane))
        return vector

    def whole(self, number: int) -> Any:
        """The same whole number in every lane."""
        return _WHOLE([number] * LANES)

    def share(self, hits: Any, total: Any, alpha: Any, floor: Any) -> Any:
        """``(hits + alpha) / (total + floor)``, of whole numbers."""
        b = self.builder
        above, below = (b.fadd(b.sitofp(n, _SINGLE), self.all(prior)) for n, prior in ((hits, alpha), (total, floor)))
        return b.fdiv(above, below)


def _intrinsic(signature: Any, body: Callable[[_Lanes, Any, Any], Any]) -> tuple[Any, Callable[..., Any]]:
    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        result = body(_Lanes(context, builder, sig, args), builder, args)
        return context.get_dummy_value() if result is None else result

    return signature, codegen


@intrinsic
def give_counts(typingctx: Any, counts: Any, seen: Any, total: Any, alpha: Any, floor: Any, p: Any, at: Any) -> Any:
    """``p[at] = (counts[seen] + alpha) / (counts[total] + floor)``; 1 / symbols in all lanes if ``seen`` is negative."""

    def body(lanes: _Lanes, b: Any, args: Any) -> None:
        known = b.icmp_signed(">=", args[1], _INT64(0))
        places = (b.select(known, place, _INT64(0)) for place in args[1:3])
        hits, all_hits = (b.select(known, lanes.load(0, place, _WHOLE), lanes.whole(0)) for place in places)
        lanes.store(lanes.share(hits, all_hits, args[3], args[4]), 5, args[6])

    number, place = types.float32, types.int64
    return _intrinsic(types.void(counts, place, place, number, number, p, place), body)


@intrinsic
def give_entry(typingctx: Any, label: Any, value: Any, uniform: Any, p: Any, at: Any) -> Any:
    """``p[at] = uniform``, but ``value`` in the lane ``label``, if there is such a lane."""

    def body(lanes: _Lanes, b: Any, args: Any) -> None:
        own = b.icmp_signed("==", lanes.all(b.trunc(args[0], _INT32)), _WHOLE(list(range(LANES))))
        lanes.store(b.select(own, lanes.all(args[1]), lanes.all(args[2])), 3, args[4])

    return _intrinsic(types.void(types.int64, types.float32, types.float32, p, types.int64), body)


@intrinsic
def give_entries(
    typingctx: Any,
    entries: Any,
    start: Any,
    owner_shift: Any,
    symbol_shift: Any,
    first: Any,
    code: Any,
    alpha: Any,
    floor: Any,
    p: Any,
    at: Any,
) -> Any:
    """``p[at]`` of eight classes from ``first`` on, by a list of entries that begins at ``entries[start]``.

    An entry is ``class << owner_shift | symbol << symbol_shift | count``, its highest bit marks the last one; the list ascends.

    Returns:
        Where the entries of later classes begin; -1 if there are none, or if ``start`` is -1.
    """

    def body(lanes: _Lanes, b: Any, args: Any) -> Any:
        _, start, owner_shift, symbol_shift, first, code, alpha, floor, _, at = args
        owner_shift, symbol_shift, code, first = (b.trunc(one, _INT32) for one in (owner_shift, symbol_shift, code, first))
        most = b.sub(b.shl(_INT32(1), symbol_shift), _INT32(1))
        symbols = b.sub(b.shl(_INT32(1), b.sub(owner_shift, symbol_shift)), _INT32(1))
        next_entry = cgutils.alloca_once_value(b, start)
        hits, total = (cgutils.alloca_once_value(b, lanes.whole(0)) for _ in range(2))
        test, step, done = (b.append_basic_block(name) for name in ("test", "step", "done"))
        owners = _WHOLE(list(range(LANES)))
        b.branch(test)
        b.position_at_end(test)
        place = b.load(next_entry)
        found = b.icmp_signed(">=", place, _INT64(0))
        entry = lanes.load(0, b.select(found, place, _INT64(0)), _INT32)
        owner = b.sub(b.lshr(b.and_(entry, _INT32(0x7FFFFFFF)), owner_shift), first)
        b.cbranch(b.and_(found, b.icmp_signed("<", owner, _INT32(LANES))), step, done)
        b.position_at_end(step)
        count = b.and_(entry, most)
        added = b.select(b.icmp_signed("==", lanes.all(owner), owners), lanes.all(count), lanes.whole(0))
        b.store(b.add(b.load(total), added), total)
        same = b.icmp_signed("==", b.and_(b.lshr(entry, symbol_shift), symbols), code)
        b.store(b.add(b.load(hits), b.select(lanes.all(same), added, lanes.whole(0))), hits)
        last = b.icmp_signed("<", entry, _INT32(0))
        b.store(b.select(last, _INT64(-1), b.add(place, _INT64(1))), next_entry)
        b.branch(test)
        b.position_at_end(done)
        lanes.store(lanes.share(b.load(hits), b.load(total), alpha, floor), 8, at)
        return b.load(next_entry)

    place, number = types.int64, types.float32
    return _intrinsic(place(entries, place, place, place, place, place, number, number, p, place), body)


@intrinsic
def match(typingctx: Any, table: Any, at: Any, tag: Any) -> Any:
    """The lowest bit set tells which of ``table[at : at + 8]`` has ``tag`` as its higher half; 0: none."""

    def body(lanes: _Lanes, b: Any, args: Any) -> Any:
        tags = b.lshr(lanes.load(0, args[1], _LONG), _LONG([32] * LANES))
        equal = b.bitcast(b.icmp_unsigned("==", tags, lanes.all(args[2])), ir.IntType(LANES))
        return b.zext(equal, _INT64)

    return _intrinsic(types.int64(table, types.int64, types.uint64), body)


@intrinsic
def lowest(typingctx: Any, bits: Any) -> Any:
    """Number of the lowest bit that is set; 64 if none is."""

    def body(lanes: _Lanes, b: Any, args: Any) -> Any:
        return b.cttz(args[0], ir.IntType(1)(0))

    return _intrinsic(types.int64(types.int64), body)


@intrinsic
def mix(typingctx: Any, p: Any, weights: Any, orders: Any, step: Any, at: Any, product: Any, keep: Any, dealt: Any) -> Any:
    """One symbol in eight classes.

    ``m = sum_j weights_j p_j``, ``product[at] *= m``, ``weights_j = weights_j p_j keep / m + dealt_j``.
    Order ``j`` stands at ``at + j * step`` of ``p`` and ``weights``; ``product`` is float64, ``dealt`` (orders,).
    """

    def body(lanes: _Lanes, b: Any, args: Any) -> None:
        _, _, orders, step, at, _, keep, _ = args
        mixed = cgutils.alloca_once_value(b, ir.Constant(_SINGLE, [0.0] * LANES))
        with cgutils.for_range(b, orders) as loop:
            own = b.add(at, b.mul(loop.index, step))
            b.store(b.fadd(b.load(mixed), b.fmul(lanes.load(1, own, _SINGLE), lanes.load(0, own, _SINGLE))), mixed)
        value = b.load(mixed)
        lanes.store(b.fmul(lanes.load(5, at, _DOUBLE), b.fpext(value, _DOUBLE)), 5, at)
        scale = b.fdiv(lanes.all(keep), value)
        with cgutils.for_range(b, orders) as loop:
            own = b.add(at, b.mul(loop.index, step))
            kept = b.fmul(b.fmul(lanes.load(1, own, _SINGLE), lanes.load(0, own, _SINGLE)), scale)
            lanes.store(b.fadd(kept, lanes.all(lanes.load(7, loop.index, ir.FloatType()))), 1, own)

    place = types.int64
    return _intrinsic(types.void(p, weights, place, place, place, product, types.float32, dealt), body)
