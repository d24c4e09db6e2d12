"""CSV, TSV and Parquet tables of texts, with the file and line of every cell at fault."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tellapart.errors import InputError

SUFFIXES = (".csv", ".tsv", ".parquet")


@dataclass(frozen=True)
class Table:
    """Columns of text, and for every row where it stands, for messages."""

    columns: dict[str, list[str]]
    places: list[str]

    def __len__(self) -> int:
        return len(self.places)


def find_table(folder: Path) -> Path | None:
    """The one table in `folder`, or `None` if it holds none.

    Raises:
        InputError: several tables, so that it is not clear which is meant.
    """
    tables = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES and path.is_file())
    if len(tables) > 1:
        names = ", ".join(path.name for path in tables)
        raise InputError(f"{folder}: several tables ({names}). Name the file itself, as in {tables[0]}.")
    return tables[0] if tables else None


def read_table(path: Path, wanted: tuple[str, ...], required: tuple[str, ...]) -> Table:
    """Read the `wanted` columns that the table has; it must have all of the `required` ones.

    Raises:
        InputError: no such file, not UTF-8, a row with too many or too few cells, a missing column,
            an empty cell, or no rows.
    """
    if not path.is_file():
        raise InputError(f"{path}: there is no such file.")
    header, rows = _parquet(path, wanted) if path.suffix.lower() == ".parquet" else _csv(path)
    twice = [name for name in wanted if header.count(name) > 1]
    if twice:
        raise InputError(f"{path}: the column {twice[0]} stands there twice. Rename one.")
    missing = [name for name in required if name not in header]
    if missing:
        found = ", ".join(header) or "none"
        raise InputError(f"{path}: no column {' and no column '.join(missing)}. Found: {found}. Rename the header.")
    columns: dict[str, list[str]] = {name: [] for name in wanted if name in header}
    places = []
    for place, row in rows:
        for name, cells in columns.items():
            cell = row.get(name)
            if cell is None or not cell.strip():
                raise InputError(f"{place}: the column {name} is empty. Fill it or remove the row.")
            cells.append(cell.strip())
        places.append(place)
    if not places:
        raise InputError(f"{path}: the table has no rows.")
    return Table(columns, places)


def _csv(path: Path) -> tuple[list[str], Iterator[tuple[str, dict[str, str | None]]]]:
    delimiter = "\t" if path.suffix.lower() == ".tsv" else ","
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        line = path.read_bytes()[: error.start].count(b"\n") + 1
        raise InputError(f"{path} line {line}: not UTF-8. Save the table as UTF-8.") from error
    if "\0" in text:
        raise InputError(f"{path}: holds a zero byte, so it is no text. Is it a CSV file?")
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)

    def rows() -> Iterator[tuple[str, dict[str, str | None]]]:
        try:
            for row in reader:
                place = f"{path} line {reader.line_num}"
                if None in row or None in row.values():
                    count, found = len(reader.fieldnames or ()), _cells(row)
                    raise InputError(f"{place}: {found} cells where the header has {count}. Quote cells with commas.")
                yield place, row
        except csv.Error as error:
            raise InputError(f"{path} line {reader.reader.line_num}: {error}. Check the quotes.") from error

    try:
        header = [name.strip() for name in reader.fieldnames or ()]
    except csv.Error as error:
        raise InputError(f"{path} line 1: {error}. Check the quotes.") from error
    reader.fieldnames = header
    return header, rows()


def _cells(row: dict[str | None, object]) -> int:
    surplus = row.get(None)
    return sum(v is not None for k, v in row.items() if k is not None) + (
        len(surplus) if isinstance(surplus, list) else 0
    )


def _parquet(path: Path, wanted: tuple[str, ...]) -> tuple[list[str], Iterator[tuple[str, dict[str, str | None]]]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    damaged = f"{path}: not a Parquet file that can be read. Write it anew."
    try:
        file = pq.ParquetFile(path)
    except (pa.ArrowException, OSError) as error:
        raise InputError(damaged) from error
    types = {field.name: field.type for field in file.schema_arrow}
    columns = [name for name in wanted if name in types]
    for name in columns:
        if not (pa.types.is_string(types[name]) or pa.types.is_large_string(types[name])):
            raise InputError(f"{path}: the column {name} holds {types[name]}, not texts. Convert it to strings.")

    def rows() -> Iterator[tuple[str, dict[str, str | None]]]:
        number = 0
        try:
            for batch in file.iter_batches(columns=columns):
                for row in batch.to_pylist():
                    number += 1
                    yield f"{path} row {number}", row
        except (pa.ArrowException, OSError) as error:
            raise InputError(damaged) from error

    return list(types), rows()
