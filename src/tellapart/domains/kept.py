"""What is made of a user's files once and kept in a cache for all commands, each in a folder of its own.

    ~/.cache/tellapart/KIND/KEY/        XDG_CACHE_HOME names another place than ~/.cache

KEY is a hash of all that decides the content, such as each file's name, length, and times of change: a changed file
makes another folder. One is filled under another name, synced to the disk, and renamed. One process fills it at a time,
under a lock.
"""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

from tellapart.errors import InputError, cannot_write
from tellapart.files import locked

_logger = logging.getLogger("tellapart")
_T = TypeVar("_T")


def cache(kind: str) -> Path:
    """The folder of all that is kept of a kind."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tellapart" / kind


def state(path: Path) -> str:
    """Length and times of change of a file; the last is the system's own, which no program sets."""
    try:
        told = path.stat()
    except (OSError, ValueError):
        return "missing"
    return f"{told.st_size} {told.st_mtime_ns} {told.st_ctime_ns}"


def opened_or_filled(folder: Path, opened: Callable[[], _T | None], fill: Callable[[Path], _T]) -> _T:
    """What is kept in a folder of the cache, which is filled unless it is there and whole.

    Args:
        folder: the folder.
        opened: what it holds; `None` if it is not there, or damaged.
        fill: makes the content in the folder that it is given, and returns what `opened` will.

    Raises:
        InputError: it cannot be written, as on a full disk; or what `fill` raises. Nothing stays then.
    """
    found = opened()
    if found is not None:
        return found
    with locked(folder.with_suffix(".lock"), lambda: _logger.info("Wait for a process that reads the same data.")):
        found = opened()
        return _filled(folder, fill) if found is None else found


def _filled(folder: Path, fill: Callable[[Path], _T]) -> _T:
    """A new folder, in the place of a damaged one. No other process fills it meanwhile."""
    if folder.exists():
        _logger.warning(f"{folder}: damaged or out of date. It is filled anew.")
        shutil.rmtree(folder, ignore_errors=True)
    for leftover in folder.parent.glob(f".{folder.name}.*"):  # of a process that was killed
        shutil.rmtree(leftover, ignore_errors=True)
    partial = folder.with_name(f".{folder.name}.{os.getpid()}")
    try:
        partial.mkdir()
        found = fill(partial)
        _sync(partial.iterdir())
        partial.rename(folder)
    except OSError as error:
        raise cannot_write(folder, error) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return found


def _sync(files: Iterable[Path]) -> None:
    for path in files:
        with path.open("rb+") as file:
            os.fsync(file.fileno())


def tell_room(folder: Path, n_bytes: int, what: str, remedy: str = "") -> None:
    """Say how much of the disk a folder of the cache takes; called before it is filled.

    Args:
        folder: the folder.
        n_bytes: how much it takes.
        what: what takes it, in the plural.
        remedy: what else than making room can be done where too little is free.

    Raises:
        InputError: too little is free.
    """
    told, free = f"{what} take {n_bytes / 1e9:.1f} GB on the disk", shutil.disk_usage(folder.parent).free
    if n_bytes > free:
        remedies = f"Make room{f', {remedy},' if remedy else ''} or name another place by the variable XDG_CACHE_HOME"
        raise InputError(f"{folder.parent}: {told}, and {free / 1e9:.1f} GB are free. {remedies}.")
    _logger.info(f"{told}, in {folder}. Later commands use them again. Delete them whenever you like.")
