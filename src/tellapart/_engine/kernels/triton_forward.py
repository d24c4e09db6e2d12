"""The sums of a block by Triton: each tile writes what it adds up to, and nothing is added across programs.

So the sums have the same bits on every run: parts are reduced afterwards, in a fixed order.
"""

import triton
import triton.language as tl

from tellapart._engine.kernels.triton_tile import LOWEST, NONE, counted, related, scale_of, scores, softplus


@triton.jit
def sums_kernel(
    queries, keys, query_row, query_feature, key_row, key_feature, row_scale, row_step, key_scale,
    of_rows, of_cols, row_kind, col_kind,
    leaves, positive_leaves, first_row, height, n, m, c,
    MASK: tl.constexpr, POSITIVES: tl.constexpr, FORM: tl.constexpr, MIRRORED: tl.constexpr,
    LENGTH: tl.constexpr, STEP: tl.constexpr, PRECISION: tl.constexpr,
    HEIGHT: tl.constexpr, WIDTH: tl.constexpr, GROUP: tl.constexpr,
):  # fmt: skip
    """One tile of a band of `height` rows from `first_row` on.

    Parts of the rows' sums go to `of_rows[kind, tile in the band, row]`, of the columns' to `of_cols[kind, tile, col]`.
    Kinds are the sum, for logits the shift, and with positives the largest logits of positives and of negatives.
    """
    # Neighbours in time share rows and columns, which the cache then holds.
    row_tile, col_tile = tl.swizzle2d(tl.program_id(0), tl.program_id(1), tl.num_programs(0), tl.num_programs(1), GROUP)
    in_band = row_tile * HEIGHT + tl.arange(0, HEIGHT)
    rows = first_row + in_band
    cols = col_tile * WIDTH + tl.arange(0, WIDTH)
    n_cols = c if MIRRORED else m
    row_place = of_rows + col_tile * height + in_band
    is_row = in_band < height
    # Below the diagonal of a symmetric matrix nothing is computed.
    if MIRRORED and (col_tile + 1) * WIDTH <= first_row + row_tile * HEIGHT:
        _write_nothing(row_place, row_kind, is_row, POSITIVES, FORM)
        _write_nothing(of_cols + row_tile * n_cols + cols, col_kind, cols < n_cols, POSITIVES, FORM)
    else:
        product = scores(
            queries, keys, query_row, query_feature, key_row, key_feature, rows, cols, n, c, LENGTH, STEP, PRECISION
        )
        down, across = rows[:, None], cols[None, :]
        raw = product * scale_of(row_scale, row_step, key_scale, down, across, n, c)
        logits = counted(raw, leaves, down, across, first_row + height, m, c, MASK)
        if POSITIVES is None:
            is_positive = None
        else:
            is_positive = related(positive_leaves, down, across, n, m, POSITIVES)
        if FORM == "exp":
            values = tl.exp(logits)
        elif FORM == "softplus":
            values = softplus(logits)
        else:
            values = logits
        nothing = NONE if FORM == "logits" else 0.0
        if MIRRORED:
            # An entry on the diagonal counts once, any other for its row and for that of its mirror image.
            own = tl.where(across >= down, values, nothing)
            _write(row_place, row_kind, is_row, own, logits, raw, is_positive, 1, FORM)
            values = tl.where(across > down, values, nothing)
        else:
            _write(row_place, row_kind, is_row, values, logits, raw, is_positive, 1, FORM)
        if of_cols is not None:
            col_place = of_cols + row_tile * n_cols + cols
            _write(col_place, col_kind, cols < n_cols, values, logits, raw, is_positive, 0, FORM)


@triton.jit
def _write(place, kind, inside, values, logits, raw, is_positive, AXIS: tl.constexpr, FORM: tl.constexpr):
    """What a tile adds up to along an axis."""
    if FORM == "logits":
        shift = tl.maximum(tl.max(values, AXIS), LOWEST)
        values = tl.exp(values - tl.expand_dims(shift, AXIS))
        tl.store(place + kind, shift, mask=inside)
    tl.store(place, tl.sum(values, AXIS), mask=inside)
    if is_positive is not None:
        place += (2 if FORM == "logits" else 1) * kind
        tl.store(place, tl.max(tl.where(is_positive, raw, NONE), AXIS), mask=inside)
        tl.store(place + kind, tl.max(tl.where(is_positive, NONE, logits), AXIS), mask=inside)


@triton.jit
def _write_nothing(place, kind, inside, POSITIVES: tl.constexpr, FORM: tl.constexpr):
    """What a tile without entries adds up to."""
    if FORM == "logits":
        tl.store(place + kind, LOWEST, mask=inside)
    tl.store(place, 0.0, mask=inside)
    if POSITIVES is not None:
        place += (2 if FORM == "logits" else 1) * kind
        tl.store(place, NONE, mask=inside)
        tl.store(place + kind, NONE, mask=inside)
