"""Correlated Gaussians: densities, information and best critic are known in closed form."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import torch

from tellapart.errors import requirement

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Generator, Tensor


class ExactCritic(NamedTuple):
    """Embeddings with log density ratios as dot products, plus a bias per key: the optimum of InfoNCE."""

    queries: Float[Tensor, "n d_and_1"]
    keys: Float[Tensor, "n d_and_1"]
    key_bias: Float[Tensor, " n"]


@dataclass(frozen=True)
class Gaussians:
    """Pairs x, y of d standard normal entries each; entry k of x has correlation ρ with entry k of y.

    `log p(y|x)/p(y) = Σ_k (ρ x_k y_k − ρ²(x_k² + y_k²)/2) / (1 − ρ²) − (d/2) log(1 − ρ²)`, in nats. Over true pairs
    it has mean I and variance dρ².

    Raises:
        ValueError: d < 1, or a ρ that is not between −1 and 1.

    >>> round(Gaussians(20, 0.5).information, 4)
    2.8768
    """

    dim: int
    rho: float

    def __post_init__(self) -> None:
        """Check that the parameters give a distribution."""
        if self.dim < 1:
            raise ValueError(requirement("dim", "be at least 1", self.dim))
        if not -1 < self.rho < 1:
            raise ValueError(requirement("rho", "lie between -1 and 1, exclusive", self.rho))

    @classmethod
    def with_information(cls, nats: float, dim: int) -> Gaussians:
        """Gaussians with a given mutual information: `ρ = √(1 − exp(−2I/d))`.

        Raises:
            ValueError: negative information, or d < 1.

        >>> round(Gaussians.with_information(4.0, 20).information, 12)
        4.0
        """
        if not 0 <= nats < math.inf:
            raise ValueError(requirement("nats", "be finite and at least 0", nats))
        return cls(dim, math.sqrt(-math.expm1(-2 * nats / max(dim, 1))))

    @property
    def information(self) -> float:
        """The mutual information of x and y in nats, `I = −(d/2) ln(1 − ρ²)`."""
        return -self.dim / 2 * math.log1p(-(self.rho**2))

    def sample(self, n: int, generator: Generator) -> tuple[Float[Tensor, "n d"], Float[Tensor, "n d"]]:
        """n independent pairs, in float64."""
        x, noise = torch.randn(2, n, self.dim, generator=generator, dtype=torch.float64)
        return x, self.rho * x + math.sqrt(1 - self.rho**2) * noise

    def log_ratio(self, x: Float[Tensor, "n d"], y: Float[Tensor, "n d"]) -> Float[Tensor, " n"]:
        """`log p(y|x)/p(y)` of each pair, in nats."""
        terms = self.rho * x * y - self.rho**2 / 2 * (x.square() + y.square())
        return terms.sum(dim=1) / (1 - self.rho**2) + self.information

    def critic(self, x: Float[Tensor, "n d"], y: Float[Tensor, "n d"]) -> ExactCritic:
        """The log ratios of all x with all y as inner products: use `score="dot"`, τ = 1 and this `key_bias`.

        >>> generator = torch.Generator().manual_seed(0)
        >>> problem = Gaussians(3, 0.8)
        >>> x, y = problem.sample(5, generator)
        >>> queries, keys, bias = problem.critic(x, y)
        >>> bool(torch.allclose((queries @ keys.T + bias).diagonal(), problem.log_ratio(x, y)))
        True
        """
        c = 1 / (1 - self.rho**2)
        query_bias = self.information - self.rho**2 / 2 * c * x.square().sum(dim=1, keepdim=True)
        return ExactCritic(
            torch.cat([self.rho * c * x, query_bias], dim=1),
            torch.cat([y, torch.ones_like(query_bias)], dim=1),
            -(self.rho**2) / 2 * c * y.square().sum(dim=1),
        )
