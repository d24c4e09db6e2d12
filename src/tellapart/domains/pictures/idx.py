"""idx files, the format of MNIST and Fashion-MNIST: bytes after a header of sizes.

Source: LeCun, Cortes and Burges, "The MNIST database", section "File formats".
"""

from __future__ import annotations

import gzip
import math
import re
import struct
import zlib
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from tellapart import reading
from tellapart.domains.pictures.arrays import Part, as_pictures, check_labels, row_names
from tellapart.errors import InputError

if TYPE_CHECKING:
    from jaxtyping import UInt8

_IMAGES = re.compile(r"(?P<name>.+)-images(?P<dash>[-.])idx3-ubyte(\.gz)?")
_GZIP = b"\x1f\x8b"
_BYTES = 8  # the code of unsigned bytes, the only type that pictures have
_PIECE = 2**20


def is_images(path: Path) -> bool:
    """Whether a file has the name of an idx file of pictures.

    >>> is_images(Path("train-images-idx3-ubyte.gz")), is_images(Path("train-labels-idx1-ubyte"))
    (True, False)
    """
    return _IMAGES.fullmatch(path.name) is not None


def read_images(path: Path, folder: str = "") -> Part:
    """The pictures of an idx file, with the labels of the file beside it, if there is one.

    Raises:
        InputError: one of the two files is damaged, or they hold different numbers of items.
    """
    pictures = as_pictures(read_idx(path, 3), str(path))
    beside = _labels_of(path)
    labels = None if beside is None else check_labels(read_idx(beside, 1), len(pictures), str(beside))
    reading.read(len(pictures), "picture")
    return Part(pictures, labels, row_names(len(pictures), folder))


def read_folder(path: Path) -> list[Part]:
    """The parts of a folder of idx files: `train-…` and, if there is one, `t10k-…` or `test-…`; or a single one.

    Empty if the folder holds no idx files of pictures.

    Raises:
        InputError: a damaged file, or several files that are not one `train-…` and one test set.
    """
    # The plain file comes last in this order, and replaces its .gz.
    found = filter(is_images, sorted(path.iterdir(), reverse=True))
    files = list({file.name.removesuffix(".gz"): file for file in found}.values())
    if len(files) < 2:
        return [read_images(file) for file in files]
    train = [file for file in files if _name(file).endswith("train")]
    test = [file for file in files if _name(file).endswith(("t10k", "test"))]
    if len(files) != 2 or len(train) != 1 or len(test) != 1:
        listed = ", ".join(sorted(file.name for file in files))
        raise InputError(f"{path}: which is the training set? Found: {listed}. Leave one train-… and one t10k-….")
    return [read_images(train[0], "train/"), read_images(test[0], "test/")]


def read_idx(path: Path, ndim: int) -> UInt8[np.ndarray[Any, Any], "..."]:
    """The array of bytes in an idx file of `ndim` dimensions, gzipped or not.

    Raises:
        InputError: another kind of file, or a number of bytes other than its header says.
    """
    try:
        with path.open("rb") as plain:
            zipped = plain.read(2) == _GZIP
            plain.seek(0)
            with gzip.open(plain) if zipped else plain as file:
                shape = _shape(file.read(4 + 4 * ndim), ndim, path)
                data = _read(file, math.prod(shape) + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path}: damaged or truncated, {str(error).rstrip('.')}. Download it again.") from error
    if len(data) != math.prod(shape):
        found = "more" if len(data) > math.prod(shape) else f"only {len(data)}"
        size = "×".join(map(str, shape))
        raise InputError(f"{path}: {found} bytes where its header promises {size}. Download it again.")
    return np.frombuffer(data, dtype=np.uint8).reshape(shape)


def _shape(header: bytes, ndim: int, path: Path) -> tuple[int, ...]:
    start = bytes([0, 0, _BYTES, ndim])
    if header[:4] != start:
        what = "pictures" if ndim == 3 else "labels"
        found = header[:4].hex(" ") or "nothing"
        raise InputError(
            f"{path}: an idx file of {what} begins with {start.hex(' ')}. Found {found}. Name another file."
        )
    if len(header) < 4 + 4 * ndim:
        raise EOFError("its header is cut short")
    return struct.unpack(f">{ndim}I", header[4:])


def _read(file: IO[bytes] | gzip.GzipFile, count: int) -> bytearray:
    """Up to `count` bytes, read in pieces, because a header can promise more than memory holds."""
    data = bytearray()
    while len(data) < count and (piece := file.read(min(_PIECE, count - len(data)))):
        data += piece
    return data


def _name(path: Path) -> str:
    match = _IMAGES.fullmatch(path.name)
    assert match is not None
    return match["name"]


def _labels_of(path: Path) -> Path | None:
    match = _IMAGES.fullmatch(path.name)
    if match is None:
        return None
    stem = path.with_name(f"{match['name']}-labels{match['dash']}idx1-ubyte")
    return next((file for file in (stem, stem.with_name(f"{stem.name}.gz")) if file.is_file()), None)
