"""What all Triton kernels do in a tile: its scores, the weights of its entries, and its gradient.

A tile is compiled for the expression of its mask (`triton_masks.py`), for the form in which it is added up, and for
the length of vectors. Rows and columns are numbers of queries and keys; where a tile reaches beyond the matrix, the
last ones are read again, and what is found there counts for nothing.
"""

import triton
import triton.language as tl

from tellapart._engine.kernels.triton_masks import NAMES

# Finite, so that a row of nothing but −∞ gives exp(−∞ − shift) = 0 and not NaN: as in `OnlineSum`.
LOWEST = tl.constexpr(-8.5e37)
NONE = tl.constexpr(float("-inf"))
# Of the smallest number that float32 has with all its digits: lower weights are 0, as in `representable`.
LOG_SMALLEST = tl.constexpr(-87.33654475)
BEYOND = tl.constexpr(2147483647)
# The kinds of an expression.
ALL = tl.constexpr(NAMES.index("all"))
AND = tl.constexpr(NAMES.index("and"))
OR = tl.constexpr(NAMES.index("or"))
NOT = tl.constexpr(NAMES.index("not"))
DIAGONAL = tl.constexpr(NAMES.index("diagonal"))
PERIODIC = tl.constexpr(NAMES.index("periodic"))
PERIODIC_BUT_ITSELF = tl.constexpr(NAMES.index("periodic, not itself"))
INDEX = tl.constexpr(NAMES.index("index"))
IDS = tl.constexpr(NAMES.index("ids"))
WITHIN = tl.constexpr(NAMES.index("within"))
GAUSSIAN = tl.constexpr(NAMES.index("gaussian"))
EARLIER = tl.constexpr(NAMES.index("earlier"))
PAIRS = tl.constexpr(NAMES.index("pairs"))
WEIGHTED_PAIRS = tl.constexpr(NAMES.index("weighted pairs"))


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
        at_query += STEP * query_feature
        at_key += STEP * key_feature
    return total


@triton.jit
def scale_of(row_scale, row_step, key_scale, rows, cols, n, c):
    """By what the products of rows and columns are multiplied; both indices broadcast. One number has a step of 0."""
    scale = tl.load(row_scale + tl.minimum(rows, n - 1) * row_step)
    if key_scale is not None:
        scale *= tl.load(key_scale + tl.minimum(cols, c - 1))
    return scale


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
def counted(logits, leaves, rows, cols, n, m, c, MASK: tl.constexpr):
    """Logits with the logarithms of their weights added: −∞ where an entry does not count. Both indices broadcast."""
    if MASK[0] != ALL:
        weights = log_weights(MASK, 0, leaves, tl.minimum(rows, n - 1), tl.minimum(cols, m - 1))
        # What stands behind the keys are negatives, and no relation is about them.
        logits = tl.where(cols < m, logits + weights, logits)
    return tl.where((rows < n) & (cols < c), logits, NONE)


@triton.jit
def related(leaves, rows, cols, n, m, MASK: tl.constexpr):
    """Whether entries are related."""
    weights = log_weights(MASK, 0, leaves, tl.minimum(rows, n - 1), tl.minimum(cols, m - 1))
    return (weights > NONE) & (rows < n) & (cols < m)


@triton.jit
def log_weights(MASK: tl.constexpr, AT: tl.constexpr, leaves, rows, cols):
    """The value of the part of an expression that begins `AT`, where rows and columns meet. It calls itself."""
    first: tl.constexpr = MASK[AT + 1]
    if MASK[AT] == AND:
        both = log_weights(MASK, first, leaves, rows, cols) + log_weights(MASK, MASK[AT + 2], leaves, rows, cols)
        return tl.where(both < LOG_SMALLEST, NONE, both)
    elif MASK[AT] == OR:
        return tl.maximum(
            log_weights(MASK, first, leaves, rows, cols), log_weights(MASK, MASK[AT + 2], leaves, rows, cols)
        )
    elif MASK[AT] == NOT:
        return _log_of(log_weights(MASK, first, leaves, rows, cols) == NONE)
    elif MASK[AT] == ALL:
        return tl.zeros([rows.shape[0] * cols.shape[0], rows.shape[1] * cols.shape[1]], tl.float32)
    elif MASK[AT] == DIAGONAL:
        return _log_of(rows == cols)
    elif MASK[AT] == PERIODIC:
        return _log_of(rows % leaves[first] == cols % leaves[first])
    elif MASK[AT] == PERIODIC_BUT_ITSELF:
        return _log_of((rows % leaves[first] == cols % leaves[first]) & (rows != cols))
    elif MASK[AT] == INDEX:
        return _log_of(tl.load(leaves[first] + rows) == cols)
    elif MASK[AT] == IDS:
        return _log_of(tl.load(leaves[first] + rows) == tl.load(leaves[first + 1] + cols))
    elif MASK[AT] == WITHIN:
        apart = tl.load(leaves[first] + rows) - tl.load(leaves[first + 1] + cols)
        return _log_of(tl.abs(apart) <= tl.load(leaves[first + 2]))
    elif MASK[AT] == GAUSSIAN:
        apart = tl.load(leaves[first] + rows) - tl.load(leaves[first + 1] + cols)
        apart /= tl.load(leaves[first + 2])
        weights = (-0.5 * apart * apart).to(tl.float32)
        return tl.where(weights < LOG_SMALLEST, NONE, weights)
    elif MASK[AT] == EARLIER:
        return _log_of(tl.load(leaves[first + 1] + cols) < tl.load(leaves[first] + rows))
    elif MASK[AT] == PAIRS:
        return _of_pairs(leaves[first], leaves[first + 1], None, rows, cols)
    else:
        tl.static_assert(MASK[AT] == WEIGHTED_PAIRS)
        return _of_pairs(leaves[first], leaves[first + 1], leaves[first + 2], rows, cols)


@triton.jit
def _log_of(holds):
    return tl.where(holds, 0.0, NONE)


@triton.jit
def _of_pairs(starts, listed, weights, rows, cols):
    """Listed pairs: of each row's ascending columns, those between the first and the last of the tile."""
    found = tl.full([rows.shape[0] * cols.shape[0], rows.shape[1] * cols.shape[1]], NONE, tl.float32)
    first = tl.min(cols)
    last = tl.max(cols)
    low = tl.load(starts + rows)
    stop = tl.load(starts + rows + 1)
    high = stop
    width = tl.max(high - low)
    while width > 0:  # bisection, of all rows at once
        middle = (low + high) // 2
        is_open = low < high
        is_before = is_open & (tl.load(listed + middle, mask=is_open, other=0) < first)
        high = tl.where(is_open & (is_before == 0), middle, high)
        low = tl.where(is_before, middle + 1, low)
        width = width // 2
    col = tl.load(listed + low, mask=low < stop, other=BEYOND)
    more = tl.max((col <= last).to(tl.int32))
    while more > 0:
        if weights is None:
            found = tl.where(cols == col, 0.0, found)
        else:
            found = tl.where(cols == col, tl.load(weights + low, mask=low < stop, other=NONE), found)
        low += 1
        col = tl.load(listed + low, mask=low < stop, other=BEYOND)
        more = tl.max((col <= last).to(tl.int32))
    return found


@triton.jit
def softplus(logits):
    """`log(1 + exp S)`, with all digits where the exponential is small; 0 of −∞."""
    small = tl.exp(-tl.abs(logits))
    whole = 1.0 + small
    # log(1 + x) = log(w) · x / (w − 1) for the w that 1 + x is rounded to.
    rest = tl.where(whole == 1.0, small, tl.log(whole) * (small / tl.where(whole == 1.0, 1.0, whole - 1.0)))
    return tl.maximum(logits, 0.0) + rest


@triton.jit
def logit_gradient(logits, row_factor, row_log, col_factor, col_log, FORM: tl.constexpr):
    """`G = ∂L/∂S` of a tile, the sum of what rows and columns contribute: see `LogitGrad`."""
    if FORM == "logits":
        gradient = tl.exp(logits - row_log) * row_factor
        if col_factor is not None:
            gradient += tl.exp(logits - col_log) * col_factor
    else:
        factor = row_factor
        if col_factor is not None:
            factor = row_factor + col_factor
        if FORM == "exp":
            gradient = tl.exp(logits) * factor
        else:
            gradient = factor / (1.0 + tl.exp(-logits))
    return gradient


@triton.jit
def rounded(values):
    """Float32 numbers rounded to TF32: a product of TF32 cuts off further digits."""
    bits = values.to(tl.int32, bitcast=True)
    return ((bits + 0x1000) & -8192).to(tl.float32, bitcast=True)
