"""Eight classes at once: the vector instructions of the context mixture's inner loop, which numba does not find by itself.

All take flat one-dimensional arrays and the place of the first of eight neighbours. Each lane is computed as single numbers
would be, operation by operation, so results do not depend on the processor.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

__all__ = ["LANES", "level", "mix_counts", "mix_given", "renew_weights", "settle"]

LANES = 8

_SINGLE = ir.VectorType(ir.FloatType(), LANES)
_DOUBLE = ir.VectorType(ir.DoubleType(), LANES)
_WHOLE = ir.VectorType(ir.IntType(32), LANES)


class _Lanes:
    """Loads and stores of eight neighbours of the arrays that an intrinsic was given."""

    def __init__(self, context: Any, builder: Any, signature: Any, args: Any) -> None:
        self.context, self.builder, self.signature, self.args = context, builder, signature, args

    def _place(self, array: int, index: Any, kind: Any) -> Any:
        struct = self.context.make_array(self.signature.args[array])(self.context, self.builder, self.args[array])
        return self.builder.bitcast(self.builder.gep(struct.data, [index]), kind.as_pointer())

    def load(self, array: int, index: Any, kind: Any) -> Any:
        return self.builder.load(self._place(array, index, kind), align=4)

    def store(self, value: Any, array: int, index: Any, kind: Any) -> None:
        self.builder.store(value, self._place(array, index, kind), align=4)

    def all(self, number: Any) -> Any:
        """The number in every lane."""
        vector = ir.Constant(_SINGLE, ir.Undefined)
        for lane in range(LANES):
            vector = self.builder.insert_element(vector, number, ir.Constant(ir.IntType(32), lane))
        return vector


def _intrinsic(signature: Any, body: Callable[[_Lanes, Any, Any], None]) -> tuple[Any, Callable[..., Any]]:
    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        body(_Lanes(context, builder, sig, args), builder, args)
        return context.get_dummy_value()

    return signature, codegen


@intrinsic
def level(typingctx: Any, p: Any, at: Any, value: Any) -> Any:
    """``p[at] = value``."""

    def body(lanes: _Lanes, b: Any, args: Any) -> None:
        lanes.store(lanes.all(args[2]), 0, args[1], _SINGLE)

    return _intrinsic(types.void(p, types.int64, types.float32), body)


@intrinsic
def mix_counts(
    typingctx: Any,
    counts: Any,
    seen: Any,
    total: Any,
    alpha: Any,
    floor: Any,
    p: Any,
    weights: Any,
    at: Any,
    mixed: Any,
    lane: Any,
) -> Any:
    """``p = (counts[seen] + alpha) / (counts[total] + floor)`` at ``at``; ``mixed[lane] += weights[at] * p``."""

    def body(lanes: _Lanes, b: Any, args: Any) -> None:
        hits = b.sitofp(lanes.load(0, args[1], _WHOLE), _SINGLE)
        all_hits = b.sitofp(lanes.load(0, args[2], _WHOLE), _SINGLE)
        share = b.fdiv(b.fadd(hits, lanes.all(args[3])), b.fadd(all_hits, lanes.all(args[4])))
        lanes.store(share, 5, args[7], _SINGLE)
        weighted = b.fmul(lanes.load(6, args[7], _SINGLE), share)
        lanes.store(b.fadd(lanes.load(8, args[9], _SINGLE), weighted), 8, args[9], _SINGLE)

    number, place = types.float32, types.int64
    return _intrinsic(types.void(counts, place, place, number, number, p, weights, place, mixed, place), body)


@intrinsic
def mix_given(typingctx: Any, p: Any, weights: Any, at: Any, mixed: Any, lane: Any) -> Any:
    """``mixed[lane] += weights[at] * p[at]``."""

    def body(lanes: _Lanes, b: Any, args: Any) -> None:
        weighted = b.fmul(lanes.load(1, args[2], _SINGLE), lanes.load(0, args[2], _SINGLE))
        lanes.store(b.fadd(lanes.load(3, args[4], _SINGLE), weighted), 3, args[4], _SINGLE)

    return _intrinsic(types.void(p, weights, types.int64, mixed, types.int64), body)


@intrinsic
def settle(typingctx: Any, mixed: Any, product: Any, lane: Any, keep: Any) -> Any:
    """``product[lane] *= mixed[lane]`` (float64), then ``mixed[lane] = keep / mixed[lane]``."""

    def body(lanes: _Lanes, b: Any, args: Any) -> None:
        value = lanes.load(0, args[2], _SINGLE)
        lanes.store(b.fmul(lanes.load(1, args[2], _DOUBLE), b.fpext(value, _DOUBLE)), 1, args[2], _DOUBLE)
        lanes.store(b.fdiv(lanes.all(args[3]), value), 0, args[2], _SINGLE)

    return _intrinsic(types.void(mixed, product, types.int64, types.float32), body)


@intrinsic
def renew_weights(typingctx: Any, weights: Any, p: Any, at: Any, mixed: Any, lane: Any, dealt: Any) -> Any:
    """``weights[at] = weights[at] * p[at] * mixed[lane] + dealt``."""

    def body(lanes: _Lanes, b: Any, args: Any) -> None:
        kept = b.fmul(b.fmul(lanes.load(0, args[2], _SINGLE), lanes.load(1, args[2], _SINGLE)), lanes.load(3, args[4], _SINGLE))
        lanes.store(b.fadd(kept, lanes.all(args[5])), 0, args[2], _SINGLE)

    return _intrinsic(types.void(weights, p, types.int64, mixed, types.int64, types.float32), body)
