"""Ids: integers as they are, anything else by the number it gets; what is missing equals nothing."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from tellapart.errors import requirement

if TYPE_CHECKING:
    from jaxtyping import Int

    Ids = Int[Tensor, " n"] | Int[np.ndarray, " n"] | Sequence[Hashable]


class Missing:
    """An id that is not known: equal to itself alone, in other processes, too."""


def integers(parameter: str, ids: Tensor) -> Int[Tensor, " n"]:
    """The same ids, if they are integers in one dimension.

    >>> integers("index", torch.tensor([3, 1]))
    tensor([3, 1])
    """
    if ids.is_floating_point() or ids.is_complex():
        raise TypeError(requirement(parameter, "hold integers or hashable ids", ids.dtype))
    if ids.ndim != 1:
        raise ValueError(requirement(parameter, "have 1 dimension", f"shape {tuple(ids.shape)}"))
    # Of whatever width they come: places are computed from them.
    return ids.long()


def is_numeric(ids: Ids) -> bool:
    """Whether ids are a tensor or an array of numbers, which need no numbering of ours.

    >>> is_numeric(torch.tensor([1])), is_numeric([1])
    (True, False)
    """
    dtype = getattr(ids, "dtype", None)
    return isinstance(ids, Tensor) or (isinstance(dtype, np.dtype) and dtype.kind in "biufc")


def numbered(ids: Ids, numbers: dict[Hashable, int]) -> Int[Tensor, " n"]:
    """Each id's number, in order of first appearance; `numbers` is extended by the new ones.

    Each missing id gets a number of its own.

    >>> numbered(["a", None, "a", None], {}).tolist()
    [0, 1, 0, 2]
    """
    # A 0-d tensor hashes by identity, so it counts by its value.
    values = (x.item() if isinstance(x, Tensor) else x for x in (ids.tolist() if hasattr(ids, "tolist") else ids))
    known = (Missing() if is_missing(x) else x for x in values)
    return torch.tensor([numbers.setdefault(x, len(numbers)) for x in known], dtype=torch.long)


def is_missing(value: object) -> bool:
    """Whether it is `None`, NaN, or what pandas has for them.

    >>> [is_missing(x) for x in (None, float("nan"), 0, "")]
    [True, True, False, False]
    """
    if value is None:
        return True
    differs = value != value
    return differs if isinstance(differs, bool) else type(value).__name__ == "NAType" or bool(differs)
