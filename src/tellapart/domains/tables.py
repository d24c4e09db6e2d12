"""Read CSV, TSV and Parquet tables of texts and numbers; errors name the file and line."""

from __future__ import annotations

import csv
import io
import math
from array import array
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tellapart.errors import InputError

if TYPE_CHECKING:
    import pyarrow as pa
    from jaxtyping import Float

SUFFIXES = (".csv", ".tsv", ".parquet")
_DAMAGED = "{}: not a Parquet file that can be read. Write it anew."
LARGEST = float(np.finfo(np.float32).max)
"""The largest number that a feature may be: float32 would make a larger one infinite."""


@dataclass(frozen=True)
class Table:
    """Columns of text, and the file and line of every row, for messages."""

    columns: dict[str, list[str]]
    places: list[str]

    def __len__(self) -> int:
        return len(self.places)


def find_table(folder: Path) -> Path | None:
    """The one table in `folder`, or `None` if it holds none.

    Raises:
        InputError: several tables.
    """
    tables = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES and path.is_file())
    if len(tables) > 1:
        names = ", ".join(path.name for path in tables)
        raise InputError(f"{folder}: several tables ({names}). Name the file itself, as in {tables[0]}.")
    return tables[0] if tables else None


def read_table(path: Path, wanted: tuple[str, ...], required: tuple[str, ...], blank: tuple[str, ...] = ()) -> Table:
    """Read those of the `wanted` columns that the table has; it must have all `required` ones.

    Integers in a Parquet file are read as texts. Cells of the columns `blank` may be empty.

    Raises:
        InputError: no such file, not UTF-8, a row with too many or too few cells, a missing column,
            an empty cell, or no rows.
    """
    if not path.is_file():
        raise InputError(f"{path}: there is no such file.")
    header, rows = _parquet(path, wanted) if path.suffix.lower() == ".parquet" else _csv(path)
    repeated = [name for name in wanted if header.count(name) > 1]
    if repeated:
        raise InputError(f"{path}: there are two columns {repeated[0]}. Rename one.")
    missing = [name for name in required if name not in header]
    if missing:
        found = ", ".join(header) or "none"
        raise InputError(f"{path}: no column {' and no column '.join(missing)}. Found: {found}. Rename the header.")
    columns: dict[str, list[str]] = {name: [] for name in wanted if name in header}
    places = []
    for place, row in rows:
        for name, cells in columns.items():
            cell = row.get(name) or ""
            if not cell.strip() and name not in blank:
                raise InputError(f"{place}: the column {name} is empty. Fill it or remove the row.")
            cells.append(cell.strip())
        places.append(place)
    if not places:
        raise InputError(f"{path}: the table has no rows.")
    return Table(columns, places)


def read_numbers(path: Path, but: tuple[str, ...]) -> Float[np.ndarray, "n d"]:
    """All columns except those named `but`, as numbers; `(n, 0)` if there are no others.

    Raises:
        InputError: a cell that is not a finite number; a column without a name, or two of one name; a column of a
            Parquet file that holds neither numbers nor lists of numbers, all of one length; and as `read_table`.
    """
    if path.suffix.lower() == ".parquet":
        return _parquet_numbers(path, but)
    header, rows = _csv(path)
    names, numbers, n = _feature_names(path, header, but), array("f"), 0
    for place, row in rows:
        n += 1
        for name in names:
            numbers.append(_number(row[name] or "", name, place))
    return np.frombuffer(numbers, dtype=np.float32).reshape(n, len(names))


def _feature_names(path: Path, header: list[str], but: tuple[str, ...]) -> list[str]:
    """The names of all columns except `but`, checked."""
    names = [name for name in header if name not in but]
    if "" in names:
        raise InputError(f"{path}: column {header.index('') + 1} has no name. Name it or remove it.")
    repeated = [name for name, count in Counter(names).items() if count > 1]
    if repeated:
        raise InputError(f"{path}: there are two columns {repeated[0]}. Rename one.")
    return names


def _number(cell: str, name: str, place: str) -> float:
    try:
        value = float(cell)
    except ValueError:
        value = math.nan
    if not abs(value) < LARGEST:
        raise InputError(f"{place}: the column {name} holds {cell!r}, not a finite number. Correct or remove it.")
    return value


def _csv(path: Path) -> tuple[list[str], Iterator[tuple[str, dict[str, str | None]]]]:
    delimiter = "\t" if path.suffix.lower() == ".tsv" else ","
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        line = path.read_bytes()[: error.start].count(b"\n") + 1
        raise InputError(f"{path} line {line}: not UTF-8. Save the table as UTF-8.") from error
    if "\0" in text:
        raise InputError(f"{path}: holds a zero byte, so it is not a text. Is it a CSV file?")
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

    damaged = _DAMAGED.format(path)
    try:
        file = pq.ParquetFile(path)
    except (pa.ArrowException, OSError) as error:
        raise InputError(damaged) from error
    types = {field.name: field.type for field in file.schema_arrow}
    columns = [name for name in wanted if name in types]
    for name in columns:
        kind = types[name]
        if not (pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_integer(kind)):
            raise InputError(f"{path}: the column {name} holds {kind}, not texts. Convert it to strings.")

    def rows() -> Iterator[tuple[str, dict[str, str | None]]]:
        number = 0
        try:
            for batch in file.iter_batches(columns=columns):
                for row in batch.to_pylist():
                    number += 1
                    yield f"{path} row {number}", {k: str(v) if isinstance(v, int) else v for k, v in row.items()}
        except (pa.ArrowException, OSError) as error:
            raise InputError(damaged) from error

    return list(types), rows()


def _parquet_numbers(path: Path, but: tuple[str, ...]) -> Float[np.ndarray, "n d"]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        names = _feature_names(path, pq.read_schema(path).names, but)
        columns: pa.Table = pq.read_table(path, columns=names)
        n = pq.read_metadata(path).num_rows
    except (pa.ArrowException, OSError) as error:
        raise InputError(_DAMAGED.format(path)) from error
    parts = [_as_numbers(columns[name].combine_chunks(), f"{path}: the column {name}") for name in names]
    return np.concatenate([np.empty((n, 0), np.float32), *parts], axis=1)


def _as_numbers(column: pa.Array, place: str) -> Float[np.ndarray, "n d"]:
    """A column of numbers, or of lists of numbers, all of one length."""
    import pyarrow as pa
    import pyarrow.compute as pc

    n, kind = len(column), column.type
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        if column.null_count or len(pc.list_value_length(column).unique()) > 1:
            raise InputError(f"{place} holds lists of different lengths. Write the same number of values in each row.")
        column = column.flatten()
        kind = column.type
    if not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)):
        raise InputError(f"{place} holds {kind}, not numbers. Convert or remove it.")
    values: Any = column.cast(pa.float32(), safe=False).to_numpy(zero_copy_only=False).reshape(n, -1)
    if not np.isfinite(values).all():
        row = int(np.flatnonzero(~np.isfinite(values).all(axis=1))[0]) + 1
        raise InputError(f"{place} holds a number that is not finite in row {row}. Correct or remove it.")
    return np.asarray(values)
