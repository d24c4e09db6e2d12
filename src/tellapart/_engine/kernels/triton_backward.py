"""The gradient of a block by Triton: a block of `∂L/∂S` for a library's products, or, of short vectors, all of it.

With vectors of up to 256 numbers a program keeps the gradient of its rows in registers, and no score leaves the chip.
Longer ones do not fit: a block of `G` is written, and two library products add it to both gradients.
"""

import triton
import triton.language as tl

from tellapart._engine.kernels.triton_entries import next_concerned, of_col, of_row, related
from tellapart._engine.kernels.triton_tile import (
    LOWEST,
    NEAR,
    counted,
    logit_gradient,
    multiplied,
    rounded,
    scaled,
    scores,
    span_of,
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
    """A tile of `block_kernel`; of the form "near" one exponential, less the largest logarithm, is enough."""
    in_height = row_tile * HEIGHT + tl.arange(0, HEIGHT)
    in_width = col_tile * WIDTH + tl.arange(0, WIDTH)
    rows, cols = first_row + in_height, first_col + in_width
    product = scores(
        queries, keys, query_row, query_feature, key_row, key_feature, rows, cols, n, c, LENGTH, STEP, PRECISION
    )
    raw = scaled(product, row_scale, key_scale, rows, cols, n, c, EACH, False)
    top_row, left_col = first_row + row_tile * HEIGHT, first_col + col_tile * WIDTH
    logits = counted(raw, leaves, rows, cols, top_row, left_col, n, m, c, MASK, False)
    if FORM == "near":
        by_row = tl.load(row_factor + rows, mask=rows < n, other=0.0)
        by_row *= tl.exp(top - tl.load(row_log + rows, mask=rows < n, other=float("inf")))
        by_col = tl.load(col_factor + cols, mask=cols < m, other=0.0)
        by_col *= tl.exp(top - tl.load(col_log + cols, mask=cols < m, other=float("inf")))
        gradient = tl.exp(logits - top) * (of_row(by_row, False) + of_col(by_col, False))
    else:
        gradient = _gradient(logits, row_factor, row_log, col_factor, col_log, rows, cols, n, m, FORM, False)
    if POSITIVES is not None:
        gradient -= _of_positives(positive_leaves, row_share, col_share, rows, cols, n, m, POSITIVES, False)
    if row_moments is not None:
        # Beyond the matrix G is 0, and a block ends where the matrix does or a tile.
        weighted = _weighted(gradient, raw, logits, WEIGHTED)
        if col_moments is None:
            total = tl.sum(tl.sum(weighted, 1), 0)
            tl.store(row_moments + col_tile * tl.num_programs(0) + row_tile, total * share)
        else:
            tl.store(row_moments + col_tile * height + in_height, tl.sum(weighted, 1), mask=in_height < height)
            tl.store(col_moments + row_tile * width + in_width, tl.sum(weighted, 0), mask=in_width < width)
    place = in_height[:, None].to(tl.int64) * width + in_width[None, :]
    inside = (in_height[:, None] < height) & (in_width[None, :] < width)
    gradient = scaled(gradient, row_scale, key_scale, rows, cols, n, c, EACH, False)
    if rest is not None:
        high = rounded(gradient)
        tl.store(rest + place, rounded(gradient - high), mask=inside)
        gradient = high
    tl.store(out + place, gradient.to(out.dtype.element_ty), mask=inside)


@triton.jit
def rows_kernel(
    own, others, own_row, own_feature, other_row, other_feature, row_scale, key_scale,
    row_factor, row_log, col_factor, col_log, row_share, col_share, out, out_part, moments, share,
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
    sum to `moments[stretch, program]`.
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
                    row_factor, row_log, col_factor, col_log, row_share, col_share, moments, leaves, positive_leaves,
                    n_others, n, m, c,
                    None, POSITIVES, FORM, TURNED, EACH, WEIGHTED, LENGTH, PADDED, PRECISION, HEIGHT, WIDTH,
                )  # fmt: skip
            if stop < end:
                total, moment = _rows_tile(
                    mine, others, offsets, is_feature, numbers, first_own, stop, total, moment,
                    other_row, other_feature, row_scale, key_scale,
                    row_factor, row_log, col_factor, col_log, row_share, col_share, moments, leaves, positive_leaves,
                    n_others, n, m, c,
                    MASK, POSITIVES, FORM, TURNED, EACH, WEIGHTED, LENGTH, PADDED, PRECISION, HEIGHT, WIDTH,
                )  # fmt: skip
            start = stop + WIDTH
    else:
        for start in range(first, end, WIDTH):
            total, moment = _rows_tile(
                mine, others, offsets, is_feature, numbers, first_own, start, total, moment,
                other_row, other_feature, row_scale, key_scale,
                row_factor, row_log, col_factor, col_log, row_share, col_share, moments, leaves, positive_leaves,
                n_others, n, m, c,
                MASK, POSITIVES, FORM, TURNED, EACH, WEIGHTED, LENGTH, PADDED, PRECISION, HEIGHT, WIDTH,
            )  # fmt: skip
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
def _rows_tile(
    mine, others, offsets, is_feature, numbers, first_own, start, total, moment,
    other_row, other_feature, row_scale, key_scale,
    row_factor, row_log, col_factor, col_log, row_share, col_share, moments, leaves, positive_leaves, n_others, n, m, c,
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
    gradient = _gradient(logits, row_factor, row_log, col_factor, col_log, rows, cols, n, m, FORM, TURNED)
    if POSITIVES is not None:
        gradient -= _of_positives(positive_leaves, row_share, col_share, rows, cols, n, m, POSITIVES, TURNED)
    if moments is not None:
        # Stretches end between tiles, and beyond the matrix G is 0.
        moment += tl.sum(_weighted(gradient, raw, logits, WEIGHTED), 1)
    gradient = scaled(gradient, row_scale, key_scale, rows, cols, n, c, EACH, TURNED)
    if PRECISION == "tf32" and mine.dtype == tl.float32:
        gradient = rounded(gradient)
    total = multiplied(gradient.to(mine.dtype), theirs, total, PRECISION)
    return total, moment


@triton.jit
def _weighted(gradient, raw, logits, WEIGHTED: tl.constexpr):
    """`G S` of a tile. Without weights the logits are the scores wherever G is not 0, and one of both is enough."""
    if WEIGHTED:
        product = gradient * raw
    else:
        product = gradient * tl.maximum(logits, LOWEST)
    return product


@triton.jit
def _load(places, is_feature, LENGTH: tl.constexpr, PADDED: tl.constexpr):
    if LENGTH == PADDED:
        vectors = tl.load(places)
    else:
        vectors = tl.load(places, mask=is_feature[None, :], other=0.0)
    return vectors


@triton.jit
def _gradient(
    logits, row_factor, row_log, col_factor, col_log, rows, cols, n, m, FORM: tl.constexpr, TURNED: tl.constexpr
):  # fmt: skip
    """`G` of a tile, from the factors and logarithms of its rows and columns."""
    # exp(S − ∞) = 0 where there is no such number: beyond the matrix, and of negatives, which have no sum.
    by_row, by_row_log, by_col, by_col_log = tl.load(row_factor + rows, mask=rows < n, other=0.0), None, None, None
    by_row = of_row(by_row, TURNED)
    if row_log is not None:
        by_row_log = of_row(tl.load(row_log + rows, mask=rows < n, other=float("inf")), TURNED)
    if col_factor is not None:
        by_col = of_col(tl.load(col_factor + cols, mask=cols < m, other=0.0), TURNED)
        if col_log is not None:
            by_col_log = of_col(tl.load(col_log + cols, mask=cols < m, other=float("inf")), TURNED)
    return logit_gradient(logits, by_row, by_row_log, by_col, by_col_log, FORM)


@triton.jit
def _of_positives(leaves, row_share, col_share, rows, cols, n, m, POSITIVES: tl.constexpr, TURNED: tl.constexpr):
    """What is taken from `G` at positives: the share that each has in the losses of its row and of its column."""
    share = of_row(tl.load(row_share + rows, mask=rows < n, other=0.0), TURNED)
    if col_share is not None:
        share += of_col(tl.load(col_share + cols, mask=cols < m, other=0.0), TURNED)
    return tl.where(related(leaves, rows, cols, n, m, POSITIVES, TURNED), share, 0.0)
