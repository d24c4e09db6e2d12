"""What the positives say to each side: S⁺, and their part of the partition function."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from tellapart._engine.crowd import Crowd
from tellapart._engine.line_up import LineUp
from tellapart._engine.segments import segment_logsumexp, segment_sum
from tellapart._engine.stream import log_partition
from tellapart.relations import Pairs, Relation, is_boolean

if TYPE_CHECKING:
    from jaxtyping import Float, Int


class Side(NamedTuple):
    """One direction of the loss: the queries', or the keys' of a symmetric loss."""

    positive: Float[Tensor, " n"]
    """S⁺, several positives counted as was asked."""
    rest: Float[Tensor, " n"] | None
    """`log Z` over the positives that the engine's crowd leaves out, or `None` if it leaves out none."""
    n_candidates: Int[Tensor, " n"]
    n_positives: Int[Tensor, " n"]
    certain: bool
    """Whether each has a positive, by the kind of relation."""

    def reference(self) -> Float[Tensor, " n"]:
        """A constant near log Z of a good embedding, from which it is measured."""
        if self.rest is None or self.rest is self.positive:
            return self.positive.detach()
        rest = self.rest.detach()
        return torch.where(rest.isinf(), self.positive.detach(), rest)


def listed_sides(
    line_up: LineUp, pairs: Pairs, products: Float[Tensor, " p"], multi_positive: str, symmetric: bool
) -> list[Side]:
    """The sides of a line-up whose positives are few, from the product of each pair.

    >>> from tellapart._engine.line_up import state
    >>> line_up = state(torch.eye(2), torch.eye(2), temperature=0.5)
    >>> pairs = line_up.positives.pairs(2, 2)
    >>> [side.positive.tolist() for side in listed_sides(line_up, pairs, torch.ones(2), "out", symmetric=True)]
    [[2.0, 2.0], [2.0, 2.0]]
    """
    n, m = len(line_up.queries), line_up.n_keys
    values, first = products * line_up.scale, line_up.positives.diagonal
    if line_up.penalty is not None:
        values = values - (line_up.penalty[pairs.rows] if line_up.penalty.ndim else line_up.penalty)
    outside = None if line_up.exclude is None else line_up.exclude.at(pairs.rows, pairs.cols) > 0
    if outside is not None and not bool(outside.any()):
        outside = None
    candidates = n_candidates(line_up)
    sides = []
    for side, size, alone in ((0, n, pairs.one_each), (1, m, first and n == m)):
        if side and not symmetric:
            break
        if alone and outside is None:
            one = torch.ones_like(candidates[side])
            sides.append(Side(values, values, candidates[side], one, certain=True))
        else:
            sides.append(_gathered(values, pairs, side, size, outside, multi_positive, candidates[side], alone))
    return sides


def related_sides(line_up: LineUp, crowd: Crowd, multi_positive: str, symmetric: bool) -> tuple[list[Side], Crowd]:
    """The sides of a line-up whose positives are many, and the crowd that is left for the engine.

    "out" needs only the sum of a query's positive keys, `W K`. For "in", or with a margin, the positives'
    part of the partition function is another walk over the scores.

    >>> from tellapart._engine.line_up import state
    >>> from tellapart.relations import everyone
    >>> line_up = state(torch.eye(2), torch.eye(2), temperature=0.5, positives=everyone())
    >>> sides, crowd = related_sides(line_up, Crowd(2, 2, 2), "out", symmetric=False)
    >>> sides[0].positive.tolist()
    [1.0, 1.0]
    """
    queries, keys, relation = line_up.scaled_queries(), line_up.keys[: line_up.n_keys], line_up.positives
    n, m = len(queries), len(keys)
    positives = relation.counts(n, m, queries.device)
    if line_up.penalty is not None:
        queries = torch.cat([queries, -line_up.penalty.expand(n)[:, None]], dim=1)
        keys = torch.cat([keys, torch.ones_like(keys[:, :1])], dim=1)
    totals, means = zip(*_means(queries, keys, relation, symmetric), strict=True)
    rest: list[Tensor] = []
    if line_up.penalty is not None or multi_positive == "in":
        zeros = [torch.zeros_like(mean.detach()) for mean in means]
        mirrored = crowd.mirrored and line_up.penalty is None
        theirs = Crowd(n, m, m, crowd.left_out, _and(~~relation, crowd.among), mirrored)
        rest = log_partition(queries, keys, 1.0, theirs, zeros)
        crowd = crowd._replace(among=_and(~relation, crowd.among))
        if multi_positive == "in":
            if line_up.exclude is None and is_boolean(relation):
                logs = rest
            else:
                weighed = theirs._replace(left_out=(), among=relation)
                logs = log_partition(queries, keys, 1.0, weighed, zeros)
            means = tuple(x.masked_fill(x.isinf(), 0) - total.log() for x, total in zip(logs, totals, strict=True))
    candidates = n_candidates(line_up)
    sides = [
        Side(mean, rest[i] if rest else None, candidates[i], positives[i], certain=False)
        for i, mean in enumerate(means)
    ]
    return sides, crowd


def _gathered(
    values: Tensor,
    pairs: Pairs,
    side: int,
    size: int,
    outside: Tensor | None,
    multi_positive: str,
    candidates: Tensor,
    certain: bool,
) -> Side:
    """The side of those in `pairs[side]`, from the logit of each pair."""
    where = pairs.cols if side else pairs.rows
    weights = torch.ones_like(values.detach()) if pairs.weights is None else pairs.weights.to(values)
    weights = weights / segment_sum(weights, where, size)[where]
    if multi_positive == "out":
        positive = segment_sum(weights * values, where, size)
    else:
        positive = segment_logsumexp(values + weights.log(), where, size)
        positive = positive.masked_fill(positive.isinf(), 0)
    n_positives = torch.bincount(where, minlength=size)
    if outside is not None:
        values, where = values[~outside], where[~outside]
    return Side(positive, segment_logsumexp(values, where, size), candidates, n_positives, certain)


def _means(queries: Tensor, keys: Tensor, relation: Relation, symmetric: bool) -> Iterator[tuple[Tensor, Tensor]]:
    """For each side, `Σ_j w_ij`, which is 1 where it would be 0, and the mean logit `q_i·(W K)_i / Σ_j w_ij`."""
    directions = [(queries, keys, relation)] + ([(keys, queries, relation.transposed())] if symmetric else [])
    for own, others, related in directions:
        sums = related.gather_sum(torch.cat([others, torch.ones_like(others[:, :1])], dim=1), len(own))
        total = torch.where(sums[:, -1] > 0, sums[:, -1], 1).detach()
        yield total, (own * sums[:, :-1]).sum(1) / total


def _and(relation: Relation, other: Relation | None) -> Relation:
    return relation if other is None else relation & other


def n_candidates(line_up: LineUp) -> tuple[Tensor, Tensor]:
    """How many stand in each query's and in each key's line-up.

    >>> from tellapart._engine.line_up import state
    >>> from tellapart.relations import paired
    >>> n_candidates(state(torch.eye(2), torch.eye(2), exclude=paired()))
    (tensor([1, 1]), tensor([1, 1]))
    """
    n, m, device = len(line_up.queries), line_up.n_keys, line_up.queries.device
    of_query = len(line_up.keys) + (0 if line_up.mined is None else line_up.mined.shape[1])
    if line_up.exclude is None:
        return torch.full((n,), of_query, device=device), torch.full((m,), n, device=device)
    rows, cols = line_up.exclude.counts(n, m, device)
    return of_query - rows, n - cols
