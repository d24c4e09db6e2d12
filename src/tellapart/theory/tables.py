"""A joint distribution of finitely many x and y, given as a table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from tellapart.errors import requirement

if TYPE_CHECKING:
    from jaxtyping import Float, Int
    from torch import Generator


@dataclass(frozen=True, eq=False)
class Table:
    """`p(x, y)` of n values of x (rows) and m of y (columns).

    Raises:
        ValueError: entries that are not positive, or do not add up to 1.
    """

    joint: Float[Tensor, "n m"]

    def __post_init__(self) -> None:
        """Check that the table is a distribution with a finite log ratio everywhere."""
        if self.joint.ndim != 2 or not bool((self.joint > 0).all()) or abs(float(self.joint.sum()) - 1) > 1e-6:
            raise ValueError(requirement("joint", "be positive probabilities of pairs, which add up to 1", self.joint))

    @property
    def log_ratios(self) -> Float[Tensor, "n m"]:
        """`log p(y|x)/p(y) = log p(x, y)/p(x)p(y)` of every pair, in nats."""
        return (self.joint / self.joint.sum(dim=1, keepdim=True) / self.joint.sum(dim=0)).log()

    @property
    def log_q(self) -> Float[Tensor, " m"]:
        """`log p(y)`, in nats."""
        return self.joint.sum(dim=0).log()

    @property
    def information(self) -> float:
        """The mutual information of x and y in nats, `Σ p(x, y) log p(x, y)/p(x)p(y)`."""
        return float((self.joint * self.log_ratios).sum())

    def sample(self, n: int, generator: Generator) -> tuple[Int[Tensor, " n"], Int[Tensor, " n"]]:
        """n independent pairs, as row and column numbers."""
        places = torch.multinomial(self.joint.flatten(), n, replacement=True, generator=generator)
        return places // self.joint.shape[1], places % self.joint.shape[1]

    def log_ratio(self, x: Int[Tensor, " n"], y: Int[Tensor, " n"]) -> Float[Tensor, " n"]:
        """`log p(y|x)/p(y)` of each pair, in nats."""
        return self.log_ratios[x, y]


def random_table(n: int, m: int, generator: Generator, spread: float = 1.0) -> Table:
    """A table with entries proportional to `exp(spread · z)`, z standard normal.

    >>> random_table(3, 4, torch.Generator().manual_seed(0)).joint.shape
    torch.Size([3, 4])
    """
    logits = spread * torch.randn(n, m, generator=generator, dtype=torch.float64)
    return Table(logits.flatten().softmax(dim=0).view(n, m))
