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


def divide(group: np.ndarray, share: float, seed: int) -> tuple[Int[Tensor, " t"], Int[Tensor, " h"]]:
    """Rows for training and rows held out: whole groups, numbered from 0, are drawn until their share is reached.

    >>> divide(np.array([0, 0, 1, 2, 3, 3]), 0.3, seed=0)
    (tensor([2, 4, 5]), tensor([0, 1, 3]))
    """
    sizes = np.bincount(group)
    order = np.random.default_rng(seed).permutation(len(sizes))
    before = np.cumsum(sizes[order]) - sizes[order]
    n_out = int(np.clip((before < share * len(group)).sum(), 2, len(sizes) - 2))
    out = np.isin(group, order[:n_out])
    return torch.from_numpy(np.flatnonzero(~out)), torch.from_numpy(np.flatnonzero(out))
