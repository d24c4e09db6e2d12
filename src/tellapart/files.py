"""Write files and folders in one step: to a temporary name, then renamed. Locks between processes."""

from __future__ import annotations

import errno
import io
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from tellapart.errors import InputError, cannot_write


@contextmanager
def atomic_stream(path: Path) -> Iterator[BinaryIO]:
    """Write to the disk at once what the block writes, under a temporary name; the file takes its place at the end.

    Whatever happens, `path` holds either its old content or all of the new. The temporary file is beside it; it is
    synced to the disk and then renamed. The block does nothing but write.

    Raises:
        InputError: the file cannot be written (a full disk, a missing permission); `path` is unchanged.

    >>> target = Path(tempfile.mkdtemp()) / "numbers"
    >>> with atomic_stream(target) as file:
    ...     written = [file.write(b"12"), file.write(b"34")]
    >>> target.read_bytes()
    b'1234'
    """
    _check_not_a_folder(path)
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
        temporary = Path(name)
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(0o666 & ~_umask())  # mkstemp makes files that only their owner can read
        temporary.replace(path)
        temporary = None
    except OSError as error:
        raise cannot_write(path, error) from error
    finally:
        if temporary is not None:
            with suppress(OSError):
                temporary.unlink()


@contextmanager
def atomic_write(path: Path) -> Iterator[io.BytesIO]:
    """Collect bytes in memory, and write them to `path` in one step at the end of the block, as `atomic_stream` does.

    Raises:
        InputError: the file cannot be written; `path` is unchanged.

    >>> target = Path(tempfile.mkdtemp()) / "note.txt"
    >>> with atomic_write(target) as file:
    ...     _ = file.write(b"all or nothing")
    >>> target.read_bytes()
    b'all or nothing'
    """
    _check_not_a_folder(path)
    buffer = io.BytesIO()
    yield buffer
    with atomic_stream(path) as file:
        file.write(buffer.getbuffer())


def _check_not_a_folder(path: Path) -> None:
    if path.is_dir():  # checked first, because renaming to "." fails with "busy" instead
        raise cannot_write(path, IsADirectoryError(errno.EISDIR, "it is a folder"))


@contextmanager
def locked(path: Path, busy: Callable[[], object]) -> Iterator[None]:
    """Keep other processes from what a file's lock stands for; the system frees it even after a kill.

    Args:
        path: the file, which is made if there is none.
        busy: called if another process holds the lock. If it returns, the lock is waited for.

    Raises:
        InputError: the file cannot be written, or the system has no such locks.

    >>> with locked(Path(tempfile.mkdtemp()) / "lock", busy=lambda: print("wait")):
    ...     pass
    """
    try:
        import fcntl
    except ModuleNotFoundError as error:
        remedy = "Use Linux or macOS; on Windows, its Linux subsystem (WSL)"
        raise InputError(f"{path}: this system has no file locks of POSIX (fcntl). {remedy}.") from error
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("w")
    except OSError as error:
        raise cannot_write(path, error) from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            busy()
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _umask() -> int:
    # The umask can be read only by setting it.
    mask = os.umask(0)
    os.umask(mask)
    return mask


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """A folder to be filled in the block, which becomes `path` in one step at its end.

    Raises:
        InputError: `path` holds something, or cannot be written; then nothing is there that was not before.

    >>> target = Path(tempfile.mkdtemp()) / "made"
    >>> with new_folder(target) as folder:
    ...     _ = (folder / "note.txt").write_text("all or nothing")
    >>> [file.name for file in target.iterdir()]
    ['note.txt']
    """
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise InputError(f"{path}: exists and is not an empty folder. Choose another one.")
    partial = path.with_name(f".{path.name}.partial")
    try:
        shutil.rmtree(partial, ignore_errors=True)  # of a writer that was killed
        partial.mkdir(parents=True)
        yield partial
        partial.replace(path)
    except OSError as error:
        raise cannot_write(path, error) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
