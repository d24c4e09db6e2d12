"""Rows held out from training, such that equal items are on one side of the split."""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING

import numpy as np
import torch

if TYPE_CHECKING:
    from jaxtyping import Int
    from torch import Tensor


def text_id(text: str) -> str:
    """A text's id, the same for equal texts: without case, with compatible characters unified and single spaces.

    >>> text_id(" Red  ﬁsh") == text_id("red fish")
    True
    """
    plain = text if text.isascii() else unicodedata.normalize("NFKC", text)
    return " ".join(plain.casefold().split())


_EXCESS = 1.5
"""Of the share that is asked for, the most that is held out while smaller groups are left."""


def divide(group: np.ndarray, share: float, seed: int) -> tuple[Int[Tensor, " t"], Int[Tensor, " h"]]:
    """Rows for training and rows held out: whole groups, numbered from 0, are drawn until their share is reached.

    A group that would exceed the share by half is passed over. At least two groups stay on either side.

    >>> divide(np.array([0, 0, 1, 2, 3, 3]), 0.3, seed=0)
    (tensor([0, 1, 4, 5]), tensor([2, 3]))
    >>> divide(np.array([0, 0, 0, 0, 0, 0, 1, 2, 3]), 0.3, seed=0)[1]  # not the six
    tensor([6, 7])
    """
    sizes = np.bincount(group)
    out = np.isin(group, drawn(sizes, np.random.default_rng(seed).permutation(len(sizes)), share, 2, len(sizes) - 2))
    return torch.from_numpy(np.flatnonzero(~out)), torch.from_numpy(np.flatnonzero(out))


def drawn(sizes: np.ndarray, order: np.ndarray, share: float, least: int, most: int) -> np.ndarray:
    """The groups that are held out, of those in an order by chance; so many at least, and at most.

    Where too few are small enough, the smallest of the others are added.

    >>> drawn(np.array([70, 20, 5, 5]), np.array([0, 2, 1, 3]), 0.2, 1, 3)
    array([2, 1])
    """
    wanted, n, found = share * sizes.sum(), 0, list[int]()
    for number in order:
        if n >= wanted or len(found) == most:
            break
        if n + sizes[number] <= _EXCESS * wanted:
            found.append(number)
            n += sizes[number]
    if (n_more := min(least, most) - len(found)) > 0:
        left = order[~np.isin(order, found)]
        found.extend(left[np.argsort(sizes[left], kind="stable")][:n_more])
    return np.array(found, dtype=np.int64)
