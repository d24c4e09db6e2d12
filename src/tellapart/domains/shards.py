"""The rows of one table in several files: in memory or, where they are too many, in a store."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from tellapart import reading
from tellapart.domains.tables import AS_IT_LIES, Form, Table, read_cells, read_table
from tellapart.domains.text_store import TextStore, fits_in_memory, stored
from tellapart.domains.texts import Content, Texts, text_hash

_IMAGE = "image"


def _content_hash(content: bytes) -> bytes:
    return hashlib.blake2b(content, digest_size=16).digest()


_COLUMNS = {"text": text_hash, "label": None, _IMAGE: None, "content": _content_hash, "place": None, "name": None}


def read_tables(
    paths: list[Path], wanted: tuple[str, ...], required: tuple[str, ...], form: Form = AS_IT_LIES
) -> Table:
    """The rows of shards of one table, in the order of their names: `read_table` of each, one after another.

    Of files that are too large for the memory, texts and pictures inside the table go to a store, a few rows at a time.

    Args:
        paths: the files.
        wanted: columns, among `image`, `text` and `label`.
        required: those of them that there must be.
        form: how the files are to be read.

    Raises:
        InputError: as for `read_table`; or the store cannot be written.
    """
    if not fits_in_memory(paths):
        made = stored(
            paths, f"table {wanted} {required} {form}", _COLUMNS, partial(_rows, paths, wanted, required, form)
        )
        return _table_of(made, paths[0].parent)
    parts = [read_table(path, wanted, required, form=form) for path in paths]
    names = [name for name in wanted if all(name in part.columns for part in parts)]
    columns = {name: [cell for part in parts for cell in part.columns[name]] for name in names}
    places, keys = ([x for part in parts for x in (getattr(part, name) or [])] for name in ("places", "keys"))
    return Table(columns, places, paths[0].parent, keys or None)


def _rows(
    paths: list[Path], wanted: tuple[str, ...], required: tuple[str, ...], form: Form, facts: dict[str, Any]
) -> Iterator[tuple[str | bytes, ...]]:
    """The cells of each row in the order of `_COLUMNS`, those that it lacks empty."""
    with reading.accounted():  # what is left out is entered once, when the rows are read
        headers = [read_cells(path, wanted, required, form=form)[0] for path in paths]
    facts["columns"] = [name for name in wanted if all(name in header for header in headers)]
    n = 0
    for path in paths:
        for place, cells, key in read_cells(path, wanted, required, form=form)[1]:
            image = cells.get(_IMAGE, "")
            file, content = ("", image) if isinstance(image, bytes) else (image, b"")
            yield cells.get("text", ""), cells.get("label", ""), file, content, place, file or key or f"row {n}"
            n += 1


def _table_of(made: TextStore, folder: Path) -> Table:
    every = np.arange(made.n)
    columns: dict[str, Any] = {name: Texts(made.file(name), every) for name in made.facts["columns"]}
    if _IMAGE in columns:
        columns[_IMAGE] = _pictures(made, columns[_IMAGE])
    return Table(columns, Texts(made.file("place"), every), folder, Texts(made.file("name"), every))


def _pictures(made: TextStore, names: Texts) -> list[str | Content]:
    """The cells of pictures: paths, or where their contents are kept."""
    file = made.file("content")
    hashes = np.fromfile(file.with_suffix(".ids"), dtype=np.uint8).reshape(made.n, -1)
    return [name or Content(file, row, hashes[row].tobytes()) for row, name in enumerate(names)]
