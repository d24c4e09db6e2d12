"""Which keys a head of attention may look for: relations among the tokens of a text."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from jaxtyping import Bool, Int

TARGETS = {
    "previous": "the token before",
    "same": "other places of the same token",
    "induction": "the token after an earlier place of the same token",
}


def token_targets(tokens: Int[Tensor, "batch n"]) -> dict[str, Bool[Tensor, "batch n n"]]:
    """For each name in `TARGETS`, which places j each place i of a text looks for.

    `previous: j = i − 1`; `same: t_j = t_i, j ≠ i`; `induction: t_{j−1} = t_i, j ≤ i`.

    Source: Olsson et al. 2022, https://arxiv.org/abs/2209.11895 (previous-token and induction heads).

    >>> found = token_targets(torch.tensor([[5, 6, 5]]))
    >>> [[pair.tolist() for pair in found[name][0].nonzero()] for name in TARGETS]
    [[[1, 0], [2, 1]], [[0, 2], [2, 0]], [[2, 1]]]
    """
    place = torch.arange(tokens.shape[1], device=tokens.device)
    same = (tokens[:, :, None] == tokens[:, None, :]) & (place[:, None] != place)
    earlier = same.tril()
    after = torch.cat([torch.zeros_like(earlier[:, :, :1]), earlier[:, :, :-1]], dim=2)
    previous = (place == place[:, None] - 1).expand_as(same)
    return {"previous": previous, "same": same, "induction": after}
