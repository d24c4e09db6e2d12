"""Pictures from NumPy files; shapes, types and ranges are checked, and no code in a file is run."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import nn

from tellapart import reading
from tellapart.domains.sniff import unreadable
from tellapart.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jaxtyping import UInt8
    from torch import Tensor

    from tellapart.runs import PictureRows

SUFFIXES = (".npy", ".npz")
_NPY, _ZIP = b"\x93NUM", (b"PK\x03\x04", b"PK\x05\x06")
_CHUNK = 4096  # pictures converted at a time, to bound the memory
_PARTS = (("x_{}", "y_{}"), ("X_{}", "y_{}"), ("{}_images", "{}_labels"), ("{}_x", "{}_y"))  # the third is MedMNIST's
_LUMINANCE = (0.299, 0.587, 0.114)  # ITU-R BT.601, as in Pillow


class Part(NamedTuple):
    """Pictures of a file, with their labels there: numbers, names or none."""

    pictures: PictureRows
    labels: np.ndarray[Any, Any] | None
    names: list[str]


def read_numpy(path: Path) -> list[Part]:
    """The pictures of a `.npy` or `.npz` file; two parts, for training and test, if it holds `x_train` and `x_test`.

    Raises:
        InputError: not a NumPy file, a damaged file or one with Python objects; arrays that are not pictures; labels
            that do not fit the pictures.
    """
    with _readable(path), path.open("rb") as file:
        start = file.read(4)
        if start == _NPY:
            # Mapping detects a file shorter than its header says before memory is allocated.
            array = np.load(path, mmap_mode="r", allow_pickle=False)
            pictures = as_pictures(array, str(path))
            reading.read(len(pictures), "picture")
            return [Part(pictures, None, row_names(len(pictures)))]
        if start not in _ZIP:
            otherwise = f"{path}: not a NumPy file. Write it with numpy.save or numpy.savez."
            raise unreadable(path, "a NumPy file", otherwise, expected=("npy", "zip"))
        file.seek(0)
        with np.load(file, allow_pickle=False) as content:
            return [_part(content, *keys, path) for keys in _keys(content.files, path)]


def as_pictures(array: np.ndarray[Any, Any], place: str) -> UInt8[Tensor, "n c h w"]:
    """An array `(n, h, w)`, `(n, h, w, c)` or `(n, c, h, w)` as bytes, channels first.

    c is 1 for grey and 3 for colour. With 2 or 4, the last channel is opacity: what is transparent becomes white.

    Raises:
        InputError: another shape, a type other than uint8, bool and floating-point, or values outside [0, 1].

    >>> as_pictures(np.ones((5, 4, 6, 3)), "x.npy").shape
    torch.Size([5, 3, 4, 6])
    """
    if array.size == 0:
        raise InputError(f"{place}: holds no pictures, its shape is {array.shape}. Write it anew.")
    return torch.from_numpy(_opaque(_bytes(_channels_first(array, place), place), place))


def row_names(count: int, folder: str = "") -> list[str]:
    """Names for pictures without one: their row numbers.

    >>> row_names(2, "test/")
    ['test/0', 'test/1']
    """
    return [f"{folder}{row}" for row in range(count)]


def check_labels(labels: np.ndarray[Any, Any], count: int, place: str) -> np.ndarray[Any, Any]:
    """The labels of `count` pictures as one integer or name each; a column `(n, 1)` is accepted.

    Raises:
        InputError: another shape, not one label per picture, or neither integers nor texts.
    """
    flat = labels[:, 0] if labels.ndim == 2 and labels.shape[1] == 1 else labels
    if flat.ndim != 1:
        remedy = "Give one number or name per picture; of one-hot rows, their argmax"
        raise InputError(f"{place}: labels of shape {labels.shape}. {remedy}.")
    if len(flat) != count:
        raise InputError(f"{place}: {len(flat)} labels for {count} pictures. Give one per picture.")
    if flat.dtype.kind not in "iuU":
        raise InputError(f"{place}: labels of type {flat.dtype}. Convert them to integers or texts.")
    return flat if flat.dtype.kind == "U" else flat.astype(np.int64)


def to_squares(pictures: UInt8[Tensor, "n c h w"], size: int | None) -> UInt8[Tensor, "n c size size"]:
    """Centre pictures on squares of zeros, and resize these to `size` with antialiasing; `None` keeps their size.

    >>> to_squares(torch.full((1, 1, 1, 3), 9, dtype=torch.uint8), None)[0, 0].tolist()
    [[0, 0, 0], [9, 9, 9], [0, 0, 0]]
    """
    height, width = pictures.shape[-2:]
    side = max(height, width)
    left, top = (side - width) // 2, (side - height) // 2
    square = nn.functional.pad(pictures, (left, side - width - left, top, side - height - top))
    if size is None or size == side:
        return square
    return nn.functional.interpolate(square, size=(size, size), mode="bilinear", antialias=True)


def to_channels(pictures: UInt8[Tensor, "n a h w"], channels: int | None) -> UInt8[Tensor, "n b h w"]:
    """Convert colour to grey by luminance, or grey to three equal channels; `None` keeps the channels.

    >>> to_channels(torch.tensor([0, 255, 0], dtype=torch.uint8).reshape(1, 3, 1, 1), 1).item()  # green
    150
    """
    if channels in (None, pictures.shape[1]):
        return pictures
    if channels == 3:
        return pictures.expand(-1, 3, -1, -1).contiguous()
    weight = torch.tensor(_LUMINANCE).reshape(1, 3, 1, 1)
    chunks = [(chunk * weight).sum(dim=1, keepdim=True).round().to(torch.uint8) for chunk in pictures.split(_CHUNK)]
    return torch.cat(chunks)


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except InputError:
        raise
    except Exception as error:  # a damaged file fails in as many ways as there are bytes
        if any(words in str(error) for words in ("Object arrays", "Python objects")):
            what = "holds Python objects, and reading those can run a program. Save plain numbers"
        else:
            what = "damaged, truncated or too large for the memory. Write it anew"
        raise InputError(f"{path}: {what} with numpy.save or numpy.savez.") from error


def _keys(found: list[str], path: Path) -> list[tuple[str, str | None, str]]:
    """For each part, the names of the arrays of pictures and labels, and a prefix for the pictures' names."""

    def labels(*candidates: str) -> str | None:
        return next((key for key in candidates if key in found), None)

    for pictures_of, labels_of in _PARTS:
        if pictures_of.format("train") in found:
            return _parts(found, pictures_of, labels_of)
    rest = [key for key in found if key not in ("labels", "y")]
    pictures = next((key for key in ("images", "x") if key in found), rest[0] if len(rest) == 1 else None)
    if pictures is None:
        listed = ", ".join(found) or "none"
        remedy = "Name the pictures images and their labels labels, or x_train, y_train, x_test and y_test"
        raise InputError(f"{path}: which array holds the pictures? Found: {listed}. {remedy}.")
    return [(pictures, labels("labels", "y"), "")]


def _parts(found: list[str], pictures_of: str, labels_of: str) -> list[tuple[str, str | None, str]]:
    """The training set and one to measure with: the test set or, without one, that of validation."""
    held_out = [part for part in ("test", "val", "valid") if pictures_of.format(part) in found]
    reading.pass_over("array of another split, of which the run makes no use", map(pictures_of.format, held_out[1:]))
    named = [(part, pictures_of.format(part), labels_of.format(part)) for part in ("train", *held_out[:1])]
    return [(pictures, labels if labels in found else None, f"{part}/") for part, pictures, labels in named]


def _part(
    arrays: Mapping[str, np.ndarray[Any, Any]], pictures: str, labels: str | None, folder: str, path: Path
) -> Part:
    tensor = as_pictures(arrays[pictures], f"{path}, array {pictures}")
    given = None if labels is None else check_labels(arrays[labels], len(tensor), f"{path}, array {labels}")
    reading.read(len(tensor), "picture")
    return Part(tensor, given, row_names(len(tensor), folder))


def _channels_first(array: np.ndarray[Any, Any], place: str) -> np.ndarray[Any, Any]:
    if array.ndim == 3 and array.shape[2] not in (1, 3):  # otherwise it is a single picture
        return array[:, None]
    for known in ((1, 3), (2, 4)):
        channels = [axis for axis in (1, 3) if array.ndim == 4 and array.shape[axis] in known]
        if channels:
            break
    if len(channels) != 1:
        must = "Pictures must be (n, h, w), (n, h, w, c) or (n, c, h, w) with c = 1 to 4 and h and w other than these"
        raise InputError(f"{place}: an array of shape {array.shape}. {must}.")
    return np.moveaxis(array, channels[0], 1)


def _opaque(pictures: UInt8[np.ndarray, "n a h w"], place: str) -> UInt8[np.ndarray, "n b h w"]:
    """Pictures without their opacity, on white."""
    if pictures.shape[1] in (1, 3):
        return pictures
    reading.note(f"Of {place}, the last of {pictures.shape[1]} channels is read as opacity.")
    whole = np.empty_like(pictures[:, :-1])
    for start in range(0, len(pictures), _CHUNK):
        part = pictures[start : start + _CHUNK].astype(np.uint16)
        colour, opacity = part[:, :-1], part[:, -1:]
        whole[start : start + _CHUNK] = (colour * opacity + 255 * (255 - opacity) + 127) // 255
    return whole


def _bytes(array: np.ndarray[Any, Any], place: str) -> np.ndarray[Any, Any]:
    if array.dtype == np.uint8:
        return np.array(array, order="C")  # a copy, because a mapped file is read-only and a tensor is not
    if array.dtype == np.bool_:
        return array.astype(np.uint8) * 255
    if array.dtype.kind != "f":
        must = "Pictures must be uint8 (0 to 255), or floating-point in [0, 1]: convert them"
        raise InputError(f"{place}: numbers of type {array.dtype}. {must}.")
    low, high = float(array.min()), float(array.max())
    if math.isnan(low) or not 0 <= low <= high <= 1:
        must = "Floating-point pictures must lie in [0, 1]: scale them, or save uint8 (0 to 255)"
        raise InputError(f"{place}: values from {low:g} to {high:g}. {must}.")
    whole = np.empty(array.shape, dtype=np.uint8)
    for start in range(0, len(array), _CHUNK):
        whole[start : start + _CHUNK] = np.rint(array[start : start + _CHUNK].astype(np.float32) * 255)
    return whole
