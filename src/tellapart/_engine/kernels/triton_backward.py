"""A block of `G = ∂L/∂S` by Triton, which two library products add to both gradients.

Short vectors, of which the gradient fits into registers, take another kernel: see `triton_rows.py`.
"""

import triton
import triton.language as tl

from tellapart._engine.kernels.triton_tile import (
    NEAR,
    counted,
    of_positives,
    rounded,
    scaled,
    scores,
    span_of,
    tile_gradient,
    weighted,
)


@triton.jit
def block_kernel(
    queries, keys, query_row, query_feature, key_row, key_feature, row_scale, key_scale,
    row_factor, row_log, col_factor, col_log, row_share, col_share, out, rest, row_moments, col_moments, share,
    leaves, positive_leaves, first_row, first_col, height, width, n, m, c,
    MASK: tl.constexpr, POSITIVES: tl.constexpr, FORM: tl.constexpr, EACH: tl.constexpr, WEIGHTED: tl.constexpr,
    LENGTH: tl.constexpr, STEP: tl.constexpr, PRECISION: tl.constexpr,
    HEIGHT: tl.constexpr, WIDTH: tl.constexpr, GROUP: tl.constexpr,
):  # fmt: skip
    """A tile of `scale · G`, in the block of that height and width that begins at `first_row`, `first_col`.

    If wanted, `Σ_j G_ij S_ij` over the tile goes to `row_moments[col tile, row]`, and that of columns likewise. Without
    a place for that of columns, a share of the whole tile's sum goes to `row_moments[col tile, row tile]`. With a place
    for the rest, numbers are rounded to TF32, and what rounding left, rounded as well, goes there.
    """
    row_tile, col_tile = tl.swizzle2d(tl.program_id(0), tl.program_id(1), tl.num_programs(0), tl.num_programs(1), GROUP)
    top_row, left_col = first_row + row_tile * HEIGHT, first_col + col_tile * WIDTH
    if FORM == "logits" and col_log is not None:
        top_of_rows, low_of_rows = span_of(row_log, top_row, tl.minimum(top_row + HEIGHT, n), HEIGHT)
        top_of_cols, low_of_cols = span_of(col_log, left_col, tl.minimum(left_col + WIDTH, m), WIDTH)
        top = tl.maximum(top_of_rows, top_of_cols)
        # One way for all tiles would need the registers of the slower one.
        if top - tl.minimum(low_of_rows, low_of_cols) < NEAR:
            _block_tile(
                queries, keys, query_row, query_feature, key_row, key_feature, row_scale, key_scale,
                row_factor, row_log, col_factor, col_log, row_share, col_share, top, out, rest, row_moments,
                col_moments, share, leaves, positive_leaves, row_tile, col_tile, first_row, first_col, height, width,
                n, m, c,
                MASK, POSITIVES, "near", EACH, WEIGHTED, LENGTH, STEP, PRECISION, HEIGHT, WIDTH,
            )  # fmt: skip
        else:
            _block_tile(
                queries, keys, query_row, query_feature, key_row, key_feature, row_scale, key_scale,
                row_factor, row_log, col_factor, col_log, row_share, col_share, top, out, rest, row_moments,
                col_moments, share, leaves, positive_leaves, row_tile, col_tile, first_row, first_col, height, width,
                n, m, c,
                MASK, POSITIVES, FORM, EACH, WEIGHTED, LENGTH, STEP, PRECISION, HEIGHT, WIDTH,
            )  # fmt: skip
    else:
        _block_tile(
            queries, keys, query_row, query_feature, key_row, key_feature, row_scale, key_scale,
            row_factor, row_log, col_factor, col_log, row_share, col_share, 0.0, out, rest, row_moments, col_moments,
            share, leaves, positive_leaves, row_tile, col_tile, first_row, first_col, height, width, n, m, c,
            MASK, POSITIVES, FORM, EACH, WEIGHTED, LENGTH, STEP, PRECISION, HEIGHT, WIDTH,
        )  # fmt: skip


@triton.jit
def _block_tile(
    queries, keys, query_row, query_feature, key_row, key_feature, row_scale, key_scale,
    row_factor, row_log, col_factor, col_log, row_share, col_share, top, out, rest, row_moments, col_moments, share,
    leaves, positive_leaves, row_tile, col_tile, first_row, first_col, height, width, n, m, c,
    MASK: tl.constexpr, POSITIVES: tl.constexpr, FORM: tl.constexpr, EACH: tl.constexpr, WEIGHTED: tl.constexpr,
    LENGTH: tl.constexpr, STEP: tl.constexpr, PRECISION: tl.constexpr,
    HEIGHT: tl.constexpr, WIDTH: tl.constexpr,
):  # fmt: skip
    """A tile of `block_kernel`."""
    in_height = row_tile * HEIGHT + tl.arange(0, HEIGHT)
    in_width = col_tile * WIDTH + tl.arange(0, WIDTH)
    rows, cols = first_row + in_height, first_col + in_width
    product = scores(
        queries, keys, query_row, query_feature, key_row, key_feature, rows, cols, n, c, LENGTH, STEP, PRECISION
    )
    raw = scaled(product, row_scale, key_scale, rows, cols, n, c, EACH, False)
    top_row, left_col = first_row + row_tile * HEIGHT, first_col + col_tile * WIDTH
    logits = counted(raw, leaves, rows, cols, top_row, left_col, n, m, c, MASK, False)
    gradient = tile_gradient(logits, row_factor, row_log, col_factor, col_log, top, rows, cols, n, m, FORM, False)
    if POSITIVES is not None:
        gradient -= of_positives(positive_leaves, row_share, col_share, rows, cols, n, m, POSITIVES, False)
    if row_moments is not None:
        # Beyond the matrix G is 0, and a block ends where the matrix does or a tile.
        product = weighted(gradient, raw, logits, WEIGHTED)
        if col_moments is None:
            total = tl.sum(tl.sum(product, 1), 0)
            tl.store(row_moments + col_tile * tl.num_programs(0) + row_tile, total * share)
        else:
            tl.store(row_moments + col_tile * height + in_height, tl.sum(product, 1), mask=in_height < height)
            tl.store(col_moments + row_tile * width + in_width, tl.sum(product, 0), mask=in_width < width)
    place = in_height[:, None].to(tl.int64) * width + in_width[None, :]
    inside = (in_height[:, None] < height) & (in_width[None, :] < width)
    gradient = scaled(gradient, row_scale, key_scale, rows, cols, n, c, EACH, False)
    if rest is not None:
        high = rounded(gradient)
        tl.store(rest + place, rounded(gradient - high), mask=inside)
        gradient = high
    tl.store(out + place, gradient.to(out.dtype.element_ty), mask=inside)
