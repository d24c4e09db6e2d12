"""Whole matrices with the loss of a plain softmax cross-entropy: the fastest way when small.

One positive each, `L_i = CE(S_i, its place)`, or several that share the target,
`L_i = −Σ_j (w_ij / Σ_k w_ik) log p_ij`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, pad

from tellapart._engine.dense import WholeFacts, n_candidates
from tellapart._engine.double_backward import of_loss
from tellapart._engine.kernels.masks import MASKED
from tellapart._engine.precision import full_precision
from tellapart._engine.problem import LineUp
from tellapart._engine.terms import Details, Terms, lazy

if TYPE_CHECKING:
    from jaxtyping import Float, Int, Shaped

    from tellapart.relations import Pairs, Relation


def one_positive_each(line_up: LineUp, symmetric: bool) -> Pairs | None:
    """The pairs of positives if each query has exactly one, and each key too if the loss is symmetric.

    `None` if it is another, or if it would take time to tell.

    >>> one_positive_each(LineUp.build(torch.eye(2), torch.eye(2)), symmetric=True).cols.tolist()
    [0, 1]
    """
    positives, exclude = line_up.positives, line_up.exclude
    if not positives.listed or line_up.penalty is not None or line_up.mined is not None:
        return None
    n, m = line_up.queries.shape[0], line_up.n_keys
    if symmetric and not (positives.diagonal and n == m):
        return None
    pairs = positives.pairs(n, m, line_up.queries.device)
    if pairs is None or not pairs.one_each:
        return None
    if exclude is None or never_meet(positives, exclude):
        return pairs
    # To find out that no positive is excluded takes a look at values.
    return None if line_up.is_traced or bool(exclude.at(pairs.rows, pairs.cols).any()) else pairs


def never_meet(positives: Relation, exclude: Relation) -> bool:
    """Whether it is certain, without a look at the pairs, that no positive is excluded.

    >>> from tellapart.relations import paired, same
    >>> never_meet(paired(), same([1, 1]) & ~paired())
    True
    """
    return positives.avoids(exclude) or exclude.avoids(positives)


def of_one_positive(line_up: LineUp, pairs: Pairs, symmetric: bool) -> Terms:
    """The terms of one positive each.

    >>> from tellapart.relations import paired
    >>> line_up = LineUp.build(torch.eye(2), torch.eye(2), temperature=1.0)
    >>> of_one_positive(line_up, paired().pairs(2, 2), symmetric=False).cross_entropy
    tensor([0.3133, 0.3133])
    """
    logits = line_up.logits()
    if line_up.exclude is not None:
        logits = masked(logits, line_up.exclude, line_up.n_keys, MASKED, line_up.is_traced)
    n, m = logits.shape[0], line_up.n_keys
    facts = _OnePositive(line_up, 0, logits, pairs)
    if not symmetric:
        return Terms(facts, n)
    of_both = None if line_up.is_traced else partial(_of_both, logits, m, torch.is_grad_enabled())
    return Terms(facts, n, Terms(_OnePositive(line_up, 1, logits[:, :m].T, pairs), n), of_both=of_both)


@full_precision
def _of_both(logits: Float[Tensor, "n c"], m: int, with_grad: bool, reduction: str) -> Float[Tensor, ""]:
    with torch.set_grad_enabled(with_grad):
        loss: Tensor = _BothWays.apply(logits, m, 0.5 if reduction == "sum" else 0.5 / m)
    return loss


def both_ways(
    logits: Float[Tensor, "n c"], m: int, *, with_gradient: bool
) -> tuple[Float[Tensor, ""], Float[Tensor, "n c"] | None]:
    """The sum of `log p_ii` along rows and, of the first m, along columns; and minus its gradient.

    Two softmaxes by themselves would each write a gradient, and their sum would be a third.

    >>> both_ways(torch.eye(2), 2, with_gradient=False)
    (tensor(-1.2530), None)
    """
    by_row = logits.log_softmax(dim=1)
    by_col = logits[:, :m].log_softmax(dim=0) if m < logits.shape[1] else logits.log_softmax(dim=0)
    total = torch.add(by_row.diagonal(), by_col.diagonal()).sum()
    if not with_gradient:
        return total, None
    # On a CPU the softmax anew takes less time than the exponential of what is at hand.
    gradient = torch.softmax(logits, dim=1, out=by_row)
    (gradient if m == logits.shape[1] else gradient[:, :m]).add_(by_col.exp_())
    gradient.diagonal().sub_(2)
    return total, gradient


class _BothWays(torch.autograd.Function):
    """The symmetric loss of query i with key i; its gradient is formed with it."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, m: int, share: float) -> Tensor:
        total, gradient = both_ways(logits, m, with_gradient=ctx.needs_input_grad[0])
        ctx.save_for_backward(logits, gradient)
        ctx.m, ctx.share = m, share
        return torch.rsub(total, 0.0, alpha=share)  # 0 − 0 is 0, and 0 · −1 would be −0

    @staticmethod
    @full_precision
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, None, None]:
        logits, gradient = ctx.saved_tensors
        if torch.is_grad_enabled():
            found = of_loss(partial(_again, ctx.m, ctx.share), [logits], [True], upstream)
            return found[0], None, None
        return gradient * (upstream * ctx.share), None, None


def _again(m: int, share: float, logits: Tensor) -> Tensor:
    """The same loss by autograd."""
    places = torch.arange(m, device=logits.device)
    losses = [cross_entropy(x, places, reduction="sum") for x in (logits, logits[:, :m].T)]
    return (losses[0] + losses[1]) * share


def share_the_target(line_up: LineUp, multi_positive: str) -> bool:
    """Whether the loss is a cross-entropy against shares, and no positive is excluded for certain.

    >>> share_the_target(LineUp.build(torch.eye(2), torch.eye(2)), "out")
    True
    """
    if multi_positive != "out" or line_up.penalty is not None or line_up.mined is not None:
        return False
    return line_up.exclude is None or line_up.positives.avoids(line_up.exclude)


def of_shared_target(line_up: LineUp, symmetric: bool) -> Terms:
    """The terms of shared targets; the loss of a query without a positive is 0.

    >>> from tellapart.relations import everyone
    >>> line_up = LineUp.build(torch.eye(2), torch.eye(2), temperature=1.0, positives=everyone())
    >>> of_shared_target(line_up, symmetric=False).loss()
    tensor(0.8133)
    """
    logits, m = line_up.logits(), line_up.n_keys
    weights = line_up.positives.tile(slice(0, len(logits)), slice(0, m), logits.device)
    if line_up.exclude is not None:
        # Not −∞, for its product with a share of 0 has to be 0.
        logits = masked(logits, line_up.exclude, m, torch.finfo(logits.dtype).min / 2, line_up.is_traced)
    reverse = _of_one_direction(line_up, 1, logits[:, :m].T, weights.T) if symmetric else None
    return _of_one_direction(line_up, 0, logits, weights, reverse)


def _of_one_direction(
    line_up: LineUp, direction: int, logits: Tensor, weights: Tensor, reverse: Terms | None = None
) -> Terms:
    facts = _SharedTarget(line_up, direction, logits, weights)
    return Terms(facts, facts.n_with_positive, reverse)


class _SharedTarget(WholeFacts):
    """The terms of one direction, with several positives that share the target."""

    def __init__(
        self, line_up: LineUp, direction: int, logits: Float[Tensor, "n c"], weights: Shaped[Tensor, "n m"]
    ) -> None:
        super().__init__(line_up, direction, logits, weights, "out")
        shares, self.n_with_positive = _negative_shares(weights, logits)
        self.parts = shares * logits.log_softmax(dim=1)  # negative shares: one operation less with a gradient

    @lazy
    def cross_entropy(self) -> Float[Tensor, " n"]:
        return self.parts.sum(dim=1)

    def reduced(self, reduction: str) -> Tensor | None:
        total = self.parts.sum()
        return total / self.n_with_positive if reduction == "mean" else total


def _negative_shares(
    weights: Shaped[Tensor, "n m"], logits: Float[Tensor, "n c"]
) -> tuple[Float[Tensor, "n c"], Int[Tensor, ""]]:
    """Minus the shares that each row's weights have of their sum, and the number of rows that have a weight."""
    weights = weights.to(torch.promote_types(weights.dtype, logits.dtype))
    total = weights.sum(dim=1, keepdim=True)
    n_with_positive = torch.count_nonzero(total)
    shares = weights.div(total.clamp(min=torch.finfo(total.dtype).tiny).neg()).to(logits.dtype)
    more = logits.shape[1] - shares.shape[1]
    return pad(shares, (0, more)) if more else shares, n_with_positive


def masked(
    logits: Float[Tensor, "n c"], exclude: Relation, m: int, value: float, traced: bool = False
) -> Float[Tensor, "n c"]:
    """The same logits with `value` where they are excluded, written in place and unknown to autograd.

    A softmax that has 0 there has no gradient there, whatever the logit's history. What is traced is not written to.

    >>> from tellapart.relations import paired
    >>> masked(torch.ones(2, 2), paired(), 2, -9.0)
    tensor([[-9.,  1.],
            [ 1., -9.]])
    """
    if traced:
        tile = exclude.tile(slice(0, logits.shape[0]), slice(0, m), logits.device) > 0
        return logits.masked_fill(pad(tile, (0, logits.shape[1] - m)), value)
    keys = logits.detach()
    keys = keys if m == keys.shape[1] else keys[:, :m]
    if exclude.diagonal:
        keys.fill_diagonal_(value)
    else:
        keys.masked_fill_(exclude.tile(slice(0, keys.shape[0]), slice(0, m), keys.device) > 0, value)
    return logits


@dataclass(eq=False)
class _OnePositive:
    """The terms of one direction, with one positive each."""

    line_up: LineUp
    direction: int
    logits: Float[Tensor, "n c"]
    pairs: Pairs
    with_grad: bool = field(default_factory=torch.is_grad_enabled)

    @lazy
    def cross_entropy(self) -> Float[Tensor, " n"]:
        return cross_entropy(self.logits, self.pairs.cols, reduction="none")

    def reduced(self, reduction: str) -> Float[Tensor, ""]:
        return cross_entropy(self.logits, self.pairs.cols, reduction=reduction)

    @lazy
    def positive(self) -> Float[Tensor, " n"]:
        return self.logits[self.pairs.rows, self.pairs.cols]

    @lazy
    def log_partition(self) -> Float[Tensor, " n"]:
        return self.positive + self.cross_entropy

    @lazy
    def n_candidates(self) -> Int[Tensor, " n"]:
        return n_candidates(self.line_up, self.direction)

    @lazy
    def n_positives(self) -> Int[Tensor, " n"]:
        return torch.ones_like(self.pairs.rows)

    @lazy
    def details(self) -> Details:
        logits = self.logits.detach()
        negatives = logits.index_put((self.pairs.rows, self.pairs.cols), logits.new_tensor(MASKED))
        return Details(self.n_positives, self.positive.detach(), negatives.amax(dim=1), negatives.logsumexp(dim=1))
