"""Picture files: which there are in a folder, and how one is opened; broken and malicious files are refused."""

from __future__ import annotations

import io
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image, UnidentifiedImageError
from PIL.JpegImagePlugin import JpegImageFile

from tellapart.domains.folders import files_in
from tellapart.domains.sniff import PICTURES, kind_of, kind_of_bytes, unreadable
from tellapart.domains.texts import Content, Source
from tellapart.errors import InputError

# Only these are tried, whatever a file's suffix: reading other formats, such as EPS, starts a program.
_FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "AVIF", "JPEG2000", "QOI", "PCX", "SGI", "ICO", "HEIF")
_BY_NAME_ONLY = "TGA"  # it has no first bytes to be known by, and would take broken files of other formats
_HEAD = 600
_HEIC = frozenset({".heic", ".heif", ".hif"})
_DRAFT = 2048  # the least side of what a huge JPEG is decoded to: twice the largest side that is asked for


class TooLargeError(InputError):
    """A picture that may be whole, with more pixels than can be decoded safely."""

    why = "picture of too many pixels"


class HeicError(InputError):
    """A picture in HEIC where the package that reads it is missing."""

    why = "picture in HEIC, which needs: pip install 'tellapart[heic]'"


def _add_heic() -> None:
    """Let Pillow read HEIC, if the extra is installed."""
    try:
        from pillow_heif import register_heif_opener
    except ModuleNotFoundError:
        return
    register_heif_opener()


_add_heic()
_ENDINGS = Image.registered_extensions()  # loads all that Pillow reads


def _endings_of(formats: tuple[str, ...]) -> frozenset[str]:
    return frozenset(ending for ending, name in _ENDINGS.items() if name in formats and name in Image.OPEN)


_TGA = _endings_of((_BY_NAME_ONLY,))
SUFFIXES = _endings_of((*_FORMATS, "MPO", "DIB")) | _TGA
"""The endings of the names of all pictures that this Pillow decodes, in small letters."""
MAX_PIXELS = 100_000_000
"""Of pictures with more pixels, one is decoded at a time. JPEGs are decoded at a fraction of their size.

With more than Pillow's own limit, of 179 million, others are refused: a few kB can decode to gigabytes.
"""
_one_at_a_time = threading.RLock()
_filtering = threading.Lock()  # filters of warnings are those of all threads


def is_picture(file: Path) -> bool:
    """Whether a file is a picture, by its name or, if that tells nothing, by its first bytes."""
    ending = file.suffix.lower()
    if ending in SUFFIXES or ending in _HEIC:
        return True
    if ending in _ENDINGS or ending in (".txt", ".csv", ".tsv", ".json", ".xml", ".npy", ".npz", ".gz"):
        return False
    kind = kind_of(file)
    return kind is not None and kind.name in (*PICTURES, "heic")


def find_pictures(folder: Path) -> list[Path]:
    """The picture files in a folder and its subfolders, through links, sorted; hidden files are left out."""
    return files_in(folder, is_picture, "pictures")


@contextmanager
def opened(path: Source, place: str = "", *, shrinks: bool = True) -> Iterator[Image.Image]:
    """Open a picture, a file or its content, without decoding it; every error inside the block names it.

    Args:
        path: the file, or its content.
        place: what messages call it; by default its path.
        shrinks: whether a huge JPEG may be decoded at a fraction of its size; else it is refused.

    Raises:
        InputError: it is missing, or no picture that can be read.
        TooLargeError: it has too many pixels.
        HeicError: it is in HEIC, and the extra is not installed.
    """
    name = place or (_short(path) if isinstance(path, Path) else "picture")
    if isinstance(path, Content):
        path = path.read()
    try:
        if isinstance(path, Path) and not path.is_file():
            what = "it is a folder" if path.is_dir() else "there is no such file"
            raise InputError(f"{path}: cannot read the picture, {what}.{_hint(path)}")
        with _open(path, name) as image:
            if _n_pixels(image) <= MAX_PIXELS:
                yield image
                return
            if not shrinks:
                raise _too_large(name, image)
            image.draft(image.mode, (_DRAFT, _DRAFT))
            with _one_at_a_time:
                yield image
    except InputError:
        raise
    except UnidentifiedImageError as error:
        otherwise = f"{name}: not a picture that can be read. Convert it to PNG or JPEG."
        raise _named(path, otherwise) from error
    except (OSError, ValueError, SyntaxError, EOFError) as error:
        reason = (getattr(error, "strerror", None) or str(error)).rstrip(".")
        otherwise = f"{name}: broken picture, {reason}. Restore the file or leave it out."
        raise _named(path, otherwise) from error


def _open(path: Path | bytes, name: str) -> Image.Image:
    formats = (_BY_NAME_ONLY,) if isinstance(path, Path) and path.suffix.lower() in _TGA else _FORMATS
    with _filtering, warnings.catch_warnings():
        # Pillow only warns from half of its limit on.
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        try:
            return Image.open(_file(path), formats=[form for form in formats if form in Image.OPEN])
        except Image.DecompressionBombError as error:
            try:  # of whatever size a JPEG is, it can be decoded at a fraction of it
                return JpegImageFile(_file(path))
            except SyntaxError:
                raise TooLargeError(f"{name}: too many pixels to decode safely. Scale it down first.") from error


def _file(path: Path | bytes) -> Path | io.BytesIO:
    return path if isinstance(path, Path) else io.BytesIO(path)


def _n_pixels(image: Image.Image) -> int:
    return image.width * image.height


def _too_large(name: str, image: Image.Image) -> TooLargeError:
    limit = f"{MAX_PIXELS // 1_000_000} megapixels"
    return TooLargeError(f"{name}: {image.width}×{image.height} pixels, more than {limit}. Scale it down first.")


def _named(path: Path | bytes, otherwise: str) -> InputError:
    if isinstance(path, bytes):
        kind = kind_of_bytes(path[:_HEAD])
    elif len(str(path)) >= 300:
        return InputError(otherwise)
    else:
        kind = kind_of(path)
    if kind is not None and kind.name == "heic" and "HEIF" not in Image.OPEN:
        name = _short(path) if isinstance(path, Path) else "picture"
        return HeicError(f"{name}: {kind.told}. Install what reads it: pip install 'tellapart[heic]'.")
    if isinstance(path, bytes):
        return InputError(otherwise)
    return unreadable(path, "a picture that can be read", otherwise, expected=(*PICTURES, "heic"))


def _hint(path: Path) -> str:
    """What is to be done about a name that cannot be a file's."""
    text = str(path)
    if "://" in text or ":/" in text[2:]:
        return " URLs are not fetched: download the pictures first."
    return ""


def _short(path: Path) -> str:
    """The path, shortened if it is a file's content given by mistake."""
    return str(path) if len(str(path)) < 300 else f"{str(path)[:100]}…"
