"""What was generated, to be printed or saved: pictures and points."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from tellapart.errors import InputError
from tellapart.files import atomic_write

if TYPE_CHECKING:
    from jaxtyping import Float, UInt8

_SIDE, _MARGIN = 400, 1.1  # pixels of a drawing of points, and how far beyond the reals it reaches
_REAL, _MADE = (200, 205, 210), (0, 114, 178)
_SHOWN_SIDE = 56  # pixels of a small picture in the report


@dataclass(frozen=True, eq=False)
class PictureSamples:
    """Generated pictures."""

    pictures: UInt8[np.ndarray, "n c side side"]

    def __len__(self) -> int:
        return len(self.pictures)

    def lines(self) -> list[str]:
        """Raises `InputError`: pictures cannot be printed."""
        raise InputError("output: pictures cannot be printed. Name a file with -o samples.png or -o samples.npz.")

    def save(self, path: Path) -> None:
        """Write them: a `.png` shows all as a square, a `.npz` holds them as `images`, which `train` reads, too.

        Raises:
            InputError: another suffix, or the file cannot be written.
        """
        _save(path, "images", self.pictures, lambda: as_square(self.pictures))


@dataclass(frozen=True, eq=False)
class PointSamples:
    """Generated points, and real ones to draw them over."""

    points: Float[np.ndarray, "n 2"]
    real: Float[np.ndarray, "m 2"]

    def __len__(self) -> int:
        return len(self.points)

    def lines(self) -> list[str]:
        """Their coordinates, a point a line."""
        return [f"{x:.6g} {y:.6g}" for x, y in self.points.tolist()]

    def save(self, path: Path) -> None:
        """Write them: a `.png` shows them over real ones in grey, a `.npz` holds them as `points`.

        Raises:
            InputError: another suffix, or the file cannot be written.
        """
        _save(path, "points", self.points, lambda: draw_points(self.points, self.real))


def _save(path: Path, name: str, array: np.ndarray, draw: Callable[[], np.ndarray]) -> None:
    suffix = path.suffix.lower()
    if suffix not in (".png", ".npz"):
        raise InputError(f"{path}: samples are saved as .png or .npz. Name the file accordingly.")
    with atomic_write(path) as file:
        if suffix == ".png":
            file.write(as_png(draw()))
        else:
            arrays: dict[str, Any] = {name: array}
            np.savez_compressed(file, **arrays)


def as_square(pictures: UInt8[np.ndarray, "n c side side"]) -> UInt8[np.ndarray, "h w c"]:
    """Pictures side by side in rows, as near a square as their number allows; what is empty is white.

    >>> as_square(np.zeros((3, 1, 8, 8), np.uint8)).shape
    (16, 16, 1)
    """
    n_columns = int(np.ceil(np.sqrt(len(pictures))))
    return as_rows(pictures, n_columns)


def as_rows(pictures: UInt8[np.ndarray, "n c side side"], n_columns: int) -> UInt8[np.ndarray, "h w c"]:
    """Pictures side by side in rows of so many; what is empty is white."""
    n, channels, height, width = pictures.shape
    n_rows = -(-n // n_columns)
    sheet = np.full((n_rows * n_columns, channels, height, width), 255, np.uint8)
    sheet[:n] = pictures
    rows = sheet.reshape(n_rows, n_columns, channels, height, width).transpose(0, 3, 1, 4, 2)
    return rows.reshape(n_rows * height, n_columns * width, channels)


def enlarged(sheet: UInt8[np.ndarray, "h w c"], side: int) -> UInt8[np.ndarray, "H W c"]:
    """A sheet of small pictures of that side, with each pixel repeated so that they can be seen."""
    times = max(1, _SHOWN_SIDE // side)
    return sheet.repeat(times, axis=0).repeat(times, axis=1)


def draw_points(points: Float[np.ndarray, "n 2"], real: Float[np.ndarray, "m 2"]) -> UInt8[np.ndarray, "h w 3"]:
    """Points in blue over real ones in grey; points beyond the drawing are at its edge."""
    drawing = np.full((_SIDE, _SIDE, 3), 255, np.uint8)
    drawing[[0, -1]] = drawing[:, [0, -1]] = _REAL
    reach = _MARGIN * np.abs(real).max()
    for those, colour, size in ((real, _REAL, 2), (points, _MADE, 1)):
        x, y = np.clip((those / reach + 1) / 2 * _SIDE, size, _SIDE - 1 - size).astype(int).T
        for dx in range(-size, size + 1):
            for dy in range(-size, size + 1):
                drawing[_SIDE - 1 - y + dy, x + dx] = colour
    return drawing


def as_png(picture: UInt8[np.ndarray, "h w c"]) -> bytes:
    """A picture as the bytes of a PNG file."""
    buffer = io.BytesIO()
    Image.fromarray(picture[..., 0] if picture.shape[2] == 1 else picture).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()
