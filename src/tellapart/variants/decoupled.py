"""The positive leaves the denominator: decoupled losses, and the bound that leaves one out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from tellapart._engine import TEMPERATURE
from tellapart.errors import as_temperature, requirement
from tellapart.variants.options import LineUpOptions, decoupled_terms, reduced

if TYPE_CHECKING:
    from typing import Unpack

    from jaxtyping import Float
    from torch import Tensor


def dcl(
    queries: Float[Tensor, "n d"],
    keys: Float[Tensor, "m d"],
    *,
    symmetric: bool = False,
    reduction: str = "mean",
    engine: str = "auto",
    **options: Unpack[LineUpOptions],
) -> Float[Tensor, "..."]:
    """Decoupled contrastive learning: the positive leaves the denominator, `L_i = log Z⁻_i − S⁺_i`.

    Easy batches then push as hard as large ones. Unlike InfoNCE it has no floor at 0.

    Args:
        queries: `(n, d)`.
        keys: `(m, d)`.
        symmetric: as for `info_nce`, like the other options.

    Raises:
        ValueError: as `info_nce`; a query with positives as its only candidates.

    Source: Yeh et al. 2022, eq. 6. The same value is InfoLOOB's (Fürst et al. 2022, eq. 4).

    >>> dcl(torch.eye(2), torch.eye(2), temperature=1.0)  # 0 − 1
    tensor(-1.)
    """
    terms = decoupled_terms(queries, keys, symmetric=symmetric, engine=engine, **options)
    return terms.loss(reduction)


def dclw(
    queries: Float[Tensor, "n d"],
    keys: Float[Tensor, "m d"],
    *,
    sigma: float = 0.5,
    reduction: str = "mean",
    engine: str = "auto",
    **options: Unpack[LineUpOptions],
) -> Float[Tensor, "..."]:
    """DCL with the positives' pull weighted: `L_i = log Z⁻_i − w_i S⁺_i`, `w_i = 2 − exp(s_i⁺/σ) / mean_j exp(s_j⁺/σ)`.

    Counterparts that are far apart get more weight, those that are close less; the weights have mean 1.

    Args:
        queries: `(n, d)`.
        keys: `(m, d)`.
        sigma: σ > 0, the width of the weights' von Mises-Fisher distribution; `s⁺ = τ S⁺`, the score before τ.
        reduction: as for `info_nce`, like the other options.

    Raises:
        ValueError: `sigma <= 0`, or as `dcl`.

    Source: Yeh et al. 2022, eq. 7.

    >>> dclw(torch.eye(2), torch.eye(2), temperature=1.0)  # both weights are 1
    tensor(-1.)
    """
    if not 0 < sigma < float("inf"):
        raise ValueError(requirement("sigma", "be positive and finite", sigma))
    terms = decoupled_terms(queries, keys, symmetric=False, engine=engine, **options)
    active = terms.n_positives > 0
    scores = terms.positive * as_temperature(options.get("temperature", TEMPERATURE), len(queries))
    shares = (scores / sigma).masked_fill(~active, -torch.inf).softmax(0)
    losses = terms.log_partition - (2 - active.sum() * shares) * terms.positive
    return reduced(losses, active, reduction)


def info_loob(
    queries: Float[Tensor, "n d"],
    keys: Float[Tensor, "m d"],
    *,
    reduction: str = "mean",
    engine: str = "auto",
    **options: Unpack[LineUpOptions],
) -> Float[Tensor, "..."]:
    """InfoLOOB, both ways: leave the positive out of the denominator, `L = ½ (L_queries + L_keys)` of `dcl`.

    `log(K) − L` with K negatives is, at the best score, the leave-one-out *upper* bound of the mutual information.

    Args:
        queries: `(n, d)`.
        keys: `(m, d)`.
        reduction: as for `info_nce`, like the other options.

    Raises:
        ValueError: as `dcl`.

    Source: Fürst et al. 2022 (CLOOB), eq. 4; the bound: Poole et al. 2019, eq. 13.

    >>> info_loob(torch.eye(2), torch.eye(2), temperature=1.0)
    tensor(-1.)
    """
    return dcl(queries, keys, symmetric=True, reduction=reduction, engine=engine, **options)
