"""Join words that stand together more often than chance has it: "new york" becomes "new_york"."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from tellapart.domains.words.ids import CHUNK, RARE, Chunk, Ids, writing
from tellapart.domains.words.tally import Tally
from tellapart.domains.words.vocabulary import Vocabulary
from tellapart.errors import require_option

if TYPE_CHECKING:
    from jaxtyping import Bool, Int32, Int64

MOST_PAIRS = 2**24
"""Distinct pairs that are counted at once."""


@dataclass(frozen=True)
class Phrases:
    """Which pairs of words become phrases: those with

        score(a, b) = (count(a b) − δ) / (count(a) · count(b)) · n  >  threshold,

    n the number of words in the corpus, as word2phrase.c has it. Mikolov et al. 2013, eq. 6, is without n, which makes
    the threshold independent of the corpus' size. count(a b) is the number of places where b follows a in a sentence,
    overlapping ones included; a rare word between them, left out of the vocabulary, keeps them apart. Pairs are joined
    from left to right. A further pass counts again, words and phrases alike, and finds phrases of up to four words.
    """

    passes: int = 1
    """How often phrases are looked for; p passes make phrases of up to 2^p words."""
    threshold: float = 100.0
    """The least score of a phrase. A higher one gives fewer phrases."""
    discount: int = 5
    """δ, which keeps pairs of rare words from being phrases."""

    def check(self) -> None:
        """Raise `InputError` for an option out of its range."""
        require_option("passes", self.passes >= 1, "be at least 1", self.passes)
        require_option("threshold", 0 < self.threshold < np.inf, "be positive and finite", self.threshold)
        require_option("discount", self.discount >= 0, "be at least 0", self.discount)


class Joins(NamedTuple):
    """The pairs of words that one pass joins."""

    keys: Int64[np.ndarray, " p"]
    """a · v + b for each pair of ids a and b; v is the size of the vocabulary."""
    ids: Int32[np.ndarray, " p"]
    """The id of each pair's phrase."""
    words: list[str]
    """All words by id: those of the vocabulary, then the new ones."""
    unsure: int
    """Pairs of up to so many places may be counted as fewer, because there were too many distinct ones."""


def find(source: Ids, vocabulary: Vocabulary, phrases: Phrases, min_count: int, size: int = CHUNK) -> Joins:
    """The pairs that one pass joins, of those with `min_count` places.

    A phrase that is spelt as a word of the vocabulary has that word's id.
    """
    counted = Tally(MOST_PAIRS)
    is_frequent = vocabulary.counts >= max(min_count, phrases.discount + 1)
    for chunk in source.chunks(size):
        keys = _keys(chunk, is_frequent)
        counted.add(keys[keys >= 0])
    firsts, seconds = np.divmod(counted.keys, len(vocabulary))
    product = vocabulary.counts[firsts].astype(np.float64) * vocabulary.counts[seconds]
    score = (counted.counts - phrases.discount) * float(len(source.ids)) / product
    chosen = np.sort(counted.keys[(score > phrases.threshold) & (counted.counts >= min_count)])
    ids: dict[str, int] = {}
    numbers = []
    for a, b in zip(*(part.tolist() for part in np.divmod(chosen, len(vocabulary))), strict=True):
        word = f"{vocabulary.words[a]}_{vocabulary.words[b]}"
        known = vocabulary.index(word)
        numbers.append(ids.setdefault(word, len(vocabulary) + len(ids)) if known is None else known)
    return Joins(chosen, np.array(numbers, np.int32), [*vocabulary.words, *ids], counted.floor)


def join(source: Ids, vocabulary: Vocabulary, joins: Joins, folder: Path, size: int = CHUNK) -> tuple[Ids, Vocabulary]:
    """The sentences with their phrases joined from left to right, and how often each word and phrase is left.

    The vocabulary has the order of `joins.words`, not that of the counts.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    counts = np.zeros(len(joins.words), np.int64)
    known, everywhere = pa.array(joins.keys), np.ones(len(vocabulary), np.bool_)
    is_taken = False  # whether the chunk's first word is the second of a phrase that the chunk before has
    with writing(folder) as writer:
        for chunk in source.chunks(size):
            place = pc.index_in(pa.array(_keys(chunk, everywhere)), known).fill_null(-1).to_numpy()
            is_pair = place >= 0
            is_pair[0] &= not is_taken
            is_joined = is_pair & _is_odd_in_run(is_pair)
            is_kept = np.concatenate([[not is_taken], ~is_joined[:-1]])
            is_taken = bool(is_joined[-1])
            ids = np.array(chunk.ids)
            ids[is_joined] = joins.ids[place[is_joined]]
            ids = ids[is_kept]
            writer.add(ids, np.cumsum(is_kept)[chunk.ends - 1])
            counts += np.bincount(ids[ids != RARE], minlength=len(counts))
    return Ids.open(folder), Vocabulary(joins.words, counts)


def _keys(chunk: Chunk, is_wanted: Bool[np.ndarray, " v"]) -> Int64[np.ndarray, " n"]:
    """For each id, the key of the pair with the next; -1 if either is not wanted, is rare, or ends its sentence."""
    is_wanted = np.append(is_wanted, False)  # the last entry is that of RARE
    ids = np.concatenate([chunk.ids, chunk.following, np.full(1 - len(chunk.following), RARE, np.int32)])
    keys = ids[:-1] * np.int64(len(is_wanted) - 1) + ids[1:]
    is_pair = is_wanted[ids[:-1]] & is_wanted[ids[1:]]
    is_pair[chunk.ends - 1] = False
    keys[~is_pair] = -1
    return np.asarray(keys)


def _is_odd_in_run(is_pair: Bool[np.ndarray, " n"]) -> Bool[np.ndarray, " n"]:
    """Whether a place is the first, third, … of its run: where pairs overlap, every other one can be joined.

    >>> _is_odd_in_run(np.array([True, True, True, False, True])).tolist()
    [True, False, True, False, True]
    """
    places = np.arange(len(is_pair))
    before = np.maximum.accumulate(np.where(is_pair, -1, places))
    return np.asarray((places - before) % 2 == 1)
