"""A small critic that learns a problem's log ratio from pairs alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import nn

from tellapart.diagnostics import density_ratio
from tellapart.objective import info_nce

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Generator, Tensor


class Problem(Protocol):
    """A distribution of pairs with a known log ratio: `Gaussians`, `Table`."""

    @property
    def information(self) -> float:
        """The mutual information of x and y in nats."""

    def sample(self, n: int, generator: Generator) -> tuple[Tensor, Tensor]:
        """n independent pairs."""

    def log_ratio(self, x: Any, y: Any) -> Float[Tensor, " n"]:
        """`log p(y|x)/p(y)` of each pair, in nats."""


@dataclass(frozen=True, eq=False)
class Critic:
    """Two encoders: the score of x and y is the inner product of their embeddings, and τ is 1."""

    queries: nn.Module
    keys: nn.Module

    def learn(self, problem: Problem, *, steps: int, batch: int, learning_rate: float, generator: Generator) -> None:
        """Train on fresh pairs by InfoNCE: each y is a candidate of every x in its batch.

        Two equal values of y stay negatives of each other, because candidates are independent draws from q.
        """
        parameters = [*self.queries.parameters(), *self.keys.parameters()]
        optimiser = torch.optim.Adam(parameters)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, learning_rate, total_steps=steps)
        for _ in range(steps):
            x, y = problem.sample(batch, generator)
            loss = info_nce(_embedded(self.queries, x), _embedded(self.keys, y), score="dot", temperature=1.0)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()

    @torch.no_grad()
    def log_ratio(self, x: Tensor, y: Tensor, reference: Tensor) -> Float[Tensor, " n"]:
        """The learned `log p(y|x)/p(y)` of each pair, in nats; `reference` are further y."""
        keys, candidates = _embedded(self.keys, y), _embedded(self.keys, reference)
        return density_ratio(_embedded(self.queries, x), keys, candidates, score="dot", temperature=1.0)


def for_vectors(dim: int, width: int = 64, outputs: int = 16) -> Critic:
    """A critic of vectors of `dim` entries, with two hidden layers in each encoder.

    >>> for_vectors(3).queries(torch.ones(2, 3)).shape
    torch.Size([2, 16])
    """
    return Critic(*(_network(dim, width, outputs) for _ in range(2)))


def for_numbers(n: int, m: int) -> Critic:
    """A critic of a table, with a learned vector for each row and each column.

    >>> for_numbers(3, 5).keys(torch.tensor([0, 4])).shape
    torch.Size([2, 5])
    """
    outputs = max(n, m)  # enough for any matrix of scores
    encoders = [nn.Embedding(size, outputs) for size in (n, m)]
    for encoder in encoders:
        nn.init.normal_(encoder.weight, std=0.3)  # logits of N(0, 1) vectors would start far too large
    return Critic(*encoders)


def _network(inputs: int, width: int, outputs: int) -> nn.Module:
    layers = nn.Linear(inputs, width), nn.GELU(), nn.Linear(width, width), nn.GELU(), nn.Linear(width, outputs)
    return nn.Sequential(*layers)


def _embedded(encoder: nn.Module, values: Tensor) -> Tensor:
    """The embeddings of vectors, in the networks' precision, or of numbers."""
    embedded: Tensor = encoder(values.float() if values.is_floating_point() else values)
    return embedded
