"""Load pictures and texts from a source named on the command line."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from tellapart import reading
from tellapart.domains import tables
from tellapart.domains.picture_files import find_pictures
from tellapart.domains.pictures import images
from tellapart.domains.pictures.beside import texts_beside
from tellapart.domains.pictures.captions import Pairs
from tellapart.domains.pictures.openmoji import load_openmoji
from tellapart.domains.queries import lines_of
from tellapart.domains.shards import read_tables
from tellapart.domains.sniff import suffix, unreadable
from tellapart.domains.texts import Source, chosen
from tellapart.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tellapart.runs import PictureRows

_COLUMNS = ("image", "text")


@dataclass(frozen=True)
class Listed:
    """Files of pictures, texts or both, for an encoder to embed; they need not be paired."""

    files: list[Source]
    """Files, or the contents of files."""
    places: Sequence[str]
    """What names each file in messages; may be empty."""
    names: Sequence[str]
    texts: Sequence[str]


@dataclass(frozen=True, eq=False)
class Items:
    """Pictures, texts or both, for an encoder to embed; they need not be paired."""

    pictures: PictureRows | None
    """Of three channels."""
    names: Sequence[str]
    texts: Sequence[str]


def load_pairs(source: str, size: int, form: tables.Form = tables.AS_IT_LIES, *, tells_size: bool = False) -> Pairs:
    """Load pictures with their texts.

    Args:
        source: "openmoji", a folder that holds one table or its shards, or the table itself: CSV, TSV, JSONL or
            Parquet with the columns `image` (a path, relative to the table; in Parquet perhaps the picture itself)
            and `text`; a folder without a table, with texts beside its pictures, as crow.txt beside crow.jpg;
            or a tar of samples, as webdataset writes it, or its shards, as data-{000..003}.tar.
        size: the pictures' side, in pixels.
        form: what the columns are called, and what separates them.
        tells_size: whether it is said that pictures are shrunk.

    Raises:
        InputError: the source, a column, a cell or a picture is missing or broken; the message names the place.
    """
    if source == "openmoji":
        return load_openmoji(size)
    table = _table_of_pairs(tables.named(source), form)
    files, names = table.pictures("image")
    pictures, kept = images.read_whole(files, table.places, size, "pair")
    rows = torch.tensor(kept)
    if tells_size:
        images.tell_size(files[kept[0]], table.places[kept[0]], size)
    return Pairs(pictures, chosen(table.columns["text"], rows), chosen(names, rows))


def _table_of_pairs(paths: list[Path], form: tables.Form) -> tables.Table:
    """The table that was named or, of a folder, the one in it or, without one, pictures with the texts beside them."""
    path = paths[0]
    if path.is_dir() and not (paths := tables.find_tables(path)):
        beside = texts_beside(path)
        if beside is None:
            what = "is empty" if not any(path.iterdir()) else "holds no .csv, .tsv, .jsonl, .parquet or .tar"
            remedy = "Put in a table with the columns image and text, or a text beside each picture: crow.txt, crow.jpg"
            raise InputError(f"{path}: the folder {what}. {remedy}.")
        return beside
    if suffix(paths[0]) not in tables.WITH_PICTURES:
        otherwise = f"{path}: not a table. Give a folder, or a .csv, .tsv, .jsonl, .parquet or .tar file."
        raise unreadable(path, "a table", otherwise)
    return read_tables(paths, _COLUMNS, required=_COLUMNS, form=form)


def load_items(source: str, size: int, form: tables.Form = tables.AS_IT_LIES) -> Items:
    """Load pictures, texts, or both, to embed them.

    Args:
        source: as for `load_pairs`, where one column is enough; or a picture, a folder of pictures, or
            a `.txt` file with one text per line.
        size: the pictures' side, in pixels.
        form: what the columns are called, and what separates them.

    Raises:
        InputError: the source holds no picture and no text, or something is broken; the message names the place.
    """
    if source == "openmoji":
        pairs = load_openmoji(size)
        return Items(pairs.content, pairs.names, pairs.texts)
    found = list_items(source, form)
    if not found.files:
        return Items(None, [], found.texts)
    pictures, kept = images.read_whole(found.files, found.places, size)
    return Items(pictures, chosen(found.names, torch.tensor(kept)), found.texts)


def list_items(source: str, form: tables.Form = tables.AS_IT_LIES) -> Listed:
    """As `load_items` of files and folders, with pictures that are not read yet.

    Raises:
        InputError: the source holds no picture and no text; the message names the place.
    """
    named = tables.named(source)
    path = named[0]
    if suffix(path) == ".txt":
        texts = lines_of(path)
        reading.read(len(texts), "text")
        return Listed([], [], [], texts)
    found = tables.find_tables(path) if path.is_dir() else named if suffix(path) in tables.WITH_PICTURES else []
    if found:
        return _items_of_table(found, form)
    files: list[Source] = [path]
    names = [path.name]
    if path.is_dir():
        paths = find_pictures(path)
        if not paths:
            raise InputError(f"{path}: the folder holds no table and no pictures.")
        files, names = [*paths], [str(file.relative_to(path)) for file in paths]
    return Listed(files, [""] * len(files), names, [])


def _items_of_table(paths: list[Path], form: tables.Form) -> Listed:
    table = read_tables(paths, _COLUMNS, required=(), form=form)
    if not table.columns:
        header, _ = tables.rows_of(paths[0], _COLUMNS, (), form)
        what = f"neither a column image nor a column text. Found: {', '.join(header)}"
        raise InputError(f"{paths[0]}: {what}. Rename the header.")
    texts = table.columns.get("text", [])
    if texts:
        reading.read(len(texts), "text")
    if "image" not in table.columns:
        return Listed([], [], [], texts)
    files, names = table.pictures("image")
    return Listed(files, table.places, names, texts)
