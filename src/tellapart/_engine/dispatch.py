"""How a loss is computed: whole matrices below the crossover, a streamed reduction beyond it and in a ring."""

from __future__ import annotations

from tellapart._engine import assemble, dense
from tellapart._engine.cross_entropy import of_one_positive, of_shared_target, one_positive_each, share_the_target
from tellapart._engine.crossover import is_whole
from tellapart._engine.further import check_kept
from tellapart._engine.precision import full_precision
from tellapart._engine.problem import LineUp
from tellapart._engine.schedule import ALONE
from tellapart._engine.terms import Terms
from tellapart._traced import must_be_whole, untraced
from tellapart.errors import requirement

# Of several listed positives that share a probability, the whole matrix of weights costs more than tiles from here on.
LISTED_CROSSOVER = 2**18


@full_precision
def evaluate(
    line_up: LineUp,
    *,
    multi_positive: str = "out",
    symmetric: bool = False,
    engine: str = "auto",
    detailed: bool = False,
    fuse: bool = False,
) -> Terms:
    """The terms of each query and, if `symmetric`, of each key.

    Args:
        line_up: the problem.
        multi_positive: how several positives count, "out" or "in".
        symmetric: whether keys are queries in turn.
        engine: "dense", "tiled", or "auto" for the faster of the two, chosen from the shapes.
        detailed: find what `Terms.accuracy` and other diagnostics need, too.
        fuse: form gradients in the forward pass where that is faster if all queries' losses get the same gradient.

    Raises:
        ValueError: there is no positive at all, or a query that has one but no candidate.
    """
    if symmetric:
        check_kept(line_up.exclude_negatives, False, "of a symmetric loss")
    if choose(line_up, engine) == "tiled":
        return untraced(assemble.evaluate)(line_up, multi_positive, symmetric, detailed, fuse)
    if (pairs := one_positive_each(line_up, symmetric)) is not None:
        return of_one_positive(line_up, pairs, symmetric)
    if share_the_target(line_up, multi_positive):
        terms = of_shared_target(line_up, symmetric)
        # A positive is a candidate here.
        terms.check_positives()
        return terms
    if engine == "auto" and multi_positive == "in" and not line_up.is_traced and _lists_its_positives(line_up):
        return assemble.evaluate(line_up, multi_positive, symmetric, detailed, fuse)
    terms = dense.evaluate(line_up, multi_positive, symmetric)
    terms.check()
    return terms


def choose(line_up: LineUp, engine: str) -> str:
    """The engine that "auto" stands for, from the shapes alone; over several processes it is "tiled".

    What is traced needs the whole matrix, whatever the engine asked for; where the graph may break, it is as always.

    Raises:
        ValueError: an unknown engine, or another one than "auto" in a group; in all of its processes.

    >>> import torch
    >>> choose(LineUp.build(torch.eye(2), torch.eye(2)), "auto")
    'dense'
    """
    if line_up.comm is not ALONE:
        with line_up.comm.together():
            must = "be 'auto' in a group, where keys travel between processes"
            if engine != "auto":
                raise ValueError(requirement("engine", must, engine))
        return "tiled"
    queries, keys = line_up.queries, line_up.keys
    is_held = is_whole(len(queries), len(keys), queries.device, engine)
    return "dense" if is_held or (line_up.is_traced and must_be_whole()) else "tiled"


def _lists_its_positives(line_up: LineUp) -> bool:
    """Whether positives are few, and the matrix is large enough for that to matter."""
    queries, m = line_up.queries, line_up.n_keys
    if len(queries) * len(line_up.keys) <= LISTED_CROSSOVER:
        return False
    return line_up.positives.pairs(len(queries), m, queries.device) is not None
