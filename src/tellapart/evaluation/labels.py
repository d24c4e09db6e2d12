"""Checks of labels and embeddings, for every measure that reads labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from tellapart.errors import check_embeddings, requirement

if TYPE_CHECKING:
    from jaxtyping import Float, Int

    Labels = Int[Tensor, " n"] | Int[np.ndarray, " n"] | Sequence[int]


def integer_labels(parameter: str, labels: Labels, n: int, n_classes: int = 1) -> Int[Tensor, " n"]:
    """The labels as 64-bit integers, after a check for one per embedding and at least `n_classes` different ones.

    Raises:
        TypeError: labels that are not integers.
        ValueError: not one label per embedding, or too few different ones.

    >>> integer_labels("labels", [7, -2, 7], 3)
    tensor([ 7, -2,  7])
    """
    values = labels if isinstance(labels, Tensor) else np.asarray(labels)
    if tuple(values.shape) != (n,):
        raise ValueError(
            requirement(parameter, f"have one entry per embedding, ({n},)", f"shape {tuple(values.shape)}")
        )
    if not isinstance(values, Tensor):
        if values.dtype.kind not in "iub":
            raise TypeError(requirement(parameter, "hold integers", values.dtype))
        # A copy, because torch cannot share read-only arrays.
        values = torch.from_numpy(values.astype(np.int64))
    if values.is_floating_point() or values.is_complex():
        raise TypeError(requirement(parameter, "hold integers", values.dtype))
    if n_classes > 1 and (found := len(values.unique())) < n_classes:
        raise ValueError(requirement(parameter, f"hold at least {n_classes} different labels", found))
    return values.long()


def check_widths(train: Float[Tensor, "m d"], queries: Float[Tensor, "n d"]) -> None:
    """Raise unless both are finite embeddings of the same width.

    Raises:
        TypeError: not a floating-point tensor.
        ValueError: an empty set, an embedding that is not finite, or different widths.

    >>> check_widths(torch.ones(3, 2), torch.ones(1, 4))
    Traceback (most recent call last):
    ValueError: `queries` must have 2 columns, as `train` has. Got 4.
    """
    check_embeddings("train", train)
    check_embeddings("queries", queries)
    if queries.shape[1] != train.shape[1]:
        raise ValueError(requirement("queries", f"have {train.shape[1]} columns, as `train` has", queries.shape[1]))
