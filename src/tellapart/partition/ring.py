"""The ring engine: queries stay with their process, keys travel round, nobody holds more than two shards.

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
from tellapart.errors import check_vectors, requirement
from tellapart.partition.crowd import Crowd
from tellapart.partition.line_up import LineUp, state
from tellapart.partition.products import pair_products
from tellapart.partition.round_trip import Shards, Watch, log_partition, related_sum
from tellapart.partition.segments import log_add
from tellapart.partition.sides import Side, listed_sides
from tellapart.partition.stream import log_partition as local_log_partition
from tellapart.partition.terms import Details, Terms, Whole
from tellapart.partition.travel import Ring
from tellapart.relations import Pairs, Relation
from tellapart.relations.relation import is_boolean

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
    if scores.resolve(score) is scores.sqeuclidean:
        sums = ring.gather(torch.cat([keys.detach().sum(0), keys.new_tensor([len(keys)])])[None])
        total = torch.cat(sums).sum(0)
        score = partial(scores.sqeuclidean, origin=total[:-1] / total[-1].clamp(min=1))
    with ring.together():
        return state(queries, keys, score=score, ring=ring, **options)


def evaluate(line_up: LineUp, ring: Ring, multi_positive: str, symmetric: bool, detailed: bool) -> Terms:
    """What the line-up of all processes tells the queries, and if `symmetric` the keys, of this one.

    Raises:
        ValueError: as the other engines, in all processes if in one; shards that do not fit together.
    """
    hall = _Hall(line_up, ring, symmetric)
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


class _Hall:
    """A line-up divided among processes: whom this one's queries meet among each one's keys."""

    def __init__(self, line_up: LineUp, ring: Ring, symmetric: bool) -> None:
        self.line_up, self.ring, self.symmetric = line_up, ring, symmetric
        self.queries, self.keys = line_up.queries, line_up.keys[: line_up.n_keys]
        scale = line_up.scale
        shape = (self.queries.shape[1], self.queries.element_size())
        learns = (
            self.queries.requires_grad,
            self.keys.requires_grad,
            isinstance(scale, Tensor) and scale.requires_grad,
        )
        told = ring.numbers(len(self.queries), len(self.keys), *shape, *learns)
        if any(theirs[2:] != told[0][2:] for theirs in told):
            must = "agree in width, dtype and what needs a gradient in all processes"
            raise ValueError(requirement("queries and keys", must, [theirs[2:] for theirs in told]))
        self.n_of, self.m_of = ([int(theirs[i]) for theirs in told] for i in (0, 1))
        self.positives = line_up.positives.towards(ring)
        self.excluded = None if line_up.exclude is None else line_up.exclude.towards(ring)

    def pairs_at_home(self) -> Pairs | None:
        """The positives if, in every process, they are few and all its own."""
        positives = self.line_up.positives
        if not positives.by_place:  # a kind of relation, so that all processes think alike
            return None
        pairs = positives.pairs(len(self.queries), len(self.keys), self.queries.device)
        return pairs if all(found for (found,) in self.ring.numbers(pairs is not None)) else None

    def shards(self, crowds: list[Crowd]) -> Shards:
        """The processes' keys and whom of them one's queries meet."""
        return Shards(self.ring, self.m_of, crowds)

    def crowds(self, besides: Pairs | None = None) -> list[Crowd]:
        """Who is not excluded; `besides` are pairs of one's own process to be left out, too."""
        n, device, made = len(self.queries), self.queries.device, []
        for owner, m in enumerate(self.m_of):
            relation = None if self.excluded is None else self.excluded[owner]
            pairs = None if relation is None else relation.pairs(n, m, device)
            left_out = tuple(x for x in (pairs, besides if owner == self.ring.rank else None) if x is not None)
            among = None if relation is None or pairs is not None else ~relation
            made.append(Crowd(n, m, m, left_out, among))
        return made

    def counts(self, relation: Relation) -> list[Tensor]:
        """How many everybody's keys are related to each query and, if keys ask, the other way round."""
        directions = [(relation, len(self.queries), self.m_of)]
        if self.symmetric:
            directions.append((relation.transposed(), len(self.keys), self.n_of))
        found = []
        for related, n, sizes in directions:
            each = [
                r.counts(n, m, self.queries.device)[0] for r, m in zip(related.towards(self.ring), sizes, strict=True)
            ]
            found.append(torch.stack(each).sum(0))
        return found

    def n_candidates(self) -> list[Tensor]:
        """How many stand in each query's line-up and, if keys ask, in each key's."""
        here = self.line_up.keys.shape[0] - len(self.keys)
        here += 0 if self.line_up.mined is None else self.line_up.mined.shape[1]
        everybody = [sum(self.m_of) + here, sum(self.n_of)]
        if self.line_up.exclude is None:
            sizes = len(self.queries), len(self.keys)
            return [torch.full((n,), k, device=self.queries.device) for n, k in zip(sizes, everybody, strict=True)]
        return [k - gone for k, gone in zip(everybody, self.counts(self.line_up.exclude), strict=False)]

    def n_inside(self) -> list[Tensor]:
        """How many positives stand in the line-ups."""
        exclude = self.line_up.exclude
        return self.counts(self.line_up.positives if exclude is None else self.line_up.positives & ~exclude)


def _related_sides(hall: _Hall, multi_positive: str) -> tuple[list[Side], list[Crowd]]:
    """The sides of a line-up whose positives may be anywhere, and the crowds that are left: see `related_sides`."""
    line_up, crowds = hall.line_up, hall.crowds()
    queries, keys, relation = line_up.scaled_queries(), hall.keys, line_up.positives
    if line_up.penalty is not None:
        queries = torch.cat([queries, -line_up.penalty.expand(len(queries))[:, None]], dim=1)
        keys = torch.cat([keys, torch.ones_like(keys[:, :1])], dim=1)
    totals, means = [], []
    directions = [(queries, keys, relation, hall.m_of), (keys, queries, relation.transposed(), hall.n_of)]
    for own, others, related, sizes in directions[: 1 + hall.symmetric]:
        with_ones = torch.cat([others, torch.ones_like(others[:, :1])], dim=1)
        sums = related_sum(with_ones, related.towards(hall.ring), hall.ring, sizes, len(own))
        totals.append(torch.where(sums[:, -1] > 0, sums[:, -1], 1).detach())
        means.append((own * sums[:, :-1]).sum(1) / totals[-1])
    rest: list[Tensor] = []
    if line_up.penalty is not None or multi_positive == "in":
        zeros = [torch.zeros_like(mean.detach()) for mean in means]
        theirs = [_among(crowd, ~~related) for crowd, related in zip(crowds, hall.positives, strict=True)]
        rest = log_partition(queries, keys, 1.0, hall.shards(theirs), zeros)
        if multi_positive == "in":
            weighed = [Crowd(c.n, c.m, c.c, (), related) for c, related in zip(crowds, hall.positives, strict=True)]
            plain = line_up.exclude is None and is_boolean(relation)
            logs = rest if plain else log_partition(queries, keys, 1.0, hall.shards(weighed), zeros)
            means = [x.masked_fill(x.isinf(), 0) - total.log() for x, total in zip(logs, totals, strict=True)]
        crowds = [_among(crowd, ~related) for crowd, related in zip(crowds, hall.positives, strict=True)]
    n_positives = hall.counts(relation)
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
