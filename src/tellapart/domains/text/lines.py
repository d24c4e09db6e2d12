"""Read translations from text files, line by line, and from tables, one pair a line, with a line in memory."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tellapart import reading
from tellapart.domains.sniff import numbered_lines, suffix
from tellapart.errors import InputError

# Of languages that are often translated: a word of two letters may be a sentence.
_LANGUAGE = re.compile(r"(ar|cs|da|de|el|en|es|fa|fi|fr|hi|hu|it|ja|ko|nl|pl|pt|ro|ru|sv|tr|uk|zh)([-_][A-Za-z]{2,4})?")
_COLUMNS = {
    *("source", "target", "src", "tgt", "trg", "group", "text", "text1", "text2", "sentence", "sentence1", "sentence2"),
    *("translation", "original", "english", "german", "french", "spanish", "italian", "dutch", "portuguese", "russian"),
}
_REMEDY = "The lines of all files must correspond"


def read_lines(path: Path) -> Iterator[str]:
    """The lines of a text file, packed or not, without the spaces around them; only a line feed ends a line.

    A line that is not UTF-8, or holds a zero byte, is a broken item.

    Raises:
        InputError: no such file, or no text.
    """
    for number, line in numbered_lines(path):
        if isinstance(line, InputError):
            reading.leave_out("line that is no text", f"{path} line {number}", line)
        else:
            yield _trimmed(line)


def _trimmed(line: str) -> str:
    return line.rstrip("\r\n") if "\t" in line else line.strip()


def read_together(paths: list[Path], facts: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Source, target and group of two text files with corresponding lines, and perhaps a third with the groups.

    The languages are the suffixes of the names, as in corpus.en, if these differ.

    Args:
        paths: the files.
        facts: gets the `languages`, and the number of pairs `left_out` because one side is empty or missing.

    Raises:
        InputError: another number of files, or files of different lengths; the message names the first missing line.
    """
    if len(paths) > 3:
        raise InputError(f"data: {len(paths)} files. Give two, and perhaps a third with the group of each pair.")
    suffixes = suffix(paths[0])[1:], suffix(paths[1])[1:]
    are_languages = all(suffixes) and suffixes[0] != suffixes[1]
    facts |= {"languages": suffixes if are_languages else ("source", "target"), "left_out": 0}
    files = [numbered_lines(path) for path in paths]
    number = 0
    while True:
        rows = [next(file, None) for file in files]
        if all(row is None for row in rows):
            return
        number += 1
        for path, found in zip(paths, rows, strict=True):
            if found is None:
                other = next(p for p, row in zip(paths, rows, strict=True) if row is not None)
                raise InputError(f"{path}: ends before line {number}, which {other} has. {_REMEDY}.")
        lines = [row[1] for row in rows if row is not None]
        broken = next((line for line in lines if isinstance(line, InputError)), None)
        if broken is not None:
            reading.leave_out("pair with a line that is no text", f"line {number}", broken)
            continue
        row = [line.strip() for line in lines if isinstance(line, str)]
        if row[0] and row[1]:
            yield row[0], row[1], row[2] if len(row) == 3 else str(number)
        else:
            facts["left_out"] += 1


def read_table(path: Path, facts: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    """The rows of a table of source, target and perhaps group, separated by tabs; quotes have no meaning.

    It needs no header. A first row that names columns, or two languages, is taken for one, and said.

    Args:
        path: the file.
        facts: as for `read_together`.

    Raises:
        InputError: a line with another number of columns; the message names the line.
    """
    facts |= {"languages": ("source", "target"), "left_out": 0}
    n_cells = 0
    for number, line in enumerate(read_lines(path), 1):
        cells = [cell.strip() for cell in line.split("\t")]
        if number == 1 and is_header(cells):
            reading.note(f"The first row of {path.name} ({', '.join(cells)}) is taken for a header.")
            facts["languages"] = cells[0].lower(), cells[1].lower()
            n_cells = len(cells)
            continue
        if cells == [""]:
            facts["left_out"] += 1
            continue
        n_cells = n_cells or len(cells)
        if len(cells) != n_cells or n_cells not in (2, 3):
            must = f"{n_cells} as above" if n_cells in (2, 3) else "2, or 3 with the group"
            error = InputError(f"{path} line {number}: {len(cells)} cells by tabs. There must be {must}.")
            if n_cells not in (2, 3):
                raise error
            reading.leave_out("line with another number of cells", f"{path} line {number}", error)
            continue
        if cells[0] and cells[1]:
            yield cells[0], cells[1], cells[2] if n_cells == 3 else str(number)
        else:
            facts["left_out"] += 1


def is_header(cells: list[str]) -> bool:
    """Whether a table's first row names columns or languages, and is no pair of sentences.

    >>> is_header(["Source", "Target"]), is_header(["en", "pt-BR"]), is_header(["Yes", "Ja"])
    (True, True, False)
    """
    names = [cell.lower() for cell in cells]
    if len(names) not in (2, 3) or len(set(names)) < len(names):
        return False
    return set(names) <= _COLUMNS or all(map(is_language, cells[:2]))


def is_language(name: str) -> bool:
    """Whether it is the code of a language that is often translated.

    >>> is_language("de"), is_language("pt-BR"), is_language("id")
    (True, True, False)
    """
    return _LANGUAGE.fullmatch(name) is not None
