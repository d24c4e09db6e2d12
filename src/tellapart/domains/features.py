"""Read the numbers of tables, as features of nodes; errors name the file and line."""

from __future__ import annotations

import math
import re
from array import array
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tellapart import reading
from tellapart.domains import parquet_rows, tables
from tellapart.domains.sniff import suffix
from tellapart.errors import InputError

if TYPE_CHECKING:
    import pyarrow as pa
    from jaxtyping import Float

LARGEST = float(np.finfo(np.float32).max)
"""The largest number that a feature may be: float32 would make a larger one infinite."""
_INDEX = re.compile(r"|Unnamed: \d+|__index_level_\d+__")  # as pandas calls its index


def read_numbers(
    path: Path, but: tuple[str, ...], places: Sequence[str], form: tables.Form = tables.AS_IT_LIES
) -> Float[np.ndarray, "n d"]:
    """All columns except those named `but`, as numbers, of the rows at these places; `(n, 0)` if there are no others.

    A column without a name, or called as pandas calls its index, is left out if it counts the rows.

    Raises:
        InputError: a cell that is not a finite number; a column without a name, or two of one name; a column of a
            Parquet file that holds neither numbers nor lists of numbers, all of one length; and as `read_table`.
    """
    if suffix(path) == ".parquet":
        wanted = [int(place.rpartition(" ")[2]) - 1 for place in places]
        return _parquet_numbers(path, _also(but, form))[wanted]
    kept = set(places)
    with reading.accounted():  # what is left out was entered when the names were read
        header, rows = tables.rows_of(path, (), but[:1], form)
        content = [(place, row) for place, row in rows if place in kept]
    index = [
        name
        for name in header
        if _INDEX.fullmatch(name) and _counts([row.get(name) for _, row in content]) and header.count(name) == 1
    ]
    names, numbers = _feature_names(path, header, (*_also(but, form), *index)), array("f")
    for place, row in content:
        for name in names:
            numbers.append(number(str(row.get(name, "")), name, place))
    _say_index(path, index)
    return np.frombuffer(numbers, dtype=np.float32).reshape(len(content), len(names))


def _also(but: tuple[str, ...], form: tables.Form) -> tuple[str, ...]:
    """These columns, by their own names and as they are called."""
    return (*but, *(theirs for ours, theirs in form.names().items() if ours in but))


def _counts(cells: list[Any]) -> bool:
    """Whether a column only numbers its rows, from 0 or 1."""
    return any([str(cell) for cell in cells] == [str(row + first) for row in range(len(cells))] for first in (0, 1))


def _say_index(path: Path, index: list[str]) -> None:
    reading.pass_over("column that numbers the rows", [f"{name or 'without a name'} of {path.name}" for name in index])


def _feature_names(path: Path, header: list[str], but: tuple[str, ...]) -> list[str]:
    """The names of all columns except `but`, checked."""
    names = [name for name in header if name.lower() not in but and name not in but]
    if "" in names:
        raise InputError(f"{path}: column {header.index('') + 1} has no name. Name it or remove it.")
    repeated = [name for name, count in Counter(names).items() if count > 1]
    if repeated:
        raise InputError(f"{path}: there are two columns {repeated[0]}. Rename one.")
    return names


def number(cell: str, name: str, place: str) -> float:
    """A cell as a number.

    Raises:
        InputError: it is none, or not a finite one.
    """
    try:
        value = float(cell)
    except ValueError:
        value = math.nan
    if not abs(value) < LARGEST:
        raise InputError(f"{place}: the column {name} holds {cell!r}, not a finite number. Correct or remove it.")
    return value


def _parquet_numbers(path: Path, but: tuple[str, ...]) -> Float[np.ndarray, "n d"]:
    import pyarrow.parquet as pq

    with parquet_rows.parsing(path):
        header = pq.read_schema(path).names
        index = [name for name in header if _INDEX.fullmatch(name)]
        kept = [name for name in index if not _counts(pq.read_table(path, columns=[name])[name].to_pylist())]
        index = [name for name in index if name not in kept]
        names = _feature_names(path, header, (*but, *index))
        columns: pa.Table = pq.read_table(path, columns=names)
        n = pq.read_metadata(path).num_rows
    _say_index(path, index)
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
