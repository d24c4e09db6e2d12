"""The gradient of a block by Triton: a block of `∂L/∂S` for a library's products, or, of short vectors, all of it.

With vectors of up to 256 numbers a program keeps the gradient of its rows in registers, and no score leaves the chip.
Longer ones do not fit: a block of `G` is written, and two library products add it to both gradients.
"""

import triton
import triton.language as tl

from tellapart._engine.kernels.triton_tile import counted, logit_gradient, multiplied, rounded, scale_of, scores


@triton.jit
def block_kernel(
    queries, keys, query_row, query_feature, key_row, key_feature, row_scale, row_step, key_scale,
    row_factor, row_log, col_factor, col_log, out, row_moments, col_moments,
    leaves, first_row, first_col, height, width, n, m, c,
    MASK: tl.constexpr, FORM: tl.constexpr, LENGTH: tl.constexpr, STEP: tl.constexpr, PRECISION: tl.constexpr,
    HEIGHT: tl.constexpr, WIDTH: tl.constexpr, GROUP: tl.constexpr,
):  # fmt: skip
    """A tile of `scale · G`, in the block of that height and width that begins at `first_row`, `first_col`.

    If wanted, `Σ_j G_ij S_ij` over the tile goes to `row_moments[col tile, row]`, and that of columns likewise.
    """
    row_tile, col_tile = tl.swizzle2d(tl.program_id(0), tl.program_id(1), tl.num_programs(0), tl.num_programs(1), GROUP)
    in_height = row_tile * HEIGHT + tl.arange(0, HEIGHT)
    in_width = col_tile * WIDTH + tl.arange(0, WIDTH)
    rows, cols = first_row + in_height, first_col + in_width
    product = scores(
        queries, keys, query_row, query_feature, key_row, key_feature, rows, cols, n, c, LENGTH, STEP, PRECISION
    )
    down, across = rows[:, None], cols[None, :]
    scale = scale_of(row_scale, row_step, key_scale, down, across, n, c)
    raw = product * scale
    logits = counted(raw, leaves, down, across, n, m, c, MASK)
    gradient = _gradient(logits, row_factor, row_log, col_factor, col_log, down, across, n, m, FORM)
    inside = (in_height[:, None] < height) & (in_width[None, :] < width)
    if row_moments is not None:
        weighted = tl.where(inside, gradient * raw, 0.0)
        tl.store(row_moments + col_tile * height + in_height, tl.sum(weighted, 1), mask=in_height < height)
        tl.store(col_moments + row_tile * width + in_width, tl.sum(weighted, 0), mask=in_width < width)
    place = out + in_height[:, None].to(tl.int64) * width + in_width[None, :]
    tl.store(place, (gradient * scale).to(out.dtype.element_ty), mask=inside)


@triton.jit
def rows_kernel(
    own, others, own_row, own_feature, other_row, other_feature, row_scale, row_step, key_scale,
    row_factor, row_log, col_factor, col_log, out, out_part, moments,
    leaves, stretch, n_own, n_others, n, m, c,
    MASK: tl.constexpr, FORM: tl.constexpr, TURNED: tl.constexpr, ADDED: tl.constexpr,
    LENGTH: tl.constexpr, PADDED: tl.constexpr,
    PRECISION: tl.constexpr, HEIGHT: tl.constexpr, WIDTH: tl.constexpr,
):  # fmt: skip
    """`scale · Σ_j G_ij v_j` for some of the own vectors, over one stretch of the others.

    Own vectors are queries and the others keys or, if `TURNED`, the other way round. Each stretch has a part of `out`,
    so that few own vectors keep a whole device busy, and parts are added up afterwards. A single one is `ADDED` to what
    is there. If wanted, `Σ_j G_ij S_ij` goes to `moments[stretch, own]`.
    """
    numbers = tl.program_id(0) * HEIGHT + tl.arange(0, HEIGHT)
    part = tl.program_id(1)
    features = tl.arange(0, PADDED)
    is_feature = features < LENGTH
    offsets = features.to(tl.int64)
    at_own = own + tl.minimum(numbers, n_own - 1).to(tl.int64)[:, None] * own_row + offsets[None, :] * own_feature
    mine = tl.load(at_own, mask=is_feature[None, :], other=0.0)
    total = tl.zeros([HEIGHT, PADDED], tl.float32)
    moment = tl.zeros([HEIGHT], tl.float32)
    end = tl.minimum((part + 1) * stretch, n_others)
    for start in range(part * stretch, end, WIDTH):
        others_here = start + tl.arange(0, WIDTH)
        at_other = tl.minimum(others_here, n_others - 1).to(tl.int64)[:, None] * other_row
        theirs = tl.load(others + at_other + offsets[None, :] * other_feature, mask=is_feature[None, :], other=0.0)
        products = multiplied(mine, tl.trans(theirs), tl.zeros([HEIGHT, WIDTH], tl.float32), PRECISION)
        if TURNED:
            rows, cols = others_here[None, :], numbers[:, None]
        else:
            rows, cols = numbers[:, None], others_here[None, :]
        scale = scale_of(row_scale, row_step, key_scale, rows, cols, n, c)
        raw = products * scale
        logits = counted(raw, leaves, rows, cols, n, m, c, MASK)
        gradient = _gradient(logits, row_factor, row_log, col_factor, col_log, rows, cols, n, m, FORM)
        if moments is not None:
            # Stretches end between tiles, and beyond the matrix G is 0.
            moment += tl.sum(gradient * raw, 1)
        gradient *= scale
        if PRECISION == "tf32" and own.dtype.element_ty == tl.float32:
            gradient = rounded(gradient)
        total = multiplied(gradient.to(own.dtype.element_ty), theirs, total, PRECISION)
    is_own = numbers < n_own
    place = out + part * out_part + numbers.to(tl.int64)[:, None] * LENGTH + features[None, :]
    if ADDED:
        total += tl.load(place, mask=is_own[:, None] & is_feature[None, :], other=0.0)
    tl.store(place, total, mask=is_own[:, None] & is_feature[None, :])
    if moments is not None:
        tl.store(moments + part * n_own + numbers, moment, mask=is_own)


@triton.jit
def _gradient(logits, row_factor, row_log, col_factor, col_log, rows, cols, n, m, FORM: tl.constexpr):
    """`G` of a tile, from the factors and logarithms of its rows and columns; both indices broadcast."""
    # exp(S − ∞) = 0 where there is no such number: beyond the matrix, and of negatives, which have no sum.
    of_row, of_row_log, of_col, of_col_log = tl.load(row_factor + rows, mask=rows < n, other=0.0), None, None, None
    if row_log is not None:
        of_row_log = tl.load(row_log + rows, mask=rows < n, other=float("inf"))
    if col_factor is not None:
        of_col = tl.load(col_factor + cols, mask=cols < m, other=0.0)
        if col_log is not None:
            of_col_log = tl.load(col_log + cols, mask=cols < m, other=float("inf"))
    return logit_gradient(logits, of_row, of_row_log, of_col, of_col_log, FORM)
