"""Read picture files as small square tensors; broken and malicious files are refused."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image, ImageOps
from rich.console import Console
from rich.progress import Progress

from tellapart.domains.picture_files import opened
from tellapart.errors import InputError, requirement

if TYPE_CHECKING:
    from jaxtyping import UInt8
    from torch import Tensor

_MANY = 500  # from so many pictures on, a progress bar is shown


def read_picture(path: Path, size: int) -> UInt8[Tensor, "3 size size"]:
    """Read a picture file as RGB, shrunk to fit a `size`×`size` square and centred on white.

    Transparent pixels become white. The first frame of an animation is taken. EXIF rotation is applied.

    Raises:
        InputError: the file is missing, not a picture, truncated, or has more than `MAX_PIXELS`.
    """
    with opened(path) as image:
        return to_square(image, size)


def read_pictures(paths: Sequence[Path], places: Sequence[str], size: int) -> UInt8[Tensor, "n 3 size size"]:
    """Read pictures by `read_picture`, each distinct file once, with a progress bar if there are many.

    Args:
        paths: the files.
        places: for messages, the place that names each file; may be empty.
        size: the pictures' side, in pixels.

    Raises:
        InputError: broken files; raised after all are read, it names the first and counts the others.
    """
    distinct = list(dict.fromkeys(paths))
    row_of = {path: row for row, path in enumerate(distinct)}
    pictures = torch.empty(len(distinct), 3, size, size, dtype=torch.uint8)
    broken: dict[Path, InputError] = {}

    def read(path: Path) -> None:
        try:
            pictures[row_of[path]] = read_picture(path, size)
        except InputError as error:
            broken[path] = error

    pool = ThreadPoolExecutor(os.cpu_count())  # bounded, because decoding takes memory
    bar = Progress(console=Console(stderr=True), transient=True, disable=len(distinct) < _MANY)
    try:
        with bar:
            for _ in bar.track(pool.map(read, distinct), total=len(distinct), description="Reading pictures"):
                pass
    finally:
        pool.shutdown(cancel_futures=True)  # on Ctrl-C, stop without reading the rest
    if broken:
        first = next(path for path in paths if path in broken)
        place = places[list(paths).index(first)]
        more = f" (and {len(broken) - 1} more broken pictures)" if len(broken) > 1 else ""
        raise InputError(f"{place + ': ' if place else ''}{broken[first]}{more}")
    return pictures if len(distinct) == len(paths) else pictures[[row_of[path] for path in paths]]


def common_side(paths: Sequence[Path]) -> int:
    """The side of the square that holds the pictures, which must all have one size, in pixels.

    Raises:
        InputError: pictures of different sizes, or one that cannot be read.
    """
    first = None
    for path in paths:
        with opened(path) as image:
            first = first or image.size
            if image.size != first:
                sizes = " and ".join(f"{width}×{height}" for width, height in (first, image.size))
                raise InputError(f"{path}: pictures of different sizes ({sizes}). Give the size to bring them to.")
    if first is None:
        raise ValueError(requirement("paths", "not be empty", paths))
    return max(first)


def to_square(image: Image.Image, size: int) -> UInt8[Tensor, "3 size size"]:
    """An opened picture as a `size`×`size` RGB tensor: fitted inside, centred on white.

    Raises:
        ValueError: 32-bit pixels, which have no agreed range.

    >>> to_square(Image.new("RGB", (40, 20), "black"), 4)[0].tolist()
    [[255, 255, 255, 255], [0, 0, 0, 0], [0, 0, 0, 0], [255, 255, 255, 255]]
    """
    image.draft("RGB", (2 * size, 2 * size))  # JPEG can be decoded at a fraction of its size
    small = _eight_bits(image)
    factor = min(small.size) // (4 * size)
    if factor > 1:
        small = small.reduce(factor)  # before channels are added, to save memory
    turned = ImageOps.exif_transpose(small).convert("RGBA")
    fitted = ImageOps.contain(turned, (size, size), Image.Resampling.LANCZOS)
    square = Image.new("RGBA", (size, size), "white")
    square.alpha_composite(fitted, ((size - fitted.width) // 2, (size - fitted.height) // 2))
    return torch.from_numpy(np.array(square.convert("RGB"))).permute(2, 0, 1).contiguous()


def _eight_bits(image: Image.Image) -> Image.Image:
    """Convert a picture to 8 bits a channel: 16 bits by their upper half, palettes by their colours."""
    if image.mode.startswith("I;16"):
        return Image.fromarray((np.asarray(image).astype(np.uint16) >> 8).astype(np.uint8))
    if image.mode in ("I", "F"):
        raise ValueError("32 bits a pixel have no agreed range; convert it to 8 or 16 bits")
    return image.convert("RGBA") if image.mode in ("P", "PA", "1") else image
