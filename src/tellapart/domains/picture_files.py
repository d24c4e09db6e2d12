"""Picture files: which there are in a folder, and how one is opened; broken and malicious files are refused."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from tellapart.domains.folders import files_in
from tellapart.domains.sniff import PICTURES, kind_of, unreadable
from tellapart.errors import InputError

# Only these are tried, whatever a file's suffix: reading other formats, such as EPS, starts a program.
_FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "AVIF", "JPEG2000", "QOI", "PCX", "SGI", "ICO")
_BY_NAME_ONLY = "TGA"  # it has no first bytes to be known by, and would take broken files of other formats
_ENDINGS = Image.registered_extensions()  # loads all that Pillow reads


def _endings_of(formats: tuple[str, ...]) -> frozenset[str]:
    return frozenset(ending for ending, name in _ENDINGS.items() if name in formats and name in Image.OPEN)


_TGA = _endings_of((_BY_NAME_ONLY,))
SUFFIXES = _endings_of((*_FORMATS, "MPO", "DIB")) | _TGA
"""The endings of the names of all pictures that this Pillow decodes, in small letters."""
MAX_PIXELS = 100_000_000
"""Pictures with more pixels are refused before decoding: a few kB can decode to gigabytes."""


def is_picture(file: Path) -> bool:
    """Whether a file is a picture, by its name or, if that tells nothing, by its first bytes."""
    ending = file.suffix.lower()
    if ending in SUFFIXES:
        return True
    if ending in _ENDINGS or ending in (".txt", ".csv", ".tsv", ".json", ".xml", ".npy", ".npz", ".gz"):
        return False
    kind = kind_of(file)
    return kind is not None and kind.name in PICTURES


def find_pictures(folder: Path) -> list[Path]:
    """The picture files in a folder and its subfolders, through links, sorted; hidden files are left out."""
    return files_in(folder, is_picture, "pictures")


@contextmanager
def opened(path: Path | bytes, place: str = "") -> Iterator[Image.Image]:
    """Open a picture, a file or its content, without decoding it; every error inside the block names it."""
    name = place or (_short(path) if isinstance(path, Path) else "picture")
    try:
        if isinstance(path, Path) and not path.is_file():
            what = "it is a folder" if path.is_dir() else "there is no such file"
            raise InputError(f"{path}: cannot read the picture, {what}.{_hint(path)}")
        formats = (_BY_NAME_ONLY,) if isinstance(path, Path) and path.suffix.lower() in _TGA else _FORMATS
        with warnings.catch_warnings():
            # Pillow only warns; the pixel count below refuses, before anything is decoded.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(path if isinstance(path, Path) else io.BytesIO(path), formats=formats) as image:
                width, height = image.size
                if width * height > MAX_PIXELS:
                    limit = f"{MAX_PIXELS // 1_000_000} megapixels"
                    raise InputError(f"{name}: {width}×{height} pixels, more than {limit}. Scale it down first.")
                yield image
    except InputError:
        raise
    except Image.DecompressionBombError as error:
        raise InputError(f"{name}: too many pixels to decode safely. Scale it down first.") from error
    except UnidentifiedImageError as error:
        otherwise = f"{name}: not a picture that can be read. Convert it to PNG or JPEG."
        raise _named(path, otherwise) from error
    except (OSError, ValueError, SyntaxError, EOFError) as error:
        reason = (getattr(error, "strerror", None) or str(error)).rstrip(".")
        otherwise = f"{name}: broken picture, {reason}. Restore the file or leave it out."
        raise _named(path, otherwise) from error


def _named(path: Path | bytes, otherwise: str) -> InputError:
    if isinstance(path, bytes) or len(str(path)) >= 300:
        return InputError(otherwise)
    return unreadable(path, "a picture that can be read", otherwise, expected=tuple(PICTURES))


def _hint(path: Path) -> str:
    """What is to be done about a name that cannot be a file's."""
    text = str(path)
    if "://" in text or ":/" in text[2:]:
        return " URLs are not fetched: download the pictures first."
    return ""


def _short(path: Path) -> str:
    """The path, shortened if it is a file's content given by mistake."""
    return str(path) if len(str(path)) < 300 else f"{str(path)[:100]}…"
