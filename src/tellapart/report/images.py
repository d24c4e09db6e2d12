"""Pictures inside a page, as WebP of limited size: pictures of the run, and thumbnails on one sheet."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass

from PIL import Image, ImageOps

from tellapart.runs import THUMBNAIL

_QUALITIES = (90, 75, 60, 45, 30, 15)


@dataclass(frozen=True)
class Sheet:
    """Thumbnails side by side in one picture: thumbnail i is in row i // columns, column i % columns."""

    source: str
    columns: int


def sheet(pngs: list[bytes], most: int) -> Sheet:
    """Thumbnails as a sheet of at most so many bytes. All have the same size; smaller pictures are enlarged."""
    columns = max(1, round(len(pngs) ** 0.5))
    rows = -(-len(pngs) // columns)
    whole = Image.new("RGB", (THUMBNAIL * columns, THUMBNAIL * rows), "white")
    for i, png in enumerate(pngs):
        with Image.open(io.BytesIO(png)) as picture:
            scaled = ImageOps.pad(picture.convert("RGB"), (THUMBNAIL, THUMBNAIL), color="white")
        whole.paste(scaled, (THUMBNAIL * (i % columns), THUMBNAIL * (i // columns)))
    return Sheet(as_source(whole, most), columns)


def as_source(picture: Image.Image, most: int) -> str:
    """A picture as a page refers to it, in at most so many bytes before base64.

    Without loss if that fits, else in the best quality that fits; beyond that, of half the width and height.
    """
    if len(data := _webp(picture, lossless=True)) > most:
        for quality in _QUALITIES:
            if len(data := _webp(picture, quality=quality)) <= most:
                break
        else:
            return as_source(picture.resize((max(1, picture.width // 2), max(1, picture.height // 2))), most)
    return "data:image/webp;base64," + base64.b64encode(data).decode()


def _webp(picture: Image.Image, **how: int) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "WEBP", method=2, **how)
    return buffer.getvalue()
