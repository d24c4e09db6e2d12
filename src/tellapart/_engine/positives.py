"""The positives' part of the loss: S⁺, and their exponentials, which are taken out of the streamed sum.

Listed positives are added back to the streamed sum of all other candidates, so that `log Z` and S⁺ share their
rounding, and a small loss keeps its digits: `log Z − S⁺ = log(1 + Z⁻/Z⁺)`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from tellapart._engine.candidates import Candidates
from tellapart._engine.factors import Factors
from tellapart._engine.pairs import segment_logsumexp, segment_sum
from tellapart._engine.problem import LineUp
from tellapart._engine.share import Share
from tellapart._engine.streamed import log_partition
from tellapart.errors import at_hand
from tellapart.relations import Pairs, counted

if TYPE_CHECKING:
    from jaxtyping import Float, Int


class Positives(NamedTuple):
    """The positives of one direction of the loss: the queries', or the keys' of a symmetric loss."""

    logit: Float[Tensor, " n"]
    """S⁺, several positives averaged as `multi_positive` says."""
    log_sum: Float[Tensor, " n"] | None
    """`log Σ exp` over the positives that are taken out of the streamed sum, or `None` if none is."""
    n_positives: Int[Tensor, " n"]
    one_each: bool
    """Whether each query has exactly one, by the kind of relation."""

    def reference(self) -> Float[Tensor, " n"]:
        """A constant near log Z of good embeddings, from which it is measured."""
        if self.log_sum is None or self.log_sum is self.logit:
            return self.logit.detach()
        log_sum = self.log_sum.detach()
        return torch.where(log_sum.isinf(), self.logit.detach(), log_sum)


def listed(
    line_up: LineUp, pairs: Pairs, products: Float[Tensor, " p"], multi_positive: str, symmetric: bool
) -> list[Positives]:
    """Of positives that are few, from the product of each pair.

    >>> line_up = LineUp.build(torch.eye(2), torch.eye(2), temperature=0.5)
    >>> pairs = line_up.positives.pairs(2, 2)
    >>> [side.logit.tolist() for side in listed(line_up, pairs, torch.ones(2), "out", symmetric=True)]
    [[2.0, 2.0], [2.0, 2.0]]
    """
    n, m = len(line_up.queries), line_up.n_keys
    scale, key_scale = line_up.scale, line_up.key_scale
    rows, cols = (slice(len(products)),) * 2 if pairs.diagonal else (pairs.rows, pairs.cols)
    values = products * (scale[rows] if isinstance(scale, Tensor) and scale.ndim else scale)
    if key_scale is not None:
        values = values * key_scale[cols]
    if line_up.penalty is not None:
        values = values - (line_up.penalty[rows] if line_up.penalty.ndim else line_up.penalty)
    positives, exclude, outside = line_up.positives, line_up.exclude, None
    if exclude is not None and not (positives.avoids(exclude) or exclude.avoids(positives)):
        outside = exclude.at(pairs.rows, pairs.cols) > 0
        if at_hand(outside) and not bool(outside.any()):
            outside = None
    found = []
    for direction in (0, 1) if symmetric else (0,):
        one_each = (line_up.positives.diagonal and n == m) if direction else pairs.one_each
        if one_each and outside is None:
            found.append(Positives(values, values, torch.ones_like(pairs.rows), one_each=True))
        else:
            where, size = (pairs.cols, m) if direction else (pairs.rows, n)
            found.append(_by_row(values, where, size, pairs.weights, outside, multi_positive, one_each))
    return found


def related(
    share: Share, candidates: list[Candidates], multi_positive: str
) -> tuple[list[Positives], list[Candidates]]:
    """Of positives that are many, and the candidates that are left to be streamed.

    "out" needs only the sum of a query's positive keys, `W K`. For "in", or with a margin, the positives' part of
    the partition function is another streamed sum.

    >>> from tellapart.relations import everyone
    >>> line_up = LineUp.build(torch.eye(2), torch.eye(2), temperature=0.5, positives=everyone())
    >>> share = Share(line_up, "out", symmetric=False)
    >>> related(share, share.candidates(), "out")[0][0].logit.tolist()
    [1.0, 1.0]
    """
    line_up, n_directions = share.line_up, 1 + share.symmetric
    queries, keys = line_up.scaled_queries(), line_up.scaled_keys()[: line_up.n_keys]
    factors = _without_negatives(line_up)
    if line_up.penalty is not None:
        queries = torch.cat([queries, -line_up.penalty.expand(len(queries))[:, None]], dim=1)
        keys = torch.cat([keys, torch.ones_like(keys[:, :1])], dim=1)
        factors = Factors(queries, keys, 1.0)
    totals, means = zip(*(_mean(share, queries, keys, direction) for direction in range(n_directions)), strict=True)
    log_sums: list[Tensor] = []
    if line_up.penalty is not None or multi_positive == "in":
        relations, zeros = share.positives[0], [torch.zeros_like(mean.detach()) for mean in means]
        keys_only = [c._replace(c=c.m, mirrored=c.mirrored and line_up.penalty is None) for c in candidates]
        inside = [c.only(~~r) for c, r in zip(keys_only, relations, strict=True)]
        log_sums = log_partition(factors, share.schedule(inside, None, False), zeros).logs
        if multi_positive == "in":
            logs = log_sums
            if line_up.exclude is not None or share.is_weighted:
                weighted = [c._replace(left_out=(), among=r) for c, r in zip(keys_only, relations, strict=True)]
                logs = log_partition(factors, share.schedule(weighted, None, False), zeros).logs
            means = tuple(x.masked_fill(x.isinf(), 0) - total.log() for x, total in zip(logs, totals, strict=True))
        candidates = [c.only(~r) for c, r in zip(candidates, relations, strict=True)]
    found = [
        Positives(mean, log_sums[i] if log_sums else None, share.n_positives(i), one_each=False)
        for i, mean in enumerate(means)
    ]
    return found, candidates


def _without_negatives(line_up: LineUp) -> Factors:
    """The factors of the matrix of keys alone, which stand before shared negatives."""
    made, m = line_up.factors(), line_up.n_keys
    if m == len(made.keys):
        return made
    halves = None if made.halves is None else made.halves._replace(keys=made.halves.keys[:m])
    key_scale = None if made.key_scale is None else made.key_scale[:m]
    return made._replace(keys=made.keys[:m], key_scale=key_scale, halves=halves)


def _by_row(
    values: Tensor,
    where: Tensor,
    size: int,
    weights: Tensor | None,
    outside: Tensor | None,
    multi_positive: str,
    one_each: bool,
) -> Positives:
    """The positives of each row, from the logit of each pair and the row where it belongs."""
    weights = torch.ones_like(values.detach()) if weights is None else weights.to(values)
    weights = weights / segment_sum(weights, where, size)[where]
    if multi_positive == "out":
        logit = segment_sum(weights * values, where, size)
    else:
        logit = segment_logsumexp(values + weights.log(), where, size)
        logit = logit.masked_fill(logit.isinf(), 0)
    n_positives = counted(where, size)
    if outside is not None:
        values = values.masked_fill(outside, -torch.inf)
    return Positives(logit, segment_logsumexp(values, where, size), n_positives, one_each)


def _mean(share: Share, queries: Tensor, keys: Tensor, direction: int) -> tuple[Tensor, Tensor]:
    """`Σ_j w_ij`, which is 1 where it would be 0, and the mean logit `q_i·(W K)_i / Σ_j w_ij`."""
    own, others = (keys, queries) if direction else (queries, keys)
    sums = share.related_sum(torch.cat([others, torch.ones_like(others[:, :1])], dim=1), direction)
    total = torch.where(sums[:, -1] > 0, sums[:, -1], 1).detach()
    return total, (own * sums[:, :-1]).sum(1) / total
