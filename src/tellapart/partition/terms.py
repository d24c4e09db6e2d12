"""The answer of every engine: what a line-up tells, not just a number."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from tellapart.errors import check_choice, requirement

if TYPE_CHECKING:
    from jaxtyping import Float, Int

REDUCTIONS = ("mean", "sum", "none")


class TopLogits(NamedTuple):
    """The largest logit among each query's positives and among its negatives, −∞ where there are none."""

    positive: Float[Tensor, " n"]
    negative: Float[Tensor, " n"]


@dataclass(frozen=True, eq=False)
class Terms:
    """What the line-up says of each query, one entry per query; logits in nats.

    `positive` S⁺ (several positives: their weighted mean for "out", the log of the mean of their
    exponentials for "in"), `log_partition` log Z, `cross_entropy` their difference (0 without a positive),
    `n_candidates` who stands in the line-up, `n_positives` and how many of them stand in it,
    `n_positive_candidates`, `tops` the best positive's logit and the hardest negative's, both before the
    margin and without gradient. `reverse` holds the keys' terms if the loss is symmetric.
    """

    positive: Float[Tensor, " n"]
    log_partition: Float[Tensor, " n"]
    cross_entropy: Float[Tensor, " n"]
    n_candidates: Int[Tensor, " n"]
    n_positives: Int[Tensor, " n"]
    n_positive_candidates: Int[Tensor, " n"]
    tops: TopLogits | None = None
    reverse: Terms | None = None

    @property
    def top_positive(self) -> Float[Tensor, " n"]:
        """The best positive's logit."""
        return self._found().positive

    @property
    def top_negative(self) -> Float[Tensor, " n"]:
        """The hardest negative's logit."""
        return self._found().negative

    def _found(self) -> TopLogits:
        if self.tops is None:
            raise ValueError(requirement("tops", "have been looked for, as info_nce_terms does", "None"))
        return self.tops

    def per_query(self) -> Float[Tensor, " n"]:
        """`L_i = log Z_i − S_i⁺`, in nats, without the rounding of the two; 0 for a query without a positive."""
        return self.cross_entropy

    def loss(self, reduction: str = "mean") -> Float[Tensor, "..."]:
        """The loss in nats, over the queries that have a positive.

        A symmetric loss is the mean of both directions: `(L_queries + L_keys) / 2`. With
        `reduction="none"` it is the queries' losses followed by the keys'.

        Raises:
            ValueError: an unknown reduction.
        """
        check_choice("reduction", reduction, REDUCTIONS)
        own = self.per_query()
        if reduction == "mean":
            own = own.sum() / (self.n_positives > 0).sum()
        elif reduction == "sum":
            own = own.sum()
        if self.reverse is None:
            return own
        other = self.reverse.loss(reduction)
        return torch.cat([own, other]) if reduction == "none" else (own + other) / 2

    def accuracy(self) -> Float[Tensor, ""]:
        """How often the best positive beats every negative, in [0, 1]; a tie counts as a miss.

        Among the queries with a positive; the mean of both directions if symmetric.
        """
        wins = (self.top_positive > self.top_negative) & (self.n_positives > 0)
        own = wins.sum() / (self.n_positives > 0).sum()
        return own if self.reverse is None else (own + self.reverse.accuracy()) / 2
