"""Embeddings that come in parts, in one tensor."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tellapart.errors import requirement

if TYPE_CHECKING:
    from collections.abc import Iterable

    from jaxtyping import Float
    from torch import Tensor


def stacked(parts: Iterable[Float[Tensor, "k d"]], n: int) -> Float[Tensor, "n d"]:
    """The n rows of some parts: as `torch.cat` of a list, with the memory of the result alone.

    Each part of a list would lie between the large tensors that were made on the way to it. The allocator could not
    give back what these leave.

    Raises:
        ValueError: the parts have not `n` rows in all, or there is no part.

    >>> import torch
    >>> stacked((torch.full((2, 1), float(i)) for i in range(2)), 4).flatten().tolist()
    [0.0, 0.0, 1.0, 1.0]
    """
    whole: Tensor | None = None
    start = 0
    for part in parts:
        if whole is None:
            whole = part.new_empty(n, *part.shape[1:])
        if start + len(part) <= n:
            whole[start : start + len(part)] = part
        start += len(part)
    if whole is None or start != n:
        raise ValueError(requirement("parts", f"have {n} rows in all", start))
    return whole
