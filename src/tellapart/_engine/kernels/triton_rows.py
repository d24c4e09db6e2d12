"""The gradient of short vectors by Triton: a program keeps that of its rows in registers, and no score leaves the chip.

Longer ones do not fit, and take `triton_backward.py`.
"""

import triton
import triton.language as tl

from tellapart._engine.kernels.triton_entries import next_concerned, of_col, of_row
from tellapart._engine.kernels.triton_tile import (
    NEAR,
    counted,
    multiplied,
    of_positives,
    rounded,
    scaled,
    tile_gradient,
    weighted,
)


@triton.jit
def rows_kernel(
    own, others, own_row, own_feature, other_row, other_feature, row_scale, key_scale,
    row_factor, row_log, col_factor, col_log, low, top, near_row, near_col, row_share, col_share,
    out, out_part, moments, share,
    leaves, positive_leaves, stretch, n_own, n_others, n, m, c,
    MASK: tl.constexpr, POSITIVES: tl.constexpr, FORM: tl.constexpr, TURNED: tl.constexpr, ADDED: tl.constexpr,
    OF_EACH: tl.constexpr, LOCAL: tl.constexpr, EACH: tl.constexpr, WEIGHTED: tl.constexpr,
    LENGTH: tl.constexpr, PADDED: tl.constexpr,
    PRECISION: tl.constexpr, HEIGHT: tl.constexpr, WIDTH: tl.constexpr,
):  # fmt: skip
    """`scale · Σ_j G_ij v_j` for some of the own vectors, over one stretch of the others.

    Own vectors are queries and the others keys or, if `TURNED`, the other way round. Each stretch has a part of `out`,
    so that few own vectors keep a whole device busy, and parts are added up afterwards. A single one is `ADDED` to what
    is there. If wanted, `Σ_j G_ij S_ij` goes to `moments[stretch, own]` if `OF_EACH` vector, or a share of a program's
    sum to `moments[stretch, program]`. With places for the smallest and the largest of all logarithms, one exponential
    a score is enough where these are near each other, and `near_row` and `near_col` are the factors for that.
    """
    first_own = tl.program_id(0) * HEIGHT
    numbers = first_own + tl.arange(0, HEIGHT)
    part = tl.program_id(1)
    first, end = part * stretch, tl.minimum((part + 1) * stretch, n_others)
    features = tl.arange(0, PADDED)
    is_feature = features < LENGTH
    offsets = features.to(tl.int64)
    at_own = own + tl.minimum(numbers, n_own - 1).to(tl.int64)[:, None] * own_row + offsets[None, :] * own_feature
    mine = _load(at_own, is_feature, LENGTH, PADDED)
    total = tl.zeros([HEIGHT, PADDED], tl.float32)
    moment = tl.zeros([HEIGHT], tl.float32)
    if top is None:
        total, moment = _stretch(
            mine, others, offsets, is_feature, numbers, first_own, first, end, total, moment,
            other_row, other_feature, row_scale, key_scale,
            row_factor, row_log, col_factor, col_log, 0.0, row_share, col_share, moments, leaves, positive_leaves,
            n_others, n, m, c, MASK, POSITIVES, FORM, TURNED, LOCAL, EACH, WEIGHTED, LENGTH, PADDED, PRECISION,
            HEIGHT, WIDTH,
        )  # fmt: skip
    else:
        largest = tl.load(top)
        if largest - tl.load(low) < NEAR:
            total, moment = _stretch(
                mine, others, offsets, is_feature, numbers, first_own, first, end, total, moment,
                other_row, other_feature, row_scale, key_scale,
                near_row, None, near_col, None, largest, row_share, col_share, moments, leaves, positive_leaves,
                n_others, n, m, c, MASK, POSITIVES, "near", TURNED, LOCAL, EACH, WEIGHTED, LENGTH, PADDED, PRECISION,
                HEIGHT, WIDTH,
            )  # fmt: skip
        else:
            total, moment = _stretch(
                mine, others, offsets, is_feature, numbers, first_own, first, end, total, moment,
                other_row, other_feature, row_scale, key_scale,
                row_factor, row_log, col_factor, col_log, 0.0, row_share, col_share, moments, leaves, positive_leaves,
                n_others, n, m, c, MASK, POSITIVES, FORM, TURNED, LOCAL, EACH, WEIGHTED, LENGTH, PADDED, PRECISION,
                HEIGHT, WIDTH,
            )  # fmt: skip
    if mine.dtype != tl.float16:
        # See `_rows_tile`.
        if TURNED and key_scale is not None:
            total *= tl.load(key_scale + tl.minimum(numbers, n_own - 1))[:, None]
        if not EACH:
            total *= tl.load(row_scale)
        elif not TURNED:
            total *= tl.load(row_scale + tl.minimum(numbers, n_own - 1))[:, None]
    is_own = numbers < n_own
    place = out + part * out_part + numbers.to(tl.int64)[:, None] * LENGTH + features[None, :]
    if ADDED:
        total += tl.load(place, mask=is_own[:, None] & is_feature[None, :], other=0.0)
    tl.store(place, total, mask=is_own[:, None] & is_feature[None, :])
    if moments is not None:
        if OF_EACH:
            tl.store(moments + part * n_own + numbers, moment, mask=is_own)
        else:
            moment = tl.where(is_own, moment, 0.0)
            tl.store(moments + part * tl.num_programs(0) + tl.program_id(0), tl.sum(moment, 0) * share)


@triton.jit
def _stretch(
    mine, others, offsets, is_feature, numbers, first_own, first, end, total, moment,
    other_row, other_feature, row_scale, key_scale,
    row_factor, row_log, col_factor, col_log, top, row_share, col_share, moments, leaves, positive_leaves,
    n_others, n, m, c,
    MASK: tl.constexpr, POSITIVES: tl.constexpr, FORM: tl.constexpr, TURNED: tl.constexpr, LOCAL: tl.constexpr,
    EACH: tl.constexpr, WEIGHTED: tl.constexpr, LENGTH: tl.constexpr, PADDED: tl.constexpr,
    PRECISION: tl.constexpr, HEIGHT: tl.constexpr, WIDTH: tl.constexpr,
):  # fmt: skip
    """The gradient of own vectors, and moments, with what the others from the first one on add."""
    if LOCAL:
        # Most tiles have nothing to mask, and a loop without masks is faster.
        start = first
        while start < end:
            stop = next_concerned(MASK, 0, leaves, start, end, first_own, HEIGHT, WIDTH)
            # The last tile may reach beyond the matrix.
            stop = tl.minimum(stop, start + tl.maximum(n_others - start, 0) // WIDTH * WIDTH)
            for clear in range(start, stop, WIDTH):
                total, moment = _rows_tile(
                    mine, others, offsets, is_feature, numbers, first_own, clear, total, moment,
                    other_row, other_feature, row_scale, key_scale,
                    row_factor, row_log, col_factor, col_log, top, row_share, col_share, moments,
                    leaves, positive_leaves, n_others, n, m, c,
                    None, POSITIVES, FORM, TURNED, EACH, WEIGHTED, LENGTH, PADDED, PRECISION, HEIGHT, WIDTH,
                )  # fmt: skip
            if stop < end:
                total, moment = _rows_tile(
                    mine, others, offsets, is_feature, numbers, first_own, stop, total, moment,
                    other_row, other_feature, row_scale, key_scale,
                    row_factor, row_log, col_factor, col_log, top, row_share, col_share, moments,
                    leaves, positive_leaves, n_others, n, m, c,
                    MASK, POSITIVES, FORM, TURNED, EACH, WEIGHTED, LENGTH, PADDED, PRECISION, HEIGHT, WIDTH,
                )  # fmt: skip
            start = stop + WIDTH
    else:
        for start in range(first, end, WIDTH):
            total, moment = _rows_tile(
                mine, others, offsets, is_feature, numbers, first_own, start, total, moment,
                other_row, other_feature, row_scale, key_scale,
                row_factor, row_log, col_factor, col_log, top, row_share, col_share, moments, leaves, positive_leaves,
                n_others, n, m, c,
                MASK, POSITIVES, FORM, TURNED, EACH, WEIGHTED, LENGTH, PADDED, PRECISION, HEIGHT, WIDTH,
            )  # fmt: skip
    return total, moment


@triton.jit
def _rows_tile(
    mine, others, offsets, is_feature, numbers, first_own, start, total, moment,
    other_row, other_feature, row_scale, key_scale,
    row_factor, row_log, col_factor, col_log, top, row_share, col_share, moments, leaves, positive_leaves,
    n_others, n, m, c,
    MASK: tl.constexpr, POSITIVES: tl.constexpr, FORM: tl.constexpr, TURNED: tl.constexpr, EACH: tl.constexpr,
    WEIGHTED: tl.constexpr, LENGTH: tl.constexpr, PADDED: tl.constexpr,
    PRECISION: tl.constexpr, HEIGHT: tl.constexpr, WIDTH: tl.constexpr,
):  # fmt: skip
    """The gradient of own vectors, and moments, with what a tile adds; without a mask all its entries count."""
    others_here = start + tl.arange(0, WIDTH)
    at_other = others_here if MASK is None else tl.minimum(others_here, n_others - 1)
    at_other = others + at_other.to(tl.int64)[:, None] * other_row
    theirs = _load(at_other + offsets[None, :] * other_feature, is_feature, LENGTH, PADDED)
    products = multiplied(mine, tl.trans(theirs), tl.zeros([HEIGHT, WIDTH], tl.float32), PRECISION)
    if TURNED:
        rows, cols, top_row, left_col = others_here, numbers, start, first_own
    else:
        rows, cols, top_row, left_col = numbers, others_here, first_own, start
    raw = scaled(products, row_scale, key_scale, rows, cols, n, c, EACH, TURNED)
    logits = raw
    if MASK is not None:
        logits = counted(raw, leaves, rows, cols, top_row, left_col, n, m, c, MASK, TURNED)
    gradient = tile_gradient(logits, row_factor, row_log, col_factor, col_log, top, rows, cols, n, m, FORM, TURNED)
    if POSITIVES is not None:
        gradient -= of_positives(positive_leaves, row_share, col_share, rows, cols, n, m, POSITIVES, TURNED)
    if moments is not None:
        # Stretches end between tiles, and beyond the matrix G is 0.
        moment += tl.sum(weighted(gradient, raw, logits, WEIGHTED or MASK is None), 1)
    # What own vectors are multiplied by waits for the end: float16 alone needs all of it to fill its range.
    if mine.dtype == tl.float16:
        gradient = scaled(gradient, row_scale, key_scale, rows, cols, n, c, EACH, TURNED)
    elif TURNED:
        if EACH:
            gradient *= of_row(tl.load(row_scale + tl.minimum(rows, n - 1)), TURNED)
    elif key_scale is not None:
        gradient *= of_col(tl.load(key_scale + tl.minimum(cols, c - 1)), TURNED)
    if PRECISION == "tf32" and mine.dtype == tl.float32:
        gradient = rounded(gradient)
    total = multiplied(gradient.to(mine.dtype), theirs, total, PRECISION)
    return total, moment


@triton.jit
def _load(places, is_feature, LENGTH: tl.constexpr, PADDED: tl.constexpr):
    if LENGTH == PADDED:
        vectors = tl.load(places)
    else:
        vectors = tl.load(places, mask=is_feature[None, :], other=0.0)
    return vectors
