"""Rows of CSV, TSV and JSONL files, packed or not; errors name the file and line."""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from tellapart import reading
from tellapart.domains.sniff import kind_of_bytes, numbered_lines, opened, suffix
from tellapart.errors import InputError

Row = tuple[str, dict[str, Any]]
"""The place of a row, and its cells by the names of the columns."""
JSON_LINES = (".jsonl", ".ndjson")
SEPARATORS = (",", "\t", ";", "|")
_TRIED = 50  # rows by which a separator is found
_HEAD = 600  # bytes that tell another kind of file
csv.field_size_limit(sys.maxsize)  # a caption may be longer than 128 kB


def separator_of(path: Path) -> str:
    """What separates cells, by the file's name."""
    return "\t" if suffix(path) in (".tsv", ".tab") else ","


def header_of(path: Path, separator: str) -> list[str]:
    """The first row of a table.

    Raises:
        InputError: the file is none, or its first row is broken.
    """
    first = next(_records(path, separator), None)
    return [] if first is None else [name.strip() for name in first[1]]


def width_of(path: Path, separator: str) -> int:
    """How many cells the first rows have, if all of them have as many; else 0, and if there is but one row."""
    try:
        widths = [len(cells) for _, cells in islice(_records(path, separator), _TRIED) if cells]
    except InputError:  # its quotations are none with this separator
        return 0
    return widths[0] if len(widths) > 1 and len(set(widths)) == 1 else 0


def read_cells(path: Path, separator: str) -> tuple[list[str], Iterator[Row]]:
    """Header and rows of a CSV or TSV file. Rows of another number of cells, or not in UTF-8, are broken items.

    In a table that tabs separate, a quotation ends in its line; a quotation mark that is not closed there is content.

    Raises:
        InputError: the file is none, or its quotations do not end.
    """
    records = _records(path, separator)
    header = [name.strip() for name in next(records, (0, []))[1]]

    def rows() -> Iterator[Row]:
        for line, cells in records:
            place = f"{path} line {line}"
            if not cells:
                continue
            if len(cells) != len(header):
                what = f"{len(cells)} cells where the header has {len(header)}. Quote cells with commas"
                reading.leave_out("row with another number of cells", place, InputError(f"{place}: {what}."))
            elif any("\udc80" <= letter <= "\udcff" for cell in cells for letter in cell):
                error = InputError(f"{place}: not UTF-8. Save the table as UTF-8.")
                reading.leave_out("row that is not UTF-8", place, error)
            else:
                yield place, dict(zip(header, cells, strict=True))

    return header, rows()


def read_objects(path: Path) -> tuple[list[str], Iterator[Row]]:
    """The names in the first object of a JSONL file, and its objects; lines that are none are broken items.

    Raises:
        InputError: the file is none.
    """

    def rows() -> Iterator[Row]:
        for number, line in numbered_lines(path):
            place = f"{path} line {number}"
            if isinstance(line, InputError):
                reading.leave_out("line that is not UTF-8", place, line)
            elif line.strip():
                found = _object(line, place)
                if isinstance(found, InputError):
                    reading.leave_out("line that is no JSON object", place, found)
                else:
                    yield place, found

    with reading.accounted():  # what is left out is entered once, when the rows are read
        names = {name for _, row in rows() for name in row}
    return sorted(names), rows()


def _object(line: str, place: str) -> dict[str, Any] | InputError:
    try:
        content = json.loads(line)
    except json.JSONDecodeError as error:
        return InputError(f"{place}: no JSON, {error.msg} at letter {error.colno}.")
    if not isinstance(content, dict):
        return InputError(f"{place}: {type(content).__name__}, not an object with names and values.")
    return content


def _lines_of(path: Path, newline: str) -> Iterator[str]:
    """The lines of a table, with what ends them; bytes that are not UTF-8 become halves of characters."""
    with opened(path) as file:
        kind = kind_of_bytes(file.peek(_HEAD)[:_HEAD])
        if kind is not None:
            raise InputError(f"{path}: {kind.told}, not a table in UTF-8. {kind.remedy}.")
        with io.TextIOWrapper(file, "utf-8-sig", "surrogateescape", newline) as text:
            for line in text:
                if "\0" in line:
                    raise InputError(f"{path}: holds a zero byte, so it is not a text. Is it a CSV file?")
                yield line


def _records(path: Path, separator: str) -> Iterator[tuple[int, list[str]]]:
    """The cells of each row, with the number of its last line."""
    if separator == "\t":
        yield from _lines(_lines_of(path, "\n"))
        return
    held: list[str] = []  # the lines of a row
    reader = csv.reader(_held(_lines_of(path, ""), held), delimiter=separator, strict=True)
    spanning, n_cells = 0, 0
    try:
        for cells in reader:
            n_cells = n_cells or len(cells)
            if len(held) > 1 and any("\n" in cell for cell in cells):
                _check_swallowed(path, held, reader.line_num, separator, n_cells)
                spanning += 1
            held.clear()
            yield reader.line_num, cells
    except csv.Error as error:
        raise InputError(f"{path} line {reader.line_num}: {error}. Check the quotes.") from error
    if spanning:
        reading.note(f"Of {path.name}, {reading.counted(spanning, 'row')} hold quotations of several lines.")


def _held(lines: Iterable[str], held: list[str]) -> Iterator[str]:
    """The lines of a table, each of which is also put into a list."""
    for line in lines:
        held.append(line)
        yield line


def _check_swallowed(path: Path, lines: list[str], last: int, separator: str, n_cells: int) -> None:
    """Raise `InputError` if each line of a quotation looks like a row, as after a stray mark.

    A comma that a space follows is of a sentence.
    """
    if n_cells > 1 and all(x.count(separator) == n_cells - 1 and f"{separator} " not in x for x in lines):
        first = last - len(lines) + 1
        what = f"a quotation opens here and ends in line {last}, and each line of it looks like a row"
        remedy = 'Close the mark or double it (""). If it is one cell, write the table as .jsonl'
        raise InputError(f"{path} line {first}: {what}. {remedy}.")


def _lines(lines: Iterable[str]) -> Iterator[tuple[int, list[str]]]:
    """The cells of each line of a table that tabs separate."""
    n_cells = 0
    for number, line in enumerate(lines, 1):
        line = line.removesuffix("\n").removesuffix("\r")
        if not line:
            continue
        cells = line.split("\t")
        if '"' in line:
            quoted = _quoted(line)
            if quoted is not None and (not n_cells or len(quoted) == n_cells):
                cells = quoted
        n_cells = n_cells or len(cells)
        yield number, cells


def _quoted(line: str) -> list[str] | None:
    """The cells of a line with its quotations resolved; `None` if one does not end where its cell does."""
    try:
        return next(csv.reader([line], delimiter="\t", strict=True), None)
    except csv.Error:
        return None
