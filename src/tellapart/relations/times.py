"""Relations by nearness and order: of recording times, positions on a genome, depths, ages, or of points of a plane."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from tellapart.errors import check_finite, requirement
from tellapart.relations.boxes import near_pairs
from tellapart.relations.kinds import check_size
from tellapart.relations.lowered import EarlierKey, GaussianWeight, Lowered, WithinRadius
from tellapart.relations.pairs import Pairs, few, stretches
from tellapart.relations.relation import Relation

if TYPE_CHECKING:
    from jaxtyping import Real

    from tellapart.relations.ranks import Ranks


def within(
    query_times: Real[Tensor, " n"] | Real[Tensor, "n axes"],
    key_times: Real[Tensor, " m"] | Real[Tensor, "m axes"] | None,
    radius: float,
) -> Relation:
    """Pairs at most `radius` apart: `R_ij = [|t_i − u_j| ≤ radius]`; keys without times have the queries'.

    Times, or points `(n, axes)`, with the Euclidean distance. Where pairs are few, they are found without a look
    at all n × m: of times, and of points of at most three axes. Times and radius are constants: no gradient.

    Raises:
        TypeError: times that are not numbers.
        ValueError: times that are not finite, not of one or two dimensions, or not of the same axes as the keys';
            `radius < 0`, or a tensor that requires grad.

    >>> within(torch.tensor([0.0, 5.0]), torch.tensor([1.0, 4.5]), 1.0).tile(slice(0, 2), slice(0, 2)).int().tolist()
    [[1, 0], [0, 1]]
    >>> within(torch.tensor([[0.0, 0.0]]), torch.tensor([[3.0, 4.0], [4.0, 4.0]]), 5.0).tile(slice(0, 1), slice(0, 2))
    tensor([[ True, False]])
    """
    radius = _number("radius", radius)
    if not 0 <= radius < float("inf"):
        raise ValueError(requirement("radius", "be finite and at least 0", radius))
    return _Within(_clocks(query_times, key_times, most=2), radius)


def gaussian(query_times: Real[Tensor, " n"], key_times: Real[Tensor, " m"] | None, sigma: float) -> Relation:
    """Soft pairs on clocks that are off by `sigma`: `W_ij = exp(−(t_i − u_j)²/2σ²)`, in (0, 1].

    With `multi_positive="in"` they are the prior of which key belongs to a query, and the probabilities of the softmax
    the likelihood; the loss is `L_i = −log Σ_j W_ij p_ij / Σ_j W_ij`. With "out" they are soft targets,
    `L_i = −Σ_j W_ij log p_ij / Σ_j W_ij`, which ask for all of them at once and teach far less.

    Far pairs, beyond some 13 σ, where float32 has no number for the weight, are not related. Times and σ are
    constants: no gradient. A σ that is to be learned follows from the posterior `W_ij p_ij / Σ_j W_ij p_ij`, by EM.

    Raises:
        TypeError: times that are not numbers.
        ValueError: times that are not one-dimensional and finite; `sigma <= 0`, or a tensor that requires grad.

    >>> gaussian(torch.tensor([0.0]), torch.tensor([0.0, 2.0]), 2.0).tile(slice(0, 1), slice(0, 2))
    tensor([[1.0000, 0.6065]])
    """
    sigma = _number("sigma", sigma)
    if not 0 < sigma < float("inf"):
        raise ValueError(requirement("sigma", "be positive and finite", sigma))
    return _Gaussian(_clocks(query_times, key_times), sigma)


def before(query_times: Real[Tensor, " n"], key_times: Real[Tensor, " m"] | None = None) -> Relation:
    """Pairs with a key that is earlier than the query: `R_ij = [u_j < t_i]`; keys without times have the queries'.

    `exclude=before(times).transposed()` is the causal mask: it excludes the keys that are later than their query.
    Times are constants: no gradient.

    Raises:
        TypeError: times that are not numbers.
        ValueError: times that are not one-dimensional and finite.

    >>> before(torch.arange(3)).tile(slice(0, 3), slice(0, 3)).int().tolist()
    [[0, 0, 0], [1, 0, 0], [1, 1, 0]]
    """
    return _Before(_clocks(query_times, key_times))


def _number(parameter: str, value: float | Tensor) -> float:
    """The same number, also out of a 0-d tensor, unless it could expect a gradient."""
    if not isinstance(value, Tensor):
        return value
    if value.ndim:
        raise ValueError(requirement(parameter, "be one number for all pairs", f"shape {tuple(value.shape)}"))
    if value.requires_grad:
        must = f"be a constant: pass `{parameter}.item()`; the weights of a relation have no gradient"
        raise ValueError(requirement(parameter, must, "a tensor that requires grad"))
    return value.item()


def _clocks(query_times: Tensor, key_times: Tensor | None, most: int = 1) -> _Clocks:
    """The times of both sides, or points if two dimensions are the most."""
    queries = _times("query_times", query_times, most)
    keys = queries if key_times is None else _times("key_times", key_times, most)
    if queries.shape[1:] != keys.shape[1:]:
        shape = "".join(f" {n}" for n in queries.shape[1:])
        must = f"have as many axes as the queries', shape (m,{shape})"
        raise ValueError(requirement("key_times", must, f"shape {tuple(keys.shape)}"))
    return _Clocks(queries, keys)


def _times(parameter: str, times: Tensor, most: int) -> Tensor:
    times = torch.as_tensor(times).detach()
    if times.is_complex() or times.dtype == torch.bool:
        raise TypeError(requirement(parameter, "hold real numbers", times.dtype))
    if not 1 <= times.ndim <= most:
        must = "have 1 dimension" if most == 1 else "have 1 dimension, or 2 for points"
        raise ValueError(requirement(parameter, must, f"shape {tuple(times.shape)}"))
    # Seconds since 1970 and base pairs of a genome need more digits than float32 has.
    if not times.is_floating_point():
        times = times.double()
    check_finite(parameter, times)
    return times


class _Clocks(NamedTuple):
    """The times of both sides."""

    queries: Tensor
    keys: Tensor

    def __str__(self) -> str:
        return f"{len(self.queries)} × {len(self.keys)} {'times' if self.queries.ndim == 1 else 'points'}"

    def check(self, parameter: str, n_queries: int, n_keys: int) -> None:
        check_size(parameter, "queries", len(self.queries), n_queries)
        check_size(parameter, "keys", len(self.keys), n_keys)

    def turned(self) -> _Clocks:
        return _Clocks(self.keys, self.queries)

    def towards(self, ranks: Ranks) -> list[_Clocks]:
        return [_Clocks(self.queries, times) for times in ranks.gather(self.keys)]


class _Within(Relation):
    def __init__(self, clocks: _Clocks, radius: float) -> None:
        self.clocks, self.radius = clocks, radius
        self.symmetric = clocks.queries is clocks.keys

    def __repr__(self) -> str:
        return f"within({self.clocks}, radius={self.radius:g})"

    def lowered(self) -> Lowered:
        return WithinRadius(*self.clocks, self.radius)

    def check(self, parameter: str, n_queries: int, n_keys: int) -> None:
        self.clocks.check(parameter, n_queries, n_keys)

    def transposed(self) -> Relation:
        return _Within(self.clocks.turned(), self.radius)

    def towards(self, ranks: Ranks) -> list[Relation]:
        return [_Within(clocks, self.radius) for clocks in self.clocks.towards(ranks)]

    def coordinates(self) -> tuple[Tensor, Tensor] | None:
        scaled = [side.double().reshape(len(side), -1) / self.radius for side in self.clocks] if self.radius else []
        return (scaled[0], scaled[1]) if scaled and all(bool(x.isfinite().all()) for x in scaled) else None

    def pairs(self, n: int, m: int, device: torch.device | None = None) -> Pairs | None:
        if (found := self._near(n, m)) is None:
            return None
        rows, cols = found
        kept = self.at(rows, cols)
        return Pairs(rows[kept].to(device), cols[kept].to(device))

    def _near(self, n: int, m: int) -> tuple[Tensor, Tensor] | None:
        """Pairs, all that are within the radius among them, if they are few."""
        if self.clocks.queries.ndim == 2:
            return near_pairs(*self.clocks, self.radius)
        ordered, order = self.clocks.keys.sort()
        queries = self.clocks.queries.to(ordered)
        # t − r rounds: look a little further, and let `at` decide.
        slack = 4 * torch.finfo(ordered.dtype).eps * (queries.abs() + self.radius)
        first = torch.searchsorted(ordered, queries - self.radius - slack)
        counts = torch.searchsorted(ordered, queries + self.radius + slack, right=True) - first
        if not few(int(counts.sum()), n, m):
            return None
        rows, step = stretches(counts)
        return rows, order[first[rows] + step]


class _Gaussian(Relation):
    def __init__(self, clocks: _Clocks, sigma: float) -> None:
        self.clocks, self.sigma = clocks, sigma
        self.symmetric = clocks.queries is clocks.keys

    def __repr__(self) -> str:
        return f"gaussian({self.clocks}, sigma={self.sigma:g})"

    def lowered(self) -> Lowered:
        return GaussianWeight(*self.clocks, self.sigma)

    def check(self, parameter: str, n_queries: int, n_keys: int) -> None:
        self.clocks.check(parameter, n_queries, n_keys)

    def transposed(self) -> Relation:
        return _Gaussian(self.clocks.turned(), self.sigma)

    def towards(self, ranks: Ranks) -> list[Relation]:
        return [_Gaussian(clocks, self.sigma) for clocks in self.clocks.towards(ranks)]


class _Before(Relation):
    def __init__(self, clocks: _Clocks) -> None:
        self.clocks = clocks

    def __repr__(self) -> str:
        return f"before({self.clocks})"

    def lowered(self) -> Lowered:
        return EarlierKey(*self.clocks)

    def check(self, parameter: str, n_queries: int, n_keys: int) -> None:
        self.clocks.check(parameter, n_queries, n_keys)

    def transposed(self) -> Relation:
        # u_j < t_i is −t_i < −u_j.
        return _Before(_Clocks(-self.clocks.keys, -self.clocks.queries))

    def towards(self, ranks: Ranks) -> list[Relation]:
        return [_Before(clocks) for clocks in self.clocks.towards(ranks)]
