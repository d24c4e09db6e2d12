"""A corpus of 18.8 million words, and tests of word vectors, kept in a cache outside the repository.

    python benchmarks/words_data.py corpus        prints the text file: one paragraph a line, lower-case [a-z]+ alone
    python benchmarks/words_data.py synonyms      prints the table of WordNet's synonyms, apart by tabs

The corpus is text of Debian's packages: dict-gcide, linux-doc-6.1, anarchism, the glosses of wordnet-base,
python3.11-doc, perl-doc, manpages and manpages-dev, dict-foldoc and dict-jargon, libreoffice-help-en-us, fortunes.
`fetch.py` has their licences. A paragraph that occurs again is left out. WordNet's synonyms are not part of it.
Synonyms are two words of one sense of WordNet, single words in small letters, of which each pair is taken once.
WordSim-353, SimLex-999 and questions-words are in gensim's wheel.
"""

from __future__ import annotations

import argparse
import gzip
import html
import re
import sys
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from itertools import combinations
from pathlib import Path

import fetch

_BREAK = re.compile(r"</?(?:p|div|li|dd|dt|td|th|tr|h[1-6]|pre|blockquote|title)\b[^>]*>", re.IGNORECASE)
_SCRIPT = re.compile(r"<(script|style)\b.*?</\1>", re.IGNORECASE | re.DOTALL)
_ORIGIN = re.compile(r"\[(?:1913 Webster|Webster 1913 Suppl|WordNet|PJC|Century)[^\]]*\]")  # of an entry in GCIDE
_PARTS = ("noun", "verb", "adj", "adv")


def corpus() -> Path:
    """The text file, made if it does not exist."""
    target = fetch.cache("words-corpus")
    if not target.is_dir():
        seen: set[str] = set()
        with fetch.whole(target) as folder, (folder / "corpus.txt").open("w", encoding="ascii") as file:
            for name, paragraphs in _SOURCES.items():
                n_lines = n_words = 0
                for paragraph in paragraphs():
                    line = " ".join(re.findall("[a-z]+", paragraph.lower()))
                    if line and line not in seen:
                        seen.add(line)
                        file.write(line + "\n")
                        n_lines, n_words = n_lines + 1, n_words + line.count(" ") + 1
                print(f"{name}: {n_words:,} words in {n_lines:,} paragraphs", file=sys.stderr)
    return target / "corpus.txt"


def synonyms() -> Path:
    """The table of WordNet's synonyms, made if it does not exist."""
    target = fetch.cache("words-synonyms")
    if not target.is_dir():
        pairs = {
            pair
            for part in _PARTS
            for words, _ in _senses(part)
            for pair in combinations(sorted({word for word in words if re.fullmatch("[a-z]+", word)}), 2)
        }
        with fetch.whole(target) as folder:
            text = "".join(f"{a}\t{b}\n" for a, b in sorted(pairs))
            (folder / "synonyms.tsv").write_text(text, encoding="ascii")
        print(f"synonyms: {len(pairs)} pairs", file=sys.stderr)
    return target / "synonyms.tsv"


def test_set(name: str) -> Path:
    """A file of gensim's tests: wordsim353.tsv, simlex999.txt or questions-words.txt."""
    spec = find_spec("gensim")
    if spec is None or spec.origin is None:
        raise SystemExit("gensim is missing, whose wheel has the test sets. pip install gensim")
    return Path(spec.origin).parent / "test" / "test_data" / name


def _dictionary(name: str) -> Iterator[str]:
    for path in sorted(fetch.fetch(name).glob("*.dict.dz")):
        yield from _blocks(_ORIGIN.sub("", _text(path)))


def _documents(name: str, pattern: str) -> Iterator[str]:
    """Plain text with empty lines between paragraphs."""
    for path in sorted(fetch.fetch(name).rglob(pattern)):
        if path.is_file():
            yield from _blocks(_text(path))


def _pages(name: str) -> Iterator[str]:
    for path in sorted(fetch.fetch(name).rglob("*.html")):
        text = _BREAK.sub("\n\n", _SCRIPT.sub(" ", _text(path)))
        yield from _blocks(html.unescape(re.sub("<[^>]*>", " ", text)))


def _manual(name: str) -> Iterator[str]:
    """Manual pages without the macros of troff; a macro of its own line divides paragraphs."""
    for path in sorted(fetch.fetch(name).rglob("*.gz")):
        if not path.is_symlink():
            text = re.sub(r"^[.'](?:B|I|BR|BI|IR|IB|RB|RI|SM|SB)\s", "", _text(path), flags=re.MULTILINE)
            text = re.sub(r"^[.'].*$", "\n", text, flags=re.MULTILINE)
            yield from _blocks(re.sub(r"\\(?:f.|\(..|\[[^\]]*\]|.)", " ", text))


def _cookies() -> Iterator[str]:
    for path in sorted(fetch.fetch("fortunes").rglob("*")):
        if path.is_file() and not path.suffix:
            yield from re.split(r"^%$", _text(path), flags=re.MULTILINE)


def _glosses() -> Iterator[str]:
    for part in _PARTS:
        yield from (gloss for _, gloss in _senses(part))


def _senses(part: str) -> Iterator[tuple[list[str], str]]:
    """The words of each sense, and its gloss with examples."""
    for line in (fetch.fetch("wordnet") / f"data.{part}").read_text(encoding="utf-8").splitlines():
        if not line.startswith("  "):  # the licence
            head, gloss = line.split(" | ", 1)
            cells = head.split()
            yield cells[4 : 4 + 2 * int(cells[3], 16) : 2], gloss


def _blocks(text: str) -> list[str]:
    return re.split(r"\n\s*\n", text)


def _text(path: Path) -> str:
    content = path.read_bytes()
    content = gzip.decompress(content) if path.suffix in (".gz", ".dz") else content
    return content.decode("utf-8", errors="replace")


_SOURCES: dict[str, Callable[[], Iterator[str]]] = {
    "gcide": lambda: _dictionary("gcide"),
    "linux-doc": lambda: _documents("linux-doc", "*.gz"),
    "anarchism": lambda: _pages("anarchism"),
    "wordnet": _glosses,
    "python-doc-sources": lambda: _documents("python-doc-sources", "*.txt"),
    "perl-doc": lambda: _documents("perl-doc", "*.pod"),
    "manpages": lambda: _manual("manpages"),
    "manpages-dev": lambda: _manual("manpages-dev"),
    "foldoc": lambda: _dictionary("foldoc"),
    "jargon": lambda: _dictionary("jargon"),
    "libreoffice": lambda: _pages("libreoffice-en"),
    "fortunes": _cookies,
}

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=["corpus", "synonyms"])
    print({"corpus": corpus, "synonyms": synonyms}[parser.parse_args().name]())
