"""The tiled engine: what the positives say, and the streamed `log Z` of everyone else.

Listed positives are taken out of the crowd that is streamed and added back here, so that `log Z` and S⁺
share their rounding, and a small loss keeps its digits: `log Z − S⁺ = log(1 + Z⁻/Z⁺)`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from tellapart._engine.crowd import Crowd, Tops
from tellapart._engine.line_up import LineUp
from tellapart._engine.products import pair_products
from tellapart._engine.segments import log_add
from tellapart._engine.sides import Side, listed_sides, related_sides
from tellapart._engine.stream import log_partition, log_partition_of_a_sum
from tellapart._engine.terms import Details, Terms

if TYPE_CHECKING:
    from jaxtyping import Float


def evaluate(line_up: LineUp, multi_positive: str, symmetric: bool, detailed: bool, uniform: bool = False) -> Terms:
    """What the line-up tells each query and, if `symmetric`, each key in turn; details only if they are asked for.

    `uniform`: the caller promises that all queries' losses will get the same gradient, as in a mean.
    """
    queries, keys = line_up.queries, line_up.keys
    n, m, c = len(queries), line_up.n_keys, len(keys)
    pairs = line_up.positives.pairs(n, m, queries.device)
    excluded = None if line_up.exclude is None else line_up.exclude.pairs(n, m, queries.device)
    crowd = Crowd(
        *(n, m, c),
        left_out=() if excluded is None else (excluded,),
        among=None if line_up.exclude is None or excluded is not None else ~line_up.exclude,
        mirrored=line_up.mirrored,
    )
    if pairs is not None:
        products, *after = pair_products(queries, keys, pairs)
        # What comes out of a function of both needs a gradient if one of them does.
        queries, keys = (b if a.requires_grad else a for a, b in zip((queries, keys), after, strict=True))
        sides = listed_sides(line_up, pairs, products, multi_positive, symmetric)
        crowd = crowd._replace(left_out=(*crowd.left_out, pairs))
    else:
        sides, crowd = related_sides(line_up, crowd, multi_positive, symmetric)
    watch = Tops(line_up.positives if pairs is None else (pairs,), symmetric) if detailed else None
    references = [side.reference() for side in sides]
    if uniform and not symmetric and not crowd.mirrored:
        rest = _everything_else(sides[0], line_up.mined)
        rest = None if rest is None else rest - references[0]
        others = log_partition_of_a_sum(queries, keys, line_up.scale, crowd, references, rest, watch)
    else:
        others = log_partition(queries, keys, line_up.scale, crowd, references, watch)
    if line_up.mined is not None:
        others[0] = log_add(others[0], line_up.mined.logsumexp(1) - references[0])
        if watch is not None:
            torch.maximum(watch.negative[0], line_up.mined.detach().amax(1), out=watch.negative[0])
    details: list[Details | None] = [None, None]
    if watch is not None:
        if crowd.mirrored:
            watch.positive[1], watch.negative[1] = watch.positive[0], watch.negative[0]
        tops = zip(_n_inside(line_up), watch.positive, watch.negative, strict=True)
        details = [Details(*found) for found in tops]
    reverse = _terms(sides[1], others[1], references[1], details[1]) if symmetric else None
    return _terms(sides[0], others[0], references[0], details[0], reverse)


def _n_inside(line_up: LineUp) -> tuple[Tensor, Tensor]:
    """How many positives stand in each query's line-up, and in each key's."""
    relation = line_up.positives if line_up.exclude is None else line_up.positives & ~line_up.exclude
    return relation.counts(len(line_up.queries), line_up.n_keys, line_up.queries.device)


def _terms(
    side: Side,
    others: Float[Tensor, " n"],
    reference: Float[Tensor, " n"],
    details: Details | None,
    reverse: Terms | None = None,
) -> Terms:
    """The terms of one side, from `log Z − reference` of all but those in `side.rest`."""
    excess = others
    if side.rest is not None:
        excess = log_add(others, side.rest - reference)
    cross_entropy = excess + (reference - side.positive)
    if not side.certain:
        cross_entropy = cross_entropy.masked_fill(side.n_positives == 0, 0)
    return Terms(
        positive=side.positive,
        log_partition=excess + reference,
        cross_entropy=cross_entropy,
        n_candidates=side.n_candidates,
        n_positives=side.n_positives,
        details=details,
        reverse=reverse,
    )


def _everything_else(side: Side, mined: Tensor | None) -> Tensor | None:
    """What the crowd's `log Z` will be added to: see `log_partition_of_a_sum`."""
    rest = None if side.rest is None else side.rest.detach()
    if mined is not None:
        more = mined.detach().logsumexp(1)
        rest = more if rest is None else log_add(rest, more)
    if side.certain:
        return rest
    rest = torch.full_like(side.positive.detach(), float("-inf")) if rest is None else rest
    return rest.masked_fill(side.n_positives == 0, float("inf"))
