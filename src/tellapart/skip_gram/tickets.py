"""Threads that share work by tickets: what is next is taken by whichever thread is free, and none waits for a thread.

Work comes in phases. A thread takes a ticket of a phase when all tickets of the phases before are done. It waits for
work, not for other threads: one that the machine has put aside between two tickets holds nothing up. It looks often
for a moment, then gives its processor away after each look.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import njit
from numba.core import types
from numba.extending import intrinsic

TAKEN, DONE = 0, 16
"""Where a thread counts: in cache lines of their own."""
COUNTERS = 32

_LOOKS = 4000
_yield = types.ExternalFunction("sched_yield", types.int32())


@intrinsic
def fetch_add(typing: Any, counters, place, value):
    """Add to a counter in one step that no other thread can interrupt, and return what it was."""
    signature = types.int64(counters, types.intp, types.int64)

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.atomic_rmw("add", _pointer(context, builder, signature, arguments), arguments[2], "seq_cst")

    return signature, codegen


@intrinsic
def read(typing: Any, counters, place):
    """A counter as it is now, and with it all that was written before it was counted up."""
    signature = types.int64(counters, types.intp)

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.load_atomic(_pointer(context, builder, signature, arguments), "seq_cst", 8)

    return signature, codegen


def _pointer(context: Any, builder: Any, signature: Any, arguments: Any) -> ir.Value:
    array = context.make_array(signature.args[0])(context, builder, arguments[0])
    return builder.gep(array.data, [arguments[1]])


@njit(nogil=True, cache=True)
def wait_for(counters, needed):
    """Wait until that many tickets are done."""
    looks = 0
    while read(counters, DONE) < needed:
        looks += 1
        if looks > _LOOKS:
            _yield()
