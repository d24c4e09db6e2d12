"""Read tables and shards of texts, numbers and pictures: CSV, TSV, JSONL, Parquet, tar. Errors name file and line."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from tellapart import reading
from tellapart.domains import archives, delimited, parquet_rows
from tellapart.domains.sniff import name_unpacked, suffix
from tellapart.domains.texts import Source, Texts
from tellapart.errors import InputError, existing

SUFFIXES = (".csv", ".tsv", ".parquet", *delimited.JSON_LINES)
WITH_PICTURES = (*SUFFIXES, *archives.TARS)
"""The endings of tables of pictures: also tar shards of samples."""
_PARQUET = ".parquet"
_SHARD = re.compile(r"(?P<name>.*?)-?\d+-of-\d+")
_TAR_SHARD = re.compile(r"(?P<name>.*?)[-_.]?\d+")
_ALIKE = {
    "image": ("path", "file", "file_name", "filename", "filepath", "image_path", "img", "jpg", "png", "photo"),
    "text": ("caption", "title", "description", "txt", "sentence", "captions"),
    "label": ("class", "category", "target", "labels"),
}


class Form(NamedTuple):
    """How a table is to be read where it does not say it itself."""

    columns: str = ""
    """What columns are called, as `image=path,text=caption`."""
    separator: str = ""
    """What separates cells; by default a comma, or in a .tsv a tab."""

    def names(self) -> dict[str, str]:
        """The given name of each column.

        Raises:
            InputError: not of the form `image=path,text=caption`.
        """
        pairs = [part.partition("=") for part in self.columns.split(",") if part.strip()]
        if not all(ours.strip() and equals and theirs.strip() for ours, equals, theirs in pairs):
            raise InputError(f"`columns` must be of the form image=path,text=caption. Got {self.columns!r}.")
        return {ours.strip(): theirs.strip() for ours, _, theirs in pairs}


AS_IT_LIES = Form()
Cells = tuple[str, dict[str, Any], str | None]
"""The place of a row, its cells by the names of the columns, and its own name if it has one."""


@dataclass(frozen=True)
class Table:
    """Columns of cells, and the file and line of every row, for messages."""

    columns: Mapping[str, Any]
    """Texts; of pictures inside the table, the bytes of their files, or where these are kept."""
    places: Sequence[str]
    folder: Path
    """What paths in the table are relative to."""
    keys: Sequence[str] | None = None
    """The names of rows, if they have any."""

    def __len__(self) -> int:
        return len(self.places)

    def files(self, column: str) -> list[Path]:
        """The files that a column names, relative to the table.

        Raises:
            InputError: one is a URL.
        """
        return [self._file(cell, place) for cell, place in zip(self.columns[column], self.places, strict=True)]

    def pictures(self, column: str) -> tuple[list[Source], Sequence[str]]:
        """Pictures, as files or the contents of files, and their names."""
        cells = self.columns[column]
        found: list[Source] = [
            self._file(cell, place) if isinstance(cell, str) else cell
            for cell, place in zip(cells, self.places, strict=True)
        ]
        if isinstance(self.keys, Texts):  # of a store, which has the names of files, too
            return found, self.keys
        names = self.keys or [f"row {row}" for row in range(len(cells))]
        return found, [cell if isinstance(cell, str) else name for name, cell in zip(names, cells, strict=True)]

    def _file(self, cell: str, place: str) -> Path:
        if re.match(r"[A-Za-z][A-Za-z0-9+.-]+://", cell) and not cell.startswith("file://"):
            raise InputError(
                f"{place}: {cell[:80]} is a URL. URLs are not fetched: download the files, and name these."
            )
        path = self.folder / cell.removeprefix("file://")
        if "\\" in cell and not path.exists():  # Windows separates folders by it
            return self.folder / cell.replace("\\", "/")
        return path


def find_tables(folder: Path) -> list[Path]:
    """The one table of pictures in `folder`, or the shards of one; none if it holds none.

    Raises:
        InputError: several tables.
    """
    found = sorted(path for path in folder.iterdir() if suffix(path) in WITH_PICTURES and path.is_file())
    sharded = {path: _numbered(path) for path in found}
    names = {path: match["name"] if match else name_unpacked(path) for path, match in sharded.items()}
    groups = sorted(set(names.values()))
    if len(groups) > 1:
        if "train" in groups and all(sharded.values()):
            chosen = [path for path in found if names[path] == "train"]
            reading.pass_over("table of another split than train", [path.name for path in found if path not in chosen])
            return chosen
        listed = ", ".join(path.name for path in found)
        raise InputError(f"{folder}: several tables ({listed}). Name the file itself, as in {found[0]}.")
    return found


def _numbered(path: Path) -> re.Match[str] | None:
    """The name of a shard, without its number."""
    shard = _TAR_SHARD if suffix(path) in archives.TARS else _SHARD
    return shard.fullmatch(name_unpacked(path).lower().removesuffix(suffix(path)))


def named(source: str) -> list[Path]:
    """The tables that a user named: a file, or shards as data-{000..003}.tar.

    Raises:
        InputError: there is none.
    """
    return [existing(name) for name in archives.expanded(source)]


def read_table(
    path: Path,
    wanted: tuple[str, ...],
    required: tuple[str, ...],
    blank: tuple[str, ...] = (),
    form: Form | None = None,
) -> Table:
    """Read those of the `wanted` columns that the table has; it must have all `required` ones.

    Integers in a Parquet file are read as texts; its column `image` may hold the pictures. Cells of the columns `blank`
    may be empty. A row with another empty cell is a broken item.

    Raises:
        InputError: no such file, not UTF-8, a row with too many or too few cells, a missing column,
            an empty cell, or no rows.
    """
    names, rows = read_cells(path, wanted, required, blank, form)
    columns: dict[str, list[Any]] = {name: [] for name in names}
    places, keys = list[str](), list[str]()
    for place, cells, key in rows:
        for name, cell in cells.items():
            columns[name].append(cell)
        places.append(place)
        keys += [] if key is None else [key]
    return Table(columns, places, path.parent, keys or None)


def read_cells(
    path: Path,
    wanted: tuple[str, ...],
    required: tuple[str, ...],
    blank: tuple[str, ...] = (),
    form: Form | None = None,
) -> tuple[list[str], Iterator[Cells]]:
    """As `read_table`, row by row: which of the `wanted` columns there are, and the rows.

    Raises:
        InputError: as for `read_table`.
    """
    if not path.is_file():
        raise InputError(f"{path}: there is no such file.")
    given = (form or AS_IT_LIES).names()
    header, rows = rows_of(path, wanted, required, form or AS_IT_LIES)
    called = {name: _called(name, header, given, path) for name in wanted}
    missing = [given.get(name, name) for name in wanted if called[name] is None and (name in required or name in given)]
    if missing:
        found = ", ".join(header) or "none"
        what = f"no column {' and no column '.join(missing)}. Found: {found}"
        raise InputError(f"{path}: {what}. {_remedy(header, required, form)}.")
    names = {name: column for name, column in called.items() if column is not None}
    return list(names), _whole(path, rows, names, blank)


def _whole(
    path: Path, rows: Iterator[delimited.Row], called: dict[str, str], blank: tuple[str, ...]
) -> Iterator[Cells]:
    """The rows without empty cells."""
    n = 0
    for place, row in rows:
        cells = {name: row.get(column) for name, column in called.items()}
        empty = [name for name, cell in cells.items() if name not in blank and _is_blank(cell)]
        if empty:
            error = InputError(f"{place}: the column {empty[0]} is empty. Fill it or remove the row.")
            reading.leave_out(f"row with an empty {empty[0]}", place, error)
            continue
        nested = [name for name, cell in cells.items() if isinstance(cell, (list, dict))]
        if nested:
            what = f"the column {nested[0]} holds {'a list' if isinstance(cells[nested[0]], list) else 'an object'}"
            error = InputError(f"{place}: {what}. Write one value, or a row for each.")
            reading.leave_out(f"row with several values for {nested[0]}", place, error)
            continue
        n += 1
        plain = {
            name: cell if isinstance(cell, bytes) else "" if cell is None else str(cell).strip()
            for name, cell in cells.items()
        }
        yield place, plain, row.get(archives.KEY)
    if not n:
        raise reading.first_broken() or InputError(f"{path}: the table has no rows.")


def _is_blank(cell: Any) -> bool:
    return cell is None or not cell or (isinstance(cell, str) and not cell.strip())


def rows_of(
    path: Path, wanted: tuple[str, ...], required: tuple[str, ...], form: Form
) -> tuple[list[str], Iterator[delimited.Row]]:
    """Header and rows of a table, of a Parquet file and a tar shard with the wanted columns alone."""
    if suffix(path) in (_PARQUET, *archives.TARS):
        parts = parquet_rows if suffix(path) == _PARQUET else archives
        header = parts.columns_of(path)
        called = {name: _called(name, header, form.names(), path) for name in wanted}
        columns = [name for name in called.values() if name is not None]
        if parts is archives:
            return header, archives.read_samples(path, tuple(columns))
        return header, parquet_rows.read_rows(path, columns, pictures=(called.get("image") or "",))
    if suffix(path) in delimited.JSON_LINES:
        return delimited.read_objects(path)
    return delimited.read_cells(path, _separator(path, wanted, required, form))


def _separator(path: Path, wanted: tuple[str, ...], required: tuple[str, ...], form: Form) -> str:
    """What separates cells: what was said; what the name tells; or the only one that fits.

    One fits if it gives the required columns or, if none is required, one that is wanted. Where none does, it fits if
    it gives as many cells in all of the first rows.
    """
    if form.separator:
        return form.separator.replace("\\t", "\t")
    usual = delimited.separator_of(path)
    if len(delimited.header_of(path, usual)) > 1:
        return usual
    needed, useful = ({form.names().get(name, name) for name in names} for names in (required, wanted))
    others = [separator for separator in delimited.SEPARATORS if separator != usual]
    headers = {separator: set(delimited.header_of(path, separator)) for separator in others}
    fitting = [
        separator
        for separator, names in headers.items()
        if len(names) > 1 and needed <= names and (needed or useful & names)
    ]
    fitting = fitting or [separator for separator in others if delimited.width_of(path, separator) > 1]
    if len(fitting) == 1 and (needed or useful):
        reading.note(f"Cells of {path.name} are separated by {fitting[0]!r}.")
        return fitting[0]
    return usual


def _called(name: str, header: list[str], given: dict[str, str], path: Path) -> str | None:
    """What a column is called in the header; `None` if it is not there."""
    wanted = given.get(name, name)
    if header.count(wanted) > 1:
        raise InputError(f"{path}: there are two columns {wanted}. Rename one.")
    if wanted in header:
        return wanted
    alike = [found for found in header if found.lower() == wanted.lower()]
    return alike[0] if len(alike) == 1 else None


def _remedy(header: list[str], required: tuple[str, ...], form: Form | None) -> str:
    if form is None:
        return "Rename the header"
    if len(header) == 1 and (marks := [mark for mark in delimited.SEPARATORS if mark in header[0]]):
        return f"Say what separates cells: --separator {marks[0]!r}"
    likely = {name: [x for x in header if x.lower() in _ALIKE.get(name, ())] for name in required if name not in header}
    named = ",".join(f"{name}={found[0] if found else 'NAME'}" for name, found in likely.items())
    return f"Rename the header, or say what they are called: --columns {named}"
