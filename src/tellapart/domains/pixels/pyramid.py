"""A frame seen at several sizes: what a network makes of each lies over the cells of the frame as it is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import torch
from torch.nn.functional import grid_sample, interpolate

from tellapart.domains.pixels.encoder import STRIDE
from tellapart.scores import unit

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor

PYRAMID = (0.75, 1.0, 1.5)
"""The sizes of a frame in a pyramid, of its own."""


def seen_at(
    sizes: Sequence[float], network: Callable[[Tensor], Tensor], frame: Float[Tensor, "1 3 h w"]
) -> Float[Tensor, "1 k_d rows cols"]:
    """The unit embeddings of a frame's cells at several sizes, one after the other, together of length 1.

    With u_s the unit embedding at the s-th of k sizes, a cell has (u_1, …, u_k) / √k. So the cosine of two cells is the
    mean of their cosines at each size.

    Args:
        sizes: of the frame, as shares of its own.
        network: makes maps of frames, a cell for each `STRIDE` pixels.
        frame: one frame, levels of 0 to 255.

    >>> seen_at((1.0, 2.0), lambda frames: frames[:, :, ::4, ::4], torch.rand(1, 3, 20, 32)).shape
    torch.Size([1, 6, 5, 8])
    """
    height, width = frame.shape[2:]
    rows, cols = -(-height // STRIDE), -(-width // STRIDE)
    found = []
    for size in sizes:
        shape = round(size * height), round(size * width)
        if shape == (height, width):
            maps = network(frame)
        else:
            resized = interpolate(frame, shape, mode="bilinear", align_corners=False, antialias=True)
            maps = _at_cells(network(resized), shape, (height, width), rows, cols)
        found.append(unit(maps.float().movedim(1, -1)))
    return unit(torch.cat(found, dim=-1)).movedim(-1, 1)


def _at_cells(
    maps: Float[Tensor, "1 d r c"], shape: tuple[int, int], whole: tuple[int, int], rows: int, cols: int
) -> Float[Tensor, "1 d rows cols"]:
    """The maps of a resized frame, at the centres of the cells of the frame itself."""
    sides = []
    for n, resized, own, known in zip((rows, cols), shape, whole, maps.shape[2:], strict=True):
        pixel = (STRIDE * torch.arange(n, device=maps.device) + 0.5) * resized / own - 0.5
        sides.append(2 * pixel / STRIDE / max(known - 1, 1) - 1)
    y, x = torch.meshgrid(*sides, indexing="ij")
    return grid_sample(maps, torch.stack([x, y], dim=-1)[None], padding_mode="border", align_corners=True)
