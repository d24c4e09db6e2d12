"""A small residual network for small pictures, fast on a CPU."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from jaxtyping import Float, UInt8


class ConvNet(nn.Module):
    """Pictures to embeddings: a 3×3 stem, three residual stages that halve the side, and the mean over places.

    Shapes: `UInt8[Tensor, "n c size size"]`, or floating-point in [0, 1], to `Float[Tensor, "n dim"]`, where c is
    `channels`. The stages have `width·(1, 2, 4, 8)` channels. With `dim=None` there is no last linear layer, and
    `dim` is `width·8`.

    Source: He et al. 2016, with the 3×3 stem that Chen et al. 2020 (SimCLR, appendix B.9) use for small pictures.

    >>> import torch
    >>> ConvNet(dim=16, width=4)(torch.zeros(2, 3, 32, 32, dtype=torch.uint8)).shape
    torch.Size([2, 16])
    """

    def __init__(self, dim: int | None, width: int, channels: int = 3) -> None:
        super().__init__()
        self.dim = width * 8 if dim is None else dim
        self.first = nn.Conv2d(channels, width, 3, padding=1, bias=False)
        self.stem = nn.Sequential(nn.BatchNorm2d(width), nn.ReLU(inplace=True))
        self.stages = nn.Sequential(*(_Residual(width * 2**i, width * 2 ** (i + 1)) for i in range(3)))
        last = [] if dim is None else [nn.Linear(width * 8, dim)]
        self.head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), *last)

    def forward(
        self, pictures: UInt8[Tensor, "n c size size"] | Float[Tensor, "n c size size"]
    ) -> Float[Tensor, "n dim"]:
        """Embed pictures; white is mapped to 0, so that an empty margin is zero."""
        weight = self.first.weight
        shade = pictures.to(weight.device, weight.dtype)
        ink = 1 - (shade if pictures.is_floating_point() else shade / 255)
        # With channels last in memory, the rest takes two thirds of the time on a CPU.
        maps = self.first(ink).contiguous(memory_format=torch.channels_last)
        embeddings: Tensor = self.head(self.stages(self.stem(maps)))
        return embeddings


class _Residual(nn.Module):
    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(channels_in, channels_out, 3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(channels_out),
            nn.ReLU(inplace=True),
            nn.Conv2d(channels_out, channels_out, 3, padding=1, bias=False),
            nn.BatchNorm2d(channels_out),
        )
        self.shortcut = nn.Conv2d(channels_in, channels_out, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        # Every second place, then a convolution of stride 1: one of stride 2 ends the process in its backward pass,
        # on x86 at few channels and large sides. Slicing gives the same, but takes a fifth more of a training step.
        places = nn.functional.avg_pool2d(x, kernel_size=1, stride=2)
        result: Tensor = nn.functional.relu(self.body(x) + self.shortcut(places), inplace=True)
        return result
