"""Load sentences and translations from a source named on the command line."""

from __future__ import annotations

from tellapart.domains.text.lines import read_lines, read_table, read_together
from tellapart.domains.text.tmx import read_tmx
from tellapart.domains.text.translations import Translations
from tellapart.errors import InputError, existing, exists

_FORMS = "two text files joined by a comma, a .tsv or a .tmx"


def load_translations(source: str) -> Translations:
    """Load sentences with their translations. Pairs with an empty side are left out, and counted.

    Args:
        source: `corpus.en,corpus.fr`, two text files with corresponding lines, and perhaps a third with each pair's
            group; a `.tsv` without a header, of two columns or, with the group, three; or a `.tmx`.

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
    elif paths[0].suffix.lower() == ".tmx":
        found = read_tmx(paths[0])
    elif paths[0].suffix.lower() == ".tsv":
        found = read_table(paths[0])
    else:
        raise InputError(f"{source}: a single text file. Give {_FORMS}.")
    if not len(found):
        raise InputError(f"{source}: holds no pair of sentences.")
    return found


def load_sentences(source: str) -> list[str]:
    """Load sentences of any language: the non-empty lines of text files, or both languages of translations.

    Args:
        source: text files, separated by commas, or a source for `load_translations`.

    Raises:
        InputError: a file is missing, empty or broken.
    """
    parts = [source] if exists(source) else source.split(",")
    paths = [existing(part.strip()) for part in parts]
    if any(path.suffix.lower() in (".tsv", ".tmx") for path in paths):
        both = load_translations(source)
        return [*both.sources, *both.targets]
    lines = [line for path in paths for line in read_lines(path) if line]
    if not lines:
        raise InputError(f"{source}: holds no text.")
    return lines
