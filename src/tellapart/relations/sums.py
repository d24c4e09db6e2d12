"""Weighted sums of keys over a relation that is known by its tiles only."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

if TYPE_CHECKING:
    from jaxtyping import Float

Tile = Callable[[slice, slice, torch.device], Tensor]
_STEP = 1024


def tiled_sum(tile: Tile, keys: Float[Tensor, "m d"], n: int) -> Float[Tensor, "n d"]:
    """`W K` for a matrix W `(n, m)` given by its tiles, which are read again for the gradient, `Wᵀ G`.

    >>> tiled_sum(lambda rows, cols, device: torch.ones(2, 3), torch.eye(3), 2).tolist()
    [[1.0, 1.0, 1.0], [1.0, 1.0, 1.0]]
    """
    result: Tensor = _TiledSum.apply(keys, tile, n)
    return result


class _TiledSum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, keys: Tensor, tile: Tile, n: int) -> Tensor:
        ctx.tile, ctx.m = tile, len(keys)
        result = keys.new_zeros(n, keys.shape[1])
        for r in range(0, n, _STEP):
            for c in range(0, len(keys), _STEP):
                rows, cols = slice(r, min(r + _STEP, n)), slice(c, min(c + _STEP, len(keys)))
                result[rows].addmm_(tile(rows, cols, keys.device).to(keys.dtype), keys[cols])
        return result

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        tile = ctx.tile
        # The sum is linear, so its gradient is the sum over the transposed matrix, and so on.
        return tiled_sum(lambda rows, cols, device: tile(cols, rows, device).T, gradient, ctx.m), None, None
