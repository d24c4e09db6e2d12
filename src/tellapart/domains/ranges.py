"""Read scattered parts of a file at once, into memory of their own.

The file is not mapped: pages of a mapping count as memory of this process for as long as the system leaves them there,
and a disk that fails under a mapping kills the process. What was read lately comes from the system's cache in both
cases.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tellapart.errors import InputError

if TYPE_CHECKING:
    from io import FileIO

    from jaxtyping import Int, UInt8


def read_ranges(
    path: Path,
    begins: Int[np.ndarray, " k"],
    sizes: Int[np.ndarray, " k"],
    into: UInt8[np.ndarray, " total"],
    what: str,
) -> None:
    """Fill `into` with parts of a file, one after another; neighbours are read together.

    Args:
        path: the file.
        begins: where each part begins, in bytes.
        sizes: its bytes.
        into: as many bytes as all parts have.
        what: what the file holds, for messages, in the plural.

    Raises:
        InputError: the file is gone, shorter than it was, or cannot be read.
    """
    ends = np.cumsum(sizes)
    first = np.flatnonzero(np.append(len(begins) > 0, begins[1:] != (begins + sizes)[:-1]))  # of what lies side by side
    last = np.append(first[1:], len(begins))[: len(first)] - 1
    stretches = [(int(begins[a]), into[ends[a] - sizes[a] : ends[b]]) for a, b in zip(first, last, strict=True)]
    try:
        with path.open("rb", buffering=0) as file:
            _announce(file, stretches)
            for begin, part in stretches:
                file.seek(begin)
                _read_into(file, part.data)
    except OSError as error:
        again = "Run the command again, which fills the file anew"
        raise InputError(f"{path}: cannot read {what}, {error.strerror or error}. {again}.") from error


def _announce(file: FileIO, stretches: list[tuple[int, np.ndarray]]) -> None:
    """Let the disk read scattered stretches at the same time, and nothing between them."""
    if len(stretches) > 1 and hasattr(os, "posix_fadvise"):
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_RANDOM)
        for begin, part in stretches:
            os.posix_fadvise(file.fileno(), begin, part.nbytes, os.POSIX_FADV_WILLNEED)


def _read_into(file: FileIO, view: memoryview) -> None:
    """Fill a buffer, in as many reads as it takes."""
    while len(view):
        n = file.readinto(view)
        if not n:
            raise OSError("the file is shorter than it was")
        view = view[n:]
