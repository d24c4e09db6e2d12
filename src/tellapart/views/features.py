"""Views of feature vectors: of a graph's nodes, of table rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from tellapart.errors import requirement

if TYPE_CHECKING:
    from jaxtyping import Float


def drop_features(
    features: Float[Tensor, "n d"], rate: float, generator: torch.Generator | None = None
) -> Float[Tensor, "n d"]:
    """Set whole columns to 0, each with probability `rate`, the same for all rows; the others stay as they are.

    Args:
        features: `(n, d)`, one row per node; dense, or sparse with coordinates (COO).
        rate: the probability that a column is dropped, in [0, 1].
        generator: where the randomness comes from.

    Raises:
        ValueError: a rate outside [0, 1].

    Source: Zhu et al. 2020 (GRACE), §3.2.2 ("masking node features").

    >>> drop_features(torch.ones(2, 3), 1.0).sum().item(), drop_features(torch.ones(2, 3), 0.0).sum().item()
    (0.0, 6.0)
    """
    if not 0 <= rate <= 1:
        raise ValueError(requirement("rate", "lie in [0, 1]", rate))
    dropped = torch.rand(features.shape[1], generator=generator, device=features.device) < rate
    if not features.is_sparse:
        return features.masked_fill(dropped, 0)
    features = features.coalesce()
    kept = ~dropped[features.indices()[1]]
    return torch.sparse_coo_tensor(
        features.indices()[:, kept],
        features.values()[kept],
        features.shape,
        is_coalesced=True,
        check_invariants=False,
    )
