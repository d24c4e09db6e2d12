"""The terms of the loss, one entry per query, and what diagnostics read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import torch
from torch import Tensor

from tellapart import _html
from tellapart._engine.precision import full_precision
from tellapart._traced import is_traced
from tellapart.errors import check_choice, check_loss, requirement, values_are_checked

if TYPE_CHECKING:
    from jaxtyping import Float, Int
    from torch.distributed import ProcessGroup

REDUCTIONS = ("mean", "sum", "none")


def no_positive_anywhere(own: str, other: str) -> ValueError:
    """The error of a loss without a single positive: its mean would be NaN.

    >>> print(no_positive_anywhere("query", "key"))
    `positives` must relate at least one query to a key. Got no related pair.
    """
    return ValueError(requirement("positives", f"relate at least one {own} to a {other}", "no related pair"))


class NoCandidateError(ValueError):
    """A query or key, by its row, that has a positive and no candidate left."""

    def __init__(self, own: str, row: int) -> None:
        self.own, self.got = own, f"none for {own} {row}"
        super().__init__(requirement("exclude", f"leave every {own} a candidate", self.got))


class Details(NamedTuple):
    """What diagnostics need and a loss does not: one entry per query, without gradient."""

    n_positive_candidates: Int[Tensor, " n"]
    top_positive: Float[Tensor, " n"]
    top_negative: Float[Tensor, " n"]
    log_negatives: Float[Tensor, " n"] | None = None
    """`log Z⁻`, over the negatives alone, where it was computed: a loss that rounds to 0 cannot tell it."""


if TYPE_CHECKING:
    lazy = cached_property
else:

    class lazy:  # noqa: N801 - a decorator
        """A term that is computed when it is first read: with gradient if its owner was made `with_grad`.

        Without the lock of `cached_property`, at which a compiler would stop.
        """

        def __init__(self, function: Callable[[Any], Any]) -> None:
            self.function, self.name, self.__doc__ = full_precision(function), function.__name__, function.__doc__

        def __get__(self, instance: Any, owner: type | None = None) -> Any:
            if instance is None:
                return self
            if instance.with_grad != torch.is_grad_enabled():
                with torch.set_grad_enabled(instance.with_grad):
                    value = self.function(instance)
            else:
                value = self.function(instance)
            setattr(instance, self.name, value)  # which is found before this descriptor from now on
            return value


class Facts(Protocol):
    """Where the terms come from; each is computed when it is read for the first time."""

    @property
    def cross_entropy(self) -> Float[Tensor, " n"]:
        """`log Z − S⁺` of each query, 0 without a positive."""

    def reduced(self, reduction: str) -> Float[Tensor, ""] | None:
        """The sum or the mean of the cross-entropies, where there is a shorter way to it than by way of these."""

    @property
    def positive(self) -> Float[Tensor, " n"]:
        """`S⁺` of each query."""

    @property
    def log_partition(self) -> Float[Tensor, " n"]:
        """`log Z` of each query."""

    @property
    def n_candidates(self) -> Int[Tensor, " n"]:
        """The number of candidates of each query."""

    @property
    def n_positives(self) -> Int[Tensor, " n"]:
        """The number of positives of each query."""

    @property
    def details(self) -> Details | None:
        """What diagnostics need, if it was wanted."""


class Given(NamedTuple):
    """The arguments of `info_nce_terms`, without gradient, for diagnostics that need more than its terms."""

    queries: Float[Tensor, "n d"]
    keys: Float[Tensor, "m d"]
    options: dict[str, Any]
    """As `info_nce` gets them: positives, exclude, negatives, temperature, score, key_bias."""
    group: ProcessGroup | None

    @classmethod
    def of(cls, queries: Tensor, keys: Tensor, options: dict[str, Any], group: ProcessGroup | None) -> Given:
        """A record of these arguments, which holds on to no graph."""
        plain = {name: value.detach() if isinstance(value, Tensor) else value for name, value in options.items()}
        queries_alone = queries.detach()
        return cls(queries_alone, queries_alone if keys is queries else keys.detach(), plain, group)


@dataclass(eq=False, repr=False, slots=True)
class Terms:
    """The terms of the loss, one entry per query; logits in nats.

    `cross_entropy` is `log Z − S⁺`, 0 without a positive. `positive` is S⁺: of several positives the weighted mean
    for "out", the log of the mean of their exponentials for "in". `log_partition` is log Z, `n_candidates` and
    `n_positives` are counts, and `n_positive_candidates` counts the positives among the candidates. `top_positive`
    and `top_negative` are the largest logits of positives and negatives, before the margin, without gradient, and −∞
    where there is none. `reverse` holds the keys' terms of a symmetric loss. In a group of processes, `loss` and
    `accuracy` are shares: their mean over processes is the value of one process with all rows. `given` holds the
    arguments of `info_nce_terms`. Terms of small problems hold on to the matrix of logits.
    """

    facts: Facts
    n_with_positive: int | Int[Tensor, ""]
    """How many queries have a positive, of all processes of a group."""
    reverse: Terms | None = None
    n_processes: int = 1
    given: Given | None = None
    of_both: Callable[[str], Float[Tensor, ""]] | None = None
    """The reduced loss of both directions, where there is a shorter way to it than by way of each."""

    def __repr__(self) -> str:
        return f"Terms({', '.join(f'{name}={value}' for name, value in self._told().items())})"

    def _repr_html_(self) -> str:
        return _html.facts("Terms of the loss", self._told())

    def _told(self) -> dict[str, str]:
        """Sizes and main figures. In a group of processes only own sizes: the figures are shares."""
        own = self.cross_entropy.detach()
        told = {"queries": str(len(own))} if own.ndim else {}
        if self.reverse is not None and own.ndim:
            told["keys"] = str(len(self.reverse.cross_entropy))
        if not is_traced(own) and self.n_processes == 1:
            with torch.no_grad():
                told["candidates"], told["positives"] = _span(self.n_candidates), _span(self.n_positives)
                told["loss"] = f"{self._reduced('mean').item():.4g}"
                if self.facts.details is not None:
                    told["accuracy"] = f"{self.accuracy().item():.3g}"
        return told | {"dtype": str(own.dtype).removeprefix("torch."), "device": str(own.device)}

    @property
    def cross_entropy(self) -> Float[Tensor, " n"]:
        """`log Z − S⁺` of each query, 0 without a positive."""
        return self.facts.cross_entropy

    @property
    def positive(self) -> Float[Tensor, " n"]:
        """`S⁺` of each query."""
        return self.facts.positive

    @property
    def log_partition(self) -> Float[Tensor, " n"]:
        """`log Z` of each query."""
        return self.facts.log_partition

    @property
    def n_candidates(self) -> Int[Tensor, " n"]:
        """The number of candidates of each query."""
        return self.facts.n_candidates

    @property
    def n_positives(self) -> Int[Tensor, " n"]:
        """The number of positives of each query."""
        return self.facts.n_positives

    @property
    def n_positive_candidates(self) -> Int[Tensor, " n"]:
        """The number of positives among each query's candidates."""
        return self.details.n_positive_candidates

    @property
    def top_positive(self) -> Float[Tensor, " n"]:
        """The largest logit of each query's positives."""
        return self.details.top_positive

    @property
    def top_negative(self) -> Float[Tensor, " n"]:
        """The largest logit of each query's negatives."""
        return self.details.top_negative

    @property
    def details(self) -> Details:
        """What diagnostics read.

        Raises:
            ValueError: the terms are not those of `info_nce_terms`.
        """
        if (details := self.facts.details) is None:
            raise ValueError(requirement("terms", "hold details, as those of info_nce_terms do", "none"))
        return details

    def per_query(self) -> Float[Tensor, " n"]:
        """`L_i = log Z_i − S_i⁺`, in nats, without the rounding of the two; 0 for a query without a positive."""
        return self.cross_entropy

    def loss(self, reduction: str = "mean") -> Float[Tensor, "..."]:
        """The loss in nats, over the queries that have a positive.

        A symmetric loss is the mean of both directions: `(L_queries + L_keys) / 2`. With
        `reduction="none"` it is the queries' losses followed by the keys'.

        Raises:
            ValueError: an unknown reduction.
            NotFiniteError: logits beyond what the dtype can hold.
        """
        check_choice("reduction", reduction, REDUCTIONS)
        loss = self._reduced(reduction)
        # One process of a group that stops would let the others wait.
        return loss if self.n_processes > 1 else check_loss(loss)

    def _reduced(self, reduction: str) -> Float[Tensor, "..."]:
        if self.of_both is not None and self.reverse is not None and reduction != "none":
            return self.of_both(reduction)
        if reduction == "none":
            own = self.per_query()
        elif (reduced := self.facts.reduced(reduction)) is not None:
            own = reduced
        else:
            own = self._share(self.per_query().sum(), mean=reduction == "mean")
        if self.reverse is None:
            return own
        other = self.reverse._reduced(reduction)
        return torch.cat([own, other]) if reduction == "none" else (own + other) / 2

    def accuracy(self) -> Float[Tensor, ""]:
        """The share of queries that rank a positive above every negative, in [0, 1]; a tie is a miss.

        The mean of both directions of a symmetric loss. In a group it is the mean over processes that lies in [0, 1].
        """
        wins = (self.top_positive > self.top_negative) & (self.n_positives > 0)
        own = self._share(wins.sum(), mean=True)
        return own if self.reverse is None else (own + self.reverse.accuracy()) / 2

    def _share(self, total: Float[Tensor, ""], mean: bool) -> Float[Tensor, ""]:
        """A sum over queries, or their mean; in a group, what this process contributes to that of all."""
        if self.n_processes > 1:
            total = total * self.n_processes
        return total / self.n_with_positive if mean else total

    def check(self) -> None:
        """Raise `ValueError` if there is no positive at all, `NoCandidateError` if a query has one but no candidate."""
        self.check_positives()
        if not values_are_checked(self.cross_entropy):
            return
        for own, side in (("query", self), ("key", self.reverse)):
            # log Z = −∞; the sum finds it quickly.
            if side is None or side.cross_entropy.detach().sum().item() != -torch.inf:
                continue
            lonely = (side.n_positives > 0) & side.log_partition.isneginf()
            row = int(lonely.nonzero()[0, 0])
            raise NoCandidateError(own, row)

    def check_positives(self) -> None:
        """Raise `ValueError` if there is no positive at all."""
        for own, other, side in (("query", "key", self), ("key", "query", self.reverse)):
            n = 1 if side is None else side.n_with_positive
            if (not isinstance(n, Tensor) or values_are_checked(n)) and not int(n):
                raise no_positive_anywhere(own, other)


def _span(counts: Int[Tensor, " n"]) -> str:
    """One count if all are the same, else the least and the largest."""
    least, most = int(counts.min()), int(counts.max())
    return str(least) if least == most else f"{least} to {most}"
