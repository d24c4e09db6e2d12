"""The lowered form of a relation: plain tensors and numbers from which a kernel evaluates any tile of the matrix.

A kernel on another device reads these records and knows nothing of relations. Each says in `at` what it means, and that
is also how the relations of this package compute their entries.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int, Real, Shaped

ULPS = 16
"""By how many a product may be below a level that it reaches."""
_SMALLEST = torch.finfo(torch.float32).tiny


def representable(weights: Shaped[Tensor, "..."]) -> Shaped[Tensor, "..."]:
    """The weights, 0 where float32, in which a loss may be computed, would have 0.

    >>> representable(torch.tensor([1.0, 1e-60], dtype=torch.float64)).tolist()
    [1.0, 0.0]
    """
    return weights.masked_fill(weights < _SMALLEST, 0) if weights.is_floating_point() else weights


class Everything(NamedTuple):
    """`R_ij = 1`."""

    def at(self, rows: Tensor, cols: Tensor) -> Bool[Tensor, "*shape"]:
        """The entries at these places, which broadcast."""
        return torch.ones(torch.broadcast_shapes(rows.shape, cols.shape), dtype=torch.bool, device=rows.device)


class Diagonal(NamedTuple):
    """`R_ij = [i ≡ j mod period]`, with or without the main diagonal; of no period `[i = j]`."""

    period: int = 0
    with_main: bool = True

    def at(self, rows: Tensor, cols: Tensor) -> Bool[Tensor, "*shape"]:
        """The entries at these places, which broadcast."""
        if not self.period:
            return rows == cols
        same = rows % self.period == cols % self.period
        return same if self.with_main else same & (rows != cols)


class IndexEqual(NamedTuple):
    """`R_ij = [key_of_i = j]`."""

    key_of: Int[Tensor, " n"]

    def at(self, rows: Tensor, cols: Tensor) -> Bool[Tensor, "*shape"]:
        """The entries at these places, which broadcast."""
        return self.key_of.to(rows.device)[rows] == cols


class IdsEqual(NamedTuple):
    """`R_ij = [a_i = b_j]`."""

    query_ids: Int[Tensor, " n"]
    key_ids: Int[Tensor, " m"]

    def at(self, rows: Tensor, cols: Tensor) -> Bool[Tensor, "*shape"]:
        """The entries at these places, which broadcast."""
        return self.query_ids.to(rows.device)[rows] == self.key_ids.to(cols.device)[cols]


class WithinRadius(NamedTuple):
    """`R_ij = [|t_i − u_j| ≤ radius]`, of times or, in the Euclidean distance, of points."""

    query_times: Real[Tensor, " n"] | Real[Tensor, "n axes"]
    key_times: Real[Tensor, " m"] | Real[Tensor, "m axes"]
    radius: float

    def at(self, rows: Tensor, cols: Tensor) -> Bool[Tensor, "*shape"]:
        """The entries at these places, which broadcast."""
        apart = _apart(self.query_times, self.key_times, rows, cols)
        if self.query_times.ndim == 1:
            return apart.abs() <= self.radius
        # Not squared, lest a large distance overflow or a small radius vanish.
        near: Tensor = torch.linalg.vector_norm(apart, dim=-1) <= self.radius
        return near


class GaussianWeight(NamedTuple):
    """`W_ij = exp(−(t_i − u_j)²/2σ²)`, 0 where float32 has no number for it."""

    query_times: Real[Tensor, " n"]
    key_times: Real[Tensor, " m"]
    sigma: float

    def at(self, rows: Tensor, cols: Tensor) -> Float[Tensor, "*shape"]:
        """The entries at these places, which broadcast."""
        apart = _apart(self.query_times, self.key_times, rows, cols)
        return representable(torch.exp(-0.5 * (apart / self.sigma).square()))


class EarlierKey(NamedTuple):
    """`R_ij = [u_j < t_i]`, of times."""

    query_times: Real[Tensor, " n"]
    key_times: Real[Tensor, " m"]

    def at(self, rows: Tensor, cols: Tensor) -> Bool[Tensor, "*shape"]:
        """The entries at these places, which broadcast."""
        return self.key_times.to(cols.device)[cols] < self.query_times.to(rows.device)[rows]


class ProductReaches(NamedTuple):
    """`R_ij = [q_i·k_j ≥ a_i + b_j]`, up to rounding: each level is one number, or one per query or per key."""

    queries: Float[Tensor, "n d"]
    keys: Float[Tensor, "m d"]
    of_query: Float[Tensor, "#n"]
    of_key: Float[Tensor, "#m"]

    def at(self, rows: Tensor, cols: Tensor) -> Bool[Tensor, "*shape"]:
        """The entries at these places, which broadcast."""
        products = torch.einsum("...d,...d->...", self.queries.to(rows.device)[rows], self.keys.to(cols.device)[cols])
        return reaches(products, _level(self.of_query, rows) + _level(self.of_key, cols))


class PairList(NamedTuple):
    """Listed pairs, numbered `i · stride + j` in ascending order; with weights, or ones."""

    places: Int[Tensor, " p"]
    stride: int
    weights: Float[Tensor, " p"] | None

    def at(self, rows: Tensor, cols: Tensor) -> Shaped[Tensor, "*shape"]:
        """The entries at these places, which broadcast."""
        places = self.places.to(rows.device)
        rows, cols = torch.broadcast_tensors(rows, cols)
        if not len(places):
            kind = torch.bool if self.weights is None else self.weights.dtype
            return torch.zeros(rows.shape, dtype=kind, device=rows.device)
        wanted = rows * self.stride + cols
        index = torch.searchsorted(places, wanted).clamp(max=len(places) - 1)
        found = (places[index] == wanted) & (cols < self.stride)
        return found if self.weights is None else torch.where(found, self.weights.to(rows.device)[index], 0)


class Both(NamedTuple):
    """Related by both parts; weights multiply."""

    left: Lowered
    right: Lowered


class Either(NamedTuple):
    """Related by either part; of two weights the larger."""

    left: Lowered
    right: Lowered


class Not(NamedTuple):
    """Not related by the part."""

    part: Lowered


class Beside(NamedTuple):
    """Related to m keys by one part, and to further keys behind them by the other."""

    left: Lowered
    right: Lowered
    m: int


class NotLowered(NamedTuple):
    """What has no lowered form, and why: a kernel reads its tiles from the relation, or leaves it to another kernel."""

    reason: str


Lowered = (
    Everything
    | Diagonal
    | IndexEqual
    | IdsEqual
    | WithinRadius
    | GaussianWeight
    | EarlierKey
    | ProductReaches
    | PairList
    | Both
    | Either
    | Not
    | Beside
    | NotLowered
)


def reasons(lowered: Lowered) -> list[str]:
    """Why parts of a relation could not be lowered; empty if all could.

    >>> reasons(Both(Everything(), Not(NotLowered("a given matrix stays a matrix"))))
    ['a given matrix stays a matrix']
    """
    if isinstance(lowered, NotLowered):
        return [lowered.reason]
    if isinstance(lowered, Both | Either | Beside):
        return [*reasons(lowered.left), *reasons(lowered.right)]
    return reasons(lowered.part) if isinstance(lowered, Not) else []


def reaches(products: Float[Tensor, "*shape"], level: Float[Tensor, "*shape"]) -> Bool[Tensor, "*shape"]:
    """Whether products of unit vectors reach a level: those of equal directions round to a few ulps less than 1.

    >>> reaches(torch.tensor([1 - 2**-23, 0.9]), torch.tensor(1.0)).tolist()
    [True, False]
    """
    return products >= level - ULPS * torch.finfo(products.dtype).eps


def _level(level: Tensor, places: Tensor) -> Tensor:
    level = level.to(places.device)
    return level[places] if level.ndim else level


def _apart(query_times: Tensor, key_times: Tensor, rows: Tensor, cols: Tensor) -> Tensor:
    return query_times.to(rows.device)[rows] - key_times.to(cols.device)[cols]
