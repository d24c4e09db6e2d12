"""The words of a corpus with their counts, in the order of their ids."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tellapart.errors import InputError
from tellapart.files import atomic_write

if TYPE_CHECKING:
    from jaxtyping import Float64, Int32, Int64


@dataclass(frozen=True, eq=False)
class Vocabulary:
    """Words and how often the corpus has each; a word's id is its place.

    >>> words = Vocabulary(["the", "cat"], np.array([7, 2]))
    >>> len(words), words.index("cat"), words.index("dog"), "the" in words
    (2, 1, None, True)
    """

    words: list[str]
    counts: Int64[np.ndarray, " v"]

    def __len__(self) -> int:
        return len(self.words)

    def __contains__(self, word: str) -> bool:
        return word in self._ids

    def index(self, word: str) -> int | None:
        """The word's id; `None` if the vocabulary does not have it."""
        return self._ids.get(word)

    def keep_probabilities(self, sample: float) -> Float64[np.ndarray, " v"]:
        """The probability that subsampling keeps an occurrence of each word.

        With f the word's share of all tokens and t = `sample`,

            P(keep) = min(1, √(t/f) + t/f),

        as word2vec.c computes it. Mikolov et al. 2013, eq. 5, has √(t/f) alone. All are 1 for t = 0.

        >>> Vocabulary(["the", "cat"], np.array([96, 4])).keep_probabilities(0.06).round(4).tolist()
        [0.3125, 1.0]
        """
        if not sample:
            return np.ones(len(self))
        ratio = sample * self.counts.sum() / self.counts
        return np.asarray(np.minimum(1.0, np.sqrt(ratio) + ratio))

    def save(self, path: Path) -> None:
        """Write words and counts as Parquet.

        Raises:
            InputError: the file cannot be written.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        table = pa.table({"word": pa.array(self.words, pa.string()), "count": pa.array(self.counts, pa.int64())})
        with atomic_write(path) as file:
            pq.write_table(table, file)

    @classmethod
    def load(cls, path: Path) -> Vocabulary:
        """Read what `save` wrote.

        Raises:
            InputError: the file is missing or damaged.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            table = pq.read_table(path, columns=["word", "count"])
            return cls(table["word"].to_pylist(), table["count"].to_numpy())
        except (pa.ArrowException, OSError, KeyError) as error:
            raise InputError(f"{path}: missing or damaged. Train again into a new folder.") from error

    @cached_property
    def _ids(self) -> dict[str, int]:
        return {word: i for i, word in enumerate(self.words)}


def frequent(
    ids: Mapping[str, int], counts: Int64[np.ndarray, " n"], min_count: int
) -> tuple[Vocabulary, Int32[np.ndarray, " n"]]:
    """The words with at least `min_count` occurrences, and for each of the old `ids` the new one, or -1.

    The most frequent word is the first. Of equally frequent words, the first in the alphabet is.

    >>> words, new_ids = frequent({"rare": 0, "b": 1, "a": 2, "c": 3}, np.array([1, 5, 5, 9]), min_count=2)
    >>> words.words, new_ids.tolist()
    (['c', 'a', 'b'], [-1, 2, 1, 0])
    """
    numbers = counts.tolist()
    kept = sorted((-numbers[i], word, i) for word, i in ids.items() if numbers[i] >= min_count)
    new_ids = np.full(len(counts), -1, np.int32)
    new_ids[[i for *_, i in kept]] = np.arange(len(kept))
    return Vocabulary([word for _, word, _ in kept], np.array([-n for n, *_ in kept], np.int64)), new_ids
