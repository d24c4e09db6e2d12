"""Patches of micrographs: cut turned from the larger field, varied as a microscope varies, and seen through a disc."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import nn

from tellapart.domains.micrographs.grains import drawn

if TYPE_CHECKING:
    from jaxtyping import Float, Int
    from torch import Tensor

    from tellapart.domains.micrographs.micrographs import Micrograph
    from tellapart.domains.micrographs.options import MicrographOptions

_MARGIN = 4  # pixels around a patch, for turns and focus
_BLUR, _GAIN, _CURVE, _NOISE = 1.0, 0.3, 0.15, 0.3  # the strongest, of variation 1
_FLAT = 1e-6


@dataclass(frozen=True, eq=False)
class Region:
    """A part of a micrograph, in its own pixels: all its rows, and columns from `left` to `right`."""

    field: Micrograph
    left: int
    right: int
    scale: float
    """How many of the field's pixels are as long as one of a patch."""

    @property
    def height(self) -> float:
        """In pixels of a patch."""
        return float(self.field.pixels.shape[0] / self.scale)

    @property
    def width(self) -> float:
        """In pixels of a patch."""
        return (self.right - self.left) / self.scale

    def blocks(self, side: int) -> tuple[int, int]:
        """How many patches stand side by side in its height and its width; at least one each."""
        return max(1, int(self.height // side)), max(1, int(self.width // side))


class Places(NamedTuple):
    """Where patches are: a region each, and the middle as shares of the room that a patch has in it, from 0 to 1."""

    region: Int[Tensor, " n"]
    share: Float[Tensor, "n 2"]
    """Down and to the right."""

    def rows(self, index: Tensor) -> Places:
        """The places at these rows."""
        return Places(self.region[index], self.share[index])


class Cutter:
    """Cuts patches out of regions, as the options ask."""

    def __init__(self, regions: list[Region], options: MicrographOptions) -> None:
        self.regions, self.side = regions, options.patch
        self.as_grains = options.content == "grains"
        self.by_square = options.aperture == "square"
        self.mask = aperture(options)

    def middles(self, places: Places) -> Float[Tensor, "n 2"]:
        """The middles of patches, in pixels of a patch, counted from the region's upper left corner."""
        room = torch.tensor([[region.height, region.width] for region in self.regions], dtype=torch.float64)
        return self.side / 2 + places.share * (room[places.region] - self.side)

    def corners(self, places: Places) -> Int[Tensor, "n 2"]:
        """The upper left corners of patches, in pixels of their micrographs: x and y."""
        corner = self.middles(places) - self.side / 2
        scale = torch.tensor([region.scale for region in self.regions], dtype=torch.float64)[places.region]
        left = torch.tensor([region.left for region in self.regions])[places.region]
        y, x = (corner * scale[:, None]).round().long().unbind(dim=1)
        return torch.stack([x + left, y], dim=1)

    def windows(self, places: Places) -> Float[Tensor, "n window window"]:
        """The surroundings of places, read from the fields; beyond a region's border it is mirrored."""
        size, middles = self.side + 2 * _MARGIN, self.middles(places).tolist()
        made = np.empty((len(middles), size, size), dtype=np.float32)
        for row, (region, (y, x)) in enumerate(zip(places.region.tolist(), middles, strict=True)):
            made[row] = self._window(self.regions[region], y, x, size)
        return torch.from_numpy(made)

    def cut(self, windows: Float[Tensor, "n window window"], angles: Float[Tensor, " n"]) -> Float[Tensor, "n s s"]:
        """The middle of windows, turned by angles in radians, standardised within the aperture and 0 beyond.

        Pixels between those of the window are interpolated by cubic splines. With a square aperture a patch is turned
        within itself: its corners are black.
        """
        if self.by_square:
            within = nn.functional.pad(self.mask, [_MARGIN] * 4).to(windows.device) > 0
            windows = windows.where(within, windows.amin((1, 2), keepdim=True))
        turned = _turned(windows, angles, self.side)
        return standardised(turned, self.mask.to(turned.device))

    def _window(self, region: Region, y: float, x: float, size: int) -> Float[np.ndarray, "size size"]:
        """`size` pixels around a middle, of the patch's scale."""
        scale = region.scale
        n = size if scale == 1 else math.ceil(size * scale)
        rows = _mirrored(round(y * scale - n / 2), n, 0, region.field.pixels.shape[0])
        columns = _mirrored(round(x * scale - n / 2) + region.left, n, region.left, region.right)
        # A slice first, which of a mapped field reads these rows alone.
        part = np.asarray(region.field.pixels[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1])
        part = part[rows - rows.min()][:, columns - columns.min()]
        if self.as_grains:
            part = drawn(part)
        elif part.ndim == 3:
            part = part[..., :3].astype(np.float32).mean(axis=-1)
        if scale == 1:
            return part.astype(np.float32)
        tensor = torch.from_numpy(part.astype(np.float32))[None, None]
        return nn.functional.interpolate(tensor, (size, size), mode="bilinear", antialias=True)[0, 0].numpy()


def aperture(options: MicrographOptions) -> Float[Tensor, "side side"]:
    """1 where a patch is seen, 0 beyond."""
    return disc(options.patch) if options.aperture == "disc" else torch.ones(options.patch, options.patch)


def disc(side: int) -> Float[Tensor, "side side"]:
    """1 within the circle that touches all sides of a square, 0 beyond; unchanged by quarter turns.

    >>> disc(4).int().tolist()
    [[0, 1, 1, 0], [1, 1, 1, 1], [1, 1, 1, 1], [0, 1, 1, 0]]
    """
    at = torch.arange(side) - (side - 1) / 2
    return (at[:, None].square() + at.square() <= (side / 2) ** 2).float()


def standardised(patches: Float[Tensor, "n s s"], mask: Float[Tensor, "s s"]) -> Float[Tensor, "n s s"]:
    """Patches with mean 0 and deviation 1 within a mask, and 0 beyond; what is flat becomes 0.

    >>> standardised(torch.tensor([[[1.0, 3.0], [9.0, 9.0]]]), torch.tensor([[1.0, 1.0], [0.0, 0.0]])).tolist()
    [[[-1.0, 1.0], [0.0, 0.0]]]
    """
    weights = mask / mask.sum()
    centred = patches - (patches * weights).sum((1, 2), keepdim=True)
    deviation = (centred.square() * weights).sum((1, 2), keepdim=True).sqrt()
    # Beyond the rounding of 16-bit values of one size nothing is left to see.
    scale = (patches.abs() * mask).amax((1, 2), keepdim=True)
    made: Tensor = centred / deviation.clamp(min=(_FLAT * scale).clamp(min=1e-30)) * mask
    return made


def varied(windows: Float[Tensor, "n w w"], strength: float) -> Float[Tensor, "n w w"]:
    """Windows with other focus, light, gain and noise, drawn for each from torch's default generator.

    Focus: a Gaussian blur of up to 1 pixel. Light: a gradient of brightness and contrast in any direction. Gain: a
    curve that is up to 15 % steeper for dark or bright pixels. Noise: up to 0.3 deviations of the window. All of these
    are multiplied by `strength`.
    """
    n, size = len(windows), windows.shape[-1]
    # Not by torch.rand: its numbers have the precision of the training.
    blur, gain, curve, noise = strength * windows.new_empty(4, n, 1, 1).uniform_()
    angle = 2 * math.pi * windows.new_empty(n, 1, 1).uniform_()
    grain = torch.randn_like(windows)
    at = torch.linspace(-1, 1, size, dtype=windows.dtype, device=windows.device)
    ramp = angle.cos() * at + angle.sin() * at[:, None]
    seen = _blurred(standardised(windows, torch.ones_like(windows[0])), _BLUR * blur.flatten())
    seen = seen + (2 * curve - strength) * _CURVE * seen.square()
    lit: Tensor = seen * (1 + _GAIN * gain * ramp) + _GAIN * gain * ramp
    made: Tensor = lit + _NOISE * noise * grain
    return made


def _blurred(windows: Float[Tensor, "n w w"], sigma: Float[Tensor, " n"]) -> Float[Tensor, "n w w"]:
    """Each window blurred by a Gaussian of its own."""
    reach = _MARGIN - 1
    at = torch.arange(-reach, reach + 1, device=windows.device)
    kernel = (-at.square() / (2 * sigma[:, None].square() + 1e-6)).exp()
    kernel = kernel / kernel.sum(dim=1, keepdim=True)
    across, down = kernel[:, None, None, :], kernel[:, None, :, None]
    padded = nn.functional.pad(windows[None], [reach] * 4, mode="reflect")
    across_done = nn.functional.conv2d(padded, across, groups=len(windows))
    found: Tensor = nn.functional.conv2d(across_done, down, groups=len(windows))[0]
    return found


def _turned(windows: Float[Tensor, "n w w"], angles: Float[Tensor, " n"], side: int) -> Float[Tensor, "n side side"]:
    angles = angles.to(windows)
    share = side / windows.shape[-1]
    cosine, sine, zero = angles.cos() * share, angles.sin() * share, torch.zeros_like(angles)
    maps = torch.stack([cosine, -sine, zero, sine, cosine, zero], dim=1).reshape(-1, 2, 3)
    grid = nn.functional.affine_grid(maps, [len(windows), 1, side, side], align_corners=False)
    turned: Tensor = nn.functional.grid_sample(
        windows[:, None], grid, mode="bicubic", padding_mode="border", align_corners=False
    )
    return turned[:, 0]


def _mirrored(start: int, n: int, low: int, high: int) -> Int[np.ndarray, " n"]:
    """The indices from `start` on, mirrored at the ends of [low, high)."""
    at, size = np.arange(start, start + n) - low, high - low
    at = np.abs(at) % (2 * size - 2) if size > 1 else np.zeros_like(at)
    return low + np.minimum(at, 2 * size - 2 - at) if size > 1 else low + at
