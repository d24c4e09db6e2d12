"""Load sentences and translations from a source named on the command line."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from tellapart import reading
from tellapart.domains import tables
from tellapart.domains.sniff import suffix, unreadable
from tellapart.domains.text.columns import holds_translations, read_columns
from tellapart.domains.text.lines import read_lines, read_table, read_together
from tellapart.domains.text.tmx import read_tmx, read_variants
from tellapart.domains.text.translations import Translations
from tellapart.domains.text_store import columns_of
from tellapart.domains.texts import exact_hash, text_hash, together
from tellapart.errors import InputError, existing, exists, require_option

_PAIR = {"source": text_hash, "target": text_hash, "group": exact_hash}
_FORMS = "two text files joined by a comma, a .tsv, a .tmx or a table with a column for each language"


def load_translations(source: str, languages: str = "", columns: str = "") -> Translations:
    """Load sentences with their translations. Pairs with an empty side are left out, and counted.

    Of files that are too large for the memory, texts go to a store (`tellapart.domains.text_store`).

    Args:
        source: `corpus.en,corpus.fr`, two text files with corresponding lines, and perhaps a third with each pair's
            group; a `.tsv` without a header, of two columns or, with the group, three; a `.tmx`; or another table
            (CSV, JSONL, Parquet) with a header, as for `read_columns`.
        languages: of a TMX of more than two, or of a table's columns, which two: "de,en"; of other files, what theirs
            are called.
        columns: of a table, what its columns are called, as for `read_columns`.

    Raises:
        InputError: a file is missing, empty or broken, or files differ in length; the message names file and line.
    """
    parts = [source] if exists(source) else source.split(",")
    paths = [existing(part.strip()) for part in parts]
    for path in paths:
        if path.is_dir():
            raise InputError(f"{path}: a folder. Give {_FORMS}.")
    named, is_tmx = pair_of(languages), suffix(paths[0]) == ".tmx"
    is_table = len(paths) == 1 and suffix(paths[0]) in tables.SUFFIXES
    require_option("columns", is_table or not columns, "be left out: the data are no table", repr(columns))
    how = "translations"
    if len(paths) > 1:
        rows = partial(read_together, paths)
    elif is_tmx:
        rows, how = partial(read_tmx, paths[0], named), f"translations {languages}"
    elif suffix(paths[0]) == ".tsv" and not columns:
        rows = partial(read_table, paths[0])
    elif is_table:
        rows, how = partial(read_columns, paths[0], columns, named), f"translations by columns {languages} {columns}"
    else:
        raise unreadable(paths[0], "sentences with translations", f"{source}: a single text file. Give {_FORMS}.")
    cells, facts = columns_of(paths, how, _PAIR, rows)
    called = named if named is not None and not is_tmx else facts["languages"]
    found = Translations(cells["source"], cells["target"], cells["group"], (called[0], called[1]), facts["left_out"])
    if not len(found):
        raise reading.first_broken() or InputError(f"{source}: holds no pair of sentences.")
    reading.pass_over("pair of which one side is empty or missing", [""] * found.left_out)
    reading.read(len(found), "pair")
    reading.note(f"Languages: {' and '.join(found.languages)}.")
    return found


def pair_of(languages: str) -> tuple[str, str] | None:
    """Two languages from "de,en"; `None` if none are named.

    Raises:
        InputError: another number of languages, or one twice.
    """
    if not languages:
        return None
    named = [name.strip().lower() for name in languages.split(",")]
    must = "be two languages, as de,en"
    require_option("languages", len(named) == 2 and all(named) and named[0] != named[1], must, repr(languages))
    return named[0], named[1]


def load_sentences(source: str) -> Sequence[str]:
    """Load sentences of any language: the non-empty lines of text files, or both languages of translations.

    Of files that are too large for the memory, they go to a store.

    Args:
        source: text files, separated by commas; tables with a column `text` (CSV, JSONL, Parquet); or a source for
            `load_translations`, of a table both languages.

    Raises:
        InputError: a file is missing, empty or broken.
    """
    parts = [source] if exists(source) else source.split(",")
    paths = [existing(part.strip()) for part in parts]
    endings = {suffix(path) for path in paths}
    if ".tmx" not in endings and (".tsv" in endings or _holds_pairs_alone(paths)):
        both = load_translations(source)
        return together(both.sources, both.targets)
    read = read_variants if ".tmx" in endings else _cells if endings & set(tables.SUFFIXES) else _lines

    def rows(_: dict[str, Any]) -> Iterator[tuple[str]]:
        return ((text,) for path in paths for text in read(path))

    columns, _ = columns_of(paths, f"sentences {read.__name__}", {"text": text_hash}, rows)
    if not len(columns["text"]):
        raise reading.first_broken() or InputError(f"{source}: holds no text.")
    reading.read(len(columns["text"]), "sentence")
    return columns["text"]


def _holds_pairs_alone(paths: list[Path]) -> bool:
    """Whether it is one table with a column for each of two languages, and without a column `text`."""
    if len(paths) > 1 or suffix(paths[0]) not in tables.SUFFIXES:
        return False
    header, _ = tables.rows_of(paths[0], ("text",), (), tables.AS_IT_LIES)
    return "text" not in map(str.lower, header) and holds_translations(paths[0])


def _cells(path: Path) -> Iterator[str]:
    return (cells["text"] for _, cells, _ in tables.read_cells(path, ("text",), ("text",))[1])


def _lines(path: Path) -> Iterator[str]:
    return (line for line in read_lines(path) if line)
