"""Two relations of the same queries, to keys and to further keys behind them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from tellapart.relations.composed import Nothing
from tellapart.relations.lowered import Beside, Lowered
from tellapart.relations.pairs import Pairs
from tellapart.relations.relation import Relation, is_boolean

if TYPE_CHECKING:
    from jaxtyping import Int, Shaped


def beside(left: Relation | None, m: int, right: Relation | None) -> Relation:
    """The relation of queries to m keys, by `left`, and to further keys behind them, by `right`; `None` relates none.

    >>> from tellapart.relations import paired, same
    >>> beside(paired(), 2, same([7, 8], [8, 8, 9])).tile(slice(0, 2), slice(0, 5)).int().tolist()
    [[1, 0, 0, 0, 0], [0, 1, 1, 1, 0]]
    """
    return _Beside(left or Nothing(), m, right or Nothing())


class _Beside(Relation):
    def __init__(self, left: Relation, m: int, right: Relation) -> None:
        self.left, self.m, self.right = left, m, right
        self.listed = left.listed and right.listed

    def __repr__(self) -> str:
        return f"beside({self.left!r}, {self.m}, {self.right!r})"

    def _is_boolean(self) -> bool:
        return is_boolean(self.left) and is_boolean(self.right)

    def lowered(self) -> Lowered:
        return Beside(self.left.lowered(), self.right.lowered(), self.m)

    def at(self, rows: Int[Tensor, "*shape"], cols: Int[Tensor, "*shape"]) -> Shaped[Tensor, "*shape"]:
        left = self.left.at(rows, cols.clamp(max=self.m - 1))
        return torch.where(cols < self.m, left, self.right.at(rows, (cols - self.m).clamp(min=0)))

    def tile(self, rows: slice, cols: slice, device: torch.device | None = None) -> Shaped[Tensor, "r c"]:
        left = self.left.tile(rows, slice(min(cols.start, self.m), min(cols.stop, self.m)), device)
        behind = slice(max(cols.start - self.m, 0), max(cols.stop - self.m, 0))
        return torch.cat([left, self.right.tile(rows, behind, device)], dim=1)

    def check(self, parameter: str, n_queries: int, n_keys: int) -> None:
        self.left.check(parameter, n_queries, self.m)
        self.right.check(parameter, n_queries, n_keys - self.m)

    def pairs(self, n: int, m: int, device: torch.device | None = None) -> Pairs | None:
        left, right = self.left.pairs(n, self.m, device), self.right.pairs(n, m - self.m, device)
        if left is None or right is None or not len(right.rows):
            return left if right is not None else None
        rows, cols = torch.cat([left.rows, right.rows]), torch.cat([left.cols, right.cols + self.m])
        order = rows.argsort(stable=True)
        weights = None
        if left.weights is not None or right.weights is not None:
            weights = torch.cat([_ones_or(side) for side in (left, right)])[order]
        return Pairs(rows[order], cols[order], weights)

    def avoids(self, other: Relation) -> bool:
        if not isinstance(other, _Beside) or other.m != self.m:
            return False
        return self.left.avoids(other.left) and (isinstance(self.right, Nothing) or self.right.avoids(other.right))


def _ones_or(side: Pairs) -> Tensor:
    return torch.ones(len(side.rows), device=side.rows.device) if side.weights is None else side.weights
