"""How close InfoNCE's bound comes to the information with the best critic, the true log ratio."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch

from tellapart.errors import requirement

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor


def optimum_at_least(log_ratio: Float[Tensor, " n"], n_negatives: int) -> Float[Tensor, " n"]:
    """The part of InfoNCE's bound that each true pair guarantees: `log((K + 1) r / (K + r))`, in nats.

    With r = p(y|x)/p(y) of the true pair, and K negatives with ratios r_j of mean 1 given x, the best critic's
    bound is `log(K + 1) − E log(1 + Σ_j r_j / r)`. The logarithm is concave, so the mean over the negatives inside of
    it makes the bound smaller:

        E_p log((K + 1) r / (K + r))  ≤  InfoNCE's bound  ≤  min(I, log(K + 1)).

    So it misses at most `E_p log(1 + (r − 1)/(K + 1))` of the information and `E_p log(1 + K/r)` of the ceiling. It
    is near the information if nearly all pairs have r well below K + 1, and near the ceiling if well above.

    Args:
        log_ratio: log r of true pairs; the mean of the result is the guarantee.
        n_negatives: K ≥ 1.

    Raises:
        ValueError: no negative.

    >>> optimum_at_least(torch.tensor([0.0, 20.0]), 7)  # no information, and log 8
    tensor([0.0000, 2.0794])
    """
    if n_negatives < 1:
        raise ValueError(requirement("n_negatives", "be at least 1", n_negatives))
    log_negatives = torch.full_like(log_ratio, math.log(n_negatives))
    return math.log(n_negatives + 1) + log_ratio - torch.logaddexp(log_ratio, log_negatives)
