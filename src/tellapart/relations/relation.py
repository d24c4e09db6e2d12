"""What a relation is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from tellapart import _html
from tellapart.errors import requirement
from tellapart.relations.lowered import Beside, Both, Either, Lowered, Not, NotLowered
from tellapart.relations.pairs import Pairs, counted
from tellapart.relations.sums import tiled_sum

if TYPE_CHECKING:
    from jaxtyping import Float, Int, Shaped

    from tellapart.relations.ranks import Ranks

_TILE = 1024


class Relation(ABC):
    """A boolean or non-negatively weighted matrix between queries (rows) and keys (columns).

    Tiles are read from several threads at once, so that `at` must not change the relation.
    A new kind of relation needs `check`, and `lowered` or `at`. The other methods follow from them, and are worth
    overriding where there is a way that does not read the whole matrix.
    """

    symmetric = False
    """Whether `R_ij = R_ji` for certain, so that a loss with queries as keys may read one half."""

    listed = False
    """Whether `pairs` are at hand, without a search."""

    diagonal = False
    """Whether it relates each i with i, and nothing else."""

    by_place = False
    """Whether it goes by the positions of rows, and not by ids: then it relates no rows of different processes."""

    def at(self, rows: Int[Tensor, "*shape"], cols: Int[Tensor, "*shape"]) -> Shaped[Tensor, "*shape"]:
        """The entries at these places, which broadcast: booleans, or weights ≥ 0, on the places' device."""
        lowered = self.lowered()
        if isinstance(lowered, Both | Either | Not | Beside | NotLowered):
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

    def tiles(self, n: int, m: int, device: torch.device | None) -> Iterator[tuple[slice, slice, Tensor]]:
        """All tiles of the matrix of n queries and m keys, with their rows and columns."""
        for r in range(0, n, _TILE):
            for c in range(0, m, _TILE):
                rows, cols = slice(r, min(r + _TILE, n)), slice(c, min(c + _TILE, m))
                yield rows, cols, self.tile(rows, cols, device)

    def _is_boolean(self) -> bool:
        return self.tile(slice(0, 0), slice(0, 0)).dtype == torch.bool

    def pairs(self, n: int, m: int, device: torch.device | None = None) -> Pairs | None:  # noqa: ARG002
        """The related pairs among n queries and m keys, or `None` if they are not few or not easily found."""
        return None

    def turned(self, n: int, m: int) -> int | None:  # noqa: ARG002
        """The t, 0 or n/2, with which query i is related to key `(i + t) mod n` alone; `None` if none is certain."""
        return None

    def coordinates(self) -> tuple[Float[Tensor, "n axes"], Float[Tensor, "m axes"]] | None:
        """Where queries and keys lie, so that related ones are at most 1 apart along each axis; `None` if unknown.

        So the pairs that several relations share are found, where none of these has few.
        """
        return None

    def counts(self, n: int, m: int, device: torch.device | None = None) -> tuple[Tensor, Tensor]:
        """How many keys each query is related to, and how many queries each key."""
        if (pairs := self.pairs(n, m, device)) is not None:
            return counted(pairs.rows, n), counted(pairs.cols, m)
        rows, cols = torch.zeros(n, dtype=torch.long, device=device), torch.zeros(m, dtype=torch.long, device=device)
        for r, c, tile in self.tiles(n, m, device):
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
        return self if self.symmetric else composed.Transposed(self)

    def towards(self, ranks: Ranks) -> list[Relation]:
        """The relations of this process's queries to the keys of each process, from those to its own keys.

        What goes by position relates no keys of other ranks; what goes by id compares the ids. All processes
        must call it.

        Raises:
            ValueError: a kind of relation that cannot tell.
        """
        if self.by_place:
            return [self if rank == ranks.rank else composed.Nothing() for rank in range(ranks.size)]
        known = "paired, listed, other_views, edges, dense, everyone, same, within, gaussian and before"
        must = f"be made of {known} in a group"
        raise ValueError(requirement("relation", must, type(self).__name__))

    def avoids(self, other: Relation) -> bool:  # noqa: ARG002
        """Whether it is certain, without a look at the pairs, that no pair is related by both.

        >>> from tellapart.relations import paired, same
        >>> (same([1, 1]) & ~paired()).avoids(paired())
        True
        """
        return False

    def __and__(self, other: Relation) -> Relation:
        """Related by both; weights multiply."""
        return composed.Intersection(self, other)

    def __or__(self, other: Relation) -> Relation:
        """Related by either; of two weights the larger."""
        return composed.Union(self, other)

    def __invert__(self) -> Relation:
        """The pairs that are not related."""
        return composed.Complement(self)

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"

    def _repr_html_(self) -> str:
        told = {
            "entries": "booleans" if is_boolean(self) else "weights",
            "symmetric": "yes" if self.symmetric else "not for certain",
            "goes by": "the position of rows" if self.by_place else "ids or values",
        }
        return _html.facts(repr(self), told)


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
    return relation._is_boolean()


def _span(tile_range: slice, device: torch.device | None) -> Tensor:
    return torch.arange(tile_range.start, tile_range.stop, device=device)


# At the end, for the composed relations are relations, and every relation can be composed.
from tellapart.relations import composed  # noqa: E402
