"""Count items of an unlimited stream in limited memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from jaxtyping import Int64


class Tally:
    """Counts whole numbers. With more than `most` distinct ones, the rarest are forgotten.

    >>> tally = Tally(most=100)
    >>> tally.add(np.array([7, 5, 7]))
    >>> tally.add(np.array([5, 5]))
    >>> sorted(zip(tally.keys.tolist(), tally.counts.tolist())), tally.floor
    ([(5, 3), (7, 2)], 0)
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._parts: list[Any] = []  # Arrow's tables; the first is the sum of all before it
        self._n_waiting = 0
        self.floor = 0
        """What was counted this often or less may have been forgotten; 0 if nothing was."""

    def add(self, keys: Int64[np.ndarray, " n"]) -> None:
        """Count these."""
        import pyarrow as pa
        import pyarrow.compute as pc

        values, counts = pc.value_counts(pa.array(keys)).flatten()
        self._parts.append(pa.table({"key": values, "n": counts}))
        self._n_waiting += len(values)
        if self._n_waiting > self._most // 2:
            self._merge()

    @property
    def keys(self) -> Int64[np.ndarray, " k"]:
        """The distinct numbers."""
        self._merge()
        return np.asarray(self._parts[0]["key"]) if self._parts else np.empty(0, np.int64)

    @property
    def counts(self) -> Int64[np.ndarray, " k"]:
        """How often each was counted."""
        self._merge()
        return np.asarray(self._parts[0]["n"]) if self._parts else np.empty(0, np.int64)

    def _merge(self) -> None:
        import pyarrow as pa
        import pyarrow.compute as pc

        if len(self._parts) > 1:
            summed = pa.concat_tables(self._parts).group_by("key", use_threads=False).aggregate([("n", "sum")])
            summed = summed.rename_columns({"n_sum": "n"})
            while len(summed) > self._most:
                self.floor += 1
                summed = summed.filter(pc.greater(summed["n"], self.floor))
            self._parts = [summed]
        self._n_waiting = 0
