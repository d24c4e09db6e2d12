"""The node of autograd behind `one_node`: the loss by Triton's kernels, and its gradients."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from tellapart._engine import dispatch
from tellapart._engine.double_backward import cut, of_loss
from tellapart._engine.kernels.triton_launch import precision_of
from tellapart._engine.kernels.triton_loss import Given, Kept, Problem
from tellapart._engine.kernels.triton_loss_gradient import Gradients, Wanted
from tellapart._engine.precision import full_precision
from tellapart._engine.problem import LineUp
from tellapart._engine.terms import no_positive_anywhere
from tellapart.errors import values_are_checked

if TYPE_CHECKING:
    from jaxtyping import Float


class Prepared(NamedTuple):
    """What the node takes."""

    queries: Float[Tensor, "n d"]
    keys: Float[Tensor, "m d"] | None
    """`None` of a mirrored problem, where they are the queries."""
    further: Float[Tensor, "k d"] | None
    """Candidates behind the keys."""
    learned: Float[Tensor, ""] | None
    tau: float | None
    """The temperature, if it is not learned."""
    problem: Problem
    related: dict[str, Any]
    """Positives, what is excluded, and the score."""

    def line_up(self, engine: str) -> LineUp:
        """The problem as other ways state it."""
        temperature = self.tau if self.learned is None else self.learned
        given = {**self.related, "negatives": self.further, "temperature": temperature, "engine": engine}
        return LineUp.build(self.queries, self.queries if self.keys is None else self.keys, **given)

    def loss(self, reduction: str) -> Float[Tensor, "..."]:
        """The loss."""
        value: Tensor = self._apply(reduction)
        return value

    def passed(self) -> Pass:
        """All losses, and what else was found of them; of a problem that asks for largest logits."""
        return Pass(*self._apply("none"))

    def _apply(self, reduction: str) -> Any:
        *tensors, tau, problem, related = self
        return _OneNode.apply(*tensors, tau, problem, reduction, related)


class Pass(NamedTuple):
    """What one pass over the scores finds, of the queries and, of a symmetric loss, of the keys behind them."""

    each: Float[Tensor, " losses"]
    """The losses. All else is without a gradient."""
    tops: Float[Tensor, "2 losses"]
    """The largest logits of positives, and of negatives."""
    logs: Float[Tensor, " losses"]
    """`log Z⁻`; of several positives `log Z`."""
    shares: Float[Tensor, " n"] | None
    """Of several positives 1 over their number, and 0 where there is none."""


class _OneNode(torch.autograd.Function):
    """The loss; if largest logits are wanted, the fields of `Pass`."""

    @staticmethod
    def forward(
        ctx: Any,
        queries: Tensor,
        keys: Tensor | None,
        further: Tensor | None,
        learned: Tensor | None,
        tau: float | None,
        problem: Problem,
        reduction: str,
        related: dict[str, Any],
    ) -> Any:
        own = queries if keys is None else keys
        candidates = own if further is None else torch.cat([own, further])
        n_losses = len(queries) + (len(own) if problem.symmetric else 0)
        share = {"mean": 1 / n_losses, "sum": 0.5 if problem.symmetric else 1.0, "none": 1.0}[reduction]
        temperature = tau if learned is None else learned
        assert temperature is not None
        given, precision = Given(queries, candidates, temperature), precision_of(queries.dtype)
        each, kept, tops = problem.losses(given, share, precision)
        ctx.tau, ctx.problem, ctx.reduction, ctx.related = tau, problem, reduction, related
        ctx.precision, needs = precision, ctx.needs_input_grad
        ctx.n_own, ctx.is_one = len(own), keys is None
        n_related = None if problem.several is None else _n_related(kept, reduction)
        alone = keys if needs[1] else None, further if needs[2] else None  # see `double_backward.cut`
        ctx.save_for_backward(queries, *alone, learned, None if candidates is queries else candidates, n_related, *kept)
        if tops is not None:
            kept_too = [x for x in (tops, kept.logs, kept.shares) if x is not None]
            ctx.mark_non_differentiable(*kept_too)
            ctx.set_materialize_grads(False)
            return each, tops, kept.logs, kept.shares
        if reduction == "none":
            return each
        if n_related is not None:
            return each.sum() / n_related
        return each.mean() if reduction == "mean" else each.sum() * share

    @staticmethod
    @full_precision
    def backward(ctx: Any, gradient: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:
        queries, keys, further, learned, candidates, n_related, *kept = ctx.saved_tensors
        if torch.is_grad_enabled():
            inputs = queries, *cut(candidates, ctx.n_own, keys, further, is_one=ctx.is_one), learned
            return *of_loss(partial(_again, ctx), inputs, ctx.needs_input_grad[:4], gradient), *_CONSTANTS
        if n_related is not None:
            gradient = gradient / n_related
        needs, m = ctx.needs_input_grad, ctx.problem.m
        n_keys = m if needs[1] else 0
        if needs[2]:
            n_keys = m + len(further)
        temperature: float | Tensor = ctx.tau if learned is None else learned
        given = Given(queries, queries if candidates is None else candidates, temperature)
        wanted = Wanted(needs[0], n_keys, needs[3])
        found = Gradients(ctx.problem, given, Kept(*kept), gradient, wanted, ctx.precision)
        of_queries, of_keys, of_temperature = found.formed()
        of_further = of_keys[m:] if of_keys is not None and needs[2] else None
        of_own = None
        if of_keys is not None and needs[1]:
            of_own = of_keys if n_keys == m else of_keys[:m]
        return of_queries, of_own, of_further, of_temperature, *_CONSTANTS


_CONSTANTS = (None,) * 4


def _n_related(kept: Kept, reduction: str) -> Tensor | None:
    """How many queries have a positive, if the mean is over them.

    Raises:
        ValueError: none has, where that can be known.
    """
    if reduction != "mean" and not values_are_checked(kept.weights):
        return None
    found = kept.weights.sum()
    if values_are_checked(found) and not found.item():
        raise no_positive_anywhere("query", "key")
    return found if reduction == "mean" else None


def _again(
    ctx: Any, queries: Tensor, keys: Tensor | None, further: Tensor | None, learned: Tensor | None
) -> Float[Tensor, "..."]:
    """The same loss by autograd, of the whole matrix, as second derivatives always are."""
    line_up = Prepared(queries, keys, further, learned, ctx.tau, ctx.problem, ctx.related).line_up("dense")
    return dispatch.evaluate(line_up, symmetric=ctx.problem.symmetric, engine="dense").loss(ctx.reduction)
