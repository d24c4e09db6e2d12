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


@dataclass(frozen=True, eq=False)
class Batches:
    """Which rows each device takes at each step.

    Every epoch visits all rows once, in an order drawn from (seed, epoch), in batches of nearly equal
    size and at most `batch_size` (3 rows where 2 would leave one alone). There is no small last batch,
    which would have few negatives.

    With `lengths` the rows of a step are of similar lengths: little is padded, and length tells no two rows apart.
    `in_order` the rows are taken as they lie, as of a text that is read from the disk; memory holds one batch of them.
    In `blocks` the rows of a step are neighbours, as of recordings that lie in order of time. Where the first block
    begins, and in which order blocks are taken, is drawn for each epoch; one block holds the last and the first rows.

    >>> batches = Batches(n_rows=10, batch_size=4, epochs=2, seed=0)
    >>> batches.n_steps(n_devices=1), [len(batches.rows(step, 0, 1)) for step in range(3)]
    (6, [4, 3, 3])
    """

    n_rows: int
    batch_size: int
    epochs: int
    seed: int
    lengths: Int[np.ndarray, " n_rows"] | None = None
    in_order: bool = False
    blocks: bool = False

    def steps_per_epoch(self, n_devices: int) -> int:
        """Steps until every row was visited once."""
        enough = -(-self.n_rows // (self.batch_size * n_devices))
        return max(1, min(enough, self.n_rows // (2 * n_devices)))  # every batch has a negative

    def n_steps(self, n_devices: int) -> int:
        """Steps of the whole run."""
        return self.epochs * self.steps_per_epoch(n_devices)

    def rows(self, step: int, device: int, n_devices: int) -> Int[Tensor, " b"]:
        """The rows of one device at one step, counted from 0."""
        epoch, position = divmod(step, per_epoch := self.steps_per_epoch(n_devices))
        if self.in_order:
            n, part = per_epoch * n_devices, position * n_devices + device
            return torch.arange(self.n_rows * part // n, self.n_rows * (part + 1) // n)
        order, steps = _order(self, epoch, per_epoch)
        each, longer = divmod(self.n_rows, per_epoch * n_devices)  # the first parts have one row more
        part = steps[position] * n_devices + device
        start = part * each + min(part, longer)
        return order[start : start + each + (part < longer)]


@lru_cache(maxsize=2)
def _order(batches: Batches, epoch: int, per_epoch: int) -> tuple[Int[Tensor, " n_rows"], list[int]]:
    """The rows of an epoch, and in which order of steps they are taken."""
    random = np.random.default_rng([batches.seed, epoch])
    if batches.blocks:
        turned = np.roll(np.arange(batches.n_rows), random.integers(batches.n_rows))
        return torch.from_numpy(turned), random.permutation(per_epoch).tolist()
    order = random.permutation(batches.n_rows)
    if batches.lengths is None:
        return torch.from_numpy(order), list(range(per_epoch))
    # By a tenth more or less, so that the same rows do not meet in every epoch.
    similar = np.argsort(batches.lengths[order] * random.uniform(0.9, 1.1, batches.n_rows))
    return torch.from_numpy(order[similar]), random.permutation(per_epoch).tolist()
