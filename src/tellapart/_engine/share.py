"""This process's rows, and how they relate to the rows of all ranks; a single process holds all of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from tellapart._engine.candidates import Candidates
from tellapart._engine.problem import LineUp
from tellapart._engine.schedule import ALONE, Schedule
from tellapart.errors import requirement
from tellapart.relations import Pairs, Relation, is_boolean

if TYPE_CHECKING:
    from jaxtyping import Int


class Share:
    """The rows of one process: how its queries, and in a symmetric loss its keys, relate to those of all ranks.

    Raises:
        ValueError: arguments that differ between processes; raised in all of them.
    """

    def __init__(self, line_up: LineUp, multi_positive: str, symmetric: bool) -> None:
        self.line_up, self.comm, self.symmetric = line_up, line_up.comm, symmetric
        self.n, self.m, self.c = len(line_up.queries), line_up.n_keys, len(line_up.keys)
        positives, exclude = line_up.positives, line_up.exclude
        alike = {} if self.comm is ALONE else _must_be_alike(line_up, multi_positive, symmetric)
        told = self.comm.numbers(self.n, self.m, is_boolean(positives), *alike.values())
        for column, what in enumerate(alike, 3):
            if len(found := {rank[column] for rank in told}) > 1:
                raise ValueError(requirement(what, "be the same in all processes of a group", sorted(found)))
        self.n_of, self.m_of = ([int(rank[i]) for rank in told] for i in (0, 1))
        self.is_weighted = not all(rank[2] for rank in told)
        # The relations of queries to keys and, of a symmetric loss, of keys to queries; by rank of the others.
        self.positives = [self.comm.relations(r) for r in self._directions(positives)]
        self.excluded = None if exclude is None else [self.comm.relations(r) for r in self._directions(exclude)]

    def _directions(self, relation: Relation) -> list[Relation]:
        return [relation, relation.transposed()] if self.symmetric else [relation]

    def listed_positives(self) -> Pairs | None:
        """The positives if, in every process, they are few and all among its own keys."""
        positives = self.line_up.positives
        if self.comm is not ALONE and not positives.by_place:
            return None
        pairs = positives.pairs(self.n, self.m, self.line_up.queries.device)
        return pairs if all(found for (found,) in self.comm.numbers(pairs is not None)) else None

    def schedule(self, candidates: list[Candidates], positives: Pairs | None, detailed: bool) -> Schedule:
        """The blocks of all ranks' keys; with the listed positives of this one, if details are wanted."""
        if not detailed:
            return Schedule(self.comm, self.m_of, candidates)
        by_rank: list[tuple[Pairs, ...] | Relation] = list(self.positives[0])
        if positives is not None:
            by_rank[self.comm.rank] = (positives,)
        return Schedule(self.comm, self.m_of, candidates, by_rank)

    def candidates(self) -> list[Candidates]:
        """What counts of each rank's block: all but the excluded. Further negatives are in this rank's block."""
        own, device, blocks = self.comm.rank, self.line_up.queries.device, []
        for rank, m in enumerate(self.m_of):
            exclude = None if self.excluded is None else self.excluded[0][rank]
            pairs = None if exclude is None else exclude.pairs(self.n, m, device)
            blocks.append(
                Candidates(
                    *(self.n, m, self.c if rank == own else m),
                    left_out=() if pairs is None else (pairs,),
                    among=None if exclude is None or pairs is not None else ~exclude,
                    # Across ranks, the keys' own sums would be needed besides.
                    mirrored=self.line_up.mirrored and rank == own and (self.comm is ALONE or not self.symmetric),
                )
            )
        return blocks

    def n_candidates(self, direction: int) -> Int[Tensor, " n"]:
        """The number of candidates of each query (direction 0) or key (1)."""
        sizes = self._sizes(direction)
        mined = self.line_up.mined
        further = 0 if direction else self.c - self.m + (0 if mined is None else mined.shape[1])
        size = torch.full((self._own(direction),), sum(sizes) + further, device=self.line_up.queries.device)
        return size if self.excluded is None else size - self._counted(self.excluded[direction], direction)

    def n_positives(self, direction: int) -> Int[Tensor, " n"]:
        """The number of positives of each query (direction 0) or key (1), among the keys of all ranks."""
        return self._counted(self.positives[direction], direction)

    def n_positive_candidates(self, direction: int) -> Int[Tensor, " n"]:
        """The number of positives that are not excluded."""
        relations = self.positives[direction]
        if self.excluded is not None:
            relations = [r & ~out for r, out in zip(relations, self.excluded[direction], strict=True)]
        return self._counted(relations, direction)

    def related_sum(self, others: Tensor, direction: int) -> Tensor:
        """Each query's (or key's) weighted sum of its positives, of all ranks."""
        sizes, n = self._sizes(direction), self._own(direction)
        return self.comm.related_sum(others, self.positives[direction], sizes, n)

    def _own(self, direction: int) -> int:
        return self.m if direction else self.n

    def _sizes(self, direction: int) -> list[int]:
        return self.n_of if direction else self.m_of

    def _counted(self, relations: list[Relation], direction: int) -> Tensor:
        counts = torch.zeros(n := self._own(direction), dtype=torch.long, device=self.line_up.queries.device)
        for relation, size in zip(relations, self._sizes(direction), strict=True):
            counts += relation.counts(n, size, counts.device)[0]
        return counts


def _must_be_alike(line_up: LineUp, multi_positive: str, symmetric: bool) -> dict[str, float]:
    """What has to be the same in all processes: one that took another way would let the others wait."""
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
