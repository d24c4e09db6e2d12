"""The gradient of a streamed reduction: of the vectors by kernels, block by block, and of what scales the scores."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from tellapart._engine.factors import Factors, Halves
from tellapart._engine.kernels.accumulators import LogitGrad
from tellapart._engine.kernels.choice import kernel_for
from tellapart._engine.kernels.interface import KeptTiles, Moments

if TYPE_CHECKING:
    from jaxtyping import Float

# A gradient that is the expected one up to so many ulps, row by row, is taken for it.
_ULPS = 64


def add_gradients(
    ctx: Any,
    factors: Factors,
    row_grad: LogitGrad,
    along: tuple[Tensor, ...],
    kept: KeptTiles,
    *,
    only_keys: bool = False,
) -> tuple[Tensor | None, Tensor | None, Tensor | None, Tensor | None]:
    """The gradients of the four factors that are needed, over all blocks.

    Args:
        ctx: of the reduction, with its schedule and form.
        factors: what the scores are a product of.
        row_grad: the gradient by the logits, as far as it comes from the queries' sums.
        along: the same from the keys' sums, if these were wanted.
        kept: tiles of scores.
        only_keys: leave out all but the keys' gradient.

    >>> from types import SimpleNamespace
    >>> from tellapart._engine.candidates import Candidates
    >>> from tellapart._engine.schedule import ALONE, Schedule
    >>> of = Schedule(ALONE, [1], [Candidates(1, 1, 1)])
    >>> ctx = SimpleNamespace(schedule=of, form="exp", needs_input_grad=(True, False, False, False))
    >>> factors = Factors(torch.zeros(1, 1), torch.ones(1, 1), 2.0)
    >>> add_gradients(ctx, factors, LogitGrad(torch.ones(1), None), (), {})[0]
    tensor([[2.]])
    """
    schedule, m, needs = ctx.schedule, ctx.schedule.own.m, ctx.needs_input_grad
    of_queries, of_keys = factors.given()
    wanted = not only_keys and (needs[0] or needs[2])
    queries_grad = factors.queries.new_zeros(of_queries.shape) if wanted else None
    keys_grad = factors.keys.new_zeros(of_keys.shape) if needs[1] else None
    travelling, found = keys_grad, list[Moments | None]()
    for visit in schedule.visits(of_keys, *along):
        if not visit.is_empty():
            block = visit.block(of_queries, factors.scale, ctx.form, factors.key_scale)
            col_grad = LogitGrad(visit.along[0], visit.along[1] if len(along) == 2 else None) if along else None
            into = queries_grad, travelling
            found.append(
                kernel_for(block).backward(block, kept, row_grad, col_grad, into, moments=needs[2] or needs[3])
            )
        if travelling is not None:
            # The first block has the negatives that do not travel behind the keys that do.
            travelling = visit.hand_on(travelling[:m] if travelling is keys_grad else travelling)
    if keys_grad is not None and travelling is not None and not schedule.is_one_block:
        keys_grad[:m] = travelling
    by_scale = _of_scale(factors, queries_grad, found) if needs[2] and not only_keys else None
    by_key_scale = _of_key_scale(factors, found) if needs[3] and not only_keys else None
    return queries_grad, keys_grad, by_scale, by_key_scale


def _of_scale(factors: Factors, queries_grad: Tensor | None, found: list[Moments | None]) -> Tensor:
    """`scale · ∂L/∂scale = Σ_j G_ij S_ij`, of all queries together or of each."""
    scale, moments = factors.scale, [None if each is None else each[0] for each in found]
    if not found or any(each is None for each in moments):
        return of_scale(factors.queries, queries_grad, scale)
    rows = sum(each for each in moments if each is not None)
    assert isinstance(rows, Tensor)
    assert isinstance(scale, Tensor)
    return (rows if scale.ndim else rows.sum()) / scale


def _of_key_scale(factors: Factors, found: list[Moments | None]) -> Tensor:
    """The same of each key. Vectors with such scales are in one block."""
    (moments,) = found
    assert moments is not None
    assert moments[1] is not None
    assert factors.key_scale is not None
    return moments[1] / factors.key_scale


def of_scale(queries: Float[Tensor, "n e"], queries_grad: Tensor | None, scale: float | Tensor) -> Float[Tensor, ""]:
    """`scale · ∂L/∂scale = Σ_i q_i·∂L/∂q_i`, for both scale the logits.

    >>> of_scale(torch.ones(1, 2), torch.ones(1, 2), 4.0)
    tensor(0.5000)
    """
    assert queries_grad is not None
    return torch.dot(queries.flatten(), queries_grad.flatten()) / scale


def common_factor(gradient: Float[Tensor, " n"], expected: Float[Tensor, " n"]) -> Float[Tensor, ""] | None:
    """The factor by which a gradient is the expected one, up to rounding; `None` if there is no such factor.

    >>> common_factor(torch.tensor([2.0, 4.0]), torch.tensor([1.0, 2.0]))
    tensor(2.)
    """
    largest, best = expected.max(0)
    factor = torch.where(largest > 0, gradient[best] / largest, 0)
    limits = torch.finfo(gradient.dtype)
    # Row by row: the keys of a query with a small share of the loss can have none of the others' gradient.
    tolerance = factor.abs() * (_ULPS * limits.eps * expected + limits.tiny)
    fits = ((gradient - factor * expected).abs() <= tolerance).all() & (largest > 0)
    return factor if bool(fits) else None


def save(ctx: Any, factors: Factors, *tensors: Tensor | None) -> None:
    """Save for backward; autograd takes no scale that is a number.

    >>> from types import SimpleNamespace
    >>> ctx = SimpleNamespace(save_for_backward=lambda *tensors: print(len(tensors)))
    >>> save(ctx, Factors(torch.zeros(1, 1), torch.ones(1, 1), 2.0))
    6
    """
    queries, keys, scale, key_scale, halves, _ = factors
    ctx.scale = None if isinstance(scale, Tensor) else scale
    scales = scale if isinstance(scale, Tensor) else None, key_scale
    ctx.save_for_backward(queries, keys, *scales, *(halves or (None, None)), *tensors)


def saved(ctx: Any) -> Any:
    """The factors and tensors that were saved.

    >>> from types import SimpleNamespace
    >>> x = torch.ones(1, 1)
    >>> saved(SimpleNamespace(saved_tensors=(x, x, None, None, None, None, x), scale=2.0))[0].scale
    2.0
    """
    queries, keys, scale, key_scale, half_queries, half_keys, *tensors = ctx.saved_tensors
    halves = None if half_queries is None else Halves(half_queries, half_keys)
    return Factors(queries, keys, ctx.scale if scale is None else scale, key_scale, halves), *tensors
