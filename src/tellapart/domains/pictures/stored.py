"""Pictures that lie in a file, of which rows are read when they are asked for: they take a tensor's place."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from tellapart.domains.pictures.arrays import to_channels
from tellapart.domains.ranges import read_ranges

if TYPE_CHECKING:
    from jaxtyping import Int, UInt8
    from torch import Tensor

    from tellapart.runs import PictureRows

HASH = 16
"""Bytes of a picture's hash."""
_CHUNK = 256


@dataclass(frozen=True, eq=False)
class Stored:
    """Some of the pictures of a file, in some order.

    An index, as of a tensor, reads rows. `chosen` and `joined` choose rows without reading them. It holds no open file,
    and so it can be sent to other processes.
    """

    file: Path
    """A `.npy` file of uint8, `(m, 3, size, size)`."""
    offset: int
    """Where its first row begins, in bytes."""
    row_shape: tuple[int, int, int]
    hashes: UInt8[np.ndarray, "m 16"]
    """Of each row of the file, by `picture_id`."""
    rows: Int[np.ndarray, " n"]
    """Those of the file, in order."""
    channels: int = 3
    """1 for grey, to which rows are converted when they are read."""

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def shape(self) -> torch.Size:
        """As a tensor's: number, channels, height, width."""
        return torch.Size((len(self), self.channels, *self.row_shape[1:]))

    def __getitem__(self, index: Any) -> UInt8[Tensor, "k c size size"]:
        """The pictures at an index: a tensor of rows, a list of them or a slice; or one picture, by its row."""
        rows = self.rows[index.numpy() if isinstance(index, torch.Tensor) else index]
        read = to_channels(self._read(np.atleast_1d(rows)), self.channels)
        return read if np.ndim(rows) else read[0]

    def split(self, size: int) -> Sequence[UInt8[Tensor, "k c size size"]]:
        """All pictures in chunks, each of which is read when it is its turn."""
        return _Chunks(self, size)

    def ids(self) -> list[bytes] | None:
        """The hash of each picture; `None` of converted ones, of which none are known."""
        return None if self.channels != self.row_shape[0] else [row.tobytes() for row in self.hashes[self.rows]]

    def _read(self, rows: Int[np.ndarray, " k"]) -> UInt8[Tensor, "k 3 size size"]:
        found = torch.empty(len(rows), *self.row_shape, dtype=torch.uint8)
        size = int(np.prod(self.row_shape))
        begins = self.offset + rows.astype(np.int64) * size
        read_ranges(self.file, begins, np.full(len(rows), size), found.numpy().reshape(-1), "pictures")
        return found


@dataclass(frozen=True, eq=False)
class _Chunks(Sequence["Tensor"]):
    pictures: Stored
    size: int

    def __len__(self) -> int:
        return -(-len(self.pictures) // self.size)

    def __getitem__(self, number: Any) -> Any:
        start = range(0, len(self.pictures), self.size)[number]
        return self.pictures[start : start + self.size]


def chosen(pictures: PictureRows, index: Int[Tensor, " k"] | slice) -> PictureRows:
    """The pictures at an index, in its order; of those in a file none is read.

    >>> chosen(torch.arange(4, dtype=torch.uint8).reshape(4, 1, 1, 1), torch.tensor([3, 1])).flatten().tolist()
    [3, 1]
    """
    if not isinstance(pictures, Stored):
        return pictures[index]
    return replace(pictures, rows=pictures.rows[index if isinstance(index, slice) else index.numpy()])


def joined(first: PictureRows, second: PictureRows) -> PictureRows:
    """The pictures of both; those of one file stay there."""
    if isinstance(first, Stored) and isinstance(second, Stored) and first.file == second.file:
        return replace(first, rows=np.concatenate([first.rows, second.rows]))
    return torch.cat([first[:], second[:]])


def in_channels(pictures: PictureRows, channels: int | None) -> PictureRows:
    """As `to_channels`; pictures in a file are converted when they are read."""
    if isinstance(pictures, Stored):
        return pictures if channels is None else replace(pictures, channels=channels)
    return to_channels(pictures[:], channels)


def pixel_ids(pictures: PictureRows) -> list[bytes]:
    """One id per picture; pictures with identical pixels share it.

    >>> len(set(pixel_ids(torch.tensor([[[[1]]], [[[2]]], [[[1]]]], dtype=torch.uint8))))
    2
    """
    known = pictures.ids() if isinstance(pictures, Stored) else None
    if known is not None:
        return known
    return [picture_id(picture) for chunk in pictures.split(_CHUNK) for picture in chunk.cpu().numpy()]


def picture_id(picture: UInt8[np.ndarray, "c h w"]) -> bytes:
    """The hash of a picture's pixels."""
    return hashlib.blake2b(np.ascontiguousarray(picture).data, digest_size=HASH).digest()


def all_pixels(pictures: PictureRows) -> Iterator[bytes]:
    """What of pictures goes into a fingerprint: their bytes or, of those in a file, their ids."""
    known = pictures.ids() if isinstance(pictures, Stored) else None
    if known is not None:
        yield from known
    else:
        for chunk in pictures.split(_CHUNK):
            yield chunk.cpu().numpy().tobytes()
