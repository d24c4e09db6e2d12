"""Who is related to whom: lazily evaluated matrices between queries and keys.

A `Relation` says which keys are a query's positives, or which leave the line-up. It derives from ids,
never from where a row happens to stand, and it is evaluated tile by tile, so that no n×m matrix
exists unless somebody hands one in. Relations compose: `same(a) & ~paired()`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from tellapart.errors import requirement, values_are_checked

if TYPE_CHECKING:
    import numpy as np
    from jaxtyping import Bool, Float, Int, Shaped

    Ids = Int[Tensor, " n"] | Int[np.ndarray, " n"] | Sequence[Hashable]


class Relation(ABC):
    """A boolean or non-negatively weighted matrix between queries (rows) and keys (columns)."""

    @abstractmethod
    def tile(self, rows: slice, cols: slice, device: torch.device | None = None) -> Shaped[Tensor, "r c"]:
        """The part of the matrix in `rows` × `cols` (bounded slices): boolean, or weights ≥ 0."""

    @abstractmethod
    def check(self, parameter: str, n_queries: int, n_keys: int) -> None:
        """Raise `ValueError` if the relation is not one between `n_queries` and `n_keys`."""

    def __and__(self, other: Relation) -> Relation:
        """Related by both; weights multiply."""
        return _Combined(self, other, torch.mul)

    def __or__(self, other: Relation) -> Relation:
        """Related by either; of two weights the larger."""
        return _Combined(self, other, torch.maximum)

    def __invert__(self) -> Relation:
        """Everyone the relation leaves out."""
        return _Not(self)


def paired() -> Relation:
    """Query i with key i: `R_ij = [i = j]`. Further keys, if there are any, are related to nobody.

    >>> paired().tile(slice(0, 2), slice(0, 3)).int().tolist()
    [[1, 0, 0], [0, 1, 0]]
    """
    return _Paired()


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
    return _Listed(_integers("index", index))


def same(query_ids: Ids, key_ids: Ids | None = None) -> Relation:
    """Pairs with equal ids: `R_ij = [id(q_i) = id(k_j)]`. Labels, instance ids, captions, file names.

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
    if _is_numeric(query_ids) and _is_numeric(keys):
        rows = _integers("query_ids", torch.as_tensor(query_ids))
        return _Same(rows, rows if key_ids is None else _integers("key_ids", torch.as_tensor(keys)))
    numbers: dict[Hashable, int] = {}
    return _Same(_numbered(query_ids, numbers), _numbered(keys, numbers))


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
    matrix = matrix.detach()
    if matrix.dtype != torch.bool:
        matrix = matrix if matrix.is_floating_point() else matrix.to(torch.get_default_dtype())
        bad = ~((matrix >= 0) & matrix.isfinite())
        if values_are_checked(matrix) and bool(bad.any()):
            raise ValueError(requirement("matrix", "hold finite weights ≥ 0", matrix[bad][0].item()))
    return _Dense(matrix)


def check_relation(parameter: str, relation: object, n_queries: int, n_keys: int) -> None:
    """Raise unless `relation` is one between `n_queries` and `n_keys`.

    Raises:
        TypeError: not a relation: a matrix needs `dense()` around it.
        ValueError: a relation of another size.

    >>> check_relation("positives", same([1, 2]), 2, 2)
    """
    if not isinstance(relation, Relation):
        must = "be a relation, such as paired(), same(ids) or dense(matrix)"
        raise TypeError(requirement(parameter, must, type(relation).__name__))
    relation.check(parameter, n_queries, n_keys)


def _integers(parameter: str, ids: Tensor) -> Tensor:
    if ids.is_floating_point() or ids.is_complex():
        raise TypeError(requirement(parameter, "hold integers or hashable ids", ids.dtype))
    if ids.ndim != 1:
        raise ValueError(requirement(parameter, "have 1 dimension", f"shape {tuple(ids.shape)}"))
    return ids


def _is_numeric(ids: Ids) -> bool:
    """Whether ids are a tensor or an array of numbers, which need no numbering of ours."""
    return isinstance(ids, Tensor) or getattr(getattr(ids, "dtype", None), "kind", "O") in "biufc"


def _numbered(ids: Ids, numbers: dict[Hashable, int]) -> Tensor:
    """Each id's number, in order of first appearance; `numbers` is extended by the new ones."""
    # A 0-d tensor hashes by identity, so it counts by its value.
    values = (x.item() if isinstance(x, Tensor) else x for x in (ids.tolist() if hasattr(ids, "tolist") else ids))
    return torch.tensor([numbers.setdefault(x, len(numbers)) for x in values], dtype=torch.long)


def _span(tile_range: slice, device: torch.device | None) -> Tensor:
    return torch.arange(tile_range.start, tile_range.stop, device=device)


def _check_size(parameter: str, side: str, found: int, needed: int) -> None:
    if found != needed:
        raise ValueError(requirement(parameter, f"relate as many {side} as there are, {needed}", found))


class _Paired(Relation):
    def tile(self, rows: slice, cols: slice, device: torch.device | None = None) -> Tensor:
        return _span(rows, device)[:, None] == _span(cols, device)

    def check(self, parameter: str, n_queries: int, n_keys: int) -> None:
        """Any shape will do: that a query has no key of its own is for the loss to judge."""


class _Listed(Relation):
    def __init__(self, index: Tensor) -> None:
        self.index = index

    def tile(self, rows: slice, cols: slice, device: torch.device | None = None) -> Tensor:
        return self.index[rows].to(device)[:, None] == _span(cols, device or self.index.device)

    def check(self, parameter: str, n_queries: int, n_keys: int) -> None:
        _check_size(parameter, "queries", len(self.index), n_queries)
        outside = (self.index < 0) | (self.index >= n_keys)
        if values_are_checked(self.index) and bool(outside.any()):
            must = f"list keys between 0 and {n_keys - 1}"
            raise ValueError(requirement(parameter, must, self.index[outside][0].item()))


class _Same(Relation):
    def __init__(self, query_ids: Tensor, key_ids: Tensor) -> None:
        self.query_ids, self.key_ids = query_ids, key_ids

    def tile(self, rows: slice, cols: slice, device: torch.device | None = None) -> Tensor:
        return self.query_ids[rows].to(device)[:, None] == self.key_ids[cols].to(device)

    def check(self, parameter: str, n_queries: int, n_keys: int) -> None:
        _check_size(parameter, "queries", len(self.query_ids), n_queries)
        _check_size(parameter, "keys", len(self.key_ids), n_keys)


class _Dense(Relation):
    def __init__(self, matrix: Tensor) -> None:
        self.matrix = matrix

    def tile(self, rows: slice, cols: slice, device: torch.device | None = None) -> Tensor:
        return self.matrix[rows, cols].to(device)

    def check(self, parameter: str, n_queries: int, n_keys: int) -> None:
        _check_size(parameter, "queries", self.matrix.shape[0], n_queries)
        _check_size(parameter, "keys", self.matrix.shape[1], n_keys)


class _Combined(Relation):
    def __init__(self, left: Relation, right: Relation, combine: Callable[[Tensor, Tensor], Tensor]) -> None:
        self.left, self.right, self.combine = left, right, combine

    def tile(self, rows: slice, cols: slice, device: torch.device | None = None) -> Tensor:
        return self.combine(self.left.tile(rows, cols, device), self.right.tile(rows, cols, device))

    def check(self, parameter: str, n_queries: int, n_keys: int) -> None:
        self.left.check(parameter, n_queries, n_keys)
        self.right.check(parameter, n_queries, n_keys)


class _Not(Relation):
    def __init__(self, inner: Relation) -> None:
        self.inner = inner

    def tile(self, rows: slice, cols: slice, device: torch.device | None = None) -> Tensor:
        return self.inner.tile(rows, cols, device) == 0

    def check(self, parameter: str, n_queries: int, n_keys: int) -> None:
        self.inner.check(parameter, n_queries, n_keys)
