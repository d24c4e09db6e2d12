"""The binary relatives of `log Z`: sums of `softplus` over everyone in the line-up, streamed.

F_i = Σ_j log(1 + exp S_ij),    ∂F_i/∂S_ij = σ(S_ij)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn.functional import softplus

from tellapart._engine import twice
from tellapart._engine.crowd import Crowd
from tellapart._engine.line_up import LineUp
from tellapart._engine.precision import full_precision
from tellapart._engine.products import pair_products
from tellapart._engine.segments import segment_sum
from tellapart._engine.stream import grid_for
from tellapart._engine.walk import Walk

if TYPE_CHECKING:
    from jaxtyping import Float


@full_precision
def evaluate_binary(line_up: LineUp, *, only_negatives: bool = False) -> Float[Tensor, " n"]:
    """`Σ_{j positive} softplus(−S_ij) + Σ_{j other candidate} softplus(S_ij)` of each query, in nats.

    With `only_negatives` the other candidates are the further negatives alone, and no query's other keys.

    >>> from tellapart._engine.line_up import state
    >>> evaluate_binary(state(torch.eye(2), torch.eye(2), temperature=1.0))  # log(1 + 1/e) + log 2
    tensor([1.0064, 1.0064])
    """
    queries, keys, relation = line_up.scaled_queries(), line_up.keys, line_up.positives
    n, m, c = len(queries), line_up.n_keys, len(keys)
    pairs = relation.pairs(n, m, queries.device)
    excluded = None if line_up.exclude is None else line_up.exclude.pairs(n, m, queries.device)
    if pairs is not None:
        values, queries, keys = pair_products(queries, keys, pairs)
        total = segment_sum(_softplus(-values), pairs.rows, n)
    else:
        total = softplus_sum(-queries, keys[:m], Crowd(n, m, m, among=~~relation))
    if only_negatives:
        if c > m:
            total = total + softplus_sum(queries, keys[m:], Crowd(n, c - m, c - m))
    else:
        left_out = tuple(x for x in (pairs, excluded) if x is not None)
        among = None if pairs is not None else ~relation
        if line_up.exclude is not None and excluded is None:
            among = ~line_up.exclude if among is None else among & ~line_up.exclude
        total = total + softplus_sum(queries, keys, Crowd(n, m, c, left_out, among))
    return total if line_up.mined is None else total + _softplus(line_up.mined).sum(1)


def softplus_sum(queries: Float[Tensor, "n e"], keys: Float[Tensor, "c e"], crowd: Crowd) -> Float[Tensor, " n"]:
    """`Σ_j log(1 + exp(q_i·k_j))` of each query over its crowd; no n×c matrix exists.

    >>> softplus_sum(torch.zeros(2, 1), torch.zeros(3, 1), Crowd(2, 3, 3))  # 3 log 2
    tensor([2.0794, 2.0794])
    """
    result: Tensor = _SoftplusSum.apply(queries, keys, crowd)
    return result


class _SoftplusSum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, queries: Tensor, keys: Tensor, crowd: Crowd) -> Tensor:
        walk = Walk(queries, keys, 1.0, grid_for(crowd, queries))
        total = queries.new_zeros(crowd.n)
        for tile in walk.grid.tiles():
            total[tile.rows] += _softplus(walk.scores(tile)).sum(1)
        ctx.grid = walk.grid
        ctx.save_for_backward(queries, keys)
        return total

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        queries, keys = ctx.saved_tensors
        if torch.is_grad_enabled():
            return *twice.gradients(queries, keys, 1.0, ctx.grid.crowd, (gradient,), _summed)[:2], None
        to = [
            torch.zeros_like(x) if needed else None
            for x, needed in zip((queries, keys), ctx.needs_input_grad[:2], strict=True)
        ]
        with torch.autocast(queries.device.type, enabled=False):
            walk = Walk(queries, keys, 1.0, ctx.grid)
            for tile in ctx.grid.tiles():
                shares = walk.scores(tile).sigmoid_().mul_(gradient[tile.rows, None])
                walk.spread(shares, tile, to, queries)
        return to[0], to[1], None


def _summed(logits: Tensor, dim: int) -> Tensor:
    return _softplus(logits).sum(dim)


def _softplus(values: Tensor) -> Tensor:
    # The default threshold, beyond which softplus(x) = x, is too low for float64.
    return softplus(values, threshold=40.0)
