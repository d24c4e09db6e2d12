"""What the variants share: the arguments that state a line-up, and how losses are reduced."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict

import torch
from torch import Tensor

from tellapart.errors import check_choice, check_finite, requirement
from tellapart.partition import REDUCTIONS, Terms, evaluate, state
from tellapart.relations import Relation, check_relation, paired
from tellapart.scores import Score

if TYPE_CHECKING:
    from typing import Unpack

    from jaxtyping import Bool, Float


class LineUpOptions(TypedDict, total=False):
    """Arguments of `info_nce` that variants pass on as they are: who stands in the line-up, and the scores."""

    positives: Relation | None
    exclude: Relation | None
    negatives: Tensor | None
    temperature: float | Tensor
    score: str | Score
    key_bias: Tensor | None


class Options(LineUpOptions, total=False):
    """As `LineUpOptions`, and how to compute it: the engine, and the reduction of the loss."""

    engine: str
    reduction: str


def decoupled_terms(
    queries: Float[Tensor, "n d"],
    keys: Float[Tensor, "m d"],
    *,
    multi_positive: str = "out",
    symmetric: bool = False,
    engine: str = "auto",
    **options: Unpack[LineUpOptions],
) -> Terms:
    """The terms of a line-up without the positives: `log_partition` is log Z over the negatives alone.

    >>> decoupled_terms(torch.eye(3), torch.eye(3), temperature=1.0).log_partition.exp()
    tensor([2., 2., 2.])
    """
    positives, exclude = counterparts(options.get("positives"), queries, keys), options.get("exclude")
    if exclude is not None:
        check_relation("exclude", exclude, len(queries), len(keys))
    options["exclude"] = positives if exclude is None else positives | exclude
    return evaluate(state(queries, keys, **options), multi_positive=multi_positive, symmetric=symmetric, engine=engine)


def counterparts(positives: Relation | None, queries: Tensor, keys: Tensor) -> Relation:
    """`positives`, by default each query's key of the same number; checked as `info_nce` does.

    >>> counterparts(None, torch.eye(2), torch.eye(2)).tile(slice(0, 1), slice(0, 2)).tolist()
    [[True, False]]
    """
    if positives is not None:
        check_relation("positives", positives, len(queries), len(keys))
    elif len(keys) < len(queries):
        must = f"hold a counterpart for each of the {len(queries)} queries"
        raise ValueError(requirement("keys", must, f"{len(keys)} rows"))
    return paired() if positives is None else positives


def counted_once(relation: Relation) -> Relation:
    """The same pairs without their weights.

    >>> from tellapart.relations import dense
    >>> counted_once(dense(torch.tensor([[0.0, 0.5]]))).tile(slice(0, 1), slice(0, 2)).tolist()
    [[False, True]]
    """
    return relation if relation.tile(slice(0, 0), slice(0, 0)).dtype == torch.bool else ~~relation


def check_per_candidate(parameter: str, values: Tensor, keys: Tensor, negatives: Tensor | None) -> None:
    """Raise unless `values` holds one finite number per key and shared negative.

    >>> check_per_candidate("log_noise", torch.zeros(3), torch.eye(2), torch.ones(1, 2))
    """
    if not isinstance(values, torch.Tensor):
        raise TypeError(requirement(parameter, "be a tensor", type(values).__name__))
    count = len(keys) + (len(negatives) if negatives is not None and negatives.ndim == 2 else 0)
    if values.shape != (count,):
        must = f"have one entry per key and shared negative, ({count},)"
        raise ValueError(requirement(parameter, must, f"shape {tuple(values.shape)}"))
    check_finite(parameter, values)


def reduced(losses: Float[Tensor, " n"], active: Bool[Tensor, " n"], reduction: str) -> Float[Tensor, "..."]:
    """The losses of the `active` queries as "mean", as "sum", or each, 0 for the others ("none").

    >>> reduced(torch.tensor([1.0, 5.0]), torch.tensor([True, False]), "mean")
    tensor(1.)
    """
    check_choice("reduction", reduction, REDUCTIONS)
    losses = losses.masked_fill(~active, 0)
    if reduction == "none":
        return losses
    return losses.sum() / active.sum() if reduction == "mean" else losses.sum()


def both_ways(terms: Terms, losses: list[Tensor], reduction: str) -> Float[Tensor, "..."]:
    """Reduce the losses of one direction or of both, which are averaged, as `Terms.loss` does.

    >>> both_ways(decoupled_terms(torch.eye(2), torch.eye(2)), [torch.tensor([1.0, 3.0])], "mean")
    tensor(2.)
    """
    sides = [terms] if terms.reverse is None else [terms, terms.reverse]
    each = [reduced(loss, side.n_positives > 0, reduction) for loss, side in zip(losses, sides, strict=True)]
    return torch.cat(each) if reduction == "none" else torch.stack(each).mean()


def check_between(parameter: str, value: float, low: float, high: float) -> None:
    """Raise `ValueError` unless `low <= value < high`.

    >>> check_between("prior", 0.1, 0, 1)
    """
    if not low <= value < high:
        raise ValueError(requirement(parameter, f"be at least {low:g} and below {high:g}", value))
