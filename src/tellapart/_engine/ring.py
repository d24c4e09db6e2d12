"""The ring engine: queries stay with their process, keys travel round, with the sums and gradients that are theirs.

Of embeddings a process holds its own, those that visit and those that arrive, with as many gradients; of ids,
those of all keys.

    ℓ_r = W/A · Σ_{i of process r} L_i,    A = how many ask in all W processes

so that the mean of ℓ over processes, and the mean of its gradients, which is what data-parallel training
takes, are those of one process with everybody's rows: uneven shards, the last batch and an empty shard too.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from tellapart import scores
from tellapart._engine.crowd import Crowd
from tellapart._engine.hall import Hall
from tellapart._engine.line_up import LineUp, state
from tellapart._engine.products import pair_products
from tellapart._engine.round_trip import Watch, log_partition, related_sum
from tellapart._engine.segments import log_add
from tellapart._engine.sides import Side, listed_sides
from tellapart._engine.stream import log_partition as local_log_partition
from tellapart._engine.terms import Details, Terms, Whole
from tellapart._engine.travel import Ring
from tellapart.errors import check_vectors
from tellapart.relations import Relation

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch.distributed import ProcessGroup

    from tellapart.scores import Score


def state_together(group: ProcessGroup, queries: Tensor, keys: Tensor, *, score: str | Score, **options: Any) -> LineUp:
    """`state` of one process's share; what one process refuses, all of them refuse.

    >>> import torch.distributed as dist
    >>> dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    >>> state_together(dist.group.WORLD, torch.eye(2), torch.eye(2), score="cosine").ring.size
    1
    >>> dist.destroy_process_group()
    """
    ring = Ring(group)
    with ring.together():
        check_vectors("queries", queries, empty=True)
        check_vectors("keys", keys, empty=True)
        resolved = scores.resolve(score)
    if resolved is scores.sqeuclidean:
        exact = keys.detach().to(torch.promote_types(keys.dtype, torch.float32))
        sums = ring.gather(torch.cat([exact.sum(0), exact.new_tensor([len(keys)])])[None])
        total = torch.cat(sums).sum(0)
        score = partial(scores.sqeuclidean, origin=total[:-1] / total[-1].clamp(min=1))
    with ring.together():
        return state(queries, keys, score=score, ring=ring, **options)


def evaluate(line_up: LineUp, ring: Ring, multi_positive: str, symmetric: bool, detailed: bool) -> Terms:
    """What the line-up of all processes tells the queries, and if `symmetric` the keys, of this one.

    Raises:
        ValueError: as the other engines, in all processes if in one; shards that do not fit together.
    """
    hall = Hall(line_up, ring, multi_positive, symmetric)
    queries, keys = hall.queries, hall.keys
    pairs = hall.pairs_at_home()
    if pairs is not None:
        products, *after = pair_products(queries, keys, pairs)
        queries, keys = (b if a.requires_grad else a for a, b in zip((queries, keys), after, strict=True))
        sides = listed_sides(line_up, pairs, products, multi_positive, symmetric)
        crowds = hall.crowds(besides=pairs)
    else:
        sides, crowds = _related_sides(hall, multi_positive)
    sides = [side._replace(n_candidates=n) for side, n in zip(sides, hall.n_candidates(), strict=False)]
    references = [side.reference() for side in sides]
    watch = Watch(hall.positives, symmetric) if detailed else None
    others = log_partition(queries, keys, line_up.scale, hall.shards(crowds), references, watch)
    others[0] = _with_negatives(line_up, others[0], references[0], watch)
    asking = [ring.total((side.n_positives > 0).sum()) for side in sides]
    details = (
        [None, None]
        if watch is None
        else [Details(*found) for found in zip(hall.n_inside(), *watch.tops(), strict=False)]
    )
    reverse = None
    for i in reversed(range(len(sides))):
        whole = Whole(ring.size, asking[i])
        reverse = _terms(sides[i], others[i], references[i], details[i], whole, reverse)
    assert reverse is not None
    with ring.together():
        reverse.check()
    return reverse


def _related_sides(hall: Hall, multi_positive: str) -> tuple[list[Side], list[Crowd]]:
    """The sides of a line-up whose positives may be anywhere, and the crowds that are left: see `related_sides`."""
    line_up, crowds = hall.line_up, hall.crowds()
    queries, keys = line_up.scaled_queries(), hall.keys
    if line_up.penalty is not None:
        queries = torch.cat([queries, -line_up.penalty.expand(len(queries))[:, None]], dim=1)
        keys = torch.cat([keys, torch.ones_like(keys[:, :1])], dim=1)
    totals, means = [], []
    directions = [(queries, keys, hall.positives, hall.m_of)]
    directions += [(keys, queries, hall.askers, hall.n_of)] if hall.symmetric else []
    for own, others, related, sizes in directions:
        with_ones = torch.cat([others, torch.ones_like(others[:, :1])], dim=1)
        sums = related_sum(with_ones, related, hall.ring, sizes, len(own))
        totals.append(torch.where(sums[:, -1] > 0, sums[:, -1], 1).detach())
        means.append((own * sums[:, :-1]).sum(1) / totals[-1])
    rest: list[Tensor] = []
    if line_up.penalty is not None or multi_positive == "in":
        zeros = [torch.zeros_like(mean.detach()) for mean in means]
        theirs = [_among(crowd, ~~related) for crowd, related in zip(crowds, hall.positives, strict=True)]
        rest = log_partition(queries, keys, 1.0, hall.shards(theirs), zeros)
        if multi_positive == "in":
            weighed = [Crowd(c.n, c.m, c.c, (), related) for c, related in zip(crowds, hall.positives, strict=True)]
            plain = line_up.exclude is None and not hall.weighed
            logs = rest if plain else log_partition(queries, keys, 1.0, hall.shards(weighed), zeros)
            means = [x.masked_fill(x.isinf(), 0) - total.log() for x, total in zip(logs, totals, strict=True)]
        crowds = [_among(crowd, ~related) for crowd, related in zip(crowds, hall.positives, strict=True)]
    n_positives = hall.n_positives()
    sides = [
        Side(mean, rest[i] if rest else None, n_positives[i], n_positives[i], certain=False)
        for i, mean in enumerate(means)
    ]
    return sides, crowds


def _among(crowd: Crowd, relation: Relation) -> Crowd:
    return crowd._replace(among=relation if crowd.among is None else relation & crowd.among)


def _with_negatives(line_up: LineUp, log_z: Tensor, reference: Tensor, watch: Watch | None) -> Tensor:
    """`log Z − reference` with this process's further negatives, which do not travel."""
    queries, negatives = line_up.queries, line_up.keys[line_up.n_keys :]
    if len(negatives) and len(queries):
        crowd = Crowd(len(queries), len(negatives), len(negatives))
        tops = None if watch is None else watch.of_negatives()
        found = local_log_partition(queries, negatives, line_up.scale, crowd, [reference], tops)
        log_z = log_add(log_z, found[0])
        if watch is not None and tops is not None:
            watch.see(tops.negative[0])
    if line_up.mined is not None:
        log_z = log_add(log_z, line_up.mined.logsumexp(1) - reference)
        if watch is not None:
            watch.see(line_up.mined.detach().amax(1))
    return log_z


def _terms(
    side: Side,
    others: Float[Tensor, " n"],
    reference: Float[Tensor, " n"],
    details: Details | None,
    whole: Whole,
    reverse: Terms | None,
) -> Terms:
    excess = others if side.rest is None else log_add(others, side.rest - reference)
    return Terms(
        positive=side.positive,
        log_partition=excess + reference,
        cross_entropy=(excess + (reference - side.positive)).masked_fill(side.n_positives == 0, 0),
        n_candidates=side.n_candidates,
        n_positives=side.n_positives,
        details=details,
        reverse=reverse,
        whole=whole,
    )
