"""Real sentences, and preferences for their correct spelling, kept in a cache.

    python benchmarks/preferences_data.py        prints the folder

Sentences of 8 to 20 words, in lower case, each once, from Debian's packages anarchism, fortunes, libreoffice-help-en-us
and python3.11-doc. Words are misspelt as in the dictionary of pip's `codespell`, where that has one correction.
`sentences.txt`, to pretrain on, has three tenths of all words that have a misspelling misspelt. Of other sentences, the
first four words are a prompt, and the rest is the chosen answer; the same with one word misspelt is a rejected one.
`train-4.jsonl` has four rejected answers, `train-1.jsonl` the first of them, `test.jsonl` has other prompts.
"""

from __future__ import annotations

import html
import json
import re
import sys
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from random import Random

import fetch

TRAINED, TESTED = 1778, 400  # a tenth of the former is held out by each run, which leaves 1,600 to train on
_PROMPT = 4
_RATE = 0.3
_REJECTED = 4


def preferences() -> Path:
    """The folder, made if it does not exist."""
    target = fetch.cache("preferences")
    if not target.is_dir():
        with fetch.whole(target) as folder:
            _write(folder)
    return target


def misspelt() -> frozenset[str]:
    """All misspelt words."""
    return frozenset(word for words in _misspellings().values() for word in words)


def words_of(text: str) -> list[str]:
    """The words of a text, in lower case."""
    return re.findall("[a-z]+", text.lower())


def known_words() -> frozenset[str]:
    """The words of the sentences, as they are spelt."""
    return frozenset((preferences() / "words.txt").read_text().split())


@cache
def _misspellings() -> dict[str, list[str]]:
    """Of each word its misspellings."""
    import codespell_lib

    found = defaultdict(list)
    dictionary = Path(codespell_lib.__file__).parent / "data" / "dictionary.txt"
    for line in dictionary.read_text(encoding="utf-8").lower().splitlines():
        wrong, _, right = line.partition("->")
        if wrong.isalpha() and right.isalpha() and wrong.isascii() and right.isascii():
            found[right].append(wrong)
    return dict(found)


def _write(folder: Path) -> None:
    order, errors, noise = (Random(seed) for seed in range(3))
    sentences = sorted(set(_sentences()))
    order.shuffle(sentences)
    running = [word for sentence in sentences for word in sentence]
    share = sum(word in _misspellings() for word in running) / len(running)
    n_wrong = len(misspelt())
    print(f"{len(sentences)} sentences; {n_wrong} misspellings of {len(_misspellings())} words", file=sys.stderr)
    print(f"{share:.0%} of running words have one", file=sys.stderr)
    rows = []
    while len(rows) < TRAINED + TESTED:
        sentence = sentences.pop()
        prompt, answer = sentence[:_PROMPT], sentence[_PROMPT:]
        if any(word in _misspellings() for word in answer):
            rejected = [_with_one_error(answer, errors) for _ in range(_REJECTED)]
            texts = [" " + " ".join(words) for words in (answer, *rejected)]
            rows.append({"prompt": " ".join(prompt), "chosen": texts[0], "rejected": texts[1:]})
    train, test = rows[:TRAINED], rows[TRAINED:]
    one = [row | {"rejected": row["rejected"][:1]} for row in train]
    for name, content in (("train-4", train), ("train-1", one), ("test", test)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in content))
    lines = (" ".join(_misspell(sentence, noise)) for sentence in sentences)
    (folder / "sentences.txt").write_text("".join(line + "\n" for line in lines))
    (folder / "words.txt").write_text("\n".join(sorted(set(running))))


def _misspell(words: tuple[str, ...], random: Random) -> list[str]:
    """The words, each misspelt by chance."""
    known = _misspellings()
    return [random.choice(known[word]) if word in known and random.random() < _RATE else word for word in words]


def _with_one_error(words: tuple[str, ...], random: Random) -> list[str]:
    """The words, one of them misspelt."""
    known = _misspellings()
    place = random.choice([place for place, word in enumerate(words) if word in known])
    return [random.choice(known[word]) if i == place else word for i, word in enumerate(words)]


def _sentences() -> Iterator[tuple[str, ...]]:
    for paragraph in _paragraphs():
        for sentence in re.split(r"(?<=[.!?;:])\s+", " ".join(paragraph.split())):
            words = words_of(sentence)
            if 8 <= len(words) <= 20:
                yield tuple(words)


def _paragraphs() -> Iterator[str]:
    for name in ("anarchism", "libreoffice-en", "python-doc"):
        for page in sorted(fetch.fetch(name).rglob("*.html")):
            text = page.read_text(encoding="utf-8", errors="replace")
            for content in re.findall(
                r"<(?:p|li|dd|blockquote)\b[^>]*>(.*?)(?=<(?:p|li|dd|blockquote)\b|</p>|</li>)", text, re.DOTALL
            ):
                yield html.unescape(re.sub("<[^>]*>", " ", content))
    for file in sorted(fetch.fetch("fortunes").iterdir()):
        if not file.suffix and file.is_file():
            yield from file.read_text(encoding="utf-8", errors="replace").split("\n%\n")


if __name__ == "__main__":
    print(preferences())
