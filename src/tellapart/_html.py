"""Tables in HTML, as which a notebook shows results."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape


def facts(title: str, values: Mapping[str, str]) -> str:
    """A title above a table of names and values.

    >>> facts("Terms", {"loss": "< 1"})
    '<table><caption>Terms</caption><tr><th>loss</th><td>&lt; 1</td></tr></table>'
    """
    rows = "".join(f"<tr><th>{escape(name)}</th><td>{escape(value)}</td></tr>" for name, value in values.items())
    return f"<table><caption>{escape(title)}</caption>{rows}</table>"


def grid(title: str, header: Sequence[str], rows: Iterable[Sequence[str]], notes: Sequence[str] = ()) -> str:
    """A title above a table with a header, and notes below it.

    >>> grid("R@1", ["", "all"], [["trained", "0.3"]])
    '<table><caption>R@1</caption><tr><th></th><th>all</th></tr><tr><td>trained</td><td>0.3</td></tr></table>'
    """
    head = "".join(f"<th>{escape(cell)}</th>" for cell in header)
    body = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows)
    below = "".join(f"<p><small>{escape(note)}</small></p>" for note in notes)
    return f"<table><caption>{escape(title)}</caption><tr>{head}</tr>{body}</table>{below}"
