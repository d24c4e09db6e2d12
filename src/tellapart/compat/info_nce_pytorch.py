"""info-nce-pytorch."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from tellapart._engine import REDUCTIONS, LineUp, evaluate
from tellapart.compat.common import pair_losses
from tellapart.errors import as_temperature, check_choice, check_embeddings, requirement
from tellapart.objective import info_nce
from tellapart.relations import everyone, paired
from tellapart.variants.options import reduced

if TYPE_CHECKING:
    from jaxtyping import Float

_DIMENSIONS = {"unpaired": 2, "paired": 3}


class InfoNCEPytorch(nn.Module):
    """info-nce-pytorch's `InfoNCE`: `L_i = log(exp S_i⁺ + Σ_j exp S_ij) − S_i⁺` over given negatives j, cosines.

    With `negative_keys`, they are a query's only negatives. Without, the positives of the other queries are.

    Args:
        temperature: τ > 0.
        reduction: "mean", "sum" or "none".
        negative_mode: "unpaired" negatives are `(k, d)` for all queries, "paired" ones `(n, k, d)`, k for each.

    Raises:
        ValueError: τ ≤ 0, an unknown reduction or mode; in a call, shapes that do not fit, or as `info_nce`.

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
        if query.shape != positive_key.shape:
            must = f"have the shape of `query`, {tuple(query.shape)}"
            raise ValueError(requirement("positive_key", must, f"shape {tuple(positive_key.shape)}"))
        if negative_keys is None:
            return info_nce(query, positive_key, temperature=self.temperature, reduction=self.reduction)
        check_embeddings("negative_keys", negative_keys, (_DIMENSIONS[self.negative_mode],))
        # The negatives alone, at the cost of one key that is excluded for every query. Excluding the other queries'
        # positives instead would cost n² scores.
        all_keys = everyone()
        line_up = LineUp.build(
            *(query, query[:1]),
            positives=all_keys,
            exclude=all_keys,
            negatives=negative_keys,
            temperature=self.temperature,
        )
        log_negatives = evaluate(line_up).log_partition
        losses = pair_losses(query, positive_key, paired(), log_negatives, self.temperature)
        return reduced(losses, torch.ones_like(losses, dtype=torch.bool), self.reduction)
