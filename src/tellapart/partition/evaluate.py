"""From a line-up to its terms: what the positives say, and an engine's `log Z` over everyone else.

Listed positives are taken out of the engine's crowd and added back here, so that `log Z` and S⁺ share
their rounding, and a small loss keeps its digits: `log Z − S⁺ = log(1 + Z⁻/Z⁺)`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from tellapart.errors import check_choice
from tellapart.partition import dense, tiled
from tellapart.partition.crowd import Crowd, Tops
from tellapart.partition.line_up import LineUp
from tellapart.partition.segments import log_add
from tellapart.partition.sides import Side, listed_sides, related_sides
from tellapart.partition.terms import Terms, TopLogits

if TYPE_CHECKING:
    from jaxtyping import Float

ENGINES = ("auto", "dense", "tiled")
# Up to here the whole matrix stays in cache, and plain matrix operations are faster than tiles.
_CROSSOVER = 10**6


def evaluate(
    line_up: LineUp, multi_positive: str, symmetric: bool, engine: str, *, tops: bool = True, uniform: bool = False
) -> Terms:
    """What the line-up tells each query and, if `symmetric`, each key in turn.

    Args:
        line_up: the problem.
        multi_positive: how several positives count, "out" or "in".
        symmetric: whether the keys ask, too.
        engine: "dense", "tiled", or "auto" for the faster of the two, chosen from the shapes.
        tops: also find the best positive and the hardest negative, for `Terms.accuracy`.
        uniform: the caller promises that all queries' losses will get the same gradient, as in a mean.
    """
    log_partition = {"dense": dense.log_partition, "tiled": tiled.log_partition}[choose(line_up, engine)]
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
        sides = listed_sides(line_up, pairs, multi_positive, symmetric)
        crowd = crowd._replace(left_out=(*crowd.left_out, pairs))
    else:
        sides, crowd = related_sides(line_up, crowd, multi_positive, symmetric, log_partition)
    watch = Tops(line_up.positives if pairs is None else (pairs,), symmetric) if tops else None
    references = [side.reference() for side in sides]
    if uniform and not symmetric and log_partition is tiled.log_partition and not crowd.mirrored:
        rest = _everything_else(sides[0], line_up.mined)
        rest = None if rest is None else rest - references[0]
        others = tiled.log_partition_of_a_sum(queries, keys, crowd, references, rest, watch)
    else:
        others = log_partition(queries, keys, crowd, references, watch)
    if line_up.mined is not None:
        others[0] = log_add(others[0], line_up.mined.logsumexp(1) - references[0])
        if watch is not None:
            torch.maximum(watch.negative[0], line_up.mined.detach().amax(1), out=watch.negative[0])
    found = [None, None] if watch is None else [watch.of(0), watch.of(1)]
    reverse = _terms(sides[1], others[1], references[1], found[1]) if symmetric else None
    return _terms(sides[0], others[0], references[0], found[0], reverse)


def choose(line_up: LineUp, engine: str) -> str:
    """The engine that "auto" stands for, from the shapes alone.

    >>> from tellapart.partition.line_up import state
    >>> from tellapart.relations import paired
    >>> choose(state(torch.eye(2), torch.eye(2), paired(), None, None, 0.5, "dot", None, 0.0), "auto")
    'dense'
    """
    check_choice("engine", engine, ENGINES)
    if engine != "auto":
        return engine
    return "dense" if len(line_up.queries) * len(line_up.keys) <= _CROSSOVER else "tiled"


def _terms(
    side: Side,
    others: Float[Tensor, " n"],
    reference: Float[Tensor, " n"],
    tops: TopLogits | None,
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
        n_positive_candidates=side.n_positive_candidates,
        tops=tops,
        reverse=reverse,
    )


def _everything_else(side: Side, mined: Tensor | None) -> Tensor | None:
    """What the crowd's `log Z` will be added to: see `tiled.log_partition_of_a_sum`."""
    rest = None if side.rest is None else side.rest.detach()
    if mined is not None:
        more = mined.detach().logsumexp(1)
        rest = more if rest is None else log_add(rest, more)
    if side.certain:
        return rest
    rest = torch.full_like(side.positive.detach(), float("-inf")) if rest is None else rest
    return rest.masked_fill(side.n_positives == 0, float("inf"))
