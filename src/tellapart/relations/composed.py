"""Relations made of others: both, either, not, and seen from the other side."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from tellapart.errors import at_hand
from tellapart.relations.boxes import meeting
from tellapart.relations.lowered import Both, Either, Lowered, Not, NotLowered, PairList, representable
from tellapart.relations.pairs import Pairs, few, filtered
from tellapart.relations.relation import Relation, is_boolean

if TYPE_CHECKING:
    from tellapart.relations.ranks import Ranks


class Intersection(Relation):
    """Related by both; weights multiply."""

    def __init__(self, left: Relation, right: Relation) -> None:
        self.left, self.right = left, right
        self.symmetric = left.symmetric and right.symmetric
        self.by_place = left.by_place or right.by_place

    def __repr__(self) -> str:
        return f"({self.left!r} & {self.right!r})"

    def _is_boolean(self) -> bool:
        return is_boolean(self.left) and is_boolean(self.right)

    def lowered(self) -> Lowered:
        return Both(self.left.lowered(), self.right.lowered())

    def at(self, rows: Tensor, cols: Tensor) -> Tensor:
        return representable(torch.mul(self.left.at(rows, cols), self.right.at(rows, cols)))

    def tile(self, rows: slice, cols: slice, device: torch.device | None = None) -> Tensor:
        left = self.left.tile(rows, cols, device)
        if isinstance(self.right, Complement) and left.dtype == torch.bool:
            taken = self.right.inner.tile(rows, cols, device)
            return left > (taken if taken.dtype == torch.bool else taken > 0)
        return representable(left * self.right.tile(rows, cols, device))

    def avoids(self, other: Relation) -> bool:
        parts = self.left, self.right
        inverted = (part.inner for part in parts if isinstance(part, Complement))
        same = any(inner is other or (inner.diagonal and other.diagonal) for inner in inverted)
        return same or any(part.avoids(other) for part in parts)

    def check(self, parameter: str, n_queries: int, n_keys: int) -> None:
        self.left.check(parameter, n_queries, n_keys)
        self.right.check(parameter, n_queries, n_keys)

    def transposed(self) -> Relation:
        return Intersection(self.left.transposed(), self.right.transposed())

    def towards(self, ranks: Ranks) -> list[Relation]:
        sides = zip(self.left.towards(ranks), self.right.towards(ranks), strict=True)
        return [Intersection(left, right) for left, right in sides]

    def pairs(self, n: int, m: int, device: torch.device | None = None) -> Pairs | None:
        """The pairs of the sparse side that the other side relates, too; or of no sparse side, where all sides meet."""
        for one, other in ((self.left, self.right), (self.right, self.left)):
            if (found := one.pairs(n, m, device)) is not None:
                if not at_hand(found.rows):
                    return None  # how many of them are left is a value
                return filtered(found, other.at(found.rows, found.cols))
        if device is not None and not at_hand(torch.empty(0, device=device)):
            return None
        if (near := meeting([part.coordinates() for part in self._parts()])) is None:
            return None
        rows, cols = (places.to(device) for places in near)
        found = filtered(Pairs(rows, cols), self.at(rows, cols))
        return found if few(len(found.rows), n, m) else None

    def _parts(self) -> list[Relation]:
        sides = self.left, self.right
        return [part for side in sides for part in (side._parts() if isinstance(side, Intersection) else [side])]

    def counts(self, n: int, m: int, device: torch.device | None = None) -> tuple[Tensor, Tensor]:
        """Those of the left side less those that a sparse `~right` takes away."""
        if (taken := self._taken(n, m, device)) is None:
            return super().counts(n, m, device)
        counts, (places, is_taken) = self.left.counts(n, m, device), taken
        rows, cols = (x.index_add(0, p, is_taken.to(x), alpha=-1) for x, p in zip(counts, places, strict=True))
        return rows, cols

    def gather_sum(self, keys: Tensor, n: int) -> Tensor:
        """The sum over a boolean left side less that over what a sparse `~right` takes away."""
        taken = self._taken(n, len(keys), keys.device)
        # Weights can differ so much that little is left of a difference.
        if taken is None or not is_boolean(self.left):
            return super().gather_sum(keys, n)
        (rows, cols), is_taken = taken
        return self.left.gather_sum(keys, n).index_add(0, rows, keys[cols] * is_taken.to(keys)[:, None], alpha=-1)

    def _taken(self, n: int, m: int, device: torch.device | None) -> tuple[tuple[Tensor, Tensor], Tensor] | None:
        """Of a dense `left & ~sparse`: the pairs of the sparse side, and which of them the left side loses."""
        if not isinstance(self.right, Complement) or self.left.pairs(n, m, device) is not None:
            return None
        found = self.right.inner.pairs(n, m, device)
        return None if found is None else (found[:2], self.left.at(*found[:2]) > 0)


class Union(Relation):
    """Related by either; of two weights the larger."""

    def __init__(self, left: Relation, right: Relation) -> None:
        self.left, self.right = left, right
        self.symmetric = left.symmetric and right.symmetric
        self.by_place = left.by_place and right.by_place

    def __repr__(self) -> str:
        return f"({self.left!r} | {self.right!r})"

    def _is_boolean(self) -> bool:
        return is_boolean(self.left) and is_boolean(self.right)

    def lowered(self) -> Lowered:
        return Either(self.left.lowered(), self.right.lowered())

    def at(self, rows: Tensor, cols: Tensor) -> Tensor:
        return torch.maximum(self.left.at(rows, cols), self.right.at(rows, cols))

    def tile(self, rows: slice, cols: slice, device: torch.device | None = None) -> Tensor:
        return torch.maximum(self.left.tile(rows, cols, device), self.right.tile(rows, cols, device))

    def avoids(self, other: Relation) -> bool:
        return all(part.avoids(other) or other.avoids(part) for part in (self.left, self.right))

    def check(self, parameter: str, n_queries: int, n_keys: int) -> None:
        self.left.check(parameter, n_queries, n_keys)
        self.right.check(parameter, n_queries, n_keys)

    def transposed(self) -> Relation:
        return Union(self.left.transposed(), self.right.transposed())

    def towards(self, ranks: Ranks) -> list[Relation]:
        sides = zip(self.left.towards(ranks), self.right.towards(ranks), strict=True)
        return [Union(left, right) for left, right in sides]

    def pairs(self, n: int, m: int, device: torch.device | None = None) -> Pairs | None:
        left, right = self.left.pairs(n, m, device), self.right.pairs(n, m, device)
        if left is None or right is None:
            return None
        places = torch.cat([left.rows * m + left.cols, right.rows * m + right.cols]).unique()
        rows, cols = places // m, places % m
        values = self.at(rows, cols)
        return Pairs(rows, cols, None if values.dtype == torch.bool else values)


class Complement(Relation):
    """Not related."""

    def __init__(self, inner: Relation) -> None:
        self.inner, self.symmetric = inner, inner.symmetric

    def __repr__(self) -> str:
        return f"~{self.inner!r}"

    def _is_boolean(self) -> bool:
        return True

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
        return Complement(self.inner.transposed())

    def towards(self, ranks: Ranks) -> list[Relation]:
        return [Complement(inner) for inner in self.inner.towards(ranks)]

    def pairs(self, n: int, m: int, device: torch.device | None = None) -> Pairs | None:
        """Twice inverted, a relation is what it was without its weights."""
        found = self.inner.inner.pairs(n, m, device) if isinstance(self.inner, Complement) else None
        return None if found is None else found._replace(weights=None)

    def counts(self, n: int, m: int, device: torch.device | None = None) -> tuple[Tensor, Tensor]:
        rows, cols = self.inner.counts(n, m, device)
        return m - rows, n - cols


def but_not(left: Relation, right: Relation) -> Relation:
    """`left & ~right`, which a compiler can trace: of a relation it does not know `~`.

    >>> from tellapart.relations import paired, same
    >>> but_not(same([7, 7]), paired()).tile(slice(0, 2), slice(0, 2)).int().tolist()
    [[0, 1], [1, 0]]
    """
    return Intersection(left, Complement(right))


class Transposed(Relation):
    """The same pairs seen from the keys."""

    def __repr__(self) -> str:
        return f"{self.inner!r}.transposed()"

    def _is_boolean(self) -> bool:
        return is_boolean(self.inner)

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


class Nothing(Relation):
    """No pair."""

    symmetric = listed = True

    def __repr__(self) -> str:
        return "~everyone()"

    def lowered(self) -> Lowered:
        return PairList(torch.zeros(0, dtype=torch.long), 1, None)

    def check(self, parameter: str, n_queries: int, n_keys: int) -> None:
        """Any shape will do."""

    def pairs(self, n: int, m: int, device: torch.device | None = None) -> Pairs:  # noqa: ARG002
        none = torch.zeros(0, dtype=torch.long, device=device)
        return Pairs(none, none)
