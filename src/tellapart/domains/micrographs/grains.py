"""Label images of grains: their statistics, and how they are drawn as a micrograph would show them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tellapart.errors import requirement

if TYPE_CHECKING:
    from jaxtyping import Float, Int

_MIXER = np.uint64(0x9E3779B97F4A7C15)  # 2⁶⁴ divided by the golden ratio: multiples of it are spread evenly


@dataclass(frozen=True)
class GrainStatistics:
    """What a section shows of its grains."""

    number: float
    """Grains; those that the border cuts count one half."""
    area: float
    """Mean area of a grain, in squares of the unit of `pixel_size`."""
    diameter: float
    """Diameter of the circle of mean area, in units of `pixel_size`."""
    spread: float
    """Deviation of the equivalent diameters of whole grains, divided by their mean."""
    aspect: float
    """Mean ratio of the longer to the shorter axis of whole grains."""
    share: float
    """Share of the section that grains cover; the rest is labelled 0."""


def grain_statistics(grains: Int[np.ndarray, "h w"], pixel_size: float = 1.0) -> GrainStatistics:
    """Statistics of a label image, in which 0 is no grain and every other number is one grain.

    The number of grains per area follows Jeffries' planimetric method: a grain that the border cuts counts one half.
    Axes are those of the ellipse with a grain's second moments.

    Raises:
        ValueError: not a two-dimensional array of integers, no grain, or a pixel size that is not positive.

    >>> squares = np.kron(np.arange(1, 17).reshape(4, 4), np.ones((8, 8), dtype=int))
    >>> found = grain_statistics(squares, pixel_size=0.5)
    >>> found.number, found.aspect, found.share  # 4 whole squares, and 12 at the border
    (10.0, 1.0, 1.0)
    """
    if grains.ndim != 2 or grains.dtype.kind not in "iu":
        must = "be a two-dimensional array of integers"
        raise ValueError(requirement("grains", must, f"{grains.dtype} of shape {grains.shape}"))
    if not 0 < pixel_size < math.inf:
        raise ValueError(requirement("pixel_size", "be positive", pixel_size))
    names, flat = np.unique(grains, return_inverse=True)
    index = flat.reshape(grains.shape)
    is_grain = names != 0
    if not is_grain.any():
        raise ValueError(requirement("grains", "hold a grain, a number other than 0", "0 everywhere"))
    is_cut = np.zeros(len(names), dtype=bool)
    is_cut[np.concatenate([index[0], index[-1], index[:, 0], index[:, -1]])] = True
    area = np.bincount(index.ravel()).astype(float)
    covered = area[is_grain].sum()
    number = float((is_grain & ~is_cut).sum() + (is_grain & is_cut).sum() / 2)
    whole = is_grain & ~is_cut
    diameters = np.sqrt(area[whole] * 4 / math.pi)
    mean_area = covered / number * pixel_size**2
    return GrainStatistics(
        number=number,
        area=float(mean_area),
        diameter=math.sqrt(4 * mean_area / math.pi),
        spread=float(diameters.std() / diameters.mean()) if whole.any() else 0.0,
        aspect=float(_aspects(index, area)[whole].mean()) if whole.any() else 1.0,
        share=float(covered / grains.size),
    )


def drawn(
    grains: Int[np.ndarray, "h w"], shades: Float[np.ndarray, "h w"] | None = None, depth: float = 1.0
) -> Float[np.ndarray, "h w"]:
    """Grains as an etched section shows them: a shade for each, and darker boundaries between them.

    Args:
        grains: a label image.
        shades: the brightness of each pixel; by default one in [0, 1) for each number, drawn by hashing it.
        depth: how much darker boundaries are.
    """
    from scipy.ndimage import gaussian_filter

    if shades is None:
        hashed = grains.astype(np.int64).view(np.uint64) * _MIXER  # overflows, as it should
        shades = (hashed >> np.uint64(32)).astype(np.float32) / 2**32
    edges = gaussian_filter(boundaries(grains).astype(np.float32), 0.7)
    return np.asarray(shades - depth * edges, dtype=np.float32)


def boundaries(grains: Int[np.ndarray, "h w"]) -> np.ndarray:
    """Where the pixel to the right or below is of another grain."""
    edges = np.zeros(grains.shape, dtype=bool)
    edges[:, :-1] |= grains[:, :-1] != grains[:, 1:]
    edges[:-1] |= grains[:-1] != grains[1:]
    return edges


def _aspects(index: Int[np.ndarray, "h w"], area: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """The ratio of each grain's axes, from its second moments."""
    flat = index.ravel()
    y, x = (axis.ravel().astype(float) for axis in np.indices(index.shape))

    def mean(values: np.ndarray) -> np.ndarray:
        total: np.ndarray = np.bincount(flat, values) / area
        return total

    cx, cy = mean(x), mean(y)
    # A pixel is a square with the second moment 1/12, not a point.
    xx, yy = mean(x * x) - cx**2 + 1 / 12, mean(y * y) - cy**2 + 1 / 12
    xy = mean(x * y) - cx * cy
    middle, half = (xx + yy) / 2, np.sqrt(((xx - yy) / 2) ** 2 + xy**2)
    ratio: np.ndarray = np.sqrt((middle + half) / np.maximum(middle - half, 1e-12))
    return ratio
