"""Write files and folders in one step: to a temporary name, then renamed."""

from __future__ import annotations

import errno
import io
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tellapart.errors import InputError, cannot_write


@contextmanager
def atomic_write(path: Path) -> Iterator[io.BytesIO]:
    """Collect bytes in memory, and write them to `path` in one step at the end of the block.

    Whatever happens, `path` holds either its old content or all of the new. The bytes go to a temporary file
    beside it, which is synced to the disk and then renamed.

    Raises:
        InputError: the file cannot be written (a full disk, a missing permission); `path` is unchanged.

    >>> target = Path(tempfile.mkdtemp()) / "note.txt"
    >>> with atomic_write(target) as file:
    ...     _ = file.write(b"all or nothing")
    >>> target.read_bytes()
    b'all or nothing'
    """
    if path.is_dir():  # checked first, because renaming to "." fails with "busy" instead
        raise cannot_write(path, IsADirectoryError(errno.EISDIR, "it is a folder"))
    buffer = io.BytesIO()
    yield buffer
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
        temporary = Path(name)
        with os.fdopen(descriptor, "wb") as file:
            file.write(buffer.getbuffer())
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(0o666 & ~_umask())  # mkstemp makes files that only their owner can read
        temporary.replace(path)
    except OSError as error:
        if temporary is not None:
            with suppress(OSError):
                temporary.unlink()
        raise cannot_write(path, error) from error


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
