"""The answer of every engine: what a line-up tells, not just a number."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from tellapart.errors import check_choice, requirement, values_are_checked

if TYPE_CHECKING:
    from jaxtyping import Float, Int
    from torch.distributed import ProcessGroup

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
    log_negatives: Float[Tensor, " n"] | None = None
    """`log Z⁻`, over the negatives alone, where the engine holds all logits: a loss that rounds to 0 cannot tell it."""


class Whole(NamedTuple):
    """The group of processes of whose queries these are one's own: how many processes, how many queries ask."""

    n_processes: int
    n_asking: Int[Tensor, ""]


class Given(NamedTuple):
    """What a line-up was made of, without gradient: for diagnostics that ask more of it than its terms tell."""

    queries: Float[Tensor, "n d"]
    keys: Float[Tensor, "m d"]
    options: dict[str, Any]
    """As `info_nce` gets them: positives, exclude, negatives, temperature, score, key_bias."""
    group: ProcessGroup | None

    @classmethod
    def of(cls, queries: Tensor, keys: Tensor, options: dict[str, Any], group: ProcessGroup | None) -> Given:
        """A record of these arguments, which holds on to no graph."""
        plain = {name: value.detach() if isinstance(value, Tensor) else value for name, value in options.items()}
        alone = queries.detach()
        return cls(alone, alone if keys is queries else keys.detach(), plain, group)


@dataclass(frozen=True, eq=False)
class Terms:
    """What the line-up says of each query, one entry per query; logits in nats.

    `positive` S⁺ (several positives: their weighted mean for "out", the log of the mean of their
    exponentials for "in"), `log_partition` log Z, `cross_entropy` their difference (0 without a positive),
    `n_candidates` who stands in the line-up, `n_positives` and how many of them stand in it,
    `n_positive_candidates`, `top_positive` the best positive's logit and `top_negative` the hardest
    negative's, both before the margin and without gradient, −∞ where there is none. `reverse` holds the
    keys' terms if the loss is symmetric. `whole` tells of the others in a group of processes, over whom the
    mean of `loss` and of `accuracy` is that of one process with everybody's rows. `given` is what
    `info_nce_terms` was asked.
    """

    positive: Float[Tensor, " n"]
    log_partition: Float[Tensor, " n"]
    cross_entropy: Float[Tensor, " n"]
    n_candidates: Int[Tensor, " n"]
    n_positives: Int[Tensor, " n"]
    details: Details | None = None
    reverse: Terms | None = None
    whole: Whole | None = None
    given: Given | None = None

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
        if reduction != "none":
            own = self._share(own.sum(), mean=reduction == "mean")
        if self.reverse is None:
            return own
        other = self.reverse.loss(reduction)
        return torch.cat([own, other]) if reduction == "none" else (own + other) / 2

    def _share(self, total: Float[Tensor, ""], mean: bool) -> Float[Tensor, ""]:
        """A sum over queries, or their mean; in a group, what this process contributes to that of all."""
        if self.whole is not None:
            total = total * self.whole.n_processes
        if not mean:
            return total
        return total / ((self.n_positives > 0).sum() if self.whole is None else self.whole.n_asking)

    def check(self) -> None:
        """Raise `ValueError` if nobody has a positive, or if somebody has one but no candidate."""
        if not values_are_checked(self.positive):
            return
        for who, other, side in (("query", "key", self), ("key", "query", self.reverse)):
            if side is None:
                continue
            asked = side.n_positives > 0
            if not bool(asked.any() if side.whole is None else side.whole.n_asking > 0):
                raise nobody_has_a_positive(who, other)
            lonely = asked & (side.n_candidates == 0)
            if bool(lonely.any()):
                row = int(lonely.nonzero()[0, 0])
                raise ValueError(requirement("exclude", f"leave every {who} a candidate", f"none for {who} {row}"))

    def accuracy(self) -> Float[Tensor, ""]:
        """How often the best positive beats every negative, in [0, 1]; a tie counts as a miss.

        Among the queries with a positive; the mean of both directions if symmetric. In a group it is the mean over
        processes that lies in [0, 1].
        """
        wins = (self.top_positive > self.top_negative) & (self.n_positives > 0)
        own = self._share(wins.sum(), mean=True)
        return own if self.reverse is None else (own + self.reverse.accuracy()) / 2
