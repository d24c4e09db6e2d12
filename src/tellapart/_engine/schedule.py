"""The order in which blocks of keys come to the queries: one block in one process, one per rank in a ring."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, Protocol

import torch

from tellapart._engine.candidates import Candidates
from tellapart._engine.kernels.grid import Tiling, tiling
from tellapart._engine.kernels.interface import Block
from tellapart.errors import kernel_set, prefers_triton
from tellapart.relations import Pairs, Ranks, Relation

if TYPE_CHECKING:
    from torch import Tensor

    from tellapart._engine.factors import Factors
    from tellapart._engine.kernels.accumulators import Form


class Comm(Ranks, Protocol):
    """The processes among which keys travel. All of them make each call, in the same order."""

    def owners(self) -> Iterator[tuple[int, int]]:
        """The rank of the keys that are here, from this rank's on, and of those that come next."""

    def pass_on(self, tensor: Tensor, length: int) -> Callable[[], Tensor]:
        """Send a tensor to the next rank; the result, called, is what the previous rank sent, of that length."""

    def numbers(self, *own: float) -> list[list[float]]:
        """What each rank hands in."""

    def total(self, values: Tensor) -> Tensor:
        """The sum over ranks, entry by entry."""

    def together(self) -> AbstractContextManager[None]:
        """A context in which an error of one rank is raised in all."""

    def relations(self, relation: Relation) -> list[Relation]:
        """The relation of this rank's rows to those of each rank."""

    def related_sum(self, keys: Tensor, relations: list[Relation], sizes: list[int], n: int) -> Tensor:
        """Each of n queries' weighted sum of its related keys of all ranks, `Σ_r W_r K_r`."""


class _Alone:
    """A single process: nothing is sent."""

    rank, size = 0, 1

    def gather(self, values: Tensor) -> list[Tensor]:
        return [values]

    def gather_names(self, names: list[object] | None) -> list[list[object] | None]:
        return [names]

    def owners(self) -> Iterator[tuple[int, int]]:
        yield 0, 0

    def pass_on(self, tensor: Tensor, length: int) -> Callable[[], Tensor]:  # noqa: ARG002
        return lambda: tensor

    def numbers(self, *own: float) -> list[list[float]]:
        return [list(own)]

    def total(self, values: Tensor) -> Tensor:
        return values

    def together(self) -> AbstractContextManager[None]:
        return nullcontext()

    def relations(self, relation: Relation) -> list[Relation]:
        return [relation]

    def related_sum(self, keys: Tensor, relations: list[Relation], sizes: list[int], n: int) -> Tensor:  # noqa: ARG002
        return relations[0].gather_sum(keys, n)


ALONE: Comm = _Alone()


class Visit(NamedTuple):
    """The keys of one rank, at the queries of this one."""

    keys: Tensor
    candidates: Candidates
    positives: tuple[Pairs, ...] | Relation | None
    along: tuple[Tensor, ...]
    """What travels with the keys, such as the upstream gradients of their sums."""
    schedule: Schedule
    hand_on: Callable[[Tensor], Tensor]
    """Sends what belongs to these keys after them, and receives what belongs to the next."""

    def block(self, queries: Tensor, scale: float | Tensor, form: Form, key_scale: Tensor | None = None) -> Block:
        """The block of the score matrix that these keys make."""
        how, vectors = self.schedule, (queries, self.keys, scale)
        return Block(*vectors, self.candidates, form, how.tiling, self.positives, how.kernels, key_scale)

    def is_empty(self) -> bool:
        """Whether there is nothing to compute."""
        return not self.candidates.n or not len(self.keys)


@dataclass(frozen=True, eq=False)
class Schedule:
    """The blocks of the score matrix: for each rank how many keys it has, and what counts of its block."""

    comm: Comm
    sizes: list[int]
    candidates: list[Candidates]
    positives: list[tuple[Pairs, ...] | Relation] | None = None
    """If the largest logits are wanted."""
    tiling: Tiling = field(default_factory=tiling)
    """How blocks are cut into tiles: backward cuts them as forward did."""
    kernels: str = field(default_factory=kernel_set)
    """Which kernels compute them: backward runs in a thread of its own, which knows no options."""

    @property
    def own(self) -> Candidates:
        """The candidates of this rank's block."""
        return self.candidates[self.comm.rank]

    @property
    def is_one_block(self) -> bool:
        """Whether this process has the whole matrix."""
        return self.comm is ALONE

    def visits(self, keys: Tensor, *along: Tensor) -> Iterator[Visit]:
        """The keys of all ranks, this rank's first. Negatives behind this rank's keys do not travel."""
        comm, m = self.comm, self.own.m
        travelling = (keys if m == len(keys) else keys[:m], *along)
        for owner, following in comm.owners():
            arriving = [comm.pass_on(tensor, self.sizes[following]) for tensor in travelling]
            here = keys if owner == comm.rank else travelling[0]
            positives = None if self.positives is None else self.positives[owner]

            def hand_on(tensor: Tensor, length: int = self.sizes[following]) -> Tensor:
                return comm.pass_on(tensor, length)()

            yield Visit(here, self.candidates[owner], positives, travelling[1:], self, hand_on)
            travelling = tuple(arrived() for arrived in arriving)

    def form(self, factors: Factors) -> Form:
        """ "exp" if no logit can be so large that exponentials overflow or vanish, in sums and in gradients.

        Triton's kernels take what is known without a look at values, for which the host would wait.
        """
        queries, keys, scale = factors[:3]
        is_weighted = any(candidates.is_weighted() for candidates in self.candidates)
        if prefers_triton(queries.device, self.kernels) and self.is_one_block:
            # The factors of exponentials that are not bounded by 1 may be beyond float16.
            unknown = factors.largest is None or factors.given().queries.dtype == torch.float16
            if is_weighted or unknown or factors.largest is None:
                return "logits"
            return _bounded(factors.largest, max(len(queries), len(keys)), queries.dtype)
        lengths = [float(torch.linalg.vector_norm(x, dim=1).amax()) if len(x) else 0.0 for x in (queries, keys)]
        ranks = self.comm.numbers(*lengths, float(scale), is_weighted, len(queries), len(keys))
        if any(rank[3] for rank in ranks):
            return "logits"
        n_entries = max(int(sum(rank[side] for rank in ranks)) for side in (4, 5))
        return _bounded(largest_logit(ranks), n_entries, queries.dtype)


def _bounded(largest: float, n_entries: int, dtype: torch.dtype) -> Form:
    # Of the 88 nats that float32 has to either side, 60 are for a sum of exponentials, the rest for gradients.
    return "exp" if largest + math.log(max(n_entries, 1)) < 0.68 * math.log(torch.finfo(dtype).max) else "logits"


def largest_logit(ranks: list[list[float]]) -> float:
    """The largest absolute logit that vectors of such lengths, in the first three columns, can have.

    >>> largest_logit([[1.0, 2.0, 10.0], [3.0, 1.0, 10.0]])
    60.0
    """
    queries, keys, scale = (max(rank[column] for rank in ranks) for column in range(3))
    return queries * keys * scale
