"""The problem every engine solves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from tellapart import scores
from tellapart.errors import check_embeddings, check_finite, requirement

if TYPE_CHECKING:
    from jaxtyping import Float

    from tellapart.relations import Relation
    from tellapart.scores import InnerProduct, Score


@dataclass(frozen=True, eq=False)
class LineUp:
    """Who asks, who stands in the line-up, and who is whose counterpart.

    The logits are `S_ij = scale_i · (s_ij − margin·[j is a positive of i]) + key_bias_j`, with
    `s_ij` the score in inner-product form. The first `n_keys` keys can be positives and, in the
    symmetric loss, ask in turn; those behind them, and those of `mined`, are negatives of queries only.
    """

    product: InnerProduct
    n_keys: int
    scale: Float[Tensor, ""] | Float[Tensor, " n"]
    positives: Relation
    exclude: Relation | None
    margin: float
    key_bias: Float[Tensor, " m_and_k"] | None
    mined: Float[Tensor, "n k"] | None
    """Scores (not logits) of negatives chosen for each query separately."""


def state(
    queries: Tensor,
    keys: Tensor,
    positives: Relation,
    exclude: Relation | None,
    negatives: Tensor | None,
    temperature: float | Tensor,
    score: str | Score,
    key_bias: Tensor | None,
    margin: float,
) -> LineUp:
    """State the problem that `info_nce` was given: scores in inner-product form, in float32 at least.

    Arguments as for `info_nce`; the relations must already fit the queries and keys.

    Raises:
        TypeError: queries and keys of different dtypes.
        ValueError: `keys`, `negatives` or `key_bias` of a shape that does not fit.

    >>> from tellapart.relations import paired
    >>> state(torch.eye(2), torch.eye(2), paired(), None, None, 0.5, "dot", None, 0.0).scale
    tensor(2.)
    """
    n, m = len(queries), len(keys)
    score = scores.resolve(score)
    if queries.dtype != keys.dtype:
        raise TypeError(requirement("keys", f"have the queries' dtype, {queries.dtype}", keys.dtype))
    dtype = torch.promote_types(queries.dtype, torch.float32)
    queries, keys = queries.to(dtype), keys.to(dtype)
    mined = None
    if negatives is not None:
        check_embeddings("negatives", negatives, dims=(2, 3))
        negatives = negatives.to(dtype)
        if negatives.ndim == 2:
            keys = torch.cat([keys, _same_width("negatives", negatives, keys)])
        elif len(negatives) != n:
            raise ValueError(requirement("negatives", f"hold one set for each of the {n} queries", len(negatives)))
        else:
            mined = _mined_scores(score, queries, _same_width("negatives", negatives, keys))
    if not isinstance(score, nn.Module):
        _same_width("keys", keys, queries)
    if key_bias is not None:
        if not isinstance(key_bias, torch.Tensor):
            raise TypeError(requirement("key_bias", "be a tensor", type(key_bias).__name__))
        if key_bias.shape != (len(keys),):
            must = f"have one entry per key and shared negative, ({len(keys)},)"
            raise ValueError(requirement("key_bias", must, f"shape {tuple(key_bias.shape)}"))
        check_finite("key_bias", key_bias)
        key_bias = key_bias.to(dtype)
    return LineUp(
        product=score(queries, keys),
        n_keys=m,
        scale=1 / torch.as_tensor(temperature, dtype=dtype, device=queries.device),
        positives=positives,
        exclude=exclude,
        margin=margin,
        key_bias=key_bias,
        mined=mined,
    )


def _same_width(parameter: str, value: Tensor, other: Tensor) -> Tensor:
    if value.shape[-1] != other.shape[-1]:
        raise ValueError(requirement(parameter, f"have {other.shape[-1]} columns, as what it meets", value.shape[-1]))
    return value


def _mined_scores(score: Score, queries: Tensor, negatives: Tensor) -> Tensor:
    """Scores `(n, k)` of each query with its own negatives `(n, k, d)`."""
    n, k, _ = negatives.shape
    form = score(queries, negatives.flatten(0, 1))
    result = torch.einsum("nd,nkd->nk", form.queries, form.keys.unflatten(0, (n, k)))
    if form.query_bias is not None:
        result = result + form.query_bias[:, None]
    return result if form.key_bias is None else result + form.key_bias.unflatten(0, (n, k))
