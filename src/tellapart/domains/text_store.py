"""Columns of texts: in memory where their files are small; else in a store on the disk, filled while they are read.

    ~/.cache/tellapart/texts/KEY/
        NAME.bytes, NAME.places, NAME.ids       a column (`tellapart.domains.texts`)
        store.json                              what was read and left out, the number of rows, a hash of each file

KEY is a hash of each file's name, length and times of change, and of how it is read (`tellapart.domains.kept`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tellapart import reading
from tellapart.domains import kept
from tellapart.domains.sniff import name_unpacked
from tellapart.domains.texts import Hash, Texts, Writer
from tellapart.progress import stage

IN_MEMORY = 2**26
"""Bytes of files up to which their texts stay in memory; of larger ones they go to a store."""
_PACKED = 4  # times as long are packed files when they are unpacked
_VERSION = 1  # of how texts are read
_TOLD = "store.json"
_TRIED, _STRETCH = 32, 2**12  # stretches of a file that are compared with their hash before a store is used


Rows = Callable[[dict[str, Any]], Iterator[tuple[str | bytes, ...]]]
"""Called with a dictionary, to which it adds, by its end, what is known of the rows besides their cells."""


def bytes_of(files: Iterable[Path]) -> int:
    """How long files are once they are unpacked, roughly."""
    return sum(path.stat().st_size * (_PACKED if _is_packed(path) else 1) for path in files if path.is_file())


def _is_packed(path: Path) -> bool:
    return name_unpacked(path) != path.name or path.suffix.lower() in (".parquet", ".tgz")


def fits_in_memory(files: Iterable[Path]) -> bool:
    """Whether the texts of files need no store."""
    return bytes_of(files) <= IN_MEMORY


def columns_of(
    files: Sequence[Path], how: str, columns: Mapping[str, Hash | None], rows: Rows
) -> tuple[dict[str, Sequence[str]], dict[str, Any]]:
    """The columns of rows of texts, in lists or in a store; and what else is known of the rows.

    Args:
        files: what the rows are read from.
        how: all else that decides what the rows are.
        columns: the name of each cell of a row, and what makes its hash.
        rows: reads them.

    Raises:
        InputError: what `rows` raises, or the store cannot be written.
    """
    if fits_in_memory(files):
        facts: dict[str, Any] = {}
        found: list[list[Any]] = [[] for _ in columns]
        for row in rows(facts):
            for column, cell in zip(found, row, strict=True):
                column.append(cell)
        return dict(zip(columns, found, strict=True)), facts
    made = stored(files, how, columns, rows)
    every = np.arange(made.n)
    return {name: Texts(made.file(name), every) for name in columns}, made.facts


@dataclass(frozen=True)
class TextStore:
    """Where columns lie, and what is known of their rows."""

    folder: Path
    n: int
    """The number of rows."""
    facts: dict[str, Any]
    account: reading.Account

    def file(self, name: str) -> Path:
        """The file of a column's bytes."""
        return self.folder / f"{name}.bytes"


def stored(
    files: Sequence[Path], how: str, columns: Mapping[str, Hash | None], rows: Rows, what: str = "Texts"
) -> TextStore:
    """As `columns_of`, in a store whatever the files' sizes.

    Args:
        files: as for `columns_of`.
        how: as for `columns_of`.
        columns: as for `columns_of`.
        rows: as for `columns_of`.
        what: what is stored, in the plural.
    """
    folder = kept.cache("texts") / _key(files, how)

    def fill(partial: Path) -> TextStore:
        kept.tell_room(folder, bytes_of(files), f"{what} of {reading.listed([path.name for path in files])}")
        return _fill(partial, folder, columns, rows)

    with stage(f"reading {what.lower()}"):
        found = kept.opened_or_filled(folder, lambda: _opened(folder), fill)
    reading.enter_again(found.account)
    reading.note(f"{what} are read from a store on the disk, and not held in memory.")
    return found


def _key(files: Sequence[Path], how: str) -> str:
    parts = [str(_VERSION), how, *(f"{path}\0{path.absolute()}\0{kept.state(path)}" for path in files)]
    return hashlib.blake2b("\0\0".join(parts).encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def _fill(partial: Path, folder: Path, columns: Mapping[str, Hash | None], rows: Rows) -> TextStore:
    facts: dict[str, Any] = {}
    n = 0
    with reading.of_a_part() as account, ExitStack() as stack:
        writers = [stack.enter_context(Writer(partial, name, hash_of)) for name, hash_of in columns.items()]
        for row in rows(facts):
            for writer, cell in zip(writers, row, strict=True):
                writer.add(cell)
            n += 1
    files = {path.name: sampled(path) for path in sorted(partial.iterdir())}
    told = {"n": n, "facts": facts, "reading": account.to_keep(), "files": files}
    (partial / _TOLD).write_text(json.dumps(told), encoding="utf-8")
    return TextStore(folder, n, facts, account)


def _opened(folder: Path) -> TextStore | None:
    """A store that is there; `None` if there is none, or it is damaged."""
    try:
        told = json.loads((folder / _TOLD).read_text(encoding="utf-8"))
        if any(sampled(folder / name) != digest for name, digest in told["files"].items()):
            return None
        return TextStore(folder, int(told["n"]), told["facts"], reading.Account.of_kept(told["reading"]))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):  # damaged in as many ways
        return None


def sampled(path: Path) -> str:
    """A hash of a file's length and of stretches that are far from each other."""
    length = path.stat().st_size
    digest = hashlib.blake2b(str(length).encode(), digest_size=16)
    with path.open("rb") as file:
        for place in np.linspace(0, max(0, length - _STRETCH), _TRIED).astype(np.int64).tolist():
            file.seek(place)
            digest.update(file.read(_STRETCH))
    return digest.hexdigest()
