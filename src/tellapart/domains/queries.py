"""Queries as they are typed: one itself, or a file of many."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tellapart import reading
from tellapart.domains import tables
from tellapart.domains.sniff import numbered_lines, suffix
from tellapart.errors import InputError, exists
from tellapart.runs import Query

if TYPE_CHECKING:
    from tellapart.runs import FinishedRun

_TEXT = (".txt",)
_COLUMNS = ("query", "text")


def text_queries(typed: str, form: tables.Form = tables.AS_IT_LIES) -> list[Query] | None:
    """The texts of a file, each of which is a query: the lines of a `.txt`, or a column `query` or `text` of a table.

    Args:
        typed: what may be the name of a file.
        form: how a table is read.

    Returns:
        `None` if it is not named as such a file.

    Raises:
        InputError: there is no such file, or it is broken or holds no text.

    >>> text_queries("a bird in flight") is None
    True
    """
    ending = suffix(Path(typed))
    if ending not in (*_TEXT, *tables.SUFFIXES):
        return None
    if not exists(typed):
        if " " in typed:
            return None
        raise InputError(f"{typed}: there is no such file of queries.")
    path = Path(typed)
    texts = lines_of(path) if ending in _TEXT else _cells(path, form)
    return [Query(text, text) for text in texts]


def texts_only(_: FinishedRun, typed: str) -> list[Query]:
    """The queries of a run that looks for texts alone: those of a file, or what is typed itself.

    Raises:
        InputError: the name of another file, or as for `text_queries`.
    """
    found = text_queries(typed)
    if found is None:
        refuse_file(typed)
    return found or [Query(typed, typed)]


def lines_or_one(typed: str, form: tables.Form = tables.AS_IT_LIES) -> list[Query]:
    """The texts of a file or, if it is not named as one, what is typed as the one query.

    Raises:
        InputError: as for `text_queries`.

    >>> lines_or_one("n7")
    [Query(name='n7', value='n7')]
    """
    found = text_queries(typed, form)
    return [Query(typed, typed)] if found is None else found


def refuse_file(typed: str) -> None:
    """Raise `InputError` if what is to be a text is the name of a file.

    >>> refuse_file("a bird in flight")
    """
    if exists(typed) and Path(typed).is_file():
        named = ", ".join((*_TEXT, *tables.SUFFIXES))
        raise InputError(f"{typed}: a file, but the run looks for texts. Put texts into a file ending in {named}.")


def lines_of(path: Path) -> list[str]:
    """The lines of a file of texts, without empty ones; one that is no text is left out.

    Raises:
        InputError: there are none.
    """
    texts = []
    for number, line in numbered_lines(path):
        if isinstance(line, InputError):
            reading.leave_out("line that is no text", f"{path} line {number}", line)
        elif line.strip():
            texts.append(line.strip())
    if not texts:
        raise reading.first_broken() or InputError(f"{path}: the file holds no text.")
    return texts


def _cells(path: Path, form: tables.Form) -> list[str]:
    table = tables.read_table(path, _COLUMNS, required=(), form=form)
    for name in _COLUMNS:
        if name in table.columns:
            return [str(cell) for cell in table.columns[name]]
    header, _ = tables.rows_of(path, _COLUMNS, (), form)
    found = ", ".join(header)
    raise InputError(f"{path}: neither a column query nor a column text. Found: {found}. Name one of them query.")
