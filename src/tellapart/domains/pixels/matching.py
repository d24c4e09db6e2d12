"""Where points of one frame are in another: the cell that is most alike, and the place among the cells round it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from tellapart.domains.pixels.encoder import STRIDE, FourCells
from tellapart.scores import unit

if TYPE_CHECKING:
    from jaxtyping import Float, UInt8

_AT_ONCE = 4096  # points, so that a matrix of scores stays small
_SHARP = 0.05  # by what cosines are divided for the place between cells


class Encode(Protocol):
    """Frames to maps of unit embeddings."""

    def __call__(self, frames: UInt8[np.ndarray, "n h w 3"]) -> Float[Tensor, "n d rows cols"]: ...


class Found(NamedTuple):
    """Where points are in another frame, and the cosine of what lies there."""

    places: Float[np.ndarray, "n 2"]
    cosines: Float[np.ndarray, " n"]


def read(encoded: Float[Tensor, "d rows cols"], points: Float[np.ndarray, "n 2"]) -> Float[Tensor, "n d"]:
    """The unit embeddings at points of a frame, from its map."""
    four = FourCells.of(torch.from_numpy(np.asarray(points, dtype=np.float32)), *encoded.shape[1:])
    return unit(four.read(encoded.flatten(1).T))


def find(queries: Float[Tensor, "n d"], encoded: Float[Tensor, "d rows cols"]) -> Found:
    """The places of a frame that are most like queries.

    The best cell is taken; the place is the mean of the cells round it, weighted by how much they are like the query.

    >>> found = find(torch.eye(4)[1:2], torch.eye(4).view(4, 2, 2))
    >>> found.places.round(3).tolist(), found.cosines.tolist()
    ([[4.0, 0.0]], [1.0])
    """
    places, cosines = [], []
    cells = encoded.flatten(1)
    rows, cols = encoded.shape[1:]
    around = torch.tensor([[y, x] for y in (-1, 0, 1) for x in (-1, 0, 1)])
    for part in queries.split(_AT_ONCE):
        scores = part @ cells
        best, index = scores.max(dim=1)
        at = torch.stack([index // cols, index % cols], dim=1)[:, None] + around
        known = ((at >= 0) & (at < torch.tensor([rows, cols]))).all(dim=2)
        at = at.minimum(torch.tensor([rows - 1, cols - 1])).clamp(min=0)
        near = scores.gather(1, at[..., 0] * cols + at[..., 1]).masked_fill(~known, -torch.inf)
        share = (near / _SHARP).softmax(dim=1)
        places.append(STRIDE * (share[..., None] * at.float()).sum(dim=1).flip(1))
        cosines.append(best)
    return Found(torch.cat(places).numpy(), torch.cat(cosines).numpy())
