"""Which engine computes what a line-up tells."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tellapart.errors import check_choice
from tellapart.partition import dense, tiled
from tellapart.partition.classify import classification_loss, classify, one_positive_each
from tellapart.partition.line_up import LineUp
from tellapart.partition.terms import Terms

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor

ENGINES = ("auto", "dense", "tiled")
# Up to here the whole matrix stays in cache, and plain matrix operations are faster than tiles.
_CROSSOVER = 10**6


def evaluate(line_up: LineUp, multi_positive: str, symmetric: bool, engine: str) -> Terms:
    """What the line-up tells each query and, if `symmetric`, each key in turn.

    Args:
        line_up: the problem.
        multi_positive: how several positives count, "out" or "in".
        symmetric: whether the keys ask, too.
        engine: "dense", "tiled", or "auto" for the faster of the two, chosen from the shapes.

    Raises:
        ValueError: nobody has a positive, or somebody has one but no candidate.
    """
    if choose(line_up, engine) == "tiled":
        terms = tiled.evaluate(line_up, multi_positive, symmetric, detailed=True)
    elif (pairs := one_positive_each(line_up, symmetric)) is not None:
        return classify(line_up, pairs, symmetric)
    else:
        terms = dense.evaluate(line_up, multi_positive, symmetric, detailed=True)
    terms.check()
    return terms


def evaluate_loss(
    line_up: LineUp, multi_positive: str, symmetric: bool, engine: str, reduction: str
) -> Float[Tensor, "..."]:
    """`evaluate(...).loss(reduction)`, without what a loss can do without."""
    if choose(line_up, engine) == "tiled":
        terms = tiled.evaluate(line_up, multi_positive, symmetric, detailed=False, uniform=reduction != "none")
    elif (pairs := one_positive_each(line_up, symmetric)) is not None:
        return classification_loss(line_up, pairs, symmetric, reduction)
    else:
        terms = dense.evaluate(line_up, multi_positive, symmetric, detailed=False)
    terms.check()
    return terms.loss(reduction)


def choose(line_up: LineUp, engine: str) -> str:
    """The engine that "auto" stands for, from the shapes alone.

    >>> import torch
    >>> from tellapart.partition.line_up import state
    >>> from tellapart.relations import paired
    >>> choose(state(torch.eye(2), torch.eye(2), paired(), None, None, 0.5, "dot", None, 0.0), "auto")
    'dense'
    """
    check_choice("engine", engine, ENGINES)
    if engine != "auto":
        return engine
    return "dense" if len(line_up.queries) * len(line_up.keys) <= _CROSSOVER else "tiled"
