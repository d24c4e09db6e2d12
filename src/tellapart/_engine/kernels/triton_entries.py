"""How a tile evaluates the expression of its mask (`triton_masks.py`), where rows and columns meet."""

import torch
import triton
import triton.language as tl

from tellapart._engine.kernels.triton_masks import NAMES
from tellapart.relations import lowered

NONE = tl.constexpr(float("-inf"))
# Of the smallest number that float32 has with all its digits: lower weights are 0, as in `representable`.
LOG_SMALLEST = tl.constexpr(-87.33654475)
# By how much a product of unit vectors may be below the level that it reaches.
SLACK = tl.constexpr(lowered.ULPS * 2.0**-23)
# Three products in TF32 are as exact as one in float32, and stay on the tensor cores. AMD's have no such way.
EXACT = tl.constexpr("ieee" if torch.version.hip else "tf32x3")
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
REACHES = tl.constexpr(NAMES.index("reaches"))
PAIRS = tl.constexpr(NAMES.index("pairs"))
WEIGHTED_AND = tl.constexpr(NAMES.index("weighted and"))
WEIGHTED_OR = tl.constexpr(NAMES.index("weighted or"))
BESIDE = tl.constexpr(NAMES.index("beside"))
WEIGHTED_BESIDE = tl.constexpr(NAMES.index("weighted beside"))
WEIGHTED_PAIRS = tl.constexpr(NAMES.index("weighted pairs"))


@triton.jit
def of_row(values, TURNED: tl.constexpr):
    """Numbers of rows as they broadcast over a tile; of a turned one they lie along its second axis.

    They are read before, in one dimension: read in two, they could draw the whole tile into another layout.
    """
    return tl.expand_dims(values, 0 if TURNED else 1)


@triton.jit
def of_col(values, TURNED: tl.constexpr):
    """Numbers of columns as they broadcast over a tile."""
    return tl.expand_dims(values, 1 if TURNED else 0)


@triton.jit
def concerns(
    MASK: tl.constexpr, AT: tl.constexpr, leaves, row, col, HEIGHT: tl.constexpr, WIDTH: tl.constexpr
):  # fmt: skip
    """Whether an expression may be anything but 0 in the tile that begins there: of diagonals, by their places."""
    first: tl.constexpr = MASK[AT + 1]
    if MASK[AT] == AND:
        return concerns(MASK, first, leaves, row, col, HEIGHT, WIDTH) | concerns(
            MASK, MASK[AT + 2], leaves, row, col, HEIGHT, WIDTH
        )
    elif MASK[AT] == NOT:
        if MASK[first] == DIAGONAL:
            return (row < col + WIDTH) & (col < row + HEIGHT)
        elif MASK[first] == PERIODIC or MASK[first] == PERIODIC_BUT_ITSELF:
            period = leaves[MASK[first + 1]]
            apart = (col % period - row % period + period) % period
            return (apart < HEIGHT) | (apart + WIDTH > period)
        else:
            return row >= 0
    else:
        return row >= 0


@triton.jit
def related(leaves, rows, cols, n, m, MASK: tl.constexpr, TURNED: tl.constexpr):
    """Whether entries are related."""
    found = holds(MASK, 0, leaves, tl.minimum(rows, n - 1), tl.minimum(cols, m - 1), TURNED)
    return found & (of_row(rows, TURNED) < n) & (of_col(cols, TURNED) < m)


@triton.jit
def holds(MASK: tl.constexpr, AT: tl.constexpr, leaves, rows, cols, TURNED: tl.constexpr):
    """Whether the part of an expression that begins `AT` is anything but 0, where rows and columns meet."""
    first: tl.constexpr = MASK[AT + 1]
    if MASK[AT] == AND:
        left = holds(MASK, first, leaves, rows, cols, TURNED)
        return left & holds(MASK, MASK[AT + 2], leaves, rows, cols, TURNED)
    elif MASK[AT] == OR:
        left = holds(MASK, first, leaves, rows, cols, TURNED)
        return left | holds(MASK, MASK[AT + 2], leaves, rows, cols, TURNED)
    elif MASK[AT] == NOT:
        return holds(MASK, first, leaves, rows, cols, TURNED) == 0
    elif MASK[AT] == BESIDE:
        m = leaves[MASK[AT + 3]]
        left = holds(MASK, first, leaves, rows, tl.minimum(cols, m - 1), TURNED)
        right = holds(MASK, MASK[AT + 2], leaves, rows, tl.maximum(cols - m, 0), TURNED)
        return tl.where(of_col(cols, TURNED) < m, left, right)
    elif MASK[AT] == ALL:
        return (of_row(rows, TURNED) >= 0) & (of_col(cols, TURNED) >= 0)
    elif MASK[AT] == DIAGONAL:
        return of_row(rows, TURNED) == of_col(cols, TURNED)
    elif MASK[AT] == PERIODIC:
        return of_row(rows % leaves[first], TURNED) == of_col(cols % leaves[first], TURNED)
    elif MASK[AT] == PERIODIC_BUT_ITSELF:
        is_other = of_row(rows, TURNED) != of_col(cols, TURNED)
        return (of_row(rows % leaves[first], TURNED) == of_col(cols % leaves[first], TURNED)) & is_other
    elif MASK[AT] == INDEX:
        return of_row(tl.load(leaves[first] + rows), TURNED) == of_col(cols, TURNED)
    elif MASK[AT] == IDS:
        ids = of_row(tl.load(leaves[first] + rows), TURNED)
        return ids == of_col(tl.load(leaves[first + 1] + cols), TURNED)
    elif MASK[AT] == WITHIN:
        apart = _apart(leaves[first], leaves[first + 1], rows, cols, TURNED)
        return tl.abs(apart) <= tl.load(leaves[first + 2])
    elif MASK[AT] == EARLIER:
        of_key = of_col(tl.load(leaves[first + 1] + cols), TURNED)
        return of_key < of_row(tl.load(leaves[first] + rows), TURNED)
    elif MASK[AT] == REACHES:
        level = of_row(tl.load(leaves[first + 2] + rows), TURNED) + of_col(tl.load(leaves[first + 3] + cols), TURNED)
        return _products(leaves[first], leaves[first + 1], leaves[first + 4], rows, cols, TURNED) >= level - SLACK
    else:
        return log_weights(MASK, AT, leaves, rows, cols, TURNED) > NONE


@triton.constexpr_function
def is_weighted(mask):
    """Whether an expression's value is a weight, and not one of two."""
    return NAMES[mask[0]] in ("gaussian", "weighted and", "weighted or", "weighted beside", "weighted pairs")


@triton.jit
def log_weights(MASK: tl.constexpr, AT: tl.constexpr, leaves, rows, cols, TURNED: tl.constexpr):
    """The value of the part of an expression that begins `AT`, where rows and columns meet. It calls itself."""
    first: tl.constexpr = MASK[AT + 1]
    if MASK[AT] == WEIGHTED_AND:
        both = log_weights(MASK, first, leaves, rows, cols, TURNED)
        both += log_weights(MASK, MASK[AT + 2], leaves, rows, cols, TURNED)
        return tl.where(both < LOG_SMALLEST, NONE, both)
    elif MASK[AT] == WEIGHTED_OR:
        return tl.maximum(
            log_weights(MASK, first, leaves, rows, cols, TURNED),
            log_weights(MASK, MASK[AT + 2], leaves, rows, cols, TURNED),
        )
    elif MASK[AT] == WEIGHTED_BESIDE:
        m = leaves[MASK[AT + 3]]
        left = log_weights(MASK, first, leaves, rows, tl.minimum(cols, m - 1), TURNED)
        right = log_weights(MASK, MASK[AT + 2], leaves, rows, tl.maximum(cols - m, 0), TURNED)
        return tl.where(of_col(cols, TURNED) < m, left, right)
    elif MASK[AT] == GAUSSIAN:
        apart = _apart(leaves[first], leaves[first + 1], rows, cols, TURNED) / tl.load(leaves[first + 2])
        weights = (-0.5 * apart * apart).to(tl.float32)
        return tl.where(weights < LOG_SMALLEST, NONE, weights)
    elif MASK[AT] == PAIRS:
        return _of_pairs(leaves[first], leaves[first + 1], None, rows, cols, TURNED)
    elif MASK[AT] == WEIGHTED_PAIRS:
        return _of_pairs(leaves[first], leaves[first + 1], leaves[first + 2], rows, cols, TURNED)
    else:
        return tl.where(holds(MASK, AT, leaves, rows, cols, TURNED), 0.0, NONE)


@triton.jit
def _apart(of_rows, of_cols, rows, cols, TURNED: tl.constexpr):
    return of_row(tl.load(of_rows + rows), TURNED) - of_col(tl.load(of_cols + cols), TURNED)


@triton.jit
def _products(queries, keys, length, rows, cols, TURNED: tl.constexpr):
    """Products of further vectors in float32, so exact that ties are found."""
    if TURNED:
        total = _product(keys, queries, length, cols, rows)
    else:
        total = _product(queries, keys, length, rows, cols)
    return total


@triton.jit
def _product(left, right, length, rows, cols):
    features = tl.arange(0, 32)
    at_left = left + rows.to(tl.int64)[:, None] * length + features[None, :]
    at_right = right + cols.to(tl.int64)[None, :] * length + features[:, None]
    total = tl.zeros([rows.shape[0], cols.shape[0]], tl.float32)
    # One stage: buffers for more would not fit beside those of the scores on a small card.
    for start in tl.range(0, length, 32, num_stages=1):
        there = features < length - start
        mine = tl.load(at_left + start, mask=there[None, :], other=0.0)
        theirs = tl.load(at_right + start, mask=there[:, None], other=0.0)
        total = tl.dot(mine, theirs, total, input_precision=EXACT)
    return total


@triton.jit
def _of_pairs(starts, listed, weights, rows, cols, TURNED: tl.constexpr):
    """Listed pairs: of each row's ascending columns, those between the first and the last of the tile."""
    col_of = of_col(cols, TURNED)
    found = (of_row(rows, TURNED) + col_of) * 0.0 + NONE
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
        weight = tl.zeros(rows.shape, tl.float32)
        if weights is not None:
            weight = tl.load(weights + low, mask=low < stop, other=NONE)
        found = tl.where(col_of == of_row(col, TURNED), of_row(weight, TURNED), found)
        low += 1
        col = tl.load(listed + low, mask=low < stop, other=BEYOND)
        more = tl.max((col <= last).to(tl.int32))
    return found


@triton.jit
def next_concerned(
    MASK: tl.constexpr, AT: tl.constexpr, leaves, start, end, own, HEIGHT: tl.constexpr, WIDTH: tl.constexpr
):  # fmt: skip
    """Where the first tile begins, from `start` on, of which an expression of diagonals may be anything but 0.

    Tiles follow one another along the other side; of the own side they have `HEIGHT` from `own` on.
    """
    first: tl.constexpr = MASK[AT + 1]
    if MASK[AT] == ALL:
        return end
    elif MASK[AT] == AND:
        return tl.minimum(
            next_concerned(MASK, first, leaves, start, end, own, HEIGHT, WIDTH),
            next_concerned(MASK, MASK[AT + 2], leaves, start, end, own, HEIGHT, WIDTH),
        )
    else:
        tl.static_assert(MASK[AT] == NOT)
        place = own
        if MASK[first] == DIAGONAL:
            is_over = start >= own + HEIGHT
        else:
            # By how many periods the own places lie further, if they are not all before the start.
            period, behind = leaves[MASK[first + 1]], start - own - HEIGHT + 1
            place += period * tl.where(behind > 0, (behind + period - 1) // period, -((-behind) // period))
            is_over = start < 0
        found = start + tl.maximum(place - start, 0) // WIDTH * WIDTH
        return tl.minimum(tl.where(is_over, end, found), end)
