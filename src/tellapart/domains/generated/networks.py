"""Small generators and critics, of points and of pictures. None has a batch norm: an example's score is its own."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING

from torch import nn

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor

_SLOPE = 0.2
_LAYERS, _POINTS, _PICTURES = 4, 128, 16
_SMALLEST = 4  # pixels of the innermost maps' side, at least


def point_generator(latent: int, width: int) -> nn.Module:
    """Random vectors `(n, latent)` to points `(n, 2)` of unit size."""
    return _perceptron(latent, width or _POINTS, 2)


def point_critic(width: int, outputs: int) -> nn.Module:
    """Points `(n, 2)` of unit size to `(n, outputs)`."""
    return _perceptron(2, width or _POINTS, outputs)


def _perceptron(n_in: int, width: int, n_out: int) -> nn.Sequential:
    sizes = [n_in, *[width] * _LAYERS]
    hidden = [(nn.Linear(a, b), nn.LeakyReLU(_SLOPE)) for a, b in itertools.pairwise(sizes)]
    return nn.Sequential(*(layer for pair in hidden for layer in pair), nn.Linear(width, n_out))


class PictureGenerator(nn.Module):
    """Random vectors `(n, latent)` to pictures `(n, c, side, side)` in [−1, 1], each layer doubling the side.

    Source: Radford et al. 2016 (DCGAN), with a norm of each picture's own channels in place of batch norms.

    >>> import torch
    >>> PictureGenerator(8, 4, side=28, channels=1)(torch.zeros(2, 8)).shape
    torch.Size([2, 1, 28, 28])
    """

    def __init__(self, latent: int, width: int, side: int, channels: int) -> None:
        super().__init__()
        widths, self.side = _widths(width or _PICTURES, side), side
        first = math.ceil(side / 2 ** len(widths))
        self.first = nn.Sequential(nn.Linear(latent, widths[-1] * first**2), nn.Unflatten(1, (-1, first, first)))
        inner = [
            nn.Sequential(nn.GroupNorm(1, a), nn.ReLU(), nn.ConvTranspose2d(a, b, 4, stride=2, padding=1))
            for a, b in zip(reversed(widths), [*reversed(widths[:-1]), channels], strict=True)
        ]
        self.layers = nn.Sequential(*inner, nn.Tanh())

    def forward(self, latents: Float[Tensor, "n latent"]) -> Float[Tensor, "n c side side"]:
        """Generate; the last rows and columns are cut off where the side is no multiple of a power of 2."""
        pictures: Tensor = self.layers(self.first(latents))
        return pictures[..., : self.side, : self.side]


def picture_critic(width: int, outputs: int, side: int, channels: int) -> nn.Module:
    """Pictures `(n, c, side, side)` in [−1, 1] to `(n, outputs)`; DCGAN's, without batch norms.

    >>> import torch
    >>> picture_critic(4, 1, side=28, channels=1)(torch.zeros(2, 1, 28, 28)).shape
    torch.Size([2, 1])
    """
    widths = _widths(width or _PICTURES, side)
    layers = [
        nn.Sequential(nn.Conv2d(a, b, 4, stride=2, padding=1), nn.LeakyReLU(_SLOPE))
        for a, b in zip([channels, *widths], widths, strict=False)
    ]
    for _ in widths:
        side //= 2
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(widths[-1] * side**2, outputs))


def _widths(width: int, side: int) -> list[int]:
    """The channels of maps from the outermost to the innermost, each of half the side."""
    return [width * 2 ** min(i, 3) for i in range(max(1, int(math.log2(side / _SMALLEST))))]
