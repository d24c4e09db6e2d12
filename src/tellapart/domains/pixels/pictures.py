"""Pictures of what was found: matches between two frames, and places followed through a video."""

from __future__ import annotations

import colorsys
import io
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw

if TYPE_CHECKING:
    from jaxtyping import Float, UInt8

_LINES, _APART = 48, 8


def draw_matches(
    a: UInt8[np.ndarray, "h w 3"],
    b: UInt8[np.ndarray, "h2 w2 3"],
    flow: Float[np.ndarray, "h w 2"],
    confidence: Float[np.ndarray, "h w"],
) -> UInt8[np.ndarray, "h3 w3 3"]:
    """Both frames side by side, with lines between matches: the surest of each square of a grid."""
    picture, shift = _side_by_side(a, b)
    draw = ImageDraw.Draw(picture)
    height, width = a.shape[:2]
    side = max(1, round((height * width / _LINES) ** 0.5))
    for top in range(0, height, side):
        for left in range(0, width, side):
            square = confidence[top : top + side, left : left + side]
            row, col = np.unravel_index(square.argmax(), square.shape)
            if square[row, col] < 0.5:
                continue
            y, x = top + int(row), left + int(col)
            end = np.array([x + shift, y]) + flow[y, x]
            colour = _colour(x / width * 0.8)
            draw.line([(x, y), (float(end[0]), float(end[1]))], fill=colour, width=1)
            for at in ((x, y), (float(end[0]), float(end[1]))):
                _dot(draw, at, colour)
    return np.asarray(picture)


def draw_places(
    frames: list[UInt8[np.ndarray, "h w 3"]], places: list[Float[np.ndarray, "n 2"]]
) -> UInt8[np.ndarray, "h w2 3"]:
    """Frames side by side, with the same places of all of them marked in the same colours."""
    height, width = frames[0].shape[:2]
    picture = Image.new("RGB", (len(frames) * (width + _APART) - _APART, height), "white")
    draw = ImageDraw.Draw(picture)
    for number, (frame, found) in enumerate(zip(frames, places, strict=True)):
        left = number * (width + _APART)
        picture.paste(Image.fromarray(frame), (left, 0))
        for row, (x, y) in enumerate(found):
            _dot(draw, (left + float(x), float(y)), _colour(row / max(1, len(found))), radius=4)
    return np.asarray(picture)


def as_png(picture: UInt8[np.ndarray, "h w 3"]) -> bytes:
    """A picture as a PNG file.

    >>> as_png(np.zeros((2, 2, 3), np.uint8))[1:4]
    b'PNG'
    """
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def _side_by_side(a: np.ndarray, b: np.ndarray) -> tuple[Image.Image, int]:
    picture = Image.new("RGB", (a.shape[1] + _APART + b.shape[1], max(a.shape[0], b.shape[0])), "white")
    picture.paste(Image.fromarray(a), (0, 0))
    picture.paste(Image.fromarray(b), (a.shape[1] + _APART, 0))
    return picture, a.shape[1] + _APART


def _dot(draw: ImageDraw.ImageDraw, at: tuple[float, float], colour: tuple[int, int, int], radius: int = 3) -> None:
    x, y = at
    draw.ellipse([x - radius, y - radius, x + radius, y + radius], fill=colour, outline="black")


def _colour(hue: float) -> tuple[int, int, int]:
    red, green, blue = colorsys.hsv_to_rgb(hue, 0.85, 1.0)
    return round(255 * red), round(255 * green), round(255 * blue)
