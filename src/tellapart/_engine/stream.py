"""`log Z` over streamed tiles of scores, with its exact gradient: the heavy primitive.

    log Z_i = log Σ_j exp S_ij,    S = scale · Q Kᵀ,    p_ij = exp(S_ij − log Z_i)
    ∂log Z_i/∂q_i = scale Σ_j p_ij k_j,    ∂log Z_i/∂scale = q_i·(∂log Z_i/∂q_i) / scale

No n×c matrix exists. Each tile is made once in the forward pass, for rows and columns alike, and once
more in the backward pass unless the memory budget let it stay.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from tellapart._engine import twice
from tellapart._engine.crowd import Crowd, Grid, Tops
from tellapart._engine.walk import LogSum, Shares, Walk
from tellapart.errors import memory_budget

if TYPE_CHECKING:
    from jaxtyping import Float

# A tile of 2¹⁹ scores is 2 MiB in float32: between product, exponential and sums it stays in the second-level
# cache. An accelerator has no such cache and pays for launches, so its tiles are larger.
_AREA = {"cpu": 2**19}
_AREA_ELSEWHERE = 2**22
_HEIGHT = 1024
# Scores of shorter vectors are made again in less time than fresh memory takes to be written.
_LONG = 192
# The scores of one band of rows, kept while its gradient is formed.
_BAND_BYTES = 2**25


def log_partition(
    queries: Float[Tensor, "n e"],
    keys: Float[Tensor, "c e"],
    scale: float | Float[Tensor, ""],
    crowd: Crowd,
    references: list[Float[Tensor, " n"]],
    tops: Tops | None = None,
) -> list[Float[Tensor, " n"]]:
    """`log Σ_j exp(scale q_i·k_j) − reference_i` of each query and, with a second reference, of each key.

    −∞ where the crowd is empty. The references are constants near the result, and spare it rounding. If the
    keys need no gradient and do not ask, the queries' gradient is formed in the same walk.

    >>> references = [torch.zeros(2), torch.zeros(3)]
    >>> rows, cols = log_partition(torch.zeros(2, 1), torch.zeros(3, 1), 1.0, Crowd(2, 3, 3), references)
    >>> rows.exp().round(), cols.exp().round()
    (tensor([3., 3.]), tensor([2., 2., 2.]))
    """
    one_way = len(references) == 1 and not crowd.mirrored
    if one_way and queries.requires_grad and not keys.requires_grad:
        return log_partition_of_a_sum(queries, keys, scale, crowd, references, None, tops)
    return list(_Streamed.apply(queries, keys, scale, crowd, tops, *references))


def log_partition_of_a_sum(
    queries: Float[Tensor, "n e"],
    keys: Float[Tensor, "c e"],
    scale: float | Float[Tensor, ""],
    crowd: Crowd,
    references: list[Float[Tensor, " n"]],
    rest: Float[Tensor, " n"] | None,
    tops: Tops | None = None,
) -> list[Float[Tensor, " n"]]:
    """The rows of `log_partition`, with their gradient formed in the same walk: two products less.

    That of the keys holds only for losses proportional to `Σ_i log(Z_i + exp(rest_i))`, where a row of
    `rest_i = ∞` is not in the sum.

    >>> log_partition_of_a_sum(torch.zeros(2, 1), torch.zeros(3, 1), 1.0, Crowd(2, 3, 3), [torch.zeros(2)], None)
    [tensor([1.0986, 1.0986])]
    """
    wanted = torch.is_grad_enabled() and any(isinstance(x, Tensor) and x.requires_grad for x in (queries, keys, scale))
    if not wanted or not band_height(crowd, queries):
        return list(_Streamed.apply(queries, keys, scale, crowd, tops, *references))
    return [_Eager.apply(queries, keys, scale, references[0], rest, crowd, tops)]


class _Streamed(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        queries: Tensor,
        keys: Tensor,
        scale: float | Tensor,
        crowd: Crowd,
        tops: Tops | None,
        *references: Tensor,
    ) -> tuple[Tensor, ...]:
        walk = _walk(queries, keys, scale, crowd, grid_for(crowd, queries), tops)
        rows = LogSum(crowd.n, queries, walk.bounded)
        cols = LogSum(crowd.m, queries, walk.bounded) if len(references) == 2 and not crowd.mirrored else None
        kept: list[Tensor] = []
        room = room_for_scores(queries) if any(ctx.needs_input_grad) else 0
        for tile in walk.grid.tiles():
            size = tile.shape[0] * tile.shape[1]
            room -= size
            scores = walk.scores(tile, queries.new_empty(size) if room >= 0 else None)
            walk.count(scores, tile, rows, cols)
            if room >= 0:
                kept.append(scores)
        ctx.walked = (walk.grid, walk.bounded, rows, cols)
        _save(ctx, scale, queries, keys, *kept)
        return tuple(sums.log(minus) for sums, minus in zip((rows, cols or rows), references, strict=False))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        scale, queries, keys, *kept = _saved(ctx)
        grid, bounded, rows, cols = ctx.walked
        constants = (None,) * (2 + len(gradients))
        if torch.is_grad_enabled():
            return *twice.gradients(queries, keys, scale, grid.crowd, gradients, twice.logsumexp), *constants
        with torch.autocast(queries.device.type, enabled=False):
            walk = Walk(queries, keys, float(scale), grid, bounded=bounded)
            shares: tuple[Shares, Shares | None]
            if cols is None:
                # A mirrored matrix gives each key what it gives the query of the same number.
                shares = Shares.of(sum(gradients[1:], start=gradients[0]), rows), None
            else:
                shares = Shares.of(gradients[0], rows), Shares.of(gradients[1], cols)
            to = _places(ctx, queries, keys)
            for number, tile in enumerate(grid.tiles()):
                scores = kept[number] if number < len(kept) else walk.scores(tile)
                walk.spread(walk.shares(scores, tile, *shares), tile, to, queries)
            of_scale = _of_scale(queries, to[0], scale) if ctx.needs_input_grad[2] else None
        return *to, of_scale, *constants


class _Eager(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        queries: Tensor,
        keys: Tensor,
        scale: float | Tensor,
        reference: Tensor,
        rest: Tensor | None,
        crowd: Crowd,
        tops: Tops | None,
    ) -> Tensor:
        grid = grid_for(crowd, queries, height=band_height(crowd, queries))
        walk = _walk(queries, keys, scale, crowd, grid, tops)
        to = _places(ctx, queries, keys)
        sums = LogSum(crowd.n, queries, walk.bounded)
        result, expected = torch.empty_like(reference), torch.ones_like(reference)
        weighed = torch.empty_like(queries)
        buffers: list[Tensor] = []
        for band in grid.bands():
            buffers += [torch.empty_like(walk.buffer) for _ in range(len(band) - len(buffers))]
            here = band[0].rows
            scores = [walk.scores(tile, buffer) for tile, buffer in zip(band, buffers, strict=False)]
            for tile, made in zip(band, scores, strict=True):
                walk.count(made, tile, sums, None)
            log_z = result[here] = sums.log(reference)[here]
            # Per unit of ∂L/∂log Z_i the queries' gradient is known now. The keys' adds up over queries, so that
            # it takes what ∂L/∂log Z_i will be, but for a common factor.
            if rest is not None:
                expected[here] = (log_z - torch.logaddexp(log_z, rest[here])).exp_().nan_to_num_(0)
            torch.mul(queries[here], expected[here, None], out=weighed[here])
            shares = Shares.of(torch.ones_like(expected), sums)
            for tile, made in zip(band, scores, strict=True):
                walk.spread(walk.shares(made, tile, shares, None), tile, to, weighed)
        ctx.crowd, ctx.twice, ctx.best = crowd, False, expected.argmax() if to[1] is not None else 0
        _save(ctx, scale, queries, keys, expected, *to)
        return result

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        scale, queries, keys, expected, queries_grad, keys_grad = _saved(ctx)
        constants = (None,) * 4
        # A second derivative comes back here with gradients of any kind: what was promised holds for the first.
        ctx.twice = torch.is_grad_enabled() or ctx.twice
        if ctx.twice:
            return *twice.gradients(queries, keys, scale, ctx.crowd, (gradient,), twice.logsumexp), *constants
        if keys_grad is not None:
            largest = expected[ctx.best]
            keys_grad = keys_grad * torch.where(largest > 0, gradient[ctx.best] / largest, 0)
        queries_grad = None if queries_grad is None else queries_grad * gradient[:, None]
        with torch.autocast(queries.device.type, enabled=False):
            of_scale = _of_scale(queries, queries_grad, scale) if ctx.needs_input_grad[2] else None
        return queries_grad, keys_grad, of_scale, *constants


def _places(ctx: Any, queries: Tensor, keys: Tensor) -> list[Tensor | None]:
    """Where to add up the gradients that are needed; the scale's is made of the queries'."""
    wanted = ctx.needs_input_grad[0] or ctx.needs_input_grad[2], ctx.needs_input_grad[1]
    return [torch.zeros_like(x) if want else None for x, want in zip((queries, keys), wanted, strict=True)]


def _of_scale(queries: Tensor, queries_grad: Tensor | None, scale: float | Tensor) -> Tensor:
    """`scale · ∂L/∂scale = Σ_i q_i·∂L/∂q_i`, for both scale the logits."""
    assert queries_grad is not None
    return torch.dot(queries.flatten(), queries_grad.flatten()) / scale


def _save(ctx: Any, scale: float | Tensor, *tensors: Tensor | None) -> None:
    """Save for backward; a scale that is a number is none of autograd's business."""
    ctx.scale = None if isinstance(scale, Tensor) else scale
    ctx.save_for_backward(scale if isinstance(scale, Tensor) else None, *tensors)


def _saved(ctx: Any) -> Any:
    scale, *tensors = ctx.saved_tensors
    return ctx.scale if scale is None else scale, *tensors


def grid_for(crowd: Crowd, like: Tensor, height: int = 0) -> Grid:
    """The tiles for these sizes and this device; bands of another height if that is given.

    >>> [tile.shape for tile in grid_for(Crowd(2000, 600, 600), torch.empty(0)).tiles()]
    [(1024, 512), (1024, 88), (976, 512), (976, 88)]
    """
    area = _AREA.get(like.device.type, _AREA_ELSEWHERE)
    if crowd.mirrored:
        side = math.isqrt(area)
        return Grid(crowd, side, side)
    height = height or min(_HEIGHT, crowd.n)
    return Grid(crowd, height, max(1, area // height))


def room_for_scores(like: Tensor) -> int:
    """How many scores of vectors like these are kept from the forward for the backward pass, at most.

    >>> room_for_scores(torch.empty(0, 512)), room_for_scores(torch.empty(0, 64))
    (268435456, 0)
    """
    return memory_budget() // like.element_size() if like.shape[1] >= _LONG else 0


def band_height(crowd: Crowd, like: Tensor) -> int:
    """How many rows of scores can be kept while their gradient is formed; 0 if too few to be worth it.

    >>> band_height(Crowd(2000, 600, 600), torch.empty(0)), band_height(Crowd(2000, 10**6, 10**6), torch.empty(0))
    (1024, 0)
    """
    height = min(_HEIGHT, _BAND_BYTES // (like.element_size() * crowd.c))
    return min(height, crowd.n) if 16 * height >= _HEIGHT and not crowd.mirrored else 0


def _walk(queries: Tensor, keys: Tensor, scale: float | Tensor, crowd: Crowd, grid: Grid, tops: Tops | None) -> Walk:
    return Walk(queries, keys, float(scale), grid, bounded=_is_bounded(queries, keys, float(scale), crowd), tops=tops)


def _is_bounded(queries: Tensor, keys: Tensor, scale: float, crowd: Crowd) -> bool:
    """Whether no logit can be so large that exponentials overflow or vanish, in sums and in gradients."""
    if crowd.is_weighed():
        return False
    longest = [float(torch.linalg.vector_norm(x, dim=1).amax()) for x in (queries, keys)]
    # Of the 88 nats that float32 has to either side, 60 are for a sum of exponentials, the rest for upstream gradients.
    sums = scale * longest[0] * longest[1] + math.log(max(crowd.n, crowd.c))
    return sums < 0.68 * math.log(torch.finfo(queries.dtype).max)
