"""The loss of one positive each, and its terms, where few scores are held as a whole matrix: see `whole_node`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from tellapart import scores
from tellapart._engine.arguments import How, checked, checked_negatives
from tellapart._engine.cross_entropy import never_meet
from tellapart._engine.crossover import is_whole
from tellapart._engine.further import same_width
from tellapart._engine.precision import full_precision
from tellapart._engine.problem import TEMPERATURE, are_symmetric, folded, product_with
from tellapart._engine.schedule import ALONE
from tellapart._engine.whole_node import HALF, Problem, Whole
from tellapart._traced import is_traced
from tellapart.errors import as_temperature
from tellapart.relations import Relation

if TYPE_CHECKING:
    from jaxtyping import Float

    from tellapart.scores import Score

TINY = 2**13
"""Scores up to which a CPU takes less time for autograd's own nodes, if these are few."""
_WIDE = (torch.float32, torch.float64)


@full_precision
def loss(
    queries: Float[Tensor, "n d"],
    keys: Float[Tensor, "m d"],
    given: dict[str, Any],
    how: How,
) -> Float[Tensor, ""] | None:
    """The loss of queries and keys; `None` if it takes another way.

    Args:
        queries: as for `info_nce`.
        keys: likewise.
        given: the options of `info_nce` that state the problem.
        how: the reduction "none" takes another way, and so do the engine "tiled", and "auto" for many scores.

    Raises:
        TypeError, ValueError: as `LineUp.build` does.

    >>> loss(torch.eye(2), torch.eye(2), {"temperature": 1.0}, How(symmetric=True))
    tensor(0.3133)
    """
    found = None if how.reduction == "none" else prepared(queries, keys, given, how)
    return None if found is None else found.loss()


class Prepared(NamedTuple):
    """What a node takes."""

    queries: Float[Tensor, "n d"]
    keys: Float[Tensor, "own d"] | None
    """`None` of a mirrored problem, where they are the queries."""
    further: Float[Tensor, "k d"] | None
    """Candidates behind the keys."""
    temperature: float | Float[Tensor, ""]
    problem: Problem

    @property
    def candidates(self) -> Float[Tensor, "c d"]:
        """The keys, and what stands behind them."""
        keys = self.queries if self.keys is None else self.keys
        return keys if self.further is None else torch.cat([keys, self.further])

    def loss(self, logits: Float[Tensor, "n c"] | None = None) -> Float[Tensor, ""]:
        """The loss; logits that are at hand are not computed again."""
        value: Tensor = Whole.apply(*self, torch.is_grad_enabled(), logits)
        return value


def prepared(
    queries: Float[Tensor, "n d"], keys: Float[Tensor, "m d"], given: dict[str, Any], how: How
) -> Prepared | None:
    """The arguments of `loss` as the node takes them, or `None`.

    Raises:
        TypeError, ValueError: as `LineUp.build` does.

    >>> prepared(torch.eye(2), torch.eye(2), {"margin": 0.1}, How()) is None
    True
    """
    symmetric = how.symmetric
    # What is wrong with arguments is told elsewhere.
    if not isinstance(queries, Tensor) or is_traced(queries):
        return None
    if not _is_plain(queries, keys, given, symmetric, how.engine):
        return None
    score = scores.resolve(given.get("score", "cosine"))
    exclude = given.get("exclude")
    positives = checked(queries, keys, given.get("positives"), exclude, 0.0, score, ALONE)
    n, m = queries.shape[0], keys.shape[0]
    if exclude is not None and not never_meet(positives, exclude):
        return None
    turned, cols = positives.turned(n, m), None
    if turned is None:
        pairs = positives.pairs(n, m, queries.device)
        if pairs is None or not pairs.one_each:
            return None
        cols = pairs.cols[:, None]
    temperature = as_temperature(given.get("temperature", TEMPERATURE), n)
    if isinstance(temperature, Tensor) and temperature.ndim:
        return None
    own, others, further = _vectors(queries, keys, given.get("negatives"), score)
    mirrored = others is own and further is None and not symmetric and are_symmetric(positives, exclude)
    problem = Problem(positives, exclude, n, m, turned, cols, symmetric, mirrored, how.reduction)
    if isinstance(temperature, Tensor):
        # A copy, for the number may be changed in place before backward.
        temperature = temperature.to(own.device, own.dtype if own.dtype in _WIDE else torch.float32, copy=True)
    return Prepared(own, None if mirrored else others, further, temperature, problem)


def _is_plain(queries: Tensor, keys: Tensor, given: dict[str, Any], symmetric: bool, engine: str) -> bool:
    """Whether options, and sizes and kinds of tensors, are such as this way takes."""
    negatives, positives, tau = given.get("negatives"), given.get("positives"), given.get("temperature")
    tensors = [queries, keys] if negatives is None else [queries, keys, negatives]
    if not all(isinstance(x, Tensor) and x.ndim == 2 for x in tensors) or keys.dtype != queries.dtype:
        return False
    if queries.dtype not in _WIDE and (queries.dtype not in HALF or tensors[-1].dtype != queries.dtype):
        return False
    n, *sizes = (x.shape[0] for x in tensors)
    is_short = not symmetric and keys is not queries and not isinstance(tau, Tensor)
    if queries.is_cpu and is_short and n * sum(sizes) <= TINY:
        return False
    if positives is None:
        is_listed = n <= sizes[0]
    else:
        is_listed = isinstance(positives, Relation) and positives.listed and (positives.diagonal or not symmetric)
    return (
        is_listed
        and (n == sizes[0] or not symmetric)
        and not given.get("margin")
        and given.get("key_bias") is None
        and given.get("exclude_negatives") is None
        and not (isinstance(tau, Tensor) and tau.numel() != 1)
        and is_whole(n, sum(sizes), queries.device, engine)
    )


def _vectors(
    queries: Tensor, keys: Tensor, negatives: Tensor | None, score: Score
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Queries and candidates with the scores as products; the third, if given, are candidates behind the second."""
    is_one = keys is queries
    if queries.dtype in HALF and not (score is scores.dot and _stays_half(queries)):
        queries = queries.float()
        keys = queries if is_one else keys.float()
    if not is_one and not isinstance(score, torch.nn.Module):
        same_width("keys", keys, queries)
    if negatives is not None:
        negatives = checked_negatives(negatives, queries, keys, score)
    if score is scores.dot:
        return queries, keys, negatives
    own, others, _ = folded(product_with(queries, keys, negatives, score), 1.0, None)
    return own, others, None


def _stays_half(vectors: Tensor) -> bool:
    """Whether vectors are multiplied as they are: float16 would not hold what small losses have for a gradient."""
    return vectors.dtype == torch.bfloat16 and vectors.is_cuda
