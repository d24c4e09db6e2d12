"""Load pictures and texts from a source named on the command line."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tellapart.domains import tables
from tellapart.domains.picture_files import find_pictures
from tellapart.domains.pictures import images
from tellapart.domains.pictures.captions import Pairs
from tellapart.domains.pictures.openmoji import load_openmoji
from tellapart.errors import InputError, existing

if TYPE_CHECKING:
    from jaxtyping import UInt8
    from torch import Tensor

_COLUMNS = ("image", "text")


@dataclass(frozen=True, eq=False)
class Items:
    """Pictures, texts or both, for an encoder to embed; they need not be paired."""

    pictures: UInt8[Tensor, "n 3 size size"] | None
    names: list[str]
    texts: list[str]


def load_pairs(source: str, size: int) -> Pairs:
    """Load pictures with their texts.

    Args:
        source: "openmoji", a folder that holds one table, or the table itself: CSV, TSV or Parquet with
            the columns `image` (a path, relative to the table) and `text`.
        size: the pictures' side, in pixels.

    Raises:
        InputError: the source, a column, a cell or a picture is missing or broken; the message names the place.
    """
    if source == "openmoji":
        return load_openmoji(size)
    path = existing(source)
    table_path = path
    if path.is_dir():
        found = tables.find_table(path)
        if found is None:
            what = "is empty" if not any(path.iterdir()) else "holds no .csv, .tsv or .parquet"
            raise InputError(f"{path}: the folder {what}. Put in a table with the columns image and text.")
        table_path = found
    elif path.suffix.lower() not in tables.SUFFIXES:
        raise InputError(f"{path}: not a table. Give a folder, or a .csv, .tsv or .parquet file.")
    table = tables.read_table(table_path, _COLUMNS, required=_COLUMNS)
    names = table.columns["image"]
    pictures = images.read_pictures([table_path.parent / name for name in names], table.places, size)
    return Pairs(pictures, table.columns["text"], names)


def load_items(source: str, size: int) -> Items:
    """Load pictures, texts, or both, to embed them.

    Args:
        source: as for `load_pairs`, where one column is enough; or a picture, a folder of pictures, or
            a `.txt` file with one text per line.
        size: the pictures' side, in pixels.

    Raises:
        InputError: the source holds no picture and no text, or something is broken; the message names the place.
    """
    if source == "openmoji":
        pairs = load_openmoji(size)
        return Items(pairs.pictures, pairs.names, pairs.texts)
    path = existing(source)
    if path.suffix.lower() == ".txt":
        return Items(None, [], _read_lines(path))
    if path.is_dir() and (found := tables.find_table(path)) is not None:
        path = found
    if path.suffix.lower() in tables.SUFFIXES:
        table = tables.read_table(path, _COLUMNS, required=())
        if not table.columns:
            raise InputError(f"{path}: neither a column image nor a column text. Rename the header.")
        names = table.columns.get("image", [])
        files = [path.parent / name for name in names]
        pictures = images.read_pictures(files, table.places, size) if names else None
        return Items(pictures, names, table.columns.get("text", []))
    files = [path]
    if path.is_dir():
        files = find_pictures(path)
        if not files:
            raise InputError(f"{path}: the folder holds no table and no pictures.")
    names = [str(file.relative_to(path)) if path.is_dir() else file.name for file in files]
    return Items(images.read_pictures(files, [""] * len(files), size), names, [])


def _read_lines(path: Path) -> list[str]:
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8-sig").split("\n") if line.strip()]
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8. Save the file as UTF-8.") from error
    if not lines:
        raise InputError(f"{path}: the file holds no text.")
    return lines
