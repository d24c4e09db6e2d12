"""Picture files: which there are in a folder, and how one is opened; broken and malicious files are refused."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from tellapart.errors import InputError

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".ppm", ".pgm"})
# Only these are tried, whatever a file's suffix: reading other formats, such as EPS, starts a program.
_FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM")
MAX_PIXELS = 100_000_000
"""Pictures with more pixels are refused before decoding: a few kB can decode to gigabytes."""


def find_pictures(folder: Path) -> list[Path]:
    """The picture files in a folder and its subfolders, sorted; hidden files are left out."""
    return sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in SUFFIXES
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
        and path.is_file()
    )


@contextmanager
def opened(path: Path) -> Iterator[Image.Image]:
    """Open a picture without decoding it; every error inside the block names the file."""
    try:
        if not path.is_file():
            what = "it is a folder" if path.is_dir() else "there is no such file"
            raise InputError(f"{path}: cannot read the picture, {what}.")
        with warnings.catch_warnings():
            # Pillow only warns; the pixel count below refuses, before anything is decoded.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(path, formats=_FORMATS) as image:
                width, height = image.size
                if width * height > MAX_PIXELS:
                    limit = f"{MAX_PIXELS // 1_000_000} megapixels"
                    raise InputError(f"{path}: {width}×{height} pixels, more than {limit}. Scale it down first.")
                yield image
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
    """The path, shortened if it is a file's content given by mistake."""
    return str(path) if len(str(path)) < 300 else f"{str(path)[:100]}…"
