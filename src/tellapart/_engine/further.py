"""Further negatives that stand among the keys, so that pairs with them can be excluded."""

from __future__ import annotations

import torch
from torch import Tensor

from tellapart.errors import check_vectors, requirement
from tellapart.relations import Relation, beside, check_relation

_REMEDY = {
    "without shared negatives": "of a query's own negatives, do not pass those that it excludes",
    "of a symmetric loss": "take the mean of a loss of queries and keys, with it, and one of keys and queries, without",
    "with a group": "pass the negatives behind the keys, as candidates of all processes, and their pairs in `exclude`",
}


def check_kept(exclude_negatives: Relation | None, holds: bool, where: str) -> None:
    """Raise `ValueError` with what to do instead if relations among queries and negatives cannot be kept somewhere.

    >>> check_kept(None, False, "with a group")
    """
    if exclude_negatives is not None and not holds:
        must = f"be left out {where}: {_REMEDY[where]}"
        raise ValueError(requirement("exclude_negatives", must, type(exclude_negatives).__name__))


def negatives_as_keys(
    queries: Tensor,
    keys: Tensor,
    negatives: Tensor | None,
    positives: Relation,
    exclude: Relation | None,
    exclude_negatives: Relation,
) -> tuple[Tensor, Relation, Relation | None]:
    """Keys with shared negatives behind them, where pairs can be excluded, and the positives and exclusions of both.

    Raises:
        ValueError: no shared negatives, or of another width; a relation of another size.

    >>> from tellapart.relations import paired
    >>> both, _, excluded = negatives_as_keys(torch.eye(2), torch.eye(2), torch.ones(1, 2), paired(), None, paired())
    >>> both.shape, excluded.tile(slice(0, 2), slice(0, 3)).int().tolist()
    (torch.Size([3, 2]), [[0, 0, 1], [0, 0, 0]])
    """
    check_kept(exclude_negatives, negatives is not None and negatives.ndim == 2, "without shared negatives")
    assert negatives is not None
    n, m = len(queries), len(keys)
    check_relation("exclude_negatives", exclude_negatives, n, len(negatives))
    check_vectors("negatives", negatives, empty=True)
    negatives = same_width("negatives", negatives.to(keys), keys)
    if not len(negatives):  # a queue is empty at first
        return keys, positives, exclude
    both = torch.cat([keys, negatives])
    return both, beside(positives, m, None), beside(exclude, m, exclude_negatives)


def same_width(parameter: str, value: Tensor, other: Tensor) -> Tensor:
    """The same vectors; raise `ValueError` unless they have as many columns as the others.

    >>> same_width("keys", torch.ones(1, 2), torch.ones(3, 2)).shape
    torch.Size([1, 2])
    """
    if value.shape[-1] != other.shape[-1]:
        raise ValueError(
            requirement(parameter, f"have {other.shape[-1]} columns, as the queries or keys have", value.shape[-1])
        )
    return value
