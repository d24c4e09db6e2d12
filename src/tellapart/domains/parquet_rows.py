"""Rows of Parquet files: texts, integers, and pictures as Hugging Face's `datasets` keeps them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tellapart.domains.sniff import unreadable
from tellapart.errors import InputError

if TYPE_CHECKING:
    import pyarrow as pa


_TEXTS, _PICTURES = 1024, 32  # rows at a time
_BUFFER = 2**20


@contextmanager
def parsing(path: Path) -> Iterator[None]:
    """Every error of pyarrow inside the block says what the file is, or that it is damaged."""
    import pyarrow as pa

    try:
        yield
    except (pa.ArrowException, OSError) as error:
        otherwise = f"{path}: not a Parquet file that can be read. Write it anew."
        raise unreadable(path, "a Parquet file", otherwise, expected=("parquet",)) from error


def columns_of(path: Path) -> list[str]:
    """The names of a Parquet file's columns.

    Raises:
        InputError: it is none.
    """
    import pyarrow.parquet as pq

    with parsing(path):
        return list(pq.read_schema(path).names)


def read_rows(path: Path, columns: list[str], pictures: tuple[str, ...]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The rows of a Parquet file, batch by batch; of pictures, the content of their files as bytes.

    Args:
        path: the file.
        columns: the columns to read.
        pictures: those of them that may hold pictures: binary, or a struct with `bytes` and `path`.

    Raises:
        InputError: a column of another type, or a damaged file.
    """
    import pyarrow.parquet as pq

    with parsing(path):
        file = pq.ParquetFile(path, buffer_size=_BUFFER)  # else whole columns of a row group are in memory
    types = {field.name: field.type for field in file.schema_arrow}
    for name in columns:
        if not (_is_text(types[name]) or (name in pictures and _is_picture(types[name]))):
            raise InputError(f"{path}: the column {name} holds {types[name]}, not texts. Convert it to strings.")
    number = 0
    with parsing(path):
        has_pictures = any(_is_picture(types[name]) for name in columns)
        for batch in file.iter_batches(columns=columns, batch_size=_PICTURES if has_pictures else _TEXTS):
            for row in batch.to_pylist():
                number += 1
                yield f"{path} row {number}", {name: _cell(value) for name, value in row.items()}


def _cell(value: Any) -> Any:
    if isinstance(value, dict):
        return value.get("bytes") or value.get("path")
    return str(value) if isinstance(value, int) else value


def _is_text(kind: pa.DataType) -> bool:
    import pyarrow as pa

    plain = kind.value_type if pa.types.is_dictionary(kind) else kind
    return any(
        test(plain)
        for test in (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view, pa.types.is_integer)
    ) or pa.types.is_null(plain)


def _is_picture(kind: pa.DataType) -> bool:
    import pyarrow as pa

    if pa.types.is_struct(kind):
        return "bytes" in [kind.field(i).name for i in range(kind.num_fields)]
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))
