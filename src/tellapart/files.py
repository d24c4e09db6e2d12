"""Writing files so that nothing is ever half-written: to a temporary name, synced, then renamed."""

from __future__ import annotations

import errno
import io
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tellapart.errors import cannot_write


@contextmanager
def atomic_write(path: Path) -> Iterator[io.BytesIO]:
    """Collect bytes in memory, and at the end of the block put them at `path` in one step.

    Whatever happens, `path` holds either its old content or all of the new: the bytes go to a
    temporary file beside it, are synced to the disk, and take over its name.

    Raises:
        InputError: the file cannot be written (a full disk, a missing permission); `path` is as before.

    >>> target = Path(tempfile.mkdtemp()) / "note.txt"
    >>> with atomic_write(target) as file:
    ...     _ = file.write(b"all or nothing")
    >>> target.read_bytes()
    b'all or nothing'
    """
    if path.is_dir():  # said now; and of ".", the rename would say that it is busy
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
        temporary.chmod(0o666 & ~_umask())  # mkstemp makes it readable by its owner only
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
