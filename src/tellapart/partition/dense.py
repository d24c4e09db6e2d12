"""The dense engine: all scores at once and plain autograd. The reference, and best when small."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from tellapart.partition.crowd import Crowd, Tops

if TYPE_CHECKING:
    from jaxtyping import Float

_NEVER = float("-inf")


def log_partition(
    queries: Float[Tensor, "n e"],
    keys: Float[Tensor, "c e"],
    crowd: Crowd,
    references: list[Float[Tensor, " n"]],
    tops: Tops | None = None,
) -> list[Float[Tensor, " n"]]:
    """`log Σ_j exp(q_i·k_j) − reference_i`, rows and columns as `tiled.log_partition` gives them.

    >>> log_partition(torch.zeros(2, 1), torch.zeros(3, 1), Crowd(2, 3, 3), [torch.zeros(2)])[0].exp().round()
    tensor([3., 3.])
    """
    logits = queries @ keys.T
    if tops is not None:
        tops.see_all(logits.detach(), crowd)
    logits = _sifted(logits, crowd)
    sides = (logits, 1), (logits[:, : crowd.m], 0)
    return [_logsumexp(*side, reference) for side, reference in zip(sides, references, strict=False)]


def _sifted(logits: Tensor, crowd: Crowd) -> Tensor:
    """−∞ for those left out; the logarithm of a weight added for the others."""
    for pairs in crowd.left_out:
        logits = logits.flatten().index_fill(0, pairs.rows * crowd.c + pairs.cols, _NEVER).view_as(logits)
    if crowd.among is None:
        return logits
    weights = crowd.among.tile(slice(0, crowd.n), slice(0, crowd.m), logits.device)
    kept = logits[:, : crowd.m]
    kept = kept.masked_fill(~weights, _NEVER) if weights.dtype == torch.bool else kept + weights.to(logits).log()
    return torch.cat([kept, logits[:, crowd.m :]], dim=1)


def _logsumexp(logits: Tensor, dim: int, minus: Tensor) -> Tensor:
    """`logsumexp` less `minus`; −∞, and a gradient of zero, where all are −∞."""
    top = logits.detach().amax(dim, keepdim=True)
    # A row of −∞ only would give a NaN gradient: its sum is replaced before the logarithm.
    none = top == _NEVER
    top = top.masked_fill(none, 0)
    total = (logits - top).exp().sum(dim).masked_fill(none.squeeze(dim), 1)
    return (total.log() + (top.squeeze(dim) - minus)).masked_fill(none.squeeze(dim), _NEVER)
