"""The store: decoded pictures in a file, made once by worker processes and kept in a cache for all commands.

    ~/.cache/tellapart/pictures/KEY/       XDG_CACHE_HOME names another place than ~/.cache
        pictures.npy    the pixels, uint8 (n, 3, size, size), which `numpy.load(…, mmap_mode="r")` reads, too
        hashes.npy      a hash of each picture's pixels
        store.json      the rows of broken pictures

KEY is a hash of the size, of Pillow's version, and of each file's name, length, and times of change; pictures inside a
table count by their content. So a changed picture makes another store (`tellapart.domains.kept`).
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import IO, TYPE_CHECKING

import numpy as np
import PIL

from tellapart.domains import kept
from tellapart.domains.pictures.decoding import Decoding, in_processes, tracked
from tellapart.domains.pictures.stored import HASH, Stored, picture_id
from tellapart.domains.texts import Content
from tellapart.errors import InputError

if TYPE_CHECKING:
    from tellapart.domains.pictures.decoding import Read
    from tellapart.domains.texts import Source

IN_MEMORY = 2**28
"""Bytes of pixels up to which decoded picture files stay in memory; more go to a store."""
_VERSION = 1  # of how pictures are decoded
_PIXELS, _HASHES, _TOLD = "pictures.npy", "hashes.npy", "store.json"
_TRIED = 32  # pictures that are compared with their hashes before a store is used


def fits_in_memory(n: int, size: int) -> bool:
    """Whether n decoded pictures need no store.

    >>> fits_in_memory(1_000, 224), fits_in_memory(200_000, 224)
    (True, False)
    """
    return n * 3 * size**2 <= IN_MEMORY


def stored(paths: Sequence[Source], size: int, read: Read) -> tuple[Stored, dict[Source, InputError]]:
    """The store of these pictures, filled unless there is one; and the errors of those that are broken.

    Args:
        paths: different files, or the contents of files.
        size: the pictures' side, in pixels.
        read: reads one. It raises `InputError` if it is broken.

    Raises:
        InputError: the store cannot be written, as on a full disk.
    """
    folder = kept.cache("pictures") / _key(paths, size)

    def fill(partial: Path) -> tuple[Stored, dict[Source, InputError]]:
        remedy = "lower --picture_size"
        kept.tell_room(folder, len(paths) * 3 * size**2, f"{len(paths):,} pictures of {size} × {size}", remedy)
        found, broken = _fill(partial, paths, size, read)
        errors = {paths[row]: InputError(why) for row, why in broken.items()}
        return replace(found, file=folder / _PIXELS), errors

    return kept.opened_or_filled(folder, lambda: _opened(folder, paths, size, read), fill)


def _key(paths: Sequence[Source], size: int) -> str:
    """A hash of all that decides the content."""
    files = [path.absolute() for path in paths if isinstance(path, Path)]
    root = os.path.commonpath({file.parent for file in files}) if files else ""
    digest = hashlib.blake2b(f"{_VERSION} {PIL.__version__} {size} {len(paths)}".encode(), digest_size=HASH)
    for path in paths:
        if isinstance(path, Content):
            digest.update(path.hash)
        elif isinstance(path, bytes):
            digest.update(hashlib.blake2b(path, digest_size=HASH).digest())
        else:
            name = str(path.absolute())[len(root) :]
            digest.update(f"\0{name}\0{kept.state(path)}".encode("utf-8", "surrogatepass"))
    return digest.hexdigest()


def _opened(
    folder: Path, paths: Sequence[Source], size: int, read: Read
) -> tuple[Stored, dict[Source, InputError]] | None:
    """A store that is there; `None` if there is none, if it is damaged, or if a broken picture was repaired."""
    n, row_shape = len(paths), (3, size, size)
    try:
        rows = json.loads((folder / _TOLD).read_text(encoding="utf-8"))["broken"]
        hashes = np.load(folder / _HASHES, allow_pickle=False)
        with (folder / _PIXELS).open("rb") as file:
            np.lib.format.read_magic(file)
            shape, _, _ = np.lib.format.read_array_header_1_0(file)
            offset, length = file.tell(), os.fstat(file.fileno()).st_size
        found = Stored(folder / _PIXELS, offset, row_shape, hashes, np.arange(n))
        is_whole = shape == (n, *row_shape) and length == offset + n * 3 * size**2 and hashes.shape == (n, HASH)
        if not is_whole or not _has_its_hashes(found, set(rows)):
            return None
        return found, {paths[row]: _error_of(paths[row], size, read) for row in rows}
    except (OSError, EOFError, ValueError, KeyError, TypeError, IndexError):  # damaged in as many ways
        return None


def _has_its_hashes(pictures: Stored, broken: set[int]) -> bool:
    """Whether some pictures, far from each other, are what they were when they were decoded."""
    tried = {int(row) for row in np.linspace(0, len(pictures) - 1, _TRIED)} - broken
    return all(picture_id(pictures[row].numpy()) == pictures.hashes[row].tobytes() for row in tried)


def _error_of(path: Source, size: int, read: Read) -> InputError:
    """What is said of a broken picture, said anew.

    Raises:
        LookupError: it is not broken any more.
    """
    try:
        read(path, size)
    except InputError as error:
        return error
    raise KeyError(path)


def _fill(folder: Path, paths: Sequence[Source], size: int, read: Read) -> tuple[Stored, dict[int, str]]:
    """Decode all pictures into a folder; also what is wrong with those that are broken, by row."""
    shape = (len(paths), 3, size, size)
    with (folder / _PIXELS).open("wb") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})
        offset = file.tell()
        _reserve(file, offset + len(paths) * 3 * size**2)
    decoding = Decoding(paths, size, read, folder / _PIXELS, offset)
    hashes: list[bytes] = []
    broken: dict[int, str] = {}
    for done in tracked(in_processes(decoding), len(decoding)):
        if done.failed is not None:
            raise done.failed
        hashes.append(done.hashes)
        broken |= done.broken
    table = np.frombuffer(b"".join(hashes), dtype=np.uint8).reshape(len(paths), HASH)
    np.save(folder / _HASHES, table)
    (folder / _TOLD).write_text(json.dumps({"broken": sorted(broken)}), encoding="utf-8")
    return Stored(folder / _PIXELS, offset, shape[1:], table, np.arange(len(paths))), broken


def _reserve(file: IO[bytes], length: int) -> None:
    """Take the room on the disk, which is then not missing later."""
    file.flush()
    try:
        os.posix_fallocate(file.fileno(), 0, length)
    except (AttributeError, OSError) as error:  # not on every system, nor on every disk
        if isinstance(error, OSError) and error.errno not in (errno.EOPNOTSUPP, errno.EINVAL):
            raise
        file.truncate(length)
