"""info-nce-pytorch: `from tellapart.compat.info_nce_pytorch import InfoNCE, info_nce`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from tellapart import objective
from tellapart._engine import REDUCTIONS
from tellapart.compat.common import among_given
from tellapart.errors import as_temperature, check_choice, check_embeddings, requirement
from tellapart.variants.options import reduced

if TYPE_CHECKING:
    from jaxtyping import Float

__all__ = ["InfoNCE", "InfoNCEPytorch", "info_nce"]

_DIMENSIONS = {"unpaired": 2, "paired": 3}


def info_nce(
    query: Float[Tensor, "n d"],
    positive_key: Float[Tensor, "n d"],
    negative_keys: Float[Tensor, "k d"] | Float[Tensor, "n k d"] | None = None,
    temperature: float | Tensor = 0.1,
    reduction: str = "mean",
    negative_mode: str = "unpaired",
) -> Float[Tensor, "..."]:
    """info-nce-pytorch's `info_nce`: `L_i = log(exp S_i⁺ + Σ_j exp S_ij) − S_i⁺` over given negatives j, cosines.

    With `negative_keys`, they are a query's only negatives. Without, the positives of the other queries are.

    Args:
        query: `(n, d)`.
        positive_key: `(n, d)`, the positive of each query.
        negative_keys: "unpaired" ones are `(k, d)` for all queries, "paired" ones `(n, k, d)`, k for each.
        temperature: τ > 0.
        reduction: "mean", "sum" or "none".
        negative_mode: "unpaired" or "paired".

    Raises:
        ValueError: τ ≤ 0, an unknown reduction or mode, shapes that do not fit, or as `tellapart.info_nce`.

    Source: van den Oord et al. 2018, eq. 4.

    >>> info_nce(torch.eye(2)[:1], torch.eye(2)[:1], torch.eye(2)[1:], temperature=1.0)  # log(1 + e⁻¹)
    tensor(0.3133)
    """
    check_choice("reduction", reduction, REDUCTIONS)
    check_choice("negative_mode", negative_mode, tuple(_DIMENSIONS))
    if query.shape != positive_key.shape:
        must = f"have the shape of `query`, {tuple(query.shape)}"
        raise ValueError(requirement("positive_key", must, f"shape {tuple(positive_key.shape)}"))
    if negative_keys is None:
        return objective.info_nce(query, positive_key, temperature=temperature, reduction=reduction)
    check_embeddings("negative_keys", negative_keys, (_DIMENSIONS[negative_mode],), empty=True)
    losses = among_given(query, positive_key, negative_keys, as_temperature(temperature, len(query)))
    return reduced(losses, torch.ones_like(losses, dtype=torch.bool), reduction)


class InfoNCEPytorch(nn.Module):
    """info-nce-pytorch's `InfoNCE`, the function of this module with fixed options.

    Args:
        temperature: τ > 0.
        reduction: "mean", "sum" or "none".
        negative_mode: "unpaired" negatives are `(k, d)` for all queries, "paired" ones `(n, k, d)`, k for each.

    Raises:
        ValueError: τ ≤ 0, an unknown reduction or mode; in a call as `info_nce`.

    Source: van den Oord et al. 2018, eq. 4.

    >>> InfoNCEPytorch(temperature=1.0)(torch.eye(2)[:1], torch.eye(2)[:1], torch.eye(2)[1:])  # log(1 + e⁻¹)
    tensor(0.3133)
    """

    def __init__(self, temperature: float = 0.1, reduction: str = "mean", negative_mode: str = "unpaired") -> None:
        super().__init__()
        check_choice("reduction", reduction, REDUCTIONS)
        check_choice("negative_mode", negative_mode, tuple(_DIMENSIONS))
        self.temperature, self.reduction = as_temperature(temperature, 1), reduction
        self.negative_mode = negative_mode

    def forward(
        self,
        query: Float[Tensor, "n d"],
        positive_key: Float[Tensor, "n d"],
        negative_keys: Float[Tensor, "k d"] | Float[Tensor, "n k d"] | None = None,
    ) -> Float[Tensor, "..."]:
        """The loss of each query with its positive of the same row, reduced."""
        return info_nce(query, positive_key, negative_keys, self.temperature, self.reduction, self.negative_mode)


InfoNCE = InfoNCEPytorch
