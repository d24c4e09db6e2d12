"""Write files in one step: to a temporary name, synced, then renamed."""

from __future__ import annotations

import errno
import io
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from tellapart.errors import cannot_write


class Streamed:
    """A file that is being written; an error of the disk is kept until `check`, which raises it.

    So it can be handed to a writer that loses errors, such as torch's, which calls from C++.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._error: OSError | None = None

    def write(self, content: bytes | memoryview) -> int:
        """Write, unless that failed before."""
        if self._error is None:
            try:
                self._file.write(content)
            except OSError as error:
                self._error = error
        return len(content)

    def flush(self) -> None:
        """Leave it to the end."""

    def check(self) -> None:
        """Raise the first error of a write, if there was one."""
        if self._error is not None:
            raise self._error


@contextmanager
def atomic_stream(path: Path) -> Iterator[Streamed]:
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
    if path.is_dir():  # checked first, because renaming to "." fails with "busy" instead
        raise cannot_write(path, IsADirectoryError(errno.EISDIR, "it is a folder"))
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
        temporary = Path(name)
        with os.fdopen(descriptor, "wb") as file:
            yield (stream := Streamed(file))
            stream.check()
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
    if path.is_dir():  # before the block does its work
        raise cannot_write(path, IsADirectoryError(errno.EISDIR, "it is a folder"))
    buffer = io.BytesIO()
    yield buffer
    with atomic_stream(path) as file:
        file.write(buffer.getbuffer())


def _umask() -> int:
    # The umask can be read only by setting it.
    mask = os.umask(0)
    os.umask(mask)
    return mask
