"""The instrument panel: what the log says of the loss at every step and, where it costs more to know, now and then.

| entry | what it is | of |
|---|---|---|
| `loss`, `n_candidates` | L in nats, and K + 1, the candidates of a query | every step |
| `mi_bound`, `mi_ceiling` | bound on the information in nats, and the most it can be | every step |
| `accuracy` | how often a positive has the highest score | every step |
| `temperature`, `temperature_at_bound` | τ, and 1 where a learned one rests on a bound | every step |
| `effective_margin` | the score that a positive has to beat | every step |
| `hardest_share` | the hardest negative's share of the negatives' push | every step |
| `suspects` | the share of queries with a negative that looks like a positive | every step |
| `effective_negatives` | how many negatives push, as if alike, on a query | the first, each 50th and the last step |
| `alignment`, `uniformity` | how close positives are, how evenly directions are spread | likewise |
| `effective_rank`, `rank_limit` | how many dimensions are in use, and the most there could be | likewise |
| `gradient_norm` | the length of the whole gradient | likewise |
| `loss_…` | a second loss, if there is one | every step |
| `gradient_cosine` | of its gradient and InfoNCE's, over the weights that both move | as `gradient_norm` |
| `gradient_conflict` | 1 if that cosine is negative, 0 if not: its mean is the conflict rate | likewise |
| `gradient_ratio` | the length of InfoNCE's gradient over its own, each times its weight | likewise |

A step that combines the gradients by a rule (`training.two_losses`) has the last three at every step.

Means over the batch; of both directions, if there are two, where the terms tell (all but the effective negatives). Of
several processes, the means of theirs: alignment, uniformity and rank are those of each process's own rows. What cannot
be told, as of queries with several positives, is NaN, and left out of the log.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from tellapart.diagnostics import (
    GradientProducts,
    alignment,
    effective_margin,
    effective_negatives,
    effective_rank,
    hardest_share,
    mi_bound,
    mi_ceiling,
    suspected,
    uniformity,
)
from tellapart.objective import Terms
from tellapart.relations import paired
from tellapart.scores import unit
from tellapart.temperature import LearnedTemperature

if TYPE_CHECKING:
    from jaxtyping import Float, Int

    from tellapart.objective import Given
    from tellapart.relations import Pairs

_EVERY = 50
_MOST_ROWS = 1024


def is_due(step: int, n_steps: int) -> bool:
    """Whether what costs more is read at this step, counted from 1.

    >>> [step for step in range(1, 121) if is_due(step, n_steps=120)]
    [1, 50, 100, 120]
    """
    return step == 1 or step % _EVERY == 0 or step == n_steps


@torch.no_grad()
def readings(model: nn.Module, terms: Terms, costly: bool) -> dict[str, Tensor]:
    """What the terms tell of a step; if `costly`, what has to be computed for it, too."""
    assert terms.given is not None
    number = terms.positive.new_tensor  # on the device of all others
    tau = torch.as_tensor(terms.given.options["temperature"], device=terms.positive.device)
    mean_tau = tau.mean()
    learned = [module.is_at_bound() for module in model.modules() if isinstance(module, LearnedTemperature)]
    means = torch.stack([_means(side, mean_tau) for side in _sides(terms)]).mean(0)
    bound, ceiling, margin, share, suspects = means.unbind()
    found = {
        "n_candidates": terms.n_candidates.double().mean(),
        "mi_bound": bound,
        "mi_ceiling": ceiling,
        "accuracy": terms.accuracy(),
        "temperature": mean_tau,
        "temperature_at_bound": torch.stack(learned).any().double() if learned else number(math.nan),
        # With a τ for each query, the logits of one key have several.
        "effective_margin": effective_margin(terms, tau).nanmean() if tau.ndim else margin,
        "hardest_share": share,
        "suspects": suspects,
    }
    return found | (_costly_readings(terms.given) if costly else {})


def _means(terms: Terms, tau: Float[Tensor, ""]) -> Float[Tensor, "5"]:
    """Means over the queries that have a value; of a matrix of queries, over the directions, too."""
    share = hardest_share(terms)
    suspects = suspected(terms).to(share.dtype).masked_fill(share.isnan(), math.nan)
    of_queries = torch.stack([effective_margin(terms, tau), share, suspects]).nanmean(-1)
    found = torch.cat([torch.stack([mi_bound(terms), mi_ceiling(terms)]), of_queries])
    return found if found.ndim == 1 else found.mean(1)


def _sides(terms: Terms) -> list[Terms]:
    """The directions; if they have as many queries, one record of both: it takes as many calls as one of them."""
    if terms.reverse is None:
        return [terms]
    if len(terms.cross_entropy) != len(terms.reverse.cross_entropy):
        return [terms, terms.reverse]
    facts: Any = _Both(terms, terms.reverse)
    return [Terms(facts, terms.n_with_positive)]


class _Both:
    """The terms of two directions, one below the other."""

    def __init__(self, own: Terms, reverse: Terms) -> None:
        self.own, self.reverse = own, reverse

    def __getattr__(self, name: str) -> Tensor:
        return torch.stack([getattr(self.own, name), getattr(self.reverse, name)])

    @cached_property
    def details(self) -> Any:
        found: Any = zip(self.own.details, self.reverse.details, strict=True)
        found = [None if x is None else torch.stack([x, y]) for x, y in found]
        return type(self.own.details)(*found)


def _costly_readings(given: Given) -> dict[str, Tensor]:
    """What takes another pass over the scores, or over the embeddings: `_MOST_ROWS` of them at most.

    Uniformity and rank are of queries no two of which are each other's positives.
    """
    queries, keys = given.queries.float(), given.keys.float()
    positives = given.options["positives"] or paired()
    pairs = positives.pairs(len(queries), len(keys), queries.device)
    rows = unit(queries[_apart(len(queries), pairs)[:_MOST_ROWS]])
    number = queries.new_tensor
    unknown = number(math.nan)
    return {
        "effective_negatives": _effective_negatives(given),
        "alignment": alignment(queries[pairs.rows[:_MOST_ROWS]], keys[pairs.cols[:_MOST_ROWS]])
        if pairs is not None and len(pairs.rows)
        else unknown,
        "uniformity": unknown if len(rows) < 2 else uniformity(rows),
        "effective_rank": unknown if len(rows) < 1 else effective_rank(rows),
        "rank_limit": number(float(min(rows.shape))),
    }


def _effective_negatives(given: Given) -> Float[Tensor, ""]:
    try:
        return effective_negatives(given.queries, given.keys, group=given.group, **given.options).mean()
    except ValueError:  # a query has no negative; in a group all processes raise it
        return given.queries.new_tensor(math.nan)


def _apart(n: int, pairs: Pairs | None) -> Int[Tensor, " r"]:
    """The queries that are no positive of an earlier one."""
    kept = torch.ones(n, dtype=torch.bool)
    if pairs is not None:
        kept[pairs.rows[pairs.cols < pairs.rows].cpu()] = False
    return kept.nonzero()[:, 0]


def readings_of_two(products: GradientProducts) -> dict[str, Tensor]:
    """Whether a second loss and InfoNCE pull the weights in the same direction, from their gradients a and b."""
    return {
        "gradient_cosine": products.cosine(),
        "gradient_conflict": (products.ab < 0).double(),
        "gradient_ratio": products.ratio(),
    }


def gradient_norm(parameters: Iterable[Tensor]) -> Float[Tensor, ""]:
    """The length of the gradient of all parameters together.

    >>> layer = nn.Linear(1, 1)
    >>> layer(torch.tensor([[2.0]])).sum().backward()
    >>> round(gradient_norm(layer.parameters()).item() ** 2, 4)
    5.0
    """
    gradients = [p.grad for p in parameters if p.grad is not None]
    gradients = [g.coalesce().values() if g.is_sparse else g for g in gradients]
    norm: Tensor = nn.utils.get_total_norm(gradients)
    return norm
