"""Relations by place, by list and by id."""

from __future__ import annotations

from collections.abc import Hashable
from functools import cached_property
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from tellapart.errors import at_hand, requirement, values_are_checked
from tellapart.relations.ids import integers, is_numeric, numbered
from tellapart.relations.lowered import Diagonal, Everything, IdsEqual, IndexEqual, Lowered
from tellapart.relations.pairs import Pairs, counted, few, numbers, stretches
from tellapart.relations.relation import Relation

if TYPE_CHECKING:
    from jaxtyping import Int

    from tellapart.relations.ids import Ids
    from tellapart.relations.ranks import Ranks


def paired() -> Relation:
    """Query i with key i: `R_ij = [i = j]`. Further keys, if there are any, are not related.

    >>> paired().tile(slice(0, 2), slice(0, 3)).int().tolist()
    [[1, 0, 0], [0, 1, 0]]
    """
    return _Paired()


def everyone() -> Relation:
    """Every query with every key: `R_ij = 1`.

    >>> everyone().tile(slice(0, 2), slice(0, 2)).int().tolist()
    [[1, 1], [1, 1]]
    """
    return _Everyone()


def listed(index: Int[Tensor, " n"]) -> Relation:
    """Query i with key `index[i]`: `R_ij = [index_i = j]`.

    Raises:
        TypeError: `index` does not hold integers.
        ValueError: `index` is not one-dimensional; at use, if it names a key that is not there.

    >>> listed(torch.tensor([2, 0])).tile(slice(0, 2), slice(0, 3)).int().tolist()
    [[0, 0, 1], [1, 0, 0]]
    """
    index = torch.as_tensor(index)
    if index.dtype == torch.bool:
        raise TypeError(requirement("index", "hold integers; dense() takes a mask", index.dtype))
    return _Listed(integers("index", index))


def same(query_ids: Ids, key_ids: Ids | None = None) -> Relation:
    """Pairs with equal ids: `R_ij = [id(q_i) = id(k_j)]`. Labels, instance ids, captions, file names.

    A missing id, `None` or NaN, equals no other: with ids of one side given for both, row i is related to row i alone.

    Args:
        query_ids: one id per query: an integer tensor or array, or any sequence of hashable things.
        key_ids: one id per key; by default the queries' ids.

    Raises:
        TypeError: a tensor or array of something other than integers.
        ValueError: ids that are not one-dimensional; at use, if there are more or fewer than rows.

    >>> same(["a", "b"], ["b", "b", "a"]).tile(slice(0, 2), slice(0, 3)).int().tolist()
    [[0, 0, 1], [1, 1, 0]]
    """
    keys = query_ids if key_ids is None else key_ids
    if is_numeric(query_ids) and is_numeric(keys):
        rows = integers("query_ids", torch.as_tensor(query_ids))
        return _Same(rows, rows if key_ids is None else integers("key_ids", torch.as_tensor(keys)))
    numbers: dict[Hashable, int] = {}
    rows = numbered(query_ids, numbers)
    cols = rows if keys is query_ids else numbered(keys, numbers)
    return _Same(rows, cols, list(numbers))


def other_views(n_examples: int) -> Relation:
    """Of V views stacked one behind the other, row i with the other rows of example `i mod n_examples`.

    Raises:
        ValueError: fewer than one example; at use, rows that are no whole number of views.

    >>> other_views(2).tile(slice(0, 4), slice(0, 4)).int().tolist()
    [[0, 0, 1, 0], [0, 0, 0, 1], [1, 0, 0, 0], [0, 1, 0, 0]]
    """
    if n_examples < 1:
        raise ValueError(requirement("n_examples", "be at least 1", n_examples))
    return _OtherViews(n_examples)


def check_size(parameter: str, side: str, found: int, needed: int) -> None:
    """Raise `ValueError` unless a relation was made for as many rows of that side as there are.

    >>> check_size("positives", "keys", 3, 3)
    """
    if found != needed:
        raise ValueError(requirement(parameter, f"relate as many {side} as there are, {needed}", found))


def check_range(parameter: str, side: str, index: Tensor, size: int) -> None:
    """Raise `ValueError` if a relation names a row that is not there.

    >>> check_range("positives", "keys", torch.tensor([0, 2]), 3)
    """
    outside = (index < 0) | (index >= size)
    if values_are_checked(index) and bool(outside.any()):
        raise ValueError(requirement(parameter, f"list {side} between 0 and {size - 1}", index[outside][0].item()))


class _Paired(Relation):
    symmetric = listed = diagonal = by_place = True

    def __repr__(self) -> str:
        return "paired()"

    def lowered(self) -> Lowered:
        return Diagonal()

    def tile(self, rows: slice, cols: slice, device: torch.device | None = None) -> Tensor:
        related = torch.zeros(rows.stop - rows.start, cols.stop - cols.start, dtype=torch.bool, device=device)
        related.diagonal(rows.start - cols.start).fill_(True)
        return related

    def check(self, parameter: str, n_queries: int, n_keys: int) -> None:
        """Any shape will do: that a query has no key of its own is for the loss to judge."""

    def pairs(self, n: int, m: int, device: torch.device | None = None) -> Pairs:
        places = numbers(min(n, m), device)
        return Pairs(places, places, one_each=n <= m, diagonal=n <= m)

    def turned(self, n: int, m: int) -> int | None:
        return 0 if n <= m else None

    def counts(self, n: int, m: int, device: torch.device | None = None) -> tuple[Tensor, Tensor]:
        if n == m:
            return (ones := torch.ones(n, dtype=torch.long, device=device)), ones
        return (torch.arange(n, device=device) < m).long(), (torch.arange(m, device=device) < n).long()


class _Everyone(Relation):
    symmetric = True

    def __repr__(self) -> str:
        return "everyone()"

    def lowered(self) -> Lowered:
        return Everything()

    def check(self, parameter: str, n_queries: int, n_keys: int) -> None:
        """Any shape will do."""

    def counts(self, n: int, m: int, device: torch.device | None = None) -> tuple[Tensor, Tensor]:
        return torch.full((n,), m, device=device), torch.full((m,), n, device=device)

    def gather_sum(self, keys: Tensor, n: int) -> Tensor:
        return keys.sum(0).expand(n, -1)

    def towards(self, ranks: Ranks) -> list[Relation]:
        return [self] * ranks.size


class _Listed(Relation):
    listed = by_place = True

    def __init__(self, index: Tensor) -> None:
        self.index = index

    def __repr__(self) -> str:
        return f"listed({len(self.index)} queries)"

    def lowered(self) -> Lowered:
        return IndexEqual(self.index)

    def check(self, parameter: str, n_queries: int, n_keys: int) -> None:
        check_size(parameter, "queries", len(self.index), n_queries)
        check_range(parameter, "keys", self.index, n_keys)

    def pairs(self, n: int, m: int, device: torch.device | None = None) -> Pairs:  # noqa: ARG002
        return Pairs(numbers(n, device), self.index.to(device), one_each=True)


class _OtherViews(Relation):
    symmetric = listed = by_place = True

    def __init__(self, n_examples: int) -> None:
        self.n_examples = n_examples

    def __repr__(self) -> str:
        return f"other_views({self.n_examples})"

    def lowered(self) -> Lowered:
        return Diagonal(self.n_examples, with_main=False)

    def check(self, parameter: str, n_queries: int, n_keys: int) -> None:
        must = f"relate views of {self.n_examples} examples, a multiple of that in queries and in keys"
        if n_queries != n_keys or n_queries % self.n_examples:
            raise ValueError(requirement(parameter, must, f"{n_queries} queries and {n_keys} keys"))

    def pairs(self, n: int, m: int, device: torch.device | None = None) -> Pairs | None:
        others = n // self.n_examples - 1
        if not few(n * others, n, m):
            return None
        rows = numbers(n, device)
        if others == 1:
            return Pairs(rows, numbers(n, device, turned=self.n_examples), one_each=True)
        steps = self.n_examples * torch.arange(1, others + 1, device=device)
        return Pairs(rows.repeat_interleave(others), ((rows[:, None] + steps) % n).flatten())

    def turned(self, n: int, m: int) -> int | None:  # noqa: ARG002
        return self.n_examples if n == 2 * self.n_examples else None

    def avoids(self, other: Relation) -> bool:
        return other.diagonal


class _Same(Relation):
    def __init__(self, query_ids: Tensor, key_ids: Tensor, names: list[Hashable] | None = None) -> None:
        """Ids that are numbers or, with `names`, numbers of them."""
        self.query_ids, self.key_ids, self.names = query_ids, key_ids, names
        self.symmetric = query_ids is key_ids

    def __repr__(self) -> str:
        return f"same({len(self.query_ids)} × {len(self.key_ids)} ids)"

    def lowered(self) -> Lowered:
        return IdsEqual(self.query_ids, self.key_ids)

    def tile(self, rows: slice, cols: slice, device: torch.device | None = None) -> Tensor:
        return self.query_ids[rows].to(device)[:, None] == self.key_ids[cols].to(device)

    def check(self, parameter: str, n_queries: int, n_keys: int) -> None:
        check_size(parameter, "queries", len(self.query_ids), n_queries)
        check_size(parameter, "keys", len(self.key_ids), n_keys)

    @cached_property
    def _groups(self) -> tuple[Tensor, Tensor, int]:
        """Each query's and each key's group, numbered from 0, and how many groups there are."""
        # The groups stay with the ids' device; what is made of them moves to where it is wanted.
        ids = torch.cat([self.query_ids, self.key_ids.to(self.query_ids)])
        if at_hand(ids):
            distinct, group = ids.unique(return_inverse=True)
            size = len(distinct)
        else:
            # Numbers with gaps, such as the place of the first equal id in order: how many there are is not known.
            group, size = torch.searchsorted(ids.sort().values, ids), len(ids)
        return group[: len(self.query_ids)], group[len(self.query_ids) :], size

    def counts(self, n: int, m: int, device: torch.device | None = None) -> tuple[Tensor, Tensor]:  # noqa: ARG002
        of_query, of_key, size = self._groups
        in_keys, in_queries = counted(of_key, size), counted(of_query, size)
        return in_keys[of_query].to(device), in_queries[of_key].to(device)

    def pairs(self, n: int, m: int, device: torch.device | None = None) -> Pairs | None:
        if not at_hand(self.query_ids):
            return None  # how many there are is a value
        of_query, of_key, size = self._groups
        group_size = counted(of_key, size)
        per_query = group_size[of_query]
        if not few(int(per_query.sum()), n, m):
            return None
        # The keys in order of their group; each query lists the stretch of its own.
        start = (group_size.cumsum(0) - group_size)[of_query]
        rows, within = stretches(per_query)
        cols = of_key.argsort(stable=True)[start[rows] + within]
        return Pairs(rows.to(device), cols.to(device))

    def coordinates(self) -> tuple[Tensor, Tensor]:
        of_query, of_key, _ = self._groups
        return 3.0 * of_query.double()[:, None], 3.0 * of_key.double()[:, None]

    def gather_sum(self, keys: Tensor, n: int) -> Tensor:  # noqa: ARG002
        of_query, of_key, size = self._groups
        sums = keys.new_zeros(size, keys.shape[1]).index_add(0, of_key.to(keys.device), keys)
        return sums[of_query.to(keys.device)]

    def transposed(self) -> Relation:
        return _Same(self.key_ids, self.query_ids, self.names)

    def towards(self, ranks: Ranks) -> list[Relation]:
        ids, names = ranks.gather(self.key_ids), ranks.gather_names(self.names)
        if any((theirs is None) != (self.names is None) for theirs in names):
            raise ValueError(requirement("ids", "be integers in all processes or in none", "some of each"))
        if self.names is not None:
            # Each process numbers names as they come; here all do it alike.
            own: dict[Hashable, int] = {name: number for number, name in enumerate(self.names)}
            maps = [torch.tensor([own.setdefault(x, len(own)) for x in theirs or ()]) for theirs in names]
            ids = [map_.to(theirs)[theirs] for map_, theirs in zip(maps, ids, strict=True)]
        return [self if rank == ranks.rank else _Same(self.query_ids, theirs) for rank, theirs in enumerate(ids)]
