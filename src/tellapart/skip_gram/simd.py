"""Inner loops as vectors of 16 floats: what a compiler does not make of loops over arrays, which might overlap.

Each function takes flat float32 arrays, and offsets and strides in floats. The order of additions depends on nothing
but the lengths, so equal input gives equal bits. A vector of 16 is one register with AVX-512, two with AVX2.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

LANES = 16
TILE_QUERIES, TILE_KEYS = 2, 3
"""The inner products that `scores` computes at once: for 2 queries with 3 keys each."""

_FLOAT, _INT = ir.FloatType(), ir.IntType(32)
_VECTOR = ir.VectorType(_FLOAT, LANES)
_ZERO = ir.Constant(_VECTOR, [0.0] * LANES)
_FLAGS = ("contract", "nsz")  # one rounding for a product and its sum; additions are not reordered
_ACCUMULATORS = 4


@intrinsic
def scores(typing: Any, queries, at, step, n, keys, key_at, key_step, m, out, out_at, out_step, length):
    """`out[i, j] = Σ_d queries[i, d] · keys[j, d]` for n queries, rounded up to even, and m keys, a multiple of 3."""
    intp = types.intp
    signature = types.void(queries, intp, intp, intp, keys, intp, intp, intp, out, intp, intp, intp)

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        _, at, step, n, _, key_at, key_step, m, _, out_at, out_step, length = arguments
        queries, keys, out = (_data(context, builder, signature, arguments, place) for place in (0, 4, 8))
        tile = [(q, k) for q in range(TILE_QUERIES) for k in range(TILE_KEYS)]
        with _range(builder, _number(0), n, TILE_QUERIES) as i, _range(builder, _number(0), m, TILE_KEYS) as j:
            sums = [cgutils.alloca_once_value(builder, _ZERO) for _ in tile]
            query_rows = [_row(builder, at, i, q, step) for q in range(TILE_QUERIES)]
            key_rows = [_row(builder, key_at, j, k, key_step) for k in range(TILE_KEYS)]
            with _range(builder, _number(0), length, LANES) as d:
                left = [_load(builder, queries, builder.add(row, d)) for row in query_rows]
                right = [_load(builder, keys, builder.add(row, d)) for row in key_rows]
                for (q, k), total in zip(tile, sums, strict=True):
                    _add_product(builder, total, left[q], right[k])
            totals = _totals(builder, [builder.load(total) for total in sums])
            for lane, (q, k) in enumerate(tile):
                place = builder.add(_row(builder, out_at, i, q, out_step), builder.add(j, _number(k)))
                builder.store(builder.extract_element(totals, _lane(lane)), builder.gep(out, [place]))
        return context.get_dummy_value()

    return signature, codegen


@intrinsic
def accumulate(typing: Any, out, at, weights, weight_at, weight_step, rows, row_at, row_step, n, start, stop):
    """`out[d] += Σ_k weights[k] · rows[k, d]` for n rows, and the coordinates from start to stop, whole vectors."""
    intp = types.intp
    signature = types.void(out, intp, weights, intp, intp, rows, intp, intp, intp, intp, intp)

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        _, at, _, weight_at, weight_step, _, row_at, row_step, n, start, stop = arguments
        out, weights, rows = (_data(context, builder, signature, arguments, place) for place in (0, 2, 5))
        for width in range(_ACCUMULATORS, 0, -1):  # as wide as what is left
            size = _number(width * LANES)
            middle = builder.add(start, builder.mul(builder.udiv(builder.sub(stop, start), size), size))
            with _range(builder, start, middle, width * LANES) as d:
                places = [builder.add(builder.add(at, d), _number(v * LANES)) for v in range(width)]
                sums = [cgutils.alloca_once_value(builder, _load(builder, out, place)) for place in places]
                with _range(builder, _number(0), n, 1) as k:
                    place = builder.add(weight_at, builder.mul(k, weight_step))
                    weight = _spread(builder, builder.load(builder.gep(weights, [place])))
                    row = builder.add(_row(builder, row_at, k, 0, row_step), d)
                    for v, total in enumerate(sums):
                        _add_product(builder, total, weight, _load(builder, rows, builder.add(row, _number(v * LANES))))
                for place, total in zip(places, sums, strict=True):
                    _store(builder, builder.load(total), out, place)
            start = middle
        return context.get_dummy_value()

    return signature, codegen


@intrinsic
def scaled(typing: Any, out, at, rows, row_at, factor, length):
    """`out[d] = rows[d] · factor` for `length` coordinates."""
    intp = types.intp
    signature = types.void(out, intp, rows, intp, types.float32, intp)

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        _, at, _, row_at, factor, length = arguments
        out, rows = (_data(context, builder, signature, arguments, place) for place in (0, 2))
        factor = _spread(builder, factor)
        with _range(builder, _number(0), length, LANES) as d:
            product = builder.fmul(_load(builder, rows, builder.add(row_at, d)), factor)
            _store(builder, product, out, builder.add(at, d))
        return context.get_dummy_value()

    return signature, codegen


@intrinsic
def zero(typing: Any, out, at, length):
    """`out[d] = 0` for `length` coordinates."""
    signature = types.void(out, types.intp, types.intp)

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        _, at, length = arguments
        out = _data(context, builder, signature, arguments, 0)
        with _range(builder, _number(0), length, LANES) as d:
            _store(builder, _ZERO, out, builder.add(at, d))
        return context.get_dummy_value()

    return signature, codegen


@intrinsic
def prefetch(typing: Any, rows, at, length):
    """Ask for `length` floats to be brought near, without waiting for them."""
    signature = types.void(rows, types.intp, types.intp)

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        _, at, length = arguments
        rows = _data(context, builder, signature, arguments, 0)
        pointer = ir.IntType(8).as_pointer()
        kind = ir.FunctionType(ir.VoidType(), [pointer, _INT, _INT, _INT])
        function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0i8")
        with _range(builder, _number(0), length, LANES) as d:
            place = builder.bitcast(builder.gep(rows, [builder.add(at, d)]), pointer)
            builder.call(function, [place, _lane(0), _lane(3), _lane(1)])  # to read; into all caches; data
        return context.get_dummy_value()

    return signature, codegen


def _totals(builder: Any, vectors: list[Any]) -> Any:
    """The sums of up to 8 vectors' lanes, in the lanes of one: halves of lanes are added, for two vectors at once."""
    vectors = vectors + [_ZERO] * (LANES // 2 - len(vectors))
    group = LANES
    while len(vectors) > 1:
        vectors = [_fold(builder, vectors[v], vectors[v + 1], group) for v in range(0, len(vectors), 2)]
        group //= 2
    return _fold(builder, vectors[0], None, group)


def _fold(builder: Any, first: Any, second: Any, group: int) -> Any:
    """In each group of lanes, the first half plus the second."""
    n = LANES if second is None else 2 * LANES
    low = [lane for start in range(0, n, group) for lane in range(start, start + group // 2)]
    high = [lane + group // 2 for lane in low]
    both = [first, first if second is None else second]
    picked = [
        builder.shuffle_vector(*both, ir.Constant(ir.VectorType(_INT, len(lanes)), lanes)) for lanes in (low, high)
    ]
    return builder.fadd(*picked, flags=_FLAGS)


def _add_product(builder: Any, total: Any, a: Any, b: Any) -> None:
    product = builder.fmul(a, b, flags=_FLAGS)
    builder.store(builder.fadd(product, builder.load(total), flags=_FLAGS), total)


def _data(context: Any, builder: Any, signature: Any, arguments: Any, place: int) -> Any:
    """The address of an argument's first element."""
    return context.make_array(signature.args[place])(context, builder, arguments[place]).data


def _pointer(builder: Any, data: Any, place: Any) -> Any:
    return builder.bitcast(builder.gep(data, [place]), _VECTOR.as_pointer())


def _load(builder: Any, data: Any, place: Any) -> Any:
    loaded = builder.load(_pointer(builder, data, place))
    loaded.align = 4
    return loaded


def _store(builder: Any, value: Any, data: Any, place: Any) -> None:
    builder.store(value, _pointer(builder, data, place)).align = 4


def _row(builder: Any, at: Any, i: Any, further: int, step: Any) -> Any:
    """Where row i + further begins."""
    return builder.add(at, builder.mul(builder.add(i, _number(further)), step))


def _spread(builder: Any, value: Any) -> Any:
    """A vector of one value."""
    single = builder.insert_element(ir.Constant(_VECTOR, ir.Undefined), value, _lane(0))
    return builder.shuffle_vector(single, single, ir.Constant(ir.VectorType(_INT, LANES), [0] * LANES))


def _number(value: int) -> Any:
    return ir.Constant(cgutils.intp_t, value)


def _lane(value: int) -> Any:
    return ir.Constant(_INT, value)


class _range:  # noqa: N801, it reads as the built-in
    """A loop of the compiled code; inside of it, its counter."""

    def __init__(self, builder: Any, start: Any, stop: Any, step: int) -> None:
        self.loop = cgutils.for_range_slice(builder, start, stop, _number(step), start.type)

    def __enter__(self) -> Any:
        counter, _ = self.loop.__enter__()
        return counter

    def __exit__(self, *error: Any) -> None:
        self.loop.__exit__(*error)
