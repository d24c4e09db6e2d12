"""The distribution that negatives are drawn from, as an alias table: a draw takes one look, whatever the size."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numba import njit

from tellapart.skip_gram.hashing import LOW, below

if TYPE_CHECKING:
    from jaxtyping import Float, Int64, UInt64


class Noise(NamedTuple):
    """Slots of equal probability, each of which two words share."""

    share: UInt64[np.ndarray, " v"]
    """Of slot i, the part that is word i's, in units of 2⁻³²."""
    other: Int64[np.ndarray, " v"]
    """The word that has the rest."""

    @classmethod
    def of(cls, weights: Float[np.ndarray, " v"]) -> Noise:
        """The table of probabilities proportional to `weights` (Walker 1977; Vose 1991).

        >>> noise = Noise.of(np.array([3.0, 1.0]))
        >>> (noise.share / 2**32).round(2).tolist(), noise.other.tolist()
        ([1.0, 0.5], [0, 0])
        """
        return cls(*_table(weights / weights.sum() * len(weights)))


@njit(cache=True)
def _table(heights):
    """Of heights with mean 1: the low ones are filled up from the high ones."""
    n = len(heights)
    share, other = np.full(n, 1 << 32, np.uint64), np.arange(n)
    low, high = np.flatnonzero(heights < 1), np.flatnonzero(heights >= 1)
    left, n_low, n_high = heights.copy(), len(low), len(high)
    low = np.append(low, np.empty(n - n_low, np.int64))
    while n_low and n_high:
        small, tall = low[n_low - 1], high[n_high - 1]
        share[small], other[small] = np.uint64(left[small] * 2.0**32), tall
        left[tall] -= 1 - left[small]
        n_low -= 1
        if left[tall] < 1:
            n_high -= 1
            low[n_low] = tall
            n_low += 1
    return share, other


@njit(nogil=True, cache=True, inline="always")
def word_of(noise, bits):
    """The word that random bits draw."""
    slot = below(bits, len(noise.share))
    return np.int64(slot) if (bits & LOW) < noise.share[slot] else noise.other[slot]
