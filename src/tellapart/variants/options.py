"""What the variants share: the arguments that state the problem, and how losses are reduced."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict

import torch
from torch import Tensor

from tellapart._engine import REDUCTIONS, LineUp, NoCandidateError, Terms, default_positives, evaluate
from tellapart.errors import check_choice, check_loss, requirement
from tellapart.relations import Relation, check_relation, is_boolean, listed
from tellapart.scores import Score

if TYPE_CHECKING:
    from typing import Unpack

    from jaxtyping import Bool, Float


class LineUpOptions(TypedDict, total=False):
    """Arguments of `info_nce` that variants pass on as they are: relations, negatives and scores."""

    positives: Relation | None
    exclude: Relation | None
    negatives: Tensor | None
    exclude_negatives: Relation | None
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
    """The terms without the positives in the denominator: `log_partition` is log Z over the negatives alone.

    Raises:
        ValueError: a query, or if symmetric a key, with positives as its only candidates.

    >>> decoupled_terms(torch.eye(3), torch.eye(3), temperature=1.0).log_partition.exp()
    tensor([2., 2., 2.])
    """
    line_up = LineUp.build(queries, keys, **negatives_only(len(queries), len(keys), options))
    try:
        return evaluate(line_up, multi_positive=multi_positive, symmetric=symmetric, engine=engine)
    except NoCandidateError as error:
        # The engine was told to exclude the positives, and the caller perhaps nothing.
        together = "" if options.get("exclude") is None else ", together with `exclude`,"
        raise ValueError(requirement("positives", f"leave every {error.own}{together} a negative", error.got)) from None


def negatives_only(n: int, m: int, options: LineUpOptions) -> LineUpOptions:
    """The options of n queries and m keys with the positives excluded.

    >>> negatives_only(2, 2, {"temperature": 1.0})["exclude"].tile(slice(0, 2), slice(0, 2)).tolist()
    [[True, False], [False, True]]
    """
    positives, exclude = default_positives(options.get("positives"), n, m), options.get("exclude")
    if exclude is not None:
        check_relation("exclude", exclude, n, m)
    return {**options, "exclude": positives if exclude is None else positives | exclude}


def all_candidates(n: int, options: LineUpOptions) -> LineUpOptions:
    """The options of n queries without positives of their own, for what depends on the candidates alone.

    Any one key serves as the positive, for log Z does not depend on which it is.

    Raises:
        ValueError: positives are given.

    >>> all_candidates(2, {})["positives"].tile(slice(0, 2), slice(0, 2)).tolist()
    [[True, False], [True, False]]
    """
    if options.get("positives") is not None:
        raise ValueError(requirement("positives", "be left out where all candidates count", "a relation"))
    return {**options, "positives": listed(torch.zeros(n, dtype=torch.long))}


def counted_once(relation: Relation) -> Relation:
    """The same pairs without their weights.

    >>> from tellapart.relations import dense
    >>> counted_once(dense(torch.tensor([[0.0, 0.5]]))).tile(slice(0, 1), slice(0, 2)).tolist()
    [[False, True]]
    """
    return relation if is_boolean(relation) else ~~relation


def n_candidates(keys: Float[Tensor, "m d"], negatives: Tensor | None) -> int:
    """How many keys and shared negatives there are.

    >>> n_candidates(torch.eye(2), torch.ones(3, 2))
    5
    """
    return len(keys) + (len(negatives) if negatives is not None and negatives.ndim == 2 else 0)


def reduced(losses: Float[Tensor, " n"], active: Bool[Tensor, " n"], reduction: str) -> Float[Tensor, "..."]:
    """The losses of the `active` queries as "mean", as "sum", or each, 0 for the others ("none").

    >>> reduced(torch.tensor([1.0, 5.0]), torch.tensor([True, False]), "mean")
    tensor(1.)
    """
    check_choice("reduction", reduction, REDUCTIONS)
    losses = losses.masked_fill(~active, 0)
    if reduction == "none":
        return check_loss(losses)
    return check_loss(losses.sum() / active.sum() if reduction == "mean" else losses.sum())


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
