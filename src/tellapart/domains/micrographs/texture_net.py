"""A network for textures: what filters of four scales find, as mean and deviation over the aperture."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from jaxtyping import Float

_SCALES = 4
_SMALL = 1e-4


class TextureNet(nn.Module):
    """Patches to features: a convolution at each of four scales, and mean and deviation of its channels.

    Each scale is half the one before it:

        h₁ = max(0, W₁ * x),    hₛ = max(0, Wₛ * half(hₛ₋₁)),    f(x) = (mean hₛ, deviation hₛ) for s = 1 … 4

    with a batch norm before each max, and mean and deviation over the places within the aperture. What is averaged over
    places does not tell where something is, and the deviation tells rare strong answers from weak ones everywhere.

    Shapes: `Float[Tensor, "n side side"]`, standardised and 0 beyond the aperture, to `Float[Tensor, "n dim"]`; the
    scales have width·(1, 2, 4, 4) channels, and `dim` is twice as many as all of them.

    Source: mean and deviation of filter responses, Heeger & Bergen 1995; no paper has this network.

    >>> TextureNet(torch.ones(16, 16), width=4)(torch.zeros(2, 16, 16)).shape
    torch.Size([2, 88])
    """

    def __init__(self, aperture: Float[Tensor, "side side"], width: int) -> None:
        super().__init__()
        channels = [1, width, 2 * width, 4 * width, 4 * width]
        self.dim = 2 * sum(channels[1:])
        self.scales = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(before, after, 5 if scale == 0 else 3, padding="same", bias=False),
                nn.BatchNorm2d(after),
                nn.ReLU(inplace=True),
            )
            for scale, (before, after) in enumerate(pairwise(channels))
        )
        shares = aperture[None, None]
        for scale in range(_SCALES):
            # At a border place the aperture counts by the share of it that is within.
            self.register_buffer(f"share{scale}", (shares / shares.sum()).flatten(), persistent=False)
            shares = nn.functional.avg_pool2d(shares, 2)
        # With channels last in memory, a step takes two thirds of the time on a CPU.
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, patches: Float[Tensor, "n side side"]) -> Float[Tensor, "n dim"]:
        """Features of patches."""
        weight = next(self.parameters())
        maps = patches[:, None].to(weight.device, weight.dtype)
        found: list[Tensor] = []
        for scale, layer in enumerate(self.scales):
            maps = layer(nn.functional.avg_pool2d(maps, 2) if scale else maps)
            found += _mean_and_deviation(maps, getattr(self, f"share{scale}"))
        return torch.cat(found, dim=1).to(weight.dtype)


def _mean_and_deviation(maps: Float[Tensor, "n c h w"], share: Float[Tensor, " hw"]) -> tuple[Tensor, Tensor]:
    """Of each channel over places, which have these shares; in float32, for squares of half precision cancel."""
    with torch.autocast(maps.device.type, enabled=False):
        places = maps.permute(0, 2, 3, 1).flatten(1, 2)
        places = places.to(torch.promote_types(places.dtype, torch.float32))
        weights = share.to(places)
        mean, square = weights @ places, weights @ places.square()
        return mean, (square - mean.square()).clamp(min=0).add(_SMALL).sqrt()
