"""Decode many pictures at a time: by threads into memory, or by processes into a file."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import torch
from rich.console import Console
from rich.progress import Progress
from torch.utils.data import DataLoader, Dataset

from tellapart.domains.pictures.stored import HASH, picture_id
from tellapart.errors import InputError

if TYPE_CHECKING:
    from jaxtyping import UInt8
    from torch import Tensor

    from tellapart.domains.texts import Source

    Read = Callable[[Source, int], UInt8[Tensor, "3 size size"]]

_AT_ONCE = 32  # pictures that a process decodes before it tells of them
_S = TypeVar("_S")
_T = TypeVar("_T")


def tracked(items: Iterable[_T], total: int, shown: bool = True) -> Iterator[_T]:
    """The items, counted by a progress bar."""
    with Progress(console=Console(stderr=True), transient=True, disable=not shown) as bar:
        yield from bar.track(items, total=total, description="Reading pictures")


def in_threads(do: Callable[[_S], _T], items: Sequence[_S]) -> Iterator[_T]:
    """What `do` returns for each item, in order, by a thread for each core."""
    pool = ThreadPoolExecutor(os.cpu_count())  # bounded, because decoding takes memory
    try:
        yield from pool.map(do, items)
    finally:
        pool.shutdown(cancel_futures=True)  # on Ctrl-C, stop without reading the rest


class Done(NamedTuple):
    """What a process tells of the pictures that it decoded."""

    hashes: bytes
    broken: dict[int, str]
    failed: OSError | None


class Decoding(Dataset[Done]):
    """The decoding of all pictures, a few at a time: each process writes pixels to their place in the file."""

    def __init__(self, paths: Sequence[Source], size: int, read: Read, file: Path, offset: int) -> None:
        self.paths, self.size, self.read = paths, size, read
        self.file, self.offset = file, offset

    def __len__(self) -> int:
        return -(-len(self.paths) // _AT_ONCE)

    def __getitem__(self, number: int) -> Done:
        hashes, broken = [], {}
        try:
            with self.file.open("rb+") as file:
                for row in range(number * _AT_ONCE, min((number + 1) * _AT_ONCE, len(self.paths))):
                    try:
                        picture = self.read(self.paths[row], self.size).numpy()
                    except InputError as error:
                        broken[row] = str(error)
                        hashes.append(bytes(HASH))
                        continue
                    hashes.append(picture_id(picture))
                    file.seek(self.offset + row * picture.nbytes)
                    file.write(picture.data)
        except OSError as error:  # returned, because the number of an error that is raised is lost on the way
            return Done(b"", {}, error)
        return Done(b"".join(hashes), broken, None)


def in_processes(decoding: Decoding) -> Iterable[Done]:
    """All of it, in order, by a process for each core; these are started before this returns.

    Where processes cannot be forked safely, threads take their place.
    """
    if sys.platform != "linux":
        return in_threads(decoding.__getitem__, range(len(decoding)))
    loader = DataLoader(
        decoding,
        batch_size=None,
        num_workers=min(len(os.sched_getaffinity(0)), len(decoding)),
        multiprocessing_context="fork",
        collate_fn=_as_it_is,
        generator=torch.Generator(),  # its own, so that a training's random numbers stay the same
    )
    with warnings.catch_warnings():
        # From 3.12 on, Python warns of threads that a fork leaves behind. These processes decode, and wait for none.
        warnings.filterwarnings("ignore", ".*multi-threaded.*", DeprecationWarning)
        return iter(loader)


def _as_it_is(done: Any) -> Any:
    return done
