"""Picture files to small square tensors, with an eye on files that are broken or meant to do harm."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError

from tellapart.errors import InputError

if TYPE_CHECKING:
    from jaxtyping import UInt8
    from torch import Tensor

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".ppm", ".pgm"})
# Only these are tried, whatever a file calls itself: others, such as EPS, start programs to be read.
_FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM")
MAX_PIXELS = 100_000_000
"""Pictures with more pixels are refused before they are decoded: a few kB can hold gigabytes of them."""


def read_picture(path: Path, size: int) -> UInt8[Tensor, "3 size size"]:
    """Read a picture file as RGB, shrunk to fit a `size`×`size` square and centred on white.

    Transparency is laid on white; of an animation the first frame is taken; EXIF rotation is applied.

    Raises:
        InputError: the file is missing, no picture, truncated, or has more than `MAX_PIXELS`.
    """
    try:
        if not path.is_file():
            what = "it is a folder" if path.is_dir() else "there is no such file"
            raise InputError(f"{path}: cannot read the picture, {what}.")
        with warnings.catch_warnings():
            # Pillow warns where it could refuse; the pixel count below decides, before anything is decoded.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(path, formats=_FORMATS) as image:
                width, height = image.size
                if width * height > MAX_PIXELS:
                    limit = f"{MAX_PIXELS // 1_000_000} megapixels"
                    raise InputError(f"{path}: {width}×{height} pixels, more than {limit}. Scale it down first.")
                return to_square(image, size)
    except InputError:
        raise
    except Image.DecompressionBombError as error:
        raise InputError(f"{path}: too many pixels to decode safely. Scale it down first.") from error
    except UnidentifiedImageError as error:
        raise InputError(f"{path}: not a picture that can be read. Convert it to PNG or JPEG.") from error
    except (OSError, ValueError, SyntaxError, EOFError) as error:
        reason = (getattr(error, "strerror", None) or str(error)).rstrip(".")
        raise InputError(f"{_short(path)}: broken picture, {reason}. Restore the file or leave it out.") from error


def _short(path: Path) -> str:
    """The path, cut where a whole file's content stands in the place of a name."""
    return str(path) if len(str(path)) < 300 else f"{str(path)[:100]}…"


def to_square(image: Image.Image, size: int) -> UInt8[Tensor, "3 size size"]:
    """An opened picture as a `size`×`size` RGB tensor: fitted inside, centred on white.

    Raises:
        ValueError: 32-bit pixels, whose range only their maker knows.

    >>> to_square(Image.new("RGB", (40, 20), "black"), 4)[0].tolist()
    [[255, 255, 255, 255], [0, 0, 0, 0], [0, 0, 0, 0], [255, 255, 255, 255]]
    """
    image.draft("RGB", (2 * size, 2 * size))  # JPEG can decode at a fraction of its size
    small = _eight_bits(image)
    factor = min(small.size) // (4 * size)
    if factor > 1:
        small = small.reduce(factor)  # before more channels are added, for the sake of memory
    turned = ImageOps.exif_transpose(small).convert("RGBA")
    fitted = ImageOps.contain(turned, (size, size), Image.Resampling.LANCZOS)
    square = Image.new("RGBA", (size, size), "white")
    square.alpha_composite(fitted, ((size - fitted.width) // 2, (size - fitted.height) // 2))
    return torch.from_numpy(np.array(square.convert("RGB"))).permute(2, 0, 1).contiguous()


def _eight_bits(image: Image.Image) -> Image.Image:
    """Bring a picture to 8 bits a channel: 16 bits by their upper half, palettes by their colours."""
    if image.mode.startswith("I;16"):
        return Image.fromarray((np.asarray(image).astype(np.uint16) >> 8).astype(np.uint8))
    if image.mode in ("I", "F"):
        raise ValueError("32 bits a pixel have no agreed range; convert it to 8 or 16 bits")
    return image.convert("RGBA") if image.mode in ("P", "PA", "1") else image
