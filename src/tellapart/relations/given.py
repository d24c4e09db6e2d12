"""Relations that are given pair by pair or as a matrix, with or without weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from tellapart.errors import requirement, values_are_checked
from tellapart.relations.ids import integers
from tellapart.relations.kinds import check_range, check_size
from tellapart.relations.lowered import Lowered, NotLowered, PairList, representable
from tellapart.relations.pairs import Pairs
from tellapart.relations.relation import Relation

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int


def edges(edge_index: Int[Tensor, "2 e"], weight: Float[Tensor, " e"] | None = None) -> Relation:
    """Given pairs: query `edge_index[0, e]` with key `edge_index[1, e]`, with a weight ≥ 0 if there are weights.

    A pair that is given twice counts once, and its weights add up; a pair of weight 0 is not related.
    Weights are constants: no gradient.

    Raises:
        TypeError: `edge_index` does not hold integers.
        ValueError: shapes that do not fit, a weight that is negative or not finite; at use, a row not there.

    >>> edges(torch.tensor([[0, 0], [1, 2]])).tile(slice(0, 2), slice(0, 3)).int().tolist()
    [[0, 1, 1], [0, 0, 0]]
    """
    edge_index = torch.as_tensor(edge_index)
    if edge_index.ndim != 2 or len(edge_index) != 2:
        raise ValueError(requirement("edge_index", "have shape (2, edges)", f"shape {tuple(edge_index.shape)}"))
    rows, cols = (integers("edge_index", side) for side in edge_index)
    if values_are_checked(edge_index) and bool((edge_index < 0).any()):
        raise ValueError(requirement("edge_index", "not be negative", int(edge_index.min())))
    if weight is not None:
        weight = _weights("weight", torch.as_tensor(weight))
        if weight.shape != rows.shape:
            raise ValueError(
                requirement("weight", f"have one entry per edge, ({len(rows)},)", f"shape {tuple(weight.shape)}")
            )
        kept = weight > 0
        rows, cols, weight = rows[kept], cols[kept], weight[kept]
    return _Edges(rows, cols, weight)


def dense(matrix: Bool[Tensor, "n m"] | Float[Tensor, "n m"]) -> Relation:
    """A given matrix: booleans, or weights ≥ 0 (soft positives). Weights are constants: no gradient.

    Raises:
        ValueError: not two-dimensional, or a weight that is negative or not finite.

    >>> dense(torch.tensor([[0.0, 0.5], [1.0, 0.0]])).tile(slice(0, 1), slice(0, 2)).tolist()
    [[0.0, 0.5]]
    """
    matrix = torch.as_tensor(matrix)
    if matrix.ndim != 2:
        raise ValueError(requirement("matrix", "have 2 dimensions (queries, keys)", f"shape {tuple(matrix.shape)}"))
    return _Dense(matrix.detach() if matrix.dtype == torch.bool else _weights("matrix", matrix))


def _weights(parameter: str, weights: Tensor) -> Tensor:
    weights = weights.detach()
    weights = weights if weights.is_floating_point() else weights.to(torch.get_default_dtype())
    bad = ~((weights >= 0) & weights.isfinite())
    if values_are_checked(weights) and bool(bad.any()):
        raise ValueError(requirement(parameter, "hold finite weights ≥ 0", weights[bad][0].item()))
    return representable(weights)


class _Edges(Relation):
    by_place = True

    def __init__(self, rows: Tensor, cols: Tensor, weights: Tensor | None) -> None:
        self.stride = int(cols.max()) + 1 if len(cols) else 1
        self.place, where = (rows * self.stride + cols).unique(return_inverse=True)
        self.weights = None if weights is None else weights.new_zeros(len(self.place)).index_add(0, where, weights)

    def __repr__(self) -> str:
        return f"edges({len(self.place)} {'pairs' if self.weights is None else 'weighted pairs'})"

    def lowered(self) -> Lowered:
        return PairList(self.place, self.stride, self.weights)

    def check(self, parameter: str, n_queries: int, n_keys: int) -> None:
        check_range(parameter, "queries", self.place // self.stride, n_queries)
        check_range(parameter, "keys", self.place % self.stride, n_keys)

    def pairs(self, n: int, m: int, device: torch.device | None = None) -> Pairs:  # noqa: ARG002
        place = self.place.to(device)
        return Pairs(
            place // self.stride, place % self.stride, None if self.weights is None else self.weights.to(device)
        )


class _Dense(Relation):
    by_place = True

    def __init__(self, matrix: Tensor) -> None:
        self.matrix = matrix

    def __repr__(self) -> str:
        n, m = self.matrix.shape
        return f"dense({n} × {m} {'booleans' if self.matrix.dtype == torch.bool else 'weights'})"

    def lowered(self) -> Lowered:
        return NotLowered("a given matrix is read from memory, tile by tile")

    def at(self, rows: Tensor, cols: Tensor) -> Tensor:
        return self.matrix.to(rows.device)[rows, cols]

    def tile(self, rows: slice, cols: slice, device: torch.device | None = None) -> Tensor:
        return self.matrix[rows, cols].to(device)

    def check(self, parameter: str, n_queries: int, n_keys: int) -> None:
        check_size(parameter, "queries", self.matrix.shape[0], n_queries)
        check_size(parameter, "keys", self.matrix.shape[1], n_keys)
