"""Ids of words in sentences, kept on the disk, so that a corpus larger than memory can be worked on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from jaxtyping import Int32, Int64

RARE = -1
"""Stands where a word is that the vocabulary does not have."""
CHUNK = 2**22
"""Ids that are worked on at once."""

IDS, STARTS = "ids.i32", "starts.i64"


class Chunk(NamedTuple):
    """A stretch of ids, the id after it, and where sentences end in it."""

    ids: Int32[np.ndarray, " n"]
    following: Int32[np.ndarray, " k"]
    """The next id; empty at the end of the corpus."""
    ends: Int64[np.ndarray, " e"]
    """Numbers from 1 to n: how many of the ids are before the end of each sentence that ends here."""


@dataclass(frozen=True, eq=False)
class Ids:
    """Sentence i is `ids[starts[i] : starts[i + 1]]`. No sentence is empty."""

    ids: Int32[np.ndarray, " n"]
    starts: Int64[np.ndarray, " s"]

    @classmethod
    def open(cls, folder: Path) -> Ids:
        """What a writer left in a folder, mapped into memory.

        Raises:
            OSError: a file is missing.
        """
        return cls(_mapped(folder / IDS, "<i4"), _mapped(folder / STARTS, "<i8"))

    def chunks(self, size: int = CHUNK) -> Iterator[Chunk]:
        """All ids in stretches of at most `size`, which may divide sentences."""
        for low in range(0, len(self.ids), size):
            high = min(low + size, len(self.ids))
            first, last = np.searchsorted(self.starts, [low, high], side="right")
            yield Chunk(self.ids[low:high], self.ids[high : high + 1], self.starts[first:last] - low)


class Writer:
    """Appends ids and the ends of sentences to two files."""

    def __init__(self, ids: BinaryIO, starts: BinaryIO) -> None:
        self._ids, self._starts = ids, starts
        self.n_ids = self.n_sentences = self._last = 0
        starts.write(np.zeros(1, "<i8").tobytes())

    def add(self, ids: Int32[np.ndarray, " n"], ends: Int64[np.ndarray, " e"]) -> None:
        """Append ids; `ends` has how many of them are before the end of each sentence, in ascending order.

        A sentence without words is dropped.
        """
        ends = ends + self.n_ids
        fresh = ends[np.diff(ends, prepend=self._last) > 0]
        self._ids.write(np.ascontiguousarray(ids, "<i4").data)
        self._starts.write(np.ascontiguousarray(fresh, "<i8").data)
        self.n_ids += len(ids)
        self.n_sentences += len(fresh)
        self._last = int(fresh[-1]) if len(fresh) else self._last


@contextmanager
def writing(folder: Path) -> Iterator[Writer]:
    """A writer of new files in a folder, which is made if it does not exist."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / IDS).open("wb") as ids, (folder / STARTS).open("wb") as starts:
        yield Writer(ids, starts)


def keep(source: Ids, id_of: Int32[np.ndarray, " v"], folder: Path, *, rare: bool, size: int = CHUNK) -> Ids:
    """The same sentences with new ids, `id_of[i]` for i; RARE stays, or is left out unless `rare`."""
    id_of = np.append(id_of, np.int32(RARE))  # the last entry, so that RARE stays RARE
    with writing(folder) as writer:
        for chunk in source.chunks(size):
            ids = id_of[chunk.ids]
            if rare:
                writer.add(ids, chunk.ends)
            else:
                is_kept = ids != RARE
                writer.add(ids[is_kept], np.cumsum(is_kept)[chunk.ends - 1])
    return Ids.open(folder)


def _mapped(path: Path, kind: str) -> np.ndarray:
    """A file's numbers; NumPy cannot map an empty file."""
    return np.memmap(path, kind, "r") if path.stat().st_size else np.empty(0, kind)
