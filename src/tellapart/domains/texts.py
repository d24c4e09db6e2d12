"""Texts that lie in a file, of which rows are read when they are asked for: they take a list's place.

    NAME.bytes      the UTF-8 of all texts, each ended by a zero byte
    NAME.places     int64 (n, 2), where each begins and ends in it
    NAME.ids        a hash of each; texts that are to count as equal have the same

Plain bytes with their places, and no Arrow file: they are written row by row without a schema, and read by one request
for each row, where Arrow would have to be mapped (`tellapart.domains.ranges` has why they are not).
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import torch

from tellapart.domains.held_out import text_id
from tellapart.domains.ranges import read_ranges

if TYPE_CHECKING:
    from jaxtyping import Int, UInt8
    from torch import Tensor

_CHUNK = 4096
_PLACES = struct.Struct("<qq")
_PLACE, _ID = _PLACES.size, 8  # bytes
Hash = Callable[[Any], bytes]


def text_hash(text: str) -> bytes:
    """A hash of a text without case and spacing, as of `text_id`."""
    return exact_hash(text_id(text))


def exact_hash(text: str) -> bytes:
    """A hash of a text, of 64 bits.

    Of n different texts, two have the same hash with a probability of n² / 2⁶⁵: 0.0003 of 100 million. Such two count
    as equal: they are held out together, and are no negatives of each other.
    """
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=_ID).digest()


class Writer:
    """The three files of a column of texts, or of the contents of files, while they are written.

    Args:
        folder: where they are.
        name: the column's name.
        hash_of: the hash of a cell, or `None` for a column without hashes.
    """

    def __init__(self, folder: Path, name: str, hash_of: Hash | None) -> None:
        self.bytes, self.places = ((folder / f"{name}.{part}").open("wb", 2**20) for part in ("bytes", "places"))
        self.ids = None if hash_of is None else (folder / f"{name}.ids").open("wb", 2**16)
        self.hash_of, self.end = hash_of, 0

    def add(self, cell: str | bytes) -> None:
        """Append a cell."""
        raw = cell if isinstance(cell, bytes) else cell.encode("utf-8", "surrogatepass")
        end = self.end + len(raw)
        self.bytes.write(raw + b"\0")
        self.places.write(_PLACES.pack(self.end, end))
        self.end = end + 1
        if self.ids is not None and self.hash_of is not None:
            self.ids.write(self.hash_of(cell))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for file in (self.bytes, self.places, self.ids):
            if file is not None:
                file.close()


@dataclass(frozen=True, eq=False)
class Texts(Sequence[str]):
    """Some of the texts of a file, in some order.

    An index, as of a tensor, reads rows. `chosen` chooses rows without reading them. It holds no open file, and so it
    can be sent to other processes.
    """

    file: Path
    """Its `.bytes`; the others lie beside it."""
    rows: Int[np.ndarray, " n"]
    """Those of the file, in order."""

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: Any) -> Any:
        """The texts at an index, a tensor or list of rows or a slice, as a list; or one text, by its row."""
        rows = self.rows[index.numpy() if isinstance(index, torch.Tensor) else index]
        return _decoded(*read_packed(self.file, rows)) if np.ndim(rows) else self[[index]][0]

    def __iter__(self) -> Iterator[str]:
        for start in range(0, len(self), _CHUNK):
            yield from self[start : start + _CHUNK]

    def ended(self) -> Iterator[memoryview]:
        """The UTF-8 of all, each ended by a zero byte, a chunk at a time."""
        for start in range(0, len(self), _CHUNK):
            yield read_packed(self.file, self.rows[start : start + _CHUNK])[0].data

    def ids(self) -> Int[np.ndarray, " n"]:
        """The hash of each text, as a number."""
        found = np.empty(len(self), dtype="<i8")
        begins, into = self.rows.astype(np.int64) * _ID, found.view(np.uint8)
        read_ranges(self.file.with_suffix(".ids"), begins, np.full(len(self), _ID), into, "texts")
        return found


@dataclass(frozen=True)
class Content:
    """The content of a file that was inside another, such as a picture of a table: kept in a column of a store."""

    file: Path = field(compare=False)
    row: int = field(compare=False)
    hash: bytes
    """Of 128 bits; contents of one hash are the same."""

    def read(self) -> bytes:
        """It, from the disk."""
        return read_packed(self.file, np.array([self.row]))[0][:-1].tobytes()


Source = Path | bytes | Content
"""A file, or the content of one."""


class Chain(Sequence[str]):
    """Several sequences of texts as one, of which a list or a tensor of rows gives a list."""

    def __init__(self, *parts: Sequence[str]) -> None:
        self.parts = parts
        self.ends = np.cumsum([len(part) for part in parts])

    def __len__(self) -> int:
        return int(self.ends[-1])

    def __iter__(self) -> Iterator[str]:
        for part in self.parts:
            yield from part

    def __getitem__(self, index: Any) -> Any:
        rows = np.arange(len(self))[index.numpy() if isinstance(index, torch.Tensor) else index]
        if not np.ndim(rows):
            return self[[index]][0]
        found = np.empty(len(rows), dtype=object)
        of = np.searchsorted(self.ends, rows, side="right")
        for number, part in enumerate(self.parts):
            here = np.flatnonzero(of == number)
            found[here] = picked(part, torch.from_numpy(rows[here] - (self.ends[number] - len(part))))
        return found.tolist()


def together(*parts: Sequence[str]) -> Sequence[str]:
    """Texts one after another; those in files stay there."""
    return Chain(*parts) if any(map(are_stored, parts)) else [text for part in parts for text in part]


def are_stored(texts: Sequence[str]) -> bool:
    """Whether texts lie in files, at least in part, and are too many to be held in memory."""
    return isinstance(texts, (Texts, Chain))


def picked(texts: Sequence[str], index: Int[Tensor, " k"]) -> list[str]:
    """The texts at these rows, in memory: of a batch."""
    found: list[str] = texts[index] if are_stored(texts) else [texts[i] for i in index.tolist()]  # type: ignore[call-overload]
    return found


def chosen(texts: Sequence[str], index: Int[Tensor, " k"]) -> Sequence[str]:
    """The texts at these rows, in their order; of those in a file none is read."""
    return replace(texts, rows=texts.rows[index.numpy()]) if isinstance(texts, Texts) else picked(texts, index)


def numbers(texts: Sequence[str], hash_of: Callable[[str], bytes] = text_hash) -> Int[Tensor, " n"]:
    """Texts of one hash as one number, from 0 in the order in which they come first.

    >>> numbers(["b", "a", "B "]).tolist()
    [0, 1, 0]
    """
    ids = hashes(texts, hash_of)
    _, first, number = np.unique(ids, return_index=True, return_inverse=True)
    rank = np.empty(len(first), dtype=np.int64)
    rank[first.argsort()] = np.arange(len(first))
    return torch.from_numpy(rank[number])


def hashes(texts: Sequence[str], hash_of: Callable[[str], bytes] = text_hash) -> Int[np.ndarray, " n"]:
    """The hash of each text; of those in a file what was written with it, which `hash_of` was, too."""
    if isinstance(texts, Texts):
        return texts.ids()
    return np.frombuffer(b"".join(map(hash_of, texts)), dtype="<i8")


def digest_of(*columns: Sequence[str]) -> Iterator[bytes | memoryview]:
    """What of columns of texts goes into a fingerprint, in pieces: all their texts, with a zero byte between two.

    >>> b"".join(digest_of(["a"], [], ["b", "c"]))
    b'a\\x00b\\x00c'
    """
    before = b""  # the zero byte behind a text, which the last has not
    for column in columns:
        pieces = column.ended() if isinstance(column, Texts) else _ended(column)
        for piece in pieces:
            yield before
            yield memoryview(piece)[:-1]
            before = b"\0"


def _ended(texts: Sequence[str]) -> Iterator[bytes]:
    for start in range(0, len(texts), _CHUNK):
        yield ("\0".join(texts[start : start + _CHUNK]) + "\0").encode("utf-8", "surrogatepass")


def read_packed(file: Path, rows: Int[np.ndarray, " k"]) -> tuple[UInt8[np.ndarray, " total"], Int[np.ndarray, " k"]]:
    """The bytes of cells, each with the zero byte that ends it, and how many these are."""
    places = np.empty((len(rows), 2), dtype="<i8")
    begins, sizes = rows.astype(np.int64) * _PLACE, np.full(len(rows), _PLACE)
    read_ranges(file.with_suffix(".places"), begins, sizes, places.reshape(-1).view(np.uint8), "texts")
    sizes = places[:, 1] - places[:, 0] + 1
    found = np.empty(int(sizes.sum()), dtype=np.uint8)
    read_ranges(file, places[:, 0], sizes, found, "texts")
    return found, sizes


def _decoded(packed: UInt8[np.ndarray, " total"], sizes: Int[np.ndarray, " k"]) -> list[str]:
    raw = packed.tobytes()
    texts = raw.decode("utf-8", "surrogatepass").split("\0")[:-1]
    if len(texts) == len(sizes):
        return texts
    ends = np.cumsum(sizes)  # a text holds a zero byte itself
    spans = zip((ends - sizes).tolist(), (ends - 1).tolist(), strict=True)
    return [raw[begin:end].decode("utf-8", "surrogatepass") for begin, end in spans]
