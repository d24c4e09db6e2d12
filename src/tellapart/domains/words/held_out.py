"""Which passages of a text training never sees."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tellapart.errors import require_option

if TYPE_CHECKING:
    from jaxtyping import Bool, Int32, Int64

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
        return np.where(self.is_out(np.arange(start, start + len(ids))), np.int32(-1), ids)

    def alone(self, ids: Int32[np.ndarray, " n"]) -> Int32[np.ndarray, " m"]:
        """The held-out words of a whole text, of which each passage is a line; a million at most.

        Raises:
            InputError: there are none, or no others.
        """
        n = -(-len(ids) // PASSAGE)
        passages = np.flatnonzero(self.is_out(np.arange(n) * PASSAGE))
        must = f"leave passages of {PASSAGE} words on either side, of the {len(ids)} words that are frequent enough"
        require_option("held_out", 0 < len(passages) < n, must, self.share)
        end = np.full(1, -1, np.int32)
        parts = [ids[p * PASSAGE : (p + 1) * PASSAGE] for p in passages[: _MOST // PASSAGE].tolist()]
        return np.concatenate([piece for part in parts for piece in (part, end)])
