"""What a training measures on rows that it never sees, and which of several measures is the best."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch

if TYPE_CHECKING:
    from jaxtyping import Int
    from torch import Tensor

    from tellapart.objective import Terms

BestBy = Literal["accuracy", "loss"]
PREFIX = "held_out_"
"""What the log calls a measure on held-out rows begins with it."""
OBJECTIVE = "objective"
"""A measure of this name alone says which weights are the best: those of the least."""
_MOST_ROWS = 2048


@dataclass(frozen=True, eq=False)
class HeldOut:
    """Held-out rows, and how a step measures its objective on them.

    Args:
        n_rows: how many there are.
        collate: rows to a batch, as of training.
        measure: called with a batch, without gradient and with the model in evaluation; returns scalars, `loss` among
            them, of which processes log the mean. Where the best have not the least of it, `objective`, too, which is
            least for the best.
        in_blocks: a batch has rows that are neighbours, as of `Batches` in blocks.
        at_once: rows of a batch at most, if fewer than in training.
        most: about how many rows are measured, if there are more.
    """

    n_rows: int
    collate: Callable[[Tensor], Any]
    measure: Callable[[Any], Mapping[str, Tensor]]
    in_blocks: bool = False
    at_once: int | None = None
    most: int = _MOST_ROWS

    def batches(self, size: int, seed: int) -> list[Int[Tensor, " b"]]:
        """Rows to measure, the same at every measure, in batches of one size: a loss depends on its negatives.

        A random part of them, about `most`, if there are more. The last batch may repeat rows of the one before it.

        Args:
            size: rows of a batch of the training, of all devices; with fewer held-out rows, a batch has all of them.
            seed: decides which rows.

        >>> [len(rows) for rows in HeldOut(10, list, dict).batches(4, seed=0)]
        [4, 4, 4]
        """
        size = min(size, self.n_rows, self.at_once or self.n_rows)
        n_batches, last = -(-min(self.n_rows, max(self.most, size)) // size), self.n_rows - size
        if self.in_blocks:
            starts = [round(last * i / max(1, n_batches - 1)) for i in range(n_batches)]
            return [torch.arange(start, start + size) for start in starts]
        order = torch.from_numpy(np.random.default_rng(seed).permutation(self.n_rows))
        return [order[start : start + size] for start in (min(i * size, last) for i in range(n_batches))]


def measured(terms: Terms) -> dict[str, Tensor]:
    """What a measure says of terms."""
    return {"loss": terms.loss(), "accuracy": terms.accuracy(), "n_candidates": terms.n_candidates.double().mean()}


def is_better(found: Mapping[str, float], best: Mapping[str, float] | None, by: BestBy) -> bool:
    """Whether a measure is better than the best so far.

    Among as many candidates, by a higher accuracy and, if that is the same or unknown, by less loss; or by the loss
    alone. A measure among more candidates is better than any among fewer: among few, as of a queue that is still
    short, loss and accuracy are good whatever the weights. Where an objective was measured, the least is the best.

    >>> surer, righter = {"loss": 2.0, "accuracy": 0.3}, {"loss": 2.5, "accuracy": 0.4}
    >>> is_better(righter, surer, "accuracy"), is_better(righter, surer, "loss")
    (True, False)
    """
    if not all(math.isfinite(found[name]) for name in ("loss", OBJECTIVE) if name in found):
        return False
    return best is None or _quality(found, by) > _quality(best, by)


def _quality(measure: Mapping[str, float], by: BestBy) -> tuple[float, float, float]:
    if OBJECTIVE in measure:
        return measure.get("n_candidates", 0.0), 0.0, -measure[OBJECTIVE]
    accuracy = measure.get("accuracy", 0.0) if by == "accuracy" else 0.0
    return measure.get("n_candidates", 0.0), accuracy, -measure["loss"]


def best_of(log: Iterable[Mapping[str, float]], by: BestBy) -> dict[str, float] | None:
    """The best measure of a log on held-out rows: its `step`, `loss` and what else was measured; `None` without any.

    >>> best_of([{"step": 1, "held_out_loss": 2.0}, {"step": 2}, {"step": 3, "held_out_loss": 2.5}], "loss")
    {'loss': 2.0, 'step': 1}
    """
    best: dict[str, float] | None = None
    for entry in log:
        found = {name.removeprefix(PREFIX): value for name, value in entry.items() if name.startswith(PREFIX)}
        if "loss" in found and is_better(found, best, by):
            best = found | {"step": entry["step"]}
    return best


def told(best: Mapping[str, float], by: BestBy) -> str:
    """The best measure in words.

    >>> told({"loss": 1.234, "accuracy": 0.5, "step": 40}, "accuracy")
    'Best held-out accuracy 50.0%, loss 1.234, at step 40; its weights are kept.'
    """
    if OBJECTIVE in best:
        return f"Best held-out objective {best[OBJECTIVE]:.3f} at step {best['step']:.0f}; its weights are kept."
    loss = f"loss {best['loss']:.3f}"
    both = f"accuracy {best['accuracy']:.1%}, {loss}," if by == "accuracy" and "accuracy" in best else loss
    return f"Best held-out {both} at step {best['step']:.0f}; its weights are kept."
