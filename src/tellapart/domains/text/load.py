"""Load sentences and translations from a source named on the command line."""

from __future__ import annotations

from dataclasses import replace

from tellapart import reading
from tellapart.domains import tables
from tellapart.domains.sniff import suffix, unreadable
from tellapart.domains.text.lines import read_lines, read_table, read_together
from tellapart.domains.text.tmx import read_tmx, read_variants
from tellapart.domains.text.translations import Translations
from tellapart.errors import InputError, existing, exists, require_option

_FORMS = "two text files joined by a comma, a .tsv or a .tmx"


def load_translations(source: str, languages: str = "") -> Translations:
    """Load sentences with their translations. Pairs with an empty side are left out, and counted.

    Args:
        source: `corpus.en,corpus.fr`, two text files with corresponding lines, and perhaps a third with each pair's
            group; a `.tsv` without a header, of two columns or, with the group, three; or a `.tmx`.
        languages: of a TMX of more than two, which two: "de,en"; of other files, what theirs are called.

    Raises:
        InputError: a file is missing, empty or broken, or files differ in length; the message names file and line.
    """
    parts = [source] if exists(source) else source.split(",")
    paths = [existing(part.strip()) for part in parts]
    for path in paths:
        if path.is_dir():
            raise InputError(f"{path}: a folder. Give {_FORMS}.")
    if len(paths) > 1:
        found = read_together(paths)
    elif suffix(paths[0]) == ".tmx":
        found = read_tmx(paths[0], pair_of(languages))
    elif suffix(paths[0]) == ".tsv":
        found = read_table(paths[0])
    else:
        what = "a table of another kind" if suffix(paths[0]) in tables.SUFFIXES else "a single text file"
        raise unreadable(paths[0], "sentences with translations", f"{source}: {what}. Give {_FORMS}.")
    if not len(found):
        raise reading.first_broken() or InputError(f"{source}: holds no pair of sentences.")
    reading.pass_over("pair of which one side is empty or missing", [""] * found.left_out)
    reading.read(len(found), "pair")
    if (named := pair_of(languages)) is not None and suffix(paths[0]) != ".tmx":
        found = replace(found, languages=named)
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


def load_sentences(source: str) -> list[str]:
    """Load sentences of any language: the non-empty lines of text files, or both languages of translations.

    Args:
        source: text files, separated by commas; tables with a column `text` (CSV, JSONL, Parquet); or a source for
            `load_translations`.

    Raises:
        InputError: a file is missing, empty or broken.
    """
    parts = [source] if exists(source) else source.split(",")
    paths = [existing(part.strip()) for part in parts]
    if any(suffix(path) == ".tmx" for path in paths):
        lines = [text for path in paths for text in read_variants(path)]
    elif any(suffix(path) == ".tsv" for path in paths):
        both = load_translations(source)
        return [*both.sources, *both.targets]
    elif any(suffix(path) in tables.SUFFIXES for path in paths):
        lines = [text for path in paths for text in tables.read_table(path, ("text",), ("text",)).columns["text"]]
    else:
        lines = [line for path in paths for line in read_lines(path) if line]
    if not lines:
        raise reading.first_broken() or InputError(f"{source}: holds no text.")
    reading.read(len(lines), "sentence")
    return lines
