"""Two real collections of translations as tables that `tellapart train bilingual` takes, kept in a cache.

    python benchmarks/bilingual_data.py libreoffice        prints the file: source, target and group, by tabs

`libreoffice`: LibreOffice's help in English and French. Paragraphs of equal page and id are pairs; those with at least
4 words in both languages are kept, each once, without untranslated ones. The group is the page. From Debian's packages
libreoffice-help-en-us and -fr, MPL-2.0. `verses`: the King James Bible and the Reina-Valera of 1909, verse by verse;
the group is the book. From Debian's packages sword-text-kjv and sword-text-sparv, public domain. Reading them needs
pip's `pysword`, and takes a minute or two.
"""

from __future__ import annotations

import argparse
import html
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import fetch

_PARAGRAPH = re.compile(r'<(p|h[1-6]|td)\s[^>]*?id="([^"]+)"[^>]*>(.*?)</\1>', re.DOTALL)
_LEAST_WORDS = 4


def translations(name: str) -> Path:
    """The file of a collection, made if it does not exist."""
    target = fetch.cache(f"bilingual-{name}")
    if not target.is_dir():
        rows = sorted(set({"libreoffice": libreoffice, "verses": verses}[name]()))
        with fetch.whole(target) as folder:
            text = "".join("\t".join(row) + "\n" for row in rows)
            (folder / f"{name}.tsv").write_text(text, encoding="utf-8")
        print(f"{name}: {len(rows)} pairs in {len({group for *_, group in rows})} groups", file=sys.stderr)
    return target / f"{name}.tsv"


def libreoffice() -> Iterator[tuple[str, str, str]]:
    """English and French paragraphs of equal page and id, and the page; each pair once, and none untranslated."""
    english, french = (_paragraphs(fetch.fetch(f"libreoffice-{code}")) for code in ("en", "fr"))
    seen = set()
    for place, source in english.items():
        pair = source, french.get(place, "")
        if pair not in seen and source != pair[1] and all(len(text.split()) >= _LEAST_WORDS for text in pair):
            seen.add(pair)
            yield *pair, place[0]


def verses() -> Iterator[tuple[str, str, str]]:
    """English and Spanish verses, and their book."""
    from pysword.modules import SwordModules

    bibles = []
    for name in ("kjv", "sparv"):
        modules = SwordModules(str(fetch.fetch(f"sword-{name}")))
        (key,) = modules.parse_modules()
        bibles.append(modules.get_bible_from_module(key))
    for books in bibles[0].get_structure().get_books().values():
        for book in books:
            texts = (map(_plain, bible.get_iter(books=[book.name])) for bible in bibles)
            yield from ((*pair, book.name) for pair in zip(*texts, strict=True) if all(pair))


def _paragraphs(folder: Path) -> dict[tuple[str, str], str]:
    found = {}
    for page in sorted(folder.rglob("*.html")):
        name = str(page.relative_to(folder))
        for _, key, content in _PARAGRAPH.findall(page.read_text(encoding="utf-8")):
            found.setdefault((name, key), _plain(content))
    return found


def _plain(text: str) -> str:
    """The text without tags, entities and repeated spaces."""
    return " ".join(html.unescape(re.sub("<[^>]*>", " ", text)).split())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=["libreoffice", "verses"])
    print(translations(parser.parse_args().name))
