"""What a training measures on rows that it never sees, and which of several measures is the best."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

if TYPE_CHECKING:
    from jaxtyping import Int
    from torch import Tensor

PREFIX = "held_out_"
"""What the log calls a measure on held-out rows begins with it."""
_MOST_ROWS = 2048


@dataclass(frozen=True, eq=False)
class HeldOut:
    """Held-out rows, and how a step measures its objective on them.

    Args:
        n_rows: how many there are.
        collate: rows to a batch, as of training.
        measure: called with a batch, without gradient and with the model in evaluation; returns scalars, `loss` among
            them, of which processes log the mean.
    """

    n_rows: int
    collate: Callable[[Tensor], Any]
    measure: Callable[[Any], Mapping[str, Tensor]]

    def batches(self, size: int, seed: int) -> list[Int[Tensor, " b"]]:
        """Rows to measure, the same at every measure, in batches of one size: a loss depends on its negatives.

        A random part of them, about 2,048, if there are more. The last batch may repeat rows of the one before it.

        Args:
            size: rows of a batch of the training, of all devices; with fewer held-out rows, a batch has all of them.
            seed: decides which rows.

        >>> [len(rows) for rows in HeldOut(10, list, dict).batches(4, seed=0)]
        [4, 4, 4]
        """
        order = torch.from_numpy(np.random.default_rng(seed).permutation(self.n_rows))
        size = min(size, self.n_rows)
        n_batches = -(-min(self.n_rows, max(_MOST_ROWS, size)) // size)
        starts = [min(i * size, self.n_rows - size) for i in range(n_batches)]
        return [order[start : start + size] for start in starts]


def is_better(found: Mapping[str, float], best: Mapping[str, float] | None) -> bool:
    """Whether a measure is better than the best: less loss among as many candidates, or any loss among more of them.

    Among few candidates, as of a queue that is still short, a loss is low whatever the weights.

    >>> among_ten, among_five = {"loss": 2.0, "n_candidates": 10.0}, {"loss": 1.0, "n_candidates": 5.0}
    >>> is_better(among_ten, among_five), is_better(among_five, among_ten)
    (True, False)
    """
    if not math.isfinite(found["loss"]):
        return False
    if best is None:
        return True
    n, n_before = (measure.get("n_candidates", 0.0) for measure in (found, best))
    return n > n_before or (n == n_before and found["loss"] < best["loss"])


def best_of(log: Iterable[Mapping[str, float]]) -> dict[str, float] | None:
    """The best measure of a log on held-out rows: its `step`, `loss` and what else was measured; `None` without any.

    >>> best_of([{"step": 1, "held_out_loss": 2.0}, {"step": 2}, {"step": 3, "held_out_loss": 2.5}])
    {'loss': 2.0, 'step': 1}
    """
    best: dict[str, float] | None = None
    for entry in log:
        found = {name.removeprefix(PREFIX): value for name, value in entry.items() if name.startswith(PREFIX)}
        if "loss" in found and is_better(found, best):
            best = found | {"step": entry["step"]}
    return best
