"""Read picture files as small square tensors; broken and malicious files are refused."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image, ImageOps

from tellapart import reading
from tellapart.domains.picture_files import opened
from tellapart.domains.pictures import store
from tellapart.domains.pictures.decoding import in_threads, tracked
from tellapart.domains.pictures.stored import chosen
from tellapart.errors import InputError, requirement

if TYPE_CHECKING:
    from jaxtyping import UInt8
    from torch import Tensor

    from tellapart.domains.texts import Source
    from tellapart.runs import PictureRows

USUAL_SIDE = 32
"""The side of pictures, in pixels, where they differ in size and none is given."""
_MOST = 1024  # a larger side must be asked for
_MANY = 500  # from so many pictures on, a progress bar is shown


def read_picture(path: Source, size: int, place: str = "") -> UInt8[Tensor, "3 size size"]:
    """Read a picture, a file or its content, as RGB, shrunk to fit a `size`×`size` square and centred on white.

    Transparent pixels become white. The first frame of an animation is taken. EXIF rotation is applied.

    Raises:
        InputError: the file is missing, not a picture, truncated, or has too many pixels.
    """
    with opened(path, place) as image:
        return to_square(image, size)


def read_pictures(paths: Sequence[Source], places: Sequence[str], size: int) -> PictureRows:
    """Read pictures `(n, 3, size, size)`, all of which are needed: `read_whole` that leaves none out.

    Raises:
        InputError: broken files; raised after all are read, it names the first and counts the others.
    """
    pictures, broken = _decoded(paths, size)
    if broken:
        raise _first(paths, places, broken)
    return pictures


def read_whole(
    paths: Sequence[Source], places: Sequence[str], size: int, thing: str = "picture"
) -> tuple[PictureRows, list[int]]:
    """Read pictures by `read_picture`, each distinct file once, and tell which k rows could be read.

    Up to `store.IN_MEMORY` bytes come as a tensor `(k, 3, size, size)`, more as rows of a store. Broken ones are left
    out by the policy of `tellapart.reading`, which is told of them.

    Args:
        paths: the files, or the contents of files.
        places: for messages, the place that names each file; may be empty.
        size: the pictures' side, in pixels.
        thing: what is counted, in the singular.

    Raises:
        InputError: broken files where none is to be left out, or more broken files than others.
    """
    pictures, broken = _decoded(paths, size)
    if not broken:
        reading.read(len(paths), thing)
        return pictures, list(range(len(paths)))
    first = _first(paths, places, broken)
    kept = [row for row, path in enumerate(paths) if path not in broken]
    for row, path in enumerate(paths):
        if path in broken:
            why = getattr(broken[path], "why", "broken picture")
            reading.leave_out(why, places[row] or str(path), first)
    if not kept:
        raise first
    reading.read(len(kept), thing)
    return chosen(pictures, torch.tensor(kept)), kept


def _first(paths: Sequence[Source], places: Sequence[str], broken: dict[Source, InputError]) -> InputError:
    """The error of the first broken picture, which counts the others."""
    row = next(row for row, path in enumerate(paths) if path in broken)
    more = f" (and {len(broken) - 1} more broken pictures)" if len(broken) > 1 else ""
    return InputError(f"{places[row] + ': ' if places[row] else ''}{broken[paths[row]]}{more}")


def _decoded(paths: Sequence[Source], size: int) -> tuple[PictureRows, dict[Source, InputError]]:
    """All pictures, with a progress bar if there are many, and the errors of those that are broken."""
    distinct = list(dict.fromkeys(paths))
    if store.fits_in_memory(len(distinct), size):
        pictures, broken = _decoded_in_memory(distinct, size)
    else:
        pictures, broken = store.stored(distinct, size, read_picture)
    if len(distinct) == len(paths):
        return pictures, broken
    row_of = {path: row for row, path in enumerate(distinct)}
    return chosen(pictures, torch.tensor([row_of[path] for path in paths])), broken


def _decoded_in_memory(distinct: Sequence[Source], size: int) -> tuple[PictureRows, dict[Source, InputError]]:
    pictures = torch.empty(len(distinct), 3, size, size, dtype=torch.uint8)
    broken: dict[Source, InputError] = {}

    def read(row: int) -> None:
        try:
            pictures[row] = read_picture(distinct[row], size)
        except InputError as error:
            broken[distinct[row]] = error

    n = len(distinct)
    for _ in tracked(in_threads(read, range(n)), n, shown=n >= _MANY):
        pass
    return pictures, broken


def common_side(paths: Sequence[Source], places: Sequence[str]) -> int:
    """The side of the square that holds the pictures, in pixels; `USUAL_SIDE` if they differ in size or are large.

    Pictures that cannot be opened are not asked: reading them says what is wrong.

    Raises:
        InputError: none that can be opened.
    """
    first, broken = None, None
    for path, place in zip(paths, places, strict=True):
        try:
            with opened(path, place) as image:
                size = image.size
        except InputError as error:
            broken = broken or error
            continue
        first = first or size
        if size != first or max(size) > _MOST:
            sizes = " and ".join(dict.fromkeys(f"{width}×{height}" for width, height in (first, size)))
            what = f"Pictures of {sizes} pixels are brought to {USUAL_SIDE}×{USUAL_SIDE}"
            reading.note(f"{what}; --picture_size gives another size.")
            return USUAL_SIDE
    if first is None:
        raise broken or ValueError(requirement("paths", "not be empty", paths))
    return max(first)


def tell_size(path: Source, place: str, size: int) -> None:
    """Say that pictures are shrunk, by the example of one that can be opened; not of one up to twice as large."""
    with opened(path, place) as image:
        width, height = image.size
    if max(width, height) > 2 * size:
        reading.note(f"Pictures, as of {width}×{height} pixels, are shrunk to {size}×{size} (--picture_size).")


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
    fitted = turned.resize(_fitting(*turned.size, size), Image.Resampling.LANCZOS)
    square = Image.new("RGBA", (size, size), "white")
    square.alpha_composite(fitted, ((size - fitted.width) // 2, (size - fitted.height) // 2))
    return torch.from_numpy(np.array(square.convert("RGB"))).permute(2, 0, 1).contiguous()


def _fitting(width: int, height: int, size: int) -> tuple[int, int]:
    """Width and height inside a square; of a thin picture at least a line is left.

    >>> _fitting(100, 1, 32)
    (32, 1)
    """
    if width > height:
        return size, max(1, round(height / width * size))
    return max(1, round(width / height * size)), size


def _eight_bits(image: Image.Image) -> Image.Image:
    """Convert a picture to 8 bits a channel: 16 bits by their upper half, palettes by their colours."""
    if image.mode.startswith("I;16"):
        return Image.fromarray((np.asarray(image).astype(np.uint16) >> 8).astype(np.uint8))
    if image.mode in ("I", "F"):
        raise ValueError("32 bits a pixel have no agreed range; convert it to 8 or 16 bits")
    return image.convert("RGBA") if image.mode in ("P", "PA", "1") else image
