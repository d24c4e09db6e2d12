"""A run as a list of batches, each a pure function of its step: what makes resuming exact."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import torch

if TYPE_CHECKING:
    from jaxtyping import Int
    from torch import Tensor


@dataclass(frozen=True)
class Batches:
    """Which rows each device takes at each step.

    Every epoch visits all rows once, in an order drawn from (seed, epoch), in batches of nearly equal
    size and at most `batch_size` (3 rows where 2 would leave one alone): there is no small last batch,
    whose line-up would be easy.

    >>> batches = Batches(n_rows=10, batch_size=4, epochs=2, seed=0)
    >>> batches.n_steps(n_devices=1), [len(batches.rows(step, 0, 1)) for step in range(3)]
    (6, [4, 3, 3])
    """

    n_rows: int
    batch_size: int
    epochs: int
    seed: int

    def steps_per_epoch(self, n_devices: int) -> int:
        """Steps until every row was visited once."""
        enough = -(-self.n_rows // (self.batch_size * n_devices))
        return max(1, min(enough, self.n_rows // (2 * n_devices)))  # nobody stands alone in a line-up

    def n_steps(self, n_devices: int) -> int:
        """Steps of the whole run."""
        return self.epochs * self.steps_per_epoch(n_devices)

    def rows(self, step: int, device: int, n_devices: int) -> Int[Tensor, " b"]:
        """The rows of one device at one step, counted from 0."""
        epoch, position = divmod(step, per_epoch := self.steps_per_epoch(n_devices))
        order = _order(self.n_rows, self.seed, epoch)
        parts = torch.tensor_split(order, per_epoch * n_devices)
        return parts[position * n_devices + device]


@lru_cache(maxsize=2)
def _order(n_rows: int, seed: int, epoch: int) -> Tensor:
    return torch.from_numpy(np.random.default_rng([seed, epoch]).permutation(n_rows))
