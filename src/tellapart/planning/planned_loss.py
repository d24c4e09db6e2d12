"""The loss of one step as a system plans it: its sizes, and the loss itself of random embeddings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import torch

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor

    from tellapart.objective import Terms

Compare = Callable[["Tensor", "Tensor", float], "Terms"]
"""Called as `compare(queries, keys, temperature)`: the terms of the system's objective, with its relations."""


@dataclass(frozen=True)
class PlannedLoss:
    """Sizes of a step's loss. Rows of the matrix of scores are queries, its columns are candidates.

    >>> PlannedLoss.of_pairs(256, lambda *_: None, "all other texts").n_scores
    65536
    """

    compare: Compare
    batch: int
    """Examples in a step, over all devices."""
    n_queries: int
    n_candidates: int
    n_negatives: int
    """K, of each query."""
    way: Literal["symmetric", "mirrored", "one way"]
    """Whether keys are queries, too ("symmetric"); are the queries ("mirrored"); or have no gradient ("one way")."""
    negatives: str
    """What the negatives are, in words."""
    queue: int = 0
    """Candidates of past batches."""
    encoded: str = ""
    """What a picture encoder takes for the queries, in the plural; "" if the queries are no pictures."""
    n_keyed: int = 0
    """How many of these are encoded once more, without gradient."""

    @classmethod
    def of_pairs(cls, batch: int, compare: Compare, negatives: str, encoded: str = "") -> PlannedLoss:
        """The loss of pairs, each side of which finds the other: K = batch − 1."""
        return cls(compare, batch, batch, batch, batch - 1, "symmetric", negatives, encoded=encoded)

    @classmethod
    def of_two_views(cls, batch: int, compare: Compare, negatives: str, encoded: str = "") -> PlannedLoss:
        """The loss of two views of each example, each of which finds the other among all: K = 2·batch − 2."""
        n = 2 * batch
        return cls(compare, batch, n, n, n - 2, "mirrored", negatives, encoded=encoded)

    @property
    def n_scores(self) -> int:
        """Entries of the matrix of scores."""
        return self.n_queries * self.n_candidates

    def ready(self, dim: int, temperature: float) -> Callable[[], Terms]:
        """What computes the terms of the loss, of random embeddings, with gradients as in training."""
        queries: Float[Tensor, "n dim"] = torch.randn(self.n_queries, dim, requires_grad=True)
        keys = queries
        if self.way != "mirrored":
            keys = torch.randn(self.n_candidates, dim, requires_grad=self.way == "symmetric")
        return lambda: self.compare(queries, keys, temperature)


Planner = Callable[[int, int], PlannedLoss]
"""Called as `plan(batch, queue)`, how a system plans a step; one that keeps no queue takes no notice of it."""
