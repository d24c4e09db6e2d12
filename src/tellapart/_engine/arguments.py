"""The arguments of a loss are checked before anything is computed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from tellapart import scores
from tellapart._engine.further import same_width
from tellapart._engine.schedule import ALONE, Comm
from tellapart.errors import NotFiniteError, check_embeddings, check_finite, check_vectors, requirement
from tellapart.relations import Relation, check_relation, paired

if TYPE_CHECKING:
    from tellapart.scores import Score


class How(NamedTuple):
    """What is made of the scores: those options of `info_nce` that do not state the problem."""

    multi_positive: str = "out"
    symmetric: bool = False
    reduction: str = "mean"
    engine: str = "auto"

    @property
    def options(self) -> dict[str, Any]:
        """What of it `dispatch.evaluate` takes."""
        return {"multi_positive": self.multi_positive, "symmetric": self.symmetric, "engine": self.engine}


def checked(
    queries: Tensor,
    keys: Tensor,
    positives: Relation | None,
    exclude: Relation | None,
    margin: float,
    score: Score,
    comm: Comm,
) -> Relation:
    """The positives, once the arguments are checked as far as they concern the vectors as they came.

    >>> checked(torch.eye(2), torch.eye(2), None, None, 0.0, scores.cosine, ALONE)
    paired()
    """
    # The cosine sees from the lengths whether the vectors are finite.
    check, in_ring = check_vectors if score is scores.cosine else check_embeddings, comm is not ALONE
    check("queries", queries, empty=in_ring)
    if keys is not queries:
        check("keys", keys, empty=in_ring)
    n, m = queries.shape[0], keys.shape[0]
    if not 0 <= margin < float("inf"):
        raise ValueError(requirement("margin", "be finite and at least 0", margin))
    positives = default_positives(positives, n, m)
    if exclude is not None:
        check_relation("exclude", exclude, n, m)
    if queries.dtype != keys.dtype and torch.float64 in (queries.dtype, keys.dtype):
        raise TypeError(requirement("keys", f"have the queries' dtype, {queries.dtype}", keys.dtype))
    return positives


def checked_negatives(negatives: Tensor, queries: Tensor, keys: Tensor, score: Score) -> Tensor | None:
    """The negatives, shared `(k, d)` or one set for each query `(n, k, d)`, in the keys' dtype; `None` if k is 0.

    >>> checked_negatives(torch.zeros(0, 2), torch.eye(2), torch.eye(2), scores.cosine)
    """
    check_vectors("negatives", negatives, dims=(2, 3), empty=True)
    if score is not scores.cosine or negatives.ndim == 3:
        check_finite("negatives", negatives)
    if negatives.ndim == 3 and len(negatives) != len(queries):
        must = f"hold one set for each of the {len(queries)} queries"
        raise ValueError(requirement("negatives", must, len(negatives)))
    negatives = same_width("negatives", negatives.to(keys.dtype), keys)
    return negatives if negatives.shape[-2] else None  # a queue is empty at first


def default_positives(positives: Relation | None, n: int, m: int) -> Relation:
    """The positives of n queries among m keys, by default each query's key of the same number.

    Raises:
        TypeError: not a relation.
        ValueError: a relation of another size, or by default fewer keys than queries.

    >>> default_positives(None, 2, 2).tile(slice(0, 1), slice(0, 2)).tolist()
    [[True, False]]
    """
    if positives is not None:
        check_relation("positives", positives, n, m)
    elif m < n:
        raise ValueError(requirement("keys", f"hold a positive for each of the {n} queries", f"{m} rows"))
    return paired() if positives is None else positives


def check_per_candidate(parameter: str, values: object, n_candidates: int) -> None:
    """Raise unless `values` is a tensor with one finite number per key and shared negative.

    >>> check_per_candidate("key_bias", torch.zeros(3), 3)
    """
    if not isinstance(values, torch.Tensor):
        raise TypeError(requirement(parameter, "be a tensor", type(values).__name__))
    if values.shape != (n_candidates,):
        must = f"have one entry per key and shared negative, ({n_candidates},)"
        raise ValueError(requirement(parameter, must, f"shape {tuple(values.shape)}"))
    check_finite(parameter, values)


def named(error: NotFiniteError, vectors: Mapping[str, Tensor]) -> NotFiniteError:
    """The error of vectors that were put together, by the name and the row of those that are not finite.

    >>> named(NotFiniteError("queries"), {"views[1]": torch.tensor([[1.0], [torch.nan]])})
    NotFiniteError('`views[1]` must be finite. Got nan in row 1.')
    """
    for name, own in vectors.items():
        try:
            check_finite(name, own)
        except NotFiniteError as found:
            return found
    return error
