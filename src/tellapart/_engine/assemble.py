"""The terms of the loss from the positives and the streamed `log Z` of all other candidates."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn.functional import softplus

from tellapart._engine import positives
from tellapart._engine.kernels.accumulators import SOFTPLUS_THRESHOLD
from tellapart._engine.pairs import log_add, pair_products
from tellapart._engine.positives import Positives
from tellapart._engine.problem import LineUp
from tellapart._engine.share import Share
from tellapart._engine.streamed import log_partition
from tellapart._engine.terms import Details, Terms, lazy

if TYPE_CHECKING:
    from jaxtyping import Float, Int


def evaluate(line_up: LineUp, multi_positive: str, symmetric: bool, detailed: bool, fuse: bool) -> Terms:
    """The terms of each query and, if `symmetric`, of each key.

    Args:
        line_up: the problem, or this process's part of it.
        multi_positive: "out" or "in".
        symmetric: whether keys are queries in turn.
        detailed: find the largest logits, too.
        fuse: form the gradient in the forward pass where that saves work: it is right for any use of the terms, and
            fast where all queries' losses get the same gradient, as in a mean.
    """
    share = Share(line_up, multi_positive, symmetric)
    factors, own = line_up.factors(), line_up.comm.rank
    candidates, pairs = share.candidates(), share.listed_positives()
    if pairs is not None:
        products, *after = pair_products(line_up.queries, line_up.keys, pairs, line_up.halves)
        # What comes out of a function of both needs a gradient if one of them does.
        before = line_up.queries, line_up.keys
        queries, keys = (b if a.requires_grad else a for a, b in zip(before, after, strict=True))
        factors = factors._replace(queries=queries, keys=keys)
        sides = positives.listed(line_up, pairs, products, multi_positive, symmetric)
        candidates[own] = candidates[own].without(pairs)
    else:
        sides, candidates = positives.related(share, candidates, multi_positive)
    schedule = share.schedule(candidates, pairs, detailed)
    references = [side.reference() for side in sides]
    rest = None
    if fuse and schedule.is_one_block and not symmetric:
        rest = _rest(sides[0], line_up.mined)
        rest = None if rest is None else rest - references[0]
    logs, maxima = log_partition(factors, schedule, references, fuse=fuse, rest=rest)
    if line_up.mined is not None:
        logs[0] = log_add(logs[0], line_up.mined.logsumexp(1) - references[0])
        if maxima[0] is not None:
            best = torch.maximum(maxima[0][:, 1], line_up.mined.detach().amax(1))
            maxima[0] = torch.stack([maxima[0][:, 0], best], dim=1)
    terms = None
    for direction in reversed(range(len(sides))):
        side = sides[direction]
        terms = _terms(share, direction, side, logs[direction], references[direction], maxima[direction], terms)
    assert terms is not None
    with line_up.comm.together():
        terms.check()
    return terms


def _terms(
    share: Share,
    direction: int,
    side: Positives,
    others: Float[Tensor, " n"],
    reference: Float[Tensor, " n"],
    maxima: Float[Tensor, "n 2"] | None,
    reverse: Terms | None,
) -> Terms:
    """The terms of one direction, from `log Z − reference` of all candidates but the positives' `log_sum`."""
    if side.log_sum is side.logit:
        excess = None
        cross_entropy = softplus(others - (side.logit - reference), threshold=SOFTPLUS_THRESHOLD)
    else:
        excess = others if side.log_sum is None else log_add(others, side.log_sum - reference)
        cross_entropy = excess + (reference - side.logit)
    if not side.one_each:
        cross_entropy = cross_entropy.masked_fill(side.n_positives == 0, 0)
    n_own: int | Tensor = len(side.logit) if side.one_each else (side.n_positives > 0).sum()
    if share.comm.size > 1 or not side.one_each:
        n_own = share.comm.total(torch.as_tensor(n_own, device=reference.device))
    facts = _StreamedFacts(share, direction, side, cross_entropy, excess, reference, maxima)
    return Terms(facts, n_own, reverse, share.comm.size)


@dataclass(eq=False)
class _StreamedFacts:
    """The terms of one direction."""

    share: Share
    direction: int
    side: Positives
    cross_entropy: Float[Tensor, " n"]
    excess: Float[Tensor, " n"] | None
    """`log Z − reference`; `None` of one positive each: there its logit and the loss make `log Z`."""
    reference: Float[Tensor, " n"]
    maxima: Float[Tensor, "n 2"] | None
    with_grad: bool = field(default_factory=torch.is_grad_enabled)

    def reduced(self, reduction: str) -> None:
        """There is no shorter way."""

    @property
    def positive(self) -> Float[Tensor, " n"]:
        return self.side.logit

    @property
    def n_positives(self) -> Int[Tensor, " n"]:
        return self.side.n_positives

    @lazy
    def log_partition(self) -> Float[Tensor, " n"]:
        return self.cross_entropy + self.side.logit if self.excess is None else self.excess + self.reference

    @lazy
    def n_candidates(self) -> Int[Tensor, " n"]:
        return self.share.n_candidates(self.direction)

    @lazy
    def details(self) -> Details | None:
        if self.maxima is None:
            return None
        return Details(self.share.n_positive_candidates(self.direction), *self.maxima.unbind(1))


def _rest(side: Positives, mined: Tensor | None) -> Tensor | None:
    """The logarithm of what is added to the streamed sum afterwards: see `log_partition`."""
    rest = None if side.log_sum is None else side.log_sum.detach()
    if mined is not None:
        more = mined.detach().logsumexp(1)
        rest = more if rest is None else log_add(rest, more)
    if side.one_each:
        return rest
    rest = torch.full_like(side.logit.detach(), float("-inf")) if rest is None else rest
    return rest.masked_fill(side.n_positives == 0, float("inf"))
