"""Read micrographs from files: TIFF through tifffile, other pictures through Pillow, at their full depth."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from tellapart.domains.micrographs import pixel_size
from tellapart.domains.picture_files import opened
from tellapart.errors import InputError

if TYPE_CHECKING:
    from types import ModuleType

    from jaxtyping import Num
    from PIL import Image

_TIFF = (".tif", ".tiff")
_IN_MEMORY = 2**28  # bytes of a compressed field; larger ones are decoded into a temporary file


class Plane(NamedTuple):
    """One page of a file, `(h, w)` or `(h, w, c)`."""

    page: str
    """"[2]" for the third of several pages, "" for the only one."""
    pixels: Num[np.ndarray, "h w *c"]
    pixel_size: float | None
    """In micrometres, if the file tells it."""


def read_planes(file: Path, as_numbers: bool = False) -> list[Plane]:
    """All pages of a picture file.

    Uncompressed TIFFs are mapped, not read: a field may be larger than the memory. Of a pyramid the largest level is
    taken. Large compressed ones are decoded into a temporary file, piece by piece.

    Args:
        file: a TIFF, or a picture that Pillow reads.
        as_numbers: whether a palette's numbers are wanted, as of a label image, and not its colours.

    Raises:
        InputError: the file is broken, or in a form that cannot be read; tifffile is missing.
    """
    if file.suffix.lower() in _TIFF:
        return _read_tiff(file)
    with opened(file, shrinks=False) as image:
        dots = image.info.get("dpi", (0, 0))[0]
        pixels = _as_array(image, as_numbers)
    return [Plane("", pixels, pixel_size.of_resolution(float(dots)))]


def _as_array(image: Image.Image, as_numbers: bool) -> np.ndarray:
    """Grey levels at their full depth, or colours; of a palette the numbers themselves, if they are asked for."""
    if image.mode in ("L", "I", "F") or image.mode.startswith("I;16") or (image.mode == "P" and as_numbers):
        return np.asarray(image)
    return np.asarray(image.convert("RGB"))


def _read_tiff(file: Path) -> list[Plane]:
    tifffile = _tifffile()
    logger = logging.getLogger("tifffile")
    was_disabled, logger.disabled = logger.disabled, True  # it logs what it then raises
    try:
        with tifffile.TiffFile(file) as opened_file:
            size = pixel_size.of_tiff(opened_file)
            planes = [
                plane
                for number, series in enumerate(opened_file.series)
                for plane in _split(_pixels(tifffile, file, number, series), series.axes)
            ]
    except InputError:
        raise
    # tifffile raises what it meets: struct.error, KeyError, ZeroDivisionError and others
    except Exception as error:
        what = " ".join(str(error).split())[:200].rstrip(".") or type(error).__name__
        remedy = "pip install imagecodecs, or save it uncompressed" if "imagecodecs" in what else "Save it anew"
        raise InputError(f"{file}: cannot read the TIFF, {what}. {remedy}.") from error
    finally:
        logger.disabled = was_disabled
    if not planes:
        raise InputError(f"{file}: the TIFF holds no image. Save it anew.")
    pages = [f"[{page}]" for page in range(len(planes))] if len(planes) > 1 else [""]
    return [Plane(page, pixels, size) for page, pixels in zip(pages, planes, strict=True)]


def _pixels(tifffile: ModuleType, file: Path, number: int, series: Any) -> np.ndarray:
    if series.dtype is None or series.dtype.kind not in "uif":
        raise InputError(f"{file}: pixels of the type {series.dtype}. Save them as integers or floating-point numbers.")
    if series.dataoffset is not None:
        mapped: np.ndarray = tifffile.memmap(file, series=number, mode="r")
        return mapped
    is_large = math.prod(series.shape) * series.dtype.itemsize > _IN_MEMORY
    read: np.ndarray = series.asarray(out="memmap" if is_large else None)
    return read


def _split(pixels: np.ndarray, axes: str) -> Iterator[np.ndarray]:
    """The planes of an array. Its axes are tifffile's: Y, X, perhaps S for colours, and others to go through."""
    if "Y" not in axes or "X" not in axes:
        return
    last = [axes.index(axis) for axis in "YXS" if axis in axes]
    ordered = np.moveaxis(pixels, last, range(-len(last), 0))
    for place in np.ndindex(ordered.shape[: ordered.ndim - len(last)]):
        yield ordered[place]


def _tifffile() -> ModuleType:
    try:
        import tifffile
    except ImportError as error:
        remedy = 'pip install "tellapart[micrographs]"'
        raise InputError(f"TIFF files: the package {error.name} is missing. {remedy}") from error
    module: ModuleType = tifffile
    return module
