"""Shared by the adapters: a cross-entropy per pair, and temperatures given as scales."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from tellapart._engine import LineUp, evaluate, evaluate_binary
from tellapart.errors import requirement
from tellapart.relations import Relation, everyone, paired
from tellapart.scores import InnerProduct, cosine

if TYPE_CHECKING:
    from jaxtyping import Float


def pair_losses(
    queries: Tensor, keys: Tensor, positives: Relation, log_negatives: Tensor, temperature: float | Tensor
) -> Float[Tensor, " n"]:
    """`Σ_{p∈P(i)} log(1 + Z⁻_i / exp S_ip)`: the cross-entropy of each positive among the query's negatives.

    It is the softplus of `log Z⁻_i − S_ip`. With log Z⁻ subtracted from the scores, the binary engine sums it over
    any relation, and streams it where there are many pairs.

    >>> from tellapart.relations import paired
    >>> pair_losses(torch.eye(2), torch.eye(2), paired(), torch.zeros(2), temperature=1.0)  # log(1 + 1/e)
    tensor([0.3133, 0.3133])
    """

    def measured(queries: Tensor, keys: Tensor) -> InnerProduct:
        return cosine(queries, keys)._replace(query_bias=-temperature * log_negatives)

    line_up = LineUp.build(queries, keys, positives=positives, temperature=temperature, score=measured)
    return evaluate_binary(line_up, only_negatives=True)


def among_given(
    queries: Float[Tensor, "n d"],
    positives: Float[Tensor, "n d"],
    negatives: Float[Tensor, "k d"] | Float[Tensor, "n k d"],
    temperature: float | Tensor,
) -> Float[Tensor, " n"]:
    """`log(exp S_i⁺ + Σ_j exp S_ij) − S_i⁺` of each query, over given negatives j and no other query's positive.

    >>> among_given(torch.eye(2)[:1], torch.eye(2)[:1], torch.eye(2)[1:], 1.0)  # log(1 + e⁻¹)
    tensor([0.3133])
    """
    if not negatives.shape[-2]:  # nothing to tell apart yet
        return (0 * queries).sum(1) + (0 * positives).sum(1)
    # The negatives alone, at the cost of one key that is excluded for every query. Excluding the other queries'
    # positives instead would cost n² scores.
    all_keys = everyone()
    line_up = LineUp.build(
        *(queries, queries[:1]), positives=all_keys, exclude=all_keys, negatives=negatives, temperature=temperature
    )
    return pair_losses(queries, positives, paired(), evaluate(line_up).log_partition, temperature)


def inverse(parameter: str, scale: float | Tensor) -> float | Tensor:
    """τ = 1/scale. A half-precision scale is inverted in float32, where inverting twice loses almost nothing.

    Raises:
        ValueError: a scale that is not a positive number.

    >>> inverse("scale", 20.0)
    0.05
    """
    if isinstance(scale, Tensor):
        return 1 / scale.reshape(()).to(torch.promote_types(scale.dtype, torch.float32))
    if not 0 < scale < float("inf"):
        raise ValueError(requirement(parameter, "be positive and finite", scale))
    return 1 / float(scale)
