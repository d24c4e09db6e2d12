"""Read text files of any size in blocks of bytes, gzipped or not; errors name the file and the line."""

from __future__ import annotations

import gzip
import os
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from tellapart.errors import InputError, existing

BLOCK = 2**24
"""Bytes that are read at once."""
LONGEST_WORD = 2**20
"""Bytes that a word may have."""

_GZIP = b"\x1f\x8b"
_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class Block:
    """A stretch of one file that ends at white space or at the file's end, so that no word is divided."""

    path: Path
    content: bytes
    line: int
    """The number of its first line, from 1."""
    is_last: bool
    """Whether the file ends here."""


def find_files(source: str | Path) -> list[Path]:
    """The named file, or all files of a folder at any depth, sorted; hidden ones are left out.

    Links are followed. A folder or file that is reached twice is taken once, so that a loop of links ends.

    Raises:
        InputError: there is no such file or folder, or no file in it.
    """
    path = existing(str(source))
    if not path.is_dir():
        return [path]
    found: dict[Path, Path] = {}
    seen: set[Path] = set()
    for folder, folders, names in os.walk(path, followlinks=True):
        if (real := Path(folder).resolve()) in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for file in (Path(folder, name) for name in sorted(names) if not name.startswith(".")):
            if file.is_file():
                found.setdefault(file.resolve(), file)
    if not found:
        raise InputError(f"{path}: no files in the folder. Put in text files, as they are or gzipped.")
    return sorted(found.values())


def read_blocks(path: Path, size: int = BLOCK) -> Iterator[Block]:
    """The content of a file, in blocks of about `size` bytes.

    Raises:
        InputError: the file cannot be read; a gzipped file is truncated or damaged; a stretch of more than 1 MiB
            without white space.
    """
    rest, line = b"", 1
    for chunk, is_last in _chunks(path, size):
        content = rest + chunk
        cut = len(content) if is_last else _last_space(content) + 1
        rest = content[cut:]
        if len(rest) > LONGEST_WORD:
            raise too_long(path, line + content.count(b"\n"))
        if cut:
            yield Block(path, content[:cut], line, is_last)
            line += content.count(b"\n", 0, cut)


def too_long(path: Path, line: int) -> InputError:
    """The error for a word that cannot be one."""
    what = f"{LONGEST_WORD // 2**20} MiB without white space"
    return InputError(f"{path} line {line}: more than {what}. Put spaces between words, or leave the file out.")


def _chunks(path: Path, size: int) -> Iterator[tuple[bytes, bool]]:
    """Stretches of a file, and whether each is the last; without a byte order mark."""
    try:
        with path.open("rb") as raw:
            is_packed = raw.read(len(_GZIP)) == _GZIP
            raw.seek(0)
            file: BinaryIO = gzip.GzipFile(fileobj=raw) if is_packed else raw  # type: ignore[assignment]
            chunk = file.read(max(size, len(_BOM))).removeprefix(_BOM)
            while following := file.read(size):
                yield chunk, False
                chunk = following
            yield chunk, True
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise InputError(f"{path}: truncated or damaged. Fetch or pack it anew.") from error
    except OSError as error:
        raise InputError(f"{path}: cannot be read, {error.strerror or error}.") from error


def _last_space(content: bytes) -> int:
    """The place of the last white space of the common kinds; -1 if there is none."""
    return max(content.rfind(b"\n"), content.rfind(b" "), content.rfind(b"\t"))
