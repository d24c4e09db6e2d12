"""Counters that threads share, and how a thread waits: it looks, then gives its processor away, then sleeps."""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit
from numba.core import types
from numba.extending import intrinsic

PATIENCE = 3000
"""Looks, some 30 µs: if a task is not begun by then, its thread has probably been put aside."""
_SPIN, _YIELD = 10_000, 12_000
_yield: Any = types.ExternalFunction("sched_yield", types.int32())
_sleep: Any = types.ExternalFunction("usleep", types.int32(types.uint32))


@intrinsic
def read(typing: Any, counters, place):
    """A counter as it is now; then all that was written before it was is seen, too."""
    signature = types.int64(counters, types.intp)

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.load_atomic(_pointer(context, builder, signature, arguments), "seq_cst", 8)

    return signature, codegen


@intrinsic
def write(typing: Any, counters, place, value):
    """Set a counter, after all that was written before."""
    signature = types.void(counters, types.intp, types.int64)

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        builder.store_atomic(arguments[2], _pointer(context, builder, signature, arguments), "seq_cst", 8)
        return context.get_dummy_value()

    return signature, codegen


@intrinsic
def take(typing: Any, counters, place, expected):
    """Count one further from the expected number, unless another thread did; whether it did."""
    signature = types.boolean(counters, types.intp, types.int64)

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        expected = arguments[2]
        further = builder.add(expected, ir.Constant(expected.type, 1))
        pointer = _pointer(context, builder, signature, arguments)
        found = builder.cmpxchg(pointer, expected, further, "seq_cst", "seq_cst")
        return builder.extract_value(found, 1)

    return signature, codegen


@njit(nogil=True, cache=True)
def rest(looks):
    """What a thread does that found nothing to do, for that many times."""
    if looks > _YIELD:
        _sleep(np.uint32(50))
    elif looks > _SPIN:
        _yield()


def _pointer(context: Any, builder: Any, signature: Any, arguments: Any) -> ir.Value:
    array = context.make_array(signature.args[0])(context, builder, arguments[0])
    return builder.gep(array.data, [arguments[1]])
