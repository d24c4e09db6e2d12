"""From what a program has, files, Pillow pictures, arrays or tensors, to pictures of the shape that a network takes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image

from tellapart.domains.given import is_source, items_of, refuse
from tellapart.domains.pictures import arrays, images
from tellapart.domains.pictures.picture_sets import PictureSet, load_pictures
from tellapart.domains.pictures.stored import in_channels
from tellapart.errors import InputError

if TYPE_CHECKING:
    from tellapart.domains.pictures.options import ImageShape

_MUST = "be a file, a folder, a Pillow picture, an array or a tensor of pictures, or a list or column of these"


def as_pictures(given: Any, shape: ImageShape) -> PictureSet:
    """Pictures of the given shape, without labels.

    Args:
        given: one of
            - a file or a folder, as for `load_splits`;
            - a Pillow picture;
            - a NumPy array or a tensor, uint8 or floating-point in [0, 1]: n pictures `(n, h, w)`, `(n, h, w, c)` or
              `(n, c, h, w)`, or one, `(h, w)` or `(h, w, c)`, with c = 1 or 3;
            - a list, a tuple or a column of a data frame, of picture files, Pillow pictures or arrays of one picture.
        shape: side and channels. Files and Pillow pictures that are not square are centred on white, arrays on zeros.

    Raises:
        InputError: none of these, or something broken, missing or of another shape or range; it names the place.
    """
    if is_source(given):
        return load_pictures(str(given), *shape)
    items = items_of(given)
    if items is None:
        return _of_one(given, shape, "x")
    if all(is_source(item) for item in items):
        files = [Path(item) for item in items]
        read = images.read_pictures(files, [f"row {row}" for row in range(len(files))], shape.side)
        return PictureSet(in_channels(read, shape.channels), None, None, [str(item) for item in items])
    parts = [_single(item, shape, f"row {row}") for row, item in enumerate(items)]
    return PictureSet(torch.cat([part.pictures for part in parts]), None, None, arrays.row_names(len(parts)))


def _single(given: Any, shape: ImageShape, place: str) -> PictureSet:
    found = load_pictures(str(given), *shape) if is_source(given) else _of_one(given, shape, place)
    if len(found) != 1:
        raise InputError(f"{place}: holds {len(found)} pictures. Give one in each row, or a single array of all.")
    return found


def _of_one(given: Any, shape: ImageShape, place: str) -> PictureSet:
    if isinstance(given, Image.Image):
        try:
            made = images.to_square(given, shape.side)[None]
        except ValueError as error:
            raise InputError(f"{place}: {error}.") from error
    elif isinstance(given, (np.ndarray, torch.Tensor)):
        made = arrays.to_squares(arrays.as_pictures(_several(_array(given), place), place), shape.side)
    else:
        refuse(given, _MUST)
    return PictureSet(arrays.to_channels(made, shape.channels), None, None, arrays.row_names(len(made)))


def _array(given: np.ndarray[Any, Any] | torch.Tensor) -> np.ndarray[Any, Any]:
    if isinstance(given, np.ndarray):
        return given
    plain = given.detach().cpu()
    return (plain.float() if plain.is_floating_point() else plain).numpy()


def _several(array: np.ndarray[Any, Any], place: str) -> np.ndarray[Any, Any]:
    """The array with a first axis that counts pictures, which one of a single picture lacks."""
    if array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (1, 2, 3, 4)):
        return array[None]
    if array.ndim == 3 and array.shape[0] in (1, 3):
        what = f"an array of shape {array.shape} may be one picture or {array.shape[0]} grey ones"
        raise InputError(f"{place}: {what}. Add a first axis to one picture, a second to several: x[None], x[:, None].")
    return array
