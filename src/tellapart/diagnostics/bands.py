"""Scores in bands of rows, for what the partition function does not give."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import torch

from tellapart._engine import full_precision

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor

# Scores held at once: 2 MiB in float32, which fit in the cache.
_SCORES = 2**19


def bands(queries: Float[Tensor, "n d"], keys: Float[Tensor, "m d"]) -> Iterator[tuple[slice, Float[Tensor, "b m"]]]:
    """The products of all queries with all keys, a band of rows at a time, to bound the memory.

    >>> import torch
    >>> [(rows, products.shape) for rows, products in bands(torch.eye(3), torch.eye(3))]
    [(slice(0, 3, None), torch.Size([3, 3]))]
    """
    product = full_precision(torch.mm)
    height = max(1, _SCORES // max(1, len(keys)))
    for start in range(0, len(queries), height):
        rows = slice(start, min(start + height, len(queries)))
        yield rows, product(queries[rows], keys.T)
