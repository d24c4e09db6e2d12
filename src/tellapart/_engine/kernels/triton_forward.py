"""The sums of a block by Triton: each tile writes what it adds up to, and nothing is added across programs.

So the sums have the same bits on every run: parts are reduced afterwards, in a fixed order.
"""

import triton
import triton.language as tl

from tellapart._engine.kernels.triton_entries import NONE, concerns, holds, related
from tellapart._engine.kernels.triton_tile import LOWEST, counted, exp, scaled, scores, softplus

# Of a sum of exponentials: so small a one may have lost digits to the shift that a tile has for all its rows.
SMALL = tl.constexpr(1e-18)


@triton.jit
def sums_kernel(
    queries, keys, query_row, query_feature, key_row, key_feature, row_scale, key_scale,
    of_rows, of_cols, own_tops, row_kind, col_kind,
    leaves, positive_leaves, first_row, height, n, m, c,
    MASK: tl.constexpr, POSITIVES: tl.constexpr, SEVERAL: tl.constexpr, TOPS: tl.constexpr, FORM: tl.constexpr,
    MIRRORED: tl.constexpr, EACH: tl.constexpr, LENGTH: tl.constexpr, STEP: tl.constexpr, PRECISION: tl.constexpr,
    HEIGHT: tl.constexpr, WIDTH: tl.constexpr, GROUP: tl.constexpr,
):  # fmt: skip
    """One tile of a band of `height` rows from `first_row` on. Those of a symmetric matrix are squares.

    Parts of the rows' sums go to `of_rows[kind, tile in the band, row]`, of the columns' to `of_cols[kind, tile, col]`.
    Kinds are the sum; for logits the shift; of `SEVERAL` positives the sum of their logits and their number; and for
    `TOPS` the largest logits of positives and of negatives. With a place for `own_tops` each query has one positive,
    which is none of its candidates: `POSITIVES` tells all others, and its logit, as a tile has it, goes there.
    """
    # Neighbours in time share rows and columns, which the cache then holds.
    number, high, wide = tl.program_id(0), tl.cdiv(height, HEIGHT), tl.cdiv(c, WIDTH)
    row_tile, col_tile = tl.swizzle2d(number % high, number // high, high, wide, GROUP)
    in_band = row_tile * HEIGHT + tl.arange(0, HEIGHT)
    rows = first_row + in_band
    cols = col_tile * WIDTH + tl.arange(0, WIDTH)
    top_row = first_row + row_tile * HEIGHT
    n_cols = c if MIRRORED else m
    at_row, is_row = of_rows + col_tile * height + in_band, in_band < height
    at_col, is_col = of_cols, cols < n_cols
    if of_cols is not None:
        at_col = of_cols + row_tile * n_cols + cols
    told: tl.constexpr = POSITIVES if own_tops is None else None
    # Of a symmetric matrix nothing is computed below the diagonal. A tile on it has all entries of its rows.
    is_below, has_cols = False, True
    if MIRRORED:
        is_below, has_cols = col_tile * WIDTH < top_row, col_tile * WIDTH > top_row
        if not has_cols:
            _write_nothing(at_col, col_kind, is_col, told, SEVERAL, TOPS, FORM)
    if is_below:
        _write_nothing(at_row, row_kind, is_row, told, SEVERAL, TOPS, FORM)
    else:
        end = first_row + height
        raw = _raw(
            queries, keys, query_row, query_feature, key_row, key_feature, row_scale, key_scale, rows, cols, n, c,
            EACH, LENGTH, STEP, PRECISION,
        )  # fmt: skip
        logits = counted(raw, leaves, rows, cols, top_row, col_tile * WIDTH, end, m, c, MASK, False)
        if told is not None:
            is_positive = related(positive_leaves, rows, cols, n, m, told, False)
            _write_positives(at_row, row_kind, is_row, logits, raw, is_positive, 1, SEVERAL, TOPS, FORM)
            if of_cols is not None:
                if has_cols:
                    _write_positives(at_col, col_kind, is_col, logits, raw, is_positive, 0, SEVERAL, TOPS, FORM)
        elif TOPS:
            _write_top(at_row, row_kind, is_row, logits, 1, FORM)
            if of_cols is not None:
                if has_cols:
                    _write_top(at_col, col_kind, is_col, logits, 0, FORM)
        shift = 0.0
        if FORM == "logits":
            shift = tl.maximum(tl.max(tl.max(logits, 1), 0), LOWEST)
            values = exp(logits - shift)
        elif FORM == "exp":
            values = exp(logits)
        else:
            values = softplus(logits)
        least = _write(at_row, row_kind, is_row, values, shift, 1, FORM)
        if of_cols is not None:
            if has_cols:
                least = tl.minimum(least, _write(at_col, col_kind, is_col, values, shift, 0, FORM))
        if FORM == "logits":
            if least < SMALL:
                # Each row and each column by its own largest logit. To compute them again spares registers.
                raw = _raw(
                    queries, keys, query_row, query_feature, key_row, key_feature, row_scale, key_scale, rows, cols,
                    n, c, EACH, LENGTH, STEP, PRECISION,
                )  # fmt: skip
                logits = counted(raw, leaves, rows, cols, top_row, col_tile * WIDTH, end, m, c, MASK, False)
                _write_apart(at_row, row_kind, is_row, logits, 1)
                if of_cols is not None:
                    if has_cols:
                        _write_apart(at_col, col_kind, is_col, logits, 0)
        if own_tops is not None:
            if concerns(POSITIVES, 0, positive_leaves, top_row, col_tile * WIDTH, HEIGHT, WIDTH):
                # Computed again, likewise, with the bits that equal negatives have.
                raw = _raw(
                    queries, keys, query_row, query_feature, key_row, key_feature, row_scale, key_scale, rows, cols,
                    n, c, EACH, LENGTH, STEP, PRECISION,
                )  # fmt: skip
                others = holds(POSITIVES, 0, positive_leaves, tl.minimum(rows, n - 1), tl.minimum(cols, m - 1), False)
                is_own = (others == 0) & is_row[:, None] & (cols < m)[None, :]
                _write_own(own_tops, rows, raw, is_own, 1)
                if MIRRORED:
                    _write_own(own_tops, cols, raw, is_own, 0)


@triton.jit
def _raw(
    queries, keys, query_row, query_feature, key_row, key_feature, row_scale, key_scale, rows, cols, n, c,
    EACH: tl.constexpr, LENGTH: tl.constexpr, STEP: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """The scores of a tile over the temperature, all of which count."""
    product = scores(
        queries, keys, query_row, query_feature, key_row, key_feature, rows, cols, n, c, LENGTH, STEP, PRECISION
    )
    return scaled(product, row_scale, key_scale, rows, cols, n, c, EACH, False)


@triton.jit
def _write_own(place, numbers, raw, is_own, AXIS: tl.constexpr):
    """The logit of the only positive along an axis, where the tile has it."""
    found = tl.max(tl.where(is_own, raw, NONE), AXIS)
    tl.store(place + numbers, found, mask=found > NONE)


@triton.jit
def _write(place, kind, inside, values, shift, AXIS: tl.constexpr, FORM: tl.constexpr):
    """What a tile adds up to along an axis; the smallest of these sums."""
    total = tl.sum(values, AXIS)
    tl.store(place, total, mask=inside)
    if FORM == "logits":
        tl.store(place + kind, tl.zeros_like(total) + shift, mask=inside)
    return tl.min(tl.where(inside, total, 1.0), 0)


@triton.jit
def _write_apart(place, kind, inside, logits, AXIS: tl.constexpr):
    """The same of logits, with a shift for each sum."""
    shift = tl.maximum(tl.max(logits, AXIS), LOWEST)
    tl.store(place, tl.sum(exp(logits - tl.expand_dims(shift, AXIS)), AXIS), mask=inside)
    tl.store(place + kind, shift, mask=inside)


@triton.jit
def _write_positives(
    place, kind, inside, logits, raw, is_positive, AXIS: tl.constexpr, SEVERAL: tl.constexpr, TOPS: tl.constexpr,
    FORM: tl.constexpr,
):  # fmt: skip
    """Of a tile's positives along an axis the sum, and how many; and the largest logit, and that of its negatives."""
    place += (2 if FORM == "logits" else 1) * kind
    if SEVERAL:
        tl.store(place, tl.sum(tl.where(is_positive, raw, 0.0), AXIS), mask=inside)
        tl.store(place + kind, tl.sum(is_positive.to(tl.float32), AXIS), mask=inside)
        place += 2 * kind
    if TOPS:
        tl.store(place, tl.max(tl.where(is_positive, raw, NONE), AXIS), mask=inside)
        tl.store(place + kind, tl.max(tl.where(is_positive, NONE, logits), AXIS), mask=inside)


@triton.jit
def _write_top(place, kind, inside, logits, AXIS: tl.constexpr, FORM: tl.constexpr):
    """The largest logit of a tile along an axis."""
    tl.store(place + (2 if FORM == "logits" else 1) * kind, tl.max(logits, AXIS), mask=inside)


@triton.jit
def _write_nothing(
    place, kind, inside, TOLD: tl.constexpr, SEVERAL: tl.constexpr, TOPS: tl.constexpr, FORM: tl.constexpr
):  # fmt: skip
    """What a tile without entries adds up to."""
    if FORM == "logits":
        tl.store(place + kind, LOWEST, mask=inside)
    tl.store(place, 0.0, mask=inside)
    place += (2 if FORM == "logits" else 1) * kind
    if SEVERAL:
        tl.store(place, 0.0, mask=inside)
        tl.store(place + kind, 0.0, mask=inside)
        place += 2 * kind
    if TOPS:
        tl.store(place, NONE, mask=inside)
        if TOLD is not None:
            tl.store(place + kind, NONE, mask=inside)
