"""The loss as a single node of autograd, where Triton's kernels compute all of it.

    L_i = log Z_i − S_i⁺ = softplus(log Z_i⁻ − S_i⁺)    of one positive each
    L_i = log Z_i − Σ_{p∈P(i)} S_ip / |P(i)|            of several, which are candidates

Other losses are put together from PyTorch's operations, and a card waits for their calls where queries are few. Here
nothing but scores stands between embeddings and loss. The kind of relation tells whether each query has one positive.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from tellapart import scores
from tellapart._engine.arguments import How, checked, checked_negatives
from tellapart._engine.candidates import Candidates
from tellapart._engine.cross_entropy import never_meet
from tellapart._engine.crossover import is_whole
from tellapart._engine.factors import HALF, check_half
from tellapart._engine.kernels import triton_loss_gradient, triton_masks
from tellapart._engine.kernels.triton_loss import Problem
from tellapart._engine.kernels.triton_masks import TileMask
from tellapart._engine.kernels.triton_tiles import unfit
from tellapart._engine.one_node_autograd import Prepared
from tellapart._engine.precision import full_precision
from tellapart._engine.problem import TEMPERATURE
from tellapart._engine.schedule import ALONE
from tellapart._traced import is_traced
from tellapart.errors import as_temperature, at_hand, check_finite, prefers_triton, values_are_checked
from tellapart.relations import Relation

if TYPE_CHECKING:
    from jaxtyping import Float

    from tellapart.scores import Score

_DTYPES = (torch.bfloat16, torch.float32)


@full_precision
def loss(
    queries: Float[Tensor, "n d"],
    keys: Float[Tensor, "m d"],
    given: dict[str, Any],
    how: How,
) -> Float[Tensor, "..."] | None:
    """The loss of queries and keys; `None` if it takes another way.

    Args:
        queries: as for `info_nce`.
        keys: likewise.
        given: the options of `info_nce` that state the problem.
        how: with several positives a symmetric loss and `multi_positive="in"` take another way. So does the engine
            "dense", and "auto" for few scores.

    Raises:
        TypeError, ValueError: as `LineUp.build` does.

    >>> loss(torch.eye(2), torch.eye(2), {}, How(engine="tiled"))  # on a CPU None without options(kernels="triton")
    """
    found = prepared(queries, keys, given, how)
    return None if found is None else found.loss(how.reduction)


def prepared(
    queries: Float[Tensor, "n d"],
    keys: Float[Tensor, "m d"],
    given: dict[str, Any],
    how: How,
    *,
    detailed: bool = False,
) -> Prepared | None:
    """The arguments of `loss` as the node takes them, or `None`; if `detailed`, it tells the largest logits, too.

    Raises:
        TypeError, ValueError: as `LineUp.build` does.

    >>> prepared(torch.eye(2), torch.eye(2), {"margin": 0.1}, How()) is None
    True
    """
    # What is wrong with arguments is told elsewhere.
    if not isinstance(queries, Tensor) or is_traced(queries) or not prefers_triton(queries.device):
        return None
    score = scores.resolve(given.get("score", "cosine"))
    if not _is_plain(queries, keys, given, score, how.engine):
        return None
    exclude, negatives = given.get("exclude"), given.get("negatives")
    positives = checked(queries, keys, given.get("positives"), exclude, 0.0, score, ALONE)
    temperature = as_temperature(given.get("temperature", TEMPERATURE), len(queries))
    if isinstance(temperature, Tensor):
        if temperature.ndim:
            return None
        temperature = temperature.to(queries.device)
    for name, vectors in (("queries", queries), ("keys", keys)):
        (check_half if _enters_as_it_is(vectors, score) else check_finite)(name, vectors)
    further = None if negatives is None else checked_negatives(negatives, queries, keys, score)
    if further is not None and _enters_as_it_is(further, score):
        check_half("negatives", further)
    found = _problem(queries, keys, positives, exclude, further, score, how.symmetric)
    if found is None or (found.several is not None and how.multi_positive == "in"):
        return None
    if found.cosine and not _enters_as_it_is(queries, score):
        # Any length is right there: unit vectors are made first.
        is_one = keys is queries
        queries = scores.unit(queries, "queries")
        keys = queries if is_one else scores.unit(keys, "keys")
        further = None if further is None else scores.unit(further, "negatives")
        found = found._replace(cosine=False)
    learned, tau = (temperature, None) if isinstance(temperature, Tensor) else (None, temperature)
    related = {"positives": positives, "exclude": exclude, "score": "cosine" if found.cosine else "dot"}
    if detailed:
        found = found._replace(told=found.several or _all_but(positives, len(queries), len(keys), queries.device))
    return Prepared(queries, None if found.mirrored else keys, further, learned, tau, found, related)


def _enters_as_it_is(vectors: Tensor, score: Score) -> bool:
    return vectors.dtype in HALF and score is scores.cosine


def _is_plain(queries: Tensor, keys: Tensor, given: dict[str, Any], score: Score, engine: str) -> bool:
    """Whether tensors, scores and options are such as the kernels take."""
    negatives = given.get("negatives")
    tensors = [queries, keys] if negatives is None else [queries, keys, negatives]
    alike = (isinstance(x, Tensor) and x.ndim == 2 and x.dtype == queries.dtype for x in tensors)
    if not all(alike) or any(x.device != queries.device for x in tensors):
        return False
    n, *sizes = (x.shape[0] for x in tensors)
    return (
        # Of few scores PyTorch's own operations take the host less time.
        not is_whole(n, sum(sizes), queries.device, engine)
        and not given.get("margin")
        and given.get("key_bias") is None
        and given.get("exclude_negatives") is None
        and queries.dtype in _DTYPES
        and (score is scores.cosine or score is scores.dot)
        and 0 < min(n, *sizes) <= max(n, *sizes) < 2**30
        and all(x.shape[1] == queries.shape[1] <= triton_loss_gradient.MOST_FEATURES for x in tensors)
        and unfit(queries.device) is None
        # Elsewhere the rows that are at fault are named.
        and (at_hand(queries) or not values_are_checked(queries))
    )


def _problem(
    queries: Tensor,
    keys: Tensor,
    positives: Relation,
    exclude: Relation | None,
    further: Tensor | None,
    score: Score,
    symmetric: bool,
) -> Problem | None:
    """What is constant, or `None` if a positive may be excluded, or relations are such as tiles do not know."""
    n, m, device = len(queries), len(keys), queries.device
    found = _told(positives, n, m, symmetric, device)
    if found is None:
        return None
    if exclude is not None and (not never_meet(positives, exclude) or triton_masks.why_not(exclude) is not None):
        return None
    several, positive_of = found
    mirrored = keys is queries and further is None and not symmetric and positives.symmetric
    mirrored = mirrored and (exclude is None or exclude.symmetric)
    among = None if exclude is None else ~exclude
    if several is None:
        among = ~positives if among is None else ~positives & among
    candidates = Candidates(n, m, m + (0 if further is None else len(further)), among=among)
    mask = triton_masks.of_candidates(candidates, device)
    return Problem(mask, several, None, positive_of, m, score is scores.cosine, symmetric, mirrored)


def _told(
    positives: Relation, n: int, m: int, symmetric: bool, device: torch.device
) -> tuple[TileMask | None, Tensor | None] | None:
    """Several positives as tiles tell them, or the place of each query's only one if that is not its own number."""
    if positives.diagonal:
        fits = n == m if symmetric else n <= m
        return (None, None) if fits else None
    if symmetric or triton_masks.why_not(positives) is not None:
        return None
    if not positives.listed:
        several = triton_masks.of_positives(positives, Candidates(n, m, m), device)
        return (several, None) if several.is_counted else None
    # Each is its positive's positive.
    pairs = positives.pairs(n, m, device) if n == m and positives.symmetric else None
    return None if pairs is None or not pairs.one_each else (None, pairs.cols.contiguous())


def _all_but(positives: Relation, n: int, m: int, device: torch.device) -> TileMask:
    return triton_masks.of_candidates(Candidates(n, m, m, among=~positives), device)
