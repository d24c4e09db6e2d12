"""Words as bags of character n-grams, hashed into buckets, as fastText has them: unseen words have vectors, too."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from tellapart.domains.words.options import SHORTEST_NGRAM

if TYPE_CHECKING:
    from jaxtyping import Float32, Int64

_BASIS, _PRIME, _MASK = 2166136261, 16777619, 2**32 - 1


class Parts(NamedTuple):
    """Which rows of a table of vectors make a word's: `scale` times the sum of `rows[starts[i] : starts[i + 1]]`."""

    rows: Int64[np.ndarray, " p"]
    starts: Int64[np.ndarray, " v_and_1"]
    scale: Float32[np.ndarray, " v"]
    """1/√n of n rows: a step of SGD then moves the word's vector as far as if it were a row by itself."""

    @classmethod
    def of(cls, rows: Sequence[Sequence[int]]) -> Parts:
        """The parts of words, of which each has its list of rows."""
        sizes = np.array([len(row) for row in rows])
        flat = np.array([number for row in rows for number in row], np.int64)
        scale = (1 / np.sqrt(np.maximum(sizes, 1))).astype(np.float32)
        return cls(flat, np.concatenate([[0], np.cumsum(sizes)]), scale)


def ngrams(word: str, longest: int) -> list[str]:
    """The character n-grams of a word between its bounds, of 3 characters up to `longest`.

    Source: Bojanowski et al. 2017, §3.2.

    >>> ngrams("cat", 4)
    ['<ca', '<cat', 'cat', 'cat>', 'at>']
    """
    bounded = f"<{word}>"
    starts, sizes = range(len(bounded)), range(SHORTEST_NGRAM, longest + 1)
    return [bounded[start : start + n] for start in starts for n in sizes if start + n <= len(bounded)]


def bucket(ngram: str, n_buckets: int) -> int:
    """The bucket of an n-gram: fastText's FNV-1a, which takes bytes beyond 127 as negative numbers.

    >>> bucket("<ca", 2000000)
    916747
    """
    value = _BASIS
    for byte in ngram.encode():
        value = ((value ^ (byte if byte < 128 else byte | 0xFFFFFF00)) * _PRIME) & _MASK
    return value % n_buckets


def parts_of(words: Sequence[str], longest: int, n_buckets: int) -> Parts:
    """The parts of a vocabulary: each word's own row, and behind all of these the rows of its n-grams' buckets.

    Args:
        words: the vocabulary.
        longest: of the n-grams; 0 for none.
        n_buckets: how many rows n-grams have.
    """
    if not longest:
        return Parts(np.arange(len(words)), np.arange(len(words) + 1), np.ones(len(words), np.float32))
    known: dict[str, int] = {}  # n-grams repeat, and hashing takes long

    def row(ngram: str) -> int:
        if ngram not in known:
            known[ngram] = len(words) + bucket(ngram, n_buckets)
        return known[ngram]

    return Parts.of([[i, *map(row, ngrams(word, longest))] for i, word in enumerate(words)])
