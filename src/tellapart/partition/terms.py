"""The answer of every engine: what a line-up tells, not just a number."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from tellapart.errors import check_choice, requirement, values_are_checked

if TYPE_CHECKING:
    from jaxtyping import Float, Int

REDUCTIONS = ("mean", "sum", "none")


def nobody_has_a_positive(who: str, other: str) -> ValueError:
    """What is raised when there is nothing to find: a mean over nobody would be NaN.

    >>> print(nobody_has_a_positive("query", "key"))
    `positives` must relate at least one query to a key. Got no related pair.
    """
    return ValueError(requirement("positives", f"relate at least one {who} to a {other}", "no related pair"))


class Details(NamedTuple):
    """What a diagnostic wants to know and a loss does not: one entry per query, without gradient."""

    n_positive_candidates: Int[Tensor, " n"]
    top_positive: Float[Tensor, " n"]
    top_negative: Float[Tensor, " n"]


@dataclass(frozen=True, eq=False)
class Terms:
    """What the line-up says of each query, one entry per query; logits in nats.

    `positive` S⁺ (several positives: their weighted mean for "out", the log of the mean of their
    exponentials for "in"), `log_partition` log Z, `cross_entropy` their difference (0 without a positive),
    `n_candidates` who stands in the line-up, `n_positives` and how many of them stand in it,
    `n_positive_candidates`, `top_positive` the best positive's logit and `top_negative` the hardest
    negative's, both before the margin and without gradient, −∞ where there is none. `reverse` holds the
    keys' terms if the loss is symmetric.
    """

    positive: Float[Tensor, " n"]
    log_partition: Float[Tensor, " n"]
    cross_entropy: Float[Tensor, " n"]
    n_candidates: Int[Tensor, " n"]
    n_positives: Int[Tensor, " n"]
    details: Details | None = None
    reverse: Terms | None = None

    @property
    def n_positive_candidates(self) -> Int[Tensor, " n"]:
        """How many of a query's positives stand in its line-up."""
        return self._detailed().n_positive_candidates

    @property
    def top_positive(self) -> Float[Tensor, " n"]:
        """The best positive's logit."""
        return self._detailed().top_positive

    @property
    def top_negative(self) -> Float[Tensor, " n"]:
        """The hardest negative's logit."""
        return self._detailed().top_negative

    def _detailed(self) -> Details:
        if self.details is None:
            raise ValueError(requirement("details", "have been looked for, as info_nce_terms does", "None"))
        return self.details

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

    def check(self) -> None:
        """Raise `ValueError` if nobody has a positive, or if somebody has one but no candidate."""
        if not values_are_checked(self.positive):
            return
        for who, other, side in (("query", "key", self), ("key", "query", self.reverse)):
            if side is None:
                continue
            asked = side.n_positives > 0
            if not bool(asked.any()):
                raise nobody_has_a_positive(who, other)
            lonely = asked & (side.n_candidates == 0)
            if bool(lonely.any()):
                row = int(lonely.nonzero()[0, 0])
                raise ValueError(requirement("exclude", f"leave every {who} a candidate", f"none for {who} {row}"))

    def accuracy(self) -> Float[Tensor, ""]:
        """How often the best positive beats every negative, in [0, 1]; a tie counts as a miss.

        Among the queries with a positive; the mean of both directions if symmetric.
        """
        wins = (self.top_positive > self.top_negative) & (self.n_positives > 0)
        own = wins.sum() / (self.n_positives > 0).sum()
        return own if self.reverse is None else (own + self.reverse.accuracy()) / 2
