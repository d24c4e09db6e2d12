"""A corpus as training reads it: ids of words in sentences, which stay on the disk, and their vocabulary."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tellapart.domains.words.ids import IDS, STARTS, Ids
from tellapart.domains.words.vocabulary import Vocabulary
from tellapart.errors import InputError
from tellapart.files import atomic_write

if TYPE_CHECKING:
    from jaxtyping import Int32, Int64

_VOCABULARY, _FACTS = "vocabulary.parquet", "corpus.json"
FILES = {IDS, STARTS, _VOCABULARY, _FACTS}


@dataclass(frozen=True)
class Found:
    """What was read, and what was left out."""

    files: int = 0
    lines: int = 0
    empty_lines: int = 0
    tokens: int = 0
    """The length of the text in words."""
    distinct: int = 0
    rare_words: int = 0
    """Distinct words that occur fewer than `min_count` times."""
    rare_tokens: int = 0
    """How often these occur, in all."""
    phrases: int = 0
    """Phrases in the vocabulary."""
    unsure_words: int = 0
    """Words of up to so many occurrences may be counted as fewer: there were too many distinct ones. 0 if none."""
    unsure_pairs: int = 0
    """The same of pairs of words, which might be phrases."""

    def notes(self) -> list[str]:
        """The same in sentences.

        >>> Found(files=1, lines=3, empty_lines=1, tokens=20, distinct=12, rare_words=10, rare_tokens=10).notes()
        ['Read 20 words in 3 lines of 1 file; 1 line held none.',
         'Left out 10 of 12 distinct words, which are too rare, and so 50.0% of the text.']
        """
        notes = [
            f"Read {_counted(self.tokens, 'word')} in {_counted(self.lines, 'line')} of "
            f"{_counted(self.files, 'file')}; {_counted(self.empty_lines, 'line')} held none.",
            f"Left out {self.rare_words:,} of {self.distinct:,} distinct words, which are too rare, "
            f"and so {self.rare_tokens / max(self.tokens, 1):.1%} of the text.",
        ]
        if self.phrases:
            notes.append(f"Joined words to {_counted(self.phrases, 'phrase')}.")
        for n, what in ((self.unsure_words, "words"), (self.unsure_pairs, "pairs of words")):
            if n:
                notes.append(f"Too many distinct {what} to count exactly: those with up to {n} may count as fewer.")
        return notes


@dataclass(frozen=True, eq=False)
class Corpus:
    """Sentence i is `ids[starts[i] : starts[i + 1]]`; no sentence is empty. Both are mapped from the disk."""

    ids: Int32[np.ndarray, " n"]
    starts: Int64[np.ndarray, " s"]
    vocabulary: Vocabulary
    found: Found
    fingerprint: str
    """A hash of the text, to detect that it changed between two commands."""

    @classmethod
    def exists(cls, folder: Path) -> bool:
        """Whether `gather` finished there."""
        return (folder / _FACTS).is_file()

    @classmethod
    def open(cls, folder: Path) -> Corpus:
        """The corpus that `gather` left in a folder.

        Raises:
            InputError: a file is missing or damaged.
        """
        damaged = InputError(f"{folder}: missing or damaged. Train again into a new folder.")
        try:
            facts: dict[str, Any] = json.loads((folder / _FACTS).read_text(encoding="utf-8"))
            coded, found = Ids.open(folder), Found(**facts["found"])
            sizes, fingerprint = facts["sizes"], str(facts["fingerprint"])
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise damaged from error
        vocabulary = Vocabulary.load(folder / _VOCABULARY)
        if sizes != _sizes(coded, vocabulary):
            raise damaged
        return cls(coded.ids, coded.starts, vocabulary, found, fingerprint)


def finish(folder: Path, coded: Ids, vocabulary: Vocabulary, found: Found, fingerprint: str) -> None:
    """Write beside the ids in a folder what makes them a corpus."""
    vocabulary.save(folder / _VOCABULARY)
    facts = {"found": asdict(found), "sizes": _sizes(coded, vocabulary), "fingerprint": fingerprint}
    with atomic_write(folder / _FACTS) as file:
        file.write((json.dumps(facts, indent=2) + "\n").encode())


def _sizes(coded: Ids, vocabulary: Vocabulary) -> list[int]:
    return [len(coded.ids), len(coded.starts), len(vocabulary)]


def _counted(n: int, thing: str) -> str:
    return f"{n:,} {thing}" + "s" * (n != 1)
