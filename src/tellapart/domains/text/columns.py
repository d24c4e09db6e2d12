"""Read translations from tables with a header: CSV, JSONL and Parquet."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tellapart import reading
from tellapart.domains import tables
from tellapart.domains.text.lines import is_language

_SIDES = ("source", "target")
_ALL = (*_SIDES, "group")
# What both sides are often called, besides two languages.
_PAIRS = (_SIDES, ("src", "tgt"), ("src", "trg"), ("original", "translation"), ("text1", "text2"))
_NAMED = {"english", "german", "french", "spanish", "italian", "dutch", "portuguese", "russian"}


def read_columns(
    path: Path, columns: str, languages: tuple[str, str] | None, facts: dict[str, Any]
) -> Iterator[tuple[str, str, str]]:
    """Sentences and translations of a table with a header, and perhaps a column `group`.

    Both columns are those that were named, or those called like the two languages, or `source` and `target`, or the
    only two that are called like languages. They are said.

    Args:
        path: the table.
        columns: what they are called, as `source=german,target=english,group=page`.
        languages: which two languages are wanted, as columns may be called.
        facts: gets the `languages`, and the number of pairs `left_out` because one side is empty.

    Raises:
        InputError: it cannot be told which columns they are; the message names all. Or the table is broken.
    """
    form = tables.Form(columns)
    header, _ = tables.rows_of(path, _ALL, _SIDES, form)
    sides = _sides(header, languages)
    if sides is not None and not columns:
        form = tables.Form(f"source={sides[0]},target={sides[1]}")
    _, rows = tables.read_cells(path, _ALL, required=_SIDES, blank=_ALL, form=form)
    called = tuple(form.names().get(name, name) for name in _SIDES)
    reading.note(f"Sentences of {path.name} are in the column {called[0]}, translations in {called[1]}.")
    facts |= {"languages": (called[0].lower(), called[1].lower()), "left_out": 0}
    for row, (_, cells, _) in enumerate(rows):
        if cells["source"] and cells["target"]:
            yield cells["source"], cells["target"], cells.get("group") or f"row {row}"
        else:
            facts["left_out"] += 1


def holds_translations(path: Path) -> bool:
    """Whether two columns of a table are called like sentences and their translations."""
    return _sides(tables.rows_of(path, _ALL, _SIDES, tables.AS_IT_LIES)[0], None) is not None


def _sides(header: list[str], languages: tuple[str, str] | None) -> tuple[str, str] | None:
    """What both columns are called in a header, if that can be told.

    >>> _sides(["id", "DE", "en"], None), _sides(["de", "en", "fr"], ("fr", "de")), _sides(["a", "b"], None)
    (('DE', 'en'), ('fr', 'de'), None)
    """
    known = {name.lower(): name for name in header}
    for pair in ([languages] if languages else []) + list(_PAIRS):
        if all(name in known for name in pair):
            return known[pair[0]], known[pair[1]]
    found = [name for name in header if is_language(name.lower()) or name.lower() in _NAMED]
    return (found[0], found[1]) if len(found) == 2 else None
