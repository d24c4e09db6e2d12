"""From word ids to windows, and from windows to the blocks that are computed from one state of the vectors."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numba import njit

from tellapart.skip_gram.hashing import LOW, below, draw

if TYPE_CHECKING:
    from jaxtyping import Int32, Int64, UInt64

MOST_OCCURRENCES = 3
"""How often a word may be the middle of a window in one block: more, and steps from one state add up too far."""
MOST_WINDOWS = 128
"""In a block; what it needs should fit into a processor's own cache."""


class Windows(NamedTuple):
    """The words of a text that subsampling keeps, in their order; each is the middle of one window."""

    words: Int32[np.ndarray, " n"]
    places: Int64[np.ndarray, " n"]
    """Where in the corpus they are."""
    first: Int64[np.ndarray, " n"]
    """The first and the last word of each window, as they are counted here."""
    last: Int64[np.ndarray, " n"]
    blocks: Int64[np.ndarray, " m"]
    """Where blocks begin; at the end n."""


def windows_of(
    ids: Int32[np.ndarray, " t"], start: int, key: int, keep: UInt64[np.ndarray, " v"], radius: int
) -> Windows:
    """The windows of a text, each of a radius drawn from 1 to `radius`.

    Args:
        ids: words; below 0 where a line ends, over which no window reaches.
        start: the place of the first in the corpus, from which all random numbers follow.
        key: of the random numbers.
        keep: the probability with which subsampling keeps each word, in units of 2⁻³².
        radius: the largest.
    """
    words, places, first, last = _windows(ids, start, np.uint64(key), keep, radius)
    return Windows(words, places, first, last, _blocks(words, len(keep)))


@njit(nogil=True, cache=True)
def _windows(ids, start, key, keep, radius):
    words, places = np.empty(len(ids), np.int32), np.empty(len(ids), np.int64)
    first, last = np.empty(len(ids), np.int64), np.empty(len(ids), np.int64)
    n, line = 0, 0
    for i in range(len(ids) + 1):
        if i == len(ids) or ids[i] < 0:
            for k in range(line, n):
                first[k], last[k] = max(first[k], line), min(last[k], n - 1)
            line = n
            continue
        bits = draw(key, start + i, 0)
        if (bits & LOW) < keep[ids[i]]:
            reach = 1 + np.int64(below(bits, radius))
            words[n], places[n], first[n], last[n] = ids[i], start + i, n - reach, n + reach
            n += 1
    return words[:n], places[:n], first[:n], last[:n]


@njit(nogil=True, cache=True)
def _blocks(words, n_words):
    """A block ends before its `MOST_WINDOWS` are exceeded, or a word's `MOST_OCCURRENCES`."""
    starts, n = np.zeros(len(words) + 1, np.int64), 0
    block, seen = np.full(n_words, -1, np.int64), np.zeros(n_words, np.int64)
    for i in range(len(words)):
        word = words[i]
        if block[word] != n:
            block[word], seen[word] = n, 0
        if seen[word] == MOST_OCCURRENCES or i - starts[n] == MOST_WINDOWS:
            n += 1
            starts[n], block[word], seen[word] = i, n, 0
        seen[word] += 1
    if len(words):
        n += 1
        starts[n] = len(words)
    return starts[: n + 1]
