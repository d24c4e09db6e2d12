"""Tables on the terminal."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from tellapart.evaluation import Table

if TYPE_CHECKING:
    from tellapart.runs import Hit

_WIDE = 200
_ROWS = 20  # of a long table
_LONGEST = 160  # letters of a text beside a hit
_JOINERS = "\u200d\ufe0f"  # not printable by themselves, but parts of emoji


def show(table: Table) -> None:
    """Print a table: in columns on a terminal, a line a row for a program that reads it."""
    shown = RichTable(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for column, name in enumerate(table.header):
        numeric = any(not isinstance(row[column], str) for row in table.rows)
        shown.add_column(name, justify="right" if numeric else "left")
    for cells in table.cells():
        shown.add_row(*map(_plain_text, cells))
    console = _Console()
    if not console.is_terminal:
        console = _Console(width=_WIDE)
    console.print(_plain_text(table.title), style="bold")
    console.print(shown)
    for note in table.notes:
        console.print(Text(note, style="dim"))


def shown(text: object) -> str:
    r"""A text as it can be printed: nothing in it commands the terminal, and bytes that are not UTF-8 become "?".

    >>> shown("caf\udce9.png")
    'caf?.png'
    """
    return _plain_text(str(text)).plain


def show_lines(lines: list[str]) -> None:
    """Print texts, a line each; nothing in them commands the terminal."""
    for line in lines:
        print(_plain_text(line).plain)


def beginning(table: Table) -> Table:
    """The first rows of a table, of long texts the beginning, and how many more there are."""
    n = len(table.rows)
    rows = [[_beginning(cell) if isinstance(cell, str) else cell for cell in row] for row in table.rows[:_ROWS]]
    more = [f"The first {_ROWS} of {n:,} rows; -o FILE.csv has all."] if n > _ROWS else []
    return replace(table, rows=rows, notes=[*more, *table.notes])


def columns_of(table: Table) -> dict[str, list[str | float]]:
    """The columns of a table by their names."""
    cells: list[list[str | float]] = [list(column) for column in zip(*table.rows, strict=True)]
    return {name or "kind": column for name, column in zip(table.header, cells, strict=True)}


def columns_of_hits(found: Iterable[tuple[str, list[Hit]]]) -> dict[str, list[str | int | float]]:
    """What several queries found, a row a hit; the texts and labels of the hits only if they have them."""
    rows = [(query, rank, hit) for query, hits in found for rank, hit in enumerate(hits, 1)]
    columns: dict[str, list[Any]] = {
        "query": [query for query, _, _ in rows],
        "rank": [rank for _, rank, _ in rows],
        "name": [hit.name for _, _, hit in rows],
        "similarity": [hit.score for _, _, hit in rows],
    }
    more = {"text": [hit.text for _, _, hit in rows], "label": [hit.label for _, _, hit in rows]}
    return columns | {name: cells for name, cells in more.items() if None not in cells}


def as_table_of_hits(query: str, hits: list[Hit]) -> Table:
    """What a search found, as a table; of long texts the beginning."""
    said = {
        f"its own {hits[0].asked}": [hit.text and _beginning(hit.text) for hit in hits],
        "label": [hit.label for hit in hits],
    }
    columns = {name: [x for x in column if x is not None] for name, column in said.items() if None not in column}
    rows: list[list[str | float]] = [
        [hit.name, hit.score, *texts, "held out" if hit.held_out else "seen in training"]
        for hit, *texts in zip(hits, *columns.values(), strict=True)
    ]
    formats = ["", ".3f", *("" for _ in columns), ""]
    kind = hits[0].kind
    return Table(f"{kind.capitalize()}s for “{query}”", [kind, "score", *columns, ""], rows, formats, [])


def _beginning(text: str) -> str:
    """A text on few lines of a terminal.

    >>> _beginning("a bird"), len(_beginning(1000 * "鳥"))
    ('a bird', 160)
    """
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


class _Console(Console):
    def on_broken_pipe(self) -> None:
        raise BrokenPipeError  # for main to judge, where rich would end the program


def _plain_text(cell: str) -> Text:
    """A cell as text: nothing in it is read as markup, and nothing in it commands the terminal."""
    text = cell.encode("utf-8", "replace").decode()
    return Text("".join(letter if letter.isprintable() or letter in _JOINERS else " " for letter in text))
