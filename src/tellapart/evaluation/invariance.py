"""Invariance: how far a change that should not matter moves embeddings."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch

from tellapart.errors import check_embeddings, requirement
from tellapart.scores import unit

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor

_CHUNK = 1024


def relative_distance(before: Float[Tensor, "n d"], after: Float[Tensor, "n d"]) -> float:
    """How far a change moves unit embeddings, relative to their mean distance from each other.

    `mean_i ‖u_i − v_i‖ / mean_{i≠j} ‖u_i − u_j‖`: 0 if the change does not matter, 1 if it moves as far as to another
    embedding. If all embeddings coincide and the change moves them, it is infinite.

    Args:
        before: embeddings of inputs; only their directions matter.
        after: embeddings of the same inputs, changed: mirrored, turned, read from the other strand.

    Raises:
        TypeError: not floating-point.
        ValueError: fewer than 2 embeddings, embeddings that are not finite, or different shapes.

    >>> before = torch.eye(4)
    >>> relative_distance(before, before), round(relative_distance(before, before.roll(1, 0)), 6)
    (0.0, 1.0)
    """
    check_embeddings("before", before)
    check_embeddings("after", after)
    if before.shape != after.shape or len(before) < 2:
        must = f"have the shape of `before`, {tuple(before.shape)}, and 2 rows or more"
        raise ValueError(requirement("after", must, tuple(after.shape)))
    u, v = unit(before.double(), "before"), unit(after.double(), "after")
    moved = (u - v).norm(dim=1).mean().item()
    # By differences, since products of similar vectors lose the digits in which they differ.
    mode = "donot_use_mm_for_euclid_dist"
    total = sum(torch.cdist(part, u, compute_mode=mode).sum().item() for part in u.split(_CHUNK))
    apart = total / (len(u) * (len(u) - 1))
    return moved / apart if apart else math.inf if moved else 0.0
