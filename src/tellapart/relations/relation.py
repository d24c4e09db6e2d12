"""What a relation is, and how relations combine."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from tellapart.errors import requirement
from tellapart.relations.lowered import Both, Either, Lowered, Not, NotLowered, representable
from tellapart.relations.pairs import Pairs, filtered
from tellapart.relations.sums import tiled_sum

if TYPE_CHECKING:
    from jaxtyping import Float, Int, Shaped

    from tellapart.relations.ranks import Ranks

_TILE = 1024


class Relation(ABC):
    """A boolean or non-negatively weighted matrix between queries (rows) and keys (columns).

    A new kind of relation needs `check`, and `lowered` or `at`. The other methods follow from them, and are worth
    overriding where there is a way that does not read the whole matrix.
    """

    symmetric = False
    """Whether `R_ij = R_ji` for certain, so that a loss whose queries are its keys may read one half."""

    listed = False
    """Whether `pairs` are at hand, without a search."""

    diagonal = False
    """Whether it relates each i with i, and nobody else."""

    by_place = False
    """Whether it goes by where rows stand, and not by whose they are: it says nothing of another process's rows."""

    def at(self, rows: Int[Tensor, "*shape"], cols: Int[Tensor, "*shape"]) -> Shaped[Tensor, "*shape"]:
        """The entries at these places, which broadcast: booleans, or weights ≥ 0, on the places' device."""
        lowered = self.lowered()
        if isinstance(lowered, Both | Either | Not | NotLowered):
            raise TypeError(f"{type(self).__name__} must define `at`, or a lowered form that is evaluated by itself.")
        return lowered.at(rows, cols)

    def lowered(self) -> Lowered:
        """What a kernel needs to evaluate any tile by itself."""
        return NotLowered(f"{type(self).__name__} has no lowered form")

    @abstractmethod
    def check(self, parameter: str, n_queries: int, n_keys: int) -> None:
        """Raise `ValueError` if the relation is not one between `n_queries` and `n_keys`."""

    def tile(self, rows: slice, cols: slice, device: torch.device | None = None) -> Shaped[Tensor, "r c"]:
        """The part of the matrix in `rows` × `cols` (bounded slices)."""
        return self.at(_span(rows, device)[:, None], _span(cols, device)[None, :])

    def pairs(self, n: int, m: int, device: torch.device | None = None) -> Pairs | None:  # noqa: ARG002
        """The related pairs among n queries and m keys, or `None` if they are not few or not easily found."""
        return None

    def counts(self, n: int, m: int, device: torch.device | None = None) -> tuple[Tensor, Tensor]:
        """How many keys each query is related to, and how many queries each key."""
        if (pairs := self.pairs(n, m, device)) is not None:
            return torch.bincount(pairs.rows, minlength=n), torch.bincount(pairs.cols, minlength=m)
        rows, cols = torch.zeros(n, dtype=torch.long, device=device), torch.zeros(m, dtype=torch.long, device=device)
        for r, c, tile in self._tiles(n, m, device):
            related = tile > 0
            rows[r] += related.sum(1)
            cols[c] += related.sum(0)
        return rows, cols

    def gather_sum(self, keys: Float[Tensor, "m d"], n: int) -> Float[Tensor, "n d"]:
        """Each query's weighted sum of its related keys, `W K`, differentiable in the keys.

        >>> from tellapart.relations import same
        >>> same([7, 8], [8, 8]).gather_sum(torch.tensor([[1.0], [2.0]]), 2).tolist()
        [[0.0], [3.0]]
        """
        if (pairs := self.pairs(n, len(keys), keys.device)) is None:
            return tiled_sum(self.tile, keys, n)
        if pairs.one_each and pairs.weights is None:
            return keys[pairs.cols]
        chosen = keys[pairs.cols] if pairs.weights is None else keys[pairs.cols] * pairs.weights.to(keys.dtype)[:, None]
        return keys.new_zeros(n, keys.shape[1]).index_add(0, pairs.rows, chosen)

    def transposed(self) -> Relation:
        """The same pairs seen from the keys: `Rᵀ`."""
        return self if self.symmetric else _Transposed(self)

    def towards(self, ranks: Ranks) -> list[Relation]:
        """The relations of this process's queries to the keys of each process, from those to its own keys.

        What goes by place relates nobody to another's keys; what goes by id compares the ids. All processes
        must call it.

        Raises:
            ValueError: a kind of relation that cannot tell.
        """
        if self.by_place:
            return [self if rank == ranks.rank else _Nobody() for rank in range(ranks.size)]
        must = "be made of paired, listed, other_views, edges, dense, everyone, same, within and gaussian in a group"
        raise ValueError(requirement("relation", must, type(self).__name__))

    def avoids(self, other: Relation) -> bool:  # noqa: ARG002
        """Whether it is certain, without a look at the pairs, that nobody is related by both.

        >>> from tellapart.relations import paired, same
        >>> (same([1, 1]) & ~paired()).avoids(paired())
        True
        """
        return False

    def __and__(self, other: Relation) -> Relation:
        """Related by both; weights multiply."""
        return _Both(self, other)

    def __or__(self, other: Relation) -> Relation:
        """Related by either; of two weights the larger."""
        return _Either(self, other)

    def __invert__(self) -> Relation:
        """Everyone the relation leaves out."""
        return _Not(self)

    def _tiles(self, n: int, m: int, device: torch.device | None) -> Iterator[tuple[slice, slice, Tensor]]:
        for r in range(0, n, _TILE):
            for c in range(0, m, _TILE):
                rows, cols = slice(r, min(r + _TILE, n)), slice(c, min(c + _TILE, m))
                yield rows, cols, self.tile(rows, cols, device)


def check_relation(parameter: str, relation: object, n_queries: int, n_keys: int) -> None:
    """Raise unless `relation` is one between `n_queries` and `n_keys`.

    Raises:
        TypeError: not a relation: a matrix needs `dense()` around it.
        ValueError: a relation of another size.

    >>> from tellapart.relations import same
    >>> check_relation("positives", same([1, 2]), 2, 2)
    """
    if not isinstance(relation, Relation):
        must = "be a relation, such as paired(), same(ids) or dense(matrix)"
        raise TypeError(requirement(parameter, must, type(relation).__name__))
    relation.check(parameter, n_queries, n_keys)


def is_boolean(relation: Relation) -> bool:
    """Whether its entries are booleans and not weights.

    >>> from tellapart.relations import paired
    >>> is_boolean(paired())
    True
    """
    return relation.tile(slice(0, 0), slice(0, 0)).dtype == torch.bool


def _span(tile_range: slice, device: torch.device | None) -> Tensor:
    return torch.arange(tile_range.start, tile_range.stop, device=device)


class _Both(Relation):
    def __init__(self, left: Relation, right: Relation) -> None:
        self.left, self.right = left, right
        self.symmetric = left.symmetric and right.symmetric
        self.by_place = left.by_place or right.by_place

    def lowered(self) -> Lowered:
        return Both(self.left.lowered(), self.right.lowered())

    def at(self, rows: Tensor, cols: Tensor) -> Tensor:
        return representable(torch.mul(self.left.at(rows, cols), self.right.at(rows, cols)))

    def tile(self, rows: slice, cols: slice, device: torch.device | None = None) -> Tensor:
        left = self.left.tile(rows, cols, device)
        if isinstance(self.right, _Not) and left.dtype == torch.bool:
            taken = self.right.inner.tile(rows, cols, device)
            return left > (taken if taken.dtype == torch.bool else taken > 0)
        return representable(left * self.right.tile(rows, cols, device))

    def avoids(self, other: Relation) -> bool:
        parts = self.left, self.right
        inverted = (part.inner for part in parts if isinstance(part, _Not))
        same = any(inner is other or (inner.diagonal and other.diagonal) for inner in inverted)
        return same or any(part.avoids(other) for part in parts)

    def check(self, parameter: str, n_queries: int, n_keys: int) -> None:
        self.left.check(parameter, n_queries, n_keys)
        self.right.check(parameter, n_queries, n_keys)

    def transposed(self) -> Relation:
        return _Both(self.left.transposed(), self.right.transposed())

    def towards(self, ranks: Ranks) -> list[Relation]:
        sides = zip(self.left.towards(ranks), self.right.towards(ranks), strict=True)
        return [_Both(left, right) for left, right in sides]

    def pairs(self, n: int, m: int, device: torch.device | None = None) -> Pairs | None:
        """The pairs of the sparse side that the other side relates, too."""
        for one, other in ((self.left, self.right), (self.right, self.left)):
            if (found := one.pairs(n, m, device)) is not None:
                return filtered(found, other.at(found.rows, found.cols))
        return None

    def counts(self, n: int, m: int, device: torch.device | None = None) -> tuple[Tensor, Tensor]:
        """Those of the left side less those that a sparse `~right` takes away."""
        if (taken := self._taken(n, m, device)) is None:
            return super().counts(n, m, device)
        rows, cols = self.left.counts(n, m, device)
        return rows - torch.bincount(taken.rows, minlength=n), cols - torch.bincount(taken.cols, minlength=m)

    def gather_sum(self, keys: Tensor, n: int) -> Tensor:
        """The sum over a boolean left side less that over what a sparse `~right` takes away."""
        taken = self._taken(n, len(keys), keys.device)
        # Weights can differ so much that little is left of a difference.
        if taken is None or not is_boolean(self.left):
            return super().gather_sum(keys, n)
        return self.left.gather_sum(keys, n).index_add(0, taken.rows, keys[taken.cols], alpha=-1)

    def _taken(self, n: int, m: int, device: torch.device | None) -> Pairs | None:
        """Of a dense `left & ~sparse`: the pairs of the left side that are not in the whole."""
        if not isinstance(self.right, _Not) or self.left.pairs(n, m, device) is not None:
            return None
        found = self.right.inner.pairs(n, m, device)
        return None if found is None else filtered(found._replace(weights=None), self.left.at(*found[:2]))


class _Either(Relation):
    def __init__(self, left: Relation, right: Relation) -> None:
        self.left, self.right = left, right
        self.symmetric = left.symmetric and right.symmetric
        self.by_place = left.by_place and right.by_place

    def lowered(self) -> Lowered:
        return Either(self.left.lowered(), self.right.lowered())

    def at(self, rows: Tensor, cols: Tensor) -> Tensor:
        return torch.maximum(self.left.at(rows, cols), self.right.at(rows, cols))

    def tile(self, rows: slice, cols: slice, device: torch.device | None = None) -> Tensor:
        return torch.maximum(self.left.tile(rows, cols, device), self.right.tile(rows, cols, device))

    def check(self, parameter: str, n_queries: int, n_keys: int) -> None:
        self.left.check(parameter, n_queries, n_keys)
        self.right.check(parameter, n_queries, n_keys)

    def transposed(self) -> Relation:
        return _Either(self.left.transposed(), self.right.transposed())

    def towards(self, ranks: Ranks) -> list[Relation]:
        sides = zip(self.left.towards(ranks), self.right.towards(ranks), strict=True)
        return [_Either(left, right) for left, right in sides]

    def pairs(self, n: int, m: int, device: torch.device | None = None) -> Pairs | None:
        left, right = self.left.pairs(n, m, device), self.right.pairs(n, m, device)
        if left is None or right is None:
            return None
        places = torch.cat([left.rows * m + left.cols, right.rows * m + right.cols]).unique()
        rows, cols = places // m, places % m
        values = self.at(rows, cols)
        return Pairs(rows, cols, None if values.dtype == torch.bool else values)


class _Not(Relation):
    def __init__(self, inner: Relation) -> None:
        self.inner, self.symmetric = inner, inner.symmetric

    def lowered(self) -> Lowered:
        return Not(self.inner.lowered())

    def at(self, rows: Tensor, cols: Tensor) -> Tensor:
        return self.inner.at(rows, cols) == 0

    def tile(self, rows: slice, cols: slice, device: torch.device | None = None) -> Tensor:
        tile = self.inner.tile(rows, cols, device)
        return ~tile if tile.dtype == torch.bool else tile == 0

    def check(self, parameter: str, n_queries: int, n_keys: int) -> None:
        self.inner.check(parameter, n_queries, n_keys)

    def transposed(self) -> Relation:
        return _Not(self.inner.transposed())

    def towards(self, ranks: Ranks) -> list[Relation]:
        return [_Not(inner) for inner in self.inner.towards(ranks)]

    def pairs(self, n: int, m: int, device: torch.device | None = None) -> Pairs | None:
        """Twice inverted, a relation is what it was without its weights."""
        found = self.inner.inner.pairs(n, m, device) if isinstance(self.inner, _Not) else None
        return None if found is None else found._replace(weights=None)

    def counts(self, n: int, m: int, device: torch.device | None = None) -> tuple[Tensor, Tensor]:
        rows, cols = self.inner.counts(n, m, device)
        return m - rows, n - cols


class _Transposed(Relation):
    def lowered(self) -> Lowered:
        return NotLowered("a transposed list or matrix is read from the other side")

    def __init__(self, inner: Relation) -> None:
        self.inner, self.by_place = inner, inner.by_place

    def at(self, rows: Tensor, cols: Tensor) -> Tensor:
        return self.inner.at(cols, rows)

    def tile(self, rows: slice, cols: slice, device: torch.device | None = None) -> Tensor:
        return self.inner.tile(cols, rows, device).T

    def check(self, parameter: str, n_queries: int, n_keys: int) -> None:
        self.inner.check(parameter, n_keys, n_queries)

    def pairs(self, n: int, m: int, device: torch.device | None = None) -> Pairs | None:
        if (found := self.inner.pairs(m, n, device)) is None:
            return None
        order = found.cols.argsort(stable=True)
        weights = None if found.weights is None else found.weights[order]
        return Pairs(found.cols[order], found.rows[order], weights)

    def counts(self, n: int, m: int, device: torch.device | None = None) -> tuple[Tensor, Tensor]:
        return self.inner.counts(m, n, device)[::-1]


class _Nobody(Relation):
    symmetric = listed = True

    def at(self, rows: Tensor, cols: Tensor) -> Tensor:
        return torch.zeros(torch.broadcast_shapes(rows.shape, cols.shape), dtype=torch.bool, device=rows.device)

    def check(self, parameter: str, n_queries: int, n_keys: int) -> None:
        """Any shape will do."""

    def pairs(self, n: int, m: int, device: torch.device | None = None) -> Pairs:  # noqa: ARG002
        none = torch.zeros(0, dtype=torch.long, device=device)
        return Pairs(none, none)
