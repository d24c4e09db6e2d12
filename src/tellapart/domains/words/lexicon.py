"""Number words in the order of their first occurrence, and count them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pyarrow as pa
    from jaxtyping import Int32, Int64

MOST_WORDS = 2**23
"""Distinct words that are remembered."""


class Lexicon:
    """Distinct words, their ids and counts. With more than `most`, the rarest are forgotten, as in word2vec.c.

    >>> import pyarrow as pa
    >>> lexicon = Lexicon(most=100)
    >>> lexicon.encode(pa.array(["the", "cat", "the"])).tolist(), lexicon.encode(pa.array(["dog", "cat"])).tolist()
    ([0, 1, 0], [2, 1])
    >>> lexicon.ids, lexicon.counts.tolist()
    ({'the': 0, 'cat': 1, 'dog': 2}, [2, 2, 1])
    """

    def __init__(self, most: int = MOST_WORDS) -> None:
        self._most = most
        self.ids: dict[str, int] = {}
        self._counts = np.zeros(2**16, np.int64)
        self.n_words = 0
        """Ids that were given; a word that was forgotten and seen again has a second one."""
        self.floor = 0
        """A word with no more occurrences than this may have been forgotten; 0 if none was."""

    @property
    def counts(self) -> Int64[np.ndarray, " n"]:
        """How often each id occurred."""
        return self._counts[: self.n_words]

    def encode(self, words: pa.Array) -> Int32[np.ndarray, " n"]:
        """The ids of these words, which are counted; new words get new ids. Spaces behind a word are no part of it."""
        import pyarrow.compute as pc

        coded = words.dictionary_encode()
        distinct, places = pc.ascii_rtrim(coded.dictionary, " ").to_pylist(), coded.indices.to_numpy()
        new = dict.fromkeys([word for word in distinct if word not in self.ids])
        self.ids.update(zip(new, range(self.n_words, self.n_words + len(new)), strict=True))
        self.n_words += len(new)
        if self.n_words > len(self._counts):
            self._counts = np.append(self._counts, np.zeros(max(len(self._counts), self.n_words), np.int64))
        ids = np.array([self.ids[word] for word in distinct], np.int32)
        np.add.at(self._counts, ids, np.bincount(places, minlength=len(distinct)))
        if len(self.ids) > self._most:
            self._forget()
        return np.asarray(ids[places])

    def _forget(self) -> None:
        while len(self.ids) > self._most:
            self.floor += 1
            self.ids = {word: i for word, i in self.ids.items() if self._counts[i] > self.floor}
