"""`log Z` as a streamed reduction over blocks of scores, with its exact gradient.

    log Z_i = log Σ_j exp S_ij,    S = scale · Q Kᵀ,    p_ij = exp(S_ij − log Z_i)
    ∂log Z_i/∂q_i = scale Σ_j p_ij k_j,    ∂log Z_i/∂scale = Σ_j p_ij S_ij / scale

No n×c matrix exists. A schedule brings the blocks, a kernel computes each: once in the forward pass, for rows and
columns alike, and once more in the backward pass unless the memory budget let the scores stay.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from tellapart._engine import double_backward
from tellapart._engine.candidates import Candidates
from tellapart._engine.factors import Factors, Halves
from tellapart._engine.gradients import add_gradients, common_factor, of_scale, save, saved
from tellapart._engine.kernels.accumulators import OnlineSum
from tellapart._engine.kernels.choice import kernel_for, takes_halves
from tellapart._engine.kernels.grid import tiling
from tellapart._engine.kernels.interface import Block, FusedRequest, Sums
from tellapart._engine.kernels.masks import MASKED
from tellapart._engine.schedule import ALONE, Schedule
from tellapart.errors import memory_budget

if TYPE_CHECKING:
    from jaxtyping import Float

    from tellapart._engine.kernels.accumulators import Form


class Partition(NamedTuple):
    """What a reduction over blocks found."""

    logs: list[Float[Tensor, " n"]]
    """`log Z − reference` of the queries and, where a second reference was given, of the keys."""
    maxima: list[Float[Tensor, "n 2"] | None]
    """The largest logits of positives and negatives, of the same."""


def log_partition(
    factors: Factors,
    schedule: Schedule,
    references: list[Float[Tensor, " n"]],
    *,
    fuse: bool = False,
    rest: Float[Tensor, " n"] | None = None,
) -> Partition:
    """`log Σ_j exp S_ij − reference_i` of each query and, with a second reference, of each key.

    −∞ where no candidate is. The references are constants near the result, and spare it rounding.

    Args:
        factors: what S is a product of.
        schedule: the blocks, and what counts of them.
        references: one of the queries, and perhaps one of the keys.
        fuse: form the gradient in the forward pass where that saves work. It is the gradient of
            `Σ_i log(Z_i + exp(rest_i))`; if backward finds that another one is wanted, it computes that.
        rest: as above; ∞ for a row that is not in the sum, and `None` for −∞ everywhere.

    >>> schedule = Schedule(ALONE, [3], [Candidates(2, 3, 3)])
    >>> factors = Factors(torch.zeros(2, 1), torch.zeros(3, 1), 1.0)
    >>> found = log_partition(factors, schedule, [torch.zeros(2), torch.zeros(3)])
    >>> found.logs[0].exp().round(), found.logs[1].exp().round()
    (tensor([3., 3.]), tensor([2., 2., 2.]))
    """
    with torch.no_grad():
        form = schedule.form(factors)
        fits = factors.halves is None or takes_halves(_own_block(factors, schedule, form))
    if not fits:
        factors = factors.wide()
    queries, keys, scale, key_scale, halves, _ = factors
    differentiated = [isinstance(x, Tensor) and x.requires_grad for x in (queries, keys, scale)]
    # Without a gradient of the keys nothing depends on the expectation.
    is_wanted = torch.is_grad_enabled() and any(differentiated) and (fuse or not differentiated[1])
    if is_wanted and schedule.is_one_block and len(references) == 1:
        block = _own_block(factors, schedule, form)
        if kernel_for(block).fuses(block):
            log_z, maxima = _Fused.apply(queries, keys, scale, schedule, form, references[0], rest)
            return Partition([log_z], [maxima])
    n_references = len(references)
    function = _Streamed if schedule.is_one_block else _StreamedAcrossRanks
    found = function.apply(queries, keys, scale, key_scale, *(halves or (None, None)), schedule, form, *references)
    return Partition(list(found[:n_references]), list(found[n_references:]))


def softplus_sum(
    queries: Float[Tensor, "n e"], keys: Float[Tensor, "c e"], candidates: Candidates
) -> Float[Tensor, " n"]:
    """`Σ_j log(1 + exp(q_i·k_j))` of each query over its candidates; no n×c matrix exists.

    >>> softplus_sum(torch.zeros(2, 1), torch.zeros(3, 1), Candidates(2, 3, 3))  # 3 log 2
    tensor([2.0794, 2.0794])
    """
    schedule = Schedule(ALONE, [candidates.m], [candidates])
    given = (queries, keys, 1.0, None, None, None, schedule, "softplus", queries.new_zeros(0))
    total: Tensor = _Streamed.apply(*given)[0]
    return total


def _own_block(factors: Factors, schedule: Schedule, form: Form) -> Block:
    """The block of this rank's keys."""
    queries, keys = factors.given()
    return next(schedule.visits(keys)).block(queries, factors.scale, form, factors.key_scale)


def _forward(
    ctx: Any,
    queries: Tensor,
    keys: Tensor,
    scale: float | Tensor,
    key_scale: Tensor | None,
    half_queries: Tensor | None,
    half_keys: Tensor | None,
    schedule: Schedule,
    form: Form,
    *references: Tensor,
) -> tuple[Tensor | None, ...]:
    halves = None if half_queries is None or half_keys is None else Halves(half_queries, half_keys)
    factors = Factors(queries, keys, scale, key_scale, halves)
    own, given = schedule.own, factors.given()
    columns = len(references) == 2 and not own.mirrored
    is_kept = any(ctx.needs_input_grad) and schedule.is_one_block and form != "softplus"
    keep = room_for_scores(queries) if is_kept else 0
    found = None if schedule.is_one_block else _nothing(schedule, queries, form, columns)
    for visit in schedule.visits(given.keys):
        if not visit.is_empty():
            block = visit.block(given.queries, scale, form, key_scale)
            sums = kernel_for(block).forward(block, columns=columns, keep=keep)
            found = sums if found is None else found.merged(sums)
        if found is not None and found.cols is not None and not schedule.is_one_block:
            found.cols.hand_on(visit.hand_on)
            found.col_maxima = None if found.col_maxima is None else visit.hand_on(found.col_maxima)
    found = _nothing(schedule, queries, form, columns) if found is None else found
    ctx.schedule, ctx.form, ctx.sums = schedule, form, (found.rows, found.cols)
    ctx.places, ctx.n_references = tuple(found.kept), len(references)
    save(ctx, factors, *found.kept.values())
    maxima = [found.row_maxima, found.row_maxima if own.mirrored else found.col_maxima][: len(references)]
    ctx.mark_non_differentiable(*(x for x in maxima if x is not None))
    sides = found.rows, found.cols or found.rows
    return *(side.value(minus) for side, minus in zip(sides, references, strict=False)), *maxima


def _backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
    factors, *tiles = saved(ctx)
    rows, cols = ctx.sums
    n_references = ctx.n_references
    along: tuple[Tensor, ...] = ()
    if cols is None:
        # A symmetric matrix gives each key what it gives the query of the same number.
        row_grad = rows.logit_grad(sum(gradients[1:n_references], start=gradients[0]))
    else:
        row_grad = rows.logit_grad(gradients[0])
        along = tuple(x for x in cols.logit_grad(gradients[1]) if x is not None)
    with torch.autocast(factors.queries.device.type, enabled=False):
        found = add_gradients(ctx, factors, row_grad, along, dict(zip(ctx.places, tiles, strict=True)))
    return *found, *(None,) * (4 + n_references)


class _Streamed(torch.autograd.Function):
    forward = staticmethod(_forward)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        if not torch.is_grad_enabled():
            return _backward(ctx, *gradients)
        n_references = ctx.n_references
        upstream = gradients[:n_references]
        found = double_backward.gradients(saved(ctx)[0], ctx.schedule.own, upstream, ctx.form)
        return *found, *(None,) * (4 + n_references)


class _StreamedAcrossRanks(torch.autograd.Function):
    """The same over a ring of processes, through which there is no second derivative."""

    forward = staticmethod(_forward)
    backward: Any = staticmethod(once_differentiable(_backward))


class _Fused(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        queries: Tensor,
        keys: Tensor,
        scale: float | Tensor,
        schedule: Schedule,
        form: Form,
        reference: Tensor,
        rest: Tensor | None,
    ) -> tuple[Tensor, Tensor | None]:
        factors = Factors(queries, keys, scale)
        block = _own_block(factors, schedule, form)
        needs = ctx.needs_input_grad[0] or ctx.needs_input_grad[2], ctx.needs_input_grad[1]
        found = kernel_for(block).fused(block, FusedRequest(reference, rest, *needs))
        ctx.schedule, ctx.form, ctx.rows = schedule, form, found.rows
        save(ctx, factors, found.expected, found.queries_grad, found.keys_grad)
        if found.row_maxima is not None:
            ctx.mark_non_differentiable(found.row_maxima)
        return found.log_z, found.row_maxima

    @staticmethod
    def backward(ctx: Any, gradient: Tensor, _: Tensor | None) -> tuple[Tensor | None, ...]:
        factors, expected, queries_grad, keys_grad = saved(ctx)
        constants = (None,) * 4
        if torch.is_grad_enabled():
            found = double_backward.gradients(factors, ctx.schedule.own, (gradient,), ctx.form)
            return *found[:3], *constants
        queries, _, scale, *_ = factors
        queries_grad = None if queries_grad is None else queries_grad * gradient[:, None]
        with torch.autocast(queries.device.type, enabled=False):
            if keys_grad is not None:
                factor = common_factor(gradient, expected)
                if factor is not None:
                    keys_grad = keys_grad * factor
                else:
                    rows = ctx.rows.logit_grad(gradient)
                    keys_grad = add_gradients(ctx, factors, rows, (), {}, only_keys=True)[1]
            by_scale = of_scale(queries, queries_grad, scale) if ctx.needs_input_grad[2] else None
        return queries_grad, keys_grad, by_scale, *constants


def _nothing(schedule: Schedule, like: Tensor, form: Form, columns: bool) -> Sums:
    """What no block adds up to."""
    n, m = schedule.own.n, schedule.own.m
    sums = Sums(OnlineSum(n, like, form), OnlineSum(m, like, form) if columns else None)
    if schedule.positives is not None:
        sums.row_maxima, sums.col_maxima = (like.new_full((size, 2), MASKED) for size in (n, m))
    return sums


def room_for_scores(like: Tensor) -> int:
    """How many scores of vectors like these are kept from the forward for the backward pass, at most.

    >>> room_for_scores(torch.empty(0, 512)), room_for_scores(torch.empty(0, 64))
    (268435456, 0)
    """
    return memory_budget() // like.element_size() if like.shape[1] >= tiling().keep_from else 0
