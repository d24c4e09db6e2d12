"""What all Triton kernels do in a tile: its scores, the weights of its entries, and its gradient.

A tile is compiled for the expression of its mask (`triton_masks.py`), for the form in which it is added up, and for
the length of vectors. Rows and columns are numbers of queries and keys; where a tile reaches beyond the matrix, the
last ones are read again, and what is found there counts for nothing.
"""

import triton
import triton.language as tl

from tellapart._engine.kernels.triton_entries import (
    ALL,
    NONE,
    concerns,
    holds,
    is_weighted,
    log_weights,
    of_col,
    of_row,
    related,
)

# Finite, so that a row of nothing but −∞ gives exp(−∞ − shift) = 0 and not NaN: as in `OnlineSum`.
LOWEST = tl.constexpr(-8.5e37)
# Nats between logarithms of sums up to which one exponential tells what two would: what it loses is below 1e-11.
NEAR = tl.constexpr(60.0)
LOG2_E = tl.constexpr(1.4426950408889634)


@triton.jit
def exp(numbers):
    """`exp x` by an NVIDIA card's own instruction: 0 below 1e-38, for which `tl.exp` takes three instructions more."""
    return tl.exp2(numbers * LOG2_E)


@triton.jit
def scores(
    queries, keys, query_row, query_feature, key_row, key_feature, rows, cols, n, c,
    LENGTH: tl.constexpr, STEP: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """Products of queries and keys, some features at a time."""
    # Offsets of large inputs, or of views with large strides, need 64 bits.
    row = tl.minimum(rows, n - 1).to(tl.int64)
    col = tl.minimum(cols, c - 1).to(tl.int64)
    features = tl.arange(0, STEP)
    at_query = queries + row[:, None] * query_row + features[None, :].to(tl.int64) * query_feature
    at_key = keys + col[None, :] * key_row + features[:, None].to(tl.int64) * key_feature
    query_step = tl.full([1, 1], STEP, tl.int64) * query_feature
    key_step = tl.full([1, 1], STEP, tl.int64) * key_feature
    total = tl.zeros([rows.shape[0], cols.shape[0]], tl.float32)
    for start in range(0, LENGTH, STEP):
        if LENGTH % STEP == 0:
            q = tl.load(at_query)
            k = tl.load(at_key)
        else:
            left = features < LENGTH - start
            q = tl.load(at_query, mask=left[None, :], other=0.0)
            k = tl.load(at_key, mask=left[:, None], other=0.0)
        total = multiplied(q, k, total, PRECISION)
        at_query += query_step
        at_key += key_step
    return total


@triton.jit
def scaled(product, row_scale, key_scale, rows, cols, n, c, EACH: tl.constexpr, TURNED: tl.constexpr):
    """Products by what rows and columns are multiplied by: `EACH` row by a number of its own, or all by one."""
    if EACH:
        product *= of_row(tl.load(row_scale + tl.minimum(rows, n - 1)), TURNED)
    else:
        product *= tl.load(row_scale)
    if key_scale is not None:
        product *= of_col(tl.load(key_scale + tl.minimum(cols, c - 1)), TURNED)
    return product


@triton.jit
def multiplied(left, right, total, PRECISION: tl.constexpr):
    """A product on the tensor cores, added to a total in float32."""
    if PRECISION == "interpreted":
        # The interpreter would multiply the bits of bfloat16 numbers as integers.
        total = tl.dot(left.to(tl.float32), right.to(tl.float32), total)
    else:
        total = tl.dot(left, right, total, input_precision=PRECISION)
    return total


@triton.jit
def counted(logits, leaves, rows, cols, first_row, first_col, n, m, c, MASK: tl.constexpr, TURNED: tl.constexpr):
    """Logits with the logarithms of their weights added: −∞ where an entry does not count.

    Rows and columns are all from the first one on. Most tiles need neither a mask nor a look at the matrix's end.
    """
    if MASK[0] != ALL:
        if concerns(MASK, 0, leaves, first_row, first_col, rows.shape[0], cols.shape[0]):
            row, col = tl.minimum(rows, n - 1), tl.minimum(cols, m - 1)
            # What stands behind the keys are negatives, and no relation is about them.
            is_further = of_col(cols, TURNED) >= m
            if is_weighted(MASK):
                weights = log_weights(MASK, 0, leaves, row, col, TURNED)
                logits = tl.where(is_further, logits, logits + weights)
            else:
                logits = tl.where(is_further | holds(MASK, 0, leaves, row, col, TURNED), logits, NONE)
    if (first_row + rows.shape[0] > n) | (first_col + cols.shape[0] > c):
        logits = tl.where((of_row(rows, TURNED) < n) & (of_col(cols, TURNED) < c), logits, NONE)
    return logits


@triton.jit
def softplus(logits):
    """`log(1 + exp S)`, with all digits where the exponential is small; 0 of −∞."""
    small = exp(-tl.abs(logits))
    whole = 1.0 + small
    # log(1 + x) = log(w) · x / (w − 1) for the w that 1 + x is rounded to.
    rest = tl.where(whole == 1.0, small, tl.log(whole) * (small / tl.where(whole == 1.0, 1.0, whole - 1.0)))
    return tl.maximum(logits, 0.0) + rest


@triton.jit
def logit_gradient(logits, row_factor, row_log, col_factor, col_log, FORM: tl.constexpr):
    """`G = ∂L/∂S` of a tile, the sum of what rows and columns contribute: see `LogitGrad`."""
    if FORM == "logits":
        gradient = exp(logits - row_log) * row_factor
        if col_factor is not None:
            gradient += exp(logits - col_log) * col_factor
    else:
        factor = row_factor
        if col_factor is not None:
            factor = row_factor + col_factor
        if FORM == "exp":
            gradient = exp(logits) * factor
        else:
            gradient = factor / (1.0 + exp(-logits))
    return gradient


@triton.jit
def tile_gradient(
    logits, row_factor, row_log, col_factor, col_log, top, rows, cols, n, m, FORM: tl.constexpr, TURNED: tl.constexpr
):  # fmt: skip
    """`G` of a tile, from the factors and logarithms of its rows and columns.

    Of the form "near" one exponential, less the largest logarithm, is enough. Without logarithms the factors were
    multiplied by theirs before.
    """
    # exp(S − ∞) = 0 where there is no such number: beyond the matrix, and of negatives, which have no sum.
    by_row, by_row_log, by_col, by_col_log = tl.load(row_factor + rows, mask=rows < n, other=0.0), None, None, None
    if row_log is not None:
        by_row_log = tl.load(row_log + rows, mask=rows < n, other=float("inf"))
    if col_factor is not None:
        by_col = tl.load(col_factor + cols, mask=cols < m, other=0.0)
        if col_log is not None:
            by_col_log = tl.load(col_log + cols, mask=cols < m, other=float("inf"))
    if FORM == "near":
        if row_log is None:
            gradient = exp(logits - top) * (of_row(by_row, TURNED) + of_col(by_col, TURNED))
        else:
            by_row = of_row(by_row * exp(top - by_row_log), TURNED)
            gradient = exp(logits - top) * (by_row + of_col(by_col * exp(top - by_col_log), TURNED))
    else:
        by_row = of_row(by_row, TURNED)
        if by_row_log is not None:
            by_row_log = of_row(by_row_log, TURNED)
        if by_col is not None:
            by_col = of_col(by_col, TURNED)
        if by_col_log is not None:
            by_col_log = of_col(by_col_log, TURNED)
        gradient = logit_gradient(logits, by_row, by_row_log, by_col, by_col_log, FORM)
    return gradient


@triton.jit
def of_positives(leaves, row_share, col_share, rows, cols, n, m, POSITIVES: tl.constexpr, TURNED: tl.constexpr):
    """What is taken from `G` at positives: the share that each has in the losses of its row and of its column."""
    share = of_row(tl.load(row_share + rows, mask=rows < n, other=0.0), TURNED)
    if col_share is not None:
        share += of_col(tl.load(col_share + cols, mask=cols < m, other=0.0), TURNED)
    return tl.where(related(leaves, rows, cols, n, m, POSITIVES, TURNED), share, 0.0)


@triton.jit
def weighted(gradient, raw, logits, WEIGHTED: tl.constexpr):
    """`G S` of a tile. Without weights the logits are the scores wherever G is not 0, and one of both is enough."""
    if WEIGHTED:
        product = gradient * raw
    else:
        product = gradient * tl.maximum(logits, LOWEST)
    return product


@triton.jit
def span_of(logs, first, stop, WIDTH: tl.constexpr):
    """The largest and the smallest of some logarithms, at most `WIDTH`."""
    places = first + tl.arange(0, WIDTH)
    top = tl.max(tl.load(logs + places, mask=places < stop, other=LOWEST), 0)
    return top, tl.min(tl.load(logs + places, mask=places < stop, other=-LOWEST), 0)


@triton.jit
def rounded(values):
    """Float32 numbers rounded to TF32: a product of TF32 cuts off further digits."""
    bits = values.to(tl.int32, bitcast=True)
    return ((bits + 0x1000) & -8192).to(tl.float32, bitcast=True)
