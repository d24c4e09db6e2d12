"""Raw pixels as features, which a network has to beat. Of many or large pictures they are averaged first."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import nn

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor

    from tellapart.runs import InChunks

_MOST_NUMBERS = 2**26  # of all features: 256 MiB of them at most, and as much again for a probe
_MOST_PRODUCTS = 2**40  # of entries, to compare all with all
_MOST_WIDTH = 2**14  # of one picture's: a probe keeps some 20 times as many numbers of each class
_LEAST_SIDE = 4
_CHUNK = 256


@dataclass(frozen=True)
class RawPixels:
    """Pictures as vectors of their pixels, or of means of neighbouring ones.

    Pixels that are bytes stay numbers from 0 to 255, in float16: it holds them exactly, in half of float32's memory.
    All else is in [0, 1] and float32. What compares or standardises features finds the same in both.
    """

    side: int
    """Of the picture that is left, in pixels."""
    is_averaged: bool

    @classmethod
    def within_bounds(cls, shape: torch.Size, n_known: int, n_asked: int) -> RawPixels:
        """The largest side for which features stay below 1 GiB, and cosines of all pairs take at most 2⁴⁰ products.

        Args:
            shape: of the pictures `(n, c, side, side)`.
            n_known: how many are compared with …
            n_asked: … how many others.

        >>> RawPixels.within_bounds(torch.Size([70_000, 1, 28, 28]), 60_000, 10_000).side
        28
        >>> RawPixels.within_bounds(torch.Size([200_000, 3, 224, 224]), 60_000, 40_000).side
        12
        """
        channels, side = shape[1], shape[-1]
        most = min(_MOST_NUMBERS // (n_known + n_asked), _MOST_PRODUCTS // (n_known * n_asked), _MOST_WIDTH) // channels
        small = min(side, max(_LEAST_SIDE, math.isqrt(most)))
        return cls(small, small < side)

    def __call__(self, pictures: InChunks) -> Float[Tensor, "n d"]:
        """The features of pictures."""
        chunks = pictures.split(_CHUNK)
        made = self._of(chunks[0]).new_empty(pictures.shape[0], pictures.shape[1] * self.side**2)
        for chunk, place in zip(chunks, made.split(_CHUNK), strict=True):
            place.copy_(self._of(chunk))
        return made

    def notes(self) -> list[str]:
        """What to say of them below a table."""
        if not self.is_averaged:
            return []
        return [f"Raw pixels: pictures averaged to {self.side} × {self.side}, to bound memory and time."]

    def _of(self, pictures: Tensor) -> Float[Tensor, "k d"]:
        if not self.is_averaged:
            return (pictures if pictures.is_floating_point() else pictures.half()).flatten(1)
        shades = pictures if pictures.is_floating_point() else pictures.float() / 255
        return nn.functional.adaptive_avg_pool2d(shades, self.side).flatten(1)
