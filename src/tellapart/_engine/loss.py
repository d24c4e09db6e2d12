"""The loss of one process and its terms, each by the shortest way to it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torch import Tensor

from tellapart._engine import dispatch, one_node, one_node_terms, whole
from tellapart._engine.arguments import How
from tellapart._engine.problem import LineUp
from tellapart._engine.terms import Terms
from tellapart.errors import check_loss

if TYPE_CHECKING:
    from jaxtyping import Float


def loss(
    queries: Float[Tensor, "n d"],
    keys: Float[Tensor, "m d"],
    given: dict[str, Any],
    how: How,
) -> Float[Tensor, "..."]:
    """The loss of queries and keys, and of the options of `info_nce` that state the problem.

    Raises:
        TypeError, ValueError: as `info_nce` does.

    >>> import torch
    >>> loss(torch.eye(2), torch.eye(2), {"temperature": 1.0}, How(symmetric=True))
    tensor(0.3133)
    """
    for way in (whole, one_node):
        if (found := way.loss(queries, keys, given, how)) is not None:
            return check_loss(found)
    line_up = LineUp.build(queries, keys, engine=how.engine, **given)
    return dispatch.evaluate(line_up, fuse=how.reduction != "none", **how.options).loss(how.reduction)


def terms(queries: Float[Tensor, "n d"], keys: Float[Tensor, "m d"], given: dict[str, Any], how: How) -> Terms:
    """The terms of the same, which tell diagnostics what they need.

    Raises:
        TypeError, ValueError: as `info_nce` does.

    >>> import torch
    >>> terms(torch.eye(2), torch.eye(2), {"temperature": 1.0}, How()).loss()
    tensor(0.3133)
    """
    if (found := one_node_terms.terms(queries, keys, given, how)) is not None:
        return found
    line_up = LineUp.build(queries, keys, engine=how.engine, **given)
    return dispatch.evaluate(line_up, detailed=True, fuse=True, **how.options)
