"""A fully convolutional encoder: a frame to a map of embeddings, one a cell of 4 × 4 pixels."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from jaxtyping import Float, Int, UInt8

STRIDE = 4
"""Pixels from one cell to the next: cell (i, j) is centred at pixel (x, y) = (4 j, 4 i)."""


class DenseConv(nn.Module):
    """Convolutions at a quarter of the resolution, the later ones with gaps, so that a cell sees some 120 pixels.

    Edges are padded with what lies at them: zeros would tell each cell how far it is from the edge.
    """

    def __init__(self, width: int, dim: int, blocks: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            _conv(3, width // 2, 7, stride=2),
            nn.BatchNorm2d(width // 2),
            nn.ReLU(inplace=True),
            _conv(width // 2, width, 3, stride=2),
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
        )
        self.blocks = nn.Sequential(*(_Residual(width, 2**block) for block in range(blocks)))
        self.head = nn.Conv2d(width, dim, 1)

    def forward(self, frames: UInt8[Tensor, "n 3 h w"]) -> Float[Tensor, "n dim rows cols"]:
        """Maps of ⌈h/4⌉ × ⌈w/4⌉ cells."""
        standard = (frames.float() / 255 - 0.45) / 0.25
        maps: Tensor = self.head(self.blocks(self.stem(standard.contiguous(memory_format=torch.channels_last))))
        return maps


class _Residual(nn.Module):
    def __init__(self, width: int, dilation: int) -> None:
        super().__init__()
        self.inner = nn.Sequential(
            _conv(width, width, 3, dilation=dilation),
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
            _conv(width, width, 3, dilation=dilation),
            nn.BatchNorm2d(width),
        )

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(x + self.inner(x))


def _conv(n_in: int, n_out: int, size: int, stride: int = 1, dilation: int = 1) -> nn.Conv2d:
    padding = size // 2 * dilation
    return nn.Conv2d(n_in, n_out, size, stride, padding, dilation, bias=False, padding_mode="replicate")


class FourCells(NamedTuple):
    """The four cells round each point, numbered along the rows of a map, and their bilinear weights, which sum to 1."""

    cells: Int[Tensor, "n 4"]
    weight: Float[Tensor, "n 4"]

    @classmethod
    def of(cls, points: Float[Tensor, "n 2"], rows: int, cols: int) -> FourCells:
        """Those round points (x, y) in pixels; a point outside is taken to the edge.

        >>> four = FourCells.of(torch.tensor([[6.0, 4.0]]), 3, 3)
        >>> four.cells.tolist(), four.weight.tolist()
        ([[4, 5, 7, 8]], [[0.5, 0.5, 0.0, 0.0]])
        """
        last = torch.tensor([cols - 1, rows - 1], device=points.device)
        place = (points / STRIDE).clamp(min=0).minimum(last)
        corner = place.floor().long().minimum((last - 1).clamp(min=0))
        x, y = (place - corner).unbind(1)
        first = corner[:, 1] * cols + corner[:, 0]
        right, down = int(cols > 1), cols * int(rows > 1)
        around = torch.stack([first, first + right, first + down, first + down + right], dim=1)
        weight = torch.stack([(1 - x) * (1 - y), x * (1 - y), (1 - x) * y, x * y], dim=1)
        return cls(around, weight)

    def of_map(self, number: Int[Tensor, " n"], size: int) -> FourCells:
        """The same of maps of `size` cells that follow one another, each point in the map of its number."""
        return self._replace(cells=self.cells + (number * size)[:, None])

    def read(self, embeddings: Float[Tensor, "m d"]) -> Float[Tensor, "n d"]:
        """What lies at the points: the weighted mean of the embeddings of the four cells."""
        return (embeddings[self.cells] * self.weight[..., None]).sum(dim=1)


def as_cells(maps: Float[Tensor, "n d rows cols"]) -> Float[Tensor, "n_rows_cols d"]:
    """The cells of all maps, one a row.

    >>> as_cells(torch.arange(8.0).view(1, 2, 2, 2)).tolist()
    [[0.0, 4.0], [1.0, 5.0], [2.0, 6.0], [3.0, 7.0]]
    """
    return maps.flatten(2).transpose(1, 2).flatten(0, 1)
