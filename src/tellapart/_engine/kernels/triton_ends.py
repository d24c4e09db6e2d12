"""What a loss needs before and behind its sums and gradients, by Triton: one launch for each.

PyTorch's own operations would do the same in dozens of calls, for which a card waits when there are few queries.
"""

import triton
import triton.language as tl

from tellapart._engine import factors as of_half
from tellapart._engine.kernels.triton_tile import LOWEST, exp, softplus

SHORTEST = tl.constexpr(of_half.SHORTEST)
LONGEST = tl.constexpr(of_half.LONGEST)


@triton.jit
def trial_kernel(out):
    """Shows whether kernels are compiled and run at all."""
    tl.store(out, 1.0)


@triton.jit
def begin_kernel(
    queries, keys, query_row, query_feature, key_row, key_feature, positive_of, temperature,
    row_scale, key_scale, positives, n, c,
    LEARNED: tl.constexpr, LENGTH: tl.constexpr, STEP: tl.constexpr, HEIGHT: tl.constexpr,
):  # fmt: skip
    """What products are multiplied by, and each query's logit of its positive.

    With a place for scales of keys, scores are cosines; else one number of `row_scale` is for all queries. Without a
    place for positives their logits are not wanted.
    """
    numbers = tl.program_id(0) * HEIGHT + tl.arange(0, HEIGHT)
    is_query = numbers < n
    row = tl.minimum(numbers, n - 1).to(tl.int64)
    col = tl.minimum(numbers, c - 1).to(tl.int64)
    place = col
    if positive_of is not None:
        place = tl.load(positive_of + row).to(tl.int64)
    tau = temperature
    if LEARNED:
        tau = tl.load(temperature).to(tl.float32)
    products = tl.zeros([HEIGHT], tl.float32)
    of_queries, top_query = products, products
    of_keys, top_key = products, products
    of_positives, top_positive = products, products
    for start in range(0, LENGTH, STEP):
        offsets = start + tl.arange(0, STEP)
        there = (offsets < LENGTH)[None, :]
        feature = offsets.to(tl.int64)
        q = tl.load(queries + row[:, None] * query_row + feature[None, :] * query_feature, mask=there, other=0.0)
        q = q.to(tl.float32)
        p = tl.load(keys + place[:, None] * key_row + feature[None, :] * key_feature, mask=there, other=0.0)
        p = p.to(tl.float32)
        products += tl.sum(q * p, 1)
        if key_scale is not None:
            of_queries, top_query = _added(q, of_queries, top_query)
            of_positives, top_positive = _added(p, of_positives, top_positive)
            if positive_of is not None:
                k = tl.load(keys + col[:, None] * key_row + feature[None, :] * key_feature, mask=there, other=0.0)
                of_keys, top_key = _added(k.to(tl.float32), of_keys, top_key)
    if key_scale is not None:
        own = _inverse(of_queries, top_query)
        others = _inverse(of_positives, top_positive)
        of_key = others
        if positive_of is not None:
            of_key = _inverse(of_keys, top_key)
        tl.store(row_scale + numbers, own / tau, mask=is_query)
        tl.store(key_scale + numbers, of_key, mask=numbers < c)
        if positives is not None:
            tl.store(positives + numbers, products * (own / tau) * others, mask=is_query)
    else:
        if tl.program_id(0) == 0:
            tl.store(row_scale, 1.0 / tau)
        if positives is not None:
            tl.store(positives + numbers, products / tau, mask=is_query)


@triton.jit
def _added(vectors, squares, top):
    return squares + tl.sum(vectors * vectors, 1), tl.maximum(top, tl.max(tl.abs(vectors), 1))


@triton.jit
def _inverse(squares, top):
    """`1/‖v‖`; 1 of a zero vector, and NaN of a length that float32 cannot square."""
    length = tl.sqrt(squares)
    is_held = (length >= SHORTEST) & (length <= LONGEST)
    inverse = tl.where(is_held, 1.0 / tl.where(is_held, length, 1.0), float("nan"))
    return tl.where(top == 0.0, 1.0, inverse)


@triton.jit
def losses_kernel(
    of_rows, row_kind, row_tiles, first, height, of_cols, col_kind, col_tiles, n_cols, running,
    positives, losses, weights, logs, shares, n, share,
    MIRRORED: tl.constexpr, FIRST: tl.constexpr, LAST: tl.constexpr, HEIGHT: tl.constexpr,
    SOME: tl.constexpr,
):  # fmt: skip
    """Losses from what the tiles of a band add up to: of the queries of the band, and of keys behind the last band.

    `L = softplus(log Z⁻ − S⁺)`, a share of its derivative by `log Z⁻`, and `log Z⁻`. Those of keys stand behind those
    all queries. Of a symmetric matrix the sums of columns belong to the rows of the same numbers. `running` holds what
    bands have come to, of each kind.

    With a place for shares a query may have several positives, `L = log Z − ΣS⁺/|P|`, and `log Z` is of all candidates.
    """
    n_row_blocks = 0 if MIRRORED else tl.cdiv(height, HEIGHT)
    block = tl.program_id(0)
    nothing = tl.zeros([HEIGHT], tl.float32)
    score, count = nothing, nothing
    if block < n_row_blocks:
        in_band = block * HEIGHT + tl.arange(0, HEIGHT)
        total, shift = _merged(of_rows, row_kind, row_tiles, height, in_band, nothing, nothing + LOWEST, SOME)
        inside = in_band < height
        place = first + in_band
        if shares is None:
            _write_loss(total, shift, positives, losses, weights, logs, share, place, place, inside)
        else:
            score = _summed(of_rows + 2 * row_kind, row_tiles, height, in_band, score, SOME)
            count = _summed(of_rows + 3 * row_kind, row_tiles, height, in_band, count, SOME)
            _write_mean_loss(total, shift, score, count, losses, weights, logs, shares, place, inside)
    elif of_cols is not None:
        numbers = (block - n_row_blocks) * HEIGHT + tl.arange(0, HEIGHT)
        inside = numbers < n_cols
        total, shift = nothing, nothing + LOWEST
        if not FIRST:
            total = tl.load(running + numbers, mask=inside, other=0.0)
            shift = tl.load(running + n_cols + numbers, mask=inside, other=LOWEST)
            if shares is not None:
                score = tl.load(running + 2 * n_cols + numbers, mask=inside, other=0.0)
                count = tl.load(running + 3 * n_cols + numbers, mask=inside, other=0.0)
        total, shift = _merged(of_cols, col_kind, col_tiles, n_cols, numbers, total, shift, SOME)
        if MIRRORED:
            total, shift = _merged(of_rows, row_kind, row_tiles, height, numbers - first, total, shift, SOME)
        if shares is not None:
            score = _summed(of_cols + 2 * col_kind, col_tiles, n_cols, numbers, score, SOME)
            count = _summed(of_cols + 3 * col_kind, col_tiles, n_cols, numbers, count, SOME)
            score = _summed(of_rows + 2 * row_kind, row_tiles, height, numbers - first, score, SOME)
            count = _summed(of_rows + 3 * row_kind, row_tiles, height, numbers - first, count, SOME)
        if LAST:
            place = numbers if MIRRORED else n + numbers
            if shares is None:
                _write_loss(total, shift, positives, losses, weights, logs, share, numbers, place, inside)
            else:
                _write_mean_loss(total, shift, score, count, losses, weights, logs, shares, place, inside)
        else:
            tl.store(running + numbers, total, mask=inside)
            tl.store(running + n_cols + numbers, shift, mask=inside)
            if shares is not None:
                tl.store(running + 2 * n_cols + numbers, score, mask=inside)
                tl.store(running + 3 * n_cols + numbers, count, mask=inside)


@triton.jit
def _merged(parts, kind, tiles, size, numbers, total, shift, SOME: tl.constexpr):
    """A sum with what tiles have come to, each with the shift of its logits: some tiles at a time, in their order."""
    inside = (numbers >= 0) & (numbers < size)
    for start in range(0, tiles, SOME):
        tile = start + tl.arange(0, SOME)
        place = parts + tile[:, None] * size + numbers[None, :]
        there = (tile < tiles)[:, None] & inside[None, :]
        own = tl.load(place + kind, mask=there, other=LOWEST)
        new = tl.maximum(shift, tl.max(own, 0))
        found = tl.load(place, mask=there, other=0.0) * exp(own - new[None, :])
        total = total * exp(shift - new) + tl.sum(found, 0)
        shift = new
    return total, shift


@triton.jit
def _summed(parts, tiles, size, numbers, total, SOME: tl.constexpr):
    """A sum with what tiles have come to: some tiles at a time, in their order."""
    inside = (numbers >= 0) & (numbers < size)
    for start in range(0, tiles, SOME):
        tile = start + tl.arange(0, SOME)
        place = parts + tile[:, None] * size + numbers[None, :]
        total += tl.sum(tl.load(place, mask=(tile < tiles)[:, None] & inside[None, :], other=0.0), 0)
    return total


@triton.jit
def _write_mean_loss(total, shift, score, count, losses, weights, logs, shares, place, inside):
    """The loss of several positives, 0 where there is none, its derivatives by `log Z` and minus that by an `S⁺`."""
    is_related = count > 0.0
    weight = tl.where(is_related, 1.0, 0.0)
    share = weight / tl.where(is_related, count, 1.0)
    is_empty = total == 0.0
    log_total = tl.log(tl.where(is_empty, 1.0, total))
    shift = tl.where(is_empty, 0.0, shift)
    # Of a small loss the shift is near the positives, and log Z would have lost digits.
    tl.store(losses + place, tl.where(is_related, log_total + (shift - score * share), 0.0), mask=inside)
    tl.store(weights + place, weight, mask=inside)
    tl.store(logs + place, log_total + shift, mask=inside)
    tl.store(shares + place, share, mask=inside)


@triton.jit
def _write_loss(total, shift, positives, losses, weights, logs, share, numbers, place, inside):
    is_empty = total == 0.0
    log_z = tl.log(tl.where(is_empty, 1.0, total)) + tl.where(is_empty, 0.0, shift)
    ahead = log_z - tl.load(positives + numbers, mask=inside, other=0.0)
    tl.store(losses + place, tl.where(is_empty, 0.0, softplus(ahead)), mask=inside)
    weight = share / (1.0 + exp(tl.minimum(-ahead, 88.0)))
    tl.store(weights + place, tl.where(is_empty, 0.0, weight), mask=inside)
    tl.store(logs + place, log_z, mask=inside)


@triton.jit
def end_kernel(
    sums, part, n_parts, own, others, own_row, own_feature, other_row, other_feature, positive_of,
    own_factor, other_factor, own_scale, own_step, other_scale, other_step, upstream, out, first, height, n_pairs,
    COSINE: tl.constexpr, LENGTH: tl.constexpr, PADDED: tl.constexpr, HEIGHT: tl.constexpr,
):  # fmt: skip
    """The gradient of some vectors from what negatives contribute: the positive's part is added.

    Of a cosine's, what lies along the vector is taken away.

    Sums are of the vectors from the first one on. Factors are of `log Z⁻`: a positive's logit has minus
    those of its query and its key. `None` in their place stands for zeros. All is multiplied by the number at
    `upstream`, if there is one.
    """
    in_band = tl.program_id(0) * HEIGHT + tl.arange(0, HEIGHT)
    numbers = first + in_band
    inside, has_positive = in_band < height, (in_band < height) & (numbers < n_pairs)
    offsets = tl.arange(0, PADDED)
    there = offsets < LENGTH
    feature = offsets.to(tl.int64)
    place = numbers
    if positive_of is not None:
        place = tl.load(positive_of + numbers, mask=has_positive, other=0)
    at_sum = sums + in_band.to(tl.int64)[:, None] * LENGTH + feature[None, :]
    both = inside[:, None] & there[None, :]
    gradient = tl.zeros([HEIGHT, PADDED], tl.float32)
    for _ in range(n_parts):
        gradient += tl.load(at_sum, mask=both, other=0.0)
        at_sum += part
    factor = tl.zeros([HEIGHT], tl.float32)
    if own_factor is not None:
        factor -= tl.load(own_factor + numbers, mask=has_positive, other=0.0)
    if other_factor is not None:
        factor -= tl.load(other_factor + place, mask=has_positive, other=0.0)
    factor *= tl.load(own_scale + numbers * own_step, mask=has_positive, other=0.0)
    if COSINE:
        factor *= tl.load(other_scale + place * other_step, mask=has_positive, other=0.0)
    at_other = others + place.to(tl.int64)[:, None] * other_row + feature[None, :] * other_feature
    theirs = tl.load(at_other, mask=has_positive[:, None] & there[None, :], other=0.0)
    gradient += factor[:, None] * theirs.to(tl.float32)
    if COSINE:
        at_own = own + numbers.to(tl.int64)[:, None] * own_row + feature[None, :] * own_feature
        mine = tl.load(at_own, mask=both, other=0.0).to(tl.float32)
        square = tl.sum(mine * mine, 1)
        along = tl.sum(gradient * mine, 1) / tl.where(square == 0.0, 1.0, square)
        gradient -= along[:, None] * mine
    if upstream is not None:
        gradient *= tl.load(upstream)
    at_out = out + numbers.to(tl.int64)[:, None] * LENGTH + feature[None, :]
    tl.store(at_out, gradient.to(out.dtype.element_ty), mask=both)


@triton.jit
def temperature_kernel(
    moments, n_moments, factors, n_factors, positives, n, temperature, upstream, out, WIDTH: tl.constexpr
):  # fmt: skip
    """`∂L/∂τ = −Σ_ij G_ij S_ij / τ`, over moments and, of positives that are not in them, the factors of `log Z`."""
    total = tl.zeros([WIDTH], tl.float32)
    for start in range(0, n_moments, WIDTH):
        places = start + tl.arange(0, WIDTH)
        total += tl.load(moments + places, mask=places < n_moments, other=0.0)
    if positives is not None:
        for start in range(0, n_factors, WIDTH):
            places = start + tl.arange(0, WIDTH)
            inside = places < n_factors
            factor = tl.load(factors + places, mask=inside, other=0.0)
            total -= factor * tl.load(positives + places % n, mask=inside, other=0.0)
    found = -tl.sum(total, 0) / tl.load(temperature).to(tl.float32)
    if upstream is not None:
        found *= tl.load(upstream)
    tl.store(out, found.to(out.dtype.element_ty))
