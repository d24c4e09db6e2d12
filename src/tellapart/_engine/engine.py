"""Which engine computes what a line-up tells."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tellapart._engine import dense, tiled
from tellapart._engine.classify import classification_loss, classify, one_positive_each
from tellapart._engine.line_up import LineUp
from tellapart._engine.precision import full_precision
from tellapart._engine.shared import share_the_target, shared_loss
from tellapart._engine.terms import Terms
from tellapart.errors import check_choice, requirement

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor

ENGINES = ("auto", "dense", "tiled")
# Up to here the whole matrix stays in cache, and plain matrix operations are faster than tiles.
CROSSOVER = 2**20


@full_precision
def evaluate(
    line_up: LineUp,
    *,
    multi_positive: str = "out",
    symmetric: bool = False,
    engine: str = "auto",
    detailed: bool = False,
) -> Terms:
    """What the line-up tells each query and, if `symmetric`, each key in turn.

    Args:
        line_up: the problem.
        multi_positive: how several positives count, "out" or "in".
        symmetric: whether the keys ask, too.
        engine: "dense", "tiled", or "auto" for the faster of the two, chosen from the shapes.
        detailed: also find what `Terms.accuracy` and other diagnostics need.

    Raises:
        ValueError: nobody has a positive, or somebody has one but no candidate.
    """
    if line_up.ring is not None:
        return _in_the_ring(line_up, multi_positive, symmetric, engine, detailed)
    if choose(line_up, engine) == "tiled":
        terms = tiled.evaluate(line_up, multi_positive, symmetric, detailed)
    elif (pairs := one_positive_each(line_up, symmetric)) is not None:
        return classify(line_up, pairs, symmetric, detailed)
    else:
        terms = dense.evaluate(line_up, multi_positive, symmetric, detailed)
    terms.check()
    return terms


@full_precision
def evaluate_loss(
    line_up: LineUp, *, multi_positive: str, symmetric: bool, engine: str, reduction: str
) -> Float[Tensor, "..."]:
    """`evaluate(...).loss(reduction)`, without what a loss can do without.

    >>> import torch
    >>> from tellapart._engine.line_up import state
    >>> line_up = state(torch.eye(2), torch.eye(2), temperature=1.0)
    >>> evaluate_loss(line_up, multi_positive="out", symmetric=False, engine="auto", reduction="mean")
    tensor(0.3133)
    """
    if line_up.ring is not None:
        return _in_the_ring(line_up, multi_positive, symmetric, engine, detailed=False).loss(reduction)
    if choose(line_up, engine) == "tiled":
        terms = tiled.evaluate(line_up, multi_positive, symmetric, detailed=False, uniform=reduction != "none")
    elif (pairs := one_positive_each(line_up, symmetric)) is not None:
        return classification_loss(line_up, pairs, symmetric, reduction)
    elif share_the_target(line_up, multi_positive):
        return shared_loss(line_up, symmetric, reduction)
    else:
        terms = dense.evaluate(line_up, multi_positive, symmetric, detailed=False)
    terms.check()
    return terms.loss(reduction)


def _in_the_ring(line_up: LineUp, multi_positive: str, symmetric: bool, engine: str, detailed: bool) -> Terms:
    from tellapart._engine import ring  # here, for a torch without distribution

    assert line_up.ring is not None
    with line_up.ring.together():
        if engine != "auto":
            must = "be 'auto' in a group, where keys travel from process to process"
            raise ValueError(requirement("engine", must, engine))
    return ring.evaluate(line_up, line_up.ring, multi_positive, symmetric, detailed)


def choose(line_up: LineUp, engine: str) -> str:
    """The engine that "auto" stands for, from the shapes alone.

    >>> import torch
    >>> from tellapart._engine.line_up import state
    >>> choose(state(torch.eye(2), torch.eye(2)), "auto")
    'dense'
    """
    check_choice("engine", engine, ENGINES)
    if engine != "auto":
        return engine
    return "dense" if line_up.queries.shape[0] * line_up.keys.shape[0] <= CROSSOVER else "tiled"
