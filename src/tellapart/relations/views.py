"""Views of examples, and further keys behind them whose examples are known by ids."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from tellapart.relations.kinds import integers, paired, same

if TYPE_CHECKING:
    from jaxtyping import Int

    from tellapart.relations.relation import Relation

_NONE = -1


def views_and_others(ids: Int[Tensor, " n"], others: Int[Tensor, " k"], n_views: int) -> tuple[Relation, Relation]:
    """Positives and exclusions of V·n stacked views among themselves and k further keys behind them.

    A view's positives are its example's other views. It is no candidate of its own, and neither are further keys with
    its example's id.

    Args:
        ids: of the n examples.
        others: of the examples that the further keys are of.
        n_views: V.

    Raises:
        TypeError: ids that are no integers.
        ValueError: ids that are not one-dimensional; at use, if there are more or fewer than rows.

    >>> positives, exclude = views_and_others(torch.tensor([7, 8]), torch.tensor([8]), 2)
    >>> positives.tile(slice(0, 2), slice(0, 5)).int().tolist()
    [[0, 0, 1, 0, 0], [0, 0, 0, 1, 0]]
    >>> exclude.tile(slice(0, 2), slice(0, 5)).int().tolist()
    [[1, 0, 0, 0, 0], [0, 1, 0, 0, 1]]
    """
    ids, others = integers("ids", ids), integers("ids", others)
    _, group = torch.cat([ids, others.to(ids)]).unique(return_inverse=True)
    own, theirs = group[: len(ids)].repeat(n_views), group[len(ids) :]
    example = torch.arange(len(ids), device=ids.device).repeat(n_views)
    positives = same(example, torch.cat([example, torch.full_like(theirs, _NONE)])) & ~paired()
    return positives, paired() | same(own, torch.cat([torch.full_like(own, _NONE), theirs]))
