"""A line-up divided among processes: what they agree on, and whom each one's queries meet among all keys."""

from __future__ import annotations

import torch
from torch import Tensor

from tellapart._engine.crowd import Crowd
from tellapart._engine.line_up import LineUp
from tellapart._engine.round_trip import Shards
from tellapart._engine.travel import Ring
from tellapart.errors import requirement
from tellapart.relations import Pairs, Relation, is_boolean


class Hall:
    """One process's share of a line-up, and what it has to know of the others'.

    Raises:
        ValueError: processes that were not asked alike; in all of them.
    """

    def __init__(self, line_up: LineUp, ring: Ring, multi_positive: str, symmetric: bool) -> None:
        self.line_up, self.ring, self.symmetric = line_up, ring, symmetric
        self.queries, self.keys = line_up.queries, line_up.keys[: line_up.n_keys]
        positives, exclude = line_up.positives, line_up.exclude
        alike = _alike(line_up, multi_positive, symmetric)
        told = ring.numbers(len(self.queries), len(self.keys), is_boolean(positives), *alike.values())
        for number, what in enumerate(alike, 3):
            if len(found := {theirs[number] for theirs in told}) > 1:
                raise ValueError(requirement(what, "be the same in all processes of a group", sorted(found)))
        self.n_of, self.m_of = ([int(theirs[i]) for theirs in told] for i in (0, 1))
        self.weighed = not all(theirs[2] for theirs in told)
        self.positives = positives.towards(ring)
        self.excluded = None if exclude is None else exclude.towards(ring)
        if symmetric:
            self.askers = positives.transposed().towards(ring)
            self.excluded_askers = None if exclude is None else exclude.transposed().towards(ring)

    def pairs_at_home(self) -> Pairs | None:
        """The positives if, in every process, they are few and all its own."""
        positives = self.line_up.positives
        if not positives.by_place:
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

    def n_positives(self) -> list[Tensor]:
        """How many of everybody's keys each query is related to and, if keys ask, the other way round."""
        own = self._counted(self.positives, len(self.queries), self.m_of)
        return [own, self._counted(self.askers, len(self.keys), self.n_of)] if self.symmetric else [own]

    def n_inside(self) -> list[Tensor]:
        """How many positives stand in the line-ups."""
        own = self._counted(_without(self.positives, self.excluded), len(self.queries), self.m_of)
        if not self.symmetric:
            return [own]
        return [own, self._counted(_without(self.askers, self.excluded_askers), len(self.keys), self.n_of)]

    def n_candidates(self) -> list[Tensor]:
        """How many stand in each query's line-up and, if keys ask, in each key's."""
        here = self.line_up.keys.shape[0] - len(self.keys)
        here += 0 if self.line_up.mined is None else self.line_up.mined.shape[1]
        own = sum(self.m_of) + here - self._counted(self.excluded, len(self.queries), self.m_of)
        if not self.symmetric:
            return [own]
        return [own, sum(self.n_of) - self._counted(self.excluded_askers, len(self.keys), self.n_of)]

    def _counted(self, relations: list[Relation] | None, n: int, sizes: list[int]) -> Tensor:
        counts = torch.zeros(n, dtype=torch.long, device=self.queries.device)
        for relation, m in zip(relations or (), sizes, strict=False):
            counts += relation.counts(n, m, counts.device)[0]
        return counts


def _alike(line_up: LineUp, multi_positive: str, symmetric: bool) -> dict[str, float]:
    """What has to be the same everywhere: a process that went another way would let the others wait."""
    scale = line_up.scale
    return {
        "width of the embeddings": line_up.queries.shape[1],
        "bytes of a number": line_up.queries.element_size(),
        "requires_grad of the queries": line_up.queries.requires_grad,
        "requires_grad of the keys": line_up.keys.requires_grad,
        "requires_grad of the temperature": isinstance(scale, Tensor) and scale.requires_grad,
        "grad mode": torch.is_grad_enabled(),
        "symmetric": symmetric,
        "multi_positive 'in'": multi_positive == "in",
        "presence of a margin": line_up.penalty is not None,
        "presence of exclude": line_up.exclude is not None,
        "positives by place": line_up.positives.by_place,
    }


def _without(relations: list[Relation], others: list[Relation] | None) -> list[Relation]:
    return relations if others is None else [r & ~other for r, other in zip(relations, others, strict=True)]
