"""Made-up microstructures of ten kinds, with known statistics: sections as a microscope would show them.

Grains are cells of Voronoi and Laguerre (power) diagrams. Kinds differ in what metallographers tell them by: sizes and
shapes of grains, twins, second phases, lamellae, needles, pores. Micrographs of one kind differ in direction, by up to
a tenth in size, and in etching, focus, illumination and noise.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tellapart.domains.micrographs.grains import drawn
from tellapart.errors import check_choice, requirement

if TYPE_CHECKING:
    from jaxtyping import Float, Int

    Section = tuple[Int[np.ndarray, "h w"], Float[np.ndarray, "h w"]]
    """Grains, and the image before focus and noise."""


@dataclass(frozen=True)
class Kind:
    """What a kind of structure is made to have: pixels and shares."""

    diameter: float
    """Of the circle with the mean area of a grain, an island, a colony, a needle or a pore; 0 if it is not fixed."""
    aspect: float = 1.0
    """How many times as long as wide grains are made."""
    share: float = 1.0
    """Share of the section that these cover."""


KINDS = {
    "fine": Kind(7),
    "coarse": Kind(15),
    "bimodal": Kind(0),
    "elongated": Kind(10, aspect=3),
    "twinned": Kind(0),
    "dual-phase": Kind(0, share=0.35),
    "precipitates": Kind(5, share=0.15),
    "lamellar": Kind(30),
    "widmanstatten": Kind(0),
    "porous": Kind(0, share=0.25),
}


@dataclass(frozen=True, eq=False)
class Structure:
    """A made-up micrograph, and what it shows."""

    kind: str
    image: Float[np.ndarray, "side side"]
    grains: Int[np.ndarray, "side side"]
    """Which grain each pixel is of; 0 for the matrix between islands, precipitates, needles or pores."""
    diameter: float
    """The kind's diameter, times the size of this micrograph."""


def generate(kind: str, side: int, seed: int) -> Structure:
    """A micrograph of that kind; the same arguments give the same.

    Raises:
        ValueError: there is no such kind, or a side of less than 16 pixels.

    >>> made = generate("fine", 64, seed=0)
    >>> made.image.shape, len(np.unique(made.grains)) > 50
    ((64, 64), True)
    """
    check_choice("kind", kind, tuple(KINDS))
    if side < 16:
        raise ValueError(requirement("side", "be at least 16 pixels", side))
    random = np.random.default_rng([list(KINDS).index(kind), seed])
    size = random.uniform(0.9, 1.1)
    grains, image = _MAKE[kind](random, side, size)
    return Structure(kind, _seen(random, image), grains, KINDS[kind].diameter * size)


def power_cells(
    points: Float[np.ndarray, "n 2"], radii: Float[np.ndarray, " n"], places: Float[np.ndarray, "*shape 2"]
) -> Int[np.ndarray, "*shape"]:
    """Which cell of a Laguerre diagram each place is in: `argmin_i |x − p_i|² − r_i²`, counted from 0.

    With equal radii it is a Voronoi diagram. A third coordinate √(max r² − r²) makes it one: the cell is that of the
    nearest point (Aurenhammer 1987, §4.1).

    >>> power_cells(np.array([[0.0, 0.0], [0.0, 4.0]]), np.array([2.0, 0.0]), np.array([[0.0, 2.4], [0.0, 2.6]]))
    array([0, 1])
    """
    from scipy.spatial import cKDTree

    height = np.sqrt(radii.max() ** 2 - radii**2)
    flat = np.pad(places, [(0, 0)] * (places.ndim - 1) + [(0, 1)])
    found: np.ndarray = cKDTree(np.column_stack([points, height])).query(flat)[1]
    return found


def _places(side: int) -> Float[np.ndarray, "side side 2"]:
    return np.moveaxis(np.indices((side, side)), 0, -1).astype(float)


def _lattice(random: np.random.Generator, side: int, diameter: float, aspect: float = 1.0) -> tuple[np.ndarray, ...]:
    """Jittered points for cells of a mean area, and the places of all pixels, both in the frame that makes them long.

    The frame is turned at random, and compressed so that cells are `aspect` times as long as wide in the image.
    """
    step, reach = diameter * math.sqrt(math.pi / 4), side * max(aspect, 1 / aspect) ** 0.5
    angle = random.uniform(0, math.pi)
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    places = (_places(side) - side / 2) @ turn * np.array([aspect**-0.5, aspect**0.5])
    at = np.arange(-reach, reach, step)
    points = np.stack(np.meshgrid(at, at), axis=-1).reshape(-1, 2)
    return points + random.uniform(-0.5, 0.5, points.shape) * step, places


def _cells(random: np.random.Generator, side: int, diameter: float, aspect: float = 1.0) -> Int[np.ndarray, "h w"]:
    points, places = _lattice(random, side, diameter, aspect)
    return 1 + power_cells(points, np.zeros(len(points)), places)


def _shades(random: np.random.Generator, grains: Int[np.ndarray, "h w"], spread: float) -> Float[np.ndarray, "h w"]:
    shades: np.ndarray = 0.6 + spread * random.normal(size=grains.max() + 1)[grains]
    return shades


def _equiaxed(kind: str, random: np.random.Generator, side: int, size: float) -> Section:
    grains = _cells(random, side, KINDS[kind].diameter * size, KINDS[kind].aspect)
    return grains, drawn(grains, _shades(random, grains, 0.12), depth=0.6)


def _bimodal(random: np.random.Generator, side: int, size: float) -> Section:
    """Few grains have grown among the fine ones: Laguerre cells of large radius."""
    points, places = _lattice(random, side, 7 * size)
    radii = np.where(random.random(len(points)) < 0.02, 13 * size, 0.0)
    grains = 1 + power_cells(points, radii, places)
    return grains, drawn(grains, _shades(random, grains, 0.12), depth=0.6)


def _twinned(random: np.random.Generator, side: int, size: float) -> Section:
    """Bands cross most grains, in a direction of each, as annealing twins do."""
    grains = _cells(random, side, 26 * size)
    n = grains.max() + 1
    angle, offset = random.uniform(0, math.pi, n), random.uniform(0, 1, n)
    across = (_places(side) * np.stack([np.cos(angle), np.sin(angle)], axis=-1)[grains]).sum(axis=-1)
    phase = across / (11 * size) + offset[grains]
    band = np.where((random.random(n) < 0.8)[grains] & (phase % 1 < 0.4), 1 + np.floor(phase).astype(int) % 64, 0)
    _, twins = np.unique(grains * 65 + band, return_inverse=True)
    twins = 1 + twins.reshape(grains.shape)
    return twins, drawn(twins, _shades(random, grains, 0.12) - 0.22 * (band > 0), depth=0.5)


def _dual_phase(random: np.random.Generator, side: int, size: float) -> Section:
    """Whole grains are of a second, darker phase."""
    grains = _cells(random, side, 9 * size)
    is_second = (random.random(grains.max() + 1) < KINDS["dual-phase"].share)[grains]
    return np.where(is_second, grains, 0), drawn(grains, _shades(random, grains, 0.04) - 0.4 * is_second, depth=0.2)


def _precipitates(random: np.random.Generator, side: int, size: float) -> Section:
    """Round particles in a matrix; no two overlap much."""
    kind = KINDS["precipitates"]
    diameter = kind.diameter * size
    points, places = _lattice(random, side, diameter / math.sqrt(kind.share))
    nearest = power_cells(points, np.zeros(len(points)), places)
    inside = np.linalg.norm(places - points[nearest], axis=-1) < diameter / 2
    return np.where(inside, 1 + nearest, 0), 0.6 - 0.5 * inside


def _lamellar(random: np.random.Generator, side: int, size: float) -> Section:
    """Colonies of parallel plates, as of pearlite."""
    grains = _cells(random, side, KINDS["lamellar"].diameter * size)
    angle = random.uniform(0, math.pi, grains.max() + 1)[grains]
    across = (_places(side) * np.stack([np.cos(angle), np.sin(angle)], axis=-1)).sum(axis=-1)
    return grains, 0.6 + 0.3 * np.sin(2 * math.pi * across / (5.5 * size))


def _widmanstatten(random: np.random.Generator, side: int, size: float) -> Section:
    """Needles in three directions of each former grain."""
    former = _cells(random, side, 60 * size)
    n = int(side**2 / (size**2 * 70))
    middle = random.uniform(0, side, (n, 2))
    of = former[tuple(middle.astype(int).T)]
    angle = random.uniform(0, math.pi, former.max() + 1)[of] + random.integers(0, 3, n) * math.pi / 3
    length = random.uniform(12, 26, n) * size
    along = np.linspace(-0.5, 0.5, 40)[:, None, None] * length[:, None]
    points = (middle + along * np.stack([np.cos(angle), np.sin(angle)], axis=-1)).reshape(-1, 2)
    places = _places(side)
    nearest = power_cells(points, np.zeros(len(points)), places)
    inside = np.linalg.norm(places - points[nearest], axis=-1) < 1.3 * size
    return np.where(inside, 1 + nearest % n, 0), 0.35 + 0.4 * inside


def _porous(random: np.random.Generator, side: int, size: float) -> Section:
    """Pores of no regular shape: where smooth noise is low."""
    from scipy.ndimage import gaussian_filter, label

    noise = gaussian_filter(random.normal(size=(side, side)), 3.2 * size)
    is_pore = noise < np.quantile(noise, KINDS["porous"].share)
    return label(is_pore)[0], 0.65 - 0.5 * is_pore


_MAKE: dict[str, Callable[[np.random.Generator, int, float], Section]] = {
    "fine": lambda *given: _equiaxed("fine", *given),
    "coarse": lambda *given: _equiaxed("coarse", *given),
    "bimodal": _bimodal,
    "elongated": lambda *given: _equiaxed("elongated", *given),
    "twinned": _twinned,
    "dual-phase": _dual_phase,
    "precipitates": _precipitates,
    "lamellar": _lamellar,
    "widmanstatten": _widmanstatten,
    "porous": _porous,
}


def _seen(random: np.random.Generator, image: Float[np.ndarray, "h w"]) -> Float[np.ndarray, "h w"]:
    """The image through a microscope: focus, uneven light, gain and noise, which differ between micrographs."""
    from scipy.ndimage import gaussian_filter

    side = len(image)
    focused = gaussian_filter(image, random.uniform(0.6, 1.2))
    slope = random.normal(size=2) * 0.1
    light = 1 + (_places(side) / side - 0.5) @ slope
    noise = random.uniform(0.03, 0.12) * random.normal(size=image.shape)
    seen = random.uniform(0.6, 1.0) * (focused * light + noise)
    return np.asarray(seen.clip(0, None), dtype=np.float32)
