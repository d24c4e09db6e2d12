"""Which passages of a text training never sees."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tellapart.errors import require_option

if TYPE_CHECKING:
    from jaxtyping import Bool, Int32, Int64

    from tellapart.domains.words.corpus import Corpus

PASSAGE = 100
"""Words of a passage."""
_MOST = 2**20


@dataclass(frozen=True)
class HeldOut:
    """Passages of 100 words, evenly spread; the seed decides with which they begin.

    >>> HeldOut(0.5, seed=0).is_out(np.arange(0, 600, 100)).tolist()
    [False, True, False, True, False, True]
    """

    share: float
    seed: int

    def is_out(self, places: Int64[np.ndarray, " n"]) -> Bool[np.ndarray, " n"]:
        """Whether the words at these places of the text are held out."""
        shift = np.random.default_rng(self.seed).random()
        before = np.floor((places // PASSAGE + shift) * self.share)
        return np.asarray(np.floor((places // PASSAGE + shift + 1) * self.share) > before)

    def without(self, ids: Int32[np.ndarray, " n"], start: int) -> Int32[np.ndarray, " n"]:
        """The words of a stretch of the text that begins at `start`; −1, as where a line ends, for those held out."""
        passages = np.arange(start // PASSAGE, (start + len(ids)) // PASSAGE + 1)
        is_out = np.repeat(self.is_out(passages * PASSAGE), PASSAGE)[start % PASSAGE :][: len(ids)]
        return np.where(is_out, np.int32(-1), ids)

    def alone(self, corpus: Corpus) -> Int32[np.ndarray, " m"]:
        """The held-out words of a text, −1 where a line or a passage ends; about a million words at most.

        Raises:
            InputError: there are none, or no others.
        """
        return passages_of(corpus, self.starts(corpus)[: _MOST // PASSAGE])

    def starts(self, corpus: Corpus) -> Int64[np.ndarray, " n"]:
        """Where in a text the held-out passages begin.

        Raises:
            InputError: there are none, or no others.
        """
        n = -(-len(corpus.ids) // PASSAGE)
        starts = PASSAGE * np.flatnonzero(self.is_out(np.arange(n) * PASSAGE))
        must = (
            f"leave passages of {PASSAGE} words on either side, of the {len(corpus.ids)} words that are frequent enough"
        )
        require_option("held_out", 0 < len(starts) < n, must, self.share)
        return starts


def passages_of(corpus: Corpus, starts: Int64[np.ndarray, " n"]) -> Int32[np.ndarray, " m"]:
    """The words of passages, −1 where a line or a passage ends."""
    end = np.full(1, -1, np.int32)
    stretches = [(start, min(start + PASSAGE, len(corpus.ids))) for start in starts.tolist()]
    parts = [with_ends(corpus, corpus.ids[start:stop], start) for start, stop in stretches]
    return np.concatenate([piece for part in parts for piece in (part, end)])


def with_ends(corpus: Corpus, ids: Int32[np.ndarray, " n"], start: int) -> Int32[np.ndarray, " m"]:
    """The words of a text from `start` on, with −1 where lines end."""
    first, last = np.searchsorted(corpus.starts, [start, start + len(ids)], side="right")
    return np.insert(ids, corpus.starts[first:last] - start, np.int32(-1))
