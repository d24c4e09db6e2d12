"""Which of other times, in ascending order, are near."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from jaxtyping import Float, Int


def nearest(times: Float[np.ndarray, " n"], wanted: Float[np.ndarray, " m"]) -> Int[np.ndarray, " m"]:
    """The row of the time that is nearest to each wanted one; of two as near the earlier.

    >>> nearest(np.array([0.0, 2.0, 9.0]), np.array([-5.0, 1.0, 1.5, 20.0])).tolist()
    [0, 0, 1, 2]
    """
    last = len(times) - 1
    after = np.searchsorted(times, wanted).clip(max=last)
    before = (after - 1).clip(min=0)
    return np.where(np.abs(times[after] - wanted) < np.abs(times[before] - wanted), after, before)


def n_near(times: Float[np.ndarray, " n"], others: Float[np.ndarray, " m"], reach: float) -> Int[np.ndarray, " n"]:
    """How many of the others are at most `reach` from each time.

    >>> n_near(np.array([1.0, 5.0]), np.array([0.0, 0.5, 3.0]), reach=1.0).tolist()
    [2, 0]
    """
    low = np.searchsorted(others, times - reach, side="left")
    return np.asarray(np.searchsorted(others, times + reach, side="right") - low)
