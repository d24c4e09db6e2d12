"""Tables that are written for other programs: CSV or Parquet, by the file's ending."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path

from tellapart.errors import InputError
from tellapart.files import atomic_write
from tellapart.runs.formats import writable

ENDINGS = (".csv", ".parquet")


def check_rows_ending(path: Path, endings: tuple[str, ...] = ENDINGS) -> None:
    """Raise `InputError` unless the name has one of these endings; "" stands for a folder, which must be new.

    >>> check_rows_ending(Path("hits.csv"))
    """
    if path.suffix not in endings:
        named = [ending or "be a new folder" for ending in endings]
        raise InputError(f"{path}: the output must end in {', '.join(named[:-1])} or {named[-1]}.")
    if not path.suffix and path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise InputError(f"{path}: exists and is not an empty folder. Choose another one.")


def write_rows(path: Path, columns: Mapping[str, Sequence[str | int | float]]) -> None:
    """Write columns of one length, in one step.

    Raises:
        InputError: another ending, or the file cannot be written.
    """
    check_rows_ending(path)
    plain = {name: [writable([x])[0] if isinstance(x, str) else x for x in cells] for name, cells in columns.items()}
    with atomic_write(path) as file:
        if path.suffix == ".csv":
            text = io.StringIO()
            csv.writer(text, lineterminator="\n").writerows([tuple(plain), *zip(*plain.values(), strict=True)])
            file.write(text.getvalue().encode())
            return
        import pyarrow as pa
        import pyarrow.parquet as pq

        pq.write_table(pa.table(plain), file)
